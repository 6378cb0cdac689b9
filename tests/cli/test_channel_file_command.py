"""Channels in several files, typed: one input in ``run``, ``info`` and ``register``, and clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.channels.fields import SIZE_UM, spots
from tests.in_process import tomocyte

from tomocyte.channels.registration_file import load_registration
from tomocyte.channels.transform import ChannelTransform

SHAPE = (4, 128, 144)
SHIFT = ChannelTransform(translation_um=(0.0, 0.2, -0.1))
READ = ("--axes", "ZYX", "--voxel-size-um", *SIZE_UM)
EXACT = ("--model", "classical", "--set", "segmentation.foreground.method=value")


def channel_files(folder: Path, red: np.ndarray | None = None) -> list[str]:
    """Options for two files, ``b.tif`` shifted against ``a.tif``."""
    first, second = spots(SHAPE, SHIFT, n=140)
    for name, image in (("a", first), ("b", second if red is None else red)):
        tifffile.imwrite(folder / f"{name}.tif", image.astype(np.uint16), photometric="minisblack")
    return ["--channel-file", f"yellow={folder / 'a.tif'}", "--channel-file", f"red={folder / 'b.tif'}"]


def one_option(files: list[str]) -> list[str]:
    """``--channel-file yellow=A red=B``."""
    return [files[0], files[1], files[3]]


@pytest.mark.parametrize("is_repeated", [True, False])
def test_two_files_are_one_input(tmp_path: Path, is_repeated: bool) -> None:
    files = channel_files(tmp_path)
    given = files if is_repeated else one_option(files)
    shown = tomocyte("info", *given, *READ)
    assert shown.exit_code == 0, shown.output
    assert "yellow, red" in shown.output
    found = tomocyte("register", "-o", tmp_path / "r.yaml", *given, *READ)
    assert found.exit_code == 0, found.output
    transform = load_registration(tmp_path / "r.yaml").channels["red"].transform
    np.testing.assert_allclose(transform.translation_um[1:], (0.2, -0.1), atol=0.02)
    out = tmp_path / "out"
    done = tomocyte(
        "run", "-m", "nile_red", "-o", out, *EXACT, "--set", "segmentation.foreground.value=400", *given, *READ
    )
    assert done.exit_code == 0, done.output
    assert "1 of 1 inputs done" in done.output
    columns = pd.read_csv(out / "objects.csv").columns
    assert {"mean_intensity_yellow", "mean_intensity_red", "mean_ratio"} <= set(columns)


@pytest.mark.parametrize("verb", ["run", "info", "register"])
def test_no_file_at_all(verb: str, tmp_path: Path) -> None:
    output = () if verb == "info" else ("-o", tmp_path / "out")
    done = tomocyte(verb, *output)
    assert done.exit_code != 0
    assert "E-USAGE: no file is given. Name one, or --channel-file NAME=FILE" in str(done.exception)


def test_channels_of_different_size(tmp_path: Path) -> None:
    files = channel_files(tmp_path, np.zeros((4, 128, 150)))
    done = tomocyte("run", "-m", "nile_red", "-o", tmp_path / "out", *files, *READ)
    assert done.exit_code != 0
    assert "E-CHANNEL-SHAPE" in done.output
    assert "red has 1 x 4 x 128 x 150" in done.output


@pytest.mark.parametrize("text", ["a: 1\n", "reference: yellow\n", "- 1\n", "a: [\n"])
def test_a_file_that_is_no_registration(text: str, tmp_path: Path) -> None:
    files = channel_files(tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    done = tomocyte("run", "-m", "nile_red", "-o", tmp_path / "out", "--registration", bad, *files, *READ)
    assert done.exit_code != 0
    assert str(done.exception) == (
        f"E-REGISTRATION-FILE: {bad}: is no registration of channels. Give a file that `tomocyte register` wrote."
    )
    absent = tomocyte("run", "-m", "nile_red", "-o", tmp_path / "o", "--registration", "absent.yaml", *files, *READ)
    assert str(absent.exception).startswith("E-REGISTRATION-FILE: absent.yaml: no such file.")
