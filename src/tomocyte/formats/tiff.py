"""TIFF in four dialects - OME-TIFF, ImageJ, tifffile's own, bare - read lazily plane by plane, written as OME-TIFF.

Axes come from the metadata or from the user, planes found must equal planes declared, and other files that an OME-TIFF
names must lie beside it. Pages are checked in ``_tiff_pages``, dialects read in ``_tiff_meta`` and ``_tiff_ome``,
planes found in ``_tiff_layout``; writing is in ``_tiff_write``. To add a dialect, call its ``declared_by_…`` function
in :func:`_declared`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._hostile import FileStamp, companion_path, parsing
from tomocyte.formats._tiff_layout import in_order, place_planes
from tomocyte.formats._tiff_meta import Declared, damaged, declared_by_imagej, declared_by_json
from tomocyte.formats._tiff_ome import declared_by_ome, ome_master, ome_root
from tomocyte.formats._tiff_pages import LIBRARY_ERRORS, MAGIC, Page, ReadTiffPlanes, load_page, open_tiff, scan
from tomocyte.formats._tiff_write import write_ome_tiff
from tomocyte.volume import Origin, Volume, VoxelSize

LARGEST_PLAIN_PIXEL_UM = 2.0
"""A resolution tag without a microscope's dialect is a pixel size only below this; above, it is a printer's dpi."""
FOREIGN = {
    "is_lsm": "Zeiss LSM",
    "is_stk": "MetaMorph STK",
    "is_fluoview": "Olympus FluoView",
    "is_scanimage": "ScanImage",
    "is_ndtiff": "NDTiff",
    "is_mmstack": "Micro-Manager",
    "is_nih": "NIH Image",
}


def verify(path: Path) -> bool:
    """Whether the file begins like a TIFF or BigTIFF; never raises."""
    try:
        with path.open("rb") as file:
            return file.read(4) in MAGIC
    except OSError:
        return False


def read_tiff(path: Path, options: ReadOptions) -> Volume:
    """Open a TIFF lazily.

    Parameters
    ----------
    path : Path
        Any TIFF or BigTIFF of either byte order.
    options : ReadOptions
        ``axes`` replaces the file's: one letter per axis of the stored array (axes of length 1 may be left out).

    Returns
    -------
    Volume
        ``voxel_size_um`` is ``None`` where the file does not give it, ``quantity`` unless we wrote the file.

    Raises
    ------
    InputError
        ``E-TIFF-TRUNC``, ``E-TIFF``, ``E-TIFF-META``, ``E-TIFF-MIXED``, ``E-TIFF-KIND``, ``E-TIFF-CODEC``, ``E-RGB``,
        ``E-BOMB``, ``E-SHAPE``, ``E-DTYPE``, ``E-XML-DOCTYPE``, ``E-COMPANION-OUTSIDE`` or ``E-COMPANION-MISSING``.
    MetadataError
        ``E-AXES``: neither the file nor the user says what an axis means.
    """
    stamp = FileStamp.of(path)
    with open_tiff(path) as tif:
        pages = scan(tif, path)
        with parsing(path, "E-TIFF-META", what="its metadata", also=LIBRARY_ERRORS):
            declared = _declared(tif, pages, path)
    stamp.check()
    files, grid, image, is_raw = place_planes(declared, pages, stamp)
    if declared.kind == "bare":
        declared = replace(declared, axes="?", sizes=(len(grid),))
    table = in_order(grid, declared, image, options=options, path=path)
    n_left = len(pages) - (1 if is_raw else int(np.count_nonzero(grid[:, 0] == 0)))
    if n_left and not declared.n_more:
        note = f"W-TIFF-SERIES: {n_left} more page(s) are in the file that are not part of this image and not read."
        declared = replace(declared, notes=(*declared.notes, note))
    reader = ReadTiffPlanes(
        stamps=files,
        table=table,
        plane_shape=image.plane_shape,
        dtype=image.dtype,
        is_raw=is_raw,
        raw_byte_order=tif.byteorder,
    )
    return _volume(reader, declared, path)


def _declared(tif: tifffile.TiffFile, pages: list[Page], path: Path) -> Declared:
    """What the file says, in the first dialect that it speaks."""
    page = load_page(tif, pages[0].offset, 0)
    text = page.description if isinstance(page.description, str) else ""
    if page.is_ome:
        return _declared_by_master(text, path)
    if page.imagej_description:
        return declared_by_imagej(
            page.imagej_description, resolution=_pixels_per_unit(page), n_samples=page.samplesperpixel, path=path
        )
    if page.shaped_description:
        return _with_plain_size(declared_by_json(page.shaped_description, path), page)
    for flag, name in FOREIGN.items():
        if getattr(tif, flag, False):
            raise InputError(
                "E-TIFF-KIND", f"is a {name} file.", path=path, cure="Export it as OME-TIFF, e.g. in Fiji."
            )
    return _with_plain_size(Declared(kind="bare"), page)


def _declared_by_master(text: str, path: Path) -> Declared:
    """OME-XML of the file, or of the file that it names as holder of its metadata."""
    root = ome_root(text, path)
    name = ome_master(root)
    if name is None:
        return declared_by_ome(root, path)
    master = companion_path(name, path)
    if verify(master):
        with open_tiff(master) as tif:
            text = str(tif.pages.first.description)
    else:
        text = master.read_text(encoding="utf-8", errors="replace")
    root = ome_root(text, master)
    if ome_master(root) is not None:
        raise damaged(path, f"{name[:80]!r} should hold its metadata and does not.")
    declared = declared_by_ome(root, path)
    if not declared.placements:
        raise damaged(path, f"{name[:80]!r} does not say which file holds which plane.")
    named = tuple(replace(entry, file_name=entry.file_name or name) for entry in declared.placements)
    return replace(declared, placements=named)


def _pixels_per_unit(page: tifffile.TiffPage) -> dict[str, float]:
    found = {}
    for axis, code in (("x", 282), ("y", 283)):
        value = page.tags.valueof(code)
        if isinstance(value, tuple) and len(value) == 2 and value[0] > 0 and value[1] > 0:
            found[axis] = value[0] / value[1]
    return found


def _with_plain_size(declared: Declared, page: tifffile.TiffPage) -> Declared:
    """Add a pixel size from the resolution tags, if it can only be a microscope's."""
    unit_um = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof(296, 0) or 0))
    per_unit = _pixels_per_unit(page)
    if unit_um is None or len(per_unit) < 2:
        return declared
    lengths = {axis: unit_um / value for axis, value in per_unit.items()}
    if max(lengths.values()) > LARGEST_PLAIN_PIXEL_UM or min(lengths.values()) < 1e-3:
        return declared
    return replace(declared, lengths_um=lengths)


def _volume(reader: ReadTiffPlanes, declared: Declared, path: Path) -> Volume:
    """Fill in what the file says about the volume, as far as it fits its shape."""
    n_frames, n_channels, n_planes = reader.table.shape[:3]
    notes = list(declared.notes)
    origin: dict[str, Origin] = {}
    properties: dict[str, Any] = {}
    if declared.n_more:
        notes.append(f"W-TIFF-SERIES: the file holds {declared.n_more} more image(s), which are not read.")
    size = _voxel_size(declared, n_planes, notes)
    times = declared.time_s
    if times is None and declared.time_step_s is not None:
        times = tuple(frame * declared.time_step_s for frame in range(n_frames))
    if size is not None:
        properties["voxel_size_um"] = size
    if times is not None and n_frames > 1 and len(times) == n_frames:
        properties["time_s"] = times
    if declared.channel_names and len(declared.channel_names) == n_channels:
        properties["channel_names"] = declared.channel_names
    if declared.quantity is not None:
        properties["quantity"] = declared.quantity
    if declared.unit:
        properties["unit"] = declared.unit
    if declared.medium_ri is not None:
        properties["medium_ri"] = declared.medium_ri
    for name in properties:
        # What our own writer noted as simulated stays so for ever.
        is_simulated = declared.metadata.get(f"tomocyte.origin.{name}") == "simulated"
        origin[name] = "simulated" if is_simulated else "file"
    return Volume(
        shape=(n_frames, n_channels, n_planes, *reader.plane_shape),
        dtype=reader.dtype,
        read_planes=reader,
        origin=origin,
        path=path,
        notes=tuple(notes),
        metadata={"dialect": declared.kind, **declared.metadata},
        **properties,
    )


def _voxel_size(declared: Declared, n_planes: int, notes: list[str]) -> VoxelSize | None:
    lengths = declared.lengths_um
    if "y" not in lengths or "x" not in lengths:
        return None
    if n_planes > 1 and "z" not in lengths:
        notes.append(
            f"W-VOXEL-SIZE: the file gives y = {lengths['y']:.6g} and x = {lengths['x']:.6g} µm but no distance in z."
        )
        return None
    return lengths.get("z", math.nan), lengths["y"], lengths["x"]


FORMAT = Format(
    name="tiff",
    suffixes=(".ome.tiff", ".ome.tif", ".ome.tf8", ".ome.btf", ".tiff", ".tif", ".tf8", ".btf"),
    description="TIFF, OME-TIFF, ImageJ stacks",
    verify=verify,
    read=read_tiff,
    write=write_ome_tiff,
)
