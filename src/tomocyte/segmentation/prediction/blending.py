"""Tiles read, predicted and added up, slab by slab: the one loop behind every prediction in tiles.

Probabilities are blended in float32, or in 16-bit fixed point where a slab of a whole field would be too large. What
gives the voxels is a :class:`TileSource`. To blend into another type, see :func:`_blend`; for other weights,
:mod:`tomocyte.segmentation.prediction.tiling`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.prediction.tiling import Placement, TilePlan, reflected

Float = NDArray[np.float32]
Predictor = Callable[[Float], Float]
OnTiles = Callable[[int, int], None]

LEVELS = 65_000
"""Probability 1 in fixed-point slabs; below 65,535, so that rounding where eight tiles meet cannot overflow."""


class TileSource(Protocol):
    """An image that is read box by box, so that it need not be in memory as the network sees it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, Z, Y, X) or (C, Y, X)."""

    def read(self, box: tuple[slice, ...]) -> Float:
        """The voxels (C, …) of a box of spatial slices, float32 and finite; boxes come in ascending order along z."""


def row_groups(plan: TilePlan, batch_size: int) -> list[tuple[Placement, ...]]:
    """Rows of tiles that are worked on together, so that batches are full although a row has few tiles."""
    rows = plan.axes[0]
    per_row = plan.n_tiles // len(rows)
    n = max(1, batch_size // per_row)
    return [rows[start : start + n] for start in range(0, len(rows), n)]


def _group_stop(group: tuple[Placement, ...]) -> int:
    return max(row.stop for row in group)


def tallest(groups: list[tuple[Placement, ...]]) -> int:
    return max(_group_stop(group) - group[0].first for group in groups)


class Whole:
    """An image in memory as a :class:`TileSource`."""

    def __init__(self, image: Float) -> None:
        self.image = image
        self.shape = image.shape

    def read(self, box: tuple[slice, ...]) -> Float:
        return self.image[(slice(None), *box)]


class TileWork:
    """An image being predicted: the tiles to come, and what they are added to."""

    def __init__(
        self,
        image: TileSource,
        plan: TilePlan,
        predictor: Predictor,
        n_outputs: int,
        batch_size: int,
        callback: OnTiles,
        is_empty: Callable[[Float], bool] | None,
    ) -> None:
        self.image = image
        self.plan = plan
        self.predictor = predictor
        self.n_outputs = n_outputs
        self.batch_size = batch_size
        self.callback = callback
        self.is_empty = is_empty
        self.n_done = 0

    def slabs(self, dtype: type[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Finished slabs of float32 in [0, 1], or of uint16 in 0 to :data:`LEVELS`."""
        groups = row_groups(self.plan, self.batch_size)
        slab = np.zeros((self.n_outputs, tallest(groups), *self.plan.shape[1:]), dtype=dtype)
        begin, n_begun = 0, 0
        for index, group in enumerate(groups):
            stop = _group_stop(group)
            slab[:, n_begun:] = 0
            self._add(group, slab, begin)
            end = stop if index + 1 == len(groups) else groups[index + 1][0].first
            finished = slab[:, : end - begin]
            yield begin, finished if dtype is np.uint16 else np.clip(finished, 0, 1, out=finished)
            n_begun = stop - end
            for row in range(n_begun):
                slab[:, row] = slab[:, end - begin + row]
            begin = end

    def _add(self, rows: tuple[Placement, ...], slab: NDArray[Any], begin: int) -> None:
        """Predict the tiles of some rows and add them to the slab that begins at ``begin``."""
        tiles = itertools.product(rows, *self.plan.axes[1:])
        while places := list(itertools.islice(tiles, self.batch_size)):
            batch = np.stack([self._read(place) for place in places])
            occupied = [index for index, tile in enumerate(batch) if self.is_empty is None or not self.is_empty(tile)]
            if occupied:
                predicted = self._predict(batch if len(occupied) == len(batch) else batch[occupied])
                for index, probability in zip(occupied, predicted, strict=True):
                    _blend(slab, begin, places[index], probability)
            self.n_done += len(places)
            self.callback(self.n_done, self.plan.n_tiles)

    def _read(self, place: tuple[Placement, ...]) -> Float:
        box, mirrored = [], []
        for axis, (along, size, length) in enumerate(zip(place, self.plan.shape, self.plan.tile_shape, strict=True), 1):
            first, stop = along.start, along.start + length
            if stop > size:
                indices = reflected(first, stop, size)
                first, stop = int(indices.min()), size
                mirrored.append((axis, indices - first))
            box.append(slice(first, stop))
        tile = self.image.read(tuple(box))
        for axis, indices in mirrored:
            tile = np.take(tile, indices, axis=axis)
        return tile

    def _predict(self, batch: Float) -> Float:
        probability = self.predictor(batch)
        expected = (batch.shape[0], self.n_outputs, *batch.shape[2:])
        if probability.shape != expected:
            raise SettingsError(
                "E-PREDICTOR",
                f"the predictor returned an array of shape {probability.shape} for a batch of shape {batch.shape}; "
                f"shape {expected} was expected.",
            )
        if not np.isfinite(probability).all():
            raise SettingsError(
                "E-PREDICTOR",
                "the network returned NaN or infinite values.",
                cure="Check the normalisation, or use fp32 precision.",
            )
        return probability


def _blend(slab: NDArray[Any], begin: int, place: tuple[Placement, ...], probability: Float) -> None:
    """Add a tile's probabilities (K, *tile), weighted, to the slab."""
    read: list[slice] = [slice(None)]
    write: list[slice] = [slice(None)]
    for axis, along in enumerate(place):
        shift = begin if axis == 0 else 0
        read.append(slice(along.first - along.start, along.stop - along.start))
        write.append(slice(along.first - shift, along.stop - shift))
    target, values = slab[tuple(write)], probability[tuple(read)]
    weights = [along.weights for along in place]
    if len(place) == 2:
        target, values = target[:, np.newaxis], values[:, np.newaxis]
        weights = [np.ones(1, dtype=np.float32), *weights]
    is_fixed = slab.dtype == np.uint16
    if is_fixed:
        values = np.clip(values, 0, 1)  # values above 1 would wrap around to 0
    _add_weighted(target, values, *weights, np.float32(LEVELS if is_fixed else 1), np.float32(0.5 if is_fixed else 0))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_weighted(
    target: NDArray[Any], values: Float, along_z: Float, along_y: Float, along_x: Float, levels: float, rounding: float
) -> None:
    """Add ``levels · weight · value`` to the target; ``rounding`` is 0.5 where the target holds integers."""
    for output in range(target.shape[0]):
        for z in range(target.shape[1]):
            for y in range(target.shape[2]):
                weight = levels * along_z[z] * along_y[y]
                for x in range(target.shape[3]):
                    target[output, z, y, x] += weight * along_x[x] * values[output, z, y, x] + rounding
