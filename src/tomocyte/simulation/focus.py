"""Images of a stained organelle in and out of focus, with the exact mask of what is in focus: what FG-net learns from.

One plane of a confocal microscope through a thin cell: organelles are strings of balls (vesicles, tubes, ribbons), each
ball is blurred by its distance from the plane, and light of far planes gets through the pinholes. Cheap, for training;
whole cells with all compartments are simulated by ``tomocyte simulate``. To add a kind of organelle, add it to
:data:`KINDS`.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.settings import Settings
from tomocyte.simulation.instruments._instrument import log_uniform

Kind = Literal["vesicles", "tubes", "network", "ribbons"]
KINDS: tuple[Kind, ...] = get_args(Kind)
N_WIDTHS = 16
"""Widths of blur that are told apart."""
SMALLEST_REACH = 0.71
"""Of a disc in a mask, in pixels: the disc then holds the centre of at least one."""
_RADII_UM: dict[Kind, tuple[float, float]] = {
    "vesicles": (0.1, 0.4),
    "tubes": (0.12, 0.3),
    "network": (0.04, 0.09),
    "ribbons": (0.08, 0.2),
}
_LENGTHS_UM: dict[Kind, tuple[float, float]] = {
    "vesicles": (0.0, 0.0),
    "tubes": (0.5, 8.0),
    "network": (4.0, 15.0),
    "ribbons": (1.0, 4.0),
}
_OBJECTS_PER_UM2: dict[Kind, tuple[float, float]] = {
    "vesicles": (0.1, 0.8),
    "tubes": (0.05, 0.3),
    "network": (0.05, 0.2),
    "ribbons": (0.01, 0.06),
}
"""Range of the number of objects above and below a square µm of the cell."""
_BENDING: dict[Kind, float] = {"vesicles": 0.0, "tubes": 0.25, "network": 0.5, "ribbons": 0.9}
"""Standard deviation of the direction per step, in radians."""


class FocusSettings(Settings):
    """The cell, its stain and the microscope."""

    shape: tuple[int, int] = (256, 256)
    """Pixels y, x."""
    pixel_size_um: float = Field(default=0.1, gt=0.01, le=1)
    """Of both axes."""
    thickness_um: tuple[float, float] = (2.0, 6.0)
    """Range of the height of the cell around the plane."""
    depth_um: float = Field(default=0.25, gt=0, le=5)
    """How far above and below the plane something is still in focus; half of the axial width at half maximum."""
    lateral_sigma_um: float = Field(default=0.06, gt=0, le=1)
    """Of the image of a point in focus."""
    spread: float = Field(default=0.35, ge=0, le=2)
    """How much wider the image of a point is per µm of its distance from the plane, in µm."""
    axial_sigma_um: float = Field(default=0.22, gt=0, le=5)
    """Of the share of light that passes the pinholes, against the distance from the plane."""
    crosstalk: tuple[float, float] = (0.02, 0.15)
    """Range of the share of light that passes them from any distance."""
    haze: tuple[float, float] = (0.02, 0.3)
    """Range of the dye that is nowhere bound, over that of a typical object in focus."""
    photons: tuple[float, float] = (15.0, 150.0)
    """Range of those that a bright pixel gives, log-uniform."""
    gain: tuple[float, float] = (0.5, 8.0)
    """Range of camera counts per photon, log-uniform."""
    read_noise_counts: float = Field(default=2.0, ge=0, le=100)
    """Standard deviation."""
    offset_counts: float = Field(default=100.0, ge=0, le=1e4)
    """What the camera shows in the dark."""


def simulate_focus(
    kind: Kind, settings: FocusSettings | None = None, *, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One image of a stained organelle and what of it is in focus.

    Parameters
    ----------
    kind : {"vesicles", "tubes", "network", "ribbons"}
    settings : FocusSettings, optional
    rng : numpy.random.Generator

    Returns
    -------
    tuple of ndarray (Y, X), float32, and ndarray (Y, X), bool
        Camera counts, and the mask of all balls cut by a slab of ``depth_um`` above and below the plane.

    Examples
    --------
    >>> image, mask = simulate_focus("vesicles", FocusSettings(shape=(64, 96)), rng=np.random.default_rng(1))
    >>> image.shape, bool(image[mask].mean() > image[~mask].mean())
    ((64, 96), True)
    """
    options = settings or FocusSettings()
    balls, brightness = organelle_balls(kind, options, rng)
    light = focused_light(balls, brightness, options, crosstalk=rng.uniform(*options.crosstalk))
    mask = in_focus_mask(balls, options)
    typical = float(np.median(light[mask])) if mask.any() else float(light.max()) or 1.0
    light += rng.uniform(*options.haze) * typical * _cell_shade(options.shape, rng)
    photons = log_uniform(options.photons, rng) / max(float(np.percentile(light, 99.5)), 1e-12) * light
    counts = log_uniform(options.gain, rng) * rng.poisson(photons)
    counts = counts + options.offset_counts + rng.normal(0, options.read_noise_counts, options.shape)
    return np.maximum(counts, 0).astype(np.float32), mask


def organelle_balls(
    kind: Kind, settings: FocusSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The balls of which the organelles of one cell consist.

    Returns
    -------
    tuple of ndarray (n, 4) and ndarray (n,)
        z (0: the plane), y, x and radius in µm; the light of each.
    """
    height, width = (n * settings.pixel_size_um for n in settings.shape)
    thickness = rng.uniform(*settings.thickness_um)
    n_objects = max(1, int(rng.poisson(rng.uniform(*_OBJECTS_PER_UM2[kind]) * height * width)))
    bottom = -rng.uniform(0.3, 0.7) * thickness
    parts, lights = [], []
    for _ in range(n_objects):
        radius = rng.uniform(*_RADII_UM[kind])
        start = np.array([bottom + rng.uniform(0, thickness), rng.uniform(0, height), rng.uniform(0, width)])
        n_steps = int(rng.uniform(*_LENGTHS_UM[kind]) / (0.5 * radius)) if kind != "vesicles" else 0
        angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, _BENDING[kind], n_steps)) * np.sqrt(radius / 0.2)
        slopes = 0.15 * rng.standard_normal() + 0.1 * rng.standard_normal(n_steps)
        steps = 0.5 * radius * np.stack([slopes, np.sin(angles), np.cos(angles)], axis=1)
        path = np.vstack([start, start + np.cumsum(steps, axis=0)])
        parts.append(np.column_stack([path, np.full(len(path), radius)]))
        lights.append(np.full(len(path), radius**2 * np.exp(rng.normal(0, 0.3))))
    return np.concatenate(parts), np.concatenate(lights)


def focused_light(
    balls: NDArray[np.float64], brightness: NDArray[np.float64], settings: FocusSettings, *, crosstalk: float
) -> NDArray[np.float64]:
    """Light (Y, X) that balls give in the plane, each blurred by its size and its distance.

    Parameters
    ----------
    balls : ndarray (n, 4)
        As of :func:`organelle_balls`.
    brightness : ndarray (n,)
    settings : FocusSettings
    crosstalk : float
        Share of the light that passes the pinholes from any distance.
    """
    from scipy import ndimage

    pixel = settings.pixel_size_um
    distance = np.abs(balls[:, 0])
    passed = crosstalk + (1 - crosstalk) * np.exp(-0.5 * (distance / settings.axial_sigma_um) ** 2)
    sigma = np.hypot(settings.lateral_sigma_um + settings.spread * distance, 0.5 * balls[:, 3]) / pixel
    edges = np.geomspace(sigma.min(), sigma.max() * (1 + 1e-9), N_WIDTHS + 1) if len(sigma) else np.ones(1)
    group = np.clip(np.searchsorted(edges, sigma, side="right") - 1, 0, N_WIDTHS - 1)
    bounds = [(0.0, n * pixel) for n in settings.shape]
    light = np.zeros(settings.shape)
    for number in np.unique(group):
        own = group == number
        weights = brightness[own] * passed[own]
        points, _, _ = np.histogram2d(balls[own, 1], balls[own, 2], settings.shape, bounds, weights=weights)
        light += ndimage.gaussian_filter(points, float(sigma[own].mean()), mode="constant")
    return light


def in_focus_mask(balls: NDArray[np.float64], settings: FocusSettings) -> NDArray[np.bool_]:
    """The union (Y, X) of the balls within ``depth_um`` of the plane, seen from above; a pixel counts by its centre.

    What is thinner than a pixel is drawn as wide as one, so that tubes do not break.
    """
    pixel = settings.pixel_size_um
    beyond = np.maximum(np.abs(balls[:, 0]) - settings.depth_um, 0)
    mask = np.zeros(settings.shape, bool)
    for (_, y, x, radius), far in zip(balls, beyond, strict=True):
        if far >= radius:
            continue
        reach = max(float(np.sqrt(radius**2 - far**2)) / pixel, SMALLEST_REACH)
        middle = (y / pixel - 0.5, x / pixel - 0.5)
        low = [max(0, int(np.ceil(at - reach))) for at in middle]
        high = [max(0, min(n, int(np.floor(at + reach)) + 1)) for at, n in zip(middle, settings.shape, strict=True)]
        if low[0] >= high[0] or low[1] >= high[1]:
            continue
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        mask[low[0] : high[0], low[1] : high[1]] |= (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= reach**2
    return mask


def _cell_shade(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Unbound dye (Y, X) around 1: thicker here, thinner there."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), max(shape) / 8, mode="wrap")
    deviation = float(smooth.std())
    return np.asarray(np.exp(0.5 * smooth / deviation)) if deviation > 0 else np.ones(shape)
