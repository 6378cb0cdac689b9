"""What painted slices are worth to a network: alone, as if the rest were background, propagated, and with weights.

Every n-th slice of the training fields keeps its labels, as if a person had painted it; slices that show no object are
left blank. One small network learns, with one recipe, from each kind of labels and is scored on whole fields that it
has not seen. Dense labels of so few fields that they hold no more slices are the comparison at equal labour. Run it
with ``python benchmarks/sparse_training.py FIELDS -o OUT``, FIELDS being a folder that ``tomocyte simulate`` wrote. To
add a kind of labels, add it to :data:`KINDS` and, where it needs files, to :func:`write_kinds`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from tomocyte.comparison import train
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.formats import write_volume
from tomocyte.propagation import propagate
from tomocyte.training import LabelledData, build_recipe
from tomocyte.training.recipe import Recipe
from tomocyte.volume import Volume, VoxelSize

KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "dense, few fields": {},
    "painted, rest background": {},
    "painted": {"slices_without_labels": "unlabelled"},
    "propagated": {},
    "propagated, weights": {"weights": "certainty"},
}
"""Kind of labels -> the settings under ``data`` that differ."""
MARGIN = 16
"""Voxels around the objects that stay."""
FOLDERS = {"painted, rest background": "painted", "propagated, weights": "propagated", "dense, few fields": "dense"}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet3d": {
        "data": {"patch_shape": [16, 48, 48]},
        "network": {"name": "unet3d", "options": {"width": 6, "strides": [[1, 2, 2], [2, 2, 2]]}},
        "loop": {"batch_size": 2, "samples_per_epoch": 20},
    },
    "osnet": {
        "data": {"patch_shape": [64, 64]},
        "network": {"name": "osnet", "options": {"width": 6}},
        "loop": {"batch_size": 4, "samples_per_epoch": 40},
    },
}


def recipe_for(kind: str, network: str, *, structure: str, n_epochs: int, seed: int) -> Recipe:
    """One small training: the same for every kind of labels but for what is learned from."""
    parts = NETWORKS[network]
    data = {
        "modality": "odt",
        "structures": [structure],
        "normalization": {"kind": "medium", "offset": 1.337, "scale": 0.02},
    }
    return build_recipe(
        {
            "name": "sparse",
            "data": {**data, **parts["data"], **KINDS[kind]},
            "network": parts["network"],
            "augmentation": {"share": 1.0, "geometry": {"flip_axes": ["y", "x"], "is_turned_by_90": True}},
            "loss": {"kind": "dice+bce"},
            "loop": {
                **parts["loop"],
                "n_epochs": n_epochs,
                "validate_every": n_epochs,
                "precision": "fp32",
                "seed": seed,
                "optimiser": {"kind": "adamw", "learning_rate": 0.01},
                "schedule": {"kind": "cosine"},
            },
        }
    )


def smaller(item: LabelledItem, structure: str) -> tuple[NDArray[np.float32], NDArray[np.uint8], VoxelSize]:
    """Image and mask with pixels of twice the size, cut around the objects, so that a training takes a minute."""
    frame = item.read_frame(0)
    image = downscale_local_mean(frame.image[0], (1, 2, 2)).astype(np.float32)
    labels = (frame.labels[structure] > 0).astype(np.uint8)[:, ::2, ::2][
        : image.shape[0], : image.shape[1], : image.shape[2]
    ]
    places = np.argwhere(labels)
    low, high = places.min(axis=0) - MARGIN, places.max(axis=0) + MARGIN + 1
    window = tuple(slice(max(0, int(a)), int(b)) for a, b in zip(low, high, strict=True))
    z, y, x = frame.voxel_size_um
    return image[window], labels[window], (z, 2 * y, 2 * x)


def write_kinds(items: list[LabelledItem], structure: str, every: int, folder: Path) -> dict[str, Any]:
    """Painted and propagated labels of every item; how many slices were painted, and how right the propagated are."""
    n_painted = n_slices = common = both = 0
    for item in items:
        image, labels, size = smaller(item, structure)
        painted = np.where((np.arange(len(labels)) % every == 0)[:, None, None], labels, 0)
        dense = propagate(painted, voxel_size_um=size, image=image)
        n_painted += int(painted.any((1, 2)).sum())
        n_slices += int(labels.any((1, 2)).sum())
        common += int(np.count_nonzero(labels & dense.labels))
        both += int(labels.sum(dtype=np.int64) + (dense.labels > 0).sum(dtype=np.int64))
        files = {"dense": (labels, ""), "painted": (painted, ""), "propagated": (dense.labels, "")}
        content = [(name, *entry) for name, entry in files.items()]
        content.append(("propagated", dense.uncertainty, "_uncertainty"))
        for name, array, ending in content:
            place = folder / name
            place.mkdir(parents=True, exist_ok=True)
            known: dict[str, Any] = {"voxel_size_um": size, "origin": {"voxel_size_um": "user"}}
            write_volume(place / f"{item.name}_{structure}{ending}.ome.tif", Volume.from_array(array, **known))
            if not (place / f"{item.name}.ome.tif").exists():
                volume = Volume.from_array(image, quantity="refractive_index", unit="1", **known)
                write_volume(place / f"{item.name}.ome.tif", volume)
    return {"n_painted": n_painted, "n_slices": n_slices, "dice_of_propagated": 2 * common / both}


def main() -> None:
    """Write the labels once, then train and score; trainings that are there are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--structure", default="nucleus")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--tests", type=int, default=3, help="fields, the last ones, that are only scored")
    parser.add_argument("--networks", default="unet3d,osnet")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    items = find_items(arguments.fields, LabelledSettings(structures=(arguments.structure,)))
    learned, tests = items[: -arguments.tests], items[-arguments.tests :]
    facts_file = arguments.output / "facts.json"
    if not facts_file.exists():
        facts = write_kinds(learned, arguments.structure, arguments.every, arguments.output)
        write_kinds(tests, arguments.structure, arguments.every, arguments.output / "tests")
        facts_file.write_text(json.dumps(facts))
    facts = json.loads(facts_file.read_text())
    n_few = max(1, round(len(learned) * facts["n_painted"] / facts["n_slices"]))
    print(facts, f"few fields: {n_few} of {len(learned)}", flush=True)
    tests = find_items(arguments.output / "tests" / "dense", LabelledSettings(structures=(arguments.structure,)))
    rows = []
    for seed in range(1, arguments.seeds + 1):
        for network in arguments.networks.split(","):
            for kind in KINDS:
                options: dict[str, Any] = {"structure": arguments.structure, "n_epochs": arguments.epochs}
                recipe = recipe_for(kind, network, seed=seed, **options)
                own = find_items(arguments.output / FOLDERS.get(kind, kind), recipe.data)
                own = own[:n_few] if kind == "dense, few fields" else own
                folder = arguments.output / "runs" / f"{network}-{seed}-{kind.replace(', ', '-').replace(' ', '-')}"
                result = train(recipe, LabelledData(own, tests), folder=folder)
                scores = result["history"][-1]["validation"]
                rows.append({"network": network, "labels": kind, "seed": seed, **scores})
                print(rows[-1], flush=True)
    with (arguments.output / "scores.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
