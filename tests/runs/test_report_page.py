"""The page as a browser would take it apart: its tags, its texts, its pictures."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tomocyte.figures import histogram, overview
from tomocyte.missing_cone.closure import Closure
from tomocyte.runs.report import ReportItem, ReportRun, write_report

DICTIONARY = [
    {"column": "volume_um3", "unit": "µm³", "meaning": "Voxels times voxel volume."},
    {"column": "surface_area_um2", "unit": "µm²", "meaning": "Surface.", "nan_reason": "fewer than three voxels"},
    {"column": "mean_ri", "unit": "1", "meaning": "Mean refractive index."},
    {"column": "dry_mass_pg", "unit": "pg", "meaning": "Dry mass.", "nan_reason": "the medium's RI is unknown"},
]
RUN = ReportRun(
    modality="odt",
    model="classical",
    started="2026-01-02T03:04:05+00:00",
    settings={"model": "classical", "segmentation": {"foreground": {"method": "otsu", "value": None}}},
    versions={"tomocyte": "0.1.0", "numpy": "2.4"},
    limits=("Classical engine, not a trained model.", "Simulated input."),
)
HOSTILE = '<img src=x onerror="alert(1)"></title><script>alert(2)</script>세포 Zelle_äöü 🦠 {{ 7*7 }}.tif'


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.last = ""
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.last = tag
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.last not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def objects(item: str, volumes: list[float], structure: str = "cell", **columns: Any) -> pd.DataFrame:
    n = len(volumes)
    table = {"item": item, "frame": 0, "structure": structure, "label": range(1, n + 1), "cell_id": 1}
    table |= {"volume_um3": volumes, "surface_area_um2": np.nan, "mean_ri": 1.35, "dry_mass_pg": np.nan}
    return pd.DataFrame({**table, **columns})


def facts(**changes: Any) -> dict[str, Any]:
    known = {
        "shape_tczyx": [1, 1, 14, 30, 50],
        "voxel_size_um": [0.4, 0.2, 0.1],
        "quantity": "refractive_index",
        "unit": "1",
        "medium_ri": [1.3371],
        "origin": {"voxel_size_um": "file", "medium_ri": "user"},
        "n_objects": {"cell": 3, "nucleus": 0},
    }
    return {**known, **changes}


def page(folder: Path, items: list[ReportItem], table: pd.DataFrame, run: ReportRun = RUN, **options: Any) -> Page:
    write_report(folder / "report.html", items, table, run, dictionary=DICTIONARY, **options)
    assert [entry.name for entry in folder.glob("report*")] == ["report.html"]
    return Page(folder / "report.html")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "overview_00000.png"
    path.write_bytes(overview(np.ones((3, 20, 30)), {}, (0.3, 0.2, 0.1), unit="1", quantity="refractive_index"))
    return path


def test_nothing_comes_from_outside(tmp_path: Path, picture: Path) -> None:
    counts = histogram(np.random.default_rng(0).normal(1.34, 0.01, (3, 20, 30)), {})
    item = ReportItem("a.tif", facts(histogram=counts), pictures=(("Three planes", picture),))
    shown = page(tmp_path, [item], objects("a.tif", [1.0, 2.0, 3.0]))
    assert not {tag for tag, _ in shown.tags} & {"link", "iframe", "object", "embed", "base", "form", "video"}
    sources = [image["src"] for image in shown.all("img")]
    assert len(sources) == 1
    assert len(shown.all("svg")) == 1
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    with Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1]))) as small, Image.open(picture) as whole:
        difference = np.asarray(small.convert("RGB")).astype(int) - np.asarray(whole.convert("RGB"))
    assert np.abs(difference).mean() < 2, "the picture of the folder, in fewer bytes"
    assert "#item-1" in {anchor["href"] for anchor in shown.all("a")}
    assert not re.search(r"url\((?!data:)|@import|https?:", shown.source)
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)


def test_the_policy_allows_just_the_pages_own_script(tmp_path: Path) -> None:
    shown = page(tmp_path, [], objects("a", []))
    policy = next(entry["content"] for entry in shown.all("meta") if "content" in entry and "http-equiv" in entry)
    script = shown.source.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_names_are_text(tmp_path: Path, picture: Path) -> None:
    items = [
        ReportItem(HOSTILE, facts(n_objects={HOSTILE: 1}, unit=HOSTILE), (HOSTILE,), ((HOSTILE, picture),)),
        ReportItem(HOSTILE + "2", error={"code": HOSTILE, "problem": HOSTILE, "cure": HOSTILE}),
    ]
    run = ReportRun(HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: {HOSTILE: HOSTILE}}, {HOSTILE: HOSTILE}, (HOSTILE,))
    table = objects(HOSTILE, [1.0], HOSTILE).assign(**{HOSTILE: 1.0})
    dictionary = [{"column": HOSTILE, "unit": HOSTILE, "meaning": HOSTILE, "nan_reason": HOSTILE}]
    write_report(tmp_path / "report.html", items, table, run, dictionary=dictionary)
    shown = Page(tmp_path / "report.html")
    assert len(shown.all("script")) == 1
    assert {image["src"][:5] for image in shown.all("img")} == {"data:"}
    assert "onerror" not in {name for _, attributes in shown.tags for name in attributes}
    assert shown.text.count(HOSTILE) >= 12


def test_a_name_that_is_not_unicode_is_spelled_out(tmp_path: Path) -> None:
    shown = page(tmp_path, [ReportItem("a\udcff.tif", facts())], objects("b.tif", []))
    assert "a\\udcff.tif" in shown.text


def test_the_summary_is_right(tmp_path: Path) -> None:
    items = [
        ReportItem("a.tif", facts()),
        ReportItem("b.tif", facts()),
        ReportItem("c.tif", error={"code": "E-X", "problem": "broken.", "cure": "Mend it."}),
    ]
    table = pd.concat([objects("a.tif", [1.0, 2.0]), objects("b.tif", [3.0, np.nan])], ignore_index=True)
    shown = page(tmp_path, items, table)
    assert "2 of 3 inputs done" in shown.text
    assert "1 failed" in shown.text
    assert "4 cell" in shown.text
    assert "0 nucleus" in shown.text
    assert "volume (µm³) 2.000 ± 1.000 (n = 3)" in shown.text  # mean and sample SD of 1, 2, 3
    assert "mean RI 1.3500 ± 0.0000 (n = 4)" in shown.text
    assert "Simulated input." in shown.text
    assert "segmentation.foreground.method otsu" in shown.text


def contact_rows(**changes: Any) -> pd.DataFrame:
    """Two cells with droplets against the Golgi apparatus; the mitochondria of one among each other."""
    rows = {
        "structure": ["lipid_droplet", "lipid_droplet", "mitochondrion"],
        "cell_id": [1, 2, 1],
        "other_structure": ["golgi", "golgi", "mitochondrion"],
        "n_objects": [10, 30, 4],
        "n_other_objects": [1, 1, 3],
        "n_in_contact": [4, 8, 2],
        "n_contacts": [4.0, 9.0, 1.0],
        "contact_area_um2": [0.5, 1.0, 0.25],
        "mean_distance_um": [0.8, 0.4, 2.0],
        "n_placements": [199, 199, 0],
        "n_contacts_expected": [2.0, 3.0, np.nan],
        "n_contacts_z": [1.0, 4.0, np.nan],
        "n_contacts_p": [0.3, 0.01, np.nan],
        "mean_distance_expected_um": [1.0, 1.0, np.nan],
        "mean_distance_z": [-1.0, -5.0, np.nan],
        "mean_distance_p": [0.4, 0.01, np.nan],
    }
    return pd.DataFrame({**rows, **changes})


def test_contacts_and_chance_are_said_in_words(tmp_path: Path) -> None:
    run = replace(RUN, settings={"contacts": {"gap_um": 0.03}})
    text = page(tmp_path, [], objects("a", []), run, contacts=contact_rows()).text
    # Objects and contacts are summed, 10 · 0.8 + 30 · 0.4 over 40; 13 of 5 expected.
    assert "lipid droplet golgi 2 40 12 13 1.500 0.5000 13 contacts, 5 expected by chance: 2.60 times" in text
    assert "(p ≤ 0.05 in 1 of 2 cells: 1 more, 0 fewer)" in text
    assert (
        "0.5000 µm apart, 1.000 expected by chance: 0.50 times (p ≤ 0.05 in 1 of 2 cells: 0 farther, 1 nearer)" in text
    )
    assert "mitochondrion each other 1 4 2 1 0.2500 2.000" in text
    assert "at most 0.03 µm apart" in text
    assert "199 random placements" in text
    one = page(tmp_path, [], objects("a", []), run, contacts=contact_rows()[:1]).text
    assert "4 contacts, 2 expected by chance: 2.00 times (p = 0.3, within what chance explains)." in one


def test_contacts_without_chance_say_how_to_ask_for_it(tmp_path: Path) -> None:
    text = page(tmp_path, [], objects("a", []), contacts=contact_rows()[2:]).text
    assert "by chance says --placements 199" in text
    assert "against chance" not in text
    assert "Contacts" not in page(tmp_path, [], objects("a", [])).text


def test_cells_come_before_what_lies_in_them(tmp_path: Path) -> None:
    names = ["zygote", "inclusion", "nucleus", "cell"]
    table = pd.concat([objects("a.tif", [1.0], name) for name in names], ignore_index=True)
    shown = page(tmp_path, [ReportItem("a.tif", facts(n_objects=dict.fromkeys(names, 1)))], table)
    places = [[found.start() for found in re.finditer(name, shown.text)] for name in reversed(names)]
    tiles = [place[0] for place in places]
    assert tiles == sorted(tiles), "cell, nucleus, inclusion, then what is not known"


def test_a_failed_input_says_why_and_what_to_do(tmp_path: Path) -> None:
    error = {"code": "E-TIFF-TRUNC", "problem": "34 of 60 planes.", "cure": "Copy it again."}
    shown = page(tmp_path, [ReportItem("c.tif", error=error)], objects("c.tif", []))
    assert "0 of 1 inputs done" in shown.text
    assert "E-TIFF-TRUNC : 34 of 60 planes. Copy it again." in shown.text
    assert "#item-1" in [anchor["href"] for anchor in shown.all("a")]
    assert "item-1" in [section.get("id") for section in shown.all("section")]


def test_facts_say_where_they_come_from(tmp_path: Path) -> None:
    shown = page(tmp_path, [ReportItem("a.tif", facts(), ("W-FORCED: forced.",))], objects("a.tif", [1.0]))
    assert "14 × 30 × 50 voxels (z, y, x)" in shown.text
    assert "0.4 × 0.2 × 0.1 µm (from the file)" in shown.text
    assert "1.3371 (given by the user)" in shown.text
    assert "W-FORCED: forced." in shown.text


def closed(**changes: Any) -> list[dict[str, Any]]:
    figures = Closure(
        3, 2, parts_pg=0.05, parts_percent=0.04, columns_median_percent=3.2, columns_largest_percent=7.5,
        field_pg=200.0, cells_pg=190.0,
    )  # fmt: skip
    return [{"frame": 0, "closure": {**asdict(figures), **changes}}]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"medium_ri": [None, None]}, "unknown: concentration and dry mass cannot be computed"),
        ({"medium_ri": [1.3371, 1.3375], "origin": {"medium_ri": "measured"}}, "1.3371 to 1.3375 (measured outside"),
        ({"shape_tczyx": [1, 1, 1, 30, 50], "voxel_size_um": [None, 0.25, 0.125]}, "0.25 × 0.125 µm"),
        ({"shape_tczyx": [7, 2, 14, 30, 50]}, "14 × 30 × 50 voxels (z, y, x), 7 frames, 2 channels"),
        ({"quantity": "dry_mass_density", "unit": "pg/µm²"}, "dry mass density in pg/µm²"),
        ({"n_masked_voxels": 12}, "voxels without a value 12"),
        (
            {"missing_cone": closed(n_of_parts=3)},
            "weigh what the cell weighs: within 0.1 % and 0.05 pg (3 whole cells; 2 cells cut by the border left out)",
        ),
        ({"missing_cone": closed(n_of_columns=1)}, "by 3.2 % (median), at most 7.5 % (1 whole cell"),
        ({"missing_cone": closed(n_of_parts=1, parts_percent=2.5)}, "do not weigh what the cell weighs: within 2.5 %"),
        ({"missing_cone": closed()}, "weighs 200.0 pg above its background, its cells 190.0 pg, 5.0 % less"),
        ({"missing_cone": closed(n_whole=0)}, "not compared: 2 cells, all cut by the border"),
        (
            {"missing_cone": [*closed(n_of_parts=1), *closed(n_of_parts=4, parts_percent=1.26)]},
            "within 1.3 % and 0.05 pg (5 whole cells, worst of 2 frames; 4 cells cut",
        ),
    ],
)
def test_facts_of_all_kinds(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    shown = page(tmp_path, [ReportItem("a.tif", facts(**changes))], objects("a.tif", [1.0]))
    assert text in shown.text


def test_missing_values_carry_their_reason(tmp_path: Path) -> None:
    few = page(tmp_path, [ReportItem("a.tif", facts())], objects("a.tif", [1.0]))
    titles = [span["title"] for span in few.all("span") if span.get("class") == "missing"]
    assert "fewer than three voxels" in titles
    assert "the medium's RI is unknown" in titles
    assert "nan" not in few.text.lower().replace("nanometre", "")
    table = objects("a.tif", [1.0] * 6, surface_area_um2=[np.nan, 2.0, 3.0, 4.0, 5.0, 6.0])
    many = page(tmp_path, [ReportItem("a.tif", facts())], table)
    titles = [span["title"] for span in many.all("span") if span.get("class") == "missing"]
    assert titles.count("fewer than three voxels") == 1
    assert "No value for any object: dry mass : the medium's RI is unknown" in many.text


def test_an_object_cut_by_the_border_is_marked(tmp_path: Path) -> None:
    table = objects("a.tif", [1.0, 2.0], is_cut=[True, False])
    table["n_neighbours"] = pd.array([3, None], dtype="Int64")
    shown = page(tmp_path, [ReportItem("a.tif", facts())], table)
    assert "is cut yes no" in shown.text
    assert "n neighbours 3 –" in shown.text


@pytest.mark.parametrize(
    ("units", "text"),
    [(["pg/µm²", "pg/µm²"], "mean value (pg/µm²)"), (["1", "1"], "mean value 1.500"), (["1", "rad"], "(native)")],
)
def test_the_native_unit_is_written_out(tmp_path: Path, units: list[str], text: str) -> None:
    items = [ReportItem(f"{number}.tif", facts(unit=unit)) for number, unit in enumerate(units)]
    dictionary = [{"column": "mean_value", "unit": "native", "meaning": "Mean."}]
    table = pd.DataFrame({"item": ["0.tif"], "structure": "cell", "label": 1, "mean_value": 1.5})
    write_report(tmp_path / "report.html", items, table, RUN, dictionary=dictionary)
    assert text in Page(tmp_path / "report.html").text


def test_no_object_is_a_result(tmp_path: Path) -> None:
    item = ReportItem("a.tif", facts(n_objects={"cell": 0}), ("W-NO-CELL: no cell was found.",))
    for table in (objects("a.tif", []), pd.DataFrame()):
        shown = page(tmp_path, [item], table)
        assert "1 of 1 inputs done" in shown.text
        assert "0 cell" in shown.text
        assert "No objects were found" in shown.text


def test_values_sort_by_their_full_number(tmp_path: Path) -> None:
    volumes = [2.000001, 2.000002, 10.0, 1e-7, 3.0, 4.0]
    shown = page(tmp_path, [ReportItem("a.tif", facts())], objects("a.tif", volumes))
    values = [float(cell["data-value"]) for cell in shown.all("td") if cell.get("data-value", "") not in ("",)]
    assert set(volumes) <= set(values)


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    shown = page(tmp_path, [ReportItem("a.tif", facts())], objects("a.tif", [float(n) for n in range(130)]))
    assert "The first 100 of 130 are shown" in shown.text


def test_a_time_series_gets_its_curves(tmp_path: Path) -> None:
    table = pd.concat([objects("a.tif", [5.0, 6.0], frame=frame, time_s=60.0 * frame) for frame in range(4)])
    shown = page(tmp_path, [ReportItem("a.tif", facts(shape_tczyx=[4, 1, 14, 30, 50]))], table.reset_index(drop=True))
    assert [image["aria-label"] for image in shown.all("svg")] == [
        "volume of each cell over time",
        "mean RI of each cell over time",
    ]


def test_only_the_first_of_many_items_are_shown_whole(tmp_path: Path, picture: Path) -> None:
    names = [f"image_{number:05d}.tif" for number in range(3000)]
    items = [ReportItem(name, facts(), pictures=(("planes", picture),)) for name in names]
    items[5] = ReportItem(names[5], error={"code": "E-X", "problem": "broken.", "cure": ""})
    items[2999] = replace(items[5], name=names[2999])
    table = pd.concat([objects(name, [1.0]) for name in names[:20]], ignore_index=True)
    start = time.perf_counter()
    shown = page(tmp_path, items, table, max_items=10)
    assert time.perf_counter() - start < 10
    assert len(shown.all("img")) == 10
    shown_items = [section["id"] for section in shown.all("section") if section.get("class", "").startswith("item")]
    assert shown_items == [f"item-{n}" for n in [*range(1, 12), 3000]]
    assert "Only the first 10 of 2998 finished inputs are shown with images" in shown.text
    text = shown.text
    assert all(name in text for name in names)
    assert "2998 of 3000 inputs done" in shown.text


def test_the_contents_lead_to_every_section(tmp_path: Path) -> None:
    items = [ReportItem("a.tif", facts()), ReportItem("b.tif", error={"code": "E-X", "problem": "broken.", "cure": ""})]
    shown = page(tmp_path, items, objects("a.tif", [1.0]))
    anchors = {attributes["id"] for _, attributes in shown.tags if "id" in attributes}
    leads = [anchor["href"] for anchor in shown.all("a") if anchor["href"].startswith("#")]
    assert {"#summary", "#items", "#about", "#item-1", "#item-2"} <= set(leads)
    assert {lead[1:] for lead in leads} <= anchors


def test_same_input_same_bytes(tmp_path: Path, picture: Path) -> None:
    item = ReportItem("a.tif", facts(), pictures=(("planes", picture),))
    first = page(tmp_path, [item], objects("a.tif", [1.0, 2.0])).source
    assert first == page(tmp_path, [item], objects("a.tif", [1.0, 2.0])).source


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    item = ReportItem("a.tif", facts(), pictures=(("planes", tmp_path / "absent.png"),))
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "report.html", [item], objects("a.tif", [1.0]), RUN, dictionary=DICTIONARY)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
