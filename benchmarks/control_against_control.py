"""How often comparisons find a difference where there is none.

    python benchmarks/control_against_control.py

Cells are simulated once (whole RAW 264.7 cells, no imaging); experiments are drawn from their true volumes: a factor
for each replicate and each dish, one of the volumes for each cell. ``--seed 2`` draws others.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from tomocyte.simulation import simulate_scene
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.cells.truth import truth_table
from tomocyte.statistics import ComparisonSettings, compare_conditions

N_FIELDS = 20
ALPHA = 0.05
N_DISHES, N_CELLS = 2, 10
REPLICATE_SD, DISH_SD = 0.10, 0.05
MEANS, MIXED, BOOTSTRAP, CELLS = (
    "means of replicates (Welch)", "mixed model", "hierarchical bootstrap", "cells taken as replicates",
)  # fmt: skip


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
    means, mixed = (
        compare_conditions(table, ComparisonSettings.model_validate({"test": test, "n_resamples": 1000}))[0]
        for test in ("means", "mixed")
    )
    parts = [part["value"].to_numpy() for _, part in table.groupby("condition", sort=False)]
    return {
        MEANS: means.p < ALPHA,
        MIXED: mixed.p < ALPHA,
        BOOTSTRAP: not means.bootstrap.low <= 0 <= means.bootstrap.high,
        CELLS: bool(stats.ttest_ind(*parts).pvalue < ALPHA),
    }


def main(arguments: Sequence[str] | None = None) -> dict[int, dict[str, float]]:
    """Print and return the share of experiments in which each test finds a difference, per number of replicates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=200, help="experiments per number of replicates")
    parser.add_argument("--replicates", type=int, nargs="+", default=[3, 6], help="replicates per condition")
    parser.add_argument("--fields", type=int, default=N_FIELDS, help="simulated fields of ten cells")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    start, rng = time.perf_counter(), np.random.default_rng(options.seed)
    pool = true_volumes(options.fields, rng)
    print(f"{len(pool)} cells, mean {pool.mean():.0f} µm³, SD {pool.std(ddof=1):.0f} µm³")
    shares = {}
    for n_replicates in options.replicates:
        found = [findings(experiment(pool, n_replicates, rng)) for _ in range(options.experiments)]
        shares[n_replicates] = pd.DataFrame(found).mean().to_dict()
        print(f"{options.experiments} experiments with {n_replicates} replicates per condition")
        for name, share in shares[n_replicates].items():
            print(f"  {name:30} {100 * share:5.1f} % find a difference where there is none")
    print(f"{time.perf_counter() - start:.0f} s")
    return shares


if __name__ == "__main__":
    main()
