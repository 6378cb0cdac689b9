"""Files and runs as layers, without napari."""

from __future__ import annotations

import ast
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import TWO, segment
from tests.in_process import workers_in_this_process
from tests.pipeline.stages.test_tracking_stage import moving_cells

import tomocyte.ui.napari
from tomocyte.errors import SettingsError
from tomocyte.formats import write_volume
from tomocyte.structures import structure_colour
from tomocyte.ui.napari.colours import channel_colours, shades
from tomocyte.ui.napari.opening import open_path, run_of, track_points, window
from tomocyte.volume import LabelName, Volume

SOURCE = Path(__file__).parents[2] / "src"
KINDS = ("readers", "widgets")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``balls``, a run of two inputs, and ``film``, a run of a film with tracks; an uncertainty beside the first."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "in").mkdir()
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    for name in ("a", "b"):
        write_volume(folder / "in" / f"{name}.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **known))
    moving_cells(folder / "film.ome.tif")
    with workers_in_this_process():
        assert segment(folder / "in", folder / "balls").exit_code == 0
        assert segment(folder / "film.ome.tif", folder / "film").exit_code == 0
    entropy = np.zeros((24, 36, 52), np.uint8)
    write_volume(
        folder / "balls" / "items" / "a" / "cell_uncertainty.ome.tif",
        Volume.from_array(entropy, voxel_size_um=BALL_SIZE_UM),
    )
    return folder


def test_a_tomogram_is_one_grey_layer_in_um(runs: Path) -> None:
    opened = open_path(runs / "in" / "a.ome.tif")
    (layer,) = opened.layers
    assert (layer.kind, layer.data.shape, layer.options["name"]) == ("image", (24, 36, 52), "a.ome.tif")
    np.testing.assert_allclose(layer.options["scale"], BALL_SIZE_UM)
    assert layer.options["units"] == ["um"] * 3
    assert layer.options["colormap"] == "gray"
    low, high = layer.options["contrast_limits"]
    assert (low, high) == pytest.approx((MEDIUM_RI, 1.357), abs=1e-4)
    np.testing.assert_allclose(layer.data[12], ball_ri(centres_um=TWO)[12])


def test_channels_lie_over_each_other_in_pseudo_colours(tmp_path: Path) -> None:
    voxels = np.stack([np.full((3, 4, 5), value, np.float32) for value in (1.34, 100, 7)])
    write_volume(
        tmp_path / "a.ome.tif",
        Volume.from_array(voxels, channel_names=("RI", "GFP", "DAPI"), quantity="refractive_index",
                          voxel_size_um=(0.5, 0.2, 0.1)),
    )  # fmt: skip
    layers = open_path(tmp_path / "a.ome.tif").layers
    assert [layer.options["colormap"] for layer in layers] == ["gray", "green", "bop blue"]
    assert [layer.options["blending"] for layer in layers] == ["translucent_no_depth", "additive", "additive"]
    assert [layer.options["name"] for layer in layers] == ["a.ome.tif RI", "a.ome.tif GFP", "a.ome.tif DAPI"]
    assert [float(layer.data[1, 2, 3]) for layer in layers] == pytest.approx([1.34, 100, 7])


def test_without_a_voxel_size_axes_are_in_voxels_and_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5), np.float32))
    write_volume(tmp_path / "a.ome.tif", Volume.from_array(np.zeros((3, 4, 5), np.float32)))
    opened = open_path(tmp_path / "a.ome.tif")
    assert opened.layers[0].options["units"] == ["pixel"] * 3
    assert opened.layers[0].options["scale"] == [1.0, 1.0, 1.0]
    assert [note.split(":")[0] for note in opened.notes][-1] == "W-VOXEL-SIZE"


def test_a_run_has_image_uncertainty_and_labels_in_the_structures_colours(runs: Path) -> None:
    opened = open_path(runs / "balls")
    assert [(layer.kind, layer.options["name"]) for layer in opened.layers][:2] == [
        ("image", "a"),
        ("image", "uncertainty of cell"),
    ]
    cells = next(layer for layer in opened.layers if layer.options["name"] == "cell")
    assert np.unique(cells.data).tolist() == [0, 1, 2]
    assert cells.options["metadata"] == {"run": str(runs / "balls"), "item": "a", "structure": "cell"}
    assert cells.colours is not None
    first = "#" + "".join(f"{round(float(part) * 255):02X}" for part in cells.colours[1, :3])
    assert first == structure_colour("cell")
    assert len(opened.notes) == 1
    assert opened.notes[0].startswith("a of 2 items")
    assert open_path(runs / "balls" / "items" / "b").layers[0].options["name"] == "b"


def test_a_run_opens_without_its_image(runs: Path, tmp_path: Path) -> None:
    content = json.loads((runs / "film" / "run.json").read_text())
    shutil.copytree(runs / "film", tmp_path / "film")
    content["inputs"][0]["path"] = str(tmp_path / "moved.ome.tif")
    (tmp_path / "film" / "run.json").write_text(json.dumps(content))
    # The path given is not there, but the run noted where it was from anywhere.
    assert open_path(tmp_path / "film").layers[0].kind == "image"
    (runs / "film.ome.tif").rename(tmp_path / "elsewhere.ome.tif")
    try:
        opened = open_path(tmp_path / "film")
    finally:
        (tmp_path / "elsewhere.ome.tif").rename(runs / "film.ome.tif")
    assert "image" not in [layer.kind for layer in opened.layers]
    assert opened.notes[0].startswith("W-NO-IMAGE")


def test_tracks_of_a_film_lie_in_its_voxels(runs: Path) -> None:
    layers = open_path(runs / "film").layers
    tracks = layers[-1]
    assert tracks.kind == "tracks"
    assert tracks.options["scale"] == [1.0, 0.4, 0.2, 0.2]
    assert tracks.data[:, 0].tolist() == [1] * 4 + [2] * 4
    assert tracks.data[:, 1].tolist() == [0, 1, 2, 3] * 2
    # The middle of planes 3 to 12 and of 30 voxels that begin at 6, three further in each frame; one of the two cells.
    large = next(track for track in (tracks.data[:4], tracks.data[4:]) if track[0, 4] < 40)
    np.testing.assert_allclose(large[:, 2], 7.5, atol=0.5)
    np.testing.assert_allclose(large[:, 4], [20.5, 23.5, 26.5, 29.5], atol=1)
    assert [layer.data.ndim for layer in layers[:-1]] == [4] * (len(layers) - 1)


def test_lineage_is_a_graph_of_tracks_that_are_there() -> None:
    rows = pd.DataFrame(
        {
            "frame": [1, 0, 1, 2, 0],
            "track_id": [2, 1, 3, 3, 0],
            "parent_id": [1, 0, 9, 9, 0],
            "generation": [1, 0, 0, 0, 0],
            "label": [5, 4, 6, 7, 8],
            "z_um": [np.nan] * 5,
            "y_um": [2.0, 1.0, 3.0, 4.0, 0.0],
            "x_um": [0.5, 0.25, 1.0, 2.0, 0.0],
        }
    )
    points, graph, properties = track_points(rows, (float("nan"), 0.5, 0.25))
    assert points.tolist() == [[1, 0, 2, 1], [2, 1, 4, 2], [3, 1, 6, 4], [3, 2, 8, 8]]
    assert graph == {2: [1]}, "track 9, the parent of 3, is not there"
    assert properties["label"].tolist() == [4, 5, 6, 7]


def test_named_labels_have_the_colours_of_their_file(tmp_path: Path) -> None:
    labels = Volume.from_array(
        np.array([[[0, 1], [3, 3]]], np.uint8),
        quantity="labels",
        voxel_size_um=(1.0, 1.0, 1.0),
        label_names=(LabelName(1, "one", "#FF0000"), LabelName(3, "three", "#0000FF")),
    )
    write_volume(tmp_path / "a.nrrd", labels)
    (layer,) = open_path(tmp_path / "a.nrrd").layers
    assert layer.kind == "labels"
    assert layer.colours is not None
    assert layer.colours[[0, 1, 3]].tolist() == [[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 1]]


def test_only_folders_of_runs_are_runs(runs: Path, tmp_path: Path) -> None:
    assert run_of(runs / "balls") == (runs / "balls", None)
    assert run_of(runs / "balls" / "items" / "b") == (runs / "balls", "b")
    assert run_of(runs / "in") is None
    assert run_of(tmp_path) is None


def test_an_item_that_is_not_finished_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "balls", tmp_path / "balls")
    (tmp_path / "balls" / "items" / "c").mkdir()
    with pytest.raises(SettingsError) as problem:
        open_path(tmp_path / "balls" / "items" / "c")
    assert problem.value.code == "E-EDIT-ITEM"


def test_shades_differ_and_channels_have_colours_of_their_own() -> None:
    for name in ("cell", "nucleus", "lipid_droplet", "mine"):
        colours = shades(name)
        assert len(np.unique(colours.round(2), axis=0)) == 12
        assert colours[1:, :3].min() >= 0
        assert colours[:, :3].max() <= 1
    assert channel_colours(["a", "b", "c"], "intensity") == ["green", "magenta", "cyan"]
    assert channel_colours([str(index) for index in range(8)], None)[6:] == ["green", "green"]


def test_the_window_ignores_what_is_no_value() -> None:
    voxels = np.full((3, 40, 50), np.nan, np.float32)
    assert window(Volume.from_array(voxels)) == (0.0, 1.0)
    voxels[1, :20] = 5.0
    assert window(Volume.from_array(voxels)) == (5.0, 6.0)


def test_the_manifest_names_what_is_there() -> None:
    folder = Path(tomocyte.ui.napari.__file__).parent
    manifest = yaml.safe_load((folder / "napari.yaml").read_text(encoding="utf-8"))
    commands = {command["id"]: command["python_name"] for command in manifest["contributions"]["commands"]}
    for module, _, name in (place.partition(":") for place in commands.values()):
        tree = ast.parse((SOURCE / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8"))
        assert name in {getattr(node, "name", "") for node in tree.body}
    offered = [entry["command"] for entries in (manifest["contributions"][kind] for kind in KINDS) for entry in entries]
    assert sorted(offered) == sorted(commands)
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["napari.manifest"] == {manifest["name"]: "tomocyte.ui.napari:napari.yaml"}
