"""Label images of the user's own, imaged by a simulated microscope and written as a data set.

To give voxels their values in another way (from a second image, say), add it to :class:`LabelsPlan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from tomocyte.datasets.files import stem_of
from tomocyte.datasets.orientation import oriented_like
from tomocyte.datasets.writer import write_item, write_json
from tomocyte.errors import InputError, SettingsError
from tomocyte.evaluation.kinds import as_labels
from tomocyte.figures import overview
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.labels.dtypes import refit
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger import Ledger, writing
from tomocyte.ledger.result import RunResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import environment, sha256_of_path
from tomocyte.runs.simulate import make_missing
from tomocyte.settings import Settings, build_settings
from tomocyte.simulation.imaging import microscope, topmost
from tomocyte.simulation.instruments import instrument
from tomocyte.simulation.labelled import LabelledImage, ValuedLabels, image_labels, paint_values
from tomocyte.structures import canonical_name
from tomocyte.volume import Volume, VoxelSize


class LayerPlan(Settings):
    """One structure of the sample."""

    structure: str
    """Its name."""
    path: Path = Field(exclude=True)
    """Label image; its hash is recorded instead."""
    sha256: str
    """Of the file."""
    values: float | dict[int, float]
    """Of all its labels, or of each."""


class LabelsPlan(Settings):
    """One image of a sample made of labels."""

    name: str
    """Of the item and its files."""
    layers: tuple[LayerPlan, ...]
    """Inner structures after outer ones."""
    outside: float
    """Value of voxels without a label."""
    voxel_size_um: VoxelSize
    """z, y, x in µm."""
    axes: str | None = None
    """Of the stored arrays, where the files do not say it."""
    modality: str
    """Kind of microscopy."""
    instrument: str = ""
    """Microscope of that kind; empty for the default one."""
    shift: str = "none"
    """Domain of the degradation."""
    seed: int = Field(ge=0)
    """Of the set."""
    index: int = Field(ge=0)
    """Place in the set."""


def labels_plan(
    labels: Mapping[str, Path],
    values: Mapping[str, float | Mapping[int, float]],
    *,
    outside: float,
    modality: str,
    options: ReadOptions | None = None,
    variant: str = "",
    shift: str = "none",
    n_items: int = 1,
    seed: int = 1,
) -> list[LabelsPlan]:
    """Plan images of label files; they differ in what the microscope suffers.

    Parameters
    ----------
    labels : mapping of str to Path
        Structure and its label image, inner structures after outer ones; all of one shape.
    values : mapping
        Structure -> refractive index or coefficient of all its labels, or of each.
    outside : float
        Of voxels without a label.
    modality, variant, shift
        As in :func:`tomocyte.simulation.labelled.image_labels`.
    options : ReadOptions, optional
        Voxel size and axes replace what the files say.
    n_items, seed : int

    Raises
    ------
    SettingsError
        ``E-SIM-VALUES``: a structure without a value or the reverse, a label without a value; ``E-SHAPE``,
        ``E-INSTRUMENT``, ``E-SHIFT``, ``E-OPTICS-…``: what cannot be imaged.
    InputError
        A file cannot be read; ``E-LABELS-TYPE``, ``E-SIM-LABELS``.
    MetadataError
        ``E-VOXEL-SIZE``: no file has one, and none is given.
    """
    options = options or ReadOptions()
    layers = layers_of(labels, values)
    size = read_volume(layers[0].path, options).require_voxel_size()
    kind = instrument(modality)
    kind.ranges_of(shift)
    kind.check(microscope(modality, variant), outside, size)
    paint_values(read_sample(layers, options), outside)
    stem = f"{modality}-{stem_of(layers[0].path)}-seed{seed}"
    common = {"layers": layers, "outside": outside, "voxel_size_um": size, "axes": options.axes, "modality": modality}
    common |= {"instrument": variant, "shift": shift, "seed": seed}
    return [
        build_settings(LabelsPlan, {**common, "name": f"{stem}-{index:05d}", "index": index})
        for index in range(n_items)
    ]


def layers_of(labels: Mapping[str, Path], values: Mapping[str, float | Mapping[int, float]]) -> tuple[LayerPlan, ...]:
    """Files and their values, by structure.

    Raises
    ------
    SettingsError
        ``E-SIM-VALUES``: a structure without a value or the reverse.
    InputError
        A file is not there.
    """
    named = {canonical_name(name): value for name, value in values.items()}
    files = {canonical_name(name): path for name, path in labels.items()}
    if set(named) != set(files) or not files:
        raise SettingsError(
            "E-SIM-VALUES",
            f"labels are given of {', '.join(files) or 'nothing'}, values of {', '.join(named) or 'nothing'}.",
            cure="Give --labels NAME=FILE and --value NAME=NUMBER for each structure.",
        )
    return tuple(
        LayerPlan(structure=name, path=path, sha256=sha256_of_path(path), values=_plain(named[name]))
        for name, path in files.items()
    )


def write_labelled_images(
    plans: Sequence[LabelsPlan], output: Path, *, n_workers: int = 1, callback: Callback = silent
) -> RunResult:
    """Make every image that is not there yet: ``items/<item>/`` with the volume, its labels and how it was made.

    Parameters
    ----------
    plans : sequence of LabelsPlan
    output : Path
        Made if missing.
    n_workers : int
    callback : callable

    Raises
    ------
    OutputError
        The folder is locked, foreign, read-only or full.
    """
    result = RunResult()
    with Ledger(output, "simulate") as ledger:
        requests = {plan.name: plan.model_dump(mode="json") for plan in plans}
        paths = {plan.name: {"paths": [str(layer.path) for layer in plan.layers]} for plan in plans}
        make_missing(ledger, requests, make_labelled_image, result, extra=paths, n_workers=n_workers, callback=callback)
        card = {
            "is_simulated": True,
            "made_by": environment(),
            "items": [requests[name] for name in sorted(requests)],
            "failed": [failure.item for failure in result.failures],
        }
        ledger.publish("card.json", partial(_write_card, card=card))
        for name, kept in ledger.kept:
            result.notes.append(f"{name} was changed or added by somebody; that file is now {kept}.")
    return result


def make_labelled_image(task: dict[str, Any], callback: Callback) -> dict[str, Any]:
    """Image one plan and write its files; runs in a worker process.

    Parameters
    ----------
    task : dict
        ``item``, ``staged`` (an empty folder), ``request`` (the plan without paths) and ``paths``.
    callback : callable
        Receives progress events.

    Returns
    -------
    dict
        ``n_rows`` (0: there is no table of truth) and ``facts``.
    """
    request = task["request"]
    layers = [{**layer, "path": path} for layer, path in zip(request["layers"], task["paths"], strict=True)]
    plan = build_settings(LabelsPlan, {**request, "layers": layers})
    callback(Progress(step="simulate", frame=0, n_frames=1))
    sample = read_sample(plan.layers, ReadOptions(voxel_size_um=plan.voxel_size_um, axes=plan.axes))
    image = image_labels(
        sample,
        plan.outside,
        voxel_size_um=plan.voxel_size_um,
        modality=plan.modality,
        variant=plan.instrument,
        shift=plan.shift,
        seed=plan.seed,
        index=plan.index,
    )
    staged = Path(task["staged"])
    volume = _volume(plan, image)
    is_planar = image.channels.shape[1:] != image.values.shape
    labels = {layer.structure: refit(topmost(layer.labels) if is_planar else layer.labels) for layer in sample}
    with writing(staged):
        write_item(staged, plan.name, volume, _stacks(labels), card=dict(volume.metadata))
        picture = overview(
            image.channels[0],
            labels,
            volume.require_voxel_size(),
            unit=volume.unit,
            quantity=volume.quantity or "",
            title="simulated",
        )
        (staged / "overview.png").write_bytes(picture)
    return {"n_rows": 0, "facts": {"n_frames": 1}}


def read_sample(layers: Sequence[LayerPlan], options: ReadOptions) -> list[ValuedLabels]:
    """Every layer's labels, with their axes in the directions of the first's.

    Raises
    ------
    InputError
        A file cannot be read; ``E-LABELS-TYPE``; ``E-SIM-LABELS``: several frames or channels.
    """
    first = read_volume(layers[0].path, options)
    sample = []
    for layer in layers:
        volume = oriented_like(read_volume(layer.path, options), first)
        if volume.n_frames > 1 or volume.n_channels > 1:
            raise InputError(
                "E-SIM-LABELS",
                f"contains {volume.n_frames} frames and {volume.n_channels} channels; one of each can be imaged.",
                path=layer.path,
                cure="Save one frame of one channel as its own file.",
            )
        labels = as_labels(volume.planes(0, 0), name=layer.path.name)
        sample.append(ValuedLabels(layer.structure, labels, layer.values))
    return sample


def _stacks(labels: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, LabelStack]]:
    for structure, frame in labels.items():
        stack = LabelStack((frame.shape[0], frame.shape[1], frame.shape[2]))
        stack.append(frame)
        yield structure, stack


def _volume(plan: LabelsPlan, image: LabelledImage) -> Volume:
    kind = instrument(plan.modality)
    is_ri = kind.quantity == "refractive_index"
    recorded = ("voxel_size_um", "quantity", "unit", "instrument", *(("medium_ri",) if is_ri else ()))
    size = plan.voxel_size_um if kind.n_planes is None else (float("nan"), *plan.voxel_size_um[1:])
    return Volume.from_array(
        image.channels[None],
        voxel_size_um=size,
        quantity=kind.quantity,
        unit=kind.unit,
        channel_names=kind.channels,
        medium_ri=plan.outside if is_ri else None,
        instrument=image.optics.instrument.name,
        origin=dict.fromkeys(recorded, "simulated"),
        metadata={
            "name": plan.name,
            "is_simulated": True,
            "settings": plan.model_dump(mode="json"),
            **kind.metadata(image.optics),
        },
    )


def _plain(values: float | Mapping[int, float]) -> float | dict[int, float]:
    return dict(values) if isinstance(values, Mapping) else float(values)


def _write_card(path: Path, *, card: Mapping[str, Any]) -> None:
    write_json(path, card)
