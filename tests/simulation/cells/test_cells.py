"""Cells as biology has them: nesting over 200 seeds, every kind and every line, nothing that depends on the grid."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation import CELL_LINES, STRUCTURES, SceneSettings, cell_line, render_scene, simulate_scene
from tomocyte.simulation.cells.scene import IN_NUCLEUS, PAINT_ORDER
from tomocyte.simulation.cells.shapes import StarBody

EXTENT = (24.0, 62.0, 66.0)
GRID = ((1.0, 0.7, 0.8), (24, 89, 83))
SIDES = np.concatenate([np.eye(3), -np.eye(3), np.full((1, 3), 3**-0.5)])
ORGANELLES = [name for name in PAINT_ORDER if name not in ("plasma_membrane", "cytosol", "filopodium", *IN_NUCLEUS)]


def make(line, n_cells=1, *, seed, extent_um=EXTENT, **changes):
    return simulate_scene(
        line, n_cells, extent_um=extent_um, settings=SceneSettings(**changes), rng=np.random.default_rng(seed)
    )


def check_nesting(scene):
    """What must hold in every rendering and between the continuous shapes."""
    rendered = render_scene(scene, *GRID)
    labels = {name: rendered.labels[name] for name in STRUCTURES}
    cell, nucleus = labels["cell"], labels["nucleus"]
    assert not np.any((labels["nucleolus"] > 0) & (nucleus == 0))
    assert not np.any((nucleus > 0) & (cell == 0))
    assert np.array_equal(labels["extracellular"] == 0, cell > 0)
    leaves = [name for name in STRUCTURES if name not in ("cell", "nucleus", "extracellular")]
    covered = sum((labels[name] > 0).astype(int) for name in leaves)
    assert covered.max() <= 1
    assert np.array_equal((covered == 0) & (cell > 0), (nucleus > 0) & (covered == 0))  # only nucleoplasm is nameless
    for name in ORGANELLES:
        assert not np.any((labels[name] > 0) & (nucleus > 0)), name
    for name in (*leaves, "nucleus"):
        mask = labels[name] > 0
        assert np.array_equal(rendered.cell_of[name][labels[name][mask]], cell[mask]), name


def check_shapes(scene):
    """Organelles lie in their cell, apart from the nuclei, nucleoli below the nuclear membrane."""
    for cell in scene.cells:
        inner = cell.parts_of("cytosol")[0].shape
        nuclei = [part.shape for part in cell.parts if part.structure == "nuclear_membrane"]
        for part in cell.parts:
            if part.structure in ORGANELLES:
                skin = np.concatenate(
                    [
                        part.shape[:, start : start + 3] + 0.97 * part.shape[:, 6:] * side
                        for start in (0, 3)
                        for side in SIDES
                    ]
                )
                assert inner.levels(skin).max() < 1.03, (
                    part.structure
                )  # a sharp fold may dent the inner skin by nanometres
                assert cell.bodies[0].levels(skin).max() < 1, part.structure
                assert all(nucleus.levels(skin).min() > 1 for nucleus in nuclei), part.structure
            if part.structure == "nucleolus":
                below = next(p.shape for p in cell.parts_of("nucleoplasm") if p.nucleus_label == part.nucleus_label)
                assert below.levels(part.shape.nodes_um.reshape(-1, 3)).max() < 1


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 200, 20)], ids=str)
def test_structures_nest_over_200_seeds(seeds):
    lines = list(CELL_LINES)
    for seed in seeds:
        n_cells = 3 if seed % 10 == 0 else 1
        shift = ("none", "mild", "strong")[seed % 3]
        scene = make(lines[seed % len(lines)], n_cells, seed=seed, shift=shift, mitotic_share=0.1, apoptotic_share=0.1)
        assert [cell.label for cell in scene.cells] == list(range(1, n_cells + 1))
        check_nesting(scene)
        check_shapes(scene)


@pytest.mark.parametrize("line", CELL_LINES)
def test_every_line_gives_cells_of_about_its_size(line):
    scene = make(line, seed=3, mitotic_share=0, apoptotic_share=0, border_overhang=0, has_organelles=False)
    row = cell_line(line)
    cell = scene.cells[0]
    assert cell.kind == row.kind
    assert 0.5 * row.volume_um3 < cell.bodies[0].volume_um3 < 2 * row.volume_um3
    nuclei = sum(part.shape.volume_um3 for part in cell.parts_of("nuclear_membrane"))
    low, high = row.nucleus_share
    assert 0.6 * low < nuclei / cell.bodies[0].volume_um3 < 1.05 * high
    assert "doi" in row.source or "simulation.md" in row.source


def test_organelles_do_not_overlap():
    from tomocyte.simulation.cells import kernels

    cell = make("Huh-7", seed=5, mitotic_share=0, apoptotic_share=0).cells[0]
    objects = [part.shape for part in cell.parts if part.structure in ORGANELLES]
    assert len(objects) > 60
    owner = np.repeat(np.arange(len(objects)), [len(tubes) for tubes in objects])
    assert not kernels.touching(np.concatenate(objects), owner, len(objects), 0.0).any()


def test_neighbours_touch_but_do_not_overlap():
    scene = make("HeLa", 4, seed=2, crowding=(1.0, 1.0), mitotic_share=0, apoptotic_share=0, extent_um=(24, 50, 53))
    points = np.random.default_rng(0).random((200_000, 3)) * scene.extent_um
    inside = sum((cell.bodies[0].levels(points) < 1).astype(int) for cell in scene.cells)
    assert np.count_nonzero(inside > 1) <= 5e-4 * np.count_nonzero(inside)
    touching = [
        any(
            other.bodies[0].levels(cell.bodies[0].surface_points(outside_um=0.3)[0]).min() < 1
            for other in scene.cells
            if other is not cell
        )
        for cell in scene.cells
    ]
    assert any(touching)


def test_crowding_brings_cells_together():
    def contacts(crowding):
        from tomocyte.simulation import truth_table

        plain = {"mitotic_share": 0, "apoptotic_share": 0, "has_organelles": False, "n_debris": (0, 0)}
        scenes = [make("T cell", 5, seed=seed, crowding=(crowding, crowding), **plain) for seed in range(3)]
        return sum(truth_table(scene).query("structure == 'cell'").n_contacts.sum() for scene in scenes)

    assert contacts(0.0) == 0
    assert contacts(1.0) >= 12


def test_mitosis_and_apoptosis_look_like_themselves():
    mitotic = make("HeLa", seed=1, mitotic_share=1, apoptotic_share=0).cells[0]
    assert mitotic.kind == "mitotic"
    assert not mitotic.parts_of("nuclear_membrane")
    assert not mitotic.parts_of("nucleolus")
    body = mitotic.bodies[0]
    roundness = np.pi ** (1 / 3) * (6 * body.volume_um3) ** (2 / 3) / body.surface_area_um2
    assert roundness > 0.95
    dying = [make("HeLa", seed=seed, mitotic_share=0, apoptotic_share=1).cells[0] for seed in range(6)]
    assert {cell.kind for cell in dying} == {"apoptotic"}
    assert max(len(cell.bodies) for cell in dying) >= 4
    assert max(len(cell.parts_of("nucleoplasm")) for cell in dying) >= 3


def test_the_same_seed_gives_the_same_scene_and_another_one_another():
    first, second, third = (render_scene(make("RAW 264.7", 2, seed=seed), *GRID) for seed in (7, 7, 8))
    assert np.array_equal(first.ri, second.ri)
    assert not np.array_equal(first.ri, third.ri)
    for structure in STRUCTURES:
        assert np.array_equal(first.labels[structure], second.labels[structure])


def test_no_two_cells_of_a_field_are_alike():
    cells = make("HL60", 3, seed=4, crowding=(0, 0), mitotic_share=0, apoptotic_share=0).cells
    shapes = [cell.bodies[0].radii for cell in cells]
    assert abs(np.corrcoef(shapes[0].ravel(), shapes[1].ravel())[0, 1]) < 0.6
    assert len({round(cell.bodies[0].volume_um3) for cell in cells}) == 3
    assert len({cell.parts_of("cytosol")[0].ri for cell in cells}) == 3


def test_nuclei_are_off_centre():
    away = []
    for seed in range(12):
        cell = make("A549", seed=seed, mitotic_share=0, apoptotic_share=0, has_organelles=False).cells[0]
        points, weights = cell.bodies[0].interior()
        middle = weights @ points / weights.sum()
        reach = np.sqrt(cell.bodies[0].volume_um3 / (np.pi * np.ptp(cell.bodies[0].bounds_um[:, 0])))
        away.append(np.linalg.norm((cell.parts_of("nuclear_membrane")[0].shape.centre_um - middle)[1:]) / reach)
    assert np.median(away) > 0.15


def test_a_cell_without_nucleus_and_one_with_two():
    from dataclasses import replace

    from tomocyte.simulation.cells.assembly import build_cell
    from tomocyte.simulation.cells.bodies import build_body
    from tomocyte.simulation.cells.plan import draw_plan

    settings = SceneSettings(mitotic_share=0, apoptotic_share=0)
    plan = draw_plan(cell_line("Huh-7"), settings, seed=11, medium_ri=1.337)
    for n_nuclei in (0, 1, 2):
        changed = replace(plan, n_nuclei=n_nuclei)
        cell = build_cell(changed, build_body(changed), [], label=1)
        assert len(cell.parts_of("nuclear_membrane")) == n_nuclei


@pytest.mark.parametrize(
    ("line", "n_cells", "extent", "code"),
    [
        ("U2-OS", 12, (24.0, 37.0, 38.0), "E-SIM-FIT"),
        ("HL60", 1, (6.0, 37.0, 38.0), "E-SIM-FIT"),
        ("MEF", 1, (24.0, 8.0, 60.0), "E-SIM-FIT"),
        ("HeLa", 0, EXTENT, "E-SIM-COUNT"),
        ("HeLa", 41, EXTENT, "E-SIM-COUNT"),
        ("CHO", 1, EXTENT, "E-SIM-PRESET"),
    ],
)
def test_what_cannot_be_is_refused_with_a_cure(line, n_cells, extent, code):
    with pytest.raises(SettingsError) as caught:
        make(line, n_cells, seed=1, extent_um=extent)
    assert caught.value.code == code
    assert caught.value.cure


def test_settings_refuse_nonsense_and_shift_their_ranges():
    from pydantic import ValidationError

    from tomocyte.simulation.cells.settings import shifted

    with pytest.raises(ValidationError, match="low end"):
        SceneSettings(medium_ri=(1.34, 1.33))
    with pytest.raises(ValidationError):
        SceneSettings(unknown=3)
    strong = shifted(SceneSettings(shift="strong", size_scale=(1.0, 1.01)))
    assert strong.medium_ri[0] > SceneSettings().medium_ri[1]
    assert strong.size_scale == (1.0, 1.01)  # what the user set is kept
    assert shifted(SceneSettings()) == SceneSettings()


@pytest.mark.parametrize("name", ["raw264.7", "RAW 264.7", "hela", "U2OS", "beta-cell", "mda mb 231"])
def test_lines_are_found_however_they_are_written(name):
    assert cell_line(name).name in CELL_LINES


def test_labels_are_unique_per_structure_and_bodies_are_what_they_say():
    scene = make("HeLa", 3, seed=12)
    for structure in PAINT_ORDER:
        labels = [part.label for cell in scene.cells for part in cell.parts_of(structure)]
        assert len(set(labels)) == len(labels) or structure == "cytosol"
        if labels and structure not in ("cytosol", "nucleoplasm", "nuclear_membrane"):
            assert sorted(labels) == list(range(1, len(labels) + 1))
    nuclei = {part.nucleus_label for cell in scene.cells for part in cell.parts} - {0}
    assert nuclei == set(range(1, len(nuclei) + 1))
    assert all(isinstance(cell.bodies[0], StarBody) for cell in scene.cells)
