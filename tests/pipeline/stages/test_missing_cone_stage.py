"""Index and dry mass of the object, by what is known of the optics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.errors import SettingsError
from tomocyte.formats import write_volume
from tomocyte.pipeline import RunSettings, analyse
from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION
from tomocyte.simulation.physics.formation import simulate_odt
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.volume import Volume

MEDIUM, VOXEL, SHAPE = 1.337, (0.4, 0.22, 0.2), (50, 90, 100)
EXACT_PG = 55.116  # a ball of 5 µm with Δn = 0.02


@pytest.fixture(scope="module")
def ri() -> np.ndarray:
    axes = [(np.arange(n) - n / 2) * step for n, step in zip(SHAPE, VOXEL, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.where(z**2 + y**2 + x**2 < 25, MEDIUM + 0.02, MEDIUM).astype(np.float32)


@pytest.fixture(scope="module")
def limited(ri: np.ndarray) -> np.ndarray:
    optics = OdtInstrument(is_coarse_grid_allowed=True)
    degradation = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 1})
    rng = np.random.default_rng(1)
    return simulate_odt(ri, MEDIUM, voxel_size_um=VOXEL, instrument=optics, degradation=degradation, rng=rng)


def run(voxels: np.ndarray, *, named: str = "", **settings: Any) -> Any:
    volume = Volume.from_array(
        voxels, voxel_size_um=VOXEL, quantity="refractive_index", unit="1", medium_ri=MEDIUM, instrument=named
    )
    return analyse(volume, RunSettings(modality="odt", model="classical", **settings))


def codes(analysis: Any) -> set[str]:
    return {notice.code for notice in analysis.notices}


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("HT-2H", {}),
        ("ht2h", {}),
        ("", {"instrument": "HT-2H"}),
        ("unheard of", {"instrument": OdtInstrument()}),
        ("unheard of", {"instrument": "limited-angle"}),  # less than was measured
    ],
)
def test_with_known_optics_the_matrix_weighs_the_object(limited: np.ndarray, named: str, settings: Any) -> None:
    analysis = run(limited, named=named, **settings)
    cell = analysis.table.set_index("structure").loc["cell"]
    assert cell["dry_mass_pg"] == pytest.approx(EXACT_PG, rel=0.04)
    assert cell["dry_mass_pg_in_mask"] < 0.93 * EXACT_PG
    assert cell["mean_ri"] > cell["mean_ri_in_mask"]
    assert cell["mean_ri_estimator"] == cell["dry_mass_pg_estimator"] == "matrix"
    expected = 1000 * (cell["mean_ri"] - MEDIUM) / 0.19
    assert cell["concentration_mg_per_ml"] == pytest.approx(expected, rel=1e-9)
    assert analysis.facts["missing_cone"][0]["estimator"] == "matrix"
    assert "W-OPTICS" not in codes(analysis)


def test_with_unknown_optics_cells_are_weighed_by_their_columns(limited: np.ndarray) -> None:
    analysis = run(limited, named="another one")
    cell = analysis.table.set_index("structure").loc["cell"]
    assert cell["dry_mass_pg_estimator"] == "column"
    assert cell["dry_mass_pg"] == pytest.approx(EXACT_PG, rel=0.04)
    assert "W-OPTICS" in codes(analysis)


@pytest.mark.parametrize("settings", [{"instrument": "HL60-rotation"}, {}])
def test_a_complete_tomogram_is_left_as_it_is(ri: np.ndarray, settings: Any) -> None:
    analysis = run(ri, **settings)
    cell = analysis.table.set_index("structure").loc["cell"]
    for column in ("mean_ri", "dry_mass_pg", "concentration_mg_per_ml"):
        assert cell[column] == cell[f"{column}_in_mask"]
    assert cell["dry_mass_pg_estimator"] == "in-mask"
    assert cell["dry_mass_pg"] == pytest.approx(EXACT_PG, rel=0.02)
    assert "W-OPTICS" not in codes(analysis)


@pytest.mark.parametrize("named", ["HT-2H", "HL60-rotation"])
def test_the_mass_of_a_ball_is_that_of_its_columns(ri: np.ndarray, limited: np.ndarray, named: str) -> None:
    analysis = run(limited if named == "HT-2H" else ri, instrument=named)
    found = analysis.facts["missing_cone"][0]["closure"]
    assert (found["n_whole"], found["n_cut"], found["n_of_columns"]) == (1, 0, 1)
    assert not found["n_of_parts"] or found["parts_percent"] < 1
    assert found["columns_largest_percent"] < 6
    assert found["field_pg"] == pytest.approx(EXACT_PG, rel=0.05)
    assert "W-CLOSURE" not in codes(analysis)


def test_a_limited_tomogram_taken_for_a_complete_one_does_not_add_up(limited: np.ndarray) -> None:
    # A threshold that leaves the bright middle of the ball weighs too little of it.
    foreground = {"method": "value", "value": MEDIUM + 0.014}
    analysis = run(limited, instrument="HL60-rotation", segmentation={"foreground": foreground})
    found = analysis.facts["missing_cone"][0]["closure"]
    assert found["columns_median_percent"] > 15
    text = next(notice.text for notice in analysis.notices if notice.code == "W-CLOSURE")
    assert f"by {found['columns_median_percent']:.0f} % (median)" in text
    assert "cytoplasm" not in text


def test_without_cells_the_columns_are_there(ri: np.ndarray) -> None:
    analysis = run(np.full_like(ri, MEDIUM), instrument="HT-2H")
    assert len(analysis.table) == 0
    assert {"dry_mass_pg_in_mask", "dry_mass_pg_estimator", "mean_ri_estimator"} <= set(analysis.table.columns)


def test_without_a_medium_only_the_index_is_known(limited: np.ndarray) -> None:
    volume = Volume.from_array(limited, voxel_size_um=VOXEL, quantity="refractive_index", unit="1")
    cell = analyse(volume, RunSettings(modality="odt", model="classical", instrument="HT-2H")).table.iloc[0]
    assert cell["mean_ri"] == cell["mean_ri_in_mask"]
    assert math.isnan(cell["dry_mass_pg"])


@pytest.mark.parametrize(("modality", "name"), [("odt", "HT-9"), ("fluorescence", "HT-2H")])
def test_an_instrument_that_cannot_be_meant_is_refused(ri: np.ndarray, modality: str, name: str) -> None:
    volume = Volume.from_array(ri, voxel_size_um=VOXEL)
    with pytest.raises(SettingsError) as caught:
        analyse(volume, RunSettings(modality=modality, model="classical", instrument=name))
    assert caught.value.code == "E-INSTRUMENT"
    assert caught.value.cure


def test_masks_of_the_users_own_are_corrected_by_the_named_instrument(
    ri: np.ndarray, limited: np.ndarray, tmp_path: Path
) -> None:
    known = {"voxel_size_um": VOXEL, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM}
    write_volume(tmp_path / "ball.ome.tif", Volume.from_array(limited, **known))
    mask = Volume.from_array((ri > MEDIUM).astype(np.uint8), voxel_size_um=VOXEL, quantity="labels")
    write_volume(tmp_path / "mask.ome.tif", mask)
    with workers_in_this_process():
        done = tomocyte(
            "measure", tmp_path / "ball.ome.tif", tmp_path / "mask.ome.tif", "-o", tmp_path / "out",
            "-m", "odt", "--instrument", "HT-2H",
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    cell = pd.read_csv(tmp_path / "out" / "objects.csv").iloc[0]
    assert cell["dry_mass_pg"] == pytest.approx(EXACT_PG, rel=0.03)
    assert cell["dry_mass_pg_in_mask"] < 0.93 * EXACT_PG
    assert cell["dry_mass_pg_estimator"] == "matrix"
