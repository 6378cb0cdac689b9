"""From probabilities to objects: threshold, components, and cores that tell touching objects apart.

One output gives connected components, split by shape if asked; two outputs, the whole object and its core, give one
object per core. To tell objects apart in another way, add a function beside :func:`_grow_cores` and choose it in
:func:`instances_from_probability`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.cleaning import fill_holes, large_enough, touches_border, voxels_of
from tomocyte.segmentation.components import connected_components
from tomocyte.segmentation.dtypes import refit
from tomocyte.segmentation.instances import label_extents, renumber, split_own
from tomocyte.segmentation.watershed import seeded_watershed
from tomocyte.settings import InstanceSettings
from tomocyte.volume import VoxelSize, check_voxel_size

Labels = NDArray[np.unsignedinteger[Any]]
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


__all__ = ["InstanceSettings", "instances_from_probability"]


def instances_from_probability(
    probability: Float, voxel_size_um: VoxelSize, settings: InstanceSettings | None = None
) -> Labels:
    """Objects from the probability of one structure, or of a structure and its core.

    Parameters
    ----------
    probability : ndarray (1 or 2, Z, Y, X), float32, in [0, 1]
        The object and, if there is a second output, its core: the object shrunken so far that neighbours part.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    settings : InstanceSettings, optional

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        0 = background, 1..n in raster order of each object's first voxel, in the smallest type that holds them.

    Raises
    ------
    SettingsError
        ``E-AXES`` unless there are one or two outputs on three spatial axes.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> mask = np.array([[[0.9, 0.9, 0.9, 0.8, 0.9, 0.1]]], dtype=np.float32)
    >>> core = np.array([[[0.9, 0.8, 0.1, 0.0, 0.9, 0.0]]], dtype=np.float32)
    >>> settings = InstanceSettings(min_area_um2=0, min_core_area_um2=0)
    >>> nan = float("nan")
    >>> instances_from_probability(mask[None], (nan, 1, 1), settings).tolist()
    [[[1, 1, 1, 1, 1, 0]]]
    >>> instances_from_probability(np.stack([mask, core]), (nan, 1, 1), settings).tolist()
    [[[1, 1, 1, 2, 2, 0]]]
    """
    chosen = InstanceSettings() if settings is None else settings
    if probability.ndim != 4 or probability.shape[0] not in (1, 2) or probability.size == 0:
        raise SettingsError(
            "E-AXES", f"a probability (1 or 2, Z, Y, X) is needed, not one of shape {probability.shape}."
        )
    n_planes = probability.shape[1]
    check_voxel_size(voxel_size_um, is_2d=n_planes == 1)
    smallest = voxels_of(chosen.min_volume_um3, chosen.min_area_um2, voxel_size_um, n_planes)
    components = connected_components(probability[0] > chosen.threshold)
    labels = components.paint(large_enough(components, smallest))
    del components
    if len(probability) == 2:
        smallest_core = voxels_of(chosen.min_core_volume_um3, chosen.min_core_area_um2, voxel_size_um, n_planes)
        labels = _grow_cores(labels, probability, chosen, smallest_core)
    else:
        labels = split_own(labels, probability[0], voxel_size_um, chosen.split, min_voxels=smallest)
    if chosen.is_hole_filled:
        fill_holes(labels)
    extents = label_extents(labels)
    keep = large_enough(extents, smallest)
    if chosen.is_border_cleared:
        keep &= ~touches_border(extents.lower, extents.upper, labels.shape)
    return renumber(labels, keep)


def _grow_cores(labels: Labels, probability: Float, settings: InstanceSettings, smallest_core: float) -> Labels:
    """Give each part of the mask to its core; parts with several cores are flooded from them, part by part.

    The landscape is low where both probabilities are high, so that regions meet where the network saw a border.
    """
    found = connected_components((probability[1] > settings.core_threshold) & (labels > 0))
    cores = found.paint(large_enough(found, smallest_core))
    del found
    extents = label_extents(labels)
    largest = len(extents.n_voxels) - 1
    for label in range(1, largest + 1):
        box = extents.box(label, labels.shape)
        inside: Mask = labels[box] == label
        seeds = np.where(inside, cores[box], 0)
        numbers = np.unique(seeds)[1:]
        if len(numbers) == 0 and not settings.is_coreless_kept:
            labels[box][inside] = 0
        if len(numbers) < 2:
            continue
        landscape = -(probability[0][box] + probability[1][box])
        regions = seeded_watershed(landscape, np.searchsorted(np.append(0, numbers), seeds), inside)
        labels = refit(labels, largest + len(numbers) - 1)
        view = labels[box]
        np.copyto(view, (regions + (largest - 1)).astype(labels.dtype), where=regions > 1)
        largest += len(numbers) - 1
    return labels
