"""Uncertainty of voxels: calibrated probabilities, and a map of the entropy.

Everything starts from 8-bit probabilities on the network's grid, round(255 p). A card's :class:`StructureCalibration`
turns them into frequencies that were checked on images with a known truth; masks are never changed by it. Objects are
in ``objects``, several predictions of one image in ``ensembles``. To learn more about a structure from
validation images, add a field to :class:`StructureCalibration`.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.settings import StructureCalibration

Levels = NDArray[np.float32]
Byte = NDArray[np.uint8]
Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

N_LEVELS = 256
FINE_LEVELS = 1 + 4 * 255


def calibrated_levels(calibration: StructureCalibration | None) -> Levels:
    """The probability that each of the 256 stored levels stands for.

    Parameters
    ----------
    calibration : StructureCalibration, optional
        Without one, level k stands for k/255.

    Returns
    -------
    ndarray (256,), float32, in [0, 1], never falling

    References
    ----------
    Platt, in: Advances in Large Margin Classifiers, MIT Press, 61 (1999): a and b. Guo et al., Proc. ICML 70, 1321
    (2017), arXiv:1706.04599: a alone. King & Zeng, Polit. Anal. 9, 137 (2001), doi:10.1093/oxfordjournals.pan.a004868:
    weighting a class by w adds ln w to all logits, hence b.

    Examples
    --------
    Level 204 is p = 0.8, odds 4; with a = 1/2 and b = ln 2 the odds are 2·2 = 4 again, those of level 51 (1/4) are 1.

    >>> levels = calibrated_levels(StructureCalibration(slope=0.5, bias=float(np.log(2))))
    >>> levels[[51, 204]].round(4).tolist()
    [0.5, 0.800000011920929]
    """
    stored = np.arange(N_LEVELS) / (N_LEVELS - 1)
    if calibration is None:
        return np.asarray(stored, dtype=np.float32)
    inner = stored[1:-1]
    odds = calibration.slope * (np.log(inner) - np.log1p(-inner)) + calibration.bias
    calibrated = np.empty(N_LEVELS)
    calibrated[1:-1] = 1 / (1 + np.exp(-odds))
    calibrated[0] = min(calibration.floor, calibrated[1])
    calibrated[-1] = max(calibration.ceiling, calibrated[-2])
    return np.asarray(calibrated, dtype=np.float32)


def predictive_entropy(probability: NDArray[Any]) -> NDArray[np.float32]:
    """Entropy in bits: 1 where inside and outside are equally likely, 0 where the prediction is certain.

    Parameters
    ----------
    probability : ndarray, float, in [0, 1]

    Returns
    -------
    ndarray, float32, in [0, 1]

    References
    ----------
    Shannon, Bell Syst. Tech. J. 27, 379 (1948), doi:10.1002/j.1538-7305.1948.tb01338.x.

    Examples
    --------
    >>> predictive_entropy(np.array([0.0, 0.11, 0.5, 1.0])).round(3).tolist()
    [0.0, 0.5, 1.0, 0.0]
    """
    from scipy import special

    p = np.asarray(probability, dtype=np.float64)
    return np.asarray((special.entr(p) + special.entr(1 - p)) / math.log(2), dtype=np.float32)


def entropy_levels(levels: Levels) -> Byte:
    """The 8-bit entropy, round(255 bits), of each stored level; ``levels`` from :func:`calibrated_levels`."""
    return np.asarray(np.rint(255 * predictive_entropy(levels)), dtype=np.uint8)


def entropy_map(probability: Byte, levels: Levels, shape: tuple[int, ...]) -> Byte:
    """Where a network is uncertain, on the image's grid.

    Parameters
    ----------
    probability : ndarray (z, y, x), uint8
        round(255 p) on the network's grid, which covers the same extent; read linearly in between.
    levels : ndarray (256,), float32
        From :func:`calibrated_levels`.
    shape : tuple of 3 int
        Of the image.

    Returns
    -------
    ndarray (Z, Y, X), uint8
        255 times the predictive entropy in bits: 255 where inside and outside are equally likely.

    Examples
    --------
    >>> entropy_map(np.array([[[0, 128, 255]]], np.uint8), calibrated_levels(None), (1, 1, 3)).tolist()
    [[[0, 255, 0]]]
    """
    places = tuple(axis_places(n, m) for n, m in zip(shape, probability.shape, strict=True))
    result = np.empty(shape, dtype=np.uint8)
    _read(probability, levels, places, entropy_levels(np.linspace(0, 1, FINE_LEVELS, dtype=np.float32)), result)
    return result


def axis_places(n: int, m: int) -> Places:
    """For each of n voxels, the two of m between whose centres it lies and the share of the second.

    Examples
    --------
    >>> [part.tolist() for part in axis_places(4, 2)]
    [[0, 0, 0, 0], [1, 1, 1, 1], [0.0, 0.25, 0.75, 1.0]]
    """
    at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
    low = np.minimum(np.floor(at).astype(np.int64), max(0, m - 2))
    return low, np.minimum(low + 1, m - 1), np.asarray(at - low, dtype=np.float32)


def along(places: Places, start: int, stop: int) -> Places:
    """The places of a stretch of voxels."""
    return places[0][start:stop], places[1][start:stop], places[2][start:stop]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def probability_at(probability: Byte, levels: Levels, z: Any, y: Any, x: Any) -> float:
    """The probability between eight voxels, each calibrated before interpolation."""
    total = 0.0
    for i in range(2):
        at_z, share_z = (z[1], z[2]) if i else (z[0], 1 - z[2])
        if share_z == 0:
            continue
        for j in range(2):
            at_y, share_y = (y[1], y[2]) if j else (y[0], 1 - y[2])
            if share_y == 0:
                continue
            low = levels[probability[at_z, at_y, x[0]]]
            high = levels[probability[at_z, at_y, x[1]]]
            total += share_z * share_y * (low + x[2] * (high - low))
    return total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _read(probability: Byte, levels: Levels, places: Any, table: Byte, result: Byte) -> None:
    along_z, along_y, along_x = places
    for i in range(result.shape[0]):
        z = (along_z[0][i], along_z[1][i], along_z[2][i])
        for j in range(result.shape[1]):
            y = (along_y[0][j], along_y[1][j], along_y[2][j])
            for k in range(result.shape[2]):
                p = probability_at(probability, levels, z, y, (along_x[0][k], along_x[1][k], along_x[2][k]))
                result[i, j, k] = table[int(p * (table.size - 1) + 0.5)]
