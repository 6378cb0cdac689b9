"""Results that cannot be right: pure functions on labels, image and what the modality is.

Each check compares with what physics or counting allows, not with what is usual, so that a good field passes. To add
one, write a function that returns a :class:`Notice` whose code starts with ``W-IMPLAUSIBLE-`` (or ``None``), and call
it in :func:`implausible`; describe it in the documentation's page on plausibility.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.blocks import block_factors, block_means
from tomocyte.labels.distances import distance_um
from tomocyte.labels.extents import label_extents
from tomocyte.notices import Notice
from tomocyte.segmentation.classical.noise import estimate_noise
from tomocyte.volume import VoxelSize

PREFIX = "W-IMPLAUSIBLE-"
DARKEST = 1.0
"""A hundredth of the background may lie this much deeper below its median than objects lie above it."""
FEWEST = 10
"""Shares are judged of at least this many objects."""
MOST = 0.5
"""Share of the objects that may have a fault."""
UNRESOLVED = 3
"""An object that is less than this many voxels across has no shape."""
NOISE_LEVEL = 5.0
"""The mean of an object that is a peak of the noise lies up to this many of its standard errors above its vicinity."""
FILLED = 0.95
"""Share of the image beyond which an object leaves no background to be told from."""
SHALLOW = 5.0
"""The image must change this many times as much across the outline of the objects as over the same distance beyond."""
_BANDS = 24
"""Bands on both sides of an outline are as wide as this part of the field's shorter side."""
_SAMPLED = 200
_CROP = 160
_BLOCKS_ACROSS = 4


@dataclass(frozen=True, eq=False)
class Objects:
    """The main objects of one frame and the image they were found in.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    image : ndarray (Z, Y, X), real
        NaN = outside.
    voxel_size_um : tuple of 3 float
    name : str
        What they are called.
    is_light : bool
        Whether the image counts light, which objects only add to.
    smallest_um : float
        Smallest object that counts: µm³, or µm² in a plane; 0 = none.
    is_what_remains : bool
        Whether they are all that is not extracellular space, which a field inside a cell need not have.
    uncluttered : callable, optional
        Returns the image with NaN where something else lies beside the objects (glass, beads), so that it is not taken
        for background; called only where that would decide. None = nothing else is known of.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    image: NDArray[Any]
    voxel_size_um: VoxelSize
    name: str
    is_light: bool = False
    smallest_um: float = 0.0
    is_what_remains: bool = False
    uncluttered: Callable[[], NDArray[Any]] | None = None

    @property
    def names(self) -> str:
        """What several of them are called."""
        return "objects" if self.name == "object" else f"{self.name} objects"

    @property
    def n_voxels(self) -> NDArray[np.int64]:
        """Of each object."""
        counts = np.bincount(self.labels.ravel())[1:]
        return np.asarray(counts[counts > 0], dtype=np.int64)


def is_implausible(warning: str) -> bool:
    """Whether a line ``W-…: …`` says that a result cannot be right."""
    return warning.startswith(PREFIX)


def implausible(objects: Objects) -> list[Notice]:
    """What cannot be right about the objects of a frame; empty for a good one and for one without objects.

    Examples
    --------
    >>> everything = Objects(np.ones((1, 8, 9), np.uint8), np.ones((1, 8, 9)), (float("nan"), 1, 1), "cell")
    >>> [notice.code for notice in implausible(everything)]
    ['W-IMPLAUSIBLE-FILLED']
    """
    sizes = objects.n_voxels
    if not sizes.size:
        return []
    checks = (dark_background, noise_level, unresolved, fragments, filled, gradient, all_cut)
    return [notice for notice in (check(objects) for check in checks) if notice is not None]


def dark_background(objects: Objects) -> Notice | None:
    """Fluorescence adds light: nothing can lie as far below the background as objects lie above it.

    Phase contrast, bright field and dark objects do. The image is taken in blocks of a quarter of an object, which
    average noise away.
    """
    if not objects.is_light:
        return None
    is_plane = objects.labels.shape[0] == 1
    n_dimensions = 2 if is_plane else 3
    size_um = [size for size in objects.voxel_size_um if math.isfinite(size)][-n_dimensions:]
    across = float(np.median(objects.n_voxels)) ** (1 / n_dimensions) * float(np.prod(size_um)) ** (1 / n_dimensions)
    voxel = (math.nan, *objects.voxel_size_um[1:]) if is_plane else objects.voxel_size_um
    factors = block_factors(voxel, across / _BLOCKS_ACROSS)
    inside = objects.labels > 0
    background = block_means(objects.image, factors, ~inside, empty=np.nan)
    bright = block_means(objects.image, factors, inside, empty=np.nan)
    if not np.isfinite(background).any() or not np.isfinite(bright).any():
        return None
    low, middle = np.nanquantile(background, [0.01, 0.5])
    level = float(np.nanmedian(bright)) - middle
    depth = middle - low
    if depth <= DARKEST * level:
        return None
    return Notice(
        PREFIX + "DARK",
        f"parts of the background lie {depth / level if level > 0 else math.inf:.1f} times as far below its median as "
        f"the {objects.names} lie above it; fluorescence only adds light. This looks like phase contrast, "
        "bright field, or dark objects: the objects are not what the modality says.",
    )


def noise_level(objects: Objects) -> Notice | None:
    """Most objects do not stand out of the noise around them by more than peaks of noise do."""
    if len(objects.n_voxels) < FEWEST:
        return None
    crop = _crop(objects.image)
    noise = estimate_noise(np.nan_to_num(crop, nan=float(np.nanmedian(crop))), np.zeros(crop.shape, dtype=np.float32))
    sigma = float(np.median(noise.sigma))
    shared = math.prod(max(1.0, 2 * math.sqrt(math.pi) * width) for width in noise.correlation)
    if sigma == 0:
        return None
    extents = label_extents(objects.labels)
    present = np.flatnonzero(extents.n_voxels)
    faint, judged = 0, 0
    for label in present[:: max(1, len(present) // _SAMPLED)]:
        box = extents.box(int(label), objects.labels.shape, margin=3)
        view, values = objects.labels[box], objects.image[box]
        inside, around = values[view == label], values[view == 0]
        inside, around = inside[np.isfinite(inside)], around[np.isfinite(around)]
        if inside.size == 0 or around.size < 8:
            continue
        error = sigma * math.sqrt(shared / inside.size)
        judged += 1
        faint += abs(float(inside.mean()) - float(np.median(around))) < NOISE_LEVEL * max(error, sigma / 20)
    if judged < FEWEST or faint <= MOST * judged:
        return None
    return Notice(
        PREFIX + "NOISE",
        f"{faint} of {judged} {objects.names} looked at stand out of their vicinity no more than the noise does: "
        "they are probably noise. Give more smoothing or a higher threshold, or the size of the objects with "
        "--object-diameter-um.",
    )


def unresolved(objects: Objects) -> Notice | None:
    """Most objects are less than three voxels across."""
    sizes = objects.n_voxels
    limit = UNRESOLVED ** (2 if objects.labels.shape[0] == 1 else 3)
    n_small = int(np.count_nonzero(sizes < limit))
    if len(sizes) < FEWEST or n_small <= MOST * len(sizes):
        return None
    return Notice(
        PREFIX + "SMALL",
        f"{n_small} of {len(sizes)} {objects.names} have fewer than {limit} voxels, which is less than "
        f"{UNRESOLVED} across: the image does not resolve them. Check the voxel size, and give the size of the objects "
        "with --object-diameter-um.",
    )


def fragments(objects: Objects) -> Notice | None:
    """Most objects are barely larger than the smallest that counts: a heap of fragments cut off by the limit."""
    size_um = [size for size in objects.voxel_size_um if math.isfinite(size)]
    if objects.labels.shape[0] == 1:
        size_um = size_um[-2:]
    sizes = objects.n_voxels * float(np.prod(size_um))
    n_near = int(np.count_nonzero(sizes < 2 * objects.smallest_um))
    if len(sizes) < 2 * FEWEST or n_near <= MOST * len(sizes):
        return None
    return Notice(
        PREFIX + "FRAGMENTS",
        f"{n_near} of {len(sizes)} {objects.names} are less than twice as large as the smallest that counts "
        f"({objects.smallest_um:.3g} {'um2' if objects.labels.shape[0] == 1 else 'um3'}): fragments or noise, cut off "
        "by that limit. Check the voxel size, and give the size of the objects with --object-diameter-um.",
    )


def filled(objects: Objects) -> Notice | None:
    """One object takes nearly all of the image, or of a plane: what varies with depth alone is no object."""
    if objects.is_what_remains:
        return None
    largest = 1 + int(np.argmax(np.bincount(objects.labels.ravel())[1:]))
    n_voxels = np.count_nonzero(np.isfinite(objects.image), axis=(1, 2))
    n_inside = np.count_nonzero(objects.labels == largest, axis=(1, 2))
    shares = np.divide(n_inside, n_voxels, out=np.zeros(n_voxels.shape), where=n_voxels > 0)
    whole = float(n_inside.sum()) / max(1, int(n_voxels.sum()))
    if shares.max() <= FILLED:
        return None
    what = f"{100 * whole:.0f} % of the image" if whole > FILLED else f"{100 * shares.max():.0f} % of a plane"
    return Notice(
        PREFIX + "FILLED",
        f"one {objects.name} takes {what}, so there is no background that it was told from. "
        "Check modality and threshold.",
    )


def gradient(objects: Objects) -> Notice | None:
    """The outline follows no edge: the image goes on changing outside it, as uneven background does.

    Judged in the plane with most of the objects, all together: the change from a band inside their outline to one
    outside it, against that from there to one as far away again. Where no object is as thick as a band, or a band is
    empty, nothing is said.
    """
    notice = _gradient(objects, objects.image)
    if notice is not None and objects.uncluttered is not None:
        notice = _gradient(objects, objects.uncluttered())
    return notice


def _gradient(objects: Objects, image: NDArray[Any]) -> Notice | None:
    plane = int(np.argmax(np.count_nonzero(objects.labels, axis=(1, 2))))
    inside, values = objects.labels[plane] > 0, image[plane]
    if inside.all():
        return None
    size_um = objects.voxel_size_um[1:]
    width = max(min(size_um), min(n * size for n, size in zip(inside.shape, size_um, strict=True)) / _BANDS)
    depth = distance_um(inside[None], objects.voxel_size_um)[0]
    distance = distance_um(~inside[None], objects.voxel_size_um)[0]
    levels = []
    for along, begin in ((depth, 1), (distance, 1), (distance, 4)):
        band = values[(along > begin * width) & (along <= (begin + 1) * width) & np.isfinite(values)]
        if not band.size:
            return None
        levels.append(float(np.mean(band, dtype=np.float64)))
    across, beyond = levels[0] - levels[1], levels[1] - levels[2]
    if across * beyond <= 0 or abs(across) >= SHALLOW * abs(beyond):
        return None
    return Notice(
        PREFIX + "GRADIENT",
        f"across the outline of the {objects.names} the image changes only {across / beyond:.1f} times as much as over "
        "the same distance beyond it: the outline follows no edge, as in uneven background. Subtract the background, "
        "or check the modality.",
    )


def all_cut(objects: Objects) -> Notice | None:
    """Of many objects, not one lies wholly inside the field."""
    extents = label_extents(objects.labels)
    present = np.flatnonzero(extents.n_voxels)
    lower, upper = extents.lower[present, 1:], extents.upper[present, 1:]
    is_cut = ((lower == 0) | (upper == np.asarray(objects.labels.shape[1:]))).any(axis=1)
    if len(present) < FEWEST or not is_cut.all():
        return None
    return Notice(
        PREFIX + "CUT",
        f"all {len(present)} {objects.names} are cut by the lateral border of the image: not one is whole. Check "
        "the axes and the voxel size.",
    )


def without_cell(n_inside: int, n_outside: int, *, organelle: str, cell: str, n_cells: int) -> Notice | None:
    """Organelles that lie in no cell.

    Parameters
    ----------
    n_inside, n_outside : int
        Organelles with and without a cell.
    organelle, cell : str
        What they are called.
    n_cells : int
    """
    if n_outside == 0 or n_outside <= MOST * (n_inside + n_outside):
        return None
    return Notice(
        PREFIX + "NO-CELL",
        f"{n_outside} of {n_inside + n_outside} {organelle.replace('_', ' ')} objects lie in no {cell} "
        f"({n_cells} found): organelles do not occur without a cell. The image shows something that the method was not "
        "made for.",
    )


def _crop(image: NDArray[Any]) -> NDArray[Any]:
    """The middle of an image, large enough to see its noise."""
    middle = tuple(
        slice(max(0, (size - length) // 2), max(0, (size - length) // 2) + length)
        for size, length in zip(image.shape, (32, 2 * _CROP, 2 * _CROP), strict=True)
    )
    return image[middle]
