"""The organelle model that ships, on fields whose truth is known and on inputs it cannot know; all simulated."""

from __future__ import annotations

import csv
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.errors import ModalityError
from tomocyte.formats import read_volume
from tomocyte.pipeline import Analysis, analyse
from tomocyte.pipeline.settings import RunSettings
from tomocyte.runs.samples import get_sample
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.volume import Volume, VoxelSize

SIZE_UM = (0.39, 0.195, 0.195)
MEDIUM_RI = 1.336


def tomogram(ri: NDArray[np.float32], size_um: VoxelSize = SIZE_UM) -> Volume:
    return Volume.from_array(
        ri.astype(np.float32), voxel_size_um=size_um, quantity="refractive_index", unit="1", medium_ri=MEDIUM_RI
    )


@lru_cache(maxsize=1)
def field() -> tuple[NDArray[np.float32], dict[str, NDArray[np.uint32]], float]:
    """A simulated field of two HeLa cells: image, labels, medium. Its seed is in no training data."""
    settings = DatasetSettings(preset="HeLa", shape=(64, 144, 160), n_cells=(2, 2))
    item = simulate_item(settings, 0, seed=990_001)
    frame = item.frame(0)
    labels = {name: frame.labels(name) for name in ("cell", "nucleus", "nucleolus", "lipid_droplet")}
    return frame.measured, labels, frame.truth.medium_ri


def found_in(ri: NDArray[np.float32], size_um: VoxelSize = SIZE_UM, medium_ri: float = MEDIUM_RI) -> Analysis:
    volume = tomogram(ri, size_um).with_properties(medium_ri=medium_ri)
    return analyse(volume, RunSettings(modality="odt", inference={"engine": "torch"}))


def labels_of(analysis: Analysis, structure: str) -> NDArray[np.uint32]:
    return np.asarray(analysis.labels[structure].planes(0, 0))


def dice(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    return 2 * np.count_nonzero(truth & found) / (np.count_nonzero(truth) + np.count_nonzero(found))


@lru_cache(maxsize=1)
def analysed() -> Analysis:
    image, _, medium = field()
    return found_in(image, medium_ri=medium)


@pytest.mark.parametrize(
    ("structure", "least"), [("cell", 0.93), ("nucleus", 0.75), ("nucleolus", 0.6), ("lipid_droplet", 0.6)]
)
def test_an_unseen_field(structure: str, least: float) -> None:
    truth = field()[1][structure] > 0
    assert dice(truth, labels_of(analysed(), structure) > 0) > least


def test_every_object_says_how_sure_it_is() -> None:
    table = analysed().table
    cells = table[table["structure"] == "cell"]
    assert len(cells) == 2
    assert set(analysed().table["structure"]) >= {"cell", "nucleus", "nucleolus", "lipid_droplet"}
    is_rest = table["structure"] == "cytoplasm"  # what the others leave of a cell; the network does not mark it
    assert table.loc[~is_rest, "confidence"].between(0, 1).all()
    assert table.loc[is_rest, "confidence"].isna().all()
    assert (cells["volume_um3_low"] < cells["volume_um3"]).all()
    assert (cells["volume_um3"] < cells["volume_um3_high"]).all()
    assert analysed().facts["model"] == "odt-organelles"
    assert analysed().facts["cells"]["name"] == "odt-cells"
    assert any(warning.startswith("W-MODEL-SIMULATED") for warning in analysed().warnings)


def test_voxels_eight_times_as_long_along_z() -> None:
    """Pixels of a quarter, 0.39 x 0.049 x 0.049 µm: the same cells."""
    image, labels, medium = field()
    window = (slice(None), slice(0, 96), slice(0, 96))
    fine = image[window].repeat(4, axis=1).repeat(4, axis=2)
    analysis = found_in(fine, (0.39, 0.04875, 0.04875), medium)
    truth = (labels["cell"][window] > 0).repeat(4, axis=1).repeat(4, axis=2)
    assert analysis.facts["model"] == "odt-organelles"
    assert dice(truth, labels_of(analysis, "cell") > 0) > 0.9


def test_planes_too_far_apart_are_left_to_the_classical_engine() -> None:
    """Planes averaged in fours, 1.56 µm: four times what the model knows."""
    image, _, medium = field()
    coarse = image.reshape(16, 4, *image.shape[1:]).mean(axis=1)
    analysis = found_in(coarse, (1.56, 0.195, 0.195), medium)
    assert analysis.facts["model"] == "classical"
    assert any(warning.startswith("W-MODEL-AUTO") and "voxel size z" in warning for warning in analysis.warnings)
    assert (analysis.table["structure"] == "cell").any()


def test_cells_cut_by_the_border_are_flagged() -> None:
    image, labels, medium = field()
    widest = int(np.argmax((labels["cell"] > 0).sum(axis=(0, 2))))
    half = np.ascontiguousarray(image[:, widest:])
    table = found_in(half, medium_ri=medium).table
    cells = table[table["structure"] == "cell"]
    assert len(cells)
    assert cells["flags"].str.contains("touches-border").any()
    assert cells["is_cut"].any()


def test_an_empty_field_has_no_object_and_says_so() -> None:
    noise = np.random.default_rng(1).normal(MEDIUM_RI, 2e-4, (64, 96, 128)).astype(np.float32)
    analysis = found_in(noise)
    assert len(analysis.table) == 0
    assert any(warning.startswith("W-NO-OBJECT") for warning in analysis.warnings)


def test_a_body_without_a_nucleus_is_a_cell_that_says_so() -> None:
    """A smooth ball of 5 µm radius, Δn 0.02: whatever the network makes of it, the ball is not lost."""
    z, y, x = (((np.arange(n) - n / 2) * size) ** 2 for n, size in zip((64, 96, 112), SIZE_UM, strict=True))
    inside = z[:, None, None] + y[:, None] + x < 25
    analysis = found_in(np.where(inside, MEDIUM_RI + 0.02, MEDIUM_RI))
    cells = analysis.table[analysis.table["structure"] == "cell"]
    assert len(cells) == 1
    assert cells["volume_um3"].item() == pytest.approx(4 / 3 * math.pi * 125, rel=0.1)
    n_nuclei = (analysis.table["structure"] == "nucleus").sum()
    assert ("no-nucleus" in cells["flags"].item()) == (n_nuclei == 0)


def test_a_single_plane_falls_to_the_classical_engine_and_says_so() -> None:
    image, _, medium = field()
    plane = Volume.from_array(
        image[32:33],
        voxel_size_um=(math.nan, *SIZE_UM[1:]),
        quantity="refractive_index",
        unit="1",
        medium_ri=medium,
    )
    analysis = analyse(plane, RunSettings(modality="odt"))
    assert analysis.facts["model"] == "classical"
    assert any(warning.startswith("W-MODEL-AUTO") for warning in analysis.warnings)
    assert (analysis.table["structure"] == "cell").any()
    with pytest.raises(ModalityError, match="E-MODEL-FIT"):
        analyse(plane, RunSettings(modality="odt", model="odt-organelles"))


def test_values_that_are_no_refractive_index_are_refused() -> None:
    with pytest.raises(ModalityError, match="E-MODALITY-RANGE"):
        found_in(field()[0] * 10_000)


def test_the_sample_of_the_demo_is_of_the_kind_that_the_models_know(tmp_path: Path) -> None:
    """No warning that the first thing a new user sees is unusual; its five cells are counted in the truth table."""
    tomogram_path, truth_path = get_sample("simulated-odt", tmp_path)
    with truth_path.open(encoding="utf-8") as file:
        n_true = sum(row["structure"] == "cell" for row in csv.DictReader(file))
    done = analyse(read_volume(tomogram_path), RunSettings(modality="odt", inference={"engine": "torch"}))
    assert not any(warning.startswith("W-MODEL-DOMAIN") for warning in done.warnings)
    assert done.facts["domain"][0]["distance"] > 0  # it was compared
    assert np.unique(labels_of(done, "cell")).size - 1 == n_true == 5
