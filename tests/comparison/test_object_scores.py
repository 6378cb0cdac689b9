"""Objects told apart, against labels that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.conftest import small_recipe

from tomocyte.comparison.baselines import baseline_predictor
from tomocyte.comparison.samples import (
    Sample,
    image_rows,
    objects_of,
    objects_of_stack,
    score_samples,
    stacks_of,
    summary_of,
)
from tomocyte.datasets.labelled import find_items
from tomocyte.formats import write_volume
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import make_targets
from tomocyte.volume import Volume

PIXEL_UM = (0.6, 0.5)


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """One dry-mass image of three discs of radius 8 um, two of them touching."""
    y, x = np.mgrid[:110, :160]
    labels = np.zeros((110, 160), np.uint32)
    for label, (cy, cx) in enumerate(((20.0, 20.0), (20.0, 34.0), (45.0, 60.0)), start=1):
        inside = np.hypot(y * PIXEL_UM[0] - cy, x * PIXEL_UM[1] - cx) < 8
        labels[inside & (labels == 0)] = label
    known: dict[str, Any] = {"voxel_size_um": (float("nan"), *PIXEL_UM), "origin": {"voxel_size_um": "user"}}
    image = np.where(labels > 0, 0.5, 0.0) + np.random.default_rng(0).normal(0, 0.01, labels.shape)
    volume = Volume.from_array(image.astype(np.float32), quantity="dry_mass_density", unit="pg/um2", **known)
    write_volume(tmp_path / "a.ome.tif", volume)
    write_volume(tmp_path / "a_instances.ome.tif", Volume.from_array(labels, quantity="labels", **known))
    settings = small_recipe(
        data={
            "modality": "qpi",
            "structures": ["cell"],
            "targets": "mask-and-core",
            "core_depth_um": 2.0,
            "voxel_size_um": [None, 1.0, 1.0],
            "normalization": {"kind": "fixed", "scale": 0.5},
        }
    ).data
    return Samples(find_items(tmp_path, settings), settings, n_axes=2)


def test_perfect_probabilities_give_the_objects_back(samples: Samples) -> None:
    """Mask and core of 1 um pixels, drawn back to 0.6 x 0.5 um: every object found, Dice above 0.95."""

    def predict(sample: Sample) -> dict[str, Any]:
        return {"cell": objects_of(sample, samples.whole(sample.index)[1].astype(np.float32))}

    table = score_samples(samples, predict, kind="instances")
    row, summary = image_rows(table, "instances")[0], summary_of(table, "instances")
    assert row["n_truth"] == row["n_prediction"] == 3
    assert summary["f1"] == 1.0
    assert summary["matched_dice"] > 0.95


def test_without_cores_touching_objects_stay_one(samples: Samples) -> None:
    assert int(objects_of(Sample(samples, 0), samples.whole(0)[1][:1].astype(np.float32)).max()) == 2


def test_scores_of_wrong_objects_are_counted_by_hand(samples: Samples) -> None:
    """Of three objects one is found exactly, two are merged: F1 = 2 * 1 / (3 + 2)."""
    truth = samples.volume(0)[1]["cell"]
    assert truth is not None
    labels = truth.planes(0, 0).copy()
    labels[labels == 2] = 1
    table = score_samples(samples, lambda _: {"cell": labels}, kind="instances")
    summary = summary_of(table, "instances")
    assert summary["dice"] == 1.0
    n = [int((truth.planes(0, 0) == label).sum()) for label in (1, 2, 3)]
    is_half = max(n[0], n[1]) / (n[0] + n[1]) >= 0.5
    assert summary["f1"] == pytest.approx(2 * (1 + is_half) / 5)


@pytest.mark.parametrize(("method", "n_objects"), [("otsu", 2), ("watershed", 3), ("classical", 3), ("edge-based", 2)])
def test_methods_without_training_find_the_discs(samples: Samples, method: str, n_objects: int) -> None:
    """Otsu and edges cannot part the touching discs; the watershed on distance can."""
    found = baseline_predictor(method, "instances")(Sample(samples, 0))["cell"]
    assert found.shape == (1, 110, 160)
    assert len(np.unique(found)) - 1 == n_objects


def test_targets_of_touching_discs_have_one_core_each(samples: Samples) -> None:
    from scipy import ndimage

    truth = samples.volume(0)[1]["cell"]
    assert truth is not None
    core = make_targets({"cell": truth.planes(0, 0)[0]}, samples.settings, PIXEL_UM)[1]
    assert ndimage.label(core)[1] == 3


def stack_samples(folder: Path, labels: np.ndarray) -> Samples:
    """Sections of one stack with the given labels."""
    known: dict[str, Any] = {"voxel_size_um": (1.0, *PIXEL_UM), "origin": {"voxel_size_um": "user"}}
    image = np.where(labels > 0, 1.36, 1.337).astype(np.float32)
    folder.mkdir(exist_ok=True)
    write_volume(folder / "a.ome.tif", Volume.from_array(image, quantity="refractive_index", unit="1", **known))
    write_volume(folder / "a_instances.ome.tif", Volume.from_array(labels, quantity="labels", **known))
    data = {"structures": ["cell"], "targets": "mask-and-core", "core_depth_um": 2.0,
            "voxel_size_um": [None, 1.0, 1.0]}  # fmt: skip
    settings = small_recipe(data=data).data
    return Samples(find_items(folder, settings), settings, n_axes=2)


def boxes(gap: bool = False) -> np.ndarray:
    """Two touching boxes of 10 sections in 14, 15 x 24 µm each."""
    labels = np.zeros((14, 60, 120), np.uint32)
    labels[2:12, 10:35, 10:58] = 1
    labels[2:12, 35:60, 10:58] = 2
    if gap:
        labels[6] = 0
    return labels


def test_sections_of_a_stack_give_whole_objects(tmp_path: Path) -> None:
    """Perfect probabilities of ten sections give two objects through all of them, and not two in each."""
    samples = stack_samples(tmp_path / "whole", boxes())
    (stack,) = stacks_of(samples)
    assert [samples.places[index].z for index in stack.indices] == list(range(2, 12))
    found = objects_of_stack(stack, [samples.whole(index)[1].astype(np.float32) for index in stack.indices])
    assert found.shape == (10, 60, 120)
    assert len(np.unique(found[found > 0])) == 2
    first, last = np.unique(found[0][found[0] > 0]), np.unique(found[-1][found[-1] > 0])
    assert first.tolist() == last.tolist()


def test_stacks_that_are_labelled_here_and_there_have_no_objects(tmp_path: Path) -> None:
    assert stacks_of(stack_samples(tmp_path / "gap", boxes(gap=True))) == []
