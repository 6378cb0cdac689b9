"""The input of a self-test: what is taken, with which axes, and what would test next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.models.conftest import Made, make_card

from tomocyte.errors import SettingsError
from tomocyte.models.selftest import check_selftest, probabilities, selftest_tensor

IMAGE = np.random.default_rng(6).normal(size=(1, 16, 32))


def test_a_batch_axis_is_added_and_values_stay() -> None:
    for image in (IMAGE, IMAGE[np.newaxis], torch.from_numpy(IMAGE)):
        tensor = selftest_tensor(make_card(), image, (16, 16))
        assert tensor.shape == (1, 1, 16, 32)
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor[0].numpy(), IMAGE.astype(np.float32))


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (IMAGE[0], "its shape is"),
        (np.concatenate([IMAGE, IMAGE]), "its shape is"),  # two channels
        (IMAGE[:, :15], "are not multiples of"),
        (np.where(IMAGE > 2, np.nan, IMAGE), "NaN or infinity"),
        (np.where(IMAGE > 2, np.inf, IMAGE), "NaN or infinity"),
        (np.full_like(IMAGE, 1.337), "constant"),
        (np.broadcast_to(IMAGE, (9, 1, 16, 32)), "at most 8 tiles"),
        (np.zeros((1, 1040, 1024)), "1048576 voxels"),
    ],
)
def test_what_cannot_be_a_self_test_is_refused(image: Any, text: str) -> None:
    with pytest.raises(SettingsError, match=f"E-MODEL-SELFTEST-INPUT.*{text}"):
        selftest_tensor(make_card(), image, (16, 16))


def test_activations_are_the_textbooks() -> None:
    logits = torch.tensor([[-1.0, 0.0, 3.0]]).reshape(1, 3, 1, 1)
    identity: Any = torch.nn.Identity()
    values = np.array([-1.0, 0.0, 3.0])
    np.testing.assert_allclose(probabilities(identity, logits, "sigmoid").ravel(), 1 / (1 + np.exp(-values)), rtol=1e-6)
    softmax = np.exp(values) / np.exp(values).sum()
    np.testing.assert_allclose(probabilities(identity, logits, "softmax").ravel(), softmax, rtol=1e-6)


def test_the_largest_difference_is_returned(made: Made) -> None:
    image = torch.from_numpy(made.image[np.newaxis])
    with torch.no_grad():
        output = torch.sigmoid(made.module(image))
    output[0, 1, 5, 7] += 7e-5
    assert check_selftest(made.card, {"input": image, "output": output}, made.module) == pytest.approx(7e-5, rel=0.02)
