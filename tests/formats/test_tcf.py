"""Tomocube TCF: both storage forms, every trap seen in real readers; the package TCFile is the other opinion."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from container_samples import RI, RI_COUNTS, RI_FRAMES, SIZE_UM, ri_volume, tcf, tcf_tiled
from TCFile.TCFile_class import TCFile

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._tcf_write import write_fluorescence, write_tiled
from tomocyte.volume import Volume

GREEN = (np.arange(3 * 5 * 6 * 8) * 11 % 60_000).reshape(3, 1, 5, 6, 8).astype(np.uint16)


def _set(path: Path, place: str, **attributes: Any) -> Path:
    """Attributes replaced, as arrays of one element; ``None`` removes."""
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            del file[place].attrs[name]
            if value is not None:
                file[place].attrs[name] = np.array([value])
    return path


def _peer(path: Path, kind: str = "3D") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TCFile calls tiles experimental
        peer = TCFile(str(path), kind)
        return [np.asarray(peer[index]) for index in range(len(peer))]


@pytest.fixture
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return {"dataset": tcf, "tiled": tcf_tiled}[request.param](tmp_path).path


@pytest.mark.parametrize("both", ["dataset", "tiled"], indirect=True)
def test_both_forms_agree_with_the_other_reader(both: Path) -> None:
    volume = read_volume(both)
    theirs = _peer(both)
    assert len(theirs) == volume.n_frames == 2
    for frame, voxels in enumerate(theirs):
        np.testing.assert_array_equal(volume.frame(frame)[0], voxels)
        np.testing.assert_array_equal(volume.frame(frame), RI_FRAMES[frame])
    np.testing.assert_array_equal(volume.planes(1, 0, 3, 6), RI_FRAMES[1, 0, 3:6])  # across tiles


@pytest.mark.parametrize("both", ["dataset", "tiled"], indirect=True)
def test_what_the_file_says(both: Path) -> None:
    volume = read_volume(both)
    assert (volume.quantity, volume.unit, volume.medium_ri) == ("refractive_index", "1", 1.337)
    assert volume.voxel_size_um == SIZE_UM
    assert volume.time_s == (0.0, 30.5)  # each frame's own time
    assert volume.origin == dict.fromkeys(("voxel_size_um", "time_s", "medium_ri", "quantity", "unit"), "file")
    assert volume.sources == {
        "voxel_size_um": "TCF Data/3D ResolutionZ, Y, X",
        "time_s": "TCF Time of each frame",
        "medium_ri": "TCF Info/Device RI",
        "quantity": "TCF Data/3D",
        "unit": "TCF Data/3D",
    }


def test_uint8_tiles_count_from_the_minimum_of_their_frame(tmp_path: Path) -> None:
    frames = np.stack([1.335 + RI_COUNTS % 255 / 1e3, 1.401 + RI_COUNTS % 200 / 1e3])[:, None].astype(np.float32)
    volume = Volume.from_array(frames, voxel_size_um=SIZE_UM, quantity="refractive_index")
    write_tiled(tmp_path / "a.tcf", volume, tile_shape=(4, 5, 6), scalar_type=1)
    found = read_volume(tmp_path / "a.tcf")
    for frame, theirs in enumerate(_peer(tmp_path / "a.tcf")):
        np.testing.assert_array_equal(found.frame(frame)[0], theirs)
        np.testing.assert_allclose(found.frame(frame), frames[frame], atol=1e-6)
    with h5py.File(tmp_path / "a.tcf") as file:
        assert file["Data/3D/000000/TILE_00"].dtype == np.uint8


@pytest.mark.parametrize(
    ("version", "stored", "factor"),
    [
        (b"1.3", np.uint16, 1e-4),
        (b"1.3.5", np.uint16, 1e-4),
        (b"1.10", np.uint16, 1e-4),  # as text this is before 1.3
        (b"2.0", np.uint16, 1e-4),
        (b"1.2", np.float32, 1.0),
        (b"1.2.9", np.float64, 1.0),
    ],
)
def test_version_is_compared_as_numbers(version: bytes, stored: type, factor: float, tmp_path: Path) -> None:
    path = _set(tcf(tmp_path).path, "/", FormatVersion=version)
    with h5py.File(path, "r+") as file:
        for name, shift in (("000000", 0), ("000001", 100)):
            attributes = dict(file["Data/3D"][name].attrs)
            del file["Data/3D"][name]
            values = (RI_COUNTS + shift) * (1e-4 / factor)
            file["Data/3D"][name] = np.rint(values).astype(stored) if factor != 1 else values.astype(stored)
            file["Data/3D"][name].attrs.update(attributes)
    np.testing.assert_allclose(read_volume(path).frame(1), RI_FRAMES[1], rtol=1e-7)


@pytest.mark.parametrize("version", [b"1.2", b"", b"new", b"1.2.x"])
def test_version_that_contradicts_the_stored_type_is_refused(version: bytes, tmp_path: Path) -> None:
    """Integers in a file of before 1.3 would come out 10⁴ times too large."""
    path = _set(tcf(tmp_path).path, "/", FormatVersion=version)
    with pytest.raises(InputError, match="E-TCF-VERSION"):
        read_volume(path)


@pytest.mark.parametrize("size", [None, 0.0, -0.1, np.nan])
def test_missing_voxel_size_is_never_invented(size: float | None, tmp_path: Path) -> None:
    path = _set(tcf(tmp_path).path, "Data/3D", ResolutionZ=size)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).voxel_size_um == SIZE_UM


def test_times_without_any_are_not_made_from_the_count(tmp_path: Path) -> None:
    path = tcf(tmp_path).path
    for name in ("Data/3D/000000", "Data/3D/000001"):
        _set(path, name, Time=None)
    volume = read_volume(path)
    assert volume.time_s == (0.0, 30.5)  # TimeInterval
    assert any(note.startswith("W-TCF-TIME") for note in volume.notes)
    _set(path, "Data/3D", TimeInterval=None)
    volume = read_volume(path)
    assert volume.time_s is None
    assert any(note.startswith("W-TCF-TIME") for note in volume.notes)


def test_irregular_and_backward_times(tmp_path: Path) -> None:
    path = _set(tcf(tmp_path).path, "Data/3D/000001", Time=-5.0)
    volume = read_volume(path)
    assert volume.time_s == (0.0, -5.0)
    assert any("do not increase" in note for note in volume.notes)


@pytest.mark.parametrize(("value", "found"), [(None, None), (0.0, None), (1.4, 1.4), (13370.0, None)])
def test_medium(value: float | None, found: float | None, tmp_path: Path) -> None:
    volume = read_volume(_set(tcf(tmp_path).path, "Info/Device", RI=value))
    assert volume.medium_ri == found
    assert any("W-TCF-MEDIUM" in note for note in volume.notes) == (value == 13370.0)


@pytest.mark.parametrize("both", ["dataset", "tiled"], indirect=True)
@pytest.mark.parametrize(
    ("place", "attributes", "code"),
    [
        ("Data/3D", {"DataCount": 3}, "E-TCF-TRUNC"),
        ("Data/3D", {"SizeX": None}, "E-TCF-HEADER"),
        ("Data/3D", {"SizeX": 2**31}, "E-SHAPE"),
        ("Data/3D", {"SizeZ": 8}, "E-TCF-(TRUNC|TILES)"),
        ("Data/3D", {"SizeY": 8}, "E-TCF-(TRUNC|TILES)"),
    ],
)
def test_contradictions_are_refused(both: Path, place: str, attributes: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError, match=code):
        read_volume(_set(both, place, **attributes))


def test_a_gap_in_the_frames_is_refused(tmp_path: Path) -> None:
    path = tcf(tmp_path).path
    with h5py.File(path, "r+") as file:
        file.move("Data/3D/000001", "Data/3D/000002")
    with pytest.raises(InputError, match="E-TCF-TRUNC"):
        read_volume(path)


@pytest.mark.parametrize(
    "attributes",
    [{"DataIndexLastPointX": 4}, {"DataIndexOffsetPointZ": 1}, {"SamplingStep": 2}, {"DataIndexLastPointY": 99}],
)
def test_tiles_that_leave_a_gap_are_refused(attributes: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E-TCF-TILES"):
        read_volume(_set(tcf_tiled(tmp_path).path, "Data/3D/000000/TILE_00", **attributes))


def test_coarser_tiles_are_left_out_and_padding_is_cut_off(tmp_path: Path) -> None:
    path = tcf_tiled(tmp_path).path
    with h5py.File(path, "r+") as file:
        group = file["Data/3D/000000"]
        coarse = group.create_dataset("TILE_99", data=np.full((4, 5, 6), 60_000, np.uint16))
        for name, value in group["TILE_00"].attrs.items():
            coarse.attrs[name] = value
        coarse.attrs["SamplingStep"] = np.array([2])
        attributes, whole = dict(group["TILE_00"].attrs), group["TILE_00"][()]
        del group["TILE_00"]
        group["TILE_00"] = np.pad(whole, ((0, 0), (0, 3), (0, 2)), constant_values=55_000)
        group["TILE_00"].attrs.update(attributes)
    np.testing.assert_array_equal(read_volume(path).frame(0), RI_FRAMES[0])
    np.testing.assert_array_equal(_peer(path)[0], RI_FRAMES[0, 0])


def test_scalar_type_must_fit_the_tiles(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E-TCF-HEADER"):
        read_volume(_set(tcf_tiled(tmp_path).path, "Data/3D/000001", ScalarType=1))


def test_fluorescence_keeps_its_own_grid_and_times(tmp_path: Path) -> None:
    path = tcf(tmp_path).path
    green = Volume.from_array(GREEN, voxel_size_um=(0.62, 0.34, 0.26), time_s=(0.0, 2.0, 7.0))
    write_fluorescence(path, green, z_offset_um=-1.5)
    write_fluorescence(path, Volume.from_array(GREEN + 1, voxel_size_um=(0.62, 0.34, 0.26)), channel=1)
    volume = read_volume(path)
    assert volume.metadata["fluorescence"] == ("3DFL/CH0", "3DFL/CH1")
    np.testing.assert_array_equal(volume.frame(1), RI_FRAMES[1])
    for name in ("3DFL/CH0", "/Data/3DFL/CH0"):
        found = read_volume(path, ReadOptions(dataset=name))
        assert found.shape == (3, 1, 5, 6, 8)
        assert (found.quantity, found.dtype, found.channel_names) == ("intensity", np.uint16, ("CH0",))
        assert found.voxel_size_um == (0.62, 0.34, 0.26)
        assert found.time_s == (0.0, 2.0, 7.0)
        assert found.metadata["OffsetZ"] == -1.5
        for frame, theirs in enumerate(_peer(path, "3DFL")):
            np.testing.assert_array_equal(found.frame(frame)[0], theirs)
            np.testing.assert_array_equal(theirs, GREEN[frame, 0])
    with pytest.raises(InputError, match=r"E-TCF-DATASET.*3D, 3DFL/CH0, 3DFL/CH1"):
        read_volume(path, ReadOptions(dataset="3DFL/CH2"))


@pytest.mark.parametrize("value", [7.0, -0.1, np.nan])
def test_values_that_do_not_fit_are_not_written(value: float, tmp_path: Path) -> None:
    voxels = RI.copy()
    voxels[1, 2, 3] = value
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="refractive_index")
    with pytest.raises(InputError, match="E-TCF-WRITE"):
        write_volume(tmp_path / "a.tcf", volume)


def test_only_refractive_index_is_written_and_planes_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E-TCF-WRITE"):
        write_volume(tmp_path / "a.tcf", Volume.from_array(RI, voxel_size_um=SIZE_UM, quantity="intensity"))
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        write_volume(tmp_path / "a.tcf", Volume.from_array(RI, quantity="refractive_index"))
    seen: list[int] = []
    write_volume(tmp_path / "a.tcf", ri_volume(), on_planes=seen.append)
    assert seen[-1] == 14
    assert seen == sorted(seen)


def test_rounding_is_to_the_nearest_step(tmp_path: Path) -> None:
    values = np.array([[[1.33004, 1.33006]]])  # 10⁻⁴ steps: 1.3300 and 1.3301
    volume = Volume.from_array(values, voxel_size_um=SIZE_UM, quantity="refractive_index")
    write_volume(tmp_path / "a.tcf", volume)
    np.testing.assert_allclose(read_volume(tmp_path / "a.tcf").frame(0).ravel(), [1.3300, 1.3301], atol=1e-7)


def _codes(volume: Volume) -> list[str]:
    return [note.split(":")[0] for note in volume.notes]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"ResolutionX": 0.5}, "ResolutionX is 0.5 µm; 0.13 µm is used"),
        ({"ResolutionY": 1.7}, "ResolutionY is 1.7 µm; 0.17 µm is used"),
        ({"SizeX": 12}, "SizeX is 12; the array has 11"),
    ],
)
def test_a_projection_of_another_size_is_noted(attributes: dict[str, Any], words: str, tmp_path: Path) -> None:
    """The maximum projection lies on the grid of the volume."""
    path = tcf(tmp_path).path
    height, width = SIZE_UM[1:]
    with h5py.File(path, "r+") as file:
        group = file.create_group("Data/2DMIP")
        for name, value in {"SizeX": 11, "SizeY": 9, "ResolutionX": width, "ResolutionY": height}.items():
            group.attrs[name] = np.array([value])
    assert read_volume(path).notes == ()
    _set(path, "Data/2DMIP", **attributes)
    volume = read_volume(path)
    assert _codes(volume) == ["W-TCF-SIZE"]
    assert words in volume.notes[0]
    assert volume.voxel_size_um == SIZE_UM


def test_more_frames_and_tiles_than_declared_are_read_with_a_note(tmp_path: Path) -> None:
    volume = read_volume(_set(tcf(tmp_path).path, "Data/3D", DataCount=1))
    assert (_codes(volume), volume.n_frames) == (["W-TCF-COUNT"], 2)
    (tmp_path / "tiled").mkdir()
    tiled = tcf_tiled(tmp_path / "tiled").path
    _set(tiled, "Data/3D/000001", NumberOfTiles=3)
    _set(tiled, "Data/3D/000000", DataSizeY=10)
    volume = read_volume(tiled)
    assert _codes(volume) == ["W-TCF-SIZE", "W-TCF-COUNT"]
    np.testing.assert_array_equal(volume.frame(1), RI_FRAMES[1])


def test_an_interval_that_is_not_that_of_the_frames_is_noted(tmp_path: Path) -> None:
    volume = read_volume(_set(tcf(tmp_path).path, "Data/3D", TimeInterval=60.0))
    assert volume.time_s == (0.0, 30.5)
    assert volume.notes == (
        "W-TCF-TIME: TimeInterval is 60 s, and the frames' own times lie 30.5 s apart; these are used.",
    )


def test_channels_and_their_group_state_one_resolution_or_none_is_used(tmp_path: Path) -> None:
    path = tcf(tmp_path).path
    write_fluorescence(path, Volume.from_array(GREEN, voxel_size_um=(0.62, 0.34, 0.26)))
    channel = ReadOptions(dataset="3DFL/CH0")
    assert read_volume(path, channel).notes == ("W-TCF-TIME: frames have no time.",)
    _set(path, "Data/3DFL", ResolutionZ=6.2, Channels=2)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*0\.62 µm by .*CH0 ResolutionZ and 6\.2 µm by .*3DFL Res"):
        read_volume(path, channel)
    volume = read_volume(path, ReadOptions(dataset="3DFL/CH0", voxel_size_um=(0.62, 0.34, 0.26)))
    assert volume.voxel_size_um == (0.62, 0.34, 0.26)
    assert _codes(volume) == ["W-TCF-TIME", "W-TCF-COUNT"]


def test_a_type_that_cannot_hold_a_refractive_index_is_refused(tmp_path: Path) -> None:
    """255 steps of 10⁻⁴ are 0.0255; no refractive index is below 1."""
    path = tcf(tmp_path).path
    with h5py.File(path, "r+") as file:
        for name in ("000000", "000001"):
            attributes = dict(file["Data/3D"][name].attrs)
            del file["Data/3D"][name]
            file["Data/3D"][name] = (RI_COUNTS % 255).astype(np.uint8)
            file["Data/3D"][name].attrs.update(attributes)
    with pytest.raises(InputError, match=r"E-TCF-HEADER.*uint8, which cannot hold"):
        read_volume(path)


def test_a_tcf_without_any_image_is_called_damaged_and_asks_for_nothing(tmp_path: Path) -> None:
    for name, groups in (("a.tcf", ()), ("b.tcf", ("Data",)), ("c.tcf", ("Data/BF", "Info/Device"))):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["FormatVersion"] = np.array([b"1.3"])
            for group in groups:
                file.create_group(group)
        with pytest.raises(InputError, match=r"E-TCF-HEADER.*damaged") as caught:
            read_volume(tmp_path / name)
        assert "--" not in caught.value.cure
