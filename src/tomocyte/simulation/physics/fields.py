"""The complete simulation: a complex field for every beam, and a tomogram from the fields.

:func:`simulate_fields` illuminates a cell from each direction (or turns it) by first Born, Rytov or multi-slice
propagation; :func:`reconstruct_odt` maps fields back by the Fourier diffraction theorem. Use it for thick cells,
where light scatters more than once (:func:`simulate_odt_thick` does both), and to check the fast method of
``formation.py``. To add a forward model, add it to :data:`MODELS`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.errors import SettingsError
from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION, OdtDegradation
from tomocyte.simulation.physics.formation import check_ri
from tomocyte.simulation.physics.fourier_support import (
    MIN_COVERAGE,
    angular_frequencies,
    cap_points,
    illumination_vectors,
    splat_cap,
    symmetrize_half_grid,
)
from tomocyte.simulation.physics.multi_slice import propagate
from tomocyte.simulation.physics.noise import degrade_spectrum
from tomocyte.simulation.physics.optics import OdtInstrument, check_odt
from tomocyte.simulation.physics.reconstruction import (
    fill_missing_cone,
    potential_from_ri,
    ri_from_potential,
    transform_for,
)
from tomocyte.simulation.physics.rotation import rotation_spectrum
from tomocyte.volume import VoxelSize

Model = Literal["born", "rytov", "multi-slice"]
MODELS: tuple[Model, ...] = ("born", "rytov", "multi-slice")
Fields = NDArray[np.complex64]


def simulate_fields(
    ri: NDArray[Any],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    model: Model = "multi-slice",
) -> Fields:
    """The complex field of every beam (or projection), over its illuminating wave, focused on the middle plane.

    Parameters
    ----------
    ri : ndarray (Z, Y, X), float
        True refractive index.
    medium_ri : float
    voxel_size_um : tuple of float
        z, y, x in µm; z and x must be equal where the cell is rotated.
    instrument : OdtInstrument
    model : str
        ``born``, ``rytov`` or ``multi-slice``.

    Returns
    -------
    ndarray (N, Y, X), complex64
        In the order of :func:`~tomocyte.simulation.physics.fourier_support.illumination_vectors`, or of the angles
        ``2π j / n_rotations``.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``, ``E-RI``, ``E-MODEL``.
    """
    check_odt(instrument, medium_ri, voxel_size_um)
    check_ri(ri)
    if model not in MODELS:
        raise SettingsError("E-MODEL", f"unknown forward model {model!r}.", cure=f"Known: {', '.join(MODELS)}.")
    if instrument.geometry == "rotation":
        _check_rotatable(ri.shape, voxel_size_um)
        straight = illumination_vectors(instrument, medium_ri)
        angles = 2 * np.pi * np.arange(instrument.n_rotations) / instrument.n_rotations
        rotated = (_rotated(ri, angle, medium_ri) for angle in angles)
        return np.concatenate([_fields(c, medium_ri, voxel_size_um, instrument, straight, model) for c in rotated])
    vectors = illumination_vectors(instrument, medium_ri)
    return _fields(ri, medium_ri, voxel_size_um, instrument, vectors, model)


def _fields(
    ri: NDArray[Any],
    medium_ri: float,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    vectors: NDArray[np.float64],
    model: Model,
) -> Fields:
    if model == "multi-slice":
        return np.stack(
            [
                propagate(
                    ri,
                    medium_ri,
                    voxel_size_um=voxel_size_um,
                    k_in=k_in,
                    wavelength_um=instrument.wavelength_um,
                    objective_na=instrument.objective_na,
                )
                for k_in in vectors
            ]
        )
    slices = scipy.fft.fft2(potential_from_ri(ri, medium_ri), axes=(1, 2))
    scattered = np.stack([_born_field(slices, medium_ri, voxel_size_um, instrument, k_in) for k_in in vectors])
    return np.exp(scattered) if model == "rytov" else 1 + scattered


def _born_field(
    slices: NDArray[np.complex64],
    medium_ri: float,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    k_in: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """First-order scattered field: i F(q) / (2 kz) on the cap, with the axial Fourier integral done exactly.

    F is the transform of the potential ``k0² (n² - n0²) = 2 n0 k0² p``.
    """
    k0 = instrument.wavenumber_per_um
    points = cap_points(
        (slices.shape[1], slices.shape[2]),
        voxel_size_um[1:],
        k_in,
        km=k0 * medium_ri,
        k_pupil=k0 * instrument.objective_na,
    )
    height = (np.arange(slices.shape[0]) - (slices.shape[0] - 1) / 2) * voxel_size_um[0]
    total = np.zeros(points.qz.shape, np.complex128)
    for plane, z in enumerate(height):
        total += slices[plane, points.row, points.column] * np.exp(-1j * points.qz * z)
    spectrum = np.zeros(slices.shape[1:], np.complex128)
    spectrum[points.row, points.column] = 1j * medium_ri * k0**2 * voxel_size_um[0] * total / points.kz
    return np.asarray(scipy.fft.ifft2(spectrum), dtype=np.complex64)


def _rotated(ri: NDArray[Any], angle: float, medium_ri: float) -> NDArray[np.float32]:
    """The cell rotated about the y axis: detector x axis (cos, sin) and beam (-sin, cos) in its own (x, z)."""
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    middle = (np.array(ri.shape) - 1) / 2
    rotated = ndimage.affine_transform(
        ri.astype(np.float32) - np.float32(medium_ri), matrix, offset=middle - matrix @ middle, order=3, mode="constant"
    )
    return np.asarray(rotated + np.float32(medium_ri), dtype=np.float32)


def _check_rotatable(shape: tuple[int, ...], voxel_size_um: VoxelSize) -> None:
    if abs(voxel_size_um[0] - voxel_size_um[2]) > 1e-6 * voxel_size_um[2] or shape[0] != shape[2]:
        raise SettingsError(
            "E-OPTICS-ROTATION",
            f"a cell rotated about y needs equal z and x, not shape {shape} and voxel size {tuple(voxel_size_um)} µm.",
            cure="Resample or crop the volume so that z and x agree.",
        )


def scattered_phase(fields: Fields, approximation: Literal["rytov", "born"] = "rytov") -> NDArray[np.complex64]:
    """First-order scattered field over the incident one, (N, Y, X): ``u - 1`` (Born) or the unwrapped ``ln u`` (Rytov).

    The constant of the unwrapped phase is set by the mode of its border, where no cell should be.
    """
    if approximation == "born":
        return np.asarray(fields - 1, dtype=np.complex64)
    from skimage.restoration import unwrap_phase

    logarithm = np.empty(fields.shape, np.complex64)
    for index, field in enumerate(fields):
        phase = unwrap_phase(np.angle(field))
        border = np.concatenate([phase[0], phase[-1], phase[:, 0], phase[:, -1]])
        phase -= 2 * np.pi * np.round(np.median(border) / (2 * np.pi))
        logarithm[index] = np.log(np.maximum(np.abs(field), 1e-6)) + 1j * phase
    return logarithm


def reconstruct_odt(
    fields: Fields,
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    n_planes: int,
    approximation: Literal["rytov", "born"] = "rytov",
    n_iterations: int = 15,
) -> NDArray[np.float32]:
    """A tomogram from complex fields by the Fourier diffraction theorem and non-negativity.

    Parameters
    ----------
    fields : ndarray (N, Y, X), complex
        As :func:`simulate_fields` returns them.
    medium_ri : float
    voxel_size_um : tuple of float
        z of the tomogram, y and x of the fields, in µm.
    instrument : OdtInstrument
    n_planes : int
        Planes of the tomogram (must equal X where the cell is rotated).
    approximation : str
        ``rytov`` or ``born``.
    n_iterations : int
        Of the non-negativity regularisation.

    Returns
    -------
    ndarray (n_planes, Y, X), float32
        Refractive index.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``; ``E-OPTICS-FIELDS`` when the number of fields is not the instrument's.

    References
    ----------
    Wolf 1969, 10.1016/0030-4018(69)90052-2; Devaney 1981, 10.1364/OL.6.000374; Müller et al. 2015,
    10.1186/s12859-015-0764-0.
    """
    no_degradation = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": n_iterations})
    return _reconstructed(
        fields,
        medium_ri,
        instrument,
        n_planes=n_planes,
        voxel_size_um=voxel_size_um,
        approximation=approximation,
        degradation=no_degradation,
        rng=np.random.default_rng(0),
    )


def simulate_odt_thick(
    ri: NDArray[Any],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    degradation: OdtDegradation,
    rng: np.random.Generator,
    model: Model = "multi-slice",
) -> NDArray[np.float32]:
    """The tomogram of a cell in which light scatters more than once: fields, then their Rytov reconstruction.

    As :func:`~tomocyte.simulation.physics.formation.simulate_odt`, but with the errors that a single-scattering
    reconstruction makes on a thick cell. The beams must lie inside the pupil: at its very edge (``HT-2H``) half of each
    field is cut, its logarithm is no longer the Rytov phase, and a phase of 2 rad already costs half of the contrast;
    ``HT-2H-58deg`` is the same instrument a few degrees inside.

    Parameters
    ----------
    ri, medium_ri, voxel_size_um, instrument, degradation, rng
        As for :func:`~tomocyte.simulation.physics.formation.simulate_odt`.
    model : str
        ``born``, ``rytov`` or ``multi-slice``.

    Returns
    -------
    ndarray (Z, Y, X), float32
        Measured refractive index.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…``, ``E-RI``, ``E-MODEL``.
    """
    fields = simulate_fields(ri, medium_ri, voxel_size_um=voxel_size_um, instrument=instrument, model=model)
    result = _reconstructed(
        fields,
        medium_ri,
        instrument,
        n_planes=ri.shape[0],
        voxel_size_um=voxel_size_um,
        approximation="born" if model == "born" else "rytov",
        degradation=degradation,
        rng=rng,
    )
    return result + np.float32(degradation.medium_ri_error)


def _reconstructed(
    fields: Fields,
    medium_ri: float,
    instrument: OdtInstrument,
    *,
    n_planes: int,
    voxel_size_um: VoxelSize,
    approximation: Literal["rytov", "born"],
    degradation: OdtDegradation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    check_odt(instrument, medium_ri, voxel_size_um)
    if len(fields) != instrument.n_fields:
        raise SettingsError("E-OPTICS-FIELDS", f"{len(fields)} fields for an instrument of {instrument.n_fields}.")
    first_order = scattered_phase(fields, approximation)
    if instrument.geometry == "rotation":
        _check_rotatable((n_planes, *fields.shape[1:]), voxel_size_um)
        padded = (n_planes, fields.shape[1], fields.shape[2])
        spectrum, coverage = rotation_spectrum(first_order, medium_ri, voxel_size_um[1:], instrument)
    else:
        # Twice the height: a cap that falls between two planes of frequency then blurs only what lies outside.
        padded = (2 * n_planes, fields.shape[1], fields.shape[2])
        spectrum, coverage = _cap_spectrum(first_order, medium_ri, voxel_size_um, instrument, padded)
    is_measured = coverage >= MIN_COVERAGE
    transform = transform_for("numpy")
    measured = degrade_spectrum(
        spectrum[is_measured],
        coverage,
        is_measured,
        shape=padded,
        voxel_size_um=voxel_size_um,
        degradation=degradation,
        rng=rng,
        transform=transform,
    )
    filled = fill_missing_cone(
        measured, is_measured, shape=padded, n_iterations=degradation.n_iterations, transform=transform
    )
    start = (padded[0] - n_planes) // 2
    return ri_from_potential(filled[start : start + n_planes], medium_ri)


def _cap_spectrum(
    first_order: NDArray[np.complex64],
    medium_ri: float,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    shape: tuple[int, int, int],
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Mean of all fields' samples at each frequency of the half grid, and how many there are."""
    k0 = instrument.wavenumber_per_um
    total = np.zeros((shape[0], shape[1], shape[2] // 2 + 1), np.complex64)
    weights = np.zeros(total.shape, np.float32)
    for field, k_in in zip(first_order, illumination_vectors(instrument, medium_ri), strict=True):
        points = cap_points(shape[1:], voxel_size_um[1:], k_in, km=k0 * medium_ri, k_pupil=k0 * instrument.objective_na)
        sample = scipy.fft.fft2(field)[points.row, points.column] * points.kz
        sample = sample / (1j * medium_ri * k0**2 * voxel_size_um[0])
        for index, weight, selection, is_mirrored in splat_cap(points, shape, voxel_size_um[0]):
            value = sample[selection].conj() if is_mirrored else sample[selection]
            total[index] += (weight * value).astype(np.complex64)
            weights[index] += weight.astype(np.float32)
    symmetrize_half_grid(total, shape[2])
    symmetrize_half_grid(weights, shape[2])
    is_measured = weights >= MIN_COVERAGE
    total[is_measured] /= weights[is_measured]
    middle = (shape[0] - 1) / 2 * voxel_size_um[0]
    total *= np.exp(-1j * angular_frequencies(shape[0], voxel_size_um[0]) * middle)[:, None, None].astype(np.complex64)
    return total, weights
