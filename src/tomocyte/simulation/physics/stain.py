"""A simulated nuclear stain (DAPI, Hoechst) of a frame with exact labels, and its mask as a laboratory makes it.

OS-Net is tested against masks thresholded from a fluorescence image taken together with the tomogram. Such a mask is
not the exact one: blur, haze, the stain's texture, noise and the threshold move its surface. :func:`simulate_stain`
makes the image, :func:`stain_mask` the mask. To add a stain, add a row to :data:`STAINS`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize, check_voxel_size

_BOX_MARGIN_UM = 1.5
_DEEP_SHARE = 0.3
"""Of the greatest depth below its surface, where a core counts as inside: blur does not reach there."""


class StainSettings(Settings):
    """A nuclear stain and the fluorescence microscope that sees it: wide field, z-stack, deconvolved."""

    numerical_aperture: float = Field(default=1.2, gt=0, lt=1.7)
    """Of the objective; the tomograph's own takes the fluorescence too."""
    immersion_ri: float = Field(default=1.333, ge=1, le=1.6)
    """Refractive index of the immersion."""
    emission_um: float = Field(default=0.461, gt=0.05, lt=2)
    """Wavelength of the emitted light in µm; bound to DNA 461 nm for DAPI and for Hoechst 33342."""
    blur_factor: float = Field(default=0.8, ge=0, le=3)
    """What deconvolution leaves of the point-spread function's width; 1 is the raw image."""
    haze_share: float = Field(default=0.12, ge=0, lt=1)
    """Part of the light that deconvolution leaves out of focus."""
    haze_um: tuple[float, float, float] = (2.0, 0.8, 0.8)
    """Gaussian sigma z, y, x of that part in µm."""
    texture_share: float = Field(default=0.2, ge=0, le=1)
    """Standard deviation of the logarithm of the density of chromatin inside a nucleus."""
    texture_length_um: float = Field(default=0.5, gt=0, le=10)
    """Correlation length (Gaussian sigma) of chromatin in µm."""
    nucleus_variation: float = Field(default=0.15, ge=0, le=1)
    """Standard deviation of the logarithm of brightness among nuclei."""
    nucleolus_share: float = Field(default=0.4, ge=0, le=1)
    """Brightness of a nucleolus as a part of its nucleus's; used only where nucleoli are given."""
    leak_share: float = Field(default=0.04, ge=0, le=1)
    """Brightness of the cytoplasm as a part of a nucleus's."""
    background_share: float = Field(default=0.01, ge=0, le=1)
    """Brightness outside the cells as a part of a nucleus's."""
    signal_photons: float = Field(default=500.0, gt=0, le=1e6)
    """Photons that a voxel deep inside a mean nucleus gives."""
    read_noise_electrons: float = Field(default=2.0, ge=0, le=100)
    """Standard deviation of the camera's read noise."""
    offset_counts: float = Field(default=100.0, ge=0, le=1e5)
    """What the camera shows in the dark; one count per electron."""


STAINS: dict[str, StainSettings] = {
    "dapi": StainSettings(),
    "hoechst": StainSettings(
        haze_share=0.2,
        texture_share=0.25,
        nucleus_variation=0.25,
        leak_share=0.1,
        background_share=0.03,
        signal_photons=200.0,
        read_noise_electrons=4.0,
    ),
}
"""DAPI on fixed cells (OS-Net's own laboratory, 1 µg/mL) and Hoechst on living ones (the other laboratory, 0.1 µg/mL).

Brightness, leak and noise are starting values; the paper states none.
"""


class StainMaskSettings(Settings):
    """How a laboratory makes a mask from a stain."""

    method: Literal["half-maximum", "otsu"] = "half-maximum"
    """Otsu's threshold, then each object cut half-way between the background and its own inside; or Otsu's alone."""
    smoothing_um: float = Field(default=0.2, ge=0, le=5)
    """Gaussian sigma in µm before the threshold; it moves the surface of a ball of radius R inwards by sigma²/R."""
    min_contrast_to_noise: float = Field(default=5.0, ge=0)
    """Otsu's two classes must differ by so many deviations of the noise, else there is no object."""
    min_signal_counts: float = Field(default=60.0, ge=0)
    """An object must stand so many counts above the background, which leaves out stained cytoplasm."""
    min_volume_um3: float = Field(default=5.0, ge=0)
    """Smallest object in µm³; the chromosomes of a dividing cell are far smaller than a nucleus."""


def psf_sigma_um(settings: StainSettings) -> tuple[float, float]:
    """Lateral and axial sigma in µm of the Gaussian next to a wide-field microscope's point-spread function.

    With k = 2π / emission: lateral √2 / (k NA), axial 2 √6 n / (k NA²), the curvature of the paraxial pattern
    (2 J₁(v)/v)² · sinc²(u/4) at its centre.

    Parameters
    ----------
    settings : StainSettings
        ``blur_factor`` is not applied.

    Returns
    -------
    tuple of 2 float
        Lateral, axial, in µm.

    References
    ----------
    Zhang, Zerubia and Olivo-Marin, Appl. Opt. 46, 1819 (2007), doi:10.1364/AO.46.001819 (σ_ρ, σ_z).

    Examples
    --------
    >>> [round(sigma, 3) for sigma in psf_sigma_um(StainSettings())]
    [0.086, 0.333]
    """
    k = 2 * math.pi / settings.emission_um
    aperture = settings.numerical_aperture
    return math.sqrt(2) / (k * aperture), 2 * math.sqrt(6) * settings.immersion_ri / (k * aperture**2)


def simulate_stain(
    nucleus_labels: NDArray[Any],
    cell_labels: NDArray[Any],
    voxel_size_um: VoxelSize,
    *,
    settings: StainSettings,
    rng: np.random.Generator,
    nucleolus_labels: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """The fluorescence image of a nuclear stain.

    Parameters
    ----------
    nucleus_labels, cell_labels : ndarray (Z, Y, X), integer >= 0
        Exact labels, 0 = background.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    settings : StainSettings
    rng : numpy Generator
        The same state gives the same image.
    nucleolus_labels : ndarray (Z, Y, X), optional
        Where the stain is weaker.

    Returns
    -------
    ndarray (Z, Y, X), float32
        Camera counts: ``offset_counts`` plus photons with Poisson and read noise.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: the label images are no volumes of one shape.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> cell = np.ones((6, 20, 22), np.uint8)
    >>> rng = np.random.default_rng(1)
    >>> simulate_stain(cell * 0, cell, (0.4, 0.2, 0.2), settings=STAINS["dapi"], rng=rng).shape
    (6, 20, 22)
    """
    shapes = {array.shape for array in (nucleus_labels, cell_labels, nucleolus_labels) if array is not None}
    if len(shapes) != 1 or nucleus_labels.ndim != 3:
        raise SettingsError("E-SHAPE", f"label images must be Z, Y, X of one shape, not {sorted(shapes)}.")
    check_voxel_size(voxel_size_um)
    stained = _stained(nucleus_labels, voxel_size_um, settings, rng)
    if nucleolus_labels is not None:
        stained[nucleolus_labels > 0] *= np.float32(settings.nucleolus_share)
    np.maximum(stained, np.float32(settings.leak_share), out=stained, where=cell_labels > 0)
    np.maximum(stained, np.float32(settings.background_share), out=stained)
    return _photographed(_blurred(stained, voxel_size_um, settings), settings, rng)


def stain_mask(
    stain: NDArray[Any], voxel_size_um: VoxelSize, *, settings: StainMaskSettings | None = None
) -> NDArray[np.bool_]:
    """The mask of the nuclei, thresholded from a stain as a laboratory does it: Gaussian, threshold, no small specks.

    Holes (nucleoli, coarse chromatin) are filled plane by plane.

    Parameters
    ----------
    stain : ndarray (Z, Y, X), finite
        In camera counts.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    settings : StainMaskSettings, optional

    Returns
    -------
    ndarray (Z, Y, X), bool
        All false without an object.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: no volume. ``E-NAN``: values that are not finite.
    MetadataError
        ``E-VOXEL-SIZE``.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), doi:10.1109/TSMC.1979.4310076.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    options = settings or StainMaskSettings()
    if stain.ndim != 3:
        raise SettingsError("E-SHAPE", f"a stain is a volume Z, Y, X, not {stain.shape}.")
    check_voxel_size(voxel_size_um)
    if not np.isfinite(stain).all():
        raise SettingsError("E-NAN", "the stain has values that are not finite.", cure="Give finite camera counts.")
    smooth = ndimage.gaussian_filter(
        np.asarray(stain, np.float32), [options.smoothing_um / size for size in voxel_size_um], mode="nearest"
    )
    empty = np.zeros(stain.shape, np.bool_)
    if smooth.min() == smooth.max():
        return empty
    cores = smooth > threshold_otsu(smooth)
    outside = smooth[~cores]
    background = float(np.median(outside))
    contrast = float(smooth[cores].mean()) - float(outside.mean())
    if contrast < max(options.min_contrast_to_noise * _noise(stain, cores), options.min_signal_counts):
        return empty
    mask = _half_maximum(smooth, cores, background, voxel_size_um) if options.method == "half-maximum" else cores
    mask = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    return _without_weak_and_small(mask, smooth, background, voxel_size_um, options)


def _noise(stain: NDArray[Any], cores: NDArray[np.bool_]) -> float:
    """Robust standard deviation of one voxel outside the cores, from neighbours along x: cytoplasm does not count."""
    steps = np.diff(np.asarray(stain, np.float32), axis=2)[~(cores[:, :, 1:] | cores[:, :, :-1])]
    return 1.4826 * float(np.median(np.abs(steps))) / math.sqrt(2) if steps.size else 0.0


def _stained(
    labels: NDArray[Any], voxel_size_um: VoxelSize, settings: StainSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Density of stain (Z, Y, X), 1 in a mean nucleus without texture, 0 outside nuclei."""
    from scipy import ndimage

    texture = rng.standard_normal(labels.shape, dtype=np.float32)
    steps = [settings.texture_length_um / size for size in voxel_size_um]
    texture = ndimage.gaussian_filter(texture, steps, mode="wrap")
    deviation = float(texture.std(dtype=np.float64))
    scale = settings.texture_share / deviation if deviation > 0 else 0.0
    texture *= np.float32(scale)
    np.exp(texture - np.float32(settings.texture_share**2 / 2), out=texture)  # mean of a log-normal field: 1
    names = np.unique(labels)
    names = names[names != 0]
    brightness = np.exp(settings.nucleus_variation * rng.standard_normal(len(names))).astype(np.float32)
    place = np.searchsorted(names, labels) if len(names) else np.zeros(labels.shape, np.intp)
    texture *= np.where(labels > 0, np.append(brightness, np.float32(0))[place], np.float32(0))
    return np.asarray(texture, np.float32)


def _blurred(stained: NDArray[np.float32], voxel_size_um: VoxelSize, settings: StainSettings) -> NDArray[np.float32]:
    """In focus and haze, each a Gaussian in µm."""
    from scipy import ndimage

    lateral, axial = (settings.blur_factor * sigma for sigma in psf_sigma_um(settings))
    sigmas = [sigma / size for sigma, size in zip((axial, lateral, lateral), voxel_size_um, strict=True)]
    result = ndimage.gaussian_filter(stained, sigmas, mode="nearest")
    if settings.haze_share > 0:
        sigmas = [sigma / size for sigma, size in zip(settings.haze_um, voxel_size_um, strict=True)]
        haze = ndimage.gaussian_filter(stained, sigmas, mode="nearest")
        result += np.float32(settings.haze_share) * (haze - result)
    return np.asarray(result, np.float32)


def _photographed(light: NDArray[np.float32], settings: StainSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Camera counts, plane by plane because a plane of Poisson numbers takes 8 bytes per pixel."""
    counts = np.empty(light.shape, np.float32)
    for z, plane in enumerate(light):
        electrons = rng.poisson(np.maximum(plane, 0) * settings.signal_photons)
        read = settings.read_noise_electrons * rng.standard_normal(plane.shape)
        counts[z] = electrons + read + settings.offset_counts
    return counts


def _half_maximum(
    smooth: NDArray[np.float32], cores: NDArray[np.bool_], background: float, voxel_size_um: VoxelSize
) -> NDArray[np.bool_]:
    """Each core grown or cut to where the light is half-way between the background and the median deep inside it."""
    from scipy import ndimage

    numbered, _ = ndimage.label(cores)
    margins = [math.ceil(_BOX_MARGIN_UM / size) for size in voxel_size_um]
    mask = np.zeros(cores.shape, np.bool_)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        wide = tuple(
            slice(max(0, part.start - margin), part.stop + margin) for part, margin in zip(box, margins, strict=True)
        )
        core = numbered[wide] == number
        depth = ndimage.distance_transform_edt(np.pad(core, 1), sampling=voxel_size_um)[1:-1, 1:-1, 1:-1]
        inside = float(np.median(smooth[wide][depth >= _DEEP_SHARE * depth.max()]))
        level = (background + inside) / 2
        bright, _ = ndimage.label(smooth[wide] > level)
        touching = np.unique(bright[core])
        mask[wide] |= np.isin(bright, touching[touching > 0])
    return mask


def _without_weak_and_small(
    mask: NDArray[np.bool_],
    smooth: NDArray[np.float32],
    background: float,
    voxel_size_um: VoxelSize,
    options: StainMaskSettings,
) -> NDArray[np.bool_]:
    from scipy import ndimage

    numbered, count = ndimage.label(mask)
    if count == 0:
        return mask
    index = np.arange(1, count + 1)
    volume = np.bincount(numbered.ravel(), minlength=count + 1)[1:] * math.prod(voxel_size_um)
    signal = np.asarray(ndimage.median(smooth, numbered, index)) - background
    is_large = np.concatenate([[False], (volume >= options.min_volume_um3) & (signal >= options.min_signal_counts)])
    return np.asarray(is_large[numbered], np.bool_)
