"""Noise of a tomogram, made where it arises: at the measured frequencies.

Photon noise is white in every recorded field, so it falls with the root of how many fields know a frequency. Fringes
and the slow background are errors of the fields too, and so never appear in the missing cone. To add an artefact,
write a function that returns its spectrum at the measured frequencies and add it in :func:`degrade_spectrum`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.fourier_support import angular_frequencies
from tomocyte.simulation.physics.reconstruction import Transform
from tomocyte.volume import VoxelSize

Shape3 = tuple[int, int, int]
Spectrum = NDArray[np.complex64]
PACKET_WIDTH_PER_UM = 0.5
"""Spread of a fringe system's frequencies in rad/µm: packets some 10 µm long."""


def degrade_spectrum(
    measured: Spectrum,
    coverage: NDArray[np.float32],
    is_measured: NDArray[np.bool_],
    *,
    shape: Shape3,
    voxel_size_um: VoxelSize,
    degradation: OdtDegradation,
    rng: np.random.Generator,
    transform: Transform,
) -> Spectrum:
    """The measured spectrum with drift, blur, shot noise, fringes and slow background.

    Parameters
    ----------
    measured : ndarray (M,), complex64
        Spectrum of the scaled potential at the measured frequencies.
    coverage, is_measured : ndarray (Z, Y, X // 2 + 1)
    shape, voxel_size_um : tuple
        Of the volume: Z, Y, X and z, y, x in µm.
    degradation : OdtDegradation
    rng : numpy Generator
    transform : Transform
        Where FFTs run.

    Returns
    -------
    ndarray (M,), complex64
    """
    degraded = measured
    if any(degradation.drift_um):
        degraded = degraded * motion_transfer(shape, voxel_size_um, degradation.drift_um)[is_measured]
    if degradation.blur_um > 0 or degradation.skirt_share > 0:
        degraded = degraded * blur_transfer(shape, voxel_size_um, degradation)[is_measured]
    if degradation.noise_ri_std > 0:
        degraded = degraded + shot_noise(coverage, is_measured, degradation.noise_ri_std, shape, rng, transform)
    if degradation.n_fringes > 0 and degradation.fringe_ri_amplitude > 0:
        degraded = degraded + fringes(is_measured, degradation, shape, voxel_size_um, rng)
    if degradation.background_ri_std > 0:
        slow = slow_background(
            shape, voxel_size_um, degradation.background_ri_std, degradation.background_length_um, rng
        )
        degraded = degraded + slow[is_measured]
    return degraded.astype(np.complex64, copy=False)


def motion_transfer(
    shape: Shape3, voxel_size_um: VoxelSize, drift_um: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Even motion during the acquisition, averaged over the fields: sinc(q·d / 2π) on the half grid, float32."""
    phase = np.zeros((1, 1, 1), np.float32)
    for axis, (size, step, drift) in enumerate(zip(shape, voxel_size_um, drift_um, strict=True)):
        frequency = angular_frequencies(size, step)[: size // 2 + 1 if axis == 2 else size]
        along = [1, 1, 1]
        along[axis] = -1
        phase = phase + (frequency * drift / (2 * np.pi)).astype(np.float32).reshape(along)
    return np.sinc(phase).astype(np.float32, copy=False)


def blur_transfer(shape: Shape3, voxel_size_um: VoxelSize, degradation: OdtDegradation) -> NDArray[np.float32]:
    """Sharp part and skirts, two Gaussians of the frequency, on the half grid (Z, Y, X // 2 + 1), float32; 1 at 0."""
    skirt = degradation.skirt_share
    transfer = np.zeros((1, 1, 1), np.float32)
    for share, sigma in ((1 - skirt, degradation.blur_um), (skirt, degradation.skirt_um)):
        part = np.full((1, 1, 1), share, np.float32)
        for axis, (size, step) in enumerate(zip(shape, voxel_size_um, strict=True)):
            frequency = angular_frequencies(size, step)[: size // 2 + 1 if axis == 2 else size]
            along = [1, 1, 1]
            along[axis] = -1
            part = part * np.exp(-((frequency * sigma) ** 2) / 2).astype(np.float32).reshape(along)
        transfer = transfer + part
    return transfer


def shot_noise(
    coverage: NDArray[np.float32],
    is_measured: NDArray[np.bool_],
    ri_std: float,
    shape: Shape3,
    rng: np.random.Generator,
    transform: Transform,
) -> Spectrum:
    """White noise over √coverage at the measured frequencies (M,), scaled to ``ri_std`` in space.

    A half grid holds each frequency once but for its self-mirrored columns, hence the weights of the mean.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    spectrum = transform.fetch(transform.forward(transform.send(white)))[is_measured]
    del white
    deviation = 1 / np.sqrt(coverage[is_measured])
    times = np.full(is_measured.shape[2], 2.0)
    times[0] = 1.0
    if shape[2] % 2 == 0:
        times[-1] = 1.0
    column_power = np.zeros(is_measured.shape[2])
    np.add.at(column_power, np.nonzero(is_measured)[2], deviation.astype(np.float64) ** 2)
    variance = float(np.sum(column_power * times)) / np.prod(shape, dtype=np.float64)
    scale = ri_std / np.sqrt(variance) if variance > 0 else 0.0
    return np.asarray(spectrum * (deviation * np.float32(scale)), dtype=np.complex64)


def fringes(
    is_measured: NDArray[np.bool_],
    degradation: OdtDegradation,
    shape: Shape3,
    voxel_size_um: VoxelSize,
    rng: np.random.Generator,
) -> Spectrum:
    """Wave packets at random measured frequencies, as their spectrum (M,).

    Each is a carrier with its neighbours within :data:`PACKET_WIDTH_PER_UM`, random in phase; the sum of the moduli
    is the peak amplitude, so the packet never exceeds it.
    """
    spectrum = np.zeros(is_measured.shape, np.complex64)
    # The self-mirrored columns would need their mirror image too: carriers and neighbours stay between them.
    last = (shape[2] - 1) // 2
    candidates = np.flatnonzero(is_measured[:, :, 1 : last + 1])
    if candidates.size == 0:
        return spectrum[is_measured]
    reach = [
        min(3, max(1, round(PACKET_WIDTH_PER_UM * size * step / (2 * np.pi))))
        for size, step in zip(shape, voxel_size_um, strict=True)
    ]
    for _ in range(degradation.n_fringes):
        carrier = np.unravel_index(rng.choice(candidates), (shape[0], shape[1], last))
        offsets = [np.arange(-width, width + 1) for width in reach]
        index = np.ix_(
            (carrier[0] + offsets[0]) % shape[0],
            (carrier[1] + offsets[1]) % shape[1],
            np.unique(np.clip(carrier[2] + 1 + offsets[2], 1, last)),
        )
        size = spectrum[index].shape
        packet = rng.uniform(0, 1, size) * np.exp(2j * np.pi * rng.uniform(0, 1, size)) * is_measured[index]
        packet *= degradation.fringe_ri_amplitude * np.prod(shape, dtype=np.float64) / (2 * np.abs(packet).sum())
        spectrum[index] += packet.astype(np.complex64)
    return spectrum[is_measured]


def slow_background(
    shape: Shape3, voxel_size_um: VoxelSize, ri_std: float, length_um: float, rng: np.random.Generator
) -> Spectrum:
    """A smooth random field without waves shorter than ``length_um``, as its spectrum on the half grid.

    Drawn in space on a coarse odd grid, which makes the embedded spectrum Hermitian; its mean is zero.
    """
    n_modes = [
        min((size - 1) // 2, max(1, int(size * step / length_um)))
        for size, step in zip(shape, voxel_size_um, strict=True)
    ]
    coarse = rng.standard_normal([2 * n + 1 for n in n_modes])
    coarse -= coarse.mean()
    deviation = float(np.sqrt(np.mean(coarse**2)))
    modes = np.fft.rfftn(coarse) * (np.prod(shape, dtype=np.float64) / coarse.size)
    modes *= ri_std / deviation if deviation > 0 else 0.0
    spectrum = np.zeros((shape[0], shape[1], shape[2] // 2 + 1), np.complex64)
    rows = [np.r_[0 : n + 1, -n:0] if n else np.array([0]) for n in n_modes[:2]]
    spectrum[np.ix_(rows[0], rows[1], np.arange(n_modes[2] + 1))] = modes
    return spectrum
