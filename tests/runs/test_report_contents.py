"""What the report's tables say, against numpy and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tomocyte.runs.report.contents import (
    edit_rows,
    mean_and_deviation,
    measured_columns,
    object_tables,
    summary_rows,
)

DICTIONARY = {
    "volume_um3": {"unit": "µm³", "meaning": "Volume.", "nan_reason": ""},
    "mean_ri": {"unit": "1", "meaning": "Mean refractive index.", "nan_reason": ""},
    "dry_mass_pg": {"unit": "pg", "meaning": "Dry mass.", "nan_reason": "no medium"},
}


def objects(structure: str, n: int, *, item: str = "a") -> pd.DataFrame:
    volumes = 100.0 + 10 * np.arange(n)
    columns = {"volume_um3": volumes, "mean_ri": 1.35, "dry_mass_pg": np.nan, "medium_ri": 1.337}
    return pd.DataFrame({"item": item, "frame": 0, "structure": structure, "label": range(1, n + 1), **columns})


@pytest.mark.parametrize(
    ("values", "mean", "sd", "n"),
    [
        ([1.0, 2.0, 4.0], "2.333", f"{np.std([1, 2, 4], ddof=1):.3f}", "3"),
        ([1.0, math.nan, 3.0], "2.000", f"{math.sqrt(2):.3f}", "2"),
        ([7.5, math.inf], "7.500", "", "1"),
        ([math.nan], "–", "", "0"),
        ([], "–", "", "0"),
    ],
)
def test_mean_and_sample_deviation_of_the_values_that_exist(values: list[float], mean: str, sd: str, n: str) -> None:
    table = pd.DataFrame({"volume_um3": np.array(values, float)})
    assert mean_and_deviation(table, "volume_um3") == {"mean": mean, "sd": sd, "n": n}


def test_measured_columns_are_numbers_of_objects() -> None:
    table = objects("cell", 2).assign(flags="", is_cut=False, n_voxels=np.array([3, 4]), share=np.float32(1))
    assert measured_columns(table) == ["volume_um3", "mean_ri", "dry_mass_pg", "n_voxels", "share"]


def test_the_summary_has_a_cell_for_each_structure_even_one_without_objects() -> None:
    table = pd.concat([objects("nucleus", 1), objects("cell", 3)], ignore_index=True)
    summary = summary_rows(table, DICTIONARY, ("cell", "nucleolus"))
    assert {entry["name"]: entry["n"] for entry in summary["structures"]} == {"cell": 3, "nucleus": 1, "nucleolus": 0}
    assert summary["structures"][0]["name"] == "cell"
    (volumes,) = [row for row in summary["rows"] if row["unit"] == "µm³"]
    cells = dict(zip([entry["name"] for entry in summary["structures"]], volumes["cells"], strict=True))
    assert (cells["cell"]["mean"], cells["cell"]["sd"], cells["cell"]["n"]) == ("110.0", "10.0", "3")
    assert (cells["nucleus"]["n"], cells["nucleolus"]["mean"]) == ("1", "–")
    nothing = summary_rows(table.iloc[:0], DICTIONARY, ("cell",))
    assert nothing == {"structures": [{"name": "cell", "n": 0}], "rows": [], "left_out": ""}


def test_means_leave_out_what_the_border_cuts_and_say_so() -> None:
    """Volumes 100, 110 and 120 µm³: without the first 115 ± 7.1; where all are cut, over all."""
    cells = objects("cell", 3).assign(is_cut=[True, False, False])
    nuclei = objects("nucleus", 3).assign(is_cut=True)
    summary = summary_rows(pd.concat([cells, nuclei], ignore_index=True), DICTIONARY)
    assert {entry["name"]: entry["n"] for entry in summary["structures"]} == {"cell": 3, "nucleus": 3}
    (volumes,) = [row for row in summary["rows"] if row["unit"] == "µm³"]
    assert [(cell["mean"], cell["n"]) for cell in volumes["cells"]] == [("115.0", "2"), ("110.0", "3")]
    text = summary["left_out"]
    assert text == "Without objects cut by the border: 1 of 3 cell. All are cut of: nucleus."


def test_few_objects_stand_upright_and_long_tables_are_cut() -> None:
    """Four objects keep their empty columns; of 130, a hundred rows are shown and the empty column is named below."""
    table = pd.concat([objects("cell", 130), objects("nucleus", 4)], ignore_index=True)
    cells, nuclei = object_tables(table, DICTIONARY)
    assert (cells["structure"], cells["n"], cells["n_shown"], cells["is_upright"]) == ("cell", 130, 100, False)
    assert (nuclei["n"], nuclei["n_shown"], nuclei["is_upright"], nuclei["empty"]) == (4, 4, True, [])
    assert [note["unit"] for note in cells["empty"]] == ["pg"]
    assert all(len(row) == len(cells["columns"]) for row in cells["rows"])
    at = [note["unit"] for note in nuclei["columns"]].index("pg")
    assert {row[at]["text"] for row in nuclei["rows"]} == {"–"}
    assert all("no medium" in row[at]["title"] for row in nuclei["rows"])
    assert object_tables(table.iloc[:0], DICTIONARY) == []


def entry(number: int, **changes: Any) -> dict[str, Any]:
    merged = {"number": number, "frame": 2, "do": "merge", "structure": "lipid_droplet", "old": [[1, 30], [4, 12]]}
    return {**merged, "new": [[1, 42]], "n_voxels": 12, "size": 1.5, "note": "", "warnings": (), **changes}


def test_corrections_are_told_in_order_by_hand() -> None:
    log = [entry(1), entry(2, old=[], new=[[n, 1] for n in range(12)], note="seen", warnings=("W-A: x", "W-B: y"))]
    rows = edit_rows(log, is_planar=False)
    assert (rows["unit"], rows["n"]) == ("µm³", 2)
    assert rows["rows"][0] == ["1", "2", "merge lipid droplet", "1 (30), 4 (12)", "1 (42)", "12", "1.500", ""]
    assert rows["rows"][1][3] == "background"
    assert rows["rows"][1][4].endswith("9 (1), …")
    assert rows["rows"][1][7] == "seen W-A: x W-B: y"
    many = edit_rows([entry(n) for n in range(130)], is_planar=True)
    assert (many["unit"], many["n"], len(many["rows"])) == ("µm²", 130, 100)
