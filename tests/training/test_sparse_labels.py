"""Training on what is there: painted slices alone, and labels that count by how certain they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.training.conftest import SHAPE, VOXEL_UM, disc_volume, small_recipe, write_pair

from tomocyte.comparison import train
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.models import load_package
from tomocyte.training import LabelledData
from tomocyte.training.batches import loss_arguments, make_sample
from tomocyte.training.data.patches import object_voxels
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.settings import FULL_WEIGHT, IGNORE
from tomocyte.training.recipe import Recipe
from tomocyte.volume import Volume

FLAT = {"name": "osnet", "options": {"width": 4}}
SOLID = {"name": "unet3d", "options": {"width": 4, "strides": [[1, 2, 2], [2, 2, 2]]}}


def write_map(folder: Path, name: str, uncertainty: np.ndarray, *, structure: str = "nucleus") -> None:
    """``NAME_STRUCTURE_uncertainty.ome.tif``, as ``tomocyte propagate`` names it."""
    volume = Volume.from_array(uncertainty.astype(np.float32), voxel_size_um=VOXEL_UM, origin={"voxel_size_um": "user"})
    write_volume(folder / f"{name}_{structure}_uncertainty.ome.tif", volume)


def trained(recipe: Recipe, data: Path, folder: Path) -> dict[str, Any]:
    items = find_items(data, recipe.data)
    return train(recipe, LabelledData(items[:3], items[3:]), folder=folder)


def samples_of(data: Path, n_axes: int, **changes: Any) -> Samples:
    settings = small_recipe(data=changes).data
    return Samples(find_items(data, settings), settings, n_axes=n_axes)


@pytest.fixture
def fields() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, labels, and which half of the columns nobody is certain about."""
    rng = np.random.default_rng(11)
    columns = np.zeros(SHAPE, bool)
    columns[:, :, 15:30] = True
    return [(*disc_volume(rng), columns) for _ in range(4)]


@pytest.mark.parametrize("loss", ["dice+bce", "focal", "cross-entropy"])
@pytest.mark.parametrize("network", [FLAT, SOLID], ids=["sections", "patches"])
def test_what_has_no_weight_cannot_matter(
    fields: list[tuple[np.ndarray, np.ndarray, np.ndarray]], tmp_path: Path, network: dict[str, Any], loss: str
) -> None:
    """Voxels of uncertainty 1: the truth, garbage or the ignore label there, the weights are bit-equal."""
    rng = np.random.default_rng(3)
    for index, (image, labels, hidden) in enumerate(fields):
        garbage = np.where(hidden, rng.integers(0, 5, SHAPE), labels)
        for kind, content in (("truth", labels), ("garbage", garbage), ("ignored", np.where(hidden, 255, labels))):
            write_pair(tmp_path / kind, f"cell{index}", image, content)
            if kind != "ignored":
                write_map(tmp_path / kind, f"cell{index}", hidden)
    patch = {"patch_shape": [4, 32, 32], "object_share": 0.5} if network is SOLID else {"sections": "all"}
    results = {}
    for kind in ("truth", "garbage", "ignored"):
        labels_are = {"ignore_label": 255} if kind == "ignored" else {"weights": "certainty"}
        recipe = small_recipe(
            data={**patch, **labels_are}, network=network, loss={"kind": loss}, augmentation="strong-2d"
        )
        results[kind] = trained(recipe, tmp_path / kind, tmp_path / f"run-{kind}")
    assert results["garbage"]["weights_sha256"] == results["truth"]["weights_sha256"]
    assert results["ignored"]["weights_sha256"] == results["truth"]["weights_sha256"]
    scores = [entry["validation"] for entry in results["truth"]["history"]]
    assert [entry["validation"] for entry in results["garbage"]["history"]] == scores


def test_a_weight_matters(fields: list[tuple[np.ndarray, np.ndarray, np.ndarray]], tmp_path: Path) -> None:
    """Maps that say different things give different models; the card and the list of files name the maps."""
    for kind, share in (("half", 0.5), ("none", 0.0)):
        for index, (image, labels, hidden) in enumerate(fields):
            write_pair(tmp_path / kind, f"cell{index}", image, labels)
            write_map(tmp_path / kind, f"cell{index}", share * hidden)
    recipe = small_recipe(data={"weights": "certainty"})
    half, certain = (trained(recipe, tmp_path / kind, tmp_path / f"run-{kind}") for kind in ("half", "none"))
    plain = trained(small_recipe(), tmp_path / "none", tmp_path / "plain")
    assert half["weights_sha256"] != certain["weights_sha256"]
    states = [load_package(tmp_path / f / "model").state for f in ("run-none", "plain")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert plain["n_train"] == certain["n_train"]
    card = load_package(tmp_path / "run-half" / "model").card
    assert "labels of 3 weighted by 1 - uncertainty" in card.training_data
    files = json.loads((tmp_path / "run-half" / "data.json").read_text())["train"][0]["files"]
    assert sorted(files) == ["cell0.ome.tif", "cell0_nucleus.ome.tif", "cell0_nucleus_uncertainty.ome.tif"]


def test_slices_that_were_not_painted_are_not_background(
    fields: list[tuple[np.ndarray, np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    """Of the box in planes 2 to 4 only plane 3 was painted: the same as the ignore label in all other planes."""
    for index, (image, labels, _) in enumerate(fields):
        painted = np.where(np.arange(6)[:, None, None] == 3, labels, 0)
        write_pair(tmp_path / "painted", f"cell{index}", image, painted)
        write_pair(tmp_path / "ignored", f"cell{index}", image, np.where(painted.any((1, 2))[:, None, None], labels, 9))
    sparse = {"slices_without_labels": "unlabelled", "sections": "all"}
    assert len(samples_of(tmp_path / "painted", 2, **sparse)) == 4
    target = samples_of(tmp_path / "painted", 3, **sparse, patch_shape=[4, 32, 32]).whole(0)[1]
    assert (target[0, [0, 1, 2, 4, 5]] == IGNORE).all()
    assert (target[0, 3] == fields[0][1][3]).all()
    network = {"data": {**sparse, "patch_shape": [4, 32, 32]}, "network": SOLID}
    one = trained(small_recipe(**network), tmp_path / "painted", tmp_path / "one")
    network["data"] = {"ignore_label": 9, "patch_shape": [4, 32, 32]}
    two = trained(small_recipe(**network), tmp_path / "ignored", tmp_path / "two")
    assert one["weights_sha256"] == two["weights_sha256"]
    assert "only painted slices" in load_package(tmp_path / "one" / "model").card.training_data


@pytest.mark.parametrize("n_axes", [2, 3])
def test_patches_hold_labelled_voxels(tmp_path: Path, n_axes: int) -> None:
    """Labels in one plane of 40 (3-D), in 3 columns of 200 (2-D); drawn blindly, one patch in ten would hold any."""
    shape = (40, 24, 24) if n_axes == 3 else (1, 24, 200)
    labels = np.full(shape, 9)
    known = np.s_[7] if n_axes == 3 else np.s_[0, :, 60:63]
    labels[known] = 0
    labels[(7, slice(4, 9), slice(4, 9)) if n_axes == 3 else (0, slice(4, 9), slice(60, 62))] = 1
    write_pair(tmp_path, "a", np.full(shape, 1.34), labels)
    size = [4, 16, 16] if n_axes == 3 else [16, 16]
    samples = samples_of(tmp_path, n_axes, ignore_label=9, patch_shape=size, object_share=0.0, min_section_area_um2=0)
    rng = np.random.default_rng(0)
    assert all((samples.read(0, rng)[1] != IGNORE).any() for _ in range(60))


def test_frames_and_sections_without_a_label_are_no_samples(tmp_path: Path) -> None:
    labels = np.full(SHAPE, 9)
    labels[2] = 0
    labels[2, 5:9, 5:9] = 1
    write_pair(tmp_path, "a", np.full(SHAPE, 1.34), labels)
    write_pair(tmp_path, "b", np.full(SHAPE, 1.34), np.full(SHAPE, 9))
    sections = samples_of(tmp_path, 2, ignore_label=9, sections="all")
    assert [(place.item, place.z) for place in sections.places] == [(0, 2)]
    assert [place.item for place in samples_of(tmp_path, 3, ignore_label=9, patch_shape=[4, 16, 16]).places] == [0]


@pytest.mark.parametrize("n_axes", [2, 3])
def test_weights_move_with_the_image(tmp_path: Path, n_axes: int) -> None:
    """The image is the weight: after cropping, flips and quarter turns both still agree, voxel by voxel."""
    rng = np.random.default_rng(4)
    uncertainty = rng.integers(0, 200, SHAPE) / FULL_WEIGHT
    labels = np.ones(SHAPE)
    labels[:, :, 20:] = 0
    write_pair(tmp_path, "a", 1.337 + 0.02 * (1 - uncertainty), labels)
    write_map(tmp_path, "a", uncertainty)
    geometry = {"flip_axes": ["y", "x"], "is_turned_by_90": True}
    recipe = small_recipe(
        data={"weights": "certainty", "patch_shape": [4, 16, 16][3 - n_axes :]},
        augmentation={"share": 1.0, "geometry": geometry},
    )
    samples = Samples(find_items(tmp_path, recipe.data), recipe.data, n_axes=n_axes)
    for position in range(6):
        image, target = make_sample(samples, recipe, 0, is_augmented=True, epoch=0, position=position)
        assert target.shape == (2, *recipe.data.patch_shape)  # type: ignore[misc]
        np.testing.assert_allclose(image[0], target[1] / FULL_WEIGHT, atol=1e-4)
        assert set(np.unique(target[0])) <= {0, 1}
    assert samples.whole(0)[1].shape[0] == 1  # scores never see weights


def test_resampled_weights_are_averaged(tmp_path: Path) -> None:
    """Pixels of twice the size: the first 12 columns certain, the others by a quarter; exactly so beside the step."""
    image, _ = disc_volume(np.random.default_rng(0))
    uncertainty = np.full(SHAPE, 0.75)
    uncertainty[:, :, :12] = 0
    write_pair(tmp_path, "a", image, np.ones(SHAPE))
    write_map(tmp_path, "a", uncertainty)
    samples = samples_of(tmp_path, 2, weights="certainty", voxel_size_um=[None, 0.6, 0.4])
    target = samples.read(0, np.random.default_rng(0))[1]
    assert target.shape == (2, 20, 24)
    assert (target[1, :, :5] == FULL_WEIGHT).all()
    assert (target[1, :, 8:] == round(0.25 * FULL_WEIGHT)).all()


def test_objects_of_no_weight_are_not_looked_for(tmp_path: Path) -> None:
    image, _ = disc_volume(np.random.default_rng(0))
    labels = np.zeros(SHAPE)
    labels[1, 5, 5] = labels[4, 9, 9] = 1
    uncertainty = np.zeros(SHAPE)
    uncertainty[4] = 1
    write_pair(tmp_path, "a", image, labels)
    write_map(tmp_path, "a", uncertainty)
    samples = samples_of(tmp_path, 3, weights="certainty", patch_shape=[4, 16, 16])
    assert object_voxels(samples._source(samples.places[0])).tolist() == [[1, 5, 5]]
    flat = samples_of(tmp_path, 2, weights="certainty", min_section_area_um2=0)
    assert [place.z for place in flat.places] == [1]


def test_with_classes_the_least_certain_head_decides() -> None:
    target = torch.tensor([[[[1, 0]], [[0, IGNORE]], [[254, 254]], [[127, 255]]]], dtype=torch.uint8)
    wanted, weights = loss_arguments(target, n_heads=2, is_softmax=True)
    assert wanted.tolist() == [[[1, IGNORE]]]
    assert weights is not None
    assert weights[0, 0].tolist() == [0.5, 1.0]
    wanted, weights = loss_arguments(target, n_heads=2, is_softmax=False)
    assert weights is not None
    assert weights.shape == wanted.shape == (1, 2, 1, 2)
    assert loss_arguments(target[:, :2], n_heads=2, is_softmax=False)[1] is None


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.5])
def test_maps_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    image, labels = disc_volume(np.random.default_rng(0))
    write_pair(tmp_path / "data", "a", image, labels)
    uncertainty = np.zeros(SHAPE)
    uncertainty[3, 3, 3] = value
    write_map(tmp_path / "data", "a", uncertainty)
    recipe = small_recipe(data={"weights": "certainty"})
    items = find_items(tmp_path / "data", recipe.data)
    with pytest.raises(InputError, match=r"E-UNCERTAINTY-MAP.*outside 0 to 1.*data.weights=equal"):
        train(recipe, LabelledData(items, []), folder=tmp_path / "run")


def test_weights_without_a_map_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E-UNCERTAINTY-MAP.*cell0.*--uncertainty-map"):
        trained(small_recipe(data={"weights": "certainty"}), data, tmp_path / "run")


def test_a_map_of_another_shape_is_refused(data: Path) -> None:
    write_map(data, "cell0", np.zeros((6, 40, 47)))
    with pytest.raises(InputError, match=r"E-SHAPE.*map of uncertainty has 1 frames of \(6, 40, 47\)"):
        samples_of(data, 2, weights="certainty")


def test_what_sparse_slices_cannot_teach_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        data={
            "slices_without_labels": "unlabelled",
            "targets": "mask-and-core",
            "patch_shape": [4, 32, 32],
            "core_depth_um": 0.5,
        },
        network=SOLID,
    )
    with pytest.raises(SettingsError, match=r"E-RECIPE.*cores.*tomocyte propagate"):
        trained(recipe, data, tmp_path / "run")
    cells = {"targets": "cell-by-cell", "structures": ["cell", "nucleus"], "patch_shape": [4, 8, 8]}
    for odd in ({"weights": "certainty"}, {"slices_without_labels": "unlabelled"}):
        with pytest.raises((ValidationError, SettingsError), match="whole frames"):
            small_recipe(data={**cells, **odd})


def test_propagated_labels_do_not_calibrate(data: Path, tmp_path: Path) -> None:
    for index in range(5):
        write_map(data, f"cell{index}", np.full(SHAPE, 0.1))
    recipe = small_recipe(data={"weights": "certainty", "patch_shape": [4, 32, 32]}, network=SOLID, calibrate=True)
    with pytest.raises(InputError, match=r"E-LABELS-PARTIAL.*calibrate=false"):
        trained(recipe, data, tmp_path / "run")
