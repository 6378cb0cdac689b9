"""Families of learning curves: the score after training on n volumes, and least squares for each.

Every curve is ``offset + gain g(n)``. The form ``g`` has one or two parameters, which are looked for on a grid,
because least squares gives offset and gain at once for all points of the grid and all resamples; the grid is
then narrowed about its best point. To add a family, add an entry to :data:`FAMILIES`.

References
----------
Cortes et al. 1993, Advances in Neural Information Processing Systems 6:327 (power law with an asymptote).
Viering & Loog 2023, IEEE Trans. Pattern Anal. Mach. Intell. 45:7799, doi:10.1109/TPAMI.2022.3220744 (a review).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
N_ZOOMS = 20
"""Times that the grid is narrowed about its best point, each to a half."""
Bounds = Literal["to the best score", "to an asymptote", "from zero", "unbounded"]


@dataclass(frozen=True)
class Family:
    """One family of curves.

    Parameters
    ----------
    name : str
    formula : str
        As people write it; ``best`` is the largest possible score.
    n_parameters : int
        That are fitted.
    bounds : str
        What offset and gain may be: ``to the best score`` (offset the best score, gain not positive), ``to an
        asymptote``
        (offset at most the best score, gain not positive), ``from zero`` (offset 0, gain between 0 and the best score),
        ``unbounded`` (gain not negative).
    grid : callable
        From the numbers of volumes (N,) to the parameters of the form to try first (G, P): all combinations of values
        in geometric progression.
    form : callable
        ``g`` from numbers of volumes (N,) and parameters (..., P): (..., N).
    inverse : callable
        From values of the form (...) and parameters (..., P) to numbers of volumes; infinite where it never has the
        value.
    """

    name: str
    formula: str
    n_parameters: int
    bounds: Bounds
    grid: Callable[[Float], Float]
    form: Callable[[Float, Float], Float]
    inverse: Callable[[Float, Float], Float]

    def letters(self, offset: float, gain: float, parameters: Float) -> dict[str, float]:
        """Fitted values by their letters in the formula."""
        of_form = dict(zip(re.findall(r"\b[ahk]\b", self.formula)[::-1], parameters[::-1].tolist(), strict=False))
        if self.bounds == "from zero":
            return {"c": gain, **of_form}
        known = {} if self.bounds == "to the best score" else {"c": offset}
        return {**known, "b": gain if self.bounds == "unbounded" else -gain, **of_form}


@dataclass(frozen=True)
class Curves:
    """Fitted curves of one family, one for each set of scores.

    Parameters
    ----------
    family : Family
    parameters : ndarray (B, P)
        Of the form.
    offset, gain : ndarray (B,)
    squares : ndarray (B,)
        Weighted sum of squared differences.
    """

    family: Family
    parameters: Float
    offset: Float
    gain: Float
    squares: Float

    def score_at(self, n_volumes: Any) -> Float:
        """Score of each curve after training on each number of volumes, (B, M)."""
        n = np.atleast_1d(np.asarray(n_volumes, np.float64))
        return np.asarray(self.offset[:, None] + self.gain[:, None] * self.family.form(n, self.parameters))

    def volumes_for(self, score: float) -> Float:
        """Number of volumes at which each curve reaches a score, (B,): 0 where it starts above, infinite: never."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = (score - self.offset) / self.gain
            n = self.family.inverse(value, self.parameters)
        never = np.where(self.offset >= score, 0.0, math.inf)
        return np.asarray(np.where(self.gain == 0, never, n))


def _rates(n: Float) -> Float:
    return np.geomspace(0.01 / n.max(), 10 / n.min(), 100)[:, None]


def _exponents(n: Float) -> Float:  # noqa: ARG001 - the same for all
    return np.geomspace(0.01, 5, 80)[:, None]


def _halves(n: Float) -> Float:
    return np.geomspace(n.min() / 1000, n.max() * 100, 100)[:, None]


def _halves_and_slopes(n: Float) -> Float:
    halves, slopes = np.meshgrid(np.geomspace(n.min() / 1000, n.max() * 100, 50), np.geomspace(0.2, 6, 20))
    return np.stack([halves.ravel(), slopes.ravel()], axis=1)


def _nothing(n: Float) -> Float:  # noqa: ARG001 - the form has no parameter
    return np.ones((1, 1))


def _decay(n: Float, parameters: Float) -> Float:
    return np.asarray(np.exp(-parameters[..., :1] * n))


def _decay_inverse(value: Float, parameters: Float) -> Float:
    """Decays from 1 at no volume to 0, which it never reaches."""
    volumes = -np.log(np.maximum(value, 1e-300)) / parameters[..., 0]
    return np.asarray(np.where(value <= 0, math.inf, np.maximum(0, volumes)))


def _power(n: Float, parameters: Float) -> Float:
    return np.asarray(n ** -parameters[..., :1])


def _power_inverse(value: Float, parameters: Float) -> Float:
    return np.asarray(np.where(value <= 0, math.inf, np.maximum(value, 1e-300) ** (-1 / parameters[..., 0])))


def _logarithm(n: Float, parameters: Float) -> Float:
    return np.broadcast_to(np.log(n), (*parameters.shape[:-1], len(n)))


def _logarithm_inverse(value: Float, parameters: Float) -> Float:  # noqa: ARG001 - it has none
    return np.asarray(np.exp(np.minimum(value, 700.0)))


def _logistic(n: Float, parameters: Float) -> Float:
    return np.asarray(1 / (1 + (parameters[..., :1] / n) ** _slope(parameters)[..., None]))


def _logistic_inverse(value: Float, parameters: Float) -> Float:
    """Rises from 0 at no volume to 1, which it never reaches."""
    inside = np.clip(value, 0, 1 - 1e-16)
    volumes = parameters[..., 0] * (inside / (1 - inside)) ** (1 / _slope(parameters))
    return np.asarray(np.where(value >= 1, math.inf, volumes))


def _slope(parameters: Float) -> Float:
    """The second parameter; of a form with one, 1."""
    return np.asarray(parameters[..., 1]) if parameters.shape[-1] > 1 else np.ones(parameters.shape[:-1])


FAMILIES: tuple[Family, ...] = (
    Family("exponential", "best - b exp(-a n)", 2, "to the best score", _rates, _decay, _decay_inverse),
    Family("exponential-asymptote", "c - b exp(-a n)", 3, "to an asymptote", _rates, _decay, _decay_inverse),
    Family("power", "best - b n^-a", 2, "to the best score", _exponents, _power, _power_inverse),
    Family("power-asymptote", "c - b n^-a", 3, "to an asymptote", _exponents, _power, _power_inverse),
    Family("logarithmic", "c + b ln n", 2, "unbounded", _nothing, _logarithm, _logarithm_inverse),
    Family("michaelis-menten", "c n / (n + k)", 2, "from zero", _halves, _logistic, _logistic_inverse),
    Family("logistic", "c / (1 + (k / n)^h)", 3, "from zero", _halves_and_slopes, _logistic, _logistic_inverse),
)
"""Every family, by name: Michaelis-Menten is a hyperbola, logistic an S over the logarithm of n (Hill's curve)."""


def fit_family(family: Family, n_volumes: Float, scores: Float, weights: Float, *, best: float) -> Curves:
    """Weighted least squares of one family, for many sets of scores at once.

    Parameters
    ----------
    family : Family
    n_volumes : float64 ndarray (N,)
        Ascending, above 0.
    scores : float64 ndarray (B, N)
    weights : float64 ndarray (N,)
        Of the squared differences; 1 / variance.
    best : float
        The largest possible score.

    Returns
    -------
    Curves

    Examples
    --------
    >>> n = np.array([5.0, 10.0, 20.0, 40.0])
    >>> curves = fit_family(FAMILIES[2], n, (1 - 0.4 * n**-0.5)[None], np.ones(4), best=1.0)
    >>> float(curves.parameters[0, 0].round(4)), float(curves.volumes_for(0.96)[0].round(2))
    (0.5, 100.0)
    """
    logarithms = np.log(family.grid(n_volumes))
    lowest, highest = logarithms.min(axis=0), logarithms.max(axis=0)
    n_values = [len(np.unique(column.round(9))) for column in logarithms.T]
    step = (highest - lowest) / np.maximum(1, np.array(n_values) - 1)
    around = np.stack(np.meshgrid(*[np.linspace(-1, 1, 7)] * len(step)), axis=-1).reshape(-1, len(step))
    trial = logarithms[np.newaxis]
    best_of = np.arange(len(scores))
    for zoom in range(N_ZOOMS):
        form = family.form(n_volumes, np.exp(trial))
        offset, gain, squares = _solve(family, form, scores, weights, best)
        index = squares.argmin(axis=1)
        centre = trial[best_of if len(trial) > 1 else 0, index]
        trial = np.clip(centre[:, np.newaxis] + around * step / 2**zoom, lowest, highest)
    chosen = (best_of, index)
    return Curves(family, np.exp(centre), offset[chosen], gain[chosen], squares[chosen])


def _solve(family: Family, form: Float, scores: Float, weights: Float, best: float) -> tuple[Float, Float, Float]:
    """Offset, gain and sum of squares, each (B, G), for forms (B or 1, G, N) and scores (B, N)."""
    if family.bounds == "from zero":
        gain = np.clip(_product(scores * weights, form) / (form**2 @ weights), 0, best)
        offset = np.zeros_like(gain)
    elif family.bounds == "to the best score":
        offset, gain = _below_best(form, scores, weights, best)
    else:
        offset, gain = _line(form, scores, weights)
        is_free = family.bounds == "unbounded"
        is_allowed = gain >= 0 if is_free else (gain <= 0) & (offset <= best)
        flat = (scores @ weights / weights.sum())[:, np.newaxis]
        flat = np.broadcast_to(flat if is_free else np.minimum(flat, best), offset.shape)
        offset, gain = np.where(is_allowed, offset, flat), np.where(is_allowed, gain, 0.0)
        if not is_free:
            other_offset, other_gain = _below_best(form, scores, weights, best)
            here = _squares(form, scores, weights, offset, gain)
            is_better = ~is_allowed & (_squares(form, scores, weights, other_offset, other_gain) < here)
            offset, gain = np.where(is_better, other_offset, offset), np.where(is_better, other_gain, gain)
    return offset, gain, _squares(form, scores, weights, offset, gain)


def _product(scores: Float, form: Float) -> Float:
    """Sums over the numbers of volumes: (B, G) of scores (B, N) and forms (B or 1, G, N)."""
    return np.asarray((form @ scores[..., np.newaxis])[..., 0])


def _line(form: Float, scores: Float, weights: Float) -> tuple[Float, Float]:
    """Offset and gain without bounds."""
    centre = form @ weights / weights.sum()
    centred = form - centre[..., np.newaxis]
    spread = centred**2 @ weights
    gain = _product(scores * weights, centred) / np.where(spread > 0, spread, 1.0)
    return (scores @ weights / weights.sum())[:, np.newaxis] - gain * centre, gain


def _below_best(form: Float, scores: Float, weights: Float, best: float) -> tuple[Float, Float]:
    """Offset the best score; gain not positive."""
    gain = np.minimum(_product((scores - best) * weights, form) / (form**2 @ weights), 0)
    return np.full_like(gain, best), gain


def _squares(form: Float, scores: Float, weights: Float, offset: Float, gain: Float) -> Float:
    """Weighted sum of squared differences of ``offset + gain form``, point by point, so that nothing cancels."""
    total = np.zeros_like(offset)
    for index, weight in enumerate(weights):
        total += weight * (scores[:, index, np.newaxis] - offset - gain * form[..., index]) ** 2
    return total
