"""Every command of the page on channels, typed as printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.channels.fields import SIZE_UM, spots
from typer.testing import CliRunner

from tomocyte.channels.transform import ChannelTransform
from tomocyte.cli import app
from tomocyte.formats import read_volume, write_volume
from tomocyte.formats._tcf_write import write_fluorescence
from tomocyte.volume import Volume

PAGE = Path(__file__).parents[2] / "docs" / "channels.md"


def test_every_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    yellow, red = spots((2, 96, 112), ChannelTransform(translation_um=(0.0, 0.1, -0.14)), n=120)
    volume = Volume.from_array(
        np.stack([yellow, red]), voxel_size_um=SIZE_UM, quantity="intensity", channel_names=("yellow", "red")
    )
    Path("stacks").mkdir()
    for name in ("beads", "cells", "stacks/c1"):
        write_volume(Path(f"{name}.ome.tif"), volume)
    for name, channel in (("a", yellow), ("b", red)):
        write_volume(Path(f"{name}.ome.tif"), Volume.from_array(channel, voxel_size_um=SIZE_UM, quantity="intensity"))
        Path(f"{name}.ome.tif").rename(f"{name}.tif")
    index = np.full((6, 40, 44), 1.34, np.float32)
    write_volume(
        Path("c1.TCF"),
        Volume.from_array(index, voxel_size_um=(0.4, 0.2, 0.2), quantity="refractive_index", unit="1", medium_ri=1.34),
    )
    stain = np.full((6, 40, 44), 100, np.uint16)
    stain[2:4, 10:20, 10:20] = 900
    write_fluorescence(Path("c1.TCF"), Volume.from_array(stain, voxel_size_um=(0.4, 0.2, 0.2)))
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("tomocyte ")]
    assert len(lines) == 9
    for line in lines:
        typed = CliRunner().invoke(app, line.split()[1:])
        assert typed.exit_code == 0, f"{line}\n{typed.output}"
    laid, before = read_volume(Path("laid.ome.tif")).frame(0), volume.frame(0).astype(float)
    inner = np.s_[:, 12:-12, 12:-12]
    apart = [np.corrcoef(pair[0][inner].ravel(), pair[1][inner].ravel())[0, 1] for pair in (before, laid)]
    assert apart[1] > apart[0] + 0.2
    assert read_volume(Path("c1_nucleus.ome.tif")).frame(0).sum() == 2 * 10 * 10
    assert tifffile.imread("laid.ome.tif").shape == (2, 2, 96, 112)
