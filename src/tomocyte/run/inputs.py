"""From what the user names to the files to work on."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from tomocyte.errors import InputError
from tomocyte.formats import formats


def find_inputs(arguments: Iterable[str]) -> list[Path]:
    """Files named by paths, folders and glob patterns, each once, sorted within an argument.

    A folder stands for the files in it that a reader's suffix fits; a folder that is itself a volume (an OME-Zarr
    store, numbered planes whose names say z or t) is one input.

    Raises
    ------
    InputError
        ``E-NO-INPUT``: an argument that names nothing.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            some = _in_folder(path)
        elif path.exists():
            some = [path]
        else:
            some = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
        if not some:
            raise InputError("E-NO-INPUT", "names no file that can be read.", path=argument, cure="Check the path.")
        found |= dict.fromkeys(some)
    return list(found)


def _in_folder(folder: Path) -> list[Path]:
    if any(entry.verify(folder) for entry in formats().values()):
        return [folder]
    suffixes = tuple(suffix for entry in formats().values() for suffix in entry.suffixes if suffix)
    return sorted(entry for entry in folder.iterdir() if entry.name.lower().endswith(suffixes))
