"""Which spatial frequencies a tomograph measures, and how often: the union of Ewald-sphere caps.

Waves go as exp(i k·r); the spectrum of the object at ``q = k_out - k_in`` reaches the camera when the outgoing wave
passes the objective. All arrays are on the half grid of a real FFT, (Z, Y, X // 2 + 1), and is Hermitian: a real
object measured at q is determined at -q too. To add an illumination scheme, add its wave vectors to
:func:`illumination_vectors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.volume import VoxelSize

MIN_COVERAGE = 0.5
"""A frequency counts as measured from here on (a cap gives 1 to the plane it passes through, split between two)."""

Shape3 = tuple[int, int, int]
Index = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class CapPoints:
    """The samples of one Ewald cap on the lateral FFT grid.

    Parameters
    ----------
    row, column : ndarray (N,), int64
        Index on the full lateral FFT grid.
    qz, kz : ndarray (N,), float64
        Axial frequency of the object and axial wave vector of the outgoing wave, rad/µm.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    qz: NDArray[np.float64]
    kz: NDArray[np.float64]


def angular_frequencies(size: int, step_um: float) -> NDArray[np.float64]:
    """FFT frequencies (size,) in rad/µm."""
    return np.asarray(2 * np.pi * np.fft.fftfreq(size, step_um), dtype=np.float64)


def illumination_vectors(instrument: OdtInstrument, medium_ri: float) -> NDArray[np.float64]:
    """Wave vectors (N, 3) as kz, ky, kx of the illuminating beams inside the medium, rad/µm; normal incidence last."""
    k0 = instrument.wavenumber_per_um
    km = k0 * medium_ri
    straight = np.array([[km, 0.0, 0.0]])
    if instrument.geometry == "rotation":
        return straight
    azimuth = 2 * np.pi * np.arange(instrument.n_azimuths) / instrument.n_azimuths
    transverse = k0 * instrument.illumination_na
    oblique = np.stack(
        [
            np.full_like(azimuth, np.sqrt(km**2 - transverse**2)),
            transverse * np.sin(azimuth),
            transverse * np.cos(azimuth),
        ],
        axis=1,
    )
    return np.concatenate([oblique, straight]) if instrument.has_normal_incidence else oblique


def cap_points(
    lateral_shape: tuple[int, int],
    pixel_size_um: tuple[float, float],
    k_in: NDArray[np.float64],
    *,
    km: float,
    k_pupil: float,
) -> CapPoints:
    """Where one illumination's scattered field samples the object.

    Parameters
    ----------
    lateral_shape : tuple of int
        Y, X of the field.
    pixel_size_um : tuple of float
        y, x in µm.
    k_in : ndarray (3,), float64
        kz, ky, kx of the illumination, rad/µm.
    km, k_pupil : float
        Wave number in the medium and pupil radius k0·NA, rad/µm.
    """
    ky = angular_frequencies(lateral_shape[0], pixel_size_um[0])[:, None] + k_in[1]
    kx = angular_frequencies(lateral_shape[1], pixel_size_um[1])[None, :] + k_in[2]
    transverse2 = ky**2 + kx**2
    row, column = np.nonzero(transverse2 <= k_pupil**2 * (1 + 1e-9))
    kz = np.sqrt(km**2 - transverse2[row, column])
    return CapPoints(row, column, kz - k_in[0], kz)


def splat_cap(
    points: CapPoints, shape: Shape3, voxel_z_um: float
) -> list[tuple[Index, NDArray[np.float64], NDArray[np.bool_], bool]]:
    """Half-grid bins next to a cap's samples, as up to four groups without repeats.

    Returns
    -------
    list of (index, weight, selection, is_mirrored)
        ``index`` addresses (Z, Y, X // 2 + 1); ``weight`` in [0, 1] falls linearly with the distance in z;
        ``selection`` picks the samples of ``points``; mirrored samples enter as complex conjugates.
    """
    nz, ny, nx = shape
    position = points.qz * nz * voxel_z_um / (2 * np.pi)
    below = np.floor(position)
    groups: list[tuple[Index, NDArray[np.float64], NDArray[np.bool_], bool]] = []
    for offset in (0, 1):
        plane = (below + offset).astype(np.int64)
        weight = 1 - np.abs(position - plane)
        is_inside = (np.abs(plane) <= (nz - 1) // 2) & (weight > 0)
        for is_mirrored in (False, True):
            selection = is_inside & ((points.column > nx // 2) == is_mirrored)
            sign = -1 if is_mirrored else 1
            index = (
                (sign * plane[selection]) % nz,
                (sign * points.row[selection]) % ny,
                (sign * points.column[selection]) % nx,
            )
            groups.append((index, weight[selection], selection, is_mirrored))
    return groups


def symmetrize_half_grid(spectrum: NDArray[Any], n_columns: int) -> None:
    """Add the mirrored conjugate on the self-mirrored planes of a half grid (in place)."""
    for column in {0, n_columns // 2} if n_columns % 2 == 0 else {0}:
        plane = spectrum[:, :, column]
        spectrum[:, :, column] = plane + np.conj(np.roll(plane[::-1, ::-1], (1, 1), (0, 1)))


def fourier_coverage(
    shape: Shape3, medium_ri: float, *, voxel_size_um: VoxelSize, instrument: OdtInstrument
) -> NDArray[np.float32]:
    """How many recorded fields know each spatial frequency.

    Parameters
    ----------
    shape : tuple of int
        Z, Y, X of the volume.
    medium_ri : float
        Refractive index of the medium.
    voxel_size_um : tuple of float
        z, y, x in µm.
    instrument : OdtInstrument

    Returns
    -------
    ndarray (Z, Y, X // 2 + 1), float32
        0 where there is no measurement; measured counts from :data:`MIN_COVERAGE`.

    References
    ----------
    Wolf 1969, 10.1016/0030-4018(69)90052-2; Sung et al. 2009, 10.1364/OE.17.000266; for the rotated cell and its apple
    core Vertu et al. 2009, 10.2478/s11534-008-0154-6.
    """
    if instrument.geometry == "rotation":
        return _rotation_coverage(shape, medium_ri, voxel_size_um, instrument)
    coverage = np.zeros((shape[0], shape[1], shape[2] // 2 + 1), np.float32)
    k0 = instrument.wavenumber_per_um
    for k_in in illumination_vectors(instrument, medium_ri):
        points = cap_points(shape[1:], voxel_size_um[1:], k_in, km=k0 * medium_ri, k_pupil=k0 * instrument.objective_na)
        for index, weight, _, _ in splat_cap(points, shape, voxel_size_um[0]):
            coverage[index] += weight.astype(np.float32)
    symmetrize_half_grid(coverage, shape[2])
    return coverage


def _rotation_coverage(
    shape: Shape3, medium_ri: float, voxel_size_um: VoxelSize, instrument: OdtInstrument
) -> NDArray[np.float32]:
    """Turning a cap about y sweeps, at each qy, a ring around the apple core; each point of it is passed twice."""
    k0 = instrument.wavenumber_per_um
    km = k0 * medium_ri
    qz = angular_frequencies(shape[0], voxel_size_um[0]).astype(np.float32)[:, None, None]
    qy = angular_frequencies(shape[1], voxel_size_um[1]).astype(np.float32)[None, :, None]
    qx = np.abs(angular_frequencies(shape[2], voxel_size_um[2])[: shape[2] // 2 + 1]).astype(np.float32)
    radius = np.sqrt(qz**2 + qx**2)
    kz = (2 * km**2 - qy**2 - radius**2) / (2 * km)
    k_pupil = k0 * instrument.objective_na
    step = 2 * np.pi / min(shape[0] * voxel_size_um[0], shape[2] * voxel_size_um[2])
    core = km - np.sqrt(np.maximum(km**2 - qy**2, 0))
    is_measured = (radius >= core - step / 2) & (kz >= np.sqrt(km**2 - k_pupil**2)) & (np.abs(qy) <= k_pupil)
    passes = instrument.n_rotations * np.minimum(1.0, step / (np.pi * np.maximum(radius, step / 10)))
    return np.where(is_measured, np.maximum(passes, 1.0), 0.0).astype(np.float32)
