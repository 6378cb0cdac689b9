"""Numbers of a run beside the exact truth, on labels and tables that are counted by hand."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.comparison.accuracy import as_markdown, compare_run, summarise
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.ledger import CommitRecord, Ledger
from tomocyte.provenance import sha256_of_path
from tomocyte.volume import Volume

SIZE_UM = (0.4, 0.2, 0.3)


def row(*places: tuple[int, int, int]) -> np.ndarray:
    """Blocks of a label, from one x to another, in a row of 40 voxels."""
    labels = np.zeros((2, 3, 40), np.uint32)
    for label, start, stop in places:
        labels[:, :, start:stop] = label
    return labels


def save(path: Path, values: np.ndarray, quantity: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume.from_array(values, voxel_size_um=SIZE_UM, quantity=quantity, unit="1"))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A field of three cells, one of them cut and one hardly found, and what a run made of it."""
    fields, run = tmp_path / "fields", tmp_path / "run"
    folder = fields / "items" / "a"
    save(folder / "a.ome.tif", np.full((2, 3, 40), 1.35, np.float32), "refractive_index")
    save(folder / "labels" / "cell.ome.tif", row((4, 0, 10), (5, 12, 18), (6, 20, 30)), "labels")
    (folder / "card.json").write_text(json.dumps({"settings": {"preset": "HeLa"}, "domain": "in-domain"}))
    (fields / "items" / "a.done.json").write_text("{}")
    truth = {
        "frame": 0, "structure": "cell", "label": [4, 5, 6], "is_cut": [False, True, False],
        "mean_ri": [1.36, 1.3, 1.3], "dry_mass_pg": [200.0, 1.0, 1.0], "volume_um3": [10.0, 6.0, 10.0],
    }  # fmt: skip
    pd.DataFrame(truth).to_parquet(folder / "truth.parquet")
    with Ledger(run, "run", "odt") as ledger:
        staged = ledger.stage("a")
        save(staged / "cell.ome.tif", row((1, 0, 8), (2, 12, 18), (3, 20, 23)), "labels")
        table = {
            "frame": 0, "structure": "cell", "label": [1, 2, 3], "mean_ri": [1.3585, 1.3, 1.3],
            "mean_ri_in_mask": 1.356, "dry_mass_pg": [190.0, 1.0, 1.0], "dry_mass_pg_in_mask": [150.0, 1.0, 1.0],
            "dry_mass_pg_estimator": "matrix", "dry_mass_pg_low": 180.0, "dry_mass_pg_high": 210.0,
            "volume_um3": [8.0, 6.0, 3.0], "volume_um3_low": 7.0, "volume_um3_high": 9.0,
        }  # fmt: skip
        pd.DataFrame(table).to_parquet(staged / "objects.parquet")
        record = CommitRecord(
            item="a", source="a.ome.tif", input_sha256=sha256_of_path(folder / "a.ome.tif"), request_sha256="b",
            code_version="1", facts={"n_objects": {"cell": 3}},
        )  # fmt: skip
        ledger.commit("a", staged, record)
    return run, fields


def test_whole_objects_that_were_found_stand_beside_their_truth(places: tuple[Path, Path]) -> None:
    numbers, whole = compare_run(*places)
    assert whole["n_whole"].tolist() == [2]
    assert set(numbers["true_label"]) == {4}
    assert set(numbers["line"]) == {"HeLa"}
    summary = summarise(numbers, whole)
    together = summary[summary["line"] == "all"].set_index("column")
    assert together["n_whole"].tolist() == [2, 2, 2]
    assert together["bias"].to_dict() == pytest.approx({"dry_mass_pg": -0.05, "mean_ri": -0.0015, "volume_um3": -0.2})
    assert together["share_within_goal"].to_dict() == {"dry_mass_pg": 1, "mean_ri": 0, "volume_um3": 0}
    assert together["bias_in_mask"].iloc[:2].tolist() == pytest.approx([-0.25, -0.004])
    assert math.isnan(together["bias_in_mask"]["volume_um3"])
    assert together["coverage"].iloc[[0, 2]].tolist() == [1, 0]
    assert together["n_intervals"].to_dict() == {"dry_mass_pg": 1, "mean_ri": 0, "volume_um3": 1}
    assert len(summary) == 2 * len(together)  # of one line the same again
    text = as_markdown(summary)
    assert "| cell | dry mass | 1 of 2 | -5.0 %, - | -25.0 %, - | 8 %: 100 % | 0 % | 1.00 (0.03–1.00, n 1) |" in text


def test_the_interval_of_a_share_is_the_exact_one() -> None:
    """9 of 10: 0.555 to 0.997 (Clopper & Pearson); the ends belong to the interval."""
    numbers = pd.DataFrame(
        {
            "domain": "", "line": "A549", "structure": "nucleus", "column": "mean_ri", "value": 1.36,
            "in_mask": math.nan, "low": 1.35, "high": 1.37, "truth": [1.35, 1.37] + [1.36] * 7 + [1.3701],
        }
    )  # fmt: skip
    whole = pd.DataFrame({"domain": [""], "line": ["A549"], "structure": ["nucleus"], "n_whole": [12]})
    found = summarise(numbers, whole).iloc[0]
    assert (found["n"], found["n_whole"], found["coverage"]) == (10, 12, 0.9)
    assert (found["coverage_low"], found["coverage_high"]) == pytest.approx((0.5550, 0.9975), abs=1e-4)
    errors = np.array([0.01, -0.01] + [0.0] * 7 + [-0.0101])
    assert (found["bias"], found["sd"]) == pytest.approx((errors.mean(), errors.std(ddof=1)))
    assert found["share_within_goal"] == pytest.approx(0.7)


def test_the_command_writes_what_it_prints(places: tuple[Path, Path], tmp_path: Path) -> None:
    run, fields = places
    done = CliRunner().invoke(app, ["accuracy", str(run), str(fields), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "accuracy.md").read_text(encoding="utf-8")
    assert text in done.stdout
    assert pd.read_csv(tmp_path / "out" / "accuracy.csv")["n"].tolist() == [1] * 6
    assert pd.read_csv(tmp_path / "out" / "numbers.csv")["truth"].tolist() == [200, 1.36, 10]


def test_a_run_of_other_images_is_refused(places: tuple[Path, Path], tmp_path: Path) -> None:
    run, fields = places
    save(fields / "items" / "a" / "a.ome.tif", np.full((2, 3, 40), 1.34, np.float32), "refractive_index")
    with pytest.raises(InputError, match="E-ACCURACY-IMAGE"):
        compare_run(run, fields)
    shutil.rmtree(run / "items")
    (run / "items").mkdir()
    with pytest.raises(InputError, match="E-NO-DATA"):
        compare_run(run, fields)
