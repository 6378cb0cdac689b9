"""The error of the surface area of bodies whose area is known, beside the mesh of marching cubes.

Run it with ``python benchmarks/surface_area.py``; ``--small`` takes fewer and smaller bodies. Each body is placed, and
turned where it says so, at random. Printed for each voxel size: mean error ± standard deviation in %, and that of the
mesh; a dash where no area is given. Last, how many times larger the mesh's root-mean-square error is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import elliprg

from tomocyte.measurements import measure

VOXEL_SIZES_UM = ((0.1, 0.1, 0.1), (0.2, 0.1, 0.1), (0.3, 0.1, 0.1), (0.5, 0.1, 0.1), (0.31, 0.17, 0.13))
NAMES = ("surface_area_um2", "surface_area_mesh_um2")


@dataclass(frozen=True)
class Body:
    """A solid: semi-axes of an ellipsoid, half sides of a box, radius and half length of a cylinder or filament."""

    kind: str
    size_um: tuple[float, ...]
    is_turned: bool
    n_trials: int

    @property
    def name(self) -> str:
        size = " x ".join(f"{value:g}" for value in dict.fromkeys(self.size_um))
        return f"{self.kind} {size}{', turned' if self.is_turned else ''}"

    @property
    def half_extent_um(self) -> tuple[float, float, float]:
        if len(self.size_um) == 3:
            return self.size_um[0], self.size_um[1], self.size_um[2]
        radius, half_length = self.size_um
        return radius, radius, half_length + (radius if self.kind == "filament" else 0.0)

    @property
    def area_um2(self) -> float:
        """By a formula."""
        if self.kind in ("sphere", "ellipsoid"):
            a, b, c = np.square(self.size_um)
            return float(4 * math.pi * elliprg(a * b, b * c, c * a))
        if len(self.size_um) == 3:
            a, b, c = self.size_um
            return 8 * (a * b + b * c + c * a)
        radius, half_length = self.size_um
        ends = 4 * math.pi * radius**2 if self.kind == "filament" else 2 * math.pi * radius**2
        return 4 * math.pi * radius * half_length + ends

    def mask(self, voxel_size_um: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Voxels whose centre lies inside."""
        turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix() if self.is_turned else np.eye(3)
        reach = np.abs(turn) @ np.array(self.half_extent_um)
        counts = [math.ceil(far / side) + 2 for far, side in zip(reach, voxel_size_um, strict=True)]
        axes = [
            (np.arange(-n, n + 1) + rng.uniform(-0.5, 0.5)) * side
            for n, side in zip(counts, voxel_size_um, strict=True)
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        u, v, w = (turn[0, axis] * z + turn[1, axis] * y + turn[2, axis] * x for axis in range(3))
        if self.kind in ("sphere", "ellipsoid"):
            a, b, c = self.size_um
            inside = np.square(u / a) + np.square(v / b) + np.square(w / c) <= 1
        elif len(self.size_um) == 3:
            a, b, c = self.size_um
            inside = (np.abs(u) <= a) & (np.abs(v) <= b) & (np.abs(w) <= c)
        elif self.kind == "filament":
            radius, half_length = self.size_um
            inside = u * u + v * v + np.square(np.maximum(np.abs(w) - half_length, 0)) <= radius**2
        else:
            radius, half_length = self.size_um
            inside = (u * u + v * v <= radius**2) & (np.abs(w) <= half_length)
        return np.asarray(inside)


def bodies(*, is_small: bool) -> Iterator[Body]:
    many, some, few = (4, 3, 2) if is_small else (30, 12, 6)
    for radius in (0.5, 1.0) if is_small else (0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0):
        yield Body("sphere", (radius,) * 3, False, many if radius <= 1 else some if radius < 5 else few)
    for axes in ((0.5, 0.8, 1.2),) if is_small else ((0.5, 0.8, 1.2), (1.0, 2.0, 2.8), (2.0, 4.0, 5.6)):
        yield Body("ellipsoid", axes, True, many if axes[0] < 1 else few)
    for half in (0.5,) if is_small else (0.5, 1.0, 1.25, 2.0):
        yield Body("box", (half,) * 3, False, some)
        yield Body("box", (half,) * 3, True, some)
    for half in (0.3,) if is_small else (0.15, 0.3, 0.5):
        yield Body("sheet", (half, 2.0, 2.5), False, some)
        yield Body("sheet", (half, 2.0, 2.5), True, some)
    for radius in (0.3,) if is_small else (0.15, 0.2, 0.3, 0.5):
        yield Body("filament", (radius, 3.0), True, some)
    if not is_small:
        yield Body("cylinder", (0.5, 0.6), True, some)
        yield Body("cylinder", (1.0, 3.0), True, some)
        yield Body("cylinder", (4.0, 0.5), True, few)


def errors(body: Body, voxel_size_um: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative errors (trials, 2) of the surface area and of the mesh; NaN where no area is given."""
    found = []
    for _ in range(body.n_trials):
        labels = body.mask(voxel_size_um, rng).astype(np.uint8)
        table = measure(labels, None, voxel_size_um, structure="cell", names=NAMES)
        found.append([float(table[name].iloc[0]) if len(table) else math.nan for name in NAMES])
    return np.array(found) / body.area_um2 - 1


def cell_text(found: NDArray[np.float64]) -> str:
    is_given = np.isfinite(found[:, 0])
    if is_given.mean() < 0.5:
        return "-"
    own, mesh = 100 * found[is_given].T
    return f"{own.mean():+.1f} ± {own.std():.1f} ({mesh.mean():+.0f})"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="fewer and smaller bodies")
    parser.add_argument("--repeats", type=int, default=1, help="times as many objects")
    options = parser.parse_args(arguments)
    squares: dict[tuple[float, float, float], list[NDArray[np.float64]]] = {size: [] for size in VOXEL_SIZES_UM}
    print("| body (half sizes, µm) | " + " | ".join(", ".join(map(str, size)) for size in VOXEL_SIZES_UM) + " |")
    print("|---" * (len(VOXEL_SIZES_UM) + 1) + "|")
    for body in bodies(is_small=options.small):
        cells = []
        for size in VOXEL_SIZES_UM:
            rng = np.random.default_rng(1)
            found = np.concatenate([errors(body, size, rng) for _ in range(options.repeats)])
            squares[size].append(np.square(found[np.isfinite(found[:, 0])]))
            cells.append(cell_text(found))
        print(f"| {body.name} | " + " | ".join(cells) + " |", flush=True)
    for size, found in squares.items():
        own, mesh = np.sqrt(np.concatenate(found).mean(axis=0))
        print(f"{size}: root-mean-square error {100 * own:.2f} %, of the mesh {100 * mesh:.2f} %   {mesh / own:.1f} x")


if __name__ == "__main__":
    main(sys.argv[1:])
