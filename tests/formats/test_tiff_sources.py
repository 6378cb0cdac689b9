"""Which field of a TIFF says each property; the files are written by tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import Volume

TAGS = {"resolution": (50_000, 50_000), "resolutionunit": "CENTIMETER"}  # 0.2 µm
MICRONS = {"PhysicalSizeZ": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "PhysicalSizeZUnit": "µm"}


def saved(path: Path, axes: str, **options: Any) -> Volume:
    voxels = np.zeros({"TZYX": (2, 3, 4, 5), "ZYX": (3, 4, 5)}[axes], np.uint16)
    metadata = {"axes": axes, **options.pop("metadata", {})}
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata=metadata, **options)
    return read_volume(path)


def test_ome(tmp_path: Path) -> None:
    sizes = {**MICRONS, "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3, "TimeIncrement": 2.0, "Channel": {"Name": "dye"}}
    volume = saved(tmp_path / "a.ome.tif", "TZYX", ome=True, metadata=sizes)
    assert volume.voxel_size_um == (0.5, 0.3, 0.2)
    assert volume.sources == {
        "voxel_size_um": "OME PhysicalSizeZ, OME PhysicalSizeY, OME PhysicalSizeX",
        "time_s": "OME TimeIncrement",
        "channel_names": "OME Channel Name",
    }


def test_ome_with_the_pixel_size_in_the_tags_only(tmp_path: Path) -> None:
    volume = saved(tmp_path / "a.ome.tif", "ZYX", ome=True, metadata=MICRONS, **TAGS)
    assert volume.voxel_size_um == pytest.approx((0.5, 0.2, 0.2))
    assert volume.sources["voxel_size_um"] == "OME PhysicalSizeZ, TIFF YResolution, TIFF XResolution"
    given = read_volume(tmp_path / "a.ome.tif", ReadOptions(voxel_size_um=(1, 1, 1)))
    assert given.sources["voxel_size_um"] == "--voxel-size-um"


def test_imagej(tmp_path: Path) -> None:
    words = {"unit": "um", "spacing": 0.5, "finterval": 3.0}
    volume = saved(tmp_path / "a.tif", "TZYX", imagej=True, resolution=(5, 5), metadata=words)
    assert volume.voxel_size_um == pytest.approx((0.5, 0.2, 0.2))
    assert volume.sources == {
        "voxel_size_um": "ImageJ spacing, TIFF YResolution, TIFF XResolution",
        "time_s": "ImageJ finterval",
    }


def test_what_tomocyte_adds_to_ome(tmp_path: Path) -> None:
    known: dict[str, Any] = {"quantity": "refractive_index", "unit": "1", "medium_ri": 1.337}
    volume = Volume.from_array(np.ones((3, 4, 5), np.float32), voxel_size_um=(0.5, 0.3, 0.2), **known)
    write_volume(tmp_path / "a.ome.tif", volume)
    sources = read_volume(tmp_path / "a.ome.tif").sources
    assert {sources[name] for name in known} == {"OME annotation tomocyte/volume"}
