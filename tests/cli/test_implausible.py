"""A run whose results cannot be right says so: at the end, in status.csv and in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage
from typer.testing import CliRunner

from tomocyte.cli import app


def test_an_image_without_background(tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :220]
    good = np.random.default_rng(1).normal(10, 1, y.shape)
    for row in range(4):
        for column in range(4):
            good += 80 * (np.hypot(y - 50 * row - 25, x - 54 * column - 27) < 12)
    tifffile.imwrite(tmp_path / "good.tif", ndimage.gaussian_filter(good, 1).astype(np.uint16))
    tifffile.imwrite(tmp_path / "full.tif", (good + 100).astype(np.uint16))
    out = tmp_path / "out"
    typed = ["run", str(tmp_path), "-o", str(out), "-m", "fluorescence", "--pixel-size-um", "0.5", "0.5"]
    for name, value in {"method": "value", "value": 50, "own_fraction": 0, "min_significance": 0}.items():
        typed += ["--set", f"segmentation.foreground.{name}={value}"]
    typed += ["--object-diameter-um", "12", "--set", "segmentation.split.method=none"]
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 0, result.output
    assert "1 of 2 inputs have results that cannot be right" in result.output
    status = pd.read_csv(out / "status.csv").set_index("item")
    assert dict(status["state"]) == {"good": "ok", "full": "check"}
    assert status.loc["good", "n_objects"] == 16
    assert "W-IMPLAUSIBLE-FILLED" in status.loc["full", "warnings"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<td class="text bad">check</td>' in page
    assert page.count('<td class="text good">done</td>') == 1
    assert page.index("1 of 2 inputs have results that cannot be right") < page.index("Summary")


def test_the_diameter_reaches_the_engine(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :130]
    image = np.random.default_rng(2).normal(100, 5, y.shape) + 80 * (np.hypot(y - 60, x - 60) < 20)
    tifffile.imwrite(tmp_path / "one.tif", image.astype(np.uint16))
    base = ["run", str(tmp_path / "one.tif"), "-m", "fluorescence", "--pixel-size-um", "0.5", "0.5"]
    for diameter, n in (("20", 1), ("60", 0)):
        out = tmp_path / diameter
        result = CliRunner().invoke(app, [*base, "-o", str(out), "--object-diameter-um", diameter])
        assert result.exit_code == 0, result.output
        # 314 µm²; the smallest that counts has half the diameter: 79 and 707 µm².
        assert pd.read_csv(out / "status.csv")["n_objects"].tolist() == [n]
    assert "given by the user" in (tmp_path / "20" / "report.html").read_text(encoding="utf-8")
