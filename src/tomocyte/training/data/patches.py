"""Patches of volumes, read from disk window by window, so that volumes of any size need the memory of a few patches.

Where a window lies is decided in stored voxels; it is then brought to the network's voxel size. To place patches in
another manner, change :func:`draw_window`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.training.data.settings import DataSettings
from tomocyte.training.data.targets import make_targets, make_weights, stored_weight
from tomocyte.volume import Volume

MOST_OBJECT_VOXELS = 4096
"""Voxels per frame that are remembered as possible centres of patches, evenly spread over all object voxels."""

Target = NDArray[np.uint8]
Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Labelled:
    """One frame of one item.

    Parameters
    ----------
    image : Volume
    labels : dict
        Structure -> label volume, ``None`` where it is not labelled.
    frame : int
    ignore_label : int, optional
        Label value of unlabelled voxels.
    uncertainty : dict
        Structure -> how uncertain its labels are, where that is known and weighs.
    """

    image: Volume
    labels: dict[str, Volume | None]
    frame: int
    ignore_label: int | None = None
    uncertainty: dict[str, Volume] = field(default_factory=dict)


def object_voxels(source: Labelled) -> NDArray[np.int64]:
    """Some voxels (n, 3) that belong to any object, read plane by plane; the same for the same labels.

    Unlabelled voxels belong to none.
    """
    counts, depth = [], source.image.spatial_shape[0]
    for z in range(depth):
        counts.append(int(np.count_nonzero(_inside(source, z))))
    total = sum(counts)
    numbers = np.unique(np.linspace(0, total - 1, min(total, MOST_OBJECT_VOXELS)).round().astype(np.int64))
    voxels, before = [], 0
    for z, count in enumerate(counts):
        in_plane = numbers[(numbers >= before) & (numbers < before + count)] - before
        before += count
        if in_plane.size:
            y, x = np.nonzero(_inside(source, z))
            voxels.append(np.stack([np.full(in_plane.size, z), y[in_plane], x[in_plane]], axis=1))
    return np.concatenate(voxels) if voxels else np.empty((0, 3), dtype=np.int64)


def _inside(source: Labelled, z: int) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = np.logical_or.reduce(object_planes(source, z))
    return result


def object_planes(source: Labelled, z: int) -> list[NDArray[np.bool_]]:
    """Voxels (Y, X) of a plane that are labelled as an object, for each structure that has labels."""
    return [is_object(plane, source.ignore_label) & _counts(source, name, z) for name, plane in _planes(source, z)]


def is_plane_labelled(source: Labelled, z: int) -> bool:
    """Whether any voxel of a plane is labelled, as an object or as background, and counts."""
    if source.ignore_label is None and not source.uncertainty:
        return True
    return any(((plane != source.ignore_label) & _counts(source, name, z)).any() for name, plane in _planes(source, z))


def _planes(source: Labelled, z: int) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, volume in source.labels.items():
        if volume is not None:
            yield name, volume.planes(source.frame, 0, z, z + 1)[0]


def _counts(source: Labelled, name: str, z: int) -> NDArray[np.bool_]:
    """Where labels are not so uncertain that their weight is 0."""
    volume = source.uncertainty.get(name)
    if volume is None:
        return np.ones(source.image.spatial_shape[1:], np.bool_)
    return np.asarray(stored_weight(volume.planes(source.frame, 0, z, z + 1)[0]) > 0)


def is_object(labels: NDArray[Any], ignore_label: int | None) -> NDArray[np.bool_]:
    """Voxels labelled as an object; unlabelled ones are not."""
    inside: NDArray[np.bool_] = labels != 0
    return inside if ignore_label is None else inside & (labels != ignore_label)


def draw_window(
    shape: tuple[int, int, int],
    window: tuple[int, int, int],
    centres: NDArray[np.int64],
    *,
    object_share: float,
    rng: np.random.Generator,
) -> Window:
    """Where a patch lies: around an object voxel with probability ``object_share``, anywhere otherwise; cut at borders.

    Examples
    --------
    >>> draw_window((4, 9, 9), (4, 9, 9), np.empty((0, 3)), object_share=0.5, rng=np.random.default_rng(0))
    (slice(0, 4, None), slice(0, 9, None), slice(0, 9, None))
    """
    size = [min(length, extent) for length, extent in zip(window, shape, strict=True)]
    room = [extent - length for extent, length in zip(shape, size, strict=True)]
    start = [int(rng.integers(0, free + 1)) for free in room]
    if rng.random() < object_share and len(centres):
        centre = centres[rng.integers(len(centres))]
        jitter = [int(rng.integers(-(length // 4), length // 4 + 1)) for length in size]
        start = [
            int(np.clip(at - length // 2 + off, 0, free))
            for at, length, off, free in zip(centre, size, jitter, room, strict=True)
        ]
    z, y, x = (slice(first, first + length) for first, length in zip(start, size, strict=True))
    return z, y, x


def stored_window(
    patch_shape: tuple[int, ...], stored_um: tuple[float, ...], working_um: tuple[float, ...]
) -> tuple[int, int, int]:
    """How many stored voxels a patch of the network's voxels needs.

    Examples
    --------
    >>> stored_window((32, 64, 64), (0.4, 0.2, 0.2), (0.4, 0.4, 0.3))
    (32, 128, 96)
    """
    z, y, x = (
        max(1, math.ceil(round(n * now / was, 6)))
        for n, was, now in zip(patch_shape, stored_um, working_um, strict=True)
    )
    return z, y, x


def read_window(source: Labelled, window: Window, settings: DataSettings) -> tuple[NDArray[Any], Target]:
    """Voxels (C, Z, Y, X) in physical values and targets (K, Z, Y, X) of a window.

    Cores are computed with a margin of ``core_depth_um`` around the window: its faces are no borders of objects.
    """
    stored = source.image.require_voxel_size()
    margin = [0, 0, 0]
    if settings.targets == "mask-and-core":
        margin = [_margin(settings.core_depth_um, size, part) for size, part in zip(stored, window, strict=True)]
    wide = [
        slice(max(0, part.start - more), min(extent, part.stop + more))
        for part, more, extent in zip(window, margin, source.image.spatial_shape, strict=True)
    ]
    labels = {
        name: None if v is None else v.planes(source.frame, 0, wide[0].start, wide[0].stop)[:, wide[1], wide[2]]
        for name, v in source.labels.items()
    }
    inner = tuple(
        slice(part.start - whole.start, part.stop - whole.start) for part, whole in zip(window, wide, strict=True)
    )
    target = make_targets(labels, settings, stored, ignore_label=source.ignore_label)[(slice(None), *inner)]
    voxels = np.stack(
        [
            source.image.planes(source.frame, channel, window[0].start, window[0].stop)[:, window[1], window[2]]
            for channel in range(source.image.n_channels)
        ]
    )
    return voxels, target


def read_weights(source: Labelled, window: Window, settings: DataSettings) -> Target | None:
    """Weights (K, Z, Y, X) of a window as :func:`make_weights` gives them; ``None`` where all voxels count equally."""
    if settings.weights == "equal":
        return None
    maps = {
        name: volume.planes(source.frame, 0, window[0].start, window[0].stop)[:, window[1], window[2]]
        for name, volume in source.uncertainty.items()
    }
    return make_weights(maps, settings, tuple(part.stop - part.start for part in window))


def _margin(depth_um: float | None, size_um: float, part: slice) -> int:
    """Voxels beside a window that decide on the cores in it; without a depth, as many as the window has."""
    return part.stop - part.start if depth_um is None else math.ceil(depth_um / size_um) + 1
