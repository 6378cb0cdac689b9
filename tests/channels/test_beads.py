"""Widths of drawn beads, known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from tests.channels.fields import SIZE_UM, drawn

from tomocyte.channels.beads import bead_widths
from tomocyte.errors import InputError


def test_widths_are_those_that_were_drawn() -> None:
    """Spots of sigma 1.2 planes and 2.2 pixels: full widths of 2.3548 times that."""
    rng = np.random.default_rng(0)
    places = np.array([[12 + 0.3 * k, 40 + 45 * (k % 3), 40 + 45 * (k // 3)] for k in range(9)]).T + 0.25
    image = rng.poisson(drawn((26, 180, 180), places, np.full(9, 2000.0)) + 100)
    beads = bead_widths(image, SIZE_UM)
    assert len(beads.fwhm_um) == 9
    expected = 2.3548 * np.array([1.2, 2.2, 2.2]) * SIZE_UM
    np.testing.assert_allclose(beads.median_um, expected, rtol=0.03)
    nearest = np.sort(beads.centres_um[:, 1] / SIZE_UM[1])
    np.testing.assert_allclose(nearest, np.sort(places[1]), atol=0.1)


def test_two_beads_beside_each_other_do_not_count_and_noise_has_none() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="E-BEADS-FEW: 0 single beads"):
        bead_widths(rng.poisson(100, (1, 120, 120)), (float("nan"), 0.1, 0.1))
