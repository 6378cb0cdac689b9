"""Training as Biomedisa published it: patches on a grid through stacked volumes, balance, rates, the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.models import check_fit, load_package
from tomocyte.models.loaded import load_from_package
from tomocyte.models.objects import ObjectRules
from tomocyte.models.prediction import ModelInput, predict_objects
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.prediction.scaled_frame import moments, scaled_image
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.settings import build_settings
from tomocyte.training import build_recipe, load_recipe
from tomocyte.training.batches import balanced_order, epoch_order
from tomocyte.training.data.cell_samples import make_samples
from tomocyte.training.data.grid_samples import GridSamples, grid_starts
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.optimisation import Schedule, build_optimiser
from tomocyte.training.predictions import predict_samples
from tomocyte.training.scaled_reference import with_scaled_frame
from tomocyte.training.training import LabelledData, train_network
from tomocyte.training.validation import selection_score, validation_scores
from tomocyte.volume import Volume

PUBLISHED = ((256, 256, 256), (64, 64, 64), 32)
SHAPE = (10, 20, 24)


def test_34_published_volumes_have_13279_patches_and_553_steps_of_24() -> None:
    starts = grid_starts(34, *PUBLISHED)
    assert len(starts) == 271 * 7 * 7 == 13_279
    assert len(set(starts)) == 13_279
    assert max(starts) == (34 * 256 - 64, 192, 192)
    recipe = build_recipe(load_recipe("acseg-published"))
    assert len(epoch_order(recipe, len(starts), 0)) / recipe.loop.batch_size == 13_279 // 24 == 553
    alone = grid_starts(34, *PUBLISHED, joins_volumes=False)
    assert len(alone) == 34 * 343
    assert all(start[0] // 256 == (start[0] + 63) // 256 for start in alone)
    assert sum(start[0] // 256 != (start[0] + 63) // 256 for start in starts) == 33 * 49  # one straddles each border


def test_the_learning_rate_falls_as_published() -> None:
    recipe = build_recipe(load_recipe("acseg-published"))
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = build_optimiser(recipe.loop.optimiser, [weight])
    schedule = Schedule(recipe.loop.schedule, optimiser, 110_600)
    for _ in range(553):
        schedule.step()
    assert schedule.learning_rate == pytest.approx(0.01 / (1 + 1e-6 * 553), rel=1e-12)
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.param_groups[0]["nesterov"]
    assert optimiser.param_groups[0]["momentum"] == 0.9


def test_the_recipe_says_what_is_published() -> None:
    recipe = build_recipe(load_recipe("acseg-published"))
    frame = recipe.data.scaled_frame
    assert frame is not None
    assert (frame.shape, frame.stride, frame.result) == ((256, 256, 256), 32, "labels")
    assert recipe.data.patch_shape == (64, 64, 64)
    assert recipe.data.joins_volumes
    assert (recipe.network.name, recipe.network.options) == ("biomedisa", {"n_levels": 6})
    assert (recipe.loop.n_epochs, recipe.loop.batch_size, recipe.validation_share) == (200, 24, 0.2)
    assert (recipe.loss.kind, recipe.loop.select, recipe.loop.select_by) == ("cross-entropy", "best", "pooled-dice")
    assert recipe.augmentation.share == 0
    small = ["network.options.n_levels=5", "data.scaled_frame.shape=[96,96,96]", "loop.batch_size=4"]
    assert build_recipe(load_recipe("acseg-published", small)).loop.batch_size == 4


def write(folder: Path, name: str, image: np.ndarray, **labels: np.ndarray) -> LabelledItem:
    known: dict[str, Any] = {"voxel_size_um": (0.1, 0.1, 0.1), "origin": {"voxel_size_um": "user"}}
    path = folder / f"{name}.ome.tif"
    quantity = "linear_absorption_coefficient"
    write_volume(path, Volume.from_array(image.astype(np.float32), quantity=quantity, unit="1/um", **known))
    paths = {key: folder / f"{name}_{key}.ome.tif" for key in labels}
    for key, array in labels.items():
        write_volume(paths[key], Volume.from_array(array.astype(np.uint16), quantity="labels", **known))
    return LabelledItem(name, path, paths, name)


def scene(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A dim box and a bright ball beside it, in grey noise of another scale in every volume."""
    place = np.indices(SHAPE) + 0.5
    cell = np.zeros(SHAPE, np.uint16)
    y, x = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    cell[2:8, y : y + 10, x : x + 9] = 1
    centre = np.array([5, rng.uniform(6, 14), 18]).reshape(3, 1, 1, 1)
    bead = (((place - centre) ** 2).sum(0) < 16).astype(np.uint16)
    image = 0.1 + 0.4 * cell + 0.9 * bead + rng.normal(0, 0.02, SHAPE)
    return {"image": image * rng.uniform(0.5, 2), "cell": cell, "bead": bead}


def settings(**changes: Any) -> DataSettings:
    content = {
        "modality": "sxt",
        "structures": ["cell", "bead"],
        "normalization": {"kind": "fixed"},
        "patch_shape": [8, 8, 8],
        "scaled_frame": {"shape": [16, 16, 16], "stride": 4},
        **changes,
    }
    return build_settings(DataSettings, content)


@pytest.fixture
def items(tmp_path: Path) -> list[LabelledItem]:
    rng = np.random.default_rng(5)
    return [write(tmp_path, f"field{n}", **scene(rng)) for n in range(3)]


def test_patches_run_through_the_stack_and_some_straddle_two_volumes(items: list[LabelledItem]) -> None:
    samples = make_samples(items, settings(), n_axes=3)
    assert isinstance(samples, GridSamples)
    assert len(samples) == 3
    assert samples.n_training == (3 * 16 - 8 + 4) // 4 * 3 * 3
    assert samples.pixel_size_um(0) == pytest.approx((0.1 * 10 / 16, 0.1 * 20 / 16, 0.1 * 24 / 16))
    stack = [np.concatenate(parts, axis=1) for parts in zip(*(samples.whole(n) for n in range(3)), strict=True)]
    index = samples.starts.index((12, 4, 8))
    for part, whole in zip(samples.read(index, np.random.default_rng(0)), stack, strict=True):
        assert np.array_equal(part, whole[:, 12:20, 4:12, 8:16])
    apart = make_samples(items, settings(joins_volumes=False), n_axes=3)
    assert apart.n_training == 3 * 27


def test_volumes_are_scaled_with_their_labels(items: list[LabelledItem]) -> None:
    samples = make_samples(items, settings(), n_axes=3)
    image, target = samples.whole(1)
    assert image.shape == (1, 16, 16, 16)
    assert (float(image.min()), float(image.max())) == (0, 1)
    assert not (target.sum(axis=0) > 1).any()  # labels exclude each other
    for output, name in enumerate(("cell", "bead")):
        labels = items[1].open_labels(name, items[1].open_image())
        assert labels is not None
        assert target[output].mean() == pytest.approx(labels.planes(0, 0).astype(bool).mean(), rel=0.12)
    assert image[0][target[1] == 1].mean() > image[0][target[0] == 1].mean() > image[0][target.sum(0) == 0].mean()


def test_unlabelled_voxels_stay_unlabelled(tmp_path: Path) -> None:
    parts = scene(np.random.default_rng(1))
    parts["cell"][:4] = 9
    item = write(tmp_path, "partly", **parts)
    item = LabelledItem(item.name, item.image, item.labels, item.group, ignore_label=9)
    _, target = make_samples([item], settings(), n_axes=3).whole(0)
    unknown = (target == 255).all(axis=(0, 2, 3))
    assert unknown[:6].all()
    assert not (target == 255)[:, 7:].any()


def test_missing_values_are_refused(tmp_path: Path) -> None:
    parts = scene(np.random.default_rng(1))
    parts["image"][3, 4, 5] = np.nan
    with pytest.raises(InputError, match="E-NAN"):
        make_samples([write(tmp_path, "hole", **parts)], settings(), n_axes=3).whole(0)


def test_grey_values_are_those_of_the_first_training_volume(items: list[LabelledItem]) -> None:
    recipe = small_recipe()
    filled = with_scaled_frame(recipe, items)
    frame = filled.data.scaled_frame
    assert frame is not None
    first = items[0].open_image().planes(0, 0)[None]
    plain = frame.model_copy(update={"mean": None, "sd": None})
    assert (frame.mean, frame.sd) == moments(scaled_image(first, plain))
    assert with_scaled_frame(filled, items[1:]) == filled  # what is known stays
    larger = build_recipe({**recipe.model_dump(exclude_unset=True), "data": data_content(shape=[18, 17, 16])})
    fitted = with_scaled_frame(larger, items).data.scaled_frame
    assert fitted is not None
    assert fitted.shape == (16, 16, 16)


def test_batches_hold_as_many_patches_with_as_without_an_object() -> None:
    order = [(index, False) for index in range(20)]
    holds_object = np.arange(20) < 3
    rng = np.random.default_rng(0)
    repeated = balanced_order(order, holds_object, 4, cuts=False, rng=rng)
    assert len(repeated) == 8 * 4  # 17 without: 8 halves of 2
    for batch in range(8):
        assert sum(holds_object[index] for index, _ in repeated[4 * batch : 4 * batch + 4]) == 2
    without = [index for index, _ in repeated if index >= 3]
    assert len(set(without)) == 16
    counts = np.bincount([index for index, _ in repeated if index < 3])
    assert counts.max() - counts.min() <= 1
    cut = balanced_order(order, holds_object, 2, cuts=True, rng=rng)
    assert sorted(index for index, _ in cut if index < 3) == [0, 1, 2]
    assert len(cut) == 6
    only = balanced_order(order[:3], holds_object, 2, cuts=False, rng=rng)
    assert len(only) == 2


def test_balance_is_what_an_epoch_is_made_of(items: list[LabelledItem]) -> None:
    samples = make_samples(items, settings(scaled_frame={"shape": [32, 32, 32], "stride": 8}), n_axes=3)
    holds_object = samples.holds_object
    assert holds_object is not None
    rng = np.random.default_rng(0)
    for index in (0, 5, 60):
        assert bool(holds_object[index]) is bool((samples.read(index, rng)[1] == 1).any())
    recipe = small_recipe(balance="repeat")
    order = epoch_order(recipe, samples.n_training, 0, holds_object=holds_object)
    assert sum(holds_object[index] for index, _ in order) == len(order) / 2
    assert order != epoch_order(recipe, samples.n_training, 1, holds_object=holds_object)


def test_the_pooled_dice_is_of_equal_foreground() -> None:
    rng = np.random.default_rng(2)
    truths, found = rng.integers(0, 3, (2, 4, 5, 6)), rng.integers(0, 3, (2, 4, 5, 6))
    heads = [np.stack([labels == 1, labels == 2]) for labels in (*truths, *found)]
    scores = validation_scores(
        [head.astype(np.float32) for head in heads[2:]], [head.astype(np.uint8) for head in heads[:2]]
    )
    expected = 2 * ((truths == found) & (truths > 0)).sum() / ((truths > 0).sum() + (found > 0).sum())
    assert scores["pooled_dice"] == pytest.approx(expected, rel=1e-12)
    assert selection_score(scores, "pooled-dice") == scores["pooled_dice"] != scores["dice"]


def data_content(**frame: Any) -> dict[str, Any]:
    content: dict[str, Any] = load_recipe("acseg-published")["data"]
    return {**content, "patch_shape": [8, 8, 8], "scaled_frame": {"shape": [16, 16, 16], "stride": 4, **frame}}


def small_recipe(**data: Any) -> Any:
    content = load_recipe("acseg-published")
    content["data"] = {**data_content(), **data}
    content["network"]["options"] = {"n_levels": 2, "width": 8, "momentum": 0.1}
    content["loop"] |= {"n_epochs": 16, "batch_size": 4, "precision": "fp32"}
    return build_recipe(content)


def test_validation_takes_the_most_probable_label(items: list[LabelledItem]) -> None:
    class Split(torch.nn.Module):
        divisor = (4, 4, 4)
        n_outputs = 3

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            """Bead where bright, cell where grey: 0.4, 0.35 and 0.25, never above a half."""
            order = torch.where(batch > 0.6, 2, torch.where(batch > 0.2, 1, 0))
            logits = torch.log(torch.tensor([0.4, 0.35, 0.25]))
            return torch.cat([logits[(label - order) % 3] for label in range(3)], dim=1)

    samples = make_samples(items, settings(), n_axes=3)
    for index, found in enumerate(predict_samples(Split(), samples, is_softmax=True)):
        image, _ = samples.whole(index)
        assert np.array_equal(found[1], (image[0] > 0.6).astype(np.float32))
        assert np.array_equal(found[0], ((image[0] > 0.2) & (image[0] <= 0.6)).astype(np.float32))


def test_a_training_ends_in_a_model_that_labels_tomograms_of_any_shape(
    items: list[LabelledItem], tmp_path: Path
) -> None:
    result = train_network(small_recipe(), LabelledData(items[:2], items[2:]), folder=tmp_path / "run")
    assert result["n_train"] == 2
    assert result["history"][0]["step"] == (2 * 16 - 8 + 4) // 4 * 9 // 4
    assert result["best"]["score"] == max(entry["validation"]["pooled_dice"] for entry in result["history"])
    assert result["best"]["score"] > 0.8
    package = load_package(tmp_path / "run" / "model")
    card = package.card
    assert card.structures == ("background", "cell", "bead")
    assert card.scaled_frame is not None
    assert card.scaled_frame.mean is not None
    assert card.voxel_size_um == pytest.approx((0.1, 0.1, 0.1))
    for voxel_um in (0.03, 0.9):  # one shape whatever the voxels
        values = np.random.default_rng(0).integers(0, 255, (4, 9, 30)).astype(np.float32)
        known: dict[str, Any] = {"voxel_size_um": (voxel_um,) * 3, "origin": {"voxel_size_um": "user"}}
        assert check_fit(card, Volume.from_array(values, quantity="intensity", **known)) == ()
    parts = scene(np.random.default_rng(77))
    grown = {name: np.kron(array, np.ones((2, 2, 2), array.dtype)) for name, array in parts.items()}
    model = load_from_package(package, engine="torch", precision="fp32")
    rules = SegmentationSettings()
    found = predict_objects(
        model,
        ModelInput(500 * grown["image"][None].astype(np.float32) + 20, (0.1, 0.1, 0.1)),
        ObjectRules(InferenceSettings(), rules.clean.model_copy(update={"min_volume_um3": 0.1}), rules.split),
    )
    for name in ("cell", "bead"):
        mask, truth = found.labels[name] > 0, grown[name] > 0
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.8


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"voxel_size_um": [0.1, 0.1, 0.1]}, "one of"),
        ({"patch_shape": [8, 8]}, "patch_shape"),
        ({"patch_shape": [8, 8, 32]}, "not be larger"),
        ({"targets": "mask-and-core"}, "targets"),
        ({"object_share": 0.5}, "object_share"),
        ({"scaled_frame": None, "balance": "cut"}, "need 'scaled_frame'"),
        ({"scaled_frame": None, "joins_volumes": False}, "need 'scaled_frame'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        settings(**changes)


def test_a_scaled_frame_needs_a_softmax_and_balance_an_even_batch(items: list[LabelledItem], tmp_path: Path) -> None:
    recipe = small_recipe()
    sigmoid = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"kind": "bce"})})
    with pytest.raises(SettingsError, match="softmax loss"):
        train_network(sigmoid, LabelledData(items[:2], items[2:]), folder=tmp_path / "run")
    content = load_recipe("acseg-published", ["data.balance=cut", "loop.batch_size=3"])
    with pytest.raises(SettingsError, match="even"):
        build_recipe(content)
    assert not find_items(items[0].image.parent, recipe.data)[0].split
