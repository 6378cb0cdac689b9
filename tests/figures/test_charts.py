"""Histograms against numpy, and what the charts draw."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.figures import histogram, time_course_figure
from tomocyte.figures.canvas import TRACK_COLOUR
from tomocyte.figures.charts import _times


def has_colour(png: bytes, colour: str) -> bool:
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((np.abs(picture - wanted).sum(axis=-1) < 6).any())


def scene() -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(5)
    image = rng.normal(1.337, 0.002, (6, 50, 70)).astype(np.float32)
    cells, nuclei = np.zeros(image.shape, np.uint32), np.zeros(image.shape, np.uint8)
    cells[1:5, 10:40, 10:50], nuclei[2:4, 20:30, 20:30] = 3, 1
    image[cells > 0] += 0.03
    image[nuclei > 0] -= 0.01
    image[2, 22, 22] = np.nan
    image[0, 0, :3] = np.inf, -np.inf, np.nan
    image[0, 1, :2] = 9.0, -9.0
    return image, {"cell": cells, "nucleus": nuclei}


def test_counts_agree_with_numpy() -> None:
    image, labels = scene()
    result = histogram(image, labels)
    masks = {name: array > 0 for name, array in labels.items()}
    masks["background"] = ~(masks["cell"] | masks["nucleus"])
    edges = np.linspace(result["low"], result["high"], 129)
    assert list(result["structures"]) == ["cell", "nucleus", "background"]
    for name, mask in masks.items():
        values = image[mask].astype(np.float64)
        finite = values[np.isfinite(values)]
        entry = result["structures"][name]
        assert np.abs(np.array(entry["counts"]) - np.histogram(finite, edges)[0]).sum() <= 2  # rounding at an edge
        assert entry["n_below"] == (finite < result["low"]).sum()
        assert entry["n_above"] == (finite > result["high"]).sum()
        assert entry["n_missing"] == (~np.isfinite(values)).sum()
        assert sum(entry["counts"]) + entry["n_below"] + entry["n_above"] + entry["n_missing"] == mask.sum()
        assert entry["mean"] == pytest.approx(finite.mean(), rel=1e-12)
    assert result["structures"]["background"]["n_missing"] == 3
    assert result["structures"]["nucleus"]["n_missing"] == 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_few_values_are_all_inside_the_range() -> None:
    result = histogram(np.array([[[0.0, 1.0, 1.0, 2.0]]]), {}, n_bins=4)
    assert result["structures"]["background"]["counts"] == [1, 0, 2, 1]


def test_a_few_outliers_do_not_stretch_the_range() -> None:
    image, labels = scene()
    result = histogram(image, labels)
    assert 1.32 < result["low"] < 1.335
    assert 1.37 < result["high"] < 1.38


def test_a_small_bright_structure_stays_in_the_range() -> None:
    image = np.random.default_rng(0).normal(1.337, 0.001, (9, 70, 80))
    droplets = np.zeros(image.shape, np.uint8)
    droplets[4, 30:33, 30:33] = 1  # 9 of 50 400 voxels, far less than one in a thousand
    image[droplets > 0] = 1.45
    result = histogram(image, {"lipid_droplet": droplets})
    assert sum(result["structures"]["lipid_droplet"]["counts"]) == 9


@pytest.mark.parametrize("value", [0.0, 1.337, np.nan])
def test_constant_and_missing_images(value: float) -> None:
    labels = {"cell": np.zeros((3, 20, 30), np.uint8)}
    result = histogram(np.full((3, 20, 30), value), labels)
    background = result["structures"]["background"]
    assert sum(background["counts"]) + background["n_missing"] == 1800
    assert result["structures"]["cell"]["mean"] is None


def series() -> pd.DataFrame:
    rows = [
        {
            "frame": frame,
            "time_s": 1800.0 * frame,
            "structure": name,
            "label": label,
            "volume_um3": 100.0 * label + frame,
        }
        for frame in range(4)
        for name in ("cell", "nucleus")
        for label in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def test_tracks_are_drawn_only_where_they_are_known() -> None:
    table = series()
    line = TRACK_COLOUR
    assert not has_colour(time_course_figure(table, "volume_um3", "µm³"), line)
    tracked = table.assign(track_id=table["label"].astype(float))
    assert has_colour(time_course_figure(tracked, "volume_um3", "µm³"), line)
    tracked.loc[0, ["track_id", "volume_um3"]] = np.nan
    assert has_colour(time_course_figure(tracked, "volume_um3", "µm³"), line)


@pytest.mark.parametrize(
    ("last_s", "unit", "last"), [(7200.0, "min", 120.0), (36000.0, "h", 10.0), (90.0, "s", 90.0), (180.0, "min", 3.0)]
)
def test_time_has_a_unit_that_suits_it(last_s: float, unit: str, last: float) -> None:
    table = pd.DataFrame({"frame": [0, 1], "time_s": [0.0, last_s]})
    x, label = _times(table, np.array([0, 1]))
    assert label == f"time ({unit})"
    assert x[-1] == pytest.approx(last)


def test_unknown_times_are_frames() -> None:
    table = pd.DataFrame({"frame": [0, 3], "time_s": [np.nan, np.nan]})
    x, label = _times(table, np.array([0, 3]))
    assert label == "frame"
    assert list(x) == [0, 3]


@pytest.mark.parametrize("keep", [0, 1])
def test_few_or_no_objects(keep: int) -> None:
    table = series().head(keep)
    assert time_course_figure(table, "volume_um3", "µm³")[:4] == b"\x89PNG"
    empty = series().assign(volume_um3=np.nan)
    assert time_course_figure(empty, "volume_um3", "$x_{")[:4] == b"\x89PNG"
