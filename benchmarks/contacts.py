"""Contacts and distances of droplets with one organelle, beside scipy, in one run: processor seconds and their ratios.

Run it with ``python benchmarks/contacts.py``; ``--small`` takes a field of an eighth of the size. Which droplets touch
the organelle is asked of scipy in two ways: a distance transform of the whole volume for every droplet (timed on some
of them and multiplied), which is what one writes first, and one in the box of every droplet grown by the gap, which is
what one writes next. Contact areas have no peer. The peer of distances is one scipy transform of the organelle. What
both programs find is compared before it is timed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.measurements.spatial import ContactSettings, measure_contacts
from tomocyte.measurements.spatial._kernels import find_contacts, smallest_of_objects
from tomocyte.measurements.spatial.surfaces import Faces, Reach, gaps_um, runs_of

sys.path.insert(0, str(Path(__file__).parent))
from measurements import VOXEL_SIZE_UM, field, processor_seconds

TOUCHING = np.ones((3, 3, 3))
N_TIMED = 3


def organelle_in(
    cells: NDArray[np.uint32], droplets: NDArray[np.uint32], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A network of sheets through the cells, outside the droplets: a few per cent of the volume."""
    noise = ndimage.gaussian_filter(rng.normal(size=cells.shape).astype(np.float32), (3, 6, 6))
    return (np.abs(noise) < 0.1 * noise.std()) & (cells > 0) & (droplets == 0)


def peer_contacts(objects: NDArray[np.int32], organelle: NDArray[np.bool_], gap_um: float) -> NDArray[np.bool_]:
    """Which objects lie within the gap of the organelle, each by a distance transform in its own box."""
    margin = [int(gap_um / side) + 2 for side in VOXEL_SIZE_UM]
    is_contact = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        grown = tuple(slice(max(side.start - n, 0), side.stop + n) for side, n in zip(box, margin, strict=True))
        # Boxes of voxels touch where the mask grown by one voxel ends.
        mask = ndimage.binary_dilation(objects[grown] == number, TOUCHING)
        near = ndimage.distance_transform_edt(~mask, sampling=VOXEL_SIZE_UM) <= gap_um * (1 + 1e-6)
        is_contact.append(bool((near & organelle[grown]).any()))
    return np.array(is_contact)


def peer_distances(objects: NDArray[np.int32], organelle: NDArray[np.bool_], n: int) -> NDArray[np.float64]:
    """The distance of every object to the organelle, by one distance transform of it."""
    distance = ndimage.distance_transform_edt(~ndimage.binary_dilation(organelle, TOUCHING), sampling=VOXEL_SIZE_UM)
    return np.asarray(ndimage.minimum(distance, objects, np.arange(1, n + 1)))


def seconds_of_one(objects: NDArray[np.int32]) -> float:
    """Mean processor time of a distance transform of the whole volume for one object."""
    start = time.process_time()
    for number in range(1, N_TIMED + 1):
        ndimage.distance_transform_edt(objects != number, sampling=VOXEL_SIZE_UM)
    return (time.process_time() - start) / N_TIMED


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="an eighth of the size")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--gap-um", type=float, default=0.2)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(1)
    cells, droplets, _ = field(2 if options.small else 1, rng)
    numbers, places = np.unique(droplets, return_inverse=True)
    objects, n = places.reshape(droplets.shape).astype(np.int32), len(numbers) - 1
    organelle = organelle_in(cells, droplets, rng)
    reach = Reach.within(options.gap_um, VOXEL_SIZE_UM)

    def our_contacts() -> NDArray[np.bool_]:
        no_faces = (np.empty(0, np.int64), np.empty(0, np.int8))
        runs = runs_of(objects), runs_of(organelle.astype(np.int32))
        _, keys = find_contacts(objects.shape, *runs, no_faces, reach.voxel_rows, *reach.face_rows, 1, False)
        return np.bincount(keys // 2, minlength=n + 1)[1:] > 0

    def our_areas() -> NDArray[np.float64]:
        return Faces.of(objects, n, VOXEL_SIZE_UM).contacts(organelle.astype(np.int32), reach).area_um2

    def our_distances() -> NDArray[np.float64]:
        return smallest_of_objects(objects, gaps_um(organelle, VOXEL_SIZE_UM), n)

    def our_tables() -> Any:
        labels = {"droplet": droplets, "organelle": organelle.astype(np.uint8)}
        return measure_contacts(labels, VOXEL_SIZE_UM, settings=ContactSettings(gap_um=options.gap_um))

    np.testing.assert_array_equal(our_contacts(), peer_contacts(objects, organelle, options.gap_um))
    np.testing.assert_allclose(our_distances(), peer_distances(objects, organelle, n), rtol=1e-5)
    tasks: dict[str, Callable[[], Any]] = {
        "contacts": our_contacts,
        "contacts and their area": our_areas,
        "contacts, scipy in boxes": lambda: peer_contacts(objects, organelle, options.gap_um),
        "distances": our_distances,
        "distances, scipy once": lambda: peer_distances(objects, organelle, n),
        "tables of both directions": our_tables,
    }
    seconds = processor_seconds(tasks, options.repeats)
    seconds["contacts, scipy in the volume"] = n * seconds_of_one(objects)
    share = our_contacts().mean()
    print(
        f"{droplets.shape}: {n} droplets, {share:.0%} of them within {options.gap_um} um of the organelle; processor s"
    )
    for name, value in seconds.items():
        print(f"{name:32} {value:10.3f}{f'   (timed on {N_TIMED})' if 'volume' in name else ''}")
    for ours, peer in {
        "contacts": ("contacts, scipy in boxes", "contacts, scipy in the volume"),
        "contacts and their area": ("contacts, scipy in boxes",),
        "distances": ("distances, scipy once",),
        "tables of both directions": ("contacts, scipy in the volume",),
    }.items():
        for name in peer:
            print(f"{ours:26} against {name:30} {seconds[name] / seconds[ours]:10.1f} x")


if __name__ == "__main__":
    main(sys.argv[1:])
