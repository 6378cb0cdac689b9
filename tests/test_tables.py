from __future__ import annotations

import csv
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tomocyte.errors import SettingsError
from tomocyte.measurements import measurements
from tomocyte.modalities import modalities
from tomocyte.pipeline.columns import object_columns
from tomocyte.tables import (
    LEADING,
    Column,
    arrange,
    csv_content,
    data_dictionary,
    find_columns,
    table_from_rows,
    write_csv,
    write_parquet,
    write_table,
)


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "volume_um3": [0.1, 1 / 3, math.nan, 1e-300, 6.02214076e23],
            "label": np.array([2, 70_001, 1, 3, 2], np.int64),
            "structure": ["nucleus", "cell", "cell", "cell", "cell"],
            "item": ["b", 'ä,"ö"', "b", "=cmd|'/C calc'!A0.tcf", "b"],
            "frame": [0, 0, 1, 0, 0],
            "is_cut": [True, False, False, True, False],
        }
    )


def test_rows_and_columns_get_their_fixed_order() -> None:
    given = table()
    arranged = arrange(given)
    assert list(arranged) == ["item", "frame", "structure", "label", "volume_um3", "is_cut"]
    assert arranged[["item", "frame", "structure", "label"]].values.tolist() == [
        ["=cmd|'/C calc'!A0.tcf", 0, "cell", 3],
        ["b", 0, "cell", 2],
        ["b", 0, "nucleus", 2],
        ["b", 1, "cell", 1],
        ['ä,"ö"', 0, "cell", 70_001],
    ]
    pd.testing.assert_frame_equal(given, table())
    shuffled = given.sample(frac=1, random_state=4)
    pd.testing.assert_frame_equal(arrange(shuffled), arranged)


def test_both_files_hold_the_same_numbers_to_the_last_bit(tmp_path) -> None:
    paths = write_table(table(), tmp_path / "objects.v1")
    assert [path.name for path in paths] == ["objects.v1.csv", "objects.v1.parquet"]
    expected = arrange(table())
    back = pd.read_parquet(paths[1])
    np.testing.assert_array_equal(back["volume_um3"], expected["volume_um3"])
    assert back["item"].tolist() == expected["item"].tolist()
    with paths[0].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    numbers = [float(row["volume_um3"]) if row["volume_um3"] else math.nan for row in rows]
    np.testing.assert_array_equal(numbers, expected["volume_um3"])
    assert [int(row["label"]) for row in rows] == expected["label"].tolist()


def test_the_exact_bytes_of_a_small_table(tmp_path) -> None:
    frame = pd.DataFrame({"item": ["a\n", "é"], "n": [-1, 2], "v": [-0.5, math.nan], "is_cut": [True, False]})
    write_csv(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == 'item,n,v,is_cut\n"a\n",-1,-0.5,True\né,2,,False\n'.encode()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"], ids=repr)
def test_formulas_are_disarmed_and_numbers_are_not(tmp_path, start) -> None:
    text = f"{start}1+2"
    frame = pd.DataFrame({"item": [text, "plain"], text: [-3.5, 4.0], "n": [-7, 8]})
    write_csv(frame, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        header, first, second = list(csv.reader(stream))
    assert header == ["item", f"'{text}", "n"]
    assert first == [f"'{text}", "-3.5", "-7"]
    assert second == ["plain", "4.0", "8"]
    write_parquet(frame, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["item"].tolist() == [text, "plain"]


def test_empty_tables_keep_their_columns(tmp_path) -> None:
    empty = table().iloc[:0]
    csv_path, parquet_path = write_table(empty, tmp_path / "objects")
    assert csv_path.read_text(encoding="utf-8") == "item,frame,structure,label,volume_um3,is_cut\n"
    back = pq.read_table(parquet_path)
    assert back.num_rows == 0
    assert str(back.schema.field("volume_um3").type) == "double"
    assert str(back.schema.field("label").type) == "int64"


SCRIPT = """
import sys
import pandas as pd
from tomocyte.tables import write_table
write_table(pd.read_parquet(sys.argv[1] + "/here.parquet").sample(frac=1, random_state=1), sys.argv[1] + "/there")
"""


@pytest.mark.parametrize("locale", ["C", "de_DE.UTF-8"])
def test_the_same_bytes_in_any_locale_and_process(tmp_path, locale) -> None:
    write_table(table(), tmp_path / "here")
    variables = {"LC_ALL": locale, "PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, env=variables, timeout=120)
    for suffix in (".csv", ".parquet"):
        assert (tmp_path / f"there{suffix}").read_bytes() == (tmp_path / f"here{suffix}").read_bytes()


def test_the_dictionary_describes_every_column_of_every_modality() -> None:
    columns = object_columns()
    described = data_dictionary(columns)
    assert described["column"].tolist() == [column.name for column in columns]
    assert described["column"].is_unique
    assert (described["meaning"].str.len() > 10).all()
    assert (described["meaning"].str.endswith((".", "…"))).all()
    assert described.set_index("column").loc["dry_mass_pg", "unit"] == "pg"
    for kind in modalities().values():
        find_columns(kind.measurements, columns)


def test_the_exact_bytes_of_a_dictionary(tmp_path) -> None:
    """The headings are those of files that users have."""
    columns = [
        Column("label", "1", "Number, from 1.", kind="integer"),
        Column("z_um", "µm", "Centre.", "Empty if planar.", "doi:1"),
    ]
    write_csv(data_dictionary(columns), tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_text(encoding="utf-8").splitlines() == [
        "column,unit,meaning,nan_reason,reference",
        'label,1,"Number, from 1.",,',
        "z_um,µm,Centre.,Empty if planar.,doi:1",
    ]


def test_names_carry_the_unit_they_are_declared_with() -> None:
    ends = {
        "µm³": "_um3",
        "µm²": "_um2",
        "µm": "_um",
        "1/µm": "_per_um",
        "mg/mL": "_mg_per_ml",
        "pg": "_pg",
        "rad": "_rad",
        "s": "_s",
        "µm/s": "_um_per_s",
    }
    for name, one in measurements().items():
        if one.unit in ends:
            assert name.endswith(ends[one.unit]), name
        else:
            assert one.unit in {"1", "native", "pg/µm²"}, one.unit


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(SettingsError) as caught:
        find_columns(["label", "nonsense"], LEADING)
    assert caught.value.code == "E-COLUMN"
    assert "nonsense" in str(caught.value)
    assert "label" not in str(caught.value)


def test_a_column_has_one_meaning() -> None:
    twice = (*LEADING, Column("label", "1", "Something else."))
    with pytest.raises(SettingsError, match="described twice"):
        find_columns(["label"], twice)
    assert find_columns(["label"], (*LEADING, *LEADING)) == [LEADING[6]]


COLUMNS = (
    Column("name", "", "Text.", kind="text"),
    Column("n", "1", "Count.", kind="integer"),
    Column("is_cut", "", "Yes or no.", kind="boolean"),
    Column("x_um", "µm", "Length."),
)


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_types_do_not_depend_on_the_number_of_rows(n_rows) -> None:
    rows = [{"is_cut": False, "x_um": 1, "n": number, "name": "a", "more": 7} for number in range(n_rows)]
    made = table_from_rows(rows, COLUMNS)
    text, *others = made.dtypes.astype(str)
    assert text in ("str", "object")  # since pandas 3, and before
    assert others == ["int64", "bool", "float64"]
    lines = [f"a,{number},False,1.0\n" for number in range(n_rows)]
    assert csv_content(made) == "name,n,is_cut,x_um\n" + "".join(lines)


def test_a_row_without_a_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="x_um"):
        table_from_rows([{"name": "a", "n": 1, "is_cut": True}], COLUMNS)
