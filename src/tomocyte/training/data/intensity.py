"""What an instrument does to values: contrast, background, fringes, blur and noise, on the normalised image.

Every size is in normalised units, where the image's own spread is about 1. Values change here and nowhere else in
training. To add an effect, add its settings and a step in ``change_intensity``; order as in the light path.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte.settings import Settings

Floats = NDArray[np.float32]


class IntensitySettings(Settings):
    """Which changes of value a sample may go through; the defaults do nothing."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """Chance of each change below, drawn for each separately."""
    gamma: tuple[float, float] = (1.0, 1.0)
    """Range of the exponent on values brought to [0, 1] by the sample's own extremes, and back."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Values are multiplied by 1 ± up to this, each channel on its own."""
    shift: float = Field(default=0.0, ge=0)
    """± up to this is added, each channel on its own."""
    background: float = Field(default=0.0, ge=0)
    """Largest size of a slow polynomial added to all channels."""
    background_degree: int = Field(default=2, ge=1, le=4)
    """Its degree."""
    fringes: float = Field(default=0.0, ge=0)
    """Largest amplitude of a sinusoid of random direction and phase, like the fringes of coherent light."""
    fringe_period_px: tuple[float, float] = (6.0, 60.0)
    """Range of its period in pixels of x."""
    blur_px: tuple[float, float] = (0.0, 0.0)
    """Range of the sigma of a Gaussian blur in pixels of x."""
    noise: tuple[float, float] = (0.0, 0.0)
    """Range of the standard deviation of independent Gaussian noise."""
    anisotropy: float = Field(default=1.0, gt=0, le=100)
    """Voxel size along z over that along x; blur and fringes are the same in µm along z as along x."""

    @model_validator(mode="after")
    def _is_possible(self) -> IntensitySettings:
        for name, lowest in (("gamma", 0.1), ("fringe_period_px", 2.0), ("blur_px", 0.0), ("noise", 0.0)):
            low, high = getattr(self, name)
            if not lowest <= low <= high < float("inf"):
                raise ValueError(f"{name!r} must be a range from at least {lowest}")
        return self


def change_intensity(image: Floats, settings: IntensitySettings, rng: np.random.Generator) -> Floats:
    """The image with random contrast, background, fringes, blur and noise, in this order.

    Parameters
    ----------
    image : ndarray
        (C, Y, X) or (C, Z, Y, X) float32, normalised, finite.
    settings : IntensitySettings
    rng : numpy.random.Generator

    Returns
    -------
    ndarray
        As given; a new array.
    """
    from scipy import ndimage

    image = image.copy()
    spatial, n = image.shape[1:], image.ndim - 1
    each = (len(image), *[1] * n)

    def is_drawn(is_active: bool) -> bool:
        return is_active and bool(rng.random() < settings.probability)

    if is_drawn(settings.gamma != (1.0, 1.0)):
        image = _with_gamma(image, float(np.exp(rng.uniform(*np.log(settings.gamma)))))
    if is_drawn(settings.scale > 0):
        image *= (1 + rng.uniform(-settings.scale, settings.scale, each)).astype(np.float32)
    if is_drawn(settings.shift > 0):
        image += rng.uniform(-settings.shift, settings.shift, each).astype(np.float32)
    if is_drawn(settings.background > 0):
        size = float(rng.uniform(0, settings.background))
        image += slow_background(spatial, size, settings.background_degree, rng)
    if is_drawn(settings.fringes > 0):
        size, period = float(rng.uniform(0, settings.fringes)), float(rng.uniform(*settings.fringe_period_px))
        image += fringes(spatial, size, period, rng, anisotropy=settings.anisotropy)
    if is_drawn(settings.blur_px[1] > 0):
        sigma = float(rng.uniform(*settings.blur_px))
        sigmas = (0.0, *[sigma / settings.anisotropy] * (n - 2), sigma, sigma)
        image = np.asarray(ndimage.gaussian_filter(image, sigmas, mode="reflect"))
    if is_drawn(settings.noise[1] > 0):
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noise *= np.float32(rng.uniform(*settings.noise))
        image += noise
    return image


def _with_gamma(image: Floats, exponent: float) -> Floats:
    """Each channel's values to [0, 1], to the power, and back."""
    axes = tuple(range(1, image.ndim))
    low = image.min(axes, keepdims=True)
    span = np.maximum(image.max(axes, keepdims=True) - low, np.float32(1e-12))
    return np.asarray(((image - low) / span) ** np.float32(exponent) * span + low, dtype=np.float32)


def slow_background(shape: tuple[int, ...], size: float, degree: int, rng: np.random.Generator) -> Floats:
    """A random polynomial of the position.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    size : float
        Largest absolute value, reached somewhere.
    degree : int
        Largest total degree; there is no constant term.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray
        (*shape) float32.
    """
    axes = [np.linspace(-1, 1, length, dtype=np.float32) if length > 1 else np.zeros(1, np.float32) for length in shape]
    total: Floats = np.zeros(shape, dtype=np.float32)
    powers = [p for p in product(range(degree + 1), repeat=len(shape)) if 1 <= sum(p) <= degree]
    for power, weight in zip(powers, rng.uniform(-1, 1, len(powers)), strict=True):
        term = np.full([1] * len(shape), weight, dtype=np.float32)
        for i, exponent in enumerate(power):
            if exponent:
                term = term * (axes[i] ** exponent).reshape([-1 if j == i else 1 for j in range(len(shape))])
        total += term
    return total * np.float32(size / max(float(np.abs(total).max()), 1e-12))


def fringes(
    shape: tuple[int, ...], size: float, period_px: float, rng: np.random.Generator, *, anisotropy: float = 1.0
) -> Floats:
    """A plane wave of random direction and phase.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    size : float
        Amplitude.
    period_px : float
        Period in pixels of x.
    rng : numpy.random.Generator
    anisotropy : float
        Voxel size along z over that along x.

    Returns
    -------
    ndarray
        (*shape) float32.
    """
    direction = rng.standard_normal(len(shape))
    direction *= 2 * np.pi / (period_px * np.linalg.norm(direction))
    if len(shape) == 3:
        direction[0] *= anisotropy
    axes = np.ogrid[tuple(slice(length) for length in shape)]
    phase: Floats = np.full([1] * len(shape), rng.uniform(0, 2 * np.pi), dtype=np.float32)
    for step, axis in zip(direction, axes, strict=True):
        phase = np.asarray(phase + step * axis, dtype=np.float32)
    return np.asarray(np.float32(size) * np.sin(phase), dtype=np.float32)
