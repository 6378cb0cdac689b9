"""Lineages of the simulated tissue of ``benchmarks/lineages.py``: their truth, and how much of it is linked again."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from tomocyte.tracking import track_objects
from tomocyte.tracking.scales import likeliest_steps

LINEAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "lineages.py")))


@pytest.mark.parametrize("kind", ["moving", "late", "sized"])
def test_the_truth_is_a_forest_that_grows_by_its_divisions(kind: str) -> None:
    """Nothing is missed, ends or appears: every position but the first frame's has one mother, and counts add up."""
    lineage = LINEAGES.simulate(LINEAGES.KINDS[kind], np.random.default_rng(4))
    frame = lineage.table["frame"].to_numpy()
    sources, targets = np.array(sorted(lineage.links)).T
    assert (frame[targets] == frame[sources] + 1).all()
    assert sorted(targets) == np.flatnonzero(frame > 0).tolist()
    counts = np.bincount(frame)
    assert len(LINEAGES.divisions_of(lineage.links)) == counts[-1] - counts[0] > 5
    assert np.bincount(sources).max() == 2
    assert ("volume_um3" in lineage.table) == (kind == "sized")


def test_missed_positions_are_linked_across_the_gap() -> None:
    lineage = LINEAGES.simulate(LINEAGES.KINDS["missing"], np.random.default_rng(4))
    frame = lineage.table["frame"].to_numpy()
    sources, targets = np.array(sorted(lineage.links)).T
    assert (frame[targets] > frame[sources]).all()
    assert (frame[targets] > frame[sources] + 1).sum() > 10
    assert len(set(targets.tolist())) == len(targets)


@pytest.mark.parametrize(("kind", "division_f1", "link_f1"), [("moving", 0.93, 0.997), ("missing", 0.85, 0.993)])
def test_most_of_a_lineage_is_found_again(kind: str, division_f1: float, link_f1: float) -> None:
    lineage = LINEAGES.simulate(LINEAGES.KINDS[kind], np.random.default_rng(11))
    found = LINEAGES.links_of(lineage.table, track_objects(lineage.table))
    divisions = LINEAGES.divisions_of
    assert LINEAGES.f1(lineage.links, found) >= link_f1
    assert LINEAGES.f1(divisions(lineage.links), divisions(found)) >= division_f1


def test_links_of_exact_tracks_are_the_truth() -> None:
    """Three nuclei far apart that never come near each other."""
    table = LINEAGES.simulate(LINEAGES.KINDS["calm"], np.random.default_rng(1)).table
    table = table.groupby("frame").head(3).sort_values(["frame", "label"]).reset_index(drop=True)
    table["label"] = table.groupby("frame").cumcount() + 1
    table[["z_um", "y_um"]] = 0.0
    table["x_um"] = 100.0 * table["label"] + np.random.default_rng(0).normal(0, 1, len(table))
    found = LINEAGES.links_of(table, track_objects(table))
    assert found == {(row, row + 3) for row in range(len(table) - 3)}


@pytest.mark.parametrize("tail", [3.0, 6.0, 20.0])
def test_spread_and_tail_of_steps_are_those_that_scipy_drew(tail: float) -> None:
    shape = np.diag([4.0, 1.0, 1.0])
    drawn = stats.multivariate_t(shape=shape, df=tail, seed=3).rvs(20000)
    spread, found = likeliest_steps(drawn, 0.01)
    assert found == tail
    assert spread == pytest.approx([2.0, 1.0, 1.0], rel=0.05)
    assert likeliest_steps(np.zeros((50, 3)), 0.3)[0] == pytest.approx([0.3] * 3)
