"""What is written never replaces what is there, and a conversion names what it does not keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import OutputError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.runs.convert import convert, refuse_existing
from tomocyte.volume import Volume


def test_files_and_folders_that_exist_are_refused(tmp_path: Path) -> None:
    folder, file, free = tmp_path / "folder", tmp_path / "file.tif", tmp_path / "free.tif"
    folder.mkdir()
    file.write_bytes(b"")
    refuse_existing()
    refuse_existing(free, tmp_path / "no" / "such.tif")
    for target in (folder, file):
        with pytest.raises(OutputError, match=r"E-EXISTS.*Take another") as caught:
            refuse_existing(free, target, cure="Take another.")
        assert str(target) in str(caught.value)


def _source(folder: Path, *, n_channels: int, times: tuple[float, ...], depth: int, **properties: object) -> Path:
    voxels = np.arange(len(times) * n_channels * depth * 20, dtype=np.int16).reshape(-1, n_channels, depth, 4, 5)
    thickness = 0.5 if depth > 1 else float("nan")
    volume = Volume.from_array(voxels, voxel_size_um=(thickness, 0.2, 0.1), time_s=times, **properties)
    write_volume(folder / "source.ome.zarr", volume)
    return folder / "source.ome.zarr"


NO_PLACE = {  # by the definitions of the formats: what has no field in them
    "a.ome.tif": set(),
    "a.ome.zarr": set(),
    "a.nrrd": set(),
    "a.nii": {"TIMES", "CHANNELS", "QUANTITY", "UNIT", "MEDIUM", "ORIGIN"},
    "a.nii.gz": {"TIMES", "CHANNELS", "QUANTITY", "UNIT", "MEDIUM", "ORIGIN"},
    "a.mrc": {"TIMES", "CHANNELS", "QUANTITY", "UNIT", "MEDIUM", "ORIGIN"},
}


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("name", sorted(NO_PLACE))
def test_a_conversion_keeps_a_property_or_names_it(name: str, depth: int, tmp_path: Path) -> None:
    """Irregular times, names, quantity, unit, medium, origin; a plane without thickness stays without one."""
    n_channels = 1 if name == "a.mrc" else 2
    source = _source(
        tmp_path,
        n_channels=n_channels,
        times=(0.0, 2.0, 6.6, 7.0),
        depth=depth,
        channel_names=("DNA µ", "actin")[:n_channels],
        quantity="intensity",
        unit="photons",
        medium_ri=1.35,
        origin={"medium_ri": "simulated"},
    )
    notes = convert(source, tmp_path / name, ReadOptions())
    assert {note.split(":")[0].removeprefix("W-CONVERT-") for note in notes} == NO_PLACE[name]
    assert all("not kept" in note for note in notes)
    before, after = read_volume(source), read_volume(tmp_path / name)
    np.testing.assert_allclose(after.voxel_size_um, (0.5 if depth > 1 else np.nan, 0.2, 0.1), rtol=1e-6)
    np.testing.assert_array_equal(
        [after.frame(frame) for frame in range(4)], [before.frame(frame) for frame in range(4)]
    )
    if not NO_PLACE[name]:
        assert after.time_s == (0.0, 2.0, 6.6, 7.0)
        assert after.channel_names == ("DNA µ", "actin")
        assert (after.quantity, after.unit, after.medium_ri) == ("intensity", "photons", 1.35)
        assert after.is_simulated


def test_regular_times_are_kept_by_nifti_and_uneven_ones_are_not_evened(tmp_path: Path) -> None:
    for times, lost in (((0.0, 2.0, 4.0), ()), ((0.0, 2.0, 4.01), ("W-CONVERT-TIMES",))):
        folder = tmp_path / str(times[-1])
        folder.mkdir()
        notes = convert(_source(folder, n_channels=1, times=times, depth=2), folder / "a.nii", ReadOptions())
        assert tuple(note.split(":")[0] for note in notes) == lost


def test_another_type_is_named(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.ome.zarr", Volume.from_array(np.ones((3, 4), np.float16), voxel_size_um=(np.nan, 1, 1)))
    assert convert(tmp_path / "a.ome.zarr", tmp_path / "a.nii", ReadOptions()) == (
        "W-CONVERT-TYPE: the voxels are now float32 instead of float16.",
    )


def _nifti(path: Path, rows: np.ndarray, unit: str) -> Path:
    import nibabel as nib

    image = nib.Nifti1Image(np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4), rows)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


TURNED = np.array([[0.0, 0.0, -0.5, 3.0], [0.2, 0.0, 0.0, -7.5], [0.0, -0.3, 0.0, 11.25], [0, 0, 0, 1.0]])
"""x is stored to the front, y down and z to the left."""
ANGLE = np.deg2rad(25)
OBLIQUE = TURNED.copy()
OBLIQUE[:3] = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]) @ TURNED[:3]


@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz"])
@pytest.mark.parametrize("rows", [TURNED, OBLIQUE], ids=["turned", "oblique"])
@pytest.mark.parametrize(("unit", "factor"), [("micron", 1.0), ("mm", 1e-3)])
def test_nifti_keeps_directions_and_position(
    name: str, rows: np.ndarray, unit: str, factor: float, tmp_path: Path
) -> None:
    """nibabel finds each voxel at the same place in space, in µm."""
    import nibabel as nib

    scaled = rows.copy()
    scaled[:3] *= factor
    assert convert(_nifti(tmp_path / "a.nii", scaled, unit), tmp_path / name, ReadOptions()) == ()
    image = nib.load(tmp_path / name)
    np.testing.assert_allclose(image.affine, rows, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_array_equal(image.dataobj, nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_allclose(read_volume(tmp_path / name).voxel_size_um, (0.5, 0.3, 0.2), rtol=1e-6)


def test_a_voxel_size_of_the_user_keeps_the_directions_and_a_position_without_unit_is_named(tmp_path: Path) -> None:
    import nibabel as nib

    source = _nifti(tmp_path / "a.nii", TURNED, "unknown")
    (note,) = convert(source, tmp_path / "b.nii", ReadOptions(voxel_size_um=(1.0, 0.6, 0.4)))
    assert note == (
        "W-CONVERT-POSITION: where the first voxel lies (x, y, z = 3, -7.5, 11.25 in the file's own unit, which has no "
        "name): not kept."
    )
    expected = TURNED.copy()
    expected[:3, :3] *= 2
    expected[:3, 3] = 0
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").affine, expected, atol=1e-6)


def test_a_plane_keeps_its_place_and_gets_no_thickness(tmp_path: Path) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(np.arange(30, dtype=np.int16).reshape(6, 5), TURNED)
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    assert convert(tmp_path / "a.nii", tmp_path / "b.nii", ReadOptions()) == ()
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").affine, TURNED, atol=1e-6)
    assert np.isnan(read_volume(tmp_path / "b.nii").require_voxel_size()[0])


@pytest.mark.parametrize("name", ["b.ome.tif", "b.ome.zarr", "b.mrc"])
def test_formats_without_a_place_for_it_name_the_loss(name: str, tmp_path: Path) -> None:
    straight = np.diag([0.2, 0.3, 0.5, 1.0])
    assert convert(_nifti(tmp_path / "a.nii", straight, "micron"), tmp_path / name, ReadOptions()) == ()
    source = _nifti(tmp_path / "c.nii", TURNED, "micron")
    notes = convert(source, tmp_path / f"c{name}", ReadOptions())
    assert [note.split(":")[0] for note in notes] == ["W-CONVERT-ORIENTATION", "W-CONVERT-POSITION"]
