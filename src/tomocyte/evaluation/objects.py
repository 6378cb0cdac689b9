"""One row per object: its partner, their overlap, their sizes, the distances of their surfaces and centres.

To add a column, add it to :func:`score_objects` and describe it in :mod:`tomocyte.evaluation.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError
from tomocyte.evaluation.matching import OverlapTable, best_partners, overlap_table
from tomocyte.evaluation.surface import LARGEST_PRODUCT, distances_of_points

Float = NDArray[np.float64]

VOXELS_PER_SLAB = 1 << 22
LARGEST_TOGETHER = 1 << 20
"""Pairs of surface voxels whose distances are in memory at once."""


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
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> rows = score_objects(np.array([[1, 1, 0, 2]]), np.array([[4, 4, 0, 0]]), voxel_size_um=(0.5, 0.2))
    >>> [(row["label"], row["prediction_label"], row["object_dice"]) for row in rows]
    [(1, 4, 1.0), (2, 0, 0.0)]
    """
    overlaps = overlap_table(truth, prediction) if table is None else table
    size = _Size(truth, voxel_size_um)
    pairs = np.array(best_partners(overlaps), dtype=np.int64)
    dice, iou = overlaps.dice, overlaps.iou
    partner_of = dict(zip(overlaps.truth_index[pairs].tolist(), range(len(pairs)), strict=True))
    partners = set(overlaps.prediction_index[pairs].tolist())
    distances = _distances(truth, prediction, overlaps, pairs, size) if size.is_known and len(pairs) else {}
    truth_sizes, prediction_sizes = overlaps.truth_sizes.tolist(), overlaps.prediction_sizes.tolist()
    prediction_labels = overlaps.prediction_labels.tolist()
    rows: list[dict[str, float]] = []
    for index, label in enumerate(overlaps.truth_labels.tolist()):
        place = partner_of.get(index)
        if place is None:
            rows.append({"label": label, "prediction_label": 0, **size.row(truth_sizes[index], 0)})
            continue
        pair = pairs[place]
        partner = int(overlaps.prediction_index[pair])
        row: dict[str, float] = {"label": label, "prediction_label": prediction_labels[partner]}
        row |= size.row(truth_sizes[index], prediction_sizes[partner])
        row |= {"object_dice": float(dice[pair]), "object_iou": float(iou[pair])}
        row |= {name: float(values[place]) for name, values in distances.items()}
        rows.append(row)
    for index, label in enumerate(prediction_labels):
        if index not in partners:
            rows.append({"label": 0, "prediction_label": label, **size.row(0, prediction_sizes[index])})
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


def _distances(
    truth: NDArray[Any], prediction: NDArray[Any], overlaps: OverlapTable, pairs: NDArray[np.int64], size: _Size
) -> dict[str, Float]:
    """Distances of the surfaces and of the centres of each pair of partners, µm."""
    first = _Positions(truth, overlaps.truth_labels, size.per_axis)
    second = _Positions(prediction, overlaps.prediction_labels, size.per_axis)
    truth_index, prediction_index = overlaps.truth_index[pairs], overlaps.prediction_index[pairs]
    n_first, n_second = first.n_surface[truth_index], second.n_surface[prediction_index]
    hd95, assd = np.zeros(len(pairs)), np.zeros(len(pairs))
    # Pairs of equal numbers of surface voxels are measured together.
    order = np.lexsort((n_second, n_first))
    edges = np.flatnonzero(np.diff(n_first[order]) | np.diff(n_second[order])) + 1
    for alike in np.split(order, edges):
        n_product = int(n_first[alike[0]] * n_second[alike[0]])
        n_together = max(LARGEST_TOGETHER // n_product, 1) if n_product <= LARGEST_PRODUCT else 1
        for start in range(0, len(alike), n_together):
            members = alike[start : start + n_together]
            ends = first.surface(truth_index[members]), second.surface(prediction_index[members])
            from_truth, from_prediction = distances_of_points(*ends, voxel_size_um=first.size_um)
            hd95[members] = np.maximum(
                np.percentile(from_truth, 95, axis=1), np.percentile(from_prediction, 95, axis=1)
            )
            n_surface = from_truth.shape[1] + from_prediction.shape[1]
            assd[members] = (from_truth.sum(axis=1) + from_prediction.sum(axis=1)) / n_surface
    offset = first.centres[truth_index] - second.centres[prediction_index]
    # An axis along which they do not differ needs no size.
    squares = np.where(offset == 0, 0.0, (offset * np.array(size.per_axis)) ** 2)
    return {"object_hd95_um": hd95, "object_assd_um": assd, "object_distance_um": np.sqrt(squares.sum(axis=1))}


class _Positions:
    """Where the objects of a label image are: their centres, and their surface voxels, in the order of ``present``.

    A single plane has no surface above and below.
    """

    def __init__(self, labels: NDArray[Any], present: NDArray[np.int64], size_um: Sequence[float]) -> None:
        is_flat = labels.ndim == 3 and labels.shape[0] == 1
        self.size_um = _checked_size(size_um[1:] if is_flat else size_um, labels.ndim - is_flat)
        planes = labels[np.newaxis] if labels.ndim == 2 else labels
        per_slab = max(VOXELS_PER_SLAB // max(planes[0].size, 1), 1)
        sums, counts = np.zeros((labels.ndim, len(present))), np.zeros(len(present))
        ranks_of_parts, positions_of_parts = [], []
        for start in range(0, len(planes), per_slab):
            stop = min(start + per_slab, len(planes))
            above, below = start > 0, stop < len(planes)
            slab = planes[start - above : stop + below]
            inner = slab[above : above + stop - start]
            is_surface = _surface(slab, is_volume=len(planes) > 1)[above : above + stop - start]
            position = np.nonzero(inner)
            rank = np.searchsorted(present, inner[position].astype(present.dtype))
            position = (position[0] + start, *position[1:])
            counts += np.bincount(rank, minlength=len(present))
            for axis, along in enumerate(position[3 - labels.ndim :]):
                sums[axis] += np.bincount(rank, weights=along, minlength=len(present))
            is_kept = is_surface[inner != 0]
            ranks_of_parts.append(rank[is_kept])
            kept = [along[is_kept] for along in position[3 - len(self.size_um) :]]
            positions_of_parts.append(np.stack(kept, axis=1))
        self.centres = (sums / counts).T
        rank = np.concatenate(ranks_of_parts)
        self._positions = np.concatenate(positions_of_parts)[np.argsort(rank, kind="stable")]
        self.n_surface = np.bincount(rank, minlength=len(present))
        self._starts = np.cumsum(self.n_surface) - self.n_surface

    def surface(self, objects: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions (m, n, D) of the surface voxels of m objects that have n each."""
        n_surface = int(self.n_surface[objects[0]])
        return np.asarray(self._positions[self._starts[objects][:, np.newaxis] + np.arange(n_surface)])


def _surface(labels: NDArray[Any], *, is_volume: bool) -> NDArray[np.bool_]:
    """Voxels of an object with a face neighbour outside it, or outside the array."""
    is_surface = np.zeros(labels.shape, dtype=bool)
    for axis in range(0 if is_volume else 1, 3):
        along, inside = np.moveaxis(is_surface, axis, 0), np.moveaxis(labels, axis, 0)
        differs = inside[1:] != inside[:-1]
        along[1:] |= differs
        along[:-1] |= differs
        along[0], along[-1] = True, True
    return np.asarray(is_surface & (labels != 0))


def _checked_size(size_um: Sequence[float], n_axes: int) -> tuple[float, ...]:
    size = tuple(float(side) for side in size_um)
    if len(size) != n_axes or not all(math.isfinite(side) and side > 0 for side in size):
        raise MetadataError(
            "E-VOXEL-SIZE", f"voxel size {size} µm for {n_axes} axes.", cure="Give one number per axis."
        )
    return size
