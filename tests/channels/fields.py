"""Fields of spots in two channels of which it is exactly known how they lie on each other."""

from __future__ import annotations

import numpy as np

from tomocyte.channels.registration import Registration
from tomocyte.channels.transform import ChannelTransform

SIZE_UM = (0.25, 0.0668, 0.0668)


def spots(
    shape: tuple[int, int, int], transform: ChannelTransform, *, seed: int = 0, n: int = 500
) -> tuple[np.ndarray, np.ndarray]:
    """Two channels of Gaussian spots, drawn where the transform's formula puts them, each spot of another ratio."""
    rng = np.random.default_rng(seed)
    size, half = np.array(SIZE_UM), (np.array(shape) - 1) / 2
    centres = ((rng.random((n, 3)) * 1.1 - 0.55) * np.array(shape) * size).T
    light = rng.random(n) * 800 + 100
    return (
        rng.poisson(drawn(shape, centres / size[:, None] + half[:, None], light) + 100).astype(np.uint16),
        rng.poisson(
            drawn(shape, by_hand(transform, centres) / size[:, None] + half[:, None], light * rng.uniform(0.4, 1.6, n))
            + 100
        ).astype(np.uint16),
    )


def by_hand(transform: ChannelTransform, places_um: np.ndarray) -> np.ndarray:
    """The transform as the documentation writes it: z; y = t + m (y cos a + x sin a); x = t + m (x cos a - y sin a)."""
    angle, (z, y, x) = np.deg2rad(transform.rotation_deg), places_um
    turned = (z, y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle))
    parts = zip(transform.translation_um, transform.magnification, turned, strict=True)
    return np.stack([shift + magnification * part for shift, magnification, part in parts])


def drawn(shape: tuple[int, int, int], index: np.ndarray, light: np.ndarray) -> np.ndarray:
    image, reach = np.zeros(shape), np.array([4, 9, 9])
    for place, amount in zip(index.T, light, strict=True):
        low = np.maximum(np.floor(place - reach).astype(int), 0)
        high = np.minimum(np.ceil(place + reach + 1).astype(int), shape)
        if (high <= low).any():
            continue
        sides = [
            np.exp(-0.5 * ((np.arange(a, b) - at) / width) ** 2)
            for a, b, at, width in zip(low, high, place, (1.2, 2.2, 2.2), strict=True)
        ]
        image[low[0] : high[0], low[1] : high[1], low[2] : high[2]] += amount * np.einsum("i,j,k->ijk", *sides)
    return image


def residual_voxels(found: Registration, transform: ChannelTransform, shape: tuple[int, int, int]) -> np.ndarray:
    """How far the result is wrong along z, y, x in the worst corner of the field."""
    size = np.array(SIZE_UM)
    half = (np.array(shape) - 1) / 2 * size
    corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1) * half[:, None]
    apart = by_hand(found.transform, corners) - by_hand(transform, corners)
    return np.abs(apart).max(axis=1) / size
