"""Meshes: closed, outward, in µm, and as large as their voxels."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tomocyte.figures.meshes import WRITERS, Mesh, mesh_of, write_ply, write_stl

VOXEL = (0.3, 0.2, 0.1)


def assert_closed(mesh: Mesh) -> None:
    """Every edge twice, once in each direction."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    directed = Counter(map(tuple, edges.tolist()))
    assert set(directed.values()) == {1}
    assert all((stop, start) in directed for start, stop in directed)


def noise(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((7, 9, 11)) < 0.5).astype(np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_meshes_of_noise_close(seed) -> None:
    """Voxels that touch at edges and corners, objects at every border: the worst there is."""
    mesh = mesh_of(noise(seed), VOXEL)
    assert_closed(mesh)
    assert 0 < mesh.volume_um3 < noise(seed).sum() * np.prod(VOXEL)


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 5, 4), (1, 1, 6), (8, 3, 2)], ids=str)
def test_the_volume_of_a_box_is_that_of_its_voxels_without_edges_and_corners(shape) -> None:
    """Marching cubes cuts an eighth of a voxel off each edge, per voxel, and 5/48 off each corner."""
    labels = np.zeros([side + 2 for side in shape], np.uint16)
    labels[1:-1, 1:-1, 1:-1] = 300
    mesh = mesh_of(labels, VOXEL)
    assert_closed(mesh)
    n_voxels = np.prod(shape) - sum(side - 1 for side in shape) / 2 - 8 * 5 / 48
    assert mesh.volume_um3 == pytest.approx(n_voxels * np.prod(VOXEL), rel=1e-5)
    assert set(mesh.labels.tolist()) == {300}
    # The faces lie on the voxels' faces; x comes first.
    low, high = mesh.corners_um.min(axis=0), mesh.corners_um.max(axis=0)
    np.testing.assert_allclose(low, [0.05, 0.1, 0.15], rtol=1e-5)
    np.testing.assert_allclose(high, (np.array(shape[::-1]) + 0.5) * VOXEL[::-1], rtol=1e-5)


def test_a_ball_has_the_volume_of_its_voxels() -> None:
    z, y, x = np.ogrid[-12:13, -12:13, -12:13]
    ball = (z * z + y * y + x * x <= 10.3**2).astype(np.uint8)
    mesh = mesh_of(ball, (0.1, 0.1, 0.1))
    assert_closed(mesh)
    assert mesh.volume_um3 == pytest.approx(ball.sum() * 1e-3, rel=0.01)


def test_touching_objects_keep_their_own_surfaces() -> None:
    labels = np.zeros((4, 4, 8), np.uint32)
    labels[1:3, 1:3, 1:4], labels[1:3, 1:3, 4:7] = 5, 70_000
    mesh = mesh_of(labels, VOXEL)
    assert_closed(mesh)
    of_faces = mesh.labels[mesh.faces]
    assert (of_faces == of_faces[:, :1]).all()
    assert Counter(of_faces[:, 0].tolist()) == {5: len(mesh.faces) // 2, 70_000: len(mesh.faces) // 2}


def test_the_area_is_that_of_the_column() -> None:
    from tomocyte.measurements import measure

    z, y, x = np.ogrid[-9:10, -9:10, -9:10]
    ball = (z * z + y * y + x * x <= 7.5**2).astype(np.uint8)
    mesh = mesh_of(ball, VOXEL)
    a, b, c = mesh.corners_um.astype(float)[mesh.faces.T]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    table = measure(ball, None, VOXEL, structure="cell", names=["surface_area_mesh_um2"])
    assert area == pytest.approx(table["surface_area_mesh_um2"].iloc[0], rel=1e-5)


def test_stl_is_read_back_by_hand(tmp_path: Path) -> None:
    mesh = mesh_of(noise(1), VOXEL)
    write_stl(tmp_path / "a.stl", mesh)
    data = (tmp_path / "a.stl").read_bytes()
    (n,) = struct.unpack_from("<I", data, 80)
    assert n == len(mesh.faces)
    assert len(data) == 84 + 50 * n
    for index in (0, n - 1):
        numbers = struct.unpack_from("<12f", data, 84 + 50 * index)
        a, b, c = np.array(numbers[3:]).reshape(3, 3)
        np.testing.assert_array_equal([a, b, c], mesh.corners_um[mesh.faces[index]])
        normal = np.cross(b - a, c - a)
        np.testing.assert_allclose(numbers[:3], normal / np.linalg.norm(normal), atol=1e-5)


def test_ply_is_read_back_by_hand(tmp_path: Path) -> None:
    mesh = mesh_of(noise(2), VOXEL)
    write_ply(tmp_path / "a.ply", mesh)
    header, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    words = header.decode("ascii").split()
    n_corners, n_faces = int(words[words.index("vertex") + 1]), int(words[words.index("face") + 1])
    corners = np.array([struct.unpack_from("<3fi", body, 16 * index) for index in range(n_corners)])
    np.testing.assert_allclose(corners[:, :3], mesh.corners_um)
    np.testing.assert_array_equal(corners[:, 3], mesh.labels)
    faces = [struct.unpack_from("<B4i", body, 16 * n_corners + 17 * index) for index in range(n_faces)]
    assert {face[0] for face in faces} == {3}
    np.testing.assert_array_equal([face[1:4] for face in faces], mesh.faces)
    np.testing.assert_array_equal([face[4] for face in faces], mesh.labels[mesh.faces[:, 0]])
    assert len(body) == 16 * n_corners + 17 * n_faces


@pytest.mark.parametrize("ending", sorted(WRITERS))
def test_no_object_is_an_empty_mesh(tmp_path: Path, ending) -> None:
    mesh = mesh_of(np.zeros((3, 4, 5), np.uint32), VOXEL)
    WRITERS[ending](tmp_path / f"a.{ending}", mesh)
    assert len(mesh.faces) == 0
    assert mesh.volume_um3 == 0
    assert (tmp_path / f"a.{ending}").stat().st_size > 80
