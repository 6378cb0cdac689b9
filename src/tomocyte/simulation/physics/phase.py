"""Quantitative phase images of a cell: by projection, or propagated through the cell and an objective.

The signature is that of every optics here (see ``formation.py``). To add an artefact of phase images, add it to
:class:`~tomocyte.simulation.physics.degradation.QpiDegradation` and to :func:`degrade_phase`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.simulation.physics.degradation import QpiDegradation
from tomocyte.simulation.physics.formation import check_ri
from tomocyte.simulation.physics.fourier_support import angular_frequencies
from tomocyte.simulation.physics.multi_slice import propagate
from tomocyte.simulation.physics.optics import QpiInstrument, check_qpi
from tomocyte.volume import VoxelSize


def simulate_qpi(
    ri: NDArray[Any],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: QpiInstrument,
    degradation: QpiDegradation,
    rng: np.random.Generator,
    method: Literal["propagation", "projection"] = "propagation",
) -> NDArray[np.float32]:
    """The phase image of a simulated cell that a microscope would measure.

    Parameters
    ----------
    ri : ndarray (Z, Y, X), float
        True refractive index.
    medium_ri : float
    voxel_size_um : tuple of float
        z, y, x in µm; y and x are the pixels of the image.
    instrument : QpiInstrument
    degradation : QpiDegradation
    rng : numpy Generator
    method : str
        ``propagation`` (multi-slice, low-passed by the objective) or ``projection`` (straight rays, no objective).

    Returns
    -------
    ndarray (Y, X), float32
        Phase in rad, unwrapped, 0 in the medium.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``, ``E-RI``, ``E-MODEL``.

    Examples
    --------
    >>> from tomocyte.simulation.physics.degradation import NO_QPI_DEGRADATION
    >>> slab = np.full((8, 16, 20), 1.347, np.float32)
    >>> phase = simulate_qpi(slab, 1.337, voxel_size_um=(0.5, 0.4, 0.3), instrument=QpiInstrument(),
    ...                      degradation=NO_QPI_DEGRADATION, rng=np.random.default_rng(1), method="projection")
    >>> round(float(phase[0, 0]), 4)
    0.3867
    """
    check_qpi(instrument, medium_ri, voxel_size_um)
    check_ri(ri)
    if method not in ("propagation", "projection"):
        raise SettingsError("E-MODEL", f"unknown method {method!r}.", cure="Known: propagation, projection.")
    phase = project_phase(ri, medium_ri, voxel_z_um=voxel_size_um[0], wavelength_um=instrument.wavelength_um)
    if method == "propagation":
        field = propagate(
            ri,
            medium_ri,
            voxel_size_um=voxel_size_um,
            k_in=np.array([instrument.wavenumber_per_um * medium_ri, 0.0, 0.0]),
            wavelength_um=instrument.wavelength_um,
            objective_na=instrument.objective_na,
        )
        # The projection decides the multiple of 2 pi: the two phases differ by far less than pi.
        phase = phase + np.angle(field * np.exp(-1j * phase))
    degraded = degrade_phase(phase, voxel_size_um[1:], instrument=instrument, degradation=degradation, rng=rng)
    return degraded.astype(np.float32)


def project_phase(
    ri: NDArray[Any], medium_ri: float, *, voxel_z_um: float, wavelength_um: float
) -> NDArray[np.float64]:
    """Phase (Y, X) in rad of straight rays along z: k0 ∫ (n - n0) dz, summed in float64."""
    thickness = np.sum(ri, axis=0, dtype=np.float64) - medium_ri * ri.shape[0]
    return np.asarray(2 * np.pi / wavelength_um * voxel_z_um * thickness)


def dry_mass_density(
    phase: NDArray[Any], *, wavelength_um: float, refraction_increment_ml_per_g: float = 0.19
) -> NDArray[np.float32]:
    """Dry mass per area in pg/µm² of a phase image: φ λ / (2π α).

    Parameters
    ----------
    phase : ndarray, float
        In rad.
    wavelength_um : float
        In vacuum.
    refraction_increment_ml_per_g : float
        α, mL/g, which is µm³/pg.

    References
    ----------
    Barer 1952, 10.1038/169366b0; Popescu et al. 2008, 10.1152/ajpcell.00121.2008.
    """
    scale = wavelength_um / (2 * np.pi * refraction_increment_ml_per_g)
    return np.asarray(np.asarray(phase, np.float64) * scale, dtype=np.float32)


def degrade_phase(
    phase: NDArray[np.float64],
    pixel_size_um: tuple[float, float],
    *,
    instrument: QpiInstrument,
    degradation: QpiDegradation,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The phase image (Y, X) with fringes, slow background and shot noise; all in rad."""
    ky = angular_frequencies(phase.shape[0], pixel_size_um[0])[:, None]
    kx = angular_frequencies(phase.shape[1], pixel_size_um[1])[None, :]
    degraded = phase.copy()
    y = np.arange(phase.shape[0])[:, None] * pixel_size_um[0]
    x = np.arange(phase.shape[1])[None, :] * pixel_size_um[1]
    for _ in range(degradation.n_fringes):
        # Parasitic beams are coherent with the light, so their fringes lie inside the aperture.
        size = instrument.wavenumber_per_um * instrument.objective_na * rng.uniform(0.05, 1.0)
        azimuth, offset = rng.uniform(0, 2 * np.pi, 2)
        carrier = size * (np.sin(azimuth) * y + np.cos(azimuth) * x) + offset
        degraded += degradation.fringe_rad_amplitude * rng.uniform(0.3, 1.0) * np.cos(carrier)
    if degradation.background_rad_std > 0:
        white = scipy.fft.fft2(rng.standard_normal(phase.shape))
        reach = max(
            2 * np.pi / degradation.background_length_um,
            1.01 * 2 * np.pi / max(size * step for size, step in zip(phase.shape, pixel_size_um, strict=True)),
        )
        is_slow = (np.hypot(ky, kx) <= reach) & (np.hypot(ky, kx) > 0)
        slow = scipy.fft.ifft2(white * is_slow).real
        degraded += degradation.background_rad_std * slow / np.sqrt(np.mean(slow**2))
    if degradation.noise_rad_std > 0:
        degraded += degradation.noise_rad_std * rng.standard_normal(phase.shape)
    return degraded
