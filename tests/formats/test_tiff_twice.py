"""What a TIFF says twice: agreed, noted, or not used; and what ImageJ leaves out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.volume import Volume

STACK = np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)
PER_CM = (1e4 / 0.1, 1e4 / 0.2)  # pixels of x = 0.1, y = 0.2 µm


def imagej(
    path: Path, text: str, *, n_images: int = 3, resolution: tuple[float, float] = (10, 5), unit: int = 1
) -> Path:
    planes = np.arange(n_images * 35, dtype=np.uint16).reshape(n_images, 5, 7)
    tifffile.imwrite(
        path, planes, description=f"ImageJ=1.53t\n{text}", metadata=None, photometric="minisblack",
        resolution=resolution, resolutionunit=unit,
    )  # fmt: skip
    return path


def ome(
    path: Path, attributes: str, inside: str = "", *, sizes: tuple[int, int, int] = (1, 1, 3), **options: object
) -> Path:
    t, c, z = sizes
    text = (
        f'<OME><Image><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="7" SizeY="5" SizeZ="{z}" SizeC="{c}" '
        f'SizeT="{t}" {attributes}>{inside}</Pixels></Image></OME>'
    )
    planes = np.arange(t * c * z * 35, dtype=np.uint16).reshape(-1, 5, 7)
    tifffile.imwrite(
        path, planes, description=text.encode(), metadata=None, photometric="minisblack", ome=False, **options
    )
    return path


def sizes(z: float | None = 0.5, y: float = 0.2, x: float = 0.1) -> str:
    depth = "" if z is None else f'PhysicalSizeZ="{z}" '
    return f'{depth}PhysicalSizeY="{y}" PhysicalSizeX="{x}"'


def opened(path: Path, **options: object) -> Volume:
    return read_volume(path, ReadOptions(**options), is_size_required=False)  # type: ignore[arg-type]


def noted(volume: Volume, code: str) -> list[str]:
    return [note for note in volume.notes if note.startswith(code)]


# ---------------------------------------------------------------- ImageJ: thickness, time and names by the final axes


@pytest.mark.parametrize(
    ("named", "axes", "size", "times"),
    [
        ("slices", None, (0.5, 0.2, 0.1), None),
        ("slices", "TYX", (math.nan, 0.2, 0.1), (0, 2, 4)),
        ("slices", "CYX", (math.nan, 0.2, 0.1), None),
        ("frames", None, (math.nan, 0.2, 0.1), (0, 2, 4)),
        ("frames", "ZYX", (0.5, 0.2, 0.1), None),
        ("channels", "ZYX", (0.5, 0.2, 0.1), None),
        ("channels", "TYX", (math.nan, 0.2, 0.1), (0, 2, 4)),
    ],
)
def test_thickness_and_time_follow_the_final_axes(
    named: str, axes: str | None, size: tuple[float, ...], times: tuple[float, ...] | None, tmp_path: Path
) -> None:
    path = imagej(tmp_path / "a.tif", f"images=3\n{named}=3\nunit=micron\nspacing=0.5\nfinterval=2\n")
    volume = opened(path, axes=axes)
    assert volume.voxel_size_um == pytest.approx(size, nan_ok=True)
    assert volume.time_s == (None if times is None else pytest.approx(times))
    assert volume.notes == ()


def test_ome_thickness_times_and_names_follow_the_final_axes(tmp_path: Path) -> None:
    names = "".join(f'<Channel Name="{name}"/>' for name in ("DNA", "RNA", "actin"))
    path = ome(tmp_path / "a.ome.tif", sizes() + ' TimeIncrement="2"', names, sizes=(1, 3, 1))
    as_channels, as_planes, as_frames = opened(path), opened(path, axes="ZYX"), opened(path, axes="TYX")
    assert (as_channels.channel_names, as_channels.time_s) == (("DNA", "RNA", "actin"), None)
    assert (as_planes.channel_names, as_planes.time_s, as_planes.voxel_size_um) == ((), None, (0.5, 0.2, 0.1))
    assert (as_frames.channel_names, as_frames.time_s) == ((), (0, 2, 4))
    assert as_frames.voxel_size_um is not None
    assert math.isnan(as_frames.voxel_size_um[0])


def test_a_spacing_that_imagej_left_out_is_asked_for_with_the_number_to_type(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", "images=3\nslices=3\nunit=micron\n")
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*when it is 1\.0.*give --voxel-size-um 1 0\.2 0\.1\."):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(1, 0.2, 0.1))).voxel_size_um == (1, 0.2, 0.1)
    assert opened(path, axes="TYX").notes == ()  # frames need no distance
    in_nm = imagej(tmp_path / "b.tif", "images=3\nslices=3\nunit=nm\n", resolution=(0.01, 0.005))
    assert "--voxel-size-um 0.001 0.2 0.1." in opened(in_nm).notes[-1]


# ---------------------------------------------------------------- ImageJ: counts


@pytest.mark.parametrize(
    ("text", "cure", "shape"),
    [
        ("images=12\nslices=4\n", "--axes TZYX, or --axes ZCYX", {"TZYX": (3, 1, 4), "ZCYX": (1, 3, 4)}),
        ("images=12\nframes=4\n", "--axes TZYX, or --axes TCYX", {"TZYX": (4, 1, 3), "TCYX": (4, 3, 1)}),
        ("images=12\nchannels=2\n", "--axes TCYX, or --axes ZCYX", {"TCYX": (6, 2, 1), "ZCYX": (1, 2, 6)}),
        ("images=12\nslices=3\nchannels=2\n", "--axes TZCYX", {"TZCYX": (2, 2, 3)}),
        ("images=12\n", "--axes ZYX, or --axes TYX, or --axes CYX", {"ZYX": (1, 1, 12), "TYX": (12, 1, 1)}),
    ],
)
def test_dimensions_that_imagej_does_not_name(
    text: str, cure: str, shape: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    path = imagej(tmp_path / "a.tif", text, n_images=12)
    with pytest.raises(MetadataError, match=f"E-AXES.*{cure}"):
        opened(path)
    for axes, sizes_tcz in shape.items():
        volume = opened(path, axes=axes)
        assert volume.shape == (*sizes_tcz, 5, 7)
        order = np.arange(12).reshape([sizes_tcz["TCZ".index(letter)] for letter in axes[:-2]])
        order = order.transpose([axes.index(letter) for letter in "TCZ" if letter in axes])
        order = order.reshape(sizes_tcz)
        assert int(volume.planes(0, 0)[-1, 0, 0]) == 35 * order[0, 0, -1]
        assert int(volume.planes(volume.n_frames - 1, volume.n_channels - 1)[0, 0, 0]) == 35 * order[-1, -1, 0]


@pytest.mark.parametrize(
    "text", ["images=12\nslices=5\n", "images=12\nslices=24\n", "images=12\nslices=2\nframes=2\nchannels=2\n"]
)
def test_counts_that_cannot_be_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E-TIFF-META"):
        opened(imagej(tmp_path / "a.tif", text, n_images=12))


def test_counts_without_a_number_of_images_as_bio_formats_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    text = "ImageJ=\nhyperstack=true\nimages=12\nchannels=2\nslices=3\nframes=2\n"
    tifffile.imwrite(path, np.zeros((12, 5, 7), "u1"), description=text, metadata=None, photometric="minisblack")
    assert opened(path).shape == (2, 2, 3, 5, 7)


# ---------------------------------------------------------------- lengths


@pytest.mark.parametrize(
    ("resolution", "unit", "y_um", "code"),
    [
        ((10, 5), 1, 0.2, ""),  # pixels per micron, as ImageJ writes it
        ((10, 5), 3, 0.2, ""),  # … with a cm that ImageJ ignores and that would make pixels of 2 mm
        (PER_CM, 3, 0.2, "W-VOXEL-SIZE: the pixel size is that of the resolution tags"),
        ((2e4 / 1.9, 2e4 / 1.9), 3, None, ""),
    ],
)
def test_resolution_tags_beside_imagejs_text(
    resolution: tuple[float, float], unit: int, y_um: float | None, code: str, tmp_path: Path
) -> None:
    text = "images=3\nslices=3\nunit=micron\nspacing=0.5\n"
    volume = opened(imagej(tmp_path / "a.tif", text, resolution=resolution, unit=unit))
    if y_um is not None:
        assert volume.voxel_size_um == pytest.approx((0.5, y_um, y_um / 2), rel=1e-5)
    assert bool(noted(volume, code or "W-")) == bool(code) or y_um is None


def test_imagej_in_nm_against_resolution_tags_in_cm(tmp_path: Path) -> None:
    """0.005 pixels per nm are 0.2 µm; 5000 pixels per cm are 2 µm: both could be."""
    path = tmp_path / "a.tif"
    text = "images=3\nslices=3\nunit=mm\nspacing=0.0005\n"
    volume = opened(imagej(path, text, resolution=(9000.0, 9000.0), unit=3))  # 0.111 µm by mm, 1.111 µm by cm
    assert volume.voxel_size_um is None
    (note,) = noted(volume, "W-VOXEL-SIZE: the file gives x twice")
    assert "0.111111 µm" in note
    assert "1.11111 µm" in note
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*gives x twice"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(0.5, 0.1, 0.1))).voxel_size_um == (0.5, 0.1, 0.1)


@pytest.mark.parametrize(
    ("per_cm", "size"),
    [
        (PER_CM, (0.5, 0.2, 0.1)),
        ((1e4 / 0.1003, 1e4 / 0.2), (0.5, 0.2, 0.1)),  # 0.3 % of rounding
        ((1e4 / 0.13, 1e4 / 0.2), None),
        ((1e4 / 0.1, 1e4 / 1.0), None),
        ((118.11, 118.11), (0.5, 0.2, 0.1)),  # 300 dpi: a printer's
    ],
)
def test_ome_sizes_beside_resolution_tags(
    per_cm: tuple[float, float], size: tuple[float, ...] | None, tmp_path: Path
) -> None:
    volume = opened(ome(tmp_path / "a.ome.tif", sizes(), resolution=per_cm, resolutionunit=3))
    assert volume.voxel_size_um == size
    assert bool(noted(volume, "W-VOXEL-SIZE")) == (size is None)


def test_resolution_tags_give_the_pixel_size_that_ome_leaves_out(tmp_path: Path) -> None:
    volume = opened(ome(tmp_path / "a.ome.tif", 'PhysicalSizeZ="0.5"', resolution=PER_CM, resolutionunit=3))
    assert volume.voxel_size_um == pytest.approx((0.5, 0.2, 0.1), rel=1e-5)


def positions(step: float, unit: str = "µm", n_planes: int = 3, jitter: float = 0.0) -> str:
    return "".join(
        f'<Plane TheZ="{z}" TheC="0" TheT="0" PositionZ="{4 - z * step + (z == 1) * jitter}" PositionZUnit="{unit}"/>'
        for z in range(n_planes)
    )


@pytest.mark.parametrize(
    ("z", "planes", "expected", "n_notes"),
    [
        (0.5, positions(0.5), 0.5, 0),
        (0.5, positions(-0.49), 0.5, 0),  # a stage scatters by a few per cent
        (1.0, positions(0.3), None, 1),  # 1.0 that nobody measured
        (None, positions(0.3), 0.3, 1),
        (None, positions(300, "nm"), 0.3, 1),
        (0.5, positions(0), 0.5, 0),  # a stage that does not report
        (0.5, positions(0.3, jitter=0.2), 0.5, 0),  # irregular: says nothing
        (0.5, positions(0.3, n_planes=2), 0.5, 0),  # incomplete
        (0.5, positions(3, "reference frame"), 0.5, 0),
        (None, positions(3, "reference frame"), None, 1),
    ],
)
def test_the_distance_of_planes_beside_their_positions(
    z: float | None, planes: str, expected: float | None, n_notes: int, tmp_path: Path
) -> None:
    volume = opened(ome(tmp_path / "a.ome.tif", sizes(z), planes))
    assert (volume.voxel_size_um or (None,))[0] == (None if expected is None else pytest.approx(expected))
    assert len(noted(volume, "W-VOXEL-SIZE")) == n_notes


# ---------------------------------------------------------------- times, types


@pytest.mark.parametrize(
    ("increment", "times", "found", "code"),
    [
        (2, (0, 2, 4), (0, 2, 4), ""),
        (2, (0, 2.03, 3.98), (0, 2.03, 3.98), ""),
        (2, (0, 3, 6), (0, 3, 6), "W-TIME: the file gives 2 s between frames (TimeIncrement) and 3 s"),
        (2, (0, 2000, 4000), None, "W-TIME: the file gives 2 s"),  # ms called s
        (120, (0, 2, 4), None, "W-TIME: the file gives 120 s"),  # minutes in one, seconds in the other
    ],
)
def test_times_of_planes_beside_the_increment(
    increment: float, times: tuple[float, ...], found: tuple[float, ...] | None, code: str, tmp_path: Path
) -> None:
    planes = "".join(f'<Plane TheZ="0" TheC="0" TheT="{t}" DeltaT="{time}"/>' for t, time in enumerate(times))
    volume = opened(ome(tmp_path / "a.ome.tif", f'TimeIncrement="{increment}"', planes, sizes=(3, 1, 1)))
    assert volume.time_s == found
    assert [note.startswith(code) for note in noted(volume, "W-TIME")] == [True] * bool(code)


def test_more_significant_bits_than_there_are_is_noted(tmp_path: Path) -> None:
    assert opened(ome(tmp_path / "a.ome.tif", 'SignificantBits="12"')).notes == ()
    (note,) = opened(ome(tmp_path / "a.ome.tif", 'SignificantBits="32"')).notes
    assert note == "W-TIFF-META: SignificantBits = 32, but voxels of Type uint16 have 16."
