"""From probabilities to objects: threshold, components, and cores that separate touching objects.

One output gives connected components, split by shape if asked; two outputs, the whole object and its core, give one
object per core. To separate objects by another method, add a function beside :func:`_grow_cores` and call it in
:func:`instances_from_probability`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.cleaning import fill_holes, large_enough, touches_border, voxels_of
from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import refit
from tomocyte.labels.extents import label_extents
from tomocyte.labels.renumber import renumber
from tomocyte.labels.watershed import seeded_watershed
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.segmentation.splitting import split_own
from tomocyte.volume import VoxelSize, check_voxel_size

Labels = NDArray[np.unsignedinteger[Any]]
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


__all__ = ["InstanceSettings", "instances_from_mask", "instances_from_probability"]


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
    options = InstanceSettings() if settings is None else settings
    if probability.ndim != 4 or probability.shape[0] not in (1, 2) or probability.size == 0:
        raise SettingsError(
            "E-AXES", f"a probability (1 or 2, Z, Y, X) is needed, not one of shape {probability.shape}."
        )
    n_planes = probability.shape[1]
    check_voxel_size(voxel_size_um, is_2d=n_planes == 1)
    if len(probability) == 1:
        return _objects(probability[0] > options.threshold, probability[0], voxel_size_um, options)
    smallest = voxels_of(options.min_volume_um3, options.min_area_um2, voxel_size_um, n_planes)
    smallest_core = voxels_of(options.min_core_volume_um3, options.min_core_area_um2, voxel_size_um, n_planes)
    components = connected_components(probability[0] > options.threshold)
    labels = components.paint(large_enough(components, smallest))
    del components
    return _cleaned(_grow_cores(labels, probability, options, smallest_core), smallest, options)


def instances_from_mask(mask: Mask, voxel_size_um: VoxelSize, settings: InstanceSettings | None = None) -> Labels:
    """Objects from the mask of one structure, as :func:`instances_from_probability` makes them of one output.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
    settings : InstanceSettings, optional
        ``threshold`` is not used; objects are split by their shape or not at all.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer

    Raises
    ------
    SettingsError
        ``E-AXES``; ``E-SPLIT``: a split by intensity, which a mask does not have.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> mask = np.array([[[True, True, False, True]]])
    >>> instances_from_mask(mask, (float("nan"), 1, 1)).tolist()
    [[[1, 1, 0, 2]]]
    """
    options = InstanceSettings() if settings is None else settings
    if mask.ndim != 3 or mask.size == 0:
        raise SettingsError("E-AXES", f"a mask (Z, Y, X) is needed, not one of shape {mask.shape}.")
    if not splits_masks(options):
        raise SettingsError(
            "E-SPLIT",
            f"a mask cannot be split by {options.split.method}, which needs intensities.",
            cure="Split by 'distance' or 'bodies'.",
        )
    check_voxel_size(voxel_size_um, is_2d=mask.shape[0] == 1)
    return _objects(mask, mask, voxel_size_um, options)


def splits_masks(settings: InstanceSettings) -> bool:
    """Whether touching objects are separated by their shape alone, so that a mask is enough."""
    return settings.split.method in ("none", "distance", "bodies")


def _objects(mask: Mask, landscape: NDArray[Any], voxel_size_um: VoxelSize, settings: InstanceSettings) -> Labels:
    smallest = voxels_of(settings.min_volume_um3, settings.min_area_um2, voxel_size_um, mask.shape[0])
    components = connected_components(mask)
    labels = components.paint(large_enough(components, smallest))
    del components
    labels = split_own(labels, landscape, voxel_size_um, settings.split, min_voxels=smallest)
    return _cleaned(labels, smallest, settings)


def _cleaned(labels: Labels, smallest: float, settings: InstanceSettings) -> Labels:
    """Holes filled, small objects and (if asked) those cut by the border dropped, numbered in raster order."""
    if settings.is_hole_filled:
        fill_holes(labels)
    extents = label_extents(labels)
    keep = large_enough(extents, smallest)
    if settings.is_border_cleared:
        keep &= ~touches_border(extents.lower, extents.upper, labels.shape)
    return renumber(labels, keep)


def _grow_cores(labels: Labels, probability: Float, settings: InstanceSettings, smallest_core: float) -> Labels:
    """Give each part of the mask to its core; parts with several cores are flooded from them, part by part.

    The landscape is low where both probabilities are high, so that regions meet where the network saw a border.
    """
    components = connected_components((probability[1] > settings.core_threshold) & (labels > 0))
    cores = components.paint(large_enough(components, smallest_core))
    del components
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
