"""What a command left behind, for an analysis: the table of objects, tracks, what columns mean, what inputs are called.

To read the results of another command, add the name of its table to :data:`TABLES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger import item_names, known_items, place_of, portable_paths
from tomocyte.measurements.registry import UNIT_ENDINGS
from tomocyte.statistics import Design, design_from_folders, read_design
from tomocyte.statistics.design import FOLDER_LEVELS
from tomocyte.statistics.objects import DERIVED, check_objects
from tomocyte.tables import Column

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("objects.parquet", "objects.csv", "truth.parquet", "truth.csv")
"""Tables of objects in a folder of results, the first that is there is read."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Objects and what belongs to them.

    Parameters
    ----------
    source : Path
        The table.
    objects : DataFrame
    tracks : DataFrame or None
    columns : mapping of str to Column
        What the columns mean.
    inputs : mapping of str to tuple of str
        Every input, also one without objects -> its paths, the one from the common folder first.
    failed : tuple of str
        Inputs that could not be done.
    """

    source: Path
    objects: pd.DataFrame
    tracks: pd.DataFrame | None
    columns: Mapping[str, Column]
    inputs: Mapping[str, tuple[str, ...]]
    failed: tuple[str, ...] = ()

    def column(self, name: str) -> Column:
        """What a quantity means; of one without a description, the unit that its name ends with."""
        derived = {column.name: column for column in DERIVED}
        return derived.get(name) or self.columns.get(name) or Column(name, unit_of(name), name)


def unit_of(name: str) -> str:
    """The unit that a column's name ends with.

    Examples
    --------
    >>> unit_of("volume_um3"), unit_of("sphericity")
    ('µm³', '1')
    """
    return next((unit for ending, (unit, _) in UNIT_ENDINGS.items() if name.endswith(ending)), "1")


def read_measured(path: Path) -> Measured:
    """The table of a folder that ``run``, ``measure``, ``track`` or ``simulate`` wrote, or a table itself.

    Raises
    ------
    InputError
        ``E-ANALYSE``: there is no such table, or it cannot be read; ``E-OBJECTS``: it is no table of objects.
    """
    source = next((path / name for name in TABLES if (path / name).is_file()), None) if path.is_dir() else path
    if source is None or not source.is_file():
        raise InputError(
            "E-ANALYSE",
            "holds no table of objects (objects.csv)." if path.is_dir() else "is not there.",
            path=path,
            cure="Give the folder that was passed to `tomocyte run` or `tomocyte measure` with -o, or a table.",
        )
    objects = _read_table(source)
    check_objects(objects)
    objects = objects.assign(item=objects["item"].astype(str), structure=objects["structure"].astype(str))
    folder = source.parent
    status = folder / "status.csv"
    rows = _read_table(status) if status.is_file() else objects
    inputs, failed = _inputs(objects, rows, folder / "run.json")
    return Measured(
        source, objects, _tracks(folder, inputs), _dictionary(source.with_suffix(".dictionary.csv")), inputs, failed
    )


def make_design(
    measured: Measured, *, conditions: Path | None, levels: Sequence[str] | None, is_from_folders: bool = False
) -> Design:
    """The design from a file or from folders.

    Raises
    ------
    SettingsError
        ``E-USAGE``: neither, or both.
    InputError
        See :func:`tomocyte.statistics.read_design` and :func:`tomocyte.statistics.design_from_folders`.
    """
    return design_of(measured.inputs, conditions=conditions, levels=levels, is_from_folders=is_from_folders)


def design_of(
    inputs: Mapping[str, Sequence[str]],
    *,
    conditions: Path | None,
    levels: Sequence[str] | None,
    is_from_folders: bool = False,
) -> Design:
    """The same for inputs by name, before anything is computed; see :func:`make_design`."""
    is_asking_folders = is_from_folders or levels is not None
    if (conditions is None) != is_asking_folders:
        raise SettingsError(
            "E-USAGE",
            "the conditions are given twice."
            if conditions is not None
            else "nothing says which input is which condition.",
            cure="Give --conditions with a table, or --conditions-from-folders.",
        )
    if conditions is not None:
        return read_design(conditions, inputs)
    return design_from_folders(
        {item: names[0] for item, names in inputs.items()}, FOLDER_LEVELS if levels is None else levels
    )


def inputs_of(paths: Sequence[Path], output: Path) -> dict[str, tuple[str, ...]]:
    """What :attr:`Measured.inputs` will be after a run of these paths, with those that the folder holds already."""
    known = known_items(output)
    names = dict(zip(item_names(paths, known), paths, strict=True))
    places = {name: place for place, name in known.items()} | {name: place_of(path) for name, path in names.items()}
    relative = dict(zip(places, portable_paths(list(places.values())), strict=True))
    typed = {name: str(PurePosixPath(str(path).replace("\\", "/"))) for name, path in names.items()}
    return {name: (relative[name], typed.get(name, places[name])) for name in places}


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype={"item": str, "flags": str}, low_memory=False)
    except (OSError, ValueError) as problem:
        cure = "Give a CSV or Parquet file, as `tomocyte run` writes it."
        raise InputError("E-ANALYSE", f"cannot be read as a table ({problem}).", path=path, cure=cure) from problem


def _inputs(
    objects: pd.DataFrame, status: pd.DataFrame, run_file: Path
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Every input with its paths, and those that failed."""
    paths: dict[str, list[str]] = {}
    for table in (status, objects):
        for item in map(str, table["item"].unique()):
            paths.setdefault(item, [])
        if "path" in table:
            known = table[["item", "path"]].dropna().drop_duplicates()
            for item, path in zip(known["item"].astype(str), known["path"].astype(str), strict=True):
                if path and path not in paths[item]:
                    paths[item].append(path)
    for entry in _run_inputs(run_file):
        item, path = str(entry["item"]), str(PurePosixPath(str(entry["path"]).replace("\\", "/")))
        if item in paths and path not in paths[item]:
            paths[item].append(path)
    state = status["state"].astype(str) if "state" in status else None
    gone = () if state is None else tuple(status.loc[state.isin(["failed", "other settings"]), "item"].astype(str))
    with_objects = set(objects["item"])
    failed = tuple(item for item in gone if item not in with_objects)
    return {item: tuple(names) or (item,) for item, names in paths.items()}, failed


def _run_inputs(run_file: Path) -> list[dict[str, Any]]:
    """The inputs as the user named them, where a run wrote them down."""
    try:
        content = json.loads(run_file.read_text(encoding="utf-8"))
        return [entry for entry in content["inputs"] if {"item", "path"} <= set(entry)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _dictionary(path: Path) -> dict[str, Column]:
    if not path.is_file():
        return {}
    table = _read_table(path).fillna("")
    return {
        str(row["column"]): Column(str(row["column"]), str(row["unit"]), str(row["meaning"]))
        for row in table.to_dict("records")
    }


def _tracks(folder: Path, inputs: Mapping[str, Sequence[str]]) -> pd.DataFrame | None:
    """The table of tracks, with the column ``item``."""
    source = next((folder / name for name in ("tracks.parquet", "tracks.csv") if (folder / name).is_file()), None)
    if source is None:
        return None
    tracks = _read_table(source)
    if "item" not in tracks and "path" in tracks:
        item_of = {path: item for item, paths in inputs.items() for path in paths}
        tracks = tracks.assign(item=tracks["path"].map(item_of))
    return tracks if {"item", "track_id"} <= set(tracks.columns) else None
