"""What may have happened between the objects of a frame and those before: links, divisions, merges, each with a gain.

The gain of a hypothesis is how much cheaper it is than that its objects end and appear. Only gains count, and a
division or merge must be better than the best link inside it. :func:`best_set` takes those that exclude each other not
and gain most: exactly, as a set packing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.spatial import cKDTree

from tomocyte.errors import InputError
from tomocyte.tracking.objects import Float, Index, Objects, features_of
from tomocyte.tracking.overlaps import Overlaps
from tomocyte.tracking.scales import (
    PARTS,
    Scales,
    feature_cost,
    overlap_cost,
    separation_cost,
    step_cost,
)

MOST_LINKS = 8
MOST_PARTNERS = 12
"""Neighbours that may be the other daughter, and objects before that may be the mother: as many as touch a sphere."""
SWAY = 0.08
"""How far the mother may lie from the line between her daughters, over their distance."""
LEAST_EVIDENCE = -6.0
SHORT_DAUGHTER = 0.1
"""Probability that a daughter is seen for a frame or two only."""


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Hypotheses of one kind; rows of objects.

    Parameters
    ----------
    sources : (m, 1) or (m, 2) int
        Objects before.
    targets : (m, 1) or (m, 2) int
        Objects of the frame.
    gain : (m,) float
        Above 0.
    n_missed : (m,) int
        Frames in between in which the object was missing.
    """

    sources: Index
    targets: Index
    gain: Float
    n_missed: Index

    def __len__(self) -> int:
        return len(self.gain)

    def chosen(self, which: Index) -> Hypotheses:
        """Some of them."""
        return Hypotheses(self.sources[which], self.targets[which], self.gain[which], self.n_missed[which])


@dataclass(frozen=True, eq=False)
class Scene:
    """What the hypotheses of a round are built from.

    Parameters
    ----------
    objects : Objects
    centres, expected : (n, d) float
        Where objects are and their velocity per interval, drift taken out.
    spacing_um : (n,) float
        Distance to neighbours.
    typical_um : (n,) float
        Diameter, or from the spacing where sizes are unknown.
    end_cost, appear_cost : (n,) float
    is_lasting : (n,) bool
        Whether the object's track goes on for some frames; one that does not may be an error of the segmentation.
    overlaps : Overlaps
    scales : Scales
    max_distance_um : float
    """

    objects: Objects
    centres: Float
    expected: Float
    typical_um: Float
    end_cost: Float
    appear_cost: Float
    is_lasting: NDArray[np.bool_]
    overlaps: Overlaps
    scales: Scales
    max_distance_um: float


def links(scene: Scene, sources: Index, targets: Index, n_missed: Index) -> Hypotheses:
    """Every likely link of one object to one.

    Parameters
    ----------
    scene : Scene
    sources, targets : (a,), (b,) int
        Objects before, and of the frame.
    n_missed : (a,) int
        Frames since each source was seen, besides the one of the step.
    """
    objects, scales = scene.objects, scene.scales
    if not len(sources) or not len(targets):
        return _none(1, 1)
    interval = objects.time[targets[0]] - objects.time[sources]
    predicted = scene.centres[sources] + scene.expected[sources] * interval[:, None]
    reach = np.minimum(scene.max_distance_um, 12.0 * np.linalg.norm(scales.step_um) * np.sqrt(interval))
    k = min(MOST_LINKS, len(targets))
    distance, near = cKDTree(scene.centres[targets]).query(predicted, k=range(1, k + 1))
    first, column = np.nonzero(distance <= reach[:, None])
    source, target = sources[first], targets[near[first, column]]
    missed = n_missed[first]
    away = scene.centres[target] - predicted[first]
    cost = step_cost(away, scales.step_um, interval[first], scales.tail)
    cost += feature_cost(objects.features[target] - objects.features[source], scales.feature_spread)
    cost += overlap_cost(scene.overlaps.iou(source, target), scales.overlap_width)
    # A lost object is found again with falling probability from frame to frame.
    again = np.where(missed > 0, (missed - 1) * math.log(2.0) - math.log(scales.return_rate), 0.0)
    ends = np.where(missed > 0, -math.log(1.0 - scales.return_rate), scene.end_cost[source])
    gain = ends + scene.appear_cost[target] - cost - again
    good = gain > 0
    return Hypotheses(source[good, None], target[good, None], gain[good], missed[good])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Divisions that are not absurd, each seen from the daughter that would be new.

    Parameters
    ----------
    mother, other, new : (m,) int
        The other daughter continues the mother.
    evidence : (m,) float
        Advantage over the same link while the new one appears.
    """

    mother: Index
    other: Index
    new: Index
    evidence: Float


def divisions(scene: Scene, sources: Index, targets: Index, alone: Hypotheses) -> tuple[Hypotheses, Candidates]:
    """Pairs of neighbouring objects of the frame that may be daughters of one object before.

    Returns
    -------
    Hypotheses
        Those that are better than a link to either daughter while the other appears.
    Candidates
    """
    none = np.zeros(0, np.int64)
    nothing = Candidates(none, none, none, np.zeros(0))
    objects, scales = scene.objects, scene.scales
    if len(targets) < 2 or not len(sources):
        return _none(1, 2), nothing
    interval = float(objects.time[targets[0]] - objects.time[sources[0]])
    predicted = scene.centres[sources] + scene.expected[sources] * interval
    pairs = _pairs(scene.centres[targets], 3.0 * scales.separation * float(np.max(scene.typical_um[sources])))
    if not len(pairs):
        return _none(1, 2), nothing
    a, b = targets[pairs[:, 0]], targets[pairs[:, 1]]
    share = _shares(objects.amounts[a], objects.amounts[b])
    middle = share * scene.centres[a] + (1.0 - share) * scene.centres[b]
    k = min(MOST_PARTNERS, len(sources))
    distance, near = cKDTree(predicted).query(middle, k=range(1, k + 1))
    row, column = np.nonzero(distance <= scene.max_distance_um)
    mother, a, b = sources[near[row, column]], a[row], b[row]
    cost = _daughters_cost(scene, mother, a, b)
    apart = np.linalg.norm(scene.centres[a] - scene.centres[b], axis=1)
    cost += separation_cost(apart, scene.typical_um[mother], scales, objects.n_dimensions)
    cost += _sum_cost(objects, mother, a, b, scales) + overlap_cost(
        scene.overlaps.iou_of_two(mother, a, b), scales.overlap_width
    )
    gain = scene.end_cost[mother] + scene.appear_cost[a] + scene.appear_cost[b] - cost + np.log(scales.division_rate)
    gain += mother_gain(scene, mother)
    gain += np.where(scene.is_lasting[a] & scene.is_lasting[b], 0.0, np.log(SHORT_DAUGHTER))
    first, second = gain - _gain_of(alone, mother, b), gain - _gain_of(alone, mother, a)
    good = (first > 0) & (second > 0)
    evidence = np.concatenate([first, second])
    likely = evidence > LEAST_EVIDENCE
    candidates = Candidates(
        np.tile(mother, 2)[likely], np.concatenate([b, a])[likely], np.concatenate([a, b])[likely], evidence[likely]
    )
    return _at_once(mother[good, None], np.stack([a, b], axis=1)[good], gain[good]), candidates


def _places(scene: Scene, mother: Index, a: Index, b: Index) -> Float:
    """(p, m): cost of the daughters' places if the mother's lies at each of the parts of the line between them.

    In the middle of two equal daughters; at one end where a sister was found late, a bud grows, or a lineage was drawn
    so; in between where the sister that stays recoils.
    """
    objects, scales = scene.objects, scene.scales
    interval = objects.time[a] - objects.time[mother]
    predicted = scene.centres[mother] + scene.expected[mother] * interval[:, None]
    line = scene.centres[b] - scene.centres[a]
    spread = np.sqrt(scales.step_um**2 + (SWAY * np.linalg.norm(line, axis=1)[:, None]) ** 2)
    share = _shares(objects.amounts[b], objects.amounts[a])
    costs = []
    for part in PARTS:
        ends = (share,) if part == 0.5 else (part, 1.0 - part)
        one_side = [
            -step_cost(scene.centres[a] + end * line - predicted, spread, interval, scales.tail) for end in ends
        ]
        costs.append(np.log(len(ends)) - np.logaddexp.reduce(one_side, axis=0))
    return np.stack(costs)


def _daughters_cost(scene: Scene, mother: Index, a: Index, b: Index) -> Float:
    """(m,): cost of where daughters lie, over all parts of the line."""
    weights = np.log(scene.scales.part_shares)[:, None]
    cost: Float = -np.logaddexp.reduce(weights - _places(scene, mother, a, b), axis=0)
    return cost


def part_odds(scene: Scene, mother: Index, a: Index, b: Index) -> Float:
    """(p, m): probability of each part of the line between daughters."""
    logs = np.log(scene.scales.part_shares)[:, None] - _places(scene, mother, a, b)
    odds: Float = np.exp(logs - np.logaddexp.reduce(logs, axis=0))
    return odds


def mother_gain(scene: Scene, mother: Index) -> Float:
    """(m,): how much likelier an object of this size divides than one of mean size: mothers are large."""
    if not scene.objects.features.shape[1]:
        return np.zeros(len(mother))
    shift = scene.scales.mother_shift
    usual = (scene.objects.features[mother, 0] - scene.scales.feature_mean[0]) / scene.scales.feature_width[0]
    gain = shift * np.clip(usual, -3.0, 3.0) - 0.5 * shift**2
    return np.where(np.isfinite(gain), gain, 0.0)


def merges(scene: Scene, sources: Index, targets: Index, alone: Hypotheses) -> Hypotheses:
    """Pairs of neighbouring objects before that may be one object of the frame."""
    objects, scales = scene.objects, scene.scales
    if len(sources) < 2 or not len(targets) or not objects.amounts.shape[1]:
        return _none(2, 1)
    interval = float(objects.time[targets[0]] - objects.time[sources[0]])
    predicted = scene.centres[sources] + scene.expected[sources] * interval
    pairs = _pairs(predicted, 2.0 * float(np.max(scene.typical_um[sources])))
    if not len(pairs):
        return _none(2, 1)
    a, b = sources[pairs[:, 0]], sources[pairs[:, 1]]
    share = _shares(objects.amounts[a], objects.amounts[b])
    middle = share * predicted[pairs[:, 0]] + (1.0 - share) * predicted[pairs[:, 1]]
    k = min(MOST_PARTNERS, len(targets))
    distance, near = cKDTree(scene.centres[targets]).query(middle, k=range(1, k + 1))
    row, column = np.nonzero(distance <= scene.max_distance_um)
    target, a, b = targets[near[row, column]], a[row], b[row]
    spread = np.sqrt(scales.step_um**2 + (0.15 * scene.typical_um[target, None]) ** 2)
    cost = step_cost(scene.centres[target] - middle[row], spread, np.full(len(row), interval), scales.tail)
    together = features_of(objects.amounts[a] + objects.amounts[b])
    cost += feature_cost(objects.features[target] - together, np.hypot(scales.feature_spread, 0.1))
    cost += overlap_cost(scene.overlaps.iou_of_sources(a, b, target), scales.overlap_width)
    gain = scene.end_cost[a] + scene.end_cost[b] + scene.appear_cost[target] - cost + np.log(scales.merge_rate)
    good = gain > np.maximum(_gain_of(alone, a, target), _gain_of(alone, b, target))
    return _at_once(np.stack([a, b], axis=1)[good], target[good, None], gain[good])


def best_set(kinds: Sequence[Hypotheses]) -> list[Index]:
    """Of each kind the hypotheses that together gain most while no object is used twice.

    Raises
    ------
    InputError
        ``E-TRACK-SOLVER``: the solver gave up.
    """
    used = [np.concatenate([2 * kind.sources, 2 * kind.targets + 1], axis=1) for kind in kinds]
    rows = np.concatenate([part.ravel() for part in used])
    if not len(rows):
        return [np.zeros(0, np.int64) for _ in kinds]
    objects, rows = np.unique(rows, return_inverse=True)
    gain = np.concatenate([kind.gain for kind in kinds])
    columns = np.repeat(np.arange(len(gain)), np.concatenate([np.full(len(part), part.shape[1]) for part in used]))
    solution, is_open = _beyond_doubt(gain, rows, columns, len(objects))
    if is_open.any():
        exclusion = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(objects), len(gain)))[:, is_open]
        crowded = exclusion[np.asarray(exclusion.sum(axis=1)).ravel() > 1]
        solution[is_open] = _whole_solution(gain[is_open], crowded)
    ends = np.cumsum([0, *(len(kind) for kind in kinds)])
    return [np.flatnonzero(solution[a:b]) for a, b in itertools.pairwise(ends.tolist())]


def _whole_solution(gain: Float, exclusion: sparse.csr_array) -> NDArray[np.bool_]:
    """Zeros and ones that gain most: mostly the linear program has them already, and it is solved faster."""
    options = {"presolve": False}
    answer = linprog(
        -gain, A_ub=exclusion, b_ub=np.ones(exclusion.shape[0]), bounds=(0, 1), method="highs-ds", options=options
    )
    if answer.x is None or np.abs(answer.x - np.round(answer.x)).max() > 1e-6:
        limits = LinearConstraint(exclusion, -np.inf, 1.0)
        whole = np.ones(len(gain))
        answer = milp(-gain, constraints=limits, bounds=Bounds(0, 1), integrality=whole, options=options)
    if answer.x is None:
        raise InputError("E-TRACK-SOLVER", f"objects could not be linked: {answer.message}")
    solution: NDArray[np.bool_] = np.round(answer.x) > 0
    return solution


def _beyond_doubt(
    gain: Float, rows: Index, columns: Index, n_objects: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which hypotheses stand in some best set for sure, and which are still open.

    One that gains at least as much as the best others of all its objects together can replace them.
    """
    solution, is_open = np.zeros(len(gain), dtype=bool), np.ones(len(gain), dtype=bool)
    order = np.lexsort((-gain[columns], rows))
    rows, columns = rows[order], columns[order]
    while is_open.any():
        here = is_open[columns]
        row, column = rows[here], columns[here]
        first = np.flatnonzero(np.diff(row, prepend=-1))
        best, second = np.full(n_objects, -1), np.zeros(n_objects)
        best[row[first]] = column[first]
        following = first + 1
        following = following[following < len(row)]
        following = following[row[following] == row[following - 1]]
        second[row[following]] = gain[column[following]]
        others = np.where(best[row] == column, second[row], gain[np.maximum(best[row], 0)])
        needed = np.bincount(column, weights=others, minlength=len(gain))
        sure = is_open & (gain >= needed)
        # Of equals that exclude each other, one at a time.
        claims = np.bincount(row, weights=sure[column], minlength=n_objects)
        clashes = np.bincount(column, weights=claims[row] > 1, minlength=len(gain)) > 0
        if (sure & clashes).any():
            sure &= ~clashes
            if not sure.any():
                break
        if not sure.any():
            break
        solution |= sure
        taken = np.zeros(n_objects, dtype=bool)
        taken[row[sure[column]]] = True
        is_open &= ~(np.bincount(column, weights=taken[row], minlength=len(gain)) > 0)
    return solution, is_open


def _none(n_sources: int, n_targets: int) -> Hypotheses:
    return _at_once(np.zeros((0, n_sources), np.int64), np.zeros((0, n_targets), np.int64), np.zeros(0))


def _at_once(sources: Index, targets: Index, gain: Float) -> Hypotheses:
    return Hypotheses(sources, targets, gain, np.zeros(len(gain), np.int64))


def _pairs(points: Float, reach_um: float) -> Index:
    """(m, 2): each point with its nearest neighbours within reach, every pair once."""
    k = min(MOST_PARTNERS + 1, len(points))
    distance, near = cKDTree(points).query(points, k=range(1, k + 1))
    first, column = np.nonzero(distance <= reach_um)
    pairs = np.stack([first, near[first, column]], axis=1)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def _shares(first: Float, second: Float) -> Float:
    """(m, 1): share of the first of two objects in their size; one half where unknown."""
    if not first.shape[1]:
        return np.full((len(first), 1), 0.5)
    share = first[:, -1:] / (first[:, -1:] + second[:, -1:])
    return np.where(np.isfinite(share), share, 0.5)


def _sum_cost(objects: Objects, mother: Index, a: Index, b: Index, scales: Scales) -> Float:
    """Two daughters weigh what the mother weighed, and about the same."""
    if not objects.amounts.shape[1]:
        return np.zeros(len(mother))
    together = features_of(objects.amounts[a] + objects.amounts[b])
    cost = feature_cost(together - objects.features[mother], scales.division_spread)
    ratio = np.log(objects.amounts[a, :1] / objects.amounts[b, :1])
    cost += feature_cost(ratio, np.array([scales.share_spread]))
    return cost + feature_cost(
        objects.features[a, 1:] - objects.features[b, 1:], math.sqrt(2.0) * scales.feature_spread[1:]
    )


def _gain_of(alone: Hypotheses, source: Index, target: Index) -> Float:
    """Gain of the link between objects, 0 where there is none."""
    if not len(alone):
        return np.zeros(len(source))
    size = int(max(alone.targets.max(), target.max() if len(target) else 0)) + 1
    keys = alone.sources[:, 0] * size + alone.targets[:, 0]
    order = np.argsort(keys)
    wanted = source * size + target
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][place] == wanted, alone.gain[order][place], 0.0)
