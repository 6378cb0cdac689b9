"""What an OME-Zarr says twice: levels and scales, channels and names, axes and their types; and who says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from container_samples import COUNTS, SIZE_UM, zarr_04
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.runs.convert import convert
from tomocyte.volume import Volume

FINE = np.arange(3 * 2 * 4 * 8 * 12, dtype=np.uint16).reshape(3, 2, 4, 8, 12)
COARSE = FINE[..., ::2, ::2] + 1
SCALE = (60.0, 1.0, 0.5, 0.2, 0.1)


def _scale(*factors: float) -> list[dict[str, Any]]:
    return [{"type": "scale", "scale": list(factors)}]


def _store(
    path: Path, version: int, *, order: tuple[str, ...] = ("0", "1"), coarse: float = 2.0, **more: Any
) -> tuple[Path, dict[str, Any]]:
    """An image of two levels with five axes; returns its folder and its entry of multiscales."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, voxels in (("0", FINE), ("1", COARSE)):
        group.create_array(name, data=voxels, chunks=(1, 1, 2, 4, 6))
    scales = {"0": _scale(*SCALE), "1": _scale(*SCALE[:3], SCALE[3] * coarse, SCALE[4] * coarse)}
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    levels = [{"path": name, "coordinateTransformations": scales[name]} for name in order]
    image: dict[str, Any] = {"version": "0.4", "axes": axes, "datasets": levels} | more
    _say(path, version, multiscales=[image])
    return path, image


def _say(path: Path, version: int, **ome: Any) -> None:
    group = zarr.open_group(path, mode="r+", zarr_format=version)
    group.attrs.put({"ome": {"version": "0.5", **ome}} if version == 3 else ome)


def _codes(volume: Volume) -> list[str]:
    return [note.split(":")[0] for note in volume.notes]


@pytest.mark.parametrize("version", [2, 3])
def test_the_finest_level_is_read_wherever_it_stands(version: int, tmp_path: Path) -> None:
    path, _ = _store(tmp_path / "a.zarr", version)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.frame(2), FINE[2])
    assert volume.notes == ()
    other, _ = _store(tmp_path / "b.zarr", version, order=("1", "0"))
    volume = read_volume(other)
    np.testing.assert_array_equal(volume.frame(2), FINE[2])
    assert volume.voxel_size_um == (0.5, 0.2, 0.1)
    assert _codes(volume) == ["W-ZARR-LEVELS"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_level_is_chosen_by_its_path_or_as_a_folder(version: int, tmp_path: Path) -> None:
    path, _ = _store(tmp_path / "a.zarr", version)
    shown = CliRunner().invoke(app, ["info", str(path), "--json"])
    assert json.loads(shown.output)["images"] == ["0", "1"]
    for volume in (read_volume(path, ReadOptions(dataset="1")), read_volume(path / "1")):
        np.testing.assert_array_equal(volume.frame(1), COARSE[1])
        assert volume.voxel_size_um == (0.5, 0.4, 0.2)
        assert volume.time_s == (0.0, 60.0, 120.0)


def test_a_missing_coarser_level_is_not_needed_and_the_finest_is(tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", 2)
    (path / "1" / ".zarray").unlink()
    np.testing.assert_array_equal(read_volume(path).frame(0), FINE[0])
    image["datasets"].reverse()
    _say(path, 2, multiscales=[image])
    with pytest.raises(InputError, match="E-ZARR-METADATA"):
        read_volume(path)


@pytest.mark.parametrize(("coarse", "is_noted"), [(1.0, True), (2.0, False), (1.9, False), (4.5, True)])
def test_scales_of_levels_against_their_sizes(coarse: float, is_noted: bool, tmp_path: Path) -> None:
    path, _ = _store(tmp_path / "a.zarr", 2, coarse=coarse)
    assert _codes(read_volume(path)) == ["W-ZARR-LEVELS"] * is_noted


def test_several_images_in_one_group_are_named(tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", 2, order=("0",))
    other = {**image, "datasets": [{"path": "1", "coordinateTransformations": _scale(1, 1, 3, 3, 3)}]}
    _say(path, 2, multiscales=[image, other])
    volume = read_volume(path)
    assert _codes(volume) == ["W-SERIES"]
    assert volume.notes[0].endswith("Give --dataset with one of: 0, 1.")
    second = read_volume(path, ReadOptions(dataset="1"))
    assert second.voxel_size_um == (3.0, 3.0, 3.0)
    np.testing.assert_array_equal(second.frame(0), COARSE[0])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("names", "found"),
    [(["DNA", "actin"], ("DNA", "actin")), (["DNA", ""], ("DNA", "")), (["DNA"], ()), (["a", "b", "c"], ()), ([], ())],
)
def test_names_against_channels(version: int, names: list[str], found: tuple[str, ...], tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", version)
    _say(path, version, multiscales=[image], omero={"channels": [{"label": name} for name in names]})
    volume = read_volume(path)
    assert volume.channel_names == found
    assert _codes(volume) == ["W-ZARR-CHANNELS"] * (len(names) in (1, 3))


def test_axes_are_known_by_their_type_where_their_name_is_a_word(tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", 2)
    image["axes"][0] = {"name": "Zeit", "type": "time", "unit": "minute"}
    image["axes"][1] = {"name": "stain", "type": "channel"}
    _say(path, 2, multiscales=[image])
    volume = read_volume(path)
    assert volume.shape == FINE.shape
    assert volume.time_s == (0.0, 3600.0, 7200.0)
    image["axes"][0]["type"] = "channel"  # two channels, no time
    _say(path, 2, multiscales=[image])
    with pytest.raises(MetadataError, match="E-AXES"):
        read_volume(path)
    assert read_volume(path, ReadOptions(axes="TCZYX", voxel_size_um=SIZE_UM)).shape == FINE.shape


@pytest.mark.parametrize("version", [2, 3])
def test_dimension_names_against_axes(version: int, tmp_path: Path) -> None:
    path, _ = _store(tmp_path / "a.zarr", version)
    file = path / "0" / ("zarr.json" if version == 3 else ".zattrs")
    node = json.loads(file.read_text()) if file.exists() else {}
    key = "dimension_names" if version == 3 else "_ARRAY_DIMENSIONS"
    for names, is_read in ((list("tczyx"), True), (["a", "b", "c", "d", "e"], True), (list("tzcyx"), False)):
        file.write_text(json.dumps({**node, key: names}))
        if is_read:
            assert read_volume(path).shape == FINE.shape
            continue
        with pytest.raises(MetadataError, match=r"E-AXES.*\(tczyx\).*\(tzcyx\)"):
            read_volume(path)


def test_a_plain_array_takes_its_axes_from_its_own_names(tmp_path: Path) -> None:
    """As xarray writes them with version 3 of Zarr."""
    zarr.create_array(str(tmp_path / "a.zarr"), data=COUNTS, dimension_names=("x", "y", "z"))
    volume = read_volume(tmp_path / "a.zarr", ReadOptions(voxel_size_um=SIZE_UM))
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS.transpose(2, 1, 0))


def test_who_says_what(tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", 3)
    _say(path, 3, multiscales=[image], omero={"channels": [{"label": "DNA"}, {"label": "actin"}]})
    assert read_volume(path).sources == {
        "voxel_size_um": "OME-Zarr scale and units of axes",
        "time_s": "OME-Zarr scale and unit of t",
        "channel_names": "OME-Zarr omero channels",
    }
    own = Volume.from_array(COUNTS, voxel_size_um=SIZE_UM, quantity="refractive_index", unit="1", medium_ri=1.337)
    write_volume(tmp_path / "own.ome.zarr", own)
    volume = read_volume(tmp_path / "own.ome.zarr", ReadOptions(voxel_size_um=SIZE_UM))
    assert volume.sources == {
        "voxel_size_um": "--voxel-size-um",
        "quantity": "tomocyte quantity",
        "unit": "tomocyte unit",
        "medium_ri": "tomocyte medium_ri",
    }


def test_labels_of_an_image_are_listed_and_those_that_lead_outside_left_out(tmp_path: Path) -> None:
    path = zarr_04(tmp_path).path
    labels = zarr.open_group(path / "labels", mode="w", zarr_format=2)
    labels.attrs["labels"] = ["cells"]
    _store(path / "labels" / "cells", 2)
    shown = CliRunner().invoke(app, ["info", str(path), "--json"])
    assert json.loads(shown.output)["images"] == ["a/full", "labels/cells"]
    assert read_volume(path, ReadOptions(dataset="labels/cells")).shape == FINE.shape
    labels.attrs["labels"] = ["../../secret"]
    assert read_volume(path).shape == (1, 1, *COUNTS.shape)


AT = [
    {"type": "scale", "scale": [1.0, 1.0, 500.0, 200.0, 100.0]},
    {"type": "translation", "translation": [7, 0, 3, 4, 5]},
]


@pytest.mark.parametrize("version", [2, 3])
def test_a_position_is_kept_by_a_conversion_or_named(version: int, tmp_path: Path) -> None:
    """Nanometres; the pyramid is scaled by 2 and then shifted: first voxel at 2 · (3, 4, 5) + (10, 20, 30) nm."""
    path, image = _store(tmp_path / "a.zarr", version, order=("0",))
    image["datasets"][0]["coordinateTransformations"] = AT
    image["coordinateTransformations"] = [
        *_scale(1, 1, 2, 2, 2),
        {"type": "translation", "translation": [0, 0, 10, 20, 30]},
    ]
    image["axes"][2:] = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    _say(path, version, multiscales=[image])
    volume = read_volume(path)
    assert volume.voxel_size_um == pytest.approx((1.0, 0.4, 0.2))
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine[3], (0.040, 0.028, 0.016))  # x, y, z
    for name, lost in (("b.ome.zarr", []), ("b.ome.tif", ["W-CONVERT-POSITION"])):
        notes = convert(path, tmp_path / name, ReadOptions())
        assert [note.split(":")[0] for note in notes] == lost
    again = read_volume(tmp_path / "b.ome.zarr")
    np.testing.assert_allclose(again.affine, volume.affine)


def test_a_translation_that_does_not_fit_the_axes_leaves_the_size(tmp_path: Path) -> None:
    path, image = _store(tmp_path / "a.zarr", 2, order=("0",))
    image["datasets"][0]["coordinateTransformations"].append({"type": "translation", "translation": [1, 2, 3]})
    _say(path, 2, multiscales=[image])
    volume = read_volume(path)
    assert volume.voxel_size_um == (0.5, 0.2, 0.1)
    assert volume.affine is None
    assert volume.notes == ("W-ZARR-POSITION: the translation has 3 numbers and the array 5 axes.",)


def test_a_pyramid_of_a_shifted_image_begins_where_the_image_does(tmp_path: Path) -> None:
    """Means of two voxels lie half a voxel further, labels where the first of them lies."""
    affine = ((0.0, 0.0, 0.5), (0.0, 0.2, 0.0), (0.1, 0.0, 0.0), (5.0, 4.0, 3.0))
    for quantity in ("intensity", "labels"):
        known = {"voxel_size_um": (0.5, 0.2, 0.1), "affine": affine, "affine_unit": "um", "quantity": quantity}
        volume = Volume.from_array(np.ones((4, 600, 600), np.uint8), **known)
        write_volume(tmp_path / f"{quantity}.ome.zarr", volume)
        node = json.loads((tmp_path / f"{quantity}.ome.zarr" / "zarr.json").read_text())
        steps = [
            level["coordinateTransformations"] for level in node["attributes"]["ome"]["multiscales"][0]["datasets"]
        ]
        assert steps[0][1]["translation"][2:] == pytest.approx((3, 4, 5))
        scale = np.array(steps[1][0]["scale"][2:]) / known["voxel_size_um"]
        expected = np.array((3, 4, 5)) + ((scale - 1) / 2 * known["voxel_size_um"] if quantity == "intensity" else 0)
        assert steps[1][1]["translation"][2:] == pytest.approx(expected)
