"""``tomocyte analyse``: from a folder of results and a design to comparisons, series, figures, sentences."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.ledger import verify
from tomocyte.runs.analyse.analysis import AnalysisSettings, analyse_objects
from tomocyte.runs.analyse.drawing import figure_tables
from tomocyte.runs.analyse.reading import make_design, read_measured
from tomocyte.statistics import replicates_needed

N_FRAMES = 5
LPS_GROWTH = 0.4


def film(folder: Path, *, n_replicates: int = 3, n_frames: int = N_FRAMES, growth: float = LPS_GROWTH) -> Path:
    """Tracked films: cells of the condition LPS grow by 40 % over the film, others do not; each has a nucleus.

    Replicates differ by a factor, cells by another; the last cell is cut by the border in frame 1.
    """
    rng = np.random.default_rng(4)
    rows, lines = [], ["path,condition,replicate"]
    for condition in ("control", "LPS"):
        for replicate in range(n_replicates):
            item, factor = f"{condition}_{replicate}", float(np.exp(rng.normal(0, 0.1)))
            lines.append(f"{condition}/day {replicate},{condition},{replicate}")
            for cell in range(1, 5):
                own = 100 * factor * float(np.exp(rng.normal(0, 0.2)))
                rate = (growth if condition == "LPS" else 0.0) * float(np.exp(rng.normal(0, 0.1)))
                for frame in range(n_frames):
                    size = own * (1 + rate * frame / max(n_frames - 1, 1))
                    about = {
                        "item": item, "path": f"{condition}/day {replicate}/f.tif", "frame": frame,
                        "time_s": frame * 1800.0, "cell_id": cell, "track_id": cell + 10, "flags": "",
                        "is_cut": cell == 4 and frame == 1, "label": cell,
                    }  # fmt: skip
                    rows.append({**about, "structure": "cell", "volume_um3": size, "mean_ri": 1.36 - 0.0001 * frame})
                    nucleus = {"structure": "nucleus", "volume_um3": size / 4, "mean_ri": 1.35, "is_cut": False}
                    rows.append({**about, **nucleus})
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "objects.csv", index=False)
    (folder / "conditions.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def analyse(folder: Path, *more: object) -> Any:
    done = tomocyte("analyse", folder, "--conditions", folder / "conditions.csv", *more)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def row_of(table: pd.DataFrame, **wanted: str) -> pd.Series:
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = film(tmp_path_factory.mktemp("analyse") / "out")
    return folder, analyse(folder, "--control", "control", "--quantity", "volume_um3").output


def test_comparison_is_scipys_test_of_replicate_means(results: tuple[Path, str]) -> None:
    folder, _ = results
    row = row_of(pd.read_csv(folder / "analysis" / "comparison.csv"), structure="cell", summary="mean")
    objects = pd.read_csv(folder / "objects.csv")
    cells = objects[(objects["structure"] == "cell") & ~objects["is_cut"]]
    means = cells.groupby(["item", "label"])["volume_um3"].mean().groupby("item").mean()
    lps, control = means[means.index.str.startswith("LPS")], means[means.index.str.startswith("control")]
    expected = stats.ttest_ind(lps, control, equal_var=False)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["statistic"] == pytest.approx(expected.statistic)
    interval = expected.confidence_interval(0.95)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((interval.low, interval.high))
    assert (row["n_cells"], row["n_replicates"], row["unit"]) == (12, 3, "replicate")
    assert row["mean_control"] == pytest.approx(control.mean())
    assert (row["condition"], row["control"], row["test"]) == ("LPS", "control", "Welch's t test")


def test_changes_recover_what_was_put_in(results: tuple[Path, str]) -> None:
    table = pd.read_csv(results[0] / "analysis" / "comparison.csv")
    for structure in ("cell", "nucleus"):
        row = row_of(table, structure=structure, summary="change")
        assert row["mean_control"] == pytest.approx(0.0, abs=1e-9)
        assert row["mean"] == pytest.approx(40.0, abs=5)
        assert row["unit_of_quantity"] == "%"
        assert row["p_holm"] < 0.05
    tested = table[table["p"].notna()]
    assert (tested["p_holm"] >= tested["p"]).all()


def test_series_and_their_courses(results: tuple[Path, str]) -> None:
    folder, _ = results
    series = pd.read_csv(folder / "analysis" / "series.csv")
    cells = series[series["structure"] == "cell"]
    assert len(cells) == 2 * 3 * (4 * N_FRAMES - 1)  # one frame of each input's fourth cell is left out
    assert cells.loc[cells["frame"] == 0, "normalised"].tolist() == [1.0] * 24
    assert set(cells["track"]) == {11, 12, 13, 14}
    courses = pd.read_csv(folder / "analysis" / "series_by_condition.csv")
    lps = courses[(courses["structure"] == "cell") & (courses["of"] == "normalised") & (courses["condition"] == "LPS")]
    assert lps["time_s"].tolist() == [0.0, 1800.0, 3600.0, 5400.0, 7200.0]
    assert lps["mean"].iloc[-1] == pytest.approx(1.4, abs=0.05)
    assert lps["n_cells"].tolist() == [12, 9, 12, 12, 12]
    assert (lps["low"] <= lps["mean"]).all()
    left_out = pd.read_csv(folder / "analysis" / "left_out.csv")
    assert left_out.to_numpy().tolist() == [["cell", "border", 6], ["nucleus", "cell left out", 6]]


def test_every_column_is_described(results: tuple[Path, str]) -> None:
    folder = results[0] / "analysis"
    described = set(pd.read_csv(folder / "dictionary.csv")["column"])
    for path in folder.glob("*.csv"):
        if path.name != "dictionary.csv":
            assert set(pd.read_csv(path).columns) <= described, path.name


def test_words_say_test_unit_and_assumptions(results: tuple[Path, str]) -> None:
    folder, printed = results
    words = (folder / "analysis" / "words.md").read_text(encoding="utf-8")
    assert words.strip() in printed
    for part in (
        "3 replicates (0, 1, 2), 3 inputs",
        "The unit is the replicate",
        "Welch's t test assumes that replicates are independent",
        "Welch's t test on the means of replicates, 3 and 3 replicates (12 and 12 cells)",
        "(Holm)",
        "6 × cell cut by the border, 6 × nucleus whose cell is left out",
        "µm³ in LPS against ",
        "percentage points more",
        "--paired",
    ):
        assert part in words


def test_figures_have_their_data(results: tuple[Path, str]) -> None:
    folder = results[0] / "analysis" / "figures"
    names = {path.name for path in folder.iterdir()}
    for stem in ("cell_volume_um3_mean", "cell_volume_um3_change", "nucleus_volume_um3_over_time_normalised"):
        assert {f"{stem}.svg", f"{stem}.png", f"{stem}.csv"} <= names
    points = pd.read_csv(folder / "cell_volume_um3_mean.csv")
    assert (points["part"] == "cell").sum() == 24
    course = pd.read_csv(folder / "cell_volume_um3_over_time.csv")
    assert (course["part"] == "track").sum() == 2 * 3 * (4 * N_FRAMES - 1)  # one frame of a cell in each input is cut
    assert course["track_id"].nunique() == 24


def test_divisions_are_marked_on_courses(tmp_path: Path) -> None:
    """A cell of each film divides after frame 2: the mark lies on its last value and the daughters' first."""
    folder = film(tmp_path / "out")
    objects = pd.read_csv(folder / "objects.csv").assign(parent_id=0)
    is_daughter = (objects["track_id"] == 11) & (objects["frame"] > 2)
    daughters = objects[is_daughter]
    twice = [daughters.assign(track_id=number, label=number, cell_id=number, parent_id=11) for number in (21, 22)]
    pd.concat([objects[~is_daughter], *twice]).to_csv(folder / "objects.csv", index=False)
    analyse(folder, "--quantity", "volume_um3")
    course = pd.read_csv(folder / "analysis" / "figures" / "cell_volume_um3_over_time.csv")
    marked = course[course["event"].notna()]
    assert set(marked.loc[marked["event"] == "division", "track_id"].str.split("/").str[1]) == {"11"}
    assert marked.loc[marked["event"] == "division", "time_s"].tolist() == [3600.0] * 6
    assert set(marked.loc[marked["event"] == "born", "track_id"].str.split("/").str[1]) == {"21", "22"}


def contents(folder: Path) -> dict[str, str]:
    files = (
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("analysis.json", "manifest.json")
    )
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_again_gives_the_same_and_keeps_what_a_user_changed(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    analyse(folder, "--no-figures")
    before = contents(folder / "analysis")
    assert "figures" not in {path.name for path in (folder / "analysis").iterdir()}
    assert "series.csv" not in before
    (folder / "analysis" / "words.md").write_text("mine", encoding="utf-8")
    (folder / "analysis" / "notes.txt").write_text("my own", encoding="utf-8")
    analyse(folder, "--no-figures")
    after = contents(folder / "analysis")
    assert {name: after[name] for name in before} == before
    assert (folder / "analysis" / "words.changed-1.md").read_text(encoding="utf-8") == "mine"
    assert (folder / "analysis" / "notes.txt").read_text(encoding="utf-8") == "my own"


def test_the_first_condition_of_the_design_is_what_others_are_compared_with(tmp_path: Path) -> None:
    """Whatever comes first in the table of objects: here the films of LPS do."""
    folder = film(tmp_path / "out")
    table = pd.read_csv(folder / "objects.csv")
    table.iloc[::-1].to_csv(folder / "objects.csv", index=False)
    analyse(folder, "--quantity", "volume_um3", "--structure", "cell")
    rows = pd.read_csv(folder / "analysis" / "comparison.csv")
    assert set(rows["condition"]) == {"LPS"}
    assert set(rows["control"]) == {"control"}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    done = analyse(folder, "--dry-run")
    assert "## cell" in done.output
    assert not (folder / "analysis").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    (folder / "analysis").mkdir()
    (folder / "analysis" / "thesis.docx").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match="E-OUT-FOREIGN"):
        analyse(folder, "--no-figures")
    done = analyse(folder, "--no-figures", "-o", tmp_path / "other", "--json")
    assert json.loads(done.stdout)["conditions"] == {"control": ["0", "1", "2"], "LPS": ["0", "1", "2"]}
    assert (tmp_path / "other" / "comparison.csv").exists()


def test_one_replicate_shows_the_data_and_refuses_the_p(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_replicates=1, n_frames=1)
    done = analyse(folder, "--quantity", "volume_um3")
    table = pd.read_csv(folder / "analysis" / "comparison.csv")
    assert table["p"].isna().all()
    assert table["reason"].str.startswith("one replicate").all()
    assert table["mean"].notna().all()
    assert "W-DESIGN-ONE-REPLICATE" in done.output
    assert "No p value for 1 and 1 replicates (4 and 4 cells)" in done.output
    assert len(pd.read_csv(folder / "analysis" / "cells.csv")) == 16
    assert (folder / "analysis" / "figures" / "cell_volume_um3_mean.svg").exists()


def test_settings_change_what_they_say(tmp_path: Path) -> None:
    folder = film(tmp_path / "out")
    quick = ("--no-figures", "--structure", "nuclei", "--quantity", "volume_um3")
    analyse(folder, *quick, "--paired", "--summary", "rate", "--summary", "change")
    table = pd.read_csv(folder / "analysis" / "comparison.csv")
    assert table["summary"].tolist() == ["rate", "change"]
    assert set(table["structure"]) == {"nucleus"}
    assert set(table["test"]) == {"paired t test"}
    assert set(table["df"]) == {2.0}
    analyse(folder, *quick, "--test", "mixed", "--keep", "border", "--baseline", "3600:7200")
    table = pd.read_csv(folder / "analysis" / "comparison.csv")
    assert set(table["test"]) == {"linear mixed model"}
    assert not (folder / "analysis" / "left_out.csv").exists()
    series = pd.read_csv(folder / "analysis" / "series.csv")
    last = series[series["time_s"] >= 3600].groupby(["item", "track"])["normalised"].mean()
    assert last.tolist() == pytest.approx([1.0] * len(last))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--control", "drug"), "E-CONDITION"),
        (("--structure", "golgi"), "E-STRUCTURE"),
        (("--quantity", "beauty"), "E-QUANTITY"),
        (("--baseline", "noon"), "E-BASELINE"),
        (("--test", "anova"), "E-SETTINGS"),
        (("--conditions-from-folders",), "E-USAGE"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    options: tuple[str, ...], code: str, results: tuple[Path, str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=code):
        analyse(results[0], *options, "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_folders_instead_of_a_table(results: tuple[Path, str], tmp_path: Path) -> None:
    done = tomocyte("analyse", results[0], "--conditions-from-folders", "--dry-run", "--quantity", "volume_um3")
    assert "- LPS: 3 replicates (day 0, day 1, day 2), 3 inputs" in done.output
    swapped = tomocyte("analyse", results[0], "--folder-levels", "-/condition", "--dry-run", "--quantity", "volume_um3")
    assert "- day 0: 1 replicate (1), 2 inputs" in swapped.output
    missing = tomocyte("analyse", tmp_path, "--conditions-from-folders")
    assert "E-ANALYSE" in str(missing.exception)
    none = tomocyte("analyse", results[0])
    assert "E-USAGE" in str(none.exception)


def test_films_without_tracks_or_times_say_so(tmp_path: Path) -> None:
    folder = film(tmp_path / "out")
    objects = pd.read_csv(folder / "objects.csv").drop(columns=["track_id"])
    objects.to_csv(folder / "objects.csv", index=False)
    done = analyse(folder, "--no-figures", "--structure", "cell")
    assert "W-ANALYSE-NO-TRACKS" in done.output
    series = pd.read_csv(folder / "analysis" / "series.csv")
    assert set(series["track"]) == {"field"}
    objects.assign(time_s=math.nan).to_csv(folder / "objects.csv", index=False)
    done = analyse(folder, "--no-figures", "--structure", "cell")
    assert "W-ANALYSE-NO-TIMES" in done.output
    assert not (folder / "analysis" / "series.csv").exists()


def test_a_dish_without_cells_is_named_and_not_counted_as_zero(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    objects = pd.read_csv(folder / "objects.csv")
    status = objects[["item", "path"]].drop_duplicates().assign(state="ok")
    status.to_csv(folder / "status.csv", index=False)
    objects[objects["item"] != "LPS_2"].to_csv(folder / "objects.csv", index=False)
    done = analyse(folder, "--no-figures", "--quantity", "volume_um3", "--structure", "cell")
    assert "W-ANALYSE-EMPTY" in done.output
    table = pd.read_csv(folder / "analysis" / "comparison.csv")
    assert table["n_replicates"].tolist() == [2]
    assert table["mean"].iloc[0] > 80
    nothing = objects[objects["structure"] == "none"]
    nothing.to_csv(folder / "objects.csv", index=False)
    with pytest.raises(ValueError, match=r"E-ANALYSE.*no input of the design holds an object"):
        analyse(folder, "--no-figures")


def test_a_condition_without_cells_is_named(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    objects = pd.read_csv(folder / "objects.csv")
    objects[["item", "path"]].drop_duplicates().assign(state="ok").to_csv(folder / "status.csv", index=False)
    objects[objects["item"].str.startswith("LPS")].to_csv(folder / "objects.csv", index=False)
    done = analyse(folder, "--no-figures", "--control", "control")
    assert "No input of control holds an object that counts: nothing is compared with it." in done.output
    assert pd.read_csv(folder / "analysis" / "comparison.csv").empty


@pytest.mark.parametrize(("band", "words"), [("sd", "mean ± SD of replicates"), ("sem", "mean ± SEM over replicates")])
def test_bands_over_time(band: str, words: str, results: tuple[Path, str]) -> None:
    """Their ends from the values of the cells: means of cells per film, then mean and spread of the three films."""
    measured = read_measured(results[0])
    design = make_design(measured, conditions=results[0] / "conditions.csv", levels=None)
    settings = AnalysisSettings.model_validate({"band": band, "quantities": ["volume_um3"], "structures": ["nucleus"]})
    tables = {one.name: one.table for one in figure_tables(measured, analyse_objects(measured, design, settings))}
    table = tables["nucleus_volume_um3_over_time"]
    last = table[(table["condition"] == "LPS") & (table["part"] == "band")].iloc[-1]
    objects = pd.read_csv(results[0] / "objects.csv").query("structure == 'nucleus' and frame == 4")
    means = objects[objects["item"].str.startswith("LPS")].groupby("item")["volume_um3"].mean()
    half = means.std() / (math.sqrt(3) if band == "sem" else 1)
    assert (last["low"], last["high"]) == pytest.approx((means.mean() - half, means.mean() + half))
    assert last["band"] == words


def test_a_run_reads_folders_in_another_order(ball_file: Callable[..., Path], tmp_path: Path) -> None:
    source = ball_file("ball.ome.tif")
    for place in ("day 1/control", "day 1/drug", "day 2/control", "day 2/drug"):
        target = tmp_path / "data" / place / "f.ome.tif"
        target.parent.mkdir(parents=True)
        target.write_bytes(source.read_bytes())
    asked = ("run", tmp_path / "data", "--recursive", "-o", tmp_path / "out", "--model", "classical", "--dry-run")
    done = tomocyte(*asked, "--folder-levels", "replicate/condition")
    assert "condition drug: 2 inputs, 2 replicates" in done.output
    alone = tomocyte(*asked, "--folder-levels", "condition")
    assert "condition day 1: 2 inputs, 1 replicate" in alone.output
    assert "W-DESIGN-ONE-REPLICATE" in alone.output
    assert "E-DESIGN-LEVELS" in str(tomocyte(*asked, "--folder-levels", "plate").exception)


def test_short_tracks_are_counted(tmp_path: Path) -> None:
    """One track of each of three films of LPS ends in the first of five frames."""
    folder = film(tmp_path / "out")
    objects = pd.read_csv(folder / "objects.csv")
    is_gone = objects["item"].str.startswith("LPS") & (objects["track_id"] == 11) & (objects["frame"] > 0)
    objects[~is_gone].to_csv(folder / "objects.csv", index=False)
    asked = ("--no-figures", "--structure", "cell", "--quantity", "volume_um3")
    analyse(folder, *asked, "--summary", "change", "--summary", "rate")
    notes = pd.read_csv(folder / "analysis" / "comparison.csv").set_index("summary")["notes"]
    which = "3 of 12 tracks of LPS and 0 of 12 tracks of control"
    assert notes["change"] == f"left out because they cover less than 80 % of the film: {which}"
    assert notes["rate"] == f"left out because they have fewer than 3 times: {which}"


def test_what_the_advice_aims_at(results: tuple[Path, str], tmp_path: Path) -> None:
    """Percentage points of a change; of an index, whose percentages mean nothing, what so many replicates find."""
    table = pd.read_csv(results[0] / "analysis" / "comparison.csv")
    row = row_of(table, structure="cell", summary="change")
    means = {}
    for name, rows in (
        pd.read_csv(results[0] / "analysis" / "cells.csv")
        .query("structure == 'cell' and summary == 'change'")
        .groupby("condition")
    ):
        means[name] = rows.groupby("replicate")["value"].mean()
    sd = math.sqrt((means["LPS"].var() + means["control"].var()) / 2)
    assert row["n_replicates_needed"] == replicates_needed(20.0, sd)
    assert "find a difference of 20 percentage points in 8 of 10" in results[1]
    objects = pd.read_csv(results[0] / "objects.csv")
    objects["mean_ri"] += 1e-4 * objects["volume_um3"] / 100
    folder = tmp_path / "out"
    folder.mkdir()
    objects.to_csv(folder / "objects.csv", index=False)
    (folder / "conditions.csv").write_bytes((results[0] / "conditions.csv").read_bytes())
    index = analyse(folder, "--dry-run", "--quantity", "mean_ri", "--structure", "cell").output
    assert "% of the control" not in index
    assert "With 3 replicates per condition, 8 of 10 experiments find a difference of " in index


def test_as_part_of_a_run(ball_file: Callable[..., Path], tmp_path: Path) -> None:
    """Fields in folders, run and compared in one command; the folder of the run stays verifiable."""
    source = ball_file("ball.ome.tif")
    for condition in ("control", "drug"):
        target = tmp_path / "data" / condition / "f.ome.tif"
        target.parent.mkdir(parents=True)
        target.write_bytes(source.read_bytes())
    out = tmp_path / "out"
    asked = ("run", tmp_path / "data", "--recursive", "-o", out, "--model", "classical")
    with workers_in_this_process():
        wrong = tomocyte(*asked, "--conditions-from-folders", "--control", "placebo")
        assert "E-CONDITION" in str(wrong.exception)
        assert not out.exists()
        done = tomocyte(*asked, "--conditions-from-folders", "--control", "control")
    assert done.exit_code == 0, done.output
    assert "condition control: 1 input, 1 replicate" in done.output
    table = pd.read_csv(out / "analysis" / "comparison.csv")
    assert table["reason"].str.startswith("one replicate").all()
    row = row_of(table, structure="cell", quantity="volume_um3")
    assert row["mean"] == row["mean_control"]
    report = verify(out)
    assert report.is_ok, report.findings
    (out / "analysis" / "words.md").write_text("changed", encoding="utf-8")
    assert [(finding.kind, finding.path) for finding in verify(out).findings] == [("changed", "analysis/words.md")]


def test_figures_of_an_earlier_analysis_go_and_changed_ones_are_kept(tmp_path: Path) -> None:
    folder = film(tmp_path / "out", n_frames=1)
    analyse(folder, "--quantity", "volume_um3", "--structure", "cell")
    figures = folder / "analysis" / "figures"
    assert (figures / "cell_volume_um3_mean.svg").exists()
    (figures / "cell_volume_um3_mean.png").write_bytes(b"retouched")
    (figures / "mine.png").write_bytes(b"mine")
    analyse(folder, "--no-figures")
    assert sorted(path.name for path in figures.iterdir()) == ["cell_volume_um3_mean.changed-1.png", "mine.png"]
    assert verify(folder / "analysis").is_ok
