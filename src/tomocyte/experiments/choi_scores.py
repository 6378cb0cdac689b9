"""One held-out field scored: Dice of every structure, cells one by one, and where the nuclei lie.

Everything a score needs is a plain number, so that a field is scored once and kept as JSON. To add a score, add it to
:func:`score_field`.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import count_mask, hungarian_mean_dice, score_instances
from tomocyte.evaluation.nuclear_position import compare_nuclei
from tomocyte.experiments.applied import AppliedModel, is_inside, predict_structures
from tomocyte.experiments.choi_recipe import INSTANCES
from tomocyte.experiments.material import ExperimentItem
from tomocyte.segmentation.components import connected_components
from tomocyte.segmentation.instances import distance_um
from tomocyte.segmentation.watershed import seeded_watershed
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Labels = NDArray[np.unsignedinteger[Any]]
CELL, NUCLEUS = "cell", "nucleus"


def predict_field(models: list[AppliedModel], item: ExperimentItem) -> dict[str, Mask]:
    """Structure -> mask (Z, Y, X) of a field's first frame, from one model or several with structures of their own."""
    volume = item.volume()
    image = volume.frame(0)
    masks: dict[str, Mask] = {}
    for model in models:
        for name, probability in predict_structures(model, volume, image).items():
            masks[name] = is_inside(model, probability, name)
    return masks


def score_field(
    masks: dict[str, Mask], item: ExperimentItem, *, min_cell_um3: float, min_nucleus_um3: float
) -> dict[str, Any]:
    """Scores of one field.

    Parameters
    ----------
    masks : dict of str to ndarray (Z, Y, X), bool
        What was found.
    item : ExperimentItem
        With true labels of each of these structures.
    min_cell_um3, min_nucleus_um3 : float
        Smaller connected parts are no cells, no nuclei.

    Returns
    -------
    dict
        ``structures``: name -> ``dice``, ``n_truth``, ``n_prediction``, ``n_common`` (voxels); with cells and nuclei
        among the masks also ``cell instances``: Hungarian-matched ``dice``, ``f1``, ``n_truth``, ``n_prediction``
        (cells), and ``nuclei``: one entry per true nucleus
        (:class:`tomocyte.evaluation.nuclear_position.NucleusComparison`).
    """
    volume = item.volume()
    size = volume.require_voxel_size()
    truths = {name: item.truth(name) for name in masks}
    structures = {}
    for name, mask in masks.items():
        counts = count_mask(truths[name] > 0, mask)
        structures[name] = {
            "dice": _plain(counts.dice),
            "n_truth": int(counts.n_truth),
            "n_prediction": int(counts.n_prediction),
            "n_common": int(counts.n_true_positive),
        }
    result: dict[str, Any] = {"structures": structures}
    if CELL in masks and NUCLEUS in masks:
        nuclei = large_parts(masks[NUCLEUS], size, min_nucleus_um3)
        cells = cells_by_watershed(masks[CELL], nuclei, size, min_volume_um3=min_cell_um3)
        objects = score_instances(truths[CELL], cells)
        result[INSTANCES] = {
            "dice": _plain(hungarian_mean_dice(truths[CELL], cells)),
            "f1": _plain(objects.f1),
            "n_truth": objects.n_truth,
            "n_prediction": objects.n_prediction,
        }
        compared = compare_nuclei(truths[NUCLEUS], nuclei, truths[CELL], volume.frame(0)[0], voxel_size_um=size)
        result["nuclei"] = [{key: _plain(value) for key, value in asdict(row).items()} for row in compared]
    return result


def large_parts(mask: Mask, voxel_size_um: VoxelSize, min_volume_um3: float) -> Labels:
    """Connected parts (26 neighbours) of at least this volume, numbered."""
    found = connected_components(mask)
    return found.paint(found.n_voxels * math.prod(voxel_size_um) >= min_volume_um3)


def cells_by_watershed(cells: Mask, nuclei: Labels, voxel_size_um: VoxelSize, *, min_volume_um3: float) -> Labels:
    """Cells told apart by flooding the cell mask from the nuclei, deepest first.

    Parts of the mask without a nucleus stay one cell each; they are not lost.

    Parameters
    ----------
    cells : ndarray (Z, Y, X), bool
    nuclei : ndarray (Z, Y, X), integer
        One number per nucleus.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    min_volume_um3 : float
        Smaller parts of the mask are left out.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        0 = background.

    Examples
    --------
    >>> mask = np.array([[[1, 1, 1, 1, 1, 1, 0, 1]]], bool)
    >>> nuclei = np.array([[[0, 1, 0, 0, 2, 0, 0, 0]]], np.uint8)
    >>> cells_by_watershed(mask, nuclei, (1, 1, 1), min_volume_um3=0).tolist()
    [[[1, 1, 1, 2, 2, 2, 0, 3]]]
    """
    parts = large_parts(cells, voxel_size_um, min_volume_um3)
    inside = parts > 0
    if not inside.any():
        return np.zeros(cells.shape, dtype=np.uint32)
    seeds = np.where(inside, nuclei, 0)
    grown = seeded_watershed(-distance_um(inside, voxel_size_um), seeds, inside)
    without = inside & (grown == 0)
    return np.where(without, parts + np.uint32(grown.max()), grown).astype(np.uint32)


def _plain(value: float) -> float | int | None:
    """A number that JSON can hold: NaN becomes None."""
    return None if isinstance(value, float) and math.isnan(value) else value
