"""ND2, CZI, LIF, OIF and OIB: on files built byte by byte (``maker_samples``), and on real ND2 files where they are.

Expected values are those that were written: the formula of the voxels, and steps and times counted by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import maker_samples as makers
import numpy as np
import pytest
from container_samples import read_all

from tomocyte.errors import InputError, MetadataError, TomocyteError
from tomocyte.formats import ReadOptions, read_volume

T, C, Z, Y, X = np.indices((3, 2, 4, 9, 11))
VOXELS = (T * 10000 + C * 5000 + Z * 1000 + Y * 50 + X).astype(np.uint16)
SIZE_UM = (0.31, 0.17, 0.13)
FRAME_TIMES_MS = [time + 10 * plane for time in (0, 1000, 2700) for plane in range(4)]
"""Not regular: 1.0 s, then 1.7 s."""
REAL = Path(os.environ.get("TOMOCYTE_DATA", "absent")) / "two_colour_gpcalc"


def nd2(path: Path) -> Path:
    return makers.nd2(path, VOXELS, channels=("one", "two"), times_ms=FRAME_TIMES_MS)


def lif(path: Path) -> Path:
    return makers.lif(path, {"cell": VOXELS}, stamps_ms=[0] * 8 + [1000] * 8 + [2700] * 8, channels=("one", "two"))


def czi(path: Path) -> Path:
    return makers.czi(path, VOXELS, times=(5.0, 6.0, 7.7), xml=makers.czi_xml(channels=("one", "two")))


def oif(path: Path) -> Path:
    return makers.oif(path, VOXELS, times_ms=(500, 1500, 3200))


def oib(path: Path) -> Path:
    return makers.oib(path, VOXELS, times_ms=(500, 1500, 3200))


BUILDERS: dict[str, Callable[[Path], Path]] = {each.__name__: each for each in (nd2, lif, czi, oif, oib)}


@pytest.fixture(params=BUILDERS)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return BUILDERS[request.param](tmp_path / f"cell.{request.param}")


def code_of(path: Path, **options: Any) -> str:
    with pytest.raises(TomocyteError) as caught:
        read_all(path, ReadOptions(**options))
    return caught.value.code


def test_voxels_size_times_and_channels_are_those_that_were_written(built: Path) -> None:
    volume = read_volume(built)
    np.testing.assert_array_equal(np.stack([volume.frame(frame) for frame in range(3)]), VOXELS)
    assert volume.dtype == np.uint16
    size = (0.31, 0.13, 0.13) if built.suffix == ".nd2" else SIZE_UM  # Nikon has one calibration for x and y
    assert volume.voxel_size_um == pytest.approx(size, rel=1e-9)
    assert volume.time_s == pytest.approx((0.0, 1.0, 2.7))
    assert volume.time_step_s is None
    names = ("dye 0", "dye 1") if built.suffix in (".oif", ".oib") else ("one", "two")
    assert volume.channel_names == names
    assert volume.medium_ri is None
    assert set(volume.sources) == {"voxel_size_um", "time_s", "channel_names"}
    assert volume.notes == ()


def test_an_image_that_is_not_there_is_refused_with_those_that_are(built: Path) -> None:
    with pytest.raises(InputError, match=r"E-DATASET.*Give --dataset with one of: ") as caught:
        read_volume(built, ReadOptions(dataset="nothing"))
    offered = caught.value.cure.removeprefix("Give --dataset with one of: ").rstrip(".")
    assert read_volume(built, ReadOptions(dataset=offered)).shape == (3, 2, 4, 9, 11)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(built: Path, share: float) -> None:
    target = built if built.suffix != ".oif" else next(built.with_name("cell.oif.files").glob("*.tif"))
    whole = target.read_bytes()
    target.write_bytes(whole[: int(len(whole) * share)])
    assert code_of(built).startswith("E-")


def test_without_the_extra_the_message_names_it(built: Path) -> None:
    package = {".nd2": "nd2", ".lif": "liffile", ".czi": "czifile"}.get(built.suffix, "oiffile")
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from tomocyte.formats import read_volume\n"
        "try: read_volume(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(built)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.startswith("E-FORMAT-EXTRA")
    assert done.stdout.rstrip().endswith("Install it: pip install 'tomocyte[formats]'")


def test_importing_tomocyte_imports_none_of_the_packages() -> None:
    packages = {"nd2", "czifile", "liffile", "oiffile"}
    program = f"import sys, tomocyte.formats as f; f.formats(); print(set(sys.modules) & {packages})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


def test_nd2_of_bright_field_opens_without_what_the_package_cannot_read(tmp_path: Path) -> None:
    """A channel without a dye: the voxels are there, the sizes in x and y are asked for."""
    voxels = np.arange(2 * 3 * 8 * 10, dtype=np.uint16).reshape(2, 1, 3, 8, 10)
    path = makers.nd2(tmp_path / "a.nd2", voxels, channels=("BF",), has_probe=False)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um"):
        read_volume(path)
    volume = read_volume(path, ReadOptions(voxel_size_um=(0.5, 0.1, 0.1)))
    np.testing.assert_array_equal(volume.frame(1), voxels[1])
    assert [note.split(":")[0] for note in volume.notes] == ["W-ND2-PROBE"]
    assert "UnboundLocal" not in " ".join(volume.notes)


# --- one plane at a time ---------------------------------------------------------------------------------------------


def test_nd2_reads_one_stored_frame_for_one_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nd2 as package

    volume = read_volume(nd2(tmp_path / "a.nd2"))
    read: list[int] = []
    inner = package.ND2File.read_frame
    monkeypatch.setattr(package.ND2File, "read_frame", lambda self, index: read.append(index) or inner(self, index))
    assert volume.planes(2, 1, 3, 4)[0, 8, 10] == 28410  # 20000 + 5000 + 3000 + 400 + 10
    assert read == [11]


@pytest.mark.parametrize("name", ["lif", "czi", "oif"])
def test_one_plane_reads_few_bytes(name: str, tmp_path: Path) -> None:
    voxels = np.arange(20 * 200 * 300, dtype=np.uint32).reshape(1, 1, 20, 200, 300).astype(np.uint16)
    path = tmp_path / f"large.{name}"
    if name == "lif":
        makers.lif(path, {"a": voxels})
    else:
        getattr(makers, name)(path, voxels)
    volume = read_volume(path)
    volume.planes(0, 0, 0, 1)
    before = int(Path("/proc/self/io").read_text().split()[1])
    plane = volume.planes(0, 0, 13, 14)
    read = int(Path("/proc/self/io").read_text().split()[1]) - before
    np.testing.assert_array_equal(plane[0], voxels[0, 0, 13])
    assert read < 2 * plane.nbytes


# --- ND2 -------------------------------------------------------------------------------------------------------------


def test_nd2_positions_by_name_and_index(tmp_path: Path) -> None:
    path = makers.nd2(tmp_path / "a.nd2", VOXELS[:, :1], positions=("A1", "B 2"))
    first = read_volume(path)
    assert first.notes[0].startswith('W-SERIES: the file holds 2 images; "A1" is read')
    assert '"B 2"' in first.notes[0]
    for name in ("B 2", "1"):
        np.testing.assert_array_equal(read_volume(path, ReadOptions(dataset=name)).frame(2)[0], VOXELS[2, 0] + 1)


def test_nd2_step_that_contradicts_the_ends_of_the_stack_is_not_used(tmp_path: Path) -> None:
    path = makers.nd2(tmp_path / "a.nd2", VOXELS[:1], channels=("a", "b"), z_high=6.0)
    volume = read_volume(path, is_size_required=False)
    assert volume.voxel_size_um is None
    assert "0.31 µm by dZStep and 2 µm by (dZHigh - dZLow)/(n-1)" in volume.notes[0]


def test_nd2_that_was_stopped_gives_its_complete_frames_and_says_so(tmp_path: Path) -> None:
    path = makers.nd2(tmp_path / "a.nd2", VOXELS, channels=("a", "b"), n_stored=10)
    volume = read_volume(path)
    assert volume.shape == (2, 2, 4, 9, 11)
    assert volume.notes[0].startswith("W-ND2-STOPPED: 3 time points were planned and 2 are complete")
    np.testing.assert_array_equal(volume.frame(1), VOXELS[1])


def test_nd2_without_measured_times_gives_planned_ones_and_says_so(tmp_path: Path) -> None:
    volume = read_volume(makers.nd2(tmp_path / "a.nd2", VOXELS, channels=("a", "b")))
    assert volume.time_s == (0.0, 1.0, 2.0)
    assert volume.sources["time_s"].endswith("(planned)")


def test_nd2_colour_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((1, 1, 1, 6, 12), np.uint8)
    assert code_of(makers.nd2(tmp_path / "a.nd2", colours, components=3)) == "E-RGB"


def test_nd2_of_before_2006_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").write_bytes(b"\0\0\0\x0cjP  " + bytes(100))
    assert code_of(tmp_path / "a.nd2") == "E-ND2-OLD"


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings are not on this computer")
@pytest.mark.parametrize("name", ["161221-di4ANE-LAT-001", "170627-di4ANE-Microtubles-001"])
def test_real_nd2_files(name: str) -> None:
    import nd2 as package

    path = REAL / f"{name}.nd2"
    volume = read_volume(path)
    assert volume.shape == (1, 3, 1, 512, 512)
    assert volume.voxel_size_um == pytest.approx((np.nan, 0.124296, 0.124296), rel=1e-5, nan_ok=True)
    assert volume.metadata["immersion_refractive_index"] == 1.515
    assert volume.medium_ri is None
    np.testing.assert_array_equal(volume.frame(0)[:, 0], package.imread(path))


# --- LIF -------------------------------------------------------------------------------------------------------------


def test_lif_images_by_name(tmp_path: Path) -> None:
    path = makers.lif(tmp_path / "a.lif", {"one": VOXELS, "two": VOXELS[:1] + 1})
    volume = read_volume(path, ReadOptions(dataset="two"))
    assert volume.shape == (1, 2, 4, 9, 11)
    np.testing.assert_array_equal(volume.frame(0), VOXELS[0] + 1)
    assert read_volume(path).time_s == (0.0, 2.5, 5.0)  # of its time axis, in want of stamps
    assert volume.metadata["immersion_refractive_index"] == "1.518"


def test_lif_pixel_that_the_scanner_notes_otherwise_is_not_used(tmp_path: Path) -> None:
    volume = read_volume(makers.lif(tmp_path / "a.lif", {"a": VOXELS}, voxel_x=0.26), is_size_required=False)
    assert volume.voxel_size_um is None
    assert "x twice: 0.13 µm by x Length/(n-1) and 0.26 µm by dblVoxelX" in volume.notes[0]
    same = read_volume(makers.lif(tmp_path / "b.lif", {"a": VOXELS}, voxel_x=0.13))
    assert same.voxel_size_um == pytest.approx(SIZE_UM)


def test_lif_colour_and_document_types_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((1, 3, 1, 6, 8), np.uint8)
    path = makers.lif(tmp_path / "a.lif", {"a": colour}, channels=("R", "G", "B"), interleaved=True)
    assert code_of(path) == "E-RGB"
    path = makers.lif(tmp_path / "b.lif", {"a": VOXELS}, doctype='<!DOCTYPE a [<!ENTITY b "c">]>')
    assert code_of(path) == "E-XML-DOCTYPE"


# --- CZI -------------------------------------------------------------------------------------------------------------


def test_czi_scenes_by_name(tmp_path: Path) -> None:
    tiles = [({"S": scene, "Z": z}, VOXELS[0, scene, z]) for scene in range(2) for z in range(4)]
    path = makers.czi_tiles(tmp_path / "a.czi", tiles, makers.czi_xml(scenes=("A1", "A2")))
    assert read_volume(path).notes[0].endswith("Give --dataset with one of: A1, A2.")
    np.testing.assert_array_equal(read_volume(path, ReadOptions(dataset="A2")).frame(0)[0], VOXELS[0, 1])


def test_czi_mosaic_is_put_together_where_its_tiles_lie(tmp_path: Path) -> None:
    left, right = np.full((4, 5), 7, np.uint16), np.full((4, 3), 9, np.uint16)
    tiles = [({"M": 0, "X": 100, "Y": 20}, left), ({"M": 1, "X": 105, "Y": 22}, right)]
    volume = read_volume(makers.czi_tiles(tmp_path / "a.czi", tiles, makers.czi_xml()))
    expected = np.zeros((6, 8), np.uint16)
    expected[:4, :5], expected[2:, 5:] = 7, 9
    np.testing.assert_array_equal(volume.planes(0, 0)[0], expected)
    assert volume.notes == (
        "W-CZI-MOSAIC: each plane is put together from up to 2 tiles; where no tile lies stands 0.",
    )


def split_zstd(pixels: np.ndarray) -> bytes:
    """Zeiss' header (three bytes long, low and high bytes apart) before Zstandard."""
    return b"\x03\x01\x01" + imagecodecs.zstd_encode(pixels.view(np.uint8).reshape(-1, 2).T.tobytes())


@pytest.mark.parametrize(
    ("packing", "pack"),
    [
        (4, lambda pixels: imagecodecs.jpegxr_encode(np.ascontiguousarray(pixels), level=100)),
        (5, lambda pixels: imagecodecs.zstd_encode(pixels.tobytes())),
        (6, split_zstd),
        (6, lambda pixels: b"\x01" + imagecodecs.zstd_encode(pixels.tobytes())),
    ],
)
def test_czi_compressed_without_loss(packing: int, pack: Any, tmp_path: Path) -> None:
    volume = read_volume(makers.czi(tmp_path / "a.czi", VOXELS[:1], pack=pack, packing=packing))
    np.testing.assert_array_equal(volume.frame(0), VOXELS[0])


def test_czi_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    assert code_of(makers.czi(path, VOXELS, packing=104)) == "E-CZI-CODEC"
    assert code_of(makers.czi(path, VOXELS, kind=3)) == "E-RGB"
    assert code_of(makers.czi(path, VOXELS, part=2)) == "E-CZI-SET"
    assert code_of(makers.czi(path, VOXELS, xml="<!DOCTYPE a><a/>")) == "E-XML-DOCTYPE"
    tiles = [({"Z": z, "C": c}, VOXELS[0, c, z]) for z, c in ((0, 0), (0, 1), (1, 0))]
    assert code_of(makers.czi_tiles(path, tiles, makers.czi_xml())) == "E-CZI-PLANES"


def test_czi_interval_that_contradicts_the_scaling_is_not_used(tmp_path: Path) -> None:
    path = makers.czi(tmp_path / "a.czi", VOXELS, xml=makers.czi_xml(z_interval_um=0.5))
    volume = read_volume(path, is_size_required=False)
    assert volume.voxel_size_um is None
    assert "0.31 µm by Scaling Distance Z and 0.5 µm by Dimensions/Z Interval Increment" in volume.notes[0]


# --- OIF and OIB -----------------------------------------------------------------------------------------------------


def test_oif_with_more_planes_than_it_declares_is_refused(tmp_path: Path) -> None:
    """Cut settings lose their last axes: three times would be read as one."""
    path = oif(tmp_path / "a.oif")
    text = path.read_bytes()[2:].decode("utf-16-le")
    path.write_bytes(b"\xff\xfe" + text[: text.index("[Axis 4 Parameters Common]")].encode("utf-16-le"))
    assert code_of(path) == "E-OIF-PLANES"


def test_oif_without_its_folder_or_a_plane_is_refused(tmp_path: Path) -> None:
    path = oif(tmp_path / "a.oif")
    next((tmp_path / "a.oif.files").glob("*C002Z003T002.tif")).unlink()
    assert code_of(path) == "E-OIF-PLANES"
    (tmp_path / "a.oif.files").rename(tmp_path / "elsewhere")
    assert code_of(path) == "E-COMPANION-MISSING"


def test_oif_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    path = oif(tmp_path / "home" / "a.oif")
    plane = next((tmp_path / "home" / "a.oif.files").glob("*.tif"))
    plane.rename(tmp_path / "outside.tif")
    plane.symlink_to(tmp_path / "outside.tif")
    assert code_of(path) == "E-COMPANION-OUTSIDE"


def test_oif_sizes_that_contradict_each_other_are_not_used(tmp_path: Path) -> None:
    path = makers.oif(tmp_path / "a.oif", VOXELS, z_interval_nm=620.0)
    volume = read_volume(path, is_size_required=False)
    assert volume.voxel_size_um is None
    assert "0.62 µm by Axis Z Interval and 0.31 µm by Axis Z positions" in volume.notes[0]


def test_oib_whose_sectors_run_in_a_circle_is_refused_at_once(tmp_path: Path) -> None:
    path = oib(tmp_path / "a.oib")
    data = bytearray(path.read_bytes())
    table = int.from_bytes(data[76:80], "little")
    data[(table + 1) * 512 + 4 : (table + 1) * 512 + 8] = (1).to_bytes(4, "little")  # sector 1 is followed by itself
    path.write_bytes(data)
    assert code_of(path) == "E-OIF"
