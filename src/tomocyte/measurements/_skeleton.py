"""The centre line of an object as a graph: branches between nodes, with lengths in µm.

Thinning is that of Lee et al. 1994 (doi:10.1006/cgip.1994.1042). Its voxels become branches, chains between
free ends and junctions; neighbouring junction voxels are one junction. A free branch that ends inside the largest ball
around its junction is a bump of the surface and is left out. To derive another number, add a property to
:class:`Skeleton`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._thinning import count_far, surface_distances, thinned
from tomocyte.volume import VoxelSize

Points = NDArray[np.float64]
Indices = NDArray[np.int64]
N_SMOOTHINGS = 6
FREE = -1
RING = -2


@dataclass(frozen=True, eq=False)
class Branch:
    """A chain of voxels between two nodes.

    Parameters
    ----------
    path_um : float64 ndarray (n, 3)
        z, y, x of its voxels from end to end; it begins and ends in the middle of a junction. A ring ends where it
        begins.
    nodes : tuple of 2 int
        The junctions at its ends; :data:`FREE` for a free end, :data:`RING` for a ring without a junction.
    """

    path_um: Points
    nodes: tuple[int, int]

    @property
    def chain_length_um(self) -> float:
        """Length from voxel to voxel; of a turned straight line it is up to a tenth too large."""
        return _length(self.path_um)

    @cached_property
    def length_um(self) -> float:
        """Length of the path after the stairs of the voxels are smoothed; its ends stay where they are."""
        path = self.path_um
        is_ring = RING in self.nodes
        for _ in range(N_SMOOTHINGS):
            # Of a ring all points move, the first and the last alike.
            around = (
                np.concatenate([path[-2:-1], path, path[1:2]])
                if is_ring
                else np.concatenate([path[:1], path, path[-1:]])
            )
            smooth = (around[:-2] + 2 * around[1:-1] + around[2:]) / 4
            path = smooth if is_ring else np.concatenate([path[:1], smooth[1:-1], path[-1:]])
        return _length(path)

    @property
    def chord_um(self) -> float:
        """Straight distance between the ends."""
        return float(np.linalg.norm(self.path_um[-1] - self.path_um[0]))


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The graph of an object.

    Parameters
    ----------
    branches : tuple of Branch
    radii_um : float64 ndarray (n,)
        Distance to the surface, at each voxel of the skeleton.
    """

    branches: tuple[Branch, ...]
    radii_um: NDArray[np.float64]

    @property
    def n_ends(self) -> int:
        """Number of free ends."""
        return sum(branch.nodes.count(FREE) for branch in self.branches)

    @property
    def n_junctions(self) -> int:
        """Number of places where branches meet."""
        return len({node for branch in self.branches for node in branch.nodes if node >= 0})

    @property
    def length_um(self) -> float:
        """Length of all branches."""
        return math.fsum(branch.length_um for branch in self.branches)


def skeleton_of(mask: NDArray[np.bool_], voxel_size_um: VoxelSize, *, is_pruned: bool = True) -> Skeleton:
    """The graph of a mask.

    Parameters
    ----------
    mask : bool ndarray (z, y, x)
    voxel_size_um : tuple of 3 float
        z is NaN for planar images.
    is_pruned : bool
        Leave out bumps of the surface.
    """
    import fill_voids
    from scipy.ndimage import distance_transform_edt

    is_2d = math.isnan(voxel_size_um[0])
    sides = np.array([0.0 if is_2d else voxel_size_um[0], *voxel_size_um[1:]])
    if not mask.any():
        return Skeleton((), np.empty(0))
    turned, sides = _canonical(mask, sides)
    if is_2d:
        distances = distance_transform_edt(np.pad(turned[0], 1), sampling=sides[1:])[None]
    else:
        # Around a cavity thinning would leave a shell; a centre line does not see it.
        distances, sides = _refined(np.pad(fill_voids.fill(turned), 1), sides)
    voxels, radii = _thinned(distances, sides)
    while True:
        branches, members = _graph(voxels, sides)
        if not is_pruned:
            break
        is_bump = np.zeros(len(voxels), np.bool_)
        for branch, chain in zip(branches, members[0], strict=True):
            junctions = [node for node in branch.nodes if node >= 0]
            if branch.nodes.count(FREE) == 1 and len(junctions) == 1:
                reach = radii[members[1][junctions[0]]].max()
                is_bump[chain] = branch.chord_um <= reach
        if not is_bump.any():
            break
        voxels, radii = voxels[~is_bump], radii[~is_bump]
    return Skeleton(tuple(branches), radii)


def _canonical(mask: NDArray[np.bool_], sides: Points) -> tuple[NDArray[np.bool_], Points]:
    """The tight mask and its voxel sides, turned so that all its mirror images, and exchanged axes, give the same.

    Thinning depends on directions.
    """
    places = np.argwhere(mask)
    if not len(places):
        return mask, sides
    tight = mask[tuple(slice(low, high + 1) for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True))]
    orders = [order for order in itertools.permutations(range(3)) if (np.diff(sides[list(order)]) >= 0).all()]
    flips = list(itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in range(4)))
    turned = (np.ascontiguousarray(np.flip(tight.transpose(order), axes)) for order in orders for axes in flips)
    return min(turned, key=lambda one: (one.shape, one.tobytes())), np.sort(sides)


def _refined(padded: NDArray[np.bool_], sides: Points) -> tuple[Points, Points]:
    """Distance to the surface, negative outside, on voxels that are nearly as long as wide, and their sides.

    Thinning takes one layer of voxels after the other from all sides alike, so that it needs such voxels.
    """
    from scipy.ndimage import distance_transform_edt, zoom

    # Outside only what touches the object is interpolated with it.
    signed = distance_transform_edt(padded, sampling=sides) - surface_distances(padded, sides)
    shape = np.rint(np.array(padded.shape) * sides / sides.min()).astype(int)
    if (shape == padded.shape).all():
        return signed, sides
    factors = shape / padded.shape
    return zoom(signed, tuple(factors), order=1, mode="nearest", grid_mode=True), sides / factors


def _thinned(distances: Points, sides: Points) -> tuple[Indices, Points]:
    """Voxels (n, 3) of the centre line, and their distances to the surface.

    Where a tube has no middle voxel, thinning may eat a whole branch from its end, depending on the order of its
    directions. So all orders of the axes are tried: the one counts that leaves the fewest voxels of the object far from
    the line, and of several the shortest line.
    """
    from scipy.ndimage import maximum_filter

    inside = distances > 0
    # The axis lies between voxels: of each, the largest of it and its neighbours.
    radii = maximum_filter(distances, 3)
    orders = ((0, 1, 2), (0, 2, 1)) if len(distances) == 1 else tuple(itertools.permutations(range(3)))
    best: tuple[int, int] | None = None
    voxels = np.argwhere(distances == distances.max())[:1]
    for order in orders:
        # Sorted, as of the object as it lies: what comes next depends on the order.
        line = np.array(sorted(thinned(inside.transpose(order))[:, np.argsort(order)].tolist()), np.int64)
        # Of some objects of few voxels thinning leaves nothing.
        if len(line):
            rank = (count_far(inside, line, radii[tuple(line.T)], sides), len(line))
            if best is None or rank < best:
                best, voxels = rank, line
    return voxels, radii[tuple(voxels.T)]


def _graph(voxels: Indices, sides: Points) -> tuple[list[Branch], tuple[list[Indices], list[Indices]]]:
    """Branches, and the indices of the voxels of each branch and of each junction."""
    neighbours = _neighbours(voxels)
    is_junction = np.array([len(others) > 2 for others in neighbours], np.bool_)
    junctions = _groups(neighbours, is_junction)
    node_of = {voxel: node for node, group in enumerate(junctions) for voxel in group}
    places = voxels * sides
    branches: list[tuple[list[Any], tuple[int, int], list[int]]] = []
    for group in _groups(neighbours, ~is_junction):
        chain = _in_order(group, neighbours)
        ends = [[node_of[other] for other in neighbours[voxel] if other in node_of] for voxel in (chain[0], chain[-1])]
        if len(chain) == 1:
            ends = [ends[0][:1], ends[0][1:2]]
        is_ring = len(chain) > 2 and chain[0] in neighbours[chain[-1]] and not any(ends)
        nodes = (RING, RING) if is_ring else (ends[0][0] if ends[0] else FREE, ends[1][0] if ends[1] else FREE)
        if len(chain) == 1 and nodes[0] == nodes[1]:
            continue  # A skeleton of one voxel, or a voxel that touches one junction twice.
        path = [places[voxel] for voxel in chain]
        branches.append((path + path[:1] if is_ring else path, nodes, chain))
    return _joined(branches, junctions, places)


def _neighbours(voxels: Indices) -> list[list[int]]:
    """For each voxel those that share a face, an edge or a corner with it."""
    from scipy.spatial import KDTree

    others: list[list[int]] = [[] for _ in voxels]
    if len(voxels) > 1:
        for first, second in KDTree(voxels).query_pairs(1.8, output_type="ndarray").tolist():
            others[first].append(second)
            others[second].append(first)
    return [sorted(one) for one in others]


def _groups(neighbours: list[list[int]], is_member: NDArray[np.bool_]) -> list[list[int]]:
    """Members that are connected through members."""
    seen: set[int] = set()
    groups = []
    for start in np.flatnonzero(is_member).tolist():
        if start in seen:
            continue
        group, front = [], [start]
        seen.add(start)
        while front:
            voxel = front.pop()
            group.append(voxel)
            fresh = [other for other in neighbours[voxel] if is_member[other] and other not in seen]
            seen.update(fresh)
            front += fresh
        groups.append(sorted(group))
    return groups


def _in_order(group: list[int], neighbours: list[list[int]]) -> list[int]:
    """The voxels of a chain from one end to the other; a ring from anywhere."""
    members = set(group)
    ends = [voxel for voxel in group if sum(other in members for other in neighbours[voxel]) < 2]
    chain = [ends[0] if ends else group[0]]
    members.discard(chain[0])
    while following := [other for other in neighbours[chain[-1]] if other in members]:
        chain.append(following[0])
        members.discard(following[0])
    return chain


def _joined(
    branches: list[tuple[list[Any], tuple[int, int], list[int]]], junctions: list[list[int]], places: Points
) -> tuple[list[Branch], tuple[list[Indices], list[Indices]]]:
    """Branches that begin and end in the middle of their junctions; where only two meet there is no junction."""
    middles = [places[group].mean(axis=0) for group in junctions]
    open_: list[tuple[list[Any], tuple[int, int], list[int]]] = [
        (
            ([middles[nodes[0]]] if nodes[0] >= 0 else []) + path + ([middles[nodes[1]]] if nodes[1] >= 0 else []),
            nodes,
            chain,
        )
        for path, nodes, chain in branches
    ]
    for node in range(len(junctions)):
        meeting = [entry for entry in open_ if node in entry[1]]
        if Counter(one for entry in meeting for one in entry[1])[node] != 2:
            continue
        open_ = [entry for entry in open_ if not any(entry is one for one in meeting)]
        if len(meeting) == 1:
            path, _, chain = meeting[0]
            open_.append((path, (RING, RING), chain + junctions[node]))
            continue
        (path, nodes, chain), (other_path, other_nodes, other_chain) = meeting
        if nodes[1] != node:
            path, nodes, chain = path[::-1], nodes[::-1], chain[::-1]
        if other_nodes[0] != node:
            other_path, other_nodes, other_chain = other_path[::-1], other_nodes[::-1], other_chain[::-1]
        open_.append((path + other_path[1:], (nodes[0], other_nodes[1]), chain + junctions[node] + other_chain))
    result = [Branch(np.array(path), nodes) for path, nodes, _ in open_]
    chains = [np.array(chain, np.int64) for _, _, chain in open_]
    return result, (chains, [np.array(group, np.int64) for group in junctions])


def _length(path: Points) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
