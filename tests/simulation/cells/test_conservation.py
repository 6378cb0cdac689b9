"""Cells that keep their volume when they are pressed, and their dry mass when they change shape or divide."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tomocyte.simulation import MotionSettings, SceneSettings, simulate_scene, simulate_timelapse, truth_table
from tomocyte.simulation.cells.bodies import build_body
from tomocyte.simulation.cells.conservation import swollen, with_mass
from tomocyte.simulation.cells.field import moved, pressed_together
from tomocyte.simulation.cells.motion import experiment
from tomocyte.simulation.cells.plan import draw_plan
from tomocyte.simulation.cells.presets import cell_line
from tomocyte.simulation.cells.truth import weigh

PLAIN = SceneSettings(has_organelles=False, border_overhang=0.0)


@pytest.mark.parametrize("line", ["HL60", "HeLa"])
def test_pressed_cells_keep_their_volume(line: str) -> None:
    plans = [draw_plan(cell_line(line), PLAIN, seed=seed, medium_ri=1.337) for seed in (3, 4, 5)]
    places = [np.array([30.0, 30.0]), np.array([30.0, 40.0]), np.array([39.0, 34.0])]
    bodies = [moved(build_body(plan), place, 2.0) for plan, place in zip(plans, places, strict=True)]
    wanted = np.array([body.volume_um3 for body in bodies])
    lost = 1 - np.array([body.volume_um3 for body in pressed_together(bodies)]) / wanted
    assert lost.max() > 0.05
    result = pressed_together(swollen(plans, bodies, places, 2.0))
    assert [body.volume_um3 for body in result] == pytest.approx(wanted, rel=0.02)
    assert [body.bounds_um[0, 0] for body in result] == pytest.approx([2.0] * 3, abs=0.01)  # still on the coverslip


def test_cells_apart_stay_as_they_are() -> None:
    plans = [draw_plan(cell_line("HL60"), PLAIN, seed=seed, medium_ri=1.337) for seed in (3, 4)]
    places = [np.array([10.0, 10.0]), np.array([10.0, 90.0])]
    bodies = [moved(build_body(plan), place, 2.0) for plan, place in zip(plans, places, strict=True)]
    assert swollen(plans, bodies, places, 2.0) == bodies


def test_a_cell_is_given_a_mass() -> None:
    scene = simulate_scene("HeLa", 1, extent_um=(22.0, 40.0, 44.0), rng=np.random.default_rng(5))
    cell = scene.cells[0]
    table = truth_table(scene).query("structure == 'cell'")
    assert weigh(scene, cell)[0] == pytest.approx(table.dry_mass_pg.iloc[0], rel=1e-3)
    heavy = with_mass(cell, weigh(scene, cell), 500.0)
    changed = type(scene)(**{**vars(scene), "cells": (heavy,)})
    table = truth_table(changed).query("structure == 'cell'")
    assert table.dry_mass_pg.iloc[0] == pytest.approx(500.0, rel=1e-3)
    droplets = [[part.ri for part in one.parts_of("lipid_droplet")] for one in (cell, heavy)]
    assert droplets[0]
    assert droplets[0] == droplets[1]


@pytest.fixture(scope="module")
def film() -> pd.DataFrame:
    """Cells of a film in which cells grow, divide and touch; one row per cell and frame."""
    motion = experiment("dividing").motion.model_copy(update={"divisions_per_h": 0.8})
    scenes, tracks = simulate_timelapse(
        "HeLa", 5, n_cells=3, extent_um=(26.0, 44.0, 44.0), settings=PLAIN, motion=motion, rng=np.random.default_rng(7)
    )
    table = pd.concat([truth_table(scene) for scene in scenes]).query("structure == 'cell'")
    kinds = {(scene.frame, cell.label): cell.kind for scene in scenes for cell in scene.cells}
    table["kind"] = [kinds[place] for place in zip(table.frame, table.label, strict=True)]
    return table.merge(tracks[["frame", "label", "parent_id"]], on=["frame", "label"])


def test_daughters_weigh_what_the_mother_weighed(film: pd.DataFrame) -> None:
    assert film.n_contacts.max() >= 2
    born = film[film.parent_id > 0].sort_values("frame").drop_duplicates("track_id")
    assert len(born) >= 2
    for parent, pair in born.groupby("parent_id"):
        mother = film[film.track_id == parent].sort_values("frame").iloc[-1]
        assert mother.kind == "mitotic"
        assert len(pair) == 2
        assert (pair.frame == mother.frame + 1).all()
        # What a mother grows in the last half-hour, at 30 % in 8 h and a spread of 25 % among cells.
        assert 1.0 < pair.dry_mass_pg.sum() / mother.dry_mass_pg < 1.05
        assert 0.99 < pair.volume_um3.sum() / mother.volume_um3 < 1.06
        assert pair.dry_mass_pg.max() / pair.dry_mass_pg.sum() < 0.53


def test_the_mass_of_a_cell_is_that_of_its_volume_whatever_its_shape(film: pd.DataFrame) -> None:
    """Nuclei dissolve and cells round up at a division; density stays, and every step is a growth."""
    seen = set()
    for _, rows in film.sort_values("frame").groupby("track_id"):
        density = rows.dry_mass_pg / rows.volume_um3
        assert density.to_numpy() == pytest.approx(density.iloc[0], rel=0.02)
        assert (rows.dry_mass_pg.diff().dropna() > 0).all()
        seen.add(tuple(rows.kind.drop_duplicates()))
    assert ("adherent", "mitotic") in seen


def test_without_it_a_film_is_as_before() -> None:
    assert not MotionSettings().keeps_mass
    assert [name for name in ("culture", "macrophage-control") if experiment(name).motion.keeps_mass] == []
