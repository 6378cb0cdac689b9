"""Scores against the number of training volumes, from what other commands wrote or from a table.

What a result may be: a table (CSV) with the column ``n_training`` and a score; a folder of ``tomocyte crossval``,
which knows how many images each fold learned from; or ``20=FOLDER`` and ``20=TABLE``, where the scores are those of
one model that learned from 20 volumes: a folder of ``tomocyte evaluate`` or ``tomocyte reproduce``, or a table with a
row per test volume. To read the folder of another command, add it to :data:`FOLDERS`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger import kind_of
from tomocyte.statistics.learning_scores import TrainingSize

if TYPE_CHECKING:
    import pandas as pd

COUNT = "n_training"
VOLUMES = ("group", "item", "image", "volume", "name")
"""Columns that name a test volume; the first that a table has counts."""
NOT_SERIES = {*VOLUMES, "reason", "path", "folder"}
"""Text columns by which scores of one curve may differ."""
ALL = "*"
"""As a value: rows of all values together."""


def read_training_sizes(
    results: Sequence[str], *, score: str = "dice", where: Mapping[str, str] | None = None
) -> list[TrainingSize]:
    """The score after training on each number of volumes.

    Parameters
    ----------
    results : sequence of str
        Paths, or ``N=PATH`` for scores of a model that learned from N volumes.
    score : str
        The column.
    where : mapping of str to str, optional
        Column -> value: only these rows; ``*`` takes those of all values together.

    Raises
    ------
    InputError
        ``E-PLAN-RESULT``: not there, or no scores; ``E-PLAN-COLUMN``: a column is missing; ``E-PLAN-COUNT``: nothing
        says from how many volumes a model learned; ``E-PLAN-SERIES``: scores of more than one kind.
    """
    sizes: list[TrainingSize] = []
    for result in results:
        given = re.fullmatch(r"(\d+(?:\.\d+)?)=(.+)", result)
        count, path = (
            (None, Path(result)) if given is None or Path(result).exists() else (float(given[1]), Path(given[2]))
        )
        table, counted = _table(path)
        if count is not None:
            table = table.assign(**{COUNT: count})
        elif COUNT in table.columns:
            count = None
        elif counted is not None:
            table = table.assign(**{COUNT: counted})
        else:
            problem = "holds scores, but nothing says from how many volumes the model learned."
            cure = f"Write N={path}, N being that number; or give a table with the column {COUNT}."
            raise InputError("E-PLAN-COUNT", problem, path=path, cure=cure)
        sizes += _sizes(_selected(table, path, score, where or {}), path, score)
    return sizes


def _table(path: Path) -> tuple[pd.DataFrame, float | None]:
    """A result's scores and, where it says so, the number of training volumes."""
    import pandas as pd

    if path.is_dir():
        for name, (sign, read) in FOLDERS.items():
            if kind_of(path)[0] == name or (path / sign).is_file():
                return read(path)
        names = ", ".join(f"`tomocyte {name}`" for name in FOLDERS)
        raise InputError(
            "E-PLAN-RESULT", f"is no finished result of {names}.", path=path, cure="Give such a folder, or a table."
        )
    try:
        return pd.read_csv(path), None
    except (OSError, ValueError, pd.errors.ParserError) as problem:
        cure = f"Give a CSV file with the columns {COUNT} and a score."
        raise InputError("E-PLAN-RESULT", f"cannot be read as a table ({problem}).", path=path, cure=cure) from problem


def _of_file(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        cure = "Let the command that makes the folder finish."
        raise InputError("E-PLAN-RESULT", f"has no {path.name} yet.", path=path.parent, cure=cure)
    return pd.read_csv(path)


def _of_evaluate(folder: Path) -> tuple[pd.DataFrame, float | None]:
    """A row per image; those for all images together are left out."""
    table = _of_file(folder / "scores.csv")
    return table[table["level"] == "image"].drop(columns="level"), None


def _of_crossval(folder: Path) -> tuple[pd.DataFrame, float | None]:
    """The images that each fold did not learn from, and the mean number that it did."""
    table = _of_file(folder / "tables" / "images.csv")
    folds = [len(fold) for fold in json.loads((folder / "folds.json").read_text(encoding="utf-8"))]
    return table[table["set"] == "validation"].drop(columns="set"), sum(folds) - float(np.mean(folds))


def _of_reproduce(folder: Path) -> tuple[pd.DataFrame, float | None]:
    """The fields of an experiment that scores organelles; seeds are averaged."""
    return _of_file(folder / "fields.csv"), None


FOLDERS: dict[str, tuple[str, Callable[[Path], tuple[pd.DataFrame, float | None]]]] = {
    "evaluate": ("evaluation.json", _of_evaluate),
    "crossval": ("crossval.json", _of_crossval),
    "reproduce": ("experiment.json", _of_reproduce),
}
"""Command -> the file by which its folder is told, and how its scores are read."""


def _selected(table: pd.DataFrame, path: Path, score: str, where: Mapping[str, str]) -> pd.DataFrame:
    """The rows of one curve."""
    for name in (score, *where):
        if name not in table.columns:
            columns = ", ".join(map(str, table.columns))
            cure = f"Choose another --score or --where. The columns: {columns}."
            raise InputError("E-PLAN-COLUMN", f"has no column {name!r}.", path=path, cure=cure)
    for name, value in where.items():
        rows = table if value == ALL else table[table[name].astype(str) == value]
        if rows.empty:
            cure = f"There are: {', '.join(sorted(table[name].astype(str).unique()))}."
            raise InputError("E-PLAN-SERIES", f"has no {name} {value!r}.", path=path, cure=cure)
        table = rows
    for name in table.columns:
        values = sorted(table[name].dropna().astype(str).unique())
        if table[name].dtype.kind in "OUT" and name not in {*NOT_SERIES, *where} and len(values) > 1:
            cure = f"Choose one with --where {name}=…, or * for all together. There are: {', '.join(values)}."
            raise InputError("E-PLAN-SERIES", f"has scores of more than one {name}.", path=path, cure=cure)
    return table


def _sizes(table: pd.DataFrame, path: Path, score: str) -> list[TrainingSize]:
    """One per number of training volumes; rows without a score are left out."""
    table = table.dropna(subset=[COUNT, score])
    if table.empty:
        raise InputError("E-PLAN-RESULT", f"has no {score}.", path=path, cure="Choose another --score.")
    counts = sorted({float(count) for count in table[COUNT]})
    return [_size(count, table[table[COUNT] == count], path, score) for count in counts]


def _size(count: float, rows: pd.DataFrame, path: Path, score: str) -> TrainingSize:
    """Of a row with mean and deviation, or of a row per test volume."""
    if len(rows) == 1 and not set(VOLUMES) & set(rows.columns):
        row = rows.iloc[0]
        return TrainingSize(count, float(row[score]), _standard_error(row, path))
    name = next((name for name in VOLUMES if name in rows.columns), None)
    if name is None:
        return TrainingSize.of_volumes(count, {str(number): float(value) for number, value in enumerate(rows[score])})
    means = rows.groupby(rows[name].astype(str))[score].mean()
    return TrainingSize.of_volumes(count, {str(key): float(value) for key, value in means.items()})


def _standard_error(row: pd.Series[Any], path: Path) -> float:
    if "standard_error" in row:
        return float(row["standard_error"])
    if "sd" not in row:
        return math.nan
    if "n_test" not in row:
        problem = "has standard deviations (sd), but not of how many test volumes."
        cure = "Add the column n_test, or take the column sd out."
        raise InputError("E-PLAN-COLUMN", problem, path=path, cure=cure)
    return float(row["sd"]) / math.sqrt(float(row["n_test"]))


def parse_where(texts: Sequence[str]) -> dict[str, str]:
    """``column=value`` as a mapping.

    Raises
    ------
    SettingsError
        ``E-USAGE``.

    Examples
    --------
    >>> parse_where(["labels=manual"])
    {'labels': 'manual'}
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, sign, value) in zip(texts, pairs, strict=True):
        if not (name and sign and value):
            raise SettingsError(
                "E-USAGE", f"--where {text!r} is not COLUMN=VALUE.", cure="E.g. --where structure=nucleus."
            )
    return {name: value for name, _, value in pairs}
