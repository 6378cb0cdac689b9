"""The quantity in which a tomogram is linear, and back: scattering sees n² - n0², not n - n0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def potential_of(ri: NDArray[Any], medium_ri: float) -> NDArray[np.float32]:
    """Scaled potential (n² - n0²) / 2 n0 of a refractive index, same shape, float32; voxels without a number give 0.

    Examples
    --------
    >>> potential_of(np.array([1.337, 1.4]), 1.337).round(5).tolist()
    [0.0, 0.06448]
    """
    contrast = np.subtract(ri, medium_ri, dtype=np.float32)
    contrast *= 1 + contrast / np.float32(2 * medium_ri)
    return np.asarray(np.nan_to_num(contrast, copy=False, nan=0.0, posinf=0.0, neginf=0.0), dtype=np.float32)


def contrast_of(potential: Float, medium_ri: float) -> Float:
    """n - n0 of scaled potentials, same shape; the inverse of :func:`potential_of`.

    A potential below -n0/2, which nothing transparent has, counts as that.

    Examples
    --------
    >>> round(float(contrast_of(np.float64(0.06448), 1.337)), 4)
    0.063
    """
    inside = np.maximum(potential, -medium_ri / 2) * (2 * medium_ri) + medium_ri**2
    return np.asarray(np.sqrt(inside) - medium_ri, dtype=np.float64)
