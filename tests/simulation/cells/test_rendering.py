"""Rendering against hand-countable spheres, and the same scene on different grids."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation import STRUCTURES, Cell, Part, Scene, SceneSettings, render_scene, simulate_scene
from tomocyte.simulation.cells.shapes import StarBody, sphere

FLAT = np.zeros((4, 4, 4), np.float32)


def one_part_scene(shape, *, structure="cytosol", ri=1.36):
    part = Part(structure, 1, 1, 0, shape, ri)
    cell = Cell(1, 1, 0, "suspended", (), (part,), np.zeros(3), (0.5, 1.0))
    return Scene((cell,), 1.337, (12.0, 13.0, 14.0), FLAT)


@pytest.fixture(scope="module")
def scene():
    settings = SceneSettings(mitotic_share=0, apoptotic_share=0)
    return simulate_scene("HL60", 2, extent_um=(21.0, 33.0, 36.0), settings=settings, rng=np.random.default_rng(8))


@pytest.mark.parametrize("kind", ["body", "capsule"])
def test_a_sphere_covers_the_voxels_whose_centres_it_holds(kind):
    centre, radius = np.array([6.1, 6.4, 7.2]), 2.3
    shape = StarBody.ellipsoid(centre, np.full(3, radius)) if kind == "body" else sphere(centre, radius)
    size = np.array([0.31, 0.17, 0.23])
    rendered = render_scene(one_part_scene(shape), tuple(size), (38, 76, 60))
    centres = [(np.arange(n) + 0.5) * s for n, s in zip((38, 76, 60), size, strict=True)]
    far = np.sqrt(sum(d**2 for d in np.meshgrid(*[a - c for a, c in zip(centres, centre, strict=True)], indexing="ij")))
    assert np.array_equal(rendered.labels["cell"] == 1, far < radius)
    assert np.array_equal(rendered.labels["extracellular"] == 1, far >= radius)
    assert rendered.ri[far < radius - 0.3] == pytest.approx(1.36)
    assert rendered.ri[far > radius + 0.3] == pytest.approx(1.337)


@pytest.mark.parametrize(
    ("size", "tolerance"), [((0.1, 0.09, 0.11), 0.005), ((0.39, 0.195, 0.2), 0.03), ((0.5, 0.3, 0.4), 0.06)]
)
def test_the_index_integral_of_a_sphere_does_not_depend_on_the_voxels(size, tolerance):
    radius = 0.9
    rendered = render_scene(
        one_part_scene(sphere(np.array([2.03, 2.11, 1.97]), radius)), size, tuple(int(4 / s) for s in size)
    )
    total = (rendered.ri.astype(float) - 1.337).sum() * np.prod(size)
    assert total == pytest.approx(0.023 * 4 / 3 * np.pi * radius**3, rel=tolerance)


def test_a_sphere_below_the_voxel_keeps_about_its_mass():
    rendered = render_scene(one_part_scene(sphere(np.array([1.0, 1.5, 1.25]), 0.12)), (0.4, 0.6, 0.5), (6, 6, 6))
    total = (rendered.ri.astype(float) - 1.337).sum() * 0.4 * 0.6 * 0.5
    assert total == pytest.approx(0.023 * 4 / 3 * np.pi * 0.12**3, rel=0.05)


def test_labels_agree_where_two_grids_look_at_the_same_points(scene):
    coarse = render_scene(scene, (1.2, 0.6, 0.9), (17, 55, 40))
    fine = render_scene(scene, (0.4, 0.2, 0.3), (51, 165, 120))
    for structure in STRUCTURES:
        assert np.array_equal(coarse.labels[structure], fine.labels[structure][1::3, 1::3, 1::3]), structure


def test_a_shifted_origin_is_a_crop(scene):
    whole = render_scene(scene, (0.5, 0.25, 0.4), (42, 132, 90))
    part = render_scene(scene, (0.5, 0.25, 0.4), (20, 60, 50), origin_um=(5.0, 10.0, 4.0))
    for structure in ("cell", "nucleus", "lipid_droplet"):
        assert np.array_equal(part.labels[structure], whole.labels[structure][10:30, 40:100, 10:60])
    assert np.allclose(part.ri, whole.ri[10:30, 40:100, 10:60], atol=1e-6)


def test_the_texture_has_the_planned_spread(scene):
    rendered = render_scene(scene, (0.3, 0.15, 0.2), (70, 220, 180))
    for cell in scene.cells:
        part = cell.parts_of("cytosol")[0]
        deep = cell.bodies[0].shrunk(1.2)
        z, y, x = np.nonzero(rendered.labels["cytosol"] == cell.label)
        points = np.column_stack([(z + 0.5) * 0.3, (y + 0.5) * 0.15, (x + 0.5) * 0.2])
        inside = deep.levels(points) < 1.0
        far_from_parts = np.abs(rendered.ri[z, y, x] - part.ri) < 4 * part.texture_sigma
        values = rendered.ri[z, y, x][inside & far_from_parts].astype(float)
        assert values.std() == pytest.approx(part.texture_sigma, rel=0.25)
        assert values.mean() == pytest.approx(part.ri, abs=0.5 * part.texture_sigma)


@pytest.mark.parametrize(
    ("size", "shape"), [((0.0, 0.1, 0.2), (3, 4, 5)), ((0.3, 0.1, np.nan), (3, 4, 5)), ((0.3, 0.1, 0.2), (3, 0, 5))]
)
def test_an_impossible_grid_is_refused(scene, size, shape):
    with pytest.raises(SettingsError, match="E-SIM-GRID"):
        render_scene(scene, size, shape)


def test_an_unknown_structure_is_refused(scene):
    with pytest.raises(SettingsError, match=r"E-SIM-STRUCTURE.*lipid_droplet"):
        render_scene(scene, (1.0, 2.0, 3.0), (3, 4, 5)).labels["lipids"]


def test_debris_changes_the_index_and_no_label():
    settings = SceneSettings(n_debris=(400, 400), mitotic_share=0, apoptotic_share=0)
    scene = simulate_scene("T cell", 1, extent_um=(16.0, 30.0, 34.0), settings=settings, rng=np.random.default_rng(3))
    assert 300 < len(scene.debris) < 400
    rendered = render_scene(scene, (0.4, 0.3, 0.35), (40, 100, 98))
    outside = rendered.labels["extracellular"] == 1
    assert rendered.ri[outside].max() > scene.medium_ri + 0.003
    for particle in scene.debris:
        z, y, x = (int(v / s) for v, s in zip(particle[:3], (0.4, 0.3, 0.35), strict=True))
        assert outside[z, y, x]


def test_another_modality_paints_its_own_values(scene):
    water = scene.with_values(lambda part: (0.5 if part.structure == "lipid_droplet" else 0.3, 0.0), 0.11)
    rendered = render_scene(water, (0.5, 0.25, 0.4), (42, 132, 90))
    assert np.unique(np.round(rendered.ri[rendered.labels["nucleus"] > 0], 4))[-1] == np.float32(0.3)
    assert rendered.ri.min() == np.float32(0.11)
    assert rendered.ri.max() > 0.4


def test_a_scene_and_its_rendering_stay_below_six_volumes():
    import tracemalloc

    shape, size = (64, 192, 192), (0.39, 0.195, 0.195)
    extent = tuple(n * s for n, s in zip(shape, size, strict=True))
    tracemalloc.start()
    try:
        render_scene(simulate_scene("RAW 264.7", 4, extent_um=extent, rng=np.random.default_rng(1)), size, shape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 6 * 4 * np.prod(shape)


def test_a_filopodium_ends_where_a_body_begins():
    ball = StarBody.ellipsoid(np.array([5.0, 5.0, 5.0]), np.full(3, 3.0))
    inner = StarBody.ellipsoid(np.array([5.0, 5.0, 5.0]), np.full(3, 2.5))
    tube = np.array([[5.0, 5.0, 6.0, 5.0, 5.0, 10.0, 0.4]])
    parts = (
        Part("filopodium", 1, 1, 0, tube, 1.345),
        Part("plasma_membrane", 1, 1, 0, ball, 1.36),
        Part("cytosol", 1, 1, 0, inner, 1.36),
    )
    cell = Cell(1, 1, 0, "suspended", (ball,), parts, np.zeros(3), (0.5, 1.0))
    rendered = render_scene(Scene((cell,), 1.337, (10.0, 10.0, 12.0), FLAT), (0.2, 0.25, 0.1), (50, 40, 120))
    row = rendered.labels["filopodium"][25, 20]
    assert np.flatnonzero(row).tolist() == list(range(80, 104))  # x from 8.0 (the body) to 10.4 (the tip)
    assert rendered.labels["cell"][25, 20, 20:104].all()
