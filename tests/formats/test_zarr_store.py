"""What a Zarr array declares, and how many of its chunks are there, beside the zarr library itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from tomocyte.errors import InputError
from tomocyte.formats._zarr_store import n_missing_chunks, stored_array


@pytest.mark.parametrize("version", [2, 3])
def test_an_array_written_by_zarr_is_read_as_it_was_declared(tmp_path: Path, version: int) -> None:
    """7 x 10 x 5 in chunks of 3 x 4 x 5: 3 · 3 · 1 chunks of 120 bytes; two of them are removed."""
    values = np.arange(1, 351, dtype=np.uint16).reshape(7, 10, 5)
    array = zarr.create_array(
        store=str(tmp_path / "a"), shape=values.shape, chunks=(3, 4, 5), dtype="uint16", zarr_format=version,
        compressors=None, fill_value=0,
    )  # fmt: skip
    array[:] = values
    found = stored_array(tmp_path / "a")
    assert (found.shape, found.chunks, found.dtype, found.version) == ((7, 10, 5), (3, 4, 5), np.uint16, version)
    assert (found.grid, found.chunk_nbytes, found.is_packed) == ((3, 3, 1), 120, False)
    assert n_missing_chunks(found) == (0, 9)
    for index in ((0, 0, 0), (2, 1, 0)):
        data = np.frombuffer(found.chunk_path(index).read_bytes(), found.dtype).reshape(found.chunks)
        corner = tuple(i * step for i, step in zip(index, found.chunks, strict=True))
        assert data[0, 0, 0] == values[corner]
        found.chunk_path(index).unlink()
    assert n_missing_chunks(found) == (2, 9)
    stray = found.chunk_path((3, 0, 0))
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"")
    with pytest.raises(InputError, match="E-ZARR-CHUNK"):
        n_missing_chunks(found)
