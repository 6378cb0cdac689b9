"""Control against control: how often a comparison finds a difference where there is none.

Cells are simulated once (no imaging); experiments are drawn from their true volumes: a factor for each replicate and
each dish, one of the volumes for each cell. ``pytest -m slow -s`` on this file prints the table of docs/statistics.md.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tomocyte.simulation import simulate_scene
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.cells.truth import truth_table
from tomocyte.statistics import ComparisonSettings, compare_conditions

N_EXPERIMENTS, N_FIELDS = 200, 20
ALPHA = 0.05
N_DISHES, N_CELLS = 2, 10
REPLICATE_SD, DISH_SD = 0.10, 0.05


def true_volumes(n_fields: int, rng: np.random.Generator) -> np.ndarray:
    """Volumes in µm³ of simulated whole RAW 264.7 cells, ten per field."""
    settings = SceneSettings(has_organelles=False, mitotic_share=0.0, apoptotic_share=0.0)
    tables = [
        truth_table(simulate_scene("RAW 264.7", 10, extent_um=(25.0, 110.0, 110.0), settings=settings, rng=rng))
        for _ in range(n_fields)
    ]
    table = pd.concat(tables)
    return table.loc[(table["structure"] == "cell") & ~table["is_cut"], "volume_um3"].to_numpy()


def experiment(pool: np.ndarray, n_replicates: int, rng: np.random.Generator) -> pd.DataFrame:
    """Two conditions of the same cells, with replicates and dishes that differ by chance."""
    rows = []
    for condition in ("control", "also control"):
        for replicate in range(n_replicates):
            day = math.exp(rng.normal(0, REPLICATE_SD))
            for dish in range(N_DISHES):
                factor = day * math.exp(rng.normal(0, DISH_SD))
                values = rng.choice(pool, N_CELLS, replace=False) * factor
                rows += [(condition, str(replicate), str(dish), value) for value in values]
    return pd.DataFrame(rows, columns=["condition", "replicate", "dish", "value"])


def findings(table: pd.DataFrame) -> dict[str, bool]:
    """Name of a test -> whether it finds a difference."""
    found = {}
    for name, test in (("means of replicates", "means"), ("mixed model", "mixed")):
        settings = ComparisonSettings.model_validate({"test": test, "n_resamples": 1000})
        comparison = compare_conditions(table, settings)[0]
        found[name] = comparison.p < ALPHA
        if test == "means":
            found["hierarchical bootstrap (interval without 0)"] = not (
                comparison.bootstrap.low <= 0 <= comparison.bootstrap.high
            )
    parts = [part["value"].to_numpy() for _, part in table.groupby("condition", sort=False)]
    found["cells taken as replicates"] = bool(stats.ttest_ind(*parts).pvalue < ALPHA)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_findings_stay_at_the_level_for_replicates_and_not_for_cells() -> None:
    rng = np.random.default_rng(1)
    pool = true_volumes(N_FIELDS, rng)
    print(f"\n{len(pool)} cells, mean {pool.mean():.0f} µm³, SD {pool.std(ddof=1):.0f} µm³")
    for n_replicates in (3, 6):
        shares = pd.DataFrame([findings(experiment(pool, n_replicates, rng)) for _ in range(N_EXPERIMENTS)]).mean()
        print(f"{n_replicates} replicates\n{(100 * shares).round(1).to_string()}")
        # Three standard errors of a share of 5 % in 200 experiments are 4.6 %.
        assert shares["means of replicates"] < 0.05 + 0.046
        assert shares["mixed model"] < 0.05 + 0.046
        assert shares["cells taken as replicates"] > 0.2
