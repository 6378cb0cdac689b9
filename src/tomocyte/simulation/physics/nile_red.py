"""Nile Red: where it goes in a cell, what colour it has there, and the microscope that takes it in two bands.

The dye's band moves to longer wavelengths with the polarity of its surroundings, so that the ratio of two bands tells
neutral lipid, ordered and disordered membranes apart. What is published and what is assumed stands at
:data:`STRUCTURE_DYE`. To stain a further structure, add a row there.

References
----------
Yellow droplets, red phospholipid (628 nm in vesicles of phosphatidylcholine): Greenspan and Fowler 1985, J. Lipid Res.
26, 781. Red over yellow of droplets and membranes: Diaz et al. 2008, doi:10.1016/j.micron.2008.01.001. Plasma membrane
more ordered, so yellower, than organelles: Moon et al. 2017, doi:10.1021/jacs.7b03846; Zhanghao et al. 2020,
doi:10.1038/s41467-020-19747-0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.settings import Settings
from tomocyte.simulation.physics.emitters import CLOUD_VARIANCE
from tomocyte.volume import VoxelSize

Volume4 = NDArray[np.float32]
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
YELLOW_UM, RED_UM, GREEN_UM = (0.580, 0.653), (0.665, 0.705), (0.500, 0.550)
"""Emission filters of Zhanghao et al. (the Methods exchange the names of yellow and red; Fig. 1 has them right)."""
SPECTRUM_SIGMA_UM = 0.040
"""Standard deviation of the emission band in µm, a Gaussian in wavelength with a width of 94 nm at half height
(assumed; the real band has a longer red tail)."""
CAMERA_PIXEL_UM = 0.0668
"""Pixel of the paper's field in the sample: 0.668 of it is 0.1 µm."""


class Dye(NamedTuple):
    """How a structure is stained."""

    peak_um: float
    """Wavelength of the emission's maximum in µm."""
    per_um2: float
    """Dye on its drawn surface, 1 = a bilayer of the plasma membrane."""
    per_um3: float
    """Dye inside, in the same units per µm³."""
    radius_share: float = 1.0
    """Radius of the dyed tube over the drawn one: tubes are drawn as thick as a microscope shows them."""


STRUCTURE_DYE: dict[str, Dye] = {
    # neutral lipid: a strong yellow band (Greenspan and Fowler 1985)
    "lipid_droplet": Dye(0.585, 0.0, 40.0),
    # ordered by cholesterol (Moon et al. 2017)
    "plasma_membrane": Dye(0.606, 1.0, 0.0),
    "filopodium": Dye(0.606, 1.0, 0.0, 0.6),
    # between plasma membrane and lysosome along the endocytic pathway (assumed)
    "early_endosome": Dye(0.610, 0.7, 0.0),
    "late_endosome": Dye(0.617, 0.8, 4.0),
    "lysosome": Dye(0.622, 0.8, 7.0),
    # cholesterol rises through the Golgi (assumed)
    "golgi": Dye(0.619, 1.4, 0.0, 0.5),
    # disordered phospholipid: 628 nm in vesicles of phosphatidylcholine (Greenspan and Fowler 1985), more in cells
    "peroxisome": Dye(0.629, 0.6, 0.0),
    "endoplasmic_reticulum": Dye(0.632, 1.0, 0.0, 0.4),
    "nuclear_membrane": Dye(0.632, 1.2, 0.0),
    "nuclear_reticulum": Dye(0.632, 1.2, 0.0, 0.5),
    # cristae fill the inside (assumed)
    "mitochondrion": Dye(0.636, 0.3, 8.0),
    # protein and water: weak and red
    "cytosol": Dye(0.650, 0.0, 0.45),
    "nucleoplasm": Dye(0.650, 0.0, 0.3),
    "nucleolus": Dye(0.650, 0.0, 0.5),
    "extracellular": Dye(0.650, 0.0, 0.02),
}
"""Peak wavelengths follow the order of the references, droplet < plasma membrane < endosomes < Golgi < endoplasmic
reticulum < mitochondrion < water; the exact values of all but droplet (oil) and phospholipid, and all amounts of dye,
are **assumed**. A tubule of the endoplasmic reticulum has a radius of 0.05 µm and is drawn with 0.13."""

MEAN_PEAK_UM = 0.622
"""Peak that all structures have at ``ratio_contrast`` 0."""


class NileRedInstrument(Settings):
    """A fluorescence microscope with an emission splitter."""

    name: str = "custom"
    """Stands on the card of what it simulated."""
    numerical_aperture: float = Field(default=1.49, gt=0.1, lt=1.7)
    """Of the objective."""
    immersion_ri: float = Field(default=1.515, ge=1, le=1.8)
    """Refractive index of the immersion."""
    sample_ri: float = Field(default=1.36, ge=1, le=1.8)
    """Refractive index of the sample: rays beyond it do not leave the sample, so it limits the axial resolution."""
    excitation_um: float = Field(default=0.488, gt=0.2, lt=2)
    """Wavelength of the laser in µm."""
    lateral_gain: float = Field(default=2.0, ge=1, le=10)
    """Factor on the lateral resolution of wide field; 2 for pixel reassignment and structured illumination."""
    axial_gain: float = Field(default=1.0, ge=0.5, le=10)
    """Factor on the axial resolution of a confocal microscope with a pinhole of one Airy disc."""
    crosstalk_factor: float = Field(default=1.0, ge=0, le=20)
    """Factor on the drawn share of light that comes from other planes."""
    photon_factor: float = Field(default=1.0, gt=0, le=100)
    """Factor on the drawn number of photons."""
    pattern_noise: float = Field(default=0.0, ge=0, le=1)
    """Amplitude of the reconstruction's artefact as a share of the local light, near the edge of the band."""
    electrons_per_count: float = Field(default=1.2, gt=0, le=100)
    """Gain of the camera in e⁻ per count (assumed for 16 bit)."""
    read_noise_electrons: float = Field(default=1.8, ge=0, le=100)
    """Standard deviation of the read noise in e⁻ (assumed)."""
    offset_counts: float = Field(default=100.0, ge=0, le=10000)
    """What the camera shows in the dark (assumed)."""


class ChromaticShift(Settings):
    """Where the red image of a point lies: ``c + M · R · (p − c) + t``, with c the middle of the field, in µm."""

    shift_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """t: z, y, x in µm."""
    rotation_deg: float = Field(default=0.0, ge=-45, le=45)
    """R: about z; positive turns y towards x, (y, x) → (y cos − x sin, y sin + x cos)."""
    magnification: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """M: along z, y, x."""

    def matrix(self) -> NDArray[np.float64]:
        """M · R, (3, 3), of z, y, x."""
        angle = math.radians(self.rotation_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
        return np.asarray(np.diag(self.magnification) @ turn)


class NileRedDegradation(Settings):
    """What one stack suffers."""

    photons: float = Field(default=25.0, gt=0)
    """Electrons that a pixel of (0.0668 µm)² gives for a dye density of 1 per µm³, yellow and red together."""
    crosstalk: float = Field(default=0.01, ge=0, le=1)
    """Share of the light of every µm of other planes that passes the pinholes, per µm of depth."""
    blur_um: float = Field(default=0.0, ge=0, le=1)
    """Gaussian sigma in µm, added laterally: aberration, drift."""
    bleaching: float = Field(default=0.0, ge=0, lt=1)
    """Share of the dye that is lost from the first plane (z = 0) to the last."""
    vignetting: float = Field(default=0.0, ge=0, lt=1)
    """Loss of light at the corners of the field."""
    chromatic: ChromaticShift = ChromaticShift()
    """The red channel against the yellow one."""


def band_share(peak_um: float, band_um: tuple[float, float]) -> float:
    """Share of the emission that a filter lets through.

    Parameters
    ----------
    peak_um : float
        Maximum of the emission in µm.
    band_um : tuple of 2 float
        Ends of the filter in µm.

    Examples
    --------
    >>> round(band_share(0.6, (0.56, 0.64)), 3)
    0.683
    """
    low, high = ((end - peak_um) / (SPECTRUM_SIGMA_UM * math.sqrt(2)) for end in band_um)
    return 0.5 * (math.erf(high) - math.erf(low))


def emission_ratio(structure: str, *, ratio_contrast: float = 1.0) -> float:
    """Red over yellow of a structure's dye, without noise and what lies beside it.

    Examples
    --------
    >>> emission_ratio("lipid_droplet") < emission_ratio("plasma_membrane") < emission_ratio("mitochondrion")
    True
    >>> emission_ratio("golgi", ratio_contrast=0) == emission_ratio("lipid_droplet", ratio_contrast=0)
    True
    """
    peak = peak_of(structure, ratio_contrast=ratio_contrast)
    return band_share(peak, RED_UM) / band_share(peak, YELLOW_UM)


def peak_of(structure: str, *, ratio_contrast: float = 1.0) -> float:
    """Peak in µm of a structure's dye; with ``ratio_contrast`` 0 all are alike, with 1 as assumed."""
    return MEAN_PEAK_UM + ratio_contrast * (STRUCTURE_DYE[structure].peak_um - MEAN_PEAK_UM)


def resolution_um(instrument: NileRedInstrument, band_um: tuple[float, float]) -> tuple[float, float]:
    """Full widths at half maximum (axial, lateral) in µm of the point-spread function in one band, a Gaussian.

    Laterally 0.51 λ / (NA · gain) with the middle of the band; axially 0.88 λ_ex / (n − √(n² − NA′²)) / gain, the width
    of a confocal microscope whose pinhole is an Airy disc, with NA′ no more than the sample's index.

    References
    ----------
    Both widths: Wilhelm et al., Confocal Laser Scanning Microscopy (Carl Zeiss). Twice the resolution of a spinning
    disk: Schulz et al. 2013, doi:10.1073/pnas.1315858110.

    Examples
    --------
    >>> axial, lateral = resolution_um(NileRedInstrument(), YELLOW_UM)
    >>> round(axial, 2), round(lateral, 3)
    (0.51, 0.106)
    """
    n = instrument.immersion_ri
    aperture = min(instrument.numerical_aperture, instrument.sample_ri, n)
    lateral = 0.51 * 0.5 * sum(band_um) / (instrument.numerical_aperture * instrument.lateral_gain)
    axial = 0.88 * instrument.excitation_um / (n - math.sqrt(n * n - aperture * aperture))
    return axial / instrument.axial_gain, lateral


def blurred(
    light: NDArray[np.float32], fwhm_um: tuple[float, float], voxel_size_um: VoxelSize, *, blur_um: float = 0.0
) -> NDArray[np.float32]:
    """Light (Z, Y, X) from :mod:`.emitters` through the point-spread function and the pixels.

    What the emitters' own kernel adds to the width is taken off, and the width of a pixel is added in y and x.
    """
    import scipy.fft

    axial, lateral = (width / FWHM_PER_SIGMA for width in fwhm_um)
    variances = [
        max(sigma**2 + extra - CLOUD_VARIANCE * step**2, 0.0)
        for sigma, extra, step in (
            (axial, 0.0, voxel_size_um[0]),
            (lateral, blur_um**2 + voxel_size_um[1] ** 2 / 12, voxel_size_um[1]),
            (lateral, blur_um**2 + voxel_size_um[2] ** 2 / 12, voxel_size_um[2]),
        )
    ]
    shape = [scipy.fft.next_fast_len(size, real=True) for size in light.shape]
    spectrum = scipy.fft.rfftn(light, shape)
    for axis, (variance, step, size) in enumerate(zip(variances, voxel_size_um, shape, strict=True)):
        frequency = scipy.fft.rfftfreq(size, step) if axis == 2 else scipy.fft.fftfreq(size, step)
        transfer = np.exp(-2 * math.pi**2 * variance * frequency**2).astype(np.float32)
        spectrum *= transfer.reshape([-1 if axis == other else 1 for other in range(3)])
    image = scipy.fft.irfftn(spectrum, shape)[: light.shape[0], : light.shape[1], : light.shape[2]]
    return np.asarray(np.maximum(image, 0), np.float32)


def from_other_planes(
    light: NDArray[np.float32], voxel_size_um: VoxelSize, instrument: NileRedInstrument, *, share_per_um: float
) -> NDArray[np.float32]:
    """Light (Z, Y, X) that the pinholes of the disk let through from out of focus.

    Every plane adds ``share_per_um · step`` of its light, spread as a defocused disc: a Gaussian of sigma
    |Δz| tan(α) / 2 with sin(α) = NA′ / n. It is smooth, so that it is computed on pixels of about 0.4 µm.
    """
    from scipy import ndimage

    depth = light.shape[0]
    steps = [max(1, round(0.4 / size)) for size in voxel_size_um[1:]]
    tall, wide = (-(-size // step) for size, step in zip(light.shape[1:], steps, strict=True))
    padded = np.pad(light, [(0, 0), (0, tall * steps[0] - light.shape[1]), (0, wide * steps[1] - light.shape[2])],
                    mode="edge")  # fmt: skip
    coarse = padded.reshape(depth, tall, steps[0], wide, steps[1]).mean(axis=(2, 4))
    aperture = min(instrument.numerical_aperture, instrument.sample_ri) / instrument.immersion_ri
    slope = 0.5 * aperture / math.sqrt(1 - min(aperture, 0.999) ** 2)
    haze = np.zeros_like(coarse)
    for distance in range(1, depth):
        sigma = slope * distance * voxel_size_um[0]
        widths = [0.0, *(sigma / (step * size) for step, size in zip(steps, voxel_size_um[1:], strict=True))]
        spread = ndimage.gaussian_filter(coarse, widths, mode="nearest", truncate=3.0)
        haze[distance:] += spread[:-distance]
        haze[:-distance] += spread[distance:]
    haze *= np.float32(share_per_um * voxel_size_um[0])
    fine = ndimage.zoom(haze, (1, *steps), order=1, mode="nearest", grid_mode=True)
    return np.asarray(fine[:, : light.shape[1], : light.shape[2]], np.float32)


def photographed(
    electrons: NDArray[np.float32], instrument: NileRedInstrument, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Camera counts (whole numbers, 0 to 65535) of expected electrons (…): Poisson, read noise, gain, offset."""
    counts = np.empty(electrons.shape, np.float32)
    for index, plane in enumerate(electrons):
        taken = rng.poisson(plane) + instrument.read_noise_electrons * rng.standard_normal(plane.shape, np.float32)
        counts[index] = np.rint(taken / instrument.electrons_per_count + instrument.offset_counts)
    return np.clip(counts, 0, 65535)
