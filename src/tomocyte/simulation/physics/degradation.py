"""How an image is worse than its physics: the settings of noise and artefacts.

Every amplitude is stated in the unit of the image (refractive index, or radian), so that it means the same at any
voxel size. To add an artefact, add a field here, apply it in ``noise.py`` or ``phase.py``, and let the instruments that
show it draw it from a range.
"""

from __future__ import annotations

from pydantic import Field

from tomocyte.settings import Settings


class OdtDegradation(Settings):
    """What one tomogram suffers."""

    noise_ri_std: float = Field(default=2e-4, ge=0, le=0.05)
    """Shot noise: standard deviation of the RI over the measured frequencies, there in proportion to 1/√coverage."""
    n_fringes: int = Field(default=4, ge=0, le=100)
    """Coherent fringe systems: wave packets at measured frequencies."""
    fringe_ri_amplitude: float = Field(default=2e-4, ge=0, le=0.05)
    """Peak amplitude of one fringe system in RI."""
    background_ri_std: float = Field(default=2e-4, ge=0, le=0.05)
    """Standard deviation of the slow background in RI."""
    background_length_um: float = Field(default=15.0, gt=1, le=500)
    """Shortest wavelength of the slow background in µm."""
    drift_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How far (z, y, x) the cell moves evenly during one acquisition in µm; its middle position is the truth's."""
    blur_um: float = Field(default=0.0, ge=0, le=3)
    """Gaussian sigma of the blur in µm: what vibration, registration and the camera's transfer wash out."""
    skirt_share: float = Field(default=0.0, ge=0, le=0.9)
    """Part of the signal that is blurred by ``skirt_um`` instead: soft skirts around a cell."""
    skirt_um: float = Field(default=1.2, gt=0, le=10)
    """Gaussian sigma of the skirts in µm."""
    medium_ri_error: float = Field(default=0.0, ge=-0.02, le=0.02)
    """Assumed minus true index of the medium: an offset of the whole tomogram."""
    n_iterations: int = Field(default=15, ge=0, le=500)
    """Iterations of the non-negativity regularisation; 0 leaves the missing cone empty."""


class QpiDegradation(Settings):
    """What one phase image suffers."""

    noise_rad_std: float = Field(default=0.02, ge=0, le=3)
    """Shot noise: standard deviation of the phase per pixel in rad."""
    n_fringes: int = Field(default=3, ge=0, le=100)
    """Coherent fringe systems."""
    fringe_rad_amplitude: float = Field(default=0.01, ge=0, le=3)
    """Amplitude of one fringe system in rad."""
    background_rad_std: float = Field(default=0.03, ge=0, le=10)
    """Standard deviation of the slow background in rad."""
    background_length_um: float = Field(default=40.0, gt=1, le=2000)
    """Shortest wavelength of the slow background in µm."""


NO_ODT_DEGRADATION = OdtDegradation(noise_ri_std=0, n_fringes=0, background_ri_std=0)
NO_QPI_DEGRADATION = QpiDegradation(noise_rad_std=0, n_fringes=0, background_rad_std=0)
