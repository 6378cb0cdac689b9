"""Objects placed at random where they could lie: what contacts and distances are by chance.

Each object keeps its voxels, so that sizes, shapes and orientations stay; only its place in the cell changes. The
largest are placed first; none overlaps a forbidden structure or another object of its own kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Integers
from tomocyte.measurements.spatial._kernels import (
    Bytes,
    Directions,
    Floats,
    Objects,
    contacts_at,
    fill,
    find_place,
    places_that_fit,
)
from tomocyte.measurements.spatial.compartment import Compartment
from tomocyte.measurements.spatial.nearest import nearest_of_kind
from tomocyte.measurements.spatial.surfaces import Faces, Reach
from tomocyte.volume import VoxelSize

PILOT_TRIES = 300
MOST_TRIES = 20_000
MOST_RESTARTS = 3
# Depths are float32 roots of sums: equal ones may differ in the last digits.
DEPTH_SLACK = 1e-5


@dataclass(frozen=True, eq=False)
class Movable:
    """An object that can be placed elsewhere.

    Parameters
    ----------
    steps : int64 ndarray (n,)
        Its voxels, as flat steps from its reference voxel in the compartment, in random order.
    low, high : int64 ndarray (3,)
        Its box around the reference voxel.
    surface : int64 ndarray (m, 3)
        Voxels of its surface, relative to the reference voxel.
    face_voxels, directions, areas_um2 : ndarray (k,)
        For each face, the row of ``surface`` it belongs to, its direction and its area.
    home : int
        Flat index of the reference voxel where the object was observed.
    candidates : int64 ndarray
        Flat indices at which the reference voxel may lie; empty: the object fits nowhere and stays.
    """

    steps: Integers
    low: Integers
    high: Integers
    surface: Integers
    face_voxels: Integers
    directions: Directions
    areas_um2: Floats
    home: int
    candidates: Integers


def movables(faces: Faces, allowed: NDArray[np.bool_], rng: np.random.Generator) -> list[Movable]:
    """The objects of a structure, each with the places at which it may lie in an allowed region."""
    places, depths = _candidates(allowed, faces.voxel_size_um)
    free = allowed.astype(np.uint8)
    areas = faces.areas_um2()
    order = np.argsort(faces.objects.ravel()[faces.voxels], kind="stable")
    owners = faces.objects.ravel()[faces.voxels][order]
    starts = np.searchsorted(owners, np.arange(1, faces.n_objects + 2))
    voxels_of = _voxels(faces.objects, faces.n_objects)
    movable = []
    for number in range(1, faces.n_objects + 1):
        own = order[starts[number - 1] : starts[number]]
        voxels = voxels_of[number - 1]
        home, depth = _deepest(voxels, faces.objects.shape, faces.voxel_size_um)
        n_deep = int(np.searchsorted(-depths, -depth * (1 - DEPTH_SLACK), side="right"))
        centre = np.array(np.unravel_index(home, faces.objects.shape))
        around = np.stack(np.unravel_index(voxels, faces.objects.shape), axis=1) - centre
        # Where the volume cuts an object it has no face, but is a surface as soon as the object lies elsewhere.
        is_cut = ((around + centre == 0) | (around + centre == np.array(faces.objects.shape) - 1)).any(axis=1)
        on_surface = np.union1d(faces.voxels[own], voxels[is_cut])
        rows = np.searchsorted(on_surface, faces.voxels[own])
        surface = np.stack(np.unravel_index(on_surface, faces.objects.shape), axis=1) - centre
        steps, low, high = rng.permutation(voxels - home), around.min(axis=0), around.max(axis=0)
        candidates = _narrowed(free, places[:n_deep], low, high, steps, rng)
        movable.append(Movable(steps, low, high, surface, rows, faces.directions[own], areas[own], home, candidates))
    return movable


def _voxels(objects: Objects, n_objects: int) -> list[Integers]:
    """Flat indices of the voxels of each object."""
    flat = np.flatnonzero(objects)
    owners = objects.ravel()[flat]
    order = np.argsort(owners, kind="stable")
    return np.split(flat[order], np.searchsorted(owners[order], np.arange(2, n_objects + 1)))


def _candidates(allowed: NDArray[np.bool_], voxel_size_um: VoxelSize) -> tuple[Integers, NDArray[np.float32]]:
    """The allowed voxels, deepest first, and their depths: no object fits where the region is shallower than itself."""
    depth = _depth(allowed, voxel_size_um)
    places = np.flatnonzero(allowed)
    order = np.argsort(-depth.ravel()[places], kind="stable")
    return places[order], depth.ravel()[places[order]]


def _depth(mask: NDArray[np.bool_], voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Distance, in the smallest voxel sides, to the nearest voxel that does not belong; the border is none that does.

    Relative sides, rounded: the order of depths, and so what a seed places where, does not depend on the unit.
    """
    import edt

    smallest = min(voxel_size_um[1:])
    sides = tuple(round(side / smallest, 9) for side in voxel_size_um)
    if mask.shape[0] == 1:
        plane = edt.edt(np.ascontiguousarray(mask[0]), anisotropy=sides[1:], black_border=True, parallel=1)
        return np.asarray(plane[None], np.float32)
    return np.asarray(edt.edt(np.ascontiguousarray(mask), anisotropy=sides, black_border=True, parallel=1), np.float32)


def _deepest(voxels: Integers, shape: tuple[int, ...], voxel_size_um: VoxelSize) -> tuple[int, float]:
    """Flat index of the deepest voxel of an object, and its depth."""
    places = np.stack(np.unravel_index(voxels, shape), axis=1)
    low = places.min(axis=0)
    mask = np.zeros(places.max(axis=0) - low + 1, np.bool_)
    mask[tuple((places - low).T)] = True
    depth = _depth(mask, voxel_size_um)[tuple((places - low).T)]
    deepest = int(np.argmax(depth))
    return int(voxels[deepest]), float(depth[deepest])


def _narrowed(
    free: Bytes, places: Integers, low: Integers, high: Integers, steps: Integers, rng: np.random.Generator
) -> Integers:
    """The places, or where an object fits at few of them only those at which it does."""
    if len(places) and find_place(free, places, low, high, steps, PILOT_TRIES, rng) >= 0:
        return places
    fitting: Integers = places_that_fit(free, places, low, high, steps)
    return fitting


def place(movable: Sequence[Movable], allowed: Bytes, rng: np.random.Generator) -> tuple[Integers, int]:
    """Places of all objects, flat indices (n,), and how many stay where they were observed for want of a free one."""
    order = sorted(range(len(movable)), key=lambda index: -len(movable[index].steps))
    at = np.array([one.home for one in movable], np.int64)
    staying = [index for index in order if not len(movable[index].candidates)]
    n_staying = 0
    for restart in range(MOST_RESTARTS + 1):
        free = allowed.copy()
        flat = free.reshape(-1)
        for index in staying:
            fill(flat, movable[index].home, movable[index].steps, 0)
        n_staying = len(staying)
        for index in order:
            one = movable[index]
            if not len(one.candidates):
                continue
            spot = find_place(free, one.candidates, one.low, one.high, one.steps, MOST_TRIES, rng)
            if spot < 0 and restart < MOST_RESTARTS:
                break
            n_staying += spot < 0
            at[index] = one.home if spot < 0 else spot
            fill(flat, int(at[index]), one.steps, 0)
        else:
            break
    return at, n_staying


def summed_contacts(
    movable: Sequence[Movable],
    at: Integers,
    gaps: NDArray[np.float32],
    others: Objects,
    reach: Reach,
) -> tuple[float, float, float]:
    """Mean distance in µm, number of contacts and contact area in µm² of objects that lie at some places."""
    last_seen = np.zeros(int(others.max(initial=0)) + 1, np.int64)
    limit = reach.gap_um * (1 + 1e-6) + 1e-9
    values = np.empty((len(movable), 3))
    for turn, (one, spot) in enumerate(zip(movable, at, strict=True), start=1):
        centre = np.array(np.unravel_index(spot, others.shape), np.int64)
        values[turn - 1] = contacts_at(
            centre, one.surface, one.face_voxels, one.directions, one.areas_um2, gaps, others,
            reach.voxel, reach.face, reach.n_face, last_seen, turn, limit,
        )  # fmt: skip
    return float(values[:, 0].mean()), float(values[:, 1].sum()), float(values[:, 2].sum())


def contacts_among(
    movable: Sequence[Movable], at: Integers, compartment: Compartment, structure: str, reach: Reach
) -> tuple[float, float, float]:
    """As :func:`summed_contacts`, of the objects among each other; the area is not followed (NaN)."""
    shape = compartment.inside.shape
    homes = np.array([one.home for one in movable], np.int64)
    shifts = np.stack(np.unravel_index(at, shape), axis=1) - np.stack(np.unravel_index(homes, shape), axis=1)
    runs = compartment.runs(structure)
    distances, n_contacts = nearest_of_kind(runs, compartment.voxel_size_um, reach.gap_um, shifts.astype(np.int64))
    return float(distances.mean()), float(n_contacts.sum() / 2), math.nan
