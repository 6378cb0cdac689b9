"""OME-Zarr: 0.4 and 0.5, units and scales, codecs, missing chunks, the pyramid; yaozarrs is the other opinion."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import yaozarrs
import zarr
from container_samples import COUNTS, SIZE_UM, zarr_04, zarr_05

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._ome_zarr_write import pyramid_factors
from tomocyte.formats._zarr_store import zstd_content_nbytes
from tomocyte.volume import Volume


def _edit(path: Path, **values: Any) -> Path:
    """Top-level entries of a JSON file replaced."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return path


def _image(path: Path) -> dict[str, Any]:
    image: dict[str, Any] = json.loads((path / ".zattrs").read_text())["multiscales"][0]
    return image


def _say(path: Path, **changes: Any) -> Path:
    (path / ".zattrs").write_text(json.dumps({"multiscales": [{**_image(path), **changes}]}))
    return path


@pytest.mark.parametrize(
    ("unit", "size_um"),
    [("nanometer", 1e-3), ("micrometer", 1.0), ("millimeter", 1e3), ("angstrom", 1e-4), ("µm", 1.0), ("nm", 1e-3)],
)
def test_units_and_both_scales(unit: str, size_um: float, tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    image = _image(path)
    scale = [size / size_um / 2 for size in SIZE_UM]  # the whole pyramid is scaled by another 2
    image["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    assert read_volume(_say(path, datasets=image["datasets"], axes=axes)).voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize("unit", [None, "parsec", "pixel", ""])
def test_missing_or_odd_unit_is_a_missing_voxel_size(unit: str | None, tmp_path: Path) -> None:
    """A writer without calibration puts a scale of 1 and no unit: that is no voxel size."""
    axes = [{"name": name, "type": "space"} | ({} if unit is None else {"unit": unit}) for name in "zyx"]
    path = _say(zarr_04(tmp_path).path, axes=axes)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um"):
        read_volume(path)
    (note,) = read_volume(path, is_size_required=False).notes
    assert note.startswith("W-NO-VOXEL")


def test_time_channels_and_names(tmp_path: Path) -> None:
    voxels = np.arange(3 * 2 * 4 * 5 * 6, dtype=np.float32).reshape(3, 2, 4, 5, 6)
    root = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2)
    root.create_array("0", data=voxels, chunks=(1, 1, 2, 5, 6))
    axes = [{"name": "t", "type": "time", "unit": "minute"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [0.5, 1.0, 0.31, 0.17, 0.13]}]
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    names = [{"label": "lipid", "color": "FF0000"}, {"label": "water", "color": "00FF00"}]
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps({"multiscales": [image], "omero": {"channels": names}}))
    volume = read_volume(tmp_path / "a.zarr")
    assert volume.time_s == (0.0, 30.0, 60.0)
    assert volume.channel_names == ("lipid", "water")
    assert volume.voxel_size_um == SIZE_UM
    np.testing.assert_array_equal(volume.frame(2), voxels[2])
    np.testing.assert_array_equal(volume.planes(1, 1, 1, 4), voxels[1, 1, 1:])


@pytest.mark.parametrize("codec", [None, "zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_codecs_of_zarr_2(codec: str | None, tmp_path: Path) -> None:
    compressor = None if codec is None else numcodecs.get_codec({"id": codec})
    sample = zarr_04(
        tmp_path, compressors=compressor, filters=[numcodecs.Delta(dtype="<u2")] if codec == "zlib" else None
    )
    np.testing.assert_array_equal(read_volume(sample.path).frame(0)[0], COUNTS)


@pytest.mark.parametrize(
    "fields",
    [
        {"compressor": {"id": "pickle"}},
        {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]},
        {"filters": [{"id": "json2"}]},
        {"compressor": {"id": "no_such_codec"}},
        {"compressor": "zstd"},
    ],
)
def test_codecs_that_are_not_allowed(fields: dict[str, Any], tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    _edit(path / "a/full/.zarray", **fields)
    with pytest.raises(InputError, match="E-ZARR-CODEC"):
        read_volume(path)


@pytest.mark.parametrize(
    "codecs", [[{"name": "numcodecs.pickle"}], [{"name": "vlen-bytes"}], [{"name": "bytes"}, {"name": "x"}]]
)
def test_codecs_of_zarr_3_that_are_not_allowed(codecs: list[dict[str, Any]], tmp_path: Path) -> None:
    path = zarr_05(tmp_path).path
    _edit(path / "0/zarr.json", codecs=codecs)
    with pytest.raises(InputError, match="E-ZARR-CODEC"):
        read_volume(path)


def test_codecs_inside_shards_are_looked_at(tmp_path: Path) -> None:
    path = zarr_05(tmp_path).path
    inner = {
        "chunk_shape": [1, 1, 7, 9, 11],
        "codecs": [{"name": "numcodecs.pickle"}],
        "index_codecs": [{"name": "bytes"}],
    }
    _edit(path / "0/zarr.json", codecs=[{"name": "sharding_indexed", "configuration": inner}])
    with pytest.raises(InputError, match="E-ZARR-CODEC"):
        read_volume(path)


def test_shards_are_read(tmp_path: Path) -> None:
    sample = zarr_05(tmp_path)
    root = zarr.open_group(str(sample.path), mode="r+")
    del root["0"]
    root.create_array("0", data=COUNTS[None, None], chunks=(1, 1, 2, 3, 11), shards=(1, 1, 4, 9, 11))
    np.testing.assert_array_equal(read_volume(sample.path).frame(0)[0], COUNTS)


@pytest.mark.parametrize("dtype", ["|O", "<U8", "|S4", "<c8", [["a", "<i4"]], "<M8[s]"])
def test_types_that_are_no_numbers(dtype: Any, tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    _edit(path / "a/full/.zarray", dtype=dtype)
    with pytest.raises(InputError, match=r"E-ZARR-METADATA"):
        read_volume(path)


@pytest.mark.parametrize(
    "name", ["../other/0", "/etc", "a/../../other/0", "file:///etc", "s3://bucket/x", "link", "..\\x"]
)
def test_level_stays_in_the_store(name: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    zarr_05(tmp_path / "other")
    path = zarr_04(tmp_path).path
    (path / "link").symlink_to(tmp_path / "other/sample.ome.zarr/0")
    with pytest.raises(InputError, match="E-ZARR-PATH"):
        read_volume(_say(path, datasets=[{**_image(path)["datasets"][0], "path": name}]))


def test_chunk_may_not_be_a_link(tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    chunk = path / "a/full/1/0/2"
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="E-ZARR-PATH"):
        read_volume(path)


def test_missing_chunk_of_others_is_counted_and_of_our_own_an_error(tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    (path / "a/full/1/0/2").unlink()
    (path / "a/full/0/1/0").unlink()
    volume = read_volume(path)
    assert volume.notes == ("W-ZARR-MISSING-CHUNKS: 2 of 18 chunks are missing and read as zeros.",)
    assert not volume.frame(0)[0, 3:6, :5, 8:].any()
    np.testing.assert_array_equal(volume.frame(0)[0, 6:], COUNTS[6:])
    own = _write(tmp_path / "own.ome.zarr", np.ones((40, 5, 6), np.uint8))  # two chunks
    (own / "0/c/0/0/1/0/0").unlink()
    with pytest.raises(InputError, match="E-ZARR-MISSING-CHUNKS"):
        read_volume(own)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"shape": [7, 9, 2**40]}, "E-SHAPE"),
        ({"shape": [7, 9, 2**30]}, "E-ZARR-MISSING-CHUNKS"),
        ({"shape": [7, 9]}, "E-ZARR-METADATA"),
        ({"shape": [6, 9, 11]}, "E-ZARR-CHUNK"),
        ({"shape": [7, 9, -11]}, "E-"),
        ({"chunks": [3, 5, 2**30]}, "E-BOMB"),
        ({"chunks": [3, 0, 4]}, "E-SHAPE"),
        ({"chunks": [3, 5, 4.0]}, "E-ZARR-METADATA"),
        ({"dimension_separator": "/../"}, "E-ZARR-METADATA"),
        ({"zarr_format": 7}, "E-ZARR-METADATA"),
    ],
)
def test_bad_metadata(fields: dict[str, Any], code: str, tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    _edit(path / "a/full/.zarray", **fields)
    with pytest.raises(InputError, match=code):
        read_volume(path).frame(0)


@pytest.mark.parametrize("codec", ["zstd", "blosc", "lz4", "gzip", "zlib", "bz2", "lzma"])
def test_chunk_that_unpacks_to_too_much_is_refused_before_unpacking(codec: str, tmp_path: Path) -> None:
    compressor = numcodecs.get_codec({"id": codec})
    path = zarr_04(tmp_path, compressors=compressor).path
    (path / "a/full/1/0/2").write_bytes(compressor.encode(np.zeros(8 * 2**20, np.uint8)))
    with pytest.raises(InputError, match=r"E-ZARR-CHUNK.*not to 120"):  # 3 x 5 x 4 voxels of 2 bytes
        read_volume(path).frame(0)


@pytest.mark.parametrize("count", [1, 255, 256, 65_791, 65_792, 3 * 2**20])
def test_zstd_frame_says_its_size(count: int) -> None:
    packed = bytes(numcodecs.Zstd().encode(np.zeros(count, np.uint8)))
    assert zstd_content_nbytes(packed[:32]) == count


def test_zstd_frame_of_terabytes(tmp_path: Path) -> None:
    path = zarr_04(tmp_path, compressors=numcodecs.Zstd()).path
    (path / "a/full/1/0/2").write_bytes(b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**42) + b"\x01\x00\x00")
    with pytest.raises(InputError, match="E-ZARR-CHUNK"):
        read_volume(path).frame(0)


def test_collection_of_images(tmp_path: Path) -> None:
    root = tmp_path / "many.zarr"
    root.mkdir()
    zarr.create_group(str(root), zarr_format=2)
    (root / ".zattrs").write_text(json.dumps({"bioformats2raw.layout": 3}))
    zarr_04(tmp_path).path.rename(root / "0")
    np.testing.assert_array_equal(read_volume(root).frame(0)[0], COUNTS)
    zarr_04(tmp_path).path.rename(root / "1")
    with pytest.raises(InputError, match=r"E-ZARR-DATASET.*--dataset.*0, 1"):
        read_volume(root)
    np.testing.assert_array_equal(read_volume(root, ReadOptions(dataset="1")).frame(0)[0], COUNTS)


def _write(path: Path, voxels: np.ndarray, **properties: Any) -> Path:
    write_volume(path, Volume.from_array(voxels, **{"voxel_size_um": SIZE_UM, **properties}))
    yaozarrs.validate_zarr_store(str(path))
    return path


@pytest.mark.parametrize("kind", ["bool", "u1", "i2", "u4", "f4", "f8", "u8"])
def test_round_trip_with_everything_known(kind: str, tmp_path: Path) -> None:
    voxels = (np.arange(3 * 2 * 4 * 5 * 6) % 250).reshape(3, 2, 4, 5, 6).astype(kind)
    known = {
        "time_s": (0.0, 2.0, 7.0),
        "channel_names": ("lipid", "water"),
        "quantity": "intensity",
        "unit": "1",
        "medium_ri": 1.337,
    }
    volume = read_volume(_write(tmp_path / "a.ome.zarr", voxels, **known))
    assert volume.voxel_size_um == SIZE_UM
    assert {key: getattr(volume, key) for key in known} == known
    for frame in range(3):
        np.testing.assert_array_equal(volume.frame(frame), voxels[frame])
    assert volume.dtype == np.dtype(kind)


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    volume = read_volume(_write(path, COUNTS, voxel_size_um=None), is_size_required=False)
    assert (volume.voxel_size_um, volume.time_s, volume.medium_ri, volume.quantity) == (None,) * 4
    flat = read_volume(_write(tmp_path / "b.ome.zarr", COUNTS[0], voxel_size_um=(math.nan, 0.17, 0.13)))
    assert math.isnan(flat.require_voxel_size()[0])
    assert flat.require_voxel_size()[1:] == (0.17, 0.13)


def test_pyramid_of_an_image_is_the_local_mean(tmp_path: Path) -> None:
    voxels = np.random.default_rng(3).integers(0, 60_000, (5, 301, 270)).astype(np.uint16)
    path = _write(tmp_path / "a.ome.zarr", voxels, voxel_size_um=(0.2, 0.11, 0.1), quantity="intensity")
    level = zarr.open_array(str(path / "1"), mode="r")[0, 0]
    assert level.shape == (5, 151, 135)  # z is too coarse to be halved; 301 leaves a row of its own
    mean = voxels[:, :300].reshape(5, 150, 2, 135, 2).astype(np.float64).mean(axis=(2, 4))
    np.testing.assert_allclose(level[:, :150], mean, atol=0.5)
    np.testing.assert_allclose(level[:, 150], voxels[:, 300].reshape(5, 135, 2).mean(axis=2), atol=0.5)
    transformations = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"][1]
    scale, translation = transformations["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([1, 1, 0.2, 0.22, 0.2])
    assert translation["translation"] == pytest.approx([0, 0, 0, 0.055, 0.05])


def test_pyramid_of_labels_holds_only_labels(tmp_path: Path) -> None:
    labels = np.random.default_rng(3).choice(np.array([0, 7, 70_000, 4_000_000_000], np.uint32), (4, 290, 300))
    path = _write(tmp_path / "a.ome.zarr", labels, quantity="labels")
    level = zarr.open_array(str(path / "1"), mode="r")[0, 0]
    assert level.dtype == np.uint32
    np.testing.assert_array_equal(level, labels[:, ::2, ::2])
    assert read_volume(path).quantity == "labels"


@pytest.mark.parametrize(
    ("shape", "size", "factors"),
    [
        ((7, 9, 11), SIZE_UM, [(1, 1, 1)]),
        ((300, 600, 500), (0.1, 0.1, 0.1), [(1, 1, 1), (2, 2, 2), (4, 4, 4)]),
        ((300, 1100, 500), (0.4, 0.1, 0.1), [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]),
        ((300, 600, 500), None, [(1, 1, 1), (1, 2, 2), (1, 4, 4)]),
        ((1, 600, 500), (math.nan, 0.1, 0.1), [(1, 1, 1), (1, 2, 2), (1, 4, 4)]),
    ],
)
def test_pyramid_makes_voxels_more_nearly_cubic(shape: tuple[int, ...], size: Any, factors: list[Any]) -> None:
    volume = Volume.from_array(np.broadcast_to(np.uint8(0), shape), voxel_size_um=size)
    assert pyramid_factors(volume) == factors


def test_every_chunk_is_stored_with_a_checksum(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.ome.zarr", np.zeros((40, 300, 20), np.uint8))
    assert len([file for file in (path / "0/c").rglob("*") if file.is_file()]) == 2 * 2  # empty ones too
    codecs = json.loads((path / "0/zarr.json").read_text())["codecs"]
    assert {"name": "zstd", "configuration": {"level": 3, "checksum": True}} in codecs


def test_every_flipped_bit_of_a_chunk_is_noticed(tmp_path: Path) -> None:
    path = zarr_05(tmp_path).path
    chunk = path / "0/c/0/0/0/0/0"
    whole = chunk.read_bytes()
    volume = read_volume(path)
    codes = set()
    for place in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        chunk.write_bytes(bytes(damaged))
        try:
            np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)  # a bit that zstd does not use
        except InputError as error:
            codes.add(error.code)
    assert codes == {"E-ZARR-CHUNK"}


def test_planes_are_reported_and_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    seen: list[int] = []
    volume = Volume.from_array(np.zeros((2, 1, 40, 5, 6), np.uint8), voxel_size_um=SIZE_UM)
    write_volume(tmp_path / "a.ome.zarr", volume, on_planes=seen.append)
    assert seen == [32, 40, 72, 80]
    with pytest.raises(InputError, match="E-ZARR-WRITE"):
        write_volume(tmp_path / "a.ome.zarr", volume)


def test_plane_by_plane_equals_all_at_once_and_chunks_are_unpacked_once(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 999, (2, 1, 40, 50, 60)).astype(np.uint16)
    path = _write(tmp_path / "a.ome.zarr", voxels)  # layers of 32 and 8 planes
    volume = read_volume(path)
    for frame in (0, 1, 0):
        planes = [volume.planes(frame, 0, plane, plane + 1)[0] for plane in (39, 0, 1, 31, 32, 33)]
        np.testing.assert_array_equal(planes, voxels[frame, 0, [39, 0, 1, 31, 32, 33]])
    np.testing.assert_array_equal(volume.planes(1, 0, 30, 35), voxels[1, 0, 30:35])
    part = volume.planes(1, 0, 3, 5)
    part[:] = 0  # what a caller does to its planes stays with the caller
    np.testing.assert_array_equal(volume.planes(1, 0, 3, 5), voxels[1, 0, 3:5])
    (path / "0/c/1/0/0/0/0").write_bytes(b"damaged")
    with pytest.raises(InputError, match="E-ZARR-CHUNK"):
        volume.planes(1, 0, 3, 5)
