"""The Nile Red model that ships, on a simulated stack that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import TomocyteError
from tomocyte.pipeline import analyse
from tomocyte.pipeline.settings import RunSettings
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.structures import ZHANGHAO_COMPARTMENTS
from tomocyte.volume import Volume

VOXEL_UM = (0.25, 0.1, 0.1)


def test_it_is_the_default_and_finds_fifteen_compartments_of_an_unseen_stack() -> None:
    settings = DatasetSettings(modality="nile_red", shape=(24, 160, 160), voxel_size_um=VOXEL_UM)
    frame = simulate_item(settings, 0, seed=590_001).frame(0)
    stack = np.clip(np.rint(frame.channels), 0, 65_535).astype(np.uint16)
    volume = Volume.from_array(stack, voxel_size_um=VOXEL_UM, quantity="intensity", channel_names=("yellow", "red"))
    analysis = analyse(volume, RunSettings(modality="nile_red"))
    assert {"cell", *ZHANGHAO_COMPARTMENTS} <= analysis.labels.keys()
    (seen,) = (notice.text for notice in analysis.notices if notice.code == "W-CHANNEL")
    assert seen == "nile-red-15 sees intensity and ratio, from yellow and red; all are measured."
    masks = [analysis.labels[name].planes(0, 0) > 0 for name in ("nucleus", "cytosol", "extracellular")]
    assert np.sum(masks, axis=0).max() == 1
    least = {"nucleus": 0.9, "cytosol": 0.9, "extracellular": 0.9, "plasma_membrane": 0.75, "lipid_droplet": 0.7}
    for name, dice in least.items():
        truth, found = frame.labels(name) > 0, analysis.labels[name].planes(0, 0) > 0
        if truth.any():
            assert 2 * np.count_nonzero(truth & found) / (truth.sum() + found.sum()) > dice, name


def test_pixels_of_a_camera_are_not_what_it_was_made_for() -> None:
    volume = Volume.from_array(
        np.full((2, 3, 40, 40), 200, np.uint16),
        voxel_size_um=(0.25, 1.0, 1.0),
        quantity="intensity",
        channel_names=("yellow", "red"),
    )
    with pytest.raises(TomocyteError, match="E-MODEL-FIT-VOXEL-SIZE"):
        analyse(volume, RunSettings(modality="nile_red", model="nile-red-15"))


def test_a_field_inside_a_cell_is_not_implausible() -> None:
    settings = DatasetSettings(modality="nile_red", shape=(24, 160, 160), voxel_size_um=VOXEL_UM)
    frame = simulate_item(settings, 0, seed=590_001).frame(0)
    inside = frame.labels("nucleus") > 0
    plane = int(inside.sum(axis=(1, 2)).argmax())
    y, x = (round(float(np.mean(one))) for one in np.nonzero(inside[plane]))
    box = np.s_[:, max(0, plane - 5) : plane + 6, max(0, y - 40) : y + 40, max(0, x - 40) : x + 40]
    stack = np.clip(np.rint(frame.channels[box]), 0, 65_535).astype(np.uint16)
    volume = Volume.from_array(stack, voxel_size_um=VOXEL_UM, quantity="intensity", channel_names=("yellow", "red"))
    # The background of a crop without any is given, as the page on channels says.
    ratio = {"background": (100.0, 100.0)}
    analysis = analyse(volume, RunSettings(modality="nile_red", channels={"ratio": ratio}))
    cells = analysis.labels["cell"].planes(0, 0) > 0
    assert cells.mean(axis=(1, 2)).max() > 0.95
    assert not [notice.code for notice in analysis.notices if notice.code == "W-IMPLAUSIBLE-FILLED"]
