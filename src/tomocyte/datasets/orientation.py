"""Two files of the same voxels that are stored in different directions, brought to one.

NIfTI and NRRD say where each stored axis points (:attr:`tomocyte.volume.Volume.affine`). Where both files of a pair say
it, the second is read in the directions of the first; nothing is resampled. Positions are compared in µm, where both
files name the unit of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError
from tomocyte.names import shown_name
from tomocyte.volume import Affine, Volume

SMALLEST_COSINE: Final = 0.999
"""Axes that differ by less than 2.6 degrees point the same way."""
LARGEST_SHIFT_VOXELS: Final = 0.5


def oriented_like(volume: Volume, reference: Volume) -> Volume:
    """The volume with its axes in the directions of the reference, as far as both files say where theirs point.

    Parameters
    ----------
    volume, reference : Volume

    Returns
    -------
    Volume
        The volume itself where both agree; else read flipped or with its axes exchanged, with ``W-ORIENTATION``. Where
        only one of the two says it, the volume with that note. ``W-POSITION`` where the first voxels lie more than
        half a voxel apart, or only one file names the unit of its positions.

    Raises
    ------
    MetadataError
        ``E-ORIENTATION``: one is rotated against the other, so that voxels do not lie on voxels.
    """
    if volume.affine is None or reference.affine is None:
        return _with_notes(volume, _stated_by_one(volume, reference))
    steps, true_steps = np.array(volume.affine[:3]), np.array(reference.affine[:3])
    lengths, true_lengths = np.linalg.norm(steps, axis=1), np.linalg.norm(true_steps, axis=1)
    cosines = (true_steps / true_lengths[:, None]) @ (steps / lengths[:, None]).T
    order = [int(axis) for axis in np.argmax(np.abs(cosines), axis=1)]
    signs = [float(np.sign(cosines[axis, other])) for axis, other in enumerate(order)]
    if (
        sorted(order) != [0, 1, 2]
        or min(abs(cosines[axis, other]) for axis, other in enumerate(order)) < SMALLEST_COSINE
    ):
        raise MetadataError(
            "E-ORIENTATION",
            f"its axes are rotated against those of {shown_name(reference.path or 'the other file')}.",
            path=volume.path,
            cure=_resampling(volume, reference),
        )
    flips = [sign < 0 for sign in signs]
    shape = volume.spatial_shape
    first = np.array(volume.affine[3]) + sum(
        (steps[other] * (shape[other] - 1) for other, is_flipped in zip(order, flips, strict=True) if is_flipped),
        start=np.zeros(3),
    )
    is_same_unit = volume.affine_unit == reference.affine_unit
    volume = _with_notes(volume, _apart(first, reference.affine, is_same_unit=is_same_unit))
    if order == [0, 1, 2] and not any(flips):
        return volume
    note = "W-ORIENTATION: the two files store their voxels in different directions; one is turned to the other."
    size = volume.voxel_size_um
    turned = [tuple(sign * steps[other]) for sign, other in zip(signs, order, strict=True)]
    return volume.with_properties(
        shape=(*volume.shape[:2], *(shape[axis] for axis in order)),
        read_planes=TurnedPlanes(volume, tuple(order), tuple(flips)),
        voxel_size_um=None if size is None else tuple(size[axis] for axis in order),
        notes=(*volume.notes, note),
        affine=(*turned, tuple(first)),
    )


def _with_notes(volume: Volume, notes: tuple[str, ...]) -> Volume:
    return volume.with_properties(notes=(*volume.notes, *notes)) if notes else volume


def _stated_by_one(volume: Volume, reference: Volume) -> tuple[str, ...]:
    """The note where one file says where its axes point and the other does not."""
    if volume.affine is None and reference.affine is None:
        return ()
    stating, other = (volume, reference) if reference.affine is None else (reference, volume)
    names = [shown_name(each.path.name) if each.path is not None else "the array" for each in (stating, other)]
    return (
        f"W-ORIENTATION: {names[0]} says where its axes point and {names[1]} does not; both are taken as they are "
        "stored.",
    )


def _apart(first: NDArray[np.float64], affine: Affine, *, is_same_unit: bool) -> tuple[str, ...]:
    """The note where a first voxel lies elsewhere than that of an affine, or where that cannot be known."""
    if not is_same_unit:
        return ("W-POSITION: only one of the two files names the unit of its positions; they are not compared.",)
    steps = np.array(affine[:3])
    shift = np.abs(steps @ (first - np.array(affine[3]))) / np.linalg.norm(steps, axis=1) ** 2
    if shift.max() <= LARGEST_SHIFT_VOXELS:
        return ()
    shown = ", ".join(f"{part:.3g}" for part in shift)
    return (f"W-POSITION: the two files lie {shown} voxels (z, y, x) apart; they are compared as they are.",)


@dataclass(frozen=True)
class TurnedPlanes:
    """Planes of a volume with its axes exchanged and reversed; picklable. An exchange of z reads whole frames.

    Parameters
    ----------
    volume : Volume
        As it is stored.
    order : tuple of 3 int
        For z, y, x of the result, the stored axis (0 = z).
    flips : tuple of 3 bool
        For z, y, x of the result, whether it runs against the stored axis.
    """

    volume: Volume
    order: tuple[int, ...]
    flips: tuple[bool, ...]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X) of the turned volume."""
        steps = tuple(slice(None, None, -1 if is_flipped else 1) for is_flipped in self.flips)
        if self.order[0] != 0:
            block = self.volume.planes(frame, channel).transpose(self.order)[steps][z_start:z_stop]
        else:
            depth = self.volume.shape[2]
            start, stop = (depth - z_stop, depth - z_start) if self.flips[0] else (z_start, z_stop)
            block = self.volume.planes(frame, channel, start, stop).transpose(self.order)[steps]
        return np.ascontiguousarray(block)


def _resampling(volume: Volume, reference: Volume) -> str:
    """How to bring one onto the grid of the other."""
    names = [str(each.path) for each in (volume, reference)]
    if not all(name.lower().endswith((".nii", ".nii.gz")) for name in names):
        return "Resample one to the grid of the other with nearest neighbour, e.g. in 3D Slicer."
    return (
        'Resample one to the grid of the other: python -c "import nibabel as n; from nibabel.processing import '
        f"resample_from_to as r; n.save(r(n.load('{names[0]}'), n.load('{names[1]}'), order=0), 'resampled.nii')\""
        ", and give resampled.nii."
    )
