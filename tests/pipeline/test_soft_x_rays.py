"""Soft X-ray tomograms from file to numbers: the scale of beads, and what a tomogram may be like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from tests.segmentation.classical.sxt_field import BEAD, BEADS, CELL, CELLS, SHAPE, SIZE_UM, WATER, field
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import ModalityError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.pipeline import RunSettings, analyse, open_input
from tomocyte.pipeline.analysis import Analysis
from tomocyte.volume import Volume

ABSORPTION = "linear_absorption_coefficient"


def stored(path: Path, image: NDArray[Any], quantity: str | None = None) -> Path:
    unit = "1/um" if quantity == ABSORPTION else ""
    write_volume(path, Volume.from_array(image, voxel_size_um=SIZE_UM, quantity=quantity, unit=unit))
    return path


def run(path: Path, **settings: Any) -> Analysis:
    asked = RunSettings(modality="sxt", model="classical", **settings)
    volume, _ = open_input(path, asked)
    return analyse(volume, asked)


def grey(image: NDArray[np.float32], factor: float = 180.0, offset: float = 20.0) -> NDArray[np.uint8]:
    return np.clip(np.rint(factor * image + offset), 0, 255).astype(np.uint8)


def of(analysis: Analysis, structure: str) -> pd.DataFrame:
    return analysis.table[analysis.table["structure"] == structure]


def codes(analysis: Analysis) -> set[str]:
    return {notice.code for notice in analysis.notices}


def test_beads_give_grey_values_their_scale(tmp_path: Path) -> None:
    """Eight bits with an offset: cells have 0.3 and the medium 0.11 per um, whatever the factor was."""
    image, truth = field()
    analysis = run(stored(tmp_path / "a.tif", grey(image)), lac_from_beads=BEAD, lac_of_medium=WATER)
    cells = of(analysis, "cell")
    assert cells["mean_lac_per_um"].to_numpy() == pytest.approx([CELL, CELL], abs=0.015)
    assert of(analysis, "bead")["p95_value"].to_numpy() == pytest.approx([BEAD, BEAD], rel=0.05)
    assert (cells["mean_lac_per_um_uncertainty"] < 0.02).all()
    assert "mean_intensity" not in analysis.table
    facts = analysis.facts
    (scale,) = facts["absorption"]
    assert (facts["quantity"], facts["unit"], facts["origin"]["quantity"]) == (ABSORPTION, "1/um", "beads")
    assert (scale["per_um_of_grey"], scale["offset_grey"]) == (
        pytest.approx(1 / 180, rel=0.04),
        pytest.approx(20, abs=3),
    )
    assert len(scale["grey_of_beads"]) == 2
    assert "W-GREY-VALUES" not in codes(analysis)
    assert (of(analysis, "bead")["cell_id"] == 0).all()
    assert [name for name in analysis.table if name.endswith(("_bead", "_capillary"))] == []
    true_volumes = np.bincount(truth["cell"].ravel())[1:] * np.prod(SIZE_UM)
    assert cells["volume_um3"].to_numpy() == pytest.approx(true_volumes, rel=0.05)


def test_an_offset_that_nobody_gave_is_noticed(tmp_path: Path) -> None:
    image, _ = field()
    analysis = run(stored(tmp_path / "a.tif", grey(image, offset=60.0)), lac_from_beads=BEAD)
    assert "W-BEADS-OFFSET" in codes(analysis)
    assert "W-BEADS-OFFSET" not in codes(run(stored(tmp_path / "b.tif", grey(image, offset=0)), lac_from_beads=BEAD))


def test_dark_absorption_is_refused_and_gives_the_same_numbers_when_it_is_told(tmp_path: Path) -> None:
    image = grey(field()[0])
    dark = stored(tmp_path / "dark.tif", (255 - image))
    with pytest.raises(ModalityError, match="--contrast dark") as caught:
        run(dark)
    assert caught.value.code == "E-CONTRAST"
    scale = {"lac_from_beads": BEAD, "lac_of_medium": WATER}
    analysis = run(dark, contrast="dark", **scale)
    bright = run(stored(tmp_path / "bright.tif", image), **scale)
    assert "W-CONTRAST-DARK" in codes(analysis)
    numbers = ["volume_um3", "surface_to_volume_per_um", "mean_lac_per_um", "p50_value"]
    np.testing.assert_allclose(analysis.table[numbers], bright.table[numbers], rtol=1e-4)
    with pytest.raises(ModalityError, match="factor alone"):
        run(dark, contrast="dark", lac_per_um=0.01)
    with pytest.raises(ModalityError, match="0 cannot mean no absorption"):
        run(dark, contrast="dark", lac_from_beads=BEAD)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_grey_values_without_a_scale_are_called_so(tmp_path: Path, dtype: type) -> None:
    """8 bits, and 16 bits with negative values: found alike, in grey values, with a notice."""
    image, truth = field()
    values = grey(image) if dtype == np.uint8 else np.rint(9000 * image - 4000).astype(np.int16)
    analysis = run(stored(tmp_path / "a.tif", values))
    assert "W-GREY-VALUES" in codes(analysis)
    assert (analysis.facts["quantity"], analysis.facts["unit"]) == ("intensity", "")
    assert not [name for name in analysis.table if "lac" in name]
    expected = [float(values[truth["cell"] == number].mean()) for number in (1, 2)]
    assert of(analysis, "cell")["mean_intensity"].to_numpy() == pytest.approx(expected, rel=0.03)


def test_nothing_but_beads_and_nothing_at_all(tmp_path: Path) -> None:
    image, _ = field(cells=(), beads=BEADS[:1])
    alone = run(stored(tmp_path / "a.tif", grey(image)), lac_from_beads=BEAD, lac_of_medium=WATER)
    assert (len(of(alone, "bead")), len(of(alone, "cell"))) == (1, 0)
    assert {"W-NO-OBJECT", "W-BEADS-ONE"} <= codes(alone)
    assert of(alone, "bead")["mean_lac_per_um_uncertainty"].isna().all()
    empty = stored(tmp_path / "b.tif", grey(field(cells=(), beads=())[0]))
    analysis = run(empty)
    assert len(of(analysis, "cell")) == len(of(analysis, "bead")) == 0
    assert len(of(analysis, "capillary")) == 1
    with pytest.raises(ModalityError, match="no bead was found") as caught:
        run(empty, lac_from_beads=BEAD)
    assert caught.value.code == "E-BEADS-NONE"


def test_a_view_full_of_glass_and_one_without_any(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    full = run(stored(tmp_path / "a.tif", rng.normal(190, 3, SHAPE).astype(np.uint8)))
    assert full.table.empty
    assert "W-NO-OBJECT" in codes(full)
    image, _ = field(has_glass=False)
    wide = run(stored(tmp_path / "b.tif", grey(image)))
    assert (len(of(wide, "capillary")), len(of(wide, "cell")), len(of(wide, "bead"))) == (0, 2, 2)


def test_cells_cut_by_the_ends_and_by_nan_around_the_field(tmp_path: Path) -> None:
    cut, whole = (0.5, 5.2, 6.2, 2.4), CELLS[1]
    image, _ = field(cells=(cut, whole), beads=())
    cells = of(run(stored(tmp_path / "a.tif", grey(image))), "cell")
    assert cells["is_cut_z"].tolist() == [True, False]
    # A round field of view: the second cell reaches over its edge.
    away = np.hypot(*np.meshgrid(*[(np.arange(n) - n / 2) * s for n, s in zip(SHAPE[1:], SIZE_UM[1:], strict=True)],
                                 indexing="ij"))  # fmt: skip
    image = field(beads=(), has_glass=False)[0]
    image[:, away > 4.5] = np.nan
    path = stored(tmp_path / "b.ome.tif", image, ABSORPTION)
    cells = of(run(path, nan="mask"), "cell")
    assert cells["is_cut"].tolist() == [False, True]
    assert cells["is_cut_lateral"].tolist() == [False, True]


def test_options_that_have_no_effect_are_refused(tmp_path: Path) -> None:
    image, _ = field()
    absorbing = stored(tmp_path / "a.ome.tif", image, ABSORPTION)
    with pytest.raises(ModalityError, match="--lac-from-beads converts nothing"):
        run(absorbing, lac_from_beads=BEAD)
    with pytest.raises(ModalityError, match="--contrast is for grey values"):
        run(absorbing, contrast="dark")
    with pytest.raises(ValueError, match="needs 'lac_from_beads'"):
        RunSettings(modality="sxt", lac_of_medium=0.1)
    with pytest.raises(ValueError, match="not both"):
        RunSettings(modality="sxt", lac_from_beads=1.2, lac_per_um=0.1)
    kept = RunSettings(modality="sxt").model_dump()
    unsought = {"bead": {"method": "none"}}
    with pytest.raises(SettingsError, match="nothing in this run looks for beads"):
        run(stored(tmp_path / "b.tif", grey(image)), lac_from_beads=BEAD, segmentation=unsought)
    assert kept["contrast"] == "auto"


def test_the_command_line_with_the_cure_as_it_is_printed(tmp_path: Path) -> None:
    """Table, report and dictionary say what the values are and where their scale is from."""
    image = field()[0][::2, ::2, ::2]
    dark = tmp_path / "dark.tif"
    size_um = tuple(2 * size for size in SIZE_UM)
    write_volume(dark, Volume.from_array(255 - grey(image), voxel_size_um=size_um))
    asked = ["--contrast", "dark", "--lac-from-beads", "1.2", "--lac-of-medium", "0.11"]
    words = ["run", str(dark), "-m", "sxt", "--model", "classical", "-o", f"{tmp_path}/x", *asked]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    objects = pd.read_csv(tmp_path / "x" / "objects.csv")
    cells = objects[objects["structure"] == "cell"]
    assert cells["mean_lac_per_um"].to_numpy() == pytest.approx([CELL, CELL], abs=0.03)
    report = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert "2 beads of 1.2" in report
    dictionary = pd.read_csv(tmp_path / "x" / "objects.dictionary.csv", index_col="column")
    assert dictionary.loc["mean_lac_per_um_uncertainty", "unit"] == "1/µm"
    assert "W-CONTRAST-DARK" in pd.read_csv(tmp_path / "x" / "status.csv").loc[0, "warnings"]
