"""Which volumes to label next: those of another noise or texture, whatever their labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from tests.in_process import tomocyte

from tomocyte.comparison.next_volumes import images_of
from tomocyte.formats import write_volume
from tomocyte.volume import Volume


def write(folder: Path, name: str, seed: int, *, sigma: float = 2.0, noise: float = 0.05) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 40, 40)), sigma)
    image = (smooth / smooth.std() + noise * rng.normal(size=smooth.shape)).astype(np.float32)
    size = {"voxel_size_um": (0.1, 0.1, 0.1), "origin": {"voxel_size_um": "user"}}
    write_volume(folder / f"{name}.ome.tif", Volume.from_array(image, **size))  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for seed in range(6):
        write(tmp_path / "learned", f"l{seed}", seed)
    for seed in range(3):
        write(tmp_path / "alike", f"a{seed}", 20 + seed)
        write(tmp_path / "noisy", f"n{seed}", 40 + seed, noise=1.0 + 0.2 * seed)
    write(tmp_path / "alike", "fine", 60, sigma=0.7)
    return tmp_path


def test_other_images_come_first(folders: Path) -> None:
    table = folders / "next.csv"
    words = ["next-volumes", folders / "alike", folders / "noisy", "--learned", folders / "learned", "--count", 2]
    done = tomocyte(*words, "-o", table)
    assert done.exit_code == 0, done.exception
    rows = pd.read_csv(table)
    assert len(rows) == 7
    means = rows.groupby("folder")["distance"].mean()
    assert means["noisy"] > 3 * rows[rows["volume"].str.startswith("a")]["distance"].mean()
    ranked = re.findall(r"\d\. (\S+):", done.output)
    assert len(ranked) == 2
    assert {name.split("/")[-1].split(".")[0][0] for name in ranked} == {"f", "n"}  # a fine one and a noisy one
    noise = rows.set_index("volume")["noise"]
    assert noise["n0.ome.tif"] > 5 * noise["a0.ome.tif"]
    again = tomocyte(*words, "-o", table)
    assert again.exit_code != 0  # an existing table stays


def test_label_images_are_no_candidates(folders: Path) -> None:
    labels = np.zeros((24, 40, 40), np.uint8)
    write_volume(folders / "alike" / "a0_cell.ome.tif", Volume.from_array(labels, voxel_size_um=(0.1, 0.1, 0.1)))
    assert [path.name for path in images_of(folders / "alike")] == ["a0.ome.tif"]
    assert len(images_of(folders / "noisy")) == 3


def test_the_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, folder in enumerate(("tcells", "tcells", "huh7", "bv2", "mef")):
        write(tmp_path / folder, f"x{seed}", seed)
    page = (Path(__file__).parents[2] / "docs" / "acseg.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith("tomocyte next-volumes "))
    monkeypatch.chdir(tmp_path)
    done = tomocyte(*line.split()[1:])
    assert done.exit_code == 0, done.exception
    assert len(pd.read_csv("next.csv")) == 3
