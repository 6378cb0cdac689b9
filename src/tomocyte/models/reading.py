"""Reading the files of a package without trusting them: plain files of bounded size, each read once.

What is hashed is what is parsed: the bytes are read a single time. A further guard belongs into :func:`read_plain`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tomocyte.errors import InputError

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
SELFTEST_FILE = "selftest.safetensors"
PACKAGE_FILES = (CARD_FILE, WEIGHTS_FILE, SELFTEST_FILE)

_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_plain(path: Path, *, largest_nbytes: int) -> bytes:
    """The content of a plain file: no link, pipe or device, and not above a size.

    Parameters
    ----------
    path : Path
    largest_nbytes : int
        Bytes allowed; nothing is read from a larger file.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        ``E-MODEL-FILE``: missing, not a plain file, too large, or not readable.
    """
    cure = "Get the package again from its source."
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise InputError("E-MODEL-FILE", "is a link; a package contains plain files only.", path=path, cure=cure)
        descriptor = os.open(path, _OPEN)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise InputError("E-MODEL-FILE", "is not a plain file.", path=path, cure=cure)
            if facts.st_size > largest_nbytes:
                problem = f"has {facts.st_size:,} bytes; at most {largest_nbytes:,} can belong to this package."
                raise InputError("E-MODEL-FILE", problem, path=path, cure=cure)
            return stream.read(largest_nbytes + 1)
    except FileNotFoundError as error:
        files = ", ".join(PACKAGE_FILES)
        problem = "is missing; a model package is a folder of " + files + "."
        raise InputError("E-MODEL-FILE", problem, path=path, cure=cure) from error
    except OSError as error:
        raise InputError(
            "E-MODEL-FILE", f"cannot be read ({error.strerror or error}).", path=path, cure=cure
        ) from error
