"""Patches of volumes, read from disk window by window, so that volumes of any size need the memory of a few patches.

Where a window lies is decided in stored voxels; it is then brought to the network's voxel size. To place patches in
another way, change :func:`draw_window`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.training.data.settings import DataSettings
from tomocyte.training.data.targets import make_targets
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
        Structure -> label volume, ``None`` where nobody labelled it.
    frame : int
    ignore_label : int, optional
        Label value meaning "nobody looked here".
    """

    image: Volume
    labels: dict[str, Volume | None]
    frame: int
    ignore_label: int | None = None


def object_voxels(source: Labelled) -> NDArray[np.int64]:
    """Some voxels (n, 3) that belong to any object, read plane by plane; the same for the same labels.

    Voxels that nobody looked at belong to none.
    """
    counts, depth = [], source.image.spatial_shape[0]
    for z in range(depth):
        counts.append(int(np.count_nonzero(_inside(source, z))))
    total = sum(counts)
    wanted = np.unique(np.linspace(0, total - 1, min(total, MOST_OBJECT_VOXELS)).round().astype(np.int64))
    found, before = [], 0
    for z, count in enumerate(counts):
        mine = wanted[(wanted >= before) & (wanted < before + count)] - before
        before += count
        if mine.size:
            y, x = np.nonzero(_inside(source, z))
            found.append(np.stack([np.full(mine.size, z), y[mine], x[mine]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)


def _inside(source: Labelled, z: int) -> NDArray[np.bool_]:
    planes = [v.planes(source.frame, 0, z, z + 1)[0] for v in source.labels.values() if v is not None]
    result: NDArray[np.bool_] = np.logical_or.reduce([is_object(plane, source.ignore_label) for plane in planes])
    return result


def is_object(labels: NDArray[Any], ignore_label: int | None) -> NDArray[np.bool_]:
    """Which voxels somebody called an object, and not "nobody looked here"."""
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
    size = [min(want, have) for want, have in zip(window, shape, strict=True)]
    room = [have - want for have, want in zip(shape, size, strict=True)]
    start = [int(rng.integers(0, free + 1)) for free in room]
    if rng.random() < object_share and len(centres):
        centre = centres[rng.integers(len(centres))]
        jitter = [int(rng.integers(-(want // 4), want // 4 + 1)) for want in size]
        start = [
            int(np.clip(at - want // 2 + off, 0, free))
            for at, want, off, free in zip(centre, size, jitter, room, strict=True)
        ]
    z, y, x = (slice(first, first + want) for first, want in zip(start, size, strict=True))
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
        margin = [math.ceil(settings.core_depth_um / size) + 1 for size in stored]
    wide = [
        slice(max(0, part.start - more), min(have, part.stop + more))
        for part, more, have in zip(window, margin, source.image.spatial_shape, strict=True)
    ]
    labels = {
        name: None if v is None else v.planes(source.frame, 0, wide[0].start, wide[0].stop)[:, wide[1], wide[2]]
        for name, v in source.labels.items()
    }
    inner = tuple(
        slice(part.start - all_.start, part.stop - all_.start) for part, all_ in zip(window, wide, strict=True)
    )
    target = make_targets(labels, settings, stored, ignore_label=source.ignore_label)[(slice(None), *inner)]
    voxels = np.stack(
        [
            source.image.planes(source.frame, channel, window[0].start, window[0].stop)[:, window[1], window[2]]
            for channel in range(source.image.n_channels)
        ]
    )
    return voxels, target
