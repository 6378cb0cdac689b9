"""The random walk as Biomedisa publishes it (its *smart interpolation*): the reference that others are measured by.

From every voxel of the labelled slices, background included, walkers set out; at each step a walker prefers the
neighbour whose grey value is closest to that of the voxel where it started. A voxel gets the label whose walkers
stepped on it most often. Labels are walked one after the other, so that memory does not grow with their number, and
every step has its own random number, drawn from the number of the walk and the step: results do not depend on threads.

Not here: Biomedisa takes only every fifth slice of large volumes whose slices are all labelled, and can follow contours
afterwards. Its random numbers differ. To weigh steps in another manner, change the table of weights in :func:`_walk`.

References
----------
Lösel et al. 2020, Nat. Commun. 11:5577, doi:10.1038/s41467-020-19303-w.
Lösel & Heuveline 2016, Proc. SPIE 9784:97842L, doi:10.1117/12.2216202.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from tomocyte.errors import InputError
from tomocyte.labels.smoothing import curvature_flow, flow_margin
from tomocyte.propagation.method import DenseLabels, PropagationMethod, SparseLabels
from tomocyte.settings import Settings

LEAST_VARIANCE = 1.0
"""Of grey values around a seed, in squared 8-bit steps."""
STEPS_AT_ONCE = 1_000_000
"""Steps that a thread takes before it counts them."""
Box = tuple[slice, slice, slice]


class RandomWalkSettings(Settings):
    """How many walkers go how far; the defaults are those of Biomedisa."""

    n_walks: int = Field(default=10, ge=1)
    """Walks from every voxel of the labelled slices."""
    n_steps: int = Field(default=4000, ge=1, le=1_000_000)
    """Steps of a walk."""
    is_denoised: bool = False
    """Whether the image is replaced by the mean of 3 × 3 × 3 voxels first."""
    n_smoothing_steps: int = Field(default=0, ge=0)
    """Steps of curvature flow that smooth the number of visits before labels are compared."""
    margin: int = Field(default=100, ge=1)
    """Voxels around the labels that walkers may reach; what lies beyond is background."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the random numbers."""
    n_threads: int = Field(default=0, ge=0)
    """Threads; 0: as many as there are cores. Results do not depend on it."""


def walk_labels(
    sparse: SparseLabels, settings: RandomWalkSettings, callback: Callable[[int, int], None]
) -> DenseLabels:
    """Labels on every slice by random walks from the labelled ones.

    The uncertainty of a voxel is ``1 - (1 - M2/M1) (1 - M3/M1)`` with the visits ``M1 >= M2 >= M3`` by the three labels
    that visited it most; 1 where nobody came (Biomedisa writes 0 there).

    Raises
    ------
    InputError
        ``E-PROPAGATION-IMAGE``: no image, or values that are not finite.
    """
    if sparse.image is None:
        raise InputError("E-PROPAGATION-IMAGE", "random-walk needs the image.", cure="Give it with --image.")
    region = _region(sparse, settings.margin)
    image = _padded(_eight_bit(np.asarray(sparse.image[:]), is_denoised=settings.is_denoised), region)
    drawn = _padded(sparse.labels, region)
    slices = [index - region[0].start + 1 for index in sparse.slices]
    ranks = _Ranks.empty(image.shape, drawn.dtype, is_smoothed=settings.n_smoothing_steps > 0)
    hits = np.zeros(image.shape, np.uint32)
    n_slices, n_done = len(sparse.labels), 0
    n_seeds = len(slices) * (image.shape[1] - 2) * (image.shape[2] - 2)
    for label in np.unique(drawn[slices][:, 1:-1, 1:-1]):
        starts, variances = _seeds(image, drawn, slices, label)
        box = slice(0), slice(0), slice(0)
        for n_walked, visited in count_visits(image, starts, variances, settings, hits):
            box = visited
            callback(int(n_slices * (n_done + n_walked) / (n_seeds + 1)), n_slices)
        n_done += len(starts)
        ranks.add(label, hits, box, settings.n_smoothing_steps)
    labels = sparse.zeros(sparse.labels.shape, sparse.labels.dtype)
    uncertainty = sparse.zeros(labels.shape, np.float32)
    uncertainty[:] = 1
    labels[region] = ranks.labels[1:-1, 1:-1, 1:-1]
    for index, plane in enumerate(range(region[0].start, region[0].stop), start=1):
        uncertainty[plane][region[1:]] = ranks.uncertainty(index)[1:-1, 1:-1]
    for index in sparse.slices:
        labels[index], uncertainty[index] = sparse.labels[index], 0
    callback(n_slices, n_slices)
    return DenseLabels(labels, uncertainty)


def _region(sparse: SparseLabels, margin: int) -> Box:
    """Where walkers go: the box of the labels on the labelled slices, and some voxels more."""
    is_labelled = np.any([sparse.labels[index] > 0 for index in sparse.slices], axis=0)
    inner = ndimage.find_objects(is_labelled.astype(np.uint8)) if is_labelled.any() else []
    rows, columns = inner[0] if inner else (slice(0, is_labelled.shape[0]), slice(0, is_labelled.shape[1]))
    sides = slice(sparse.slices[0], sparse.slices[-1] + 1), rows, columns
    wide = [
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(sides, sparse.labels.shape, strict=True)
    ]
    return wide[0], wide[1], wide[2]


def _padded(values: NDArray[Any], region: Box) -> NDArray[Any]:
    """A region with one voxel around it: its own neighbours where there are any, and 0 outside the volume."""
    padded = np.zeros(tuple(side.stop - side.start + 2 for side in region), values.dtype)
    source = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in region)
    target = tuple(slice(1 if s.start == 0 else 0, None) for s in region)
    piece = values[source]
    inside = tuple(slice(t.start, t.start + n) for t, n in zip(target, piece.shape, strict=True))
    padded[inside] = piece
    return padded


def _eight_bit(image: NDArray[Any], *, is_denoised: bool) -> NDArray[np.uint8]:
    """The image as 8-bit grey values: stretched from its smallest to its largest unless it has 8 bits already."""
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        if not np.isfinite(low + high):
            problem = "the image has voxels that are not finite numbers."
            raise InputError("E-PROPAGATION-IMAGE", problem, cure="Replace them, or leave --image out.")
        scale = 255 / (high - low) if high > low else 0.0
        stretched = np.empty(image.shape, np.uint8)
        for plane, row in zip(image, stretched, strict=True):
            row[...] = np.rint((plane.astype(np.float64) - low) * scale)
        image = stretched
    if is_denoised:
        return np.asarray(np.rint(ndimage.uniform_filter(image, 3, output=np.float32)), np.uint8)
    return image


def _seeds(
    image: NDArray[np.uint8], drawn: NDArray[Any], slices: list[int], label: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where walks of a label start, as flat indices, and the variance of grey values around each.

    The variance is the mean of ``(I(s) - I(q))²`` over the 3 × 3 neighbours ``q`` within the slice that have the label.
    """
    starts, variances = [], []
    plane_size = image.shape[1] * image.shape[2]
    for index in slices:
        mask = drawn[index] == label
        mask[[0, -1]], mask[:, [0, -1]] = False, False
        places = np.flatnonzero(mask)
        starts.append(index * plane_size + places)
        variances.append(_variances(image[index], mask, places))
    return np.concatenate(starts), np.concatenate(variances)


def _variances(plane: NDArray[np.uint8], mask: NDArray[np.bool_], places: NDArray[np.int64]) -> NDArray[np.float64]:
    weight = mask.astype(np.float64)
    grey = plane * weight
    # sum over q of (I(s) - I(q))² = n I(s)² - 2 I(s) sum I(q) + sum I(q)², in whole numbers that float64 holds exactly
    count, total, square = (_sum_3x3(values).ravel()[places] for values in (weight, grey, grey * plane))
    own = plane.ravel()[places].astype(np.float64)
    return np.asarray(np.maximum(own * own + (square - 2 * own * total) / count, LEAST_VARIANCE))


def _sum_3x3(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.pad(plane, 1)
    columns = rows[:-2] + rows[1:-1] + rows[2:]
    return np.asarray(columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:])


def count_visits(
    image: NDArray[np.uint8],
    starts: NDArray[np.int64],
    variances: NDArray[np.float64],
    settings: RandomWalkSettings,
    hits: NDArray[np.uint32],
) -> Iterator[tuple[int, Box]]:
    """Count where the walks from some seeds step; the seeds themselves are not counted when a walk sets out.

    Parameters
    ----------
    image : ndarray (Z, Y, X), uint8
        The outermost layer is seen and never entered.
    starts : ndarray (n,), int64
        Flat indices of the seeds, not in the outermost layer.
    variances : ndarray (n,), float64
        Of grey values around each seed.
    settings : RandomWalkSettings
    hits : ndarray (Z, Y, X), uint32
        Visits are added to it.

    Yields
    ------
    n_walked : int
        Seeds done.
    box : tuple of 3 slice
        Around all seeds and visits so far.
    """
    n_units = len(starts) * settings.n_walks
    size = max(1, STEPS_AT_ONCE // settings.n_steps)
    bounds = np.array([*hits.shape, -1, -1, -1], np.int64)
    lock, local = threading.Lock(), threading.local()

    def walk(first: int) -> int:
        last = min(first + size, n_units)
        if not hasattr(local, "visited"):
            local.visited = np.empty(size * settings.n_steps, np.int64)
        own = np.array([*hits.shape, -1, -1, -1], np.int64)
        units = first, last, settings.n_walks, settings.n_steps
        key = np.uint64(settings.seed)
        n_visited = _walk(image.ravel(), image.shape, starts, variances, units, key, local.visited, own)
        with lock:
            _count(hits.reshape(-1), local.visited[:n_visited])
            bounds[:3], bounds[3:] = np.minimum(bounds[:3], own[:3]), np.maximum(bounds[3:], own[3:])
        return last

    n_threads = settings.n_threads or _n_cores()
    firsts = iter(range(0, n_units, size))
    with ThreadPoolExecutor(n_threads) as pool:
        tasks = deque(pool.submit(walk, first) for first in islice(firsts, 2 * n_threads))
        try:
            while tasks:
                n_walked = tasks.popleft().result() // settings.n_walks
                tasks.extend(pool.submit(walk, first) for first in islice(firsts, 1))
                with lock:
                    z, y, x = (slice(int(bounds[axis]), int(bounds[axis + 3]) + 1) for axis in range(3))
                yield n_walked, (z, y, x)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _n_cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mixed(number: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(
    image: NDArray[np.uint8],
    shape: tuple[int, int, int],
    starts: NDArray[np.int64],
    variances: NDArray[np.float64],
    units: tuple[int, int, int, int],
    key: np.uint64,
    visited: NDArray[np.int64],
    bounds: NDArray[np.int64],
) -> int:
    """Walks ``units[0]`` to ``units[1] - 1`` of all; fills ``visited`` with flat indices, returns how many.

    Walk ``u`` starts at seed ``u // n_walks``. A step goes to one of six neighbours ``q`` with probability proportional
    to ``exp(-(B - I(q))² / (2 variance))``, ``B`` the grey value of the seed; into the outermost layer it is not taken,
    and counts.
    """
    first, last, n_walks, n_steps = units
    depth, height, width = shape
    plane = height * width
    weights = np.empty(256)
    n_visited, seed = 0, -1
    for unit in range(first, last):
        if unit // n_walks != seed:
            seed = unit // n_walks
            grey = np.int64(image[starts[seed]])
            for value in range(256):
                weights[value] = np.exp(-((grey - value) ** 2) / (2 * variances[seed]))
        at = starts[seed]
        z, y, x = at // plane, at // width % height, at % width
        state = _mixed(_mixed(key + np.uint64(at)) + np.uint64(unit % n_walks))
        for _ in range(n_steps):
            up = weights[image[at + plane]]
            down = up + weights[image[at - plane]]
            front = down + weights[image[at + width]]
            back = front + weights[image[at - width]]
            right = back + weights[image[at + 1]]
            total = right + weights[image[at - 1]]
            if total == 0.0:
                break
            state += np.uint64(0x9E3779B97F4A7C15)
            draw = (_mixed(state) >> np.uint64(11)) * 2.0**-53 * total
            if draw < up:
                if z == depth - 2:
                    continue
                z, at = z + 1, at + plane
                bounds[3] = max(bounds[3], z)
            elif draw < down:
                if z == 1:
                    continue
                z, at = z - 1, at - plane
                bounds[0] = min(bounds[0], z)
            elif draw < front:
                if y == height - 2:
                    continue
                y, at = y + 1, at + width
                bounds[4] = max(bounds[4], y)
            elif draw < back:
                if y == 1:
                    continue
                y, at = y - 1, at - width
                bounds[1] = min(bounds[1], y)
            elif draw < right:
                if x == width - 2:
                    continue
                x, at = x + 1, at + 1
                bounds[5] = max(bounds[5], x)
            else:
                if x == 1:
                    continue
                x, at = x - 1, at - 1
                bounds[2] = min(bounds[2], x)
            visited[n_visited] = at
            n_visited += 1
        at = starts[seed]
        z, y, x = at // plane, at // width % height, at % width
        bounds[0], bounds[1], bounds[2] = min(bounds[0], z), min(bounds[1], y), min(bounds[2], x)
        bounds[3], bounds[4], bounds[5] = max(bounds[3], z), max(bounds[4], y), max(bounds[5], x)
    return n_visited


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(hits: NDArray[np.uint32], visited: NDArray[np.int64]) -> None:
    for at in visited:
        hits[at] += 1


@dataclass(frozen=True)
class _Ranks:
    """The label that visited a voxel most, and the three largest numbers of visits.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    visits : ndarray (3, Z, Y, X), uint32
        Descending.
    smoothed : ndarray (Z, Y, X), float32, optional
        The largest number of visits after smoothing, where labels are compared by it.
    """

    labels: NDArray[Any]
    visits: NDArray[np.uint32]
    smoothed: NDArray[np.float32] | None

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: np.dtype[Any], *, is_smoothed: bool) -> _Ranks:
        smoothed = np.zeros(shape, np.float32) if is_smoothed else None
        return cls(np.zeros(shape, dtype), np.zeros((3, *shape), np.uint32), smoothed)

    def add(self, label: int, hits: NDArray[np.uint32], box: Box, n_smoothing_steps: int) -> None:
        """Compare the visits of a label, larger than those before, with what there is; ``hits`` is zero afterwards."""
        if self.smoothed is not None:
            reach = flow_margin(n_smoothing_steps)
            z, y, x = (slice(max(s.start - reach, 0), s.stop + reach) for s in box)
            smooth = curvature_flow(hits[z, y, x].astype(np.float32), n_smoothing_steps)
            is_larger = smooth > self.smoothed[z, y, x]
            np.copyto(self.smoothed[z, y, x], smooth, where=is_larger)
            np.copyto(self.labels[z, y, x], label, where=is_larger)
        _rank(label, hits[box], self.visits[:, *box], self.labels[box], self.smoothed is None)

    def uncertainty(self, plane: int) -> NDArray[np.float32]:
        """Of one slice, (Y, X)."""
        most, second, third = self.visits[:, plane].astype(np.float32)
        most = np.maximum(most, 1)
        ratio = 1 - (1 - second / most) * (1 - third / most)
        return np.asarray(np.where(self.visits[0, plane] > 0, ratio, 1), np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rank(
    label: int,
    hits: NDArray[np.uint32],
    visits: NDArray[np.uint32],
    labels: NDArray[Any],
    is_label_written: bool,
) -> None:
    for z in range(hits.shape[0]):
        for y in range(hits.shape[1]):
            for x in range(hits.shape[2]):
                number = hits[z, y, x]
                hits[z, y, x] = 0
                if number > visits[0, z, y, x]:
                    visits[2, z, y, x] = visits[1, z, y, x]
                    visits[1, z, y, x] = visits[0, z, y, x]
                    visits[0, z, y, x] = number
                    if is_label_written:
                        labels[z, y, x] = label
                elif number > visits[1, z, y, x]:
                    visits[2, z, y, x] = visits[1, z, y, x]
                    visits[1, z, y, x] = number
                elif number > visits[2, z, y, x]:
                    visits[2, z, y, x] = number


METHOD = PropagationMethod(
    name="random-walk",
    description="Random walks from labelled voxels, as Biomedisa publishes them; the reference, slow.",
    settings=RandomWalkSettings,
    propagate=walk_labels,
    image="required",
)
