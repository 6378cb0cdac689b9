"""What is in focus in images of a stain: FG-net against Otsu's threshold, an adaptive one and a top-hat.

Zhanghao et al. make the truth of an organelle with a network that was trained on 40 annotated images, and show that it
is better than thresholds that must be tuned (Fig. S3). Here 40 images to learn from and 40 others are simulated, with
exact truth. The numbers of the thresholds are those that are best on the training images; all methods are scored on the
others. ``--stacks FOLDER`` scores them on planes of whole simulated cells besides: FOLDER holds outputs of ``tomocyte
simulate nile_red --stain STRUCTURE``, each named like its structure. Run it with ``python benchmarks/foreground.py -o
OUT``. To add a threshold, add its candidates to :data:`CANDIDATES`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.comparison import train
from tomocyte.comparison.samples import network_predictor, pixel_fields
from tomocyte.comparison.score import Predictor, score_model
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.evaluation import ScoreTable
from tomocyte.formats import write_volume
from tomocyte.models import load_package
from tomocyte.runs.simulate.focus import FOREGROUND, write_focus_images
from tomocyte.statistics import mean_and_sd
from tomocyte.training import build_recipe, load_recipe, split_items
from tomocyte.training.data.samples import Samples
from tomocyte.training.recipe import Recipe
from tomocyte.volume import Volume

TEST_SEED = 95101
BLEED_THROUGH = 0.2
"""Of Nile Red from yellow into green, as Zhanghao et al. subtract it."""
CAMERA_OFFSET = 100.0
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "otsu": [{"factor": factor} for factor in (0.4, 0.6, 0.8, 1.0, 1.3)],
    "adaptive": [
        {"size_um": size, "n_deviations": n} for size, n in itertools.product((0.5, 1.0, 2.0), (2.0, 4.0, 7.0, 12.0))
    ],
    "top-hat": [
        {"size_um": size, "factor": factor} for size, factor in itertools.product((0.7, 1.5, 3.0), (0.5, 0.8, 1.2))
    ],
}
"""Threshold -> its settings to choose from."""
METRICS = ("dice", "precision", "recall", "moc", "pixel_accuracy")


def write_planes(source: Path, folder: Path, n_planes: int) -> Path:
    """Planes of every stack of a stain below a folder, evenly spaced, with the mask of what is in focus."""
    folder.mkdir(parents=True, exist_ok=True)
    for data_set in sorted(path.parent for path in source.glob("*/items")):
        for item in find_items(data_set, LabelledSettings()):
            structure = data_set.name
            image, size = item.open_image(), item.open_image().require_voxel_size()
            truth = item.read_labels(structure) > 0
            green = unmixed(image, item)
            for z in np.linspace(1, len(truth) - 2, n_planes).round().astype(int):
                name = f"{structure}-{item.name}-z{z:03d}"
                known: dict[str, Any] = {"voxel_size_um": (np.nan, *size[1:]), "origin": {"voxel_size_um": "simulated"}}
                write_volume(
                    folder / f"{name}.ome.tif", Volume.from_array(green[z : z + 1], quantity="intensity", **known)
                )
                mask = Volume.from_array(truth[z : z + 1].astype(np.uint8), quantity="labels", **known)
                write_volume(folder / f"{name}_{FOREGROUND}.ome.tif", mask)
    return folder


def unmixed(image: Volume, item: LabelledItem) -> NDArray[np.float32]:
    """The green channel (Z, Y, X) less the light of Nile Red, 0 in droplets, which are taken from the truth here."""
    green, yellow = (
        image.planes(0, image.channels.index(name)).astype(np.float32) - CAMERA_OFFSET for name in ("green", "yellow")
    )
    result = np.maximum(green - BLEED_THROUGH * yellow, 0)
    if "lipid_droplet" in item.labels:
        result[item.read_labels("lipid_droplet") > 0] = 0
    return result


def threshold_method(settings: ForegroundMethod) -> Predictor[Any]:
    """A threshold as a method that is scored like a network."""

    def predict(sample: Any) -> dict[str, NDArray[np.bool_]]:
        volume = sample.volume
        _, y, x = volume.require_voxel_size()
        return {FOREGROUND: stain_foreground(volume.planes(0, 0), (y, x), settings)[0]}

    return predict


def best_settings(samples: Samples, method: str) -> ForegroundMethod:
    """The candidate of the highest mean Dice on the training images."""
    scored = []
    for candidate in CANDIDATES[method]:
        settings = ForegroundMethod(method=method, **candidate)  # type: ignore[arg-type]
        table = score_model(threshold_method(settings), pixel_fields(samples), metrics=["dice"])
        scored.append((mean_and_sd(table.values("dice"))[0], len(scored), settings))
    return max(scored, key=lambda entry: entry[:2])[2]


def rows_of(tables: dict[str, ScoreTable]) -> Iterator[dict[str, Any]]:
    """A row per method and stain, and one per method over all images."""
    for method, table in tables.items():
        images = [(str(row["item"]).partition("-")[0], row) for row in table.rows]
        for stain in ("all", *dict.fromkeys(name for name, _ in images)):
            own = [row for name, row in images if stain in ("all", name)]
            means = {metric: mean_and_sd([float(row[metric]) for row in own])[0] for metric in METRICS}
            yield {"method": method, "stain": stain, "n_images": len(own), **means}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Tune, train, score; the table is printed and written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--images", type=int, default=40, help="to learn from, and as many held out")
    parser.add_argument("--stacks", type=Path, help="folder of simulated data sets, one per stain")
    parser.add_argument("--planes", type=int, default=4, help="of every stack")
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, e.g. loop.n_epochs=5")
    options = parser.parse_args(arguments)
    folders = {
        "train": write_focus_images(options.output / "train", options.images),
        "simulated planes": write_focus_images(options.output / "test", options.images, seed=TEST_SEED),
    }
    if options.stacks is not None:
        folders["whole cells"] = write_planes(options.stacks, options.output / "stacks", options.planes)
    recipe: Recipe = build_recipe(load_recipe("fg-net", options.set))
    sets = {name: Samples(find_items(folder, recipe.data), recipe.data, n_axes=2) for name, folder in folders.items()}
    learned = sets.pop("train")
    train(recipe, split_items(learned.items, recipe.validation_share, seed=1), folder=options.output / "fg-net")
    thresholds = {name: best_settings(learned, name) for name in CANDIDATES}
    module = load_package(options.output / "fg-net" / "model").build()
    methods: dict[str, Predictor[Any]] = {"fg-net": network_predictor(module, is_softmax=False)}
    methods |= {name: threshold_method(settings) for name, settings in thresholds.items()}
    for name, settings in thresholds.items():
        print(f"{name}: {settings.model_dump(exclude={'method'})}")
    rows = []
    for set_name, samples in sets.items():
        tables = {
            name: score_model(predict, pixel_fields(samples), metrics=METRICS) for name, predict in methods.items()
        }
        rows += [{"set": set_name, **row} for row in rows_of(tables)]
    for row in rows:
        numbers = "  ".join(f"{metric} {row[metric]:.3f}" for metric in METRICS)
        print(f"{row['set']:<17} {row['method']:<10} {row['stain']:<22} {row['n_images']:>3} images  {numbers}")
    with (options.output / "foreground.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


if __name__ == "__main__":
    main()
