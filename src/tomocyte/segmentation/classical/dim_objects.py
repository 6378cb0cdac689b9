"""Dim objects beside bright ones: sought again in what remains of the image without the bright ones.

One level for a whole image lies above objects that are less than about a quarter as bright as the others. To ask more
or less of such objects, change :data:`SIGNIFICANCE` and :data:`ALIKE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import refit
from tomocyte.labels.renumber import renumber
from tomocyte.segmentation.classical.thresholds import Levels
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
MARGIN = 0.25
"""Dim objects are sought further than this share of the objects' diameter away from brighter ones."""
SIGNIFICANCE = 9.0
"""A dim object stands out this many times as far as others must, at the scale of a whole object: the rest of an image
also holds blur and debris."""
BORDER = 0.1
"""Share of its surface that may lie against the vicinity of bright objects: cytoplasm around a nucleus does."""
ALIKE = 4.0
"""Its volume is at most this many times smaller or larger than the brighter ones' median."""


def with_dim_objects(
    labels: Labels,
    levels: Levels,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    find: Callable[[NDArray[Any]], Labels],
    *,
    diameter_um: float,
    least_height: float,
) -> Labels:
    """The objects, with those that are found once the bright ones are taken away.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Objects found with one level for the whole image. Not changed.
    levels : Levels
        They were found with.
    image : ndarray (Z, Y, X), real
    voxel_size_um : tuple of 3 float
    find : callable
        ``image -> labels``: those that stand out far enough.
    diameter_um : float
        Of the objects.
    least_height : float, 0-1
        Share of the way from background to inside level; what is dimmer was outlined by the level of the image rather
        than by its own, and is replaced where it is found again.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        Numbers 1..n in raster order.
    """
    n = int(labels.max())
    if n == 0:
        return labels
    means = ndimage.mean(image, labels, np.arange(1, n + 1))
    is_bright = np.r_[False, means - levels.background >= least_height * (levels.inside - levels.background)]
    if not is_bright.any():
        return labels
    near = distance_um(~is_bright[labels], voxel_size_um) <= MARGIN * diameter_um
    rest = np.where(near, np.float32(np.nan), image.astype(np.float32))
    if not np.isfinite(rest).any():
        return labels
    dim = find(rest)
    sizes = np.bincount(dim.ravel())
    typical = float(np.median(np.bincount(labels.ravel(), minlength=n + 1)[is_bright]))
    is_like = (sizes > typical / ALIKE) & (sizes < typical * ALIKE) & (_border_share(dim, near) <= BORDER)
    is_dim = is_like[dim] & (dim > 0)
    is_replaced = np.zeros(n + 1, dtype=bool)
    is_replaced[labels[is_dim]] = True
    both = refit(np.where(is_replaced[labels], 0, labels).astype(labels.dtype), n + len(sizes))
    both[is_dim] = dim[is_dim].astype(both.dtype) + n
    return renumber(both)


def _border_share(labels: Labels, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each label's faces between voxels that lead out of it, the share that lead into a mask; (largest + 1,)."""
    out, into = (np.zeros(int(labels.max()) + 1) for _ in range(2))
    for axis in range(3):
        for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            own, other = (slice(None),) * axis + (here,), (slice(None),) * axis + (there,)
            is_face = (labels[own] > 0) & (labels[own] != labels[other])
            out += np.bincount(labels[own][is_face], minlength=out.size)
            into += np.bincount(labels[own][is_face & mask[other]], minlength=out.size)
    return np.divide(into, out, out=np.zeros_like(into), where=out > 0)
