"""An image predicted tile by tile: gather, predict, blend, and hand out what is finished.

The predictor is a plain function from float32 (B, C, *tile) to probabilities float32 (B, K, *tile), so nothing here
knows a network. :func:`predict_slabs` is the one loop; the others collect what it gives. To change how tiles are
blended, see :mod:`tomocyte.segmentation.tiling`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.tiling import Placement, TilePlan, TilingSettings, plan_tiles, reflected

Float = NDArray[np.float32]
Predictor = Callable[[Float], Float]
OnTiles = Callable[[int, int], None]
Slab = tuple[int, Float]
SectionAxis = Literal["z", "y", "x"]

AXES: tuple[SectionAxis, ...] = ("z", "y", "x")


def predict_tiled(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    n_outputs: int,
    divisor: tuple[int, ...],
    report: OnTiles | None = None,
    is_empty: Callable[[Float], bool] | None = None,
) -> Float:
    """Predict an image of any size in tiles.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X) or (C, Y, X), float32
        As the network sees it, finite. With 3-D or 2-D tiles. Beyond its ends it is mirrored.
    predictor : callable
        float32 (B, C, *tile) to float32 (B, K, *tile) in [0, 1].
    settings : TilingSettings
    n_outputs : int
        K.
    divisor : tuple of int
        What each spatial size of the network's input must be a multiple of.
    report : callable, optional
        Told the tiles done and the tiles in all, after each batch.
    is_empty : callable, optional
        Given a tile (C, *tile); where it says True the tile is not predicted and counts as probability 0.

    Returns
    -------
    ndarray (K, Z, Y, X) or (K, Y, X), float32, in [0, 1]
        The same whatever the tile size where each used voxel is further from its tile's sides than the network
        reaches (see ``halo``); otherwise tiles differ by what the network does not see.

    Raises
    ------
    SettingsError
        ``E-AXES``, ``E-TILE``; ``E-PREDICTOR``: a predictor that returns another shape, or NaN.

    Examples
    --------
    >>> image = np.linspace(0, 1, 90, dtype=np.float32).reshape(1, 9, 10)
    >>> tiles = TilingSettings(tile_shape=(4, 4), overlap=0.5)
    >>> half = predict_tiled(image, lambda batch: batch / 2, tiles, n_outputs=1, divisor=(1, 1))
    >>> bool(np.allclose(half, image / 2))
    True
    """
    probability = np.empty((n_outputs, *image.shape[1:]), dtype=np.float32)
    slabs = predict_slabs(
        image, predictor, settings, n_outputs=n_outputs, divisor=divisor, report=report, is_empty=is_empty
    )
    for start, slab in slabs:
        probability[:, start : start + slab.shape[1]] = slab
    return probability


def predict_slabs(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    n_outputs: int,
    divisor: tuple[int, ...],
    report: OnTiles | None = None,
    is_empty: Callable[[Float], bool] | None = None,
) -> Iterator[Slab]:
    """As :func:`predict_tiled`, but handing out finished slabs along the first spatial axis, in order.

    Only the rows of tiles being worked on are held, so that the caller can threshold without a float volume per class.

    Yields
    ------
    start : int
        First plane (or row of a 2-D image) of the slab.
    probability : ndarray (K, n, Y, X) or (K, n, X), float32, in [0, 1]
        Valid until the next slab is asked for: copy what you keep. The slabs cover the axis exactly once.
    """
    _check_image(image, settings)
    plan = plan_tiles(image.shape[1:], settings, divisor=divisor)
    chosen = flip_averaged(predictor) if settings.test_time_flips else predictor
    work = _Work(image, plan, chosen, n_outputs, settings.batch_size, report, is_empty)
    return work.slabs()


def section_slabs(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    axis: SectionAxis,
    n_outputs: int,
    divisor: tuple[int, int],
    report: OnTiles | None = None,
) -> Iterator[Slab]:
    """Predict a volume section by section with a 2-D network, along one axis.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
    predictor : callable
        float32 (B, C, y, x) to float32 (B, K, y, x).
    settings : TilingSettings
        2-D; ``batch_size`` counts tiles of one or several sections.
    axis : {"z", "y", "x"}
        What the sections are perpendicular to; they keep the order of the other two axes.
    n_outputs, divisor, report
        As :func:`predict_tiled`.

    Yields
    ------
    start : int
        First section.
    probability : ndarray (K, n, …), float32
        The section axis stands first, then the other two.
    """
    if image.ndim != 4 or len(settings.tile_shape) != 2:
        raise SettingsError(
            "E-AXES", f"sections need an image (C, Z, Y, X) and 2-D tiles, not {image.shape} and {settings.tile_shape}."
        )
    chosen = flip_averaged(predictor) if settings.test_time_flips else predictor
    turned = np.moveaxis(image, 1 + AXES.index(axis), 1)
    flat = settings.model_copy(
        update={
            "tile_shape": (1, *settings.tile_shape),
            "halo": (0, *settings.halo) if settings.halo else (),
            "test_time_flips": False,
        }
    )
    return predict_slabs(
        turned,
        lambda batch: chosen(batch[:, :, 0])[:, :, np.newaxis],
        flat,
        n_outputs=n_outputs,
        divisor=(1, *divisor),
        report=report,
    )


def predict_sections(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    axes: Sequence[SectionAxis] = ("z",),
    n_outputs: int,
    divisor: tuple[int, int],
    report: OnTiles | None = None,
) -> Float:
    """Predict a volume section by section with a 2-D network; the mean over the axes given.

    Voxels are taken as they are; :func:`tomocyte.segmentation.inference.predict_frame` brings them to the network's
    pixel size first and knows the vote.

    Parameters
    ----------
    axes : sequence of {"z", "y", "x"}
        Each at most once.
    image, predictor, settings, n_outputs, divisor, report
        As :func:`section_slabs`; ``report`` counts the tiles of each axis anew.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
    """
    if not axes or len(set(axes)) != len(axes) or not set(axes) <= set(AXES):
        raise SettingsError("E-AXES", f"section axes are one or more of z, y and x, each once, not {tuple(axes)}.")
    probability = np.zeros((n_outputs, *image.shape[1:]), dtype=np.float32)
    for axis in axes:
        turned = np.moveaxis(probability, 1 + AXES.index(axis), 1)
        for start, slab in section_slabs(
            image, predictor, settings, axis=axis, n_outputs=n_outputs, divisor=divisor, report=report
        ):
            turned[:, start : start + slab.shape[1]] += slab / len(axes)
    return np.clip(probability, 0, 1, out=probability)


def flip_averaged(predictor: Predictor) -> Predictor:
    """A predictor that averages over all flips of the spatial axes, each undone in its result.

    Examples
    --------
    >>> ramp = lambda batch: batch * np.array([0, 1], np.float32)
    >>> flip_averaged(ramp)(np.ones((1, 1, 1, 2), np.float32)).tolist()
    [[[[0.5, 0.5]]]]
    """

    def predict(batch: Float) -> Float:
        spatial = range(2, batch.ndim)
        subsets = [axes for n in range(len(spatial) + 1) for axes in itertools.combinations(spatial, n)]
        total: Float | None = None
        for axes in subsets:
            back = np.flip(predictor(np.ascontiguousarray(np.flip(batch, axes))), axes)
            total = back.astype(np.float32) if total is None else np.add(total, back, out=total)
        if total is None:
            return predictor(batch)
        return np.divide(total, np.float32(len(subsets)), out=total)

    return predict


def inference_bytes(
    shape: tuple[int, ...], settings: TilingSettings, *, n_outputs: int, divisor: tuple[int, ...]
) -> int:
    """The most memory :func:`predict_slabs` holds beside the image and what the network itself needs.

    Parameters
    ----------
    shape : tuple of int
        (C, Z, Y, X) or (C, Y, X).
    settings, n_outputs, divisor
        As :func:`predict_tiled`, which adds its result: 4·K bytes per voxel. For :func:`section_slabs` give tiles
        (1, y, x) and a divisor (1, y, x).

    Returns
    -------
    int
        Bytes: one slab of float32 per output, and a batch of tiles going in, coming out and being weighted.
    """
    plan = plan_tiles(shape[1:], settings, divisor=divisor)
    slab = n_outputs * _tallest(_groups(plan, settings.batch_size)) * math.prod(plan.shape[1:])
    n_copies = 3 if settings.test_time_flips else 1
    batch = settings.batch_size * math.prod(plan.tile_shape) * n_copies * (2 * shape[0] + n_outputs)
    return 4 * (slab + batch + 2 * n_outputs * math.prod(plan.tile_shape))


def _check_image(image: Float, settings: TilingSettings) -> None:
    if image.dtype != np.float32 or image.ndim != len(settings.tile_shape) + 1 or image.size == 0:
        raise SettingsError(
            "E-AXES",
            f"{len(settings.tile_shape)}-D tiles need a float32 image with a channel axis before as many spatial axes, "
            f"not {image.dtype} of shape {image.shape}.",
        )


def _groups(plan: TilePlan, batch_size: int) -> list[tuple[Placement, ...]]:
    """Rows of tiles that are worked on together, so that batches are full although a row has few tiles."""
    rows = plan.axes[0]
    per_row = plan.n_tiles // len(rows)
    n = max(1, batch_size // per_row)
    return [rows[start : start + n] for start in range(0, len(rows), n)]


def _group_stop(group: tuple[Placement, ...]) -> int:
    return max(row.stop for row in group)


def _tallest(groups: list[tuple[Placement, ...]]) -> int:
    return max(_group_stop(group) - group[0].first for group in groups)


class _Work:
    """The state of :func:`predict_slabs`."""

    def __init__(
        self,
        image: Float,
        plan: TilePlan,
        predictor: Predictor,
        n_outputs: int,
        batch_size: int,
        report: OnTiles | None,
        is_empty: Callable[[Float], bool] | None,
    ) -> None:
        self.image = image
        self.plan = plan
        self.predictor = predictor
        self.n_outputs = n_outputs
        self.batch_size = batch_size
        self.report = report
        self.is_empty = is_empty
        self.n_done = 0

    def slabs(self) -> Iterator[Slab]:
        groups = _groups(self.plan, self.batch_size)
        slab = np.zeros((self.n_outputs, _tallest(groups), *self.plan.shape[1:]), dtype=np.float32)
        begin, n_begun = 0, 0
        for index, group in enumerate(groups):
            stop = _group_stop(group)
            slab[:, n_begun:] = 0
            self._add(group, slab, begin)
            end = stop if index + 1 == len(groups) else groups[index + 1][0].first
            finished = slab[:, : end - begin]
            yield begin, np.clip(finished, 0, 1, out=finished)
            n_begun = stop - end
            for row in range(n_begun):
                slab[:, row] = slab[:, end - begin + row]
            begin = end

    def _add(self, rows: tuple[Placement, ...], slab: Float, begin: int) -> None:
        """Predict the tiles of some rows and add them to the slab that begins at ``begin``."""
        tiles = itertools.product(rows, *self.plan.axes[1:])
        while places := list(itertools.islice(tiles, self.batch_size)):
            batch = np.stack([self._read(place) for place in places])
            wanted = [index for index, tile in enumerate(batch) if self.is_empty is None or not self.is_empty(tile)]
            if wanted:
                found = self._predict(batch if len(wanted) == len(batch) else batch[wanted])
                for index, probability in zip(wanted, found, strict=True):
                    _blend(slab, begin, places[index], probability)
            self.n_done += len(places)
            if self.report is not None:
                self.report(self.n_done, self.plan.n_tiles)

    def _read(self, place: tuple[Placement, ...]) -> Float:
        tile = self.image
        for axis, (along, size, length) in enumerate(zip(place, self.plan.shape, self.plan.tile_shape, strict=True), 1):
            stop = along.start + length
            if stop <= size:
                tile = tile[(slice(None),) * axis + (slice(along.start, stop),)]
            else:
                tile = np.take(tile, reflected(along.start, stop, size), axis=axis)
        return tile

    def _predict(self, batch: Float) -> Float:
        found = self.predictor(batch)
        expected = (batch.shape[0], self.n_outputs, *batch.shape[2:])
        if found.shape != expected:
            raise SettingsError(
                "E-PREDICTOR", f"the predictor made {found.shape} of {batch.shape}; {expected} was expected."
            )
        if not np.isfinite(found).all():
            raise SettingsError(
                "E-PREDICTOR",
                "the network returned NaN or infinite values.",
                cure="Check the normalisation, or use fp32 precision.",
            )
        return found


def _blend(slab: Float, begin: int, place: tuple[Placement, ...], probability: Float) -> None:
    """Add a tile's probabilities (K, *tile), weighted, to the slab."""
    read: list[slice] = [slice(None)]
    write: list[slice] = [slice(None)]
    weight: Float = np.ones((1,) * len(place), dtype=np.float32)
    for axis, along in enumerate(place):
        shift = begin if axis == 0 else 0
        read.append(slice(along.first - along.start, along.stop - along.start))
        write.append(slice(along.first - shift, along.stop - shift))
        weight = weight * along.weights.reshape((-1,) + (1,) * (len(place) - 1 - axis))
    slab[tuple(write)] += probability[tuple(read)] * weight
