"""Tidy tables and what their columns mean; the same table gives the same bytes in any locale, at any time.

One row per object and frame. To add a column that is no measurement, describe it in :data:`LEADING` or
:data:`TRAILING`. Writing is plain: the caller stages, renames and syncs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

ROW_ORDER = ("item", "frame", "structure", "label")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column means.

    Parameters
    ----------
    column, unit, meaning : str
        ``native`` as a unit stands for the unit of the image.
    nan_reason : str
        When the cell is empty, and why; ``""`` if never.
    reference : str
        DOI or title; ``""`` where the meaning says it all.
    """

    column: str
    unit: str
    meaning: str
    nan_reason: str = ""
    reference: str = ""


LEADING = (
    Column("item", "", "The input this row comes from."),
    Column("frame", "1", "Index of the time point, from 0."),
    Column("time_s", "s", "Time after the first frame.", "Empty when neither the file nor the user gave times."),
    Column("structure", "", "What the object is: cell, nucleus, …"),
    Column("label", "1", "Number of the object in the label image of its structure and frame."),
    Column("cell_id", "1", "Label of the cell the object belongs to; a cell's own label; 0 outside all cells."),
    Column("parent", "1", "Label of the object that contains this one; 0 for none."),
    Column("track_id", "1", "Number of the object's track through time.", "Empty when objects were not tracked."),
    Column("parent_id", "1", "Track that this track split from; 0 for none.", "Empty when objects were not tracked."),
)
NO_DOUBT = "Empty for structures that the trained model does not find itself."
NO_INTERVAL = "Empty where the model was not calibrated on enough objects of the structure, or the value is unknown."
INTERVAL = "the 90 % interval"
ONLY_MASKS = ", for doubt about the mask alone: errors of the refractive index and of α come on top"
CONFORMAL = "doi:10.1080/01621459.2017.1307116"
TRAILING = (
    Column("is_cut", "", "Whether the object touches a border of the volume: sizes are then lower bounds."),
    Column("is_cut_lateral", "", "Whether it touches a y or x border."),
    Column("is_cut_z", "", "Whether it touches the first or last plane; false for planar images."),
    Column("z_um", "µm", "Centre along z; voxel 0 lies at 0 µm.", "Empty for planar images."),
    Column("y_um", "µm", "Centre along y; voxel 0 lies at 0 µm."),
    Column("x_um", "µm", "Centre along x; voxel 0 lies at 0 µm."),
    Column("medium_ri", "1", "Refractive index of the medium that was used.", "Empty when it is not known."),
    Column(
        "flags",
        "",
        "What is unusual about a cell: no-nucleus, two-nuclei, nucleus-outside (most of its nucleus lies outside the "
        "mask of all cells), touches-border (cut by a y or x border); several are joined by semicolons.",
        "Empty for other structures and for cells with nothing unusual.",
    ),
    Column(
        "cell_confidence",
        "1",
        "Mean probability of the cell-by-cell network inside a cell, less the mean of the highest that the nucleus of "
        "any other cell has there: how clearly the cell is told apart from its neighbours.",
        "Empty for other structures, for cells without a nucleus, and where no network told cells apart.",
        "doi:10.1101/2021.05.23.445351",
    ),
    Column("edited", "", "What corrections by hand changed this object, in their order.", "Empty when none did."),
    Column(
        "confidence",
        "1",
        "Overlap (intersection over union) with the true object that the model's calibrated probabilities promise.",
        NO_DOUBT,
        "arXiv:2402.10665",
    ),
    Column("volume_um3_low", "µm³", f"Lower end of {INTERVAL} on the volume.", NO_INTERVAL, CONFORMAL),
    Column("volume_um3_high", "µm³", f"Upper end of {INTERVAL} on the volume.", NO_INTERVAL, CONFORMAL),
    Column("dry_mass_pg_low", "pg", f"Lower end of {INTERVAL} on the dry mass{ONLY_MASKS}.", NO_INTERVAL, CONFORMAL),
    Column("dry_mass_pg_high", "pg", f"Upper end of {INTERVAL} on the dry mass{ONLY_MASKS}.", NO_INTERVAL, CONFORMAL),
    Column(
        "disagreement",
        "1",
        "Standard deviation of the probability between flips or models, summed over the object and its surroundings, "
        "per voxel of the object.",
        NO_DOUBT,
    ),
)


def data_dictionary(names: Iterable[str]) -> pd.DataFrame:
    """What columns mean: one row per name, in the order given.

    Parameters
    ----------
    names : iterable of str
        Columns of a table: measurements and the columns that every table has.

    Returns
    -------
    DataFrame
        Text columns ``column``, ``unit``, ``meaning``, ``nan_reason``, ``reference``.

    Raises
    ------
    SettingsError
        ``E-COLUMN``: nothing says what a column means.

    Examples
    --------
    >>> data_dictionary(["label", "volume_um3"])["unit"].tolist()
    ['1', 'µm³']
    """
    import pandas as pd

    from tomocyte.measurements import measurements

    known = {column.column: column for column in (*LEADING, *TRAILING)}
    for one in measurements().values():
        known[one.name] = Column(one.name, one.unit, one.meaning, one.nan_reason, one.reference)
    wanted = list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SettingsError(
            "E-COLUMN",
            f"no meaning is known for {', '.join(map(repr, unknown))}.",
            cure="Describe the column in tomocyte.tables, or register the measurement.",
        )
    fields = [field.name for field in dataclasses.fields(Column)]
    rows = [dataclasses.astuple(known[name]) for name in wanted]
    return pd.DataFrame(rows, columns=fields, dtype="object")


def arrange(table: pd.DataFrame) -> pd.DataFrame:
    """The table in its fixed order: known leading columns first, rows by item, frame, structure, label.

    Parameters
    ----------
    table : DataFrame
        Left as it is. Columns that are missing are not invented.

    Returns
    -------
    DataFrame
        Same cells, index from 0. Columns that are not leading ones keep their order.
    """
    leading = [column.column for column in LEADING if column.column in table.columns]
    others = [name for name in table.columns if name not in leading]
    keys = [name for name in ROW_ORDER if name in table.columns]
    ordered = table.sort_values(keys, kind="stable") if keys else table
    return ordered[leading + others].reset_index(drop=True)


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
