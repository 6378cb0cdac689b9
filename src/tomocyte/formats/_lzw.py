"""Whether an LZW stream refers only to codes that exist, checked before a C decoder is allowed near it.

A single changed byte in an LZW stream can make decoders follow table entries that were never set: the process crashes,
or returns whatever lay in memory. The check walks the codes without unpacking them. Imported only for LZW files.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

CLEAR, END, FIRST_FREE, LARGEST_TABLE = 256, 257, 258, 4096


def is_sound_lzw(stream: bytes) -> bool:
    """Whether every code of a TIFF LZW stream (most significant bit first) is defined when it is used.

    Parameters
    ----------
    stream : bytes
        One strip or tile as stored; the end mark may be missing.

    References
    ----------
    TIFF revision 6.0, section 13: codes of 9 to 12 bits, 256 clears the table, 257 ends, and the width grows one code
    early, at 511, 1023 and 2047.
    """
    return bool(_walk(np.frombuffer(stream, dtype=np.uint8)))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _walk(stream: NDArray[np.uint8]) -> bool:
    n_bits = stream.size * 8
    place, width, free, is_cleared, is_first = 0, 9, FIRST_FREE, False, False
    while place + width <= n_bits:
        index = place >> 3
        bits = np.int64(stream[index]) << 16
        if index + 1 < stream.size:
            bits |= np.int64(stream[index + 1]) << 8
        if index + 2 < stream.size:
            bits |= np.int64(stream[index + 2])
        code = (bits >> (24 - width - (place & 7))) & ((1 << width) - 1)
        place += width
        if code == CLEAR:
            width, free, is_cleared, is_first = 9, FIRST_FREE, True, True
        elif code == END:
            return is_cleared
        elif not is_cleared or (is_first and code > CLEAR) or code > free or free >= LARGEST_TABLE:
            return False
        elif is_first:
            is_first = False
        else:
            free += 1
            if free == (1 << width) - 1 and width < 12:
                width += 1
    return is_cleared
