"""The contract of door 1, over every registered format: existing means tested.

Each format reads a small sample to its known shape, voxel size and voxels, refuses the samples of all others, travels
to another process, and reads one plane without reading the rest. A new format fails here until it has a sample.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import maker_samples
import numpy as np
import pytest
import roifile
import tifffile
from container_samples import COUNTS, RI, SAMPLES, SIZE_UM, Sample

from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, detect, formats, read_volume, write_volume
from tomocyte.volume import Volume

FIRST, SECOND = 0.1, 0.01


def _tiff(folder: Path) -> Sample:
    path = folder / "sample.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 0.31, "PhysicalSizeY": 0.17, "PhysicalSizeX": 0.13}
    tifffile.imwrite(path, COUNTS, photometric="minisblack", metadata=metadata)
    return Sample(path, "tiff", COUNTS)


def _folder(folder: Path) -> Sample:
    path = folder / "planes"
    path.mkdir()
    for number, plane in enumerate(COUNTS):
        tifffile.imwrite(path / f"cell_z{number:03d}.tif", plane, photometric="minisblack", metadata=None)
    return Sample(path, "folder", COUNTS, ReadOptions(voxel_size_um=SIZE_UM))


def _ctc(folder: Path) -> Sample:
    path = folder / "01_GT"
    (path / "TRA").mkdir(parents=True)
    for frame in range(2):
        name = f"man_track{frame:03d}.tif"
        tifffile.imwrite(path / "TRA" / name, COUNTS + np.uint16(frame), photometric="minisblack", metadata=None)
    (path / "TRA" / "man_track.txt").write_text("1 0 1 0\n", encoding="ascii")
    voxels = np.stack([COUNTS, COUNTS + np.uint16(1)])[:, np.newaxis]
    return Sample(path, "ctc", voxels, ReadOptions(voxel_size_um=SIZE_UM), quantity="labels")


def _roi(folder: Path) -> Sample:
    """A polygon of ImageJ on the fourth plane of an image beside it."""
    image, labels = _tiff(folder), np.zeros_like(COUNTS, np.uint8)
    labels[3, 2:9, 1:10] = 1
    roi = roifile.ImagejRoi.frompoints([(1, 2), (10, 2), (10, 9), (1, 9)], name="cell", position=3)
    path = folder / "sample.roi"
    path.write_bytes(roi.tobytes())
    return Sample(path, "roi", labels, ReadOptions(region_image=image.path), quantity="labels")


ALL: dict[str, Callable[[Path], Sample]] = {
    **SAMPLES,
    "tiff": _tiff,
    "folder": _folder,
    "ctc": _ctc,
    "roi": _roi,
}


ONE_PLANE = {"png", "mat", "roi"}
"""Formats whose files hold a single plane, or one of whose versions only comes whole: nothing could be left unread."""

PLUGINS = {"bioio"}
"""Formats that need a plugin to read anything: ``test_bioio.py``."""


def _frames(sample: Sample) -> np.ndarray:
    """What a sample holds, as (T, 1, Z, Y, X)."""
    return sample.voxels.reshape((-1, 1, *sample.voxels.shape[-3:]))


@pytest.fixture(params=ALL)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    return ALL[request.param](tmp_path)


def test_every_format_has_a_sample(tmp_path: Path) -> None:
    found = set()
    for name, build in ALL.items():
        (tmp_path / name).mkdir()
        found.add(build(tmp_path / name).format_name)
    assert found == set(formats()) - PLUGINS


def test_sample_is_read_to_its_known_shape_size_and_voxels(sample: Sample) -> None:
    volume = read_volume(sample.path, sample.options)
    expected = _frames(sample)
    assert volume.shape == expected.shape
    assert volume.dtype == expected.dtype
    assert volume.voxel_size_um == pytest.approx(sample.size_um, rel=1e-6, nan_ok=True)
    assert volume.quantity == sample.quantity
    assert volume.notes == ()
    for place in ((0, 0, 0, 1), (3, 1, 8, 2), (6, 8, 10, 3)):
        z, y, x = min(place[0], expected.shape[2] - 1), *place[1:3]
        assert volume.planes(0, 0, z, z + 1)[0, y, x] == expected[0, 0, z, y, x]
    for frame in range(len(expected)):
        np.testing.assert_array_equal(volume.frame(frame), expected[frame])


def test_voxels_follow_their_formula() -> None:
    """The samples themselves, by hand: z = 3, y = 8, x = 2."""
    assert COUNTS[3, 8, 2] == 3402
    assert RI[3, 8, 2] == pytest.approx(1.3690, abs=1e-7)


def test_only_one_format_claims_a_sample(sample: Sample) -> None:
    claims = {name for name, entry in formats().items() if entry.verify(sample.path)}
    assert claims == {sample.format_name}
    assert detect(sample.path).name == sample.format_name


@pytest.mark.parametrize("name", sorted(formats()))
def test_verify_never_raises(name: str, tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty", tmp_path / "text.h5", tmp_path / "folder"
    empty.write_bytes(b"")
    text.write_bytes(b"just a few words, no image at all" * 40)
    folder.mkdir()
    for path in (empty, text, folder, tmp_path / "absent.tif"):
        assert formats()[name].verify(path) is False


def test_volume_travels_to_another_process(sample: Sample) -> None:
    packed = pickle.dumps(read_volume(sample.path, sample.options))
    volume = pickle.loads(packed)  # noqa: S301  our own bytes, as multiprocessing sends them
    first = _frames(sample)[0, 0]
    start, stop = (2, 5) if len(first) > 5 else (0, 1)
    np.testing.assert_array_equal(volume.planes(0, 0, start, stop), first[start:stop])
    assert volume.origin == read_volume(sample.path, sample.options).origin


def test_what_the_user_says_wins(sample: Sample) -> None:
    options = replace(sample.options, voxel_size_um=(1.5, 0.7, 0.6))
    volume = read_volume(sample.path, options)
    assert volume.voxel_size_um == (1.5, 0.7, 0.6)
    assert volume.origin["voxel_size_um"] == "user"


def test_change_while_open_is_noticed(sample: Sample) -> None:
    volume = read_volume(sample.path, sample.options)
    for file in [sample.path] if sample.path.is_file() else [path for path in sample.path.rglob("*") if path.is_file()]:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"E-INPUT-CHANGED|E-ZARR-"):
        volume.planes(0, 0, 0, 1)


def _large(name: str, folder: Path, voxels: np.ndarray) -> Path:
    """A larger file of each format."""
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="refractive_index")
    if name == "hdf5":
        with h5py.File(folder / "large.h5", "w") as file:
            file.create_dataset("raw", data=voxels, chunks=(8, 32, 32), compression="gzip")
            file["raw"].attrs["element_size_um"] = SIZE_UM
        return folder / "large.h5"
    if name == "folder":
        (folder / "planes").mkdir()
        for number, plane in enumerate(voxels):
            tifffile.imwrite(folder / f"planes/cell_z{number:03d}.tif", plane, photometric="minisblack", metadata=None)
        return folder / "planes"
    if name == "ctc":
        (folder / "masks").mkdir()
        (folder / "masks" / "res_track.txt").write_text("1 0 1 0\n", encoding="ascii")
        for frame in range(2):
            tifffile.imwrite(folder / f"masks/mask{frame:03d}.tif", voxels, photometric="minisblack", metadata=None)
        return folder / "masks"
    if name == "lif":
        return maker_samples.lif(folder / "large.lif", {"a": voxels[np.newaxis, np.newaxis]})
    if name in ("nd2", "czi", "oif"):
        build = {"oif": maker_samples.oib, "nd2": maker_samples.nd2, "czi": maker_samples.czi}[name]
        return build(folder / f"large.{'oib' if name == 'oif' else name}", voxels[np.newaxis, np.newaxis])
    suffix = {"nifti": ".nii"}.get(name, formats()[name].suffixes[0])
    write_volume(folder / f"large{suffix}", volume)
    return folder / f"large{suffix}"


def _bytes_read() -> int:
    """Bytes this process has asked the system for."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("name", sorted(set(formats()) - ONE_PLANE - PLUGINS))
def test_one_plane_does_not_read_the_rest(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    voxels = rng.uniform(1.33, 1.40, (96, 130, 140)).astype(np.float32)
    path = _large(name, tmp_path, voxels)
    volume = read_volume(path, ReadOptions(voxel_size_um=SIZE_UM))
    volume.planes(0, 0, 0, 1)  # warm up: imports, open files
    whole = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
    before = _bytes_read()
    plane = volume.planes(0, 0, 70, 71)
    read = _bytes_read() - before
    np.testing.assert_allclose(plane[0], voxels[70], atol=5.1e-5)
    assert read < 0.5 * whole
