"""Calibration of probabilities: reliability, and the temperature that improves it.

Of the voxels with probability p, a share p should be inside the truth. Counts of several images add up (``a + b``). To
add a score, compute it from :class:`ReliabilityCounts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.counts import CHUNK_VOXELS, ratio
from tomocyte.evaluation.curves import check_probability, check_unit_interval

Float = NDArray[np.float64]
Index = NDArray[np.int64]
DEFAULT_BINS = 15
COLDEST, HOTTEST = 1e-3, 1e3


@dataclass(frozen=True)
class ReliabilityCounts:
    """Sums per bin of equal width of the probability.

    Parameters
    ----------
    n_voxels, n_inside : ndarray (B,), int64
        Voxels of the bin, and those of them inside the truth. Bin b holds probabilities above b/B up to (b + 1)/B;
        the first one also 0.
    sum_probability : ndarray (B,), float64
    sum_squared_error : float
        Of probability against truth.
    """

    n_voxels: Index
    n_inside: Index
    sum_probability: Float
    sum_squared_error: float

    def __add__(self, other: ReliabilityCounts) -> ReliabilityCounts:
        return ReliabilityCounts(
            self.n_voxels + other.n_voxels,
            self.n_inside + other.n_inside,
            self.sum_probability + other.sum_probability,
            self.sum_squared_error + other.sum_squared_error,
        )

    @property
    def mean_probability(self) -> Float:
        """Mean predicted probability per bin, the x of the reliability curve; NaN for an empty bin."""
        return self._per_voxel(self.sum_probability)

    @property
    def fraction_inside(self) -> Float:
        """Share of true voxels per bin, the y of the reliability curve; NaN for an empty bin."""
        return self._per_voxel(self.n_inside.astype(np.float64))

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over voxels of their bin's |predicted - true|; NaN without voxels."""
        return ratio(float(np.abs(self.sum_probability - self.n_inside).sum()), int(self.n_voxels.sum()))

    @property
    def brier(self) -> float:
        """Mean squared difference of probability and truth; NaN without voxels."""
        return ratio(self.sum_squared_error, int(self.n_voxels.sum()))

    def _per_voxel(self, sums: Float) -> Float:
        result = np.full(len(sums), np.nan)
        np.divide(sums, self.n_voxels, out=result, where=self.n_voxels > 0)
        return result


def count_reliability(
    truth: NDArray[Any], probability: NDArray[Any], *, n_bins: int = DEFAULT_BINS
) -> ReliabilityCounts:
    """Compare the probability of being inside with the truth, bin by bin.

    Parameters
    ----------
    truth : ndarray, bool or integer (non-zero = inside), same shape
    probability : ndarray, float in [0, 1]
    n_bins : int >= 1

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``, ``E-PROBABILITY``.

    References
    ----------
    Guo et al., Proc. ICML 70, 1321 (2017), arXiv:1706.04599; Brier, Mon. Weather Rev. 78, 1 (1950),
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> counts = count_reliability(np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), n_bins=2)
    >>> counts.ece, counts.brier
    (0.25, 0.1875)
    """
    inside = check_probability(truth, probability).ravel()
    check_unit_interval(probability)
    flat, edges = probability.ravel(), np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    n_voxels, n_inside = np.zeros((2, n_bins), dtype=np.int64)
    sums, squares = np.zeros(n_bins), 0.0
    for start in range(0, flat.size, CHUNK_VOXELS):
        values = flat[start : start + CHUNK_VOXELS].astype(np.float64)
        is_inside = inside[start : start + CHUNK_VOXELS]
        bins = np.searchsorted(edges, values)
        n_voxels += np.bincount(bins, minlength=n_bins)
        n_inside += np.bincount(bins[is_inside], minlength=n_bins)
        sums += np.bincount(bins, weights=values, minlength=n_bins)
        squares += float(np.square(values - is_inside).sum())
    return ReliabilityCounts(n_voxels, n_inside, sums, squares)


def fit_temperature(truth: NDArray[Any], logits: NDArray[Any]) -> float:
    """The temperature T at which sigmoid(logits / T) is most likely, given the truth.

    The likelihood has one maximum; its root is bracketed and found to 1e-12. Where it lies at the end of the range
    (the logits separate the truth without error, or carry no information), the end is returned: 0.001 or 1000.

    Parameters
    ----------
    truth : ndarray, bool or integer (non-zero = inside), same shape
    logits : ndarray, float
        Before the sigmoid. Tens of millions of voxels take minutes: draw a sample.

    Returns
    -------
    float
        Above 1 when the network was overconfident.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``; ``E-EMPTY`` without voxels.

    References
    ----------
    Guo et al., Proc. ICML 70, 1321 (2017), arXiv:1706.04599.

    Examples
    --------
    Three of four are inside where the network predicts sigmoid(2): T = 2 / ln 3.

    >>> round(fit_temperature(np.array([1, 1, 1, 0]), np.full(4, 2.0)), 6)
    1.820478
    """
    from scipy import optimize, special

    inside = check_probability(truth, logits).ravel()
    if inside.size == 0:
        raise SettingsError("E-EMPTY", "no voxels to fit a temperature to.", cure="Give at least one image.")
    values = logits.ravel().astype(np.float64)

    def slope(log_temperature: float) -> float:
        """Derivative of the negative log-likelihood by 1/T."""
        return float(np.mean((special.expit(values * math.exp(-log_temperature)) - inside) * values))

    low, high = math.log(COLDEST), math.log(HOTTEST)
    # The derivative falls with T: positive (overconfident) at low T, negative at high T.
    if slope(low) <= 0:
        return COLDEST
    if slope(high) >= 0:
        return HOTTEST
    return math.exp(float(optimize.brentq(slope, low, high, xtol=1e-12)))


def with_temperature(probability: NDArray[Any], temperature: float) -> Float:
    """Probabilities as they are at another temperature: sigmoid(logit(p) / T).

    Parameters
    ----------
    probability : ndarray, float in [0, 1]
    temperature : float > 0

    Returns
    -------
    ndarray, float64
        Same shape; 0, 1/2 and 1 stay where they are.

    Raises
    ------
    SettingsError
        ``E-PROBABILITY``, ``E-TEMPERATURE``.

    Examples
    --------
    >>> with_temperature(np.array([0.5, 0.9]), 2.0).round(4).tolist()
    [0.5, 0.75]
    """
    from scipy import special

    check_unit_interval(probability)
    if not (math.isfinite(temperature) and temperature > 0):
        raise SettingsError("E-TEMPERATURE", f"temperature {temperature} is not a number above 0.")
    return np.asarray(special.expit(special.logit(probability.astype(np.float64)) / temperature))
