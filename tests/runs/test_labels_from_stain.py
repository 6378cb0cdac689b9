"""Labels from a stain: a ball of fluorescence on another grid comes to lie where the file's registration puts it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.channels.foreground import ForegroundMethod
from tomocyte.channels.transform import ChannelTransform
from tomocyte.cli import app
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._tcf_write import write_fluorescence
from tomocyte.runs.labels_from_stain import labels_from_stain, on_grid
from tomocyte.volume import Volume

SIZE, STAIN_SIZE = (0.4, 0.2, 0.25), (0.8, 0.3, 0.3)
SHAPE, STAIN_SHAPE = (20, 60, 64), (12, 44, 60)


def ball(
    shape: tuple[int, int, int], size: tuple[float, float, float], centre: tuple[float, float, float]
) -> np.ndarray:
    """A ball of radius 2 µm; places counted from the centre of the field."""
    axes = [(np.arange(n) - (n - 1) / 2) * part for n, part in zip(shape, size, strict=True)]
    grids = np.meshgrid(*axes, indexing="ij")
    return sum((grid - at) ** 2 for grid, at in zip(grids, centre, strict=True)) < 4


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """RI 1.34 with a stain of 1000 counts in a ball at z 0.4, y 1.0, x -1.5 µm of the image's field.

    The file says that the stain's field is shifted: a place of the image lies at 1.2 times that, plus y 0.5, x -1 µm,
    in the stain.
    """
    path = tmp_path / "c1.TCF"
    image = np.full(SHAPE, 1.34, np.float32)
    image[ball(SHAPE, SIZE, (0.4, 1.0, -1.5))] = 1.37
    write_volume(
        path, Volume.from_array(image, voxel_size_um=SIZE, quantity="refractive_index", unit="1", medium_ri=1.337)
    )
    axes = [(np.arange(n) - (n - 1) / 2) * part for n, part in zip(STAIN_SHAPE, STAIN_SIZE, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = (z - 0.4) ** 2 + ((y - 0.5) / 1.2 - 1.0) ** 2 + ((x + 1.0) / 1.2 + 1.5) ** 2 < 4
    write_fluorescence(path, Volume.from_array((100 + 900 * inside).astype(np.uint16), voxel_size_um=STAIN_SIZE))
    with h5py.File(path, "r+") as file:
        group = file.require_group("Info/MetaData/FL/Registration")
        for name, value in (("Rotation", 0.0), ("Scale", 1.2), ("TranslationX", -1.0), ("TranslationY", 0.5)):
            group.attrs[name] = np.array([value])
    return path


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def test_the_stain_lies_where_the_file_says(tomogram: Path) -> None:
    image, stain = read_volume(tomogram), read_volume(tomogram, ReadOptions(dataset="3DFL/CH0"))
    truth = ball(SHAPE, SIZE, (0.4, 1.0, -1.5))
    found = labels_from_stain(image, stain, ForegroundMethod(smoothing_um=0))
    assert found.n_objects == (1,)
    assert found.volume.voxel_size_um == pytest.approx(SIZE)
    assert dice(found.volume.frame(0)[0] > 0, truth) > 0.85  # the stain's voxels are 1.5 to 2 times as large
    ignored = labels_from_stain(image, stain, ForegroundMethod(smoothing_um=0), registration="none")
    assert dice(ignored.volume.frame(0)[0] > 0, truth) < 0.7


def test_what_the_stain_did_not_see_is_background_and_small_objects_are_left_out(tomogram: Path) -> None:
    image, stain = read_volume(tomogram), read_volume(tomogram, ReadOptions(dataset="3DFL/CH0"))
    none = labels_from_stain(image, stain, ForegroundMethod(smoothing_um=0), min_volume_um3=60)  # the ball has 33.5
    assert none.n_objects == (0,)
    assert not none.volume.frame(0).any()


def test_another_grid_and_a_rotation_by_hand() -> None:
    """A quarter turn: what lies at x = 1 of the image lies at y = 1 of the stain."""
    stain = np.zeros((1, 5, 5))
    stain[0, 3, 2] = 7  # y = +1
    laid = on_grid(stain, (1, 1, 1), (1, 5, 5), (1, 1, 1), ChannelTransform(rotation_deg=90))
    assert laid[0, 2, 3] == pytest.approx(7)  # x = +1


def test_frames_must_match(tomogram: Path) -> None:
    image = read_volume(tomogram)
    with pytest.raises(InputError, match=r"E-STAIN-FRAMES: .*the stain has 2 frames, the image 1"):
        labels_from_stain(image, Volume.from_array(np.zeros((2, 1, 3, 4, 5)), voxel_size_um=SIZE), ForegroundMethod())


def test_the_command_writes_labels_for_evaluate(tomogram: Path) -> None:
    output = tomogram.parent / "c1_nucleus.ome.tif"
    words = ["labels-from-stain", tomogram, "--dataset", "3DFL/CH0", "--structure", "nucleus", "-o", output]
    typed = CliRunner().invoke(app, [str(word) for word in words])
    assert typed.exit_code == 0, typed.output
    assert "nucleus: 1 objects" in typed.output
    labels = read_volume(output)
    assert (labels.spatial_shape, int(labels.frame(0).max())) == (SHAPE, 1)
