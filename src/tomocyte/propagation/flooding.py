"""Flooding between labelled slices: every open voxel gets the label that reaches it over the lowest barrier.

The barrier of a way is the highest border level on it. Levels are bytes, so that the voxels waiting at one level are a
first-in-first-out list, kept in chunks that lie together in memory; where a level is flat, the nearer label wins. The
second flood starts where two labels met and goes back into both: over which barrier could the other have come? To flood
by another rule, write one more kernel on the same padded, flattened arrays.

References
----------
Meyer, Topographic distance and watershed lines, Signal Processing 38, 113 (1994), doi:10.1016/0165-1684(94)90060-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

N_LEVELS = 256
WALL = np.iinfo(np.uint16).max
"""Outside: neither flooded nor flooding."""
CHUNK_BITS = 6
CHUNK = 1 << CHUNK_BITS
IN_CHUNK = CHUNK - 1
Labels = NDArray[np.uint16]


@dataclass(frozen=True)
class Flood:
    """What a flood leaves.

    Parameters
    ----------
    labels : ndarray (N, H, W), uint16
        The label that came over the lowest barrier; 0 where none came.
    barrier : ndarray (N, H, W), uint8
        Over which any other label could have come; 255 where none could, or it was not looked for.
    """

    labels: Labels
    barrier: NDArray[np.uint8]


def settle(levels: NDArray[np.uint8], seeds: Labels) -> None:
    """Label what lies straight under or over a labelled end without any level in between, up to the middle.

    No other label can reach these voxels over a lower barrier or on a shorter way; the flood need not visit them.

    Parameters
    ----------
    levels : ndarray (N, H, W), uint8
    seeds : ndarray (N, H, W), uint16
        Labels from 1, 0 where open; changed in place. An end without any label settles nothing.

    Examples
    --------
    >>> seeds = np.array([[[1, 1]], [[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], np.uint16)
    >>> levels = np.array([[[0, 0]], [[0, 3]], [[0, 0]], [[0, 0]], [[0, 0]]], np.uint8)
    >>> settle(levels, seeds)
    >>> seeds[:, 0].T.tolist()
    [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    """
    _settle(levels, seeds)


def flood(levels: NDArray[np.uint8], seeds: Labels) -> Labels:
    """Every open voxel's label.

    Parameters
    ----------
    levels : ndarray (N, H, W), uint8
        How much a voxel looks like a border.
    seeds : ndarray (N, H, W), uint16
        Labels from 1 to 65,534; 0 where a label is looked for.

    Examples
    --------
    >>> levels = np.array([[[0, 1, 9, 1, 0, 0]]], np.uint8)
    >>> flood(levels, np.array([[[4, 0, 0, 0, 0, 2]]], np.uint16)).tolist()
    [[[4, 4, 4, 2, 2, 2]]]
    """
    room = room_for(seeds.shape)
    room.levels[:], room.seeds[:] = levels, seeds
    return flood_room(room)


def flood_twice(levels: NDArray[np.uint8], seeds: Labels, is_sought: NDArray[np.bool_] | None = None) -> Flood:
    """Every open voxel's label, and over which barrier another label could have come.

    Parameters
    ----------
    levels : ndarray (N, H, W), uint8
    seeds : ndarray (N, H, W), uint16
        As for :func:`flood`.
    is_sought : ndarray (N, H, W), bool, optional
        Where the barrier is looked for; by default wherever no seed is.

    Examples
    --------
    >>> levels = np.array([[[0, 1, 9, 1, 0, 0]]], np.uint8)
    >>> both = flood_twice(levels, np.array([[[4, 0, 0, 0, 0, 2]]], np.uint16))
    >>> both.labels.tolist(), both.barrier.tolist()
    ([[[4, 4, 4, 2, 2, 2]]], [[[255, 9, 9, 9, 9, 255]]])
    """
    room = room_for(seeds.shape)
    room.levels[:], room.seeds[:] = levels, seeds
    return flood_room_twice(room, seeds == 0 if is_sought is None else is_sought)


@dataclass(frozen=True)
class Room:
    """Levels and seeds with a wall of one voxel around them, as they are flooded: in place, without copies.

    Parameters
    ----------
    walled_levels : ndarray (N + 2, H + 2, W + 2), uint8
    walled_seeds : ndarray (N + 2, H + 2, W + 2), uint16
    """

    walled_levels: NDArray[np.uint8]
    walled_seeds: Labels

    @property
    def levels(self) -> NDArray[np.uint8]:
        """View (N, H, W): how much a voxel looks like a border."""
        return self.walled_levels[1:-1, 1:-1, 1:-1]

    @property
    def seeds(self) -> Labels:
        """View (N, H, W): labels from 1, 0 where one is looked for."""
        return self.walled_seeds[1:-1, 1:-1, 1:-1]


def room_for(shape: tuple[int, ...]) -> Room:
    """A room of that shape (N, H, W), all levels and seeds 0.

    Examples
    --------
    >>> room_for((1, 1, 2)).walled_seeds.shape
    (3, 3, 4)
    """
    walled = tuple(size + 2 for size in shape)
    room = Room(np.full(walled, N_LEVELS - 1, np.uint8), np.full(walled, WALL, np.uint16))
    room.levels[:], room.seeds[:] = 0, 0
    return room


def flood_room(room: Room) -> Labels:
    """As :func:`flood`; the seeds of the room become the labels."""
    _flood_first(room.walled_levels.ravel(), room.walled_seeds.ravel(), np.empty(0, np.uint8), *_strides(room))
    return room.seeds


def flood_room_twice(room: Room, is_sought: NDArray[np.bool_]) -> Flood:
    """As :func:`flood_twice`; the seeds of the room become the labels, and levels are lost where none is looked for."""
    first = np.zeros(room.walled_seeds.size, np.uint8)
    levels, labels = room.walled_levels.ravel(), room.walled_seeds.ravel()
    _flood_first(levels, labels, first, *_strides(room))
    np.copyto(room.levels, np.uint8(N_LEVELS - 1), where=~is_sought)
    barrier = np.full(room.walled_seeds.shape, N_LEVELS - 1, np.uint8)
    _flood_second(levels, labels, first, barrier.ravel(), *_strides(room))
    return Flood(room.seeds, barrier[1:-1, 1:-1, 1:-1])


def _strides(room: Room) -> tuple[int, int]:
    height, width = room.walled_seeds.shape[1:]
    return width, height * width


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _settle(levels: NDArray[np.uint8], seeds: Labels) -> None:
    n_slices, height, width = seeds.shape
    live = np.empty((height, width), np.uint16)
    has_first, has_last = np.any(seeds[0]), np.any(seeds[n_slices - 1])
    reach = n_slices // 2 if has_first and has_last else n_slices - 1
    for end in range(2):
        if not (has_first if end == 0 else has_last):
            continue
        live[:] = seeds[0 if end == 0 else n_slices - 1]
        for step in range(1, reach + 1):
            index = step if end == 0 else n_slices - 1 - step
            for y in range(height):
                for x in range(width):
                    if levels[index, y, x] != 0:
                        live[y, x] = 0
                    elif seeds[index, y, x] == 0:
                        seeds[index, y, x] = live[y, x]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _open_chunk(
    level: int, end: int, first: NDArray[np.int32], following: NDArray[np.int32], spare: int, n_chunks: int
) -> tuple[int, int, int]:
    """Where a level's list goes on: the place in the pool, the first spare chunk, and how many were ever used.

    A list ends where its next entry would stand. A multiple of the chunk's size says that its last chunk is full, 0
    that it has none: chunk 0 is never used. Numbers are handed through, as arrays in their stead are twice as slow.
    """
    fresh = spare
    if fresh >= 0:
        spare = following[fresh]
    else:
        fresh = n_chunks
        n_chunks += 1
    following[fresh] = -1
    if end > 0:
        following[(end >> CHUNK_BITS) - 1] = fresh
    else:
        first[level] = fresh
    return fresh << CHUNK_BITS, spare, n_chunks


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood_first(
    levels: NDArray[np.uint8], labels: Labels, barrier: NDArray[np.uint8], stride_y: int, stride_z: int
) -> None:
    """Labels, and over which barrier they came where ``barrier`` has room for it."""
    is_kept = barrier.size > 0
    room = labels.size // CHUNK + 2 * N_LEVELS + 8
    pool = np.empty(room * CHUNK, np.int32)
    following = np.empty(room, np.int32)
    first = np.full(N_LEVELS, -1, np.int32)
    ends = np.zeros(N_LEVELS, np.int64)
    spare, n_chunks = -1, 1
    for voxel in range(labels.size):
        label = labels[voxel]
        if (
            label != 0
            and label != WALL
            and (
                labels[voxel - 1] == 0
                or labels[voxel + 1] == 0
                or labels[voxel - stride_y] == 0
                or labels[voxel + stride_y] == 0
                or labels[voxel - stride_z] == 0
                or labels[voxel + stride_z] == 0
            )
        ):
            end = ends[0]
            if end & IN_CHUNK == 0:
                end, spare, n_chunks = _open_chunk(0, end, first, following, spare, n_chunks)
            pool[end] = voxel
            ends[0] = end + 1
    offsets = (-stride_z, -stride_y, -1, 1, stride_y, stride_z)
    for lowest in range(N_LEVELS):
        chunk = first[lowest]
        while chunk >= 0:
            place = chunk * CHUNK
            stop = place + CHUNK
            while place < stop and (place != ends[lowest] or following[chunk] >= 0):
                voxel = pool[place]
                place += 1
                label = labels[voxel]
                for offset in offsets:
                    neighbour = voxel + offset
                    if labels[neighbour] == 0:
                        labels[neighbour] = label
                        level = max(int(levels[neighbour]), lowest)
                        if is_kept:
                            barrier[neighbour] = level
                        end = ends[level]
                        if end & IN_CHUNK == 0:
                            end, spare, n_chunks = _open_chunk(level, end, first, following, spare, n_chunks)
                        pool[end] = neighbour
                        ends[level] = end + 1
            done, chunk = chunk, following[chunk]
            if chunk >= 0:
                following[done] = spare
                spare = done


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood_second(
    levels: NDArray[np.uint8],
    labels: Labels,
    first_barrier: NDArray[np.uint8],
    barrier: NDArray[np.uint8],
    stride_y: int,
    stride_z: int,
) -> None:
    """Lower ``barrier`` from 255 to that of the next label; levels of 255 are where none is looked for.

    Where two labels meet, the other one need only cross the voxel itself; from there it goes back through its
    neighbours of the same label. One scan forwards and one backwards settle most voxels in the order of memory, and
    only what they leave waits in lists: twice at most, from the scans and over a lower barrier.
    """
    room = 2 * labels.size // CHUNK + 2 * N_LEVELS + 8
    pool = np.empty(room * CHUNK, np.int32)
    following = np.empty(room, np.int32)
    first = np.full(N_LEVELS, -1, np.int32)
    ends = np.zeros(N_LEVELS, np.int64)
    spare, n_chunks = -1, 1
    offsets = (-stride_z, -stride_y, -1, 1, stride_y, stride_z)
    for voxel in range(labels.size):
        label = labels[voxel]
        if levels[voxel] == N_LEVELS - 1 or label == 0:
            continue
        level = N_LEVELS - 1
        for offset in offsets:
            other = labels[voxel + offset]
            if other == label:
                level = min(level, int(barrier[voxel + offset]))
            elif other != WALL and other != 0:
                level = min(level, int(first_barrier[voxel + offset]))
        barrier[voxel] = max(level, int(levels[voxel]))
    for voxel in range(labels.size - 1, -1, -1):
        label = labels[voxel]
        if levels[voxel] == N_LEVELS - 1 or label == 0:
            continue
        level = int(barrier[voxel])
        for offset in offsets[3:]:
            if labels[voxel + offset] == label:
                level = min(level, int(barrier[voxel + offset]))
        level = max(level, int(levels[voxel]))
        barrier[voxel] = level
        for offset in offsets[3:]:
            neighbour = voxel + offset
            if labels[neighbour] == label and barrier[neighbour] > max(level, int(levels[neighbour])):
                end = ends[level]
                if end & IN_CHUNK == 0:
                    end, spare, n_chunks = _open_chunk(level, end, first, following, spare, n_chunks)
                pool[end] = voxel
                ends[level] = end + 1
                break
    for lowest in range(N_LEVELS - 1):
        chunk = first[lowest]
        while chunk >= 0:
            place = chunk * CHUNK
            stop = place + CHUNK
            while place < stop and (place != ends[lowest] or following[chunk] >= 0):
                voxel = pool[place]
                place += 1
                if barrier[voxel] < lowest:
                    continue
                for offset in offsets:
                    neighbour = voxel + offset
                    if labels[neighbour] == labels[voxel]:
                        level = max(int(levels[neighbour]), lowest)
                        if level < barrier[neighbour]:
                            barrier[neighbour] = level
                            end = ends[level]
                            if end & IN_CHUNK == 0:
                                end, spare, n_chunks = _open_chunk(level, end, first, following, spare, n_chunks)
                            pool[end] = neighbour
                            ends[level] = end + 1
            done, chunk = chunk, following[chunk]
            if chunk >= 0:
                following[done] = spare
                spare = done
