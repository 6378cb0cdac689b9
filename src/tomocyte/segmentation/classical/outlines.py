"""The outline of each object at its own level: dim and bright objects side by side are both cut where they end.

To draw outlines by another rule, write a function like :func:`at_own_level` and call it in ``steps``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.extents import label_extents
from tomocyte.segmentation.smoothing import smooth

Labels = NDArray[np.unsignedinteger[Any]]
_ENOUGH = 30
"""Voxels of background around an object that say how bright it is there."""


def at_own_level(
    labels: Labels, image: NDArray[Any], sigma_voxels: tuple[float, ...], *, share: float, background: float
) -> Labels:
    """Objects without the voxels that fall below a share of their own height above the background around them.

    What is left of an object is its largest part, with holes filled.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Not changed.
    image : ndarray (Z, Y, X), real
        Objects are bright. NaN = outside.
    sigma_voxels : tuple of 3 float
        Gaussian z, y, x before the cut.
    share : float, 0-1
        Of the object's mean above the background.
    background : float
        In the image's unit, where there is none around an object.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        Same numbers.

    Examples
    --------
    >>> image = np.array([[[0, 0, 20, 100, 100, 100, 20, 0, 0]]], dtype=np.float32)
    >>> labels = np.array([[[0, 0, 1, 1, 1, 1, 1, 0, 0]]], dtype=np.uint8)
    >>> at_own_level(labels, image, (0, 0, 0), share=0.5, background=0.0).tolist()
    [[[0, 0, 0, 1, 1, 1, 0, 0, 0]]]
    """
    extents = label_extents(labels)
    cut = np.zeros_like(labels)
    margin = max(1, *(math.ceil(4 * sigma) for sigma in sigma_voxels))
    for label in np.flatnonzero(extents.n_voxels):
        box = extents.box(int(label), labels.shape, margin=margin)
        view = labels[box]
        inside = view == label
        values = smooth(image[box], sigma_voxels)
        around = values[(view == 0) & np.isfinite(values)]
        base = float(np.median(around)) if around.size >= _ENOUGH else background
        mean = float(np.nanmean(values[inside])) if np.isfinite(values[inside]).any() else math.nan
        parts, n = ndimage.label(inside & (values > base + share * (mean - base)))
        if n == 0:
            # No contrast to its surroundings: what it is worth is judged elsewhere.
            cut[box][inside] = label
            continue
        largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        structure = ndimage.generate_binary_structure(3, 1)
        # A hole in a single plane is closed by the plane alone.
        structure[[0, 2]] &= labels.shape[0] > 1
        cut[box][ndimage.binary_fill_holes(largest, structure) & inside] = label
    return cut
