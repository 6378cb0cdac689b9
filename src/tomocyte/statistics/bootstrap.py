"""Bootstrap intervals of scores, which resample whole groups.

Frames of one cell or patches of one image are not independent, so groups are drawn, never single images. To add a kind
of interval that SciPy offers, add its name to :class:`BootstrapSettings`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings

Float = NDArray[np.float64]


class BootstrapSettings(Settings):
    """How groups are resampled."""

    n_resamples: int = Field(default=2000, ge=100, le=1_000_000)
    """Number of resamples of the groups."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Level of confidence of the interval."""
    method: Literal["percentile", "BCa"] = "percentile"
    """Percentiles of the resamples, or bias-corrected and accelerated ones."""


@dataclass(frozen=True)
class Interval:
    """A statistic with its interval.

    Parameters
    ----------
    value, low, high : float
        The ends are NaN where there is no interval; ``reason`` says why.
    n_groups : int
        Groups that were resampled.
    reason : str
        Why there is no interval; ``""`` when there is one.
    """

    value: float
    low: float
    high: float
    n_groups: int
    reason: str = ""


def bootstrap_interval(
    group_sums: NDArray[Any],
    statistic: Callable[[Float], Float],
    *,
    rng: np.random.Generator,
    settings: BootstrapSettings | None = None,
) -> Interval:
    """Interval of a statistic of sums, resampling groups with replacement.

    Parameters
    ----------
    group_sums : ndarray (n_groups, k), float
        Contribution of each group: for a mean over images (sum of values, number of images), for a pooled score its
        counts.
    statistic : callable
        From sums (..., k) to values (...); ``lambda s: s[..., 0] / s[..., 1]`` for a mean.
    rng : numpy Generator
        Source of the draws.
    settings : BootstrapSettings, optional

    Raises
    ------
    SettingsError
        ``E-SHAPE``: not a table of groups.

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap, Chapman & Hall (1993), chapters 13 and 14; the resampling is
    SciPy's (``scipy.stats.bootstrap``).

    Examples
    --------
    >>> sums = np.array([[1.8, 2], [0.7, 1], [0.8, 1]])
    >>> mean = bootstrap_interval(sums, lambda s: s[..., 0] / s[..., 1], rng=np.random.default_rng(1))
    >>> round(mean.value, 3), mean.low < mean.value < mean.high
    (0.825, True)
    """
    from scipy import stats

    sums = np.asarray(group_sums, dtype=np.float64)
    if sums.ndim != 2:
        raise SettingsError("E-SHAPE", f"sums per group need two axes (groups, sums), not {sums.shape}.")
    options = settings or BootstrapSettings()

    def resampled(index: NDArray[np.int64], axis: int = -1) -> Float:
        """The statistic for groups drawn along the last axis."""
        return _quiet(statistic, sums[np.moveaxis(index, axis, -1)].sum(axis=-2))

    n_groups = len(sums)
    value = float(_quiet(statistic, sums.sum(axis=0))) if n_groups else math.nan
    if math.isnan(value):
        return Interval(value, math.nan, math.nan, n_groups, "no image has a value")
    if n_groups < 2:
        return Interval(value, math.nan, math.nan, n_groups, "an interval needs two groups")
    # A distribution without spread shows as NaN ends.
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        bootstrap = stats.bootstrap(
            (np.arange(n_groups),),
            resampled,
            n_resamples=options.n_resamples,
            confidence_level=options.level,
            method=options.method,
            vectorized=True,
            batch=1000,
            rng=rng,
        )
    low, high = float(bootstrap.confidence_interval.low), float(bootstrap.confidence_interval.high)
    if math.isnan(low) or math.isnan(high):
        return Interval(value, math.nan, math.nan, n_groups, "resamples without a value or without spread")
    return Interval(value, low, high, n_groups)


def _quiet(statistic: Callable[[Float], Float], sums: Float) -> Float:
    """The statistic, NaN where it divides by zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(statistic(sums), dtype=np.float64)
