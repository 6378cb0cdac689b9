"""What a header says twice agrees, is noted, or gives no number: MRC, NIfTI, NRRD, written by other libraries."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import nibabel as nib
import numpy as np
import pytest

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import Volume

RAMP = np.arange(6 * 4 * 5, dtype=np.int16).reshape(6, 4, 5)


def _mrc(path: Path, voxels: np.ndarray, *edits: tuple[int, bytes]) -> Path:
    """A file of mrcfile with 10 nm voxels, then bytes of its header replaced; offsets of the MRC2014 paper."""
    with mrcfile.new(path, data=voxels, overwrite=True) as file:
        file.voxel_size = 100.0
        file.set_volume()
    data = bytearray(path.read_bytes())
    for offset, new in edits:
        data[offset : offset + len(new)] = new
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "edit",
    [
        (212, b"\x44\0\0\0"),
        (212, b"\x44\x20\x20\x20"),
        (212, bytes(4)),
        (208, bytes(4)),
        (208, bytes(8)),
        (212, b"    "),
    ],
)
def test_a_stamp_of_another_program_is_read_with_a_note(order: str, edit: tuple[int, bytes], tmp_path: Path) -> None:
    """SerialEM, others, zeros, Amira without MAP, nothing at all; the voxels are those that mrcfile wrote."""
    volume = read_volume(_mrc(tmp_path / "a.mrc", RAMP.astype(order + "f4"), edit))
    np.testing.assert_array_equal(volume.frame(0)[0], RAMP)
    assert [note.split(":")[0] for note in volume.notes] == ["W-MRC-STAMP"]


def test_a_stamp_of_the_wrong_byte_order_does_not_win_over_the_length(tmp_path: Path) -> None:
    volume = read_volume(_mrc(tmp_path / "a.mrc", RAMP.astype(">i2"), (212, b"\x44\x44\0\0")))
    np.testing.assert_array_equal(volume.frame(0)[0], RAMP)
    assert "big-endian" in volume.notes[0]


def test_a_damaged_mrc_is_refused_by_its_own_reader(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "a.mrc", RAMP, (208, bytes(8)))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"E-MRC-HEADER.*mrcfile or IMOD"):
        read_volume(path)


@pytest.mark.parametrize(
    ("voxels", "low", "high", "right"),
    [
        (np.full((2, 3, 4), 200, np.uint8).view(np.int8), 0, 200, 200),  # unsigned bytes of a program before MRC2014
        (np.full((2, 3, 4), 60000, np.uint16).view(np.int16), 0, 60000, 60000),
        (np.full((2, 3, 4), -5, np.int16).view(np.uint16), -5, 9, -5),
    ],
)
def test_minimum_and_maximum_decide_what_a_type_cannot_hold(
    voxels: np.ndarray, low: float, high: float, right: int, tmp_path: Path
) -> None:
    volume = read_volume(_mrc(tmp_path / "a.mrc", voxels, (76, struct.pack("<ff", low, high))))
    assert np.unique(volume.frame(0)).tolist() == [right]
    assert volume.notes[0].startswith("W-MRC-RANGE")


def _nifti(path: Path, *, pixdim: tuple[float, ...], sform: tuple[float, ...], codes: tuple[int, int]) -> Path:
    header = nib.Nifti1Image(RAMP.T, None).header
    header.set_xyzt_units("micron")
    header["pixdim"][1:4] = pixdim
    header.set_sform(np.diag([*sform, 1]), code=codes[0])
    header["qform_code"], header["vox_offset"], header["magic"] = codes[1], 352, b"n+1\0"
    path.write_bytes(header.binaryblock + bytes(4) + RAMP.tobytes())
    return path


@pytest.mark.parametrize(
    ("pixdim", "sform", "codes", "right"),
    [
        ((1, 1, 1), (0.2, 0.3, 0.5), (1, 0), (0.5, 0.3, 0.2)),  # the affine of nibabel
        ((0.2, 0.3, 0.5), (1, 1, 1), (2, 0), (0.5, 0.3, 0.2)),  # nibabel's identity, then set_zooms
        ((0.2, 0.3, 0.5), (-0.2, -0.3, 0.5), (1, 1), (0.5, 0.3, 0.2)),
        ((0.2, 0.3, 0.5), (9, 9, 9), (0, 0), (0.5, 0.3, 0.2)),  # a code of 0: there is no sform
        ((0.2, 0.3, 0.5), (0.2, 0.3, 0.7), (1, 1), None),
        ((0.4, 0.3, 0.5), (0.2, 0.3, 0.5), (1, 0), None),
    ],
)
def test_sform_against_pixdim(
    pixdim: tuple[float, ...],
    sform: tuple[float, ...],
    codes: tuple[int, int],
    right: tuple[float, ...] | None,
    tmp_path: Path,
) -> None:
    path = _nifti(tmp_path / "a.nii", pixdim=pixdim, sform=sform, codes=codes)
    if right is not None:
        volume = read_volume(path)
        assert volume.voxel_size_um == pytest.approx(right, rel=1e-6)
        codes_of_notes = {note.split(":")[0] for note in volume.notes}
        assert codes_of_notes == (
            {"W-NIFTI-SFORM"} if 1 in (pixdim[0], sform[0]) else {"W-NIFTI-ORIENTATION"} if sform[0] < 0 else set()
        )
        return
    with pytest.raises(MetadataError, match=r"sform and .* by pixdim"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(0.5, 0.3, 0.2))).voxel_size_um == (0.5, 0.3, 0.2)


def _nrrd(path: Path, lines: list[str], voxels: np.ndarray, encoding: str = "utf-8") -> Path:
    sizes = " ".join(str(size) for size in voxels.shape[::-1])
    head = ["NRRD0005", "type: uint8", "encoding: raw", f"dimension: {voxels.ndim}", f"sizes: {sizes}", *lines]
    path.write_bytes(("\n".join(head) + "\n\n").encode(encoding) + voxels.tobytes())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("unit", ["\u00b5m", "\u03bcm", "um", "microns", "micrometres", "\u00c5"])
def test_a_unit_of_length_in_any_spelling(unit: str, encoding: str, tmp_path: Path) -> None:
    if encoding == "latin-1" and unit == "\u03bcm":
        pytest.skip("Latin-1 has no Greek letter")
    step = 0.2 if unit != "\u00c5" else 2000.0  # 2,000 Å are 0.2 µm
    lines = [f"spacings: {step} {step} {step}", f'units: "{unit}" "{unit}" "{unit}"']
    path = _nrrd(tmp_path / "a.nrrd", lines, np.zeros((3, 4, 5), np.uint8), encoding)
    assert read_volume(path).voxel_size_um == pytest.approx((0.2, 0.2, 0.2))


@pytest.mark.parametrize("unit", ["\u00b5s", "\u03bcs", "us"])
def test_microseconds_are_no_seconds(unit: str, tmp_path: Path) -> None:
    lines = [
        "spacings: 0.2 0.2 0.5 250",
        f'units: "um" "um" "um" "{unit}"',
        "kinds: domain domain domain time",
    ]
    path = _nrrd(tmp_path / "a.nrrd", lines, np.zeros((3, 2, 4, 5), np.uint8))
    assert read_volume(path).time_s == pytest.approx((0, 250e-6, 500e-6))


def test_a_unit_with_a_sign_that_nobody_knows_is_no_metre(tmp_path: Path) -> None:
    lines = ["spacings: 1 1 1", 'units: "\u00f8m" "\u00f8m" "\u00f8m"', "kinds: domain domain domain"]
    path = _nrrd(tmp_path / "a.nrrd", lines, np.zeros((3, 4, 5), np.uint8))
    assert read_volume(path, is_size_required=False).voxel_size_um is None


def test_spacings_against_space_directions(tmp_path: Path) -> None:
    lines = [
        "space dimension: 3",
        "space directions: (0.2,0,0) (0,0.2,0) (0,0,0.5)",
        'space units: "um" "um" "um"',
        "spacings: 0.2 0.2 0.4",
        'units: "um" "um" "um"',
    ]
    path = _nrrd(tmp_path / "a.nrrd", lines, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(MetadataError, match=r"z twice: 0\.5 µm by space directions and 0\.4 µm by spacings"):
        read_volume(path)


def test_kinds_against_labels(tmp_path: Path) -> None:
    lines = ['labels: "x" "y" "z"', "kinds: space space time"]
    path = _nrrd(tmp_path / "a.nrrd", lines, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(MetadataError, match="disagree"):
        read_volume(path, is_size_required=False)
    volume = read_volume(path, ReadOptions(axes="TYX"), is_size_required=False)
    assert volume.shape == (3, 1, 1, 4, 5)


def test_a_detached_file_may_have_a_space_in_its_name(tmp_path: Path) -> None:
    voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    (tmp_path / "my data \u00e9.raw").write_bytes(voxels.tobytes())
    head = ["NRRD0004", "type: uint8", "encoding: raw", "dimension: 3", "sizes: 5 4 3", "kinds: space space space"]
    (tmp_path / "a.nhdr").write_text("\n".join([*head, "data file: my data \u00e9.raw"]) + "\n\n", encoding="utf-8")
    volume = read_volume(tmp_path / "a.nhdr", is_size_required=False)
    np.testing.assert_array_equal(volume.frame(0)[0], voxels)


@pytest.mark.parametrize("kind", ["q", "Q", "l", "L", "i", "I", "h", "H", "b", "B", "?", "e", "f", "d", ">i8", ">f4"])
def test_every_type_of_number_survives_ome_zarr(kind: str, tmp_path: Path) -> None:
    """Two names for 64-bit integers, both byte orders; labels up to the largest that the type has."""
    dtype = np.dtype(kind)
    voxels = np.arange(60).reshape(3, 4, 5).astype(dtype)
    if dtype.kind in "iu":
        voxels[-1, -1, -1] = np.iinfo(dtype).max
    write_volume(tmp_path / "a.ome.zarr", Volume.from_array(voxels, voxel_size_um=(0.5, 0.2, 0.2)))
    again = read_volume(tmp_path / "a.ome.zarr")
    assert again.dtype == dtype.newbyteorder("=")
    np.testing.assert_array_equal(again.frame(0)[0], voxels)


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"%PDF-1.7", "PDF"),
    ],
)
@pytest.mark.parametrize("ending", [".tif", ".nii", ".mrc", ".nrrd", ".h5", ".tcf", ".png", ""])
def test_a_file_that_is_something_else_is_called_what_it_is(
    start: bytes, word: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(start)
    with pytest.raises(InputError, match=f"E-FORMAT.*{word}"):
        read_volume(path)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (".tif", "E-TIFF"),
        (".nii", "E-NIFTI-HEADER"),
        (".nii.gz", "E-NIFTI-HEADER"),
        (".mrc", "E-MRC-HEADER"),
        (".nrrd", "E-NRRD-HEADER"),
        (".h5", "E-HDF5"),
        (".tcf", "E-HDF5"),
        (".png", "E-PNG"),
    ],
)
def test_the_reader_of_the_ending_says_that_a_file_is_damaged(ending: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x07garbage" * 200)
    with pytest.raises(InputError, match=f"{code}.*a{ending}"):
        read_volume(path)


def test_a_damaged_tcf_is_a_damaged_tcf(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.TCF", "w") as file:
        file.attrs["FormatVersion"] = "1.3"
    with pytest.raises(InputError, match="E-TCF"):
        read_volume(tmp_path / "a.TCF")


def test_a_cut_packed_nifti_is_a_damaged_nifti(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", Volume.from_array(RAMP))
    (tmp_path / "a.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:40])
    with pytest.raises(InputError, match="E-NIFTI"):
        read_volume(tmp_path / "a.nii.gz")


def test_an_array_of_imaris_is_read_without_its_padding(tmp_path: Path) -> None:
    """Arrays are stored in whole chunks; ImageSizeX, Y, Z, written letter by letter, say how much is the image."""
    import h5py

    stored = np.arange(8 * 16 * 16, dtype=np.uint16).reshape(8, 16, 16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0")
        group.create_dataset("Data", data=stored, chunks=(8, 16, 16))
        for name, text in (("ImageSizeX", b"10"), ("ImageSizeY", b"12"), ("ImageSizeZ", b"5")):
            group.attrs[name] = np.frombuffer(text, "S1")
    volume = read_volume(tmp_path / "a.h5", is_size_required=False)
    assert volume.notes[0].startswith("W-HDF5-PADDED")
    np.testing.assert_array_equal(volume.frame(0)[0], stored[:5, :12, :10])
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 4), stored[2:4, :12, :10])


def test_axistags_that_cannot_be_read_are_asked_for_and_complex_numbers_refused(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=RAMP).attrs["axistags"] = "{broken"
    with pytest.raises(MetadataError, match="--axes"):
        read_volume(tmp_path / "a.h5", is_size_required=False)
    assert read_volume(tmp_path / "a.h5", ReadOptions(axes="ZYX"), is_size_required=False).shape == (1, 1, 6, 4, 5)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("d", data=RAMP.astype(np.complex64))
    with pytest.raises(InputError, match=r"E-HDF5-DATASET.*as integers or floats"):
        read_volume(tmp_path / "c.h5")
