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

GATHER_BYTES = 16 << 20
DIGIT_BITS = 16
FRACTIONS = (0.05, 0.5, 0.95)
"""Of the percentiles that tables have."""
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
    values = {}
    for fraction, place in places.items():
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        values[fraction] = low + (high - low) * (place - math.floor(place))
    return values


def _order_statistics(blocks: Blocks, ranks: list[int], n_finite: int) -> dict[int, float]:
    """The values that would stand at ``ranks`` if all were sorted."""
    itemsize = next(iter(blocks())).dtype.itemsize
    if n_finite * itemsize <= GATHER_BYTES:
        finite = [block[np.isfinite(block)] for block in blocks()]
        values = np.concatenate(finite) if len(finite) > 1 else finite[0]
        values.partition(ranks)
        return {rank: float(values[rank]) for rank in ranks}
    return _select(blocks, ranks)


def _select(blocks: Blocks, ranks: list[int]) -> dict[int, float]:
    """The values of these ranks, digit by digit from the top; each round reads the blocks once."""
    # For each rank: the digits known so far, and the rank among the values that begin with them.
    state = {rank: (0, rank) for rank in ranks}
    digits_done, n_digits = 0, 1
    while digits_done < n_digits:
        counts = {prefix: np.zeros(1 << DIGIT_BITS, np.int64) for prefix, _ in state.values()}
        for block in blocks():
            keys = _ordered_keys(block[np.isfinite(block)])
            n_digits = keys.dtype.itemsize * 8 // DIGIT_BITS
            keys >>= keys.dtype.type((n_digits - digits_done - 1) * DIGIT_BITS)
            for prefix, count in counts.items():
                count += np.bincount(_next_digits(keys, prefix, is_first=digits_done == 0), minlength=count.size)
        for rank, (prefix, inner) in state.items():
            reached = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(reached, inner, side="right"))
            state[rank] = (prefix << DIGIT_BITS) | digit, inner - (int(reached[digit - 1]) if digit else 0)
        digits_done += 1
    return {rank: _value_of(prefix, n_digits) for rank, (prefix, _) in state.items()}


def _next_digits(keys: NDArray[Any], prefix: int, *, is_first: bool) -> NDArray[np.uint16]:
    """The last digit of the keys that begin with ``prefix``."""
    matching = keys if is_first else keys[keys >> keys.dtype.type(DIGIT_BITS) == keys.dtype.type(prefix)]
    return matching.astype(np.uint16)


def _ordered_keys(values: NDArray[Any]) -> NDArray[Any]:
    """Unsigned integers in the order of the values: sign bit flipped, and all bits of negative numbers."""
    is_short = values.dtype.itemsize <= 4 and values.dtype not in (np.int32, np.uint32)
    bits = values.astype(np.float32).view(np.uint32) if is_short else values.astype(np.float64).view(np.uint64)
    top = bits.dtype.type(1 << (bits.dtype.itemsize * 8 - 1))
    is_negative = bits >= top
    bits ^= top
    bits[is_negative] = ~(bits[is_negative] ^ top)
    return bits


def _value_of(key: int, n_digits: int) -> float:
    n_bits = n_digits * DIGIT_BITS
    top = 1 << (n_bits - 1)
    bits = key ^ top if key & top else key ^ ((1 << n_bits) - 1)
    kinds = (np.uint32, np.float32) if n_bits == 32 else (np.uint64, np.float64)
    return float(np.array([bits], kinds[0]).view(kinds[1])[0])
