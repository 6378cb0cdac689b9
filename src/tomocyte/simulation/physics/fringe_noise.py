"""Coherent fringes added to a finished tomogram, as they grow during a long time-lapse.

The wave packets are those of ``noise.fringes``: at frequencies that the instrument measures, never larger than their
amplitude. To add another artefact, write a function of an image and a generator next to this one.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.formation import check_ri
from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, fourier_coverage
from tomocyte.simulation.physics.noise import fringes
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.volume import VoxelSize, check_voxel_size


def add_fringes(
    image: NDArray[np.float32],
    medium_ri: float,
    *,
    voxel_size_um: VoxelSize,
    instrument: OdtInstrument,
    degradation: OdtDegradation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The tomogram with fringe systems added; the rest of ``degradation`` is not applied.

    Parameters
    ----------
    image : ndarray (Z, Y, X), float32
        Refractive index, 1 to 3.
    medium_ri : float
        Of the medium.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    instrument : OdtInstrument
        Whose frequencies the fringes have.
    degradation : OdtDegradation
        ``n_fringes`` and ``fringe_ri_amplitude`` (peak of one system).
    rng : numpy Generator

    Returns
    -------
    ndarray (Z, Y, X), float32

    Raises
    ------
    SettingsError
        ``E-RI``: no refractive index.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    check_voxel_size(voxel_size_um)
    shape = check_ri(image)
    if degradation.n_fringes == 0 or degradation.fringe_ri_amplitude == 0:
        return image.astype(np.float32)
    coverage = fourier_coverage(shape, medium_ri, voxel_size_um=voxel_size_um, instrument=instrument)
    is_measured = coverage >= MIN_COVERAGE
    spectrum = np.zeros(is_measured.shape, np.complex64)
    spectrum[is_measured] = fringes(is_measured, degradation, shape, voxel_size_um, rng)
    result = scipy.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2), overwrite_x=True)
    result += image
    return np.asarray(result, np.float32)
