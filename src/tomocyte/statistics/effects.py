"""How large a difference is, with its interval: in units, as a ratio, and in standard deviations.

Arrays hold one independent value each: means of replicates, not cells. To add an effect size, write a function that
returns an :class:`Estimate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomocyte.statistics.noncentral import noncentral_limits

Float = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of independent values with Student's interval.

    Parameters
    ----------
    values : array-like (n,), float
    level : float
        Confidence, in (0, 1).

    Examples
    --------
    >>> mean = mean_interval([1.0, 2.0, 3.0])
    >>> round(mean.value, 3), round(mean.low, 3), round(mean.high, 3)
    (2.0, -0.484, 4.484)
    """
    from scipy import stats

    finite = _finite(values)
    if len(finite) == 0:
        return Estimate(math.nan)
    mean = float(finite.mean())
    if len(finite) == 1:
        return Estimate(mean)
    half = float(stats.t.ppf((1 + level) / 2, len(finite) - 1)) * float(finite.std(ddof=1)) / math.sqrt(len(finite))
    return Estimate(mean, mean - half, mean + half)


def welch_terms(values: ArrayLike, control: ArrayLike) -> tuple[float, float, float]:
    """Difference of means (values minus control), its standard error and Welch's degrees of freedom.

    References
    ----------
    Welch, Biometrika 34, 28 (1947), doi:10.1093/biomet/34.1-2.28.
    """
    first, second = _finite(values), _finite(control)
    shares = [float(part.var(ddof=1)) / len(part) for part in (first, second)]
    difference, total = float(first.mean() - second.mean()), sum(shares)
    if total == 0:
        return difference, 0.0, float(len(first) + len(second) - 2)
    df = total**2 / sum(share**2 / (len(part) - 1) for share, part in zip(shares, (first, second), strict=True))
    return difference, math.sqrt(total), df


def difference_of_means(
    values: ArrayLike, control: ArrayLike, *, is_paired: bool = False, level: float = LEVEL
) -> Estimate:
    """Difference of two means, values minus control, with Welch's interval, or that of the paired differences.

    Parameters
    ----------
    values, control : array-like, float
        Independent values; of the same length and order when paired.

    Examples
    --------
    >>> difference = difference_of_means([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    >>> round(difference.value, 3), round(difference.low, 3), round(difference.high, 3)
    (2.0, -0.267, 4.267)
    """
    from scipy import stats

    if is_paired:
        return mean_interval(np.asarray(values, float) - np.asarray(control, float), level)
    first, second = _finite(values), _finite(control)
    if min(len(first), len(second)) == 0:
        return Estimate(math.nan)
    if min(len(first), len(second)) < 2:
        return Estimate(float(first.mean() - second.mean()))
    difference, error, df = welch_terms(first, second)
    half = float(stats.t.ppf((1 + level) / 2, df)) * error
    return Estimate(difference, difference - half, difference + half)


def ratio_of_means(values: ArrayLike, control: ArrayLike, *, is_paired: bool = False, level: float = LEVEL) -> Estimate:
    """Ratio of two means, values over control, with an interval from the delta method on its logarithm.

    NaN unless both means are positive.

    Examples
    --------
    >>> round(ratio_of_means([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).value, 3)
    2.0
    """
    from scipy import stats

    first, second = np.asarray(values, float), np.asarray(control, float)
    if not is_paired:
        first, second = _finite(first), _finite(second)
    if min(len(first), len(second)) == 0 or not (first.mean() > 0 and second.mean() > 0):
        return Estimate(math.nan)
    ratio = float(first.mean() / second.mean())
    if min(len(first), len(second)) < 2:
        return Estimate(ratio)
    scaled = first / first.mean(), second / second.mean()
    if is_paired:
        steps = scaled[0] - scaled[1]
        error, df = float(steps.std(ddof=1)) / math.sqrt(len(steps)), float(len(steps) - 1)
    else:
        _, error, df = welch_terms(*scaled)
    return ratio_interval(ratio, float(stats.t.ppf((1 + level) / 2, df)) * error)


def ratio_interval(ratio: float, half: float) -> Estimate:
    """A ratio with the interval whose logarithm reaches as far to both sides.

    Examples
    --------
    >>> interval = ratio_interval(2.0, 1000.0)
    >>> interval.low, interval.high
    (0.0, inf)
    """
    with np.errstate(over="ignore", under="ignore"):
        low, high = ratio * np.exp([-half, half])
    return Estimate(ratio, float(low), float(high))


def hedges_g(values: ArrayLike, control: ArrayLike, *, level: float = LEVEL) -> Estimate:
    """Difference of two means over their pooled standard deviation, corrected for small samples (Hedges' g).

    Parameters
    ----------
    values, control : array-like, float
        Independent values.

    Returns
    -------
    Estimate
        In standard deviations; the interval inverts the noncentral t distribution. NaN without spread.

    References
    ----------
    Hedges, J Educ Stat 6, 107 (1981), doi:10.3102/10769986006002107 (his exact factor c(m)); Cumming, Finch, Educ
    Psychol Meas 61, 532 (2001), doi:10.1177/0013164401614002.

    Examples
    --------
    >>> round(hedges_g([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).value, 4)
    1.5958
    """
    from scipy import special

    first, second = _finite(values), _finite(control)
    n_first, n_second = len(first), len(second)
    df = n_first + n_second - 2
    if min(n_first, n_second) < 1 or df < 2:  # with one degree of freedom the factor is 0
        return Estimate(math.nan)
    squares = float(((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum())
    if squares == 0:
        return Estimate(math.nan)
    cohens_d = float(first.mean() - second.mean()) / math.sqrt(squares / df)
    correction = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    weight = math.sqrt(n_first * n_second / (n_first + n_second))
    low, high = noncentral_limits(cohens_d * weight, df, level)
    return Estimate(cohens_d * correction, low / weight * correction, high / weight * correction)


def _finite(values: ArrayLike) -> Float:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]
