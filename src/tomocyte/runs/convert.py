"""One file in, another format out: voxels unchanged, physical properties kept, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tomocyte.errors import OutputError, TomocyteError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.ledger.atomic import part_name, sync_file, sync_folder, sync_tree, writing
from tomocyte.progress import silent
from tomocyte.volume import Volume


def convert(
    source: Path,
    target: Path,
    options: ReadOptions,
    *,
    is_overwriting: bool = False,
    on_open: Callable[[Volume], None] = silent,
    on_planes: Callable[[int], None] = silent,
) -> None:
    """Read one file and write it in the format that the target's ending names.

    Parameters
    ----------
    source, target : Path
    options : ReadOptions
        What the user says about the source.
    is_overwriting : bool
        Whether an existing target may be replaced; it stays until the new one is whole.
    on_open : callable
        Called with the opened volume before anything is written.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        The source cannot be read, or no format fits the target's ending.
    OutputError
        ``E-EXISTS``, or the disk is full or read-only; nothing half-written stays.
    """
    if not is_overwriting:
        refuse_existing(target, cure="Choose another name, or --overwrite.")
    elif target.is_dir() and not _is_only_an_image(target):
        refuse_existing(target, cure="It is a folder that holds other things than one image: choose another name.")
    volume = read_volume(source, options)
    on_open(volume)
    write_whole_volume(target, volume, on_planes=on_planes)


def _is_only_an_image(folder: Path) -> bool:
    """Whether replacing a folder loses nothing but an image: an OME-Zarr store, or nothing at all."""
    names = {entry.name for entry in folder.iterdir()}
    return not names or not names.isdisjoint({".zattrs", ".zgroup", ".zarray", "zarr.json"})


def refuse_existing(*targets: Path, cure: str = "Choose another name.") -> None:
    """Raise ``E-EXISTS`` when one of the files or folders to write exists already."""
    for target in targets:
        if target.exists():
            raise OutputError("E-EXISTS", "exists already.", path=target, cure=cure)


def write_whole_volume(target: Path, volume: Volume, *, on_planes: Callable[[int], None] = silent) -> None:
    """Write a volume so that its name holds the whole of it or nothing; what had that name stays until then.

    Parameters
    ----------
    target : Path
        A file, or a folder for OME-Zarr; its ending chooses the format.
    volume : Volume
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-FORMAT-WRITE``: no format fits the target's ending.
    OutputError
        The disk is full or read-only; nothing half-written stays.
    """
    part = target.with_name(part_name(target.name))
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_part(part, target, volume, on_planes)
            if part.is_dir():
                sync_tree(part)
            else:
                sync_file(part)
            if target.is_dir():
                aside = target.with_name(part_name(target.name))
                os.rename(target, aside)  # until the new one has the name, the old one is whole
                os.replace(part, target)
                shutil.rmtree(aside)
            else:
                os.replace(part, target)
            sync_folder(target.parent)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _write_part(part: Path, target: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write the unfinished file; what is wrong is said of the name that the user gave."""
    try:
        write_volume(part, volume, on_planes=on_planes)
    except TomocyteError as error:
        if error.path != str(part):
            raise
        raise type(error)(error.code, error.problem, path=target, cure=error.cure) from error
