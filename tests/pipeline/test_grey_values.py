"""Grey values are what they are: no unit, and nobody who gave one, until a factor or a file says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import ModalityError
from tomocyte.formats import write_volume
from tomocyte.pipeline import RunSettings, analyse, open_input
from tomocyte.volume import Volume

GREY = 200.0
ABSORPTION = "linear_absorption_coefficient"


def a_box(path: Path, quantity: str | None, value: float = GREY, unit: str = "") -> Path:
    """A cell of 8 x 20 x 30 voxels of 0.5 um of one value in a background of 0."""
    image = np.zeros((14, 40, 60), np.float32)
    image[3:11, 10:30, 15:45] = value
    write_volume(path, Volume.from_array(image, voxel_size_um=(0.5, 0.5, 0.5), quantity=quantity, unit=unit))
    return path


def run(path: Path, **settings: Any) -> Any:
    asked = RunSettings(modality="sxt", model="classical", **settings)
    volume, _ = open_input(path, asked)
    return analyse(volume, asked)


@pytest.mark.parametrize("stored", [None, "intensity"])
def test_grey_values_of_x_rays_have_no_unit_and_no_giver(tmp_path: Path, stored: str | None) -> None:
    analysis = run(a_box(tmp_path / "a.mrc" if stored is None else tmp_path / "a.ome.tif", stored))
    facts = analysis.facts
    assert (facts["quantity"], facts["unit"]) == ("intensity", "")
    assert facts["origin"].get("quantity") != "user"
    assert "mean_intensity" in analysis.table
    assert not [name for name in analysis.table if "lac" in name]
    units = {column.name: column.unit for column in analysis.plan.columns()}
    assert units["mean_intensity"] == units["p50_value"] == "native"


def test_a_factor_makes_absorption_of_grey_values(tmp_path: Path) -> None:
    """200 grey values at 0.0025 per um each absorb 0.5 per um."""
    analysis = run(a_box(tmp_path / "a.mrc", None), lac_per_um=0.0025)
    cell = analysis.table.loc[analysis.table["structure"] == "cell"].iloc[0]
    assert cell["p50_value"] == pytest.approx(0.5)
    assert 0.4 < cell["mean_lac_per_um"] <= 0.5
    assert "mean_intensity" not in analysis.table
    facts = analysis.facts
    assert (facts["quantity"], facts["unit"], facts["origin"]["quantity"]) == (ABSORPTION, "1/um", "user")


def test_a_file_may_say_that_it_holds_absorption(tmp_path: Path) -> None:
    path = a_box(tmp_path / "a.ome.tif", ABSORPTION, 0.5, "1/um")
    analysis = run(path)
    assert analysis.facts["unit"] == "1/um"
    assert analysis.facts["origin"]["quantity"] == "file"
    assert analysis.table["p50_value"].iloc[0] == pytest.approx(0.5)
    with pytest.raises(ModalityError, match="--lac-per-um converts nothing") as caught:
        open_input(path, RunSettings(modality="sxt", lac_per_um=0.01))
    assert caught.value.code == "E-CONVERSION"


def test_a_unit_that_a_file_states_is_converted_or_refused(tmp_path: Path) -> None:
    """500 per mm are 0.5 per um; the cure is typed as it is printed."""
    path = a_box(tmp_path / "a.ome.tif", ABSORPTION, 500, "1/mm")
    words = ["run", str(path), "-m", "sxt", "-o", f"{tmp_path}/x"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 4
    assert "E-UNIT" in refused.output
    cure = "--quantity intensity --lac-per-um 0.001"
    assert cure in " ".join(refused.output.split())
    assert CliRunner().invoke(app, [*words, *cure.split()]).exit_code == 0
    assert pd.read_csv(tmp_path / "x" / "objects.csv")["p50_value"].iloc[0] == pytest.approx(0.5)


@pytest.mark.parametrize("spelling", ["µm⁻¹", "\N{GREEK SMALL LETTER MU}m^-1", "1/micrometer", "um-1"])
def test_the_same_unit_in_other_letters(tmp_path: Path, spelling: str) -> None:
    assert run(a_box(tmp_path / "a.ome.tif", ABSORPTION, 0.5, spelling)).facts["unit"] == "1/um"


@pytest.mark.parametrize("name", ["odt", "fluorescence"])
def test_the_factor_is_refused_where_nothing_absorbs_x_rays(tmp_path: Path, name: str) -> None:
    path = a_box(tmp_path / "a.ome.tif", None)
    with pytest.raises(ModalityError, match="E-CONVERSION"):
        open_input(path, RunSettings(modality=name, lac_per_um=0.01))


def test_fluorescence_is_not_given_by_the_user(tmp_path: Path) -> None:
    volume, _ = open_input(a_box(tmp_path / "a.mrc", None), RunSettings(modality="fluorescence"))
    assert volume.quantity == "intensity"
    assert volume.origin.get("quantity") != "user"
    volume, _ = open_input(tmp_path / "a.mrc", RunSettings(modality="odt"))
    assert volume.origin["quantity"] == "user"


def test_the_command_line_converts_and_says_what_was_forced(tmp_path: Path) -> None:
    path = a_box(tmp_path / "a.mrc", None)
    result = CliRunner().invoke(app, ["run", str(path), "-m", "sxt", "--lac-per-um", "0.0025", "-o", f"{tmp_path}/x"])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "x" / "objects.csv")["p50_value"].iloc[0] == pytest.approx(0.5)
    words = ["run", str(path), "-m", "odt", "--model", "classical", "--force", "-o", f"{tmp_path}/y"]
    result = CliRunner().invoke(app, words)
    assert "W-IMPLAUSIBLE-VALUES" in json.dumps(pd.read_csv(tmp_path / "y" / "status.csv").to_dict(), default=str)
    assert "check" in result.output
