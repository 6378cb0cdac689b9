"""Sparse labels in a file, dense labels in another: read, propagated, written whole, with a record of how.

What a method does stands in ``propagation/``; here is what a file needs around it. To write another result, add its
field to :class:`Outputs` and write it in :func:`propagate_file`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import ReadOptions, formats, read_volume
from tomocyte.labels.dtypes import refit
from tomocyte.ledger.atomic import write_atomic, writing
from tomocyte.progress import silent
from tomocyte.propagation import (
    AXES,
    Axis,
    DenseLabels,
    SelfTest,
    check_known_is_used,
    default_method,
    labelled_slices,
    method_of,
    propagate,
)
from tomocyte.propagation.finishing import FinishingSettings, finish_labels
from tomocyte.propagation.next_slice import ErrorProfile, profile_errors
from tomocyte.provenance import environment, now_utc, sha256_of_path
from tomocyte.runs.convert import refuse_existing, write_whole_volume
from tomocyte.runs.next_slices import PropagatedVolume, Suggestion, points_csv, profile_content, suggestions
from tomocyte.settings import Settings, build_settings
from tomocyte.volume import Volume, VoxelSize


class PropagateSettings(Settings):
    """How the labels of a file are propagated."""

    method: str | None = None
    """One of ``tomocyte.propagation.methods()``; when not given, the one that follows the image where there is one, and
    shape alone where there is none."""
    method_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method; what is not given keeps its default."""
    axis: Axis = "z"
    """Axis along which slices were labelled."""
    slices: tuple[int, ...] | None = None
    """The labelled slices, from 0; when not given, those that hold any label, or, with ``unlabelled``, those without a
    voxel of that value."""
    other_slices: dict[Axis, tuple[int, ...]] = Field(default_factory=dict)
    """Slices that are labelled along other axes; ``slices`` are then to be given, too."""
    unlabelled: int | None = Field(default=None, ge=0)
    """The value of voxels that are not labelled; all others are known, 0 as background."""
    finishing: FinishingSettings = FinishingSettings()
    """What is done to labels once they are propagated."""
    is_map_written: bool = False
    """Whether the uncertainty of every voxel is written, too."""
    n_next: int = Field(default=0, ge=0)
    """Slices to label next that are named and written as points."""


@dataclass(frozen=True)
class Outputs:
    """What is written."""

    labels: Path
    record: Path
    uncertainty: Path | None
    next_slices: Path | None


@dataclass(frozen=True)
class PropagationPlan:
    """What will be done with a file, or was.

    Parameters
    ----------
    shape : tuple of 3 int
        Z, Y, X.
    voxel_size_um : tuple of 3 float
        Z, y, x in µm.
    slices : tuple of int
        The labelled slices.
    largest_gap : int
        Most slices between two labelled ones.
    n_labels : int
        Labels on the labelled slices.
    n_beyond : int
        Slices before the first and after the last labelled one.
    n_known : int
        Voxels that are known beside the labelled slices.
    method : str
    method_settings : Settings
    outputs : Outputs
    n_refilled : tuple of 2 int, optional
        With an earlier result: slabs that were filled again, and all.
    test : SelfTest, optional
        How well slices that were left out were predicted; of methods that test themselves, once they have run.
    notes : tuple of str
        What is to be known about where labels and image lie.
    suggested : tuple of Suggestion
        The slices to label next, once the method has run.
    """

    shape: tuple[int, int, int]
    voxel_size_um: VoxelSize
    slices: tuple[int, ...]
    largest_gap: int
    n_labels: int
    n_beyond: int
    n_known: int
    method: str
    method_settings: Settings
    outputs: Outputs
    n_refilled: tuple[int, int] | None = None
    test: SelfTest | None = None
    notes: tuple[str, ...] = ()
    suggested: tuple[Suggestion, ...] = ()


def propagate_file(
    labels: Path,
    output: Path,
    settings: PropagateSettings,
    *,
    image: Path | None = None,
    previous: Path | None = None,
    options: ReadOptions | None = None,
    is_dry_run: bool = False,
    callback: Callable[[int, int], None] = silent,
) -> PropagationPlan:
    """Propagate the labels of a file to all its slices and write the result beside a record of how.

    Parameters
    ----------
    labels : Path
        A label image of one frame and one channel; it is not changed.
    output : Path
        File to write; its ending chooses the format.
    settings : PropagateSettings
    image : Path, optional
        The image that was labelled, for methods that follow it.
    previous : Path, optional
        What this function wrote before some labels changed, with its record beside it: only what the changed labels
        concern is filled again. Method, settings, axis and image must be the same.
    options : ReadOptions, optional
        What the user says about the label image.
    is_dry_run : bool
        Whether everything is checked and nothing computed or written.
    callback : callable
        Called with the number of slices done and of all.

    Raises
    ------
    InputError
        A file cannot be read; ``E-PROPAGATION-AXES``: more than one frame or channel; ``E-LABELS-TYPE``;
        ``E-PROPAGATION-UNLABELLED``: no voxel has the value of unlabelled ones, or a labelled slice has some;
        ``E-PROPAGATION-PREVIOUS``: an earlier result that does not fit or lacks its record.
    MetadataError
        ``E-ORIENTATION``: image and labels are rotated against each other.
    SettingsError
        As :func:`tomocyte.propagation.propagate`.
    OutputError
        ``E-EXISTS``: something of that name exists.
    """
    outputs = _outputs_of(output, settings)
    refuse_existing(*(path for path in astuple(outputs) if path is not None))
    method = settings.method or default_method(has_image=image is not None)
    method_settings = build_settings(method_of(method).settings, settings.method_settings)
    _check_uncertainty(settings, method_settings)
    volume = read_volume(labels, options)
    sparse = refit(_only_frame(volume))
    slices, known = _known(sparse, settings)
    plan = _plan(volume, sparse, known, slices, settings, method, method_settings, outputs)
    if plan.n_known:
        check_known_is_used(method_of(method))
    pixels = None
    if image is not None:
        pixel_volume = read_volume(image, is_size_required=False)
        turned = oriented_like(pixel_volume, volume)
        plan = replace(plan, notes=turned.notes[len(pixel_volume.notes) :])
        pixels = _only_frame(turned)
    earlier = (
        None
        if previous is None
        else _earlier(previous, image, is_map_read=settings.is_map_written or settings.n_next > 0)
    )
    if is_dry_run:
        return plan
    dense = propagate(
        sparse,
        voxel_size_um=plan.voxel_size_um,
        slices=plan.slices,
        image=pixels,
        known=known,
        axis=settings.axis,
        method=plan.method,
        settings=method_settings,
        previous=earlier,
        callback=callback,
    )
    if settings.finishing != FinishingSettings():
        is_given = np.zeros(sparse.shape, bool) if known is None else known.copy()
        np.moveaxis(is_given, AXES.index(settings.axis), 0)[list(plan.slices)] = True
        dense = replace(dense, labels=finish_labels(dense.labels, is_given, settings.finishing))
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    same = {name: getattr(volume, name) for name in ("voxel_size_um", "origin", "affine", "affine_unit")}
    plan = replace(plan, test=dense.test, n_refilled=None if earlier is None else _n_refilled(earlier, dense))
    profile = (
        None if np.isnan(dense.uncertainty.sum(dtype=np.float64)) else profile_errors(dense, plan.slices, settings.axis)
    )
    if outputs.next_slices is not None and profile is not None:
        named = PropagatedVolume(labels.name, settings.axis, profile, is_measured=dense.test is not None)
        plan = replace(plan, suggested=tuple(suggestions([named], settings.n_next)))
        write_atomic(outputs.next_slices, points_csv(plan.suggested))
    if outputs.uncertainty is not None:
        uncertainty = Volume.from_array(dense.uncertainty, quantity="uncertainty", unit="1", **same)
        write_whole_volume(outputs.uncertainty, uncertainty)
    write_atomic(outputs.record, _record(labels, image, plan, settings, dense, profile))
    about = {"quantity": "labels", "unit": "1", "label_names": volume.label_names}
    write_whole_volume(outputs.labels, Volume.from_array(dense.labels, **about, **same))
    return plan


def _check_uncertainty(settings: PropagateSettings, method_settings: Settings) -> None:
    options = {"--uncertainty-map": settings.is_map_written, "--next": settings.n_next > 0}
    asked = [option for option, is_given in options.items() if is_given]
    if asked and not getattr(method_settings, "is_uncertainty_measured", True):
        raise SettingsError(
            "E-PROPAGATION-SETTINGS",
            "the uncertainty is asked for, and is_uncertainty_measured=false leaves it out.",
            cure=f"Leave {' and '.join(asked)} or --set is_uncertainty_measured=false out.",
        )


def _only_frame(volume: Volume) -> NDArray[Any]:
    if volume.n_frames > 1 or volume.n_channels > 1:
        raise InputError(
            "E-PROPAGATION-AXES",
            f"contains {volume.n_frames} frames and {volume.n_channels} channels; one of each can be propagated.",
            path=volume.path,
            cure="Save one frame of one channel as its own file.",
        )
    return volume.planes(0, 0)


def _known(sparse: NDArray[Any], settings: PropagateSettings) -> tuple[tuple[int, ...], NDArray[np.bool_] | None]:
    """The labelled slices along the axis, and which voxels are known, where labels stand beside these slices, too."""
    named = {settings.axis: settings.slices or (), **settings.other_slices}
    _check_other_slices(sparse.shape, settings)
    if settings.unlabelled is None:
        slices = labelled_slices(sparse, settings.axis) if settings.slices is None else settings.slices
        if not settings.other_slices:
            return tuple(sorted(set(slices))), None
        known = np.zeros(sparse.shape, bool)
        for axis, others in settings.other_slices.items():
            np.moveaxis(known, AXES.index(axis), 0)[list(others)] = True
        return tuple(sorted(set(slices))), known
    known = sparse != settings.unlabelled
    if known.all():
        problem = f"no voxel has the value {settings.unlabelled} that means not labelled: all are labelled."
        raise InputError("E-PROPAGATION-UNLABELLED", problem, cure="Check --unlabelled; leave it out for slices.")
    whole = {axis: _whole_slices(known, axis) for axis in named}
    for axis, slices in named.items():
        partly = [index for index in slices if index not in whole[axis]]
        if partly and 0 <= partly[0] < sparse.shape[AXES.index(axis)]:
            problem = f"slice {axis}={partly[0]} has voxels of the value {settings.unlabelled}, which are not labelled."
            cure = "Name wholly labelled slices only; what is known on others is used all the same."
            raise InputError("E-PROPAGATION-UNLABELLED", problem, cure=cure)
    slices = whole[settings.axis] if settings.slices is None else settings.slices
    if not slices:
        problem = f"no slice along {settings.axis} is wholly labelled: all have voxels of {settings.unlabelled}."
        cure = "Label one slice wholly; where it lies along another axis, name that with --axis."
        raise SettingsError("E-PROPAGATION-SLICES", problem, cure=cure)
    return tuple(sorted(set(slices))), known


def _whole_slices(known: NDArray[np.bool_], axis: Axis) -> tuple[int, ...]:
    others = tuple(index for index, name in enumerate(AXES) if name != axis)
    return tuple(np.flatnonzero(known.all(axis=others)).tolist())


def _check_other_slices(shape: tuple[int, ...], settings: PropagateSettings) -> None:
    axis, others = settings.axis, settings.other_slices
    if others and settings.slices is None and settings.unlabelled is None:
        first = next(iter(others))
        problem = f"slices along {first} are named, and none along {axis}."
        cure = f"Name these, too, as in {axis}=0:261:20,{first}=100, or let the main axis be --axis {first}."
        raise SettingsError("E-PROPAGATION-SLICES", problem, cure=cure)
    for name, slices in others.items():
        size = shape[AXES.index(name)]
        if any(not 0 <= index < size for index in slices):
            problem = f"slices {name}={min(slices)} to {max(slices)} are not within 0 to {size - 1}."
            raise SettingsError("E-PROPAGATION-SLICES", problem, cure="Count slices from 0; check the axis.")


def _plan(
    volume: Volume,
    sparse: NDArray[Any],
    known: NDArray[np.bool_] | None,
    slices: tuple[int, ...],
    settings: PropagateSettings,
    method: str,
    method_settings: Settings,
    outputs: Outputs,
) -> PropagationPlan:
    along = np.moveaxis(sparse, "zyx".index(settings.axis), 0)
    within = [index for index in slices if 0 <= index < len(along)]
    parts = [np.unique(along[index]) for index in within]
    n_known = 0
    if known is not None:
        beside = np.moveaxis(known, "zyx".index(settings.axis), 0).copy()
        beside[within] = False
        n_known = int(np.count_nonzero(beside))
        parts.append(np.unique(along[beside]))
    numbers = np.unique(np.concatenate(parts)) if parts else np.zeros(0)
    return PropagationPlan(
        shape=volume.spatial_shape,
        voxel_size_um=volume.require_voxel_size(),
        slices=slices,
        largest_gap=max((last - first - 1 for first, last in pairwise(slices)), default=0),
        n_labels=int(np.count_nonzero(numbers)),
        n_beyond=slices[0] + len(along) - 1 - slices[-1] if slices else len(along),
        n_known=n_known,
        method=method,
        method_settings=method_settings,
        outputs=outputs,
    )


def _outputs_of(output: Path, settings: PropagateSettings) -> Outputs:
    name = output.name.lower()
    suffixes = [suffix for entry in formats().values() if entry.write for suffix in entry.suffixes]
    suffix = max((suffix for suffix in suffixes if name.endswith(suffix)), key=len, default="")
    if not suffix:
        endings = ", ".join(sorted(suffixes))
        raise InputError(
            "E-FORMAT-WRITE", "files with this ending cannot be written.", path=output, cure=f"Endings: {endings}."
        )
    stem, ending = output.name[: -len(suffix)], output.name[-len(suffix) :]
    return Outputs(
        labels=output,
        record=output.with_name(f"{stem}.propagation.json"),
        uncertainty=output.with_name(f"{stem}_uncertainty{ending}") if settings.is_map_written else None,
        next_slices=output.with_name(f"{stem}_next.csv") if settings.n_next else None,
    )


def _earlier(previous: Path, image: Path | None, *, is_map_read: bool) -> DenseLabels:
    """What was written before; its uncertainty is NaN where it is not asked for."""
    outputs = _outputs_of(previous, PropagateSettings(is_map_written=is_map_read))
    cure = "Give the dense labels that tomocyte propagate wrote, with their files beside them, or leave --update out."
    missing = [path for path in (outputs.labels, outputs.record, outputs.uncertainty) if path and not path.exists()]
    if missing:
        raise InputError("E-PROPAGATION-PREVIOUS", "the earlier result lacks this file.", path=missing[0], cure=cure)
    try:
        record = json.loads(outputs.record.read_text(encoding="utf-8"))
        before, memory, test = record["image"], record["memory"], record["test"]
        self_test = None if test is None else SelfTest(**{**test, "slices": tuple(test["slices"])})
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is not a record of a propagation that can be gone on from ({type(error).__name__}: {error})."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, path=outputs.record, cure=cure) from error
    if image is not None and before is not None and before["sha256"] != sha256_of_path(image):
        problem = "the earlier result was made from another image."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, path=image, cure="Leave --update out.")
    labels = refit(_only_frame(read_volume(previous)))
    uncertainty = np.broadcast_to(np.float32(np.nan), labels.shape)
    if outputs.uncertainty is not None:
        uncertainty = _only_frame(read_volume(outputs.uncertainty))
    return DenseLabels(labels, uncertainty, self_test, memory)


def _n_refilled(earlier: DenseLabels, dense: DenseLabels) -> tuple[int, int]:
    """Slabs that were filled from other labels than before, and all."""
    before, after = (result.memory["slabs"] if result.memory else [] for result in (earlier, dense))
    return sum(slab not in before for slab in after), len(after)


def _record(
    labels: Path,
    image: Path | None,
    plan: PropagationPlan,
    settings: PropagateSettings,
    dense: DenseLabels,
    profile: ErrorProfile | None,
) -> bytes:
    """Who made the labels, from what and how; paths are left out, hashes name the files."""
    content = {
        "labels": {"name": labels.name, "sha256": sha256_of_path(labels)},
        "image": None if image is None else {"name": image.name, "sha256": sha256_of_path(image)},
        "method": plan.method,
        "settings": plan.method_settings.model_dump(mode="json"),
        "finishing": settings.finishing.model_dump(mode="json"),
        "axis": settings.axis,
        "slices": list(plan.slices),
        "other_slices": {axis: list(slices) for axis, slices in settings.other_slices.items()},
        "unlabelled": settings.unlabelled,
        "voxel_size_um": list(plan.voxel_size_um),
        "test": None if plan.test is None else asdict(plan.test),
        "memory": dense.memory,
        "expected": None if profile is None else profile_content(profile),
        "made": now_utc(),
        "environment": environment(),
    }
    return (json.dumps(content, indent=1) + "\n").encode("utf-8")
