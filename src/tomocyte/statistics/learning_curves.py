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
from tomocyte.statistics.learning_scores import TrainingSize, resampled_scores

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
        Three or more different numbers of volumes.
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
    >>> sizes = [TrainingSize(n, 1 - 0.5 * n**-0.5, 0.001) for n in (5, 10, 20, 40, 80, 160)]
    >>> plan = plan_volumes(sizes, goal=0.97, rng=np.random.default_rng(1))
    >>> plan.curves[0].family.name, round(plan.volumes), plan.objections
    ('power', 278, ())
    """
    options = settings or PlanSettings()
    ordered = _checked(sizes, goal, options)
    points = _points(ordered, options)
    families = [family for family in FAMILIES if len(ordered) >= family.n_parameters]
    fits = {family: points.fit(family) for family in families}
    spread, notes = _spread(ordered, list(fits.values()), is_weighted=options.is_weighted)
    draws = resampled_scores(ordered, spread, options.n_resamples, rng)
    least = min(points.deviance(curve) for curve in fits.values())
    curves = []
    for family, curve in fits.items():
        resampled = fit_family(family, points.n, draws, points.weights, best=options.best)
        is_plausible = points.deviance(curve) <= least + LIKELIHOOD_LIMIT
        volumes = low = high = math.nan
        if goal is not None:
            volumes = float(curve.volumes_for(goal)[0])
            low, high = _interval(resampled.volumes_for(goal), options.level)
        figures = (points.aicc(curve), 0.0, points.last_error(family), is_plausible, volumes, low, high)
        curves.append(FittedCurve(family, curve, resampled, *figures))
    return _concluded(ordered, _weighed(curves, options), goal, options, notes)


@dataclass(frozen=True, eq=False)
class _Points:
    """What curves are fitted to: numbers of volumes, scores and weights, each (N,).

    ``is_known``: the weights are one over the variance of the scores; else only their ratios mean something.
    """

    n: Float
    scores: Float
    weights: Float
    best: float
    is_known: bool

    def fit(self, family: Family) -> Curves:
        return fit_family(family, self.n, self.scores[np.newaxis], self.weights, best=self.best)

    def deviance(self, curve: Curves) -> float:
        """-2 ln L, without what all families share: chi-square, or n ln of the mean square."""
        squares, n_sizes = float(curve.squares[0]), len(self.n)
        return squares if self.is_known else n_sizes * math.log(max(squares, 1e-24) / n_sizes)

    def aicc(self, curve: Curves) -> float:
        n_parameters = curve.family.n_parameters + (not self.is_known)
        free = len(self.n) - n_parameters - 1
        return self.deviance(curve) + 2 * n_parameters * len(self.n) / free if free > 0 else math.inf

    def last_error(self, family: Family) -> float:
        """What the curve of all points but the last foretells for it, minus its score."""
        if len(self.n) - 1 < family.n_parameters:
            return math.nan
        curve = replace(self, n=self.n[:-1], scores=self.scores[:-1], weights=self.weights[:-1]).fit(family)
        return float(curve.score_at(self.n[-1])[0, 0] - self.scores[-1])


def _points(sizes: Sequence[TrainingSize], options: PlanSettings) -> _Points:
    n, scores, errors = np.array([(size.n_volumes, size.score, size.standard_error) for size in sizes]).T
    is_known = options.is_weighted and _has_errors(errors)
    return _Points(n, scores, 1 / errors**2 if is_known else np.ones(len(n)), options.best, is_known)


def _has_errors(errors: Float) -> bool:
    return bool(np.isfinite(errors).all() and (errors > 0).all())


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


def _spread(
    sizes: Sequence[TrainingSize], curves: Sequence[Curves], *, is_weighted: bool
) -> tuple[Float, tuple[str, ...]]:
    """Standard deviations by which scores are disturbed beside the resampling of test volumes, and what was done."""
    n, scores, errors = np.array([(size.n_volumes, size.score, size.standard_error) for size in sizes]).T
    has_errors = _has_errors(errors)
    unit = errors if has_errors else np.ones(len(n))
    training = "How much another choice of training volumes would change the scores is in no interval."
    scatter = math.sqrt(
        min(
            float(np.square((curve.score_at(n)[0] - scores) / unit).sum()) / (len(n) - curve.family.n_parameters)
            for curve in curves
            if len(n) > curve.family.n_parameters
        )
    )
    if not has_errors:
        note = "The scores have no standard errors: the interval rests on their scatter about the best curve."
        return np.full(len(n), scatter), (note, training)
    notes = () if is_weighted else ("All training sizes count alike.",)
    if scatter <= 1:
        return np.zeros(len(n)), (*notes, training)
    times = f"{scatter:.1f} times as much as their standard errors"
    note = f"Scores scatter about the best curve {times}; intervals are widened."
    return errors * math.sqrt(scatter**2 - 1), (*notes, note, training)


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
