"""Nuclei inside one cell: the dark core of a refractive-index or absorption map, and an edge-based baseline.

Each function takes the image and the mask of one cell, cropped, and returns a mask. To add a method, write such
a function and name it in ``NucleusSettings.method`` and in ``organelles.FIND_NUCLEUS``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.blocks import (
    block_factors,
    block_means,
    block_sizes,
    block_sums,
    coarse_voxel_size,
    fine_plane,
)
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.segmentation.classical.thresholds import GAUSSIAN_MAD, Histogram, otsu_threshold
from tomocyte.segmentation.settings import NucleusSettings
from tomocyte.segmentation.smoothing import Image, sigma_in_voxels, smooth
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
_ROUNDING = float(np.finfo(np.float32).eps)


def dark_core(image: NDArray[Any], cell: Mask, voxel_size_um: VoxelSize, settings: NucleusSettings) -> Mask:
    """The nucleus as the core of lower values inside a cell.

    The cell is peeled by ``erosion_um``, so that its blurred rim is not mistaken for a core. In the smoothed
    remainder, bright outliers (inclusions) are cut off and Otsu's threshold separates core and cytoplasm; the largest
    connected core, its holes filled and its thin parts cut off, is the nucleus, if it is as large, as dark and as
    compact as the settings require. Work is done on voxels of at most half the smoothing.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
    cell : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
    settings : NucleusSettings

    Returns
    -------
    ndarray (Z, Y, X), bool
        Empty when there is no such core.

    References
    ----------
    That nuclei of suspended cells have a lower refractive index than cytoplasm: Schürmann et al., J. Biophotonics 9,
    1068 (2016), doi:10.1002/jbio.201500273.
    """
    factors = block_factors(voxel_size_um, settings.smoothing_um / 2)
    size_um = coarse_voxel_size(voxel_size_um, factors)
    inside = 2 * block_sums(cell, factors) >= block_sizes(cell.shape, factors)
    smoothed, deep = _inner_image(block_means(image, factors, cell, empty=np.nan), inside, size_um, settings)
    empty = np.zeros(cell.shape, dtype=bool)
    if np.count_nonzero(deep) < 8:
        return empty
    values = smoothed[deep]
    middle = float(np.median(values))
    spread = GAUSSIAN_MAD * float(np.median(np.abs(values - middle)))
    threshold = otsu_threshold(Histogram.of(np.minimum(values, middle + 2 * spread), 4096))
    darkest = largest_filled(deep & (smoothed <= threshold))
    core = without_thin_parts(darkest, size_um, settings.opening_um)
    cytoplasm = deep & ~core
    if 2 * np.count_nonzero(core) <= np.count_nonzero(darkest) or not cytoplasm.any():
        return empty
    fraction = np.count_nonzero(core) / max(1, int(np.count_nonzero(inside)))
    contrast = float(np.median(smoothed[cytoplasm])) - float(np.median(smoothed[core]))
    if not settings.min_fraction <= fraction <= settings.max_fraction or contrast < settings.min_contrast:
        return empty
    if solidity(core) < settings.min_solidity:
        return empty
    for z in range(cell.shape[0]):
        empty[z] = fine_plane(core, z, cell.shape, factors) & cell[z]
    return empty


def edge_based_nucleus(image: NDArray[Any], cell: Mask, voxel_size_um: VoxelSize, settings: NucleusSettings) -> Mask:
    """The nucleus by its edges, section by section: the rule-based baseline that OS-Net was compared with.

    The paper states: a 3 × 3 Sobel operator finds the gradient of the 2-D section; sections make up the volume. Its
    supplement with the details was not available, so the following is assumed: Gaussian smoothing first; Otsu's
    threshold on the gradient inside the cell peeled by ``erosion_um``, one for all sections; the edges closed over one
    pixel, filled, and opened by one pixel, which removes open edges; the largest component of each section, and of
    the stack of sections. The outer half of the blurred edge comes with it.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
    cell : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
    settings : NucleusSettings
        Edges fainter than a step of ``min_contrast`` do not count, whichever of their sides is the brighter.

    Returns
    -------
    ndarray (Z, Y, X), bool

    References
    ----------
    Lee et al., Deep-learning-based label-free segmentation of cell nuclei in time-lapse refractive index tomograms,
    IEEE Access 7, 83449 (2019), doi:10.1109/ACCESS.2019.2924255.
    """
    masked = np.where(cell, image, np.float32(np.nan))
    smoothed, deep = _inner_image(masked, cell, voxel_size_um, settings)
    nucleus = np.zeros(cell.shape, dtype=bool)
    if not deep.any():
        return nucleus
    middle = float(np.median(smoothed[deep]))
    gradient = np.stack([_sobel(plane, middle) for plane in smoothed])
    sigma = max(0.5, *sigma_in_voxels(settings.smoothing_um, voxel_size_um, cell.shape[0])[1:])
    # The steepest place of a step blurred by a Gaussian; float32 cannot resolve anything flatter than its rounding.
    faintest = max(settings.min_contrast / (math.sqrt(2 * math.pi) * sigma), 4 * _ROUNDING * abs(middle))
    threshold = max(otsu_threshold(Histogram.of(gradient[deep], 4096)), faintest)
    square = np.ones((3, 3), dtype=bool)
    for z in range(cell.shape[0]):
        edges = deep[z] & (gradient[z] > threshold)
        closed = ndimage.binary_closing(np.pad(edges, 2), square)[2:-2, 2:-2]
        body = ndimage.binary_opening(ndimage.binary_fill_holes(closed), square)
        nucleus[z] = largest_filled((body & deep[z])[None])[0]
    nucleus = largest_filled(nucleus)
    fraction = np.count_nonzero(nucleus) / max(1, int(np.count_nonzero(cell)))
    if not settings.min_fraction <= fraction <= settings.max_fraction:
        return np.zeros(cell.shape, dtype=bool)
    return nucleus


def _sobel(plane: Image, outside: float) -> Image:
    """Magnitude of the Sobel gradient per pixel; pixels without a value count as ``outside``."""
    filled = np.where(np.isfinite(plane), plane, np.float32(outside))
    return np.asarray(np.hypot(ndimage.sobel(filled, axis=0), ndimage.sobel(filled, axis=1)) / 8, dtype=np.float32)


def without_thin_parts(mask: Mask, voxel_size_um: VoxelSize, radius_um: float) -> Mask:
    """Opening by a ball: the largest part that balls of that radius reach, in µm; the border counts as inside."""
    import edt

    if radius_um == 0 or not mask.any():
        return mask
    eroded = largest_filled(distance_um(mask, voxel_size_um) > radius_um) if not mask.all() else mask
    if not eroded.any() or eroded.all():
        return eroded
    spacing = [1.0 if math.isnan(size) else size for size in voxel_size_um]
    away = edt.edt(np.ascontiguousarray(~eroded), anisotropy=spacing, parallel=1)
    return np.asarray(mask & (away <= radius_um))


def solidity(mask: Mask) -> float:
    """Share of the convex hull of the voxels' centres that a mask fills; 1 for anything too flat to have a hull.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool

    Examples
    --------
    >>> mask = np.zeros((9, 9, 9), dtype=bool)
    >>> mask[1:8, 1:8, 1:8] = True
    >>> mask[3:6, 3:6, 1:8] = False
    >>> round(solidity(mask), 3)
    0.816
    """
    from skimage.morphology import convex_hull_image

    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    cropped = mask[box].squeeze()
    if cropped.ndim < 2 or min(cropped.shape) < 3:
        return 1.0
    hull = convex_hull_image(cropped, offset_coordinates=False, include_borders=True)
    return float(np.count_nonzero(cropped) / np.count_nonzero(hull))


def largest_filled(mask: Mask) -> Mask:
    """The largest face-connected component with its holes filled (a single plane in 2-D); the first of equals.

    Examples
    --------
    >>> largest_filled(np.array([[[True, False, True, True]]])).tolist()
    [[[False, False, True, True]]]
    """
    import fill_voids

    components = connected_components(mask)
    if components.n == 0:
        return np.zeros(mask.shape, dtype=bool)
    keep = np.zeros(components.n + 1, dtype=bool)
    keep[1 + int(np.argmax(components.n_voxels[1:]))] = True
    largest = components.paint(keep) > 0
    solid = np.ascontiguousarray(largest[0] if mask.shape[0] == 1 else largest)
    return np.asarray(fill_voids.fill(solid)).reshape(mask.shape).astype(bool)


def _inner_image(
    image: NDArray[Any], inside: Mask, voxel_size_um: VoxelSize, settings: NucleusSettings
) -> tuple[Image, Mask]:
    """The image smoothed inside the cell only, and the part of the cell deeper than the erosion and with a value."""
    # One empty voxel around: the crop ends where the cell does.
    around = 0 if inside.shape[0] == 1 else 1
    distance = distance_um(np.pad(inside, ((around, around), (1, 1), (1, 1))), voxel_size_um)
    distance = distance[around : distance.shape[0] - around, 1:-1, 1:-1]
    masked = np.where(inside, image, np.float32(np.nan))
    smoothed = smooth(masked, sigma_in_voxels(settings.smoothing_um, voxel_size_um, image.shape[0]))
    return smoothed, inside & (distance > settings.erosion_um) & np.isfinite(smoothed)
