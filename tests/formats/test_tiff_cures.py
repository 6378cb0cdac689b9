"""Each refusal of the TIFF reader is provoked, its cure is typed as it is printed, and what comes out is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import TomocyteError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.volume import Volume

OPTION = re.compile(r"--(axes|dataset|voxel-size-um|time-step-s) (\"[^\"]+\"|[A-Z]{2,5}\b|[0-9.]+(?: [0-9.]+)*)")


def typed(cure: str) -> ReadOptions:
    """The first of each option that a cure prints, as a user would type it."""
    found: dict[str, str] = {}
    for match in OPTION.finditer(cure):
        found.setdefault(match[1], match[2].strip('"').rstrip("."))
    listed = re.search(r"--dataset with one of: (?:\"([^\"]+)\"|([^,;.(]+))", cure)
    if listed:
        found["dataset"] = (listed[1] or listed[2]).strip()
    size = found.get("voxel-size-um")
    return ReadOptions(
        axes=found.get("axes"),
        dataset=found.get("dataset"),
        voxel_size_um=None if size is None else tuple(float(part) for part in size.split()),  # type: ignore[arg-type]
    )


def write(path: Path, voxels: NDArray[np.generic], **options: object) -> None:
    tifffile.imwrite(path, voxels, **{"photometric": "minisblack", "metadata": None, **options})


def of(*shape: int, dtype: str = "u2") -> NDArray[np.generic]:
    return (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)


def bare_stack(path: Path) -> None:
    write(path, of(6, 20, 30))


def bare_4d_shaped(path: Path) -> None:
    write(path, of(2, 6, 20, 30), metadata={})


def channels_last_shaped(path: Path) -> None:
    write(path, of(6, 20, 30, 2), metadata={})


def channels_last_2d(path: Path) -> None:
    write(path, of(20, 30, 2), metadata={})


def rgb(path: Path) -> None:
    write(path, of(20, 30, 3, dtype="u1"), photometric="rgb")


def rgb_stack(path: Path) -> None:
    write(path, of(6, 20, 30, 3, dtype="u1"), photometric="rgb")


def rgb_stack_shaped(path: Path) -> None:
    write(path, of(6, 20, 30, 3, dtype="u1"), photometric="rgb", metadata={"axes": "ZYXS"})


def rgb_film_of_stacks(path: Path) -> None:
    write(path, of(2, 6, 20, 30, 3, dtype="u1"), photometric="rgb", metadata={})


def rgb_planar(path: Path) -> None:
    write(path, of(3, 20, 30, dtype="u1"), photometric="rgb", planarconfig="separate")


def samples_called_s_in_grey(path: Path) -> None:
    write(path, of(6, 20, 30, 4), metadata={"axes": "ZYXS"})


def ome_rgb(path: Path) -> None:
    """SizeC = 3, of three samples per pixel."""
    xml = (
        '<OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="30" SizeY="20" SizeZ="6" SizeC="3" SizeT="1">'
        '<Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    write(path, of(6, 20, 30, 3, dtype="u1"), photometric="rgb", description=xml, ome=False)


def imagej_rgb(path: Path) -> None:
    tifffile.imwrite(path, of(6, 20, 30, 3, dtype="u1"), imagej=True, metadata={"axes": "ZYXS"})


def imagej_half_named(path: Path) -> None:
    write(path, of(12, 20, 30), description="ImageJ=1.53t\nimages=12\nslices=6\n")


def odd_letter(path: Path) -> None:
    write(path, of(6, 20, 30), metadata={"axes": "QYX"})


def mixed_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for shape in ((20, 30), (10, 30), (20, 30)):
            writer.write(of(*shape), metadata=None, photometric="minisblack")


def scanimage(path: Path) -> None:
    write(
        path, of(6, 20, 30), software="SI.VERSION_MAJOR = '2020'\nSI.hChannels.channelSave = 1", description="frame = 1"
    )


def pages_with_json(path: Path) -> None:
    """As Micro-Manager saves them without OME-XML: JSON in a tag of every page."""
    with tifffile.TiffWriter(path) as writer:
        for plane in of(6, 20, 30):
            text = b'{"Slice": 0, "Frame": 0}\0'
            writer.write(plane, metadata=None, extratags=[(51123, "s", len(text), text, True)], contiguous=False)


def no_spacing(path: Path) -> None:
    text = "ImageJ=1.53t\nimages=6\nslices=6\nunit=micron\n"
    write(path, of(6, 20, 30), description=text, resolution=(10, 5), resolutionunit=1)


def renamed_position(path: Path) -> None:
    images = "".join(
        f'<Image Name="Pos{index}"><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" SizeZ="6" '
        f'SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="6"><UUID FileName="p{index}.ome.tif">urn:uuid:{index}'
        "</UUID></TiffData></Pixels></Image>"
        for index in range(2)
    )
    write(path, of(6, 20, 30), description=f"<OME>{images}</OME>", ome=False)


STACKED = (1, 1, 6, 20, 30)
REFUSALS: list[tuple[Callable[[Path], None], str, tuple[int, ...]]] = [
    (bare_stack, "E-AXES", STACKED),
    (bare_4d_shaped, "E-AXES", (2, 1, 6, 20, 30)),
    (channels_last_shaped, "E-AXES", (1, 2, 6, 20, 30)),
    (channels_last_2d, "E-AXES", (1, 2, 1, 20, 30)),
    (rgb, "E-RGB", (1, 3, 1, 20, 30)),
    (rgb_stack, "E-RGB", (1, 3, 6, 20, 30)),
    (rgb_stack_shaped, "E-RGB", (1, 3, 6, 20, 30)),
    (rgb_film_of_stacks, "E-RGB", (2, 3, 6, 20, 30)),
    (rgb_planar, "E-RGB", (1, 3, 1, 20, 30)),
    (samples_called_s_in_grey, "E-RGB", (1, 4, 6, 20, 30)),
    (ome_rgb, "E-RGB", (1, 3, 6, 20, 30)),
    (imagej_rgb, "E-RGB", (1, 3, 6, 20, 30)),
    (imagej_half_named, "E-AXES", (2, 1, 6, 20, 30)),
    (odd_letter, "E-AXES", STACKED),
    (mixed_pages, "E-TIFF-MIXED", (1, 1, 1, 20, 30)),
    (scanimage, "E-TIFF-KIND", STACKED),
    (pages_with_json, "E-AXES", STACKED),
    (no_spacing, "E-VOXEL-SIZE", STACKED),
    (renamed_position, "E-TIFF-SET", STACKED),
]


@pytest.mark.parametrize(("make", "code", "shape"), REFUSALS, ids=[entry[0].__name__ for entry in REFUSALS])
def test_the_cure_of_a_refusal_cures(
    make: Callable[[Path], None], code: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.ome.tif" if "ome" in make.__name__ else tmp_path / "a.tif"
    make(path)
    with pytest.raises(TomocyteError) as caught:
        read_volume(path)
    assert caught.value.code == code
    options = typed(str(caught.value))
    assert options != ReadOptions(), f"nothing to type in {caught.value}"
    volume = read_volume(path, options, is_size_required=code == "E-VOXEL-SIZE")
    assert volume.shape == shape
    with tifffile.TiffFile(path) as tif:
        stored = tif.pages[0].asarray()
    first = volume.planes(0, 0)[0]
    if stored.shape == first.shape:
        np.testing.assert_array_equal(first, stored)
    elif stored.ndim == 3:  # samples
        np.testing.assert_array_equal(first, stored[0] if stored.shape[0] < 5 else stored[..., 0])


def test_axes_that_do_not_fit_name_some_that_do(tmp_path: Path) -> None:
    for make, shape in ((bare_stack, STACKED), (rgb_stack, (1, 3, 6, 20, 30)), (bare_4d_shaped, (2, 1, 6, 20, 30))):
        path = tmp_path / f"{make.__name__}.tif"
        make(path)
        for wrong in ("YX", "TCZYX", "ZZYX", "QYX"):
            with pytest.raises(TomocyteError) as caught:
                read_volume(path, ReadOptions(axes=wrong), is_size_required=False)
            assert caught.value.code == "E-AXES"
            assert read_volume(path, typed(caught.value.cure), is_size_required=False).shape == shape


def test_the_note_on_further_images_says_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for value, shape in ((1, (4, 20, 30)), (2, (4, 20, 30)), (3, (10, 15))):
            writer.write(
                np.full(shape, value, np.uint8), photometric="minisblack", metadata={"axes": "ZYX"[-len(shape) :]}
            )
    volume = read_volume(path, is_size_required=False)
    (note,) = volume.notes
    assert note.startswith("W-TIFF-SERIES: 5 more page(s)")
    assert note.endswith("Give --dataset 1 to --dataset 2 for the others.")
    for index in range(3):
        found = read_volume(path, ReadOptions(dataset=str(index)), is_size_required=False)
        assert (int(found.planes(0, 0)[0, 0, 0]), found.shape[2]) == (index + 1, 1 if index == 2 else 4)
    with pytest.raises(TomocyteError, match="E-DATASET") as caught:
        read_volume(path, ReadOptions(dataset="nuclei"))
    assert read_volume(path, typed(caught.value.cure), is_size_required=False).shape == (1, 1, 4, 20, 30)


def test_a_lossy_codec_and_a_foreign_dialect_name_the_program_that_helps(tmp_path: Path) -> None:
    """Where only another program helps, the cure says which and what to do in it."""
    jpeg, stk, lsm = tmp_path / "a.tif", tmp_path / "a.stk", tmp_path / "a.lsm"
    write(jpeg, of(16, 32, dtype="u1"), compression="jpeg")
    uic = [(33628, "I", 1, 0, False), (33629, "I", 6, (0, 0, 0, 0, 0, 0), False)]
    write(stk, of(20, 30), extratags=uic)
    head = np.zeros(64, np.int32)
    head[:7] = (0x0400494C, 256, 30, 20, 1, 1, 1)
    write(lsm, of(20, 30), extratags=[(34412, "B", 256, head.tobytes(), False)])
    for path, code, words in (
        (jpeg, "E-TIFF-CODEC", "Export it without compression"),
        (stk, "E-TIFF-KIND", "Fiji (File > Import > Bio-Formats)"),
        (lsm, "E-TIFF-KIND", "Fiji (File > Import > Bio-Formats)"),
    ):
        with pytest.raises(TomocyteError) as caught:
            read_volume(path)
        assert caught.value.code == code
        assert words in caught.value.cure
    rewritten = tmp_path / "b.tif"
    write(rewritten, tifffile.imread(jpeg), compression="zlib")
    assert read_volume(rewritten, is_size_required=False).shape == (1, 1, 1, 16, 32)


@pytest.mark.parametrize("dtype", ["f2", "i8", "u8", "q", "Q"])
def test_what_ome_tiff_cannot_hold_is_cured_by_the_ending_that_is_named(dtype: str, tmp_path: Path) -> None:
    source, voxels = tmp_path / "a.tif", of(3, 20, 30, dtype=dtype)
    if voxels.dtype.kind in "iu":
        voxels[-1, -1, -1] = np.iinfo(voxels.dtype).max
    write(source, voxels, metadata={"axes": "ZYX"})
    runner = CliRunner()
    size = ["--voxel-size-um", "0.5", "0.2", "0.1"]
    refused = runner.invoke(app, ["convert", str(source), str(tmp_path / "b.ome.tif"), *size])
    text = " ".join((refused.output + str(refused.exception)).split())
    assert "E-DTYPE" in text
    assert ".part" not in text
    (ending,) = re.findall(r"the ending (\.[a-z.]+)\.", text)
    target = tmp_path / f"b{ending}"
    assert runner.invoke(app, ["convert", str(source), str(target), *size]).exit_code == 0
    volume: Volume = read_volume(target)
    assert volume.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(volume.planes(0, 0), voxels)
