"""The named cases of soft X-ray fields are what their names say; presets fit their capillaries."""

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.settings import build_settings
from tomocyte.simulation.cells.truth import truth_table
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments.sxt import CASES, PRESET_DEFAULTS


def scene_of(seed=1, **settings):
    return simulate_item(DatasetSettings.model_validate({"modality": "sxt", **settings}), 0, seed=seed).scenes[0]


def glass_gap_um(scene):
    return min(scene.capillary.depth_um(cell.bodies[0].nodes_um.reshape(-1, 3)).min() for cell in scene.cells)


def test_the_cases_of_the_paper():
    assert list(CASES) == ["isolated-with-debris", "touching-glass", "tightly-packed", "between-two-beads"]


def test_an_isolated_cell_with_debris_touches_nothing_but_has_debris_around_it():
    scene = scene_of(case="isolated-with-debris")
    kinds = [part.structure for part in scene.surroundings]
    assert (len(scene.cells), kinds.count("bead")) == (1, 0)
    assert kinds.count("debris") >= 10
    assert glass_gap_um(scene) > -1e-6


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cell_that_touches_the_glass_is_flat_there(seed):
    """At least 1 µm² of its surface within 20 nm of the wall; a ball that only touches has 2π·3.7·0.02 = 0.5 µm²."""
    scene = scene_of(seed, case="touching-glass")
    points, area = scene.cells[0].bodies[0].surface_points()
    assert area[scene.capillary.depth_um(points) < 0.02].sum() > 1.0
    assert not scene.surroundings


def test_tightly_packed_cells_touch():
    scene = scene_of(case="tightly-packed")
    contacts = truth_table(scene).query("structure == 'cell'")["n_contacts"]
    assert len(scene.cells) >= 4
    assert contacts.max() >= 2
    assert contacts.sum() >= 6


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cell_between_two_beads(seed):
    """Both beads lie within 0.1 µm of the cell, and the angle between them, seen from it, is over 90 degrees."""
    scene = scene_of(seed, case="between-two-beads")
    body = scene.cells[0].bodies[0]
    beads = [part.shape[0] for part in scene.surroundings]
    assert len(beads) == 2
    towards = []
    for bead in beads:
        points, _ = body.surface_points()
        assert abs(np.linalg.norm(points - bead[:3], axis=1).min() - bead[6]) < 0.1
        towards.append((bead[:3] - body.centre_um) / np.linalg.norm(bead[:3] - body.centre_um))
    assert np.degrees(np.arccos(towards[0] @ towards[1])) > 90


def test_what_is_given_goes_over_the_case():
    settings = DatasetSettings.model_validate(
        {"modality": "sxt", "case": "touching-glass", "n_cells": (2, 2), "scene": {"capillary": {"n_beads": (1, 1)}}}
    )
    assert settings.n_cells == (2, 2)
    assert settings.scene.capillary.n_beads == (1, 1)
    assert settings.scene.capillary.glass_share == 1.0
    assert "case" not in settings.model_dump()


@pytest.mark.parametrize(("modality", "cure"), [("sxt", "touching-glass"), ("odt", "Leave it out")])
def test_an_unknown_case_lists_the_known(modality, cure):
    with pytest.raises(SettingsError, match="no case 'upside-down'") as caught:
        build_settings(DatasetSettings, {"modality": modality, "case": "upside-down"})
    assert cure in str(caught.value)


@pytest.mark.parametrize("preset", ["Huh-7", "BV-2", "MEF", "β-cell"])
def test_presets_fit_their_capillary(preset):
    """Suspended, so about as high as wide, and inside the glass; the volume is the line's to a third."""
    from tomocyte.simulation.cells.presets import cell_line

    assert preset in PRESET_DEFAULTS
    scene = scene_of(3, preset=preset, n_cells=(1, 1), scene={"mitotic_share": 0.0})
    assert scene.cells[0].kind == "suspended"
    assert glass_gap_um(scene) > -1e-5
    assert scene.cells[0].bodies[0].volume_um3 == pytest.approx(cell_line(preset).volume_um3, rel=0.4)


def test_a_cell_wider_than_the_capillary_is_drawn_out():
    """16.6 µm wide when free, in a capillary of 12 µm: longer than wide, and it keeps nine tenths of its volume."""
    scene = scene_of(
        2, preset="Huh-7", n_cells=(1, 1), scene={"mitotic_share": 0.0, "capillary": {"inner_radius_um": (6.0, 6.0)}}
    )
    body = scene.cells[0].bodies[0]
    size = body.bounds_um[1] - body.bounds_um[0]
    assert glass_gap_um(scene) > -1e-5
    assert size[0] > 1.3 * max(size[1:])
    assert body.volume_um3 > 0.9 * 2400 * 0.6
