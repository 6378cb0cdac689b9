"""How many replicates an experiment needs, and what it can show with those it has.

Replicates are what counts: more cells per replicate only sharpen its mean. To add a design, add its degrees of freedom
and noncentrality to :func:`power_of_t`.
"""

from __future__ import annotations

import math

from tomocyte.errors import SettingsError
from tomocyte.statistics.noncentral import noncentral_t_cdf

POWER, ALPHA = 0.8, 0.05
MOST_REPLICATES = 1000


def power_of_t(
    difference: float, sd: float, n_replicates: int, *, is_paired: bool = False, alpha: float = ALPHA
) -> float:
    """Share of experiments in which a two-sided t test would find a difference.

    Parameters
    ----------
    difference : float
        True difference of the means, in the unit of ``sd``.
    sd : float
        Standard deviation of the means of replicates, or, when paired, of their differences; above 0.
    n_replicates : int
        Per condition, at least 2.
    is_paired : bool
        Whether replicates of two conditions belong together.
    alpha : float
        Level of the test.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. (1988), chapter 2.

    Examples
    --------
    >>> round(power_of_t(0.5, 1.0, 64), 3)
    0.801
    """
    from scipy import stats

    if not sd > 0 or n_replicates < 2:
        raise SettingsError(
            "E-POWER", f"no power follows from a deviation of {sd} and {n_replicates} replicates.",
            cure="Give a deviation above 0 and at least 2 replicates.",
        )  # fmt: skip
    df = n_replicates - 1 if is_paired else 2 * n_replicates - 2
    shift = abs(difference) / sd * math.sqrt(n_replicates if is_paired else n_replicates / 2)
    threshold = float(stats.t.ppf(1 - alpha / 2, df))
    return 1.0 - noncentral_t_cdf(threshold, df, shift) + noncentral_t_cdf(-threshold, df, shift)


def replicates_needed(
    difference: float, sd: float, *, is_paired: bool = False, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Fewest replicates per condition with which a difference is found with that power.

    Returns
    -------
    int or None
        At least 2; ``None`` for more than 1000, or no difference.

    Examples
    --------
    >>> replicates_needed(0.5, 1.0), replicates_needed(0.8, 1.0), replicates_needed(0.5, 1.0, is_paired=True)
    (64, 26, 34)
    """
    if difference == 0:
        return None
    low, high = 2, MOST_REPLICATES
    if power_of_t(difference, sd, high, is_paired=is_paired, alpha=alpha) < power:
        return None
    while low < high:
        middle = (low + high) // 2
        if power_of_t(difference, sd, middle, is_paired=is_paired, alpha=alpha) >= power:
            high = middle
        else:
            low = middle + 1
    return low


def detectable_difference(
    sd: float, n_replicates: int, *, is_paired: bool = False, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Smallest true difference that is found with that power with so many replicates per condition, in the unit of sd.

    Examples
    --------
    >>> round(detectable_difference(1.0, 64), 2)
    0.5
    """
    from scipy import optimize

    def excess(difference: float) -> float:
        return power_of_t(difference, sd, n_replicates, is_paired=is_paired, alpha=alpha) - power

    high = sd
    while excess(high) < 0:
        high *= 2
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-6 * sd))
