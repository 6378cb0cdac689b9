"""Out-of-distribution images: how far an image is from a model's training images, in a dozen figures.

A network gives an answer for every image. Here an image is described by the brightness of cells, noise, sharpness,
evenness of the background, and the network's uncertainty; the distance of these figures from those of the training
images tells whether the image is out of distribution. To add a figure, compute it in :func:`describe_image` and name it
in :data:`WORDS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.settings import TrainingDistribution
from tomocyte.confidence.voxels import Byte

Float = NDArray[np.float64]
Image = NDArray[np.float32]

WORDS: dict[str, str] = {
    "cell_level": "brightness of cells",
    "cell_spread": "contrast within cells",
    "cell_top": "brightness of the densest parts",
    "background_level": "offset of the background from the medium",
    "background_noise": "noise in the background",
    "background_spread": "unevenness of the background",
    "sharpness_lateral": "fine detail within planes",
    "sharpness_axial": "fine detail across planes",
}
"""What each figure means; ``doubt_<structure>`` is added for each output. All but the levels are logarithms."""
LEVELS = ("cell_level", "background_level")
UNCERTAINTY = "doubt_"
"""Prefix of the uncertainty figures, as stored in model cards."""
MOST_VOXELS = 3_000_000
MARGIN = 4
SMALLEST_SAMPLE = 500
MAD_TO_SD = 1.4826
SHRINKAGE = 0.1
FARTHEST = 4.0
NOTABLE = 3.0
CONFIDENCE = 0.99
TINY = 1e-6


def described_window(probability: Byte, structures: Sequence[str]) -> tuple[slice, slice, slice]:
    """The box to describe: all of a small image; above 3 million voxels, the part around the centre of the cells.

    Parameters
    ----------
    probability : ndarray (K, Z, Y, X), uint8
    structures : sequence of str
        The K outputs.
    """
    shape = probability.shape[1:]
    if math.prod(shape) <= MOST_VOXELS:
        return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
    share = (MOST_VOXELS / math.prod(shape)) ** (1 / 3)
    marks = _of_cells(probability, structures) >= 128
    window = []
    for axis, size in enumerate(shape):
        other_axes = tuple(other_axis for other_axis in range(3) if other_axis != axis)
        weight = marks.sum(axis=other_axes).astype(np.float64)
        centre = float(weight @ np.arange(size) / weight.sum()) if weight.sum() else size / 2
        length = max(1, int(size * share))
        start = int(np.clip(centre - length / 2, 0, size - length))
        window.append(slice(start, start + length))
    return window[0], window[1], window[2]


def _of_cells(probability: Byte, structures: Sequence[str]) -> Byte:
    """The probability of the cell, or the highest of all structures of a model without cells."""
    if "cell" in structures:
        return np.asarray(probability[structures.index("cell")])
    return np.asarray(probability.max(axis=0))


def describe_image(image: Image, probability: Byte, structures: Sequence[str]) -> dict[str, float] | None:
    """The figures of one image.

    Parameters
    ----------
    image : ndarray (Z, Y, X), float32
        As the network sees it: normalised, finite, on the network's grid; of a large one, :func:`described_window`.
    probability : ndarray (K, Z, Y, X), uint8
        Its prediction, round(255 p), before calibration, on the same grid.
    structures : sequence of str
        The K outputs. ``cell`` separates cells from background; without it, all outputs together.

    Returns
    -------
    dict of str to float, or None
        ``None`` where cells or background have fewer than 500 voxels.
    """
    whole = _of_cells(probability, structures)
    cells, outside = whole >= 128, _far_from(whole >= 64)
    if min(np.count_nonzero(cells), np.count_nonzero(outside)) < SMALLEST_SAMPLE:
        return None
    inside, around = image[cells], image[outside]
    low, middle, high, top = (float(value) for value in np.percentile(inside, (5, 50, 95, 99)))
    figures = {
        "cell_level": middle,
        "cell_spread": _log(high - low),
        "cell_top": _log(top - middle),
        "background_level": float(np.median(around)),
        "background_noise": _log(_roughness(image, outside, axis=2, lag=1)),
        "background_spread": _log(_spread(around)),
        "sharpness_lateral": _fineness(image, cells, axis=2),
    }
    if image.shape[0] > 8:
        figures["sharpness_axial"] = _fineness(image, cells, axis=0)
    share = probability[:, cells] / np.float32(255)
    uncertainty = np.asarray(np.mean(4 * share * (1 - share), axis=1, dtype=np.float64))
    return figures | {
        f"{UNCERTAINTY}{name}": _log(value, 1e-4) for name, value in zip(structures, uncertainty.tolist(), strict=True)
    }


def _log(value: float, tiny: float = TINY) -> float:
    return math.log(max(float(value), 0.0) + tiny)


def _far_from(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels at least four voxels away from a mask, along each axis that has as many."""
    from scipy import ndimage

    size = [min(2 * MARGIN + 1, length) for length in mask.shape]
    return np.asarray(ndimage.maximum_filter(mask, size=size) == 0)


def _spread(values: NDArray[Any]) -> float:
    """Robust standard deviation."""
    if not len(values):
        return 0.0
    return MAD_TO_SD * float(np.median(np.abs(values - np.median(values))))


def _roughness(image: Image, where: NDArray[np.bool_], *, axis: int, lag: int) -> float:
    """Robust spread of v(i - lag) - 2 v(i) + v(i + lag), over √6: the noise's standard deviation if it is white."""
    length = image.shape[axis]
    if length <= 2 * lag:
        return 0.0

    def shifted(array: NDArray[Any], start: int) -> NDArray[Any]:
        return array[(slice(None),) * axis + (slice(start, start + length - 2 * lag),)]

    curved = shifted(image, 0) - 2 * shifted(image, lag) + shifted(image, 2 * lag)
    is_inside = shifted(where, 0) & shifted(where, lag) & shifted(where, 2 * lag)
    return _spread(curved[is_inside]) / math.sqrt(6)


def _fineness(image: Image, cells: NDArray[np.bool_], *, axis: int) -> float:
    """How much of the structure within cells is fine: logarithm of the roughness at one voxel over that at three."""
    return _log(_roughness(image, cells, axis=axis, lag=1)) - _log(_roughness(image, cells, axis=axis, lag=3))


def fit_training_distribution(
    training: Sequence[Mapping[str, float]], held_out: Sequence[Mapping[str, float]] = ()
) -> TrainingDistribution:
    """Fit the distribution of training images, and the distance beyond which an image is out of distribution.

    Parameters
    ----------
    training : sequence of mapping
        From :func:`describe_image`, at least two; figures that not all of them have are left out.
    held_out : sequence of mapping
        Images of the same kind that the network never saw; the limit is the larger of the 99 % point of the χ
        distribution and of their distances.

    Returns
    -------
    TrainingDistribution

    References
    ----------
    Mahalanobis, Proc. Natl. Inst. Sci. India 2, 49 (1936); Lee et al., Adv. Neural Inf. Process. Syst. 31 (2018),
    arXiv:1807.03888, who take the distance in a network's features.
    """
    from scipy import stats

    names = tuple(name for name in training[0] if all(name in figures for figures in (*training, *held_out)))
    table = _rows(training, names)
    centre = np.median(table, axis=0)
    scale = np.maximum(MAD_TO_SD * np.median(np.abs(table - centre), axis=0), np.maximum(0.02, 0.02 * np.abs(centre)))
    scaled = np.clip((table - centre) / scale, -FARTHEST, FARTHEST)
    spread = np.maximum(scaled.std(axis=0), TINY)
    correlation = (scaled - scaled.mean(axis=0)).T @ (scaled - scaled.mean(axis=0)) / len(scaled)
    correlation = (1 - SHRINKAGE) * correlation / np.outer(spread, spread)
    np.fill_diagonal(correlation, 1.0)
    fields: dict[str, Any] = {
        "names": names,
        "centre": tuple(centre.tolist()),
        "scale": tuple(scale.tolist()),
        "correlation": tuple(tuple(row) for row in correlation.tolist()),
        "n_images": len(training),
    }
    limit = float(np.sqrt(stats.chi2.ppf(CONFIDENCE, len(names))))
    distribution = TrainingDistribution(**fields, limit=limit)
    if held_out:
        distances = [out_of_distribution_distance(figures, distribution) for figures in held_out]
        limit = max(limit, float(np.quantile(distances, CONFIDENCE, method="higher")))
    return distribution.model_copy(update={"limit": limit})


def _rows(described: Sequence[Mapping[str, float]], names: Sequence[str]) -> Float:
    return np.array([[figures[name] for name in names] for figures in described], dtype=np.float64)


def deviations(described: Mapping[str, float], distribution: TrainingDistribution) -> dict[str, float]:
    """How many robust standard deviations each figure is off the training images' median.

    Less uncertainty than usual is nothing unusual (a cell may have no droplets at all) and counts as 0.
    """
    statistics = zip(distribution.names, distribution.centre, distribution.scale, strict=True)
    off = {name: (described[name] - centre) / scale for name, centre, scale in statistics if name in described}
    return {name: max(0.0, z) if name.startswith(UNCERTAINTY) else z for name, z in off.items()}


def out_of_distribution_distance(described: Mapping[str, float], distribution: TrainingDistribution) -> float:
    """Mahalanobis distance of an image from the training images; figures that it lacks count as the median."""
    off = deviations(described, distribution)
    z = np.array([off.get(name, 0.0) for name in distribution.names])
    squared = float(z @ np.linalg.solve(np.array(distribution.correlation), z))
    return math.sqrt(max(0.0, squared))


def describe_deviation(described: Mapping[str, float], distribution: TrainingDistribution, *, most: int = 3) -> str:
    """The figures that deviate most, in words, each relative to the training images.

    Examples
    --------
    >>> distribution = TrainingDistribution(names=("background_noise",), centre=(-3.0,), scale=(0.1,),
    ...     correlation=((1.0,),), limit=3.0, n_images=9)
    >>> describe_deviation({"background_noise": -3.0 + math.log(6)}, distribution)
    'noise in the background 6.0 times what the model has seen'
    """
    off = deviations(described, distribution)
    worst = sorted(off, key=lambda name: -abs(off[name]))
    named = [name for name in worst if abs(off[name]) >= NOTABLE][:most] or worst[:1]
    phrases = []
    for name in named:
        word = WORDS.get(name, f"uncertainty about {name.removeprefix(UNCERTAINTY).replace('_', ' ')}")
        if name in LEVELS:
            usual = distribution.centre[distribution.names.index(name)]
            phrases.append(f"{word} {described[name]:.2f} instead of {usual:.2f} (in the network's unit)")
        else:
            times = math.exp(described[name] - distribution.centre[distribution.names.index(name)])
            phrases.append(f"{word} {times:#.2g} times what the model has seen")
    return "; ".join(phrases)
