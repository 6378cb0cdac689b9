"""Objects told apart: scores of networks with mask and core, and of methods without training, at the image's own size.

To add a method without training, add it to ``_METHODS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.comparison.sections import Probability, SetScores
from tomocyte.evaluation import count_mask, hungarian_mean_dice, score_instances
from tomocyte.labels.components import connected_components
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.modalities import modality
from tomocyte.segmentation.classical.steps import segment
from tomocyte.segmentation.classical.thresholds import Histogram, otsu_threshold
from tomocyte.segmentation.prediction.objects import instances_from_probability
from tomocyte.segmentation.settings import ForegroundSettings, InstanceSettings, SegmentationSettings
from tomocyte.training.data.samples import Samples
from tomocyte.volume import Volume

Labels = NDArray[Any]
MIN_IOU = 0.5


def predicted_instances(samples: Samples, index: int, probability: Probability) -> Labels:
    """Objects (Z, Y, X) of one sample at the image's own size, from its mask and core (or its mask alone)."""
    from skimage.transform import resize

    volume, _ = samples.volume(samples.places[index].item)
    shape = volume.spatial_shape
    full = probability[:, np.newaxis] if samples.n_axes == 2 else probability
    back = np.stack([resize(head, shape, order=1, mode="edge", anti_aliasing=False) for head in full])
    clean = modality(samples.settings.modality).segmentation.clean
    settings = InstanceSettings(min_area_um2=clean.min_area_um2, min_volume_um3=clean.min_volume_um3)
    return instances_from_probability(back.astype(np.float32), volume.require_voxel_size(), settings)


def score_instance_set(
    samples: Samples, probabilities: list[Probability] | None = None, *, labels: list[Labels] | None = None
) -> SetScores:
    """Compare objects with the hand-made ones, image by image.

    Parameters
    ----------
    samples : Samples
    probabilities : list of ndarray (K, \\*S), optional
        Of a network; or
    labels : list of ndarray (Z, Y, X), optional
        Objects that another method found.

    Returns
    -------
    SetScores
        Means over images of ``dice`` (all objects as one mask), ``jaccard``, ``f1`` at an intersection over union of
        0.5, ``matched_dice`` (Hungarian) and ``panoptic_quality``.
    """
    rows = []
    for index in range(len(samples)):
        found = predicted_instances(samples, index, probabilities[index]) if probabilities else (labels or [])[index]
        truth = _truth(samples, index)
        counts, objects = count_mask(truth, found), score_instances(truth, found, min_iou=MIN_IOU)
        rows.append(
            {
                "image": samples.name(index),
                "group": samples.groups[index],
                "output": samples.settings.structures[0],
                "dice": counts.dice,
                "jaccard": counts.jaccard,
                "precision": counts.precision,
                "recall": counts.recall,
                "f1": objects.f1,
                "matched_dice": hungarian_mean_dice(truth, found),
                "panoptic_quality": objects.panoptic_quality,
                "n_truth": objects.n_truth,
                "n_prediction": objects.n_prediction,
            }
        )
    names = ("dice", "jaccard", "precision", "recall", "f1", "matched_dice", "panoptic_quality")
    summary = {name: _mean([float(str(row[name])) for row in rows]) for name in names}
    return SetScores({**summary, "n_images": float(len(rows))}, rows)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def _truth(samples: Samples, index: int) -> Labels:
    place = samples.places[index]
    _, labels = samples.volume(place.item)
    volume = labels[samples.settings.structures[0]]
    return np.zeros((1, 1, 1), np.uint8) if volume is None else volume.planes(place.frame, 0)


def baseline_instances(name: str, samples: Samples) -> list[Labels]:
    """Objects (Z, Y, X) that a method without training finds in each sample."""
    method = _METHODS[name]
    found = []
    for place in samples.places:
        volume, _ = samples.volume(place.item)
        found.append(method(volume, volume.planes(place.frame, 0).astype(np.float32), samples))
    return found


def _classical(volume: Volume, image: NDArray[np.float32], samples: Samples) -> Labels:
    """The classical engine with its modality's own settings."""
    kind = modality(samples.settings.modality)
    return segment(image, volume.require_voxel_size(), kind.segmentation)["cell"]


def _otsu(volume: Volume, image: NDArray[np.float32], samples: Samples) -> Labels:  # noqa: ARG001
    """Otsu's threshold and connected components."""
    found = connected_components(image > otsu_threshold(Histogram.of(image)))
    return np.asarray(found.paint())


def _watershed(volume: Volume, image: NDArray[np.float32], samples: Samples) -> Labels:
    """Otsu's threshold, and a watershed on the distance to the border."""
    clean: CleanSettings = modality(samples.settings.modality).segmentation.clean
    engine = SegmentationSettings(
        foreground=ForegroundSettings(method="otsu"), split=SplitSettings(method="distance"), clean=clean
    )
    return segment(image, volume.require_voxel_size(), engine)["cell"]


def _edge_based(volume: Volume, image: NDArray[np.float32], samples: Samples) -> Labels:
    """Sobel's gradient over Otsu's threshold, closed over one pixel, filled, opened by one pixel; components."""
    clean: CleanSettings = modality(samples.settings.modality).segmentation.clean
    pixel = volume.require_voxel_size()[1:]
    square = np.ones((3, 3), dtype=bool)
    masks = []
    for plane in image:
        smooth = ndimage.gaussian_filter(plane, 1.0)
        gradient = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))
        edges = gradient > otsu_threshold(Histogram.of(gradient))
        closed = ndimage.binary_closing(np.pad(edges, 2), square)[2:-2, 2:-2]
        masks.append(ndimage.binary_opening(ndimage.binary_fill_holes(closed), square))
    found = connected_components(np.stack(masks))
    smallest = clean.min_area_um2 / (pixel[0] * pixel[1])
    sizes = np.bincount(found.paint().ravel())
    painted = found.paint()
    return np.where(sizes[painted] >= smallest, painted, 0)


_METHODS: dict[str, Callable[[Volume, NDArray[np.float32], Samples], Labels]] = {
    "classical": _classical,
    "otsu": _otsu,
    "watershed": _watershed,
    "edge-based": _edge_based,
}
