"""Designs of experiments: which input is which replicate, from a table or from folders, refused where unclear."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tomocyte.errors import InputError, SettingsError
from tomocyte.statistics import Assignment, Design, design_from_folders, read_design

INPUTS = {
    "control_f1": ["control/day 1/f1.tif", "/data/control/day 1/f1.tif"],
    "control_f2": ["control/day 2/f2.tif", "/data/control/day 2/f2.tif"],
    "drug_f1": ["drug/day 1/f1.tif", "/data/drug/day 1/f1.tif"],
    "drug_f10": ["drug/day 1/f10.tif", "/data/drug/day 1/f10.tif"],
    "drug_f2": ["drug/day 2/f2.tif", "/data/drug/day 2/f2.tif"],
}


def written(folder: Path, text: str) -> Path:
    path = folder / "conditions.csv"
    path.write_text(text, encoding="utf-8")
    return path


def places(design: Design) -> dict[str, tuple[str, str]]:
    return {entry.item: (entry.condition, entry.replicate) for entry in design.assignments}


EXPECTED = {
    "control_f1": ("control", "1"),
    "control_f2": ("control", "2"),
    "drug_f1": ("drug", "1"),
    "drug_f10": ("drug", "1"),
    "drug_f2": ("drug", "2"),
}


@pytest.mark.parametrize(
    "lines",
    [
        # Names, ends of paths, folders, patterns, longer paths, backslashes: one design.
        ["control_f1,control,1", "control_f2,control,2", "drug_f1,drug,1", "drug_f10,drug,1", "drug_f2,drug,2"],
        ["control/day 1/f1.tif,control,1", "control/*/f2.tif,control,2", "drug/day 1,drug,1", "drug/day 2,drug,2"],
        ["control/day 1/*,control,1", "control/day 2/*,control,2", "drug/*/f1*.tif,drug,1", "drug_f2,drug,2"],
        ["/data/control/day 1/f1.tif,control,1", "control\\day 2,control,2", "/data/drug/day 1/*,drug,1",
         "/data/drug/day 2/f2.tif,drug,2"],
        ["a/data/control/day 1/f1.tif,control,1", "control/day 2,control,2", "drug/day 1,drug,1", "drug/day 2,drug,2"],
    ],
)  # fmt: skip
def test_inputs_are_called_in_several_ways(lines: list[str], tmp_path: Path) -> None:
    path = written(tmp_path, "path,condition,replicate\n" + "\n".join(lines) + "\n")
    assert places(read_design(path, INPUTS)) == EXPECTED


def test_semicolons_and_further_columns(tmp_path: Path) -> None:
    text = "\ufeffreplicate;condition;path;dish;time_zero_s;day\nm1;control;control;A;1800;mon\n\nm1;drug;drug;B;;tue\n"
    design = read_design(written(tmp_path, text), INPUTS)
    assert design.assignments[0] == Assignment("control_f1", "control", "m1", "A", "", "mon", 1800.0)
    assert design.assignments[-1] == Assignment("drug_f10", "drug", "m1", "B", "", "tue", 0.0)
    assert design.conditions == ("control", "drug")


def test_an_input_is_left_out_on_purpose(tmp_path: Path) -> None:
    path = written(tmp_path, "path,condition,replicate\ncontrol,control,1\ndrug/day 1,drug,1\ndrug_f2,-,\n")
    design = read_design(path, INPUTS)
    assert design.left_out == ("drug_f2",)
    table = pd.DataFrame({"item": ["drug_f2", "drug_f1", "control_f2"], "volume_um3": [1.0, 2.0, 3.0]})
    joined = design.join(table)
    assert joined[["item", "condition", "volume_um3"]].to_numpy().tolist() == [
        ["drug_f1", "drug", 2.0],
        ["control_f2", "control", 3.0],
    ]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("path,condition,replicate\ncontrol,control,1\ndrug,drug,1\nkontrol,control,2\n", "E-DESIGN-UNKNOWN",
         "line 4 names 'kontrol'"),
        ("path,condition,replicate\ncontrol,control,1\ndrug,drug,1\ndrug_f2,drug,2\n", "E-DESIGN-TWICE",
         "drug_f2 is named in line 3 and again in line 4"),
        ("path,condition,replicate\ncontrol,control,1\ndrug\n", "E-DESIGN", "line 3 names no condition"),
        ("path,condition,replicate\ncontrol,control,1\n", "E-DESIGN-ROW", "3 of 5 inputs (drug_f1, drug_f10, drug_f2)"),
        ("path,condition\ncontrol,control\n", "E-DESIGN", "has no column replicate"),
        ("path,condition,replicate,dosis\ncontrol,control,1,3\n", "E-DESIGN", "unknown columns: dosis"),
        ("path,condition,replicate\n", "E-DESIGN", "holds no line"),
        ("path,condition,replicate\n*,control,\n", "E-DESIGN", "line 2 names no replicate"),
        ("path,condition,replicate,time_zero_s\n*.tif,control,1,noon\n", "E-DESIGN", "time_zero_s is 'noon'"),
        ("path,condition,replicate\n*.tif,-,\n", "E-DESIGN", "every input is left out"),
        ("path,condition,replicate\ncontrol,Control,1\ndrug,control ,1\n", "E-DESIGN", "spelled in several ways"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_refused_with_a_cure(text: str, code: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_design(written(tmp_path, text), INPUTS)
    assert caught.value.code == code
    assert words in caught.value.problem
    assert caught.value.cure


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00path")
    for name in ("binary.csv", "missing.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            read_design(tmp_path / name, INPUTS)


def test_folders_spell_a_design() -> None:
    paths = {item: names[0] for item, names in INPUTS.items()}
    expected = {item: (condition, f"day {replicate}") for item, (condition, replicate) in EXPECTED.items()}
    assert places(design_from_folders(paths)) == expected
    swapped = design_from_folders(paths, ("replicate", "condition"))
    assert places(swapped)["drug_f2"] == ("day 2", "drug")
    only = design_from_folders(paths, ("condition", "-"))
    assert {entry.replicate for entry in only.assignments} == {"1"}


def test_one_level_of_folders_is_one_replicate() -> None:
    design = design_from_folders({"a": "control/a.tif", "b": "drug/b.tif", "c": "drug/c.tif"})
    assert places(design) == {"a": ("control", "1"), "b": ("drug", "1"), "c": ("drug", "1")}
    assert [notice.code for notice in design.notices()] == ["W-DESIGN-ONE-REPLICATE"]


def test_folders_that_say_too_little() -> None:
    for paths in ({"a": "a.tif", "b": "drug/b.tif"}, {"a": "control/a.tif", "b": "drug/day 1/b.tif"}, {}):
        with pytest.raises(InputError) as caught:
            design_from_folders(paths)
        assert caught.value.code == "E-DESIGN-FOLDERS"
    for levels in (("dose",), ("replicate",), ("condition", "condition")):
        with pytest.raises(SettingsError, match="E-DESIGN-LEVELS"):
            design_from_folders({"a": "x/a.tif"}, levels)


def test_notices() -> None:
    one = Design((Assignment("a", "control", "1"), Assignment("b", "control", "2")))
    assert [notice.code for notice in one.notices()] == ["W-DESIGN-ONE-CONDITION"]
    assert not one.has_common_replicates()
    both = Design(tuple(Assignment(f"{name}{day}", name, day) for name in ("control", "drug") for day in ("1", "2")))
    assert both.notices() == ()
    assert both.has_common_replicates()
    assert both.replicates("drug") == ("1", "2")
