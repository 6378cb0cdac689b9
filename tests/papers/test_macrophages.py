"""Choi's Fig. 4 on a few simulated cells: trends with the truth of the simulator, and what the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tests.in_process import tomocyte

from tomocyte.papers.choi.macrophages import concentration_mg_per_ml

SMALL = (
    "n_replicates=2", "n_frames=3", "time_step_s=14400", "conditions.control.n_cells=1", "conditions.LPS.n_cells=1",
    "extent_um=[20, 50, 50]",
)  # fmt: skip


def test_equation_1() -> None:
    """n 1.3717 in a cell: 0.038 / 0.19 = 0.2 g/mL; n 1.4012 in a droplet: 0.0675 / 0.135 = 0.5 g/mL."""
    table = pd.DataFrame({"structure": ["cell", "lipid_droplet"], "mean_ri": [1.3717, 1.4012]})
    assert concentration_mg_per_ml(table).tolist() == pytest.approx([200.0, 500.0])


def test_a_small_figure_4(tmp_path: Path) -> None:
    """Two cells of each condition over 8 h: what the simulator was told to change is what is found."""
    options = [word for setting in SMALL for word in ("--set", setting)]
    done = tomocyte("reproduce", "choi-fig4", "-o", tmp_path / "out", *options)
    assert done.exit_code == 0, done.exception
    out = tmp_path / "out"
    trends = pd.read_csv(out / "trends.csv").set_index(["structure", "quantity"])
    # EXPERIMENTS["macrophage-lps"]: volume +40 %, Δn -16 %, cells differing by a quarter of each.
    assert 20 < trends.loc[("cell", "volume_um3"), "change"] < 70
    assert trends.loc[("cell", "mean_ri"), "change"] < -0.001
    assert -40 < trends.loc[("cell", "concentration_mg_per_ml"), "change"] < -5
    assert abs(trends.loc[("cell", "volume_um3"), "change_control"]) < 5
    assert trends.loc[("lipid_droplet", "n_per_cell"), "difference"] > 50
    assert abs(trends.loc[("lipid_droplet", "mean_ri"), "change"]) < 0.002
    summary = (out / "summary.md").read_text(encoding="utf-8")
    assert "simulated, measured exactly" in summary
    assert "Nucleolus volume (paper: slightly up at first, then constant)" in summary
    assert (out / "cell_volume_um3_over_time_normalised.png").stat().st_size > 1000
    assert json.loads((out / "experiment.json").read_text(encoding="utf-8"))["recipe"]["n_frames"] == 3


@pytest.mark.parametrize(("option", "value"), [("--model", "odt-organelles"), ("--data", ".")])
def test_what_it_does_not_need_is_refused(option: str, value: str, tmp_path: Path) -> None:
    for more in ((), ("--dry-run",)):
        done = tomocyte("reproduce", "choi-fig4", "-o", tmp_path / "out", option, value, *more)
        assert "E-USAGE" in str(done.exception)
    assert not (tmp_path / "out").exists()
