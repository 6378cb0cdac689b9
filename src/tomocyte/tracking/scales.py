"""What is likely in a series: how far objects move, how sizes change, how often they divide, end and appear.

The scales are estimated from links and used for the next round of linking. All costs are negative logarithms of
probabilities, so that distance, size, mass and overlap add up without weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from tomocyte.tracking.objects import Float

TAILS = (3.0, 4.0, 6.0, 10.0, 20.0)
"""Degrees of freedom of Student's t among which a series chooses: few where objects jump now and then."""
FIRST_TAIL = 4.0
MIN_STEPS = 100
"""Fewer even steps do not say that none will jump."""
PARTS = (0.0, 0.15, 0.3, 0.5)
"""Where on the line between daughters the mother lay, from either end."""
PART_SHARES = (0.2, 0.15, 0.15, 0.5)
UNRELATED = 0.02
"""Share of true links whose overlap says nothing."""


@dataclass(frozen=True, eq=False)
class Scales:
    """Estimates for one series.

    Parameters
    ----------
    step_um : (d,) float
        Spread of the position around where it is expected, per axis, after one interval.
    feature_spread : (k,) float
        Spread of the change of the features of one object.
    division_spread : (k,) float
        Spread of the features of both daughters together against the mother's.
    feature_mean, feature_width : (k,) float
        Of all objects.
    tail : float
        Degrees of freedom of the steps.
    separation : float
        Typical distance of new daughters over the diameter of the mother.
    separation_spread : float
        Of its logarithm.
    share_spread : float
        Spread of the logarithm of the ratio of two daughters' amounts.
    part_shares : (p,) float
        Share of divisions in which the mother lies at each of :data:`PARTS`.
    mother_shift : float
        By how many widths of the first feature mothers are larger than all objects.
    overlap_width : float
        Mean of 1 - IoU of true links.
    inertia, company : float
        How much of the own last step and of the neighbours' step an object repeats.
    division_rate, end_rate, appear_rate, spurious_rate, border_rate, merge_rate, return_rate : float
        Spurious: objects that appear inside the field and are gone after a frame or two. Return: of lost objects, in
        the next frame.
    """

    step_um: Float
    feature_spread: Float
    division_spread: Float
    feature_mean: Float
    feature_width: Float
    tail: float = FIRST_TAIL
    separation: float = 0.85
    separation_spread: float = 0.4
    share_spread: float = 0.35
    part_shares: Float = field(default_factory=lambda: np.array(PART_SHARES))
    mother_shift: float = 0.5
    overlap_width: float = 0.3
    inertia: float = 0.0
    company: float = 0.0
    division_rate: float = 0.01
    end_rate: float = 0.01
    appear_rate: float = 0.01
    spurious_rate: float = 0.01
    border_rate: float = 0.2
    merge_rate: float = 0.002
    return_rate: float = 0.3


def step_cost(away_um: Float, spread_um: Float, interval: Float, tail: float) -> Float:
    """(m,): cost of a displacement: Student's t with the spread growing with the square root of the time.

    Parameters
    ----------
    away_um : (m, d) float
        From where it was expected.
    spread_um : (d,) or (m, d) float
        After one interval.
    interval : (m,) float
    tail : float
        Degrees of freedom.
    """
    n_dimensions = away_um.shape[1]
    scale = spread_um * np.sqrt(interval)[:, None]
    squares = ((away_um / scale) ** 2).sum(axis=1)
    constant = (
        gammaln((tail + n_dimensions) / 2)
        - gammaln(tail / 2)
        - 0.5 * n_dimensions * math.log(tail * math.pi)
        - np.log(scale).sum(axis=1)
    )
    cost: Float = 0.5 * (tail + n_dimensions) * np.log1p(squares / tail) - constant
    return cost


def likeliest_steps(away_um: Float, floor_um: float) -> tuple[Float, float]:
    """Spread per axis and degrees of freedom under which displacements are likeliest.

    Parameters
    ----------
    away_um : (m, d) float
        Of true links, after one interval.
    floor_um : float
        Least spread.
    """
    spread, n_dimensions = robust_spread(away_um, floor_um), away_um.shape[1]
    if len(away_um) < MIN_STEPS:
        return spread, FIRST_TAIL
    squares = ((away_um / spread) ** 2).sum(axis=1)
    best = (math.inf, 1.0, FIRST_TAIL)
    for tail in TAILS:
        scale = 1.0
        for _ in range(30):
            weight = (tail + n_dimensions) / (tail + squares / scale**2)
            scale = max(math.sqrt(float((weight * squares).mean()) / n_dimensions), 1e-3)
        cost = float(step_cost(away_um, scale * spread, np.ones(len(away_um)), tail).sum())
        best = min(best, (cost, scale, tail))
    return np.maximum(best[1] * spread, floor_um), best[2]


def feature_cost(change: Float, spread: Float) -> Float:
    """(m,): cost of a change of the features, per feature a normal distribution with a flat tail; unknown: nothing."""
    density = np.exp(-0.5 * (change / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
    tail = 0.05 * np.exp(-0.5 * (change / (6 * spread)) ** 2) / (6 * spread * math.sqrt(2 * math.pi))
    with np.errstate(divide="ignore"):
        costs = -np.log(0.95 * density + tail + 1e-30)
    total: Float = np.where(np.isfinite(change), costs, 0.0).sum(axis=1)
    return total


def overlap_cost(iou: Float, width: float) -> Float:
    """(m,): cost of an overlap against that of none in particular; NaN (unknown) costs nothing.

    1 - IoU of true links falls off exponentially; a few say nothing.
    """
    missed = 1.0 - iou
    density = np.exp(-missed / width) / (width * (1.0 - math.exp(-1.0 / width)))
    return np.where(np.isfinite(iou), -np.log((1.0 - UNRELATED) * density + UNRELATED), 0.0)


def separation_cost(distance_um: Float, typical_um: Float, scales: Scales, n_dimensions: int) -> Float:
    """(m,): cost of the vector between two daughters: log-normal length, any direction."""
    distance = np.maximum(distance_um, 1e-9)
    log_ratio = np.log(distance / (scales.separation * typical_um))
    spread = scales.separation_spread
    length = -0.5 * (log_ratio / spread) ** 2 - np.log(distance * spread * math.sqrt(2 * math.pi))
    sphere = np.log(4 * math.pi * distance**2) if n_dimensions == 3 else np.log(2 * math.pi * distance)
    cost: Float = -(length - sphere)
    return cost


def robust_spread(values: Float, floor: float) -> Float:
    """(k,): spread per column from the median absolute value, at least ``floor``; ``floor`` where nothing is known."""
    if not len(values):
        return np.full(values.shape[1], floor)
    return np.maximum(1.4826 * np.array([_median(np.abs(column)) for column in values.T]), floor)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
