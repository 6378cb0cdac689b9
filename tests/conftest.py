"""What several tests share: a ball of known refractive index, as an array and as a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from tests.doors import Doors

from tomocyte.volume import Volume

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The same examples every time; look for new ones by hand with HYPOTHESIS_PROFILE=search.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

BALL_SIZE_UM = (0.5, 0.4, 0.3)
BALL_RADIUS_UM = 4.0
MEDIUM_RI = 1.337
BALL_RI = 1.357


def ball_ri(*, centres_um: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)) -> np.ndarray:
    """Balls of RI 1.357 in a medium of 1.337, voxel (0.5, 0.4, 0.3) µm, shape (24, 36, 52), edges anti-aliased."""
    shape = (24, 36, 52)
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, BALL_SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    inside = np.zeros(shape)
    for centre in centres_um:
        depth = BALL_RADIUS_UM - np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        inside = np.maximum(inside, np.clip(0.5 + depth / 0.4, 0, 1))
    return (MEDIUM_RI + (BALL_RI - MEDIUM_RI) * inside).astype(np.float32)


@pytest.fixture
def ball_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a tomogram of balls: ``ball_file("a.ome.tif", centres_um=…)``; voxel size and quantity in the file."""
    from tomocyte.formats import write_volume

    def write(name: str = "ball.ome.tif", **options: object) -> Path:
        folder = tmp_path / "input"
        folder.mkdir(exist_ok=True)
        volume = Volume.from_array(
            ball_ri(**options),  # type: ignore[arg-type]
            voxel_size_um=BALL_SIZE_UM,
            quantity="refractive_index",
            unit="1",
            medium_ri=MEDIUM_RI,
        )
        write_volume(folder / name, volume)
        return folder / name

    return write


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Puts source files behind the doors of the package, for one test."""
    opened = Doors(tmp_path / "added", monkeypatch)
    yield opened
    monkeypatch.undo()
    opened.close()
