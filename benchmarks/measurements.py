"""Measuring objects, beside scikit-image, in one run: prints seconds of processor time and their ratios.

Run it with ``python benchmarks/measurements.py``; ``--small`` takes a field of an eighth of the size. Each task is
timed several times in turn and the smallest time counts; compiled code is loaded before. The two programs compute the
same columns, and the values that must agree are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import marching_cubes, mesh_surface_area, regionprops, regionprops_table

from tomocyte.measurements import measure
from tomocyte.measurements.spatial import measure_contacts
from tomocyte.measurements.spatial.settings import ContactSettings

VOXEL_SIZE_UM = (0.195, 0.098, 0.098)
PLAIN = (
    "volume_um3", "projected_area_um2", "height_um", "equivalent_diameter_um", "major_axis_length_um",
    "middle_axis_length_um", "minor_axis_length_um", "extent", "mean_ri", "sd_ri", "p05_ri", "p50_ri", "p95_ri",
)  # fmt: skip
TOPOLOGY = ("euler_number",)
HULL = ("solidity",)
N_PEER_DROPLETS = 3
SURFACE = ("surface_area_um2", "surface_to_volume_per_um", "sphericity")


def field(scale: int, rng: np.random.Generator) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]:
    """Cells (Z, Y, X), droplets inside them, and a refractive index."""
    shape = (128 // scale, 512 // scale, 512 // scale)
    side = 10 if scale == 1 else 5
    cells = np.zeros(shape, np.uint32)
    droplets = np.zeros(shape, np.uint32)
    step = shape[1] // side
    for index in range(side * side):
        centre = np.array([shape[0] / 2, (index // side + 0.5) * step, (index % side + 0.5) * step])
        semi_axes = np.array([0.36 * shape[0], 0.44 * step, 0.47 * step]) * rng.uniform(0.85, 1, 3)
        _paint(cells, index + 1, centre, semi_axes)
        for droplet in range(50):
            direction = rng.normal(size=3)
            direction *= rng.uniform() ** (1 / 3) * 0.85 / np.linalg.norm(direction)
            number = index * 50 + droplet + 1
            _paint(droplets, number, centre + direction * semi_axes, rng.uniform(1.5, 5.0) * np.array([0.5, 1, 1]))
    image = np.where(cells > 0, 1.36, 1.337) + np.where(droplets > 0, 0.05, 0)
    return cells, droplets, (image + rng.normal(0, 0.002, shape)).astype(np.float32)


def _paint(labels: NDArray[np.uint32], number: int, centre: NDArray[Any], semi_axes: NDArray[Any]) -> None:
    low = np.maximum(np.floor(centre - semi_axes).astype(int), 0)
    high = np.minimum(np.ceil(centre + semi_axes).astype(int) + 1, labels.shape)
    axes = [(np.arange(a, b) - c) / s for a, b, c, s in zip(low, high, centre, semi_axes, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    labels[box][(z * z + y * y + x * x <= 1) & (labels[box] == 0)] = number


def percentiles(mask: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.float64]:
    return np.percentile(values[mask], (5, 50, 95))


def peer_table(labels: NDArray[np.uint32], image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """The columns of :data:`PLAIN` by scikit-image."""

    def projected(mask: NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(mask.any(axis=0)))

    table: dict[str, NDArray[Any]] = regionprops_table(
        labels,
        image,
        properties=(
            "label", "area", "bbox", "centroid", "equivalent_diameter_area", "inertia_tensor_eigvals", "extent",
            "intensity_mean", "intensity_std",
        ),
        extra_properties=(projected, percentiles),
        spacing=VOXEL_SIZE_UM,
    )  # fmt: skip
    return table


def peer_topology(labels: NDArray[np.uint32]) -> list[int]:
    return [int(one.euler_number) for one in regionprops(labels)]


def peer_hull(labels: NDArray[np.uint32]) -> list[float]:
    with warnings.catch_warnings():
        # Of flat objects there is no hull.
        warnings.simplefilter("ignore")
        return [float(one.solidity) for one in regionprops(labels)]


def peer_surface(labels: NDArray[np.uint32]) -> list[float]:
    """Marching cubes of every object's padded mask."""
    areas = []
    for one in regionprops(labels):
        corners, faces, _, _ = marching_cubes(np.pad(one.image, 1).astype(np.float32), 0.5, spacing=VOXEL_SIZE_UM)
        areas.append(float(mesh_surface_area(corners, faces)))
    return areas


def processor_seconds(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The smallest processor time of each task; they take turns."""
    for task in tasks.values():
        task()
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - start)
    return best


def compare(labels: NDArray[np.uint32], image: NDArray[np.float32]) -> None:
    """Refuse to time two programs that do not give the same numbers."""
    ours = measure(labels, image[np.newaxis], VOXEL_SIZE_UM, structure="cell", names=(*PLAIN, *TOPOLOGY))
    peer = peer_table(labels, image)
    pixel, voxel = VOXEL_SIZE_UM[1] * VOXEL_SIZE_UM[2], float(np.prod(VOXEL_SIZE_UM))
    pairs = {
        "volume_um3": peer["area"],
        "projected_area_um2": peer["projected"] * pixel,
        "height_um": (peer["bbox-3"] - peer["bbox-0"]) * VOXEL_SIZE_UM[0],
        "equivalent_diameter_um": (6 * peer["area"] / np.pi) ** (1 / 3),
        "extent": peer["area"] / voxel / np.prod([peer[f"bbox-{k + 3}"] - peer[f"bbox-{k}"] for k in range(3)], axis=0),
        "mean_ri": peer["intensity_mean"],
        "sd_ri": peer["intensity_std"],
        "p05_ri": peer["percentiles-0"],
        "p50_ri": peer["percentiles-1"],
        "p95_ri": peer["percentiles-2"],
        "euler_number": np.array(peer_topology(labels)),
    }
    for name, expected in pairs.items():
        tolerance = 1e-3 if name == "sd_ri" else 1e-6  # scikit-image sums in 32 bits
        np.testing.assert_allclose(ours[name], expected, rtol=tolerance, err_msg=name)


def contacts_row(droplets: NDArray[np.uint32], shape: tuple[int, int, int]) -> str:
    """Distances and contacts of all droplets with one organelle; the peer works on a few droplets, and is scaled."""
    organelle = np.zeros(shape, np.uint32)
    _paint(organelle, 1, np.array(shape) / 2, np.array(shape) / 8)
    others = np.where(organelle > 0, 0, droplets).astype(np.uint32)
    numbers = np.unique(others)[1:]
    few = numbers[:: len(numbers) // N_PEER_DROPLETS][:N_PEER_DROPLETS]

    def ours() -> NDArray[np.float64]:
        structures = {"lipid_droplet": others, "golgi": organelle}
        settings = ContactSettings(is_measured=True, gap_um=0.1)
        found = measure_contacts(structures, VOXEL_SIZE_UM, cells=None, cell_ids=None, settings=settings, frame=0)
        return found.objects["lipid_droplet"].set_index("label")["distance_to_golgi_um"].to_numpy(np.float64)

    def peer() -> list[float]:
        is_organelle = organelle > 0
        return [float(distance_transform_edt(others != one, sampling=VOXEL_SIZE_UM)[is_organelle].min()) for one in few]

    own = processor_seconds({"ours": ours}, 1)["ours"]
    start = time.process_time()
    distances = np.array(peer())
    seconds = (time.process_time() - start) * len(numbers) / len(few)
    # From face to face it is less than from centre to centre, by a diagonal at most.
    near = ours()[np.searchsorted(numbers, few)]
    np.testing.assert_array_less(near, distances + 1e-5)
    np.testing.assert_array_less(distances - float(np.linalg.norm(VOXEL_SIZE_UM)) - 1e-5, near)
    peers = f"scipy ({len(few)}, scaled) {seconds:.0f}"
    return f"{'contacts with an organelle':28} tomocyte {own:8.3f}   {peers}   {seconds / own:6.1f} x"


def peak_bytes(task: Callable[[], Any]) -> int:
    tracemalloc.start()
    task()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="an eighth of the size, without the slowest peer")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    cells, droplets, image = field(2 if options.small else 1, np.random.default_rng(1))
    images = (cells, droplets)
    for labels in images:
        compare(labels, image)

    def ours(*names: str) -> Callable[[], Any]:
        return lambda: [
            measure(
                labels, image[np.newaxis], VOXEL_SIZE_UM, structure="cell", names=names, medium_ri=1.337,
                refraction_increment_ml_per_g=0.19,
            )
            for labels in images
        ]  # fmt: skip

    def theirs(*functions: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: [
            function(labels, image) if function is peer_table else function(labels)
            for labels in images
            for function in functions
        ]

    tasks = {
        "size, axes, statistics": (ours(*PLAIN), theirs(peer_table)),
        "... and Euler number": (ours(*PLAIN, *TOPOLOGY), theirs(peer_table, peer_topology)),
        "... and surface": (ours(*PLAIN, *TOPOLOGY, *SURFACE), theirs(peer_table, peer_topology, peer_surface)),
    }
    if not options.small:
        tasks["..., solidity, no surface"] = (
            ours(*PLAIN, *TOPOLOGY, *HULL),
            theirs(peer_table, peer_topology, peer_hull),
        )
    print(f"{cells.shape}: {len(np.unique(cells)) - 1} cells, {len(np.unique(droplets)) - 1} droplets; processor s")
    for name, (own, peer) in tasks.items():
        seconds = processor_seconds({"ours": own, "peer": peer}, 1 if "solidity" in name else options.repeats)
        ratio = seconds["peer"] / seconds["ours"]
        print(f"{name:28} tomocyte {seconds['ours']:8.3f}   scikit-image {seconds['peer']:8.3f}   {ratio:6.1f} x")
    print(contacts_row(droplets, cells.shape))
    peak = peak_bytes(ours(*PLAIN, *TOPOLOGY, *SURFACE))
    print(f"{'memory beside the input':28} {peak / cells.nbytes:.2f} times one label volume")


if __name__ == "__main__":
    main(sys.argv[1:])
