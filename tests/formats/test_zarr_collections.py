"""Plates, wells, collections and label groups of OME-Zarr, made with the zarr library as the specification has them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.inputs import find_inputs
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume

VOXELS = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)


def _group(path: Path, version: int, **attributes: Any) -> Any:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.attrs.update({"ome": {"version": "0.5", **attributes}} if version == 3 else attributes)
    return group


def _image(path: Path, version: int, *, separator: str = "/", scale: tuple[float, ...] = (1, 0.5, 0.2, 0.2)) -> Path:
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}]
    group = _group(path, version, multiscales=[{"version": "0.4", "axes": axes, "datasets": levels}])
    array = group.create_array(
        "0",
        shape=VOXELS.shape,
        chunks=(1, 2, 3, 3),
        dtype=VOXELS.dtype,
        chunk_key_encoding={"name": "default" if version == 3 else "v2", "separator": separator},
    )
    array[...] = VOXELS
    return path


def _plate(path: Path, version: int, separator: str = "/") -> Path:
    wells = [{"path": name, "rowIndex": 0, "columnIndex": 0} for name in ("A/1", "B/12")]
    _group(path, version, plate={"rows": [], "columns": [], "wells": wells})
    for row in "AB":
        zarr.open_group(path / row, mode="w", zarr_format=version)
    for well, fields in (("A/1", ("0", "1")), ("B/12", ("0",))):
        _group(path / well, version, well={"images": [{"path": field} for field in fields]})
        for field in fields:
            _image(path / well / field, version, separator=separator)
    return path


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_lists_its_fields_and_each_one_opens(version: int, separator: str, tmp_path: Path) -> None:
    plate = _plate(tmp_path / "plate.zarr", version, separator)
    with pytest.raises(InputError, match=r"E-ZARR-DATASET.*is a plate") as caught:
        read_volume(plate)
    listed = re.search(r"--dataset with one of: (.*)\.$", caught.value.cure)
    assert listed is not None
    assert listed[1].split(", ") == ["A/1/0", "A/1/1", "B/12/0"]
    for field in listed[1].split(", "):
        np.testing.assert_array_equal(read_volume(plate, ReadOptions(dataset=field)).frame(0), VOXELS)
        result = CliRunner().invoke(app, ["info", str(plate), "--dataset", field])
        assert result.exit_code == 0
        assert "C=2 Z=3 Y=4 X=5" in result.output
    assert find_inputs([str(plate)]) == [plate]


@pytest.mark.parametrize("version", [2, 3])
def test_a_well_lists_its_fields_from_itself_and_from_the_plate(version: int, tmp_path: Path) -> None:
    plate = _plate(tmp_path / "plate", version)  # a folder of any name
    with pytest.raises(InputError, match=r"is a well .* with one of: 0, 1\."):
        read_volume(plate / "A" / "1")
    with pytest.raises(InputError, match=r"is a well .* with one of: A/1/0, A/1/1\."):
        read_volume(plate, ReadOptions(dataset="A/1"))
    assert read_volume(plate / "A" / "1", ReadOptions(dataset="1")).shape == (1, 2, 3, 4, 5)
    assert find_inputs([str(plate / "A" / "1")]) == [plate / "A" / "1"]


def test_a_field_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    plate = _plate(tmp_path / "plate.zarr", 2)
    shutil.rmtree(plate / "A" / "1" / "0")
    for given in (None, "A/1/0", "C/7/0"):
        with pytest.raises(InputError, match=r"with one of: A/1/1, B/12/0\."):
            read_volume(plate, ReadOptions(dataset=given))


def test_a_plate_cannot_point_outside(tmp_path: Path) -> None:
    _image(tmp_path / "secret.zarr", 2)
    _group(tmp_path / "plate.zarr", 2, plate={"wells": [{"path": ".."}]})
    _group(tmp_path / "plate.zarr" / "w", 2, well={"images": [{"path": "../../secret.zarr"}]})
    for given in (None, "w", "../secret.zarr"):
        with pytest.raises(InputError, match=r"E-ZARR-(PATH|DATASET)"):
            read_volume(tmp_path / "plate.zarr", ReadOptions(dataset=given))


@pytest.mark.parametrize("version", [2, 3])
def test_labels_and_series_are_listed(version: int, tmp_path: Path) -> None:
    _group(tmp_path / "labels", version, labels=["nuclei", "my cells"])
    for name in ("nuclei", "my cells"):
        _image(tmp_path / "labels" / name, version)
    with pytest.raises(InputError, match=r'group of label images .* nuclei, "my cells"'):
        read_volume(tmp_path / "labels")
    _group(tmp_path / "series.zarr", version, **{"bioformats2raw.layout": 3})
    for name in ("0", "1", "10"):
        _image(tmp_path / "series.zarr" / name, version)
    with pytest.raises(InputError, match="one of: 0, 1, 10"):
        read_volume(tmp_path / "series.zarr")


def test_a_scale_of_another_length_gives_no_size_and_the_users_does(tmp_path: Path) -> None:
    path = _image(tmp_path / "a.zarr", 2, scale=(0.5, 0.2, 0.2))
    with pytest.raises(MetadataError, match="scale has 3 numbers and the array 4 axes"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(0.5, 0.2, 0.2))).notes == ()


@pytest.mark.parametrize("version", [2, 3])
def test_empty_labels_of_another_program_are_zeros(version: int, tmp_path: Path) -> None:
    """No chunk is written where all voxels are the fill value; an image without chunks is incomplete instead."""
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.2, 0.2]}]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    images = [{"version": "0.4", "axes": axes, "datasets": levels}]
    group = _group(tmp_path / "l.zarr", version, **{"image-label": {}}, multiscales=images)
    group.create_array("0", shape=(3, 4, 5), chunks=(1, 4, 5), dtype="int32", fill_value=0)
    volume = read_volume(tmp_path / "l.zarr")
    assert volume.quantity == "labels"
    assert not volume.frame(0).any()
    assert volume.notes[0].startswith("W-ZARR-MISSING-CHUNKS: 3 of 3")
    other = _group(tmp_path / "i.zarr", version, multiscales=images)
    other.create_array("0", shape=(3, 4, 5), chunks=(1, 4, 5), dtype="int32", fill_value=0)
    with pytest.raises(InputError, match="E-ZARR-MISSING-CHUNKS"):
        read_volume(tmp_path / "i.zarr")
