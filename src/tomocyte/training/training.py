"""One training: from labelled images to a checked model package in a run folder.

The steps are in :func:`train_network`; scoring and calibration follow in :func:`tomocyte.comparison.train`. The model
card of a finished training is filled in :func:`card_of`.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.ledger.atomic import write_atomic
from tomocyte.modalities import modality
from tomocyte.models import ModelCard, save_package
from tomocyte.models.card import NetworkChoice
from tomocyte.networks import find_network
from tomocyte.progress import Callback, silent
from tomocyte.training.checkpoint import Tensors
from tomocyte.training.core_depth import with_core_depth
from tomocyte.training.data.cell_samples import CellSamples, make_samples
from tomocyte.training.data.patches import is_object
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import output_names
from tomocyte.training.distributed import Processes
from tomocyte.training.loop import Trainer, TrainingResult
from tomocyte.training.recipe import Recipe
from tomocyte.training.run_folder import RunFolder
from tomocyte.training.scaled_reference import with_scaled_frame
from tomocyte.volume import Volume

SELFTEST_SIDE = 64
SELFTEST_DEPTH = 16
VOXEL_SIZE_RANGE = (0.1, 1.5)
"""Finer voxels are averaged to the network's size; much coarser ones lack the detail, unless they were learned from."""
SCALED_VOXEL_SIZE_RANGE = (0.1, 10.0)
"""The same for networks of a scaled frame, which see every volume at one shape."""
VALIDATION = "validation (seen while training)"
"""Name of the validation scores on a card."""
CELL_CHANNELS = ("membrane", "nucleus", "other_nuclei")
NOT_OPTIONS = {"n_inputs", "n_outputs"}


@dataclass(frozen=True)
class LabelledData:
    """What a training may see.

    Parameters
    ----------
    train, validation : list of LabelledItem
        Validation may be empty: no scores, no early stopping.
    """

    train: list[LabelledItem]
    validation: list[LabelledItem]


def train_network(
    recipe: Recipe,
    data: LabelledData,
    *,
    folder: Path,
    device: str = "cpu",
    initial: Tensors | None = None,
    restarts: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Train one network, or resume an interrupted training; without scoring and calibration afterwards.

    Parameters
    ----------
    recipe : Recipe
    data : LabelledData
    folder : Path
        The run folder; the same call resumes from its last checkpoint, a finished training is returned as it is.
    device : str
        ``cpu`` or ``cuda[:n]``.
    initial : dict of str to Tensor, optional
        Weights to begin with, e.g. of a model that ships.
    restarts : bool
        Whether to start again from the beginning; the model of an earlier training is renamed, never deleted.
    callback : callable
        Receives an event of the step ``train`` after each step, and one of the step ``epoch`` after each epoch.

    Returns
    -------
    dict
        ``history``, ``best``, ``n_skipped_steps``, ``notes``, ``weights_sha256``, ``n_train``, ``n_validation``.

    Raises
    ------
    SettingsError, InputError, OutputError
        Coded, with a cure: unfit recipe or data, damaged checkpoints, a folder that is locked, foreign or full.
    """
    n_axes = find_network(recipe.network.name).dimensions
    _check(recipe, data, n_axes)
    recipe = with_scaled_frame(with_core_depth(recipe, data.train), data.train)
    processes = Processes.from_environment(device)
    samples = make_samples(data.train, recipe.data, n_axes=n_axes)
    validation = make_samples(data.validation, recipe.data, n_axes=n_axes) if data.validation else None
    check_values(samples)
    check_positives(samples, may_lack=initial is not None and recipe.loss.activation == "sigmoid")
    if not processes.is_first:
        processes.wait()
        trainer = Trainer(recipe, samples, validation=validation, folder=folder, processes=processes)
        return {"history": _started(trainer, initial).run().history}
    with RunFolder(folder, recipe) as run:
        earlier = run.restart() if restarts else None
        finished = run.result()
        if finished is not None and processes.n_processes == 1:
            return finished
        run.begin(data.train, data.validation)
        processes.wait()
        trainer = Trainer(
            recipe,
            samples,
            validation=validation,
            folder=folder,
            processes=processes,
            callback=callback,
            log=run.logger(),
        )
        outcome = _started(trainer, initial).run()
        _check_that_it_learned(outcome)
        card = card_of(recipe, samples, outcome)
        image = selftest_image(samples, trainer)
        saved = save_package(folder / "model", outcome.weights, card, image, is_overwriting=True)
        write_curves(folder, outcome.history)
        content = {
            "history": outcome.history,
            "best": outcome.best,
            "n_skipped_steps": outcome.n_skipped_steps,
            "notes": outcome.notes,
            "weights_sha256": saved.weights_sha256,
            "n_train": len(samples),
            "n_validation": len(validation) if validation else 0,
            "precision": trainer.precision,
            "n_processes": processes.n_processes,
            "core_depth_um": recipe.data.core_depth_um if recipe.data.targets == "mask-and-core" else None,
        }
        run.finish(content)
        kept = [] if earlier is None else [f"the model of the earlier training is now {earlier}."]
        return {**content, "notes": [*kept, *outcome.notes]}


def _started(trainer: Trainer, initial: Tensors | None) -> Trainer:
    if initial is not None:
        trainer.start_from(initial)
    return trainer


def _check(recipe: Recipe, data: LabelledData, n_axes: int) -> None:
    kind = modality(recipe.data.modality)
    if set(recipe.network.options) & NOT_OPTIONS:
        raise SettingsError("E-RECIPE", "n_inputs and n_outputs follow from the data.", cure="Leave them out.")
    patch = recipe.data.patch_shape
    if patch is not None and len(patch) != n_axes:
        raise SettingsError(
            "E-RECIPE", f"a {n_axes}-D network needs a patch_shape of {n_axes} sizes, not {patch}.", cure="Correct it."
        )
    if recipe.data.fixed_frame is not None and n_axes != 3:
        raise SettingsError("E-RECIPE", "data.fixed_frame is for 3-D networks.", cure="Leave it out.")
    if recipe.data.scaled_frame is not None and (n_axes != 3 or recipe.loss.activation != "softmax"):
        raise SettingsError(
            "E-RECIPE",
            "data.scaled_frame is for 3-D networks with a softmax loss.",
            cure="Leave it out, or set loss.kind to cross-entropy.",
        )
    if n_axes == 3 and patch is None:
        raise SettingsError("E-RECIPE", "a 3-D network needs data.patch_shape.", cure="For example [32, 96, 96].")
    if recipe.loop.select == "best" and not data.validation:
        raise SettingsError("E-RECIPE", "`select: best` needs validation data.", cure="Give some, or select: last.")
    if not data.train:
        raise InputError("E-NO-DATA", f"no labelled image of {kind.name} to train on.", cure="Give labelled images.")
    _check_sparse(recipe, data, n_axes)


def _check_sparse(recipe: Recipe, data: LabelledData, n_axes: int) -> None:
    is_sparse = any(item.are_empty_slices_unlabelled for item in data.train)
    if n_axes == 3 and is_sparse and recipe.data.targets == "mask-and-core":
        raise SettingsError(
            "E-RECIPE",
            "how deep voxels lie in their objects is not known from single slices, and a 3-D network learns cores.",
            cure="Fill the slices between with `tomocyte propagate`, or --set data.targets=masks.",
        )
    if recipe.data.weights == "certainty" and not any(item.uncertainty for item in data.train):
        raise InputError(
            "E-UNCERTAINTY-MAP",
            "data.weights is certainty, and no label image has a map of uncertainty.",
            path=data.train[0].image,
            cure="Put NAME_STRUCTURE_uncertainty beside NAME_STRUCTURE, as `tomocyte propagate --uncertainty-map` "
            "writes it, or --set data.weights=equal.",
        )


def check_values(samples: Samples) -> None:
    """Refuse images whose values cannot be what the modality measures (RI times 10,000, 8-bit pictures).

    Raises
    ------
    ModalityError
        ``E-MODALITY-RANGE``, naming the file.
    """
    kind = modality(samples.settings.modality)
    for item in range(len(samples.items)):
        image, _ = samples.volume(item)
        middle = image.spatial_shape[0] // 2
        kind.check_values(image.planes(0, 0, middle, middle + 1)[np.newaxis], image)


def check_positives(samples: Samples, *, may_lack: bool = False) -> None:
    """Refuse training samples in which a structure never appears.

    With ``may_lack``, for weights that were trained before, a structure may have no label image at all: its output
    gives no loss.

    Raises
    ------
    InputError
        ``E-CLASS-MISSING``.
    """
    missing = set(samples.settings.structures)
    if may_lack:
        missing &= {name for item in samples.items for name in item.labels}
    for item in range(len(samples.items)):
        image, labels = samples.volume(item)
        for name in list(missing):
            volume = labels[name]
            ignored = samples.items[item].ignore_label
            frames = () if volume is None else range(image.n_frames)
            if volume is not None and any(is_object(volume.planes(frame, 0), ignored).any() for frame in frames):
                missing.discard(name)
        if not missing:
            return
    raise InputError(
        "E-CLASS-MISSING",
        f"no training image shows {', '.join(sorted(missing))}.",
        path=samples.items[0].image,
        cure="Label at least one, or leave the structure out of data.structures.",
    )


def card_of(recipe: Recipe, samples: Samples, outcome: TrainingResult) -> ModelCard:
    """The model card of a finished training; figures on held-out data are the experiment's to add."""
    image, _ = samples.volume(0)
    n_axes = samples.n_axes
    size = samples.pixel_size_um(0) if recipe.data.scaled_frame is None else image.require_voxel_size()
    softmax = recipe.loss.activation == "softmax"
    shape = recipe.data.patch_shape or tuple(
        min(4096, -(-length // 16) * 16) for length in samples.whole(0)[0].shape[1:]
    )
    simulated = [samples.volume(i)[0].is_simulated for i in range(len(samples.items))]
    names = sorted({item.name.rsplit("-", 1)[0] for item in samples.items})
    validation = outcome.history[-1].get("validation", {}) if outcome.history else {}
    return ModelCard(
        name=recipe.name.lower(),
        description=recipe.description,
        paper=recipe.paper,
        modality=recipe.data.modality,
        dimensions=2 if n_axes == 2 else 3,
        structures=("background",) * softmax + output_names(recipe.data),
        activation="softmax" if softmax else "sigmoid",
        network=NetworkChoice(
            name=recipe.network.name,
            options={
                **recipe.network.options,
                "n_inputs": samples.n_channels,
                "n_outputs": len(output_names(recipe.data)) + softmax,
            },
        ),
        voxel_size_um=(None, *size) if n_axes == 2 else size,  # type: ignore[arg-type]
        section_axis="z" if n_axes == 2 and image.spatial_shape[0] > 1 else None,
        tile_shape=shape,
        fixed_frame=recipe.data.fixed_frame,
        scaled_frame=recipe.data.scaled_frame,
        is_trained_on_simulated=any(simulated),
        training_data=(
            f"{len(samples)} {_sample_noun(samples)} of {len(samples.items)} "
            f"{'simulated ' if all(simulated) else ''}images{_labels_of(samples)}: {', '.join(names)[:1500]}"
        ),
        date=datetime.now(tz=UTC).date(),
        figures={VALIDATION: validation} if validation else {},
        limits=recipe.limits,
        recipe=recipe.model_dump(mode="json"),
        **_input_of(recipe, samples),
    )


def _labels_of(samples: Samples) -> str:
    """What is not plain about the labels, for the card."""
    parts = []
    if any(item.are_empty_slices_unlabelled for item in samples.items):
        parts.append("only painted slices")
    n_maps = sum(bool(item.uncertainty) for item in samples.items)
    if n_maps:
        parts.append(f"labels of {n_maps} weighted by 1 - uncertainty")
    return f" ({', '.join(parts)})" if parts else ""


def _sample_noun(samples: Samples) -> str:
    """Noun for the samples on the card."""
    if isinstance(samples, CellSamples):
        return "cells"
    return "sections" if samples.n_axes == 2 else "volumes"


def _input_of(recipe: Recipe, samples: Samples) -> dict[str, Any]:
    """The network's input on a card: an image of the modality, or the masks by which touching cells are separated."""
    kind = modality(recipe.data.modality)
    if isinstance(samples, CellSamples):
        return {
            "role": "cell-by-cell",
            "quantity": "mask",
            "channels": CELL_CHANNELS,
            "voxel_size_range": (0.01, 100.0),
            "value_range": (0.0, 1.0),
        }
    image, _ = samples.volume(0)
    return {
        "quantity": image.quantity or kind.quantity,
        "channels": _channel_names(() if recipe.data.channels else kind.channels, image),
        "normalization": recipe.data.normalization,
        "voxel_size_range": voxel_size_range(recipe, samples),
        "value_range": value_range(samples) if recipe.data.scaled_frame is None else kind.plausible_range,
    }


def _channel_names(usual: tuple[str, ...], image: Volume) -> tuple[str, ...]:
    """The channels of a network as a card names them: the modality's own, or the images' where these have more."""
    if image.n_channels <= len(usual):
        return usual[: image.n_channels]
    names = [re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40] for name in image.channels]
    names = [name if re.match("[A-Za-z]", name) else f"channel_{name}"[:40] for name in names]
    return tuple(names) if len(set(names)) == len(names) else tuple(f"channel_{i}" for i in range(len(names)))


def voxel_size_range(recipe: Recipe, samples: Samples) -> tuple[float, float]:
    """How far an image's voxel size may be from that on the card, as factors; what was learned from always fits."""
    if recipe.data.scaled_frame is not None:
        return SCALED_VOXEL_SIZE_RANGE
    low, high = VOXEL_SIZE_RANGE
    for item in range(len(samples.items)):
        stored = samples.volume(item)[0].require_voxel_size()
        for size, own in zip(stored, recipe.data.voxel_size_um or stored, strict=True):
            if own is not None and math.isfinite(size):
                low, high = min(low, size / own), max(high, size / own)
    return low, high


def value_range(samples: Samples) -> tuple[float, float]:
    """Physical values a volume may have to fit the model: those of the training images, half their width wider."""
    lows, highs = [], []
    for item in range(len(samples.items)):
        volume, _ = samples.volume(item)
        plane = volume.planes(0, 0, volume.spatial_shape[0] // 2, volume.spatial_shape[0] // 2 + 1)
        low, high = np.percentile(plane[np.isfinite(plane)], (1, 99))
        lows.append(low)
        highs.append(high)
    low, high = float(min(lows)), float(max(highs))
    margin = 0.5 * max(high - low, 1e-9 * max(abs(low), abs(high), 1.0))
    return low - margin, high + margin


def selftest_image(samples: Samples, trainer: Trainer) -> Any:
    """A small piece of a training sample around an object, as input of the package's self-test."""
    image, target = samples.whole(0)
    divisor: Any = trainer.module.divisor
    side = [SELFTEST_DEPTH, SELFTEST_SIDE, SELFTEST_SIDE][3 - samples.n_axes :]
    shape = [-(-length // unit) * unit for length, unit in zip(side, divisor, strict=True)]
    padding = [(0, 0), *((0, max(0, length - size)) for length, size in zip(shape, image.shape[1:], strict=True))]
    image = np.pad(image, padding, mode="edge")
    inside = np.argwhere((target == 1).any(axis=0))
    centre = inside.mean(axis=0) if len(inside) else np.asarray(image.shape[1:]) / 2
    window = [slice(None)]
    for at, length, size in zip(centre, shape, image.shape[1:], strict=True):
        start = int(np.clip(round(float(at)) - length // 2, 0, size - length))
        window.append(slice(start, start + length))
    return np.ascontiguousarray(image[tuple(window)])


def _check_that_it_learned(outcome: TrainingResult) -> None:
    if outcome.history and all(entry["loss"] is None for entry in outcome.history):
        raise TomocyteError(
            "E-TRAIN-NONFINITE",
            f"all {outcome.n_skipped_steps} steps had gradients that are not finite; the weights are as they were.",
            cure="Check the images, train for more steps, or lower loop.optimiser.learning_rate.",
        )


def write_curves(folder: Path, history: list[dict[str, Any]]) -> None:
    """``curves.csv`` and ``curves.png``: loss and scores of every epoch."""
    from tomocyte.figures.curves import training_figure

    rows = [
        {**{k: v for k, v in entry.items() if k != "validation"}, **entry.get("validation", {})} for entry in history
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / "curves.csv", stream.getvalue().encode("utf-8"))
    if not rows:
        return
    panels = {
        "loss": {"training": [entry.get("loss") or np.nan for entry in rows]},
        "Dice": {"validation": [entry.get("dice", np.nan) for entry in rows]},
    }
    panels = {name: lines for name, lines in panels.items() if np.isfinite(next(iter(lines.values()))).any()}
    if panels:
        write_atomic(folder / "curves.png", training_figure(panels))


def split_items(
    items: list[LabelledItem], share: float, *, seed: int, leaves_out: str | None = None, min_held_out: int = 0
) -> LabelledData:
    """Items for training and validation: by the splits of the data, else a share of the groups drawn with the seed.

    Of a benchmark, ``train`` and ``validation`` are taken and the test splits left alone; items whose name matches
    ``leaves_out`` are in neither. Of two or more groups, ``min_held_out`` are held out at least, unless the share is 0.
    """
    items = [item for item in items if leaves_out is None or not re.search(leaves_out, item.name)]
    if any(item.split for item in items):
        return LabelledData(
            [item for item in items if item.split == "train"], [item for item in items if item.split == "validation"]
        )
    groups = sorted({item.group for item in items})
    n_held = min(max(round(share * len(groups)), min_held_out if share else 0), len(groups) - 1)
    order = np.random.default_rng(seed).permutation(len(groups))
    held = {groups[i] for i in order[:n_held]}
    return LabelledData(
        [item for item in items if item.group not in held], [item for item in items if item.group in held]
    )
