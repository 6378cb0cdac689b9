"""Exact quantiles of many values that are given block by block, without sorting or holding them all.

A value is turned into an unsigned integer with the same order; counting its leading 16 bits says in which of 65,536
classes a rank lies, counting the next 16 bits of that class narrows it down, and so on to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

GATHER_BYTES = 32 << 20
DIGIT_BITS = 16
Blocks = Callable[[], Iterable[NDArray[Any]]]


def quantiles(blocks: Blocks, fractions: Sequence[float], n_finite: int) -> dict[float, float]:
    """Quantiles with linear interpolation between neighbouring ranks (NumPy's default), NaN and infinity left out.

    Parameters
    ----------
    blocks : callable
        Yields the values, any real dtype, each time it is called.
    fractions : sequence of float, 0–1
    n_finite : int
        Number of finite values in all blocks.

    Returns
    -------
    dict
        Fraction to quantile; NaN when there are no values.
    """
    if n_finite == 0:
        return dict.fromkeys(fractions, math.nan)
    places = {fraction: fraction * (n_finite - 1) for fraction in fractions}
    ranks = sorted({rank for place in places.values() for rank in (math.floor(place), math.ceil(place))})
    ordered = _order_statistics(blocks, ranks, n_finite)
    found = {}
    for fraction, place in places.items():
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        found[fraction] = low + (high - low) * (place - math.floor(place))
    return found


def _order_statistics(blocks: Blocks, ranks: list[int], n_finite: int) -> dict[int, float]:
    """The values that would stand at ``ranks`` if all were sorted."""
    itemsize = next(iter(blocks())).dtype.itemsize
    if n_finite * itemsize <= GATHER_BYTES:
        kept = [block[np.isfinite(block)] for block in blocks()]
        values = np.concatenate(kept) if len(kept) > 1 else kept[0]
        values.partition(ranks)
        return {rank: float(values[rank]) for rank in ranks}
    return {rank: _select(blocks, rank) for rank in ranks}


def _select(blocks: Blocks, rank: int) -> float:
    """The value of one rank, digit by digit from the top."""
    prefix, digits_done, n_digits = 0, 0, 1
    while digits_done < n_digits:
        counts = np.zeros(1 << DIGIT_BITS, np.int64)
        for block in blocks():
            keys = _ordered_keys(block[np.isfinite(block)])
            n_digits = keys.dtype.itemsize * 8 // DIGIT_BITS
            shift = keys.dtype.type((n_digits - digits_done - 1) * DIGIT_BITS)
            digits = keys >> shift
            if digits_done:
                above = digits >> keys.dtype.type(DIGIT_BITS)
                digits = digits[above == keys.dtype.type(prefix)]
            digits &= keys.dtype.type((1 << DIGIT_BITS) - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=counts.size)
        reached = np.cumsum(counts)
        digit = int(np.searchsorted(reached, rank, side="right"))
        rank -= int(reached[digit - 1]) if digit else 0
        prefix = (prefix << DIGIT_BITS) | digit
        digits_done += 1
    return _value_of(prefix, n_digits)


def _ordered_keys(values: NDArray[Any]) -> NDArray[Any]:
    """Unsigned integers in the order of the values: sign bit flipped, and all bits of negative numbers."""
    is_short = values.dtype.itemsize <= 4 and values.dtype not in (np.int32, np.uint32)
    bits = values.astype(np.float32).view(np.uint32) if is_short else values.astype(np.float64).view(np.uint64)
    top = bits.dtype.type(1 << (bits.dtype.itemsize * 8 - 1))
    return np.where(bits & top, ~bits, bits | top)


def _value_of(key: int, n_digits: int) -> float:
    n_bits = n_digits * DIGIT_BITS
    top = 1 << (n_bits - 1)
    bits = key ^ top if key & top else key ^ ((1 << n_bits) - 1)
    kinds = (np.uint32, np.float32) if n_bits == 32 else (np.uint64, np.float64)
    return float(np.array([bits], kinds[0]).view(kinds[1])[0])
