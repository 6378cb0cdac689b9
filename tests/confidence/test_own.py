"""Intervals of an object's own value, on numbers that are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tomocyte.confidence.objects import ExpectedChange, ObjectSums
from tomocyte.confidence.own import mass_change, own_ends, own_intervals, own_scores

SUMS = ObjectSums(np.array([1, 2]), *(np.array([100.0, 50.0]) for _ in range(6)))
NONE = ExpectedChange(np.zeros(2), np.ones(2))
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
    found = own_intervals(TABLE, ENDS, NONE, increment_ml_per_g=0.19)
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
    assert mass_change(SUMS, "cell").uncertainty.tolist() == [1, 1]
    assert mass_change(SUMS, "membrane").log_ratio.tolist() == [0, 0]  # an alias of cell
    nucleus = mass_change(SUMS, "nucleus")
    assert nucleus.log_ratio.tolist() == pytest.approx([math.log(2)] * 2)
    assert nucleus.uncertainty.tolist() == pytest.approx([1.0, 1.0])
    wide = own_intervals(TABLE, ENDS, ExpectedChange(np.zeros(2), np.full(2, 2.0)), increment_ml_per_g=None)
    assert (wide["dry_mass_pg_low"][0], wide["dry_mass_pg_high"][0]) == pytest.approx((50.0, 450.0))
    assert wide["mean_ri_low"][0] == pytest.approx(1.359)
    assert "concentration_mg_per_ml_low" not in wide


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
