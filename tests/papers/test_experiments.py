"""The experiments on balls, whose diameters and volumes are formulas, with a model that is a plain function."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.papers.conftest import SHAPE, SIZE, ball, by_value, make_card, write_item

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError, MetadataError, ModalityError, SettingsError
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.prediction import ModelInput, predict_structure
from tomocyte.networks import network_entries
from tomocyte.papers.osnet.objects import agreement_table, compare_objects
from tomocyte.papers.osnet.pictures import moment_box
from tomocyte.papers.osnet.recipe import SectionsRecipe, SectionsSettings, TimeLapseRecipe, TimeLapseSettings
from tomocyte.papers.osnet.sections import container_of, sections_experiment
from tomocyte.papers.osnet.time_lapse import time_lapse_experiment
from tomocyte.papers.result import write_result
from tomocyte.progress import Progress
from tomocyte.training.recipe import build_recipe, load_recipe
from tomocyte.volume import Volume

Material = Callable[..., list[LabelledItem]]


def test_sizes_of_balls_are_those_of_the_formulas() -> None:
    truth = (ball((6.0, 8.0, 8.0), 3.0) * 5).astype(np.uint16)
    found = ball((6.0, 8.0, 8.0), 2.5)
    found[0, 0, :4] = True  # a speck
    table, n_without_truth = compare_objects(truth, found, SIZE, structure="nucleus", min_volume_um3=1.0)
    (row,) = table.to_dict("records")
    assert (row["label"], n_without_truth, row["is_cut"]) == (5, 0, False)
    for side, radius in (("truth", 3.0), ("prediction", 2.5)):
        assert row[f"section_diameter_um_{side}"] == pytest.approx(2 * radius, rel=0.02)
        assert row[f"equivalent_diameter_um_{side}"] == pytest.approx(2 * radius, rel=0.01)
        assert row[f"height_um_{side}"] == pytest.approx(2 * radius, abs=2 * SIZE[0])
        assert row[f"volume_um3_{side}"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)
    # One ball inside the other: 2 v / (V + v)
    assert row["dice"] == pytest.approx(2 * 2.5**3 / (3.0**3 + 2.5**3), abs=0.01)
    assert compare_objects(truth, found, SIZE, structure="n", min_volume_um3=0.0)[1] == 1


def test_missed_and_merged_objects() -> None:
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:15, 10:20, 10:20], truth[5:15, 10:20, 20:26], truth[5:15, 40:50, 40:50] = 1, 2, 3
    found = (truth == 1) | (truth == 2)
    found[20:25, 50:60, 60:70] = True
    table, n_without_truth = compare_objects(truth, found, SIZE, structure="nucleus", min_volume_um3=0.1)
    assert table["partner"].tolist() == [1, 0, 0]
    assert table["dice"].tolist() == pytest.approx([2 * 10 / 26, 0, 0])
    assert n_without_truth == 1
    assert table["volume_um3_prediction"].isna().tolist() == [False, True, True]


def test_agreement_leaves_out_what_is_cut_or_missed() -> None:
    rows = pd.DataFrame({"is_cut": [False, True, False, False], "partner": [1, 2, 0, 3]})
    for name in ("section_diameter_um", "height_um", "equivalent_diameter_um", "volume_um3"):
        rows[f"{name}_truth"], rows[f"{name}_prediction"] = [10.0, 99, 99, 12], [11.0, 0, np.nan, 14]
    table = agreement_table(rows)
    row = table.iloc[0]
    assert (row["n_pairs"], row["mean_truth"], row["bias"]) == (2, 11, 1.5)
    assert row["difference_sd"] == pytest.approx(math.sqrt(0.5))
    assert row["upper_limit"] == pytest.approx(1.5 + 1.96 * math.sqrt(0.5))
    assert row["mean_relative_error"] == pytest.approx((1 / 10 + 2 / 12) / 2)
    nobody = agreement_table(rows.head(0))
    assert nobody["n_pairs"].tolist() == [0] * 4


def model_input(volume: Volume) -> ModelInput:
    return ModelInput(volume.frame(0), volume.require_voxel_size(), volume.medium_ri)


def test_structure_is_picked_by_name_and_the_medium_is_the_volumes(model: LoadedModel, material: Material) -> None:
    (item,) = material(one=[2.5])
    volume = item.open_image()
    for structure in ("cell", "nucleus"):
        found = predict_structure(model, model_input(volume), structure) > 0.5
        assert np.array_equal(found, item.read_labels(structure) > 0)
    with pytest.raises(SettingsError, match=r"E-MODEL-STRUCTURE.*cell, nucleus"):
        predict_structure(model, model_input(volume), "nucleolus")


def test_another_working_size_and_a_solid_model(material: Material) -> None:
    (item,) = material(one=[2.5])
    volume = item.open_image()
    truth = item.read_labels("cell") > 0
    half = LoadedModel(make_card(voxel_size_um=(None, 0.5, 0.4)), by_value, (16, 16))
    solid_card = make_card(dimensions=3, section_axis=None, voxel_size_um=(0.4, 0.25, 0.2), tile_shape=(16, 32, 48))
    seen: list[tuple[int, ...]] = []

    def watched(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(batch.shape)
        return by_value(batch)

    for one in (half, LoadedModel(solid_card, watched, (4, 16, 16))):
        found = predict_structure(one, model_input(volume), "cell") > 0.5
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    assert {len(shape) for shape in seen} == {5}


def test_sections_experiment_on_balls(model: LoadedModel, material: Material, tmp_path: Path) -> None:
    items = material(first=[2.5], second=[3.0], third=[2.0])
    events: list[Progress] = []
    settings = SectionsSettings(n_sections=4, n_shown=2)
    result = sections_experiment(model, items, settings, title="Test", callback=events.append)
    objects = result.tables["objects"]
    assert objects["item"].tolist() == ["first", "second", "third"]
    assert objects["dice"].tolist() == [1.0] * 3
    assert objects["section_diameter_um_prediction"].tolist() == pytest.approx([5, 6, 4], rel=0.03)
    assert objects["is_simulated"].all()
    assert result.tables["agreement"]["bias"].tolist() == [0] * 4
    assert set(result.pictures) == {
        "sections-first", "bodies-first", "sections-second", "bodies-second",
        "agreement-section-diameter", "agreement-volume",
    }  # fmt: skip
    assert "# Test, simulated HeLa" in result.summary
    assert "3 of 3 true objects were found; 0 found objects" in result.summary
    assert "1.0000" in result.summary
    assert [(event.item, event.done, event.total) for event in events] == [
        ("first", 1, 3),
        ("second", 2, 3),
        ("third", 3, 3),
    ]
    picture = np.asarray(Image.open(io.BytesIO(result.pictures["sections-first"])).convert("RGB")).astype(int)
    assert (np.abs(picture - [255, 225, 0]).sum(axis=-1) < 40).any()  # OS-Net's yellow lies on top
    files = write_result(result, tmp_path / "out", about={"recipe": "x"})
    assert {path.name for path in files} == {path.name for path in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "experiment.json").read_text(encoding="utf-8"))["recipe"] == "x"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "objects.csv"), objects, check_dtype=False)


def test_a_model_that_finds_nothing(material: Material) -> None:
    items = material(first=[2.5])
    blind = LoadedModel(make_card(), lambda batch: np.zeros((len(batch), 2, *batch.shape[2:]), np.float32), (16, 16))
    result = sections_experiment(blind, items, SectionsSettings(), title="Blind")
    assert "0 of 1 true objects were found" in result.summary
    assert result.tables["objects"]["dice"].tolist() == [0.0]
    assert math.isnan(result.tables["agreement"]["bias"][0])


def test_a_volume_that_does_not_fit_is_refused(material: Material) -> None:
    items = material(first=[2.5])
    far = LoadedModel(make_card(voxel_size_um=(None, 2.0, 2.0)), by_value, (16, 16))
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VOXEL-SIZE"):
        sections_experiment(far, items, SectionsSettings(), title="Far")


def test_time_lapse_without_fringes_follows_the_balls(model: LoadedModel, material: Material) -> None:
    radii = [2.0, 2.5, 3.0]
    items = material(first=radii)
    settings = TimeLapseSettings(n_fringes=0)
    result = time_lapse_experiment(model, items, settings, title="Test")
    frames, objects = result.tables["frames"], result.tables["objects"]
    assert frames["time_s"].tolist() == [0, 600, 1200]
    assert frames["dice"].tolist() == frames["dice_without_fringes"].tolist() == [1.0] * 3
    assert frames["volume_prediction_um3"].tolist() == pytest.approx([4 / 3 * math.pi * r**3 for r in radii], rel=0.02)
    assert objects["track_id"].tolist() == [7] * 3
    assert set(result.pictures) == {"sections-first", "bodies-first", "outlines-first", "course"}
    assert "simulated HeLa" in result.summary


def test_fringes_grow_evenly_and_cost_something(model: LoadedModel, material: Material) -> None:
    items = material(first=[2.5] * 3, second=[2.5] * 3)
    settings = TimeLapseSettings(n_fringes=8, fringe_ri_amplitude=0.02)
    result = time_lapse_experiment(model, items, settings, title="Test")
    frames = result.tables["frames"]
    assert frames["n_fringes"].tolist() == [0, 4, 8] * 2
    assert frames["fringe_ri_amplitude"].tolist() == pytest.approx([0, 0.01, 0.02] * 2)
    first = frames[frames["item"] == "first"]["dice"].tolist()
    second = frames[frames["item"] == "second"]["dice"].tolist()
    assert first[0] == 1.0 > first[1] > first[2]
    assert first[1:] != second[1:]  # every time-lapse has fringes of its own
    assert frames["dice_without_fringes"].tolist() == [1.0] * 6
    again = time_lapse_experiment(model, items, settings, title="Test")
    pd.testing.assert_frame_equal(again.tables["frames"], frames)
    assert again.pictures == result.pictures
    assert [name for name in result.pictures if name.startswith("bodies")] == ["bodies-first"]


def test_what_is_shown_holds_the_nucleus_of_all_frames(material: Material) -> None:
    (item,) = material(first=[1.5, 3.0])
    box = moment_box(item, item.open_image(), {(0, 3): 7, (1, 3): 7}, TimeLapseSettings(margin_um=1.0))
    for side, centre, step in zip(box, (6.0, 8.0, 7.0), SIZE, strict=True):
        assert side.start * step == pytest.approx(centre - 4.0, abs=2 * step)
        assert side.stop * step == pytest.approx(centre + 4.0, abs=2 * step)
    assert moment_box(item, item.open_image(), {}, TimeLapseSettings()) == tuple(slice(0, n) for n in SHAPE)


def test_container_is_the_object_that_holds_most() -> None:
    around = np.array([[[4, 4, 9, 0]]])
    assert container_of(around, np.array([[[True, True, True, True]]])).tolist() == [[[True, True, False, False]]]
    assert not container_of(around, np.array([[[False, False, False, True]]])).any()


def test_one_frame_is_no_time_lapse(model: LoadedModel, material: Material) -> None:
    with pytest.raises(MetadataError, match="E-TIME"):
        time_lapse_experiment(model, material(first=[2.0]), TimeLapseSettings(), title="Test")


def test_material_is_what_is_finished_and_asked_for(tmp_path: Path) -> None:
    for name, split, domain in (("a", "test", ""), ("b", "train", ""), ("c", "shifted-test", "other-laboratory")):
        write_item(tmp_path, name, [2.0], split=split, domain=domain)
    (tmp_path / "items" / "a-unfinished").mkdir()
    assert [item.name for item in find_items(tmp_path)] == ["a", "b", "c"]
    assert [item.name for item in find_items(tmp_path, splits=("train", "test"))] == ["a", "b"]
    assert [item.cell_line for item in find_items(tmp_path, domains=("other-laboratory",))] == ["HeLa"]
    (tmp_path / "items" / "a.done.json").unlink()
    assert [item.name for item in find_items(tmp_path)] == ["b", "c"]
    with pytest.raises(InputError, match="E-NO-DATA"):
        find_items(tmp_path, splits=("validation",))
    with pytest.raises(InputError, match="E-NO-DATA"):
        find_items(tmp_path / "nowhere")
    with pytest.raises(InputError, match="E-NO-DATA"):
        find_items(tmp_path)[0].read_labels("nucleolus")


@pytest.mark.parametrize("name", ["osnet-fig3b", "osnet-fig4"])
def test_shipped_recipes_are_sound(name: str) -> None:
    from tomocyte.runs.simulate import benchmark_plan, dataset_plan

    recipe = build_recipe(load_recipe(name), SectionsRecipe, TimeLapseRecipe)
    assert recipe.name == name
    assert "10.1101/478925" in recipe.paper
    if recipe.data.benchmark is not None:
        experiment, _, size = recipe.data.benchmark.partition("/")
        assert len(benchmark_plan(experiment, size, recipe.data.splits)) == 8
    else:
        plans = dataset_plan(dict(recipe.data.dataset or {}), recipe.data.n_items, seed=recipe.data.seed)
        assert len(plans) == recipe.data.n_items
        # The paper: every 10 minutes, drawn from 0 to 50.
        assert plans[0].dataset["n_frames"] == 6
        assert plans[0].dataset["motion"]["time_step_s"] == 600


def test_wrong_recipes_are_refused() -> None:
    for override, words in (
        ("sections.n_section=2", "n_section"),
        ("time_lapse.n_fringes=2", "time_lapse"),
        ("data.benchmark=null", "one of them"),
    ):
        with pytest.raises(SettingsError, match=f"E-SETTINGS.*{words}"):
            build_recipe(load_recipe("osnet-fig3b", [override]), SectionsRecipe, TimeLapseRecipe)
    recipe = build_recipe(load_recipe("osnet-fig4", ["time_lapse.seed=9"]), SectionsRecipe, TimeLapseRecipe)
    assert isinstance(recipe, TimeLapseRecipe)
    assert recipe.time_lapse.seed == 9


def test_os_net_is_called_so_only_where_it_is_one() -> None:
    from tomocyte.models import NetworkChoice
    from tomocyte.papers.result import OS_NETS, method_colours, method_name

    assert set(OS_NETS) <= {entry.name for entry in network_entries()}
    item = LabelledItem("a", Path("a"), {})
    elsewhere = LabelledItem("a", Path("a"), {}, domain="other-laboratory")
    assert [method_name(make_card(), one) for one in (item, elsewhere)] == ["OS-Net", "OS-Net (cross-laboratory)"]
    other = make_card(network=NetworkChoice(name="unet16"))
    assert method_name(other, item) == "plain-function"
    assert method_colours("plain-function") == {"plain-function": "#FFE100"}
    assert method_colours("OS-Net") == {}
