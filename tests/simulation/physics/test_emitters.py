"""Light put into voxels: as much of it, and where, as the shapes say."""

import numpy as np
import pytest

from tomocyte.simulation.cells.shapes import StarBody
from tomocyte.simulation.physics.emitters import CLOUD_VARIANCE, add_surface, add_tubes

STEP = (0.25, 0.1, 0.125)


def grid(n_channels=1, shape=(24, 60, 48)):
    light = np.zeros((n_channels, *shape), np.float32)
    plain = np.column_stack([np.diag(1 / np.array(STEP)), [-0.5] * 3])
    return light, np.stack([plain] * n_channels)


def centre_um(light):
    where = [(np.arange(n) + 0.5) * step for n, step in zip(light.shape, STEP, strict=True)]
    return [
        float((light.sum(axis=tuple(a for a in range(3) if a != axis)) * where[axis]).sum() / light.sum())
        for axis in range(3)
    ]


@pytest.mark.parametrize(
    ("tube", "is_inside", "amount"),
    [
        ((3, 3, 3, 3, 3, 3, 0.5), 0, 4 * np.pi * 0.25),
        ((3, 3, 3, 3, 3, 3, 0.5), 1, 4 / 3 * np.pi * 0.125),
        ((2, 2, 2, 3, 4, 4, 0.3), 0, 2 * np.pi * 0.3 * 3),
        ((2, 2, 2, 3, 4, 4, 0.3), 1, np.pi * 0.09 * 3),
    ],
)
def test_the_light_of_a_tube_is_its_surface_or_volume_and_stands_in_its_middle(tube, is_inside, amount):
    light, maps = grid(2)
    rows = np.array([[is_inside, 2000.0, 3.0, 0.5]])
    add_tubes(light, maps, np.array([tube], float), rows, rng=np.random.default_rng(1))
    assert light.sum(axis=(1, 2, 3)) == pytest.approx([3 * amount, 0.5 * amount], rel=1e-4)
    middle = (np.array(tube[:3]) + np.array(tube[3:6])) / 2
    assert centre_um(light[0]) == pytest.approx(middle, abs=0.01)


def test_the_light_of_a_body_is_its_area():
    light, maps = grid(shape=(24, 60, 60))
    body = StarBody.ellipsoid(np.array([3.0, 3.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    add_surface(light, maps, body, np.array([0.7]), density_per_um2=400.0, rng=np.random.default_rng(2))
    assert light.sum() == pytest.approx(0.7 * 4 * np.pi * 4, rel=2e-3)
    assert centre_um(light[0]) == pytest.approx([3, 3, 3], abs=0.01)


def test_a_point_widens_by_the_cloud_alone():
    """A ball of no size at any place: mean over places of the variance of its eight voxels."""
    rng = np.random.default_rng(3)
    variances = []
    for _ in range(400):
        light, maps = grid(shape=(8, 8, 8))
        place = 0.8 * np.array(STEP) * 5 + rng.random(3) * STEP
        ball = np.concatenate([place, place, [1e-9]])[None]
        add_tubes(light, maps, ball, np.array([[0, 1.0, 1e18]]), rng=rng)
        along = light[0].sum(axis=(0, 1))
        index = np.arange(8)
        mean = (along * index).sum() / along.sum()
        variances.append((along * (index - mean) ** 2).sum() / along.sum())
    assert np.mean(variances) == pytest.approx(CLOUD_VARIANCE, rel=0.08)


def test_what_lies_outside_the_grid_leaves_no_light():
    light, maps = grid()
    tubes = np.array([[3.0, -9, 3, 3, -8, 3, 0.2], [3, 3, 3, 3, 9, 3, 0.2]])
    add_tubes(light, maps, tubes, np.tile([0.0, 300.0, 1.0], (2, 1)), rng=np.random.default_rng(4))
    assert light.sum() == pytest.approx(2 * np.pi * 0.2 * 3, rel=0.02)  # half of the second one
