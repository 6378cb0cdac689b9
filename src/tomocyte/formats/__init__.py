"""Door 1: a file format is a file in this folder.

To add one, put ``formats/<name>.py`` here with a module constant ``FORMAT = Format(...)``; it is found by itself.
``verify`` is cheap and never raises; ``read`` is lazy and never invents a physical property; ``write`` exists where it
makes sense. What the user gives (:class:`ReadOptions`) replaces what the file says, with the origin ``user``.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError, MetadataError, MissingFact
from tomocyte.formats._foreign import refuse_foreign
from tomocyte.formats._label_tables import read_label_table
from tomocyte.formats._plugins import advice
from tomocyte.progress import silent
from tomocyte.volume import Origin, Volume, VoxelSize

FOLDER_FORMATS = frozenset({"ome-zarr"})
"""Formats whose endings are those of folders."""


@dataclass(frozen=True)
class ReadOptions:
    """What the user gives about a file; ``None``: take it from the file.

    Parameters
    ----------
    voxel_size_um : tuple of 3 float, optional
        Voxel size z, y, x in µm; z is NaN for ``--pixel-size-um``.
    axes : str, optional
        One letter of ``TCZYX`` per axis of the stored array, in its order, e.g. ``"ZYX"``.
    time_step_s : float, optional
        Seconds between frames.
    medium_ri : float, optional
        Refractive index of the medium.
    dataset : str, optional
        Path of the array inside a container (HDF5, Zarr).
    label_table : Path, optional
        A table with the names and colours of labels: a label description of ITK-SNAP, a colour table of 3D Slicer.
    region_image : Path, optional
        The image on which regions (ROIs) were drawn, whose size they do not say.
    is_alone : bool, optional
        Whether a file is read without those that by their names hold further channels of its volume.
    """

    voxel_size_um: VoxelSize | None = None
    axes: str | None = None
    time_step_s: float | None = None
    medium_ri: float | None = None
    dataset: str | None = None
    label_table: Path | None = None
    region_image: Path | None = None
    is_alone: bool | None = None


@dataclass(frozen=True)
class Format:
    """One file format.

    Parameters
    ----------
    name : str
        Short lower-case name, also the value of ``--format``.
    suffixes : tuple of str
        File-name endings in lower case, longest first, with the dot.
    description : str
        One line for ``tomocyte formats``.
    verify : callable
        ``verify(path) -> bool``: whether this reader understands the file; cheap, never raises.
    read : callable
        ``read(path, options) -> Volume``: lazy.
    write : callable, optional
        ``write(path, volume, on_frame) -> None``: streams frame by frame; the caller stages and renames; ``on_frame``
        is called with the number of planes written so far.
    parts : callable, optional
        ``parts(paths) -> list of tuple of Path``: for each path, the files that together hold its volume, sorted,
        itself among them; for formats of which one volume may be split over files. Never raises.
    beside : callable, optional
        ``beside(path, volume) -> content by name``: small files that are written beside a volume, for what the format
        itself has no place for.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    verify: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Volume]
    write: Callable[[Path, Volume, Callable[[int], None]], None] | None = None
    parts: Callable[[Sequence[Path]], list[tuple[Path, ...]]] | None = None
    beside: Callable[[Path, Volume], dict[str, bytes]] | None = None


def formats() -> dict[str, Format]:
    """Every format, by name."""
    return _formats_in(tuple(__path__))


@cache
def _formats_in(folders: tuple[str, ...]) -> dict[str, Format]:
    names = sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    entries: list[Format] = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {entry.name: entry for entry in entries}


def _candidates(path: Path) -> Iterator[Format]:
    """Formats in the order to try: those whose suffix matches first, longest suffix first, those without any last."""
    name = path.name.lower()

    def rank(entry: Format) -> int:
        return max((len(suffix) for suffix in entry.suffixes if name.endswith(suffix)), default=0)

    yield from sorted(formats().values(), key=lambda entry: (-rank(entry), not entry.suffixes, entry.name))


def detect(path: Path) -> Format:
    """The format that can read ``path``; of a damaged file the one of its ending, which refuses it with the reason.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``, or ``E-FORMAT``: of no known format, or something else than an image by its first bytes.
    """
    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    for entry in _candidates(path):
        if entry.verify(path):
            return entry
    if path.is_file():
        refuse_foreign(path)
    for entry in _candidates(path):  # the reader of that ending says what is wrong with the file
        if path.name.lower().endswith(entry.suffixes) and path.is_dir() == (entry.name in FOLDER_FORMATS):
            return entry
    known = ", ".join(f"{entry.name} ({' '.join(entry.suffixes)})" for entry in formats().values() if entry.suffixes)
    raise InputError(
        "E-FORMAT",
        "the file has no format that can be read.",
        path=path,
        cure=f"It may be damaged; known formats: {known}. {advice()}",
    )


def is_zarr_group(folder: Path) -> bool:
    """Whether a folder is one input of OME-Zarr, be it an image, a plate or a well, and no folder of files."""
    return formats()["ome-zarr"].verify(folder)


def parts_of(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """For each path the files that together hold its volume, sorted; itself alone where a volume is one file."""
    parts: dict[Path, tuple[Path, ...]] = {path: (path.resolve(),) for path in paths}
    for entry in formats().values():
        if entry.parts is not None:
            own = [path for path in paths if path.is_file() and entry.verify(path)]
            parts |= dict(zip(own, entry.parts(own), strict=True))
    return [parts[path] for path in paths]


def parts_beside(path: Path) -> tuple[Path, ...]:
    """The other files that hold voxels of a file's volume, sorted, below the folder of ``path``; none of a folder."""
    home, here = path.parent, path.resolve()
    if not path.is_file():
        return ()
    others = (part for part in parts_of([path])[0] if part != here and part.is_relative_to(here.parent))
    return tuple(home / part.relative_to(here.parent) for part in others)


def read_volume(
    path: str | Path,
    options: ReadOptions | None = None,
    *,
    is_size_required: bool = True,
    lacks: Callable[[Volume], Sequence[MissingFact]] = Volume.missing_facts,
) -> Volume:
    """Open a file or folder as a lazy :class:`~tomocyte.volume.Volume`.

    Parameters
    ----------
    path : path-like
    options : ReadOptions, optional
        What the user gives; recorded with origin ``user``.
    is_size_required : bool
        With ``False`` a file without a voxel size opens all the same (``tomocyte info`` does this).
    lacks : callable
        What a volume lacks for the caller; a refusal asks for all of it at once.

    Returns
    -------
    Volume
        Voxels in physical units, read when asked for.

    Raises
    ------
    InputError
        The file is damaged, hostile or of no known format.
    MetadataError
        ``E-VOXEL-SIZE`` or ``E-AXES``: given neither by the file nor by the user.
    """
    given = options or ReadOptions()
    place = Path(path)
    reader = detect(place)
    try:
        volume = _apply(reader.read(place, given), given)
    except InputError as problem:
        fuller = _asking_for_all(problem, reader, place, given, lacks if is_size_required else _wishes)
        raise fuller from problem.__cause__
    if is_size_required and volume.voxel_size_um is None:
        try:
            volume.require_voxel_size()
        except MetadataError as problem:
            raise problem.asking_also(lacks(volume)) from None
    return volume


def _asking_for_all(
    problem: InputError,
    reader: Format,
    path: Path,
    options: ReadOptions,
    lacks: Callable[[Volume], Sequence[MissingFact]],
) -> InputError:
    """A refusal of unknown axes, or of several arrays, with all else that the file lacks: the user is asked once."""
    first = {fact.name: fact.values[0] for fact in problem.missing}
    assumed = replace(options, axes=options.axes or first.get("axes"), dataset=options.dataset or first.get("dataset"))
    if assumed == options:
        return problem
    try:
        facts = lacks(_apply(reader.read(path, assumed), assumed))
    except InputError as further:
        if not further.missing:
            return problem
        return _asking_for_all(problem.asking_also(further.missing, further.problem), reader, path, assumed, lacks)
    lacks_size = any(fact.name in ("voxel_size_um", "pixel_size_um") and fact.is_needed for fact in facts)
    return problem.asking_also(facts, "It contains no voxel size either." if lacks_size else "")


def _wishes(volume: Volume) -> list[MissingFact]:
    """What a volume lacks for somebody who can do without a voxel size."""
    return [replace(fact, is_needed=False) for fact in volume.missing_facts()]


def _apply(volume: Volume, options: ReadOptions) -> Volume:
    """The volume with the user's values in place of the file's."""
    properties: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if options.voxel_size_um is not None:
        properties["voxel_size_um"] = options.voxel_size_um
        is_plane = math.isnan(options.voxel_size_um[0])
        sources["voxel_size_um"] = "--pixel-size-um" if is_plane else "--voxel-size-um"
    if options.medium_ri is not None:
        properties["medium_ri"] = options.medium_ri
        sources["medium_ri"] = "--medium-ri"
    if options.time_step_s is not None:
        properties["time_s"] = tuple(index * options.time_step_s for index in range(volume.n_frames))
        sources["time_s"] = "--time-step-s"
    if options.label_table is not None:
        properties |= {"quantity": "labels", "label_names": read_label_table(options.label_table)}
        sources |= dict.fromkeys(("quantity", "label_names"), "--label-table")
    if not properties:
        return volume
    origin: dict[str, Origin] = dict.fromkeys(properties, "user")
    return volume.with_properties(origin=origin, sources=sources, **properties)


def write_volume(
    path: str | Path, volume: Volume, *, format_name: str | None = None, on_planes: Callable[[int], None] = silent
) -> None:
    """Write a volume, streaming plane by plane; the format follows from the suffix or ``format_name``.

    Raises
    ------
    InputError
        ``E-FORMAT-WRITE``: no writer for this name or suffix.
    """
    place = Path(path)
    writer = _writer(place, format_name)
    writer.write(place, volume, on_planes)  # type: ignore[misc]


def files_beside(path: Path, volume: Volume) -> dict[str, bytes]:
    """Small files that belong beside a volume that is written there, by name; for what its format has no place for."""
    beside = _writer(path, None).beside
    return {} if beside is None else beside(path, volume)


def _writer(place: Path, format_name: str | None) -> Format:
    name = place.name.lower()
    writers = {entry.name: entry for entry in formats().values() if entry.write is not None}
    if format_name is not None:
        writer = writers.get(format_name)
    else:
        fitting = [
            (len(suffix), entry) for entry in writers.values() for suffix in entry.suffixes if name.endswith(suffix)
        ]
        writer = max(fitting, key=lambda pair: pair[0])[1] if fitting else None
    if writer is None or writer.write is None:
        known = ", ".join(f"{entry.name} ({' '.join(entry.suffixes)})" for entry in writers.values())
        raise InputError(
            "E-FORMAT-WRITE",
            "files of this kind cannot be written.",
            path=place,
            cure=f"Formats that can be written: {known}.",
        )
    return writer
