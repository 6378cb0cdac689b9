"""Widths of drawn beads, known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.channels.fields import SIZE_UM, drawn
from typer.testing import CliRunner

from tomocyte.channels.beads import bead_widths
from tomocyte.channels.registration_file import load_registration
from tomocyte.cli import app
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.volume import Volume


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


def test_the_command_prints_widths_and_shift(tmp_path: Path) -> None:
    places = np.array([[0.0, 30 + 45 * (k % 3), 30 + 45 * (k // 3)] for k in range(9)]).T
    rng = np.random.default_rng(0)
    shifted = places + np.array([[0.0], [0.0], [2.0]])
    channels = [rng.poisson(drawn((1, 150, 160), one, np.full(9, 2000.0)) + 100) for one in (places, shifted)]
    image = np.stack(channels).astype(np.uint16)
    size = (float("nan"), *SIZE_UM[1:])
    volume = Volume.from_array(image, voxel_size_um=size, quantity="intensity", channel_names=("yellow", "red"))
    write_volume(tmp_path / "beads.ome.tif", volume)
    words = ["register", str(tmp_path / "beads.ome.tif"), "-o", str(tmp_path / "r.yaml"), "--beads"]
    typed = CliRunner().invoke(app, words)
    assert typed.exit_code == 0, typed.output
    assert "red: 9 beads, full width at half maximum -, 0.34" in typed.output  # 2.3548 * 2.2 * 0.0668 = 0.346
    shift = load_registration(tmp_path / "r.yaml").channels["red"].transform.translation_um
    assert shift == pytest.approx((0, 0, 2 * 0.0668), abs=0.007)
