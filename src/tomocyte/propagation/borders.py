"""What a border between labels looks like in this image, learned from the labelled slices.

Three things are seen at a voxel of the smoothed image: its grey value, its gradient and its Laplacian. On the labelled
slices it is known which voxels lie at a border, so that a table can be counted: how often voxels that look like this
do. An edge, a membrane and a border between two textures are thus all found by what they look like here, without a
setting. Which of the three are used, and how much the image is smoothed, is decided by predicting parts of the labelled
slices that were left out. While learning, only gradients along the slice count (what lies beside it is not known), then
those in space. To let borders be seen by something else, add it to ``LOOKS`` and to :func:`_bin_row`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.volume import Planes, VoxelSize

Float = NDArray[np.float32]

SIGMAS = (1.0, 1.5, 2.5)
"""Smoothing that is tried, in pixels."""
LOOKS: dict[str, tuple[int, int, int]] = {
    "gradient": (1, 64, 1),
    "grey value and gradient": (32, 32, 1),
    "grey value and Laplacian": (32, 1, 32),
    "gradient and Laplacian": (1, 32, 32),
    "grey value, gradient and Laplacian": (16, 16, 16),
}
"""Bins of grey value, gradient and Laplacian."""
PLAIN_LOOK, PLAIN_SIGMA = "gradient", 1.5
"""Of borders that no label tells of."""
MAX_SLICES = 12
"""Labelled slices that borders are learned from at most, evenly spread."""
MAX_PIXELS = 250_000
PRIOR_PIXELS = 5.0
"""Weight of the widely smoothed table where few pixels were seen."""
FLAT_QUANTILE = 0.75
"""This part of the voxels away from borders counts as flat."""
TOP_QUANTILE = 0.998
N_LEVELS = 256
TILE = 32
"""Side in pixels of the tiles, every other one of which is predicted from the rest."""


@dataclass(frozen=True)
class BorderModel:
    """How much a voxel looks like a border.

    Parameters
    ----------
    look : str
        One of ``LOOKS``.
    sigma_px : float
        Smoothing within the slice, in pixels; across slices as many µm.
    lows, steps : ndarray (3,), float32
        Where the bins of grey value, gradient and Laplacian begin, and their width.
    levels : ndarray (n_bins,), uint8
        Of every bin: 0 is flat, 255 the clearest border.
    cross_entropy : float
        Of borders on parts left out, in nats per pixel; lower is better.
    """

    look: str
    sigma_px: float
    lows: Float
    steps: Float
    levels: NDArray[np.uint8]
    cross_entropy: float


@dataclass(frozen=True)
class _Sample:
    """Looks of pixels on labelled slices: (n, 3) values, their range, whether at a border, in which half."""

    values: Float
    lows: Float
    highs: Float
    is_border: NDArray[np.bool_]
    half: NDArray[np.bool_]


def learn_borders(
    image: Planes, labels: NDArray[Any], slices: tuple[int, ...], voxel_size_um: VoxelSize
) -> BorderModel:
    """What borders look like on the labelled slices.

    Parameters
    ----------
    image : Planes (N, H, W), real
    labels : ndarray (N, H, W), unsigned integer
    slices : tuple of int
        The labelled slices.
    voxel_size_um : tuple of 3 float

    Returns
    -------
    BorderModel
        The one whose borders of left-out slices are predicted best.
    """
    chosen = _spread(slices)
    samples = {sigma_px: _looks_at_slices(image, labels, chosen, sigma_px, voxel_size_um) for sigma_px in SIGMAS}
    entropies = {(sigma, look): _held_out_entropy(samples[sigma], look) for sigma in SIGMAS for look in LOOKS}
    sigma_px, look = min(entropies, key=lambda choice: entropies[choice])
    sample, entropy = samples[sigma_px], entropies[sigma_px, look]
    lows, steps = _bins(sample, look)
    keys = _keys(sample.values, lows, steps, LOOKS[look])
    log_odds = _log_odds(_counts(keys, sample.is_border, LOOKS[look]), LOOKS[look])
    return BorderModel(look, sigma_px, lows, steps, _as_levels(log_odds, keys, sample.is_border), entropy)


def plain_borders(image: Planes, voxel_size_um: VoxelSize) -> BorderModel:
    """Borders where grey values change most, where no slice is labelled to learn from.

    Parameters
    ----------
    image : Planes (N, H, W), real
    voxel_size_um : tuple of 3 float

    Returns
    -------
    BorderModel
        Of the gradient alone; its cross-entropy is that of guessing, as nothing was predicted.
    """
    chosen = _spread(tuple(range(len(image))))
    sample = _looks_at_slices(image, np.zeros(image.shape, bool), chosen, PLAIN_SIGMA, voxel_size_um)
    lows, steps = _bins(sample, PLAIN_LOOK)
    keys = _keys(sample.values, lows, steps, LOOKS[PLAIN_LOOK])
    heights = np.arange(np.prod(LOOKS[PLAIN_LOOK]), dtype=np.float64)
    return BorderModel(
        PLAIN_LOOK, PLAIN_SIGMA, lows, steps, _as_levels(heights, keys, sample.is_border), float(np.log(2))
    )


def _spread(slices: tuple[int, ...]) -> list[int]:
    places = np.unique(np.linspace(0, len(slices) - 1, min(MAX_SLICES, len(slices))).round().astype(int))
    return [slices[place] for place in places]


def border_levels(
    image: Planes, first: int, last: int, model: BorderModel, voxel_size_um: VoxelSize
) -> NDArray[np.uint8]:
    """How much every voxel of some slices looks like a border.

    Parameters
    ----------
    image : Planes (N, H, W), real
        Only the slices and as many beside them as the smoothing reaches are read.
    first, last : int
        The slices ``first`` to ``last - 1``.
    model : BorderModel
    voxel_size_um : tuple of 3 float

    Returns
    -------
    ndarray (last - first, H, W), uint8
    """
    block, offset = _block(image, first, last, model.sigma_px, voxel_size_um)
    weights = _weights(model.sigma_px, voxel_size_um)
    levels = np.empty((last - first, *image.shape[1:]), np.uint8)
    _levels_of_slices(
        block,
        first - offset,
        *weights,
        _ratios(voxel_size_um),
        model.lows,
        (1 / model.steps).astype(np.float32),
        np.array(LOOKS[model.look]),
        model.levels,
        levels,
    )
    return levels


def labels_differ(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of a slice (H, W) that have a neighbour with another label within it.

    Examples
    --------
    >>> labels_differ(np.array([[1, 1, 2, 2, 2]])).tolist()
    [[False, True, True, False, False]]
    """
    differs = np.zeros(labels.shape, bool)
    for axis in range(2):
        along, border = np.moveaxis(labels, axis, 0), np.moveaxis(differs, axis, 0)
        step = along[1:] != along[:-1]
        border[1:] |= step
        border[:-1] |= step
    return differs


def _looks_at_slices(
    image: Planes, labels: NDArray[Any], slices: list[int], sigma_px: float, voxel_size_um: VoxelSize
) -> _Sample:
    stride = max(1, int(np.ceil(len(slices) * image.shape[1] * image.shape[2] / MAX_PIXELS)))
    weights, ratios = _weights(sigma_px, voxel_size_um), _ratios(voxel_size_um)
    ratios[0] = 0
    values, borders, halves = [], [], []
    rows = slice(None, None, stride)
    for order, index in enumerate(slices):
        block, offset = _block(image, index, index + 1, sigma_px, voxel_size_um)
        looks = np.empty((3, *image.shape[1:]), np.float32)
        _looks_of_slice(block, index - offset, *weights, ratios, looks)
        values.append(looks[:, rows].reshape(3, -1).T)
        border = labels_differ(labels[index])[rows]
        borders.append(border.ravel())
        y, x = np.ogrid[: image.shape[1], : image.shape[2]]
        halves.append(((y // TILE + x // TILE + order) % 2 == 1)[rows].ravel())
    every = np.concatenate(values)
    lows, highs = np.quantile(every[:: max(1, len(every) // 50_000)], [0.001, 0.999], axis=0)
    return _Sample(every, lows, highs, np.concatenate(borders), np.concatenate(halves))


def _bins(sample: _Sample, look: str) -> tuple[Float, Float]:
    """Where bins begin, and how wide they are."""
    steps = (sample.highs - sample.lows) / np.array(LOOKS[look])
    return sample.lows.astype(np.float32), np.where(steps > 0, steps, 1.0).astype(np.float32)


def _keys(values: Float, lows: Float, steps: Float, n_bins: tuple[int, int, int]) -> NDArray[np.int32]:
    keys = np.zeros(len(values), np.int32)
    for column, count in enumerate(n_bins):
        if count > 1:
            bins = ((values[:, column] - lows[column]) * (1 / steps[column])).astype(np.int32)
            keys *= count
            keys += bins.clip(0, count - 1)
    return keys


def _counts(keys: NDArray[np.int32], is_border: NDArray[np.bool_], n_bins: tuple[int, int, int]) -> NDArray[np.float64]:
    """How many pixels of every bin lie elsewhere and at a border, (2, n_bins)."""
    size = int(np.prod(n_bins))
    return np.bincount(keys + size * is_border, minlength=2 * size).reshape(2, size).astype(np.float64)


def _log_odds(counts: NDArray[np.float64], n_bins: tuple[int, int, int]) -> NDArray[np.float64]:
    """Of a border, for every bin; where few pixels fell, the bins around speak."""
    grid = counts.reshape(2, *(count for count in n_bins if count > 1))
    share = (grid[1].sum() + 1) / (grid.sum() + 2)
    near = np.stack([ndimage.gaussian_filter(count, 1.0) for count in grid])
    wide = np.stack([ndimage.gaussian_filter(count, 3.0) for count in grid])
    prior = (wide[1] + share) / (wide.sum(axis=0) + 1)
    chance = ((near[1] + PRIOR_PIXELS * prior) / (near.sum(axis=0) + PRIOR_PIXELS)).clip(1e-4, 1 - 1e-4)
    return np.asarray(np.log(chance / (1 - chance)).ravel())


def _held_out_entropy(sample: _Sample, look: str) -> float:
    lows, steps = _bins(sample, look)
    keys = _keys(sample.values, lows, steps, LOOKS[look])
    halves = [_counts(keys[part], sample.is_border[part], LOOKS[look]) for part in (sample.half, ~sample.half)]
    total = 0.0
    for fitted, left_out in (halves, halves[::-1]):
        log_odds = _log_odds(fitted, LOOKS[look])
        total += float((left_out[0] * np.logaddexp(0, log_odds) + left_out[1] * np.logaddexp(0, -log_odds)).sum())
    return total / len(keys)


def _as_levels(
    log_odds: NDArray[np.float64], keys: NDArray[np.int32], is_border: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    seen = log_odds[keys]
    elsewhere = seen[~is_border] if not is_border.all() else seen
    low, high = np.quantile(elsewhere, FLAT_QUANTILE), np.quantile(seen, TOP_QUANTILE)
    if high <= low:
        return np.zeros(log_odds.shape, np.uint8)
    return ((log_odds - low) / (high - low) * (N_LEVELS - 1)).clip(0, N_LEVELS - 1).astype(np.uint8)


def _weights(sigma_px: float, voxel_size_um: VoxelSize) -> tuple[Float, Float, Float]:
    along_z, along_y, along_x = (_gaussian(sigma_px * min(voxel_size_um[1:]) / size) for size in voxel_size_um)
    return along_z, along_y, along_x


def _gaussian(sigma: float) -> Float:
    radius = int(np.ceil(3 * sigma)) if sigma > 0.3 else 0
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / max(sigma, 1e-3)) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _ratios(voxel_size_um: VoxelSize) -> Float:
    """One over the size of a voxel along z, y and x, in pixels."""
    return np.asarray(min(voxel_size_um[1:]) / np.array(voxel_size_um), dtype=np.float32)


def _block(image: Planes, first: int, last: int, sigma_px: float, voxel_size_um: VoxelSize) -> tuple[Float, int]:
    """The slices that the looks of ``first`` to ``last - 1`` need, and the index of the first of them."""
    halo = len(_weights(sigma_px, voxel_size_um)[0]) // 2 + 1
    low, high = max(0, first - halo), min(len(image), last + halo)
    return np.ascontiguousarray(image[low:high], dtype=np.float32), low


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _smooth_slice(
    block: Float, index: int, along_z: Float, along_y: Float, along_x: Float, spare: Float, result: Float
) -> None:
    """Gaussian-smoothed slice; beyond the block the last slice, row or column goes on."""
    height, width = result.shape
    index = min(max(index, 0), block.shape[0] - 1)
    radius = along_z.size // 2
    result[:] = 0
    for tap in range(along_z.size):
        plane = block[min(max(index + tap - radius, 0), block.shape[0] - 1)]
        weight = along_z[tap]
        for y in range(height):
            for x in range(width):
                result[y, x] += weight * plane[y, x]
    radius = along_y.size // 2
    for y in range(height):
        row = spare[y]
        row[:] = 0
        for tap in range(along_y.size):
            weight = along_y[tap]
            source = result[min(max(y + tap - radius, 0), height - 1)]
            for x in range(width):
                row[x] += weight * source[x]
    radius = along_x.size // 2
    padded = np.empty(width + 2 * radius, np.float32)
    for y in range(height):
        padded[:radius] = spare[y, 0]
        padded[radius : radius + width] = spare[y]
        padded[radius + width :] = spare[y, width - 1]
        row = result[y]
        row[:] = 0
        for tap in range(along_x.size):
            weight = along_x[tap]
            for x in range(width):
                row[x] += weight * padded[x + tap]


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _looks_of_row(before: Float, here: Float, after: Float, y: int, ratios: Float, looks: Float) -> None:
    """Gradient and Laplacian of one row, per pixel of the slice; at the edge of the slice, the row or column itself."""
    height, width = here.shape
    above, below, row = here[max(y - 1, 0)], here[min(y + 1, height - 1)], here[y]
    under, over = before[y], after[y]
    z, y_ratio, x_ratio = ratios[0], ratios[1], ratios[2]
    gradient, laplacian = looks[0], looks[1]
    for column in range(2):
        x = column * (width - 1)
        gradient[x] = row[min(x + 1, width - 1)] - row[max(x - 1, 0)]
        laplacian[x] = row[min(x + 1, width - 1)] + row[max(x - 1, 0)]
    lefts, rights, differences, sums = row[:-2], row[2:], gradient[1:-1], laplacian[1:-1]
    for x in range(rights.size):
        differences[x] = rights[x] - lefts[x]
        sums[x] = rights[x] + lefts[x]
    for x in range(width):
        along_z = 0.5 * (over[x] - under[x]) * z
        along_y = 0.5 * (below[x] - above[x]) * y_ratio
        along_x = 0.5 * gradient[x] * x_ratio
        twice = np.float32(2) * row[x]
        gradient[x] = np.sqrt(along_z * along_z + along_y * along_y + along_x * along_x)
        laplacian[x] = (
            (over[x] + under[x] - twice) * z * z
            + (below[x] + above[x] - twice) * y_ratio * y_ratio
            + (laplacian[x] - twice) * x_ratio * x_ratio
        )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _looks_of_slice(
    block: Float, index: int, along_z: Float, along_y: Float, along_x: Float, ratios: Float, looks: Float
) -> None:
    planes = np.empty((3, *block.shape[1:]), np.float32)
    spare = np.empty(block.shape[1:], np.float32)
    for step in range(3):
        _smooth_slice(block, index + step - 1, along_z, along_y, along_x, spare, planes[step])
    looks[0] = planes[1]
    for y in range(block.shape[1]):
        _looks_of_row(planes[0], planes[1], planes[2], y, ratios, looks[1:, y])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _levels_of_slices(
    block: Float,
    start: int,
    along_z: Float,
    along_y: Float,
    along_x: Float,
    ratios: Float,
    lows: Float,
    per_step: Float,
    n_bins: NDArray[np.int64],
    table: NDArray[np.uint8],
    levels: NDArray[np.uint8],
) -> None:
    height, width = block.shape[1:]
    planes = np.empty((3, height, width), np.float32)
    spare = np.empty((height, width), np.float32)
    looks = np.empty((2, width), np.float32)
    _smooth_slice(block, start - 1, along_z, along_y, along_x, spare, planes[0])
    _smooth_slice(block, start, along_z, along_y, along_x, spare, planes[1])
    for index in range(levels.shape[0]):
        before, here, after = planes[index % 3], planes[(index + 1) % 3], planes[(index + 2) % 3]
        _smooth_slice(block, start + index + 1, along_z, along_y, along_x, spare, after)
        for y in range(height):
            _looks_of_row(before, here, after, y, ratios, looks)
            _bin_row(here[y], looks, lows, per_step, n_bins, table, levels[index, y])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bin_row(
    grey: Float,
    looks: Float,
    lows: Float,
    per_step: Float,
    n_bins: NDArray[np.int64],
    table: NDArray[np.uint8],
    levels: NDArray[np.uint8],
) -> None:
    bins = np.zeros(grey.size, np.int32)
    for column in range(3):
        values = grey if column == 0 else looks[column - 1]
        low, scale, count = lows[column], per_step[column], np.int32(n_bins[column])
        if count > 1:
            for x in range(grey.size):
                bins[x] = bins[x] * count + min(
                    max(np.int32((values[x] - low) * scale), np.int32(0)), count - np.int32(1)
                )
    for x in range(grey.size):
        levels[x] = table[bins[x]]
