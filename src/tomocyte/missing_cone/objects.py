"""Contrast and dry mass of cells and organelles, from the potentials of the parts they consist of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.missing_cone.blocks import field_potentials
from tomocyte.missing_cone.parts import Labels, Part, Parts, divide
from tomocyte.missing_cone.potential import contrast_of, potential_of
from tomocyte.missing_cone.small import small_objects
from tomocyte.missing_cone.transfer import Support
from tomocyte.structures import CELL, CYTOPLASM
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recovered:
    """What was found for the objects of one structure.

    Parameters
    ----------
    label : ndarray (n,), int64
        Ascending.
    contrast : ndarray (n,), float64
        Mean n - n0; NaN where it is not determined.
    dry_mass_pg : ndarray (n,), float64
        NaN also without a refraction increment.
    """

    label: NDArray[np.int64]
    contrast: Float
    dry_mass_pg: Float


def recover(
    ri: NDArray[np.float32],
    labels: Mapping[str, Labels],
    voxel_size_um: VoxelSize,
    *,
    medium_ri: float,
    support: Support,
    increments_ml_per_g: Mapping[str, float | None],
    cytoplasm: Labels | None = None,
) -> dict[str, Recovered]:
    """Contrast and dry mass of every object of a field, by the geometric transfer matrix.

    Parameters
    ----------
    ri : ndarray (Z, Y, X), float32
        The tomogram.
    labels : mapping
        Structure -> labels (Z, Y, X); among them ``cell``.
    voxel_size_um : tuple of 3 float
    medium_ri : float
        Turns potential into index; an error of it hardly changes the contrast.
    support : callable
        What the instrument measures.
    increments_ml_per_g : mapping
        Structure -> α.
    cytoplasm : ndarray (Z, Y, X), optional
        Cells without their organelles, by the label of the cell; measured like the cells, and no part of its own.

    Returns
    -------
    dict of str to Recovered
        The index of a cell is that of its organelles and, for the rest of its mask, of the cytoplasm at least 0.8 µm
        below its surface. Its dry mass is the sum over its parts and its shell, each with its own α.
    """
    field = divide(labels, voxel_size_um)
    potential = potential_of(ri, medium_ri)
    values = field_potentials(potential, field, voxel_size_um, support)
    contrast = contrast_of(values, medium_ri)
    alpha = np.array([increments_ml_per_g.get(part.structure) or math.nan for part in field.parts])
    results = {}
    measured = dict(labels) if cytoplasm is None else {**labels, CYTOPLASM: cytoplasm}
    for structure, own in measured.items():
        is_body = structure == CELL or own is cytoplasm
        table = voxels_by_part(own, field.index, len(field.parts))
        label = np.flatnonzero(table.sum(axis=1)).astype(np.int64)
        n_voxels = table[label].sum(axis=1)
        mean = _sums(table[label], _without_rims(contrast, field.parts) if is_body else contrast) / n_voxels
        mass = mean * n_voxels / (increments_ml_per_g.get(structure) or math.nan)
        if is_body:
            mass = _sums(table[label], contrast / alpha) + _shells(field, contrast / alpha, label)
        results[structure] = Recovered(label, mean, mass * math.prod(voxel_size_um))
    small = small_objects(potential, field, values, labels, voxel_size_um, support)
    for structure, own_potential in small.items():
        before = results[structure]
        is_small = np.isfinite(own_potential)
        mean = np.where(is_small, contrast_of(own_potential, medium_ri), before.contrast)
        mass = mean * np.bincount(labels[structure].ravel())[before.label] * math.prod(voxel_size_um)
        mass /= increments_ml_per_g.get(structure) or math.nan
        results[structure] = Recovered(before.label, mean, np.where(is_small, mass, before.dry_mass_pg))
    return results


def voxels_by_part(labels: Labels, index: NDArray[np.int32], n_parts: int) -> NDArray[np.int64]:
    """How many voxels each label has in each part, (largest label + 1, n_parts) int64; row 0 is 0.

    Voxels of an object in the medium (part 0) are left out: a part was drawn wherever there is an object.
    """
    is_object = labels > 0
    n_labels = int(labels.max(initial=0)) + 1
    key = labels[is_object].astype(np.int64) * (n_parts + 1) + index[is_object]
    return np.bincount(key, minlength=n_labels * (n_parts + 1)).reshape(n_labels, n_parts + 1)[:, 1:]


def _sums(table: NDArray[np.int64], values: Float) -> Float:
    """Sum of the values over each row's voxels; NaN only where a part of the row is not determined."""
    total = table @ np.nan_to_num(values)
    return np.where((table[:, np.isnan(values)] > 0).any(axis=1), np.nan, total)


def _without_rims(contrast: Float, parts: tuple[Part, ...]) -> Float:
    """The contrast of each part, with a cell's core for its rim, where it has a core."""
    cores = {part.label: value for part, value in zip(parts, contrast, strict=True) if _is_of_cell(part, "core")}
    inner = [
        cores.get(part.label, value) if _is_of_cell(part, "rim") else value
        for part, value in zip(parts, contrast.tolist(), strict=True)
    ]
    return np.array(inner, dtype=np.float64)


def _shells(field: Parts, mass: Float, label: NDArray[np.int64]) -> Float:
    """Dry mass per voxel volume of the shells of these cells."""
    n_voxels = np.bincount(field.index.ravel(), minlength=len(field.parts) + 1)[1:]
    shells = {
        part.label: float(n * value)
        for part, n, value in zip(field.parts, n_voxels, mass, strict=True)
        if _is_of_cell(part, "shell")
    }
    return np.array([shells.get(int(one), 0.0) for one in label], dtype=np.float64)


def _is_of_cell(part: Part, kind: str) -> bool:
    return part.structure == CELL and part.kind == kind
