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

    A folder stands for the files in it that a reader's suffix fits; PNGs next to files of another kind are pictures or
    labels of those and no inputs (give their names, or a pattern, to include them). A folder that is itself a volume is
    one input: an OME-Zarr store, planes or frames with z or t in their names, or numbered files when the user gives
    ``axes``.

    Raises
    ------
    InputError
        ``E-NO-INPUT``: an argument that matches no file.
    """
    paths: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            matches = _in_folder(path, axes)
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
        if not matches:
            raise InputError("E-NO-INPUT", "names no file that can be read.", path=argument, cure="Check the path.")
        paths |= dict.fromkeys(matches)
    return list(paths)


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


def modality_of_files(paths: Iterable[Path], options: ReadOptions) -> str:
    """The one modality that follows from the quantity in the files' metadata; unreadable files are skipped.

    Raises
    ------
    SettingsError
        ``E-USAGE``: no file names its quantity, or two differ.
    """
    files: dict[str, Path] = {}
    for path in paths:
        try:
            volume = read_volume(path, options)
        except TomocyteError:
            continue  # reported with its own error when it is processed
        names = modalities_of(volume.quantity) if volume.quantity != "intensity" else []
        if len(names) == 1:
            files.setdefault(names[0], path)
    if len(files) == 1:
        return next(iter(files))
    listing = ", ".join(f"{path.name} is {name}" for name, path in files.items())
    raise SettingsError(
        "E-USAGE",
        f"no modality given, and the files {f'differ: {listing}' if files else 'do not name their quantity'}.",
        cure="Give --modality, e.g. --modality odt.",
    )
