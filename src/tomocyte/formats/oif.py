"""Olympus OIF and OIB through the package ``oiffile``: one TIFF per plane, found by its name.

An OIB is the folder of an OIF in one compound file, whose chains of sectors are followed once before the package, which
does not notice a circle, may use them. To take more from the settings, see :func:`_lengths` and :func:`_times`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._extra import agreed, chosen_image, library, package, volume_of_planes
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import (
    FileStamp,
    check_declared_bytes,
    check_fits_memory,
    declared_nbytes,
    parsing,
)
from tomocyte.formats.tiff.pages import LIBRARY_ERRORS, open_tiff
from tomocyte.volume import Shape5, Volume

CODE: Final = "E-OIF"
WHAT: Final = "an Olympus OIF or OIB file"
COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LARGEST_SETTINGS_NBYTES: Final = 16 * 2**20
LENGTH_UNITS_UM: Final = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3}
TIME_UNITS_S: Final = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "us": 1e-6}
_PLANE: Final = re.compile(r"_((?:[A-Z]\d{3,6})+)\.tif$", re.IGNORECASE)
_PLACE: Final = re.compile(r"([A-Z])(\d+)", re.IGNORECASE)
Settings = Mapping[str, Mapping[str, Any]]


def _open(stamp: FileStamp, options: None) -> Any:  # noqa: ARG001  there is one way to open it
    oiffile = package("oiffile", stamp.path, what=WHAT)
    with library(stamp.path, CODE, what="its list of files"):
        if stamp.path.suffix.lower() != ".oif":
            check_chains(stamp)
            _check_files(oiffile, stamp.path)
        return oiffile.OifFile(stamp.path)


def _check_files(oiffile: Any, path: Path) -> None:
    """Read once what opening reads: the package leaves the file open where that fails."""
    with oiffile.CompoundFile(path) as compound:
        info = oiffile.SettingsFile(compound.open_file("OibInfo.txt"), "OibInfo.txt")["OibSaveInfo"]
        places = {name.rpartition("/")[2]: name for name in compound.files()}
        files = {name: places[label] for label, name in info.items() if label.startswith("Stream")}
        oiffile.SettingsFile(compound.open_file(files[info[info["MainFileName"]]]), "settings")


_FILES: HandleCache[None, Any] = HandleCache(_open)


@dataclass(frozen=True)
class OifPlanes:
    """Reader of planes; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file that was opened.
    files : mapping
        Name of the TIFF of each plane by frame, channel and plane.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        Of the voxels.
    """

    stamp: FileStamp
    files: Mapping[tuple[int, int, int], str]
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        path = self.stamp.path
        planes_shape = (z_stop - z_start, *self.plane_shape)
        check_fits_memory(math.prod(planes_shape) * self.dtype.itemsize, path=path, what="a read")
        self.stamp.check()
        planes = np.empty(planes_shape, self.dtype)
        with _FILES.lend(self.stamp, None) as file:
            for place, plane in enumerate(range(z_start, z_stop)):
                name = self.files[frame, channel, plane]
                pixels = _read_plane(file, name, path)
                if pixels.shape != self.plane_shape or pixels.dtype != self.dtype:
                    raise InputError(
                        CODE,
                        f"{name} holds {pixels.shape} {pixels.dtype}, not {self.plane_shape} {self.dtype}.",
                        path=path,
                        cure="Export it again.",
                    )
                planes[place] = pixels
        return planes


def verify(path: Path) -> bool:
    """Whether the file is called and begins as an OIF or OIB; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError):
        return False
    suffix = path.suffix.lower()
    return (suffix == ".oib" and head == COMPOUND) or (
        suffix == ".oif" and (head[:4] == b"\xff\xfe[\0" or head[:1] == b"[")
    )


def read(path: Path, options: ReadOptions) -> Volume:
    """Open an OIF (with its folder ``.oif.files``) or an OIB lazily.

    Parameters
    ----------
    path : Path
        A ``.oif`` or ``.oib`` file.
    options : ReadOptions
        ``dataset`` is not needed: a file holds one image.

    Returns
    -------
    Volume
        Voxels as stored, all channels.

    Raises
    ------
    InputError
        ``E-FORMAT-EXTRA``, ``E-OIF`` (damaged), ``E-OIF-PLANES`` (planes missing), ``E-OIF-AXES``, ``E-DATASET``,
        ``E-COMPANION-MISSING``, ``E-COMPANION-OUTSIDE``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    package("oiffile", path, what=WHAT)
    stamp = FileStamp.of(path)
    if path.suffix.lower() == ".oif":
        _check_folder(stamp)
    chosen_image(("0",), options.dataset, path)
    with library(path, CODE, what="its settings"), _FILES.lend(stamp, None) as file:
        return _volume(file, stamp)


def _check_folder(stamp: FileStamp) -> None:
    """Settings of a sane size, and the folder beside the file, nothing of which leads out of it."""
    path = stamp.path
    if stamp.nbytes > LARGEST_SETTINGS_NBYTES:
        raise InputError(CODE, f"has {stamp.nbytes} bytes of settings.", path=path, cure="Export it again.")
    folder = path.with_name(path.name + ".files")
    if not folder.is_dir():
        raise InputError(
            "E-COMPANION-MISSING",
            f"keeps its planes in the folder {folder.name!r}, which is not there.",
            path=path,
            cure="Copy that folder beside it.",
        )
    home = path.resolve().parent
    for entry in (folder, *folder.iterdir()):
        if not entry.resolve().is_relative_to(home):
            raise InputError(
                "E-COMPANION-OUTSIDE",
                f"its folder has {entry.name!r}, which lies elsewhere.",
                path=path,
                cure="Copy the files themselves into the folder.",
            )


def check_chains(stamp: FileStamp) -> None:
    """Refuse a compound file whose chains of sectors run in circles or claim more than the file has.

    References
    ----------
    [MS-CFB] sections 2.2 to 2.4.
    """
    path = stamp.path
    with parsing(path, CODE, what="its structure"), path.open("rb") as file:
        head = file.read(512)
        sector = 1 << struct.unpack_from("<H", head, 30)[0]
        n_fat, mini, n_mini, difat, n_difat = (struct.unpack_from("<I", head, at)[0] for at in (44, 60, 64, 68, 72))
        n_sectors = stamp.nbytes // max(sector, 1)
        if sector not in (512, 4096) or max(n_fat, n_mini, n_difat) > n_sectors:
            raise _circle(path)
        sectors = list(struct.unpack_from("<109I", head, 76))
        for _ in range(n_difat):
            table = _sector(file, difat, sector)
            sectors, difat = [*sectors, *map(int, table[:-1])], int(table[-1])
        fat = np.concatenate([np.empty(0, "<u4"), *(_sector(file, at, sector) for at in sectors[:n_fat])])
        _check_circles(fat, path)
        parts: list[NDArray[np.uint32]] = []
        while mini < len(fat) and len(parts) < n_mini:
            parts.append(_sector(file, mini, sector))
            mini = int(fat[mini])
        _check_circles(np.concatenate([np.empty(0, "<u4"), *parts]), path)


def _sector(file: Any, index: int, nbytes: int) -> NDArray[np.uint32]:
    file.seek((index + 1) * nbytes)
    return np.frombuffer(file.read(nbytes), "<u4")


def _check_circles(following: NDArray[np.uint32], path: Path) -> None:
    """Each number names the next: following all at once must end within as many steps as there are."""
    end = len(following)
    target = np.append(np.minimum(following, end), end).astype(np.int64)
    for _ in range(end.bit_length() + 1):
        target = target[target]  # after k rounds: 2^k steps on
    if not bool(np.all(target == end)):
        raise _circle(path)


def _circle(path: Path) -> InputError:
    return InputError(
        CODE, "its table of sectors runs in a circle or is too long.", path=path, cure="It is damaged; copy it again."
    )


def _read_plane(file: Any, name: str, path: Path) -> NDArray[Any]:
    with parsing(path, CODE, what=name, also=LIBRARY_ERRORS):
        with file.open_file(name) as opened:
            data = opened.read()
        with open_tiff(path, BytesIO(data)) as tif:
            page = tif.pages.first
            check_declared_bytes(
                page.shape, page.dtype, path=path, stored_nbytes=len(data), is_compressed=page.compression != 1
            )
            pixels: NDArray[Any] = page.asarray()
    return pixels


def _volume(file: Any, stamp: FileStamp) -> Volume:
    path = stamp.path
    notes: list[str] = []
    axes = _axes(file.mainfile)
    names = {"".join(_PLANE.findall(name)[:1]).upper(): name for name in sorted(file.glob("*")) if _PLANE.search(name)}
    places = {}
    for key, name in names.items():
        at = {letter: int(number) for letter, number in _PLACE.findall(key)}
        if set(at) - set("CZT") and any(number > 1 for letter, number in at.items() if letter not in "CZT"):
            raise _unread(path, f"planes of {sorted(at)}")
        places[at.get("T", 1) - 1, at.get("C", 1) - 1, at.get("Z", 1) - 1] = name
    sizes = {letter: int(settings.get("MaxSize", 1)) for letter, settings in axes.items()}
    others = {letter: size for letter, size in sizes.items() if letter not in "XYZCT" and size > 1}
    if others or not {"X", "Y"} <= set(sizes):
        raise _unread(path, ", ".join(f"{letter} x {size}" for letter, size in sizes.items()))
    counts = tuple(max(sizes.get(letter, 1), 1) for letter in "TCZ")
    shape: Shape5 = (counts[0], counts[1], counts[2], sizes["Y"], sizes["X"])
    if math.prod(counts) > 1000 * max(len(places), 1):
        raise _missing(path, len(places), counts)
    wanted = {(t, c, z) for t in range(counts[0]) for c in range(counts[1]) for z in range(counts[2])}
    if wanted != set(places):
        raise _missing(path, len(places), counts)
    first = _read_plane(file, places[0, 0, 0], path)
    dtype = first.dtype.newbyteorder("=")
    declared_nbytes(shape, dtype, path)
    if first.shape != shape[3:]:
        raise InputError(
            CODE,
            f"its settings declare planes of {shape[3:]}, and {places[0, 0, 0]} holds {first.shape}.",
            path=path,
            cure="It is damaged; export it again.",
        )
    return volume_of_planes(
        OifPlanes(stamp, {place: places[place] for place in sorted(wanted)}, shape[3:], dtype),
        shape,
        dtype,
        path=path,
        lengths=_lengths(axes, file.mainfile, shape, notes),
        times=_times(file, places, axes, shape[0]),
        channels=(_channel_names(file.mainfile, shape[1]), "OIF Channel Parameters"),
        metadata=_metadata(file.mainfile),
        notes=notes,
    )


def _unread(path: Path, what: str) -> InputError:
    return InputError(
        "E-OIF-AXES",
        f"has axes that are not read: {what}.",
        path=path,
        cure="Export it as OME-TIFF in FluoView or Fiji.",
    )


def _missing(path: Path, found: int, counts: tuple[int, ...]) -> InputError:
    return InputError(
        "E-OIF-PLANES",
        f"declares {counts[0]} times x {counts[1]} channels x {counts[2]} z, and {found} planes are there.",
        path=path,
        cure="Copy the file and its whole folder again.",
    )


def _axes(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """The parameters of each axis that has elements, by its letter."""
    found = {}
    for index in range(8):
        axis = settings.get(f"Axis {index} Parameters Common", {})
        if axis.get("AxisCode") and int(axis.get("MaxSize", 0) or 0) > 0:
            found[str(axis["AxisCode"]).strip('"')] = axis
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _lengths(
    axes: Mapping[str, Mapping[str, Any]], settings: Settings, shape: Shape5, notes: list[str]
) -> tuple[dict[str, float], str]:
    """Steps z, y, x in µm: the reference image's, compared with the extent of the axis over its pixels."""
    reference = settings.get("Reference Image Parameter", {})
    lengths: dict[str, float] = {}
    fields = []
    for axis, size in zip("zyx", shape[2:], strict=True):
        said = axes.get(axis.upper(), {})
        factor = LENGTH_UNITS_UM.get(str(said.get("UnitName", "")).strip('"').lower())
        start, end = _number(said.get("StartPosition")), _number(said.get("EndPosition"))
        extent = None if factor is None or start is None or end is None else abs(end - start) * factor
        stated: dict[str, float | None] = {}
        if axis == "z":
            if size == 1:
                continue
            interval = _number(said.get("Interval"))
            stated["Axis Z Interval"] = None if interval is None or factor is None else abs(interval) * factor
            stated["Axis Z positions"] = None if extent is None else extent / (size - 1)
        else:
            name = {"x": "Width", "y": "Height"}[axis]
            unit = str(reference.get(f"{name}Unit", "um")).strip('"').lower()
            value = _number(reference.get(f"{name}ConvertValue"))
            stated[f"{name}ConvertValue"] = None if value is None else value * LENGTH_UNITS_UM.get(unit, math.nan)
            stated[f"Axis {axis.upper()} positions"] = (
                None if extent is None else _per_pixel(extent, size, stated[f"{name}ConvertValue"])
            )
        length, field = agreed(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
            fields.append(field)
    return lengths, "OIF " + ", ".join(fields)


def _per_pixel(extent: float, size: int, expected: float | None) -> float:
    """An extent over its pixels: from edge to edge, or from centre to centre where that is what agrees."""
    if size > 1 and expected is not None and math.isclose(extent / (size - 1), expected, rel_tol=1e-4):
        return expected
    return extent / size


def _times(
    file: Any, places: Mapping[tuple[int, int, int], str], axes: Mapping[str, Mapping[str, Any]], n_frames: int
) -> tuple[tuple[float, ...] | None, str]:
    """Seconds of each frame after the first: as noted with each plane, or from the interval."""
    if n_frames < 2:
        return None, ""
    noted = [_noted_time(file, places[frame, 0, 0]) for frame in range(n_frames)]
    times = [time for time in noted if time is not None]
    if len(times) == n_frames and bool(np.all(np.diff(times) > 0)):
        return tuple(time - times[0] for time in times), "OIF AbsPositionValue of each plane"
    said = axes.get("T", {})
    interval = _number(said.get("Interval"))
    factor = TIME_UNITS_S.get(str(said.get("UnitName", "")).strip('"').lower())
    if interval is not None and factor is not None and interval > 0:
        return tuple(index * interval * factor for index in range(n_frames)), "OIF Axis T Interval (planned)"
    return None, ""


def _noted_time(file: Any, name: str) -> float | None:
    """The time in the settings beside a plane, in seconds."""
    beside = name[:-4] + ".pty"
    if beside not in set(file.glob("*")):
        return None
    settings = package("oiffile", Path(name), what=WHAT).SettingsFile(file.open_file(beside), beside)
    for index in range(8):
        axis = settings.get(f"Axis {index} Parameters", {})
        factor = TIME_UNITS_S.get(str(axis.get("AbsPositionUnitName", "")).strip('"').lower())
        value = _number(axis.get("AbsPositionValue"))
        if factor is not None and value is not None:
            return value * factor
    return None


def _channel_names(settings: Settings, n_channels: int) -> list[str]:
    names = []
    for index in range(1, n_channels + 1):
        said = {
            **settings.get(f"GUI Channel {index} Parameters", {}),
            **settings.get(f"Channel {index} Parameters", {}),
        }
        dye = str(said.get("DyeName", "")).strip('"')
        names.append(dye if dye not in ("", "None") else str(said.get("CH Name", "")).strip('"'))
    return names


def _metadata(settings: Settings) -> dict[str, Any]:
    """What the settings say of the optics and the recording."""
    lens, recording = settings.get("Objective Lens 0 Parameters", {}), settings.get("Acquisition Parameters Common", {})
    found = {
        "objective": lens.get("Name"),
        "objective_magnification": lens.get("Magnification"),
        "numerical_aperture": lens.get("NAValue"),
        "acquired": recording.get("ImageCaputreDate"),
        "software_version": settings.get("Version Info", {}).get("SystemVersion"),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def parts(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """For each file the files of its folder ``.oif.files`` and itself, resolved and sorted."""
    folders = [path.with_name(path.name + ".files") for path in paths]
    inside = [[entry for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else [] for folder in folders]
    each = zip(paths, inside, strict=True)
    return [tuple(sorted({path.resolve(), *(entry.resolve() for entry in entries)})) for path, entries in each]


FORMAT = Format("oif", (".oif", ".oib"), "Olympus FluoView, with the extra `formats`", verify, read, parts=parts)
