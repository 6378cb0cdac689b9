"""Linking: from the objects of all frames to the links between them.

In every frame, links, divisions, merges and the return of objects lost before are weighed at once, and the best set
that uses each object only once is taken, exactly. The scales of the costs come from the series: all frames are linked
several times, each time with what the last links showed. The model of probable events is that of Jaqaman et al. 2008
(doi:10.1038/nmeth.1237) with the division and merge terms in the first step instead of a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma as gamma_function

from tomocyte.progress import Callback, Progress, silent
from tomocyte.tracking.estimate import first_scales, lasting, next_scales, typical_diameter_um
from tomocyte.tracking.hypotheses import (
    Candidates,
    Hypotheses,
    Scene,
    best_set,
    divisions,
    links,
    merges,
)
from tomocyte.tracking.motion import drifts, spacing_um
from tomocyte.tracking.objects import Float, Index, Objects
from tomocyte.tracking.overlaps import NO_OVERLAPS, Overlaps
from tomocyte.tracking.scales import Scales
from tomocyte.tracking.settings import TrackingSettings

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Links:
    """Who became whom; rows of :class:`Objects`.

    Parameters
    ----------
    source, target : (m,) int
        Earlier and later object; a source of two links divides, a target of two is merged.
    gain : (m,) float
        How much better the link explains the objects than an end and an appearance; of a division or merge for both.
    drift_um : (n_frames, d) float
        Shift since the first frame, frames as in ``objects.frames``.
    scales : Scales
        What the series showed to be likely.
    """

    source: Index
    target: Index
    gain: Float
    drift_um: Float
    scales: Scales

    def __len__(self) -> int:
        return len(self.source)


def link_objects(
    objects: Objects,
    settings: TrackingSettings | None = None,
    *,
    overlaps: Overlaps = NO_OVERLAPS,
    callback: Callback = silent,
) -> Links:
    """Link the objects of a series.

    Parameters
    ----------
    objects : Objects
    settings : TrackingSettings, optional
    overlaps : Overlaps, optional
        From :func:`tomocyte.tracking.count_overlaps`.
    callback : callable, optional
        Receives progress events.

    Returns
    -------
    Links
    """
    settings = settings or TrackingSettings()
    if settings.has_merges is None:
        settings = settings.model_copy(update={"has_merges": bool(len(overlaps.n_voxels))})
    spacing = spacing_um(objects)
    n_frames = len(objects.frames)
    drift = drifts(objects, spacing) if settings.has_drift else np.zeros((n_frames, objects.n_dimensions))
    centres = objects.centres_um - np.repeat(drift, [rows.stop - rows.start for rows in objects.frames], axis=0)
    typical = typical_diameter_um(objects, spacing)
    scales = first_scales(objects, centres, spacing, settings)
    expected, is_lasting = np.zeros_like(centres), np.ones(len(objects), dtype=bool)
    kinds = [_join([]), _join([]), _join([])]
    for round_number in range(settings.n_rounds):
        scene = _scene(objects, centres, expected, spacing, typical, is_lasting, overlaps, scales, settings)
        kinds, candidates = _link_frames(scene, settings, callback, round_number)
        if round_number + 1 < settings.n_rounds:
            is_lasting = lasting(objects, kinds)
            scales, expected = next_scales(scene, kinds, candidates, is_lasting, settings)
    source = np.concatenate([np.repeat(kind.sources, kind.targets.shape[1], axis=1).ravel() for kind in kinds])
    target = np.concatenate([np.tile(kind.targets, (1, kind.sources.shape[1])).ravel() for kind in kinds])
    n_links = [max(kind.sources.shape[1], kind.targets.shape[1]) for kind in kinds]
    gain = np.concatenate([np.repeat(kind.gain, n) for kind, n in zip(kinds, n_links, strict=True)])
    order = np.lexsort((target, source))
    return Links(source[order], target[order], gain[order], drift, scales)


def _scene(
    objects: Objects,
    centres: Float,
    expected: Float,
    spacing: Float,
    typical: Float,
    is_lasting: NDArray[np.bool_],
    overlaps: Overlaps,
    scales: Scales,
    settings: TrackingSettings,
) -> Scene:
    """Costs of ending and appearing: rare inside the field, common at its border; per volume of one object."""
    d = objects.n_dimensions
    near = 1.5 * float(np.linalg.norm(scales.step_um[-2:]))
    at_border = objects.is_border | (objects.border_um <= near)
    end = np.where(at_border, scales.border_rate, scales.end_rate)
    appear = np.where(is_lasting, scales.appear_rate, scales.spurious_rate)
    appear = np.where(at_border, scales.border_rate, appear)
    # Two neighbours within the distance to the second-nearest: the volume of one object.
    own_volume = np.pi ** (d / 2) / gamma_function(d / 2 + 1) * spacing**d / 2.0
    offset = (objects.features - scales.feature_mean) / scales.feature_width
    unusual = 0.5 * np.minimum(offset**2, 9.0) + np.log(scales.feature_width * np.sqrt(2 * np.pi))
    return Scene(
        objects=objects,
        centres=centres,
        expected=expected,
        typical_um=typical,
        end_cost=-np.log(end),
        appear_cost=-np.log(appear / own_volume) + np.where(np.isfinite(unusual), unusual, 0.0).sum(axis=1),
        is_lasting=is_lasting,
        overlaps=overlaps,
        scales=scales,
        max_distance_um=settings.max_distance_um or np.inf,
    )


def _link_frames(
    scene: Scene, settings: TrackingSettings, callback: Callback, round_number: int
) -> tuple[list[Hypotheses], Candidates]:
    """One round over all frames: links, divisions and merges, and divisions that were likely."""
    likely: list[Candidates] = []
    objects, n_frames = scene.objects, len(scene.objects.frames)
    found: list[list[Hypotheses]] = [[], [], []]
    lost = np.zeros(0, np.int64)
    missed = np.zeros(0, np.int64)
    fresh = np.zeros(0, np.int64)
    for index, rows in enumerate(objects.frames):
        targets = np.arange(rows.start, rows.stop)
        if len(fresh):
            sources = np.concatenate([fresh, lost])
            n_missed = np.concatenate([np.zeros(len(fresh), np.int64), missed])
            single = links(scene, sources, targets, n_missed)
            kinds = {0: single}
            if settings.has_divisions:
                kinds[1], candidates = divisions(scene, fresh, targets, single)
                likely.append(candidates)
            if settings.has_merges:
                kinds[2] = merges(scene, fresh, targets, single)
            best = best_set(list(kinds.values()))
            taken = {place: kind.chosen(which) for (place, kind), which in zip(kinds.items(), best, strict=True)}
            for place, kind in taken.items():
                found[place].append(kind)
            used = np.concatenate([kind.sources.ravel() for kind in taken.values()])
            is_open = ~np.isin(sources, used)
            lost, missed = sources[is_open], n_missed[is_open] + 1
            lost, missed = lost[missed <= settings.max_gap_frames], missed[missed <= settings.max_gap_frames]
        fresh = targets
        callback(
            Progress(step="link", frame=index, n_frames=n_frames, done=round_number * n_frames + index + 1,
                     total=settings.n_rounds * n_frames)
        )  # fmt: skip
    return [
        _join(found[0], 1, 1),
        _join(found[1], 1, 2),
        _join(found[2], 2, 1),
    ], _all_candidates(likely)


def _join(parts: list[Hypotheses], n_sources: int = 1, n_targets: int = 1) -> Hypotheses:
    return Hypotheses(
        np.concatenate([np.zeros((0, n_sources), np.int64), *(part.sources for part in parts)]),
        np.concatenate([np.zeros((0, n_targets), np.int64), *(part.targets for part in parts)]),
        np.concatenate([np.zeros(0), *(part.gain for part in parts)]),
        np.concatenate([_NONE, *(part.n_missed for part in parts)]),
    )


def _all_candidates(parts: list[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([_NONE, *(part.mother for part in parts)]),
        np.concatenate([_NONE, *(part.other for part in parts)]),
        np.concatenate([_NONE, *(part.new for part in parts)]),
        np.concatenate([np.zeros(0), *(part.evidence for part in parts)]),
    )
