"""Volumes scaled to one cube and to one range of grey values before a network sees them, as Biomedisa does for ACSeg.

Whatever its voxel size, a volume is resized to ``shape``, its values to 0 to 1, their mean and standard deviation to
those of the first training volume. Tiles all count alike; the most probable class of every voxel, brought back to the
image's own grid label by label, is the result. To scale volumes differently, add a field to
:class:`ScaledFrameSettings` and use it in :func:`scaled_image`.

References
----------
Erozan et al., iScience 27, 109856 (2024), doi:10.1016/j.isci.2024.109856; Lösel et al., PLoS Comput. Biol. 19, e1011529
(2023), doi:10.1371/journal.pcbi.1011529.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.planewise import resized_labels, resized_volume
from tomocyte.segmentation.prediction.tiled import OnTiles, Predictor, predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles
from tomocyte.settings import Settings

Float = NDArray[np.float32]
_Size = Annotated[int, Field(ge=1, le=4096)]
TINY = 1e-6
"""A range of values below this share of the largest one is rounding."""
_Grey = Annotated[float, Field(ge=0, le=1)]


class ScaledFrameSettings(Settings):
    """How a volume is scaled for a network; the defaults are those of ACSeg."""

    shape: tuple[_Size, _Size, _Size] = (256, 256, 256)
    """Voxels z, y, x that every volume is resized to."""
    stride: _Size = 32
    """Voxels from one tile to the next along each axis."""
    mean: tuple[_Grey, ...] | None = None
    """Mean of the grey values 0 to 1 of each channel that every volume is brought to; empty: that of the first training
    volume."""
    sd: tuple[_Grey, ...] | None = None
    """Standard deviation of the same."""
    result: Literal["labels", "probabilities"] = "labels"
    """``labels``: the most probable class, resized as published, counts 1 and all others 0. ``probabilities``: the
    means over the tiles, resized like an image."""

    @model_validator(mode="after")
    def _both_moments(self) -> Self:
        if (self.mean is None) != (self.sd is None) or len(self.mean or ()) != len(self.sd or ()):
            raise ValueError("'mean' and 'sd' belong together, one of each per channel")
        return self


def fitted_shape(shape: Sequence[int], tile: Sequence[int], stride: int) -> tuple[int, ...]:
    """The shape made a little smaller where tiles a stride apart would not end where it does, as Biomedisa does.

    Examples
    --------
    >>> fitted_shape((256, 250, 96), (64, 64, 64), 32)
    (256, 224, 96)
    """
    return tuple(side - (side - length) % stride for side, length in zip(shape, tile, strict=True))


def scaled_image(image: NDArray[Any], settings: ScaledFrameSettings) -> Float:
    """An image as the network sees it.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), real
        Finite; any unit, as its range is taken away.
    settings : ScaledFrameSettings
        Without ``mean`` and ``sd`` the values only are brought to 0 to 1.

    Returns
    -------
    ndarray (C, *shape), float32, in [0, 1]
        A channel without contrast is 0, or the mean.

    Raises
    ------
    SettingsError
        ``E-AXES``: as many channels as ``mean`` has values are needed.

    Examples
    --------
    >>> image = np.array([[[[10.0, 20.0], [20.0, 30.0]]]])
    >>> scaled_image(image, ScaledFrameSettings(shape=(1, 2, 2))).tolist()
    [[[[0.0, 0.5], [0.5, 1.0]]]]
    """
    if settings.mean is not None and len(settings.mean) != len(image):
        raise SettingsError("E-AXES", f"an image of {len(settings.mean)} channels is needed, not {len(image)}.")
    result = np.empty((len(image), *settings.shape), dtype=np.float32)
    for channel, values in enumerate(image):
        resized = resized_volume(values, settings.shape)
        low, high = float(resized.min()), float(resized.max())
        is_flat = high - low <= TINY * max(abs(low), abs(high))
        scaled = np.zeros_like(resized) if is_flat else (resized - low) / (high - low)
        if settings.mean is not None and settings.sd is not None:
            ((mean,), (sd,)) = moments(scaled[np.newaxis])
            scaled = (scaled - mean) * (settings.sd[channel] / sd if sd > 0 else 0.0) + settings.mean[channel]
        result[channel] = np.clip(scaled, 0, 1)
    return result


def moments(image: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (of the voxels as they are, not of a sample of more) of each channel.

    Examples
    --------
    >>> moments(np.array([[[[0.0, 1.0]]]]))
    ((0.5,), (0.5,))
    """
    means = tuple(float(channel.mean(dtype=np.float64)) for channel in image)
    return means, tuple(float(channel.std(dtype=np.float64)) for channel in image)


def scaled_tiling(settings: ScaledFrameSettings, tiling: TilingSettings, *, divisor: tuple[int, ...]) -> TilingSettings:
    """Tiles of the given size, ``stride`` apart, that count alike.

    Parameters
    ----------
    settings : ScaledFrameSettings
    tiling : TilingSettings
        ``tile_shape`` (z, y, x); batch size and flips are kept.
    divisor : tuple of int
        Of the network.

    Raises
    ------
    SettingsError
        ``E-TILE``: a stride that is larger than a tile, below a quarter of it, or no multiple of the divisor.

    Examples
    --------
    >>> tiles = TilingSettings(tile_shape=(64, 64, 64))
    >>> scaled_tiling(ScaledFrameSettings(), tiles, divisor=(32, 32, 32)).weight
    'constant'
    """
    stride, tile = settings.stride, tiling.tile_shape
    is_possible = all(size / 4 <= stride <= size for size in tile)
    if len(tile) != 3 or not is_possible or any(stride % step for step in divisor):
        raise SettingsError(
            "E-TILE",
            f"tiles of {tile} cannot be used in a scaled frame with a stride of {stride} and a network that divides by "
            f"{divisor}.",
            cure="Give a stride between a quarter of a tile and a tile, and a multiple of what the network divides by.",
        )
    shared = tuple(size - stride for size in tile)
    return tiling.model_copy(update={"overlap_voxels": shared, "weight": "constant", "halo": ()})


def tile_means(
    image: Float,
    predictor: Predictor,
    settings: ScaledFrameSettings,
    *,
    tiling: TilingSettings,
    n_outputs: int,
    divisor: tuple[int, ...],
    callback: OnTiles = silent,
) -> Float:
    """Mean over tiles of the probabilities of a scaled image, mirrored at its high ends to a multiple of the tile.

    Biomedisa adds tiles up; their mean has the same most probable class, as all classes of a voxel are divided by one
    number. How it mirrors is not known; here the outermost voxel is repeated.

    Parameters
    ----------
    image : ndarray (C, *shape), float32
        From :func:`scaled_image`.
    predictor, tiling, n_outputs, divisor, callback
        As :func:`tomocyte.segmentation.prediction.tiled.predict_tiled`.

    Returns
    -------
    ndarray (K, *shape), float32, in [0, 1]
    """
    padded = np.pad(image, ((0, 0), *((0, more) for more in _padding(settings, tiling))), mode="symmetric")
    plan = scaled_tiling(settings, tiling, divisor=divisor)
    means = predict_tiled(padded, predictor, plan, n_outputs=n_outputs, divisor=divisor, callback=callback)
    z, y, x = image.shape[1:]
    return means[:, :z, :y, :x]


def _padding(settings: ScaledFrameSettings, tiling: TilingSettings) -> list[int]:
    return [-size % tile for size, tile in zip(settings.shape, tiling.tile_shape, strict=True)]


def padded_shape(settings: ScaledFrameSettings, tiling: TilingSettings) -> tuple[int, int, int]:
    """Shape of what is tiled.

    Examples
    --------
    >>> padded_shape(ScaledFrameSettings(shape=(96, 96, 64)), TilingSettings(tile_shape=(64, 64, 64)))
    (128, 128, 64)
    """
    z, y, x = (size + more for size, more in zip(settings.shape, _padding(settings, tiling), strict=True))
    return z, y, x


def count_scaled_tiles(settings: ScaledFrameSettings, tiling: TilingSettings, *, divisor: tuple[int, ...]) -> int:
    """How many tiles :func:`tile_means` predicts.

    Examples
    --------
    >>> count_scaled_tiles(ScaledFrameSettings(), TilingSettings(tile_shape=(64, 64, 64)), divisor=(16, 16, 16))
    343
    """
    plan = scaled_tiling(settings, tiling, divisor=divisor)
    return plan_tiles(padded_shape(settings, tiling), plan, divisor=divisor).n_tiles


def predict_scaled(
    image: Float,
    predictor: Predictor,
    settings: ScaledFrameSettings,
    *,
    tiling: TilingSettings,
    n_outputs: int,
    divisor: tuple[int, ...],
    callback: OnTiles = silent,
) -> Float:
    """Predict a volume of any shape with a network of a scaled frame, on the volume's own grid.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Finite.
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile) that add up to 1, the background first.
    settings : ScaledFrameSettings
    tiling, n_outputs, divisor, callback
        As :func:`tomocyte.segmentation.prediction.tiled.predict_tiled`.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
        With ``result: labels`` 1 for the most probable class and 0 for all others.

    Raises
    ------
    SettingsError
        ``E-AXES``, ``E-TILE``, ``E-PREDICTOR``.

    Examples
    --------
    >>> frame, tiling = ScaledFrameSettings(shape=(8, 8, 8), stride=4), TilingSettings(tile_shape=(8, 8, 8))
    >>> image = np.repeat(np.float32([0, 0, 5, 5]), 16).reshape(1, 4, 4, 4)
    >>> predictor = lambda batch: np.concatenate((1 - batch, batch), axis=1)
    >>> found = predict_scaled(image, predictor, frame, tiling=tiling, n_outputs=2, divisor=(2, 2, 2))
    >>> found[1, :, 0, 0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    scaled = scaled_image(image, settings)
    means = tile_means(
        scaled, predictor, settings, tiling=tiling, n_outputs=n_outputs, divisor=divisor, callback=callback
    )
    z, y, x = image.shape[1:]
    if settings.result == "probabilities":
        return np.clip(np.stack([resized_volume(part, (z, y, x)) for part in means]), 0, 1)
    labels = resized_labels(np.argmax(means, axis=0), (z, y, x), n_outputs - 1)
    return np.stack([labels == label for label in range(n_outputs)]).astype(np.float32)
