"""Networks and ribbons of adherent cells, and the masks of what is in focus."""

import numpy as np
import pytest

from tomocyte.simulation.cells.endomembranes import TUBULE_UM, golgi_ribbon, reticulum_network
from tomocyte.simulation.cells.rendering import render_scene
from tomocyte.simulation.cells.scene import Cell, Part, Scene
from tomocyte.simulation.cells.seen import SeenLabels, whole_cytosol
from tomocyte.simulation.cells.shapes import StarBody
from tomocyte.simulation.cells.truth import truth_table

BODY = StarBody.ellipsoid(np.array([2.5, 12.0, 12.0]), np.array([2.0, 10.0, 11.0]))
NUCLEUS = StarBody.ellipsoid(np.array([2.5, 12.0, 12.0]), np.array([1.2, 4.0, 5.0]))


@pytest.fixture(scope="module")
def network():
    return reticulum_network(BODY, [NUCLEUS], np.random.default_rng(1))


def test_tubules_meet_in_threes(network):
    """Corners of Voronoi polygons have three edges; sheets and cut edges change some of them."""
    tubules = network[np.linalg.norm(network[:, :3] - network[:, 3:6], axis=1) > 1e-6]
    ends = np.concatenate([tubules[:, :3], tubules[:, 3:6]]).round(6)
    _, n_edges = np.unique(ends, axis=0, return_counts=True)
    joints = n_edges[n_edges > 1]
    assert np.bincount(joints).argmax() == 3
    assert (network[:, 6] == TUBULE_UM).all()


def test_the_mesh_is_finer_near_the_nucleus(network):
    middle = 0.5 * (network[:, 1:3] + network[:, 4:6]) - 12.0
    away = np.hypot(middle[:, 0] / 10.0, middle[:, 1] / 11.0)
    inner, outer = ((away > low) & (away < high) for low, high in ((0.45, 0.65), (0.7, 0.9)))
    area = [0.65**2 - 0.45**2, 0.9**2 - 0.7**2]
    assert inner.sum() / area[0] > 1.2 * outer.sum() / area[1]


def test_the_ribbon_lies_beside_the_nucleus():
    for seed in range(5):
        tubes = golgi_ribbon(BODY, NUCLEUS, np.random.default_rng(seed))
        assert len(tubes) > 20
        offset = np.column_stack([np.full(len(tubes), 2.5), tubes[:, 1:3]])
        levels = NUCLEUS.levels(offset)
        assert levels.min() > 1.0
        assert levels.max() < 2.0


def one_ball(radius=0.3, *, z=2.5):
    shapes = [
        ("plasma_membrane", 0, BODY),
        ("cytosol", 0, BODY.shrunk(0.2)),
        ("lysosome", 0, np.array([[z, 12.0, 19.0, z, 12.0, 19.0, radius]])),
        ("nuclear_membrane", 1, NUCLEUS),
        ("nucleoplasm", 1, NUCLEUS.shrunk(0.2)),
    ]
    parts = tuple(Part(name, 1, 1, nucleus, shape, 1.36) for name, nucleus, shape in shapes)
    cell = Cell(1, 1, 0, "adherent", (BODY,), parts, np.zeros(3), (0.4, 1.0))
    return Scene((cell,), 1.337, (5.0, 24.0, 24.0), np.zeros((4, 4, 4), np.float32))


def test_a_ball_is_marked_as_far_as_it_is_in_focus():
    """An ellipsoid with half axes r, r and √(r² + axial²): 4/3 π r² √(r² + axial²)."""
    scene, step = one_ball(), (0.05, 0.05, 0.05)
    exact = render_scene(scene, step, (100, 60, 60), origin_um=(0.0, 10.5, 17.5))
    labels = SeenLabels(scene, exact, axial_um=0.4)["lysosome"]
    assert labels.sum() * 0.05**3 == pytest.approx(4 / 3 * np.pi * 0.09 * 0.5, rel=0.02)
    tall = np.flatnonzero(labels.any(axis=(1, 2)))
    assert (tall[0] * 0.05, (tall[-1] + 1) * 0.05) == pytest.approx((2.0, 3.0), abs=0.051)
    assert np.flatnonzero(labels.any(axis=(0, 2))).size == 12  # 0.6 µm across


def test_nothing_is_marked_outside_its_cell():
    scene, step = one_ball(0.15, z=4.0), (0.05, 0.05, 0.05)
    exact = render_scene(scene, step, (100, 60, 60), origin_um=(0.0, 10.5, 17.5))
    labels = SeenLabels(scene, exact, axial_um=0.8)["lysosome"]
    assert labels.any()
    assert exact.labels["cell"][labels > 0].all()


def test_the_cytosol_of_the_table_is_the_cell_without_its_nucleus():
    scene = one_ball()
    table = whole_cytosol(truth_table(scene)).set_index("structure")
    cell, nucleus = (4 / 3 * np.pi * np.prod(axes) for axes in ((2.0, 10.0, 11.0), (1.2, 4.0, 5.0)))
    assert table.loc["cytosol", "volume_um3"] == pytest.approx(cell - nucleus, rel=1e-3)
    assert table.loc["cytosol", ["z_um", "y_um", "x_um"]].tolist() == pytest.approx([2.5, 12.0, 12.0], abs=1e-2)
    assert table.loc["cytosol", "mean_ri"] == pytest.approx(1.36, abs=1e-6)
    masses = table.loc[["cytosol", "nucleus"], "dry_mass_pg"].sum()
    assert masses == pytest.approx(table.loc["cell", "dry_mass_pg"], rel=1e-9)
