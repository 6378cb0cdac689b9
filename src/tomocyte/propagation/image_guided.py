"""Propagation that follows the image: a seeded watershed over what borders look like in this very image.

What a border looks like is learned from the labelled slices (:mod:`tomocyte.propagation.borders`). Labelled slices are
walls, so that the volume falls into slabs that know nothing of each other: they are filled in parallel, one slab in
memory per thread, and a slice that is labelled anew changes two of them (:mod:`tomocyte.propagation.memory`). Within a
slab every voxel gets the label that reaches it over the lowest border. Where the labels at both ends differ and the
image shows no border between them at all, nothing is to be followed, and the shape decides
(:mod:`tomocyte.propagation.signed_distance`). Voxels that are known within a slab (scribbles, slices along another
axis) are more places that labels come from. The cost does not depend on the number of labels.

How often it errs is measured, not assumed: labelled slices are left out in turn and predicted from their neighbours.
To let the errors depend on something else, add it to :func:`_situations`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import InputError
from tomocyte.progress import silent
from tomocyte.propagation.borders import BorderModel, border_levels, labels_differ, learn_borders, plain_borders
from tomocyte.propagation.flooding import N_LEVELS, Room, flood_room, flood_room_twice, room_for, settle
from tomocyte.propagation.memory import Memory, SlabDigests, memory_as_json, memory_from_json
from tomocyte.propagation.method import DenseLabels, PropagationMethod, SelfTest, SparseLabels
from tomocyte.propagation.signed_distance import SignedDistanceSettings, interpolate_labels
from tomocyte.propagation.slabs import Slab, given_digest, labels_digest, slabs_of
from tomocyte.settings import Settings
from tomocyte.volume import Planes

MAX_LEFT_OUT = 4
"""Labelled slices that are left out and predicted, at most."""
N_BARRIERS, N_SHAPES = 7, 3
"""Six heights of the border to the next label, and no next label; sure, doubted and more doubted by shape."""
N_SITUATIONS = N_BARRIERS * 2 * (2 * N_SHAPES)
PRIOR_VOXELS = 30.0
MAX_TEST_SHARE = 0.6
"""The slices that tests fill are at most this part of all, unless that is less than one test."""
PLAIN_DOUBT = 0.2
"""Where both ends agree and the shape doubts less than this, no other label is looked for."""


class ImageGuidedSettings(Settings):
    """How far labels go on, and whether errors are measured."""

    max_beyond: int | None = Field(default=None, ge=0)
    """Slices that are filled before the first and after the last labelled one at most; when not given, as many as there
    are between labelled slices, at least as far as voxels are known, and all where one slice is labelled."""
    is_uncertainty_measured: bool = True
    """Whether labelled slices are left out and predicted, which says how often a voxel is wrong; otherwise there is no
    uncertainty, and the labels take a third of the time."""
    n_threads: int = Field(default=0, ge=0)
    """Slabs that are filled at the same time; 0: as many as there are cores."""


def follow_image(
    sparse: SparseLabels, settings: ImageGuidedSettings, callback: Callable[[int, int], None]
) -> DenseLabels:
    """Labels on every slice from labels on a few, guided by the image.

    The uncertainty of a voxel is the share of wrong voxels in situations like its own (how high the border to the next
    label is, whether the voxel lies at a border, what the shape says), measured on labelled slices that were left out.
    It is 0 on labelled slices and known voxels, and 1 where nothing was filled.

    Raises
    ------
    InputError
        ``E-PROPAGATION-IMAGE``: values that are not finite; ``E-PROPAGATION-LABELS``: more than 65,000 labels on two
        neighbouring labelled slices.
    """
    if sparse.image is None:
        raise InputError("E-PROPAGATION-IMAGE", "image-guided needs the image.", cure="Give it with --image.")
    if sparse.previous is None:
        _check_finite(sparse.image)
        memory, test = _learn(sparse, sparse.image, settings)
    else:
        memory, test = memory_from_json(sparse.previous.memory or {}), sparse.previous.test
    n_slices = len(sparse.labels)
    labels = sparse.zeros(sparse.labels.shape, sparse.labels.dtype)
    shape = labels.shape
    uncertainty = sparse.zeros(shape, np.float32) if settings.is_uncertainty_measured else _unknown(shape)
    for index in sparse.slices:
        labels[index] = sparse.labels[index]
    slabs = slabs_of(sparse, settings.max_beyond)
    n_done = len(sparse.slices)
    callback(n_done, n_slices)
    with ThreadPoolExecutor(settings.n_threads or _n_cores()) as pool:
        tasks = [pool.submit(_fill, sparse, memory, slab, labels, uncertainty) for slab in slabs]
        digests = []
        try:
            for slab, task in zip(slabs, tasks, strict=True):
                digests.append(task.result())
                n_done += slab.n_slices
                callback(n_done, n_slices)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if settings.is_uncertainty_measured:
        filled = {index for slab in slabs for index in range(slab.first, slab.last)} | set(sparse.slices)
        for index in set(range(n_slices)) - filled:
            uncertainty[index] = 1
    for index, is_known in enumerate(() if sparse.known is None else sparse.known):
        np.copyto(labels[index], sparse.labels[index], where=is_known)
        if settings.is_uncertainty_measured:
            uncertainty[index][is_known] = 0
    callback(n_slices, n_slices)
    return DenseLabels(labels, uncertainty, test, memory_as_json(replace(memory, slabs=tuple(digests))))


def _learn(sparse: SparseLabels, image: Planes, settings: ImageGuidedSettings) -> tuple[Memory, SelfTest | None]:
    """What borders look like, and how often labels are wrong."""
    size = sparse.voxel_size_um
    borders = learn_borders(image, sparse.labels, sparse.slices, size) if sparse.slices else plain_borders(image, size)
    if not settings.is_uncertainty_measured:
        return Memory(borders, None, 1.0, ()), None
    errors = _measure_errors(sparse, borders, settings)
    return Memory(borders, errors.rates, errors.open_distance, ()), errors.test


def _unknown(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """NaN everywhere, in no memory."""
    return np.broadcast_to(np.float32(np.nan), shape)


def _n_cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_finite(image: Planes) -> None:
    if image.dtype.kind != "f":
        return
    n_bad = sum(int(np.count_nonzero(~np.isfinite(image[index]))) for index in range(len(image)))
    if n_bad:
        problem = f"the image has {n_bad} voxels that are not finite numbers."
        raise InputError("E-PROPAGATION-IMAGE", problem, cure="Replace them, or leave --image out.")


@dataclass(frozen=True)
class _Ends:
    """Labels at the ends of a slab and of known voxels in it as numbers from 1, and what these stand for.

    Parameters
    ----------
    numbers : ndarray (n_labels,)
    before, after : ndarray (H, W), uint16, optional
    is_known : ndarray (N, H, W), bool, optional
        Known voxels of the slab, where there are any.
    known : ndarray (n_known,), uint16
        Their labels.
    """

    numbers: NDArray[Any]
    before: NDArray[np.uint16] | None
    after: NDArray[np.uint16] | None
    is_known: NDArray[np.bool_] | None
    known: NDArray[np.uint16]

    def labels_of(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The labels that these numbers, from 1, stand for."""
        if int(self.numbers[-1]) == len(self.numbers) - 1:
            return np.asarray((numbers - np.uint16(1)).astype(self.numbers.dtype))
        return np.asarray(self.numbers[numbers - 1])


def _ends(sparse: SparseLabels, slab: Slab) -> _Ends:
    labels, inner = sparse.labels, slice(slab.first, slab.last)
    is_known = None if sparse.known is None or not sparse.known[inner].any() else sparse.known[inner]
    parts = [labels[index] for index in (slab.before, slab.after) if index is not None]
    parts.append(np.zeros(0, labels.dtype) if is_known is None else labels[inner][is_known])
    largest = max(int(part.max(initial=0)) for part in parts)
    if largest < 65_000:
        numbers = np.arange(largest + 1, dtype=labels.dtype)
        compact = [part.astype(np.uint16) + np.uint16(1) for part in parts]
    else:
        numbers = np.unique(np.concatenate([part.ravel() for part in parts]))
        if len(numbers) > 65_000:
            problem = f"two neighbouring labelled slices hold {len(numbers)} labels; at most 65,000 are possible."
            raise InputError("E-PROPAGATION-LABELS", problem, cure="Use --method signed-distance.")
        compact = [(np.searchsorted(numbers, part) + 1).astype(np.uint16) for part in parts]
    known = compact.pop()
    before = compact.pop(0) if slab.before is not None else None
    return _Ends(numbers, before, compact.pop() if slab.after is not None else None, is_known, known)


@dataclass(frozen=True)
class _Shape:
    """What the shape alone says of a slab, (N, H, W): labels in the numbers of its ends, and its doubt in classes."""

    labels: NDArray[Any]
    doubt: NDArray[np.uint8]
    is_sure: NDArray[np.bool_]
    """(H, W): where it doubts less than ``PLAIN_DOUBT`` on all slices."""


@dataclass(frozen=True)
class _Seeded:
    """Ends of a slab, a room with border levels and seeds of it with its ends, and its shape where it was needed."""

    ends: _Ends
    room: Room
    shape: _Shape | None


def _seeded(sparse: SparseLabels, borders: BorderModel, slab: Slab) -> _Seeded:
    """What a flood starts from; an open end holds no seed.

    Where both ends differ and no border lies between them, the shape is taken; what is known stays.
    """
    image = sparse.image
    if image is None:
        raise InputError("E-PROPAGATION-IMAGE", "image-guided needs the image.", cure="Give it with --image.")
    ends = _ends(sparse, slab)
    has_before, has_after = int(ends.before is not None), int(ends.after is not None)
    shape = (slab.n_slices + has_before + has_after, *sparse.labels.shape[1:])
    room = room_for(shape)
    levels, seeds = room.levels, room.seeds
    inner = slice(has_before, has_before + slab.n_slices)
    levels[inner] = border_levels(image, slab.first, slab.last, borders, sparse.voxel_size_um)
    if ends.before is not None:
        seeds[0] = ends.before
    if ends.after is not None:
        seeds[-1] = ends.after
    shape_of_it = _settle_borderless(sparse, slab, ends, levels, seeds)
    if ends.is_known is not None:
        seeds[inner][ends.is_known] = ends.known
    return _Seeded(ends, room, shape_of_it)


def _settle_borderless(
    sparse: SparseLabels, slab: Slab, ends: _Ends, levels: NDArray[Any], seeds: NDArray[Any]
) -> _Shape | None:
    """Where both ends differ and neither a border nor a known voxel lies between them, take the shape."""
    if ends.before is None or ends.after is None:
        return None
    is_borderless = (ends.before != ends.after) & ~levels[1:-1].any(axis=0)
    if ends.is_known is not None:
        is_borderless &= ~ends.is_known.any(axis=0)
    if not is_borderless.any():
        return None
    shape = _shape(sparse, slab, ends)
    np.copyto(seeds[1:-1], shape.labels, where=is_borderless[None])
    return shape


def _shape(sparse: SparseLabels, slab: Slab, ends: _Ends) -> _Shape:
    """What the shape alone says of a slab between two labelled slices, or beyond the last of one side."""
    if ends.before is None and ends.after is None:
        return _no_shape((slab.n_slices, *sparse.labels.shape[1:]))
    if ends.before is None or ends.after is None:
        return _shape_beyond(sparse, slab, ends)
    planes = np.zeros((slab.n_slices + 2, *sparse.labels.shape[1:]), np.uint16)
    planes[0], planes[-1] = ends.before - 1, ends.after - 1
    pair = SparseLabels(planes, (0, slab.n_slices + 1), sparse.voxel_size_um)
    dense = interpolate_labels(pair, SignedDistanceSettings(), silent)
    labels, doubt = dense.labels[1:-1], dense.uncertainty[1:-1]
    labels += np.uint16(1)
    return _Shape(labels, _doubt_class(doubt), doubt.max(axis=0) < PLAIN_DOUBT)


def _shape_beyond(sparse: SparseLabels, slab: Slab, ends: _Ends) -> _Shape:
    """Beyond the last labelled slice its shape goes on, and is doubted near its borders and far from it."""
    import edt

    plane = ends.before if ends.before is not None else ends.after
    height, *pixel = sparse.voxel_size_um
    distance = edt.edt(np.ascontiguousarray(plane), anisotropy=tuple(pixel), parallel=1)
    steps = np.arange(1, slab.n_slices + 1)[:: 1 if ends.before is not None else -1]
    doubt = np.empty((slab.n_slices, *distance.shape), np.uint8)
    for step, classes in zip(steps, doubt, strict=True):
        spread = np.float32(step * height)
        classes[:] = _doubt_class(spread / (distance + spread))
    labels = np.broadcast_to(np.asarray(plane), doubt.shape)
    return _Shape(labels, doubt, np.zeros(distance.shape, bool))


def _no_shape(shape: tuple[int, ...]) -> _Shape:
    """Where no slice is labelled, no label is expected anywhere (0 is none of them), and all is doubted."""
    labels = np.broadcast_to(np.uint16(0), shape)
    return _Shape(labels, np.full(shape, N_SHAPES - 1, np.uint8), np.zeros(shape[1:], bool))


def _doubt_class(doubt: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray((doubt * np.float32(N_SHAPES - 1e-3)).astype(np.uint8))


@dataclass(frozen=True)
class _Errors:
    """Shares of wrong voxels by situation, (2, n): between labelled slices, and at open ends so many slices away."""

    rates: NDArray[np.float32]
    open_distance: float
    test: SelfTest | None


@dataclass(frozen=True)
class _Filled:
    """A slab's labels and those of its shape, in the numbers of its ends, and of every voxel the situation it is in."""

    ends: _Ends
    labels: NDArray[Any]
    situations: NDArray[np.uint8]
    shape: NDArray[Any]


def _fill(
    sparse: SparseLabels,
    memory: Memory,
    slab: Slab,
    labels: NDArray[Any],
    uncertainty: NDArray[np.float32],
) -> SlabDigests:
    """Write labels and uncertainty of a slab: those from before, where nothing has changed since."""
    inner = slice(slab.first, slab.last)
    given, before = given_digest(sparse, slab), sparse.previous
    if before is not None:
        digest = memory.filled_from(slab, given)
        if digest is not None and digest == labels_digest(before.labels[inner]):
            np.copyto(labels[inner], before.labels[inner], casting="unsafe")
            if memory.error_rates is not None:
                uncertainty[inner] = before.uncertainty[inner]
            return SlabDigests(slab, given, digest)
    if memory.error_rates is None:
        seeded = _seeded(sparse, memory.borders, slab)
        if seeded.ends.is_known is None:
            settle(seeded.room.levels, seeded.room.seeds)
        start = int(seeded.ends.before is not None)
        found = flood_room(seeded.room)[start : start + slab.n_slices]
        labels[inner] = seeded.ends.labels_of(found)
    else:
        filled = _fill_with_situations(sparse, memory.borders, slab)
        labels[inner] = filled.ends.labels_of(filled.labels)
        for index, situations in enumerate(filled.situations, start=slab.first):
            rates = _rates_at(index, slab, memory.error_rates, memory.open_distance)
            np.take(rates, situations, out=uncertainty[index], mode="clip")
    return SlabDigests(slab, given, labels_digest(labels[inner]))


def _rates_at(index: int, slab: Slab, rates: NDArray[np.float32], open_distance: float) -> NDArray[np.float32]:
    """Error rates on a slice: at an open end, the further from the labelled slice, the more those of open ends."""
    if slab.before is not None and slab.after is not None:
        return np.asarray(rates[0])
    end = slab.after if slab.before is None else slab.before
    share = 1.0 if end is None else min(1.0, abs(index - end) / open_distance)
    return np.asarray((1 - share) * rates[0] + share * rates[1], dtype=np.float32)


def _fill_with_situations(sparse: SparseLabels, borders: BorderModel, slab: Slab) -> _Filled:
    seeded = _seeded(sparse, borders, slab)
    ends, levels, seeds = seeded.ends, seeded.room.levels, seeded.room.seeds
    shape = seeded.shape or _shape(sparse, slab, ends)
    start = int(ends.before is not None)
    inner = slice(start, start + slab.n_slices)
    is_sought = seeds == 0
    if ends.is_known is None:
        if ends.before is not None and ends.after is not None:
            is_sure = shape.is_sure | ~levels[inner].any(axis=0)
            is_sought &= ~((ends.before == ends.after) & is_sure)
        settle(levels, seeds)
    both = flood_room_twice(seeded.room, is_sought)
    found = both.labels[inner]
    return _Filled(ends, found, _situations(found, both.barrier[inner], shape), shape.labels)


def _situations(labels: NDArray[Any], barrier: NDArray[np.uint8], shape: _Shape) -> NDArray[np.uint8]:
    """How high the border to the next label is, whether the voxel lies at a border, and what the shape says."""
    situation = np.uint8(2) * (barrier // np.uint8(43))
    situation += np.uint8(2) * (barrier == N_LEVELS - 1)
    for index, plane in enumerate(labels):
        at_border = labels_differ(plane)
        for other in (index - 1, index + 1):
            if 0 <= other < len(labels):
                at_border |= plane != labels[other]
        situation[index] += at_border
    situation *= np.uint8(2 * N_SHAPES)
    situation += shape.doubt
    situation += np.uint8(N_SHAPES) * (labels != shape.labels)
    return situation


def _measure_errors(sparse: SparseLabels, borders: BorderModel, settings: ImageGuidedSettings) -> _Errors:
    """Leave labelled slices out, predict them from their neighbours, and count; for open ends, from one of these."""
    places = _tested(sparse)
    if not places:
        return _Errors(_assumed_rates(), 1.0, None)
    slices = sparse.slices
    between = [Slab(slices[at - 1] + 1, slices[at + 1], slices[at - 1], slices[at + 1]) for at in places]
    beyond = [_open_slab(sparse, at) for at in places] if _has_open_ends(sparse, settings) else []
    left_out = [slices[place] for place in places]
    with ThreadPoolExecutor(settings.n_threads or _n_cores()) as pool:
        tasks = pool.map(
            lambda slab, index: _left_out(sparse, borders, slab, index), [*between, *beyond], [*left_out, *left_out]
        )
        rows = list(tasks)
    counts = [np.sum([row.counts for row in part], axis=0) for part in (rows[: len(between)], rows[len(between) :])]
    rows = rows[: len(between)]
    truth = np.stack([sparse.labels[index] for index in left_out])
    test = SelfTest(
        tuple(int(index) for index in left_out),
        _mean_dice(np.stack([row.labels for row in rows]), truth),
        _mean_dice(np.stack([row.by_shape for row in rows]), truth),
    )
    rates = _rates(counts[0])
    distance = float(np.mean([slab.n_slices for slab in beyond])) if beyond else 1.0
    return _Errors(np.stack([rates, _rates(counts[1], rates) if beyond else rates]), distance, test)


def _has_open_ends(sparse: SparseLabels, settings: ImageGuidedSettings) -> bool:
    """Whether slices beyond the first or the last labelled one are filled."""
    return any(slab.before is None or slab.after is None for slab in slabs_of(sparse, settings.max_beyond))


def _open_slab(sparse: SparseLabels, place: int) -> Slab:
    """As if a labelled slice were beyond the last one: every other one from before it, the rest from behind."""
    before, index, after = sparse.slices[place - 1 : place + 2]
    return Slab(before + 1, index + 1, before, None) if place % 2 else Slab(index, after, None, after)


@dataclass(frozen=True)
class _LeftOut:
    """A labelled slice as predicted, (H, W), also by shape alone; right and wrong voxels by situation."""

    labels: NDArray[Any]
    by_shape: NDArray[Any]
    counts: NDArray[np.float64]


def _left_out(sparse: SparseLabels, borders: BorderModel, slab: Slab, index: int) -> _LeftOut:
    filled = _fill_with_situations(sparse, borders, slab)
    row = index - slab.first
    labels, by_shape = (filled.ends.labels_of(one[row]) for one in (filled.labels, filled.shape))
    is_wrong = labels != sparse.labels[index]
    situations = (filled.situations[row][is_wrong == side] for side in (False, True))
    counts = [np.bincount(one, minlength=N_SITUATIONS) for one in situations]
    return _LeftOut(labels, by_shape, np.array(counts, np.float64))


def _tested(sparse: SparseLabels) -> list[int]:
    """Which of the labelled slices are left out: between two others, all three with labels, evenly spread."""
    is_labelled = [bool(sparse.labels[index].any()) for index in sparse.slices]
    places = [place for place in range(1, len(is_labelled) - 1) if all(is_labelled[place - 1 : place + 2])]
    if not places:
        return []
    span = np.mean([sparse.slices[place + 1] - sparse.slices[place - 1] for place in places])
    n_tests = max(1, min(MAX_LEFT_OUT, len(places), int(MAX_TEST_SHARE * len(sparse.labels) / span)))
    chosen = np.unique(np.linspace(0, len(places) - 1, n_tests + 2).round().astype(int)[1:-1])
    return [places[index] for index in chosen]


def _rates(counts: NDArray[np.float64], like: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Share of wrong voxels per situation; rare ones lean on other rates, or on those of the same shape and border."""
    if like is not None:
        return np.asarray((counts[1] + PRIOR_VOXELS * like) / (counts.sum(axis=0) + PRIOR_VOXELS), dtype=np.float32)
    grid = counts.reshape(2, N_BARRIERS, 2 * 2 * N_SHAPES)
    pooled = grid.sum(axis=1, keepdims=True)
    overall = (counts[1].sum() + 1) / (counts.sum() + 2)
    prior = (pooled[1] + PRIOR_VOXELS * overall) / (pooled.sum(axis=0) + PRIOR_VOXELS)
    rates = (grid[1] + PRIOR_VOXELS * prior) / (grid.sum(axis=0) + PRIOR_VOXELS)
    return np.asarray(rates.reshape(-1), dtype=np.float32)


def _assumed_rates() -> NDArray[np.float32]:
    """Where no slice can be left out: half where the shape says otherwise or doubts, less behind a high border."""
    barrier = np.arange(N_BARRIERS)[:, None, None]
    at_border = np.arange(2)[None, :, None]
    shape = np.concatenate([np.linspace(0, 0.3, N_SHAPES), np.full(N_SHAPES, 0.5)])[None, None, :]
    rates = (shape + 0.1 * at_border) * (1 - barrier / (2 * N_BARRIERS))
    return np.tile(rates.reshape(1, -1).astype(np.float32), (2, 1))


def _mean_dice(found: NDArray[Any], truth: NDArray[Any]) -> float:
    numbers, inverse = np.unique(np.stack([found, truth]), return_inverse=True)
    inverse = inverse.reshape(2, -1)
    sizes = np.bincount(inverse.ravel(), minlength=len(numbers))
    both = np.bincount(inverse[0][inverse[0] == inverse[1]], minlength=len(numbers))
    is_label = numbers > 0
    return float(np.mean(2 * both[is_label] / sizes[is_label])) if is_label.any() else float("nan")


METHOD = PropagationMethod(
    name="image-guided",
    description="Follows borders of the image that look like those on the labelled slices.",
    settings=ImageGuidedSettings,
    propagate=follow_image,
    image="required",
    uses_known=True,
)
