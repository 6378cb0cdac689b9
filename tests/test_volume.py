"""Volume: axes, laziness, physical properties and where they came from."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tomocyte.errors import MetadataError
from tomocyte.volume import Frame, Volume, check_voxel_size

SIZE_UM = (0.31, 0.17, 0.13)


def counting_volume(**properties: object) -> tuple[Volume, list[tuple[int, int, int, int]]]:
    """A volume whose voxel says its place (t, c, z, y, x as decimal digits) and that notes each read."""
    calls: list[tuple[int, int, int, int]] = []
    t, c, z, y, x = np.indices((2, 3, 4, 5, 6))
    voxels = (t * 10**4 + c * 10**3 + z * 10**2 + y * 10 + x).astype(np.int32)

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> np.ndarray:
        calls.append((frame, channel, z_start, z_stop))
        return voxels[frame, channel, z_start:z_stop]

    return Volume(shape=(2, 3, 4, 5, 6), dtype=np.dtype(np.int32), read_planes=read_planes, **properties), calls


def test_planes_reads_only_what_is_asked_for() -> None:
    volume, calls = counting_volume()
    planes = volume.planes(1, 2, 3, 4)
    assert calls == [(1, 2, 3, 4)]
    assert planes.shape == (1, 5, 6)
    assert planes[0, 4, 5] == 12345


def test_frame_has_every_channel() -> None:
    volume, _ = counting_volume()
    frame = volume.frame(1)
    assert frame.shape == (3, 4, 5, 6)
    assert frame[2, 3, 1, 0] == 12310


@pytest.mark.parametrize("asked", [(2, 0, 0, 1), (0, 3, 0, 1), (0, 0, 0, 5), (0, 0, 3, 2), (-1, 0, 0, 1)])
def test_outside_is_an_index_error(asked: tuple[int, int, int, int]) -> None:
    volume, calls = counting_volume()
    with pytest.raises(IndexError, match="outside"):
        volume.planes(*asked)
    assert calls == []


@pytest.mark.parametrize(
    ("shape", "full"),
    [((5, 6), (1, 1, 1, 5, 6)), ((4, 5, 6), (1, 1, 4, 5, 6)), ((3, 4, 5, 6), (1, 3, 4, 5, 6)), ((2, 3, 4, 5, 6),) * 2],
)
def test_from_array_adds_leading_axes(shape: tuple[int, ...], full: tuple[int, ...]) -> None:
    assert Volume.from_array(np.zeros(shape, np.uint8)).shape == full


@pytest.mark.parametrize(
    "size",
    [
        (0.0, 0.1, 0.1),
        (-0.2, 0.1, 0.1),
        (math.nan, 0.1, 0.1),
        (math.inf, 0.1, 0.1),
        (1e9, 0.1, 0.1),
        (0.1, 0.1),
        (1e-5,) * 3,
    ],
)
def test_absurd_voxel_sizes_are_refused(size: tuple[float, ...]) -> None:
    with pytest.raises(MetadataError) as caught:
        Volume.from_array(np.zeros((4, 5, 6)), voxel_size_um=size)
    assert caught.value.code == "E-VOXEL-SIZE"
    assert "--voxel-size-um" in str(caught.value)


def test_a_single_plane_may_have_no_thickness() -> None:
    volume = Volume.from_array(np.zeros((5, 6)), voxel_size_um=(math.nan, 0.2, 0.1))
    assert math.isnan(volume.require_voxel_size()[0])
    with pytest.raises(MetadataError):
        Volume.from_array(np.zeros((5, 6)), voxel_size_um=(math.nan, math.nan, 0.1))


def test_missing_voxel_size_is_an_error_that_names_the_flag() -> None:
    with pytest.raises(MetadataError, match="--voxel-size-um"):
        Volume.from_array(np.zeros((4, 5, 6))).require_voxel_size()


@pytest.mark.parametrize(
    ("times", "step"), [((0.0, 30.0), 30.0), ((0.0, 0.0), None), (None, None)], ids=["regular", "still", "unknown"]
)
def test_time_step(times: tuple[float, ...] | None, step: float | None) -> None:
    assert counting_volume(time_s=times)[0].time_step_s == step


def test_irregular_times_have_no_step() -> None:
    voxels = np.zeros((4, 1, 2, 3, 5))
    assert Volume.from_array(voxels, time_s=(0.0, 10.0, 20.0, 31.0)).time_step_s is None
    assert Volume.from_array(voxels, time_s=(0.0, 10.0, 20.0, 30.05)).time_step_s == pytest.approx(10.0)


@pytest.mark.parametrize("wrong", [{"time_s": (0.0,)}, {"channel_names": ("a",)}])
def test_counts_must_agree(wrong: dict[str, tuple[object, ...]]) -> None:
    with pytest.raises(MetadataError):
        counting_volume(**wrong)


def test_origins_are_merged_and_cannot_be_changed() -> None:
    volume = Volume.from_array(np.zeros((4, 5, 6)), voxel_size_um=SIZE_UM, origin={"voxel_size_um": "file"})
    changed = volume.with_properties(medium_ri=1.34, origin={"medium_ri": "user"})
    assert dict(changed.origin) == {"voxel_size_um": "file", "medium_ri": "user"}
    assert dict(volume.origin) == {"voxel_size_um": "file"}
    with pytest.raises(TypeError):
        changed.origin["medium_ri"] = "file"  # type: ignore[index]


def test_bytes_of_a_frame() -> None:
    assert counting_volume()[0].frame_nbytes == 3 * 4 * 5 * 6 * 4


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), ("channel_0", "channel_1", "channel_2")),
        (("DNA", " actin ", ""), ("DNA", "actin", "channel_2")),
        (("DNA", "DNA", "DNA"), ("DNA", "DNA_1", "DNA_2")),
        (("DNA_2", "DNA", "DNA"), ("DNA_2", "DNA", "DNA_2_2")),
    ],
)
def test_every_channel_has_a_name_of_its_own(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    volume, _ = counting_volume(channel_names=names)
    assert volume.channels == expected


def test_channels_are_told_apart_whatever_the_file_calls_them() -> None:
    for names in itertools.product(["", "a", "a_1", "a_2", "channel_1"], repeat=3):
        volume, _ = counting_volume(channel_names=names)
        assert [volume.channel_index(name) for name in volume.channels] == [0, 1, 2], names


@pytest.mark.parametrize(
    ("channel", "index"),
    [(0, 0), (2, 2), ("1", 1), ("DNA", 0), ("dna", 2), ("Actin", 1), ("0", 0)],
)
def test_channels_are_found_by_index_and_by_name(channel: int | str, index: int) -> None:
    """The exact name comes first, then the name in other case, then the number."""
    volume, _ = counting_volume(channel_names=("DNA", "actin", "dna"))
    assert volume.channel_index(channel) == index


@pytest.mark.parametrize("channel", [3, -1, "3", "tubulin", "Dna", ""])
def test_channels_that_there_are_not_are_refused_with_those_that_there_are(channel: int | str) -> None:
    volume, _ = counting_volume(channel_names=("DNA", "actin", "dna"))
    with pytest.raises(MetadataError, match=r"E-CHANNEL.*0 \(DNA\), 1 \(actin\), 2 \(dna\)"):
        volume.channel_index(channel)


def test_a_frame_is_that_of_its_segmented_channel() -> None:
    """Its first voxel is named by its digits c, z, y, x."""
    voxels = counting_volume()[0].frame(0).astype(np.float32)
    frame = Frame(0, voxels, ("a", "b", "c"), ("phase", "intensity", "labels"), ("rad", "", "1"), SIZE_UM, channel=1)
    assert frame.segmented.shape == (4, 5, 6)
    assert frame.segmented[3, 2, 1] == 1321
    assert (frame.quantity, frame.unit) == ("intensity", "")
    assert np.shares_memory(frame.segmented, voxels)


@pytest.mark.parametrize(
    ("size", "is_2d", "is_good"),
    [
        (None, False, True),
        ((0.001, 1.0, 100.0), False, True),
        ((0.0009, 1.0, 1.0), False, False),
        ((1.0, 1.0, 101.0), False, False),
        ((math.nan, 1.0, 1.0), True, True),
        ((math.nan, 1.0, 1.0), False, False),
        ((1.0, math.nan, 1.0), True, False),
        ((1.0, 1.0), True, False),
        ((math.nan, 1.0), True, False),
    ],
)
def test_voxel_sizes_are_between_a_nanometre_and_a_tenth_of_a_millimetre(
    size: tuple[float, ...] | None, is_2d: bool, is_good: bool
) -> None:
    if is_good:
        check_voxel_size(size, is_2d=is_2d)  # type: ignore[arg-type]
    else:
        with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
            check_voxel_size(size, is_2d=is_2d)  # type: ignore[arg-type]
