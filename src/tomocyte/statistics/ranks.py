"""Whether one number foretells another: the correlation of ranks, with an interval and a p value that suit few pairs.

To add another measure of association, write a function that returns a :class:`RankCorrelation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tomocyte.errors import SettingsError

FEWEST_PAIRS = 4


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation of ranks.

    Parameters
    ----------
    value : float
        -1 to 1; NaN with fewer than four pairs, or where one of the two does not vary.
    low, high : float
        Ends of the interval, from resampled pairs.
    p : float
        How often shuffled pairs are correlated as strongly, either way.
    n_pairs : int
        Pairs in which both are finite.
    """

    value: float
    low: float
    high: float
    p: float
    n_pairs: int


def correlate_ranks(
    first: ArrayLike, second: ArrayLike, *, rng: np.random.Generator, level: float = 0.95, n_resamples: int = 2000
) -> RankCorrelation:
    """Spearman's correlation with a bootstrap interval and a permutation test.

    Parameters
    ----------
    first, second : array-like (n,), float
        Pairs with a NaN are left out.
    rng : numpy.random.Generator
    level : float
    n_resamples : int
        Of the pairs, and of the shuffles.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: not two lists of the same length.

    Examples
    --------
    >>> correlate_ranks([1, 2, 3, 4, 5], [1, 3, 2, 5, 9], rng=np.random.default_rng(1)).value
    0.9
    """
    from scipy import stats

    values, others = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if values.ndim != 1 or values.shape != others.shape:
        raise SettingsError("E-SHAPE", f"pairs need two lists of the same length, not {values.shape}, {others.shape}.")
    both = np.isfinite(values) & np.isfinite(others)
    pairs = np.column_stack([values[both], others[both]])
    n_pairs = len(pairs)
    rho = _correlation(stats.rankdata(pairs, axis=0)) if n_pairs >= FEWEST_PAIRS else math.nan
    if math.isnan(rho):
        return RankCorrelation(math.nan, math.nan, math.nan, math.nan, n_pairs)
    resampled = pairs[rng.integers(n_pairs, size=(n_resamples, n_pairs))]
    draws = np.array([_correlation(stats.rankdata(one, axis=0)) for one in resampled])
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    ranks = stats.rankdata(pairs, axis=0)
    shuffled = np.array([_correlation(np.column_stack([ranks[:, 0], rng.permutation(ranks[:, 1])]))
                         for _ in range(n_resamples)])  # fmt: skip
    p = (1 + int(np.count_nonzero(np.abs(shuffled) >= abs(rho) - 1e-12))) / (1 + n_resamples)
    return RankCorrelation(round(rho, 12), float(low), float(high), float(p), n_pairs)


def _correlation(ranks: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Pearson's of two columns; NaN where one does not vary."""
    centred = ranks - ranks.mean(axis=0)
    norm = math.sqrt(float(np.prod(np.square(centred).sum(axis=0))))
    return float((centred[:, 0] * centred[:, 1]).sum()) / norm if norm > 0 else math.nan
