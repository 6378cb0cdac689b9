"""Object scale and significance: known balls and discs in known noise, and noise alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.modalities import modality
from tomocyte.segmentation import segment
from tomocyte.segmentation.classical.scale_space import estimate_diameter_um, significance, slow_background

SOLID, PLANE = (12, 50, 60), (1, 110, 130)


def pure_noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    if kind == "gaussian":
        return rng.normal(100, 10, shape)
    if kind == "poisson":
        return rng.poisson(4, shape).astype(np.float64)
    if kind == "uniform":
        return rng.uniform(0, 200, shape)
    if kind == "blurred":
        return 100 + 30 * ndimage.gaussian_filter(rng.normal(0, 1, shape), [0 if n == 1 else 1 for n in shape])
    if kind == "gradient":
        return rng.normal(100, 10, shape) + np.linspace(0, 80, shape[2])
    if kind == "vignetting":
        y, x = np.meshgrid(np.linspace(-1, 1, shape[1]), np.linspace(-1, 1, shape[2]), indexing="ij")
        return rng.poisson(np.broadcast_to(30 * (1 - 0.3 * (y**2 + x**2)), shape)).astype(np.float64)
    return np.full(shape, 100.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [SOLID, PLANE])
@pytest.mark.parametrize("kind", ["gaussian", "poisson", "uniform", "blurred", "gradient", "vignetting", "flat"])
def test_there_is_nothing_in_pure_noise(kind: str, shape: tuple[int, ...], seed: int) -> None:
    noise = pure_noise(kind, shape, np.random.default_rng(seed))
    size_um = (0.3, 0.12, 0.1) if shape[0] > 1 else (math.nan, 0.6, 0.5)
    settings = modality("fluorescence").segmentation
    for image in (noise.clip(0, 255).astype(np.uint8), (noise * 50).astype(np.uint16), noise.astype(np.float32)):
        labels = segment(image.astype(np.float32), size_um, settings)
        assert not labels["cell"].any()
    given = settings.model_copy(update={"object_diameter_um": 20 * size_um[2]})
    assert not segment(noise.astype(np.float32), size_um, given)["cell"].any()


def balls(
    shape: tuple[int, int, int], size_um: tuple[float, float, float], radius_um: float, centres: list[Any]
) -> NDArray[np.bool_]:
    at = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, size_um, strict=True)), indexing="ij"))
    inside = np.zeros(shape, dtype=bool)
    for centre in centres:
        inside |= ((at - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) < radius_um**2
    return inside


@pytest.mark.parametrize("radius_um", [2.0, 4.0])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_diameter_of_balls(radius_um: float, scale: float) -> None:
    size_um = (0.8, 0.4, 0.5)
    inside = balls((30, 80, 70), size_um, radius_um, [(12, 8, 9), (12, 24, 9), (12, 8, 26), (12, 24, 26)])
    image = np.random.default_rng(1).normal(100, 5, inside.shape) + 40 * inside
    image[3, 3:5, 3:5] = 4000  # one bright speck
    diameter = estimate_diameter_um((scale * image).astype(np.float32), size_um)
    assert diameter is not None
    # The ladder's step is 1.41.
    assert 2 * radius_um / 1.42 < diameter < 2 * radius_um * 1.42


def test_diameter_scales_with_the_voxel() -> None:
    inside = balls((20, 60, 60), (1, 1, 1), 6.0, [(10, 15, 15), (10, 40, 40)])
    image = (np.random.default_rng(2).normal(10, 1, inside.shape) + 8 * inside).astype(np.float32)
    small, large = (estimate_diameter_um(image, (s, s, s)) for s in (0.1, 0.3))
    assert small is not None
    assert large is not None
    assert large == pytest.approx(3 * small, rel=1e-6)


def test_only_what_stands_out_of_the_noise_is_significant() -> None:
    size_um = (0.5, 0.5, 0.5)
    one, other = (balls((24, 50, 60), size_um, 3.0, [centre]) for centre in ((6, 8, 8), (6, 16, 20)))
    image = np.random.default_rng(3).normal(100, 10, one.shape) + 30 * one
    labels = (one + 2 * other).astype(np.uint8)
    found = significance(image.astype(np.float32), size_um, 6.0)
    assert found is not None
    assert found.reach(labels, 2).tolist() == [False, True, False]


def test_slow_background_is_a_quadratic_beneath_the_objects() -> None:
    y, x = np.meshgrid(np.linspace(-1, 1, 120), np.linspace(-1, 1, 100), indexing="ij")
    surface = 50 + 20 * x - 10 * y**2
    image = surface + 500 * ((np.hypot(y - 0.3, x) < 0.2) | (np.hypot(y + 0.5, x + 0.4) < 0.2))
    assert np.abs(slow_background(image[None])[0] - surface).max() < 1.0


def test_nuclei_on_an_uneven_background_are_all_there() -> None:
    size_um = (1.0, 0.5, 0.5)
    centres = [(12, y, x) for y in (12, 32) for x in (12, 32, 52)]
    inside = balls((24, 90, 130), size_um, 5.0, centres)
    rng = np.random.default_rng(4)
    image = rng.poisson(20 + np.linspace(0, 15, 130) + 60 * inside).astype(np.uint16)
    labels = segment(image.astype(np.float32), size_um, modality("fluorescence").segmentation)["cell"]
    assert labels.max() == len(centres)
    overlap = np.count_nonzero((labels > 0) & inside) / np.count_nonzero((labels > 0) | inside)
    assert overlap > 0.85


def test_dim_nuclei_beside_bright_ones() -> None:
    size_um = (1.0, 0.5, 0.5)
    inside = np.zeros((24, 90, 130))
    for (y, x), height in {(12, 12): 60, (12, 40): 100, (32, 12): 150, (32, 40): 200}.items():
        inside += height * balls(inside.shape, size_um, 5.0, [(12, y, x)])  # type: ignore[arg-type]
    blurred = ndimage.gaussian_filter(inside, [0.8, 1.5, 1.5])
    image = np.random.default_rng(5).normal(100 + blurred, 5).astype(np.float32)
    labels = segment(image, size_um, modality("fluorescence").segmentation)["cell"]
    volumes = np.bincount(labels.ravel())[1:] * 0.25
    assert len(volumes) == 4
    # 4/3 pi 5³ µm³ = 524.
    assert volumes == pytest.approx(np.full(4, 524.0), rel=0.3)
