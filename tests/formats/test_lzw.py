"""LZW streams: what an independent encoder writes is sound, whatever its length; undefined codes are not."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from tomocyte.formats._lzw import is_sound_lzw


def packed(codes: list[int], width: int = 9) -> bytes:
    bits = "".join(f"{code:0{width}b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


@pytest.mark.parametrize("n_bytes", [1, 2, 255, 4000, 70_000, 300_000])
@pytest.mark.parametrize("n_values", [1, 2, 17, 256])
def test_encoded_data_are_sound(n_bytes: int, n_values: int) -> None:
    data = np.random.default_rng(n_bytes).integers(0, n_values, n_bytes).astype(np.uint8).tobytes()
    stream = imagecodecs.lzw_encode(data)
    assert imagecodecs.lzw_decode(stream) == data
    assert is_sound_lzw(stream)


@pytest.mark.parametrize(
    ("codes", "is_sound"),
    [
        ([256, 65, 258, 257], True),  # 258 is the entry being made: A, then AA
        ([256, 65, 66, 258, 257], True),
        ([256, 257], True),
        ([256, 65], True),
        ([256, 65, 259, 257], False),
        ([256, 258, 257], False),
        ([256, 65, 66, 256, 258, 257], False),
        ([65, 66, 257], False),
        ([], False),
    ],
)
def test_codes_must_exist(codes: list[int], is_sound: bool) -> None:
    assert is_sound_lzw(packed(codes) if codes else b"") is is_sound
