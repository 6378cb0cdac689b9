"""Files that are something else than an image, told by their first bytes: what a failed download leaves behind.

To name another kind, add a line to :data:`KINDS`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from tomocyte.errors import InputError

N_BYTES: Final = 512
GZIP: Final = b"\x1f\x8b"
UNPACK: Final = "Unpack it and name the file or folder in it."
AGAIN: Final = "Download the file itself, not the page that describes it."
EXPORT: Final = "Save the image as TIFF or OME-TIFF in the program that made it."
KINDS: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself", "Fetch the file with `git lfs pull`."),
    (b"<!doctype html", "is a web page", AGAIN),
    (b"<html", "is a web page", AGAIN),
    (b"pk\x03\x04", "is a ZIP archive", UNPACK),
    (GZIP, "is packed with gzip", UNPACK),
    (b"bzh", "is packed with bzip2", UNPACK),
    (b"7z\xbc\xaf", "is a 7-Zip archive", UNPACK),
    (b"rar!", "is a RAR archive", UNPACK),
    (b"\xff\xd8\xff", "is a JPEG picture, whose grey values are no measurement", EXPORT),
    (b"gif8", "is a GIF picture, whose grey values are no measurement", EXPORT),
    (b"%pdf", "is a PDF document", EXPORT),
    (b"matlab 5.0 mat-file", "is a MATLAB file of version 5 to 7", "Save it in MATLAB with save(..., '-v7.3')."),
)
"""First bytes in lower case, what such a file is, and the way on."""
ZARR_FILES: Final = frozenset(("zarr.json", ".zgroup", ".zarray", ".zattrs"))


def refuse_foreign(path: Path) -> None:
    """Raise ``E-FORMAT`` for a file that is empty or of one of :data:`KINDS`.

    Parameters
    ----------
    path : Path
        A file that no reader understands.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(N_BYTES)
    except OSError:
        return  # the reader says it with the system's own reason
    if not start:
        raise InputError("E-FORMAT", "is empty (0 bytes).", path=path, cure="Copy or download it again.")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \r\n\t").lower()
    if text.startswith(b"pk\x03\x04"):
        _refuse_zarr(path)
    for magic, what, cure in KINDS:
        is_own = magic == GZIP and path.name.lower().endswith(".nii.gz")  # cut off: its own reader says so
        if text.startswith(magic) and not is_own:
            raise InputError("E-FORMAT", f"{what}.", path=path, cure=cure)


def _refuse_zarr(path: Path) -> None:
    """Raise ``E-FORMAT`` for a ZIP archive with a Zarr store in it, with the command that unpacks it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # damaged: a ZIP archive all the same
    stores = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in ZARR_FILES}
    if not stores:
        return
    folder = min(stores, key=lambda name: (name.count("/") + bool(name), name)) or path.name.partition(".")[0] + ".zarr"
    is_bare = "" in stores  # then the archive itself is the folder, and unpacking needs one
    command = f'unzip "{path.name}"' + (f' -d "{folder}"' if is_bare else "")
    raise InputError(
        "E-FORMAT",
        "is a Zarr image packed as a ZIP archive.",
        path=path,
        cure=f"Unpack it with {command} and name the folder {folder}.",
    )
