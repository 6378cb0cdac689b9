"""Inputs of several files: a change in any of them makes the item new; without one nothing is done again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.formats.maker_samples import oif
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.formats import parts_beside
from tomocyte.ledger import Ledger

SHAPE = (6, 24, 24)


def voxels(radius: float) -> np.ndarray:
    """A bright ball in the middle, with noise."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (3 * (z - 2.5)) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < radius**2
    return (np.random.default_rng(0).normal(100, 3, SHAPE) + 900 * ball).astype("<u2")


def detached(folder: Path, *, n_files: int) -> list[Path]:
    """An NRRD header with its voxels in one file, or in one for each plane."""
    data = [folder / f"v{n}.raw" for n in range(n_files)]
    names = data[0].name if n_files == 1 else "LIST\n" + "\n".join(path.name for path in data)
    lines = ["NRRD0005", "type: uint16", "dimension: 3", f"sizes: {SHAPE[2]} {SHAPE[1]} {SHAPE[0]}"]
    lines += [
        "spacings: 0.3 0.3 0.9",
        'units: "um" "um" "um"',
        "endian: little",
        "encoding: raw",
        f"data file: {names}",
    ]
    (folder / "a.nhdr").write_text("\n".join(lines) + "\n")
    for path, part in zip(data, np.split(voxels(7), n_files), strict=True):
        path.write_bytes(part.tobytes())
    return data


@pytest.mark.parametrize("n_files", [1, 6])
def test_a_change_in_the_file_beside_a_header_is_a_new_input(n_files: int, tmp_path: Path) -> None:
    data = detached(tmp_path, n_files=n_files)
    assert parts_beside(tmp_path / "a.nhdr") == tuple(data)
    out = tmp_path / "out"

    def run(*more: str) -> str:
        with workers_in_this_process():
            done = tomocyte("run", tmp_path / "a.nhdr", "-o", out, "-m", "fluorescence", *more)
        assert done.exit_code == 0, done.output
        return done.output

    assert "done" in run()
    assert "(1 in an earlier run)" in run()
    first = (out / "objects.csv").read_bytes()
    part = data[n_files // 2]
    part.write_bytes(np.split(voxels(9), n_files)[n_files // 2].tobytes())
    os.utime(part, (2_000_000_000, 2_000_000_000))
    assert "(0 in an earlier run)" in run("--trust-times")
    assert (out / "objects.csv").read_bytes() != first
    assert "(1 in an earlier run)" in run("--trust-times")
    with Ledger(out, "run", "fluorescence") as ledger:
        record = ledger.record("a")
    assert record is not None
    assert record.source_parts == tuple(path.name for path in data)


def test_the_planes_of_an_oif_belong_to_it(tmp_path: Path) -> None:
    path = oif(tmp_path / "cell.oif", np.zeros((1, 1, 2, 8, 8), np.uint16))
    inside = sorted((tmp_path / "cell.oif.files").iterdir())
    assert len(inside) >= 2
    assert parts_beside(path) == tuple(inside)


def test_a_damaged_header_and_a_folder_have_nothing_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.nhdr").write_text("NRRD0005\nsizes: x\ndata file: v.raw\n")
    assert parts_beside(tmp_path / "a.nhdr") == ()
    assert parts_beside(tmp_path) == ()
