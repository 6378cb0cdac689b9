"""Whether two methods of measuring the same objects agree: volumes, diameters, scores of folds.

To add a figure of agreement, add a field to :class:`Agreement` and fill it in :func:`paired_agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomocyte.errors import SettingsError

LIMIT_DEVIATIONS = 1.96


@dataclass(frozen=True)
class Agreement:
    """Paired values compared; differences are prediction minus truth, in the values' unit.

    Parameters
    ----------
    n_pairs : int
        Pairs in which both values are finite.
    bias, difference_sd : float
        Mean and standard deviation (n - 1) of the differences; NaN without pairs, or with one.
    lower_limit, upper_limit : float
        Bland and Altman's limits of agreement, bias ∓ 1.96 SD: about 95 % of differences lie between.
    concordance : float
        Lin's concordance correlation coefficient, in [-1, 1]; NaN when neither side varies and they are equal, or
        with fewer than two pairs.
    mean_relative_error, mean_absolute_relative_error : float
        Of (prediction - truth) / truth over pairs with a truth other than 0; NaN without any.
    """

    n_pairs: int
    bias: float
    difference_sd: float
    lower_limit: float
    upper_limit: float
    concordance: float
    mean_relative_error: float
    mean_absolute_relative_error: float


def paired_agreement(truth: ArrayLike, prediction: ArrayLike) -> Agreement:
    """Compare paired measurements.

    Parameters
    ----------
    truth, prediction : array-like (n,), float, same unit
        One value per object; pairs with a NaN are left out.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: not two lists of the same length.

    References
    ----------
    Bland, Altman, Lancet 327, 307 (1986), doi:10.1016/S0140-6736(86)90837-8; Lin, Biometrics 45, 255 (1989),
    doi:10.2307/2532051 (his ρ_c, with variances divided by n).

    Examples
    --------
    >>> agreement = paired_agreement([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    >>> agreement.bias, agreement.difference_sd, round(agreement.concordance, 4)
    (1.0, 0.0, 0.5714)
    """
    first, second = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise SettingsError(
            "E-SHAPE", f"paired values need two lists of the same length, not {first.shape} and {second.shape}."
        )
    is_pair = np.isfinite(first) & np.isfinite(second)
    first, second = first[is_pair], second[is_pair]
    difference = second - first
    bias, deviation = mean_and_sd(difference.tolist())
    is_relative = first != 0
    relative = difference[is_relative] / first[is_relative]
    return Agreement(
        len(first),
        bias,
        deviation,
        bias - LIMIT_DEVIATIONS * deviation,
        bias + LIMIT_DEVIATIONS * deviation,
        _concordance(first, second),
        mean_and_sd(relative.tolist())[0],
        mean_and_sd(np.abs(relative).tolist())[0],
    )


def _concordance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if len(first) < 2:
        return math.nan
    spread = float(first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    covariance = float(np.mean((first - first.mean()) * (second - second.mean())))
    return 2 * covariance / spread if spread else math.nan


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over folds, images or cells; values that are NaN are left out.

    Parameters
    ----------
    values : sequence of float

    Returns
    -------
    tuple of 2 float
        NaN without values; the deviation of a single value is NaN.

    Examples
    --------
    >>> mean_and_sd([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    finite = [float(value) for value in values if not math.isnan(value)]
    if not finite:
        return math.nan, math.nan
    mean = math.fsum(finite) / len(finite)
    if len(finite) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / (len(finite) - 1))
