"""Control against control: how often a comparison finds a difference where there is none."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tomocyte.statistics import BootstrapSettings, hierarchical_difference

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "control_against_control.py"))
MEANS, MIXED, BOOTSTRAP, CELLS = (SCRIPT[name] for name in ("MEANS", "MIXED", "BOOTSTRAP", "CELLS"))
THREE_ERRORS = 0.046
"""Three standard errors of a share of 5 % in 200 experiments."""


def test_a_small_call_prints_every_test(capsys: pytest.CaptureFixture[str]) -> None:
    main: Callable[[list[str]], dict[int, dict[str, float]]] = SCRIPT["main"]
    shares = main(["--experiments", "3", "--replicates", "2", "--fields", "3"])
    assert list(shares[2]) == [MEANS, MIXED, BOOTSTRAP, CELLS]
    assert "3 experiments with 2 replicates per condition" in capsys.readouterr().out


def normal_experiment(rng: np.random.Generator, n_replicates: int) -> list[pd.DataFrame]:
    """Two conditions of equal means; replicates of 4 cells scatter by 2, cells by 1."""
    tables = []
    for _ in range(2):
        middles = rng.normal(10, 2, n_replicates)
        values = (middles[:, None] + rng.normal(0, 1, (n_replicates, 4))).ravel()
        names = np.repeat([str(number) for number in range(n_replicates)], 4)
        tables.append(pd.DataFrame({"condition": "x", "replicate": names, "value": values}))
    return tables


@pytest.mark.parametrize("n_replicates", [3, 5])
def test_rescaled_draws_hold_the_truth_and_bare_percentiles_do_not(n_replicates: int) -> None:
    rng = np.random.default_rng(3)
    settings: dict[str, Any] = {"rng": rng, "settings": BootstrapSettings(n_resamples=400)}
    missed = np.zeros(2)
    n_experiments = 300
    for _ in range(n_experiments):
        drug, control = normal_experiment(rng, n_replicates)
        for place, is_rescaled in enumerate((True, False)):
            interval = hierarchical_difference(drug, control, is_rescaled=is_rescaled, **settings)
            missed[place] += not interval.low <= 0 <= interval.high
    rescaled, bare = missed / n_experiments
    assert rescaled < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_experiments)
    assert bare > rescaled + 0.02


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_findings_stay_at_the_level_for_replicates_and_not_for_cells() -> None:
    for shares in SCRIPT["main"]([]).values():
        for name in (MEANS, MIXED, BOOTSTRAP):
            assert shares[name] < 0.05 + THREE_ERRORS, name
        assert shares[CELLS] > 0.2
