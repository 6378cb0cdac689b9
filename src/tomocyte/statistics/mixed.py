"""A linear mixed model of cells: conditions are fixed, replicates and dishes are random.

value = condition + replicate (+ condition within replicate, when paired) (+ dish) + cell, by REML with statsmodels.
Degrees of freedom are counted from replicates, as in the analysis of variance, never from cells. To add a random level,
add its labels in :func:`fit_mixed_model`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.statistics.effects import LEVEL, Estimate, ratio_interval
from tomocyte.statistics.levels import cell_means

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
METHODS = ["bfgs", "lbfgs", "cg"]
ZERO_SHARE = 1e-4
"""A variance below this share of the total counts as estimated zero."""
EDGE_SHARE = 0.02
"""The same where the fit stopped before it converged, as it does at the edge, where a variance is zero."""


@dataclass(frozen=True, eq=False)
class MixedModel:
    """A fitted model.

    Parameters
    ----------
    conditions : tuple of str
    means : ndarray (n_conditions,), float64
        Mean of each condition.
    covariance : ndarray (n_conditions, n_conditions), float64
        Of these means.
    df : float
        Degrees of freedom of a difference, counted from replicates.
    sd_replicate, sd_condition_in_replicate, sd_dish, sd_cell : float
        Standard deviations between replicates, between conditions within a replicate (paired designs), dishes and
        cells; NaN where the design has no such level.
    notes : tuple of str
        What is unusual about the fit.
    """

    conditions: tuple[str, ...]
    means: Float
    covariance: Float
    df: float
    sd_replicate: float
    sd_condition_in_replicate: float
    sd_dish: float
    sd_cell: float
    notes: tuple[str, ...] = ()

    def contrast(self, condition: str, control: str, level: float = LEVEL) -> tuple[Estimate, float, float]:
        """Difference of two conditions with its interval, the t statistic, and the two-sided p."""
        from scipy import stats

        weights = np.zeros(len(self.conditions))
        weights[self.conditions.index(condition)] += 1
        weights[self.conditions.index(control)] -= 1
        difference = float(weights @ self.means)
        error = math.sqrt(max(float(weights @ self.covariance @ weights), 0.0))
        if error == 0 or self.df < 1:
            return Estimate(difference), math.nan, math.nan
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * error
        statistic = difference / error
        return Estimate(difference, difference - half, difference + half), statistic, _two_sided(statistic, self.df)

    def ratio(self, condition: str, control: str, level: float = LEVEL) -> Estimate:
        """Ratio of two conditions with an interval from the delta method on its logarithm; NaN unless both are above 0.

        Examples
        --------
        >>> model = MixedModel(("a", "b"), np.array([2.0, 4.0]), np.zeros((2, 2)), 4.0, 1.0, 0.0, 0.0, 1.0)
        >>> model.ratio("b", "a").value
        2.0
        """
        from scipy import stats

        places = [self.conditions.index(condition), self.conditions.index(control)]
        first, second = self.means[places].tolist()
        if not (first > 0 and second > 0):
            return Estimate(math.nan)
        weights = np.array([1 / first, -1 / second])
        variance = float(weights @ self.covariance[np.ix_(places, places)] @ weights)
        if not variance > 0 or self.df < 1:
            return Estimate(first / second)
        return ratio_interval(first / second, float(stats.t.ppf((1 + level) / 2, self.df)) * math.sqrt(variance))


def _two_sided(statistic: float, df: float) -> float:
    from scipy import stats

    return float(2 * stats.t.sf(abs(statistic), df))


def fit_mixed_model(values: pd.DataFrame, *, is_paired: bool = False) -> MixedModel:
    """Fit the model to the cells of all conditions.

    Parameters
    ----------
    values : DataFrame
        ``condition``, ``replicate``, ``value`` and, where known, ``dish`` and ``cell``; conditions with at least two
        replicates.
    is_paired : bool
        Whether a replicate of the same name in several conditions is the same one, as where each is a day.

    Returns
    -------
    MixedModel

    References
    ----------
    Lindstrom, Bates, J Am Stat Assoc 83, 1014 (1988), doi:10.1080/01621459.1988.10478693; degrees of freedom as in
    Pinheiro, Bates, Mixed-Effects Models in S and S-PLUS, Springer (2000), section 2.4.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"condition": ["a"] * 4 + ["b"] * 4, "replicate": ["1", "1", "2", "2"] * 2}
    >>> model = fit_mixed_model(pd.DataFrame(rows).assign(value=[1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 9.0, 10.0]))
    >>> model.df, [round(mean, 6) for mean in model.means.tolist()]
    (2.0, [3.0, 8.0])
    """
    cells = cell_means(values).astype({"condition": str, "replicate": str})
    conditions = tuple(dict.fromkeys(cells["condition"]))
    observed = cells["value"].to_numpy(dtype=np.float64)
    centre, scale = float(observed.mean()), float(observed.std()) or 1.0
    fixed = np.stack([(cells["condition"] == name).to_numpy(dtype=np.float64) for name in conditions], axis=1)
    unit = cells["condition"].str.cat(cells["replicate"], sep="\0").to_numpy()
    if not is_paired and len(set(unit)) == len(cells):
        return _without_cells(conditions, observed, fixed)
    groups = cells["replicate"].to_numpy() if is_paired else unit
    random: dict[str, NDArray[Any]] = {}
    if is_paired and len(set(unit)) < len(cells):
        random["condition"] = unit
    dishes = _dishes(cells, unit)
    if dishes is not None:
        random["dish"] = dishes
    result = _fit((observed - centre) / scale, fixed, groups, random)
    n_units, n_groups = len(set(unit)), len(set(groups))
    df = n_units - len(conditions) - ((n_groups - 1) if is_paired else 0)
    variances = dict(zip(random, np.atleast_1d(result.vcomp), strict=True)) if random else {}
    between = float(np.asarray(result.cov_re)[0, 0])
    total = between + float(result.scale) + float(sum(variances.values()))
    notes: tuple[str, ...] = ()
    if between + variances.get("condition", 0.0) < (ZERO_SHARE if result.converged else EDGE_SHARE) * total:
        notes = ("the variance between replicates is estimated as zero",)
    elif not result.converged:
        notes = ("the fit did not converge",)

    def deviation(variance: float) -> float:
        return math.sqrt(max(variance, 0.0)) * scale

    return MixedModel(
        conditions,
        np.asarray(result.fe_params, dtype=np.float64) * scale + centre,
        np.asarray(result.cov_params(), dtype=np.float64)[: len(conditions), : len(conditions)] * scale**2,
        float(df),
        deviation(between),
        deviation(float(variances["condition"])) if "condition" in variances else math.nan,
        deviation(float(variances["dish"])) if "dish" in variances else math.nan,
        deviation(float(result.scale)),
        notes,
    )


def _without_cells(conditions: tuple[str, ...], observed: Float, fixed: Float) -> MixedModel:
    """The model where each replicate is one cell: the two cannot be told apart, and least squares is REML."""
    n_cells = fixed.sum(axis=0)
    means = fixed.T @ observed / n_cells
    df = len(observed) - len(conditions)
    variance = float(((observed - fixed @ means) ** 2).sum()) / df if df else math.nan
    note = "each replicate is one cell: the spread between replicates holds that between cells"
    covariance = np.diag(variance / n_cells)
    return MixedModel(
        conditions, means, covariance, float(df), math.sqrt(variance), math.nan, math.nan, math.nan, (note,)
    )


def _dishes(cells: pd.DataFrame, unit: NDArray[Any]) -> NDArray[Any] | None:
    """Labels of dishes, distinct in all of the experiment, where any replicate has several of several cells."""
    if "dish" not in cells:
        return None
    names: NDArray[Any] = cells["dish"].astype(str).to_numpy()
    labels = np.array([f"{one}\0{name}" for one, name in zip(unit, names, strict=True)])
    n_dishes = len(set(labels.tolist()))
    return labels if len(cells) > n_dishes > len(set(unit.tolist())) else None


def _fit(observed: Float, fixed: Float, groups: NDArray[Any], random: dict[str, NDArray[Any]]) -> Any:
    """The fit of statsmodels."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    # statsmodels takes the groups in sorted order.
    ordered = sorted(set(groups.tolist()))
    columns: list[list[list[str]]] = []
    matrices: list[list[Float]] = []
    for labels in random.values():
        names_of_group, designs = [], []
        for group in ordered:
            inside = labels[groups == group]
            names = sorted(set(inside.tolist()))
            names_of_group.append(names)
            designs.append((inside[:, None] == np.array(names)[None, :]).astype(np.float64))
        columns.append(names_of_group)
        matrices.append(designs)
    components = VCSpec(list(random), columns, matrices) if random else None
    model = MixedLM(observed, fixed, groups, exog_re=np.ones((len(observed), 1)), exog_vc=components)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is looked at: convergence here, variances of zero above
        result = model.fit(reml=True, method=METHODS)
    return result
