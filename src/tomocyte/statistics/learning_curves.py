"""How many more volumes for a score? Learning curves of several families, and whether they can be trusted.

One curve through a few scores gives a number, and says nothing about its error: other curves fit as well and lead
elsewhere. So all families are fitted (``learning_families``) and weighed by what AICc or the largest training, left
out, says about them; scores are resampled; the interval spans those of all curves that fit about equally well; and
where these disagree, the result says that the scores cannot be extrapolated.

References
----------
Hurvich & Tsai 1989, Biometrika 76:297, doi:10.1093/biomet/76.2.297 (AICc). Burnham & Anderson 2002, Model Selection and
Multimodel Inference, section 4.2 (weights). Birge 1932, Phys. Rev. 40:207 (scatter beyond the standard errors).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.statistics.learning_families import FAMILIES, Curves, Family, fit_family

Float = NDArray[np.float64]
LIKELIHOOD_LIMIT = 3.84
"""Curves whose -2 ln L is within this of the best fit about as well: the 95 % point of chi-square with one degree."""
MOST_APART = 3.0
"""Curves that fit as well must agree about the number of volumes within this factor."""
FARTHEST = 10.0
"""The interval must end before this many times the largest training."""
FEWEST_SIZES = 4


class PlanSettings(Settings):
    """How curves are weighed and resampled."""

    best: float = Field(default=1.0, gt=0)
    """Largest possible score: 1, or 100 for percent."""
    choice: Literal["aicc", "leave-last-out"] = "aicc"
    """What weighs the families: AICc, or how well each foretells the largest training from the smaller ones."""
    is_weighted: bool = True
    """Whether scores count by their standard error, where all have one."""
    level: float = Field(default=0.8, gt=0, lt=1)
    """Level of confidence of intervals."""
    n_resamples: int = Field(default=2000, ge=100, le=100_000)
    """Number of resamples of the scores."""


@dataclass(frozen=True, eq=False)
class TrainingSize:
    """Scores of models that were trained on one number of volumes.

    Parameters
    ----------
    n_volumes : float
        That were learned from.
    score : float
        Mean of the test volumes.
    standard_error : float
        Of that mean; NaN where unknown.
    by_volume : mapping of str to float, optional
        Test volume -> its score.
    """

    n_volumes: float
    score: float
    standard_error: float = math.nan
    by_volume: dict[str, float] | None = None

    @classmethod
    def of_volumes(cls, n_volumes: float, by_volume: dict[str, float]) -> TrainingSize:
        """From the score of each test volume.

        Examples
        --------
        >>> TrainingSize.of_volumes(5, {"a": 0.5, "b": 0.7, "c": 0.9}).score
        0.7
        """
        values = np.array(list(by_volume.values()), np.float64)
        error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
        return cls(n_volumes, float(values.mean()), error, by_volume)


@dataclass(frozen=True, eq=False)
class FittedCurve:
    """One family through the scores.

    Parameters
    ----------
    family : Family
    curve : Curves
        Of the scores as they are (B = 1).
    resampled : Curves
        Of the resampled scores.
    aicc : float
        Infinite where there are too few training sizes for its parameters.
    weight : float
        In the average, 0 to 1.
    last_error : float
        What it foretells for the largest training from the smaller ones, minus the score there; NaN: too few.
    is_plausible : bool
        Whether it fits about as well as the best.
    volumes, volumes_low, volumes_high : float
        For the goal, with the interval; infinite: it never gets there; NaN without a goal.
    """

    family: Family
    curve: Curves
    resampled: Curves
    aicc: float
    weight: float
    last_error: float
    is_plausible: bool
    volumes: float
    volumes_low: float
    volumes_high: float

    @property
    def parameters(self) -> dict[str, float]:
        """Fitted values by their letters in the formula."""
        return self.family.letters(float(self.curve.offset[0]), float(self.curve.gain[0]), self.curve.parameters[0])

    @property
    def asymptote(self) -> float:
        """The score that it never passes; NaN: it has none."""
        if self.family.bounds == "unbounded":
            return math.nan
        return float(self.curve.gain[0] if self.family.bounds == "from zero" else self.curve.offset[0])


@dataclass(frozen=True, eq=False)
class Plan:
    """Learning curves and what they say about a goal.

    Parameters
    ----------
    sizes : tuple of TrainingSize
        Ascending.
    curves : tuple of FittedCurve
        The heaviest first.
    settings : PlanSettings
    goal : float
        The score asked for; NaN: none.
    volumes, volumes_low, volumes_high : float
        For the goal: the middle of the families by weight, and from the lowest to the highest end of the intervals of
        all plausible ones; infinite: never; NaN without a goal.
    is_reached : bool
        Whether a training reached the goal.
    objections : tuple of str
        Why the answer cannot be trusted; none: it can.
    notes : tuple of str
        What the intervals rest on.
    """

    sizes: tuple[TrainingSize, ...]
    curves: tuple[FittedCurve, ...]
    settings: PlanSettings
    goal: float
    volumes: float
    volumes_low: float
    volumes_high: float
    is_reached: bool
    objections: tuple[str, ...]
    notes: tuple[str, ...]

    def score_at(self, n_volumes: float) -> tuple[float, float, float]:
        """Score after training on a number of volumes, by the average of the families, and its interval.

        None is above the best possible score.
        """
        here = [float(one.curve.score_at(n_volumes)[0, 0]) for one in self.curves]
        there = [one.resampled.score_at(n_volumes)[:, 0] for one in self.curves if one.is_plausible]
        ends = [_interval(draws, self.settings.level) for draws in there]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        middle = float(np.average(here, weights=[one.weight for one in self.curves]))
        best = self.settings.best
        return min(middle, best), min(low, best), min(high, best)


def plan_volumes(
    sizes: Sequence[TrainingSize],
    *,
    goal: float | None = None,
    rng: np.random.Generator,
    settings: PlanSettings | None = None,
) -> Plan:
    """Fit every family of learning curves and say how many volumes a score takes, if that can be said.

    Parameters
    ----------
    sizes : sequence of TrainingSize
        Three or more different numbers of volumes; of one number, several are one after another.
    goal : float, optional
        Score, higher than any so far, at most the best possible.
    rng : numpy Generator
        Source of the resamples.
    settings : PlanSettings, optional

    Raises
    ------
    SettingsError
        ``E-PLAN-SIZES``: fewer than three, or one twice; ``E-PLAN-SCORE``: a score that is not between 0 and the best;
        ``E-PLAN-GOAL``: a goal that is not.

    Examples
    --------
    >>> table = {5: 0.8, 10: 0.85, 20: 0.9, 40: 0.93, 80: 0.955}
    >>> sizes = [TrainingSize(n, score, 0.005) for n, score in table.items()]
    >>> plan = plan_volumes(sizes, goal=0.97, rng=np.random.default_rng(1))
    >>> plan.curves[0].family.name, 100 < plan.volumes < 200
    ('power', True)
    """
    options = settings or PlanSettings()
    ordered = _checked(sizes, goal, options)
    n = np.array([size.n_volumes for size in ordered])
    scores = np.array([size.score for size in ordered])
    errors = np.array([size.standard_error for size in ordered])
    has_errors = bool(np.isfinite(errors).all() and (errors > 0).all())
    weights = 1 / errors**2 if has_errors and options.is_weighted else np.ones(len(n))
    fits = [
        (family, _fit(family, n, scores, weights, options.best)) for family in FAMILIES if len(n) >= family.n_parameters
    ]
    spread, notes = _spread(ordered, fits, has_errors=has_errors, is_weighted=options.is_weighted)
    draws = _resampled(ordered, spread, options.n_resamples, rng)
    deviances = {
        family.name: _deviance(curve, len(n), is_known=has_errors and options.is_weighted) for family, curve in fits
    }
    least = min(deviances.values())
    curves = []
    for family, curve in fits:
        resampled = fit_family(family, n, draws, weights, best=options.best)
        known = has_errors and options.is_weighted
        aicc = _aicc(deviances[family.name], family.n_parameters + (not known), len(n))
        last = _last_error(family, n, scores, weights, options.best)
        is_plausible = deviances[family.name] <= least + LIKELIHOOD_LIMIT
        curves.append(_curve(family, curve, resampled, aicc, last, goal, options.level, is_plausible=is_plausible))
    return _concluded(ordered, _weighed(curves, options), goal, options, notes)


def _checked(sizes: Sequence[TrainingSize], goal: float | None, options: PlanSettings) -> tuple[TrainingSize, ...]:
    ordered = tuple(sorted(sizes, key=lambda size: size.n_volumes))
    numbers = [size.n_volumes for size in ordered]
    shown = ", ".join(f"{number:g}" for number in numbers)
    if len(ordered) < 3 or len(set(numbers)) < len(numbers) or numbers[0] <= 0:
        problem = f"scores after training on {shown or 'no'} volumes are no learning curve."
        cure = "Give scores of three or more different numbers of training volumes, above 0."
        raise SettingsError("E-PLAN-SIZES", problem, cure=cure)
    for size in ordered:
        if not 0 <= size.score <= options.best:
            problem = (
                f"the score {size.score:g} after {size.n_volumes:g} volumes is not between 0 and {options.best:g}."
            )
            cure = "Scores that rise to 1 are understood; give --best 100 for percent."
            raise SettingsError("E-PLAN-SCORE", problem, cure=cure)
    if goal is not None and not 0 < goal < options.best:
        problem = f"the goal {goal:g} is not between 0 and the best possible score, {options.best:g}."
        raise SettingsError("E-PLAN-GOAL", problem, cure="Give a --goal below --best, in the same unit.")
    return ordered


def _fit(family: Family, n: Float, scores: Float, weights: Float, best: float) -> Curves:
    return fit_family(family, n, scores[np.newaxis], weights, best=best)


def _deviance(curve: Curves, n_sizes: int, *, is_known: bool) -> float:
    """-2 ln L, without what all families share: chi-square, or n ln of the mean square."""
    squares = float(curve.squares[0])
    return squares if is_known else n_sizes * math.log(max(squares, 1e-24) / n_sizes)


def _aicc(deviance: float, n_parameters: int, n_sizes: int) -> float:
    free = n_sizes - n_parameters - 1
    return deviance + 2 * n_parameters * n_sizes / free if free > 0 else math.inf


def _last_error(family: Family, n: Float, scores: Float, weights: Float, best: float) -> float:
    if len(n) - 1 < family.n_parameters:
        return math.nan
    curve = _fit(family, n[:-1], scores[:-1], weights[:-1], best)
    return float(curve.score_at(n[-1])[0, 0] - scores[-1])


def _spread(
    sizes: Sequence[TrainingSize], fits: list[tuple[Family, Curves]], *, has_errors: bool, is_weighted: bool
) -> tuple[Float, tuple[str, ...]]:
    """Standard deviations by which scores are disturbed beside the resampling of test volumes, and what was done."""
    n = np.array([size.n_volumes for size in sizes])
    scores, errors = np.array([size.score for size in sizes]), np.array([size.standard_error for size in sizes])
    training = "How much another choice of training volumes would change the scores is in no interval."
    scaled = [
        (
            np.square((curve.score_at(n)[0] - scores) / (errors if has_errors else 1)).sum()
            / (len(n) - family.n_parameters)
        )
        for family, curve in fits
        if len(n) > family.n_parameters
    ]
    scatter = math.sqrt(min(scaled))
    if not has_errors:
        note = "The scores have no standard errors: the interval rests on their scatter about the best curve."
        return np.full(len(n), scatter), (note, training)
    notes = () if is_weighted else ("All training sizes count alike.",)
    if scatter <= 1:
        return np.zeros(len(n)), (*notes, training)
    times = f"{scatter:.1f} times as much as their standard errors"
    note = f"Scores scatter about the best curve {times}; intervals are widened."
    return errors * math.sqrt(scatter**2 - 1), (*notes, note, training)


def _resampled(sizes: Sequence[TrainingSize], spread: Float, n_resamples: int, rng: np.random.Generator) -> Float:
    """Scores (B, N) of resampled test volumes, the same ones at every size where they are the same."""
    volumes = [size.by_volume for size in sizes]
    scores = np.array([size.score for size in sizes])
    noise = rng.normal(size=(n_resamples, len(sizes))) * spread
    names = sorted(volumes[0]) if volumes[0] else []
    if len(names) > 1 and all(one is not None and sorted(one) == names for one in volumes):
        table = np.array([[one[name] for name in names] for one in volumes if one is not None])
        index = rng.integers(len(names), size=(n_resamples, len(names)))
        return np.asarray(table[:, index].mean(axis=2).T + noise)
    draws = np.empty((n_resamples, len(sizes)))
    for number, size in enumerate(sizes):
        if size.by_volume is not None and len(size.by_volume) > 1:
            values = np.array(list(size.by_volume.values()))
            draws[:, number] = rng.choice(values, size=(n_resamples, len(values))).mean(axis=1)
        else:
            error = size.standard_error if math.isfinite(size.standard_error) else 0.0
            draws[:, number] = scores[number] + error * rng.normal(size=n_resamples)
    return draws + noise


def _curve(
    family: Family, curve: Curves, resampled: Curves, aicc: float, last: float, goal: float | None, level: float,
    *, is_plausible: bool,
) -> FittedCurve:  # fmt: skip
    volumes = low = high = math.nan
    if goal is not None:
        volumes = float(curve.volumes_for(goal)[0])
        low, high = _interval(resampled.volumes_for(goal), level)
    return FittedCurve(family, curve, resampled, aicc, 0.0, last, is_plausible, volumes, low, high)


def _weighed(curves: list[FittedCurve], options: PlanSettings) -> tuple[FittedCurve, ...]:
    """With weights that sum to 1, the heaviest first."""
    if options.choice == "leave-last-out":
        measure = np.array([abs(one.last_error) for one in curves])
        if np.isnan(measure).all():
            weights = np.ones(len(curves))
        else:
            weights = (np.arange(len(curves)) == np.nanargmin(measure)).astype(np.float64)
    else:
        measure = np.array([one.aicc for one in curves])
        finite = measure[np.isfinite(measure)]
        weights = np.exp(-(measure - finite.min()) / 2) if len(finite) else np.ones(len(curves))
    weights = weights / weights.sum()
    pairs = sorted(zip(curves, weights, strict=True), key=lambda pair: (-pair[1], abs(pair[0].last_error)))
    return tuple(replace(one, weight=float(weight)) for one, weight in pairs)


def _interval(draws: Float, level: float) -> tuple[float, float]:
    """Ends of the central part of draws, which may be infinite."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low), float(high)


def _middle(curves: Sequence[FittedCurve]) -> float:
    """The number of volumes that half of the weight reaches; one of the curves', so that it may be infinite."""
    ordered = sorted(curves, key=lambda one: one.volumes)
    below = np.cumsum([one.weight for one in ordered])
    return ordered[int(np.searchsorted(below, 0.5 * below[-1]))].volumes


def _concluded(
    sizes: tuple[TrainingSize, ...], curves: tuple[FittedCurve, ...], goal: float | None, options: PlanSettings,
    notes: tuple[str, ...],
) -> Plan:  # fmt: skip
    """The average of the families, and what speaks against it."""
    if goal is None:
        return Plan(sizes, curves, options, math.nan, math.nan, math.nan, math.nan, False, (), notes)
    likely = [one for one in curves if one.is_plausible]
    low, high = min(one.volumes_low for one in likely), max(one.volumes_high for one in likely)
    is_reached = any(size.score >= goal for size in sizes)
    objections = () if is_reached else _objections(sizes, curves, high)
    return Plan(sizes, curves, options, goal, _middle(curves), low, high, is_reached, objections, notes)


def _objections(sizes: tuple[TrainingSize, ...], curves: tuple[FittedCurve, ...], high: float) -> tuple[str, ...]:
    """Why the answer cannot be trusted."""
    found = []
    if len(sizes) < FEWEST_SIZES:
        found.append(f"{len(sizes)} training sizes cannot tell one curve from another; {FEWEST_SIZES} or more can.")
    likely = sorted((one for one in curves if one.is_plausible), key=lambda one: one.volumes)
    if likely[-1].volumes > MOST_APART * likely[0].volumes:
        shown = ", ".join(f"{spoken_volumes(one.volumes)} ({one.family.name})" for one in likely)
        found.append(f"Curves that fit about equally well disagree about the number of volumes: {shown}.")
    limit = FARTHEST * sizes[-1].n_volumes
    if high > limit:
        found.append(f"The interval goes on beyond {FARTHEST:g} times the largest training ({limit:g} volumes).")
    return tuple(found)


def spoken_volumes(volumes: float) -> str:
    """A number of volumes for people.

    Examples
    --------
    >>> spoken_volumes(95.6), spoken_volumes(math.inf)
    ('96', 'never')
    """
    return "never" if math.isinf(volumes) else f"{math.ceil(volumes):,}" if volumes < 1e6 else "millions"
