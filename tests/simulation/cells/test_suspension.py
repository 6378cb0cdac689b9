"""Suspended cells in a capillary: nothing overlaps, what touches touches, and the tables agree with the voxels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.capillary import Capillary
from tomocyte.simulation.cells.field import simulate_scene
from tomocyte.simulation.cells.rendering import render_scene
from tomocyte.simulation.cells.settings import CapillarySettings, SceneSettings
from tomocyte.simulation.cells.shapes import StarBody
from tomocyte.simulation.cells.truth import truth_table

SIDE = 88
VOXEL = (0.172, 0.172, 0.172)
EXTENT = (SIDE * 0.172,) * 3


def suspension(seed=1, n_cells=3, **changes):
    capillary = CapillarySettings(**{"n_beads": (2, 2), **changes})
    settings = SceneSettings(capillary=capillary, apoptotic_share=0.0, n_debris=(6, 6))
    return simulate_scene("T cell", n_cells, extent_um=EXTENT, settings=settings, rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def scene():
    return suspension()


@pytest.fixture(scope="module")
def rendered(scene):
    return render_scene(scene, VOXEL, (SIDE,) * 3)


def test_wall_of_a_straight_capillary():
    """A pipe of inner radius 3 and wall 1 µm, 4 µm long: volume π (4² - 3²) 4, area 2 π (3 + 4) 4."""
    tube = Capillary(np.array([4.0, 5.0]), np.zeros(2), 3.0, 0.0, 1.0, 4.0)
    assert_allclose(tube.volume_um3, np.pi * 7 * 4)
    assert_allclose(tube.surface_area_um2, 2 * np.pi * 7 * 4)
    assert_allclose(tube.depth_um(np.array([[1.0, 4.0, 5.0], [2.0, 4.0, 8.5]])), [3.0, -0.5])


def test_a_ball_is_cut_where_the_glass_begins():
    """A ball of 2 µm whose centre is 1 µm from the glass keeps its far side and loses all beyond the wall."""
    tube = Capillary(np.zeros(2), np.zeros(2), 6.0, 0.0, 0.5, 10.0)
    ball = StarBody.ellipsoid(np.array([5.0, 0.0, 5.0]), np.full(3, 2.0))
    cut = tube.cut(ball)
    assert tube.depth_um(cut.nodes_um.reshape(-1, 3)).min() >= -1e-5
    assert_allclose(cut.bounds_um[0], ball.bounds_um[0], atol=1e-9)
    assert cut.bounds_um[1, 2] == pytest.approx(6.0, abs=1e-3)


def test_cells_beads_and_glass_are_apart(rendered):
    """Every voxel belongs to one thing at most; nothing lies in or beyond the glass."""
    labels = rendered.labels
    things = [labels[name] > 0 for name in ("cell", "bead", "capillary", "debris")]
    assert np.sum(things, axis=0).max() == 1
    assert all(thing.any() for thing in things)
    assert np.array_equal(labels["extracellular"] == 0, labels["cell"] > 0)
    assert set(np.unique(labels["cell"])) == {0, 1, 2, 3}


def test_table_agrees_with_the_voxels(scene, rendered):
    table = truth_table(scene)
    for name in ("cell", "bead", "debris"):
        whole = table[(table["structure"] == name) & ~table["is_cut"] & (table["volume_um3"] > 2)]
        counts = np.bincount(rendered.labels[name].ravel()) * np.prod(VOXEL)
        assert len(whole) >= 1 or name == "debris"
        assert_allclose(counts[whole["label"]], whole["volume_um3"], rtol=0.03)
    glass = table[table["structure"] == "capillary"].iloc[0]
    assert glass["is_cut"]
    beads = table[table["structure"] == "bead"]
    assert_allclose(beads["surface_area_um2"] ** 3, 36 * np.pi * beads["volume_um3"] ** 2)


def test_the_wall_has_the_volume_of_its_voxels():
    """A wall that lies in the field; 5 voxels of glass are counted to 3 %."""
    scene = suspension(2, 1, inner_radius_um=(5.5, 5.5), wall_um=(0.9, 0.9), offset_um=(0.3, 0.3), taper=(0.01, 0.01))
    glass = scene.capillary
    n_voxels = (render_scene(scene, VOXEL, (SIDE,) * 3).labels["capillary"] > 0).sum()
    assert_allclose(n_voxels * np.prod(VOXEL), glass.volume_um3, rtol=0.03)


def test_the_same_seed_gives_the_same_cells_and_another_does_not():
    first, again, other = suspension(5, 2), suspension(5, 2), suspension(6, 2)
    assert_allclose(first.cells[1].bodies[0].radii, again.cells[1].bodies[0].radii)
    assert not np.allclose(first.cells[1].bodies[0].centre_um, other.cells[1].bodies[0].centre_um)


def test_cells_against_the_glass_touch_it():
    scene = suspension(3, 2, glass_share=1.0, glass_press=(0.05, 0.1), n_beads=(0, 0))
    glass = scene.capillary
    depths = [glass.depth_um(cell.bodies[0].nodes_um.reshape(-1, 3)).min() for cell in scene.cells]
    assert min(depths) > -1e-5
    assert min(depths) < 0.02


def test_protrusions_leave_the_cell_and_stay_out_of_everything_else(scene):
    glass = scene.capillary
    for cell in scene.cells:
        tubes = [part.shape for part in cell.parts_of("filopodium")]
        assert len(tubes) > 20
        ends = np.array([tube[-1, 3:6] for tube in tubes])
        starts = np.array([tube[0, :3] for tube in tubes])
        assert cell.bodies[0].levels(ends).min() >= 1.0
        assert cell.bodies[0].levels(starts).max() < 1.0
        assert glass.depth_um(ends).min() > 0
        others = [other.bodies[0] for other in scene.cells if other is not cell]
        assert all(other.levels(ends).min() > 1.0 for other in others)


def test_cells_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="do not fit a capillary"):
        suspension(1, 12, inner_radius_um=(4.5, 4.5))
