"""Installing a model: a package or its .zip is unpacked, checked in full and renamed into the user's library.

A bundled name cannot be taken by another model. To install from another kind of source, add a branch to
:func:`install_model` that reads the same three files.
"""

from __future__ import annotations

from pathlib import Path

from tomocyte.errors import InputError, OutputError
from tomocyte.models.archive import LARGEST, read_archive
from tomocyte.models.card import card_from_bytes
from tomocyte.models.library import ModelEntry, is_bundled, user_folder
from tomocyte.models.package import load_package, publish_package
from tomocyte.models.reading import CARD_FILE, PACKAGE_FILES, read_plain


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
    if path.is_dir():
        files = {name: read_plain(path / name, largest_nbytes=LARGEST[name]) for name in PACKAGE_FILES}
    elif path.is_file():
        files = read_archive(path)
    else:
        raise InputError(
            "E-MODEL-FILE", "does not exist.", path=path, cure="Give the folder or .zip of a model package."
        )
    card = card_from_bytes(files[CARD_FILE], path)
    if is_bundled(card.name):
        problem = f"{card.name!r} is the name of a model that comes with tomocyte."
        raise OutputError("E-MODEL-EXISTS", problem, path=path, cure="Save the package under another name.")
    folder = user_folder() / card.name
    publish_package(folder, files, is_overwriting=is_overwriting, check=load_package)
    return ModelEntry(card.name, folder, "user", card)
