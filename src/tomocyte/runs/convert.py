"""One file in, another format out: voxels unchanged, physical properties kept or named as lost, whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tomocyte.errors import OutputError, TomocyteError
from tomocyte.formats import ReadOptions, files_beside, read_volume, write_volume
from tomocyte.ledger.atomic import part_name, sync_file, sync_folder, sync_tree, write_atomic, writing
from tomocyte.progress import silent
from tomocyte.volume import CHOICES, Volume

MOST_SHOWN: Final = 6


def convert(
    source: Path,
    target: Path,
    options: ReadOptions,
    *,
    is_overwriting: bool = False,
    on_open: Callable[[Volume], None] = silent,
    on_planes: Callable[[int], None] = silent,
) -> tuple[str, ...]:
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

    Returns
    -------
    tuple of str
        ``W-CONVERT-…: …`` for each property that the target's format does not keep; empty when all are kept.

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
    written = ReadOptions(region_image=options.region_image or source)  # regions need their image again
    left = () if options.dataset is not None else _images_left(volume)
    return left + losses(volume, read_volume(target, written, is_size_required=False))


def _images_left(volume: Volume) -> tuple[str, ...]:
    """What the source holds beside the image that was read: further images, channels on their own grids, labels."""
    same = {str(volume.metadata.get("dataset", "")).removeprefix("/Data/"), *volume.metadata.get("levels", ())}
    choices = [str(name) for name in volume.metadata.get(CHOICES, ())]
    others = [name for name in choices if name not in same]
    others = others if len(others) < len(choices) else others[1:]  # else the first is the one that is read
    if not others:
        return ()
    return (f"W-CONVERT-IMAGES: not in the new file: {_shown(tuple(others))}. Convert each with --dataset.",)


def losses(source: Volume, written: Volume) -> tuple[str, ...]:
    """What a written file no longer says, found by reading it.

    Parameters
    ----------
    source : Volume
        What was written.
    written : Volume
        What the file says now.

    Returns
    -------
    tuple of str
        ``W-CONVERT-…: …``, one for each property that is not the same; numbers are compared to one millionth.

    Examples
    --------
    >>> import numpy as np
    >>> plane = np.zeros((4, 5), np.uint8)
    >>> losses(Volume.from_array(plane, medium_ri=1.337), Volume.from_array(plane))
    ('W-CONVERT-MEDIUM: the refractive index of the medium (1.337): not kept.',)
    """
    notes = []
    if source.dtype.newbyteorder("=") != written.dtype:
        notes.append(f"W-CONVERT-TYPE: the voxels are now {written.dtype} instead of {source.dtype}.")
    for code, what, before, after in (
        ("VOXEL", "the voxel size z, y, x in µm", source.voxel_size_um, written.voxel_size_um),
        ("TIMES", "the times of the frames in s", _times(source), _times(written)),
        ("CHANNELS", "the channel names", source.channel_names, written.channel_names),
        ("QUANTITY", "what the voxels measure", source.quantity or "", written.quantity or ""),
        ("UNIT", "the unit of the voxels", source.unit, written.unit),
        ("MEDIUM", "the refractive index of the medium", source.medium_ri, written.medium_ri),
    ):
        if not _is_same(before, after):
            now = "not kept" if after in (None, (), "") else f"now {_shown(after)}"
            notes.append(f"W-CONVERT-{code}: {what} ({_shown(before)}): {now}.")
    notes += _name_losses(source, written)
    notes += _placement_losses(source, written)
    if source.is_simulated and not written.is_simulated:
        notes.append("W-CONVERT-ORIGIN: that the image is simulated: not kept.")
    return tuple(notes)


def _name_losses(source: Volume, written: Volume) -> list[str]:
    """Names and colours of labels that are gone or others."""
    same = {one for two in written.label_names for one in (two, replace(two, colour=""))}
    lost = [one for one in source.label_names if one not in same]
    if not lost:
        return []
    kept = {(one.channel, one.value): one for one in written.label_names}
    names = tuple(one.name for one in lost if kept.get((one.channel, one.value), one).name != one.name or not kept)
    what = "the names of the labels" if names else "the colours of the labels"
    shown = _shown(names or tuple(f"{one.name} {one.colour}" for one in lost))
    return [f"W-CONVERT-LABELS: {what} ({shown}): not kept."]


def _placement_losses(source: Volume, written: Volume) -> list[str]:
    """What is lost of where the axes point and where the first voxel lies; x right, y front, z up needs no words."""
    if source.affine is None:
        return []
    notes = []
    before = np.array(source.affine)
    steps = before[:3] / np.linalg.norm(before[:3], axis=1)[:, None]
    after = None if written.affine is None else np.array(written.affine)
    kept = np.eye(3)[::-1] if after is None else after[:3] / np.linalg.norm(after[:3], axis=1)[:, None]
    if not np.allclose(steps, kept, atol=1e-4):
        notes.append("W-CONVERT-ORIENTATION: where the stored axes point in space: not kept.")
    origin = np.zeros(3) if after is None else after[3]
    reach = np.linalg.norm(before[:3], axis=1).min()
    is_kept = source.affine_unit == written.affine_unit and np.allclose(before[3], origin, atol=1e-3 * reach, rtol=1e-6)
    if before[3].any() and not is_kept:
        shown = ", ".join(f"{part:.6g}" for part in before[3])
        unit = "µm" if source.affine_unit == "um" else "the file's own unit, which has no name"
        notes.append(f"W-CONVERT-POSITION: where the first voxel lies (x, y, z = {shown} in {unit}): not kept.")
    return notes


def _times(volume: Volume) -> tuple[float, ...] | None:
    """Times where there are several."""
    return volume.time_s if volume.n_frames > 1 else None


def _is_same(before: Any, after: Any) -> bool:
    numbers = [() if value is None else value for value in (before, after)]
    try:
        one, other = (np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in numbers)
    except ValueError:  # words
        return bool(before == after)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-6, atol=1e-12, equal_nan=True))


def _shown(value: Any) -> str:
    """A property for a message; long lists shortened, what is not known as such."""
    if not isinstance(value, tuple):
        return str(value) or "unknown"
    words = [("unknown" if math.isnan(part) else f"{part:.6g}") if isinstance(part, float) else part for part in value]
    return ", ".join(words[:MOST_SHOWN]) + (", …" if len(words) > MOST_SHOWN else "")


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

    Small files that the format puts beside it (names of labels, beside NIfTI) are written before it has its name.

    Raises
    ------
    InputError
        ``E-FORMAT-WRITE``: no format fits the target's ending.
    OutputError
        The disk is full or read-only; nothing half-written stays.
    """
    part = target.with_name(part_name(target.name))
    beside = files_beside(target, volume)
    if not target.exists():
        refuse_existing(*(target.with_name(name) for name in beside))
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_part(part, target, volume, on_planes)
            if part.is_dir():
                sync_tree(part)
            else:
                sync_file(part)
            for name, content in beside.items():
                write_atomic(target.with_name(name), content)
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
