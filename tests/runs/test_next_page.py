"""The page of the slices to label next: what it names, shows and leaves out."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.formats import write_volume
from tomocyte.volume import Volume

SHAPE = (31, 40, 60)


def written(path: Path, array: np.ndarray, quantity: str) -> Path:
    unit = "1" if quantity == "labels" else "a.u."
    write_volume(path, Volume.from_array(array, voxel_size_um=(0.4, 0.2, 0.2), quantity=quantity, unit=unit))
    return path


@pytest.mark.parametrize("axis", ["z", "y"])
def test_the_slice_to_label_next_is_shown_where_most_is_wrong(tmp_path: Path, axis: str) -> None:
    """A bar that is twice as thick beyond slice 20 than before: the page names the slice that the command names."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 10:20, 12:25] = 1
    labels[20:, 10:30, 12:45] = 1
    order = (0, 1, 2) if axis == "z" else (1, 0, 2)
    sparse = written(tmp_path / "a<b>.ome.tif", labels.transpose(order), "labels")
    pixels = (labels + np.random.default_rng(0).normal(scale=0.4, size=SHAPE)).astype(np.float32)
    image = written(tmp_path / "image.ome.tif", pixels.transpose(order), "intensity")
    words = [
        *("propagate", str(sparse), "--image", str(image), "-o", str(tmp_path / "dense.ome.tif")),
        *("--labelled-slices", "0:31:10", "--axis", axis, "--next", "2"),
    ]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "dense_next.html" in result.output
    page = (tmp_path / "dense_next.html").read_text(encoding="utf-8")
    named = re.findall(rf"slice (\d+) along {axis}, ([\d,]+) wrong voxels fewer", result.output)
    shown = re.findall(rf"Slice (\d+) along {axis} <span class=\"unit\">\(([\d,]+) wrong voxels fewer", page)
    assert named == shown
    assert len(shown) == 2
    assert 10 < int(shown[0][0]) < 20
    assert "a&lt;b&gt;.ome.tif" in page
    assert "<b>4</b>of 31 slices" in page
    assert "<b>87.1%</b>need no painting" in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page.replace('href=""', ""))
    pictures = re.findall(r"src=\"data:image/\w+;base64,([^\"]+)\"", page)
    assert len(pictures) == 4
    for picture in pictures:
        pixels_shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")).astype(int)
        red, green, blue = pixels_shown[..., 0], pixels_shown[..., 1], pixels_shown[..., 2]
        assert np.count_nonzero((red > 150) & (green < 110) & (blue < 110)) > 20  # the circle around the place
        assert np.count_nonzero((red > 170) & (green > 140) & (blue < 110)) > 20  # the outlines of the labels


def test_without_an_image_the_uncertainty_is_shown_and_no_page_without_next(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 10:20, 12:25] = labels[30, 10:30, 12:45] = 1
    sparse = written(tmp_path / "sparse.ome.tif", labels, "labels")
    command = ["propagate", str(sparse), "--uncertainty-map", "-o"]
    assert CliRunner().invoke(app, [*command, str(tmp_path / "none.ome.tif")], catch_exceptions=False).exit_code == 0
    assert not list(tmp_path.glob("*.html"))
    words = [*command, str(tmp_path / "dense.ome.tif"), "--next", "1"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    page = (tmp_path / "dense_next.html").read_text(encoding="utf-8")
    assert page.count('src="data:image') == 1
    assert "gains rank slices and are no counts of voxels" in page
