"""Every source to every target: voxels stay, each property is kept or named, or the target is refused with another."""

from __future__ import annotations

import re
from pathlib import Path

import maker_samples
import numpy as np
import pytest
import zarr
from container_samples import FIVE, SAMPLES, read_all

from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, formats, read_volume, write_volume
from tomocyte.formats._tcf_write import write_fluorescence
from tomocyte.runs.convert import convert
from tomocyte.volume import Volume

TARGETS = ("a.ome.tif", "a.ome.zarr", "a.nrrd", "a.nii", "a.nii.gz", "a.mrc", "a.tcf")
LOST_FROM_TCF = {  # two frames 30.5 s apart, refractive index, medium of 1.337; by the definitions of the formats
    "a.ome.tif": set(),
    "a.ome.zarr": set(),
    "a.nrrd": set(),
    "a.nii": {"QUANTITY", "UNIT", "MEDIUM"},
    "a.nii.gz": {"QUANTITY", "UNIT", "MEDIUM"},
    "a.mrc": {"TIMES", "QUANTITY", "UNIT", "MEDIUM"},
    "a.tcf": set(),
}
WORDS = {
    "LABELS": "label_names",
    "CHANNELS": "channel_names",
    "QUANTITY": "quantity",
    "UNIT": "unit",
    "MEDIUM": "medium_ri",
}


def test_every_format_that_is_written_is_a_target() -> None:
    written = {suffix for entry in formats().values() if entry.write is not None for suffix in entry.suffixes}
    assert {name.removeprefix("a") for name in TARGETS} <= written


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["tcf", "tcf_tiled"])
def test_what_is_lost_of_a_tcf_is_what_the_target_has_no_place_for(source: str, target: str, tmp_path: Path) -> None:
    sample = SAMPLES[source](tmp_path)
    notes = convert(sample.path, tmp_path / target, ReadOptions())
    assert {note.split(":")[0].removeprefix("W-CONVERT-") for note in notes} == LOST_FROM_TCF[target]
    after = read_volume(tmp_path / target)
    np.testing.assert_allclose(read_all(tmp_path / target, ReadOptions()), sample.voxels, rtol=0, atol=1e-7)
    np.testing.assert_allclose(after.voxel_size_um, sample.size_um, rtol=1e-6)
    if "TIMES" not in LOST_FROM_TCF[target]:
        assert after.time_s == (0.0, 30.5)
    if not LOST_FROM_TCF[target]:
        assert (after.quantity, after.unit, after.medium_ri) == ("refractive_index", "1", 1.337)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SAMPLES)
def test_voxels_stay_and_what_is_not_kept_is_named(source: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sample = SAMPLES[source](tmp_path / "in")
    before = read_volume(sample.path, sample.options)
    if target == "a.tcf" and before.quantity != "refractive_index":
        with pytest.raises(InputError, match="E-TCF-WRITE") as refused:
            convert(sample.path, tmp_path / target, sample.options)
        for ending in re.findall(r"\.ome\.[a-z]+", refused.value.cure):  # what the cure names takes it
            convert(sample.path, tmp_path / f"b{ending}", sample.options)
            assert read_volume(tmp_path / f"b{ending}").shape == before.shape
        assert len(list(tmp_path.glob("b.*"))) == 2
        return
    notes = convert(sample.path, tmp_path / target, sample.options)
    after = read_volume(tmp_path / target)
    voxels = read_all(sample.path, sample.options)
    np.testing.assert_allclose(read_all(tmp_path / target, ReadOptions()), voxels, rtol=0, atol=1e-7)
    np.testing.assert_allclose(after.voxel_size_um, before.voxel_size_um, rtol=1e-6)
    named = {note.split(":")[0].removeprefix("W-CONVERT-") for note in notes}
    lost = {code for code, field in WORDS.items() if getattr(before, field) != getattr(after, field)}
    if before.n_frames > 1 and before.time_s != (() if after.time_s is None else pytest.approx(after.time_s)):
        lost.add("TIMES")
    if after.dtype != before.dtype:
        lost.add("TYPE")
    assert named - {"POSITION", "ORIENTATION"} == lost


def test_images_that_a_conversion_leaves_out_are_named(tmp_path: Path) -> None:
    """Fluorescence of a TCF on its own grid, a second image of a LIF, labels of an OME-Zarr; not its resolutions."""
    green = Volume.from_array(np.zeros((3, 4, 5), np.uint8), voxel_size_um=(1, 1, 1))
    mixed = SAMPLES["tcf"](tmp_path).path
    write_fluorescence(mixed, green)
    lif = maker_samples.lif(tmp_path / "a.lif", {"one": FIVE, "two": FIVE})
    wide = Volume.from_array(np.zeros((2, 300, 300), np.uint8), voxel_size_um=(1, 1, 1))
    write_volume(tmp_path / "wide.ome.zarr", wide)
    for number, (path, dataset, named) in enumerate(
        [
            (mixed, None, "3DFL/CH0"),
            (mixed, "3DFL/CH0", None),
            (lif, None, "two"),
            (lif, "two", None),
            (tmp_path / "wide.ome.zarr", None, None),
        ]
    ):
        notes = convert(path, tmp_path / f"{number}.ome.tif", ReadOptions(dataset=dataset))
        left = [note for note in notes if note.startswith("W-CONVERT-IMAGES")]
        assert len(left) == (named is not None), notes
        assert named is None or f"not in the new file: {named}." in left[0]
    labels = tmp_path / "wide.ome.zarr" / "labels"
    zarr.open_group(labels, mode="w", zarr_format=3).attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    write_volume(labels / "cells", wide.with_properties(quantity="labels"), format_name="ome-zarr")
    (note,) = convert(tmp_path / "wide.ome.zarr", tmp_path / "last.ome.tif", ReadOptions())
    assert "not in the new file: labels/cells. Convert each with --dataset." in note
