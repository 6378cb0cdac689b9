"""Thresholds and what is done before and after them: Otsu's, adaptive, and a class of multi-Otsu's.

Settings are chosen by the truth, so that thresholding is shown at its best. To try another threshold, add it to
:data:`METHODS` and to :func:`threshold_mask`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import dice
from tomocyte.labels.blocks import coarse_voxel_size
from tomocyte.labels.cleaning import fill_holes, large_enough, touches_border, voxels_of
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.papers.acseg.recipe import ThresholdSettings
from tomocyte.segmentation.smoothing import sigma_in_voxels
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Method = Literal["Otsu", "adaptive", "multi-Otsu"]
_BINS = 128
_CONTENDERS = 3
METHODS: tuple[Method, ...] = ("Otsu", "adaptive", "multi-Otsu")


@dataclass(frozen=True)
class Threshold:
    """One threshold with its processing; lengths in µm.

    Parameters
    ----------
    method : {"Otsu", "adaptive", "multi-Otsu"}
        Above Otsu's level; above the mean of the neighbourhood; in one of several classes, because glass and beads
        absorb more than cells, and air less than water.
    smoothing_um : float
        Gaussian sigma before the threshold.
    block_um, offset_sd : float
        Of ``adaptive``: the neighbourhood, and what is added to its mean in standard deviations of the image.
    n_classes, place : int
        Of ``multi-Otsu``: classes, and which of them cells are, from 0.
    is_processed : bool
        Whether anything is done after the threshold; if so, holes are filled and further:
    opening_um, min_volume_um3 : float
        Opening by a ball; smaller parts are dropped.
    is_border_cleared : bool
        Whether parts at the lateral border (the capillary) are dropped.
    """

    method: Method
    smoothing_um: float = 0.0
    block_um: float = 0.0
    offset_sd: float = 0.0
    n_classes: int = 0
    place: int = 0
    is_processed: bool = False
    opening_um: float = 0.0
    min_volume_um3: float = 0.0
    is_border_cleared: bool = False

    @property
    def words(self) -> str:
        """All settings in a line."""
        parts = [f"smoothed by {self.smoothing_um:g} µm"] if self.smoothing_um else []
        if self.method == "adaptive":
            parts += [f"block {self.block_um:g} µm", f"offset {self.offset_sd:g} SD"]
        if self.method == "multi-Otsu":
            parts += [f"class {self.place + 1} of {self.n_classes}"]
        if self.is_processed:
            parts += ["holes filled", f"opened by {self.opening_um:g} µm", f"at least {self.min_volume_um3:g} µm³"]
            parts += ["none at the lateral border"] if self.is_border_cleared else []
        return ", ".join(parts) or "nothing to set"


@dataclass(frozen=True, eq=False)
class Example:
    """An image and its true mask; ``case`` is what it is an example of."""

    case: str
    image: NDArray[np.float32]
    truth: Mask
    voxel_size_um: VoxelSize

    def sampled(self, smoothing_um: float, n_voxels: int) -> Example:
        """Smoothed, and every so many-th voxel, about so many in all: noise and levels stay what they are."""
        step = max(1, math.ceil((self.image.size / n_voxels) ** (1 / 3)))
        steps = (min(step, self.image.shape[0]), step, step)
        every = tuple(slice(one // 2, None, one) for one in steps)
        values = smoothed(self.image, self.voxel_size_um, smoothing_um)
        return Example(self.case, values[every], self.truth[every], coarse_voxel_size(self.voxel_size_um, steps))


def threshold_mask(image: NDArray[Any], voxel_size_um: VoxelSize, threshold: Threshold) -> Mask:
    """What lies above a threshold, or between two, processed as it says.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Cells are brighter than what is around them.
    voxel_size_um : tuple of 3 float
    threshold : Threshold

    Returns
    -------
    ndarray (Z, Y, X), bool
    """
    values = smoothed(image, voxel_size_um, threshold.smoothing_um)
    return processed(_level_mask(values, voxel_size_um, threshold), voxel_size_um, threshold)


def smoothed(image: NDArray[Any], voxel_size_um: VoxelSize, sigma_um: float) -> NDArray[np.float32]:
    """The image after a Gaussian; what is outside (NaN) counts as its lowest value."""
    from scipy import ndimage

    is_known = np.isfinite(image)
    values = np.where(is_known, image, image[is_known].min()).astype(np.float32)
    if sigma_um == 0:
        return values
    return np.asarray(ndimage.gaussian_filter(values, sigma_in_voxels(sigma_um, voxel_size_um, image.shape[0])))


def _level_mask(values: NDArray[np.float32], voxel_size_um: VoxelSize, threshold: Threshold) -> Mask:
    from skimage import filters

    if threshold.method == "adaptive":
        block = tuple(2 * round(threshold.block_um / size / 2) + 1 for size in voxel_size_um)
        level = filters.threshold_local(values, block, method="gaussian")
        return np.asarray(values > level + threshold.offset_sd * float(values.std()))
    if threshold.method == "Otsu":
        return np.asarray(values > filters.threshold_otsu(values))
    levels = filters.threshold_multiotsu(values, classes=threshold.n_classes, nbins=_BINS)
    return np.asarray(np.digitize(values, levels) == threshold.place)


def processed(mask: Mask, voxel_size_um: VoxelSize, threshold: Threshold) -> Mask:
    """A mask opened, without small parts and parts at the border, its holes filled; itself if nothing is to be done."""
    if not threshold.is_processed:
        return mask
    opened = opening(mask, threshold.opening_um, voxel_size_um)
    components = connected_components(opened)
    keep = large_enough(components, max(1.0, voxels_of(threshold.min_volume_um3, 0.0, voxel_size_um, mask.shape[0])))
    if threshold.is_border_cleared:
        keep[1:] &= ~touches_border(components.lower[1:], components.upper[1:], mask.shape)
    labels = components.paint(keep)
    fill_holes(labels)
    return labels > 0


def opening(mask: Mask, radius_um: float, voxel_size_um: VoxelSize) -> Mask:
    """What a ball of a radius reaches inside a mask; the image's border counts as inside.

    Examples
    --------
    >>> thin = np.zeros((1, 3, 30), dtype=bool)
    >>> thin[0, 1, 2:8] = True
    >>> opening(thin, 0.2, (float("nan"), 0.1, 0.1)).any()
    np.False_
    """
    if radius_um == 0:
        return mask
    eroded = distance_um(mask, voxel_size_um) > radius_um
    if not eroded.any() or mask.all():
        return eroded | (mask & mask.all())
    return (distance_um(~eroded, voxel_size_um) <= radius_um) & mask


def candidates(method: Method, settings: ThresholdSettings) -> Iterator[Threshold]:
    """Thresholds without processing, all that are tried."""
    for smoothing in settings.smoothings_um:
        if method == "adaptive":
            for block, offset in product(settings.blocks_um, settings.offsets_sd):
                yield Threshold(method, smoothing, block, offset)
        elif method == "multi-Otsu":
            for n_classes in settings.n_classes:
                for place in range(1, n_classes):
                    yield Threshold(method, smoothing, n_classes=n_classes, place=place)
        else:
            yield Threshold(method, smoothing)


@dataclass(frozen=True)
class Tuned:
    """The best settings of a method, by the truth.

    Parameters
    ----------
    plain : Threshold
        Nothing before and after; only a neighbourhood chosen.
    processed : Threshold
        The best for all cases together.
    per_case : dict of str to Threshold
        The best for each.
    """

    plain: Threshold
    processed: Threshold
    per_case: dict[str, Threshold]


def tune(method: Method, examples: Sequence[Example], settings: ThresholdSettings) -> Tuned:
    """Choose settings by the Dice that they reach: the threshold, then the processing, then the best on all voxels.

    Parameters
    ----------
    method : {"Otsu", "adaptive", "multi-Otsu"}
    examples : sequence of Example
        The mean over cases of the means within them decides.
    settings : ThresholdSettings
    """
    cases = dict.fromkeys(example.case for example in examples)
    samples = {
        sigma: [example.sampled(sigma, settings.tuning_voxels) for example in examples]
        for sigma in dict.fromkeys((0.0, *settings.smoothings_um))
    }
    plain: dict[Threshold, dict[str, float]] = {}
    for one in dict.fromkeys(replace(one, smoothing_um=0.0) for one in candidates(method, settings)):
        plain[one] = _scores(one, _masks(one, samples[0.0]), samples[0.0])
    results: dict[Threshold, dict[str, float]] = {}
    for one in candidates(method, settings):
        masks = _masks(one, samples[one.smoothing_um])
        for is_cleared in (False, True):
            variant = replace(
                one,
                is_processed=True,
                is_border_cleared=is_cleared,
                opening_um=settings.openings_um[len(settings.openings_um) // 2],
                min_volume_um3=settings.min_volumes_um3[-1],
            )
            results[variant] = _scores(variant, masks, samples[one.smoothing_um])
    for one in dict.fromkeys([_best(results), *(_best(results, case) for case in cases)]):
        masks = _masks(one, samples[one.smoothing_um])
        for opened, smallest in product(settings.openings_um, settings.min_volumes_um3):
            variant = replace(one, opening_um=opened, min_volume_um3=smallest)
            results[variant] = _scores(variant, masks, samples[one.smoothing_um])
    return _on_all_voxels(examples, _best(plain), _top(results), {case: _top(results, case) for case in cases})


def _on_all_voxels(
    examples: Sequence[Example], plain: Threshold, of_all: list[Threshold], of_case: dict[str, list[Threshold]]
) -> Tuned:
    """The best of a few thresholds, by all voxels of the examples; for a case those of all are tried, too."""
    full = {one: _full_scores(one, examples) for one in of_all}
    overall = _best(full)
    per_case = {}
    for case, some in of_case.items():
        own = [example for example in examples if example.case == case]
        scores = {one: full.get(one) or _full_scores(one, own) for one in (overall, *some)}
        per_case[case] = _best(scores, case)
    return Tuned(plain, overall, per_case)


def _full_scores(threshold: Threshold, examples: Sequence[Example]) -> dict[str, float]:
    masks = []
    for example in examples:
        values = smoothed(example.image, example.voxel_size_um, threshold.smoothing_um)
        masks.append(_level_mask(values, example.voxel_size_um, threshold))
    return _scores(threshold, masks, examples)


def _masks(threshold: Threshold, examples: Sequence[Example]) -> list[Mask]:
    return [_level_mask(example.image, example.voxel_size_um, threshold) for example in examples]


def _scores(threshold: Threshold, masks: Sequence[Mask], examples: Sequence[Example]) -> dict[str, float]:
    """Mean Dice in every case; an empty mask counts as 0."""
    values: dict[str, list[float]] = {}
    for mask, example in zip(masks, examples, strict=True):
        found = processed(mask, example.voxel_size_um, threshold)
        values.setdefault(example.case, []).append(dice(example.truth, found) if found.any() else 0.0)
    return {case: float(np.mean(some)) for case, some in values.items()}


def _best(results: dict[Threshold, dict[str, float]], case: str | None = None) -> Threshold:
    return _top(results, case)[0]


def _top(results: dict[Threshold, dict[str, float]], case: str | None = None) -> list[Threshold]:
    """The best few for a case, or for all."""

    def score(one: Threshold) -> float:
        return results[one][case] if case is not None else float(np.mean(list(results[one].values())))

    return sorted(results, key=score, reverse=True)[:_CONTENDERS]
