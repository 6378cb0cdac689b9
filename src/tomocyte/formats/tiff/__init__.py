"""TIFF in four dialects - OME-TIFF, ImageJ, tifffile's own, bare - read lazily plane by plane, written as OME-TIFF.

Axes come from the metadata or from the user, planes found must equal planes declared, and other files that an OME-TIFF
names must lie beside it. Pages are checked in ``pages``, dialects read in ``meta`` and ``ome``,
the image of a set chosen in ``sets``, planes found in ``layout``; writing is in ``writing``. To add a
dialect, call its ``declared_by_…`` function in :func:`_declared`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tomocyte.channels.joining import join_channels
from tomocyte.errors import InputError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ORDER, properties_of_axes, shape_tczyx
from tomocyte.formats._hostile import FileStamp, parsing
from tomocyte.formats._label_tables import label_names_of_text
from tomocyte.formats._lengths import disagreement, is_same_size
from tomocyte.formats.tiff.layout import Arrangement, in_order, place_planes
from tomocyte.formats.tiff.meta import (
    Declared,
    declared_by_imagej,
    declared_by_json,
    plain_lengths,
    sources_of,
)
from tomocyte.formats.tiff.pages import (
    LIBRARY_ERRORS,
    Page,
    ReadReorderedPlanes,
    ReadTiffPlanes,
    first_tags,
    is_tiff,
    load_page,
    open_tiff,
    scan,
)
from tomocyte.formats.tiff.sets import declared_by_set, files_of_sets, from_companion, is_companion, is_ome_tiff
from tomocyte.formats.tiff.wavelengths import files_of_wavelengths, wavelength_files
from tomocyte.formats.tiff.writing import write_ome_tiff
from tomocyte.volume import Origin, Volume

__all__ = ["FORMAT", "files_of_sets", "is_ome_tiff", "read_tiff", "verify", "write_ome_tiff"]

FOREIGN = {34412: "Zeiss LSM", 33628: "MetaMorph STK", 33629: "MetaMorph STK"}
"""Tags of files whose pages are not planes: one page holds a whole stack, or every other page is a thumbnail."""
PLAIN = {
    "is_fluoview": "Olympus FluoView",
    "is_scanimage": "ScanImage",
    "is_ndtiff": "NDTiff",
    "is_mmstack": "Micro-Manager",
    "is_nih": "NIH Image",
}
"""Files whose pages are planes, in an order that their own dialect describes and this reader does not know."""
MOST_SERIES = 6


def verify(path: Path) -> bool:
    """Whether the file begins like a TIFF or BigTIFF, or is the companion of a set of them; never raises."""
    return is_tiff(path) or is_companion(path)


def read_tiff(path: Path, options: ReadOptions) -> Volume:
    """Open a TIFF lazily.

    Parameters
    ----------
    path : Path
        Any TIFF or BigTIFF of either byte order, or the ``.companion.ome`` of a set of them.
    options : ReadOptions
        ``axes`` replaces the file's: one letter per axis of the stored array (axes of length 1 may be left out);
        ``dataset`` names the image in a file with several: by name, ID or index in OME-TIFF, by index in others.

    Returns
    -------
    Volume
        ``voxel_size_um`` is ``None`` where the file does not give it, ``quantity`` unless we wrote the file.

    Raises
    ------
    InputError
        ``E-TIFF-TRUNC``, ``E-TIFF``, ``E-TIFF-META``, ``E-TIFF-MIXED``, ``E-TIFF-KIND``, ``E-TIFF-CODEC``,
        ``E-TIFF-SET``, ``E-DATASET``, ``E-RGB``, ``E-BOMB``, ``E-SHAPE``, ``E-DTYPE``, ``E-XML-DOCTYPE``,
        ``E-COMPANION-OUTSIDE`` or ``E-COMPANION-MISSING``.
    MetadataError
        ``E-AXES``: neither the file nor the user says what an axis means.
    """
    wavelengths = wavelength_files(path) if not options.is_alone and not is_ome_tiff(path) else {}
    if wavelengths:
        alone = replace(options, is_alone=True)
        return join_channels({label: read_tiff(file, alone) for label, file in wavelengths.items()}, path)
    if is_companion(path):
        first, image = from_companion(path, options.dataset)
        return replace(read_tiff(first, replace(options, dataset=image)), path=path)
    stamp = FileStamp.of(path)
    _refuse_foreign(path)
    with open_tiff(path) as tif:
        pages, n_unread, series_note = _series(scan(tif, path), tif, options.dataset, path)
        with parsing(path, "E-TIFF-META", what="its metadata", also=LIBRARY_ERRORS):
            declared = _declared(tif, pages, options, path)
    stamp.check()
    placed = place_planes(declared, pages, stamp)
    declared = placed.declared
    arranged = in_order(placed.grid, declared, placed.page, options=options, path=path)
    n_used = 1 if placed.is_raw else int(np.count_nonzero(placed.grid[:, 0] == 0))
    n_left = len(pages) - n_used + n_unread if n_used else 0
    if n_left and not any(note.startswith("W-TIFF-SERIES") for note in declared.notes):
        note = f"W-TIFF-SERIES: {n_left} more page(s) are in the file that are not part of this image and not read."
        declared = replace(declared, notes=(*declared.notes, note + series_note))
    reader = ReadTiffPlanes(
        stamps=placed.files,
        table=arranged.table,
        plane_shape=placed.page.plane_shape,
        dtype=placed.page.dtype,
        is_raw=placed.is_raw,
        raw_byte_order=tif.byteorder,
    )
    return _volume(reader, arranged, declared, path)


def _refuse_foreign(path: Path) -> None:
    tags = first_tags(path)
    for tag, name in FOREIGN.items():
        if tag in tags:
            raise InputError(
                "E-TIFF-KIND",
                f"is a {name} file, whose pages are not planes.",
                path=path,
                cure="Open it in Fiji (File > Import > Bio-Formats) and save it as OME-TIFF.",
            )


def _series(pages: list[Page], tif: tifffile.TiffFile, name: str | None, path: Path) -> tuple[list[Page], int, str]:
    """The pages of the image that is meant, how many others there are, and what to type to read those.

    OME-XML says itself which pages belong to which image; elsewhere an image is a run of pages of one kind, which
    begins anew where a page has a description of its own.
    """
    if load_page(tif, pages[0].offset, 0).is_ome:
        return pages, 0, ""
    runs: list[list[Page]] = []
    for page in pages:
        if (
            not runs
            or page.is_described
            or page.kind != runs[-1][-1].kind
            or page.is_reduced != runs[-1][-1].is_reduced
        ):
            runs.append([])
        runs[-1].append(page)
    if name is None:
        note = f" Give --dataset 1 to --dataset {len(runs) - 1} for the others." if len(runs) > 2 else ""
        return pages, 0, note or (" Give --dataset 1 for them." if len(runs) == 2 else "")
    if not name.isdecimal() or int(name) >= len(runs):
        shown = ", ".join(
            f"{index} ({len(run)} x {run[0].plane_shape})" for index, run in enumerate(runs[:MOST_SERIES])
        )
        raise InputError(
            "E-DATASET",
            f"there is no image {name!r} in it.",
            path=path,
            missing=(
                MissingFact("dataset", ("0",), f"with one of: {shown}{', …' if len(runs) > MOST_SERIES else ''}"),
            ),
        )
    run = [replace(page, is_reduced=False) for page in runs[int(name)]]
    return run, len(pages) - len(run), ""


def _declared(tif: tifffile.TiffFile, pages: list[Page], options: ReadOptions, path: Path) -> Declared:
    """What the file says, in the first dialect that it speaks."""
    page = load_page(tif, pages[0].offset, 0)
    text = page.description if isinstance(page.description, str) else ""
    per_unit, unit = _resolution(page)
    if page.is_ome:
        return _with_plain_size(declared_by_set(text, path, name=options.dataset), per_unit, unit)
    if page.imagej_description:
        return declared_by_imagej(
            page.imagej_description,
            resolution=per_unit,
            resolution_unit=unit,
            n_samples=page.samplesperpixel,
            path=path,
        )
    if page.shaped_description:
        return _with_plain_size(declared_by_json(page.shaped_description, path), per_unit, unit)
    notes = []
    for flag, name in PLAIN.items():
        if getattr(tif, flag, False):
            if options.axes is None:
                raise InputError(
                    "E-TIFF-KIND",
                    f"is a {name} file, whose own words about axes, voxel size and time are not understood.",
                    path=path,
                    cure=f"Or export it as OME-TIFF in {name} or Fiji.",
                    missing=(MissingFact("axes", ("ZYX", "TYX")),),
                )
            notes = [f"W-TIFF-KIND: a {name} file, of which only the pixels are read."]
    return _with_plain_size(Declared(kind="bare", notes=tuple(notes)), per_unit, unit)


def _resolution(page: tifffile.TiffPage) -> tuple[dict[str, float], int]:
    """Pixels per unit along y and x, and the unit, from the resolution tags."""
    found = {}
    for axis, code in (("x", 282), ("y", 283)):
        value = page.tags.valueof(code)
        if isinstance(value, tuple) and len(value) == 2 and value[0] > 0 and value[1] > 0:
            found[axis] = value[0] / value[1]
    unit = page.tags.valueof(296, 0)
    return found, int(unit) if isinstance(unit, int) else 0


def _with_plain_size(declared: Declared, per_unit: dict[str, float], unit: int) -> Declared:
    """The pixel size of the resolution tags, if it can only be a microscope's, added or compared."""
    plain = plain_lengths(per_unit, unit)
    if plain is None:
        return declared
    lengths, fields, notes = dict(declared.lengths_um), dict(declared.length_fields), list(declared.notes)
    for axis, length in zip("yx", plain, strict=True):
        if axis in lengths and not is_same_size(lengths[axis], length):
            notes.append(disagreement(axis, {"OME-XML": lengths.pop(axis), "the resolution tags": length}))
            fields.pop(axis, None)
        elif axis not in lengths:
            lengths[axis], fields[axis] = length, f"TIFF {axis.upper()}Resolution"
    return replace(declared, lengths_um=lengths, length_fields=fields, notes=tuple(notes))


def _volume(reader: ReadTiffPlanes, arranged: Arrangement, declared: Declared, path: Path) -> Volume:
    """Fill in what the file says about the volume, as far as its final axes have it."""
    read_planes = reader if arranged.axes == ORDER else ReadReorderedPlanes(reader, arranged.axes)
    shape = shape_tczyx(arranged.axes, (*reader.table.shape[:-1], *reader.plane_shape))
    notes = [*declared.notes, *arranged.notes]
    # ImageJ has no planes of its own where there is only one.
    axes = arranged.final if declared.kind != "imagej" or shape[2] > 1 else arranged.final.replace("Z", "")
    missing: list[str] = []
    properties: dict[str, Any] = properties_of_axes(
        shape,
        axes,
        lengths_um=declared.lengths_um,
        times_s=declared.time_s,
        time_step_s=declared.time_step_s,
        channel_names=declared.channel_names,
        notes=missing,
    )
    notes += (declared.depth_notes or missing) if shape[2] > 1 else missing
    if declared.quantity is not None:
        properties["quantity"] = declared.quantity
    if declared.unit:
        properties["unit"] = declared.unit
    if declared.medium_ri is not None:
        properties["medium_ri"] = declared.medium_ri
    if declared.metadata.get("tomocyte.instrument"):
        properties["instrument"] = str(declared.metadata["tomocyte.instrument"])
    names = label_names_of_text(str(declared.metadata.get("tomocyte.label_names", "")))
    if names:
        properties["label_names"] = names
    # What our own writer noted as simulated stays so for ever.
    simulated = {name for name in properties if declared.metadata.get(f"tomocyte.origin.{name}") == "simulated"}
    origin: dict[str, Origin] = {name: "simulated" if name in simulated else "file" for name in properties}
    return Volume(
        shape=shape,
        dtype=reader.dtype,
        read_planes=read_planes,
        origin=origin,
        sources=sources_of(declared, properties),
        path=path,
        notes=tuple(notes),
        metadata={
            "dialect": declared.kind,
            **{key: value for key, value in declared.metadata.items() if key != "tomocyte.label_names"},
        },
        **properties,
    )


def _parts(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    return files_of_wavelengths(paths, files_of_sets(paths))


FORMAT = Format(
    name="tiff",
    suffixes=(".ome.tiff", ".ome.tif", ".ome.tf8", ".ome.btf", ".tiff", ".tif", ".tf8", ".btf"),
    description="TIFF, OME-TIFF, ImageJ stacks",
    verify=verify,
    read=read_tiff,
    write=write_ome_tiff,
    parts=_parts,
)
