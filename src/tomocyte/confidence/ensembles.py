"""Several predictions of one image (flips, or several models) combined: their mean and how much they disagree.

Predictions are 8-bit probabilities on the network's grid and are added one by one, so that only sums are held. To add a
measure of disagreement, add a sum to :class:`Ensemble`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from tomocyte.confidence.voxels import Byte
from tomocyte.errors import SettingsError

MOST_MEMBERS = 64


class Ensemble:
    """Members are added one by one; then their mean and spread can be computed.

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
            raise SettingsError(
                "E-SHAPE", f"a member must be uint8 {self._sum.shape}, not {probability.dtype} {probability.shape}."
            )
        if self.n_members == MOST_MEMBERS:
            raise SettingsError("E-ENSEMBLE", f"an ensemble has at most {MOST_MEMBERS} members.", cure="Use fewer.")
        self.n_members += 1
        for output, total, squares in zip(probability, self._sum, self._squares, strict=True):
            for z, plane in enumerate(output):
                total[z] += plane
                squares[z] += np.square(plane, dtype=np.uint32)

    def mean(self) -> Byte:
        """Mean probability, round(255 p), (K, z, y, x) uint8."""
        n = self._members()
        result = np.empty(self._sum.shape, dtype=np.uint8)
        for output, out in zip(self._sum, result, strict=True):
            for z, plane in enumerate(output):
                out[z] = np.floor(plane / n + 0.5)
        return result

    def spread(self) -> Byte:
        """Standard deviation over the members (over n, not n - 1), round(255 sd), (K, z, y, x) uint8; at most 128."""
        n = self._members()
        result = np.empty(self._sum.shape, dtype=np.uint8)
        for output, squares, out in zip(self._sum, self._squares, result, strict=True):
            for z, plane in enumerate(output):
                variance = squares[z] / n - np.square(plane / n)
                out[z] = np.floor(np.sqrt(np.maximum(variance, 0)) + 0.5)
        return result

    def _members(self) -> int:
        if self.n_members == 0:
            raise SettingsError("E-ENSEMBLE", "the ensemble has no members.", cure="Add at least one.")
        return self.n_members


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
