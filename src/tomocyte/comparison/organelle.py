"""One more organelle from a folder of stacks with a probe: channels to truth, truth to a trained model.

A stack has yellow, red and green channels, in one file or in three. Green without the light of Nile Red, thresholded or
given to FG-net, is the truth of one organelle; intensity and ratio of yellow and red are what the network sees. The
steps of a stack are in :func:`prepare_stack`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.channels.laying import find_registrations, lay, stored_transforms
from tomocyte.channels.ratio import DERIVED_CHANNELS
from tomocyte.channels.registration_file import load_registration
from tomocyte.channels.selection import channels_of
from tomocyte.channels.unmixing import UnmixingSettings, unmixed
from tomocyte.comparison.train_model import train
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.probe_stacks import COLOURS, ProbeStack, probe_stacks
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.ledger import claim_folder
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.models.loaded import load_model
from tomocyte.models.prediction import ModelInput, predict_structure
from tomocyte.models.settings import InferenceSettings
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json, sha256_of_path
from tomocyte.runs.simulate.focus import FOREGROUND
from tomocyte.structures import canonical_name
from tomocyte.training.recipe import Recipe, TaggedRecipe, build_recipe
from tomocyte.training.training import split_items
from tomocyte.volume import Volume, VoxelSize

THRESHOLDS = ("otsu", "adaptive", "top-hat")
DROPLET = "lipid_droplet"
INSIDE = 0.5
DARK_PERCENT = 1.0
Mask = NDArray[np.bool_]


class OrganelleRecipe(TaggedRecipe):
    """How the truth of one organelle is made of a probe, and what learns it."""

    kind: Literal["organelle"] = "organelle"
    """One organelle from stacks with a probe."""
    description: str = ""
    """What it is for."""
    paper: str = ""
    """What it follows, with DOI."""
    structure: str = "organelle"
    """What the probe marks, e.g. golgi: the structure that the model will find."""
    foreground: str = "otsu"
    """What makes a mask of the probe's light: a threshold (otsu, adaptive, top-hat), or a model that finds `foreground`
    (its name or folder), as ``tomocyte train fg-net`` makes it."""
    threshold: ForegroundMethod = ForegroundMethod()
    """Numbers of the threshold; its method is that of `foreground`."""
    registration: str = "none"
    """How red and green are laid on yellow: `none`, `auto` (as each stack shows), or a file of `tomocyte register`.
    Channels without common structure stay where they are, which is said."""
    unmixing: UnmixingSettings = UnmixingSettings()
    """How much of yellow is subtracted from green."""
    droplet_model: str = ""
    """Name or folder of a model that finds `lipid_droplet` in intensity and ratio: green is set to 0 in droplets, where
    Nile Red shines too. Empty: droplets stay."""
    training: dict[str, Any]
    """The recipe of the network, without name and structure."""

    def recipe(self) -> Recipe:
        """The recipe of the network; it has the name of the organelle.

        Raises
        ------
        SettingsError
            ``E-SETTINGS``: a wrong field.
        """
        name = canonical_name(self.structure)
        data = {**self.training.get("data", {}), "structures": [name]}
        description = f"{name.replace('_', ' ')} in two-channel Nile Red stacks, learned from a probe"
        own = {"kind": "train", "name": f"nile-red-{name.replace('_', '-')}", "description": description}
        return build_recipe({**own, "paper": self.paper, **self.training, "data": data})

    def check_parts(self) -> None:
        """Refuse a wrong recipe of the network."""
        self.recipe()


@dataclass(frozen=True)
class PreparedStack:
    """What was made of one stack.

    Parameters
    ----------
    name : str
    bleed_through : float
        Share of yellow that was subtracted.
    foreground_share : float
        Of all voxels.
    n_planes, n_planes_with_foreground : int
    droplet_share : float
        Of all voxels, set to 0.
    registration : str
        What was laid on yellow; for each channel how far its middle moved, in µm, or why it did not.
    """

    name: str
    bleed_through: float
    foreground_share: float
    n_planes: int
    n_planes_with_foreground: int
    droplet_share: float
    registration: str = ""


def train_organelle(
    recipe: OrganelleRecipe,
    data: Path,
    *,
    folder: Path,
    device: str = "cpu",
    restarts: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Prepare every stack of a folder and train the network on them; the same call resumes both.

    Parameters
    ----------
    recipe : OrganelleRecipe
    data : Path
        As :func:`tomocyte.datasets.probe_stacks.probe_stacks` reads it.
    folder : Path
        ``data/`` gets yellow and red with the mask, ``pictures/`` green with its contours, ``foreground.csv`` the
        numbers, ``model/`` the model.
    device : str
    restarts : bool
        Whether the training begins again; prepared stacks stay.
    callback : callable
        Receives events of the step ``prepare`` and those of the training.

    Returns
    -------
    dict
        As :func:`tomocyte.comparison.train_model.train`, and ``prepared``, a list of :class:`PreparedStack`.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no stack; ``E-NO-FOREGROUND``: nothing of the probe in any of them.
    SettingsError, OutputError
    """
    checked = recipe.recipe()
    stacks = probe_stacks(data)
    claim_folder(folder, "train", own=("foreground.csv",))
    prepared = []
    for number, stack in enumerate(stacks):
        callback(Progress(stack.name, "prepare", state="at-work", done=number, total=len(stacks)))
        prepared.append(prepare_stack(stack, recipe, folder))
        callback(Progress(stack.name, "prepare", state="done", done=number + 1, total=len(stacks)))
    _write_table(prepared, folder / "foreground.csv")
    if not any(stack.foreground_share for stack in prepared):
        raise InputError(
            "E-NO-FOREGROUND",
            f"nothing of {canonical_name(recipe.structure)} is in focus in any of {len(prepared)} stacks.",
            path=data,
            cure="Look at the pictures in the output folder; use another --foreground or --set unmixing.share=0.1.",
        )
    items = find_items(folder / "data", checked.data)
    sets = split_items(items, checked.validation_share, seed=checked.loop.seed, min_held_out=1)
    result = train(checked, sets, folder=folder, device=device, restarts=restarts, callback=callback)
    return {**result, "prepared": prepared}


def prepare_stack(stack: ProbeStack, recipe: OrganelleRecipe, folder: Path) -> PreparedStack:
    """Write yellow and red of one stack, the mask of the organelle and a picture; not again where they are there.

    Parameters
    ----------
    stack : ProbeStack
    recipe : OrganelleRecipe
    folder : Path
        As of :func:`train_organelle`.

    Raises
    ------
    InputError, MetadataError
        What cannot be read; ``E-CHANNEL-SHAPE``: channels of different sizes.
    SettingsError
        ``E-MODEL-NAME``, ``E-MODEL-STRUCTURE``: a model that is not there, or does not find what it should.
    """
    structure = canonical_name(recipe.structure)
    image_path = folder / "data" / f"{stack.name}.ome.tif"
    mask_path = folder / "data" / f"{stack.name}_{structure}.ome.tif"
    record = folder / "data" / f"{stack.name}.prepared.json"
    settings = recipe.model_dump(
        mode="json", include={"foreground", "threshold", "registration", "unmixing", "droplet_model"}
    )
    key = sha256_of_json({"files": [sha256_of_path(path) for path in stack.files], **settings, "structure": structure})
    if record.exists() and image_path.exists() and mask_path.exists():
        content = unseal(record)
        if content.pop("key") == key:
            return PreparedStack(**content)
    image = stack.open()
    size = image.require_voxel_size()
    laid, words = _laid(image.frame(0), size, recipe.registration)
    image = Volume.from_array(
        laid, quantity="intensity", channel_names=COLOURS, voxel_size_um=size, origin=image.origin
    )
    yellow, red, green = laid
    droplets = _droplets(image, recipe.droplet_model, size)
    light, share = unmixed(green, yellow, recipe.unmixing, removed=droplets)
    mask = foreground_of(light, size, recipe)
    image_path.parent.mkdir(parents=True, exist_ok=True)
    about = {"voxel_size_um": size, "origin": dict(image.origin)}
    both = Volume.from_array(np.stack([yellow, red]), quantity="intensity", channel_names=("yellow", "red"), **about)
    write_volume(image_path, both)
    write_volume(mask_path, Volume.from_array(mask.astype(np.uint8), quantity="labels", **about))
    _draw(light, mask, structure, size, folder / "pictures" / f"{stack.name}.png", stack.name)
    result = PreparedStack(
        stack.name,
        round(share, 4),
        round(float(mask.mean()), 6),
        len(mask),
        int(mask.any(axis=(1, 2)).sum()),
        0.0 if droplets is None else round(float(droplets.mean()), 6),
        words,
    )
    write_atomic(record, seal({"key": key, **vars(result)}))
    return result


def foreground_of(light: NDArray[np.float32], voxel_size_um: VoxelSize, recipe: OrganelleRecipe) -> Mask:
    """The mask (Z, Y, X) of what the probe shows in focus, by threshold or by model."""
    if recipe.foreground in THRESHOLDS:
        method: Any = recipe.foreground
        return stain_foreground(light, voxel_size_um[1:], recipe.threshold.model_copy(update={"method": method}))
    model = load_model(recipe.foreground, InferenceSettings())
    return np.asarray(predict_structure(model, ModelInput(light[np.newaxis], voxel_size_um), FOREGROUND) >= INSIDE)


def _laid(channels: NDArray[Any], voxel_size_um: VoxelSize, registration: str) -> tuple[NDArray[Any], str]:
    """Red and green (of yellow, red, green) laid on yellow, and what was done; what a moved one did not see is dark."""
    if registration == "none":
        return channels, ""
    if registration == "auto":
        results = find_registrations(list(channels), 0, voxel_size_um)
        transforms = {index: one.transform for index, one in results.items()}
        problems = {COLOURS[index]: one.problem for index, one in results.items() if not one.is_certain}
    else:
        names = {index: (colour,) for index, colour in enumerate(COLOURS)}
        transforms = stored_transforms(load_registration(Path(registration)), names, 0, (1, 2), voxel_size_um)
        problems = {}
    moved = lay(np.asarray(channels, np.float32), transforms, voxel_size_um)
    for channel in moved:
        channel[np.isnan(channel)] = np.nanpercentile(channel, DARK_PERCENT)
    shifts = {COLOURS[i]: " ".join(f"{part:+.3f}" for part in one.translation_um) for i, one in transforms.items()}
    return moved, "; ".join(f"{name}: {problems.get(name, shift)}" for name, shift in shifts.items())


def _droplets(image: Volume, model_name: str, voxel_size_um: VoxelSize) -> Mask | None:
    """Where a model finds droplets in intensity and ratio."""
    if not model_name:
        return None
    seen = channels_of(image, DERIVED_CHANNELS).frame(0).astype(np.float32)
    model = load_model(model_name, InferenceSettings())
    return np.asarray(predict_structure(model, ModelInput(seen, voxel_size_um), DROPLET) >= INSIDE)


def _draw(light: NDArray[np.float32], mask: Mask, structure: str, size: VoxelSize, path: Path, title: str) -> None:
    from tomocyte.figures import overview

    path.parent.mkdir(parents=True, exist_ok=True)
    labels = {structure: mask.astype(np.uint8)}
    write_atomic(path, overview(light, labels, size, unit="", quantity="intensity", title=title))


def _write_table(prepared: Sequence[PreparedStack], path: Path) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(PreparedStack.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(vars, prepared))
    write_atomic(path, stream.getvalue().encode("utf-8"))
