"""One grey PNG image, 8 or 16 bit, as one plane.

A PNG says no more than its pixels and perhaps their number per metre, which most programs fill with a printer's value;
:data:`LARGEST_PIXEL_UM` tells the two apart. Chunks are checked and unpacked in ``_png_chunks``. Numbered PNGs in a
folder are planes or frames of one volume: see ``folder``. To take another property from the file, read its chunk in
``_png_chunks`` and put it into the volume in :func:`read_png`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tomocyte.errors import MetadataError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._hostile import FileStamp
from tomocyte.formats._lengths import LARGEST_PLAIN_PIXEL_UM
from tomocyte.formats._png_chunks import SIGNATURE, PngHead, ReadPngPlane, read_head
from tomocyte.volume import SMALLEST_VOXEL_UM, Volume, VoxelSize

LARGEST_PIXEL_UM = LARGEST_PLAIN_PIXEL_UM
"""Pixels per metre are a pixel size only below this, as in a plain TIFF: 72, 96, 300 and 600 dots per inch, which
programs write by themselves, are 353, 265, 85 and 42 µm."""


def verify(path: Path) -> bool:
    """Whether the file begins like a PNG; never raises."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_png(path: Path, options: ReadOptions) -> Volume:
    """Open a grey PNG lazily as a volume of one plane.

    Parameters
    ----------
    path : Path
        A PNG of 8 or 16 bit grey values; interlaced or not.
    options : ReadOptions
        ``axes``: ``"YX"``, with letters of ``TCZ`` before it for axes of length 1, or ``None``.

    Returns
    -------
    Volume
        Shape (1, 1, 1, Y, X), uint8 or uint16. ``voxel_size_um`` is (NaN, y, x) where the file gives its pixels per
        metre and that is 1 nm to 2 µm per pixel, else ``None``: above, it is a printer's dots per inch. The standard
        stores a whole number per metre, so the size is exact to one millionth. ``quantity`` is ``None``.

    Raises
    ------
    InputError
        ``E-PNG`` (damaged, cut off, wrong checksum), ``E-PNG-KIND`` (animated), ``E-RGB`` (colours, a palette or
        transparency), ``E-DTYPE`` (fewer than 8 bits), ``E-SHAPE`` or ``E-BOMB``; of these only ``E-PNG`` may come as
        late as reading the plane.
    MetadataError
        ``E-AXES``: the axes do not fit one plane.
    ResourceError
        ``E-MEM``: the plane does not fit into memory.
    """
    _check_axes(options.axes, path)
    stamp = FileStamp.of(path)
    head = read_head(stamp)
    stamp.check()
    properties: dict[str, Any] = {}
    size = _pixel_size(head)
    if size is not None:
        properties = {"voxel_size_um": size, "origin": {"voxel_size_um": "file"}}
    per_metre = {} if head.pixels_per_metre is None else {"pixels_per_metre_yx": head.pixels_per_metre}
    return Volume(
        shape=(1, 1, 1, *head.plane_shape),
        dtype=head.dtype,
        read_planes=ReadPngPlane(stamp, head.plane_shape, head.dtype),
        path=path,
        metadata=per_metre,
        **properties,
    )


def _check_axes(axes: str | None, path: Path) -> None:
    letters = "YX" if axes is None else axes.upper()
    if not letters.endswith("YX") or len(set(letters)) < len(letters) or set(letters) - set("TCZYX"):
        raise MetadataError(
            "E-AXES",
            f"the axes {axes!r} do not fit one plane (Y, X).",
            path=path,
            cure="Or leave it out.",
            missing=(MissingFact("axes", ("YX",)),),
        )


def _pixel_size(head: PngHead) -> VoxelSize | None:
    """Pixel size in µm, if it can only be a microscope's."""
    if head.pixels_per_metre is None:
        return None
    along_y, along_x = (1e6 / number for number in head.pixels_per_metre)
    if max(along_y, along_x) > LARGEST_PIXEL_UM or min(along_y, along_x) < SMALLEST_VOXEL_UM:
        return None
    return math.nan, along_y, along_x


FORMAT = Format(
    name="png",
    suffixes=(".png",),
    description="PNG, one plane of 8 or 16 bit grey",
    verify=verify,
    read=read_png,
)
