"""Surfaces moved to where the image says, without a second network.

Per object: within a band around the first level's surface, a voxel belongs to the object where it looks more like the
inside than the outside near by (:mod:`.evidence`), the first level counting as a prior; thin protrusions that hang on
the object are followed beyond the band, each cut at half of its own brightness; thick parts that look like the outside
and are open to it are taken out. Other objects and structures are walls. To add a rule, add a mask to
:func:`_refined_object`.
"""

from __future__ import annotations

from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.errors import SettingsError
from tomocyte.labels.cleaning import fill_holes
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.labels.extents import label_extents
from tomocyte.segmentation.refinement.evidence import likeness
from tomocyte.segmentation.refinement.settings import RefinementSettings
from tomocyte.segmentation.smoothing import sigma_in_voxels, smooth
from tomocyte.volume import VoxelSize, check_voxel_size

Labels = NDArray[np.unsignedinteger[Any]]
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
HALF = 0.5
PEAK_REACH = 2
"""A protrusion's own brightness is the largest likeness within so many voxels."""
BRIGHTEST = 1.75
"""What is brighter, such as a bead or glass, is no protrusion, nor is its blurred rim."""
RIM = 2
"""Width of such a rim in voxels, and of that around what is too thick."""
DEPTH_OF_WINDOW = 1.0
"""Inside counts down to so many windows below the band: what lies deeper is another part of the object."""


def refine_boundaries(
    image: NDArray[Any],
    labels: Labels,
    voxel_size_um: VoxelSize,
    settings: RefinementSettings | None = None,
    *,
    blocked: Mask | None = None,
    first_level_um: float = 0.0,
) -> Labels:
    """Objects with their surfaces where the image says.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Physical values; NaN belongs to nothing.
    labels : ndarray (Z, Y, X), unsigned integer
        Of the first level, on the same voxels. Not changed.
    voxel_size_um : tuple of 3 float
    settings : RefinementSettings, optional
    blocked : ndarray (Z, Y, X), bool, optional
        Where no object may grow, and what says nothing of the outside: other structures, what lies outside a parent.
    first_level_um : float
        Largest side of a voxel that the first level saw, in µm; 0: that of the image.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        The same numbers; an object of which nothing would be left stays as it was.

    Raises
    ------
    SettingsError
        ``E-AXES``: a single plane, or shapes that differ.

    Examples
    --------
    >>> image = np.zeros((24, 24, 24), np.float32)
    >>> image[4:20, 4:20, 4:20] = 1
    >>> coarse = np.zeros(image.shape, np.uint8)
    >>> coarse[6:20, 4:22, 4:20] = 1
    >>> refined = refine_boundaries(image, coarse, (0.1, 0.1, 0.1), RefinementSettings(smoothing_um=0, prior=0.1))
    >>> bool((refined == image).all())
    True
    """
    if image.ndim != 3 or image.shape != labels.shape or image.shape[0] < 2:
        raise SettingsError("E-AXES", f"a volume and its labels are needed, not {image.shape} and {labels.shape}.")
    check_voxel_size(voxel_size_um, is_2d=False)
    options = (settings or RefinementSettings()).for_image(voxel_size_um, first_level_um)
    result = labels.copy()
    extents = label_extents(labels)
    reach = max(options.protrusion_length_um, 2 * (options.window_um or 0)) + 2 * (options.band_um or 0)
    margin = int(np.ceil(reach / min(voxel_size_um)))
    for label in np.flatnonzero(extents.n_voxels[1:] > 0) + 1:
        box = extents.box(int(label), labels.shape, margin)
        mask = labels[box] == label
        walls = ~mask & (result[box] != 0)
        walls |= (labels[box] != 0) & ~mask
        if blocked is not None:
            walls |= blocked[box] & ~mask
        refined = _refined_object(np.asarray(image[box], np.float32), mask, walls, voxel_size_um, options)
        view = result[box]
        view[(view == label) & ~refined] = 0
        view[refined & (view == 0)] = label
    fill_holes(result)
    return result


def _refined_object(
    image: Float, mask: Mask, walls: Mask, voxel_size_um: VoxelSize, options: RefinementSettings
) -> Mask:
    """One object in its box; the mask as it was where the image says nothing."""
    band, window = options.band_um or 0.0, options.window_um or 0.0
    depth = distance_um(mask, voxel_size_um)
    depth -= distance_um(~mask, voxel_size_um)
    smoothed = smooth(image, sigma_in_voxels(options.smoothing_um or 0.0, voxel_size_um, image.shape[0]))
    alike = likeness(
        smoothed,
        (depth > band) & (depth < band + DEPTH_OF_WINDOW * window),
        (depth < -band) & ~walls,
        voxel_size_um,
        window_um=window,
        min_contrast_to_noise=options.min_contrast_to_noise,
    )
    del smoothed
    if alike is None:
        return mask
    is_known = np.isfinite(alike)
    np.copyto(alike, mask, where=~is_known)
    beyond = (alike > options.faintest_protrusion) & (depth < -band / 2)
    from_thick = _distance_to_thick(beyond, voxel_size_um, options.protrusion_width_um / 2)
    near = np.abs(depth) <= band
    body = (depth > band) | (near & (alike + options.prior * (depth / np.float32(band)) > HALF))
    body |= mask & ~is_known & np.isfinite(image)
    body &= ~walls & (from_thick > options.protrusion_width_um / 2)
    if options.intrusion_depth_um > band:
        body &= ~_intrusions(alike, depth, voxel_size_um, options)
    body = _touching(body, mask)
    if not body.any():
        return mask
    thin = _protrusions(alike, depth, options) & ~walls
    thin &= from_thick > options.protrusion_width_um / 2 + RIM * max(voxel_size_um)
    thin &= ~ndimage.binary_dilation(beyond & (alike > BRIGHTEST), iterations=RIM)
    return _touching(body | thin, body)


def _touching(mask: Mask, core: Mask) -> Mask:
    """The components of a mask, corners included, that have a voxel of a core."""
    components = connected_components(mask, connectivity=3)
    return np.asarray(components.paint(components.reach(core)) > 0)


def _protrusions(alike: Float, depth: Float, options: RefinementSettings) -> Mask:
    """What looks like the inside around an object, down to half of its own brightness."""
    if options.protrusion_width_um == 0:
        return np.zeros(alike.shape, bool)
    band = options.band_um or 0.0
    thin: Mask = (alike > options.faintest_protrusion) & (depth <= band) & (depth > -options.protrusion_length_um)
    peak = ndimage.maximum_filter(np.minimum(alike, np.float32(1)), size=2 * PEAK_REACH + 1)
    return np.asarray(thin & (alike > np.float32(HALF) * peak))


def _intrusions(alike: Float, depth: Float, voxel_size_um: VoxelSize, options: RefinementSettings) -> Mask:
    """Thick parts inside that look like the outside, or lie beyond it, and are open to it."""
    band, width = options.band_um or 0.0, options.intrusion_width_um or 0.0
    unlike = (alike < HALF) & (depth > -band) & (depth < options.intrusion_depth_um)
    deep = _opened(unlike & (depth > 0), voxel_size_um, width / 2) & unlike
    return _touching(deep | (unlike & (depth <= band)), unlike & (depth <= 0)) & deep


def _opened(mask: Mask, voxel_size_um: VoxelSize, radius_um: float) -> Mask:
    """What balls of a radius reach that fit into a mask."""
    return np.asarray(_distance_to_thick(mask, voxel_size_um, radius_um) <= radius_um)


def _distance_to_thick(mask: Mask, voxel_size_um: VoxelSize, radius_um: float) -> Float:
    """Distance in µm of every voxel to the centres of balls of a radius that fit into a mask; infinite without any."""
    core = distance_um(mask, voxel_size_um) > radius_um
    if not core.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(edt.edt(np.ascontiguousarray(~core), anisotropy=voxel_size_um, parallel=1), dtype=np.float32)
