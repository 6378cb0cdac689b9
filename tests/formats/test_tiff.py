"""TIFF in all dialects: shapes, axes, voxel sizes and times as other software wrote them, and each known trap."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import pickle
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError, TomocyteError
from tomocyte.formats import ReadOptions
from tomocyte.formats.tiff import FORMAT, read_tiff, verify, write_ome_tiff, writing
from tomocyte.volume import Volume

VOXEL_UM = (0.31, 0.17, 0.13)


def coded(sizes: dict[str, int], dtype: str = "u4") -> NDArray[np.generic]:
    """An array (T, C, Z, Y, X) whose value tells its own place: t c z yy xx in decimal digits."""
    t, c, z, y, x = np.indices([sizes.get(axis, 1) for axis in "TCZYX"])
    return ((((t * 10 + c) * 10 + z) * 100 + y) * 100 + x).astype(dtype)


def everything(volume: Volume) -> NDArray[np.generic]:
    return np.stack([volume.frame(frame) for frame in range(volume.n_frames)])


def opened(path: Path, **options: object) -> Volume:
    return read_tiff(path, ReadOptions(**options))  # type: ignore[arg-type]


def stored_as(voxels: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    """(T, C, Z, Y, X) transposed to ``axes``; axes that are left out must have length 1."""
    order = [*("TCZYX".index(axis) for axis in axes), *("TCZYX".index(axis) for axis in "TCZYX" if axis not in axes)]
    return voxels.transpose(order).reshape([voxels.shape["TCZYX".index(axis)] for axis in axes])


def ome(path: Path, voxels: NDArray[np.generic], xml: str, **options: object) -> None:
    """Pages (N, Y, X) under a given OME-XML body."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><OME UUID="urn:uuid:own">{xml}</OME>'
    tifffile.imwrite(
        path, voxels, description=text.encode(), metadata=None, photometric="minisblack", ome=False, **options
    )


def pixels(
    attributes: str, inside: str = "", *, sizes: str = "TCZYX", counts: tuple[int, ...] = (1, 1, 4, 5, 6)
) -> str:
    said = " ".join(f'Size{axis}="{count}"' for axis, count in zip(sizes, counts, strict=True))
    order = "" if "DimensionOrder" in attributes else 'DimensionOrder="XYZCT"'
    kind = "" if "Type=" in attributes else 'Type="uint16"'
    return f"<Image><Pixels {order} {kind} {said} {attributes}>{inside}</Pixels></Image>"


STACK = coded({"Z": 4, "Y": 5, "X": 6}, "u2")[0, 0]


# ---------------------------------------------------------------- axes


@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("ZCT")])
def test_every_ome_dimension_order_puts_every_voxel_in_its_place(order: str, tmp_path: Path) -> None:
    voxels = coded({"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 7})
    path = tmp_path / "a.ome.tif"
    axes = order[::-1] + "YX"  # OME names the fastest axis first
    metadata = {"axes": axes, "DimensionOrder": "XY" + order}
    tifffile.imwrite(path, stored_as(voxels, axes), photometric="minisblack", metadata=metadata)
    np.testing.assert_array_equal(everything(opened(path)), voxels)


@pytest.mark.parametrize(
    "axes", [f"{''.join(order)}YX" for n in (1, 2, 3) for order in itertools.permutations("TCZ", n)]
)
def test_axes_from_json_and_from_the_user_agree_for_every_order(axes: str, tmp_path: Path) -> None:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 7}
    voxels = coded({axis: size for axis, size in sizes.items() if axis in axes})
    told, bare = tmp_path / "told.tif", tmp_path / "bare.tif"
    tifffile.imwrite(told, stored_as(voxels, axes), photometric="minisblack", metadata={"axes": axes})
    np.testing.assert_array_equal(everything(opened(told)), voxels)
    tifffile.imwrite(bare, stored_as(voxels, axes), photometric="minisblack")
    np.testing.assert_array_equal(everything(opened(bare, axes=axes.lower())), voxels)


def test_imagej_hyperstack(tmp_path: Path) -> None:
    voxels = coded({"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 7}, "f4")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored_as(voxels, "TZCYX"), imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(everything(opened(path)), voxels)


@pytest.mark.parametrize("metadata", [None, {}, {"axes": "QYX"}, {"axes": "IYX"}])
def test_a_third_axis_without_a_name_is_an_error_that_names_the_flag(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata=metadata, photometric="minisblack")
    with pytest.raises(MetadataError, match=re.escape("--axes ZYX")) as caught:
        opened(path)
    assert caught.value.code == "E-AXES"
    np.testing.assert_array_equal(opened(path, axes="ZYX").planes(0, 0), STACK)
    np.testing.assert_array_equal(opened(path, axes="TYX").planes(3, 0)[0], STACK[3])


def test_imagej_images_without_slices_frames_or_channels_are_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata=None, description="ImageJ=1.54f\nimages=4\n", photometric="minisblack")
    with pytest.raises(MetadataError, match="E-AXES"):
        opened(path)


@pytest.mark.parametrize("axes", ["YX", "CZYX", "ZYY", "QYX", "ZY", "TCZ", ""])
def test_axes_that_do_not_fit_are_refused(axes: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata=None, photometric="minisblack")
    with pytest.raises(MetadataError, match="E-AXES"):
        opened(path, axes=axes)


AS_COLOUR = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
PERMUTED = ["".join(order) for order in itertools.permutations("ZYX")]
PERMUTED += ["YXC", "XYC", "CXY", "YTX", "ZYXC", "TYXC", "YXCZ", "CXYZ", "XZYT", "TZYXC", "TCZXY", "YXTCZ"]


@AS_COLOUR
@pytest.mark.parametrize("axes", PERMUTED)
@pytest.mark.parametrize("photometric", ["minisblack", None])
def test_axes_may_be_stored_in_any_order(axes: str, photometric: str | None, tmp_path: Path) -> None:
    """As arrays of other libraries are: channels last, or x first."""
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 7}
    voxels = coded({axis: size for axis, size in sizes.items() if axis in axes})
    told, shaped = tmp_path / "told.tif", tmp_path / "shaped.tif"
    stored = stored_as(voxels, axes)
    tifffile.imwrite(told, stored, photometric=photometric, metadata={"axes": axes})
    volume = opened(told)
    assert volume.shape == voxels.shape
    np.testing.assert_array_equal(everything(volume), voxels)
    np.testing.assert_array_equal(volume.planes(0, 0, volume.shape[2] - 1), voxels[0, 0, -1:])
    tifffile.imwrite(shaped, stored, photometric="minisblack")
    np.testing.assert_array_equal(everything(opened(shaped, axes=axes)), voxels)
    again = pickle.loads(pickle.dumps(volume))  # noqa: S301  our own object
    np.testing.assert_array_equal(everything(again), voxels)


def test_channels_last_whatever_the_user_calls_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = coded({"C": 2, "Z": 4, "Y": 40, "X": 50}, "u4")[0].transpose(1, 2, 3, 0)
    tifffile.imwrite(path, stored, photometric="minisblack", metadata={"axes": "ZYXC"})
    volume = opened(path, axes="CZYX")  # the same letters, where the file says that they are stored as ZYXC
    assert volume.shape == (1, 2, 4, 40, 50)
    assert [note for note in volume.notes if note.startswith("W-AXES") and "ZYXC" in note]
    tifffile.imwrite(path, stored, photometric="minisblack")  # the file does not say
    with pytest.raises(MetadataError, match=r"--axes ZYXC, or --axes TYXC\.") as caught:
        opened(path)
    assert caught.value.code == "E-AXES"
    assert opened(path, axes="ZYXC").shape == (1, 2, 4, 40, 50)
    swapped = tmp_path / "b.tif"  # frames and planes may be named the other way round
    tifffile.imwrite(swapped, np.zeros((2, 3, 5, 6), "u1"), photometric="minisblack", metadata={"axes": "TZYX"})
    assert opened(swapped, axes="ZTYX").shape == (3, 1, 2, 5, 6)


@AS_COLOUR
@pytest.mark.parametrize("n_planes", [3, 4])
@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX"])
def test_three_or_four_planes_are_no_colours_where_the_file_names_them(
    axes: str, n_planes: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    voxels = coded({axes[0]: n_planes, "Y": 17, "X": 19}, "f4")
    tifffile.imwrite(path, stored_as(voxels, axes), metadata={"axes": axes})  # tifffile makes one planar page of it
    np.testing.assert_array_equal(everything(opened(path)), voxels)


def test_a_last_axis_of_length_one_is_no_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[..., np.newaxis], photometric="minisblack", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(opened(path).planes(0, 0), STACK)


def test_colour_is_refused_until_the_user_calls_it_channels(tmp_path: Path) -> None:
    contiguous, planar = tmp_path / "contiguous.tif", tmp_path / "planar.tif"
    colour = coded({"C": 3, "Z": 2, "Y": 5, "X": 7})[0].astype("u2")  # C Z Y X
    tifffile.imwrite(contiguous, colour.transpose(1, 2, 3, 0), photometric="rgb", metadata=None)
    tifffile.imwrite(planar, colour[:, 0], photometric="rgb", planarconfig="separate", metadata=None)
    for path, axes, voxels in ((contiguous, "ZYXC", colour), (planar, "CYX", colour[:, :1])):
        with pytest.raises(InputError, match=f"E-RGB.*--axes {axes}"):
            opened(path)
        np.testing.assert_array_equal(opened(path, axes=axes).frame(0), voxels)


# ---------------------------------------------------------------- voxel size


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("nm", 1e-3), ("µm", 1), ("\u03bcm", 1), ("um", 1), ("micron", 1), ("Micron", 1), ("mm", 1e3), ("Å", 1e-4),
     ("\u212b", 1e-4), ("m", 1e6), (None, 1)],
)  # fmt: skip
def test_ome_units(unit: str | None, factor: float, tmp_path: Path) -> None:
    said = "".join(
        f' PhysicalSize{axis}="{size / factor!r}"' + (f' PhysicalSize{axis}Unit="{unit}"' if unit else "")
        for axis, size in zip("ZYX", VOXEL_UM, strict=True)
    )
    ome(tmp_path / "a.ome.tif", STACK, pixels(said))
    volume = opened(tmp_path / "a.ome.tif")
    assert volume.voxel_size_um == pytest.approx(VOXEL_UM, rel=1e-12)
    assert volume.origin["voxel_size_um"] == "file"


@pytest.mark.parametrize("value", ["0", "-0.13", "NaN", "inf", "1e9", "1e-9", "", "abc"])
@pytest.mark.parametrize("axis", "XYZ")
def test_an_unusable_ome_size_is_missing_with_a_note(value: str, axis: str, tmp_path: Path) -> None:
    sizes = dict(zip("ZYX", map(str, VOXEL_UM), strict=True)) | {axis: value}
    ome(tmp_path / "a.ome.tif", STACK, pixels(" ".join(f'PhysicalSize{key}="{size}"' for key, size in sizes.items())))
    volume = opened(tmp_path / "a.ome.tif")
    assert volume.voxel_size_um is None
    assert any(note.startswith("W-VOXEL-SIZE") for note in volume.notes)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong", "Mm", "in"])
def test_units_that_are_no_lengths_of_a_microscope_are_missing(unit: str, tmp_path: Path) -> None:
    said = " ".join(f'PhysicalSize{axis}="1" PhysicalSize{axis}Unit="{unit}"' for axis in "XYZ")
    ome(tmp_path / "a.ome.tif", STACK, pixels(said))
    assert opened(tmp_path / "a.ome.tif").voxel_size_um is None


@pytest.mark.parametrize(
    ("unit", "factor"),
    [(b"um", 1), (b"micron", 1), (b"\\u00B5m", 1), ("µm".encode(), 1), (b"\xb5m", 1), (b"nm", 1e-3), (b"mm", 1e3),
     (b"cm", 1e4), (b"microns", 1)],
)  # fmt: skip
def test_imagej_units(unit: bytes, factor: float, tmp_path: Path) -> None:
    z, y, x = VOXEL_UM
    path = tmp_path / "a.tif"
    text = b"ImageJ=1.54f\nimages=4\nslices=4\nunit=" + unit + b"\nspacing=" + repr(z / factor).encode() + b"\n"
    per_unit = (factor / x, factor / y)
    tifffile.imwrite(
        path, STACK, description=text, resolution=per_unit, resolutionunit=1, metadata=None, photometric="minisblack"
    )
    assert opened(path).voxel_size_um == pytest.approx(VOXEL_UM, rel=1e-5)


@pytest.mark.parametrize(
    "metadata",
    [{"unit": "um"}, {"spacing": 0.31}, {"spacing": 0.31, "unit": "pixel"}, {"spacing": 0, "unit": "um"},
     {"spacing": -0.31, "unit": "um"}, {"spacing": "nan", "unit": "um"}, {"spacing": 0.31, "unit": "inch"}],
)  # fmt: skip
def test_an_incomplete_imagej_calibration_is_missing_with_a_note(metadata: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, resolution=(1 / 0.13, 1 / 0.17), metadata={"axes": "ZYX", **metadata})
    volume = opened(path)
    assert volume.voxel_size_um is None
    assert any(note.startswith("W-VOXEL-SIZE") for note in volume.notes)


@pytest.mark.parametrize(
    ("resolution", "unit", "pixel_um"),
    [((1, 1), 1, None), ((1, 1), 2, None), ((1, 1), 3, None), ((72, 72), 2, None), ((96, 96), 2, None),
     ((300, 300), 2, None), ((118.11, 118.11), 3, None), ((2400, 2400), 2, None),
     ((1e4 / 0.13, 1e4 / 0.17), 3, (0.17, 0.13)), ((25400 / 0.13, 25400 / 0.17), 2, (0.17, 0.13)),
     ((1 / 0.13, 1 / 0.17), 1, None)],
)  # fmt: skip
def test_a_printers_resolution_is_no_pixel_size(
    resolution: tuple[float, float], unit: int, pixel_um: tuple[float, float] | None, tmp_path: Path
) -> None:
    flat, stack = tmp_path / "flat.tif", tmp_path / "stack.tif"
    tifffile.imwrite(flat, STACK[0], resolution=resolution, resolutionunit=unit, metadata=None)
    tifffile.imwrite(stack, STACK, resolution=resolution, resolutionunit=unit, photometric="minisblack", metadata=None)
    found = opened(flat).voxel_size_um
    if pixel_um is None:
        assert found is None
    else:
        assert found is not None
        assert math.isnan(found[0])
        assert found[1:] == pytest.approx(pixel_um, rel=1e-5)
    assert opened(stack, axes="ZYX").voxel_size_um is None  # no distance in z


def test_a_single_plane_has_no_thickness(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, STACK[0], imagej=True, resolution=(1 / 0.13, 1 / 0.17), metadata={"unit": "um", "axes": "YX"}
    )
    size = opened(path).voxel_size_um
    assert size is not None
    assert math.isnan(size[0])
    assert size[1:] == pytest.approx((0.17, 0.13), rel=1e-5)


# ---------------------------------------------------------------- times, names, further images


def planes(times: list[object], unit: str = "s") -> str:
    return "".join(
        f'<Plane TheZ="0" TheC="0" TheT="{frame}" DeltaT="{time}" DeltaTUnit="{unit}"/>'
        for frame, time in enumerate(times)
        if time is not None
    )


@pytest.mark.parametrize(
    ("attributes", "inside", "times"),
    [
        ("", planes([2.0, 3.5, 7.0, 7.5]), (0, 1.5, 5, 5.5)),
        ("", planes([0, 1, 2, 4], "min"), (0, 60, 120, 240)),
        ("", planes([0, 250, 500, 750], "ms"), (0, 0.25, 0.5, 0.75)),
        ('TimeIncrement="2.5"', "", (0, 2.5, 5, 7.5)),
        ('TimeIncrement="2" TimeIncrementUnit="min"', "", (0, 120, 240, 360)),
        ('TimeIncrement="2.5"', planes([0, 3, 2, 4]), (0, 2.5, 5, 7.5)),
        ('TimeIncrement="2.5"', planes([0, 1, None, 4]), (0, 2.5, 5, 7.5)),
        ("", planes([0, 0, 0, 0]), None),
        ('TimeIncrement="0"', "", None),
        ('TimeIncrement="2" TimeIncrementUnit="moon"', "", None),
        ("", "", None),
    ],
)
def test_ome_times(attributes: str, inside: str, times: tuple[float, ...] | None, tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", STACK, pixels(attributes, inside, counts=(4, 1, 1, 5, 6)))
    found = opened(tmp_path / "a.ome.tif").time_s
    assert (found is None) if times is None else (found == pytest.approx(times))


@pytest.mark.parametrize(
    ("metadata", "times"),
    [({"finterval": 4.5}, (0, 4.5, 9, 13.5)), ({"finterval": 2, "tunit": "min"}, (0, 120, 240, 360)), ({}, None),
     ({"finterval": 0}, None), ({"finterval": 2, "tunit": "moon"}, None)],
)  # fmt: skip
def test_imagej_times(metadata: dict[str, object], times: tuple[float, ...] | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX", **metadata})
    found = opened(path).time_s
    assert (found is None) if times is None else (found == pytest.approx(times))
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX", **metadata})
    assert opened(path).time_s is None  # one frame has no interval


def test_channel_names(tmp_path: Path) -> None:
    named = '<Channel Name="DAPI"/><Channel Name="Nile Red &amp; co"/>'
    ome(tmp_path / "a.ome.tif", STACK, pixels("", named, counts=(1, 2, 2, 5, 6)))
    volume = opened(tmp_path / "a.ome.tif")
    assert volume.channel_names == ("DAPI", "Nile Red & co")
    np.testing.assert_array_equal(volume.planes(0, 1), STACK[2:])


def test_further_images_are_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(STACK, photometric="minisblack", metadata={"axes": "ZYX"})
        writer.write(STACK[:2, :3], photometric="minisblack", metadata={"axes": "ZYX"})
        writer.write(STACK[0, :2], photometric="minisblack", metadata={"axes": "YX"})
    volume = opened(path)
    np.testing.assert_array_equal(volume.planes(0, 0), STACK)
    assert [note for note in volume.notes if note.startswith("W-TIFF-SERIES") and " 2 " in note]


def test_further_images_of_the_same_shape_are_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK:
            writer.write(plane)
    volume = opened(path)
    np.testing.assert_array_equal(volume.planes(0, 0), STACK[:1])
    assert any(note.startswith("W-TIFF-SERIES: 3 ") for note in volume.notes)


def test_a_thumbnail_after_a_bare_image_is_announced_but_mixed_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK[0], metadata=None)
        writer.write(STACK[0, ::2, ::2], metadata=None, subfiletype=1)
    volume = opened(path)
    assert volume.shape == (1, 1, 1, 5, 6)
    assert any(note.startswith("W-TIFF-SERIES: 1 ") for note in volume.notes)
    with tifffile.TiffWriter(path) as writer:
        for plane in (STACK[0], STACK[1, :3], STACK[2]):
            writer.write(plane, metadata=None)
    with pytest.raises(InputError, match="E-TIFF-MIXED"):
        opened(path, axes="ZYX")


def test_quantity_is_unknown_unless_we_stored_it(tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", STACK, pixels(""))
    volume = opened(tmp_path / "a.ome.tif")
    assert (volume.quantity, volume.unit, volume.medium_ri) == (None, "", None)


# ---------------------------------------------------------------- storage


STORAGES = [
    {"compression": "zlib"}, {"compression": "deflate", "predictor": True}, {"compression": "lzw"},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 5}, {"compression": "zstd"}, {"compression": "packbits"},
    {"compression": "lzma"},
    {"tile": (16, 32)}, {"tile": (16, 16), "compression": "zstd"}, {"rowsperstrip": 1}, {"byteorder": ">"},
    {"byteorder": ">", "bigtiff": True, "compression": "zlib"}, {"bigtiff": True},
]  # fmt: skip


@pytest.mark.parametrize("storage", STORAGES, ids=str)
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_every_codec_tiling_and_byte_order(storage: dict[str, object], dtype: str, tmp_path: Path) -> None:
    voxels = coded({"Z": 3, "Y": 37, "X": 41}, dtype)[0, 0]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata={"axes": "ZYX"}, **storage)
    np.testing.assert_array_equal(opened(path).planes(0, 0), voxels)
    np.testing.assert_array_equal(opened(path).planes(0, 0, 1, 2), voxels[1:2])


@pytest.mark.parametrize("dtype", ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", "<>")
def test_every_voxel_type(dtype: str, byteorder: str, tmp_path: Path) -> None:
    voxels = (np.arange(3 * 7 * 9) % 2 if dtype == "b1" else np.arange(3 * 7 * 9) - 90).astype(dtype).reshape(3, 7, 9)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata={"axes": "ZYX"}, byteorder=byteorder)
    found = opened(path).planes(0, 0)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, voxels)


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0].astype("c8"))
    with pytest.raises(InputError, match="E-DTYPE"):
        opened(tmp_path / "a.tif")


@pytest.mark.parametrize("byteorder", "<>")
def test_planes_without_directories_as_imagej_writes_large_stacks(byteorder: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    text = "ImageJ=1.54f\nimages=4\nslices=4\nunit=micron\nspacing=0.31\n"
    resolution = (1 / 0.13, 1 / 0.17)
    tifffile.imwrite(
        path, STACK[0], description=text, metadata=None, byteorder=byteorder, resolution=resolution, resolutionunit=1
    )
    whole = path.read_bytes() + STACK[1:].astype(f"{byteorder}u2").tobytes()
    path.write_bytes(whole)
    volume = opened(path)
    np.testing.assert_array_equal(volume.planes(0, 0), STACK)
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 3), STACK[2:3])
    assert volume.voxel_size_um == pytest.approx(VOXEL_UM, rel=1e-5)
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="E-TIFF-TRUNC"):
        opened(path)


# ---------------------------------------------------------------- damaged and hostile files


@pytest.mark.parametrize("percent", [10, 30, 50, 70, 90, 99])
@pytest.mark.parametrize("dialect", ["imagej", "ome", "shaped"])
def test_a_cut_stack_never_becomes_a_valid_image(dialect: str, percent: int, tmp_path: Path) -> None:
    path = tmp_path / ("a.ome.tif" if dialect == "ome" else "a.tif")
    voxels = np.random.default_rng(5).integers(0, 999, (6, 40, 50)).astype("u2")
    tifffile.imwrite(path, voxels, imagej=dialect == "imagej", photometric="minisblack", metadata={"axes": "ZYX"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * percent // 100])
    with pytest.raises(InputError, match="E-TIFF"):
        opened(path)


def test_a_cut_is_noticed_on_opening_not_only_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"}, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[3]
        end_of_pixels = page.dataoffsets[-1] + page.databytecounts[-1]
    whole = path.read_bytes()
    assert end_of_pixels >= len(whole) - 1  # the pixels come last
    path.write_bytes(whole[: end_of_pixels - 1])
    with pytest.raises(InputError, match=r"E-TIFF-TRUNC.*page 3"):
        opened(path)


def test_a_tag_that_claims_more_than_the_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], metadata=None, software="x" * 40)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["Software"].offset + 4
    data = bytearray(path.read_bytes())
    assert int.from_bytes(data[place : place + 4], "little") == 41
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="tag 305 of page 0 needs 2147483648 bytes"):
        opened(path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ImageJ=1.54f\nimages=5\nslices=5\n", "E-TIFF-TRUNC"),
        ("ImageJ=1.54f\nimages=4\nslices=5\n", "E-TIFF-META"),
        ("ImageJ=1.54f\nimages=3\nslices=3\n", "E-TIFF-META"),
        ("ImageJ=1.54f\n", "E-TIFF-META"),
        ('{"shape": [3, 5, 6], "axes": "ZYX"}', "E-TIFF-META"),
        ("ImageJ=1.54f\nimages=4\nslices=2\nframes=-2\n", "E-TIFF-META"),
        ('{"shape": [5, 5, 6], "axes": "ZYX"}', "E-TIFF-TRUNC"),
        ('{"shape": [4, 6, 5], "axes": "ZYX"}', "E-TIFF-META"),
        ('{"shape": [4, 5, 6], "axes": "ZY"}', "E-TIFF-META"),
        ('{"shape": [4, 5, 6', "E-TIFF-META"),
        ('{"shape": [99999999999999999999, 5, 6]}', "E-TIFF-META"),
        ('{"shape": [2147483647, 2147483647, 5, 6]}', "E-TIFF-TRUNC"),
    ],
)
def test_declared_planes_must_be_there(text: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, description=text, metadata=None, photometric="minisblack")
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("xml", "code"),
    [
        (pixels("", counts=(1, 1, 5, 5, 6)), "E-TIFF-TRUNC"),
        (pixels("", counts=(10**6, 10**6, 10**5, 5, 6)), "E-TIFF-TRUNC"),
        (pixels("", planes([0, 1]), counts=(10**17, 1, 1, 5, 6)), "E-TIFF-TRUNC"),
        (pixels("", '<TiffData IFD="0" PlaneCount="3"/>'), "E-TIFF-TRUNC"),
        (pixels("", '<TiffData IFD="2" PlaneCount="4"/>'), "E-TIFF-TRUNC"),
        (pixels("", '<TiffData IFD="0" PlaneCount="4"/><TiffData IFD="1"/>'), "E-TIFF-META"),
        (pixels("", '<TiffData IFD="0" FirstZ="4"/>'), "E-TIFF-META"),
        (pixels("", '<TiffData IFD="-1"/>'), "E-TIFF-META"),
        (pixels("", counts=(1, 1, 4, 6, 5)), "E-TIFF-META"),
        (pixels("", counts=(1, 1, 0, 5, 6)), "E-TIFF-META"),
        (pixels('Type="int16"'), "E-TIFF-META"),
        (pixels('Type="complex"'), "E-TIFF-META"),
        (pixels('DimensionOrder="XYZZT"'), "E-TIFF-META"),
        ("<Image/>", "E-TIFF-META"),
        ("<Image>", "E-TIFF-META"),
        ("", "E-TIFF-META"),
    ],
)
def test_ome_xml_must_fit_the_pages(xml: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    ome(path, STACK, xml)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.code == code


def test_tiff_data_may_place_pages_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    swapped = "".join(f'<TiffData IFD="{3 - z}" FirstZ="{z}"/>' for z in range(4))
    ome(path, STACK, pixels("", swapped))
    np.testing.assert_array_equal(opened(path).planes(0, 0), STACK[::-1])


def test_tiff_data_may_name_the_place_of_each_page(tmp_path: Path) -> None:
    voxels = coded({"T": 2, "C": 2, "Z": 3, "Y": 5, "X": 7}, "u2")
    places = [(1, 0, 2), (0, 1, 1), (1, 1, 0), (0, 0, 0), (1, 0, 1), (0, 1, 2), (1, 1, 2), (0, 0, 2), (1, 0, 0),
              (0, 1, 0), (1, 1, 1), (0, 0, 1)]  # fmt: skip
    said = "".join(
        f'<TiffData IFD="{page}" FirstT="{t}" FirstC="{c}" FirstZ="{z}"/>' for page, (t, c, z) in enumerate(places)
    )
    path = tmp_path / "a.ome.tif"
    ome(path, np.stack([voxels[place] for place in places]), pixels("", said, counts=(2, 2, 3, 5, 7)))
    np.testing.assert_array_equal(everything(opened(path)), voxels)


@pytest.mark.parametrize("doctype", ["<!DOCTYPE OME>", '<!doctype x [<!ENTITY a "b">]>', "<! DOCTYPE x>"])
def test_a_document_type_is_refused(doctype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    ome(path, STACK, pixels(""))
    text = f"{doctype}<OME>{pixels('')}</OME>"
    tifffile.imwrite(path, STACK, description=text, metadata=None, photometric="minisblack", ome=False)
    with pytest.raises(InputError, match="E-XML-DOCTYPE"):
        opened(path)


def two_files(folder: Path, name: str) -> Path:
    """An OME-TIFF whose planes 2 and 3 lie in another file."""
    own = '<TiffData IFD="0" PlaneCount="2"><UUID FileName="first.ome.tif">urn:uuid:own</UUID></TiffData>'
    other = f'<TiffData IFD="0" FirstZ="2" PlaneCount="2"><UUID FileName="{name}">urn:uuid:x</UUID></TiffData>'
    path = folder / "first.ome.tif"
    ome(path, STACK[:2], pixels("", own + other))
    return path


def test_a_set_of_files_in_one_folder(tmp_path: Path) -> None:
    path = two_files(tmp_path, "second.ome.tif")
    with pytest.raises(InputError, match="E-COMPANION-MISSING"):
        opened(path)
    tifffile.imwrite(
        tmp_path / "second.ome.tif", STACK[2:], metadata=None, photometric="minisblack", compression="zlib"
    )
    np.testing.assert_array_equal(opened(path).planes(0, 0), STACK)
    renamed = path.rename(tmp_path / "renamed.ome.tif")
    np.testing.assert_array_equal(opened(renamed).planes(0, 0, 1, 3), STACK[1:3])
    text = '<OME><BinaryOnly MetadataFile="renamed.ome.tif" UUID="urn:uuid:x"/></OME>'
    tifffile.imwrite(
        tmp_path / "second.ome.tif", STACK[2:], description=text, metadata=None, photometric="minisblack", ome=False
    )
    np.testing.assert_array_equal(opened(tmp_path / "second.ome.tif").planes(0, 0), STACK)  # from any of its files


def test_a_companion_file_holds_the_metadata(tmp_path: Path) -> None:
    xml = "".join(
        f'<TiffData IFD="{z % 2}" FirstZ="{z}"><UUID FileName="{z // 2}.ome.tif">urn:uuid:{z // 2}</UUID></TiffData>'
        for z in range(4)
    )
    (tmp_path / "set.companion.ome").write_text(f"<OME>{pixels('', xml)}</OME>")
    for index in range(2):
        text = '<OME><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:x"/></OME>'
        voxels = STACK[2 * index : 2 * index + 2]
        path = tmp_path / f"{index}.ome.tif"
        tifffile.imwrite(path, voxels, description=text, metadata=None, photometric="minisblack", ome=False)
    np.testing.assert_array_equal(opened(tmp_path / "1.ome.tif").planes(0, 0), STACK)
    (tmp_path / "set.companion.ome").write_text("<!DOCTYPE a><OME/>")
    with pytest.raises(InputError, match="E-XML-DOCTYPE"):
        opened(tmp_path / "1.ome.tif")


@pytest.mark.parametrize(
    "name",
    ["../second.tif", "sub/../../second.tif", "/etc/hostname", "file:///etc/hostname", "http://127.0.0.1/second.tif",
     "https://example.org/a.tif", "\\\\server\\share\\a.tif", "C:\\a.tif", "C:/a.tif", "%2e%2e/second.tif", "..", ".",
     "", "link.tif", "loop.tif"],
)  # fmt: skip
def test_files_outside_the_folder_are_never_opened(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    (folder / "sub").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "second.tif", STACK[2:], metadata=None, photometric="minisblack")
    (folder / "link.tif").symlink_to(tmp_path / "second.tif")
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    with pytest.raises(InputError, match=r"E-COMPANION-(OUTSIDE|MISSING)") as caught:
        opened(two_files(folder, name))
    assert caught.value.code == "E-COMPANION-OUTSIDE" or name in ("%2e%2e/second.tif", "loop.tif")


def patched(path: Path, tag: int, value: int, *, page: int = 0) -> None:
    """Overwrite the value of an inline tag of type LONG or SHORT."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        entry = tif.pages[page].tags[tag]
        entry.overwrite(value, dtype="I")


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 1, 10**6])
@pytest.mark.parametrize("tags", [(256,), (257,), (256, 257), (256, 257, 278)])
@pytest.mark.parametrize("compression", [None, "zlib", "zstd"])
def test_huge_sizes_are_refused_before_anything_is_allocated(
    size: int, tags: tuple[int, ...], compression: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], metadata=None, compression=compression, dtype="u2", software="x" * 40)
    for tag in tags:
        patched(path, tag, size)
    tracemalloc.start()
    try:
        with pytest.raises(TomocyteError):
            opened(path).planes(0, 0)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_directories_that_lead_back_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    voxels = np.zeros((150, 5, 6), "u1")
    tifffile.imwrite(path, voxels, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        offsets = [tif.pages[index].offset for index in range(150)]
        n_tags = len(tif.pages[149].tags)
    data = bytearray(path.read_bytes())
    end = offsets[149] + 2 + 12 * n_tags
    assert data[end : end + 4] == b"\0\0\0\0"
    data[end : end + 4] = offsets[120].to_bytes(4, "little")  # beyond where tifffile looks for circles
    path.write_bytes(data)
    with pytest.raises(InputError, match="leads back"):
        opened(path, axes="ZYX")


@pytest.mark.parametrize(
    "code", sorted({2, 3, 4, 6, 7, 9, 32771, 33003, 34676, 34712, 34887, 50001, 50002, 65000, 12345})
)
def test_lossy_bilevel_and_unknown_codecs_are_never_tried(code: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], metadata=None)
    patched(path, 259, code)
    with pytest.raises(InputError, match="E-TIFF"):
        opened(path)


def test_jpeg_is_refused_with_the_cure(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 24), "u1"), metadata=None, compression="jpeg")
    with pytest.raises(InputError, match=r"E-TIFF-CODEC.*JPEG.*lossless"):
        opened(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II",
        b"II*\0",
        b"MM\0*\0\0\0\x08",
        b"II*\0\0\0\0\0",
        b"II+\0\x08\0\0\0",
        b"PNG",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
    ],
)
def test_files_of_a_few_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match="E-TIFF"):
        opened(path)


def test_verify_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assert not verify(path)
    assert not verify(tmp_path)
    path.write_bytes(b"II*\0")
    assert verify(path)
    path.write_bytes(b"PK\3\4")
    assert not verify(path)


@pytest.mark.parametrize("damage", ["cut", "rewritten", "gone"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_changes_after_opening_is_noticed(damage: str, compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"}, compression=compression)
    volume = opened(path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-40])
    elif damage == "rewritten":
        path.write_bytes(whole)
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        volume.planes(0, 0)


def test_a_volume_reads_the_same_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"}, compression="zlib")
    volume = opened(path)
    again = pickle.loads(pickle.dumps(volume))  # noqa: S301  our own object, to test that workers can have it
    np.testing.assert_array_equal(again.planes(0, 0), STACK)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(volume.read_planes, (0, 0, 1, 3)), STACK[1:3])


# ---------------------------------------------------------------- writing


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.sampled_from([1, 2, 3, 4])] * 3, *[st.sampled_from([1, 3, 4, 7])] * 2),
    dtype=st.sampled_from(["b1", "u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]),
    compression=st.sampled_from(["zlib", "none"]),
)
def test_any_shape_and_type_survives_writing(
    shape: tuple[int, int, int, int, int], dtype: str, compression: str, tmp_path: Path
) -> None:
    voxels = (np.arange(math.prod(shape)) % (2 if dtype == "b1" else 120)).astype(dtype).reshape(shape)
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, Volume.from_array(voxels), compression=compression)  # type: ignore[arg-type]
    again = opened(path)
    assert again.dtype == voxels.dtype
    np.testing.assert_array_equal(everything(again), voxels)
    with tifffile.TiffFile(path) as tif:  # and as others see it: T C Z Y X, never colour
        assert all(tif.pages[index].photometric == tifffile.PHOTOMETRIC.MINISBLACK for index in range(len(tif.pages)))
        series = tif.series[0]
        assert (series.get_axes(squeeze=False), series.get_shape(squeeze=False)) == ("TCZYXS", (*shape, 1))
        np.testing.assert_array_equal(series.asarray(squeeze=False)[..., 0], voxels)


def test_what_is_known_of_a_volume_survives_writing(tmp_path: Path) -> None:
    path = tmp_path / "ri.ome.tif"
    times = (0.0, 0.1, 0.30000000000000004)
    volume = Volume.from_array(
        coded({"T": 3, "C": 2, "Z": 4, "Y": 5, "X": 6}, "f4"),
        voxel_size_um=VOXEL_UM,
        quantity="refractive_index",
        unit="1",
        medium_ri=1.3371,
        time_s=times,
        channel_names=('a <b> & "c"', "naïve \x07 µ"),
        origin={"voxel_size_um": "user"},
    )
    write_ome_tiff(path, volume)
    again = opened(path)
    assert again.voxel_size_um == VOXEL_UM
    assert again.time_s == times
    assert (again.quantity, again.unit, again.medium_ri) == ("refractive_index", "1", 1.3371)
    assert again.channel_names == ('a <b> & "c"', "naïve \ufffd µ")
    assert again.notes == ()
    with tifffile.TiffFile(path) as tif:  # an independent reading of the same XML
        said = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [said[f"PhysicalSize{axis}"] for axis in "ZYX"] == list(VOXEL_UM)
    assert {said[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}
    assert "TimeIncrement" not in said  # these times are not regular


def test_a_plane_without_thickness_and_a_volume_without_size(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, Volume.from_array(STACK[0], voxel_size_um=(math.nan, 0.17, 0.13)))
    assert b"PhysicalSizeZ" not in path.read_bytes()
    size = opened(path).voxel_size_um
    assert size is not None
    assert math.isnan(size[0])
    assert size[1:] == (0.17, 0.13)
    write_ome_tiff(path, Volume.from_array(STACK))
    assert b"PhysicalSize" not in path.read_bytes()
    assert opened(path).voxel_size_um is None


def test_labels_beyond_65535_survive(tmp_path: Path) -> None:
    labels = np.array([[0, 65535, 65536], [70001, 2**31, 2**32 - 1]], np.uint32)
    write_ome_tiff(tmp_path / "a.tif", Volume.from_array(labels, quantity="labels"))
    np.testing.assert_array_equal(opened(tmp_path / "a.tif").planes(0, 0)[0], labels)
    assert opened(tmp_path / "a.tif").quantity == "labels"


@pytest.mark.parametrize("dtype", ["u8", "i8", "f2", "c8"])
def test_types_that_ome_does_not_have_are_refused_not_changed(dtype: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E-DTYPE"):
        write_ome_tiff(tmp_path / "a.tif", Volume.from_array(STACK.astype(dtype)))
    assert not (tmp_path / "a.tif").exists()


def test_writing_asks_for_one_plane_at_a_time_and_counts_them(tmp_path: Path) -> None:
    asked: list[tuple[int, ...]] = []

    def read_planes(*place: int) -> NDArray[np.generic]:
        asked.append(place)
        return np.full((1, 5, 6), sum(place), np.float32)

    counts: list[int] = []
    volume = Volume(shape=(2, 1, 3, 5, 6), dtype=np.dtype("f4"), read_planes=read_planes)
    assert FORMAT.write is not None
    FORMAT.write(tmp_path / "a.tif", volume, counts.append)
    assert asked == [(frame, 0, z, z + 1) for frame in range(2) for z in range(3)]
    assert counts == [1, 2, 3, 4, 5, 6]


def test_bigtiff_is_used_where_four_gigabytes_are_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, Volume.from_array(STACK))
    assert path.read_bytes()[:4] == b"II*\0"
    monkeypatch.setattr(writing, "BIGTIFF_ABOVE", 1000)
    write_ome_tiff(path, Volume.from_array(STACK))
    assert path.read_bytes()[:4] == b"II+\0"
    np.testing.assert_array_equal(opened(path).planes(0, 0), STACK)


def test_equal_volumes_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.ome.tif", "b.ome.tif"):
        write_ome_tiff(tmp_path / name, Volume.from_array(STACK, voxel_size_um=VOXEL_UM))
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()
