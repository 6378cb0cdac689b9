"""Soft X-ray microscopes: what a data set gets by itself, and what its samples absorb."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.ndimage import binary_erosion

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import Conditions, Optics, View
from tomocyte.simulation.instruments.sxt import INSTRUMENT, RANGES, AbsorptionRanges, absorbing, cell_absorption
from tomocyte.simulation.physics.soft_xray import NO_SXT_DEGRADATION

SMALL = {"shape": (44, 88, 88), "voxel_size_um": (0.172, 0.172, 0.172), "n_cells": (1, 1)}


@pytest.fixture(scope="module")
def item():
    capillary = {"n_beads": (1, 1), "bead_radius_um": (1.5, 1.5), "inner_radius_um": (5.5, 5.5), "wall_um": (0.4, 0.4)}
    settings = {"modality": "sxt", **SMALL, "scene": {"capillary": capillary}}
    return simulate_item(DatasetSettings.model_validate(settings), 0, seed=8)


@pytest.mark.parametrize("shift", ["none", "mild", "strong"])
def test_what_is_drawn_stays_in_its_ranges(shift):
    rng, ranges = np.random.default_rng(3), RANGES[shift]
    for _ in range(20):
        microscope, state = INSTRUMENT.draw(INSTRUMENT.variant(), ranges, rng)
        assert microscope.n_projections == 92
        for name in type(ranges).model_fields:
            if name != "absorption":
                low, high = getattr(ranges, name)
                assert low * 0.999 - 1e-12 <= abs(getattr(state.degradation, name)) * np.sign(high) <= high * 1.001
        for name in ("water", "glass", "bead"):
            low, high = getattr(ranges.absorption, name)
            assert low <= getattr(state, f"{name}_per_um") <= high


def test_coefficients_of_pure_substances_hold_those_of_the_tables():
    """Chantler's tables at 517 eV: ice 0.111, polystyrene 1.202, fused silica 0.962 per µm."""
    ranges = AbsorptionRanges()
    for name, value in (("water", 0.111), ("bead", 1.202), ("glass", 0.962)):
        low, high = getattr(ranges, name)
        assert low < value < high
    assert max(ranges.lipid_droplet) < 0.896  # triolein; droplets hold water and protein too


def test_order_of_a_cells_coefficients():
    """What any SXT paper shows: ice < cytosol < mitochondria < lipid; chromatin's rim and nucleoli over nucleoplasm."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        value = {name: mean for name, (mean, _) in cell_absorption(AbsorptionRanges(), rng).items()}
        assert 0.12 < value["cytosol"] < value["mitochondrion"] < value["lipid_droplet"]
        assert value["nucleoplasm"] < min(value["nuclear_membrane"], value["nucleolus"])


def test_a_data_set_is_a_capillary_of_t_cells_unless_it_says_otherwise():
    plain = DatasetSettings.model_validate({"modality": "sxt"})
    assert plain.preset == "T cell"
    assert plain.shape == (176, 176, 176)
    assert plain.scene.capillary is not None
    assert DatasetSettings.model_validate(plain.model_dump(mode="json")) == plain
    shifted = DatasetSettings(modality="sxt", preset="BV-2", scene=SceneSettings(shift="mild"))
    assert (shifted.preset, shifted.scene.shift) == ("BV-2", "mild")
    assert shifted.scene.capillary is not None
    assert DatasetSettings(modality="sxt", scene=SceneSettings(capillary=None)).scene.capillary is None
    assert DatasetSettings(modality="sxt", instrument="flat-holder").scene.capillary is None
    assert DatasetSettings().scene.capillary is None


def test_a_cell_line_is_known_by_its_other_spellings():
    plain, other = (DatasetSettings.model_validate({"modality": "sxt", "preset": name}) for name in ("Huh-7", "huh7"))
    assert plain.scene == other.scene
    assert plain.scene.capillary.inner_radius_um[0] > 9


def test_what_has_no_part_in_a_capillary_is_refused():
    with pytest.raises(ValidationError, match="floor_um, border_overhang has no part in a capillary"):
        DatasetSettings.model_validate({"modality": "sxt", "scene": {"floor_um": 1.0, "border_overhang": 0.0}})
    flat = {"modality": "sxt", "instrument": "flat-holder", "scene": {"floor_um": 1.0}}
    assert DatasetSettings.model_validate(flat).scene.floor_um == 1.0


def test_frozen_cells_do_not_move():
    settings = DatasetSettings.model_validate({"modality": "sxt", "n_frames": 2})
    with pytest.raises(SettingsError, match="frozen"):
        simulate_item(settings, 0, seed=1)


def test_the_table_has_the_mean_absorption_of_the_voxels(item):
    """Means over the voxels of cell and nucleus, to 3 %; bead and glass, whose rims voxels share, as drawn."""
    table = item.truth().set_index("structure")
    truth = item.frame(0).truth
    for name in ("cell", "nucleus"):
        is_object = truth.labels[name] == 1
        assert table.loc[[name], "mean_lac_per_um"].iloc[0] == pytest.approx(truth.ri[is_object].mean(), rel=0.03)
    for name in ("bead", "capillary"):
        drawn = {"bead": item.optics.degradation.bead_per_um, "capillary": item.optics.degradation.glass_per_um}[name]
        assert table.loc[[name], "mean_lac_per_um"].iloc[0] == pytest.approx(drawn)


def test_true_absorption_of_a_field(item):
    """Ice in the lumen, the drawn coefficients in bead and glass, nothing beyond the glass."""
    truth = item.frame(0).truth
    state = item.optics.degradation
    is_bead = truth.labels["bead"] > 0
    assert np.median(truth.ri[is_bead]) == pytest.approx(state.bead_per_um, abs=1e-5)
    assert truth.ri[truth.labels["capillary"] > 0].max() == pytest.approx(state.glass_per_um, abs=1e-5)
    assert truth.ri[:, 0, 0].max() == 0
    is_lumen = (truth.labels["extracellular"] > 0) & (truth.ri > 0) & ~is_bead
    assert np.median(truth.ri[is_lumen]) == pytest.approx(state.water_per_um, abs=1e-5)
    cytosol = np.mean(truth.ri[truth.labels["cytosol"] > 0])
    assert state.absorption.cytosol[0] - 0.02 < cytosol < state.absorption.cytosol[1] + 0.02


def test_a_cells_coefficients_do_not_depend_on_its_neighbours(item):
    """They follow from the seed and the cell's label alone, so that a table and a picture agree."""
    first = absorbing(item.scenes[0], item.optics)
    again = absorbing(item.scenes[0], item.optics)
    assert [part.ri for part in first.parts()] == [part.ri for part in again.parts()]
    assert first.capillary.outside_ri == 0


def test_tomogram_without_errors_holds_the_true_bead(item):
    """The mean deep inside a whole bead of 3 µm, to 10 %: stray light from beside it makes so dark a thing lighter."""
    frame = item.frame(0)
    state = item.optics.degradation.model_copy(update={"degradation": NO_SXT_DEGRADATION})
    optics = Optics(item.optics.instrument, state)
    tomogram = INSTRUMENT.measure(View(item.scenes[0], frame.truth), optics, Conditions(), np.random.default_rng(0))[0]
    bead = item.truth().query("structure == 'bead'").iloc[0]
    assert not bead["is_cut"]
    core = binary_erosion(frame.truth.labels["bead"] > 0, iterations=2)
    assert_allclose(tomogram[core].mean(), state.bead_per_um, rtol=0.1)
    assert tomogram[core].mean() < state.bead_per_um
    assert tomogram.shape == (44, 88, 88)


def test_a_flat_holder_has_neither_glass_nor_beads_but_a_missing_wedge():
    """Ice all around; what stands across z is told less well than across x: the same cell, coarse, without errors."""
    settings = {
        "modality": "sxt", "instrument": "flat-holder", "shape": (32, 64, 64), "voxel_size_um": (0.34, 0.34, 0.34)
    }  # fmt: skip
    flat = simulate_item(DatasetSettings.model_validate(settings), 0, seed=2)
    frame = flat.frame(0)
    assert not frame.labels("bead").any()
    assert not frame.labels("capillary").any()
    assert frame.labels("cell").any()
    assert frame.truth.ri.min() == pytest.approx(flat.optics.degradation.water_per_um, abs=1e-6)
    state = flat.optics.degradation.model_copy(update={"degradation": NO_SXT_DEGRADATION})
    tomogram = INSTRUMENT.measure(
        View(flat.scenes[0], frame.truth), Optics(flat.optics.instrument, state), Conditions(), np.random.default_rng(0)
    )[0]
    spectrum = np.abs(np.fft.fftn(tomogram - tomogram.mean())) ** 2
    true = np.abs(np.fft.fftn(frame.truth.ri - frame.truth.ri.mean())) ** 2
    along_z, along_x = (spectrum[cut].sum() / true[cut].sum() for cut in ((slice(2, 6), 0, 0), (0, 0, slice(2, 6))))
    assert along_z < 0.5 * along_x


def test_glass_out_of_view_is_still_in_the_way():
    """A capillary just wider than the camera: what the camera sees of the lumen keeps its coefficient.

    Without the glass beside the field that the X-rays go through it would come out far too low.
    """
    scene = {
        "capillary": {
            "inner_radius_um": (7.6, 7.6),
            "offset_um": (0, 0),
            "tilt_deg": (0, 0),
            "taper": (0, 0),
            "wall_um": (0.4, 0.4),
            "n_beads": (0, 0),
        },
        "n_debris": (0, 0),
    }
    wide = simulate_item(DatasetSettings.model_validate({"modality": "sxt", **SMALL, "scene": scene}), 0, seed=1)
    frame = wide.frame(0)
    assert frame.measured.shape == (44, 88, 88)
    assert (frame.truth.labels["capillary"][:, 44] > 0).sum() == 0
    is_lumen = frame.truth.labels["extracellular"] > 0
    centre = np.zeros_like(is_lumen)
    centre[:, 24:64, 24:64] = True
    assert np.mean(frame.measured[is_lumen & centre]) == pytest.approx(wide.optics.degradation.water_per_um, rel=0.4)
