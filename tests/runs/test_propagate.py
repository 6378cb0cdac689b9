"""Sparse labels in a file, dense labels in another, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.cli.propagate import parse_slices
from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.provenance import sha256_of_path
from tomocyte.runs.convert import write_whole_volume
from tomocyte.runs.propagate import PropagateSettings, propagate_file
from tomocyte.volume import Volume

SIZE = (0.7, 0.3, 0.2)


@pytest.fixture
def sparse_file(tmp_path: Path) -> Path:
    """Bars of 2 pixels on slice 1 and of 10 on slice 5 of 8: between them lie 4, 6 and 8."""
    labels = np.zeros((8, 3, 14), dtype=np.uint16)
    labels[1, :, :2] = labels[5, :, :10] = 300
    path = tmp_path / "sparse.ome.tif"
    write_volume(path, Volume.from_array(labels, voxel_size_um=SIZE, quantity="labels", unit="1"))
    return path


def widths(path: Path) -> list[int]:
    return np.count_nonzero(read_volume(path).frame(0)[0][:, 0] == 300, axis=1).tolist()


def test_a_file_becomes_a_dense_one_with_a_map_and_a_record(sparse_file: Path, tmp_path: Path) -> None:
    before = sha256_of_path(sparse_file)
    output = tmp_path / "new folder" / "dense.ome.tif"
    command = ["propagate", str(sparse_file), "-o", str(output), "--uncertainty-map"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 label on 2 slices along z, at most 3 slices between them; 3 slices before" in result.output
    assert widths(output) == [0, 2, 4, 6, 8, 10, 0, 0]
    dense, uncertainty = read_volume(output), read_volume(output.with_name("dense_uncertainty.ome.tif"))
    assert (dense.quantity, dense.unit, dense.dtype) == ("labels", "1", np.uint16)
    assert dense.voxel_size_um == uncertainty.voxel_size_um == pytest.approx(SIZE)
    assert uncertainty.dtype == np.float32
    assert np.unique(uncertainty.planes(0, 0)[[0, 6, 7]]).tolist() == [1]
    assert np.unique(uncertainty.planes(0, 0)[[1, 5]]).tolist() == [0]
    record = json.loads(output.with_name("dense.propagation.json").read_text(encoding="utf-8"))
    assert record["labels"] == {"name": "sparse.ome.tif", "sha256": before}
    assert (record["method"], record["settings"], record["slices"]) == ("signed-distance", {"is_tapered": True}, [1, 5])
    assert sha256_of_path(sparse_file) == before
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "dense.ome.tif",
        "dense.propagation.json",
        "dense_uncertainty.ome.tif",
    ]


def test_a_dry_run_checks_and_writes_nothing(sparse_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "dense.ome.tif"
    command = ["propagate", str(sparse_file), "-o", str(output), "--dry-run", "--set", "is_tapered=false"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "is_tapered=False" in result.output
    assert f"would write {output}" in result.output
    assert not output.parent.exists()


def test_nothing_is_overwritten(sparse_file: Path, tmp_path: Path) -> None:
    for name in ("dense.ome.tif", "dense_uncertainty.ome.tif", "dense.propagation.json"):
        taken = tmp_path / name
        taken.write_text("mine", encoding="utf-8")
        with pytest.raises(OutputError, match="E-EXISTS"):
            propagate_file(sparse_file, tmp_path / "dense.ome.tif", PropagateSettings(is_map_written=True))
        assert taken.read_text(encoding="utf-8") == "mine"
        taken.unlink()
    with pytest.raises(OutputError, match="E-EXISTS"):
        propagate_file(sparse_file, sparse_file, PropagateSettings())


def test_a_failure_leaves_nothing_half_written(sparse_file: Path, tmp_path: Path) -> None:
    def broken(frame: int, channel: int, z_start: int, z_stop: int) -> np.ndarray:
        raise OSError(28, "No space left on device")

    volume = Volume(shape=(1, 1, 3, 4, 5), dtype=np.dtype(np.uint8), read_planes=broken)
    with pytest.raises(OutputError, match="E-DISK"):
        write_whole_volume(tmp_path / "whole.ome.tif", volume)
    assert [path.name for path in tmp_path.iterdir()] == [sparse_file.name]


@pytest.mark.parametrize(
    ("shape", "dtype", "changes", "kind", "code"),
    [
        ((2, 1, 4, 5, 6), np.uint8, {}, InputError, "E-PROPAGATION-AXES"),
        ((1, 1, 4, 5, 6), np.uint8, {"axis": "t"}, InputError, "E-PROPAGATION-AXES"),
        ((4, 1, 1, 5, 6), np.uint8, {"axis": "y"}, InputError, "E-PROPAGATION-AXES"),
        ((4, 1, 1, 5, 6), np.uint8, {"slices": (0,), "other_slices": {"x": (1,)}}, InputError, "E-PROPAGATION-AXES"),
        ((1, 2, 4, 5, 6), np.uint8, {}, InputError, "E-PROPAGATION-AXES"),
        ((1, 1, 4, 5, 6), np.float32, {}, SettingsError, "E-LABELS-TYPE"),
        ((1, 1, 4, 5, 6), np.uint8, {}, SettingsError, "E-PROPAGATION-SLICES"),
        ((1, 1, 4, 5, 6), np.uint8, {"slices": (0, 9)}, SettingsError, "E-PROPAGATION-SLICES"),
        ((1, 1, 4, 5, 6), np.uint8, {"method": "nearest"}, SettingsError, "E-PROPAGATION-METHOD"),
        ((1, 1, 4, 5, 6), np.uint8, {"method_settings": {"taper": 1}}, SettingsError, "E-SETTINGS"),
    ],
)
def test_what_cannot_be_propagated_is_refused(
    tmp_path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    changes: dict[str, object],
    kind: type[Exception],
    code: str,
) -> None:
    path = tmp_path / "labels.ome.tif"
    write_volume(path, Volume.from_array(np.zeros(shape, dtype), voxel_size_um=SIZE))
    with pytest.raises(kind, match=code):
        propagate_file(path, tmp_path / "dense.ome.tif", PropagateSettings.model_validate(changes))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_unknown_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E-FORMAT-WRITE.*\.ome\.tif"):
        propagate_file(tmp_path / "missing.tif", tmp_path / "dense.doc", PropagateSettings())


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (3,)), ("0,20,40", (0, 20, 40)), ("0:7:3", (0, 3, 6)), ("9,0:2", (9, 0, 1))]
)
def test_slices_as_typed(text: str, expected: tuple[int, ...]) -> None:
    assert parse_slices(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1;2", "0:9:0", "1:2:3:4", "0.5"])
def test_slices_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="E-USAGE"):
        parse_slices(text)


def test_an_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tomocyte", "propagate", str(tmp_path / "none.tif"), "-o", str(tmp_path / "d.tif")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("error: E-NOT-FOUND")


def test_an_image_that_is_stored_in_other_directions_is_turned_to_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nibabel turns the image; a method sees it as it was, and the result lies where the labels lie."""
    import nibabel as nib

    from tomocyte.propagation import propagate

    image = np.random.default_rng(3).normal(size=(6, 14, 9)).astype(np.float32)  # x, y, z
    labels = np.zeros(image.shape, np.uint16)
    labels[:3, :6, 1] = labels[2:5, 4:12, 7] = 2
    affine = np.diag([0.2, 0.3, 0.7, 1.0])
    affine[:3, 3] = 5, -6, 7
    stored = {"labels": nib.Nifti1Image(labels, affine), "image": nib.Nifti1Image(image, affine)}
    stored["image"] = stored["image"].as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    for name, each in stored.items():
        each.header.set_xyzt_units("micron")
        nib.save(each, tmp_path / f"{name}.nii")
    seen = []

    def watched(*arguments: object, **options: object) -> object:
        seen.append(options["image"])
        return propagate(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("tomocyte.runs.propagate.propagate", watched)
    command = ["propagate", tmp_path / "labels.nii", "-o", tmp_path / "d.nii", "--image", tmp_path / "image.nii"]
    result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert result.exit_code == 0
    assert "note: W-ORIENTATION" in result.output
    np.testing.assert_array_equal(seen[0], image.T)
    np.testing.assert_allclose(nib.load(tmp_path / "d.nii").affine, affine, atol=1e-6)


def test_finishing_of_a_file_spares_labelled_slices(tmp_path: Path) -> None:
    """The hole between labelled slices is filled, that on the labelled one stays; the record says what was done."""
    labels = np.zeros((9, 12, 12), dtype=np.uint8)
    labels[[1, 7], 2:10, 2:10] = 1
    labels[1, 5, 5] = 0
    write_volume(tmp_path / "s.ome.tif", Volume.from_array(labels, voxel_size_um=SIZE, quantity="labels", unit="1"))
    command = ["propagate", str(tmp_path / "s.ome.tif"), "-o", str(tmp_path / "d.ome.tif")]
    result = CliRunner().invoke(app, [*command, "--smooth", "300", "--clean", "0.2", "--fill", "0.9"])
    assert result.exit_code == 0
    dense = read_volume(tmp_path / "d.ome.tif").planes(0, 0)
    assert np.array_equal(dense[[1, 7]], labels[[1, 7]])
    assert not dense[2:7, [2, 2, 9, 9], [2, 9, 2, 9]].any()
    assert dense[2:7, 4:8, 4:8].all()
    record = json.loads((tmp_path / "d.propagation.json").read_text(encoding="utf-8"))
    assert record["finishing"] == {"smooth": 300, "clean": 0.2, "fill": 0.9}


def test_an_image_that_does_not_say_its_axes_is_read_as_the_labels_are(sparse_file: Path, tmp_path: Path) -> None:
    """Labels and image as plain TIFF without axes: what is given for the labels is asked for once."""
    import tifffile

    labels = read_volume(sparse_file).planes(0, 0)
    for name, array in (("labels", labels), ("image", labels.astype(np.float32))):
        tifffile.imwrite(tmp_path / f"{name}.tif", array, metadata=None)
    words = ["propagate", str(tmp_path / "labels.tif"), "--image", str(tmp_path / "image.tif"), "-o"]
    sizes = ["--axes", "ZYX", "--voxel-size-um", "0.7", "0.3", "0.2"]
    result = CliRunner().invoke(app, [*words, str(tmp_path / "plain.ome.tif"), *sizes], catch_exceptions=False)
    assert result.exit_code == 0
    named = ["propagate", str(sparse_file), "--image", str(tmp_path / "known.ome.tif"), "-o"]
    write_volume(tmp_path / "known.ome.tif", Volume.from_array(labels.astype(np.float32), voxel_size_um=SIZE))
    result = CliRunner().invoke(app, [*named, str(tmp_path / "named.ome.tif")], catch_exceptions=False)
    found = [read_volume(tmp_path / f"{name}.ome.tif").planes(0, 0) for name in ("plain", "named")]
    assert np.array_equal(*found)


def test_an_image_among_several_arrays_is_named(sparse_file: Path, tmp_path: Path) -> None:
    import h5py

    labels = read_volume(sparse_file).planes(0, 0)
    with h5py.File(tmp_path / "both.h5", "w") as file:
        file["label"], file["raw"] = labels, labels.astype(np.float32)
    image, output = tmp_path / "both.h5", tmp_path / "dense.ome.tif"
    with pytest.raises(InputError, match=r"E-HDF5-DATASET.*--image-dataset with one of"):
        propagate_file(sparse_file, output, PropagateSettings(), image=image)
    words = ["propagate", str(image), "--dataset", "label", "--image", str(image), "--image-dataset", "raw"]
    sizes = ["--axes", "ZYX", "--voxel-size-um", "0.7", "0.3", "0.2"]
    result = CliRunner().invoke(app, [*words, *sizes, "-o", str(output)], catch_exceptions=False)
    assert result.exit_code == 0
    assert np.array_equal(read_volume(output).planes(0, 0)[[1, 5]], labels[[1, 5]])


@pytest.mark.parametrize(("size", "is_noted"), [((0.7, 0.3, 0.2), False), ((1.4, 0.3, 0.2), True)])
def test_voxels_of_another_size_in_the_image_are_told(
    sparse_file: Path, tmp_path: Path, size: tuple[float, float, float], is_noted: bool
) -> None:
    image = tmp_path / "image.ome.tif"
    grey = np.zeros((8, 3, 14), np.float32)
    grey[..., 7:] = 1
    write_volume(image, Volume.from_array(grey, voxel_size_um=size, quantity="intensity", unit="1"))
    command = ["propagate", str(sparse_file), "--image", str(image), "-o", str(tmp_path / "guided.ome.tif")]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    told = "note: the image has voxels of 1.4 x 0.3 x 0.2 um (z, y, x), the labels of 0.7 x 0.3 x 0.2 um"
    assert (told in result.output) is is_noted
    assert read_volume(tmp_path / "guided.ome.tif").voxel_size_um == pytest.approx(SIZE)
