"""Label this slice next: the one whose labelling is expected to remove most wrong voxels.

The uncertainty of a slice, summed, is how many of its voxels are expected to be wrong. How that falls when a slice of
its slab is labelled is modelled: labels stray from the labelled slices like a random walk that both ends hold (a
Brownian bridge), so that errors are proportional to ``(z - a)(b - z) / (b - a)`` between labelled slices ``a`` and
``b``, and to the distance beyond the first and the last. Where they are equal everywhere, the largest gap is halved; so
they are, even where what is wrong cannot be seen (objects within a gap). Slices that follow are planned as if those
before them were labelled already. To let errors fall in another manner, change :func:`_spread`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.propagation.method import DenseLabels

N_TILES = 8
"""Where on a slice to look is said to an eighth of its sides."""
Slab = tuple[int | None, int | None]


@dataclass(frozen=True)
class ErrorProfile:
    """How many voxels of each slice are expected to be wrong.

    Parameters
    ----------
    slices : tuple of int
        The labelled slices.
    errors : ndarray (N,), float64
        Voxels of each slice that are expected to be wrong; 0 on labelled ones.
    is_filled : ndarray (N,), bool
        Whether the method labelled the slice, or left it out.
    places : ndarray (N, 2), int64
        Row and column around which most of the errors of a slice are expected.
    """

    slices: tuple[int, ...]
    errors: NDArray[np.float64]
    is_filled: NDArray[np.bool_]
    places: NDArray[np.int64]


@dataclass(frozen=True)
class NextSlice:
    """A slice that is worth labelling.

    Parameters
    ----------
    index : int
        The slice, from 0.
    gain_voxels : float
        Wrong voxels that its labelling is expected to remove, itself included, once the slices named before it are
        labelled.
    place : tuple of 2 int
        Row and column on it around which most errors are expected.
    """

    index: int
    gain_voxels: float
    place: tuple[int, int]


def labour_saved(n_labelled: int, n_slices: int) -> float:
    """Share of the slices that nobody has to paint.

    Examples
    --------
    >>> labour_saved(5, 100)
    0.95
    """
    return 1 - n_labelled / n_slices


def profile_errors(
    dense: DenseLabels,
    slices: tuple[int, ...],
    axis: str = "z",
    *,
    callback: Callable[[int, int], None] = silent,
) -> ErrorProfile:
    """The expected errors of every slice of propagated labels.

    A slice that was not filled (uncertainty 1 everywhere) is expected to hold as many wrong voxels as the nearest
    labelled slice holds labelled ones.

    Parameters
    ----------
    dense : DenseLabels
        Labels and uncertainty (Z, Y, X).
    slices : tuple of int
        The labelled slices.
    axis : {"z", "y", "x"}
        Along which they were labelled.
    callback : callable, optional
        Called with the number of slices looked at and of all.

    Raises
    ------
    SettingsError
        ``E-PROPAGATION-SETTINGS``: without uncertainty.

    Examples
    --------
    >>> uncertainty = np.zeros((3, 1, 4), np.float32)
    >>> uncertainty[1, 0, 2:] = 0.5
    >>> profile_errors(DenseLabels(np.ones((3, 1, 4), np.uint8), uncertainty), (0, 2)).errors.tolist()
    [0.0, 1.0, 0.0]
    """
    along = np.moveaxis(dense.uncertainty, "zyx".index(axis), 0)
    labels = np.moveaxis(dense.labels, "zyx".index(axis), 0)
    if np.isnan(along[0, 0, 0]):
        raise SettingsError(
            "E-PROPAGATION-SETTINGS",
            "the next slice is asked for, and is_uncertainty_measured=false leaves out what it is known from.",
            cure="Leave --next or --set is_uncertainty_measured=false out.",
        )
    n_slices = len(along)
    errors, is_filled = np.zeros(n_slices), np.ones(n_slices, dtype=bool)
    places = np.zeros((n_slices, 2), np.int64)
    for index in range(n_slices):
        plane = along[index]
        is_filled[index] = index in slices or float(plane.min()) < 1
        if not is_filled[index]:
            nearest = min(slices, key=lambda labelled: abs(labelled - index))
            plane = (labels[nearest] > 0).astype(np.float32)
        errors[index] = plane.sum(dtype=np.float64)
        places[index] = _densest(plane)
        callback(index + 1, n_slices)
    errors[list(slices)] = 0
    return ErrorProfile(slices, errors, is_filled, places)


def _densest(plane: NDArray[np.float32]) -> tuple[int, int]:
    """The middle of the tile that holds most."""
    starts = [np.unique(np.arange(N_TILES) * size // N_TILES) for size in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(plane, starts[0], axis=0, dtype=np.float64), starts[1], axis=1)
    tile = np.unravel_index(int(sums.argmax()), sums.shape)
    ends = [np.append(start[1:], size) for start, size in zip(starts, plane.shape, strict=True)]
    row, column = (int(start[at] + end[at]) // 2 for start, end, at in zip(starts, ends, tile, strict=True))
    return row, column


def next_slices(profile: ErrorProfile, n_next: int) -> tuple[NextSlice, ...]:
    """The slices to label next, best first, each as if those before it were labelled.

    Parameters
    ----------
    profile : ErrorProfile
    n_next : int
        How many; fewer are returned where no more errors are expected.

    Examples
    --------
    All errors are expected on slice 3 of 0 to 8: labelling it removes them.

    >>> errors = np.array([0, 0, 0, 12.0, 0, 0, 0, 0, 0])
    >>> profile = ErrorProfile((0, 8), errors, np.ones(9, bool), np.zeros((9, 2), np.int64))
    >>> [(found.index, found.gain_voxels) for found in next_slices(profile, 3)]
    [(3, 12.0)]
    """
    growth = _growth(profile)
    walls: list[int | None] = [None, *profile.slices, None]
    slabs = list(pairwise(walls))
    best = [_best_of(profile, growth, slab) for slab in slabs]
    found: list[NextSlice] = []
    while len(found) < n_next:
        at = max(range(len(slabs)), key=lambda place: best[place][1])
        index, gain = best[at]
        if gain <= 1e-9 * max(1.0, float(profile.errors.sum())):
            break
        row, column = profile.places[index].tolist()
        found.append(NextSlice(index, gain, (row, column)))
        parts: list[Slab] = [(slabs[at][0], index), (index, slabs[at][1])]
        slabs[at : at + 1] = parts
        best[at : at + 1] = [_best_of(profile, growth, part) for part in parts]
    return tuple(found)


def _inside(slab: Slab, n_slices: int) -> NDArray[np.int64]:
    before, after = slab
    return np.arange(0 if before is None else before + 1, n_slices if after is None else after)


def _spread(slab: Slab, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Variance of a random walk at these slices, in units of one step, held at the labelled ends of the slab.

    Where no slice is labelled, it is that beside one, so that labelling one removes what is wrong on it.
    """
    before, after = slab
    if before is None and after is None:
        return np.ones(len(indices))
    if before is None or after is None:
        end = after if before is None else before
        return np.abs(indices - (0 if end is None else end)).astype(np.float64)
    return np.asarray((indices - before) * (after - indices) / (after - before), dtype=np.float64)


def _growth(profile: ErrorProfile) -> NDArray[np.float64]:
    """Expected errors of each slice per spread; where nothing was filled, the mean of the slices that were."""
    n_slices = len(profile.errors)
    spread = np.zeros(n_slices)
    walls: list[int | None] = [None, *profile.slices, None]
    for slab in pairwise(walls):
        indices = _inside(slab, n_slices)
        spread[indices] = _spread(slab, indices)
    per_spread = np.divide(profile.errors, spread, out=np.zeros_like(spread), where=spread > 0)
    is_known = profile.is_filled & (spread > 0)
    if is_known.any():
        per_spread[~profile.is_filled] = profile.errors[is_known].sum() / spread[is_known].sum()
    return per_spread


def _left(profile: ErrorProfile, per_spread: NDArray[np.float64], slab: Slab) -> float:
    """Errors expected in a slab; a slice that was not filled stays so beyond the last labelled one."""
    indices = _inside(slab, len(profile.errors))
    modelled = np.minimum(profile.errors[indices], per_spread[indices] * _spread(slab, indices))
    if slab[0] is None or slab[1] is None:
        modelled = np.where(profile.is_filled[indices], modelled, profile.errors[indices])
    return float(modelled.sum())


def _best_of(profile: ErrorProfile, growth: NDArray[np.float64], slab: Slab) -> tuple[int, float]:
    """The slice of a slab that removes most when labelled, and how much; of equal ones the middle one."""
    indices = _inside(slab, len(profile.errors))
    if not len(indices):
        return 0, 0.0
    now = _left(profile, growth, slab)
    halves = [((slab[0], int(index)), (int(index), slab[1])) for index in indices]
    gains = np.array([now - sum(_left(profile, growth, half) for half in both) for both in halves])
    is_best = np.flatnonzero(gains >= gains.max() * (1 - 1e-9))
    at = int(is_best[len(is_best) // 2])
    return int(indices[at]), float(gains[at])
