"""What a user reads: missing facts asked for at once, cures of the command, JSON, logs, quiet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import typer
from tests.test_cli import tomocyte

from tomocyte.cli import app
from tomocyte.cli.cures import OPTION, own_sentences

BallFile = Callable[..., Path]
SOURCES = Path(__file__).parent.parent.parent / "src" / "tomocyte"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: {text for one in command.params for text in (*one.opts, *one.secondary_opts)} | {"--help"}
    for name, command in COMMANDS.items()
    if not hasattr(command, "commands")
}


def sentences() -> list[str]:
    """Every literal that the package gives as a cure and that names an option."""
    texts: set[str] = set()
    for file in SOURCES.rglob("*.py"):
        found = re.findall(r'cure=f?"([^"]*--[a-z][^"]*)"', file.read_text(encoding="utf-8"))
        texts |= {re.sub(r"\{[^}]*\}", "X", text) for text in found}
    return sorted(texts)


def test_there_are_cures_that_name_options() -> None:
    assert len(sentences()) > 15


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_a_cure_names_only_what_the_command_has(command: str) -> None:
    for cure in sentences():
        shown = re.sub(r"`tomocyte [^`]*`", "", own_sentences(cure, OPTIONS[command]))
        assert set(OPTION.findall(shown)) <= OPTIONS[command], (command, cure)


def bare(folder: Path, n_files: int) -> Path:
    """Files of a box with RI 1.36 that say nothing of themselves."""
    folder.mkdir()
    voxels = np.full((9, 20, 31), 1.337, np.float32)
    voxels[2:7, 5:15, 8:24] = 1.36
    for index in range(n_files):
        tifffile.imwrite(folder / f"f{index}.tif", voxels, photometric="minisblack", metadata=None)
    return folder


def test_many_files_that_lack_the_same_share_one_message_whose_cure_works(tmp_path: Path) -> None:
    folder, out = bare(tmp_path / "in", 5), tmp_path / "out"
    line = ("run", folder, "-o", out, "-m", "odt", "--model", "classical", "--medium-ri", "1.337")
    failed = tomocyte(*line)
    assert failed.returncode == 4
    messages = [text for text in failed.stderr.splitlines() if text.startswith("failed:")]
    assert len(messages) == 1
    assert "5 inputs (f0, f1, f2, …)" in messages[0]
    assert "--axes ZYX" in messages[0]
    assert "--voxel-size-um Z Y X" in messages[0]
    assert list(pd.read_csv(out / "status.csv")["code"]) == ["E-AXES"] * 5
    cured = tomocyte(*line, "--axes", "ZYX", "--voxel-size-um", 1.1, 0.9, 0.7, "--json")
    assert cured.returncode == 0, cured.stderr
    content = json.loads(cured.stdout)
    assert (content["n_inputs"], content["n_done"], content["n_failed"]) == (5, 5, 0)
    assert content["n_objects"]["cell"] == 5
    assert [item["item"] for item in content["items"]] == [f"f{index}" for index in range(5)]
    assert str(out / "objects.csv") in content["files"]


def test_json_log_and_quiet(tmp_path: Path, ball_file: BallFile) -> None:
    source, log, out = ball_file(), tmp_path / "run.log", tmp_path / "out"
    broken = source.with_name("broken.ome.tif")
    broken.write_bytes(source.read_bytes()[:400])
    line = ("run", source, broken, "-o", out, "-m", "odt", "--model", "classical", "--quiet", "--log", log)
    done = tomocyte(*line, "--json")
    assert done.returncode == 3
    states = {item["item"]: (item["state"], item["error"]) for item in json.loads(done.stdout)["items"]}
    assert states["ball"] == ("ok", None)
    assert states["broken"][0] == "failed"
    assert states["broken"][1]["code"].startswith("E-TIFF")
    again = tomocyte(*line)
    assert len(again.stdout.splitlines()) == 1
    assert [text[:7] for text in again.stderr.splitlines()] == ["failed:"]
    lines = log.read_text(encoding="utf-8").splitlines()
    assert sum("failed: broken: E-TIFF" in text for text in lines) == 2  # appended
    times = [datetime.fromisoformat(text.split()[0]) for text in lines]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {timedelta()}
    wrong = tomocyte("run", tmp_path / "nothing", "-o", out, "-m", "odt", "--log", log)
    assert wrong.returncode == 1
    assert "Traceback (most recent call last):" in log.read_text(encoding="utf-8")


def test_scores_as_json(tmp_path: Path) -> None:
    """Three voxels of truth, two of them found and one too many: Dice 4 / 6; without a voxel size no distance."""
    truth, prediction = np.zeros((2, 1, 4, 5), np.uint8)
    truth[0, 1, :3] = 1
    prediction[0, 1, 1:4] = 1
    for name, labels in (("truth", truth), ("prediction", prediction)):
        tifffile.imwrite(tmp_path / f"{name}.tif", labels, photometric="minisblack", metadata={"axes": "ZYX"})
    done = tomocyte("evaluate", tmp_path / "prediction.tif", tmp_path / "truth.tif", "--json", "-o", tmp_path / "out")
    found = json.loads(done.stdout)
    assert (found["n_images"], found["n_files"], found["failures"]) == (1, 1, [])
    assert found["scores"]["dice"]["pooled"] == pytest.approx(2 / 3)
    assert found["scores"]["hausdorff_um"]["mean"] is None
    assert (tmp_path / "out" / "scores.csv").exists()
