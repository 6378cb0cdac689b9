"""Masks of the Cell Tracking Challenge: a TIFF per frame beside ``man_track.txt`` or ``res_track.txt``.

Naming and contents follow the challenge (doi:10.1038/nmeth.4473): ``man_track000.tif``, ``mask000.tif``, in a folder of
their own or in its ``TRA``. Its files say no voxel size and no time; who becomes whom is read by
:func:`tomocyte.tracking.files.read_ctc`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import tifffile

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats.folder import NumberedFile, read_numbered
from tomocyte.names import is_hidden
from tomocyte.volume import Volume

TABLES = {"man_track.txt": re.compile(r"man_track\d+\.tif", re.IGNORECASE),
          "res_track.txt": re.compile(r"mask\d+\.tif", re.IGNORECASE)}  # fmt: skip
"""Table of tracks -> names of the masks that belong to it."""


def track_table(path: Path) -> Path | None:
    """The table of tracks of a folder of the challenge; None where there is none."""
    places = (folder / name for folder in (path, path / "TRA") for name in TABLES)
    return next((place for place in places if place.is_file()), None)


def verify(path: Path) -> bool:
    """Whether the folder holds a table of tracks and masks that belong to it; never raises."""
    try:
        table = track_table(path) if path.is_dir() else None
        return table is not None and bool(_masks(table))
    except OSError:
        return False


def _masks(table: Path) -> list[NumberedFile]:
    name = TABLES[table.name]
    paths = (entry for entry in sorted(table.parent.iterdir()) if not is_hidden(entry.name))
    found = (NumberedFile.of(entry) for entry in paths if name.fullmatch(entry.name))
    return [entry for entry in found if entry is not None]


def read_ctc_masks(path: Path, options: ReadOptions) -> Volume:
    """Open the masks lazily as labels over time.

    Parameters
    ----------
    path : Path
        The folder.
    options : ReadOptions
        The voxel size is nowhere in it.

    Returns
    -------
    Volume
        Labels as they are in the files.

    Raises
    ------
    InputError
        ``E-CTC``: no such folder; ``E-FOLDER-GAP``, ``E-FOLDER-MIXED``, and whatever a file raises.
    """
    table = track_table(path)
    masks = [] if table is None else _masks(table)
    if table is None or not masks:
        raise InputError(
            "E-CTC",
            "holds no man_track.txt or res_track.txt with its masks.",
            path=path,
            cure="Give the folder with the table of tracks and the masks of every frame.",
        )
    with tifffile.TiffFile(masks[0].path) as file:
        stored = "ZYX" if len(file.pages) > 1 else "YX"
    volume = read_numbered(masks, replace(options, axes=options.axes or f"T{stored}"), path)
    return volume.with_properties(
        quantity="labels", unit="1", metadata={**volume.metadata, "table_of_tracks": table.name}
    )


FORMAT = Format(
    name="ctc",
    suffixes=(),
    description="Masks of the Cell Tracking Challenge beside man_track.txt or res_track.txt",
    verify=verify,
    read=read_ctc_masks,
)
