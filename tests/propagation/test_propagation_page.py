"""What stands in docs/propagation.md works as printed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.formats import write_volume
from tomocyte.volume import Volume

PAGE = (Path(__file__).parent.parent.parent / "docs" / "propagation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_python_prints_what_its_comment_says() -> None:
    (code,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert re.findall(r"\d+", printed.getvalue()) == code.rpartition("#")[2].split()


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((41, 30, 20), dtype=np.uint8)
    labels[::20, 5:20, 4:15] = 3
    write_volume("sparse.ome.tif", Volume.from_array(labels, voxel_size_um=(0.7, 0.3, 0.2)))
    edited = labels.copy()
    edited[20, 3:18] = labels[20, 5:20]
    write_volume("edited.ome.tif", Volume.from_array(edited, voxel_size_um=(0.7, 0.3, 0.2)))
    scribbles = np.where(np.arange(41)[:, None, None] % 20 == 0, labels, 255).astype(np.uint8)
    scribbles[10, 8, 6:12] = 3
    write_volume("scribbles.ome.tif", Volume.from_array(scribbles, voxel_size_um=(0.7, 0.3, 0.2)))
    film = np.zeros((9, 1, 1, 30, 20), np.uint8)
    film[::4, ..., 5:20, 4:15] = 3
    write_volume("film.ome.tif", Volume.from_array(film, voxel_size_um=(float("nan"), 0.3, 0.2)))
    image = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    write_volume("image.ome.tif", Volume.from_array(image, voxel_size_um=(0.7, 0.3, 0.2)))
    commands = [line for line in blocks("")[0].splitlines() if line]
    assert len(commands) == 11
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, command
    assert (tmp_path / "guided_uncertainty.ome.tif").exists()
    assert (tmp_path / "dense.ome.tif").exists()
    assert (tmp_path / "finished.ome.tif").exists()
    assert (tmp_path / "dense.propagation.json").exists()
    assert (tmp_path / "checked_uncertainty.ome.tif").exists()
    assert (tmp_path / "named_next.csv").read_text(encoding="utf-8").startswith("index,axis-0,axis-1,axis-2,")
    assert "label next" in (tmp_path / "named_next.html").read_text(encoding="utf-8")
    assert (tmp_path / "next.csv").exists()
    assert not (tmp_path / "along-y.ome.tif").exists()
