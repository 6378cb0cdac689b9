"""What `benchmarks/propagation.py` propagates labels in: simulated cells, and real volumes where a folder is given.

The simulated cells are ellipsoids, warped smoothly, each with a nucleus off its centre; labels are 1 (cytoplasm) and 2
(nucleus). *Easy* adds white noise of half the contrast between cytoplasm and medium; *hard* has a contrast-to-noise
ratio of 1.5 and, besides, uneven illumination, texture inside the cells and bright granules. To add an input, add a
function to :data:`SIMULATED` or :data:`REAL`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Shape = tuple[int, int, int]
Size = tuple[float, float, float]
STEP = 40.0
"""Grey levels between medium and cytoplasm, and between cytoplasm and nucleus."""


@dataclass(frozen=True)
class Case:
    """An image, labels on a few of its slices, and the labels that all slices should have.

    Parameters
    ----------
    name : str
    image : uint8 ndarray (Z, Y, X)
    truth : uint8 ndarray (Z, Y, X)
        0 is background.
    sparse : uint8 ndarray (Z, Y, X)
        ``truth`` on the labelled slices, 0 elsewhere.
    slices : tuple of int
        The labelled ones.
    voxel_size_um : tuple of 3 float
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    sparse: NDArray[np.uint8]
    slices: tuple[int, ...]
    voxel_size_um: Size

    def save(self, folder: Path) -> Path:
        """Write the case to ``<name>.npz``, for programs that run elsewhere."""
        path = folder / f"{self.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path, image=self.image, truth=self.truth, sparse=self.sparse, slices=np.array(self.slices),
            voxel_size_um=np.array(self.voxel_size_um),
        )  # fmt: skip
        return path


def every(name: str, step: int, image: NDArray[Any], truth: NDArray[Any], size: Size) -> Case:
    """A case with every ``step``-th slice labelled, the first and last of them equally far from the ends."""
    n_slices = truth.shape[0]
    slices = tuple(range((n_slices - 1) % step // 2, n_slices, step))
    sparse = np.zeros(truth.shape, np.uint8)
    sparse[list(slices)] = truth[list(slices)]
    return Case(name, np.ascontiguousarray(image), truth.astype(np.uint8), sparse, slices, size)


def smooth_noise(shape: Shape, sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of that correlation length (voxels), mean 0 and standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def cells(shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Labels (Z, Y, X) of warped ellipsoids that do not overlap: 1 cytoplasm, 2 nucleus."""
    side = float(shape[1])
    warp = [0.022 * side * smooth_noise(shape, 0.05 * side, rng) for _ in range(3)]
    place = [axis + w for axis, w in zip(np.indices(shape, np.float32, sparse=True), warp, strict=True)]
    labels = np.zeros(shape, np.uint8)
    centres: list[NDArray[np.float64]] = []
    radii: list[float] = []
    for _ in range(4000):
        radius = rng.uniform(0.14, 0.21) * side
        centre = rng.uniform(0, 1, 3) * (np.array(shape) + 0.2 * side) - 0.1 * side
        apart = [np.linalg.norm(centre - c) - 0.92 * (radius + r) for c, r in zip(centres, radii, strict=True)]
        if min(apart, default=1.0) < 0:
            continue
        centres.append(centre)
        radii.append(radius)
        cell = ellipsoid(place, centre, radius * rng.uniform(0.8, 1.1, 3), rng) & (labels == 0)
        labels[cell] = 1
        inner = centre + rng.normal(size=3) * 0.12 * radius
        labels[ellipsoid(place, inner, radius * rng.uniform(0.4, 0.58, 3), rng) & cell] = 2
    return labels


def ellipsoid(
    place: list[NDArray[np.float32]], centre: NDArray[Any], semi_axes: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Voxels within a rotated ellipsoid, in warped coordinates."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0] / semi_axes[:, np.newaxis]
    shift = [axis - c for axis, c in zip(place, centre, strict=True)]
    return np.asarray(sum(sum(w * s for w, s in zip(row, shift, strict=True)) ** 2 for row in rotation) <= 1)


def easy_image(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Grey levels of the labels with white noise, contrast-to-noise ratio 2."""
    return as_grey(70 + STEP * labels + rng.normal(0, STEP / 2, labels.shape))


def hard_image(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """... with uneven illumination, texture, granules, and a contrast-to-noise ratio of 1.5."""
    shape: Any = labels.shape
    side = float(shape[1])
    image = 70 + STEP * labels.astype(np.float32)
    image += 0.5 * STEP * smooth_noise(shape, 0.2 * side, rng)
    image += np.where(labels > 0, 0.25 * STEP * smooth_noise(shape, 0.012 * side, rng), 0)
    granules = gaussian_filter((rng.random(shape) < 1e-4).astype(np.float32), 2.0)
    image += np.where(labels == 1, STEP * np.minimum(1, granules / 0.004), 0)
    return as_grey(image + rng.normal(0, STEP / 1.5, shape))


def as_grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


SIMULATED: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]] = {
    "easy": easy_image,
    "hard": hard_image,
}


def simulated(seed: int, shape: Shape, step: int, names: Sequence[str] | None = None) -> Iterator[Case]:
    """Every kind of image of :data:`SIMULATED`, or those whose names begin so, of one field of cells."""
    wanted = [kind for kind in SIMULATED if not names or f"{kind}-{seed}".startswith(tuple(names))]
    labels = cells(shape, np.random.default_rng((seed, 0))) if wanted else np.zeros(0, np.uint8)
    for kind in wanted:
        grey = SIMULATED[kind](labels, np.random.default_rng((seed, 1 + list(SIMULATED).index(kind))))
        yield every(f"{kind}-{seed}", step, grey, labels, (1.0, 1.0, 1.0))


def scaling(shape: Shape, whole: Shape, step: int) -> Iterator[Case]:
    """The same 200 balls with 2 and with 200 labels; a field of cells mirrored to a large one, and to half of it."""
    rng = np.random.default_rng((0, 9))
    counts = (5, 8, 5)
    balls = np.zeros(shape, np.uint8)
    place = [np.arange(n, dtype=np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
             for axis, n in enumerate(shape)]  # fmt: skip
    pitch = np.array(shape) / counts
    for number, index in enumerate(np.ndindex(counts)):
        centre = (np.array(index) + rng.uniform(0.4, 0.6, 3)) * pitch
        parts = (((axis - c) / (0.42 * p)) ** 2 for axis, c, p in zip(place, centre, pitch, strict=True))
        balls[sum(parts) <= 1] = number + 1
    image = easy_image((balls > 0).astype(np.uint8), rng)
    yield every("labels-2", step, image, np.where(balls > 0, 1 + balls % 2, 0), (1.0, 1.0, 1.0))
    yield every("labels-200", step, image, balls, (1.0, 1.0, 1.0))
    field = next(simulated(0, shape, step, ("easy",)))
    for name, size in (("half", (whole[0] // 2, whole[1], whole[2])), ("whole", whole)):
        width = [(0, most - own) for most, own in zip(size, shape, strict=True)]
        mirrored = (np.pad(values, width, mode="reflect") for values in (field.image, field.truth))
        yield every(name, step, *mirrored, (1.0, 1.0, 1.0))


def cristae(folder: Path) -> Iterator[Case]:
    """Membrane and cristae of a mitochondrion; the published mask ends with slices 25 and 131."""
    image = tifffile.imread(folder / "sxt_contour" / "cristae_tomogram.tif")[25:132]
    truth = tifffile.imread(folder / "sxt_contour" / "cristae_membrane_mask.tif")[25:132] > 0
    for step in (5, 10, 20):
        yield every(f"cristae-{step}", step, image, truth, (0.01, 0.01, 0.01))


def nuclei(folder: Path) -> Iterator[Case]:
    """54 nuclei of an ovule, drawn by hand."""
    with h5py.File(folder / "nuclei3d_gonuclear" / "1135_mini.h5") as file:
        image, truth = file["raw"][...], file["label"][...]
        size = tuple(float(value) for value in file["label"].attrs["element_size_um"])
    yield every("nuclei-10", 10, image, truth, (size[0], size[1], size[2]))


def tumor(folder: Path) -> Iterator[Case]:
    """A brain tumour labelled on one slice; the truth is what Biomedisa's authors publish as its result."""
    image, truth, sparse = (
        tifffile.imread(folder / "biomedisa_tumor" / name)
        for name in ("tumor.tif", "final.tumor.tif", "labels.tumor.tif")
    )
    slices = tuple(int(index) for index in np.flatnonzero(sparse.any(axis=(1, 2))))
    yield Case(
        "tumor-1", image, (truth > 0).astype(np.uint8), (sparse > 0).astype(np.uint8), slices, (1.0, 1.0, 1.0)
    )  # fmt: skip


REAL: tuple[Callable[[Path], Iterator[Case]], ...] = (cristae, nuclei, tumor)
