"""From a physical image to one bit per structure and voxel, without a float volume at the image's own size.

The image is normalised and brought to the network's voxel size as tiles ask for it; finished slabs of probabilities
are interpolated back and thresholded plane by plane. What remains is a byte per voxel, or two for more than eight
outputs. To keep something else of a slab, collect it in :meth:`_Epilogue.take`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.blending import LEVELS, OnTiles, Predictor, row_groups, tallest
from tomocyte.segmentation.prediction.fixed_shape import framed_shape, predict_fixed
from tomocyte.segmentation.prediction.frame import PredictionSettings, check_frame, working_shape
from tomocyte.segmentation.prediction.resampling import add_plane, linear_taps, resample_plane, set_bits
from tomocyte.segmentation.prediction.tiled import fixed_point_slabs
from tomocyte.segmentation.prediction.tiling import TilingSettings, grown_tiles, plan_tiles
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
IsEmpty = Callable[[Float], bool]

MOST_OUTPUTS = 16
"""Bits of a voxel."""
LARGEST_BYTES = 1_000_000_000
"""Tiles do not grow beyond what a frame may take beside its image, the network's own memory included."""
LARGEST_SLAB_BYTES = 300_000_000
"""Tiles do not grow along z beyond what makes a slab of this size."""
OTHER_BYTES = 100_000_000
"""Planes held beside the bits and the slab."""
TILE_BYTES_PER_VOXEL = 140
"""What a network of 16 channels after a (1, 2, 2) stem takes, measured with OpenVINO; torch takes half of it."""


class MaskSettings(Settings):
    """How a frame is predicted, which thresholds make masks of the probabilities, and whether these are kept."""

    prediction: PredictionSettings
    """How the network is applied: 3-D tiles."""
    thresholds: tuple[float, ...] = Field(min_length=1, max_length=MOST_OUTPUTS)
    """One per output of the network: a voxel belongs to a structure above it."""
    divisor: tuple[int, int, int]
    """What each spatial size of the network's input must be a multiple of."""
    most_tile_voxels: int = Field(default=0, ge=0)
    """Tiles grow up to so many voxels where fewer voxels are predicted twice then; 0: they stay as they are."""
    keeps_probability: bool = False
    """Whether the probabilities are kept too, as bytes at the network's voxel size."""
    exclusive: tuple[tuple[int, ...], ...] = ()
    """Groups of outputs: where several of a group are above their thresholds, the most probable one alone is there."""

    @field_validator("thresholds")
    @classmethod
    def _inside_unit_interval(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError("thresholds lie between 0 and 1")
        return thresholds


@dataclass(frozen=True)
class PredictedMasks:
    """The structures of a frame.

    Parameters
    ----------
    bits : ndarray (Z, Y, X), uint8 or, of more than eight outputs, uint16
        On the image's grid; bit k is set where output k is above its threshold.
    probability : ndarray (K, z, y, x), uint8, or None
        255 times the probability, rounded, on the network's grid; None unless ``keeps_probability`` is set.
    n_skipped : int
        Tiles that were considered empty and not predicted.
    """

    bits: NDArray[np.unsignedinteger[Any]]
    probability: NDArray[np.uint8] | None = None
    n_skipped: int = 0

    def mask(self, output: int) -> Mask:
        """Where an output is above its threshold: (Z, Y, X), bool, a new array."""
        mask = np.empty(self.bits.shape, dtype=bool)
        for plane, result in zip(self.bits, mask, strict=True):
            np.not_equal(plane & plane.dtype.type(1 << output), 0, out=result)
        return mask

    def upsampled(self, output: int, start: int, stop: int) -> Float:
        """Probability of an output on planes ``start`` to ``stop`` of the image's grid.

        Returns
        -------
        ndarray (stop - start, Y, X), float32, in [0, 1]
            Within 1/510 of the probability that the masks were made from; voxels outside the image have one too.

        Raises
        ------
        SettingsError
            ``E-PROBABILITY``: it was not kept.
        """
        if self.probability is None:
            raise SettingsError("E-PROBABILITY", "the probabilities were not kept.", cure="Set 'keeps_probability'.")
        probability = self.probability[output]
        z, y, x = (linear_taps(n_in, n_out) for n_in, n_out in zip(probability.shape, self.bits.shape, strict=True))
        result = np.empty((stop - start, *self.bits.shape[1:]), dtype=np.float32)
        for index, plane in enumerate(range(start, stop)):
            total = np.zeros(probability.shape[1:], dtype=np.float32)
            for tap in range(z.width):
                add_plane(total, probability[z.first[plane] + tap], float(z.weights[plane, tap]), scale=255.0)
            resample_plane(total, y, x, result[index])
        return result


def predict_masks(
    image: Float,
    voxel_size_um: VoxelSize,
    predictor: Predictor,
    settings: MaskSettings,
    *,
    offset_and_scale: tuple[tuple[float, float], ...] | None = None,
    is_empty: IsEmpty | None = None,
    callback: OnTiles = silent,
) -> PredictedMasks:
    """The structures that a 3-D network finds in a frame, as bits on the image's own grid.

    The masks are those of :func:`tomocyte.segmentation.prediction.frame.predict_frame` and a threshold, except for
    voxels whose probability is within 1e-4 of it. No float array of the image's size is made, however many structures
    there are.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Physical values; NaN = outside: such voxels belong to nothing.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    predictor : callable
        float32 (B, C, *tile) to float32 probabilities (B, K, *tile).
    settings : MaskSettings
    offset_and_scale : tuple of (float, float), optional
        Per channel; the network sees ``(value - offset) / scale``, and 0 for voxels that are not finite. See
        :func:`tomocyte.segmentation.prediction.normalization.offset_and_scale`. Default: (0, 1), an image that is
        normalised already.
    is_empty : callable, optional
        Called with a tile (C, *tile) as the network sees it; where it returns True the tile is not predicted and counts
        as probability 0. Not used with networks of a fixed frame.
    callback : callable, optional
        Called with the tiles done and the tiles in all.

    Returns
    -------
    PredictedMasks

    Raises
    ------
    SettingsError
        ``E-AXES`` (a single plane, 2-D tiles), ``E-TILE``, ``E-PREDICTOR``.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> from tomocyte.segmentation.prediction.tiling import TilingSettings
    >>> image = np.full((1, 4, 6, 8), 1.347, dtype=np.float32)
    >>> image[..., :4] = 1.377
    >>> tiles = PredictionSettings(tiling=TilingSettings(tile_shape=(4, 4, 4)))
    >>> settings = MaskSettings(prediction=tiles, thresholds=(0.3, 0.6), divisor=(2, 2, 2))
    >>> network = lambda batch: np.concatenate([batch, 2 * batch], axis=1)
    >>> masks = predict_masks(image, (0.4, 0.2, 0.2), network, settings, offset_and_scale=((1.337, 0.1),))
    >>> masks.bits[0, 0].tolist(), int(masks.mask(1).sum())
    ([3, 3, 3, 3, 0, 0, 0, 0], 96)
    """
    prediction, n_outputs = settings.prediction, len(settings.thresholds)
    if len(prediction.tiling.tile_shape) != 3 or image.dtype != np.float32:
        raise SettingsError(
            "E-AXES", f"3-D tiles and a float32 image are needed, not {prediction.tiling.tile_shape} and {image.dtype}."
        )
    check_frame(image.shape, voxel_size_um, prediction, n_outputs=n_outputs)
    shape = working_shape(image.shape, voxel_size_um, prediction, "volume")
    source = ResampledSource(image, shape, offset_and_scale or ((0.0, 1.0),) * len(image))
    counted = None if is_empty is None else _Counted(is_empty)
    if prediction.fixed_frame is not None:
        slabs = _framed(source, predictor, settings, callback)
    else:
        slabs = fixed_point_slabs(
            source,
            predictor,
            tiles_for(shape, settings, n_voxels=image[0].size),
            n_outputs=n_outputs,
            divisor=settings.divisor,
            callback=callback,
            is_empty=counted,
        )
    epilogue = _Epilogue(image, shape, settings)
    for start, slab in slabs:
        epilogue.take(start, slab)
    return PredictedMasks(epilogue.bits, epilogue.probability, 0 if counted is None else counted.n_empty)


def _framed(
    source: ResampledSource, predictor: Predictor, settings: MaskSettings, callback: OnTiles
) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """A network that sees volumes at one fixed shape: all planes as one slab."""
    prediction = settings.prediction
    if prediction.fixed_frame is None:
        return
    probability = predict_fixed(
        source.read(tuple(slice(0, size) for size in source.shape[1:])),
        predictor,
        prediction.fixed_frame,
        tiling=prediction.tiling,
        n_outputs=len(settings.thresholds),
        divisor=settings.divisor,
        callback=callback,
    )
    slab = np.empty(probability.shape, dtype=np.uint16)
    np.copyto(slab, np.rint(probability * np.float32(LEVELS)), casting="unsafe")
    yield 0, slab


class ResampledSource:
    """A frame as a network sees it: normalised, at another voxel size, made when it is read.

    Where the size stays, boxes are normalised one by one; else the planes that a row of tiles needs are held.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X), float32
        Physical values.
    shape : tuple of 3 int
        As the network sees it.
    offset_and_scale : tuple of (float, float)
        Per channel.
    """

    def __init__(self, image: Float, shape: tuple[int, ...], offset_and_scale: tuple[tuple[float, float], ...]) -> None:
        if len(offset_and_scale) != len(image):
            raise SettingsError(
                "E-AXES", f"{len(image)} channels need as many offsets and scales, not {len(offset_and_scale)}."
            )
        self.image = image
        self.shape: tuple[int, ...] = (len(image), *shape)
        self.offset_and_scale = offset_and_scale
        self.taps = [linear_taps(n_in, n_out) for n_in, n_out in zip(image.shape[1:], shape, strict=True)]
        self.is_same = all(taps.is_identity for taps in self.taps)
        self.held = np.empty((len(image), 0, *shape[1:]), dtype=np.float32)
        self.begin = self.end = 0

    def read(self, box: tuple[slice, ...]) -> Float:
        """The voxels (C, …) of a box of spatial slices."""
        if not self.is_same:
            along_z = box[0]
            self._hold(along_z.start, along_z.stop)
            return self.held[:, along_z.start - self.begin : along_z.stop - self.begin, box[1], box[2]]
        physical = self.image[(slice(None), *box)]
        normalized = np.zeros(physical.shape, dtype=np.float32)
        for channel, (offset, scale) in enumerate(self.offset_and_scale):
            for plane, result in zip(physical[channel], normalized[channel], strict=True):
                add_plane(result, plane, 1.0, offset, scale)
        return normalized

    def _hold(self, start: int, stop: int) -> None:
        """Make planes ``start`` to ``stop`` available, and drop those before."""
        if start >= self.begin and stop <= self.end:
            return
        n_reused = max(0, self.end - start) if start >= self.begin else 0
        before = self.held
        if stop - start > before.shape[1]:
            self.held = np.empty((self.shape[0], stop - start, *self.shape[2:]), dtype=np.float32)
        for plane in range(n_reused):
            self.held[:, plane] = before[:, start - self.begin + plane]
        self.begin, self.end = start, stop
        for plane in range(start + n_reused, stop):
            self._make(plane, self.held[:, plane - start])

    def _make(self, plane: int, result: Float) -> None:
        along_z, along_y, along_x = self.taps
        for channel, (offset, scale) in enumerate(self.offset_and_scale):
            total = np.zeros(self.image.shape[2:], dtype=np.float32)
            for tap in range(along_z.width):
                if weight := float(along_z.weights[plane, tap]):
                    add_plane(total, self.image[channel, along_z.first[plane] + tap], weight, offset, scale)
            resample_plane(total, along_y, along_x, result[channel])


def bits_dtype(n_outputs: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that has a bit for each output.

    Examples
    --------
    >>> bits_dtype(8).name, bits_dtype(9).name
    ('uint8', 'uint16')
    """
    return np.min_scalar_type((1 << n_outputs) - 1)


class _Counted:
    """A test for empty tiles that counts them."""

    def __init__(self, is_empty: IsEmpty) -> None:
        self.is_empty = is_empty
        self.n_empty = 0

    def __call__(self, tile: Float) -> bool:
        answer = self.is_empty(tile)
        self.n_empty += answer
        return answer


class _Epilogue:
    """What is made of finished slabs: bits on the image's grid, and the probabilities if they are kept."""

    def __init__(self, image: Float, shape: tuple[int, ...], settings: MaskSettings) -> None:
        n_outputs = len(settings.thresholds)
        self.image = image
        self.taps = [linear_taps(n_in, n_out) for n_in, n_out in zip(shape, image.shape[1:], strict=True)]
        self.thresholds = np.asarray(settings.thresholds, dtype=np.float32)
        self.exclusive = settings.exclusive
        self.bits = np.zeros(image.shape[1:], dtype=bits_dtype(n_outputs))
        self.probability: NDArray[np.uint8] | None = None
        if settings.keeps_probability:
            self.probability = np.empty((n_outputs, *shape), dtype=np.uint8)
        self.previous = np.empty((n_outputs, 0, *shape[1:]), dtype=np.uint16)  # last planes of the slabs before
        self.total = np.empty((n_outputs, *shape[1:]), dtype=np.float32)
        self.n_done = 0

    def take(self, start: int, slab: NDArray[np.uint16]) -> None:
        """Finish the planes of the image for which the slabs up to this one suffice."""
        along_z = self.taps[0]
        end = start + slab.shape[1]
        if self.probability is not None:
            for plane in range(slab.shape[1]):
                self.probability[:, start + plane] = (
                    slab[:, plane] * np.float32(255 / LEVELS) + np.float32(0.5)
                ).astype(np.uint8)
        while self.n_done < along_z.n and along_z.first[self.n_done] + along_z.width <= end:
            self._finish(start, slab)
            self.n_done += 1
        needed = end if self.n_done == along_z.n else int(along_z.first[self.n_done])
        begin = start - self.previous.shape[1]
        still_needed = [self.previous[:, max(0, needed - begin) :], slab[:, max(0, needed - start) :]]
        self.previous = np.concatenate(still_needed, axis=1)

    def _finish(self, start: int, slab: NDArray[np.uint16]) -> None:
        along_z, along_y, along_x = self.taps
        plane = self.n_done
        self.total.fill(0)
        for tap in range(along_z.width):
            source = int(along_z.first[plane]) + tap
            from_slab = source - start
            values = slab[:, from_slab] if from_slab >= 0 else self.previous[:, from_slab]
            if weight := float(along_z.weights[plane, tap]):
                for total, probability in zip(self.total, values, strict=True):
                    add_plane(total, probability, weight, scale=LEVELS)
        set_bits(self.total, along_y, along_x, self.thresholds, self.bits[plane])
        for group in self.exclusive:
            self._exclude(group, self.bits[plane])
        is_finite = np.isfinite(self.image[:, plane]).all(axis=0)
        if not is_finite.all():
            self.bits[plane][~is_finite] = 0

    def _exclude(self, group: tuple[int, ...], bits: NDArray[np.unsignedinteger[Any]]) -> None:
        """Leave of a group only the most probable output where several are above their thresholds."""
        own = bits & bits.dtype.type(sum(1 << output for output in group))
        contested = np.nonzero(own & (own - np.minimum(own, 1)))  # more than one bit
        if not contested[0].size:
            return
        _, along_y, along_x = self.taps
        shown = np.empty(bits.shape, dtype=np.float32)
        best, winner = np.full(contested[0].size, -1, np.float32), np.zeros(contested[0].size, bits.dtype)
        for output in group:
            resample_plane(self.total[output], along_y, along_x, shown)
            bit = bits.dtype.type(1 << output)
            values = np.where(own[contested] & bit, shown[contested], np.float32(-1))
            is_better = values > best
            best[is_better], winner[is_better] = values[is_better], bit
        bits[contested] = (bits[contested] & ~own[contested]) | winner


def tiles_for(shape: tuple[int, ...], settings: MaskSettings, *, n_voxels: int) -> TilingSettings:
    """The tiles for an image of this spatial shape at the network's voxel size and ``n_voxels`` voxels at its own."""
    tiling = settings.prediction.tiling
    if settings.most_tile_voxels == 0:
        return tiling
    available = max(0, LARGEST_BYTES - n_voxels - LARGEST_SLAB_BYTES - OTHER_BYTES)
    return grown_tiles(
        shape,
        tiling,
        divisor=settings.divisor,
        most_voxels=min(settings.most_tile_voxels, available // TILE_BYTES_PER_VOXEL),
        most_planes=LARGEST_SLAB_BYTES // (2 * len(settings.thresholds) * math.prod(shape[1:])),
    )


def masks_bytes(shape: tuple[int, ...], voxel_size_um: VoxelSize, settings: MaskSettings) -> int:
    """The most memory :func:`predict_masks` holds beside the image and what the network itself needs.

    Parameters
    ----------
    shape : tuple of 4 int
        (C, Z, Y, X).
    voxel_size_um : tuple of 3 float
    settings : MaskSettings

    Returns
    -------
    int
        Bytes: the bits, the slab being blended in 16 bits, the planes at the network's voxel size, a batch of tiles.
    """
    target = working_shape(shape, voxel_size_um, settings.prediction, "volume")
    tiling = tiles_for(target, settings, n_voxels=math.prod(shape[1:]))
    n_outputs = len(settings.thresholds)
    plan = plan_tiles(target, tiling, divisor=settings.divisor)
    groups = row_groups(plan, tiling.batch_size)
    in_plane, tile = math.prod(target[1:]), math.prod(plan.tile_shape)
    slab = 2 * n_outputs * tallest(groups) * in_plane
    previous = 2 * 2 * n_outputs * linear_taps(target[0], shape[1]).width * in_plane
    held = 0 if target == tuple(shape[1:]) else 4 * shape[0] * tallest(groups) * in_plane
    n_copies = 3 if tiling.test_time_flips else 1
    batch = 4 * tiling.batch_size * tile * n_copies * (2 * shape[0] + n_outputs)
    quantised = n_outputs * math.prod(target) if settings.keeps_probability else 0
    planes = 4 * n_outputs * in_plane + 8 * shape[2] * shape[3]
    framed = 0
    if settings.prediction.fixed_frame is not None:  # padded, as float32 and in one piece
        padded = math.prod(framed_shape(settings.prediction.fixed_frame))
        framed = 4 * (shape[0] + 2 * n_outputs) * padded + 4 * (2 * shape[0] + 2 * n_outputs) * math.prod(target)
    bits = bits_dtype(n_outputs).itemsize * math.prod(shape[1:])
    return bits + slab + previous + held + batch + quantised + planes + framed
