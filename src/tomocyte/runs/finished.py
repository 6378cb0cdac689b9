"""The folder of a finished run, read again: its settings, its items, and where their inputs lie."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from tomocyte.corrections.from_labels import FinishedItem, finished_item
from tomocyte.errors import InputError, SettingsError
from tomocyte.names import natural_key
from tomocyte.pipeline.settings import RunSettings
from tomocyte.provenance import sha256_of_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FinishedRun:
    """A run that was published.

    Parameters
    ----------
    folder : Path
    settings : RunSettings
        Without edits: those stand in the items.
    paths : mapping of str to Path
        Item -> where the run found its input.
    """

    folder: Path
    settings: RunSettings
    paths: Mapping[str, Path]

    @property
    def names(self) -> list[str]:
        """The finished items, in natural order."""
        names = [entry.name.removesuffix(".done.json") for entry in (self.folder / "items").glob("*.done.json")]
        return sorted(names, key=natural_key)

    def item(self, name: str) -> FinishedItem:
        """One of them; errors as :func:`tomocyte.corrections.from_labels.finished_item`."""
        return finished_item(self.folder, name)

    def objects(self) -> pd.DataFrame:
        """The table of all objects.

        Raises
        ------
        SettingsError
            ``E-RUN-FOLDER``: it cannot be read.
        """
        import pandas as pd

        try:
            return pd.read_parquet(self.folder / "objects.parquet")
        except (OSError, ValueError) as problem:
            raise _no_run(self.folder, problem) from problem

    def tracks(self) -> pd.DataFrame | None:
        """The table of all tracks; None where nothing was followed over time.

        Raises
        ------
        SettingsError
            ``E-RUN-FOLDER``: it cannot be read.
        """
        import pandas as pd

        path = self.folder / "tracks.parquet"
        if not path.exists():
            return None
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as problem:
            raise _no_run(self.folder, problem) from problem

    def called_names(self) -> dict[str, list[str]]:
        """Item -> the paths by which a table of conditions may call its input, the one below the common folder first.

        Raises
        ------
        SettingsError
            ``E-RUN-FOLDER``: the table of inputs cannot be read.
        """
        import pandas as pd

        try:
            status = pd.read_csv(self.folder / "status.csv", keep_default_na=False, dtype=str).set_index("item")["path"]
        except (OSError, ValueError, KeyError) as problem:
            raise _no_run(self.folder, problem) from problem
        relative = dict(status)
        return {
            name: [*([relative[name]] if relative.get(name) else []), Path(self.paths.get(name, name)).as_posix()]
            for name in self.names
        }

    def place_of(self, item: FinishedItem) -> Path:
        """Where the input of an item should lie: as the run was given it, else the same place from anywhere."""
        path = self.paths.get(item.name, Path(item.record.source))
        return path if path.exists() or not item.record.place else Path(item.record.place)

    def input_of(self, item: FinishedItem, inputs: Path | None = None) -> Path:
        """The input of an item, unchanged since it was analysed.

        Parameters
        ----------
        item : FinishedItem
        inputs : Path, optional
            Folder where the inputs lie now; empty: where the run found them.

        Raises
        ------
        InputError
            ``E-NOT-FOUND``, ``E-INPUT-CHANGED``.
        """
        path = self.place_of(item) if inputs is None else inputs / item.record.source
        if not path.exists():
            raise InputError(
                "E-NOT-FOUND", "the input file does not exist any more.", path=path, cure="Give --inputs FOLDER."
            )
        beside = [path.parent / name for name in item.record.source_parts]
        is_there = all(part.is_file() for part in beside)
        if not is_there or sha256_of_path(path, beside=beside) != item.record.input_sha256:
            raise InputError(
                "E-INPUT-CHANGED", "has changed since it was segmented.", path=path, cure="Run again first."
            )
        return path


def finished_run(folder: Path) -> FinishedRun:
    """The run in a folder.

    Raises
    ------
    SettingsError
        ``E-RUN-FOLDER``: the folder holds no finished run.
    """
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        settings = RunSettings.model_validate({**content["settings"], "edits": None})
        paths = {entry["item"]: Path(_path_of(entry)) for entry in content["inputs"]}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise _no_run(folder, problem) from problem
    return FinishedRun(folder, settings, paths)


def _no_run(folder: Path, problem: Exception) -> SettingsError:
    return SettingsError(
        "E-RUN-FOLDER",
        f"is not the folder of a finished run ({problem}).",
        path=folder,
        cure="Give the output folder (-o) of `tomocyte run`.",
    )


def _path_of(entry: dict[str, str]) -> str:
    """The path of an input in run.json, also where its name is no text."""
    quoted = entry.get("path_quoted")
    return entry["path"] if quoted is None else os.fsdecode(unquote_to_bytes(quoted))
