"""``--mesh``: files of a run like all others, whole or absent, in µm."""

from __future__ import annotations

import math
import re
import struct

import numpy as np
import pytest
from tests.conftest import BALL_RADIUS_UM
from tests.in_process import tomocyte

from tomocyte.ledger import verify


def invoke(*words: object) -> tuple[int, str]:
    done = tomocyte(*(str(word) for word in words))
    return done.exit_code, f"{done.output}{done.exception}"


def stl_triangles(data: bytes) -> np.ndarray:
    """Corners (n, 3, 3), x y z."""
    (n,) = struct.unpack_from("<I", data, 80)
    record = np.frombuffer(data, np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("end", "<u2")]), n, 84)
    return record["corners"].astype(np.float64)


def test_a_run_writes_a_closed_mesh_in_micrometres_that_verify_watches(ball_file, tmp_path) -> None:
    out = tmp_path / "out"
    path = ball_file()
    code, text = invoke("run", path, "-o", out, "-m", "odt", "--model", "classical", "--mesh", "stl")
    assert code == 0, text
    (mesh_file,) = out.glob("items/*/cell_mesh.stl")
    a, b, c = stl_triangles(mesh_file.read_bytes()).transpose(1, 0, 2)
    volume = (a * np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * math.pi * BALL_RADIUS_UM**3, rel=0.03)
    extent = np.ptp(np.concatenate([a, b, c]), axis=0)
    np.testing.assert_allclose(extent, 2 * BALL_RADIUS_UM, rtol=0.1)
    # The same command finds nothing to do; without meshes it is another result.
    code, text = invoke("run", path, "-o", out, "-m", "odt", "--model", "classical", "--mesh", "stl")
    assert "1 in an earlier run" in text
    assert verify(out).is_ok
    mesh_file.write_bytes(mesh_file.read_bytes()[:-50])
    assert not verify(out).is_ok


def test_a_run_without_the_option_has_no_mesh(ball_file, tmp_path) -> None:
    code, text = invoke("run", ball_file(), "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    assert code == 0, text
    assert not list((tmp_path / "out").rglob("*_mesh*"))


def test_masks_of_the_user_become_meshes_with_labels(tmp_path) -> None:
    from tomocyte.formats import write_volume
    from tomocyte.volume import Volume

    labels = np.zeros((2, 1, 12, 20, 30), np.uint16)
    labels[:, 0, 3:9, 4:12, 5:15] = 4
    labels[1, 0, 3:9, 4:12, 18:26] = 9
    write_volume(tmp_path / "l.ome.tif", Volume.from_array(labels, voxel_size_um=(0.3, 0.2, 0.1), time_s=(0.0, 5.0)))
    code, text = invoke("measure", "--cell", tmp_path / "l.ome.tif", "-o", tmp_path / "out", "--mesh", "ply")
    assert code == 0, text
    files = sorted((tmp_path / "out").glob("items/*/cell_mesh_*.ply"))
    assert [file.name for file in files] == ["cell_mesh_00000.ply", "cell_mesh_00001.ply"]
    for file, expected in zip(files, ({4}, {4, 9}), strict=True):
        header, _, body = file.read_bytes().partition(b"end_header\n")
        n = int(re.search(rb"element vertex (\d+)", header).group(1))
        corners = np.frombuffer(body, np.dtype([("place", "<f4", 3), ("label", "<i4")]), n)
        assert set(corners["label"].tolist()) == expected
        low = corners["place"][corners["label"] == 4].min(axis=0)
        np.testing.assert_allclose(low, [4.5 * 0.1, 3.5 * 0.2, 2.5 * 0.3], rtol=1e-5)


def test_a_planar_image_has_no_mesh(ball_file, tmp_path) -> None:
    from tomocyte.formats import write_volume
    from tomocyte.volume import Volume

    plane = np.random.default_rng(1).random((1, 1, 1, 40, 50)).astype(np.float32)
    volume = Volume.from_array(plane, voxel_size_um=(math.nan, 0.2, 0.2), quantity="intensity", unit="1")
    write_volume(tmp_path / "p.ome.tif", volume)
    code, text = invoke("run", tmp_path / "p.ome.tif", "-o", tmp_path / "out", "-m", "fluorescence", "--mesh", "stl")
    assert code == 4
    assert "E-MESH-PLANAR" in text
    assert not list((tmp_path / "out").rglob("*_mesh*"))


def test_another_format_is_refused(ball_file, tmp_path) -> None:
    code, text = invoke("run", ball_file(), "-o", tmp_path / "out", "-m", "odt", "--mesh", "obj")
    assert code != 0
    assert "stl" in text
