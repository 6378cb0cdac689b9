"""The index of single small objects: what of the tomogram the parts do not explain, shared out among them.

The transfer matrix gives all droplets of a cell one index. Each droplet's own differs from it by the residual around it
over what the instrument leaves of its contrast there, over all measured frequencies. Both are summed a little beyond
the mask, so that a mask that is misplaced or too small by a voxel changes the mass little.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tomocyte.missing_cone.parts import Labels, Parts
from tomocyte.missing_cone.transfer import Support
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
LEAST_RECOVERY = 0.05
"""Share of an object's contrast that must remain around it; with less, its group's index stays."""
APERTURE_UM = 0.4
"""How far beyond its mask an object is summed, in its planes; chosen on validation fields."""


def small_objects(
    potential: NDArray[np.float32],
    field: Parts,
    values: Float,
    labels: Mapping[str, Labels],
    voxel_size_um: VoxelSize,
    support: Support,
) -> dict[str, Float]:
    """The scaled potential of each object of a group.

    Parameters
    ----------
    potential : ndarray (Z, Y, X), float32
    field : Parts
    values : ndarray (n_parts,), float64
        Potential of each part; NaN where it is not determined.
    labels : mapping
        Structure -> labels (Z, Y, X).
    voxel_size_um : tuple of 3 float
    support : callable

    Returns
    -------
    dict of str to ndarray (n,), float64
        For each structure that has groups, in the order of its labels; NaN for objects with a part of their own.
    """
    import scipy.fft

    groups = {part.structure for part in field.parts if part.kind == "group"}
    if not groups:
        return {}
    shape = (potential.shape[0], potential.shape[1], potential.shape[2])
    is_measured = support(shape, voxel_size_um)
    is_measured[0, 0, 0] = False

    def measured(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        spectrum = scipy.fft.rfftn(volume, workers=1)
        spectrum *= is_measured
        return np.asarray(scipy.fft.irfftn(spectrum, s=shape, workers=1, overwrite_x=True), dtype=np.float32)

    model = np.concatenate([[0.0], np.nan_to_num(values)]).astype(np.float32)[field.index]
    residual = measured(potential - model)
    results = {}
    for structure in sorted(groups & set(labels)):
        own = labels[structure]
        numbers = [n for n, part in enumerate(field.parts, 1) if (part.structure, part.kind) == (structure, "group")]
        is_group = np.isin(field.index, numbers) & (own > 0)
        remaining = measured(is_group.astype(np.float32))
        near = near_in_planes(own, voxel_size_um, APERTURE_UM)
        n_voxels = np.bincount(own[is_group], minlength=int(own.max(initial=0)) + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            group = _sums(own, is_group, model, n_voxels) / n_voxels
            left = _sums(near, near > 0, remaining, n_voxels)
            difference = _sums(near, near > 0, residual, n_voxels) / left
        value = group + np.where(left >= LEAST_RECOVERY * n_voxels, difference, 0.0)
        present = np.flatnonzero(np.bincount(own.ravel()))
        results[structure] = np.where(n_voxels > 0, value, np.nan)[present[present > 0]]
    return results


def near_in_planes(labels: Labels, voxel_size_um: VoxelSize, reach_um: float) -> Labels:
    """The objects, each grown by ``reach_um`` in its own planes; where two meet, the nearer one has the voxel.

    Examples
    --------
    >>> near_in_planes(np.array([[[0, 1, 0, 0, 0, 2]]]), (0.5, 0.2, 0.2), 0.3).tolist()
    [[[1, 1, 1, 0, 2, 2]]]
    """
    from scipy import ndimage

    grown = labels.copy()
    for plane, result in zip(labels, grown, strict=True):
        if not plane.any():
            continue
        distance, nearest = ndimage.distance_transform_edt(plane == 0, sampling=voxel_size_um[1:], return_indices=True)
        is_near = distance <= reach_um
        result[is_near] = plane[tuple(nearest)][is_near]
    return grown


def _sums(labels: Labels, where: NDArray[np.bool_], values: NDArray[np.float32], n_voxels: NDArray[np.int64]) -> Float:
    """Sum of the values over each label's voxels there."""
    return np.asarray(np.bincount(labels[where], weights=values[where], minlength=len(n_voxels)), dtype=np.float64)
