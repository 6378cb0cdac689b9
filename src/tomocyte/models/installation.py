"""Installing and removing a model: a package or its .zip is unpacked, checked in full, renamed into the user's library.

A bundled name cannot be taken by another model. To install from another kind of source, add a branch to
:func:`install_model` that reads the same three files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.ledger import writing
from tomocyte.models.archive import LARGEST, read_archive
from tomocyte.models.card import ModelCard, card_from_bytes
from tomocyte.models.library import ModelEntry, is_bundled, list_models, user_folder
from tomocyte.models.package import load_package, publish_package
from tomocyte.models.reading import CARD_FILE, PACKAGE_FILES, read_plain
from tomocyte.names import shown_name


def install_model(source: str | Path, *, is_overwriting: bool = False) -> ModelEntry:
    """Put a package into the user's library: unpacked, checked in full, then renamed into place.

    Parameters
    ----------
    source : path-like
        A package folder, or a .zip of one. Only the three files of a package are copied.
    is_overwriting : bool
        Whether an installed model of that name is replaced; a bundled one never is.

    Returns
    -------
    ModelEntry

    Raises
    ------
    InputError
        Whatever :func:`tomocyte.models.load_package` or the archive's reader finds; ``E-MODEL-FILE``: no such source.
    OutputError
        ``E-MODEL-EXISTS``, or what :func:`tomocyte.ledger.writing` raises.
    """
    path = Path(source)
    files = _files_of(path)
    card = card_from_bytes(files[CARD_FILE], path)
    if is_bundled(card.name):
        problem = f"{card.name!r} is the name of a model that comes with tomocyte."
        raise OutputError("E-MODEL-EXISTS", problem, path=path, cure="Save the package under another name.")
    folder = user_folder() / card.name
    publish_package(folder, files, is_overwriting=is_overwriting, check=load_package)
    return ModelEntry(card.name, folder, "user", card)


def check_source(source: str | Path) -> ModelCard:
    """Check a package or its .zip as :func:`install_model` does, and leave nothing behind.

    Returns
    -------
    ModelCard

    Raises
    ------
    InputError
        As :func:`install_model`.
    """
    files = _files_of(Path(source))
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return load_package(folder).card


def _files_of(path: Path) -> dict[str, bytes]:
    """The three files of a package folder, or of a .zip of one."""
    if path.is_dir():
        return {name: read_plain(path / name, largest_nbytes=LARGEST[name]) for name in PACKAGE_FILES}
    if path.is_file():
        return read_archive(path)
    cure = "Give the folder or .zip of a model package, or a file of weights (.h5, .safetensors, .pt)."
    raise InputError("E-MODEL-FILE", "does not exist.", path=path, cure=cure)


def removable_model(name: str) -> ModelEntry:
    """The installed model of this name.

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME``: there is none, or it came with tomocyte.
    OutputError
        ``E-MODEL-FILE``: its folder is a link, or holds files that do not belong to a package.
    """
    entries = {entry.name: entry for entry in list_models() if entry.place == "user"}
    if name not in entries:
        if is_bundled(name):
            problem = f"{name!r} came with tomocyte and cannot be removed."
        else:
            problem = f"there is no imported model {name!r}."
        known = f"Imported: {', '.join(entries)}." if entries else "There are no imported models."
        raise SettingsError("E-MODEL-NAME", problem, cure=known)
    entry = entries[name]
    foreign = sorted(path.name for path in entry.folder.iterdir() if path.name not in PACKAGE_FILES)
    if entry.folder.is_symlink() or foreign:
        what = "is a link" if entry.folder.is_symlink() else f"also holds {', '.join(map(shown_name, foreign[:5]))}"
        cure = "Move what you need elsewhere, then remove the folder by hand or give the same command again."
        raise OutputError("E-MODEL-FILE", f"{what}; nothing was removed.", path=entry.folder, cure=cure)
    return entry


def remove_model(name: str) -> ModelEntry:
    """Remove a model from the user's library; one that came with tomocyte never.

    Parameters
    ----------
    name : str
        Of an installed model; a folder elsewhere is not touched.

    Returns
    -------
    ModelEntry
        What was removed.

    Raises
    ------
    SettingsError, OutputError
        As :func:`removable_model`; ``E-OUT-IO``: the folder cannot be changed.
    """
    entry = removable_model(name)
    with writing(entry.folder):
        # The card goes first: without it a folder that is only half removed is no model any more.
        for file in (CARD_FILE, *(file for file in PACKAGE_FILES if file != CARD_FILE)):
            (entry.folder / file).unlink(missing_ok=True)
        entry.folder.rmdir()
    return entry
