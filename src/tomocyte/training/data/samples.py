"""Training samples: sections for 2-D networks, patches for 3-D ones, read lazily and the same for the same seed.

A sample is (image, target): float32 as the network sees it, and uint8 with 255 in unlabelled voxels. Where uncertain
labels count less, the target of a sample for training has their weights behind its outputs, one plane for each. To add
a kind of sample, write a class with ``__len__``, ``groups`` and ``read``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError
from tomocyte.segmentation.prediction.normalization import offset_and_scale
from tomocyte.training.data.channels import with_constants
from tomocyte.training.data.patches import (
    Labelled,
    draw_window,
    is_plane_labelled,
    object_planes,
    object_voxels,
    read_weights,
    read_window,
    stored_window,
)
from tomocyte.training.data.settings import IGNORE, DataSettings
from tomocyte.training.data.targets import make_targets, output_names
from tomocyte.volume import Volume

Image = NDArray[np.float32]
Target = NDArray[np.uint8]
CACHE_BYTES = 1_500_000_000
N_DRAWS = 8
"""How often a patch is drawn until it holds a labelled voxel; the last time around an object."""


@dataclass(frozen=True)
class Place:
    """Where a sample comes from.

    Parameters
    ----------
    item : int
        Position in the list of items.
    frame, z : int
        Frame, and plane for sections (0 for patches).
    """

    item: int
    frame: int
    z: int


class Samples:
    """All samples of some items.

    Parameters
    ----------
    items : list of LabelledItem
    settings : DataSettings
    n_axes : int
        2: sections; 3: patches.

    Raises
    ------
    InputError
        ``E-NO-POSITIVES``: no section or volume shows any object. ``E-CLASS-MISSING``: a structure appears nowhere.
        ``E-NAN``, ``E-SHAPE``, ``E-LABELS-TYPE``.
    """

    def __init__(self, items: list[LabelledItem], settings: DataSettings, *, n_axes: int) -> None:
        self.items = items
        self.settings = settings
        self.n_axes = n_axes
        self._volumes: dict[int, tuple[Volume, dict[str, Volume | None]]] = {}
        self._cache: OrderedDict[Place, tuple[Image, Target]] = OrderedDict()
        self._cached_bytes = 0
        self._uncertainty: dict[int, dict[str, Volume]] = {}
        self._centres: dict[Place, list[NDArray[np.int64]]] = {}
        self._scales: dict[tuple[int, int], list[tuple[float, float]]] = {}
        self.places = [place for index in range(len(items)) for place in self._places(index)]
        if not self.places:
            raise InputError(
                "E-NO-POSITIVES",
                f"none of {len(items)} labelled images shows {' or '.join(settings.structures)}.",
                path=items[0].image if items else None,
                cure="Check the label images, data.min_section_area_um2, or use other folds.",
            )

    def __len__(self) -> int:
        return len(self.places)

    @property
    def n_training(self) -> int:
        """Samples to learn from in one epoch; here those that are scored."""
        return len(self)

    @property
    def holds_object(self) -> NDArray[np.bool_] | None:
        """For every sample to learn from, whether it holds an object; ``None`` where a sample is drawn at random."""
        return None

    @property
    def groups(self) -> list[str]:
        """Group of every sample."""
        return [self.items[place.item].group for place in self.places]

    @property
    def n_channels(self) -> int:
        """Inputs of the network."""
        return self.volume(0)[0].n_channels

    def name(self, index: int) -> str:
        """A name for a table: item, frame and plane."""
        place = self.places[index]
        frame = f"-t{place.frame:03d}" if self.volume(place.item)[0].n_frames > 1 else ""
        plane = f"-z{place.z:03d}" if self.n_axes == 2 and self.volume(place.item)[0].spatial_shape[0] > 1 else ""
        return f"{self.items[place.item].name}{frame}{plane}"

    def pixel_size_um(self, index: int) -> tuple[float, ...]:
        """Pixel size at which the network sees a sample: (y, x) or (z, y, x) in µm."""
        return self._working_size_um(self.places[index].item)

    def _working_size_um(self, item: int) -> tuple[float, ...]:
        stored = self.volume(item)[0].require_voxel_size()
        frame = self.settings.fixed_frame or self.settings.scaled_frame
        if frame is not None:
            pairs = zip(stored, self.volume(item)[0].spatial_shape, frame.shape, strict=True)
            return tuple(size * extent / length for size, extent, length in pairs)
        sizes = self.settings.voxel_size_um or stored
        full = tuple(stored[axis] if size is None else size for axis, size in enumerate(sizes))
        return full[3 - self.n_axes :]

    def whole(self, index: int) -> tuple[Image, Target]:
        """A whole section (C, Y, X), or a whole frame (C, Z, Y, X), with its target, at the network's voxel size."""
        image, target = self._weighted(index)
        return image, target[: len(output_names(self.settings))]

    def _weighted(self, index: int) -> tuple[Image, Target]:
        """As :meth:`whole`, with the weights behind the outputs."""
        place = self.places[index]
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        image, target = self._load(place)
        self._cache[place] = (image, target)
        self._cached_bytes += image.nbytes + target.nbytes
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            _, (old_image, old_target) = self._cache.popitem(last=False)
            self._cached_bytes -= old_image.nbytes + old_target.nbytes
        return image, target

    def read(self, index: int, rng: np.random.Generator) -> tuple[Image, Target]:
        """One sample for training: a whole section, or a patch of ``patch_shape`` at a random place.

        Patches of volumes are read from disk, window by window; the volume does not stay in memory. Patches hold a
        labelled voxel.
        """
        if self.settings.patch_shape is None:
            return self._weighted(index)
        for share in (*[self.settings.object_share] * (N_DRAWS - 1), 1.0):
            settings = self.settings.model_copy(update={"object_share": share})
            image, target = self._drawn_patch(index, settings, rng)
            if (target[: len(output_names(settings))] != IGNORE).any():
                break
        return image, target

    def _drawn_patch(self, index: int, settings: DataSettings, rng: np.random.Generator) -> tuple[Image, Target]:
        shape = settings.patch_shape
        if self.n_axes == 2 or shape is None:
            return crop_patch(*self._weighted(index), settings, rng)
        place = self.places[index]
        source = self._source(place)
        stored, working = source.image.require_voxel_size(), self.pixel_size_um(index)
        if place not in self._centres:
            self._centres[place] = self._possible_centres(source)
        centres = self._centres[place]
        window = draw_window(
            source.image.spatial_shape,
            stored_window(shape, stored, working),
            centres[rng.integers(len(centres))] if len(centres) > 1 else centres[0],
            object_share=settings.object_share,
            rng=rng,
        )
        voxels, target = read_window(source, window, settings)
        normalized = self._normalized(voxels, place, (window[0].start, window[0].stop))
        image, target = _resampled(normalized, target, read_weights(source, window, settings), stored, working)
        inside = (slice(None), *(slice(n) for n in shape))
        return pad_pair(image[inside], target[inside], shape)

    def _possible_centres(self, source: Labelled) -> list[NDArray[np.int64]]:
        """Voxels (n, 3) around which patches lie, all together or of each structure that is there."""
        if self.settings.centred_on == "structures":
            single = [replace(source, labels={name: volume}) for name, volume in source.labels.items()]
            each = [voxels for part in single if len(voxels := object_voxels(part))]
            if each:
                return each
        return [object_voxels(source)]

    def volume(self, item: int) -> tuple[Volume, dict[str, Volume | None]]:
        """The image and the label images of an item, opened once."""
        if item not in self._volumes:
            image = with_constants(self.items[item].open_image(), self.settings.constant_channels)
            labels = {name: self.items[item].open_labels(name, image) for name in self.settings.structures}
            self._volumes[item] = (image, labels)
        return self._volumes[item]

    def _source(self, place: Place) -> Labelled:
        entry = self.items[place.item]
        image, labels = self.volume(place.item)
        if place.item not in self._uncertainty:
            opened = {name: entry.open_uncertainty(name, image) for name in self.settings.structures}
            self._uncertainty[place.item] = {name: volume for name, volume in opened.items() if volume is not None}
        return Labelled(image, labels, place.frame, entry.ignore_label, self._uncertainty[place.item])

    def _places(self, item: int) -> list[Place]:
        image, _ = self.volume(item)
        depth = image.spatial_shape[0]
        voxel = image.require_voxel_size()
        smallest = self.settings.min_section_area_um2 / (voxel[1] * voxel[2])
        places: list[Place] = []
        sources = [self._source(Place(item, frame, 0)) for frame in range(image.n_frames)]
        if self.n_axes == 3:
            return [Place(item, frame, 0) for frame, source in enumerate(sources) if _has_labels(source)]
        for frame, source in enumerate(sources):
            counts = [[np.count_nonzero(plane) for plane in object_planes(source, z)] for z in range(depth)]
            areas = np.asarray(counts, dtype=np.int64).reshape(depth, -1).max(axis=1, initial=0)
            shown = np.flatnonzero((areas > 0) & (areas >= smallest))
            sections = _with_margin(shown, depth, self.settings.section_margin_um / voxel[0])
            if self.settings.sections == "all":
                sections = np.arange(depth)
            sections = sections[[is_plane_labelled(source, int(z)) for z in sections]]
            most = self.settings.max_sections_per_item
            if most is not None and len(sections) > most:
                sections = sections[np.linspace(0, len(sections) - 1, most).round().astype(int)]
            places.extend(Place(item, frame, int(z)) for z in sections)
        return places

    def _load(self, place: Place) -> tuple[Image, Target]:
        image, labels = self.volume(place.item)
        planes = (place.z, place.z + 1) if self.n_axes == 2 else (0, image.spatial_shape[0])
        voxels = np.stack([image.planes(place.frame, c, *planes) for c in range(image.n_channels)])
        normalized = self._normalized(voxels, place, planes)
        read = {
            name: None if volume is None else volume.planes(place.frame, 0, *planes) for name, volume in labels.items()
        }
        stored = image.require_voxel_size()[3 - self.n_axes :]
        if self.n_axes == 2:
            normalized = normalized[:, 0]
            read = {name: None if array is None else array[0] for name, array in read.items()}
        target = make_targets(read, self.settings, stored, ignore_label=self.items[place.item].ignore_label)
        window = (slice(*planes), slice(0, image.spatial_shape[1]), slice(0, image.spatial_shape[2]))
        weights = read_weights(self._source(place), window, self.settings)
        if self.n_axes == 2 and weights is not None:
            weights = weights[:, 0]
        return _resampled(normalized, target, weights, stored, self._working_size_um(place.item))

    def _normalized(self, voxels: NDArray[Any], place: Place, planes: tuple[int, int]) -> Image:
        """Values as the network sees them, with the offset and scale of the whole frame, as when it is applied."""
        if not np.isfinite(voxels).all():
            raise InputError(
                "E-NAN",
                f"NaN or infinite voxels in frame {place.frame}, planes {planes[0]}–{planes[1] - 1}.",
                path=self.items[place.item].image,
                cure="Repair or leave out this image; a network must not learn from missing values.",
            )
        key = (place.item, place.frame)
        if key not in self._scales:
            image, _ = self.volume(place.item)
            rule, is_constant = self.settings.normalization, self.settings.normalization.kind in ("fixed", "medium")
            self._scales[key] = [
                offset_and_scale(
                    voxels[channel] if is_constant else image.planes(place.frame, channel),
                    rule,
                    medium_ri=image.medium_ri,
                )
                for channel in range(image.n_channels)
            ]
        result = np.empty(voxels.shape, dtype=np.float32)
        for channel, (offset, scale) in enumerate(self._scales[key]):
            result[channel] = (voxels[channel].astype(np.float64) - offset) / scale
        return result


def _has_labels(source: Labelled) -> bool:
    return any(is_plane_labelled(source, z) for z in range(source.image.spatial_shape[0]))


def _with_margin(shown: NDArray[np.intp], depth: int, margin: float) -> NDArray[np.intp]:
    """The sections given and those at most ``margin`` sections away (NaN: a single plane has none)."""
    reach = int(margin) if math.isfinite(margin) else 0
    near = {int(z) + offset for z in shown for offset in range(-reach, reach + 1)}
    return np.asarray(sorted(z for z in near if 0 <= z < depth), dtype=np.intp)


def resample_pair(
    image: Image, target: Target, stored_um: tuple[float, ...], working_um: tuple[float, ...]
) -> tuple[Image, Target]:
    """Image and target at another pixel size: the image linearly (averaged when shrinking), each target by share ≥ 0.5.

    A target pixel that is unlabelled to more than half stays unlabelled.
    """
    shape = tuple(
        max(1, round(n * was / now)) for n, was, now in zip(image.shape[1:], stored_um, working_um, strict=True)
    )
    if shape == image.shape[1:]:
        return image, target
    smaller = np.stack([_resized(channel, shape) for channel in image])
    inside = np.stack([_resized((plane == 1).astype(np.float32), shape) for plane in target])
    unknown = np.stack([_resized((plane == IGNORE).astype(np.float32), shape) for plane in target])
    result = (inside >= 0.5 * (1 - unknown)).astype(np.uint8)
    result[unknown > 0.5] = IGNORE
    return smaller, result


def _resampled(
    image: Image, target: Target, weights: Target | None, stored_um: tuple[float, ...], working_um: tuple[float, ...]
) -> tuple[Image, Target]:
    """As :func:`resample_pair`; weights, if there are any, behind the outputs, and what has no weight unlabelled."""
    image, target = resample_pair(image, target, stored_um, working_um)
    if weights is None:
        return image, target
    shape = image.shape[1:]
    if weights.shape[1:] != shape:
        weights = np.stack([np.rint(_resized(plane.astype(np.float32), shape)) for plane in weights]).astype(np.uint8)
    return image, np.concatenate([np.where(weights == 0, np.uint8(IGNORE), target), weights])


def _resized(plane: NDArray[Any], shape: tuple[int, ...]) -> Image:
    from skimage.transform import resize

    is_smaller = any(new < old for new, old in zip(shape, plane.shape, strict=True))
    return np.asarray(
        resize(plane, shape, order=1, mode="edge", anti_aliasing=is_smaller, preserve_range=True), dtype=np.float32
    )


def crop_patch(image: Image, target: Target, settings: DataSettings, rng: np.random.Generator) -> tuple[Image, Target]:
    """A patch of ``patch_shape``; centred on an object voxel with probability ``object_share``, anywhere otherwise.

    Where the image is smaller than the patch it is padded with its edge and the target with 255.
    """
    shape = settings.patch_shape or image.shape[1:]
    image, target = pad_pair(image, target, tuple(map(max, shape, image.shape[1:])))
    room = [size - length for size, length in zip(image.shape[1:], shape, strict=True)]
    start = [int(rng.integers(0, free + 1)) for free in room]
    if rng.random() < settings.object_share:
        inside = np.flatnonzero((target[: len(output_names(settings))] == 1).any(axis=0))
        if inside.size:
            centre = np.unravel_index(int(inside[rng.integers(inside.size)]), image.shape[1:])
            jitter = [int(rng.integers(-(length // 4), length // 4 + 1)) for length in shape]
            start = [
                int(np.clip(at - length // 2 + off, 0, free))
                for at, length, off, free in zip(centre, shape, jitter, room, strict=True)
            ]
    window = (slice(None), *(slice(s, s + length) for s, length in zip(start, shape, strict=True)))
    return image[window], target[window]


def pad_pair(image: Image, target: Target, shape: tuple[int, ...]) -> tuple[Image, Target]:
    """Image and target grown at their high ends: the image by its edge, the target by 255."""
    grow = [(0, 0), *((0, length - size) for length, size in zip(shape, image.shape[1:], strict=True))]
    if all(after == 0 for _, after in grow):
        return image, target
    return np.pad(image, grow, mode="edge"), np.pad(target, grow, constant_values=IGNORE)


def batch_shape(shapes: list[tuple[int, ...]], divisor: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest size that holds every sample of a batch and suits the network.

    Examples
    --------
    >>> batch_shape([(30, 40), (33, 20)], (16, 16))
    (48, 48)
    """
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    return tuple(math.ceil(size / unit) * unit for size, unit in zip(largest, divisor, strict=True))
