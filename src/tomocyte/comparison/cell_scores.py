"""How well cells are told apart: the network, seeded watershed and the nearest nucleus, on exact and spoiled masks.

The figures are Hungarian-matched mean Dice against the true cells, as the paper gives them. To compare another way, add
it to :func:`ways_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation.matching import hungarian_mean_dice
from tomocyte.models import ModelCard, load_package
from tomocyte.models.package import write_package
from tomocyte.networks.engine import make_predictor
from tomocyte.segmentation.cells.nuclei import seeds_of
from tomocyte.segmentation.cells.separate import CellByCellSettings, separate_cells
from tomocyte.segmentation.prediction.tiled import Predictor
from tomocyte.training.data.cell_samples import CellSamples, Scene
from tomocyte.training.data.mask_corruption import corrupted
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.recipe import Recipe

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Way = Callable[[Mask, Mask, tuple[float, ...]], Labels]
SEED = 9
DIGITS = 4


def compare_ways(items: Sequence[LabelledItem], settings: DataSettings, ways: dict[str, Way]) -> dict[str, Any]:
    """Matched Dice of every way on every field.

    Parameters
    ----------
    items : sequence of LabelledItem
    settings : DataSettings
        ``targets: cell-by-cell``.
    ways : dict
        Name -> function of the mask of all cells, the mask of all nuclei and the voxel size, giving labels.

    Returns
    -------
    dict
        ``exact`` and ``spoiled`` -> name of the way -> list of one mean Dice per field (0 to 1). Spoiled masks are the
        same for every way: edges moved, blobs lost and added, nuclei missing and invented.
    """
    samples = CellSamples(list(items), settings, n_axes=3)
    found: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in ways} for kind in ("exact", "spoiled")}
    for item, frame in dict.fromkeys((place.item, place.frame) for place in samples.cells):
        scene = samples.scene(item, frame)
        for kind, scores in found.items():
            membrane, nuclei = field_masks(scene, is_spoiled=kind == "spoiled", seed=SEED + item)
            for name, way in ways.items():
                scores[name].append(hungarian_mean_dice(scene.cells, way(membrane, nuclei, scene.voxel_size_um)))
    return found


def field_masks(scene: Scene, *, is_spoiled: bool, seed: int) -> tuple[Mask, Mask]:
    """The masks of all cells and of all nuclei of a field, exact or with faults."""
    cells: Mask = scene.cells != 0
    if not is_spoiled:
        return cells, scene.nuclei != 0
    nobody = np.zeros(cells.shape, dtype=bool)
    membrane, _, nuclei = corrupted(cells, nobody, scene.nuclei, scene.voxel_size_um, np.random.default_rng(seed))
    return membrane, nuclei


def ways_of(predictor: Predictor, settings: CellByCellSettings) -> dict[str, Way]:
    """The network, seeded watershed, and every voxel to its nearest nucleus."""
    watershed = settings.model_copy(update={"method": "watershed", "frame": "windows"})
    return {
        "network": lambda cells, nuclei, size: separate_cells(cells, nuclei, _three(size), predictor, settings).labels,
        "watershed": lambda cells, nuclei, size: separate_cells(cells, nuclei, _three(size), None, watershed).labels,
        "nearest_nucleus": nearest_nucleus,
    }


def nearest_nucleus(cells: Mask, nuclei: Mask, voxel_size_um: tuple[float, ...]) -> Labels:
    """Every voxel of the mask to the nearest nucleus, in a straight line.

    Examples
    --------
    >>> row, seeds = np.ones((1, 1, 8), bool), np.zeros((1, 1, 8), bool)
    >>> seeds[..., [0, 7]] = True
    >>> nearest_nucleus(row, seeds, (10.0, 10.0, 10.0)).tolist()
    [[[1, 1, 1, 1, 2, 2, 2, 2]]]
    """
    from scipy import ndimage

    seeds, _, _ = seeds_of(nuclei, _three(voxel_size_um), CellByCellSettings())
    if not seeds.any():
        return seeds
    index = ndimage.distance_transform_edt(
        seeds == 0, sampling=voxel_size_um, return_distances=False, return_indices=True
    )
    return np.where(cells, seeds[tuple(index)], 0).astype(seeds.dtype)


def _three(size: tuple[float, ...]) -> tuple[float, float, float]:
    return (float(size[0]), float(size[1]), float(size[2]))


def score_cells_on_card(folder: Path, recipe: Recipe, sets: dict[str, list[LabelledItem]]) -> ModelCard:
    """Compare a finished cell-by-cell network with watershed on held-out sets and write the figures onto its card.

    Parameters
    ----------
    folder : Path
        A model package; its card is replaced, its weights stay bit for bit.
    recipe : Recipe
    sets : dict
        Name -> items.
    """
    package = load_package(folder)
    module: Any = package.build()
    predictor = make_predictor(module, activation="sigmoid", engine="torch", precision="fp32")
    is_published = recipe.data.cells.frame == "as-published"
    size = _three(tuple(1.0 if length is None else length for length in package.card.voxel_size_um))
    settings = CellByCellSettings(
        voxel_size_um=size,
        divisor=tuple(module.divisor),
        frame="as-published" if is_published else "windows",
        input=recipe.data.cells.input,
    )
    figures: dict[str, Any] = {}
    for name, items in sets.items():
        for kind, scores in compare_ways(items, recipe.data, ways_of(predictor, settings)).items():
            means = {f"matched_dice_{way}": round(float(np.mean(values)), DIGITS) for way, values in scores.items()}
            figures[f"{name}, {kind} masks (simulated, {len(items)} fields)"] = means
    said = {"limits": recipe.limits, "recipe": recipe.model_dump(mode="json")}
    card = package.card.model_copy(update={"figures": {**package.card.figures, **figures}, **said})
    return write_package(folder, card, package.state, dict(package.selftest), is_overwriting=True)
