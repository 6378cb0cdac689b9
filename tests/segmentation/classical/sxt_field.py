"""A made-up soft X-ray tomogram whose parts are known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIZE_UM = (0.16, 0.15, 0.14)
SHAPE = (72, 90, 100)
WATER, CELL, GLASS, BEAD = 0.11, 0.3, 0.95, 1.2
INNER_UM, OUTER_UM = 5.2, 5.7
CENTRE_UM = (6.8, 7.1)
Image = NDArray[np.float32]
Balls = tuple[tuple[float, float, float, float], ...]
CELLS: Balls = ((5.0, 5.2, 6.2, 2.4), (6.0, 9.4, 7.6, 2.3))
BEADS: Balls = ((8.5, 4.0, 9.3, 0.9), (2.0, 9.8, 8.5, 0.9))


def away_um(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.float64]:
    """Distance from the axis of the capillary, tilted by 1 degree towards +y."""
    z, y, x = positions(shape)
    return np.hypot(y - CENTRE_UM[0] - 0.0175 * z, x - CENTRE_UM[1])


def positions(shape: tuple[int, int, int] = SHAPE) -> list[NDArray[np.float64]]:
    ranges = [(np.arange(n) + 0.5) * size for n, size in zip(shape, SIZE_UM, strict=True)]
    return list(np.meshgrid(*ranges, indexing="ij", sparse=True))


def ball(centre: tuple[float, ...], radius: float, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.bool_]:
    offsets = zip(positions(shape), centre, strict=True)
    return np.asarray(sum((axis - at) ** 2 for axis, at in offsets) < radius**2)


def field(
    *,
    cells: Balls = CELLS,
    beads: Balls = BEADS,
    has_glass: bool = True,
    noise: float = 0.01,
    cell_value: float = CELL,
    shape: tuple[int, int, int] = SHAPE,
) -> tuple[Image, dict[str, NDArray[np.uint8]]]:
    """Coefficients in 1/um, blurred by 0.08 um and noisy, and the exact labels. Cells are textured, beads are not."""
    rng = np.random.default_rng(2)
    image = np.full(shape, WATER)
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    texture *= 0.03 / texture.std() * (cell_value - WATER) / (CELL - WATER)
    labels = {name: np.zeros(shape, np.uint8) for name in ("cell", "bead", "capillary")}
    for name, balls in (("cell", cells), ("bead", beads)):
        for number, (*centre, radius) in enumerate(balls, start=1):
            inside = ball(tuple(centre), radius, shape) & (labels["cell"] == 0)
            labels[name][inside] = number
            image[inside] = BEAD if name == "bead" else (cell_value + texture)[inside]
    if has_glass:
        away = away_um(shape)
        image[away > OUTER_UM] = 0
        glass = (away >= INNER_UM) & (away <= OUTER_UM)
        image[glass] = GLASS
        labels["capillary"] = glass.astype(np.uint8)
        for name in ("cell", "bead"):
            labels[name][away >= INNER_UM] = 0
    image = ndimage.gaussian_filter(image, [0.08 / size for size in SIZE_UM])
    return (image + rng.normal(0, noise, shape)).astype(np.float32), labels
