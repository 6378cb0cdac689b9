"""Damaged TIFF files of every writer variant: a clear error or what the bytes justify, never anything else."""

from __future__ import annotations

import functools
import resource
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fuzz import Outcome, cut_points, fuzz, mutated, truncated
from numpy.typing import NDArray

from tomocyte.formats import ReadOptions
from tomocyte.formats.tiff import read_tiff, write_ome_tiff
from tomocyte.volume import Volume

SHAPE = (5, 8, 6)
VOXELS = (np.arange(240, dtype=np.uint16) * 7 + 3).reshape(SHAPE)
IMAGEJ = {"axes": "ZYX", "spacing": 0.31, "unit": "um"}
OME = {"axes": "ZYX", "PhysicalSizeX": 0.13, "PhysicalSizeY": 0.17, "PhysicalSizeZ": 0.31}


def _ours(path: Path, compression: str) -> None:
    volume = Volume.from_array(VOXELS, voxel_size_um=(0.31, 0.17, 0.13), quantity="intensity")
    write_ome_tiff(path, volume, compression=compression)  # type: ignore[arg-type]


def _tifffile(path: Path, *, photometric: str = "minisblack", **options: object) -> None:
    tifffile.imwrite(path, VOXELS, photometric=photometric, **options)


def _channels_last(path: Path) -> None:
    """The same voxels as Y, X, Z: pages of X and Z."""
    tifffile.imwrite(path, VOXELS.transpose(1, 2, 0), photometric="minisblack", metadata={"axes": "YXZ"})


def _set(path: Path) -> None:
    """An OME-TIFF of two images, the second of which lies in another file of the folder."""
    other = path.with_name("other.ome.tif")
    images = "".join(
        f'<Image ID="Image:{index}" Name="Pos{index}"><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="6" SizeY="8" '
        f'SizeZ="5" SizeC="1" SizeT="1" PhysicalSizeZ="0.3"><TiffData IFD="0" PlaneCount="5"><UUID FileName="{name}">'
        f"urn:uuid:{index}</UUID></TiffData>"
        + "".join(
            f'<Plane TheZ="{z}" TheT="0" TheC="0" PositionZ="{0.3 * z:.1f}" PositionZUnit="um"/>' for z in range(5)
        )
        + "</Pixels></Image>"
        for index, name in enumerate((other.name, path.name.removeprefix("whole_")))
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?><OME UUID="urn:uuid:1">{images}</OME>'
    for place, voxels in ((other, VOXELS[::-1]), (path, VOXELS)):
        tifffile.imwrite(place, voxels, description=text, metadata=None, photometric="minisblack", ome=False)


VARIANTS = {
    "ours_zlib": (functools.partial(_ours, compression="zlib"), "v.ome.tif", None),
    "ours_plain": (functools.partial(_ours, compression="none"), "v.ome.tif", None),
    "ome": (functools.partial(_tifffile, metadata=OME), "v.ome.tif", None),
    "ome_big": (functools.partial(_tifffile, metadata=OME, bigtiff=True, byteorder=">"), "v.ome.tif", None),
    "imagej": (functools.partial(_tifffile, imagej=True, metadata=IMAGEJ, resolution=(5.9, 7.7)), "v.tif", None),
    "shaped": (functools.partial(_tifffile, metadata={"axes": "ZYX"}), "v.tif", None),
    "bare": (functools.partial(_tifffile, metadata=None), "v.tif", "ZYX"),
    "channels_last": (_channels_last, "v.tif", None),
    "set": (_set, "v.ome.tif", None),
    "planar": (
        functools.partial(_tifffile, metadata={"axes": "ZYX"}, photometric="rgb", planarconfig="separate"),
        "v.tif",
        None,
    ),
    "lzw_predictor": (functools.partial(_tifffile, metadata=OME, compression="lzw", predictor=True), "v.ome.tif", None),
    "zstd_tiled": (functools.partial(_tifffile, metadata=OME, compression="zstd", tile=(16, 16)), "v.ome.tif", None),
    "deflate_strips": (
        functools.partial(_tifffile, metadata=OME, compression="deflate", rowsperstrip=3),
        "v.ome.tif",
        None,
    ),
}


def _read_all(path: Path, axes: str | None) -> NDArray[np.generic]:
    volume = read_tiff(path, ReadOptions(axes=axes))
    return np.stack([volume.frame(frame) for frame in range(volume.n_frames)])


def _boundaries(path: Path) -> tuple[int, ...]:
    """Every place in the file where a directory or a strip begins or ends."""
    with tifffile.TiffFile(path) as tif:
        pages = [tif.pages[index] for index in range(len(tif.pages))]
        strips = [
            edge
            for page in pages
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            for edge in (start, start + count)
        ]
        return (*(page.offset for page in pages), *strips)


def _damage(name: str, folder: Path, *, n_mutated: int, n_cut: int, seed: int) -> tuple[Outcome, Outcome]:
    write, file_name, axes = VARIANTS[name]
    whole_path, place = folder / f"whole_{file_name}", folder / file_name
    write(whole_path)
    whole = whole_path.read_bytes()
    read = functools.partial(_read_all, axes=axes)
    expected = VOXELS.reshape(1, 1, *SHAPE)
    np.testing.assert_array_equal(read(whole_path), expected)
    cuts = cut_points(len(whole), n_cut, boundaries=_boundaries(whole_path))
    cut = fuzz(truncated(whole, cuts), read, place=place, expected=expected, is_truncation=True)
    changed = fuzz(
        mutated(whole, n_mutated, seed=seed),
        read,
        place=place,
        expected=expected,
        is_truncation=False,
        expansion=50_000 if "zstd" in name else 3000,
    )
    return cut, changed


@pytest.mark.parametrize("name", VARIANTS)
def test_damaged_files_give_a_clear_error_or_what_the_bytes_justify(name: str, tmp_path: Path) -> None:
    cut, changed = _damage(name, tmp_path, n_mutated=60, n_cut=40, seed=11)
    assert not cut.broken
    assert not changed.broken
    assert cut.counts["exact"] <= 2  # only unused bytes at the end may go unnoticed
    assert cut.counts["error"] + cut.counts["exact"] == cut.counts.total()
    assert cut.slowest_s < 5
    assert changed.slowest_s < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_many_damaged_files(name: str, tmp_path: Path) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cut, changed = _damage(name, tmp_path, n_mutated=2000, n_cut=200, seed=2024)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    print(f"\n{name}: cut {dict(cut.counts)} {dict(cut.codes)}; changed {dict(changed.counts)} {dict(changed.codes)}")
    print(
        f"  other valid: {changed.others}; slowest {max(cut.slowest_s, changed.slowest_s):.2f} s; +{grown_mib:.0f} MiB"
    )
    assert not cut.broken
    assert not changed.broken
    assert len(changed.others) <= 20
    assert max(cut.slowest_s, changed.slowest_s) < 5
    assert grown_mib < 200
