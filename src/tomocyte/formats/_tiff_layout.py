"""Which page holds which plane: the planes that a TIFF declares, found among its pages and put into the order T, C, Z.

The planes found must equal the planes declared; nothing here opens voxels. To add a dialect whose pages are placed in
another way, add a case to :func:`place_planes`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions
from tomocyte.formats._hostile import FileStamp, check_fits_memory, companion_path
from tomocyte.formats._tiff_meta import Declared, damaged
from tomocyte.formats._tiff_pages import Page, open_tiff, scan, truncated

Grid = NDArray[np.int64]


def place_planes(
    declared: Declared, pages: list[Page], stamp: FileStamp
) -> tuple[tuple[FileStamp, ...], Grid, Page, bool]:
    """Which file and byte each declared plane lies at: stamps, (plane, 2) grid, a page of the image, whether raw."""
    path = stamp.path
    if declared.kind == "ome":
        return (*_place_ome(declared, pages, stamp), False)
    image = [page for page in pages if not page.is_reduced] or pages
    first = image[0]
    if declared.kind == "bare":
        return (stamp,), _grid(_first_run(image, path)), first, False
    n_planes = math.prod(declared.sizes)
    if declared.kind == "shaped":
        n_planes = _planes_of_shape(declared, first, path)
    if n_planes <= len(image):
        if any(page.kind != first.kind for page in image[:n_planes]):
            raise truncated(path, f"the {n_planes} pages declared are not of one shape and type.")
        further = image[n_planes:]
        if further and further[0].kind == first.kind and not further[0].is_described:
            raise damaged(path, f"declares {n_planes} planes and holds {len(image)}.")
        return (stamp,), _grid(image[:n_planes]), first, False
    plane_nbytes = math.prod(first.plane_shape) * first.dtype.itemsize
    if first.raw_offset is None or len(pages) > 1 or first.raw_offset + n_planes * plane_nbytes > stamp.nbytes:
        raise truncated(path, f"declares {n_planes} planes and holds {len(image)}.")
    check_fits_memory(64 * n_planes, path=path, what=f"the table of {n_planes} planes")
    offsets = first.raw_offset + plane_nbytes * np.arange(n_planes, dtype=np.int64)
    return (stamp,), np.stack([np.zeros_like(offsets), offsets], axis=1), first, True


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
            cure="The file is damaged, or holds several images: export the one you want as OME-TIFF.",
        )
    return pages[:n_alike]


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


def _place_ome(declared: Declared, pages: list[Page], stamp: FileStamp) -> tuple[tuple[FileStamp, ...], Grid, Page]:
    """Follow the TiffData of OME-XML; every plane must be found exactly once, in files of the same folder."""
    path, n_planes = stamp.path, math.prod(declared.sizes)
    files: dict[Path, tuple[int, FileStamp, list[Page]]] = {path.resolve(): (0, stamp, pages)}
    rows: dict[int, tuple[int, Page]] = {}
    for entry in declared.placements:
        place = path.resolve() if entry.file_name is None else companion_path(entry.file_name, path)
        if place not in files:
            other = FileStamp.of(place)
            with open_tiff(place) as tif:
                files[place] = (len(files), other, scan(tif, place))
        number, _, found = files[place]
        n_wanted = len(found) - entry.first_page if entry.n_planes is None else entry.n_planes
        stop = entry.first_page + n_wanted
        if n_wanted < 1 or stop > len(found) or entry.first_plane + n_wanted > n_planes:
            raise truncated(path, f"OME-XML places {n_wanted} planes at pages {entry.first_page}: of {len(found)}.")
        for step in range(n_wanted):
            if entry.first_plane + step in rows:
                raise damaged(path, f"its OME-XML places plane {entry.first_plane + step} twice.")
            rows[entry.first_plane + step] = (number, found[entry.first_page + step])
    if not declared.placements:
        rows = {plane: (0, page) for plane, page in enumerate(pages[:n_planes])}
    if len(rows) != n_planes:
        raise truncated(path, f"OME-XML declares {n_planes} planes; {len(rows)} are there.")
    first = rows[0][1]
    if any(page.kind != first.kind for _, page in rows.values()):
        raise truncated(path, "its pages are not of one shape and type.")
    is_bit = declared.dtype == "b1" and first.dtype == np.uint8
    if first.plane_shape != declared.plane_shape or not (is_bit or first.dtype == np.dtype(declared.dtype)):
        shown = f"{declared.plane_shape} {declared.dtype}"
        raise damaged(path, f"OME-XML declares planes of {shown}, its pages are {first.plane_shape} {first.dtype}.")
    grid = np.array([(rows[plane][0], rows[plane][1].offset) for plane in range(n_planes)], dtype=np.int64)
    return tuple(entry[1] for entry in files.values()), grid, first


def in_order(grid: Grid, declared: Declared, page: Page, *, options: ReadOptions, path: Path) -> Grid:
    """The grid of planes as (T, C, Z, 3), from the user's axes or else the file's.

    Parameters
    ----------
    grid : ndarray (N, 2), int64
        From :func:`place_planes`, in the order of ``declared.sizes``.
    declared : Declared
        What the file says.
    page : Page
        Any page of the image.

    Returns
    -------
    ndarray (T, C, Z, 3), int64
        File, byte offset and sample (-1 when a page has only one) of each plane.

    Raises
    ------
    MetadataError
        ``E-AXES``.
    InputError
        ``E-RGB``.
    """
    tail = "YX" if page.n_samples == 1 else "SYX" if page.is_planar else "YXS"
    n_hidden = len(tail) if declared.kind == "shaped" else 0  # JSON names the axes within a page, too
    sizes = declared.sizes[: len(declared.sizes) - n_hidden]
    shape = (*sizes, *_page_shape(page))
    if options.axes is not None:
        letters = _user_axes(options.axes, sizes, tail, path=path)
    elif n_hidden and declared.axes[-n_hidden:] not in (tail, "?" * n_hidden):
        raise _ambiguous(shape, declared.axes, path)
    else:
        letters = [*declared.axes[: len(sizes)], *tail]
    if page.n_samples > 1 and "S" in letters:
        raise _colour(shape, tail, path)
    place = tail.find("S")
    names = [*letters[: len(sizes)], "1" if place < 0 else letters[len(sizes) + place]]
    samples = np.arange(page.n_samples) if page.n_samples > 1 else np.array([-1])
    full = np.empty((len(grid), len(samples), 3), dtype=np.int64)
    full[..., :2] = grid[:, np.newaxis, :]
    full[..., 2] = samples
    full = full.reshape(*sizes, len(samples), 3)
    long = [index for index, size in enumerate(full.shape[:-1]) if size > 1]
    found = [names[index] for index in long]
    if set(found) - set("TCZ") or len(set(found)) < len(found):
        raise _ambiguous(shape, "".join(letters), path)
    wanted = [axis for axis in "TCZ" if axis in found]
    full = full.reshape(*(full.shape[index] for index in long), 3)
    full = full.transpose(*(found.index(axis) for axis in wanted), len(found))
    lengths = dict(zip(wanted, full.shape[:-1], strict=True))
    return np.ascontiguousarray(full.reshape(*(lengths.get(axis, 1) for axis in "TCZ"), 3))


def _colour(shape: tuple[int, ...], tail: str, path: Path) -> InputError:
    n_grid = sum(size > 1 for size in shape[: len(shape) - 3])
    axes = "TZ"[max(0, 2 - n_grid) :] + tail.replace("S", "C")
    return InputError(
        "E-RGB",
        f"is a colour image, stored as {shape}.",
        path=path,
        cure=f"Convert it to grey values; or, if its colours are channels, give --axes {axes}.",
    )


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
    is_fitting = len(letters) == len(sizes) + len(tail) and sorted(set(wanted)) == sorted(wanted)
    ends = letters[len(sizes) :]
    is_plane_last = [letter for letter, axis in zip(ends, tail, strict=False) if axis != "S"] == ["Y", "X"]
    if not is_fitting or not is_plane_last or set(wanted) - set("TCZYX"):
        raise MetadataError(
            "E-AXES",
            f"the axes {axes_given!r} do not fit the stored array: {len(longer)} axes of pages {sizes}, then {tail}.",
            path=path,
            cure="Give one letter of T C Z per axis of pages, then Y X, e.g. --axes ZYX.",
        )
    return letters


def _ambiguous(shape: tuple[int, ...], axes: str, path: Path) -> MetadataError:
    n_unknown = len(shape) - 2
    examples = {1: ("ZYX", "TYX", "CYX"), 2: ("TZYX", "CZYX", "ZCYX")}.get(n_unknown, ("TCZYX",))
    return MetadataError(
        "E-AXES",
        f"the file does not specify what the axes of its array {shape} are, only {axes!r}.",
        path=path,
        cure=f"Give --axes {examples[0]}" + "".join(f" (or --axes {other})" for other in examples[1:]) + ".",
    )
