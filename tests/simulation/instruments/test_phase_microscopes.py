"""Phase microscopes: what an item draws stays in its ranges."""

import numpy as np
import pytest

from tomocyte.simulation.instruments.qpi import INSTRUMENT, RANGES


@pytest.mark.parametrize("shift", ["none", "mild", "strong"])
def test_drawn_degradation_stays_in_its_ranges(shift):
    rng, ranges = np.random.default_rng(3), RANGES[shift]
    for _ in range(20):
        microscope, drawn = INSTRUMENT.draw(INSTRUMENT.variant(), ranges, rng)
        assert microscope.name == "HT-2H-2D"
        for name in ("noise_rad_std", "fringe_rad_amplitude", "background_rad_std", "background_length_um"):
            low, high = getattr(ranges, name)
            assert low * 0.999 <= getattr(drawn, name) <= high * 1.001
        assert ranges.n_fringes[0] <= drawn.n_fringes <= ranges.n_fringes[1]
