"""Scores of one method on one set of held-out images: per image, and pooled over all of them.

Every method is a function from a sample to probabilities (K, \\*S); baselines give 0 and 1. To add a baseline, add it
to ``_BASELINES``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation.counts import MaskCounts, count_mask
from tomocyte.evaluation.curves import PrecisionRecallCounts, count_precision_recall
from tomocyte.modalities import modality
from tomocyte.segmentation.classical.nucleus import edge_based_nucleus
from tomocyte.segmentation.classical.thresholds import Histogram, otsu_threshold
from tomocyte.segmentation.settings import NucleusSettings
from tomocyte.training.data.samples import Samples, Target, resample_pair
from tomocyte.training.data.settings import IGNORE
from tomocyte.training.recipe import TestSet

Probability = NDArray[np.float32]
METRICS = ("dice", "jaccard", "f05", "f05_as_published", "pr_auc", "precision", "recall", "pixel_accuracy")


@dataclass(frozen=True)
class SetScores:
    """Scores of one method on one set.

    Parameters
    ----------
    summary : dict
        ``dice`` is the mean over images and outputs, as the paper's; ``jaccard``, ``f05``, ``f05_as_published``,
        ``precision``, ``recall``, ``pixel_accuracy`` and ``pr_auc`` are of all their pixels pooled; ``n_images``.
    rows : list of dict
        One per image and output: ``image``, ``group``, ``output``, ``dice``, ``jaccard``, ``precision``, ``recall``.
    """

    summary: dict[str, float]
    rows: list[dict[str, Any]]


def score_set(
    samples: Samples, truths: list[Target], probabilities: list[Probability], names: tuple[str, ...]
) -> SetScores:
    """Compare what was predicted for every sample with its truth; unlabelled pixels do not count.

    Parameters
    ----------
    samples : Samples
        Gives the names and groups.
    truths, probabilities : list of ndarray (K, \\*S)
    names : tuple of str
        Of the K outputs.
    """
    rows: list[dict[str, Any]] = []
    total = MaskCounts()
    curve: PrecisionRecallCounts | None = None
    for index, (truth, probability) in enumerate(zip(truths, probabilities, strict=True)):
        for head, name in enumerate(names):
            labelled = truth[head] != IGNORE
            inside, chance = truth[head][labelled] == 1, probability[head][labelled]
            counts = count_mask(inside, chance >= 0.5)
            total = total + counts
            here = count_precision_recall(inside, np.clip(chance, 0, 1))
            curve = here if curve is None else curve + here
            rows.append(
                {
                    "image": samples.name(index),
                    "group": samples.groups[index],
                    "output": name,
                    "dice": counts.dice,
                    "jaccard": counts.jaccard,
                    "precision": counts.precision,
                    "recall": counts.recall,
                }
            )
    dices = [row["dice"] for row in rows if math.isfinite(row["dice"])]
    summary = {
        "dice": float(np.mean(dices)) if dices else math.nan,
        "jaccard": total.jaccard,
        "f05": total.f_beta(0.5),
        "f05_as_published": total.f05_as_published,
        "pr_auc": curve.curve.auc if curve is not None and total.n_truth else math.nan,
        "precision": total.precision,
        "recall": total.recall,
        "pixel_accuracy": total.pixel_accuracy,
        "n_images": float(len(truths)),
    }
    return SetScores(summary, rows)


def truths_of(samples: Samples, test: TestSet | None) -> list[Target]:
    """The truth of every sample: its labels, or the thresholded mask of a simulated stain of its nuclei."""
    if test is None or test.truth == "labels":
        return [samples.whole(index)[1] for index in range(len(samples))]
    masks = {item: _stain_masks_of(samples, item, test) for item in {place.item for place in samples.places}}
    return [_stained(samples, index, masks[samples.places[index].item]) for index in range(len(samples))]


def _stain_masks_of(samples: Samples, item: int, test: TestSet) -> NDArray[np.bool_]:
    """The mask (T, Z, Y, X) that a laboratory gets from the stain of one item."""
    entry = samples.items[item]
    nuclei = entry.labels.get(samples.settings.structures[0])
    if nuclei is None:
        image, _ = samples.volume(item)
        return np.zeros((image.n_frames, *image.spatial_shape), dtype=bool)
    cells = nuclei.with_name(nuclei.name.replace(samples.settings.structures[0], "cell", 1))
    return _stain_masks(entry.name, nuclei, cells if cells.exists() else nuclei, test.truth, test.seed)


@lru_cache(maxsize=256)
def _stain_masks(name: str, nucleus_path: Path, cell_path: Path, stain_name: str, seed: int) -> NDArray[np.bool_]:
    from tomocyte.formats import read_volume
    from tomocyte.simulation.physics.stain import STAINS, simulate_stain, stain_mask

    nuclei, cells = read_volume(nucleus_path), read_volume(cell_path)
    size = nuclei.require_voxel_size()
    masks = []
    for frame in range(nuclei.n_frames):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8")), frame])
        stain = simulate_stain(
            nuclei.planes(frame, 0), cells.planes(frame, 0), size, settings=STAINS[stain_name], rng=rng
        )
        masks.append(stain_mask(stain, size))
    return np.stack(masks)


def _stained(samples: Samples, index: int, masks: NDArray[np.bool_]) -> Target:
    place = samples.places[index]
    image, _ = samples.volume(place.item)
    plane = masks[place.frame, place.z] if samples.n_axes == 2 else masks[place.frame]
    stored = image.require_voxel_size()[3 - samples.n_axes :]
    blank = np.zeros((1, *plane.shape), dtype=np.float32)
    return resample_pair(blank, plane[np.newaxis].astype(np.uint8), stored, samples.pixel_size_um(index))[1]


def baseline_probabilities(name: str, samples: Samples) -> list[Probability]:
    """What a method without training gives for every sample, as 0 and 1."""
    method = _BASELINES[name]
    cache: dict[tuple[int, int], NDArray[np.bool_]] = {}
    return [method(samples, index, cache) for index in range(len(samples))]


def _edge_based(samples: Samples, index: int, cache: dict[tuple[int, int], NDArray[np.bool_]]) -> Probability:
    """Sobel edges inside the cell that the classical engine finds, section by section, on the whole volume."""
    from tomocyte.segmentation.classical.steps import segment

    place = samples.places[index]
    key = (place.item, place.frame)
    volume, _ = samples.volume(place.item)
    if key not in cache:
        kind, size = modality(samples.settings.modality), volume.require_voxel_size()
        image = volume.planes(place.frame, 0)
        engine = kind.segmentation.model_copy(update={"nucleus": NucleusSettings(method="none")})
        cells = segment(image, size, engine)["cell"]
        nuclei = np.zeros(image.shape, dtype=bool)
        for label in range(1, int(cells.max()) + 1):
            nuclei |= edge_based_nucleus(image, cells == label, size, NucleusSettings(method="edge"))
        cache[key] = nuclei
    return _at_network_size(samples, index, cache[key])


def _otsu(samples: Samples, index: int, cache: dict[tuple[int, int], NDArray[np.bool_]]) -> Probability:  # noqa: ARG001
    """Otsu's threshold on the image as the network sees it."""
    image, target = samples.whole(index)
    mask = image[0] > otsu_threshold(Histogram.of(image[0]))
    return np.broadcast_to(mask.astype(np.float32), target.shape)


def _classical(samples: Samples, index: int, cache: dict[tuple[int, int], NDArray[np.bool_]]) -> Probability:
    """The classical engine with the modality's own settings, on the whole frame."""
    from tomocyte.segmentation.classical.steps import segment

    place = samples.places[index]
    key = (place.item, place.frame)
    volume, _ = samples.volume(place.item)
    if key not in cache:
        kind = modality(samples.settings.modality)
        found = segment(volume.planes(place.frame, 0), volume.require_voxel_size(), kind.segmentation)
        name = samples.settings.structures[0]
        cache[key] = found[name] > 0 if name in found else np.zeros(volume.spatial_shape, dtype=bool)
    return _at_network_size(samples, index, cache[key])


def _at_network_size(samples: Samples, index: int, mask: NDArray[np.bool_]) -> Probability:
    place = samples.places[index]
    plane = mask[place.z] if samples.n_axes == 2 else mask
    stored = samples.volume(place.item)[0].require_voxel_size()[3 - samples.n_axes :]
    blank = np.zeros((1, *plane.shape), dtype=np.float32)
    resampled = resample_pair(blank, plane[np.newaxis].astype(np.uint8), stored, samples.pixel_size_um(index))[1]
    _, target = samples.whole(index)
    return np.broadcast_to(resampled.astype(np.float32), target.shape)


_BASELINES: dict[str, Callable[[Samples, int, dict[tuple[int, int], NDArray[np.bool_]]], Probability]] = {
    "edge-based": _edge_based,
    "otsu": _otsu,
    "classical": _classical,
}
