"""A model calibrated from the command line, on three images of balls whose truth is larger than the network thinks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unet_by_hand import MEDIUM_RI, SIZE_UM, balls_ri, save_by_hand
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.comparison.calibrate import Examiner, calibration_data, spaced
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.models import load_package, read_card
from tomocyte.volume import Volume

CENTRES = [((0.0, -2.2, -2.6), (0.0, 2.4, 2.7)), ((0.3, 0.1, 0.2),), ((-0.2, 2.3, -2.5), (0.1, -2.4, 2.6))]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_by_hand(tmp_path / "by-hand", (0.5,), (8.0,))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Cells end where v falls below 0.3; the network cuts at 0.5 with a soft edge."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    known = {"voxel_size_um": SIZE_UM, "medium_ri": MEDIUM_RI}
    for number, centres in enumerate(CENTRES):
        image = balls_ri(*centres)
        write_volume(
            folder / f"f{number}.ome.tif", Volume.from_array(image, quantity="refractive_index", unit="1", **known)
        )
        truth = np.zeros(image.shape, np.uint32)
        for label, centre in enumerate(centres, 1):
            truth[balls_ri(centre) > MEDIUM_RI + 0.3 * 0.02] = label
        write_volume(folder / f"f{number}_cell.ome.tif", Volume.from_array(truth, quantity="labels", **known))
    return folder


def test_calibrate_writes_a_model_plots_and_figures(model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = CliRunner().invoke(app, ["models", "calibrate", str(model), "--data", str(data), "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert "validation (fitted on): 3 real images" in done.output
    before, after = load_package(model), load_package(output / "model")
    assert before.card.calibration == {}
    assert after.card.weights_sha256 == before.card.weights_sha256
    learned = {"calibration": {}, "domain": None, "figures": before.card.figures}
    assert after.card.model_copy(update=learned) == before.card
    # What the network calls 0.2 (v = 0.327) is inside here: the log odds are shifted upwards.
    assert after.card.calibration["cell"].bias > 0.5
    assert after.card.calibration["cell"].volume is None  # five objects are too few
    content = json.loads((output / "calibration.json").read_text())
    figures = content["sets"]["validation (fitted on)"]["cell"]
    assert figures["n_matched"] == 5
    assert figures["ece_after"] < 0.5 * figures["ece_before"]
    assert figures["volume_coverage"] is None
    assert after.card.figures["calibration"] == content["sets"]
    rows = pd.read_csv(output / "objects.csv")
    assert (rows["volume_ratio"] > 1).all()
    assert (output / "reliability_cell.png").read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(app, ["models", "calibrate", str(model), "--data", str(data), "-o", str(output)])
    assert again.exit_code != 0
    shown = CliRunner().invoke(app, ["models", "show", str(output / "model")])
    assert "cell (on 5 matched objects)" in shown.output


def test_a_folder_without_the_split_is_refused(model: Path, data: Path) -> None:
    card = read_card(model)
    chosen = calibration_data([data, data], card, split="anything")
    assert [item.name for item in chosen.validation] == ["f0", "f1", "f2"] * 2
    assert (chosen.training, chosen.test) == ([], {})
    with pytest.raises(InputError, match="E-NO-DATA"):
        calibration_data([data / "nowhere"], card)


def test_images_that_somebody_labelled_in_part_are_refused(model: Path, data: Path) -> None:
    """Voxels that nobody looked at would count as mistakes of the model."""
    (item, *_) = find_items(data, LabelledSettings(structures=("cell",)))
    label = int(item.read_labels("cell").max())
    partial = replace(item, ignore_label=label)
    with pytest.raises(InputError, match="E-LABELS-PARTIAL"):
        Examiner(model, read_card(model)).examine(partial)


def test_images_are_spaced_evenly() -> None:
    assert spaced(list(range(11)), 3) == [0, 5, 10]  # type: ignore[type-var, arg-type]
    assert spaced(list(range(3)), 5) == [0, 1, 2]  # type: ignore[type-var, arg-type]
