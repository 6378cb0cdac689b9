"""Two methods on the same objects: whether they differ, and whether they are equivalent.

A large p value does not show that two methods agree; the test of equivalence does. To add a test, add a field to
:class:`MethodComparison` and fill it in :func:`compare_methods`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tomocyte.errors import SettingsError
from tomocyte.statistics.effects import LEVEL, Estimate, mean_interval


@dataclass(frozen=True)
class MethodComparison:
    """Two methods on the same, independent objects; differences are the first minus the second.

    Parameters
    ----------
    n_pairs : int
        Pairs in which both values are finite.
    difference : Estimate
        Mean difference with Student's interval.
    t, df, p_t : float
        Paired t test.
    p_wilcoxon : float
        Wilcoxon's signed-rank test, which needs no normal distribution, only symmetry.
    margin : float
        Differences within ∓ margin count as no difference; NaN where none was given.
    p_equivalence : float
        Two one-sided t tests: small where the mean difference lies within the margin.
    words : str
        What all of this says.
    """

    n_pairs: int
    difference: Estimate
    t: float
    df: float
    p_t: float
    p_wilcoxon: float
    margin: float
    p_equivalence: float
    words: str


def compare_methods(
    first: ArrayLike, second: ArrayLike, *, margin: float | None = None, level: float = LEVEL
) -> MethodComparison:
    """Paired tests of two methods.

    Parameters
    ----------
    first, second : array-like (n,), float, same unit
        One value per object of each method; pairs with a NaN are left out.
    margin : float, optional
        Largest difference that does not matter, above 0, in the unit of the values; without it equivalence is not
        tested.
    level : float
        Of the interval; equivalence is tested at 1 - level.

    Returns
    -------
    MethodComparison
        Tests are NaN with fewer than two pairs, or without any spread.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: not two lists of the same length; ``E-MARGIN``: the margin is not above 0.

    References
    ----------
    Wilcoxon, Biometrics 1, 80 (1945), doi:10.2307/3001968; Schuirmann, J Pharmacokinet Biopharm 15, 657 (1987),
    doi:10.1007/BF01068419.

    Examples
    --------
    >>> result = compare_methods([1.0, 2.0, 3.0, 4.0], [1.1, 2.0, 2.8, 4.2], margin=0.5)
    >>> round(result.difference.value, 3), round(result.p_t, 2), result.p_equivalence < 0.05
    (-0.025, 0.79, True)
    """
    from scipy import stats

    values, others = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if values.ndim != 1 or values.shape != others.shape:
        raise SettingsError(
            "E-SHAPE", f"paired values need two lists of the same length, not {values.shape} and {others.shape}."
        )
    if margin is not None and not margin > 0:
        raise SettingsError(
            "E-MARGIN",
            f"a margin of {margin} is not above 0.",
            cure="Give the largest difference that does not matter.",
        )
    steps = (values - others)[np.isfinite(values) & np.isfinite(others)]
    difference, n_pairs = mean_interval(steps, level), len(steps)
    error = float(steps.std(ddof=1)) / math.sqrt(n_pairs) if n_pairs > 1 else 0.0
    given = math.nan if margin is None else float(margin)
    if error == 0:
        words = f"{n_pairs} pairs do not differ in their differences: nothing can be tested."
        return MethodComparison(n_pairs, difference, math.nan, math.nan, math.nan, math.nan, given, math.nan, words)
    df, t = float(n_pairs - 1), difference.value / error
    p_t = float(2 * stats.t.sf(abs(t), df))
    p_wilcoxon = float(stats.wilcoxon(steps).pvalue)
    p_equivalence = math.nan
    if margin is not None:
        p_equivalence = float(max(stats.t.sf((difference.value + margin) / error, df),
                                  stats.t.cdf((difference.value - margin) / error, df)))  # fmt: skip
    words = _words(n_pairs, difference, p_t, p_wilcoxon, given, p_equivalence, level)
    return MethodComparison(n_pairs, difference, t, df, p_t, p_wilcoxon, given, p_equivalence, words)


def _words(
    n_pairs: int, difference: Estimate, p_t: float, p_wilcoxon: float, margin: float, p_equivalence: float, level: float
) -> str:
    alpha = 1 - level
    interval = f"{level:.0%} interval {difference.low:.3g} to {difference.high:.3g}"
    text = (
        f"{n_pairs} objects, each measured by both methods: mean difference {difference.value:.3g} ({interval}); "
        f"paired t test p = {p_t:.2g}, Wilcoxon's signed-rank test p = {p_wilcoxon:.2g}."
    )
    is_different, is_tested = p_t < alpha, not math.isnan(p_equivalence)
    if not is_tested:
        return text + (
            " The methods differ." if is_different else " No difference was found; that does not show that they agree."
        )
    if p_equivalence < alpha:
        small = " They differ by less than matters." if is_different else ""
        return (
            f"{text} They are equivalent within {margin:.3g} (two one-sided t tests, p = {p_equivalence:.2g}).{small}"
        )
    unclear = "they differ" if is_different else "too few or too scattered pairs to decide"
    return f"{text} Not shown to be equivalent within {margin:.3g} (p = {p_equivalence:.2g}): {unclear}."
