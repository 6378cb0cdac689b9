"""Position of a predicted nucleus and its contrast to the cytoplasm, beside its Dice.

A network that paints a blob into the middle of every cell scores well on cells whose nucleus lies there, and is wrong.
Two figures show it: the distance between the centres of the true and the predicted nucleus, to be compared with the
distance from the cell's own centre, which such a blob would have; and the contrast, the mean value inside
minus that of the cytoplasm around it, whose sign a blob gets right only by chance. To add a figure, add it to
:class:`NucleusComparison`; units stand in the names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.counts import check_pair
from tomocyte.evaluation.matching import best_partners, overlap_table

Labels = NDArray[Any]
Box = tuple[slice, slice, slice]
SHELL_UM = (0.4, 2.0)
"""Cytoplasm that a nucleus is compared with: so far outside its surface, beyond the blur of the microscope, in µm."""


@dataclass(frozen=True)
class NucleusComparison:
    """One true nucleus and its predicted partner; NaN where there is nothing to measure.

    Parameters
    ----------
    truth_label, prediction_label, cell_label : int
        0: not found; in no cell.
    dice : float
        Of the pair; 0 where it was not found.
    distance_um : float
        Between the two centres.
    relative_distance : float
        That, divided by the diameter of a ball of the cell's volume.
    centre_distance_um : float
        Between the true nucleus and its cell: the distance of a blob in the cell's centre.
    truth_contrast, prediction_contrast : float
        Mean value inside minus mean value of the cytoplasm around, in the image's unit.
    is_same_sign : float
        1 where both contrasts have the same sign, else 0.
    is_closer_than_centre : float
        1 where the predicted centre is closer to the true one than the cell's centre is, else 0; not found counts 0.
    """

    truth_label: int
    prediction_label: int
    cell_label: int
    dice: float
    distance_um: float
    relative_distance: float
    centre_distance_um: float
    truth_contrast: float
    prediction_contrast: float
    is_same_sign: float
    is_closer_than_centre: float


def compare_nuclei(
    truth: Labels,
    prediction: Labels,
    cells: Labels,
    image: NDArray[Any],
    *,
    voxel_size_um: Sequence[float],
    shell_um: tuple[float, float] = SHELL_UM,
) -> list[NucleusComparison]:
    """Position and contrast of every true nucleus and of its partner.

    Parameters
    ----------
    truth, prediction : ndarray (Z, Y, X), integer >= 0
        Nuclei, one number each; partners come from the one-to-one assignment with the largest sum of Dice.
    cells : ndarray (Z, Y, X), integer >= 0
        True cells: a nucleus belongs to the one that holds most of it.
    image : ndarray (Z, Y, X), real, finite
        In its physical unit, e.g. the refractive index.
    voxel_size_um : sequence of 3 float
        z, y, x in µm.
    shell_um : tuple of 2 float
        Nearest and farthest distance of the cytoplasm from the nucleus in µm; all nuclei and what lies outside the cell
        are left out of it.

    Returns
    -------
    list of NucleusComparison
        By true label.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``; ``E-SHELL`` unless 0 <= near < far.

    Examples
    --------
    >>> cell = np.ones((1, 1, 9), np.uint8)
    >>> nucleus = np.array([[[0, 0, 1, 1, 0, 0, 0, 0, 0]]], np.uint8)
    >>> image = np.where(nucleus, 1.35, 1.36)
    >>> (row,) = compare_nuclei(nucleus, np.roll(nucleus, 1), cell, image, voxel_size_um=(1, 1, 0.5))
    >>> row.distance_um, row.centre_distance_um, round(row.truth_contrast, 3), row.is_same_sign
    (0.5, 0.75, -0.01, 1.0)
    """
    for labels in (prediction, cells):
        check_pair(truth, labels)
    if image.shape != truth.shape or len(voxel_size_um) != truth.ndim or truth.ndim != 3:
        raise SettingsError("E-SHAPE", f"labels {truth.shape}, image {image.shape}, voxel size {tuple(voxel_size_um)}.")
    if not 0 <= shell_um[0] < shell_um[1]:
        raise SettingsError("E-SHELL", f"the shell {shell_um} is not a range of distances.", cure="Give e.g. (0.4, 2).")
    overlaps = overlap_table(truth, prediction)
    partner = {int(overlaps.truth_index[pair]): pair for pair in best_partners(overlaps)}
    scene = _Scene(truth, prediction, cells, image, tuple(float(size) for size in voxel_size_um), shell_um)
    rows = []
    for index, label in enumerate(overlaps.truth_labels):
        pair = partner.get(index)
        partner_label = 0 if pair is None else int(overlaps.prediction_labels[overlaps.prediction_index[pair]])
        rows.append(scene.compare(int(label), partner_label, 0.0 if pair is None else float(overlaps.dice[pair])))
    return rows


def summarise_nuclei(rows: Sequence[NucleusComparison]) -> dict[str, float]:
    """Means over nuclei: of distances over those found, of the two shares over all that can be judged.

    Returns
    -------
    dict
        ``n_nuclei``, ``n_found``, ``distance_um`` (median over those found), ``relative_distance`` (median),
        ``centre_distance_um`` (median over all), ``closer_than_centre`` (share of all), ``same_sign`` (share of those
        found), ``contrast_error`` (median of the prediction's contrast minus the truth's, in the image's unit).
    """
    table = {name: np.array([asdict(row)[name] for row in rows], dtype=float) for name in _FIELDS}
    return {
        "n_nuclei": float(len(rows)),
        "n_found": float(np.count_nonzero(table["prediction_label"])),
        "distance_um": _median(table["distance_um"]),
        "relative_distance": _median(table["relative_distance"]),
        "centre_distance_um": _median(table["centre_distance_um"]),
        "closer_than_centre": _mean(table["is_closer_than_centre"]),
        "same_sign": _mean(table["is_same_sign"]),
        "contrast_error": _median(table["prediction_contrast"] - table["truth_contrast"]),
    }


_FIELDS = tuple(NucleusComparison.__dataclass_fields__)


def _median(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


@dataclass(frozen=True)
class _Scene:
    """All label images of one frame."""

    truth: Labels
    prediction: Labels
    cells: Labels
    image: NDArray[Any]
    voxel_size_um: tuple[float, ...]
    shell_um: tuple[float, float]

    def compare(self, label: int, partner_label: int, dice: float) -> NucleusComparison:
        inside = self.truth == label
        cell = self._cell_of(inside)
        centre, partner_centre = (
            self._centre_um(inside),
            self._centre_um(self.prediction == partner_label if partner_label else inside & False),
        )
        cell_centre = self._centre_um(self.cells == cell if cell else inside & False)
        distance, cell_distance = _distance(centre, partner_centre), _distance(centre, cell_centre)
        diameter = math.nan
        if cell:
            volume = np.count_nonzero(self.cells == cell) * math.prod(self.voxel_size_um)
            diameter = 2 * (3 * volume / (4 * math.pi)) ** (1 / 3)
        truth_contrast = self._contrast(self.truth, label, cell)
        contrast = self._contrast(self.prediction, partner_label, cell) if partner_label else math.nan
        has_contrasts = math.isfinite(truth_contrast) and math.isfinite(contrast)
        is_closer = (
            math.nan if not math.isfinite(cell_distance) else float(bool(partner_label) and distance < cell_distance)
        )
        return NucleusComparison(
            truth_label=label,
            prediction_label=partner_label,
            cell_label=cell,
            dice=dice,
            distance_um=distance,
            relative_distance=distance / diameter,
            centre_distance_um=cell_distance,
            truth_contrast=truth_contrast,
            prediction_contrast=contrast,
            is_same_sign=float((truth_contrast > 0) == (contrast > 0)) if has_contrasts else math.nan,
            is_closer_than_centre=is_closer,
        )

    def _cell_of(self, inside: NDArray[np.bool_]) -> int:
        names, counts = np.unique(self.cells[inside], return_counts=True)
        counts = np.where(names > 0, counts, 0)
        return int(names[counts.argmax()]) if counts.size and counts.max() > 0 else 0

    def _centre_um(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        places = np.nonzero(mask)
        if not places[0].size:
            return np.full(3, math.nan)
        return np.array([float(np.mean(at)) * size for at, size in zip(places, self.voxel_size_um, strict=True)])

    def _contrast(self, nuclei: Labels, label: int, cell: int) -> float:
        """Mean inside one nucleus minus mean of the cell's cytoplasm in a shell around it."""
        import edt

        if not cell:
            return math.nan
        outer_um = self.shell_um[1]
        box = _box(nuclei == label, [math.ceil(outer_um / size) + 1 for size in self.voxel_size_um])
        inside = nuclei[box] == label
        distance = edt.edt(~inside, anisotropy=self.voxel_size_um)
        around = (distance > self.shell_um[0]) & (distance <= outer_um) & (nuclei[box] == 0) & (self.cells[box] == cell)
        if not around.any():
            return math.nan
        values = self.image[box].astype(np.float64)
        return float(values[inside].mean() - values[around].mean())


def _box(mask: NDArray[np.bool_], margin: list[int]) -> Box:
    z, y, x = (
        slice(max(0, int(at.min()) - more), int(at.max()) + 1 + more)
        for at, more in zip(np.nonzero(mask), margin, strict=True)
    )
    return z, y, x


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.sqrt(((first - second) ** 2).sum()))
