"""The truth table against formulas, counting, and the rendering at a fine voxel."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.simulation import STRUCTURES, Cell, Part, Scene, SceneSettings, render_scene, simulate_scene, truth_table
from tomocyte.simulation.cells.shapes import StarBody, sphere
from tomocyte.simulation.cells.truth import COLUMNS, measure

MEDIUM = 1.337


def ball_cell(*, ri=1.357):
    """A cell of known balls: radius 5, skin 0.5, nucleus 2 with skin 0.5, nucleolus 0.7, droplet 0.6."""

    def ball(radius, centre=(7.0, 8.0, 9.0)):
        return StarBody.ellipsoid(np.array(centre), np.full(3, radius))

    parts = (
        Part("plasma_membrane", 1, 1, 0, ball(5.0), ri),
        Part("cytosol", 1, 1, 0, ball(4.5), ri),
        Part("lipid_droplet", 1, 1, 0, sphere(np.array([7.0, 8.0, 12.0]), 0.6), MEDIUM + 0.08),
        Part("nuclear_membrane", 1, 1, 1, ball(2.0), ri),
        Part("nucleoplasm", 1, 1, 1, ball(1.5), ri - 0.004),
        Part("nucleolus", 1, 1, 1, ball(0.7), ri + 0.01),
    )
    cell = Cell(1, 7, 0, "suspended", (ball(5.0),), parts, np.zeros(3), (0.5, 1.0))
    return Scene((cell,), MEDIUM, (14.0, 16.0, 18.0), np.zeros((4, 4, 4), np.float32))


def volume(radius):
    return 4 / 3 * np.pi * radius**3


@pytest.fixture(scope="module")
def balls():
    return truth_table(ball_cell(), item="balls").set_index("structure")


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ("cell", volume(5)),
        ("nucleus", volume(2)),
        ("plasma_membrane", volume(5) - volume(4.5)),
        ("cytosol", volume(4.5) - volume(2) - volume(0.6)),
        ("nuclear_membrane", volume(2) - volume(1.5)),
        ("nucleolus", volume(0.7)),
        ("lipid_droplet", volume(0.6)),
    ],
)
def test_volumes_follow_the_formulas(balls, structure, expected):
    assert balls.volume_um3[structure] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("structure", "radii"),
    [
        ("cell", [5]),
        ("nucleus", [2]),
        ("nuclear_membrane", [2, 1.5]),
        ("lipid_droplet", [0.6]),
        ("cytosol", [4.5, 2, 0.6]),
    ],
)
def test_areas_count_every_wall(balls, structure, radii):
    assert balls.surface_area_um2[structure] == pytest.approx(sum(4 * np.pi * r**2 for r in radii), rel=1e-3)


@pytest.mark.parametrize(("structure", "height"), [("cell", 10), ("nucleus", 4), ("nucleolus", 1.4), ("cytosol", 9)])
def test_heights_are_diameters(balls, structure, height):
    assert balls.height_um[structure] == pytest.approx(height, rel=1e-3)


def test_index_and_dry_mass_are_sums_over_the_leaves(balls):
    assert balls.mean_ri["lipid_droplet"] == pytest.approx(MEDIUM + 0.08)
    assert balls.dry_mass_pg["lipid_droplet"] == pytest.approx(0.08 / 0.135 * volume(0.6), rel=1e-3)
    plasm = volume(1.5) - volume(0.7)
    excess = 0.02 * (volume(5) - volume(0.6)) - 0.004 * plasm + 0.01 * volume(0.7)
    mass = excess / 0.19 + 0.08 / 0.135 * volume(0.6)
    assert balls.dry_mass_pg["cell"] == pytest.approx(mass, rel=1e-3)
    assert balls.mean_ri["cell"] == pytest.approx(MEDIUM + (excess + 0.08 * volume(0.6)) / volume(5), abs=1e-6)
    assert balls.x_um["lipid_droplet"] == pytest.approx(12.0, abs=0.01)
    assert list(balls.loc["nucleus", ["z_um", "y_um", "x_um"]]) == pytest.approx([7.0, 8.0, 9.0], abs=0.01)


def test_the_known_dry_mass_of_a_sphere():
    """r = 5 µm, Δn = 0.02, α = 0.19: 55.116 pg (the measurements' own oracle)."""
    ball = StarBody.ellipsoid(np.full(3, 7.0), np.full(3, 5.0))
    inner = StarBody.ellipsoid(np.full(3, 7.0), np.full(3, 4.0))
    parts = (Part("plasma_membrane", 1, 1, 0, ball, 1.357), Part("cytosol", 1, 1, 0, inner, 1.357))
    cell = Cell(1, 1, 0, "suspended", (ball,), parts, np.zeros(3), (0.5, 1.0))
    table = truth_table(Scene((cell,), MEDIUM, (14.0, 15.0, 16.0), np.zeros((4, 4, 4), np.float32)))
    assert table.query("structure == 'cell'").dry_mass_pg.item() == pytest.approx(55.116, rel=1e-4)


@pytest.fixture(scope="module")
def field():
    settings = SceneSettings(mitotic_share=0, apoptotic_share=0, border_overhang=0)
    extent = (18.0, 26.0, 28.0)
    scene = simulate_scene("RAW 264.7", 2, extent_um=extent, settings=settings, rng=np.random.default_rng(4))
    return scene, truth_table(scene, item="raw"), render_scene(scene, (0.16, 0.14, 0.15), (112, 185, 186))


def test_a_fine_rendering_counts_to_the_truth(field):
    _, table, rendered = field
    voxel = 0.16 * 0.14 * 0.15
    for structure, tolerance in [
        ("cell", 0.01),
        ("nucleus", 0.005),
        ("nucleolus", 0.02),
        ("lipid_droplet", 0.03),
        ("mitochondrion", 0.03),
        ("filopodium", 0.15),
    ]:
        counted = np.count_nonzero(rendered.labels[structure]) * voxel
        assert counted == pytest.approx(table.query("structure == @structure").volume_um3.sum(), rel=tolerance), (
            structure
        )


def test_a_fine_rendering_has_the_index_of_the_truth(field):
    _, table, rendered = field
    nuclei = rendered.labels["nucleus"]
    for row in table.query("structure == 'nucleus'").itertuples():
        assert rendered.ri[nuclei == row.label].astype(float).mean() == pytest.approx(row.mean_ri, abs=4e-4)


def test_every_labelled_object_has_a_row_and_a_cell(field):
    scene, table, rendered = field
    for structure in STRUCTURES[:-1]:
        rows = table.query("structure == @structure")
        present = np.unique(rendered.labels[structure])
        assert set(present[present > 0]) <= set(rows.label), structure
        assert len(set(rows.label)) == len(rows)
        assert np.array_equal(rendered.cell_of[structure][rows.label], rows.cell_id)
    assert list(table.columns) == [column.name for column in COLUMNS]
    assert set(table.cell_id) == {cell.label for cell in scene.cells}
    assert (table.item == "raw").all()


def test_leaves_add_up_to_their_cell(field):
    _, table, _ = field
    for _, rows in table.groupby("cell_id"):
        total = rows.set_index("structure").volume_um3
        leaves = rows[~rows.structure.isin(["cell", "nuclear_membrane", "nuclear_reticulum", "nucleolus"])]
        assert leaves.volume_um3.sum() == pytest.approx(total["cell"], rel=1e-9)
        assert (rows.volume_um3 > 0).all()


def test_contacts_are_counted_where_cells_meet():
    def ball(x):
        return StarBody.ellipsoid(np.array([6.0, 6.0, x]), np.array([3.0, 3.0, 3.0]))

    cells = []
    for label, x in enumerate((4.0, 10.2, 20.0), start=1):
        inner = StarBody.ellipsoid(np.array([6.0, 6.0, x]), np.full(3, 2.5))
        parts = (Part("plasma_membrane", label, label, 0, ball(x), 1.36), Part("cytosol", label, label, 0, inner, 1.36))
        cells.append(Cell(label, label, 0, "suspended", (ball(x),), parts, np.zeros(3), (0.5, 1.0)))
    scene = Scene(tuple(cells), MEDIUM, (12.0, 12.0, 22.0), np.zeros((4, 4, 4), np.float32))
    table = truth_table(scene).query("structure == 'cell'")
    assert table.n_contacts.tolist() == [1, 1, 0]
    # the part of the first sphere, grown by 0.3, that lies in the second: a cap seen from the first centre
    d, grown, other = 6.2, 3.3, 3.0
    cosine = (d**2 + grown**2 - other**2) / (2 * d * grown)
    assert table.contact_area_um2.tolist() == pytest.approx([2 * np.pi * 9 * (1 - cosine)] * 2 + [0.0], rel=0.02)
    assert table.is_cut.tolist() == [False, False, True]


def test_a_filopodium_counts_only_outside_its_cell():
    ball = StarBody.ellipsoid(np.zeros(3), np.full(3, 3.0))
    tube = np.array([[0.0, 0.0, 2.0, 0.0, 0.0, 5.0, 0.2]])
    solid = measure(tube, without=(ball,))
    straight = np.pi * 0.04 * 2.0 + 2 / 3 * np.pi * 0.008  # from x = 3 to 5 and half a ball, less the lens of the body
    lens = np.pi * 0.04 * (3 - np.sqrt(9 - 0.04)) / 2
    assert solid.volume_um3 == pytest.approx(straight + lens, rel=0.01)


def test_a_body_cannot_be_measured_without_others():
    ball = StarBody.ellipsoid(np.zeros(3), np.full(3, 3.0))
    with pytest.raises(TypeError):
        measure(ball, without=(ball,))
