"""Tidy tables and what their columns mean; the same table gives the same bytes in any locale, at any time.

A column is described once, as a :class:`Column`, beside the code that fills it; whoever writes a table passes those
columns in. :data:`LEADING` holds the ones that every table of objects starts with. Writing is plain: the caller stages,
renames and syncs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tomocyte.errors import SettingsError
from tomocyte.names import natural_key

if TYPE_CHECKING:
    import pandas as pd

ROW_ORDER = ("item", "frame", "structure", "label")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
ColumnKind = Literal["number", "integer", "boolean", "text"]
DTYPES: dict[ColumnKind, str] = {"number": "float64", "integer": "int64", "boolean": "bool", "text": "str"}
DICTIONARY_HEADINGS = {
    "name": "column",
    "unit": "unit",
    "meaning": "meaning",
    "when_empty": "nan_reason",
    "reference": "reference",
}
"""Field of a column -> heading in a data dictionary, as it stands in files."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table, and what it means.

    Parameters
    ----------
    name : str
        Its heading in the table; ends in its unit where it has one.
    unit : str
        ``1`` for numbers without a unit, empty for text, ``native`` for the unit of the image.
    meaning : str
        One sentence for people.
    when_empty : str
        When a cell is empty, and why; ``""`` if never.
    reference : str
        DOI or title; ``""`` where the meaning says it all.
    kind : {"number", "integer", "boolean", "text"}
        What its cells hold: float64, int64, bool or str.
    """

    name: str
    unit: str
    meaning: str
    when_empty: str = ""
    reference: str = ""
    kind: ColumnKind = "number"


LEADING = (
    Column("item", "", "Name of the input.", kind="text"),
    Column("path", "", "Where the input lies, from the folder that all inputs of the run have in common.", kind="text"),
    Column("folder", "", "Folder of the input in that path; . for the common folder itself.", kind="text"),
    Column("frame", "1", "Index of the time point, from 0.", kind="integer"),
    Column(
        "time_s", "s", "Time after the first frame.", "Empty when times are neither in the file nor given by the user."
    ),
    Column("structure", "", "Kind of the object: cell, nucleus, …", kind="text"),
    Column("label", "1", "Number of the object in the label image of its structure and frame.", kind="integer"),
    Column(
        "cell_id",
        "1",
        "Label of the cell the object belongs to; a cell's own label; 0 outside all cells.",
        kind="integer",
    ),
    Column("parent", "1", "Label of the object that contains this one; 0 for none."),
    Column(
        "track_id",
        "1",
        "Number of the object over time, the same in every frame; 0 for pieces of another object and for objects "
        "outside all cells. What a cell contains has the number of the cell.",
        "Empty when objects were not tracked.",
        kind="integer",
    ),
    Column(
        "parent_id",
        "1",
        "Track of the mother cell, where this track begins with a division; 0 for none.",
        "Empty when objects were not tracked.",
        kind="integer",
    ),
    Column(
        "generation",
        "1",
        "Divisions since the first ancestor of the track in the series; 0: no known mother.",
        "Empty when objects were not tracked.",
        kind="integer",
    ),
)
"""Columns that a table of objects starts with, where it has them."""


def find_columns(names: Iterable[str], columns: Iterable[Column]) -> list[Column]:
    """The columns of these names, in this order.

    Parameters
    ----------
    names : iterable of str
        Headings of a table.
    columns : iterable of Column
        All that may be in it.

    Raises
    ------
    SettingsError
        ``E-COLUMN``: a name has no description, or two that differ.

    Examples
    --------
    >>> [column.unit for column in find_columns(["time_s", "label"], LEADING)]
    ['s', '1']
    """
    described: dict[str, Column] = {}
    for column in columns:
        if described.setdefault(column.name, column) != column:
            raise SettingsError(
                "E-COLUMN", f"the column {column.name!r} is described twice.", cure="Give one of the two another name."
            )
    wanted = list(names)
    unknown = [name for name in wanted if name not in described]
    if unknown:
        raise SettingsError(
            "E-COLUMN",
            f"nothing says what {', '.join(map(repr, unknown))} means.",
            cure="Describe the column as a tomocyte.tables.Column where it is made, or register the measurement.",
        )
    return [described[name] for name in wanted]


def data_dictionary(columns: Iterable[Column]) -> pd.DataFrame:
    """What columns mean: one row per column, in the order given.

    Parameters
    ----------
    columns : iterable of Column
        See :func:`find_columns`.

    Returns
    -------
    DataFrame
        Text columns ``column``, ``unit``, ``meaning``, ``nan_reason``, ``reference``.

    Examples
    --------
    >>> data_dictionary(find_columns(["label", "time_s"], LEADING))["unit"].tolist()
    ['1', 's']
    """
    import pandas as pd

    rows = [[getattr(column, field) for field in DICTIONARY_HEADINGS] for column in columns]
    return pd.DataFrame(rows, columns=list(DICTIONARY_HEADINGS.values()), dtype="object")


def table_from_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[Column]) -> pd.DataFrame:
    """Rows as a table whose columns and types do not depend on how many rows there are.

    Parameters
    ----------
    rows : sequence of mapping
        Name of a column -> value; each row has every column.
    columns : iterable of Column

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> table_from_rows([], LEADING[3:5]).dtypes.astype(str).tolist()
    ['int64', 'float64']
    """
    import pandas as pd

    content = {
        column.name: pd.Series([row[column.name] for row in rows], dtype=DTYPES[column.kind]) for column in columns
    }
    return pd.DataFrame(content)


def arrange(table: pd.DataFrame) -> pd.DataFrame:
    """The table in its fixed order: known leading columns first, rows by item (A2 before A10), frame, structure, label.

    Parameters
    ----------
    table : DataFrame
        Left as it is. Columns that are missing are not invented.

    Returns
    -------
    DataFrame
        Same cells, index from 0. Columns that are not leading ones keep their order.
    """
    leading = [column.name for column in LEADING if column.name in table.columns]
    others = [name for name in table.columns if name not in leading]
    keys = [name for name in ROW_ORDER if name in table.columns]
    ordered = table.sort_values(keys, kind="stable", key=_natural_items) if keys else table
    return ordered[leading + others].reset_index(drop=True)


def _natural_items(column: pd.Series) -> pd.Series:
    """Items in natural order, A2 before A10; other keys as they are."""
    if column.name != "item":
        return column
    places = {name: place for place, name in enumerate(sorted(set(column), key=natural_key))}
    return column.map(places)


def write_table(table: pd.DataFrame, path_without_suffix: str | Path) -> tuple[Path, Path]:
    """Write ``….csv`` and ``….parquet`` with the same rows, arranged.

    Parameters
    ----------
    table : DataFrame
    path_without_suffix : path-like
        ``out/objects`` gives ``out/objects.csv`` and ``out/objects.parquet``; a dot in the name is kept.

    Returns
    -------
    tuple of 2 Path
        The CSV and the Parquet file.
    """
    base = Path(path_without_suffix)
    written = base.with_name(base.name + ".csv"), base.with_name(base.name + ".parquet")
    arranged = arrange(table)
    write_csv(arranged, written[0])
    write_parquet(arranged, written[1])
    return written


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    r"""Write CSV: UTF-8, ``\n``, decimal point, shortest digits that give the same number back, empty for NaN.

    A text cell or header that a spreadsheet would take for a formula (it starts with = + - @ TAB CR) gets a leading
    ``'``; numbers are left alone. Rows and columns stay in the order given.
    """
    # Bytes, because a text stream would translate the line ends on some systems.
    Path(path).write_bytes(csv_content(table).encode("utf-8"))


def csv_content(table: pd.DataFrame) -> str:
    """The text that :func:`write_csv` writes."""
    columns = [_csv_cells(table.iloc[:, index]) for index in range(table.shape[1])]
    lines = [",".join(_csv_text(str(name)) for name in table.columns)]
    lines += map(",".join, zip(*columns, strict=True))
    return "\n".join(lines) + "\n"


def write_parquet(table: pd.DataFrame, path: str | Path) -> None:
    """Write Parquet with nothing in it but the columns: no index, no time, no name of a machine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(columns, str(path), compression="zstd")


def _csv_cells(values: pd.Series[Any]) -> list[str]:
    """The cells of one column as they stand in the file."""
    import pandas as pd

    is_missing = pd.isna(values).tolist()
    cells = zip(values.tolist(), is_missing, strict=True)
    return ["" if missing else _csv_text(cell) if isinstance(cell, str) else repr(cell) for cell, missing in cells]


def _csv_text(text: str) -> str:
    """Text made safe for spreadsheets, in quotes where the format asks for them (RFC 4180)."""
    safe = f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return '"' + safe.replace('"', '""') + '"' if any(sign in safe for sign in ',"\r\n') else safe
