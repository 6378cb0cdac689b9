"""What a propagation of a file needs to be told, and what it will do: settings, files, slices, known voxels.

To let the user say more, add a field to :class:`PropagateSettings`; to write another result, one to :class:`Outputs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import formats
from tomocyte.propagation import AXES, Axis, SelfTest, Zeros, labelled_slices
from tomocyte.propagation.finishing import FinishingSettings
from tomocyte.runs.next_slices import Suggestion
from tomocyte.settings import Settings
from tomocyte.volume import Volume, VoxelSize

FileAxis = Literal["z", "y", "x", "t"]


class PropagateSettings(Settings):
    """How the labels of a file are propagated."""

    method: str | None = None
    """One of ``tomocyte.propagation.methods()``; when not given, the one that follows the image where there is one, and
    shape alone where there is none."""
    method_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method; what is not given keeps its default."""
    axis: FileAxis = "z"
    """Axis along which slices were labelled; of a film of single planes always time."""
    slices: tuple[int, ...] | None = None
    """The labelled slices, from 0; when not given, those that hold any label, or, with ``unlabelled``, those without a
    voxel of that value, which may be none where the method takes known voxels."""
    other_slices: dict[Axis, tuple[int, ...]] = Field(default_factory=dict)
    """Slices that are labelled along other axes; ``slices`` are then to be given, too."""
    unlabelled: int | None = Field(default=None, ge=0)
    """The value of voxels that are not labelled; all others are known, 0 as background."""
    image_dataset: str | None = None
    """Path of the image inside a container (HDF5, Zarr) that holds several arrays."""
    finishing: FinishingSettings = FinishingSettings()
    """What is done to labels once they are propagated."""
    is_map_written: bool = False
    """Whether the uncertainty of every voxel is written, too."""
    n_next: int = Field(default=0, ge=0)
    """Slices to label next that are named and written as points."""

    @property
    def array_axis(self) -> Axis:
        """The axis of the array (Z, Y, X); frames of a film lie along its first."""
        return "z" if self.axis == "t" else self.axis


@dataclass(frozen=True)
class Outputs:
    """What is written."""

    labels: Path
    record: Path
    uncertainty: Path | None
    next_slices: Path | None
    next_page: Path | None


@dataclass(frozen=True)
class PropagationPlan:
    """What will be done with a file, or was.

    Parameters
    ----------
    axis : {"z", "y", "x", "t"}
        Along which slices were labelled.
    shape : tuple of 3 int
        Z, Y, X; of a film T, Y, X.
    voxel_size_um : tuple of 3 float
        Z, y, x in µm; frames of a film count as a pixel apart.
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

    axis: FileAxis
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

    @property
    def n_slices(self) -> int:
        """Slices along the axis, labelled or not."""
        return self.shape[AXES.index("z" if self.axis == "t" else self.axis)]


def plan_of(
    volume: Volume,
    sparse: NDArray[Any],
    known: NDArray[np.bool_] | None,
    slices: tuple[int, ...],
    settings: PropagateSettings,
    method: str,
    method_settings: Settings,
    outputs: Outputs,
) -> PropagationPlan:
    """What will be done with a volume (1, 1, Z, Y, X), whose labels were read."""
    place = AXES.index(settings.array_axis)
    along = np.moveaxis(sparse, place, 0)
    within = [index for index in slices if 0 <= index < len(along)]
    parts = [np.unique(along[index]) for index in within]
    n_known = 0
    for index, is_known in enumerate(() if known is None else np.moveaxis(known, place, 0)):
        if index not in within and is_known.any():
            n_known += int(np.count_nonzero(is_known))
            parts.append(np.unique(along[index][is_known]))
    numbers = np.unique(np.concatenate(parts)) if parts else np.zeros(0)
    return PropagationPlan(
        axis=settings.axis,
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


def known_voxels(
    sparse: NDArray[Any], settings: PropagateSettings, zeros: Zeros = np.zeros
) -> tuple[tuple[int, ...], NDArray[np.bool_] | None]:
    """The labelled slices along the axis, and which voxels are known, where labels stand beside these slices, too.

    Parameters
    ----------
    sparse : ndarray (Z, Y, X), unsigned integer
    settings : PropagateSettings
    zeros : callable
        Makes arrays as large as the volume.

    Raises
    ------
    InputError
        ``E-PROPAGATION-UNLABELLED``: no voxel has the value of unlabelled ones, or a labelled slice has some.
    SettingsError
        ``E-PROPAGATION-SLICES``: slices outside the volume, or along other axes alone.
    """
    _check_other_slices(sparse.shape, settings)
    if settings.unlabelled is None:
        slices = labelled_slices(sparse, settings.array_axis) if settings.slices is None else settings.slices
        if not settings.other_slices:
            return tuple(sorted(set(slices))), None
        known = zeros(sparse.shape, bool)
        for axis, others in settings.other_slices.items():
            np.moveaxis(known, AXES.index(axis), 0)[list(others)] = True
        return tuple(sorted(set(slices))), known
    known = zeros(sparse.shape, bool)
    np.not_equal(sparse, settings.unlabelled, out=known)
    if known.all():
        problem = f"no voxel has the value {settings.unlabelled} that means not labelled: all are labelled."
        raise InputError("E-PROPAGATION-UNLABELLED", problem, cure="Check --unlabelled; leave it out for slices.")
    named = {settings.array_axis: settings.slices or (), **settings.other_slices}
    for axis, slices in named.items():
        whole = _whole_slices(known, axis)
        partly = [index for index in slices if index not in whole]
        if partly and 0 <= partly[0] < sparse.shape[AXES.index(axis)]:
            problem = f"slice {axis}={partly[0]} has voxels of the value {settings.unlabelled}, which are not labelled."
            cure = "Name wholly labelled slices only; what is known on others is used all the same."
            raise InputError("E-PROPAGATION-UNLABELLED", problem, cure=cure)
    slices = _whole_slices(known, settings.array_axis) if settings.slices is None else settings.slices
    return tuple(sorted(set(slices))), known


def _whole_slices(known: NDArray[np.bool_], axis: Axis) -> tuple[int, ...]:
    along = np.moveaxis(known, AXES.index(axis), 0)
    return tuple(index for index, plane in enumerate(along) if plane.all())


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


def outputs_of(output: Path, settings: PropagateSettings) -> Outputs:
    """The files that are written; their format follows from the ending of the output."""
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
        next_page=output.with_name(f"{stem}_next.html") if settings.n_next else None,
    )
