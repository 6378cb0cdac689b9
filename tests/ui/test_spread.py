"""Labels propagated while they are painted; without napari."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.formats import read_volume
from tomocyte.propagation import propagate
from tomocyte.ui.napari.frames import LazyFrames
from tomocyte.ui.napari.propagating import Spread
from tomocyte.volume import Volume

SIZE = (0.4, 0.2, 0.1)


def cylinder() -> tuple[np.ndarray, np.ndarray]:
    """An image of a cylinder along z, brighter than its surroundings, and its mask."""
    y, x = np.mgrid[:40, :44]
    inside = np.broadcast_to((y - 20) ** 2 + (x - 22) ** 2 < 100, (13, 40, 44))
    noise = np.random.default_rng(1).normal(0, 0.001, inside.shape)
    return (1.337 + 0.03 * inside + noise).astype(np.float32), inside


def test_strokes_fill_only_what_they_concern_and_as_if_all_were_done_anew() -> None:
    image, inside = cylinder()
    sparse = np.zeros(image.shape, np.uint32)
    for plane in (0, 6, 12):
        sparse[plane] = inside[plane] * 3
    # The image as the window holds it: read plane by plane.
    spread = Spread(LazyFrames(Volume.from_array(image)), SIZE)
    first = spread.update(sparse)
    assert first.labels.dtype == np.uint32
    agreement = np.count_nonzero((first.labels == 3) == inside) / inside.size
    assert agreement > 0.99
    sparse[12, 15:25, 15:25] = 7
    second = spread.update(sparse)
    np.testing.assert_array_equal(second.labels[:7], first.labels[:7])
    assert (second.labels[12] == sparse[12]).all()
    assert 7 in second.labels[11]
    whole = propagate(sparse, voxel_size_um=SIZE, image=image)
    assert np.count_nonzero(whole.labels != second.labels) / inside.size < 0.01


def test_the_next_plane_is_between_labelled_ones() -> None:
    image, inside = cylinder()
    sparse = np.zeros(image.shape, np.uint32)
    for plane in (0, 3, 12):
        sparse[plane] = inside[plane]
    spread = Spread(image, SIZE)
    with pytest.raises(InputError) as problem:
        spread.next_plane()
    assert problem.value.code == "E-NAPARI-PROPAGATE"
    spread.update(sparse)
    found = spread.next_plane()
    assert found is not None
    assert 3 < found.index < 12, "the wide gap"


def test_what_was_propagated_is_saved_once(tmp_path: Path) -> None:
    image, inside = cylinder()
    sparse = np.zeros(image.shape, np.uint32)
    spread = Spread(image, SIZE)
    with pytest.raises(SettingsError) as problem:
        spread.update(sparse)
    assert problem.value.code == "E-PROPAGATION-SLICES"
    with pytest.raises(InputError):
        spread.save(tmp_path / "a.ome.tif")
    sparse[0], sparse[12] = inside[0], inside[12]
    dense = spread.update(sparse)
    spread.save(tmp_path / "a.ome.tif")
    written = read_volume(tmp_path / "a.ome.tif")
    assert written.voxel_size_um == pytest.approx(SIZE)
    np.testing.assert_array_equal(written.planes(0, 0), dense.labels)
    before = (tmp_path / "a.ome.tif").read_bytes()
    with pytest.raises(OutputError) as refused:
        spread.save(tmp_path / "a.ome.tif")
    assert refused.value.code == "E-EXISTS"
    assert (tmp_path / "a.ome.tif").read_bytes() == before
