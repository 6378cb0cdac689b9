"""A tomogram from a cell: the single-scattering image formation of ODT, array in, array out.

Every optics of this package is one function ``simulate_<modality>(truth, medium, *, voxel_size_um, instrument,
degradation, rng, backend) -> float32 array`` that keeps the truth's grid; soft X-rays and Nile Red will be siblings
with the same signature. To change what is measured, see ``fourier_support.py``; what disturbs it, ``noise.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, fourier_coverage
from tomocyte.simulation.physics.noise import degrade_spectrum
from tomocyte.simulation.physics.optics import OdtInstrument, check_odt
from tomocyte.simulation.physics.reconstruction import (
    fill_missing_cone,
    potential_from_ri,
    ri_from_potential,
    transform_for,
)
from tomocyte.volume import VoxelSize


def simulate_odt(
    ri: NDArray[Any],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    degradation: OdtDegradation,
    rng: np.random.Generator,
    backend: str = "numpy",
) -> NDArray[np.float32]:
    """The tomogram of a simulated cell that an instrument would measure.

    The spectrum of the scattering potential remains where the union of Ewald caps reaches (first Born/Rytov order, in
    which both agree), disturbed there, and completed by non-negativity as the instruments do.

    Parameters
    ----------
    ri : ndarray (Z, Y, X), float
        True refractive index, 1 to 3. The grid is periodic: leave some medium around the cell.
    medium_ri : float
        Refractive index of the medium, 1 to 2.
    voxel_size_um : tuple of float
        z, y, x in µm.
    instrument : OdtInstrument
    degradation : OdtDegradation
    rng : numpy Generator
        The only source of randomness; the same draws for every backend.
    backend : str
        ``numpy``, ``torch`` or ``torch:cuda``; same result to float32 tolerance.

    Returns
    -------
    ndarray (Z, Y, X), float32
        Measured refractive index.

    Raises
    ------
    SettingsError
        ``E-OPTICS-…`` for optics that cannot be, ``E-RI`` for values that are no refractive index, ``E-BACKEND``.

    References
    ----------
    Wolf 1969, 10.1016/0030-4018(69)90052-2; Choi et al., bioRxiv 2021; Lim et al. 2015,
    10.1364/OE.23.016933.

    Examples
    --------
    >>> from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION
    >>> ri = np.full((24, 32, 40), 1.337, np.float32)
    >>> measured = simulate_odt(ri, 1.337, voxel_size_um=(0.3, 0.11, 0.1), instrument=OdtInstrument(),
    ...                         degradation=NO_ODT_DEGRADATION, rng=np.random.default_rng(1))
    >>> bool(np.allclose(measured, 1.337))
    True
    """
    check_odt(instrument, medium_ri, voxel_size_um)
    shape = check_ri(ri)
    transform = transform_for(backend)
    coverage = fourier_coverage(shape, medium_ri, voxel_size_um=voxel_size_um, instrument=instrument)
    is_measured = coverage >= MIN_COVERAGE
    potential = transform.send(potential_from_ri(ri, medium_ri))
    measured = transform.fetch(transform.forward(potential)[transform.send(is_measured)])
    del potential
    measured = degrade_spectrum(
        measured,
        coverage,
        is_measured,
        shape=shape,
        voxel_size_um=voxel_size_um,
        degradation=degradation,
        rng=rng,
        transform=transform,
    )
    del coverage
    filled = fill_missing_cone(
        measured, is_measured, shape=shape, n_iterations=degradation.n_iterations, transform=transform
    )
    result = ri_from_potential(filled, medium_ri)
    if degradation.medium_ri_error:
        result += np.float32(degradation.medium_ri_error)
    return result


def check_ri(ri: NDArray[Any]) -> tuple[int, int, int]:
    """The shape Z, Y, X of a volume of refractive index.

    Raises
    ------
    SettingsError
        ``E-RI`` for another number of axes, or values that are not finite or outside 1 to 3.
    """
    if ri.ndim != 3 or min(ri.shape) < 4:
        raise SettingsError("E-RI", f"the optics need axes Z, Y, X of at least 4, not {ri.shape}.")
    low, high = float(ri.min()), float(ri.max())
    if not (low >= 1.0 and high <= 3.0):
        raise SettingsError(
            "E-RI", f"values from {low} to {high} are no refractive index.", cure="Give n itself, not n - n0."
        )
    return ri.shape[0], ri.shape[1], ri.shape[2]


def recovered_fraction(
    measured_ri: NDArray[Any], true_ri: NDArray[Any], labels: NDArray[np.integer[Any]], *, medium_ri: float
) -> Mapping[int, float]:
    """The share of each cell's contrast that remains in the tomogram.

    Parameters
    ----------
    measured_ri, true_ri : ndarray (Z, Y, X)
    labels : ndarray (Z, Y, X), int
        0 = background.
    medium_ri : float

    Returns
    -------
    mapping
        Label to mean measured Δn over mean true Δn inside it; 1 without loss, NaN without true contrast.
        Volumes with cells below 0.5 are poor lessons for a network.
    """
    flat = np.asarray(labels).ravel()
    count = np.bincount(flat)
    true = np.bincount(flat, weights=np.asarray(true_ri, np.float64).ravel()) - medium_ri * count
    measured = np.bincount(flat, weights=np.asarray(measured_ri, np.float64).ravel()) - medium_ri * count
    return {
        int(label): float(measured[label] / true[label]) if abs(true[label]) > 1e-9 * count[label] else float("nan")
        for label in np.flatnonzero(count)
        if label != 0
    }
