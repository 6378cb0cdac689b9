"""A frame predicted at the network's own voxel size, whole or by sections, and brought back to the image's grid.

2-D networks look at sections perpendicular to z, or to all three axes, fused by mean or by vote; 3-D networks look at
tiles. To fuse the axes in another way, add its name to :class:`PredictionSettings` and its rule to :func:`_share`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.fixed_shape import (
    FixedFrameSettings,
    count_fixed_tiles,
    framed_shape,
    predict_fixed,
)
from tomocyte.segmentation.prediction.scaled_frame import (
    ScaledFrameSettings,
    count_scaled_tiles,
    padded_shape,
    predict_scaled,
)
from tomocyte.segmentation.prediction.tiled import (
    AXES,
    OnTiles,
    Predictor,
    SectionAxis,
    inference_bytes,
    predict_sections,
    predict_tiled,
)
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize, check_voxel_size

Float = NDArray[np.float32]


__all__ = [
    "PredictionSettings",
    "TilingSettings",
    "axes_of",
    "check_frame",
    "count_tiles",
    "inference_bytes",
    "predict_frame",
    "predict_sections",
    "predict_tiled",
    "prediction_bytes",
    "resampled",
    "tile_of",
    "working_shape",
]


class PredictionSettings(Settings):
    """How a trained network is applied to a frame; most of it comes from the model card."""

    tiling: TilingSettings
    """Tiles at the network's voxel size: 2-D tiles for sections, 3-D tiles for volumes."""
    voxel_size_um: tuple[float, float, float] | None = None
    """Voxel size z, y, x in µm that the network works at; empty: whatever the image has. For sections only y and x
    count: of sections along x or y, the first axis is brought to y and the second to x."""
    resample_tolerance: float = Field(default=0.05, ge=0, le=1)
    """An axis is resampled only where its voxel size is more than this factor off."""
    section_axes: tuple[SectionAxis, ...] = ("z",)
    """What the sections of a 2-D network are perpendicular to; a single plane has only z."""
    vote: Literal["mean", "majority"] = "mean"
    """Several section axes: the mean of their probabilities, or the share of axes that vote for the structure."""
    vote_threshold: float | None = Field(default=0.5, gt=0, lt=1)
    """``majority``: an axis votes for a structure above this probability; empty: for its most probable class (softmax
    networks)."""
    fixed_frame: FixedFrameSettings | None = None
    """3-D networks that see every volume at one shape, whatever its voxels, as Choi et al.; then ``voxel_size_um`` does
    not count."""
    scaled_frame: ScaledFrameSettings | None = None
    """3-D softmax networks that see every volume at one shape and one range of values, as ACSeg."""

    @field_validator("section_axes")
    @classmethod
    def _each_axis_once(cls, axes: tuple[SectionAxis, ...]) -> tuple[SectionAxis, ...]:
        if not axes or len(set(axes)) != len(axes):
            raise ValueError("one or more of z, y, x, each once")
        return axes

    @model_validator(mode="after")
    def _axes_fit_tiles(self) -> PredictionSettings:
        if len(self.tiling.tile_shape) == 3 and self.section_axes != ("z",):
            raise ValueError("section axes other than z need 2-D tiles")
        if self.fixed_frame is not None and len(self.tiling.tile_shape) != 3:
            raise ValueError("a fixed frame needs 3-D tiles")
        if self.scaled_frame is not None and (len(self.tiling.tile_shape) != 3 or self.fixed_frame is not None):
            raise ValueError("a scaled frame needs 3-D tiles and no fixed frame")
        return self


def predict_frame(
    image: Float,
    voxel_size_um: VoxelSize,
    predictor: Predictor,
    settings: PredictionSettings,
    *,
    n_outputs: int,
    divisor: tuple[int, ...],
    callback: OnTiles = silent,
) -> Float:
    """Predict one frame with a 2-D or 3-D network, on the image's own grid.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Normalised as the network expects, finite. A single plane has Z = 1.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    settings : PredictionSettings
    n_outputs : int
        K.
    divisor : tuple of int
        What each spatial size of the network's input must be a multiple of.
    callback : callable, optional
        Called with the tiles done and the tiles in all.

    Returns
    -------
    ndarray (K, Z, Y, X), float32, in [0, 1]
        Shrinking smooths first, and growing interpolates linearly, both ways. With ``majority`` the share of axes
        that vote for the structure: above 0.5 means at least two of three.

    Raises
    ------
    SettingsError
        ``E-AXES`` (a 3-D network on a single plane among them), ``E-TILE``, ``E-PREDICTOR``.
    MetadataError
        ``E-VOXEL-SIZE``.

    References
    ----------
    Li et al., PLoS ONE 17, e0265567 (2022), doi:10.1371/journal.pone.0265567: at least two of three axes.

    Examples
    --------
    >>> image = np.ones((1, 3, 20, 30), dtype=np.float32)
    >>> settings = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), voxel_size_um=(1.0, 0.4, 0.4))
    >>> found = predict_frame(image, (0.3, 0.2, 0.2), lambda x: x / 2, settings, n_outputs=1, divisor=(4, 4))
    >>> found.shape, float(found.min()), float(found.max())
    ((1, 3, 20, 30), 0.5, 0.5)
    """
    check_frame(image.shape, voxel_size_um, settings, n_outputs=n_outputs)
    total = count_tiles(image.shape, voxel_size_um, settings, divisor=divisor)
    counter = _Counter(callback, total)
    run = _Run(predictor, settings.tiling, n_outputs, divisor, counter)
    if settings.scaled_frame is not None:
        return run.scaled(image, settings.scaled_frame)
    if len(settings.tiling.tile_shape) == 3:
        target = working_shape(image.shape, voxel_size_um, settings, "volume")
        return resampled(run.volume(resampled(image, target), settings.fixed_frame), image.shape[1:])
    axes = axes_of(image.shape, settings)
    probability = np.zeros((n_outputs, *image.shape[1:]), dtype=np.float32)
    for axis in axes:
        across = working_shape(image.shape, voxel_size_um, settings, axis)
        result = np.moveaxis(probability, 1 + AXES.index(axis), 1)
        for start, sections in run.sections(np.moveaxis(image, 1 + AXES.index(axis), 1), across):
            result[:, start : start + sections.shape[1]] += _share(sections, settings) / np.float32(len(axes))
    return np.clip(probability, 0, 1, out=probability)


def axes_of(shape: tuple[int, ...], settings: PredictionSettings) -> tuple[SectionAxis, ...]:
    """The section axes that an image (C, Z, Y, X) of this shape has: only z for a single plane."""
    return ("z",) if shape[1] == 1 else settings.section_axes


def working_shape(
    shape: tuple[int, ...],
    voxel_size_um: VoxelSize,
    settings: PredictionSettings,
    kind: SectionAxis | Literal["volume"],
) -> tuple[int, ...]:
    """Shape at the network's voxel size: of a section perpendicular to an axis, or of the volume.

    Examples
    --------
    >>> settings = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), voxel_size_um=(1, 0.2, 0.1))
    >>> [working_shape((1, 10, 20, 40), (0.4, 0.2, 0.2), settings, axis) for axis in ("z", "y", "x")]
    [(20, 80), (20, 80), (20, 40)]
    """
    axes = [index for index, axis in enumerate(AXES) if axis != kind]
    targets = settings.voxel_size_um
    if settings.fixed_frame is not None:
        return settings.fixed_frame.shape
    if settings.scaled_frame is not None:
        return settings.scaled_frame.shape
    if targets is None:
        return tuple(shape[1 + index] for index in axes)
    target_sizes = targets if kind == "volume" else targets[1:]
    result = []
    for index, target in zip(axes, target_sizes, strict=True):
        factor = voxel_size_um[index] / target
        is_near = max(factor, 1 / factor) <= 1 + settings.resample_tolerance
        result.append(shape[1 + index] if is_near else max(1, round(shape[1 + index] * factor)))
    return tuple(result)


def resampled(image: Float, shape: tuple[int, ...]) -> Float:
    """An image brought to another spatial shape over the same extent; the same array where nothing changes.

    Parameters
    ----------
    image : ndarray (C, …), float32
    shape : tuple of int
        Of all axes but the first, or of the last axes alone: then plane by plane.

    Returns
    -------
    ndarray (C, …), float32
        Linear between voxels; where an axis shrinks, smoothed first with a Gaussian of sigma (factor - 1) / 2 voxels.
    """
    from skimage.transform import resize

    n_leading = image.ndim - len(shape)
    if image.shape[n_leading:] == tuple(shape):
        return image
    result = np.empty((*image.shape[:n_leading], *shape), dtype=np.float32)
    for index in np.ndindex(image.shape[:n_leading]):
        result[index] = resize(image[index], shape, order=1, mode="edge", anti_aliasing=True, preserve_range=True)
    return result


def count_tiles(
    shape: tuple[int, ...], voxel_size_um: VoxelSize, settings: PredictionSettings, *, divisor: tuple[int, ...]
) -> int:
    """How many tiles :func:`predict_frame` predicts for an image (C, Z, Y, X)."""
    if settings.fixed_frame is not None:
        return count_fixed_tiles(settings.fixed_frame, settings.tiling, divisor=divisor)
    if settings.scaled_frame is not None:
        return count_scaled_tiles(settings.scaled_frame, settings.tiling, divisor=divisor)
    if len(settings.tiling.tile_shape) == 3:
        volume = working_shape(shape, voxel_size_um, settings, "volume")
        return plan_tiles(volume, settings.tiling, divisor=divisor).n_tiles
    total = 0
    for axis in axes_of(shape, settings):
        across = working_shape(shape, voxel_size_um, settings, axis)
        total += shape[1 + AXES.index(axis)] * plan_tiles(across, settings.tiling, divisor=divisor).n_tiles
    return total


def tile_of(
    shape: tuple[int, ...], voxel_size_um: VoxelSize, settings: PredictionSettings, *, divisor: tuple[int, ...]
) -> tuple[int, ...]:
    """The largest tile that :func:`predict_frame` gives the network for an image (C, Z, Y, X)."""
    is_volume = len(settings.tiling.tile_shape) == 3
    kinds: tuple[SectionAxis | Literal["volume"], ...] = ("volume",) if is_volume else axes_of(shape, settings)
    shapes = [working_shape(shape, voxel_size_um, settings, kind) for kind in kinds]
    tiles = [plan_tiles(across, settings.tiling, divisor=divisor).tile_shape for across in shapes]
    return max(tiles, key=math.prod)


def prediction_bytes(
    shape: tuple[int, ...],
    voxel_size_um: VoxelSize,
    settings: PredictionSettings,
    *,
    n_outputs: int,
    divisor: tuple[int, ...],
) -> int:
    """The most memory :func:`predict_frame` holds beside the image and what the network itself needs.

    Parameters
    ----------
    shape : tuple of 4 int
        (C, Z, Y, X).
    voxel_size_um, settings, n_outputs, divisor
        As :func:`predict_frame`.

    Returns
    -------
    int
        Bytes: the result, the slab being blended, a batch of tiles, and what is resampled.
    """
    tiling = settings.tiling
    result = 4 * n_outputs * math.prod(shape[1:])
    if len(tiling.tile_shape) == 3:
        volume = working_shape(shape, voxel_size_um, settings, "volume")
        padded: tuple[int, ...] = volume
        if settings.fixed_frame is not None:  # padded, and predicted in one piece
            padded = framed_shape(settings.fixed_frame)
            result += 4 * (shape[0] + n_outputs) * math.prod(padded)
        if settings.scaled_frame is not None:
            padded = padded_shape(settings.scaled_frame, tiling)
            result += 4 * (shape[0] + n_outputs) * math.prod(padded) + 2 * math.prod(shape[1:])
        slabs = inference_bytes((shape[0], *padded), tiling, n_outputs=n_outputs, divisor=divisor)
        if volume == tuple(shape[1:]):
            return result + slabs
        coarse = 4 * (shape[0] + n_outputs) * math.prod(volume)
        # One smoothed copy while an image shrinks, to the network's grid or back.
        return result + slabs + coarse + 4 * max(math.prod(shape[1:]), math.prod(volume))
    most = 0
    for axis in axes_of(shape, settings):
        across = working_shape(shape, voxel_size_um, settings, axis)
        n = _sections_at_once(across, tiling, divisor)
        in_plane = math.prod(shape[1:]) // shape[1 + AXES.index(axis)]
        planes = 4 * n * (shape[0] + 2 * n_outputs) * (math.prod(across) + in_plane)
        slab = inference_bytes((shape[0], *across), tiling, n_outputs=n_outputs, divisor=divisor)
        most = max(most, planes + n * slab)
    return result + most


def check_frame(
    shape: tuple[int, ...], voxel_size_um: VoxelSize, settings: PredictionSettings, *, n_outputs: int
) -> None:
    """Raise the errors that :func:`predict_frame` would raise for an image of this shape, before any computation."""
    if len(shape) != 4 or min(shape) < 1:
        raise SettingsError("E-AXES", f"an image (C, Z, Y, X) is needed, not one of shape {tuple(shape)}.")
    check_voxel_size(voxel_size_um, is_2d=shape[1] == 1)
    if shape[1] == 1 and len(settings.tiling.tile_shape) == 3:
        raise SettingsError(
            "E-AXES", "a 3-D network needs a volume, not a single plane.", cure="Use a 2-D network for this image."
        )
    if settings.vote == "majority" and settings.vote_threshold is None and n_outputs < 2:
        raise SettingsError(
            "E-VOTE",
            "a vote for the most probable class needs at least two outputs.",
            cure="Set 'vote_threshold'.",
        )


def _share(probability: Float, settings: PredictionSettings) -> Float:
    """What one axis contributes: its probability, or its vote."""
    if settings.vote == "mean":
        return probability
    if settings.vote_threshold is not None:
        return (probability > settings.vote_threshold).astype(np.float32)
    winner = np.argmax(probability, axis=0)
    return np.stack([winner == output for output in range(len(probability))]).astype(np.float32)


def _sections_at_once(across: tuple[int, ...], tiling: TilingSettings, divisor: tuple[int, ...]) -> int:
    return max(1, tiling.batch_size // plan_tiles(across, tiling, divisor=divisor).n_tiles)


class _Counter:
    """Tiles done over several calls of the same work."""

    def __init__(self, callback: OnTiles, total: int) -> None:
        self.callback = callback
        self.total = total
        self.before = 0

    def count(self, n_done: int, n_total: int) -> None:
        self.callback(self.before + n_done, self.total)
        if n_done == n_total:
            self.before += n_total


class _Run:
    """A predictor with everything it needs to be applied."""

    def __init__(
        self,
        predictor: Predictor,
        tiling: TilingSettings,
        n_outputs: int,
        divisor: tuple[int, ...],
        counter: _Counter,
    ) -> None:
        self.predictor = predictor
        self.tiling = tiling
        self.n_outputs = n_outputs
        self.divisor = divisor
        self.counter = counter

    def volume(self, image: Float, fixed_frame: FixedFrameSettings | None) -> Float:
        if fixed_frame is not None:
            return predict_fixed(
                image,
                self.predictor,
                fixed_frame,
                tiling=self.tiling,
                n_outputs=self.n_outputs,
                divisor=self.divisor,
                callback=self.counter.count,
            )
        return predict_tiled(
            image,
            self.predictor,
            self.tiling,
            n_outputs=self.n_outputs,
            divisor=self.divisor,
            callback=self.counter.count,
        )

    def scaled(self, image: Float, frame: ScaledFrameSettings) -> Float:
        return predict_scaled(
            image,
            self.predictor,
            frame,
            tiling=self.tiling,
            n_outputs=self.n_outputs,
            divisor=self.divisor,
            callback=self.counter.count,
        )

    def sections(self, image: Float, across: tuple[int, ...]) -> Iterator[tuple[int, Float]]:
        """Predict sections (C, N, A, B) a few at a time at another size, and hand them back at their own."""
        n = _sections_at_once(across, self.tiling, self.divisor)
        for start in range(0, image.shape[1], n):
            few = resampled(image[:, start : start + n], across)
            predicted = predict_sections(
                few,
                self.predictor,
                self.tiling,
                n_outputs=self.n_outputs,
                divisor=(self.divisor[0], self.divisor[1]),
                callback=self.counter.count,
            )
            yield start, resampled(predicted, image.shape[2:])
