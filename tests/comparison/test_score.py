"""One scorer of any method: counts by hand, unlabelled voxels left out, several methods on the same fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.conftest import small_recipe

from tomocyte.comparison.baselines import baseline_predictor
from tomocyte.comparison.samples import Sample, at_network_size, network_predictor, pixel_fields, truth_of
from tomocyte.comparison.score import Field, score_model
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import SettingsError
from tomocyte.training.data.samples import Samples
from tomocyte.training.recipe import TestSet

TRUTH = np.array([[0, 1, 1, 1, 255]], np.uint8)
IMAGE = np.array([[0.1, 0.9, 0.7, 0.2, 0.9]], np.float32)


def field(**changes: Any) -> Field[Any]:
    known: dict[str, Any] = {"truth": {"cell": TRUTH}.__getitem__, "ignored": 255}
    return Field("one", "group", IMAGE, **{**known, **changes})


def test_probabilities_masks_and_objects_are_told_by_their_type() -> None:
    """Two of three true voxels are found; the voxel that nobody labelled does not count."""
    for predict in (lambda image: {"cell": image}, lambda image: {"cell": image >= 0.5}):
        row = score_model(predict, [field()], metrics=["dice", "recall", "n_voxels", "auc_pr"]).rows[0]
        assert (row["dice"], row["recall"], row["n_voxels"]) == (0.8, 2 / 3, 4)
        assert ("auc_pr" in row) == (predict(IMAGE)["cell"].dtype == np.float32)
        assert (row["item"], row["group"], row["structure"]) == ("one", "group", "cell")
    labels = np.array([[0, 1, 1, 2, 2]], np.uint32)
    whole = field(truth={"cell": labels}.__getitem__, ignored=None)
    scores = score_model(lambda _: {"cell": labels}, [whole], metrics=["instance_f1_iou50", "n_true_objects"])
    assert (scores.rows[0]["instance_f1_iou50"], scores.rows[0]["n_true_objects"]) == (1, 2)


def test_several_methods_see_every_field_in_turn() -> None:
    fields = [field(), Field("two", "group", 1 - IMAGE, {"cell": TRUTH}.__getitem__, 255)]
    methods = {"above": lambda image: {"cell": image > 0.5}, "all": lambda image: {"cell": image > -1}}
    scores = score_model(methods, iter(fields), metrics=["recall"])
    assert scores.values("recall", method="above") == pytest.approx([2 / 3, 1 / 3])
    assert scores.values("recall", method="all") == [1, 1]
    assert [row["method"] for row in scores.rows] == ["above", "all"] * 2


def test_a_network_is_a_method_like_any_other(data: Path) -> None:
    """A network that gives logit 3 where its input is above 0.5 finds the bright boxes: Dice nearly 1."""
    import torch

    class Bright(torch.nn.Module):
        divisor = (1, 1)
        n_outputs = 1

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.where(batch > 0.5, 3.0, -3.0)

    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:2], settings, n_axes=2)
    module = Bright()
    predict = network_predictor(module, is_softmax=False)
    (name, probability), *others = predict(Sample(samples, 0)).items()
    assert (name, others, module.training) == ("nucleus", [], True)
    assert set(np.unique(probability.round(4))) == {np.float32(0.0474), np.float32(0.9526)}
    scores = score_model(predict, pixel_fields(samples), metrics=["dice"])
    assert len(scores) == len(samples)
    assert min(scores.values("dice")) > 0.99


@pytest.mark.parametrize("name", ["otsu", "edge-based", "classical"])
def test_methods_without_training_give_masks_of_every_output(data: Path, name: str) -> None:
    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)
    masks = baseline_predictor(name)(Sample(samples, 1))
    assert set(masks) == {"nucleus"}
    assert masks["nucleus"].dtype == bool
    assert masks["nucleus"].shape == samples.whole(1)[1].shape[1:]


def test_a_method_that_gives_no_masks_is_named() -> None:
    with pytest.raises(SettingsError, match=r"E-BASELINE.*'watershed' does not give pixels.*otsu"):
        baseline_predictor("watershed")
    with pytest.raises(SettingsError, match=r"E-BASELINE.*instances"):
        baseline_predictor("guessing", "instances")


def test_masks_are_brought_to_the_network_s_pixels(data: Path) -> None:
    """Pixels twice as large in y and x: a box of 4 by 8 pixels on even borders is one of 2 by 4."""
    settings = small_recipe(data={"voxel_size_um": [None, 0.6, 0.4]}).data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)
    mask = np.zeros((6, 40, 48), bool)
    mask[:, 8:12, 16:24] = True
    small = at_network_size(samples, 0, mask)
    assert small.shape == (1, 20, 24)
    assert np.argwhere(small[0] == 1).tolist() == [[y, x] for y in (4, 5) for x in (8, 9, 10, 11)]


def test_the_truth_is_the_labels_or_a_simulated_stain(data: Path) -> None:
    """A stain spreads over a nucleus and its thresholded mask overlaps the labels, but is not the same."""
    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)
    labels = truth_of(samples, 0, None)
    assert np.array_equal(labels, samples.whole(0)[1])
    assert np.array_equal(truth_of(samples, 0, TestSet(split="test")), labels)
    stained = truth_of(samples, 0, TestSet(split="test", truth="dapi"))
    again = truth_of(samples, 0, TestSet(split="test", truth="dapi"))
    assert stained.shape == labels.shape
    assert np.array_equal(stained, again)
