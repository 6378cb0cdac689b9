"""Small valid files of every container format, with what they hold; shared by the tests of this folder.

Sizes 7, 9, 11 and voxel sizes 0.31, 0.17, 0.13 µm all differ, so that a swapped axis shows. Where an independent
library can write the file, it does. To add one, write a function and list it in :data:`SAMPLES`.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import maker_samples
import mrcfile
import nibabel as nib
import nrrd
import numpy as np
import scipy.io
import zarr
from numpy.typing import NDArray
from PIL import Image

from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._tcf_write import write_tiled
from tomocyte.volume import Volume, VoxelSize

SHAPE = (7, 9, 11)
SIZE_UM: VoxelSize = (0.31, 0.17, 0.13)
Z, Y, X = np.indices(SHAPE)
COUNTS = (Z * 1000 + Y * 50 + X).astype(np.uint16)
"""z · 1000 + y · 50 + x: each voxel says where it is."""
RI_COUNTS = 13300 + Z * 100 + Y * 11 + X
"""Refractive index in units of 10⁻⁴."""
RI = (RI_COUNTS / 1e4).astype(np.float32)
RI_FRAMES = (np.stack([RI_COUNTS, RI_COUNTS + 100])[:, None] / 1e4).astype(np.float32)
"""Two frames (T, C, Z, Y, X), the second 0.01 higher."""


@dataclass(frozen=True)
class Sample:
    """A written file and what it holds."""

    path: Path
    format_name: str
    voxels: NDArray[np.generic]
    options: ReadOptions = field(default_factory=ReadOptions)
    quantity: str | None = None
    size_um: VoxelSize = SIZE_UM


def read_all(path: Path, options: ReadOptions) -> NDArray[np.generic]:
    """Every voxel (T, C, Z, Y, X)."""
    volume = read_volume(path, options, is_size_required=False)
    return np.stack([volume.frame(frame) for frame in range(volume.n_frames)])


def mrc(folder: Path) -> Sample:
    """Little-endian float32, by mrcfile."""
    path = folder / "sample.mrc"
    with mrcfile.new(path, data=COUNTS.astype(np.float32)) as file:
        file.voxel_size = (1300.0, 1700.0, 3100.0)  # Å, x y z
        file.set_volume()
        file.update_header_from_data()
    return Sample(path, "mrc", COUNTS.astype(np.float32))


def mrc_big_endian(folder: Path) -> Sample:
    """Big-endian int16 with an extended header, by mrcfile."""
    path = folder / "sample.rec"
    with mrcfile.new(path, data=COUNTS.astype(">i2")) as file:
        file.voxel_size = (1300.0, 1700.0, 3100.0)
        file.set_extended_header(np.zeros(64, dtype="V1"))
        file.set_volume()
    return Sample(path, "mrc", COUNTS.astype(np.int16))


def _nifti(path: Path) -> Sample:
    image = nib.Nifti1Image(COUNTS.transpose(2, 1, 0).astype(np.int16), np.diag([0.13, 0.17, 0.31, 1.0]))
    image.header.set_xyzt_units("micron", "sec")
    nib.save(image, path)
    return Sample(path, "nifti", COUNTS.astype(np.int16))


def nifti(folder: Path) -> Sample:
    """int16, by nibabel."""
    return _nifti(folder / "sample.nii")


def nifti_gz(folder: Path) -> Sample:
    """int16, packed, by nibabel."""
    return _nifti(folder / "sample.nii.gz")


def _nrrd(path: Path, encoding: str) -> Sample:
    header = {
        "space dimension": 3,
        "space directions": np.diag([0.13, 0.17, 0.31]),
        "space units": ["um", "um", "um"],
        "encoding": encoding,
    }
    nrrd.write(str(path), COUNTS.transpose(2, 1, 0), header)
    return Sample(path, "nrrd", COUNTS)


def nrrd_raw(folder: Path) -> Sample:
    """uint16, raw, by pynrrd."""
    return _nrrd(folder / "sample.nrrd", "raw")


def nrrd_gzip(folder: Path) -> Sample:
    """uint16, gzip, by pynrrd."""
    return _nrrd(folder / "sample.nrrd", "gzip")


def nrrd_ascii(folder: Path) -> Sample:
    """uint16, as text, by pynrrd."""
    return _nrrd(folder / "sample.nrrd", "ascii")


def nrrd_segments(folder: Path) -> Sample:
    """A part of a segmentation of 3D Slicer, with 3, 4 and 2 voxels before it along x, y, z."""
    path, (z, y, x) = folder / "sample.seg.nrrd", SHAPE
    inner = COUNTS[2:6, 4:8, 3:9]
    geometry = f"{'0;' * 16}0;{x - 1};0;{y - 1};0;{z - 1};"
    header = {
        "space dimension": 3,
        "space directions": np.diag([0.13, 0.17, 0.31]),
        "space units": ["um", "um", "um"],
        "encoding": "raw",
        "Segment0_Name": "cell",
        "Segment0_Color": "1 0.2 0",
        "Segment0_LabelValue": "1",
        "Segmentation_ReferenceImageExtentOffset": "3 4 2",
        "Segmentation_ConversionParameters": f"Reference image geometry|{geometry}|Words.&",
    }
    nrrd.write(str(path), inner.transpose(2, 1, 0), header)
    whole = np.zeros_like(COUNTS)
    whole[2:6, 4:8, 3:9] = inner
    return Sample(path, "nrrd", whole, quantity="labels")


def _hdf5(path: Path, **options: object) -> Sample:
    libver = options.pop("libver", None)
    with h5py.File(path, "w", libver=libver) as file:
        stored = file.create_dataset("raw", data=COUNTS, **options)
        stored.attrs["element_size_um"] = SIZE_UM
    return Sample(path, "hdf5", COUNTS)


def hdf5_plain(folder: Path) -> Sample:
    """One contiguous dataset."""
    return _hdf5(folder / "sample.h5")


def hdf5_gzip(folder: Path) -> Sample:
    """Chunks, gzip, shuffle."""
    return _hdf5(folder / "sample.h5", chunks=(3, 5, 4), compression="gzip", shuffle=True)


def hdf5_latest(folder: Path) -> Sample:
    """The newest file structure, which has checksums."""
    return _hdf5(folder / "sample.h5", chunks=(3, 5, 4), compression="lzf", fletcher32=True, libver="latest")


def ri_volume() -> Volume:
    """Two frames of refractive index at 0 s and 30.5 s."""
    return Volume.from_array(
        RI_FRAMES, voxel_size_um=SIZE_UM, quantity="refractive_index", unit="1", medium_ri=1.337, time_s=(0.0, 30.5)
    )


def tcf(folder: Path) -> Sample:
    """TCF 1.3, one dataset per frame."""
    path = folder / "sample.tcf"
    write_volume(path, ri_volume())
    return Sample(path, "tcf", RI_FRAMES, quantity="refractive_index")


def tcf_tiled(folder: Path) -> Sample:
    """TCF with tiles of uint16."""
    path = folder / "sample.tcf"
    write_tiled(path, ri_volume(), tile_shape=(4, 5, 6))
    return Sample(path, "tcf", RI_FRAMES, quantity="refractive_index")


def zarr_05(folder: Path) -> Sample:
    """OME-Zarr 0.5 as tomocyte writes it."""
    path = folder / "sample.ome.zarr"
    write_volume(path, Volume.from_array(COUNTS, voxel_size_um=SIZE_UM, quantity="intensity"))
    return Sample(path, "ome-zarr", COUNTS, quantity="intensity")


def zarr_04(folder: Path, **options: object) -> Sample:
    """OME-Zarr 0.4 (Zarr 2) as another program writes it: nanometres, two scales, several chunks."""
    path = folder / "sample.zarr"
    group = zarr.create_group(str(path), zarr_format=2)
    array = group.create_array(
        "a/full",
        shape=SHAPE,
        chunks=(3, 5, 4),
        dtype=np.uint16,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        **options,
    )
    array[...] = COUNTS
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    level = {"path": "a/full", "coordinateTransformations": [{"type": "scale", "scale": [155.0, 85.0, 65.0]}]}
    whole = [{"type": "scale", "scale": [2.0, 2.0, 2.0]}]
    image = {"version": "0.4", "axes": axes, "datasets": [level], "coordinateTransformations": whole}
    (path / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    return Sample(path, "ome-zarr", COUNTS)


def png(folder: Path) -> Sample:
    """uint16, one plane, pixels per metre, by Pillow; hardly packed, so that there are bytes enough to damage."""
    path = folder / "sample.png"
    Image.fromarray(COUNTS[3]).save(path, dpi=(25_400 / 0.13, 25_400 / 0.17), compress_level=0)
    return Sample(path, "png", COUNTS[3:4], size_um=(math.nan, 0.17, 0.13))


FIVE = COUNTS[np.newaxis, np.newaxis]
"""The same with axes T and C."""


def nd2(folder: Path) -> Sample:
    """Built byte by byte; Nikon has one calibration for x and y."""
    return Sample(maker_samples.nd2(folder / "sample.nd2", FIVE), "nd2", COUNTS, size_um=(0.31, 0.13, 0.13))


def lif(folder: Path) -> Sample:
    """Built byte by byte."""
    return Sample(maker_samples.lif(folder / "sample.lif", {"cell": FIVE}), "lif", COUNTS)


def czi(folder: Path) -> Sample:
    """Built byte by byte."""
    return Sample(maker_samples.czi(folder / "sample.czi", FIVE), "czi", COUNTS)


def oib(folder: Path) -> Sample:
    """Built byte by byte."""
    return Sample(maker_samples.oib(folder / "sample.oib", FIVE), "oif", COUNTS)


def oif(folder: Path) -> Sample:
    """Settings, and a folder of planes beside them; built byte by byte."""
    return Sample(maker_samples.oif(folder / "sample.oif", FIVE), "oif", COUNTS)


MATLAB = COUNTS.transpose(1, 2, 0)
"""Rows y, columns x, planes z."""
MATLAB_OPTIONS = ReadOptions(axes="YXZ", voxel_size_um=SIZE_UM)


def mat_5(folder: Path) -> Sample:
    """Version 5, by SciPy."""
    scipy.io.savemat(folder / "sample.mat", {"ri": MATLAB})
    return Sample(folder / "sample.mat", "mat", COUNTS, MATLAB_OPTIONS)


def mat_7(folder: Path) -> Sample:
    """Version 7, which packs, by SciPy."""
    scipy.io.savemat(folder / "sample.mat", {"ri": MATLAB}, do_compression=True)
    return Sample(folder / "sample.mat", "mat", COUNTS, MATLAB_OPTIONS)


def mat_73(folder: Path) -> Sample:
    """Version 7.3: HDF5 behind 512 bytes of MATLAB's, in which the axes stand backwards."""
    path = folder / "sample.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("ri", data=MATLAB.transpose(2, 1, 0), chunks=(3, 5, 4), compression="gzip")
        file["ri"].attrs["MATLAB_class"] = np.bytes_("uint16")
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\0\2IM"
    with path.open("r+b") as raw:
        raw.write(head)
    return Sample(path, "mat", COUNTS, MATLAB_OPTIONS)


def _amira(folder: Path, lattice: str, body: bytes, kind: str = "BINARY-LITTLE-ENDIAN 2.1") -> Sample:
    """By hand; the box reaches from centre to centre: 10, 8 and 6 steps."""
    path = folder / "sample.am"
    head = (
        f"# AmiraMesh {kind}\n\ndefine Lattice 11 9 7\n\nParameters {{\n"
        '    Units {\n        Coordinates "µm"\n    }\n'
        f"    BoundingBox 0 {10 * 0.13} 0 {8 * 0.17} 0 {6 * 0.31},\n"
        f'    CoordType "uniform"\n}}\n\nLattice {{ ushort {lattice}\n\n# Data section follows\n@1\n'
    )
    path.write_bytes(head.encode() + body + b"\n")
    return Sample(path, "amira", COUNTS)


def amira(folder: Path) -> Sample:
    """uint16, plain."""
    return _amira(folder, "Data } @1", COUNTS.astype("<u2").tobytes())


def amira_big_endian(folder: Path) -> Sample:
    """uint16, plain, as workstations wrote it."""
    return _amira(folder, "Data } @1", COUNTS.astype(">u2").tobytes(), "3D BINARY 2.0")


def amira_ascii(folder: Path) -> Sample:
    """uint16 as text."""
    return _amira(folder, "Data } @1", "\n".join(map(str, COUNTS.ravel())).encode(), "3D ASCII 2.0")


def amira_zip(folder: Path) -> Sample:
    """uint16, packed."""
    packed = zlib.compress(COUNTS.astype("<u2").tobytes())
    return _amira(folder, f"Data }} @1(HxZip,{len(packed)})", packed)


def amira_rle(folder: Path) -> Sample:
    """uint16 in runs: here each byte as it is, 100 of them behind their number."""
    plain = COUNTS.astype("<u2").tobytes()
    parts = [plain[start : start + 100] for start in range(0, len(plain), 100)]
    coded = b"".join(bytes([128 + len(part)]) + part for part in parts)
    return _amira(folder, f"Data }} @1(HxByteRLE,{len(coded)})", coded)


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    function.__name__: function
    for function in (
        mrc,
        mrc_big_endian,
        nifti,
        nifti_gz,
        nrrd_raw,
        nrrd_gzip,
        nrrd_ascii,
        nrrd_segments,
        hdf5_plain,
        hdf5_gzip,
        hdf5_latest,
        tcf,
        tcf_tiled,
        zarr_05,
        zarr_04,
        png,
        nd2,
        lif,
        czi,
        oib,
        oif,
        mat_5,
        mat_7,
        mat_73,
        amira,
        amira_big_endian,
        amira_ascii,
        amira_zip,
        amira_rle,
    )
}
