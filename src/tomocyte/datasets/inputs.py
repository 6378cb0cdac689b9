"""From what the user names to the files to work on."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from tomocyte.datasets.files import image_endings
from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.formats import ReadOptions, detect, read_volume
from tomocyte.modalities import modalities_of


def find_inputs(arguments: Iterable[str], *, axes: str | None = None) -> list[Path]:
    """Files named by paths, folders and glob patterns, each once, sorted within an argument.

    A folder stands for the files in it that a reader's suffix fits; PNGs beside files of another kind are pictures or
    labels of those and no inputs (name them, or a pattern, to have them). A folder that is itself a volume is one
    input: an OME-Zarr store, planes or frames whose names say z or t, or numbered files when the user says ``axes``.

    Raises
    ------
    InputError
        ``E-NO-INPUT``: an argument that names nothing.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            some = _in_folder(path, axes)
        elif path.exists():
            some = [path]
        else:
            some = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
        if not some:
            raise InputError("E-NO-INPUT", "names no file that can be read.", path=argument, cure="Check the path.")
        found |= dict.fromkeys(some)
    return list(found)


def _in_folder(folder: Path, axes: str | None) -> list[Path]:
    if _is_one_volume(folder, axes):
        return [folder]
    endings = image_endings()
    files = sorted(entry for entry in folder.iterdir() if entry.name.lower().endswith(endings))
    return [entry for entry in files if entry.suffix.lower() != ".png"] or files


def _is_one_volume(folder: Path, axes: str | None) -> bool:
    """Whether a folder can be opened as a volume as it stands; numbers that may count anything make a batch."""
    try:
        detect(folder).read(folder, ReadOptions(axes=axes))
    except TomocyteError:
        return folder.name.lower().endswith(".zarr")
    return True


def modality_said(paths: Iterable[Path], options: ReadOptions) -> str:
    """The one modality that the files themselves name by what their values are; unreadable files have no say.

    Raises
    ------
    SettingsError
        ``E-USAGE``: no file says, or two say different things.
    """
    said: dict[str, Path] = {}
    for path in paths:
        try:
            volume = read_volume(path, options)
        except TomocyteError:
            continue  # reported with its own error when its turn comes
        names = modalities_of(volume.quantity) if volume.quantity != "intensity" else []
        if len(names) == 1:
            said.setdefault(names[0], path)
    if len(said) == 1:
        return next(iter(said))
    found = ", ".join(f"{path.name} is {name}" for name, path in said.items())
    raise SettingsError(
        "E-USAGE",
        f"no modality given, and the files {f'differ: {found}' if said else 'do not say what their values are'}.",
        cure="Give --modality, e.g. --modality odt.",
    )
