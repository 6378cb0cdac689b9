"""Figures of an experiment: where their points lie, what they say, and that their CSV draws them again."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures.axes import LINE_COLOURS
from tomocyte.figures.experiment import (
    FIGURES,
    course_table,
    draw_again,
    lineage_trees,
    superplot,
    superplot_table,
    write_figure,
)
from tomocyte.figures.experiment.lineage import lineage_layout
from tomocyte.figures.experiment.start_to_end import first_and_last


def cells() -> pd.DataFrame:
    rows = [
        (condition, f"=dish {replicate}", 100.0 * place + 10 * replicate + number)
        for place, condition in enumerate(("control", "LPS, 1 µg/mL"))
        for replicate in (1, 2, 3)
        for number in range(4)
    ]
    return pd.DataFrame(rows, columns=["condition", "replicate", "value"])


def differences() -> pd.DataFrame:
    return pd.DataFrame(
        {"condition": ["LPS, 1 µg/mL"], "value": [100.0], "low": [80.0], "high": [120.0], "level": 0.95}
    )


def tracks() -> pd.DataFrame:
    rows = [
        (number, condition, number % 2, 1800.0 * frame, 50.0 * place + number + frame, "division" if frame == 3 else "")
        for place, condition in enumerate(("control", "LPS, 1 µg/mL"))
        for number in (1, 2, 3)
        for frame in range(4 if number > 1 else 1)
    ]
    return pd.DataFrame(rows, columns=["track_id", "condition", "replicate", "time_s", "value", "event"])


def bands() -> pd.DataFrame:
    groups = tracks().groupby(["condition", "time_s"])["value"]
    table = pd.DataFrame({"mean": groups.mean(), "low": groups.min(), "high": groups.max()}).reset_index()
    return table.assign(band="range")


def lineage() -> pd.DataFrame:
    """A cell with two daughters, one of which divides again; another one alone, whose mother is not in the table."""
    end = "end of the film"
    rows = [(1, 0, 0, 4, "division"), (2, 1, 5, 9, end), (3, 1, 5, 7, "division"), (4, 3, 8, 9, end),
            (5, 3, 9, 9, end), (6, 99, 2, 3, "death")]  # fmt: skip
    return pd.DataFrame(rows, columns=["track_id", "parent_id", "first_frame", "last_frame", "end"])


def pairs() -> pd.DataFrame:
    first = np.linspace(10, 20, 12)
    return pd.DataFrame({"first": first, "second": first + 1, "first_name": "by hand", "second_name": "tomocyte"})


TABLES = {
    "superplot": superplot_table(cells(), differences()),
    "start-to-end": tracks(),
    "time-course": course_table(bands(), tracks()),
    "distribution": cells(),
    "lineage": lineage(),
    "bland-altman": pairs(),
}


def texts_of(monkeypatch: pytest.MonkeyPatch, kind: str, table: pd.DataFrame, **about: str) -> list[Any]:
    """What stands in a figure, read from the figure itself before it becomes bytes."""
    figures: list[Any] = []
    save = matplotlib.figure.Figure.savefig

    def keep(self: Any, *arguments: Any, **options: Any) -> None:
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    FIGURES[kind](table, **{"quantity": "volume", "unit": "µm³", **about})
    (figure,) = figures
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_every_kind_has_its_table() -> None:
    assert set(TABLES) == set(FIGURES)


@pytest.mark.parametrize("kind", list(FIGURES))
def test_the_csv_of_a_figure_draws_it_again(kind: str, tmp_path: Path) -> None:
    paths = write_figure(tmp_path / "new" / "a.figure", kind, TABLES[kind], quantity="volume", unit="µm³", title="A, b")
    assert [path.name for path in paths] == ["a.figure.svg", "a.figure.png", "a.figure.csv"]
    assert draw_again(paths[2], file_format="svg") == paths[0].read_bytes()
    assert draw_again(paths[2]) == paths[1].read_bytes()
    table = pd.read_csv(paths[2])
    assert table[["figure", "quantity", "unit", "title"]].iloc[0].tolist() == [kind, "volume", "µm³", "A, b"]
    changed = {"superplot": "value", "lineage": "last_frame"}.get(kind) or table.select_dtypes("float").columns[-1]
    table.loc[table[changed].last_valid_index(), changed] += 1
    table.to_csv(paths[2], index=False)
    assert draw_again(paths[2]) != paths[1].read_bytes(), "the picture shows the numbers of the CSV"


@pytest.mark.parametrize("kind", list(FIGURES))
def test_axes_carry_quantity_and_unit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("volume (µm³)" in text for text in texts_of(monkeypatch, kind, TABLES[kind]))


@pytest.mark.parametrize("kind", list(FIGURES))
def test_an_empty_table_is_refused(kind: str) -> None:
    with pytest.raises(SettingsError, match="no row"):
        FIGURES[kind](TABLES[kind].iloc[:0], quantity="volume", unit="µm³")


def test_a_csv_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "objects.csv").write_text("item,value\na,1\n")
    with pytest.raises(SettingsError, match="has no column 'figure'"):
        draw_again(tmp_path / "objects.csv")
    with pytest.raises(SettingsError, match="Known: superplot"):
        write_figure(tmp_path / "x", "pie", cells(), quantity="volume", unit="µm³")


def test_a_superplot_counts_cells_and_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(monkeypatch, "superplot", TABLES["superplot"])
    assert "control\n12 cells\n3 replicates" in texts
    assert "difference from control (µm³)" in texts
    assert "95 % interval" in texts


def blobs(png: bytes, colour: str) -> NDArray[Any]:
    """Rows of the pixels of a colour."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return np.argwhere(np.abs(picture - wanted).sum(axis=-1) < 8)


def test_a_large_point_is_the_mean_of_its_replicate() -> None:
    """Two replicates whose means are equal although the cells are not lie at one height."""
    table = pd.DataFrame(
        {"condition": "a", "replicate": [1, 1, 2, 2, 2], "value": [0.0, 10.0, 4.0, 4.0, 7.0]}
    )  # means 5 and 5, medians 5 and 4
    png = superplot(table, quantity="volume", unit="µm³")
    picture = blobs(png, LINE_COLOURS[0]), blobs(png, LINE_COLOURS[1])
    rows = [pixels[pixels[:, 0] < 320, 0] for pixels in picture]  # above the legend
    assert np.median(rows[0]) == pytest.approx(np.median(rows[1]), abs=2)


def test_no_difference_no_second_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("difference" in text for text in texts_of(monkeypatch, "superplot", cells()))


def test_first_and_last_of_each_track() -> None:
    table = pd.DataFrame(
        {"track_id": [1, 1, 1, 2], "condition": "a", "replicate": 1, "time_s": [5.0, 0.0, 9.0, 3.0],
         "value": [50.0, 10.0, 90.0, 7.0]}
    )  # fmt: skip
    ends = first_and_last(table)
    assert ends["start"].tolist() == [10.0, 7.0]
    assert ends["end"].tolist() == [90.0, 7.0]
    assert ends["n_times"].tolist() == [3, 1]


def test_tracks_of_one_time_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(monkeypatch, "start-to-end", tracks())
    assert "start   end\ncontrol\n2 tracks (+ 1 of one time)" in texts
    assert "within 1.5 h" not in texts
    assert "within 90 min" in texts


def test_a_course_names_conditions_events_and_band(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(monkeypatch, "time-course", TABLES["time-course"])
    assert {"control (3 tracks)", "LPS, 1 µg/mL (3 tracks)", "division (4)", "mean and range", "time (min)"} <= set(
        texts
    )


def test_a_mother_lies_between_her_daughters() -> None:
    heights, generations = lineage_layout(lineage())
    assert generations == {1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 0}
    assert heights[3] == (heights[4] + heights[5]) / 2
    assert heights[1] == (heights[2] + heights[3]) / 2
    ends = sorted(heights[number] for number in (2, 4, 5, 6))
    assert ends == [0, 1, 2, 3], "every end has a row of its own"
    assert heights[6] == 3, "the largest tree comes first"


@pytest.mark.parametrize("rows", [[(1, 2), (2, 1)], [(1, 0), (1, 0)]])
def test_impossible_trees_are_refused(rows: list[tuple[int, int]]) -> None:
    table = pd.DataFrame(rows, columns=["track_id", "parent_id"]).assign(first_frame=0, last_frame=1)
    with pytest.raises(SettingsError, match="twice, or is its own ancestor"):
        lineage_layout(table)


def test_many_tracks_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"track_id": range(1, 401), "parent_id": 0, "first_frame": 0, "last_frame": 9})
    assert "300 of 400 tracks" in texts_of(monkeypatch, "lineage", table)


def test_a_svg_has_no_date() -> None:
    svg = lineage_trees(lineage(), file_format="svg").decode()
    assert "<dc:date>" not in svg
    assert re.search(r"<svg ", svg)


def test_ends_and_divisions_of_a_lineage_are_marked_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(monkeypatch, "lineage", lineage(), quantity="frame", unit="")
    assert {"2 divisions", "end of the film (3)", "death (1)", "frame"} <= set(texts)
    timed = lineage().assign(first_time_s=lineage()["first_frame"] * 3600.0)
    assert "frame" in texts_of(monkeypatch, "lineage", timed, quantity="frame", unit="")
    timed = timed.assign(last_time_s=timed["last_frame"] * 3600.0)
    assert "time (h)" in texts_of(monkeypatch, "lineage", timed, quantity="frame", unit="")


def test_an_end_without_a_mark_of_its_own_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dark marks of the ends: as many more pixels as there are ends of a word that is not known."""
    plain = lineage().assign(end="")
    odd = plain.assign(end=["", "fixed", "", "fixed", "", ""])
    n_plain, n_odd = (blobs(lineage_trees(table), "#333333").sum() for table in (plain, odd))
    assert n_odd > n_plain + 20
    assert "fixed (2)" in texts_of(monkeypatch, "lineage", odd)


def test_a_long_title_has_several_lines_and_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    title = "first frame, without 28 cut by the border, and more that is worth saying"
    (shown,) = [text for text in texts_of(monkeypatch, "superplot", cells(), title=title) if text.startswith("first")]
    assert shown.replace("\n", " ") == title
    picture = np.asarray(Image.open(io.BytesIO(superplot(cells(), quantity="v", unit="", title=title))).convert("L"))
    assert "\n" in shown
    assert (picture[:45, [0, 1, -2, -1]] == 255).all(), "nothing is cut off at the sides"
