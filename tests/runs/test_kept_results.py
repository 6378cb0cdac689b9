"""No command writes over another command's results, nor over what a user changed in its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.errors import OutputError
from tomocyte.formats import read_volume, write_volume
from tomocyte.runs.samples import get_sample
from tomocyte.volume import Volume

SMALL = ("-n", "1", "--set", "shape=[40,64,56]", "--set", "n_cells=[1,1]")
RUN = ("-m", "odt", "--model", "classical")


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {"quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(path, Volume.from_array(ball_ri(), voxel_size_um=BALL_SIZE_UM, **known))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labels(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        voxels = np.zeros((5, 7, 9), np.uint16)
        voxels[1:3, 2:5, 3 : 6 + number] = 1
        with (folder / name).open("wb") as stream:
            tifffile.imwrite(stream, voxels, photometric="minisblack", metadata={"axes": "ZYX"})
    return folder


def test_no_command_writes_into_anothers_results(tmp_path: Path) -> None:
    image = save(tmp_path / "in" / "a.ome.tif")
    truth = labels(tmp_path / "truth", ["a.tif", "b.tif"])
    with workers_in_this_process():
        assert tomocyte("run", image, "-o", tmp_path / "run", *RUN).exit_code == 0
    assert tomocyte("evaluate", truth, truth, "--resamples", 100, "-o", tmp_path / "scores").exit_code == 0
    before = contents(tmp_path)

    def code(*arguments: object) -> Any:
        problem = tomocyte(*arguments).exception
        assert isinstance(problem, OutputError), problem
        assert "-o" in problem.cure or "Choose" in problem.cure
        return problem.code

    assert code("simulate", "odt", *SMALL, "-o", tmp_path / "run") == "E-OUT-KIND"
    assert code("simulate", "odt", *SMALL, "-o", tmp_path / "scores") == "E-OUT-KIND"
    assert code("evaluate", truth, truth, "--resamples", 100, "-o", tmp_path / "run") == "E-OUT-KIND"
    assert code("edits", "export", tmp_path / "run", "--all", "-o", tmp_path / "run") == "E-OUT-KIND"
    assert code("run", image, "-o", tmp_path / "scores", *RUN) == "E-OUT-KIND"
    assert code("run", image, "-o", tmp_path / "run", "-m", "fluorescence", "--model", "classical") == "E-OUT-KIND"
    assert code("run", image, "-o", tmp_path / "truth", *RUN) == "E-OUT-FOREIGN"
    assert code("evaluate", truth, truth, "--resamples", 100, "-o", tmp_path / "in") == "E-OUT-FOREIGN"
    assert contents(tmp_path) == before


def test_a_changed_score_table_is_kept(tmp_path: Path) -> None:
    truth = labels(tmp_path / "truth", ["a.tif", "b.tif"])
    command = ("evaluate", truth, truth, "--resamples", 100, "-o", tmp_path / "scores")
    assert tomocyte(*command).exit_code == 0
    assert "note" not in tomocyte(*command).stderr, "what nobody changed is simply written again"
    (tmp_path / "scores" / "scores.csv").write_text("my notes\n")
    done = tomocyte(*command)
    assert "note: scores.csv was changed or added by somebody; that file is now scores.changed-1.csv." in done.stderr
    assert (tmp_path / "scores" / "scores.changed-1.csv").read_text() == "my notes\n"
    assert tomocyte("verify", tmp_path / "scores").exit_code == 1, "the kept file is named"


def other_code(patch: pytest.MonkeyPatch) -> None:
    """Pretend that the code that measures has changed within a version."""
    for module in ("run", "publish"):
        patch.setattr(f"tomocyte.runs.{module}.code_version", lambda: "0.1.0+another")


def test_results_of_other_code_are_made_again_and_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [save(tmp_path / "in" / f"{name}.ome.tif") for name in ("a", "b")]
    out = tmp_path / "out"
    with workers_in_this_process():
        assert tomocyte("run", *images, "-o", out, *RUN).exit_code == 0
        (out / "items" / "a" / "thoughts.txt").write_text("mine")
        again = tomocyte("run", *images, "-o", out, *RUN)
        assert "(2 in an earlier run)" in again.output
        assert "note" not in again.stderr
        other_code(monkeypatch)
        done = tomocyte("run", images[0], "-o", out, *RUN)
        assert done.exit_code == 0, done.output
        assert "(0 in an earlier run)" in done.output
        assert "note: made again, since another version of tomocyte made the earlier results: a." in done.stderr
        assert "note: not in the tables, since other settings or another version made it: b." in done.stderr
        assert set(pd.read_csv(out / "objects.csv")["item"]) == {"a"}, "no table holds results of two codes"
        assert (out / "items" / "a" / "thoughts.txt").read_text() == "mine"
        done = tomocyte("run", *images, "-o", out, *RUN)
        assert "(1 in an earlier run)" in done.output
        assert set(pd.read_csv(out / "objects.csv")["item"]) == {"a", "b"}
    assert tomocyte("verify", out).exit_code == 1, "the file of the user's is named"


def test_other_code_replaces_no_result_that_a_user_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, out = save(tmp_path / "a.ome.tif"), tmp_path / "out"
    with workers_in_this_process():
        assert tomocyte("run", image, "-o", out, *RUN).exit_code == 0
        corrected = out / "items" / "a" / "cell.ome.tif"
        voxels = tifffile.imread(corrected)
        voxels[:, :10] = 0
        tifffile.imwrite(corrected, voxels, photometric="minisblack")
        mine = corrected.read_bytes()
        other_code(monkeypatch)
        done = tomocyte("run", image, "-o", out, *RUN)
    assert done.exit_code != 0
    assert "E-OUT-CHANGED" in done.output + done.stderr
    assert "made again" not in done.stderr
    assert corrected.read_bytes() == mine


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_are_scored(tmp_path: Path) -> None:
    names = [os.fsdecode(b"z_\xb5m.tif"), "a\nb.tif", "é[1].tif"]
    truth = labels(tmp_path / "truth", names)
    done = tomocyte("evaluate", truth, truth, "--resamples", 100, "-o", tmp_path / "scores")
    assert done.exit_code == 0, done.stderr
    rows = pd.read_csv(tmp_path / "scores" / "scores.csv", keep_default_na=False)
    assert {r"z_\xb5m", r"a\nb", "é[1]"} <= set(rows["item"])


def test_changed_simulated_labels_are_not_made_again(tmp_path: Path) -> None:
    command = ("simulate", "odt", *SMALL, "-o", tmp_path / "sim")
    first = tomocyte(*command)
    assert first.exit_code == 0, first.stderr
    (label,) = (tmp_path / "sim" / "items").glob("*/labels/cell.ome.tif")
    voxels = tifffile.imread(label)
    voxels[:] = 0
    tifffile.imwrite(label, voxels, photometric="minisblack")
    changed = label.read_bytes()
    done = tomocyte(*command)
    assert done.exit_code != 0
    assert "E-OUT-CHANGED" in done.stderr
    assert label.read_bytes() == changed


def test_a_sample_never_replaces_another_file(tmp_path: Path) -> None:
    (tmp_path / "simulated_hela_truth.csv").write_text("mine")
    with pytest.raises(OutputError, match="E-EXISTS"):
        get_sample("simulated-odt", tmp_path)
    assert (tmp_path / "simulated_hela_truth.csv").read_text() == "mine"


def test_overwriting_replaces_images_and_no_other_folders(tmp_path: Path) -> None:
    image = save(tmp_path / "a.ome.tif")
    project = tmp_path / "project.ome.zarr"
    (project / "thesis").mkdir(parents=True)
    (project / "thesis" / "chapter.txt").write_text("mine")
    problem = tomocyte("convert", image, project, "--overwrite").exception
    assert isinstance(problem, OutputError)
    assert problem.code == "E-EXISTS"
    assert (project / "thesis" / "chapter.txt").read_text() == "mine"
    store = tmp_path / "b.ome.zarr"
    for _ in range(2):
        assert tomocyte("convert", image, store, "--overwrite").exit_code == 0
    np.testing.assert_array_equal(read_volume(store).frame(0), read_volume(image).frame(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.tif", "b.ome.zarr", "project.ome.zarr"]


def test_one_damaged_table_costs_one_row(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.ome.tif")
    with workers_in_this_process():
        assert tomocyte("run", tmp_path / "in", "-o", tmp_path / "out", *RUN).exit_code == 0
        (tmp_path / "out" / "items" / "a" / "objects.parquet").write_bytes(b"PAR1 no more")
        done = tomocyte("run", tmp_path / "in" / "b.ome.tif", "-o", tmp_path / "out", *RUN)
    assert done.exit_code == 3
    assert "failed: a: E-OUT-IO" in done.stderr
    status = pd.read_csv(tmp_path / "out" / "status.csv", keep_default_na=False).set_index("item")
    assert status["state"].to_dict() == {"a": "failed", "b": "ok"}
    assert set(pd.read_csv(tmp_path / "out" / "objects.csv")["item"]) == {"b"}


def test_a_report_that_cannot_be_made_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    image = save(tmp_path / "in" / "a.ome.tif")
    with workers_in_this_process(), monkeypatch.context() as patch:
        patch.setattr("tomocyte.runs.publish.write_run_report", broken)
        with pytest.raises(ZeroDivisionError):
            tomocyte("run", image, "-o", tmp_path / "out", *RUN)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"run.json", "status.csv", "objects.csv", "objects.parquet", "objects.dictionary.csv"} <= names
    with workers_in_this_process():
        assert "1 in an earlier run" in tomocyte("run", image, "-o", tmp_path / "out", *RUN).stdout
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_an_input_whose_name_is_no_text_is_corrected_and_exported(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    image = save(Path("in/x.ome.tif")).rename(Path("in") / os.fsdecode(b"z_\xb5m.ome.tif"))
    with workers_in_this_process():
        assert tomocyte("run", "in", "-o", "out", *RUN).exit_code == 0
        (item,) = [path.name for path in Path("out/items").iterdir() if path.is_dir()]
        label = Path("out/items") / item / "cell.ome.tif"
        voxels = tifffile.imread(label)
        voxels[..., :3] = 0
        voxels[0, 0, 0] = 5
        tifffile.imwrite(label, voxels, photometric="minisblack")
        taken = ("edits", "from-labels", "out", item, "--structure", "cell", "--corrected", label, "-o", "e.yaml")
        assert tomocyte(*taken).exit_code == 0
        assert tomocyte("run", image, "-o", "out", *RUN, "--edits", "e.yaml").exit_code == 0
        assert tomocyte("edits", "export", "out", "-o", "labelled").exit_code == 0
    assert (Path("labelled/items") / item / "labels" / "cell.ome.tif").exists()
