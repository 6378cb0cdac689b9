"""How well touching cells are separated: the network, seeded watershed, the nearest nucleus; exact and corrupted masks.

The figures are Hungarian-matched mean Dice against the true cells, as the paper gives them. To compare another method,
add it to :func:`cell_methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.comparison.score import Field, score_model
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation import ScoreTable
from tomocyte.models import ModelCard, load_package
from tomocyte.models.loaded import load_from_package
from tomocyte.models.package import write_package
from tomocyte.segmentation.cells.nuclei import seeds_of
from tomocyte.segmentation.cells.separate import CellByCellSettings, separate_cells
from tomocyte.segmentation.prediction.tiled import Predictor
from tomocyte.settings import build_settings
from tomocyte.structures import CELL
from tomocyte.training.data.cell_samples import CellSamples, Scene
from tomocyte.training.data.mask_corruption import corrupted
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.recipe import Recipe

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
CellMethod = Callable[[Mask, Mask, tuple[float, ...]], Labels]
"""From the mask of all cells, the mask of all nuclei and the voxel size to labels of cells."""
SEED = 9
DIGITS = 4


@dataclass(frozen=True, eq=False)
class CellMasks:
    """What methods see of a field: the masks of all cells and of all nuclei (Z, Y, X), and the voxel size in µm."""

    cells: Mask
    nuclei: Mask
    voxel_size_um: tuple[float, ...]


def compare_cell_methods(
    items: Sequence[LabelledItem], settings: DataSettings, methods: Mapping[str, CellMethod]
) -> dict[str, ScoreTable]:
    """Matched Dice of every method on every field.

    Parameters
    ----------
    items : sequence of LabelledItem
    settings : DataSettings
        ``targets: cell-by-cell``.
    methods : mapping
        Name -> function of the mask of all cells, the mask of all nuclei and the voxel size, giving labels.

    Returns
    -------
    dict
        ``exact`` and ``spoiled`` -> table with a row per field and method and the column ``hungarian_dice`` (0 to 1).
        ``spoiled``: corrupted masks, the same for every method: edges moved, blobs lost and added, nuclei
        missing and invented.
    """
    samples = CellSamples(list(items), settings, n_axes=3)
    predictors = {name: _predictor(method) for name, method in methods.items()}
    return {
        kind: score_model(predictors, _fields(samples, is_corrupted=kind == "spoiled"), metrics=["hungarian_dice"])
        for kind in ("exact", "spoiled")
    }


def _predictor(method: CellMethod) -> Callable[[CellMasks], dict[str, Labels]]:
    return lambda masks: {CELL: method(masks.cells, masks.nuclei, masks.voxel_size_um)}


def _fields(samples: CellSamples, *, is_corrupted: bool) -> Iterator[Field[CellMasks]]:
    for item, frame in dict.fromkeys((place.item, place.frame) for place in samples.cells):
        scene, entry = samples.scene(item, frame), samples.items[item]
        masks = CellMasks(*field_masks(scene, is_corrupted=is_corrupted, seed=SEED + item), scene.voxel_size_um)
        yield Field(entry.name, entry.group, masks, {CELL: scene.cells}.__getitem__, frame=frame)


def field_masks(scene: Scene, *, is_corrupted: bool, seed: int) -> tuple[Mask, Mask]:
    """The masks of all cells and of all nuclei of a field, exact or corrupted."""
    cells: Mask = scene.cells != 0
    if not is_corrupted:
        return cells, scene.nuclei != 0
    nobody = np.zeros(cells.shape, dtype=bool)
    membrane, _, nuclei = corrupted(cells, nobody, scene.nuclei, scene.voxel_size_um, np.random.default_rng(seed))
    return membrane, nuclei


def cell_methods(predictor: Predictor, settings: CellByCellSettings) -> dict[str, CellMethod]:
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
    model = load_from_package(package, engine="torch", precision="fp32")
    is_published = recipe.data.cells.frame == "as-published"
    size = _three(tuple(1.0 if length is None else length for length in package.card.voxel_size_um))
    content = {
        "voxel_size_um": size,
        "divisor": model.divisor,
        "frame": "as-published" if is_published else "windows",
        "input": recipe.data.cells.input,
    }
    settings = build_settings(CellByCellSettings, content)
    figures: dict[str, Any] = {}
    for name, items in sets.items():
        for kind, table in compare_cell_methods(items, recipe.data, cell_methods(model.predictor, settings)).items():
            values = {name: table.values("hungarian_dice", method=name) for name in table.unique("method")}
            means = {f"matched_dice_{name}": round(float(np.mean(dices)), DIGITS) for name, dices in values.items()}
            figures[f"{name}, {kind} masks (simulated, {len(items)} fields)"] = means
    changes = {"limits": recipe.limits, "recipe": recipe.model_dump(mode="json")}
    card = package.card.model_copy(update={"figures": {**package.card.figures, **figures}, **changes})
    return write_package(folder, card, package.state, dict(package.selftest), is_overwriting=True)
