"""Several predictions of one image (flips, or several models) as one: their mean and how far they disagree.

Predictions are 8-bit probabilities on the network's grid and are added one by one, so that only sums are held. To judge
disagreement in another way, add a sum to :class:`Ensemble`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.uncertainty import Byte, predictive_entropy

MOST_MEMBERS = 64


class Ensemble:
    """Add members, then ask for what they say together.

    Parameters
    ----------
    shape : tuple of int
        (K, z, y, x) of every member.

    Examples
    --------
    >>> both = Ensemble((1, 1, 1, 2))
    >>> for member in ([0, 102], [255, 102]):
    ...     both.add(np.array(member, np.uint8).reshape(1, 1, 1, 2))
    >>> both.mean().ravel().tolist(), both.spread().ravel().tolist()
    ([128, 102], [128, 0])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.n_members = 0
        self._sum = np.zeros(shape, dtype=np.uint16)
        self._squares = np.zeros(shape, dtype=np.uint32)

    def add(self, probability: Byte) -> None:
        """Add a member.

        Parameters
        ----------
        probability : ndarray (K, z, y, x), uint8
            round(255 p).

        Raises
        ------
        SettingsError
            ``E-SHAPE``; ``E-ENSEMBLE``: more than 64 members.
        """
        if probability.shape != self._sum.shape or probability.dtype != np.uint8:
            raise SettingsError("E-SHAPE", f"a member {probability.shape} does not fit {self._sum.shape}.")
        if self.n_members == MOST_MEMBERS:
            raise SettingsError("E-ENSEMBLE", f"an ensemble has at most {MOST_MEMBERS} members.", cure="Use fewer.")
        self.n_members += 1
        for part, total, squares in zip(probability, self._sum, self._squares, strict=True):
            for z, plane in enumerate(part):
                total[z] += plane
                squares[z] += np.square(plane, dtype=np.uint32)

    def mean(self) -> Byte:
        """Mean probability, round(255 p), (K, z, y, x) uint8."""
        n = self._members()
        result = np.empty(self._sum.shape, dtype=np.uint8)
        for part, out in zip(self._sum, result, strict=True):
            for z, plane in enumerate(part):
                out[z] = np.floor(plane / n + 0.5)
        return result

    def spread(self) -> Byte:
        """Standard deviation over the members (over n, not n - 1), round(255 sd), (K, z, y, x) uint8; at most 128."""
        n = self._members()
        result = np.empty(self._sum.shape, dtype=np.uint8)
        for part, squares, out in zip(self._sum, self._squares, result, strict=True):
            for z, plane in enumerate(part):
                variance = squares[z] / n - np.square(plane / n)
                out[z] = np.floor(np.sqrt(np.maximum(variance, 0)) + 0.5)
        return result

    def _members(self) -> int:
        if self.n_members == 0:
            raise SettingsError("E-ENSEMBLE", "an ensemble without members says nothing.", cure="Add at least one.")
        return self.n_members


def mutual_information(members: NDArray[Any]) -> NDArray[np.float32]:
    """The part of the doubt, in bits, that comes from members disagreeing: H(mean p) - mean H(p).

    Parameters
    ----------
    members : ndarray (M, …), float, in [0, 1]

    Returns
    -------
    ndarray (…), float32, in [0, 1]
        0 where all members say the same, 1 where half are sure of inside and half of outside.

    References
    ----------
    Houlsby et al., arXiv:1112.5745 (2011); Depeweg et al., Proc. ICML 80, 1184 (2018), arXiv:1710.07283.

    Examples
    --------
    >>> mutual_information(np.array([[0.0, 0.5], [1.0, 0.5]])).tolist()
    [1.0, 0.0]
    """
    together = predictive_entropy(np.asarray(np.mean(members, axis=0, dtype=np.float64)))
    alone = np.mean(predictive_entropy(members), axis=0, dtype=np.float64)
    return np.asarray(np.maximum(together - alone, 0), dtype=np.float32)


def flips(n_axes: int) -> Iterator[tuple[int, ...]]:
    """All sets of spatial axes, counted from the last, that an image can be flipped along; the first is none.

    Examples
    --------
    >>> list(flips(2))
    [(), (-2,), (-1,), (-2, -1)]
    """
    axes = tuple(range(-n_axes, 0))
    for n in range(n_axes + 1):
        yield from itertools.combinations(axes, n)


def predict_flipped(
    image: NDArray[np.float32], predict: Callable[[NDArray[np.float32]], Byte], axes: tuple[int, ...]
) -> Byte:
    """The probability of an image predicted upside down, turned back.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
    predict : callable
        Image to round(255 p), (K, z, y, x) uint8, over the same extent.
    axes : tuple of int
        From :func:`flips`.
    """
    turned = np.ascontiguousarray(np.flip(image, axes)) if axes else image
    return np.ascontiguousarray(np.flip(predict(turned), axes)) if axes else predict(turned)
