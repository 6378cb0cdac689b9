"""Volumes brought to one fixed shape before a network sees them, as Choi et al. published it.

Whatever its voxel size, a volume is resized to ``shape``; only the central ``depth`` planes are predicted: they are
padded by their mirror image in y and x, tiled in y and x alone and stitched with the squared spline. Our own models
work at a fixed voxel size instead and predict all planes. To frame volumes differently, add a field to
:class:`FixedFrameSettings` and use it in :func:`predict_fixed`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.tiled import OnTiles, Predictor, predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles
from tomocyte.settings import Settings

Float = NDArray[np.float32]
_Size = Annotated[int, Field(ge=1, le=4096)]


class FixedFrameSettings(Settings):
    """How a volume is framed for a network of fixed shape; the defaults are those of Choi et al. 2021."""

    shape: tuple[_Size, _Size, _Size] = (128, 512, 512)
    """Voxels z, y, x that every volume is resized to."""
    depth: _Size = 64
    """Central planes of it that are predicted."""
    padding: int = Field(default=64, ge=0, le=1024)
    """Voxels by which y and x are continued at both ends by their mirror image, and which are cut off afterwards."""
    stride: _Size = 64
    """Voxels from one tile to the next in y and x. The paper prints 128, the size of its tiles: they would not overlap
    and the spline would blend nothing; with 64 the weights of the tiles add up to a constant."""


def framed_tiling(settings: FixedFrameSettings, tiling: TilingSettings) -> TilingSettings:
    """Tiles of the given size, ``stride`` apart, blended by the squared spline.

    Parameters
    ----------
    settings : FixedFrameSettings
    tiling : TilingSettings
        ``tile_shape`` (z, y, x) with y equal to x; batch size and flips are kept.

    Raises
    ------
    SettingsError
        ``E-TILE``: not such a tile, or a stride that is larger than it or below a quarter of it.

    Examples
    --------
    >>> framed_tiling(FixedFrameSettings(), TilingSettings(tile_shape=(64, 128, 128))).overlap
    0.5
    """
    tile = tiling.tile_shape
    if len(tile) != 3 or tile[1] != tile[2] or not tile[1] / 4 <= settings.stride <= tile[1]:
        raise SettingsError(
            "E-TILE",
            f"tiles of {tile} cannot be used in a fixed frame with a stride of {settings.stride}.",
            cure="Give tiles (z, y, x) with y equal to x, and a stride between a quarter of y and y.",
        )
    changes = {"overlap": 1 - settings.stride / tile[1], "weight": "spline", "halo": ()}
    return tiling.model_copy(update=changes)


def predict_fixed(
    image: Float,
    predictor: Predictor,
    settings: FixedFrameSettings,
    *,
    tiling: TilingSettings,
    n_outputs: int,
    divisor: tuple[int, ...],
    callback: OnTiles = silent,
) -> Float:
    """Predict a volume that has the fixed shape, as published.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Normalised; (Z, Y, X) is ``settings.shape``.
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    settings : FixedFrameSettings
    tiling : TilingSettings
        See :func:`framed_tiling`.
    n_outputs : int
        K.
    divisor : tuple of int
        What each spatial size of the network's input must be a multiple of.
    callback : callable, optional
        Called with the tiles done and the tiles in all.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
        0 in the planes outside the central ones.

    Raises
    ------
    SettingsError
        ``E-AXES``: another shape; ``E-TILE``, ``E-PREDICTOR``.

    References
    ----------
    Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351, Online Methods.

    Examples
    --------
    >>> frame = FixedFrameSettings(shape=(6, 8, 8), depth=4, padding=4, stride=4)
    >>> tiling = TilingSettings(tile_shape=(4, 8, 8))
    >>> found = predict_fixed(np.ones((1, 6, 8, 8), np.float32), lambda x: x / 2, frame, tiling=tiling, n_outputs=1,
    ...                       divisor=(2, 2, 2))
    >>> found[0, :, 0, 0].tolist()
    [0.0, 0.5, 0.5, 0.5, 0.5, 0.0]
    """
    if tuple(image.shape[1:]) != settings.shape:
        raise SettingsError("E-AXES", f"a volume of the fixed shape {settings.shape} is needed, not {image.shape[1:]}.")
    first, stop = central_planes(settings)
    edge = settings.padding
    around = ((0, 0), (0, 0), (edge, edge), (edge, edge))
    padded = np.pad(image[:, first:stop], around, mode="symmetric")
    predicted = predict_tiled(
        padded, predictor, framed_tiling(settings, tiling), n_outputs=n_outputs, divisor=divisor, callback=callback
    )
    result = np.zeros((n_outputs, *image.shape[1:]), dtype=np.float32)
    size_y, size_x = image.shape[2:]
    result[:, first:stop] = predicted[:, :, edge : edge + size_y, edge : edge + size_x]
    return result


def central_planes(settings: FixedFrameSettings) -> tuple[int, int]:
    """The half-open range of planes that are predicted.

    Examples
    --------
    >>> central_planes(FixedFrameSettings())
    (32, 96)
    """
    depth = min(settings.depth, settings.shape[0])
    first = (settings.shape[0] - depth) // 2
    return first, first + depth


def framed_shape(settings: FixedFrameSettings) -> tuple[int, int, int]:
    """Shape of what is tiled: the central planes, padded.

    Examples
    --------
    >>> framed_shape(FixedFrameSettings())
    (64, 640, 640)
    """
    first, stop = central_planes(settings)
    _, size_y, size_x = settings.shape
    return stop - first, size_y + 2 * settings.padding, size_x + 2 * settings.padding


def count_fixed_tiles(settings: FixedFrameSettings, tiling: TilingSettings, *, divisor: tuple[int, ...]) -> int:
    """How many tiles :func:`predict_fixed` predicts.

    Examples
    --------
    >>> count_fixed_tiles(FixedFrameSettings(), TilingSettings(tile_shape=(64, 128, 128)), divisor=(8, 8, 8))
    81
    """
    return plan_tiles(framed_shape(settings), framed_tiling(settings, tiling), divisor=divisor).n_tiles
