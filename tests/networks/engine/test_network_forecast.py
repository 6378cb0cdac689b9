"""What a network takes, counted layer by layer by hand."""

from __future__ import annotations

import pytest
import torch

from tomocyte.networks.engine.forecast import (
    COPIES_OF_WEIGHTS,
    ENGINE_BYTES,
    ENGINE_SECONDS,
    FLOP_PER_SECOND,
    MAPS_HELD,
    network_divisor,
    network_forecast,
)

OPTIONS = {"width": 2, "strides": [[1, 2, 2]]}
MULTIPLY_ADDS = 27 * (1 * 2 + 2 * 2) + 27 * (2 * 4 + 4 * 4) / 4 + 4 * 2 + 27 * (4 * 2 + 2 * 2) + 2
"""Per voxel: two levels of two convolutions, the way up (4 x 2 weights per voxel), the decoder, the head."""
N_WEIGHTS = (
    (27 * 1 * 2 + 2) + (27 * 2 * 2 + 2)  # first level, biases for want of a normalisation
    + 27 * (2 * 4 + 4 * 4) + 2 * (4 + 4)  # second level, scales and offsets
    + 4 * 2 * 4 + 27 * (4 * 2 + 2 * 2) + 2 * (2 + 2)  # up, decoder
    + 2 + 1  # head
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "divisor"),
    [
        ("unet3d", OPTIONS, (1, 2, 2)),
        ("unet3d", {"strides": [[1, 2, 2], [2, 4, 2]], "stem_stride": [1, 2, 3]}, (2, 16, 12)),
        ("osnet", {}, (16, 16)),
    ],
)
def test_divisors_are_the_products_of_all_pooling(
    name: str, options: dict[str, object], divisor: tuple[int, ...]
) -> None:
    assert network_divisor(name, options) == divisor


@pytest.mark.parametrize(("batch", "n_tiles", "precision"), [(1, 3, "fp32"), (4, 3, "fp32"), (1, 10, "bf16")])
def test_memory_and_time_follow_the_layers(batch: int, n_tiles: int, precision: str) -> None:
    """A multiply-add is two operations; the largest map has two channels at full resolution, four bytes each."""
    n_voxels = 4 * 8 * 16
    held, seconds = network_forecast("unet3d", OPTIONS, (batch, 1, 4, 8, 16), n_tiles=n_tiles, precision=precision)
    operations = 2 * MULTIPLY_ADDS * n_voxels * n_tiles
    assert seconds - ENGINE_SECONDS == pytest.approx(operations / FLOP_PER_SECOND[precision])
    assert held - ENGINE_BYTES == COPIES_OF_WEIGHTS * 4 * N_WEIGHTS + MAPS_HELD * 4 * 2 * n_voxels * batch


def test_a_forecast_leaves_the_random_generator_alone() -> None:
    before = torch.random.get_rng_state()
    network_divisor("osnet", {})
    assert torch.equal(torch.random.get_rng_state(), before)
