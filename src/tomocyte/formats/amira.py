"""Amira and Avizo lattices (AmiraMesh): label fields with the names and colours of their materials, and images.

Voxels plain, run-length coded (HxByteRLE), packed (HxZip) or as text, of either byte order. The bounding box reaches
from the centre of the first voxel to that of the last, so that a voxel is its length over (n - 1). A voxel's value is
the place of its material in the list, from 0; the field ``Id`` numbers materials over several files and is not used.
The header is parsed in ``_amira_header``, voxels are found in ``_amira_data``, writing is in ``_amira_write``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._amira_data import AmiraPlanes, check_section, section_of
from tomocyte.formats._amira_header import (
    FIRST_LINE,
    AmiraArray,
    AmiraHeader,
    numbers_of,
    read_amira_header,
    word_of,
)
from tomocyte.formats._amira_write import write
from tomocyte.formats._axes import checked_axes, named_axes, properties_of_axes, shape_tczyx
from tomocyte.formats._hostile import FileStamp, declared_nbytes, parsing
from tomocyte.formats._placement import affine_of, agreed_length, without_unit
from tomocyte.formats.nrrd import UM_PER_UNIT
from tomocyte.volume import CHOICES, LabelName, Volume

LABELS: Final = "labels"
FIRST_LINE_NBYTES: Final = 256


def verify(path: Path) -> bool:
    """Whether the first line calls the file AmiraMesh or Avizo."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(FIRST_LINE_NBYTES)
    except OSError:
        return False
    return FIRST_LINE.match(start.split(b"\n")[0].decode("latin-1")) is not None


def read(path: Path, options: ReadOptions) -> Volume:
    """Open a lattice of an Amira file; plain voxels lazily, others unpacked once.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        ``dataset`` names one of several arrays; ``axes``, slowest first, replaces z, y, x.

    Returns
    -------
    Volume
        ``quantity`` is ``labels`` and :attr:`~tomocyte.volume.Volume.label_names` are the materials where the file has
        such, or calls the array Labels.

    Raises
    ------
    InputError
        ``E-AMIRA-HEADER``, ``E-AMIRA-KIND`` (no lattice, a grid that is not uniform, a type that is not read),
        ``E-AMIRA-TRUNC``, ``E-DATASET``, ``E-SHAPE``, ``E-BOMB``.
    """
    stamp = FileStamp.of(path)
    with parsing(path, "E-AMIRA-HEADER", what="its header"):
        header = read_amira_header(path)
    array, names = _array(header, options.dataset, path)
    lattice = _lattice(header, array, options, path)
    declared_nbytes(lattice.sizes, np.uint8, path)
    planes = AmiraPlanes(stamp, section_of(header, array, path), lattice.axes, lattice.sizes)
    check_section(planes)
    materials = _materials(header)
    shape, notes = shape_tczyx(lattice.axes, lattice.sizes), list[str]()
    properties: dict[str, Any] = {}
    lengths_um, position, unit = _box(header, notes)
    if options.voxel_size_um is not None:
        notes = []
    else:
        by_axis = {axis: lengths_um.get(stored, math.nan) for axis, stored in lattice.steps.items()}
        properties = properties_of_axes(shape, lattice.axes, lengths_um=by_axis, notes=notes)
    is_label = planes.dtype.kind in "ui" and (bool(materials) or array.name.lower() == LABELS)
    if is_label:
        properties |= {"quantity": "labels", "label_names": materials}
    if word_of(header.parameters, "TransformationMatrix"):
        notes.append("W-AMIRA-TRANSFORM: the file rotates or shifts the lattice; voxels are read as they are stored.")
    is_placed = position is not None and lattice.axes == "ZYX"
    return Volume(
        shape=shape,
        dtype=planes.dtype,
        read_planes=planes,
        affine=position if is_placed else None,
        affine_unit="um" if unit else "",
        origin=dict.fromkeys(properties, "file"),
        sources={
            name: source
            for name, source in {
                "voxel_size_um": "Amira BoundingBox / (n - 1)",
                "quantity": "Amira Materials" if materials else "Amira array name",
                "label_names": "Amira Materials",
            }.items()
            if properties.get(name)
        },
        path=path,
        notes=tuple(notes),
        metadata=_metadata(header, array, names),
        **properties,
    )


def _array(header: AmiraHeader, name: str | None, path: Path) -> tuple[AmiraArray, tuple[str, ...]]:
    """The array that is read: the one named, the labels, or the first; and the names of all on the lattice."""
    arrays = {one.name: one for one in header.arrays if one.grid.lower() == "lattice"}
    coordinates = word_of(header.parameters, "CoordType").lower() or "uniform"
    if not arrays or len(header.sizes) != 3 or coordinates != "uniform":
        others = ", ".join(dict.fromkeys(one.grid for one in header.arrays)) or "nothing"
        what = f"voxels on {coordinates} coordinates" if arrays and len(header.sizes) == 3 else f"arrays on {others}"
        raise InputError(
            "E-AMIRA-KIND",
            f"holds {what}, not voxels on a uniform lattice of three axes.",
            path=path,
            cure="Save the label field or image itself, in Amira: File > Save Data As > AmiraMesh; of surfaces, meshes "
            "and graphs make a label field first.",
        )
    if name is not None and name not in arrays:
        raise InputError(
            "E-DATASET", f"has no array {name!r}.", path=path, cure=f"Give --dataset with one of: {', '.join(arrays)}."
        )
    by_place = sorted(arrays, key=lambda one: one.lower() != LABELS)
    return arrays[name or by_place[0]], tuple(by_place)


@dataclass(frozen=True)
class _Lattice:
    """Final axes and sizes, slowest first, and for z, y, x the axis of the file that each is."""

    axes: str
    sizes: tuple[int, ...]
    steps: Mapping[str, str]


def _lattice(header: AmiraHeader, array: AmiraArray, options: ReadOptions, path: Path) -> _Lattice:
    """Z, Y, X, and C behind them where a voxel has several numbers; or what the user says."""
    sizes, stored = tuple(reversed(header.sizes)), "zyx"
    if array.n_components > 1:
        sizes, stored = (*sizes, array.n_components), "zyxc"
    if options.axes is None:
        return _Lattice(stored.upper(), sizes, {letter: letter for letter in "zyx"})
    kept = named_axes(options.axes, sizes)
    axes = checked_axes(options.axes, [sizes[index] for index in kept], path)
    steps = {letter.lower(): stored[index] for letter, index in zip(axes, kept, strict=True) if letter in "ZYX"}
    return _Lattice(axes, tuple(sizes[index] for index in kept), steps)


def _box(header: AmiraHeader, notes: list[str]) -> tuple[dict[str, float], Any, bool]:
    """µm per step by the file's axis, the affine where the box does not begin at 0, whether the unit is known."""
    box = numbers_of(header.parameters, "BoundingBox", 6)
    unit = word_of(header.parameters, "Units", "Coordinates")
    factor = UM_PER_UNIT.get(unit.strip().lower())
    if not box:
        notes.append("W-VOXEL-SIZE: the file gives no bounding box, and so no voxel size.")
        return {}, None, False
    # of a single plane Amira gives its thickness
    bare = {
        axis: (box[2 * place + 1] - box[2 * place]) / max(header.sizes[place] - 1, 1)
        for place, axis in enumerate("xyz")
    }
    lengths = {}
    if factor is None:
        notes.append(without_unit({axis: bare[axis] for axis in "zyx"}))
    else:
        agreed = {axis: agreed_length(axis, {"BoundingBox": bare[axis] * factor}, notes) for axis in "zyx"}
        lengths = {axis: length for axis, length in agreed.items() if length is not None}
    first = np.array(box[::2], dtype=np.float64) * (factor or 1.0)
    steps = np.diag([bare[axis] * (factor or 1.0) for axis in "xyz"])[::-1]
    affine = affine_of(np.vstack([steps, first])) if first.any() and all(bare.values()) else None
    return lengths, affine, factor is not None


def _materials(header: AmiraHeader) -> tuple[LabelName, ...]:
    """Names and colours by the place in the list; the first material is the background."""
    block = header.parameters.get("Materials")
    if not isinstance(block, Mapping):
        return ()
    names = []
    for value, (key, entry) in enumerate(block.items()):
        about: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
        colour = numbers_of(about, "Color", 3)
        is_colour = bool(colour) and all(0 <= part <= 1 for part in colour)
        text = "#" + "".join(f"{round(255 * part):02X}" for part in colour) if is_colour else ""
        names.append(LabelName(value, word_of(about, "Name") or key, text))
    return tuple(names[1:])


def _metadata(header: AmiraHeader, array: AmiraArray, names: tuple[str, ...]) -> dict[str, Any]:
    coding = array.coding or {"text": "ASCII"}.get(header.encoding, f"binary, {header.encoding}-endian")
    found: dict[str, Any] = {"array": array.name, "type": array.kind, "encoding": coding}
    content = word_of(header.parameters, "Content")
    if content:
        found["content"] = content
    return found | ({CHOICES: names} if len(names) > 1 else {})


FORMAT = Format(
    "amira",
    (".am", ".labels", ".amiramesh"),
    "Amira and Avizo label fields and images (AmiraMesh lattices)",
    verify,
    read,
    write,
)
