"""Time: lineage, continuity, and the trends of macrophage activation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation import (
    EXPERIMENTS,
    MotionSettings,
    SceneSettings,
    render_scene,
    simulate_timelapse,
    truth_table,
)
from tomocyte.simulation.cells.bodies import build_body
from tomocyte.simulation.cells.motion import experiment, plan_at
from tomocyte.simulation.cells.plan import draw_plan
from tomocyte.simulation.cells.presets import cell_line

PLAIN = SceneSettings(has_organelles=False, border_overhang=0.0)


def film(line="RAW 264.7", n_frames=3, *, n_cells=2, seed=1, extent_um=(22.0, 40.0, 44.0), motion=None):
    return simulate_timelapse(
        line,
        n_frames,
        n_cells=n_cells,
        extent_um=extent_um,
        settings=PLAIN,
        motion=motion or MotionSettings(divisions_per_h=0, deaths_per_h=0),
        rng=np.random.default_rng(seed),
    )


def test_every_cell_of_every_frame_has_one_row():
    scenes, tracks = film()
    assert list(tracks.columns) == ["track_id", "parent_id", "frame", "label"]
    assert len(tracks) == 6
    for frame, scene in enumerate(scenes):
        rows = tracks.query("frame == @frame")
        assert rows.label.tolist() == [cell.label for cell in scene.cells]
        assert rows.track_id.tolist() == [cell.track_id for cell in scene.cells]
        assert scene.time_s == 1800.0 * frame


def test_division_gives_two_daughters_of_half_the_volume():
    motion = MotionSettings(divisions_per_h=0.6, deaths_per_h=0, volume_change=0, speed_um_per_h=1)
    scenes, tracks = film("HeLa", 5, n_cells=1, seed=3, extent_um=(30.0, 70.0, 74.0), motion=motion)
    born = tracks[tracks.parent_id > 0].drop_duplicates("track_id")
    assert len(born) >= 2
    for parent, daughters in born.groupby("parent_id"):
        assert len(daughters) == 2
        frame = int(daughters.frame.iloc[0])
        assert parent not in tracks.query("frame == @frame").track_id.tolist()
        assert tracks.query("track_id == @parent").frame.max() == frame - 1
        mother = next(cell for cell in scenes[frame - 1].cells if cell.track_id == parent)
        assert mother.kind == "mitotic"
        pair = [cell for cell in scenes[frame].cells if cell.parent_id == parent]
        total = sum(cell.bodies[0].volume_um3 for cell in pair)
        assert total == pytest.approx(mother.bodies[0].volume_um3, rel=0.2)  # pressed together they lose a little


def test_death_ends_a_track_after_fragments():
    motion = MotionSettings(divisions_per_h=0, deaths_per_h=1.0, speed_um_per_h=0)
    scenes, tracks = film("HeLa", 6, n_cells=2, seed=5, extent_um=(22.0, 60.0, 64.0), motion=motion)
    kinds = {(row.track_id, row.frame): scenes[row.frame].cells[row.label - 1].kind for row in tracks.itertuples()}
    assert "apoptotic" in kinds.values()
    for track_id, rows in tracks.groupby("track_id"):
        seen = [kinds[track_id, frame] for frame in rows.frame]
        if "apoptotic" in seen:
            assert set(seen[seen.index("apoptotic") :]) == {"apoptotic"}


def test_cells_keep_their_organelles_from_frame_to_frame():
    scenes, _ = film(motion=MotionSettings(divisions_per_h=0, deaths_per_h=0, speed_um_per_h=3, droplet_change=0))
    first, second = (scene.cells[0] for scene in scenes[:2])
    moved = second.bodies[0].centre_um - first.bodies[0].centre_um
    assert np.linalg.norm(moved) > 0.05
    before = np.array([part.shape[0, :3] for part in first.parts_of("lipid_droplet")])
    after = np.array([part.shape[0, :3] for part in second.parts_of("lipid_droplet")])
    near = np.linalg.norm(after[:, None] - before[None] - moved, axis=-1).min(axis=1)
    assert np.median(near) < 0.2


def test_activation_follows_the_published_trends():
    tables = {}
    for name in ("macrophage-control", "macrophage-lps"):
        row = experiment(name)
        changed = row.motion.model_copy(update={"time_step_s": 4 * 3600.0})  # the start, the middle and the end
        scenes, _ = film(row.preset, 3, n_cells=4, seed=2, extent_um=(24.0, 56.0, 60.0), motion=changed)
        table = pd.concat([truth_table(scene) for scene in scenes])
        mean = table.groupby(["structure", "frame"])[["volume_um3", "surface_area_um2", "mean_ri"]].mean()
        count = table.groupby(["structure", "frame"]).size()
        tables[name] = {
            s: (mean.loc[s].iloc[-1] / mean.loc[s].iloc[0], count.loc[s].tolist())
            for s in ("cell", "nucleus", "nucleolus", "lipid_droplet")
        } | {"mean": mean}
    lps, control = tables["macrophage-lps"], tables["macrophage-control"]
    assert lps["cell"][0].volume_um3 > 1.2
    assert lps["cell"][0].surface_area_um2 > 1.2
    assert abs(control["cell"][0].volume_um3 - 1) < 0.08
    indices = lps["mean"].loc["cell"].mean_ri.to_numpy()
    assert np.all(np.diff(indices) < -5e-4)
    assert lps["mean"].loc["nucleus"].mean_ri.iloc[-1] < lps["mean"].loc["nucleus"].mean_ri.iloc[0] - 5e-4
    assert lps["nucleus"][0].volume_um3 > 1.05
    assert 1.0 < lps["nucleolus"][0].volume_um3 < 1.3
    nucleolus = lps["mean"].loc["nucleolus"].volume_um3.to_numpy()
    assert nucleolus[2] == pytest.approx(nucleolus[1], rel=0.05)
    assert lps["lipid_droplet"][0].volume_um3 > 1.3
    assert lps["lipid_droplet"][1][-1] > 1.5 * lps["lipid_droplet"][1][0]
    assert abs(lps["lipid_droplet"][0].mean_ri - 1) < 0.002


def test_the_experiments_are_those_of_the_paper():
    assert (experiment("macrophage-control").n_cells, experiment("macrophage-lps").n_cells) == (9, 12)
    for name in ("macrophage-control", "macrophage-lps"):
        assert experiment(name).n_frames == 17
        assert experiment(name).motion.time_step_s == 30 * 60
    with pytest.raises(SettingsError, match="E-SIM-EXPERIMENT"):
        experiment("starvation")
    longer = experiment("macrophage-lps-24h")
    assert (longer.n_frames - 1) * longer.motion.time_step_s == 24 * 3600
    assert set(EXPERIMENTS) == {"culture", "dividing", "macrophage-control", "macrophage-lps", "macrophage-lps-24h"}


def test_cells_that_keep_apart_grow_by_what_was_told_and_those_that_press_do_not():
    """Without variation +40 % is 1.4; pressed cells lose what the neighbour takes."""
    told = {"volume_change": 0.4, "variation": 0.0, "divisions_per_h": 0, "deaths_per_h": 0, "time_step_s": 28800.0}
    growth, held = {}, {}
    for apart in (1.25, 0.55):
        motion = MotionSettings(**told, least_distance=apart, margin_um=15.0)
        scenes, _ = film(n_frames=2, n_cells=3, seed=4, extent_um=(22.0, 56.0, 56.0), motion=motion)
        first, last = (sum(cell.bodies[0].volume_um3 for cell in scene.cells) for scene in scenes)
        growth[apart], held[apart] = last / first, first + last
    assert growth[1.25] == pytest.approx(1.4, abs=1e-3)
    assert growth[0.55] != pytest.approx(1.4, abs=0.02)
    assert held[0.55] < 0.99 * held[1.25]


def test_centres_keep_the_margin():
    motion = MotionSettings(divisions_per_h=0, deaths_per_h=0, speed_um_per_h=40, margin_um=14.0, time_step_s=3600.0)
    scenes, _ = film(n_frames=6, n_cells=2, seed=6, motion=motion)
    centres = np.array([cell.bodies[0].centre_um[1:] for scene in scenes for cell in scene.cells])
    assert (centres >= 14.0).all()
    assert (centres <= np.array([26.0, 30.0])).all()  # a field of 40 x 44 µm
    free, _ = film(n_frames=6, n_cells=2, seed=6, motion=motion.model_copy(update={"margin_um": 0.0}))
    assert min(cell.bodies[0].centre_um[1:].min() for scene in free for cell in scene.cells) < 14.0


def test_the_same_seed_gives_the_same_film():
    grid = ((1.1, 0.6, 0.7), (20, 66, 62))
    (one, tracks), (two, same) = film(n_frames=2, seed=9), film(n_frames=2, seed=9)
    assert tracks.equals(same)
    assert np.array_equal(render_scene(one[1], *grid).ri, render_scene(two[1], *grid).ri)
    longer, _ = film(n_frames=3, seed=9)
    assert np.array_equal(render_scene(longer[1], *grid).ri, render_scene(one[1], *grid).ri)


def test_a_film_without_frames_is_refused():
    with pytest.raises(SettingsError, match="E-SIM-FRAMES"):
        film(n_frames=0)


def test_a_plan_changes_in_proportion_to_time_up_to_its_duration():
    """Without variation: half the change after half of 8 h, all of it after 8 h and no more after 12."""
    plan = draw_plan(cell_line("HeLa"), PLAIN, seed=3, medium_ri=1.337)
    changes = MotionSettings(
        time_step_s=3600,
        volume_change=0.4,
        height_change=-0.2,
        nucleus_change=0.2,
        concentration_change=0.5,
        variation=0,
    )
    for hours, part in ((0, 0.0), (4, 0.5), (8, 1.0), (12, 1.0)):
        now = plan_at(plan, hours, changes)
        assert now.volume_um3 == pytest.approx(plan.volume_um3 * (1 + 0.4 * part))
        assert now.height_um == pytest.approx(plan.height_um * (1 - 0.2 * part))
        # the nuclei's own volume grows by a fifth, whatever the cell does
        nuclei = now.nucleus_share * now.volume_um3
        assert nuclei == pytest.approx(plan.nucleus_share * plan.volume_um3 * (1 + 0.2 * part))
        contrast = now.composition.cytosol_ri - now.composition.medium_ri
        assert contrast == pytest.approx((plan.composition.cytosol_ri - 1.337) * (1 + 0.5 * part))
    assert plan_at(plan, 0, changes).n_droplets == plan.n_droplets + 1  # one more to grow, where droplets multiply


def test_a_daughter_begins_round_and_spreads_again():
    plan = draw_plan(cell_line("HeLa"), PLAIN, seed=3, medium_ri=1.337)
    still = MotionSettings(time_step_s=3600, volume_change=0, height_change=0, nucleus_change=0, variation=0)
    young, old = (plan_at(plan, hours, still, is_daughter=True) for hours in (0, 100))
    diameter = (6 * plan.volume_um3 / np.pi) ** (1 / 3)
    assert young.height_um == pytest.approx(plan.height_um + 0.8 * (diameter - plan.height_um))
    assert young.spread == 0
    assert (old.height_um, old.spread) == pytest.approx((plan.height_um, plan.spread))


def test_a_division_on_time_is_one_ball_before_and_two_daughters_after():
    motion = MotionSettings(
        time_step_s=1200.0, division_h=2.0, divisions_per_h=0.0, deaths_per_h=0.0, volume_change=0.0, speed_um_per_h=0.0
    )
    settings = SceneSettings(has_organelles=False, border_overhang=0.0, endomembranes="detailed")
    scenes, tracks = simulate_timelapse(
        "U2-OS", 7, n_cells=1, extent_um=(24.0, 60.0, 60.0), settings=settings, motion=motion,
        rng=np.random.default_rng(2),
    )  # fmt: skip
    assert tracks.groupby("frame").size().tolist() == [1] * 6 + [2]
    assert tracks.query("frame == 6").parent_id.unique().tolist() == [tracks.track_id[0]]
    heights = [np.ptp(scene.cells[0].bodies[0].bounds_um[:, 0]) for scene in scenes]
    assert heights[0] < heights[2] < heights[3]
    assert [scene.cells[0].kind for scene in scenes] == ["adherent"] * 3 + ["mitotic"] * 3 + ["adherent"]
    assert all(cell.parts_of("nuclear_membrane") for cell in scenes[6].cells)
    assert not scenes[5].cells[0].parts_of("nuclear_membrane")


def test_the_furrow_deepens_at_the_end_of_mitosis():
    plan = draw_plan(cell_line("U2-OS"), SceneSettings(roughness=(0.01, 0.01)), seed=1, medium_ri=1.337)
    waist = []
    for stage, is_detailed in ((0.5, True), (1.0, True), (1.0, False)):
        body = build_body(replace(plan, kind="mitotic", stage=stage, is_detailed=is_detailed))
        ends = body.centre_um + np.stack([body.axes_um[:, 1], body.axes_um[:, 2]])
        waist.append(np.divide(*(1.0 / body.levels(ends))))
    assert waist[0] == pytest.approx(1.0, abs=0.05)
    assert waist[1] == pytest.approx(0.55, abs=0.05)  # 45 % of the radius
    assert waist[2] == pytest.approx(1.0, abs=0.05)
