"""One row per object: its partner, their overlap, their sizes, the distances of their surfaces and centres.

To add a column, add it to :func:`score_objects` and describe it in :mod:`tomocyte.evaluation.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation.matching import LARGEST_LOOKUP, OverlapTable, best_partners, overlap_table
from tomocyte.evaluation.surface import surface_distances

Box = tuple[slice, ...]


def score_objects(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    voxel_size_um: Sequence[float] | None = None,
    table: OverlapTable | None = None,
) -> list[dict[str, float]]:
    """Score every object; partners come from the one-to-one assignment with the largest sum of Dice.

    Parameters
    ----------
    truth, prediction : ndarray (Z, Y, X) or (Y, X), integer >= 0, same shape
        0 = background.
    voxel_size_um : sequence of float, optional
        One per axis, in µm; without it sizes and distances are NaN. That of a single plane's z may be NaN.
    table : OverlapTable, optional
        Of the same two images, if it exists already.

    Returns
    -------
    list of dict
        True objects by label, then predicted objects without a partner (``label`` 0). The keys are
        :data:`~tomocyte.evaluation.columns.OBJECT_COLUMNS`.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``.

    Examples
    --------
    >>> rows = score_objects(np.array([[1, 1, 0, 2]]), np.array([[4, 4, 0, 0]]), voxel_size_um=(0.5, 0.2))
    >>> [(row["label"], row["prediction_label"], row["object_dice"]) for row in rows]
    [(1, 4, 1.0), (2, 0, 0.0)]
    """
    overlaps = overlap_table(truth, prediction) if table is None else table
    size = _Size(truth, voxel_size_um)
    pairs = best_partners(overlaps)
    partner_of = {int(overlaps.truth_index[pair]): pair for pair in pairs}
    partners = {int(overlaps.prediction_index[pair]) for pair in pairs}
    truth_boxes = _boxes(truth, overlaps.truth_labels) if size.is_known else []
    prediction_boxes = _boxes(prediction, overlaps.prediction_labels) if size.is_known else []
    rows: list[dict[str, float]] = []
    for index, label in enumerate(overlaps.truth_labels):
        n_truth = int(overlaps.truth_sizes[index])
        pair = partner_of.get(index)
        if pair is None:
            rows.append({"label": int(label), "prediction_label": 0, **size.row(n_truth, 0)})
            continue
        prediction_index = int(overlaps.prediction_index[pair])
        partner = int(overlaps.prediction_labels[prediction_index])
        row: dict[str, float] = {"label": int(label), "prediction_label": partner}
        row |= size.row(n_truth, int(overlaps.prediction_sizes[prediction_index]))
        row |= {"object_dice": float(overlaps.dice[pair]), "object_iou": float(overlaps.iou[pair])}
        if size.is_known:
            box = _union(truth_boxes[index], prediction_boxes[prediction_index])
            first, second = truth[box] == label, prediction[box] == partner
            distances = surface_distances(first, second, voxel_size_um=size.per_axis)
            row |= {"object_hd95_um": distances.hd95_um, "object_assd_um": distances.assd_um}
            row["object_distance_um"] = _centre_distance_um(first, second, size.per_axis)
        rows.append(row)
    for prediction_index, label in enumerate(overlaps.prediction_labels):
        if prediction_index not in partners:
            n_prediction = int(overlaps.prediction_sizes[prediction_index])
            rows.append({"label": 0, "prediction_label": int(label), **size.row(0, n_prediction)})
    return rows


class _Size:
    """Turns voxels into µm³, or µm² for an image of one plane."""

    def __init__(self, image: NDArray[Any], voxel_size_um: Sequence[float] | None) -> None:
        self.per_axis = tuple(voxel_size_um) if voxel_size_um is not None else ()
        self.is_known = voxel_size_um is not None
        self._is_planar = image.ndim == 2 or image.shape[0] == 1
        self._per_voxel = math.prod(self.per_axis[-2:] if self._is_planar else self.per_axis)

    def row(self, n_truth: int, n_prediction: int) -> dict[str, float]:
        """The columns of a pair without overlap."""
        per_voxel = self._per_voxel if self.is_known else math.nan
        volume, area = (math.nan, per_voxel) if self._is_planar else (per_voxel, math.nan)
        return {
            "n_truth_voxels": n_truth,
            "n_prediction_voxels": n_prediction,
            "object_dice": 0.0,
            "object_iou": 0.0,
            "truth_volume_um3": n_truth * volume,
            "prediction_volume_um3": n_prediction * volume,
            "truth_area_um2": n_truth * area,
            "prediction_area_um2": n_prediction * area,
            "object_hd95_um": math.nan,
            "object_assd_um": math.nan,
            "object_distance_um": math.nan,
        }


def _centre_distance_um(first: NDArray[np.bool_], second: NDArray[np.bool_], size_um: Sequence[float]) -> float:
    """Between the centres of mass of two objects; an axis along which they do not differ needs no size."""
    squares = 0.0
    for first_positions, second_positions, size in zip(np.nonzero(first), np.nonzero(second), size_um, strict=True):
        difference = float(first_positions.mean() - second_positions.mean())
        squares += (difference * size) ** 2 if difference else 0.0
    return math.sqrt(squares)


def _boxes(labels: NDArray[Any], present: NDArray[np.int64]) -> list[Box]:
    """The box around each label present, in their order."""
    from scipy import ndimage

    if len(present) == 0:
        return []
    if int(present[-1]) < LARGEST_LOOKUP:
        boxes = ndimage.find_objects(labels.view(np.uint8) if labels.dtype == bool else labels)
        return [boxes[int(label) - 1] for label in present]
    ranks = np.where(labels > 0, np.searchsorted(present, labels) + 1, 0).astype(np.int32)
    return list(ndimage.find_objects(ranks))


def _union(first: Box, second: Box) -> Box:
    """A box around both, one voxel wider, so that an object of one plane in a volume is not treated as planar."""
    return tuple(
        slice(max(min(a.start, b.start) - 1, 0), max(a.stop, b.stop) + 1) for a, b in zip(first, second, strict=True)
    )
