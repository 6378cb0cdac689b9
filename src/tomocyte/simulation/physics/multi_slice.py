"""Light through a thick cell, slice by slice: the multi-slice beam propagation method.

The illuminating plane wave is divided out, so that what is propagated is smooth and periodic for any tilt. To add
another forward model (multi-layer Born, say), add a function with the signature of :func:`propagate`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tomocyte.simulation.physics.fourier_support import angular_frequencies
from tomocyte.volume import VoxelSize

Shape2 = tuple[int, int]
SMALLEST_AXIAL_FRACTION = 0.2
"""Below this kz / km the factor 1 / kz of scattering is held, for no objective collects such waves."""


def axial_phase_rates(
    lateral_shape: Shape2, pixel_size_um: tuple[float, float], k_in: NDArray[np.float64], km: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """kz - kz_in in rad/µm and transverse wave vector squared, (Y, X), for waves relative to the illumination.

    Evanescent waves get the rate of kz = 0.
    """
    ky = angular_frequencies(lateral_shape[0], pixel_size_um[0])[:, None] + k_in[1]
    kx = angular_frequencies(lateral_shape[1], pixel_size_um[1])[None, :] + k_in[2]
    transverse2 = ky**2 + kx**2
    return np.sqrt(np.maximum(km**2 - transverse2, 0)) - k_in[0], transverse2


def propagate(
    ri: NDArray[Any],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    k_in: NDArray[np.float64],
    wavelength_um: float,
    objective_na: float,
    defocus_um: float = 0.0,
) -> NDArray[np.complex64]:
    """The field behind a cell, over the illuminating plane wave, as a microscope focused on the middle plane records
    it.

    Parameters
    ----------
    ri : ndarray (Z, Y, X), float
        Refractive index; light comes from plane 0.
    medium_ri : float
    voxel_size_um : tuple of float
        z, y, x in µm.
    k_in : ndarray (3,), float64
        kz, ky, kx of the illumination inside the medium, rad/µm.
    wavelength_um, objective_na : float
    defocus_um : float
        Focus plane above the middle of the volume.

    Returns
    -------
    ndarray (Y, X), complex64
        1 without scattering.

    References
    ----------
    Kamilov et al. 2015, 10.1364/OPTICA.2.000517. Here a slice's phase is that of a slab under the illumination's
    angle, and what it scatters carries the factor kz_in / kz_out of the wave equation, as in multi-layer Born (Chen
    et al. 2020, 10.1364/OPTICA.383030): to first order the result is the Born field at any angle, not only near the
    axis.
    """
    k0 = 2 * np.pi / wavelength_um
    km = k0 * medium_ri
    n_planes, step = ri.shape[0], voxel_size_um[0]
    rate, transverse2 = axial_phase_rates((ri.shape[1], ri.shape[2]), voxel_size_um[1:], k_in, km)
    one_step = np.where(transverse2 < km**2, np.exp(1j * rate * step), 0).astype(np.complex64)
    obliquity = (k_in[0] / np.maximum(rate + k_in[0], SMALLEST_AXIAL_FRACTION * km)).astype(np.complex64)
    in_plane2 = k_in[1] ** 2 + k_in[2] ** 2
    spectrum = np.zeros(ri.shape[1:], np.complex64)
    spectrum[0, 0] = spectrum.size
    is_scattered = False
    for plane in range(n_planes):
        if is_scattered:
            spectrum *= one_step
        contrast = np.asarray(ri[plane], np.float64)
        if np.any(np.abs(contrast - medium_ri) > 1e-7):
            is_scattered = True
            phase = step * (np.sqrt((k0 * contrast) ** 2 - in_plane2) - k_in[0])
            source = scipy.fft.ifft2(spectrum) * np.expm1(1j * phase).astype(np.complex64)
            spectrum += scipy.fft.fft2(source, overwrite_x=True) * obliquity
    back = -(n_planes - 1) / 2 * step + defocus_um
    pupil = np.where(transverse2 <= (k0 * objective_na) ** 2 * (1 + 1e-9), np.exp(1j * rate * back), 0)
    return np.asarray(scipy.fft.ifft2(spectrum * pupil.astype(np.complex64)), dtype=np.complex64)
