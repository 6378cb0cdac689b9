"""Gallery, planes, checks, results and files of the report, each against what lies in a small folder."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import TWO
from tests.in_process import tomocyte, workers_in_this_process
from tests.runs.test_report_page import HOSTILE, RUN, Page, facts, objects, page

from tomocyte.errors import SettingsError
from tomocyte.figures import histogram
from tomocyte.figures.previews import webp
from tomocyte.formats import write_volume
from tomocyte.ledger import verify
from tomocyte.runs.report import ReportItem, write_report
from tomocyte.runs.report.comparison import comparison_rows
from tomocyte.runs.report.sections.gallery import CARDS_ON_SHEET, MOST_CARDS
from tomocyte.runs.report.sections.items import MOST_WITH_OBJECTS
from tomocyte.runs.report.sections.quality import flag_rows
from tomocyte.runs.report_of_run import refresh_report
from tomocyte.volume import Volume


def shown_item(folder: Path, name: str, labels: list[int], **changes: Any) -> ReportItem:
    """An item whose cells have tiles in rows of two, with three planes."""
    path = folder / "items" / "a"
    path.mkdir(parents=True, exist_ok=True)
    (path / "cells_00000.webp").write_bytes(webp(np.zeros((176, 176, 3), np.uint8)))
    (path / "planes_00000.webp").write_bytes(webp(np.zeros((20, 60, 3), np.uint8)))
    cells = {"kind": "cells", "frame": 0, "picture": "cells_00000.webp", "n_columns": 2, "tile_px": [88, 88],
             "bar_um": 5.0, "labels": labels}  # fmt: skip
    planes = {"kind": "planes", "frame": 0, "picture": "planes_00000.webp", "n_columns": 2, "tile_px": [10, 30],
              "bar_um": 20.0, "planes": [0, 6, 13]}  # fmt: skip
    return ReportItem(name, facts(primary="cell", previews=[cells, planes], **changes), folder=path)


def cards_of(shown: Page) -> list[tuple[str, str]]:
    """Title and position of the tile of each card, in their order."""
    found = re.findall(r'<li data-i="\d+"><a href="#item-\d+" title="([^"]*)">.*?position:([^"]*)"', shown.source)
    return [(html.unescape(title), place) for title, place in found]


def test_low_confidence_comes_first_and_each_tile_is_the_cells_own(tmp_path: Path) -> None:
    table = objects("a.tif", [1.0, 2.0, 3.0], confidence=[0.9, np.nan, 0.4])
    shown = page(tmp_path, [shown_item(tmp_path, "a.tif", [1, 2, 3])], table)
    assert cards_of(shown) == [
        ("a.tif, label 3; bar 5 µm", "0px -88px"),
        ("a.tif, label 1; bar 5 µm", "0px 0px"),
        ("a.tif, label 2; bar 5 µm", "-88px 0px"),
    ]
    (cards,) = [entry for entry in shown.all("ol") if entry.get("id") == "cards"]
    values = json.loads(cards["data-cells"])["values"]
    assert values["confidence"] == [0.4, 0.9, None]
    assert values["volume_um3"] == [3.0, 1.0, 2.0]
    assert next(option["value"] for option in shown.all("option")) == "confidence"
    assert "Low confidence first." in shown.text


def test_without_confidence_the_lowest_of_the_first_column_comes_first(tmp_path: Path) -> None:
    shown = page(tmp_path, [shown_item(tmp_path, "a.tif", [1, 2])], objects("a.tif", [2.0, 1.0]))
    assert [title[:14] for title, _ in cards_of(shown)] == ["a.tif, label 2", "a.tif, label 1"]
    assert "Low confidence" not in shown.text
    assert shown.all("option")[0]["value"] == "volume_um3"


def test_a_film_says_how_many_objects_and_tracks_it_has(tmp_path: Path) -> None:
    """Two cells in two frames, one of them the same: three tracks; nuclei are counted only."""
    cells = [objects("a.tif", [1.0, 2.0], frame=frame, track_id=tracks) for frame, tracks in ((0, [1, 2]), (1, [1, 3]))]
    table = pd.concat([*cells, objects("a.tif", [1.0], "nucleus", track_id=1)], ignore_index=True)
    text = page(tmp_path, [shown_item(tmp_path, "a.tif", [1, 2])], table).text
    assert "4 cell in all frames, 3 tracks" in text
    assert "1 nucleus in all frames" in text
    assert "2 of 4 cells are shown, those of frame 0." in text
    assert "in all frames" not in page(tmp_path, [ReportItem("a.tif", facts())], objects("a.tif", [1.0])).text


def test_cells_without_a_tile_and_other_structures_have_no_card(tmp_path: Path) -> None:
    table = pd.concat([objects("a.tif", [1.0, 2.0]), objects("a.tif", [1.0], "nucleus"), objects("b.tif", [1.0])])
    items = [shown_item(tmp_path, "a.tif", [2]), ReportItem("b.tif", facts())]
    shown = page(tmp_path, items, table.reset_index(drop=True))
    assert len(cards_of(shown)) == 1
    without = page(tmp_path, [ReportItem("b.tif", facts())], objects("b.tif", [1.0]))
    assert "Gallery" not in without.text


def test_a_gallery_has_an_end_and_says_so(tmp_path: Path) -> None:
    n = MOST_CARDS + 5
    item = shown_item(tmp_path, "a.tif", list(range(1, n + 1)))
    table = objects("a.tif", [1.0] * n, confidence=np.linspace(0.9, 0.1, n))
    shown = page(tmp_path, [item], table)
    cards = cards_of(shown)
    assert len(cards) == CARDS_ON_SHEET
    assert cards[0][0].startswith(f"a.tif, label {n};")
    assert f"1 to {CARDS_ON_SHEET} of {MOST_CARDS}" in shown.text
    (sheet,) = [entry for entry in shown.all("ol") if entry.get("id") == "cards"]
    data = json.loads(sheet["data-cells"])
    assert [card[1] for card in data["cards"]] == list(range(n, n - MOST_CARDS, -1))
    assert data["cards"][1] == [
        1,
        n - 1,
        0,
        None,
        0,
        -88 * (n % 2),
        -88 * (n // 2 - 1),
    ]  # input, label, frame, track, sprite, x, y
    assert f"The first {MOST_CARDS} of {n} are shown." in shown.text


def test_planes_say_their_depth(tmp_path: Path) -> None:
    shown = page(tmp_path, [shown_item(tmp_path, "a.tif", [1])], objects("a.tif", [1.0]))
    assert "plane 7 of 14, z = 2.4 µm ; the bar is 20 µm long" in shown.text  # 6 × 0.4 µm
    assert shown.all("input")[-1]["max"] == "2"
    assert [entry["data-y"] for entry in shown.all("li") if "data-y" in entry] == ["0", "0", "-10"]


def test_hostile_names_are_text_in_every_section(tmp_path: Path) -> None:
    item = shown_item(tmp_path, HOSTILE, [1], n_objects={HOSTILE: 1})
    item = ReportItem(HOSTILE, {**item.facts, "primary": HOSTILE}, (f"{HOSTILE}: {HOSTILE}",), folder=item.folder)
    table = objects(HOSTILE, [1.0], HOSTILE, flags="<b>").assign(**{HOSTILE: 1.0})
    (tmp_path / "analysis").mkdir()
    pd.DataFrame({HOSTILE: [HOSTILE]}).to_csv(tmp_path / "analysis" / "comparison.csv", index=False)
    dictionary = [{"column": HOSTILE, "unit": HOSTILE, "meaning": HOSTILE, "nan_reason": HOSTILE}]
    write_report(tmp_path / "report.html", [item], table, RUN, dictionary=dictionary)
    shown = Page(tmp_path / "report.html")
    assert len(shown.all("script")) == 1
    assert "onerror" not in {name for _, attributes in shown.tags for name in attributes}
    assert len(shown.all("b")) == len(re.findall(r"<b[ >]", shown.source))
    assert not re.search(r"url\((?!data:)|@import|https?:", shown.source)


def test_flags_are_counted() -> None:
    table = pd.DataFrame(
        {
            "structure": ["cell"] * 4 + ["nucleus"],
            "flags": ["two-nuclei", "two-nuclei touches-border", "", None, ""],
            "is_cut": [True, False, False, False, True],
            "confidence": [0.4, 0.5, np.nan, 0.9, 0.1],
        }
    )
    rows = [(row["structure"], row["flag"], row["n"], row["n_all"]) for row in flag_rows(table)]
    assert rows == [
        ("cell", "cut by the border", 1, 4),
        ("cell", "confidence below 0.5", 1, 4),
        ("cell", "two-nuclei", 2, 4),
        ("cell", "touches-border", 1, 4),
        ("nucleus", "cut by the border", 1, 1),
        ("nucleus", "confidence below 0.5", 1, 1),
    ]


def test_notes_are_gathered_by_code(tmp_path: Path) -> None:
    items = [
        ReportItem("a.tif", facts(), ("W-NAN: 3 voxels.", "W-NAN: 5 voxels.", "W-FLAT: flat.")),
        ReportItem("b.tif", facts(), ("W-NAN: 7 voxels.",)),
        ReportItem("c.tif", error={"code": "E-X", "problem": "broken.", "cure": ""}),
    ]
    text = page(tmp_path, items, objects("a.tif", [1.0])).text
    assert "W-NAN 2 of 3 3 voxels. a.tif , b.tif" in text
    assert "W-FLAT 1 of 3 flat. a.tif" in text
    assert "E-X 1 of 3 broken. c.tif" in text


def test_comparisons_and_figures_are_shown_with_their_files(tmp_path: Path) -> None:
    from tomocyte.figures.experiment import write_figure

    (tmp_path / "analysis").mkdir()
    known = {"structure": "cell", "quantity": "volume_um3", "unit_of_quantity": "µm³", "summary": "mean"}
    numbers = {
        "mean": 900.0,
        "mean_control": 744.74,
        "n_cells": 60,
        "n_cells_control": 58,
        "n_replicates": 3,
        "n_replicates_control": 2,
        "difference": 155.26,
        "difference_low": 70.0,
        "difference_high": 240.51,
    }
    tested = {"p": [0.0123, 0.3, np.nan], "p_holm": [0.0246, 0.3, np.nan], "reason": ["", "", "one replicate"]}
    comparison = pd.DataFrame(
        {"condition": ["LPS", "both", "none"], "control": "control", **known, **numbers, **tested}
    )
    comparison.to_csv(tmp_path / "analysis" / "comparison.csv", index=False)
    cells = pd.DataFrame({"condition": "a", "replicate": 1, "value": [1.0, 2.0]})
    (tmp_path / "analysis" / "words.md").write_text("# Analysis\n\nLeft out: 3 cells.\n\n- **volume**: more\n")
    about = {"quantity": "volume", "unit": "µm³", "title": "a title"}
    write_figure(tmp_path / "figures" / "50 % cells", "superplot", cells, **about)
    (tmp_path / "figures" / "f_turn.gif").write_bytes(b"")
    (tmp_path / "figures" / "picture without data.png").write_bytes(b"")
    shown = page(tmp_path, [ReportItem("a.tif", facts())], objects("a.tif", [1.0]))
    first = "cell volume (µm³) mean of each cell LPS 900.0 3 replicates, 60 cells control 744.7 2 replicates"
    assert first in shown.text
    for verdict in ("0.012 0.025 the conditions differ", "0.3 0.3 no difference shown", "– – one replicate"):
        assert f"155 (70 to 241) {verdict}" in shown.text
    assert "Left out: 3 cells. volume: more" in shown.text
    assert "a title: volume · SVG" in shown.text
    sizes = {(image["width"], image["height"]) for image in shown.all("img")}
    with Image.open(tmp_path / "figures" / "50 % cells.png") as picture:
        assert sizes == {(str(picture.width), str(picture.height))}, "so that links of the page lead to their place"
    links = [anchor["href"] for anchor in shown.all("a") if not anchor["href"].startswith("#")]
    names = ("50%20%25%20cells.svg", "50%20%25%20cells.csv", "f_turn.gif")
    assert {"analysis/comparison.csv", *(f"figures/{name}" for name in names)} <= set(links)
    assert all((tmp_path / unquote(link)).exists() for link in links)
    assert "without data" not in shown.text
    assert comparison_rows(tmp_path / "none.csv") is None


def test_of_many_inputs_each_has_its_means(tmp_path: Path) -> None:
    """Two inputs of 130 rows: the first 100 of each; of more inputs than eight the mean of 1, 2 and 6 µm³."""
    two = pd.concat([objects(name, [1.0] * 130) for name in ("0.tif", "1.tif")], ignore_index=True)
    shown = page(tmp_path, [ReportItem(name, facts()) for name in ("0.tif", "1.tif")], two)
    assert shown.text.count("The first 100 of 130 are shown; all are in objects.csv") == 2
    names = [f"{number}.tif" for number in range(MOST_WITH_OBJECTS + 1)]
    table = pd.concat([objects(name, [1.0, 2.0, 6.0]) for name in names], ignore_index=True)
    shown = page(tmp_path, [ReportItem(name, facts()) for name in names], table)
    assert shown.text.count("3.000 ± 2.646 (n = 3)") == len(names)
    assert "are shown; all are in objects.csv" not in shown.text


def thousand_cells(folder: Path, n_inputs: int) -> tuple[list[ReportItem], pd.DataFrame]:
    """A thousand cells with two organelles each and forty columns, in films of five frames with pictures of noise."""
    rng = np.random.default_rng(2)
    n_cells = 1000 // n_inputs
    path = folder / "items" / "a"
    path.mkdir(parents=True)
    smooth = np.kron(rng.integers(0, 256, (90, 160, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(smooth).save(path / "overview_00000.png")
    shown = shown_item(folder, "", list(range(1, n_cells + 1)))
    tile = np.kron(rng.integers(0, 256, (11, 11, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    (path / "cells_00000.webp").write_bytes(webp(np.tile(tile, (-(-n_cells // 16), 16, 1))))
    counts = histogram(rng.normal(1.34, 0.01, (3, 20, 30)), {})
    names = [f"field {number}.tif" for number in range(n_inputs)]
    known = {**shown.facts, "histogram": counts, "shape_tczyx": [5, 1, 14, 30, 50]}
    items = [
        ReportItem(name, known, pictures=(("planes", path / "overview_00000.png"),) * 3, folder=path) for name in names
    ]
    columns = {f"value_{number}_um": rng.normal(5, 1, n_cells) for number in range(40)}
    parts = [
        objects(name, list(rng.normal(500, 50, n_cells)), structure, frame=np.arange(n_cells) % 5,
                time_s=60.0 * (np.arange(n_cells) % 5), **columns)
        for name in names
        for structure in ("cell", "nucleus", "lipid_droplet")
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return items, table.assign(label=table.groupby(["item", "structure"]).cumcount() + 1, frame=0)


@pytest.mark.parametrize(("n_inputs", "most_mb", "most_nodes"), [(1, 3, 14_000), (20, 6, 14_000), (60, 9, 25_000)])
def test_a_report_of_a_thousand_cells_opens_quickly(
    tmp_path: Path, n_inputs: int, most_mb: float, most_nodes: int
) -> None:
    """Bytes and nodes are what opening a page costs: Chromium takes some 0.04 s per MB and 0.01 s per 1,000."""
    items, table = thousand_cells(tmp_path, n_inputs)
    shown = page(tmp_path, items, table)
    assert (tmp_path / "report.html").stat().st_size < most_mb * 1e6
    assert len(shown.tags) < most_nodes
    assert len(cards_of(shown)) == CARDS_ON_SHEET
    pictures = shown.all("img")
    assert len(pictures) >= n_inputs
    assert all(entry["loading"] == "lazy" and entry["src"].startswith("data:") for entry in pictures)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one film of two frames, two balls in each, and of a file that is no image."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "in").mkdir()
    series = np.stack([ball_ri(centres_um=TWO), ball_ri(centres_um=TWO)])[:, None]
    known: dict[str, Any] = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1"}
    film = Volume.from_array(series, **known, medium_ri=MEDIUM_RI, time_s=(0.0, 60.0))
    write_volume(folder / "in" / "f.ome.tif", film)
    (folder / "in" / "broken.ome.tif").write_bytes(b"no image")
    with workers_in_this_process():
        done = tomocyte("run", folder / "in", "-m", "odt", "--model", "classical", "-o", folder / "out")
    assert done.exit_code == 3, done.output
    return folder / "out"


def test_a_report_written_again_is_the_same_until_there_are_figures(run_folder: Path) -> None:
    page_of_run = run_folder / "report.html"
    before = page_of_run.read_bytes()
    assert "E-TIFF" in before.decode()
    for elsewhere in (run_folder, run_folder / "items", run_folder.parent / "figures"):
        assert refresh_report(run_folder, elsewhere) is None
    assert refresh_report(run_folder, run_folder / "figures") == page_of_run
    assert page_of_run.read_bytes() == before
    try:
        done = tomocyte("figures", run_folder, "--quantity", "mean_ri")
        assert done.exit_code == 0, done.output
        assert f"report: {page_of_run}" in done.stderr
        shown = Page(page_of_run)
        assert "figures/cell_mean_ri_superplot.csv" in {anchor["href"] for anchor in shown.all("a")}
        assert verify(run_folder).is_ok
    finally:
        shutil.rmtree(run_folder / "figures", ignore_errors=True)
        page_of_run.write_bytes(before)


def test_a_run_of_an_earlier_version_keeps_its_report(run_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_folder, tmp_path / "out")
    content = json.loads((copy / "run.json").read_text())
    del content["failures"]
    (copy / "run.json").write_text(json.dumps(content))
    assert refresh_report(copy, copy / "figures") is None
    (copy / "run.json").write_text("{")
    with pytest.raises(SettingsError, match="E-RUN-FOLDER"):
        refresh_report(copy, copy / "figures")


def test_a_run_shows_each_of_its_cells(run_folder: Path) -> None:
    table = pd.read_csv(run_folder / "objects.csv")
    cells = table[table["structure"] == "cell"]
    shown = Page(run_folder / "report.html")
    expected = {f"f, label {row.label}{f', frame {row.frame}' if row.frame else ''}" for row in cells.itertuples()}
    assert len(expected) == 4
    assert {re.sub(r"(, track \d+)?;.*", "", title) for title, _ in cards_of(shown)} == expected
    record = json.loads((run_folder / "items" / "f" / "facts.json").read_text())
    assert [entry["labels"] for entry in record["previews"] if entry["kind"] == "cells"] == [[1, 2], [1, 2]]


def test_every_link_of_a_run_leads_to_a_file(run_folder: Path) -> None:
    shown = Page(run_folder / "report.html")
    links = [anchor["href"] for anchor in shown.all("a") if not anchor["href"].startswith("#")]
    assert {"objects.csv", "status.csv", "items/f/cell.ome.tif"} <= set(links)
    assert [link for link in links if not (run_folder / unquote(link)).exists()] == []
    anchors = {attributes["id"] for _, attributes in shown.tags if "id" in attributes}
    assert {anchor["href"][1:] for anchor in shown.all("a") if anchor["href"].startswith("#")} <= anchors


def test_tables_and_controls_are_reached_by_keyboard(run_folder: Path) -> None:
    shown = Page(run_folder / "report.html")
    wide = [attributes for tag, attributes in shown.tags if "wide" in attributes.get("class", "").split()]
    assert wide
    assert all(attributes.get("tabindex") == "0" and attributes.get("aria-label") for attributes in wide)
    assert shown.all("a")[0]["href"] == "#main"
