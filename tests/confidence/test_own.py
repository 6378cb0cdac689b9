"""Intervals of an object's own value, on numbers that are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tomocyte.confidence.objects import ExpectedChange, ObjectSums
from tomocyte.confidence.own import expected_change, own_ends, own_intervals, own_scores

SUMS = ObjectSums(np.array([1, 2]), *(np.array([100.0, 50.0]) for _ in range(6)))
UNSURE = ObjectSums(np.array([1, 2]), *(np.array([value, value]) for value in (100.0, 0.0, 100.0, 0.0, 0.0, 0.0)))
TABLE = pd.DataFrame(
    {
        "mean_ri": [1.36, 1.35],
        "concentration_mg_per_ml": [120.0, 70.0],
        "dry_mass_pg": [200.0, 100.0],
        "mean_ri_estimator": ["matrix", "in-mask"],
        "dry_mass_pg_estimator": ["matrix", "in-mask"],
    }
)
ENDS = {"dry_mass_pg matrix": (-math.log(2), math.log(1.5)), "mean_ri matrix": (-0.001, 0.0019)}


def test_ends_turn_into_intervals_where_they_were_learned() -> None:
    found = own_intervals(TABLE, ENDS, SUMS, "cell", increment_ml_per_g=0.19)
    expected = {
        "dry_mass_pg_low": 100.0,
        "dry_mass_pg_high": 300.0,
        "mean_ri_low": 1.359,
        "mean_ri_high": 1.3619,
        "concentration_mg_per_ml_low": 120 - 1 / 0.19,
        "concentration_mg_per_ml_high": 130.0,
    }
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value)
        assert math.isnan(found[name][1])  # nothing was learned about what the mask alone gives
    assert set(found) == set(expected)


def test_an_uncertain_mask_widens_the_mass_of_an_organelle_alone() -> None:
    assert expected_change(SUMS, "cell", "dry_mass_pg").uncertainty.tolist() == [1, 1]
    assert expected_change(SUMS, "membrane", "dry_mass_pg").log_ratio.tolist() == [0, 0]  # an alias of cell
    nucleus = expected_change(UNSURE, "nucleus", "dry_mass_pg")
    assert nucleus.log_ratio.tolist() == pytest.approx([0, 0])
    assert nucleus.uncertainty.tolist() == pytest.approx([2.0, 2.0])
    wide = own_intervals(TABLE, ENDS, UNSURE, "nucleus", increment_ml_per_g=None)
    assert (wide["dry_mass_pg_low"][0], wide["dry_mass_pg_high"][0]) == pytest.approx((50.0, 450.0))
    assert wide["mean_ri_low"][0] == pytest.approx(1.359)
    assert "concentration_mg_per_ml_low" not in wide


def test_sizes_have_intervals_in_units_of_the_uncertainty_of_their_mask() -> None:
    # Of 100 voxels 50 are inside and 150 missing: the volume doubles, 2 of uncertainty; a surface is as measured.
    sums = ObjectSums(*(np.array([value]) for value in (1, 100.0, 50.0, 150.0, 0.0, 0.0, 0.0)))
    table = pd.DataFrame({"volume_um3": [10.0], "surface_area_um2": [20.0], "height_um": [3.0]})
    ends = {"volume_um3 mask": (-0.5, 0.25), "surface_area_um2 mask": (-0.5, 0.25)}
    for structure in ("cell", "nucleus"):
        found = own_intervals(table, ends, sums, structure, increment_ml_per_g=0.19)
        assert found["volume_um3_low"][0] == pytest.approx(20 / math.e)
        assert found["volume_um3_high"][0] == pytest.approx(20 * math.sqrt(math.e))
        assert found["surface_area_um2_low"][0] == pytest.approx(20 / math.e)
        assert found["surface_area_um2_high"][0] == pytest.approx(20 * math.sqrt(math.e))
        assert math.isnan(found["height_um_low"][0])  # nothing was learned about it


def test_scores_are_what_the_intervals_undo() -> None:
    value, truth = np.array([200.0, 100.0]), np.array([300.0, np.nan])
    change = ExpectedChange(np.array([0.1, 0.0]), np.array([0.5, 1.0]))
    scores = own_scores(value, truth, "dry_mass_pg", change)
    assert scores[0] == pytest.approx((math.log(1.5) - 0.1) / 0.5)
    assert math.isnan(scores[1])
    assert own_scores(np.array([1.36]), np.array([1.358]), "mean_ri", change) == pytest.approx([-0.002])


def test_few_objects_teach_nothing() -> None:
    ends = own_ends({"mean_ri matrix": np.arange(19.0), "mean_ri column": np.arange(18.0)})
    assert ends == {"mean_ri matrix": (0.0, 18.0)}
