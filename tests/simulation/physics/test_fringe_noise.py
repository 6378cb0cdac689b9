"""Added fringes: their amplitude, their frequencies, and nothing where none are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments.odt import VARIANTS as TOMOGRAPHS
from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.fringe_noise import add_fringes
from tomocyte.simulation.physics.optics import band_limit_per_um
from tomocyte.volume import VoxelSize

SIZE: VoxelSize = (0.3, 0.1, 0.09)
SHAPE = (24, 50, 60)


def difference(n_fringes: int, amplitude: float, seed: int = 1) -> np.ndarray:
    image = np.random.default_rng(0).uniform(1.34, 1.38, SHAPE).astype(np.float32)
    settings = OdtDegradation(n_fringes=n_fringes, fringe_ri_amplitude=amplitude)
    instrument, rng = TOMOGRAPHS["HT-2H"], np.random.default_rng(seed)
    made = add_fringes(image, 1.337, voxel_size_um=SIZE, instrument=instrument, degradation=settings, rng=rng)
    assert made.dtype == np.float32
    return made.astype(np.float64) - image


@pytest.mark.parametrize("amplitude", [5e-4, 3e-3])
def test_one_system_reaches_towards_its_amplitude_and_not_beyond(amplitude: float) -> None:
    added = difference(1, amplitude)
    assert np.abs(added).max() <= amplitude * 1.001 + 2e-7
    assert np.abs(added).max() > amplitude / 5
    assert abs(added.mean()) < amplitude / 1e3


def test_amplitude_scales_the_same_pattern() -> None:
    small, large = difference(3, 1e-3), difference(3, 2e-3)
    assert np.abs(2 * small - large).max() < 1e-6
    assert np.abs(difference(3, 1e-3, seed=2) - small).max() > 1e-4


def test_frequencies_lie_within_the_instruments_band() -> None:
    power = np.abs(np.fft.fftn(difference(6, 3e-3))) ** 2
    limits = band_limit_per_um(TOMOGRAPHS["HT-2H"], 1.337)
    axes = [2 * np.pi * np.abs(np.fft.fftfreq(n, step)) for n, step in zip(SHAPE, SIZE, strict=True)]
    for axis, (frequency, limit) in enumerate(zip(axes, limits, strict=True)):
        profile = power.sum(axis=tuple({0, 1, 2} - {axis}))
        step = frequency[1]
        assert step < limit < frequency.max()
        assert profile[frequency > limit + 1.5 * step].sum() < 1e-4 * profile.sum()


def test_none_changes_nothing_and_wrong_values_are_refused() -> None:
    assert not difference(0, 1e-3).any()
    assert not difference(4, 0.0).any()
    settings = OdtDegradation(n_fringes=1)
    with pytest.raises(SettingsError, match="E-RI"):
        add_fringes(
            np.full(SHAPE, 13370, np.float32),
            1.337,
            voxel_size_um=SIZE,
            instrument=TOMOGRAPHS["HT-2H"],
            degradation=settings,
            rng=np.random.default_rng(0),
        )
