"""From what the user names to the files to work on."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from tomocyte.datasets.files import image_endings, image_files
from tomocyte.errors import InputError, MissingFact, SettingsError, TomocyteError
from tomocyte.formats import ReadOptions, detect, is_zarr_group, parts_of, read_volume
from tomocyte.ledger import is_output_folder
from tomocyte.modalities import image_modalities, modalities_of
from tomocyte.names import is_hidden, natural_key, shown_name


def find_inputs(arguments: Iterable[str], *, axes: str | None = None, is_recursive: bool = False) -> list[Path]:
    """Files named by paths, folders and glob patterns, each once, in natural order (A2 before A10) within an argument.

    A folder stands for the files in it that a reader's suffix fits; PNGs next to files of another kind are pictures or
    labels of those and no inputs (give their names, or a pattern, to include them). A folder that is itself a volume is
    one input: an OME-Zarr store, planes or frames with z or t in their names, or numbered files when the user gives
    ``axes``. Hidden files and folders (``._c1.tif``, ``.DS_Store``, ``~$c1.tif``) are no inputs unless named in full.
    A volume that is split over several files, as an OME-TIFF set may be, is one input: its first file.

    Parameters
    ----------
    arguments : iterable of str
    axes : str, optional
    is_recursive : bool
        Whether the folders in a folder are searched too. Results of tomocyte in it are not.

    Raises
    ------
    InputError
        ``E-NO-INPUT``: an argument that matches no file.
    """
    paths: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            matches = _in_folder(path, axes, is_recursive=is_recursive)
        elif path.exists():
            matches = [path]
        else:
            named = (Path(match) for match in glob.glob(argument, recursive=True))
            matches = sorted((match for match in named if not is_hidden(match.name)), key=natural_key)
        if not matches:
            raise _no_input(path, argument, axes)
        paths |= dict.fromkeys(matches)
    return one_per_volume(list(paths))


def one_per_volume(paths: Sequence[Path]) -> list[Path]:
    """The paths, of those that are parts of one volume (an OME-TIFF set) only the first."""
    if len(paths) < 2:
        return list(paths)
    volumes: dict[tuple[Path, ...], Path] = {}
    for path, parts in zip(paths, parts_of(paths), strict=True):
        volumes.setdefault(parts if len(parts) > 1 else (path,), path)
    return list(volumes.values())


def _no_input(path: Path, argument: str, axes: str | None) -> InputError:
    """Why an argument names nothing, and what would."""
    if path.is_dir():
        inner = _in_folder(path, axes, is_recursive=True)
        if inner:
            folders = sorted({match.parent.relative_to(path).as_posix() for match in inner}, key=natural_key)
            names = f"{', '.join(folders[:3])}{', …' if len(folders) > 3 else ''}"
            count = f"{len(inner)} image{'s' if len(inner) > 1 else ''}"
            problem = f"holds no image itself; its subfolders hold {count} ({names})."
            cure = "Add --recursive to take those, or name the subfolders."
            return InputError("E-NO-INPUT", problem, path=argument, cure=cure)
        problem = f"is a folder without any image. Endings that are read: {' '.join(sorted(set(image_endings())))}."
        return InputError("E-NO-INPUT", problem, path=argument, cure="Check the path.")
    return InputError("E-NO-INPUT", "names no file that can be read.", path=argument, cure="Check the path.")


def _in_folder(folder: Path, axes: str | None, *, is_recursive: bool) -> list[Path]:
    if _is_one_volume(folder, axes):
        return [folder]
    files = image_files(folder)
    matches = [entry for entry in files if entry.suffix.lower() != ".png"] or files
    if is_recursive:
        inner = (entry for entry in folder.iterdir() if entry.is_dir() and entry not in matches)
        for entry in sorted(inner, key=natural_key):
            if not (is_hidden(entry.name) or entry.is_symlink() or is_output_folder(entry)):
                matches = [*matches, *_in_folder(entry, axes, is_recursive=True)]
    return matches


def _is_one_volume(folder: Path, axes: str | None) -> bool:
    """Whether a folder can be opened as a volume as it stands; numbers that may count anything make a batch."""
    try:
        detect(folder).read(folder, ReadOptions(axes=axes))
    except TomocyteError:
        return folder.name.lower().endswith(".zarr") or is_zarr_group(folder)
    return True


def modality_of_files(paths: Iterable[Path], options: ReadOptions) -> str:
    """The one modality that follows from the quantity in the files' metadata; unreadable files are skipped.

    Raises
    ------
    SettingsError
        ``E-USAGE``: no file names its quantity, or two differ.
    """
    files: dict[str, Path] = {}
    missing: tuple[MissingFact, ...] = ()
    for path in paths:
        try:
            volume = read_volume(path, options)
        except TomocyteError as problem:
            missing = missing or problem.missing
            continue  # reported with its own error when it is processed
        names = modalities_of(volume.quantity) if volume.quantity != "intensity" else []
        if len(names) == 1:
            files.setdefault(names[0], path)
    if len(files) == 1:
        return next(iter(files))
    listing = ", ".join(f"{shown_name(path.name)} is {name}" for name, path in files.items())
    raise SettingsError(
        "E-USAGE",
        f"no modality given, and the files {f'differ: {listing}' if files else 'do not name their quantity'}.",
        missing=(MissingFact("modality", ("odt",), f"with one of: {', '.join(image_modalities())}"), *missing),
    )
