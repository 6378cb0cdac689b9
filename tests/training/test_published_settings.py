"""What the organelle paper printed of its training, as settings: sum over organelles, even rescaling, fixed shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import SettingsError
from tomocyte.formats import write_volume
from tomocyte.segmentation.prediction.fixed_shape import FixedFrameSettings
from tomocyte.settings import build_settings
from tomocyte.training import build_recipe, load_recipe
from tomocyte.training.data.augmentation import PRESETS, augment
from tomocyte.training.data.geometry import GeometrySettings, draw_map
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.losses import LossSettings, build_loss
from tomocyte.training.predictions import predict_samples
from tomocyte.volume import Volume


def test_the_loss_is_the_sum_over_organelles() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    target = (torch.rand(2, 3, 4, 5, 6, generator=generator) < 0.3).float()
    expected = torch.zeros(())
    for head in range(3):
        p, g = torch.sigmoid(logits[:, head]), target[:, head]
        expected += 1 - (2 * (p * g).sum() + 1e-5) / (p.sum() + g.sum() + 1e-5)
        expected += functional.binary_cross_entropy(p, g)
    found = build_loss(LossSettings(kind="dice+bce", head_reduction="sum"), 3)(logits, target)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    mean = build_loss(LossSettings(kind="dice+bce"), 3)(logits, target)
    assert float(found) == pytest.approx(3 * float(mean), rel=1e-5)


def test_a_head_without_labels_adds_nothing_and_weights_count() -> None:
    logits = torch.zeros(1, 2, 2, 3, 4, requires_grad=True)
    target = torch.ones(1, 2, 2, 3, 4)
    target[:, 1] = 255
    settings = LossSettings(kind="bce", head_reduction="sum", head_weights=(3.0, 1.0), positive_weights=(2.0, 5.0))
    value = build_loss(settings, 2)(logits, target)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == pytest.approx(3 * 2 * np.log(2), rel=1e-6)
    assert logits.grad is not None
    assert not logits.grad[:, 1].any()


def test_the_sum_is_for_sigmoid_losses() -> None:
    with pytest.raises(ValueError, match="head_reduction"):
        LossSettings(kind="cross-entropy", head_reduction="sum")


def test_even_rescaling_has_one_factor_within_its_range() -> None:
    settings = GeometrySettings(scale=(0.5, 2.0), is_scaled_evenly=True)
    factors = []
    for seed in range(40):
        matrix = draw_map((9, 11, 13), settings, np.random.default_rng(seed)).matrix
        diagonal = np.diag(matrix)
        assert np.array_equal(matrix, np.diag(diagonal))
        assert np.ptp(diagonal) == 0
        factors.append(1 / diagonal[0])
    assert 0.5 <= min(factors) < 0.7
    assert 1.5 < max(factors) <= 2.0
    with pytest.raises(ValueError, match="scale_z"):
        GeometrySettings(scale_z=(0.5, 2.0), is_scaled_evenly=True)
    uneven = draw_map((9, 11, 13), GeometrySettings(scale=(0.5, 2.0)), np.random.default_rng(0)).matrix
    assert uneven[0, 0] == 1
    assert uneven[1, 1] != uneven[2, 2]


def test_the_published_preset_moves_masks_with_their_image() -> None:
    rng = np.random.default_rng(3)
    image = np.zeros((1, 12, 20, 20), np.float32)
    image[0, 4:8, 5:12, 6:16] = 1
    changed = 0
    for _ in range(8):
        seen, moved = augment(image, (image > 0.5).astype(np.uint8), PRESETS["choi-published"](), rng)
        assert np.mean((seen > 0.5) != (moved == 1)) < 0.05
        changed += not np.array_equal(seen, image)
    assert changed >= 6


def test_the_shipped_recipe_says_what_the_paper_prints() -> None:
    recipe = build_recipe(load_recipe("choi-published"))
    assert recipe.data.fixed_frame == FixedFrameSettings(shape=(128, 512, 512), depth=64, padding=64, stride=64)
    assert recipe.data.patch_shape == (64, 128, 128)
    assert (recipe.loss.kind, recipe.loss.head_reduction) == ("dice+bce", "sum")
    assert (recipe.loop.optimiser.kind, recipe.loop.optimiser.learning_rate) == ("adam", 0.001)
    schedule = recipe.loop.schedule
    assert (schedule.kind, schedule.patience) == ("plateau", 30)
    assert schedule.factor == pytest.approx(1 / 5)
    geometry = recipe.augmentation.geometry
    assert (geometry.scale, geometry.flip_axes) == ((0.5, 2.0), ("z", "y", "x"))
    assert geometry.rotation_deg > 0
    assert recipe.network.options["norm"] == "instance"
    assert recipe.network.options["width"] == 12


def fixed_samples(folder: Path) -> Samples:
    image = np.full((12, 30, 40), 1.337, np.float32)
    labels = np.zeros((12, 30, 40), np.uint16)
    image[4:8, 10:20, 10:30], labels[4:8, 10:20, 10:30] = 1.357, 1
    for name, array in (("image", image), ("cell", labels)):
        quantity = "refractive_index" if name == "image" else "labels"
        known: dict[str, Any] = {"voxel_size_um": (0.6, 0.4, 0.2), "origin": {"voxel_size_um": "user"}}
        write_volume(folder / f"{name}.ome.tif", Volume.from_array(array, quantity=quantity, **known))
    item = LabelledItem("one", folder / "image.ome.tif", {"cell": folder / "cell.ome.tif"}, "one")
    settings = build_settings(
        DataSettings,
        {
            "modality": "odt",
            "structures": ["cell"],
            "normalization": {"kind": "fixed", "offset": 1.337, "scale": 0.02},
            "patch_shape": [8, 16, 16],
            "fixed_frame": {"shape": [16, 24, 32], "depth": 8, "padding": 8, "stride": 8},
        },
    )
    return Samples([item], settings, n_axes=3)


def test_samples_of_a_fixed_frame_have_its_shape(tmp_path: Path) -> None:
    samples = fixed_samples(tmp_path)
    # Extent over voxels: 12 x 0.6 / 16, 30 x 0.4 / 24, 40 x 0.2 / 32
    assert samples.pixel_size_um(0) == pytest.approx((0.45, 0.5, 0.25))
    image, target = samples.whole(0)
    assert image.shape == (1, 16, 24, 32)
    assert target.shape == (1, 16, 24, 32)
    assert target.mean() == pytest.approx(4 * 10 * 20 / (12 * 30 * 40), rel=0.15)
    patch, labels = samples.read(0, np.random.default_rng(0))
    assert patch.shape == labels.shape == (1, 8, 16, 16)
    assert ((patch > 0.5) == (labels == 1)).mean() > 0.95


def test_validation_predicts_as_published(tmp_path: Path) -> None:
    class Sure(torch.nn.Module):
        divisor = (4, 4, 4)
        n_outputs = 1

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.full_like(batch, 9.0)

    (found,) = predict_samples(Sure(), fixed_samples(tmp_path), is_softmax=False)
    assert found.shape == (1, 16, 24, 32)
    assert not found[:, :4].any()
    assert not found[:, 12:].any()
    assert np.allclose(found[:, 4:12], 1 / (1 + np.exp(-9.0)), atol=1e-5)


def test_fixed_shape_and_voxel_size_exclude_each_other() -> None:
    content = load_recipe("choi-published")
    content["data"]["voxel_size_um"] = [0.4, 0.2, 0.2]
    with pytest.raises(SettingsError, match="not both"):
        build_recipe(content)
