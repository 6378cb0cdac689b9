"""Nile Red files as they come, through ``tomocyte run``: done right, or an error or notice says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from tests.in_process import tomocyte

from tomocyte.formats import write_volume
from tomocyte.volume import Volume

VOXEL_UM = (0.25, 0.1, 0.1)
NAMES = ("yellow", "red")


def channels(n_planes: int = 6) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A cell of 60 x 80 pixels with droplets: red / yellow is 0.5 in the cell and 0.1 in the droplets."""
    light = np.zeros((n_planes, 100, 120))
    middle = slice(1, -1) if n_planes > 1 else slice(None)
    light[middle, 20:80, 20:100] = 600.0
    red = 0.5 * light
    for y, x in ((30, 40), (55, 60), (40, 80)):
        light[middle, y : y + 6, x : x + 6], red[middle, y : y + 6, x : x + 6] = 9000.0, 900.0
    noise = np.random.default_rng(1).normal(0, 4, (2, *light.shape))
    return light + 100 + noise[0], red + 100 + noise[1]


def run(
    folder: Path,
    image: NDArray[Any],
    *options: object,
    names: tuple[str, ...] = NAMES,
    size: Any = VOXEL_UM,
    level: float = 200.0,
) -> tuple[int, str, dict[str, Any], pd.DataFrame]:
    """Exit code, what is printed, the item's row of ``status.csv``, and the objects: what is above a level."""
    write_volume(
        folder / "s.ome.tif",
        Volume.from_array(image, voxel_size_um=size, quantity="intensity", channel_names=names[: len(image)]),
    )
    out = folder / "out"
    exact = [f"segmentation.foreground.{one}" for one in ("method=value", f"value={level}", "smoothing_um=0")]
    exact.append("segmentation.clean.min_volume_um3=10")
    options = (*options, *(word for one in exact for word in ("--set", one)))
    done = tomocyte("run", folder / "s.ome.tif", "-o", out, "-m", "nile_red", "--model", "classical", *options)
    status = pd.read_csv(out / "status.csv", keep_default_na=False).to_dict("records")[0] if out.exists() else {}
    objects = pd.read_csv(out / "objects.csv") if (out / "objects.csv").exists() else pd.DataFrame()
    return done.exit_code, done.output, status, objects


def as_type(stack: tuple[NDArray[np.float64], NDArray[np.float64]], dtype: type, factor: float = 1) -> NDArray[Any]:
    info = np.iinfo(dtype)
    return np.stack([np.clip(channel * factor, 0, info.max).astype(dtype) for channel in stack])


def text_of(status: dict[str, Any]) -> str:
    return json.dumps(status)


def ratio_of_cell(objects: pd.DataFrame) -> float:
    cells = objects[objects["structure"] == "cell"]
    assert len(cells) == 1
    return float(cells["mean_ratio"].iloc[0])


def test_an_ordinary_stack(tmp_path: Path) -> None:
    code, output, status, objects = run(tmp_path, as_type(channels(), np.uint16))
    assert code == 0, output
    assert ratio_of_cell(objects) == pytest.approx(0.49, abs=0.03)
    for word in ("W-SATURATED", "W-CHANNEL-SWAPPED", "W-PIXEL-SIZE"):
        assert word not in text_of(status)


def test_one_channel_is_missing(tmp_path: Path) -> None:
    code, output, _, _ = run(tmp_path, as_type(channels(), np.uint16)[:1])
    assert code != 0
    assert "E-MODALITY" in output
    assert "needs the channels yellow, red; the file has 1" in output


def test_swapped_channels_are_told_not_turned(tmp_path: Path) -> None:
    code, output, status, objects = run(tmp_path, as_type(channels(), np.uint16)[::-1])
    assert code == 0, output
    assert "W-CHANNEL-SWAPPED" in text_of(status)
    assert ratio_of_cell(objects) > 1.5


def test_saturated_pixels_are_counted(tmp_path: Path) -> None:
    image = as_type(channels(), np.uint16)
    image[0, 2, 30:36, 40:46] = 65535
    code, output, status, _ = run(tmp_path, image)
    assert code == 0, output
    assert "W-SATURATED: 36 voxels of yellow" in text_of(status)


def test_one_plane(tmp_path: Path) -> None:
    code, output, _, objects = run(tmp_path, as_type(channels(1), np.uint16), size=(float("nan"), 0.1, 0.1))
    assert code == 0, output
    assert ratio_of_cell(objects) == pytest.approx(0.49, abs=0.03)
    assert float(objects[objects["structure"] == "cell"]["area_um2"].iloc[0]) == pytest.approx(48, rel=0.1)


def test_eight_bits_give_the_same_ratio_with_what_they_have_lost(tmp_path: Path) -> None:
    code, output, status, objects = run(tmp_path, as_type(channels(), np.uint8, 0.2), level=40.0)
    assert code == 0, output
    # Droplets are clipped at 255: counted, and their ratio is wrong, that of the rest of the cell is not.
    assert "W-SATURATED" in text_of(status)
    assert ratio_of_cell(objects) == pytest.approx(0.5, abs=0.06)


def test_the_pixel_of_the_camera_is_no_pixel_of_the_sample(tmp_path: Path) -> None:
    """11 µm is what the camera's pixel measures before a magnification of 100 or more."""
    image = as_type(channels(), np.uint16)
    _, _, status, _ = run(tmp_path, image, size=(0.25, 11.0, 11.0))
    assert "W-PIXEL-SIZE" in text_of(status)
    assert "divided by the magnification" in text_of(status)
    (tmp_path / "right").mkdir()
    code, output, status, objects = run(
        tmp_path / "right", image, "--voxel-size-um", 0.25, 0.11, 0.11, size=(0.25, 11.0, 11.0)
    )
    assert code == 0, output
    assert "W-PIXEL-SIZE" not in text_of(status)
    volume = float(objects[objects["structure"] == "cell"]["volume_um3"].iloc[0])
    assert volume == pytest.approx(4 * 60 * 80 * 0.25 * 0.11**2, rel=0.15)


def test_no_pixel_size_at_all_is_refused(tmp_path: Path) -> None:
    code, output, _, _ = run(tmp_path, as_type(channels(), np.uint16), size=None)
    assert code != 0
    assert "E-VOXEL-SIZE" in output
