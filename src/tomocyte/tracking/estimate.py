"""Scales estimated from a series: first from nearest neighbours, then from the links of each round."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.tracking.hypotheses import Candidates, Hypotheses, Scene, part_odds
from tomocyte.tracking.motion import mutual_pairs, velocities
from tomocyte.tracking.objects import Float, Index, Objects, features_of
from tomocyte.tracking.scales import PART_SHARES, Scales, likeliest_steps, robust_spread
from tomocyte.tracking.settings import TrackingSettings

NO_SIZE_SEPARATION = 0.8
"""Diameter over the distance to the second-nearest neighbour where sizes are unknown."""
_NONE = np.zeros(0, np.int64)
LASTING = 2
PRIOR_DIVISIONS = 3.0
"""Weight of the starting values of divisions, in divisions."""


def typical_diameter_um(objects: Objects, spacing: Float) -> Float:
    """(n,): diameter, where sizes are known; objects of a crowd are not larger than the space they have."""
    space = _median(spacing)
    diameter = objects.diameter_um
    known = _median(diameter)
    if known == 0.0:
        return np.full(len(objects), NO_SIZE_SEPARATION * space)
    return np.where(np.isfinite(diameter), diameter, known) * min(1.0, space / known)


def first_scales(objects: Objects, centres: Float, spacing: Float, settings: TrackingSettings) -> Scales:
    """Scales from objects that are each other's nearest in successive frames."""
    sources, targets = [], []
    for before, after in itertools.pairwise(objects.frames):
        a, b = mutual_pairs(centres[before], centres[after])
        sources.append(a + before.start)
        targets.append(b + after.start)
    empty = np.zeros(0, np.int64)
    source, target = np.concatenate([empty, *sources]), np.concatenate([empty, *targets])
    interval = np.sqrt(objects.time[target] - objects.time[source])[:, None]
    floor = 0.02 * _median(spacing) or 1.0
    k = objects.features.shape[1]
    return Scales(
        step_um=robust_spread((centres[target] - centres[source]) / interval, floor),
        feature_spread=robust_spread((objects.features[target] - objects.features[source]) / interval, 0.02),
        division_spread=np.full(k, 0.3),
        feature_mean=np.array([_median(column) for column in objects.features.T]),
        feature_width=np.array([max(1.4826 * _median(np.abs(c - _median(c))), 0.1) for c in objects.features.T]),
        separation=0.85,
        division_rate=settings.division_rate,
        end_rate=settings.end_rate,
        appear_rate=settings.appear_rate,
        spurious_rate=settings.end_rate,
        border_rate=settings.border_rate if objects.is_field_known else settings.appear_rate,
        merge_rate=settings.merge_rate,
    )


def _median(values: Float) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def next_scales(
    scene: Scene,
    kinds: list[Hypotheses],
    candidates: Candidates,
    is_lasting: NDArray[np.bool_],
    settings: TrackingSettings,
) -> tuple[Scales, Float]:
    """What the links of a round show, and where objects are expected next."""
    objects, scales, centres = scene.objects, scene.scales, scene.centres
    single, pairs, merged = kinds
    source, target = single.sources[:, 0], single.targets[:, 0]
    interval = objects.time[target] - objects.time[source]
    own, around = velocities(objects, centres, source, target)
    step = centres[target] - centres[source]
    inertia, company = _weights(own[source] * interval[:, None], around[source] * interval[:, None], step)
    expected = inertia * own + company * around
    floor = 0.02 * _median(scene.typical_um)
    rest = (step - expected[source] * interval[:, None]) / np.sqrt(interval)[:, None]
    n_links = len(source) + len(pairs) + 1.0
    step_um, tail = likeliest_steps(rest, floor)
    rates, weights = _rates(scene, kinds, candidates, is_lasting, settings)
    scales = replace(
        scales,
        step_um=step_um,
        tail=tail,
        feature_spread=robust_spread(
            (objects.features[target] - objects.features[source]) / np.sqrt(interval)[:, None], 0.02
        ),
        inertia=inertia,
        company=company,
        merge_rate=(len(merged) + settings.merge_rate * 200.0) / (n_links + 200.0),
        **rates,
    )
    iou = scene.overlaps.iou(source, target)
    if np.isfinite(iou).any():
        scales = replace(scales, overlap_width=float(np.clip(np.nanmean(1.0 - iou), 0.05, 2.0)))
    return _with_divisions(scene, candidates, weights, scales), expected


def _weights(own: Float, around: Float, step: Float) -> tuple[float, float]:
    """How much of the own and of the neighbours' step an object repeats, from 0 to 1: least squares without jumps."""
    size = np.linalg.norm(step, axis=1)
    usual = own.any(axis=1) & (size <= 3.0 * np.median(size)) if len(size) else np.zeros(0, bool)
    if usual.sum() < 30:
        return 0.0, 0.0
    columns = np.stack([own[usual].ravel(), around[usual].ravel()], axis=1)
    moment = columns.T @ columns + 1e-12 * np.eye(2)
    inertia, company = np.linalg.solve(moment, columns.T @ step[usual].ravel())
    return float(np.clip(inertia, 0.0, 1.0)), float(np.clip(company, 0.0, 1.0))


def lasting(objects: Objects, kinds: list[Hypotheses]) -> NDArray[np.bool_]:
    """(n,): whether an object's track goes on for at least two more frames, or to the end of the series."""
    source = np.concatenate([np.repeat(kind.sources, kind.targets.shape[1], axis=1).ravel() for kind in kinds])
    target = np.concatenate([np.tile(kind.targets, (1, kind.sources.shape[1])).ravel() for kind in kinds])
    future = np.zeros(len(objects), np.int64)
    if objects.frames:
        future[objects.frames[-1]] = LASTING
    for _ in range(LASTING):
        np.maximum.at(future, source, future[target] + 1)
    is_lasting: NDArray[np.bool_] = future >= LASTING
    return is_lasting


def _rates(
    scene: Scene,
    kinds: list[Hypotheses],
    candidates: Candidates,
    is_lasting: NDArray[np.bool_],
    settings: TrackingSettings,
) -> tuple[dict[str, Any], Float]:
    """How often objects divide, end and appear inside the field, and end or appear at its border.

    Objects that are new inside the field and last are daughters or appear. Which share is a mixture of two known
    likelihoods, found by expectation maximisation: counting what was decided would repeat its own errors. The second
    result is the probability of each candidate.
    """
    objects, scales = scene.objects, scene.scales
    if not objects.frames:
        return {}, np.zeros(0)
    used = np.concatenate([kind.sources.ravel() for kind in kinds])
    reached = np.concatenate([kind.targets.ravel() for kind in kinds])
    row = np.arange(len(objects))
    ends = (row < objects.frames[-1].start) & ~np.isin(row, used)
    appears = (row >= objects.frames[0].stop) & ~np.isin(row, reached)
    at_border = scene.end_cost <= -np.log(scales.border_rate) + 1e-9
    likely = _continuing(candidates, kinds, len(objects))
    best = np.full(len(objects), -np.inf)
    np.maximum.at(best, candidates.new[likely], candidates.evidence[likely])
    daughters = kinds[1].targets
    second = daughters[np.arange(len(daughters)), np.argmax(best[daughters], axis=1)] if len(daughters) else _NONE
    is_new = appears & (is_lasting | at_border)
    is_new[second] = True
    before = np.where(scene.is_lasting, scales.appear_rate, scales.spurious_rate)
    before = np.where(at_border, scales.border_rate, before)
    ratio = candidates.evidence + np.log(before[candidates.new]) - np.log(scales.division_rate)
    ratio[~likely] = -np.inf
    division_rate, weights = _mixture(ratio, candidates.new, is_new, before, settings)
    gaps = kinds[0].n_missed > 0
    lost = ends | np.isin(row, kinds[0].sources[gaps, 0])
    start = scales.border_rate

    def border(events: NDArray[np.bool_]) -> float:
        if not objects.is_field_known:
            return start
        return float((events[at_border].sum() + 20.0 * settings.border_rate) / (at_border.sum() + 20.0))

    return {
        "division_rate": division_rate,
        "border_rate": 0.5 * (border(ends) + border(appears)),
        "spurious_rate": _rate((appears & ~is_lasting)[~at_border], settings.end_rate),
        "end_rate": _rate(lost[~at_border], settings.end_rate),
        "return_rate": float((gaps.sum() + 3.0) / (lost.sum() + 10.0)),
    }, weights


def _rate(events: NDArray[np.bool_], start: float) -> float:
    return float((events.sum() + 100.0 * start) / (len(events) + 100.0))


def _continuing(candidates: Candidates, kinds: list[Hypotheses], n: int) -> NDArray[np.bool_]:
    """(m,): whether the other daughter of a candidate does follow its mother in the links of the round."""
    source = np.concatenate([np.repeat(kind.sources, kind.targets.shape[1], axis=1).ravel() for kind in kinds[:2]])
    target = np.concatenate([kind.targets.ravel() for kind in kinds[:2]])
    return np.isin(candidates.mother * n + candidates.other, source * n + target)


def _mixture(
    ratio: Float, new: Index, is_new: NDArray[np.bool_], appear: Float, settings: TrackingSettings
) -> tuple[float, Float]:
    """Rate of divisions, and the probability of each candidate.

    Parameters
    ----------
    ratio : (m,) float
        Logarithm of the likelihood of each candidate over that of appearing.
    new : (m,) int
        The object that would be new.
    is_new : (n,) bool
    appear : (n,) float
        Rate of appearing.
    """
    likelihood = np.where(is_new[new], np.exp(np.clip(ratio, -50, 50)), 0.0)
    total = np.bincount(new, weights=likelihood, minlength=len(is_new))
    division, weight = settings.division_rate, 20.0
    for _ in range(100):
        share = np.where(is_new, division * total / (division * total + appear), 0.0)
        division = (share.sum() + weight * settings.division_rate) / (len(is_new) + weight)
    return float(division), division * likelihood / (division * total[new] + appear[new])


def _with_divisions(scene: Scene, candidates: Candidates, weights: Float, scales: Scales) -> Scales:
    """How far apart daughters are, where they lie, how well amounts add up: from likely divisions and the start."""
    objects, start = scene.objects, PRIOR_DIVISIONS
    chosen = weights > 1e-3
    mother, a, b = candidates.mother[chosen], candidates.new[chosen], candidates.other[chosen]
    weight = weights[chosen]
    total = start + weight.sum()
    apart = np.linalg.norm(scene.centres[a] - scene.centres[b], axis=1) / scene.typical_um[mother]
    logs = np.log(np.maximum(apart, 1e-6))
    centre = (start * np.log(0.85) + (weight * logs).sum()) / total
    variance = (start * 0.4**2 + (weight * (logs - centre) ** 2).sum()) / total
    parts = (start * np.array(PART_SHARES) + (part_odds(scene, mother, a, b) * weight).sum(axis=1)) / total
    scales = replace(
        scales,
        separation=float(np.exp(centre)),
        separation_spread=float(np.sqrt(variance)),
        part_shares=parts,
    )
    if not objects.features.shape[1]:
        return scales
    change = features_of(objects.amounts[a] + objects.amounts[b]) - objects.features[mother]
    ratio = np.log(objects.amounts[a, 0] / objects.amounts[b, 0])
    usual = (objects.features[mother, 0] - scales.feature_mean[0]) / scales.feature_width[0]
    squares = [_weighted(column**2, weight, 0.3**2) for column in change.T]
    return replace(
        scales,
        division_spread=np.maximum(np.sqrt(squares), 0.05),
        share_spread=math.sqrt(_weighted(ratio**2, weight, 0.35**2)),
        mother_shift=_weighted(np.clip(usual, -3.0, 3.0), weight, 0.5),
    )


def _weighted(values: Float, weight: Float, start: float) -> float:
    """Mean with weights, of known values and a starting value."""
    known = np.isfinite(values)
    total = float((weight[known] * values[known]).sum()) + PRIOR_DIVISIONS * start
    return total / (float(weight[known].sum()) + PRIOR_DIVISIONS)
