"""Observed against chance: expected value, effect, z and p from values of random placements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tomocyte.measurements.spatial._kernels import Floats


@dataclass(frozen=True)
class Comparison:
    """An observed value beside those of random placements.

    Parameters
    ----------
    expected : float
        Mean over the placements.
    effect : float
        Observed / expected; NaN when 0 is expected.
    z : float
        (observed - expected) / standard deviation of the placements; NaN when that is 0.
    p : float
        Two-sided: twice the share of placements at least as extreme, the observed one counted among them, at most 1.
    """

    expected: float
    effect: float
    z: float
    p: float


NOTHING = Comparison(math.nan, math.nan, math.nan, math.nan)


def compare(observed: float, placed: Floats) -> Comparison:
    """Compare an observed value with those of random placements.

    With n placements the smallest p is 2 / (n + 1): no p is 0.

    Parameters
    ----------
    observed : float
    placed : float64 ndarray (n,)
        One value per placement.

    Returns
    -------
    Comparison
        All NaN when the observed value is not finite, or nothing was placed.

    References
    ----------
    The + 1: Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> compare(5.0, np.array([1.0, 2.0, 3.0]))
    Comparison(expected=2.0, effect=2.5, z=3.0, p=0.5)
    """
    if not len(placed) or not math.isfinite(observed) or not np.isfinite(placed).all():
        return NOTHING
    expected = float(placed.mean())
    spread = float(placed.std(ddof=1)) if len(placed) > 1 else 0.0
    # Sums in another order may differ in the last digits: what is equal but for those is equal.
    slack = 1e-9 * max(1.0, abs(observed))
    n_above = int(np.count_nonzero(placed >= observed - slack))
    n_below = int(np.count_nonzero(placed <= observed + slack))
    p = min(1.0, 2 * (1 + min(n_above, n_below)) / (len(placed) + 1))
    is_spread = spread > slack
    return Comparison(
        expected,
        observed / expected if expected else math.nan,
        (observed - expected) / spread if is_spread else math.nan,
        p,
    )
