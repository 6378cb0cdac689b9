"""A homogeneous sphere: what the optics must agree with, in closed form.

Its RI on a grid, its spectrum, its projected phase, and its scattered field by three theories: first Born, the exact
partial waves of the scalar wave equation (the equation that all of this package solves), and Lorenz–Mie with
polarisation. To add another body with an analytic solution, give it a file with the same functions.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from tomocyte.simulation.physics.fourier_support import angular_frequencies
from tomocyte.volume import VoxelSize

Theory = Literal["born", "scalar", "mie"]


def sphere_ri(
    shape: tuple[int, int, int],
    voxel_size_um: VoxelSize,
    *,
    radius_um: float,
    sphere_index: float,
    medium_ri: float,
    centre_um: tuple[float, float, float] | None = None,
) -> NDArray[np.float32]:
    """A sphere in a medium, its surface smoothed over one voxel.

    Parameters
    ----------
    shape : tuple of int
        Z, Y, X.
    voxel_size_um : tuple of float
        z, y, x in µm.
    radius_um, sphere_index, medium_ri : float
    centre_um : tuple of float, optional
        z, y, x from the centre of the first voxel; the middle of the volume by default.

    Returns
    -------
    ndarray (Z, Y, X), float32
    """
    centre = centre_um or tuple((size - 1) / 2 * step for size, step in zip(shape, voxel_size_um, strict=True))
    axes = [np.arange(size) * step - middle for size, step, middle in zip(shape, voxel_size_um, centre, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    distance = np.sqrt(z**2 + y**2 + x**2)
    # Width of a voxel along the outward normal.
    width = np.abs(z) * voxel_size_um[0] + np.abs(y) * voxel_size_um[1] + np.abs(x) * voxel_size_um[2]
    width /= np.maximum(distance, 1e-9)
    inside = np.clip(0.5 - (distance - radius_um) / np.maximum(width, 1e-9), 0, 1)
    return np.asarray(medium_ri + (sphere_index - medium_ri) * inside, dtype=np.float32)


def sphere_spectrum(q: NDArray[np.float64], radius_um: float) -> NDArray[np.float64]:
    """∫ exp(-i q·r) over a centred ball in µm³: 4π (sin qR - qR cos qR) / q³; q in rad/µm, any shape."""
    product = np.maximum(np.abs(q) * radius_um, 1e-4)
    return np.asarray(4 * np.pi * radius_um**3 * spherical_jn(1, product) / product)


def sphere_projection_phase(
    distance_um: NDArray[np.float64], *, radius_um: float, delta_n: float, wavelength_um: float
) -> NDArray[np.float64]:
    """Phase in rad of a straight ray at a distance from the axis: 2 k0 Δn √(R² - r²), 0 outside."""
    chord = 2 * np.sqrt(np.maximum(radius_um**2 - np.asarray(distance_um, np.float64) ** 2, 0))
    return np.asarray(2 * np.pi / wavelength_um * delta_n * chord)


def sphere_scattering_amplitude(
    cosine: NDArray[np.float64],
    *,
    radius_um: float,
    sphere_index: float,
    medium_ri: float,
    wavelength_um: float,
    theory: Theory = "scalar",
) -> NDArray[np.complex128]:
    """Amplitude f of the far field ``f exp(ikr) / r`` in µm, for waves exp(i k·r - iωt).

    Parameters
    ----------
    cosine : ndarray
        Cosine of the scattering angle.
    radius_um, sphere_index, medium_ri, wavelength_um : float
        ``wavelength_um`` in vacuum.
    theory : str
        ``born`` (first order), ``scalar`` (exact for the scalar wave equation), ``mie`` (Lorenz–Mie, mean of the two
        polarisations, which is what keeps its polarisation under unpolarised detection at small angles).

    Returns
    -------
    ndarray of the shape of ``cosine``, complex128

    References
    ----------
    Bohren & Huffman 1983, 10.1002/9783527618156, chapter 4 (a_n, b_n, S1, S2).
    """
    k = 2 * np.pi * medium_ri / wavelength_um
    if theory == "born":
        potential = (k / medium_ri) ** 2 * (sphere_index**2 - medium_ri**2)
        momentum = k * np.sqrt(np.maximum(2 - 2 * cosine, 0))
        return np.asarray(potential * sphere_spectrum(momentum, radius_um) / (4 * np.pi), dtype=np.complex128)
    size, ratio = k * radius_um, sphere_index / medium_ri
    n_waves = int(size + 4.05 * size ** (1 / 3) + 10)
    if theory == "scalar":
        return _scalar_series(np.asarray(cosine), size, ratio, n_waves) / (1j * k)
    return _mie_series(np.asarray(cosine), size, ratio, n_waves) * 1j / k


def _scalar_series(cosine: NDArray[Any], size: float, ratio: float, n_waves: int) -> NDArray[np.complex128]:
    """Σ (2l + 1) a_l P_l: value and slope continuous at the surface."""
    order = np.arange(n_waves)
    j_out, dj_out = spherical_jn(order, size), spherical_jn(order, size, derivative=True)
    j_in, dj_in = spherical_jn(order, ratio * size), spherical_jn(order, ratio * size, derivative=True)
    h = j_out + 1j * spherical_yn(order, size)
    dh = dj_out + 1j * spherical_yn(order, size, derivative=True)
    a = (dj_out * j_in - ratio * j_out * dj_in) / (ratio * h * dj_in - dh * j_in)
    total = np.zeros(cosine.shape, np.complex128)
    for wave in order:
        total += (2 * wave + 1) * a[wave] * eval_legendre(wave, cosine)
    return total


def _mie_series(cosine: NDArray[Any], size: float, ratio: float, n_waves: int) -> NDArray[np.complex128]:
    """(S1 + S2) / 2 with Riccati–Bessel functions ψ = x j, ξ = x h."""
    order = np.arange(1, n_waves)
    j_out, j_in = spherical_jn(order, size), spherical_jn(order, ratio * size)
    h = j_out + 1j * spherical_yn(order, size)
    psi, psi_in, xi = size * j_out, ratio * size * j_in, size * h
    d_psi = j_out + size * spherical_jn(order, size, derivative=True)
    d_psi_in = j_in + ratio * size * spherical_jn(order, ratio * size, derivative=True)
    d_xi = d_psi + 1j * (spherical_yn(order, size) + size * spherical_yn(order, size, derivative=True))
    a = (ratio * psi_in * d_psi - psi * d_psi_in) / (ratio * psi_in * d_xi - xi * d_psi_in)
    b = (psi_in * d_psi - ratio * psi * d_psi_in) / (psi_in * d_xi - ratio * xi * d_psi_in)
    total = np.zeros(cosine.shape, np.complex128)
    before, angular = np.zeros(cosine.shape), np.ones(cosine.shape)
    for n in order:
        tau = n * cosine * angular - (n + 1) * before
        total += (2 * n + 1) / (n * (n + 1)) * (a[n - 1] + b[n - 1]) * (angular + tau) / 2
        before, angular = angular, ((2 * n + 1) * cosine * angular - (n + 1) * before) / n
    return total


def sphere_field(
    lateral_shape: tuple[int, int],
    pixel_size_um: tuple[float, float],
    *,
    radius_um: float,
    indices: tuple[float, float],
    wavelength_um: float,
    objective_na: float,
    theory: Theory = "scalar",
) -> NDArray[np.complex128]:
    """Field of a centred sphere under normal illumination, over the incident wave, refocused to its centre plane.

    The image of a coherent microscope: outgoing waves inside the aperture, by the angular spectrum of the far field,
    ``U(k) = 2πi f(k) / kz``.

    Parameters
    ----------
    lateral_shape : tuple of int
        Y, X; the sphere sits at the middle ((Y - 1) / 2, (X - 1) / 2).
    pixel_size_um : tuple of float
        y, x in µm.
    radius_um : float
    indices : tuple of float
        Refractive index of the sphere and of the medium.
    wavelength_um, objective_na : float
    theory : str
        See :func:`sphere_scattering_amplitude`.

    Returns
    -------
    ndarray (Y, X), complex128
        1 without scattering.
    """
    k0 = 2 * np.pi / wavelength_um
    km = k0 * indices[1]
    ky = angular_frequencies(lateral_shape[0], pixel_size_um[0])[:, None]
    kx = angular_frequencies(lateral_shape[1], pixel_size_um[1])[None, :]
    transverse2 = ky**2 + kx**2
    is_passed = transverse2 <= (k0 * objective_na) ** 2
    kz = np.sqrt(np.where(is_passed, km**2 - transverse2, 1.0))
    amplitude = sphere_scattering_amplitude(
        (kz / km)[is_passed],
        radius_um=radius_um,
        sphere_index=indices[0],
        medium_ri=indices[1],
        wavelength_um=wavelength_um,
        theory=theory,
    )
    spectrum = np.zeros(lateral_shape, np.complex128)
    spectrum[is_passed] = 2j * np.pi * amplitude / kz[is_passed]
    middle_y, middle_x = ((size - 1) / 2 * step for size, step in zip(lateral_shape, pixel_size_um, strict=True))
    spectrum *= np.exp(-1j * (ky * middle_y + kx * middle_x))
    return np.asarray(1 + np.fft.ifft2(spectrum) / (pixel_size_um[0] * pixel_size_um[1]))
