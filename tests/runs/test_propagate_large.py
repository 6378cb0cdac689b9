"""Volumes beyond memory and films, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.formats import read_volume, write_volume
from tomocyte.propagation import propagate
from tomocyte.runs import large_arrays
from tomocyte.runs.large_arrays import LargeArrays
from tomocyte.volume import Volume

SIZE = (0.3, 0.2, 0.2)


def balls(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image (float32) and labels of two balls."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    radius = min(shape) / 4
    labels = np.zeros(shape, np.uint16)
    for label, place in ((1, 0.3), (300, 0.7)):
        inside = sum((axis - place * n) ** 2 for axis, n in zip((z, y, x), shape, strict=True)) < radius**2
        labels[inside] = label
    noise = np.random.default_rng(0).normal(scale=0.2, size=shape)
    return (ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.7) + noise).astype(np.float32), labels


def written(path: Path, array: np.ndarray, quantity: str) -> Path:
    unit = "1" if quantity == "labels" else "a.u."
    write_volume(path, Volume.from_array(array, voxel_size_um=SIZE, quantity=quantity, unit=unit))
    return path


def files_of(folder: Path, name: str) -> list[bytes | np.ndarray]:
    maps = [read_volume(folder / f"{name}{ending}.ome.tif").planes(0, 0) for ending in ("", "_uncertainty")]
    record = json.loads((folder / f"{name}.propagation.json").read_text(encoding="utf-8"))
    return [*maps, json.dumps({key: record[key] for key in ("slices", "memory", "expected", "test")}).encode()]


@pytest.mark.parametrize(
    "words",
    [
        ["--labelled-slices", "0:36:7"],
        ["--labelled-slices", "0:41:10", "--axis", "y"],
        ["--labelled-slices", "z=0:36:7,y=20"],
        ["--unlabelled", "0"],
        ["--labelled-slices", "0:36:7", "--method", "signed-distance"],
        ["--labelled-slices", "0:36:7", "--clean", "0.1"],
    ],
)
def test_what_lies_in_files_is_as_what_lies_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    pixels, truth = balls((36, 44, 40))
    labels = written(tmp_path / "labels.ome.tif", truth.astype(np.int32), "labels")
    image = written(tmp_path / "image.ome.tif", pixels, "intensity")
    given = [] if "signed-distance" in words else ["--image", str(image)]
    for name, largest in (("memory", 2**30), ("files", 20_000)):
        monkeypatch.setattr(large_arrays, "LARGEST_IN_MEMORY", largest)
        command = [
            "propagate",
            str(labels),
            *given,
            "--uncertainty-map",
            *words,
            "-o",
            str(tmp_path / f"{name}.ome.tif"),
        ]
        assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    one, other = files_of(tmp_path, "memory"), files_of(tmp_path, "files")
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    if "--clean" not in words:
        update = [*command[:-2], "--update", str(tmp_path / "files.ome.tif"), "-o", str(tmp_path / "again.ome.tif")]
        result = CliRunner().invoke(app, update)
        assert (result.exit_code == 0) == bool(given)
        again = files_of(tmp_path, "again") if given else other
        assert np.array_equal(again[0], other[0])
    assert sorted({path.name.split(".")[0].split("_")[0] for path in tmp_path.iterdir()} - {"again"}) == [
        "files",
        "image",
        "labels",
        "memory",
    ]


def test_a_large_array_has_its_room_reserved(tmp_path: Path) -> None:
    arrays = LargeArrays(tmp_path / "none" / "out.tif", largest_bytes=100)
    small, large = arrays.zeros((10, 10), np.uint8), arrays.zeros((10, 10, 30), np.float32)
    assert not small.any()
    assert not large.any()
    large[3] = 7
    arrays.release()
    assert (large[3] == 7).all()
    assert large.sum() == 7 * 300
    assert not list(tmp_path.iterdir())


MEASURED = """
import sys
from pathlib import Path
from tomocyte.propagation import propagate
from tomocyte.runs import large_arrays
from tomocyte.runs.propagate import PropagateSettings, propagate_file
large_arrays.LARGEST_IN_MEMORY = 2**20
folder = Path(sys.argv[1])
def run(name, n):
    settings = PropagateSettings(is_map_written=True, slices=tuple(range(0, n, 10)), method_settings={"n_threads": 1})
    propagate_file(
        folder / f"{name}_labels.ome.tif", folder / f"{name}_dense.ome.tif", settings, image=folder / f"{name}.ome.tif"
    )
def memory(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))
run("small", 21)
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
run("large", 281)
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_volume_larger_than_the_memory_it_takes(tmp_path: Path) -> None:
    """An image of 82 MB, with labels and map 200 MB: what is held is a slab of 9 slices, or of 19 while testing."""
    for name, shape in (("small", (21, 40, 40)), ("large", (281, 270, 270))):
        z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
        inside = (y - shape[1] / 2 - 3 * np.sin(z / 5)) ** 2 + (x - shape[2] / 2) ** 2 < (shape[1] / 3) ** 2
        write_volume(
            tmp_path / f"{name}_labels.ome.tif",
            Volume.from_array(inside.astype(np.uint8), voxel_size_um=SIZE, quantity="labels", unit="1"),
        )
        image = inside + np.random.default_rng(0).normal(scale=0.2, size=shape).astype(np.float32)
        written(tmp_path / f"{name}.ome.tif", image.astype(np.float32), "intensity")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    image_bytes = 281 * 270 * 270 * 4
    assert int(done.stdout) < 0.7 * image_bytes, int(done.stdout) / image_bytes


def test_frames_of_a_film_are_slices(tmp_path: Path) -> None:
    """A square that moves by a pixel per frame: frames between the labelled ones are filled, times and pixels kept."""
    truth = np.zeros((9, 1, 1, 30, 40), np.uint8)
    for time in range(9):
        truth[time, 0, 0, 8:20, 5 + time : 20 + time] = 4
    pixels = (truth + np.random.default_rng(1).normal(scale=0.3, size=truth.shape)).astype(np.float32)
    about = {"voxel_size_um": (float("nan"), 0.3, 0.2), "time_s": tuple(60.0 * time for time in range(9))}
    sparse = truth.copy()
    sparse[[1, 2, 3, 5, 6, 7]] = 0
    write_volume(tmp_path / "l.ome.tif", Volume.from_array(sparse, quantity="labels", unit="1", **about))
    write_volume(tmp_path / "i.ome.tif", Volume.from_array(pixels, quantity="intensity", unit="a.u.", **about))
    command = ["propagate", str(tmp_path / "l.ome.tif"), "--uncertainty-map", "--next", "1"]
    output = tmp_path / "guided.ome.tif"
    guided = [*command, "--image", str(tmp_path / "i.ome.tif"), "-o", str(output)]
    result = CliRunner().invoke(app, guided, catch_exceptions=False)
    assert "1 label on 3 slices along t, at most 3 slices between them" in result.output
    assert "66.7% of 9 slices need no painting" in result.output
    dense, uncertainty = (read_volume(path) for path in (output, output.with_name("guided_uncertainty.ome.tif")))
    for volume in (dense, uncertainty):
        assert volume.shape == (9, 1, 1, 30, 40)
        assert volume.time_s == pytest.approx(about["time_s"])
        assert volume.voxel_size_um[1:] == pytest.approx((0.3, 0.2))
    found = np.stack([dense.planes(time, 0) for time in range(9)])
    assert np.array_equal(found[[0, 4, 8]], truth[[0, 4, 8], 0])
    assert 2 * np.count_nonzero(found & truth[:, 0]) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.95
    record = json.loads(output.with_name("guided.propagation.json").read_text(encoding="utf-8"))
    assert (record["axis"], record["slices"]) == ("t", [0, 4, 8])
    shape = [*command, "-o", str(tmp_path / "shape.ome.tif"), "--labelled-slices", "t=0,8"]
    assert CliRunner().invoke(app, shape, catch_exceptions=False).exit_code == 0
    film = read_volume(tmp_path / "shape.ome.tif")
    as_volume = propagate(truth[:, 0, 0], voxel_size_um=(0.2, 0.3, 0.2), slices=(0, 8)).labels
    assert as_volume[4].any()
    assert np.array_equal(np.concatenate([film.planes(time, 0) for time in range(9)]), as_volume)
