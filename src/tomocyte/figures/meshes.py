"""Closed triangle meshes of labelled objects, in µm, for Blender, Imaris, ParaView and the like.

The surface is that of marching cubes between the voxels of each object (Lewiner et al. 2003,
doi:10.1080/10867651.2003.10487582), whose area is too large where surfaces are curved or slanted: for pictures, not for
numbers. An object that the border of the volume cuts is closed there. To write another format, add a function to
:data:`WRITERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles of one object or of many.

    Parameters
    ----------
    corners_um : float32 ndarray (n, 3)
        x, y, z; the middle of the first voxel of the volume lies at 0.
    faces : int32 ndarray (m, 3)
        Corners of each triangle, counter-clockwise seen from outside. Every edge belongs to two triangles, which pass
        it in opposite directions.
    labels : int32 ndarray (n,)
        The object that a corner belongs to.
    """

    corners_um: NDArray[np.float32]
    faces: NDArray[np.int32]
    labels: NDArray[np.int32]

    @property
    def volume_um3(self) -> float:
        """The volume inside, by the divergence theorem."""
        a, b, c = self.corners_um.astype(np.float64)[self.faces.T]
        return float((a * np.cross(b, c)).sum() / 6)


def mesh_of(labels: NDArray[Any], voxel_size_um: VoxelSize) -> Mesh:
    """The surfaces of all objects of a label image.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)
    voxel_size_um : tuple of 3 float
        z, y, x.

    Examples
    --------
    >>> labels = np.zeros((4, 4, 4), np.uint8)
    >>> labels[1, 1, 1] = 7
    >>> mesh = mesh_of(labels, (0.5, 0.2, 0.1))
    >>> len(mesh.corners_um), len(mesh.faces), set(mesh.labels.tolist())
    (6, 8, {7})
    """
    from scipy.ndimage import find_objects

    corners, faces, owners = [np.empty((0, 3))], [np.empty((0, 3), np.int64)], [np.empty(0, np.int64)]
    n_corners = 0
    numbers = np.unique(labels[labels > 0])
    ranks = np.searchsorted(numbers, labels) + 1
    boxes = find_objects(np.where(labels > 0, ranks, 0)) if len(numbers) else []
    for number, box in zip(numbers.tolist(), boxes, strict=True):
        mesh_corners, mesh_faces = _closed_surface(np.pad(labels[box] == number, 1))
        corners.append((mesh_corners - 1 + [side.start for side in box]) * voxel_size_um)
        faces.append(mesh_faces + n_corners)
        owners.append(np.full(len(mesh_corners), number))
        n_corners += len(mesh_corners)
    return Mesh(
        np.ascontiguousarray(np.concatenate(corners)[:, ::-1], dtype=np.float32),
        # x, y, z instead of z, y, x is a mirror image: the other way round.
        np.ascontiguousarray(np.concatenate(faces)[:, ::-1], dtype=np.int32),
        np.concatenate(owners).astype(np.int32),
    )


def _closed_surface(padded: NDArray[np.bool_]) -> tuple[NDArray[np.float64], Integers]:
    """Corners (n, 3) in voxels z, y, x, and faces (m, 3), counter-clockwise seen from outside; two share an edge."""
    from skimage.measure import marching_cubes

    corners, faces, _, _ = marching_cubes(padded.astype(np.float32), 0.5, allow_degenerate=False)
    corners, faces = corners.astype(np.float64), faces.astype(np.int64)
    a, b, c = corners[faces.T]
    if (a * np.cross(b, c)).sum() < 0:
        faces = faces[:, ::-1]
    # Two cubes may each put a triangle on the face between them, one the back of the other: nothing lies between.
    _, which, counts = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    return _parted(corners, faces[counts[which.reshape(-1)] == 1])


def _parted(corners: NDArray[np.float64], faces: Integers) -> tuple[NDArray[np.float64], Integers]:
    """The same surface, parted where more than two faces meet in an edge, or sheets only touch in a corner.

    Every face begins with three corners of its own; those of two faces at an edge become one.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(faces)
    # The three edges of each face, from corner to corner: as points, and as corners of their own.
    start = np.concatenate([faces[:, k] for k in range(3)])
    stop = np.concatenate([faces[:, (k + 1) % 3] for k in range(3)])
    own_start = np.concatenate([np.arange(n) * 3 + k for k in range(3)])
    own_stop = np.concatenate([np.arange(n) * 3 + (k + 1) % 3 for k in range(3)])
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    order = np.lexsort((start > stop, high, low))
    starts_group = np.flatnonzero(np.diff(low[order], prepend=-1) | np.diff(high[order], prepend=-1))
    sizes = np.diff(np.append(starts_group, len(order)))
    # Of two faces at an edge, one passes it upwards and one downwards.
    pairs = [np.stack([order[starts_group[sizes == 2]], order[starts_group[sizes == 2] + 1]], axis=1)]
    opposite = np.concatenate([faces[:, (k + 2) % 3] for k in range(3)])
    for begin, size in zip(starts_group[sizes > 2], sizes[sizes > 2], strict=True):
        edges = order[begin : begin + size]
        pairs.append(_neighbours_around(corners, edges, low[edges[0]], high[edges[0]], start, opposite))
    one, other = np.concatenate(pairs).T
    rows = np.concatenate([own_start[one], own_stop[one]])
    columns = np.concatenate([own_stop[other], own_start[other]])
    links = coo_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(3 * n, 3 * n))
    n_corners, merged = connected_components(links, directed=False)
    places = np.empty((n_corners, 3))
    places[merged] = corners[faces.reshape(-1)]
    return _halved(places, merged.reshape(-1, 3).astype(np.int64), np.concatenate([pairs[0][:0], *pairs[1:]]))


def _halved(places: NDArray[np.float64], faces: Integers, pairs: Integers) -> tuple[NDArray[np.float64], Integers]:
    """The faces at crowded edges cut in half there, each pair at a point of its own: no two edges have the same ends.

    An edge k · m + f is the one of face f that begins at its corner k; a pair is the two edges where two faces meet.
    """
    middles = {int(edge): len(places) + index for index, pair in enumerate(pairs) for edge in pair}
    n = len(faces)
    k, face = pairs[:, 0] // n, pairs[:, 0] % n
    added = (places[faces[face, k]] + places[faces[face, (k + 1) % 3]]) / 2
    touched = sorted({edge % n for edge in middles})
    pieces = [faces[np.setdiff1d(np.arange(n), touched)]]
    for index in touched:
        a, b, c = faces[index].tolist()
        ab, bc, ca = (middles.get(side * n + index) for side in range(3))
        pieces.append(np.array(_pieces(a, b, c, ab, bc, ca), np.int64))
    return np.concatenate([places, added]), np.concatenate(pieces)


def _pieces(a: int, b: int, c: int, ab: int | None, bc: int | None, ca: int | None) -> list[tuple[int, int, int]]:
    """The triangle a, b, c cut at points on its sides."""
    if ab is None:
        # Turned until a cut side comes first.
        return [(a, b, c)] if bc is None and ca is None else _pieces(b, c, a, bc, ca, ab)
    if bc is None:
        return [(a, ab, c), (ab, b, c)] if ca is None else [(a, ab, ca), (ab, b, ca), (b, c, ca)]
    if ca is None:
        return [(ab, b, bc), (a, ab, bc), (a, bc, c)]
    return [(a, ab, ca), (ab, b, bc), (bc, c, ca), (ab, bc, ca)]


def _neighbours_around(
    corners: NDArray[np.float64], edges: Integers, low: int, high: int, start: Integers, opposite: Integers
) -> Integers:
    """Pairs of the faces around an edge between which a piece of the object lies: an upward one and the next one."""
    axis = corners[high] - corners[low]
    axis /= np.linalg.norm(axis)
    arms = corners[opposite[edges]] - corners[low]
    arms -= np.outer(arms @ axis, axis)
    side = np.cross(axis, arms[0])
    angles = np.arctan2(arms @ side / np.linalg.norm(side), arms @ arms[0] / np.linalg.norm(arms[0]))
    around = edges[np.argsort(angles)]
    is_upward = start[around] == low
    # Seen along the edge, the object lies counter-clockwise of a face that passes it upwards, or clockwise of it.
    following = np.roll(around, -1)
    return np.stack([around[is_upward], following[is_upward]], axis=1)


def write_stl(path: Path, mesh: Mesh) -> None:
    """Binary STL: triangles without units or labels; the numbers are µm."""
    triangles = np.zeros(len(mesh.faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("bytes", "<u2")])
    triangles["corners"] = mesh.corners_um[mesh.faces]
    a, b, c = (triangles["corners"][:, k].astype(np.float64) for k in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles["normal"] = normals / np.where(lengths > 0, lengths, 1.0)
    header = b"tomocyte, unit micrometre".ljust(80) + np.uint32(len(triangles)).astype("<u4").tobytes()
    path.write_bytes(header + triangles.tobytes())


def write_ply(path: Path, mesh: Mesh) -> None:
    """Binary PLY: corners shared by triangles, both with the label of their object; the numbers are µm."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment tomocyte, unit micrometre\n"
        f"element vertex {len(mesh.corners_um)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"property int label\nelement face {len(mesh.faces)}\nproperty list uchar int vertex_indices\n"
        "property int label\nend_header\n"
    )
    vertices = np.zeros(len(mesh.corners_um), [("place", "<f4", 3), ("label", "<i4")])
    vertices["place"], vertices["label"] = mesh.corners_um, mesh.labels
    faces = np.zeros(len(mesh.faces), [("n", "u1"), ("corners", "<i4", 3), ("label", "<i4")])
    faces["n"], faces["corners"] = 3, mesh.faces
    faces["label"] = mesh.labels[mesh.faces[:, 0]]
    path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())


WRITERS: Mapping[str, Callable[[Path, Mesh], None]] = {"stl": write_stl, "ply": write_ply}
"""By the ending of the file."""
