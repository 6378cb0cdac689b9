"""Tomographs: what an item draws stays in its ranges."""

import numpy as np
import pytest

from tomocyte.simulation.instruments.odt import INSTRUMENT, RANGES
from tomocyte.simulation.physics.optics import OdtInstrument


@pytest.mark.parametrize("shift", ["none", "mild", "strong"])
def test_drawn_degradation_stays_in_its_ranges(shift):
    rng = np.random.default_rng(10)
    ranges = RANGES[shift]
    for _ in range(50):
        instrument, degradation = INSTRUMENT.draw(OdtInstrument(), ranges, rng)
        low, high = ranges.noise_ri_std
        assert low * 0.999 <= degradation.noise_ri_std <= high * 1.001
        assert ranges.drift_um[0] - 1e-9 <= np.linalg.norm(degradation.drift_um) <= ranges.drift_um[1] + 1e-9
        assert ranges.n_iterations[0] <= degradation.n_iterations <= ranges.n_iterations[1]
        fraction = instrument.n_azimuths / 48
        assert ranges.azimuth_fraction[0] - 0.011 <= fraction <= ranges.azimuth_fraction[1] + 0.011


def test_projections_of_a_turned_cell_are_thinned_and_its_beams_are_not():
    """Half to all of 140 projections; a rotating sample has one beam."""
    rng = np.random.default_rng(4)
    drawn = [INSTRUMENT.draw(INSTRUMENT.variant("HL60-rotation"), RANGES["none"], rng).instrument for _ in range(20)]
    assert all(70 <= entry.n_rotations <= 140 and entry.n_azimuths == 48 for entry in drawn)
    assert len({entry.n_rotations for entry in drawn}) > 5
