"""An image predicted tile by tile: gather, predict, blend, and hand out what is finished.

The predictor is a plain function from float32 (B, C, *tile) to probabilities float32 (B, K, *tile), so nothing here
knows a network. :func:`predict_slabs` is the one loop; the others collect what it gives. To change how tiles are
blended, see :mod:`tomocyte.segmentation.prediction.tiling`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.blending import TileSource, TileWork, Whole, row_groups, tallest
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles

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
    callback: OnTiles = silent,
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
    callback : callable, optional
        Called with the tiles done and the tiles in all, after each batch.
    is_empty : callable, optional
        Called with a tile (C, *tile); where it returns True the tile is not predicted and counts as probability 0.

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
        image, predictor, settings, n_outputs=n_outputs, divisor=divisor, callback=callback, is_empty=is_empty
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
    callback: OnTiles = silent,
    is_empty: Callable[[Float], bool] | None = None,
) -> Iterator[Slab]:
    """As :func:`predict_tiled`, but handing out finished slabs along the first spatial axis, in order.

    Only the rows of tiles being worked on are held, so that the caller can threshold without a float volume per class.

    Yields
    ------
    start : int
        First plane (or row of a 2-D image) of the slab.
    probability : ndarray (K, n, Y, X) or (K, n, X), float32, in [0, 1]
        Valid until the next slab is requested: copy what you keep. The slabs cover the axis exactly once.
    """
    _check_image(image, settings)
    plan = plan_tiles(image.shape[1:], settings, divisor=divisor)
    predict = flip_averaged(predictor) if settings.test_time_flips else predictor
    work = TileWork(Whole(image), plan, predict, n_outputs, settings.batch_size, callback, is_empty)
    return work.slabs(np.float32)


def fixed_point_slabs(
    source: TileSource,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    n_outputs: int,
    divisor: tuple[int, ...],
    callback: OnTiles = silent,
    is_empty: Callable[[Float], bool] | None = None,
) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """As :func:`predict_slabs`, from a source that is read tile by tile, to probabilities of half the size.

    Parameters
    ----------
    source : TileSource
    predictor, settings, n_outputs, divisor, callback, is_empty
        As :func:`predict_tiled`.

    Yields
    ------
    start : int
    probability : ndarray (K, n, Y, X), uint16
        Times :data:`~tomocyte.segmentation.prediction.blending.LEVELS`; the error is at most 0.5 for each tile that
        covers a voxel, 6e-5 of the probability for eight tiles.
    """
    plan = plan_tiles(source.shape[1:], settings, divisor=divisor)
    predict = flip_averaged(predictor) if settings.test_time_flips else predictor
    work = TileWork(source, plan, predict, n_outputs, settings.batch_size, callback, is_empty)
    return work.slabs(np.uint16)


def section_slabs(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    axis: SectionAxis,
    n_outputs: int,
    divisor: tuple[int, int],
    callback: OnTiles = silent,
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
    n_outputs, divisor, callback
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
    predict = flip_averaged(predictor) if settings.test_time_flips else predictor
    sections = np.moveaxis(image, 1 + AXES.index(axis), 1)
    flat = settings.model_copy(
        update={
            "tile_shape": (1, *settings.tile_shape),
            "halo": (0, *settings.halo) if settings.halo else (),
            "test_time_flips": False,
        }
    )
    return predict_slabs(
        sections,
        lambda batch: predict(batch[:, :, 0])[:, :, np.newaxis],
        flat,
        n_outputs=n_outputs,
        divisor=(1, *divisor),
        callback=callback,
    )


def predict_sections(
    image: Float,
    predictor: Predictor,
    settings: TilingSettings,
    *,
    axes: Sequence[SectionAxis] = ("z",),
    n_outputs: int,
    divisor: tuple[int, int],
    callback: OnTiles = silent,
) -> Float:
    """Predict a volume section by section with a 2-D network; the mean over the axes given.

    Voxels are used as they are; :func:`tomocyte.segmentation.prediction.frame.predict_frame` resamples them to the
    network's pixel size first and offers the majority vote.

    Parameters
    ----------
    axes : sequence of {"z", "y", "x"}
        Each at most once.
    image, predictor, settings, n_outputs, divisor, callback
        As :func:`section_slabs`; ``callback`` counts the tiles of each axis anew.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
    """
    if not axes or len(set(axes)) != len(axes) or not set(axes) <= set(AXES):
        raise SettingsError("E-AXES", f"section axes are one or more of z, y and x, each once, not {tuple(axes)}.")
    probability = np.zeros((n_outputs, *image.shape[1:]), dtype=np.float32)
    for axis in axes:
        result = np.moveaxis(probability, 1 + AXES.index(axis), 1)
        for start, slab in section_slabs(
            image, predictor, settings, axis=axis, n_outputs=n_outputs, divisor=divisor, callback=callback
        ):
            result[:, start : start + slab.shape[1]] += slab / len(axes)
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
    slab = n_outputs * tallest(row_groups(plan, settings.batch_size)) * math.prod(plan.shape[1:])
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
