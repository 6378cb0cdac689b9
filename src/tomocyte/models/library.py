"""The library of models: those that ship, those that the user installed, and how a name becomes a folder.

Bundled models live in ``weights/<name>/`` beside this file, the user's in ``$TOMOCYTE_MODELS`` or the platform's data
folder. Only cards are read here; ``installation.py`` adds a model. Unfinished folders of a killed import are never
listed.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger.atomic import PART
from tomocyte.models.card import ModelCard, read_card
from tomocyte.models.reading import CARD_FILE, WEIGHTS_FILE

BUNDLED = Path(__file__).parent / "weights"
VARIABLE = "TOMOCYTE_MODELS"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class ModelEntry:
    """One model of the library.

    Parameters
    ----------
    name : str
    folder : Path
    place : {"bundled", "user"}
    card : ModelCard, optional
        ``None`` where it cannot be read.
    problem : str
        Why not.
    """

    name: str
    folder: Path
    place: Literal["bundled", "user"]
    card: ModelCard | None = None
    problem: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, 0 where there are none."""
        path = self.folder / WEIGHTS_FILE
        return path.stat().st_size if path.is_file() else 0


def user_folder() -> Path:
    """Where installed models live: ``$TOMOCYTE_MODELS``, else ``tomocyte/models`` in the platform's data folder."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "tomocyte" / "models"


def list_models() -> tuple[ModelEntry, ...]:
    """Every model of the library, bundled ones first, each sorted by name; cards are read, weights are not.

    Returns
    -------
    tuple of ModelEntry
        A package whose card cannot be read is listed with the reason.
    """
    places: tuple[tuple[Literal["bundled", "user"], Path], ...] = (("bundled", BUNDLED), ("user", user_folder()))
    return tuple(
        _entry(folder, place)
        for place, root in places
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if folder.is_dir() and os.path.lexists(folder / CARD_FILE) and not PART.search(folder.name)
    )


def _entry(folder: Path, place: Literal["bundled", "user"]) -> ModelEntry:
    try:
        card = read_card(folder)
    except InputError as error:
        return ModelEntry(folder.name, folder, place, problem=str(error))
    if card.name != folder.name:
        return ModelEntry(folder.name, folder, place, problem=f"its card names it {card.name!r}")
    return ModelEntry(card.name, folder, place, card)


def find_model(path_or_name: str | Path) -> Path:
    """The folder of a model.

    Parameters
    ----------
    path_or_name : path-like
        A name of the library (bundled before user), or the path of a package folder.

    Returns
    -------
    Path

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME`` with the list of known ones.
    """
    if isinstance(path_or_name, str) and _NAME.fullmatch(path_or_name):
        for root in (BUNDLED, user_folder()):
            if os.path.lexists(root / path_or_name / CARD_FILE):
                return root / path_or_name
    path = Path(path_or_name)
    if path.is_dir() and os.path.lexists(path / CARD_FILE):
        return path
    names = ", ".join(entry.name for entry in list_models()) or "none"
    cure = f"Known: {names}; or give the folder of a model package (import a .zip with `tomocyte models import` first)."
    raise SettingsError("E-MODEL-NAME", f"unknown model {str(path_or_name)!r}.", cure=cure)


def is_bundled(name: str) -> bool:
    """Whether a model that ships with tomocyte has this name, so that no other model may take it."""
    return (BUNDLED / name).exists()
