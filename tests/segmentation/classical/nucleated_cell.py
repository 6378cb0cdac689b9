"""A ball with a darker ball in it, as a mask and as a noisy tomogram: what the tests of nuclei and inclusions share."""

from __future__ import annotations

import numpy as np

SIZE = (0.31, 0.17, 0.13)
SHAPE = (44, 80, 104)
CENTRE = (6.8, 6.8, 6.8)


def ball(centre_um: tuple[float, float, float], radius_um: float) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * size for n, size in zip(SHAPE, SIZE, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (z - centre_um[0]) ** 2 + (y - centre_um[1]) ** 2 + (x - centre_um[2]) ** 2 <= radius_um**2


def noisy(image: np.ndarray, sigma: float = 0.0005) -> np.ndarray:
    return (image + np.random.default_rng(0).normal(0, sigma, image.shape)).astype(np.float32)


CELL = ball(CENTRE, 6.0)
NUCLEUS = ball((6.8, 6.8, 7.6), 3.0)
IMAGE = noisy(np.where(NUCLEUS, 1.350, np.where(CELL, 1.358, 1.335)))
