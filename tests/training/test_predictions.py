"""Whole samples predicted: the sigmoid and the softmax by hand, the network's own mode given back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import small_recipe

from tomocyte.datasets.labelled import find_items
from tomocyte.training.data.samples import Samples
from tomocyte.training.predictions import predict_sample, predict_samples


class Constant(torch.nn.Module):
    """Logits 0 and 1 everywhere."""

    divisor = (16, 16)
    n_outputs = 2

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        shape = (len(batch), 1, *batch.shape[2:])
        return torch.cat([torch.zeros(shape), torch.ones(shape)], dim=1)


@pytest.mark.parametrize(
    ("is_softmax", "expected"), [(False, [0.5, 1 / (1 + math.exp(-1))]), (True, [math.e / (1 + math.e)])]
)
def test_probabilities_by_hand(data: Path, is_softmax: bool, expected: list[float]) -> None:
    """Softmax networks give no background; the padding to multiples of 16 is cut off again."""
    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)
    module = Constant()
    found = predict_sample(module, samples, 0, is_softmax=is_softmax)
    assert found.shape == (len(expected), *samples.whole(0)[0].shape[1:])
    assert found.dtype == np.float32
    assert found[:, 3, 5] == pytest.approx(expected, abs=1e-6)
    assert module.training
    everything = list(predict_samples(module, samples, is_softmax=is_softmax))
    assert len(everything) == len(samples)
    assert np.array_equal(everything[0], found)
