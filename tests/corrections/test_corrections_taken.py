"""Labels corrected in another program, taken back, replayed, and handed on to training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import FIRST, TWO, contents, segment, tomocyte, write_edits

from tomocyte.datasets.labelled import find_items, folder_settings
from tomocyte.errors import TomocyteError
from tomocyte.formats import read_volume, write_volume
from tomocyte.ledger import verify
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.training.data.patches import Labelled, object_voxels
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.settings import DataSettings
from tomocyte.volume import Volume

SHAPE = (24, 36, 52)
Z_UM, Y_UM, X_UM = BALL_SIZE_UM
KNOWN = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two inputs: ``s`` with two balls, ``m`` with two frames of one ball; read only, copied where written."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "in").mkdir()
    write_volume(folder / "in" / "s.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **KNOWN))
    series = np.stack([ball_ri(), ball_ri(centres_um=((0.0, 1.0, 2.0),))])[:, None]
    write_volume(folder / "in" / "m.ome.tif", Volume.from_array(series, **KNOWN, time_s=(0.0, 30.0)))
    assert segment(folder / "in", folder / "out").exit_code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(finished / "out", tmp_path / "out"))


def labels_of(run: Path, item: str) -> np.ndarray:
    volume = read_volume(run / "items" / item / "cell.ome.tif")
    return np.stack([volume.planes(frame, 0) for frame in range(volume.n_frames)])


def corrected_labels(run: Path) -> np.ndarray:
    """The first ball cut in two, the second one deleted, something new in the corner."""
    labels = labels_of(run, "s")[0]
    x = np.indices(SHAPE)[2]
    labels[(labels == 1) & (x >= 13)] = 3
    labels[labels == 2] = 0
    labels[0, 0, :4] = 9
    return labels


def save(path: Path, labels: np.ndarray, how: str) -> Path:
    """As programs do: napari and Fiji with and without axes and sizes, in integers and floats."""
    ome: dict[str, Any] = {"ome": True, "photometric": "minisblack"}
    size = {"PhysicalSizeZ": Z_UM, "PhysicalSizeY": Y_UM, "PhysicalSizeX": X_UM * 1.004}
    match how:
        case "OME-TIFF with a rounded size":
            tifffile.imwrite(path, labels.astype(np.uint16), metadata={"axes": "ZYX", **size}, **ome)
        case "planes called channels":
            tifffile.imwrite(path, labels.astype(np.uint8), metadata={"axes": "CYX"}, **ome)
        case "planes called frames":
            tifffile.imwrite(path, labels.astype(np.uint8), metadata={"axes": "TYX"}, **ome)
        case "napari, bare":
            tifffile.imwrite(path, labels.astype(np.int32), photometric="minisblack")
        case "Fiji, 32-bit float":
            tifffile.imwrite(path, labels.astype(np.float32), imagej=True, metadata={"axes": "ZYX"})
        case "Fiji, 16 bit":
            tifffile.imwrite(path, labels.astype(np.uint16), imagej=True, metadata={"axes": "ZYX"})
        case _:
            raise ValueError(how)
    return path


@pytest.mark.parametrize(
    "how",
    [
        "OME-TIFF with a rounded size", "planes called channels", "planes called frames", "napari, bare",
        "Fiji, 32-bit float", "Fiji, 16 bit",
    ],
)  # fmt: skip
def test_what_other_programs_save_is_understood(finished: Path, tmp_path: Path, how: str) -> None:
    file = save(tmp_path / "corrected.tif", corrected_labels(finished / "out"), how)
    edits = tmp_path / "edits.yaml"
    done = tomocyte(
        "edits", "from-labels", finished / "out", "s", "--structure", "cell", "--corrected", file, "-o", edits
    )
    assert "1 add, 1 delete, 1 split: wrote" in done.stdout, done.stderr
    assert ("voxel size" in done.stderr) == (how != "OME-TIFF with a rounded size")
    assert ("axes" in done.stderr) == (how == "napari, bare")
    kinds = [edit["do"] for edit in yaml.safe_load(edits.read_text())["edits"]]
    assert kinds == ["delete", "split", "add"]


def test_taken_edits_give_the_corrected_labels_again_and_again(finished: Path, run: Path, tmp_path: Path) -> None:
    """From a run, corrected, run again; corrected once more on top of that; each time exactly what was saved."""
    edits = tmp_path / "edits.yaml"
    take = ("edits", "from-labels", run, "s", "--structure", "cell", "-o", edits, "--corrected")
    again = (finished / "in", run, "--edits", edits)
    wanted = corrected_labels(run)
    tomocyte(*take, save(tmp_path / "one.tif", wanted, "napari, bare"))
    assert segment(*again).exit_code == 0
    np.testing.assert_array_equal(labels_of(run, "s")[0], wanted)
    assert "nothing to write" in tomocyte(*take, tmp_path / "one.tif", "--append").stdout

    wanted[wanted == 3] = 1
    wanted[5:8, 5:8, 5:8] = 0
    second = save(tmp_path / "two.tif", wanted, "Fiji, 16 bit")
    refused = tomocyte(*take, second)
    assert refused.exception.code == "E-EXISTS"
    tomocyte(*take, second, "--append")
    assert segment(*again).exit_code == 0
    np.testing.assert_array_equal(labels_of(run, "s")[0], wanted)
    log = json.loads((run / "items" / "s" / "edits_log.json").read_text())
    assert [entry["do"] for entry in log] == ["delete", "split", "add", "merge", "repaint"]
    assert verify(run).is_ok

    write_edits(edits, {"do": "delete", "targets": [{"um": FIRST}]}, item="s")
    assert tomocyte(*take, second, "--append").exception.code == "E-EDIT-BASE"


def test_frames_and_several_items_share_one_file(finished: Path, run: Path, tmp_path: Path) -> None:
    edits = tmp_path / "edits.yaml"
    series = labels_of(run, "m")
    one = series[1].copy()
    one[0, :2, :3] = 4
    take = ("edits", "from-labels", run)
    more = ("--structure", "cell", "-o", edits, "--corrected")
    tomocyte(*take, "m", *more, save(tmp_path / "frame.tif", one, "napari, bare"), "--frame", 1)
    tomocyte(*take, "s", *more, save(tmp_path / "s.tif", corrected_labels(run), "napari, bare"), "--append")
    content = yaml.safe_load(edits.read_text())
    assert sorted(content["items"]) == ["m", "s"]
    assert [(edit["do"], edit["frame"]) for edit in content["items"]["m"]["edits"]] == [("add", 1)]
    whole = np.stack([series[0], one])
    whole[0, 23, 35, 51] = 8
    tifffile.imwrite(tmp_path / "whole.tif", whole.astype(np.int16), photometric="minisblack")
    done = tomocyte(*take, "m", *more, tmp_path / "whole.tif", "--append")
    assert "1 add" in done.stdout, "what is pending is not told again"
    assert segment(finished / "in", run, "--edits", edits).exit_code == 0
    np.testing.assert_array_equal(labels_of(run, "m"), whole)
    np.testing.assert_array_equal(labels_of(run, "s")[0], corrected_labels(finished / "out"))


def test_label_images_that_cannot_be_right_are_refused(finished: Path, run: Path, tmp_path: Path) -> None:
    labels = corrected_labels(run)
    file = tmp_path / "bad.tif"

    def code(*more: object, item: str = "s", structure: str = "cell", corrected: Path = file) -> str:
        arguments = ("--structure", structure, "--corrected", corrected, "-o", tmp_path / "edits.yaml", *more)
        error = tomocyte("edits", "from-labels", run, item, *arguments).exception
        assert isinstance(error, TomocyteError)
        assert not (tmp_path / "edits.yaml").exists()
        return error.code

    def written(voxels: np.ndarray, **options: Any) -> str:
        tifffile.imwrite(file, voxels, photometric="minisblack", **options)
        return code()

    wrong_size = {"axes": "ZYX", "PhysicalSizeZ": Z_UM, "PhysicalSizeY": X_UM, "PhysicalSizeX": Y_UM}
    assert written(labels[:, :, 1:].astype(np.uint8)) == "E-SHAPE"
    assert written(np.swapaxes(labels, 1, 2).astype(np.uint8)) == "E-SHAPE"
    assert written(labels.astype(np.float32) + np.float32(0.5)) == "E-LABELS-TYPE"
    assert written(np.where(labels == 9, np.nan, labels).astype(np.float32)) == "E-LABELS-TYPE"
    assert written(-labels.astype(np.int16)) == "E-LABELS-TYPE"
    assert written(labels.astype(np.uint32) << 24) == "E-EDIT-LABEL"
    assert written(labels.astype(np.uint16), ome=True, metadata=wrong_size) == "E-EDIT-VOXEL-SIZE"
    save(file, labels, "napari, bare")
    assert code(item="x") == "E-EDIT-ITEM"
    assert code(structure="vacuole") == "E-EDIT-STRUCTURE"
    assert code("--frame", 1) == "E-EDIT-FRAME"
    assert code(item="m") == "E-SHAPE"
    assert code(corrected=tmp_path / "absent.tif") == "E-NOT-FOUND"
    save(run / "items" / "s" / "cell.ome.tif", labels, "napari, bare")
    (run / "items" / "s" / "as_written" / "cell.ome.tif").unlink()
    assert code() == "E-EDIT-BASE", "corrected in place, and no copy of what was written"


# --- handed on to training


DATA = DataSettings(modality="odt", structures=("cell", "nucleus"), normalization=NormalizationSettings(kind="fixed"))


@pytest.fixture(scope="module")
def corrected_run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ball of ``s`` and the second frame of ``m`` corrected."""
    folder = tmp_path_factory.mktemp("corrected")
    box = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [1, 2, 3]}}}
    items = {
        "s": {"edits": [{"do": "delete", "structure": "cell", "targets": [{"um": FIRST}]}]},
        "m": {"edits": [{"do": "add", "structure": "cell", "frame": 1, "label": 255, "shape": box}]},
    }
    (folder / "edits.yaml").write_text(yaml.safe_dump({"version": 1, "items": items}))
    edits = ("--edits", folder / "edits.yaml")
    assert segment(finished / "in", folder / "out", *edits).exit_code == 0
    return folder / "out"


def exported(run: Path, output: Path, *more: object) -> dict[str, tuple[Volume, dict[str, Volume]]]:
    done = tomocyte("edits", "export", run, "-o", output, *more)
    assert done.exception is None, done.exception
    assert verify(output).is_ok
    return {
        item.name: (read_volume(item.image), {name: read_volume(path) for name, path in item.labels.items()})
        for item in find_items(output, DATA)
    }


def test_only_what_was_corrected_is_exported(finished: Path, corrected_run: Path, tmp_path: Path) -> None:
    found = exported(corrected_run, tmp_path / "set")
    assert sorted(found) == ["m", "s"]
    image, labels = found["m"]
    assert image.shape == (1, 1, *SHAPE)
    assert image.voxel_size_um == pytest.approx(BALL_SIZE_UM)
    assert (image.quantity, image.medium_ri) == ("refractive_index", MEDIUM_RI)
    source = read_volume(finished / "in" / "m.ome.tif")
    np.testing.assert_array_equal(image.planes(0, 0), source.planes(1, 0))
    assert list(labels) == ["cell", "nucleus"]
    wanted = labels_of(corrected_run, "m")[1]
    np.testing.assert_array_equal(labels["cell"].planes(0, 0) > 0, wanted > 0)
    assert 255 not in labels["cell"].planes(0, 0), "255 means: nobody looked"
    assert folder_settings(tmp_path / "set") == {"ignore_label": 255}
    before = contents(tmp_path / "set")
    exported(corrected_run, tmp_path / "set")
    assert contents(tmp_path / "set") == before


def test_everything_or_some_structures(corrected_run: Path, tmp_path: Path) -> None:
    image, labels = exported(corrected_run, tmp_path / "all", "--all")["m"]
    assert image.n_frames == 2
    assert sorted(labels) == ["cell", "nucleus"]
    some = exported(corrected_run, tmp_path / "some", "--structure", "nucleus")
    assert list(some["s"][1]) == ["nucleus"]


def test_margin_around_corrections(corrected_run: Path, tmp_path: Path) -> None:
    """The box added reaches to voxel (1, 2, 3); 1 µm more are 2, 3 and 4 voxels."""
    _, labels = exported(corrected_run, tmp_path / "set", "--margin-um", 1)["m"]
    is_known = labels["cell"].planes(0, 0) != 255
    assert np.argwhere(is_known).max(axis=0).tolist() == [3, 5, 7]
    assert is_known.sum() == 4 * 6 * 8


def test_exports_that_cannot_be_right_are_refused(
    finished: Path, run: Path, corrected_run: Path, tmp_path: Path, ball_file: Callable[..., Path]
) -> None:
    def code(*arguments: object) -> str:
        error = tomocyte("edits", "export", *arguments, "-o", tmp_path / "set").exception
        assert isinstance(error, TomocyteError)
        return error.code

    assert code(run) == "E-EDIT-NONE"
    assert code(tmp_path) == "E-RUN-FOLDER"
    assert code(corrected_run, "--all", "--margin-um", 1) == "E-SETTINGS"
    assert code(corrected_run, "--inputs", tmp_path) == "E-NOT-FOUND"
    ball_file("m.ome.tif")
    assert code(corrected_run, "--inputs", tmp_path / "input") == "E-INPUT-CHANGED"
    exported(corrected_run, tmp_path / "set", "--inputs", finished / "in")


def test_where_nobody_looked_there_is_nothing_to_learn_from(corrected_run: Path, tmp_path: Path) -> None:
    """Of 24 planes, the box added shows in planes 0 and 1; around it lies 255, which is no object."""
    exported(corrected_run, tmp_path / "set", "--margin-um", 1)
    (tmp_path / "set" / "items" / "s.done.json").unlink()
    data = DATA.model_copy(update={"structures": ("cell",), "min_section_area_um2": 0.0})
    items = find_items(tmp_path / "set", data)
    sections = Samples(items, data, n_axes=2)
    assert [place.z for place in sections.places] == [0, 1]
    image, labels = Samples(items, data, n_axes=3).volume(0)
    centres = object_voxels(Labelled(image, labels, 0, 255))
    assert centres.max(axis=0).tolist() == [1, 2, 3]
    assert len(centres) == 2 * 3 * 4
