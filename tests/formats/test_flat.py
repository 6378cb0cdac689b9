"""Bytes of packed streams, against the bytes that were packed."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest

from tomocyte.formats._flat import PackedFile


@pytest.mark.parametrize("compression", ["", "gzip", "bzip2"])
def test_packed_bytes_are_read_at_any_place_forth_and_back(tmp_path: Path, compression: str) -> None:
    data = np.random.default_rng(1).integers(0, 9, 5000, dtype=np.uint8).tobytes()
    pack = {"": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}[compression]
    path = tmp_path / "voxels"
    path.write_bytes(b"HEADER" + pack(data))
    file = PackedFile(path, compression, start=6)  # type: ignore[arg-type]
    for place, count in ((100, 50), (4000, 10), (0, 7), (4990, 50)):
        assert file.read_at(place, count) == data[place : place + count]
    buffer = bytearray(40)
    assert file.read_into(4980, memoryview(buffer)) == 20
    assert bytes(buffer[:20]) == data[4980:]
    file.close()
