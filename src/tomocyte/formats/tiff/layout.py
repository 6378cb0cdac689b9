"""Which page holds which plane: the planes that a TIFF declares, found among its pages and put into the order T, C, Z.

The planes found must equal the planes declared; nothing here opens voxels. To add a dialect whose pages are placed in
another way, add a case to :func:`place_planes`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError, MissingFact
from tomocyte.formats import ReadOptions
from tomocyte.formats._axes import ORDER
from tomocyte.formats._hostile import FileStamp, check_fits_memory
from tomocyte.formats.tiff.meta import Declared, damaged
from tomocyte.formats.tiff.pages import Page, open_tiff, scan, truncated

Grid = NDArray[np.int64]
MOST_PLACES = 1000
"""A declared number of planes above this many per plane found is not believed."""
MOST_LAST_CHANNELS = 5
"""A last axis of at most this length, behind longer ones, may be one of channels."""


class Placed(NamedTuple):
    """The planes of an image: files, (plane, 2) grid of file and byte, a page of it, whether raw, what it declares."""

    files: tuple[FileStamp, ...]
    grid: Grid
    page: Page
    is_raw: bool
    declared: Declared


def place_planes(declared: Declared, pages: list[Page], stamp: FileStamp) -> Placed:
    """Which file and byte each declared plane lies at."""
    path = stamp.path
    if declared.kind == "ome":
        return _place_ome(declared, pages, stamp)
    image = [page for page in pages if not page.is_reduced] or pages
    first = image[0]
    if declared.kind == "bare":
        grid = _grid(_first_run(image, path))
        return Placed((stamp,), grid, first, False, replace(declared, axes="?", sizes=(len(grid),)))
    n_planes = math.prod(declared.sizes)
    if declared.kind == "shaped":
        declared = without_last_ones(declared, first)
        n_planes = _planes_of_shape(declared, first, path)
    if n_planes <= len(image):
        if any(page.kind != first.kind for page in image[:n_planes]):
            raise truncated(path, f"the {n_planes} pages declared are not of one shape and type.")
        further = image[n_planes:]
        if further and further[0].kind == first.kind and not further[0].is_described:
            raise damaged(path, f"declares {n_planes} planes and holds {len(image)}.")
        return Placed((stamp,), _grid(image[:n_planes]), first, False, declared)
    plane_nbytes = math.prod(first.plane_shape) * first.dtype.itemsize
    if first.raw_offset is None or len(pages) > 1 or first.raw_offset + n_planes * plane_nbytes > stamp.nbytes:
        raise truncated(path, f"declares {n_planes} planes and holds {len(image)}.")
    check_fits_memory(64 * n_planes, path=path, what=f"the table of {n_planes} planes")
    offsets = first.raw_offset + plane_nbytes * np.arange(n_planes, dtype=np.int64)
    return Placed((stamp,), np.stack([np.zeros_like(offsets), offsets], axis=1), first, True, declared)


def _grid(pages: list[Page]) -> Grid:
    return np.array([(0, page.offset) for page in pages], dtype=np.int64).reshape(-1, 2)


def _first_run(pages: list[Page], path: Path) -> list[Page]:
    """The pages before the first of another shape or type, which must not be mixed with those after it."""
    kinds = [page.kind for page in pages]
    n_alike = next((index for index, kind in enumerate(kinds) if kind != kinds[0]), len(kinds))
    if kinds[0] in kinds[n_alike:]:
        raise InputError(
            "E-TIFF-MIXED",
            f"pages of different shape or type are mixed, from page {n_alike} on.",
            path=path,
            missing=(MissingFact("dataset", ("0",), "0 for the first run of equal pages, 1 for the next, …"),),
        )
    return pages[:n_alike]


def without_last_ones(declared: Declared, page: Page) -> Declared:
    """A JSON shape without axes of length 1 behind those of a page: (5, 40, 50, 1) is stored as 5 pages of 40 x 50."""
    tail, sizes, axes = _page_shape(page), declared.sizes, declared.axes
    while sizes[-1:] == (1,) and sizes[-len(tail) :] != tail and len(sizes) > len(tail):
        sizes, axes = sizes[:-1], axes[:-1]
    return replace(declared, sizes=sizes, axes=axes) if sizes[-len(tail) :] == tail else declared


def _planes_of_shape(declared: Declared, first: Page, path: Path) -> int:
    """How many pages the JSON shape needs; its last axes must be those of a page."""
    tail = _page_shape(first)
    if declared.sizes[-len(tail) :] != tail:
        raise damaged(path, f"declares the shape {declared.sizes}, but its pages are {tail}.")
    return math.prod(declared.sizes[: -len(tail)])


def _page_shape(page: Page) -> tuple[int, ...]:
    if page.n_samples == 1:
        return page.plane_shape
    return (page.n_samples, *page.plane_shape) if page.is_planar else (*page.plane_shape, page.n_samples)


def _place_ome(declared: Declared, pages: list[Page], stamp: FileStamp) -> Placed:
    """Follow the TiffData of OME-XML; every plane must be found exactly once, in files of the same folder."""
    path, n_planes = stamp.path, math.prod(declared.sizes)
    files: dict[Path, tuple[int, FileStamp, list[Page]]] = {path.resolve(): (0, stamp, pages)}
    rows: dict[int, tuple[int, Page]] = {}
    for entry in declared.placements:
        place = entry.place or path.resolve()
        if place not in files:
            other = FileStamp.of(place)
            with open_tiff(place) as tif:
                files[place] = (len(files), other, scan(tif, place))
        number, _, found = files[place]
        n_left = min(len(found) - entry.first_page, n_planes - entry.first_plane)
        n_wanted = n_left if entry.n_planes is None else entry.n_planes
        stop = entry.first_page + n_wanted
        if n_wanted < 1 or stop > len(found) or entry.first_plane + n_wanted > n_planes:
            raise truncated(
                path,
                f"OME-XML places {n_wanted} planes from page {entry.first_page} on; {place.name} has {len(found)}.",
            )
        for step in range(n_wanted):
            if entry.first_plane + step in rows:
                raise damaged(path, f"its OME-XML places plane {entry.first_plane + step} twice.")
            rows[entry.first_plane + step] = (number, found[entry.first_page + step])
    if not declared.placements:
        rows = {plane: (0, page) for plane, page in enumerate(pages[:n_planes])}
    planes = np.arange(n_planes) if len(rows) == n_planes else _whole_frames(declared, rows)
    if planes.size == 0:
        raise truncated(path, f"OME-XML declares {n_planes} planes; {len(rows)} are there.")
    if planes.size < n_planes:
        declared = _stopped(declared, planes.size)
    rows = {plane: rows[plane] for plane in planes.tolist()}
    first = rows[int(planes[0])][1]
    if any(page.kind != first.kind for _, page in rows.values()):
        raise truncated(path, "its pages are not of one shape and type.")
    is_bit = declared.dtype == "b1" and first.dtype == np.uint8
    if first.plane_shape != declared.plane_shape or not (is_bit or first.dtype == np.dtype(declared.dtype)):
        shown = f"{declared.plane_shape} {np.dtype(declared.dtype)}"
        raise damaged(path, f"OME-XML declares planes of {shown}, its pages are {first.plane_shape} {first.dtype}.")
    grid = np.array([(number, page.offset) for number, page in rows.values()], dtype=np.int64)
    return Placed(tuple(entry[1] for entry in files.values()), grid, first, False, declared)


def _whole_frames(declared: Declared, rows: Mapping[int, object]) -> NDArray[np.int64]:
    """The planes of the first frames when the OME-XML itself places no more, as after a stopped acquisition."""
    nothing = np.empty(0, dtype=np.int64)
    is_listed = bool(declared.placements) and all(entry.n_planes is not None for entry in declared.placements)
    if not is_listed or "T" not in declared.axes:
        return nothing
    n_planes = math.prod(declared.sizes)
    if n_planes > MOST_PLACES * len(rows):
        return nothing
    is_placed = np.zeros(n_planes, dtype=bool)
    is_placed[list(rows)] = True
    place = declared.axes.index("T")
    frames = np.moveaxis(is_placed.reshape(declared.sizes), place, 0).reshape(declared.sizes[place], -1)
    is_missing = ~frames.all(axis=1)
    n_whole = int(np.argmax(is_missing))
    if frames[n_whole + 1 :].any():  # a gap, not an end
        return nothing
    return np.arange(n_planes).reshape(declared.sizes).take(np.arange(n_whole), axis=place).ravel()


def _stopped(declared: Declared, n_left: int) -> Declared:
    """What remains of an image of which only the first frames were written."""
    place = declared.axes.index("T")
    n_frames = declared.sizes[place]
    n_whole = n_left * n_frames // math.prod(declared.sizes)
    note = (
        f"W-TIFF-STOPPED: {n_frames} frames were planned, and the OME-XML places {n_whole} whole ones: the acquisition "
        "was stopped. These are read."
    )
    sizes = (*declared.sizes[:place], n_whole, *declared.sizes[place + 1 :])
    return replace(declared, sizes=sizes, notes=(*declared.notes, note))


@dataclass(frozen=True)
class Arrangement:
    """Where each plane of a page lies in the volume.

    Parameters
    ----------
    table : ndarray (..., 3), int64
        File, byte offset and sample (-1 when a page has only one) of each plane, one axis per letter of ``axes`` but
        the last two: (T, C, Z, 3) when pages are planes Y, X of the volume.
    axes : str
        The letters of the table's axes, then those of a page: ``TCZYX`` when pages are planes Y, X of the volume.
    final : str
        The letters that the file or the user gave, without those of axes that are not stored.
    notes : tuple of str
        What the user has to know.
    """

    table: Grid
    axes: str
    final: str
    notes: tuple[str, ...] = ()


def in_order(grid: Grid, declared: Declared, page: Page, *, options: ReadOptions, path: Path) -> Arrangement:
    """The grid of planes in the order T, C, Z, from the user's axes or else the file's.

    Parameters
    ----------
    grid : ndarray (N, 2), int64
        From :func:`place_planes`, in the order of ``declared.sizes``.
    declared : Declared
        What the file says.
    page : Page
        Any page of the image.

    Raises
    ------
    MetadataError
        ``E-AXES``.
    InputError
        ``E-RGB``.
    """
    tail = "YX" if page.n_samples == 1 else "SYX" if page.is_planar else "YXS"
    n_hidden = len(tail) if declared.kind == "shaped" else 0  # JSON names the axes within a page, too
    stated = declared.axes
    sizes = declared.sizes[: len(declared.sizes) - n_hidden]
    if not n_hidden or set(stated[-n_hidden:]) == {"?"}:
        stated = stated[: len(sizes)] + tail
    notes: list[str] = []
    letters = list(stated)
    if options.axes is not None:
        sizes = _sizes_by_name(sizes, declared, options.axes.upper()[: -len(tail)])
        letters = _user_axes(options.axes, sizes, tail, path=path)
        if _is_same_in_other_order(letters, stated):
            notes.append(
                f"W-AXES: --axes {options.axes} names the axes of the file in another order; the file itself says that "
                f"they are stored as {stated}, and is read so."
            )
            letters = list(stated)
    shape = (*sizes, *_page_shape(page))
    if any(letter == "S" and size > 1 for letter, size in zip(letters, shape, strict=True)):
        raise _colour(shape, "".join(letters), tail, path)
    is_used = [
        size > 1 or (index >= len(sizes) and letter != "S")
        for index, (letter, size) in enumerate(zip(letters, shape, strict=True))
    ]
    used = list(itertools.compress(letters, is_used))
    if set(used) - set(ORDER) or len(set(used)) < len(used) or not {"Y", "X"} <= set(used):
        raise _ambiguous(shape, "".join(letters), declared, path)
    return _arranged(grid, sizes, letters, tail, page, notes)


def _arranged(
    grid: Grid, sizes: tuple[int, ...], letters: list[str], tail: str, page: Page, notes: list[str]
) -> Arrangement:
    """The table of planes: one axis per axis of the grid and one for the samples, those of length 1 left out."""
    inner = letters[len(sizes) :]
    sample = inner[tail.index("S")] if "S" in tail else "1"
    plane = [letter for letter, axis in zip(inner, tail, strict=True) if axis != "S"]
    samples = np.arange(page.n_samples) if page.n_samples > 1 else np.array([-1])
    full = np.empty((len(grid), len(samples), 3), dtype=np.int64)
    full[..., :2] = grid[:, np.newaxis, :]
    full[..., 2] = samples
    full = full.reshape(*sizes, len(samples), 3)
    names = [*letters[: len(sizes)], sample]
    is_kept = [size > 1 or name in "YX" for name, size in zip(names, full.shape, strict=False)]
    kept = [name for name, is_long in zip(names, is_kept, strict=True) if is_long]
    full = full.reshape(*(size for size, is_long in zip(full.shape, is_kept, strict=False) if is_long), 3)
    final = "".join(letter for letter in letters if letter in ORDER)
    if plane != ["Y", "X"]:
        return Arrangement(full, "".join([*kept, *plane]), final, tuple(notes))
    wanted = [axis for axis in "TCZ" if axis in kept]
    full = full.transpose(*(kept.index(axis) for axis in wanted), len(kept))
    lengths = dict(zip(wanted, full.shape[:-1], strict=True))
    table = np.ascontiguousarray(full.reshape(*(lengths.get(axis, 1) for axis in "TCZ"), 3))
    return Arrangement(table, ORDER, final, tuple(notes))


def _is_same_in_other_order(letters: list[str], stated: str) -> bool:
    """Whether the user gives, with Y and X last, the axes of a file that says it is stored in another order.

    Calling an axis of channels X would make planes one channel wide.
    """
    return letters[-2:] == ["Y", "X"] and not stated.endswith("YX") and sorted(letters) == sorted(stated)


def _sizes_by_name(sizes: tuple[int, ...], declared: Declared, letters: str) -> tuple[int, ...]:
    """The sizes of the user's axes where the file names only some of its dimensions: the last is what remains."""
    unknown = [letter for letter in letters if letter not in declared.named_sizes]
    if len(sizes) != 1 or len(letters) < 2 or len(unknown) > 1 or not set(declared.named_sizes) <= set(letters):
        return sizes
    rest, left = divmod(sizes[0], math.prod(declared.named_sizes.values()))
    if left or (rest > 1 and not unknown):
        return sizes
    return tuple(declared.named_sizes.get(letter, rest) for letter in letters)


def _colour(shape: tuple[int, ...], stated: str, tail: str, path: Path) -> InputError:
    grid = [letter for letter, size in zip(stated[:-3], shape[:-3], strict=True) if size > 1]
    inner = stated[-3:] if "S" in stated[-3:] else tail
    n_grid, is_one_more = len(grid), "C" in grid or len(grid) > 2
    channels = "" if is_one_more else f"; or, if its colours are channels, give --axes {_plain_axes(n_grid, inner)}"
    return InputError(
        "E-RGB", f"is a colour image, stored as {shape}.", path=path, cure=f"Convert it to grey values{channels}."
    )


def _plain_axes(n_grid: int, tail: str) -> str:
    """Axes that a user may mean: those of the grid of pages, then those of a page."""
    return ("", "Z", "TZ", "TCZ")[min(n_grid, 3)] + tail.replace("S", "C")


def _user_axes(axes_given: str, sizes: tuple[int, ...], tail: str, *, path: Path) -> list[str]:
    """One letter per stored axis; those of length 1 may have been left out."""
    wanted = axes_given.upper()
    longer = [index for index, size in enumerate(sizes) if size > 1]
    if len(wanted) == len(longer) + len(tail):
        letters = ["1"] * len(sizes)
        for index, letter in zip(longer, wanted, strict=False):
            letters[index] = letter
        letters += wanted[len(longer) :]
    else:
        letters = list(wanted)
    is_fitting = len(letters) == len(sizes) + len(tail) and len(set(wanted)) == len(wanted)
    if not is_fitting or not {"Y", "X"} <= set(wanted) <= set(ORDER):
        stored = " x ".join(str(sizes[index]) for index in longer)
        pages = f"{stored} pages" if stored else "one page"
        raise MetadataError(
            "E-AXES",
            f"the axes {axes_given!r} do not fit the stored array: {pages} of {tail}.",
            path=path,
            cure=f"One different letter of {ORDER} per stored axis, Y and X among them.",
            missing=(MissingFact("axes", (_plain_axes(len(longer), tail),)),),
        )
    return letters


def _ambiguous(shape: tuple[int, ...], axes: str, declared: Declared, path: Path) -> MetadataError:
    examples = _examples(shape, declared)
    stated = "" if set(axes[: len(shape) - 2]) <= {"?"} else f", only {axes!r}"
    problem = f"the file does not specify what the axes of its array {shape} are{stated}."
    if declared.named_sizes:
        words = {"T": "frames", "Z": "slices", "C": "channels"}
        named = " and ".join(f"{length} {words[axis]}" for axis, length in declared.named_sizes.items())
        problem = f"the file names {named} among {shape[0]} images, and not what the rest of them are."
    if sum(size > 1 for size in shape) > len(ORDER):
        cure = "It has more axes than T, C, Z, Y and X: export a part of it."
        return MetadataError("E-AXES", problem, path=path, cure=cure)
    return MetadataError("E-AXES", problem, path=path, missing=(MissingFact("axes", examples),))


def _examples(shape: tuple[int, ...], declared: Declared) -> tuple[str, ...]:
    """Axes that may be meant, the likeliest first."""
    if declared.named_sizes:
        named = [axis for axis in "TZC" if axis in declared.named_sizes]
        others = [axis for axis in "TZC" if axis not in named]
        # ImageJ stores channels within slices within frames.
        return tuple("".join(axis for axis in "TZC" if axis in (*named, other)) + "YX" for other in others)
    n_unknown = len(shape) - 2
    examples = {1: ("ZYX", "TYX", "CYX"), 2: ("TZYX", "CZYX", "ZCYX")}.get(n_unknown, ("TCZYX",))
    if n_unknown and shape[-1] <= MOST_LAST_CHANNELS < min(shape[-3:-1]):  # as Y, X they would make planes a few wide
        return {1: ("YXC",), 2: ("ZYXC", "TYXC")}.get(n_unknown, ("TZYXC",))
    return examples
