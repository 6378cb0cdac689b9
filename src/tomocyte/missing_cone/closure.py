"""Whether dry masses add up: parts and cell, volume and phase, cells and field.

Each check compares two ways to one mass, so that what it finds is a fault of the mask, the background or the optics.
To add a check, add its figures to :class:`Closure` and a function that finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.missing_cone.columns import Columns

Float = NDArray[np.float64]
MOST_PARTS_PERCENT = 2.0
"""Parts of one estimator add up but for voxels that two organelles share and for what droplets share out."""
MOST_COLUMNS_PERCENT = 15.0
"""Matrix and column have SD 4.3 and 5.3 % against the truth of simulated cells, 7 % together; this is twice that."""
MOST_SHARED = 0.05
"""Share of a cell's footprint over or under another cell, up to which its columns are its own."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """The dry masses of all objects of one structure.

    Parameters
    ----------
    cell : ndarray (n,), int64
        Label of the cell that each belongs to; of a cell its own.
    dry_mass_pg : ndarray (n,), float64
    estimator : ndarray (n,), str
        How each was found.
    increment_ml_per_g : float
        α of the structure; NaN where it has none.
    """

    cell: NDArray[np.int64]
    dry_mass_pg: Float
    estimator: NDArray[np.str_]
    increment_ml_per_g: float


@dataclass(frozen=True)
class Closure:
    """How well the masses of a frame add up; ``None`` where there is nothing to compare.

    Parameters
    ----------
    n_whole, n_cut : int
        Cells inside the field, and cells that its y or x border cuts, which the first two checks leave out.
    n_of_parts : int
        Whole cells with organelles, weighed in the same way as these.
    parts_pg, parts_percent : float, optional
        Largest difference between a cell and its organelles and cytoplasm, and largest share of the cell's mass.
    n_of_columns : int
        Whole cells with columns of their own.
    columns_median_percent, columns_largest_percent : float, optional
        Absolute difference between a cell's mass and that of its columns, which is its mass by phase.
    field_pg, cells_pg : float, optional
        All columns of the field above its background, and all cells, both at the α of cells.
    """

    n_whole: int
    n_cut: int
    n_of_parts: int = 0
    parts_pg: float | None = None
    parts_percent: float | None = None
    n_of_columns: int = 0
    columns_median_percent: float | None = None
    columns_largest_percent: float | None = None
    field_pg: float | None = None
    cells_pg: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether parts or columns differ by more than can be explained."""
        return (self.parts_percent or 0) > MOST_PARTS_PERCENT or (
            self.columns_median_percent or 0
        ) > MOST_COLUMNS_PERCENT


def closure(
    cells: Weighed, inside: Sequence[Weighed], rest: Weighed | None, columns: Columns, is_whole: NDArray[np.bool_]
) -> Closure:
    """Compare the masses of a frame.

    Parameters
    ----------
    cells : Weighed
    inside : sequence of Weighed
        Organelles that lie in no other organelle that was weighed.
    rest : Weighed, optional
        The cells without organelles.
    columns : Columns
    is_whole : ndarray (n,), bool
        Whether each cell lies inside the field.

    Notes
    -----
    Columns count everything at the α of cells; a cell by the matrix is therefore compared with them after its
    organelles were counted so too. In its mask a cell is counted at one α, and so are its organelles for the sum.
    """
    n_whole = int(is_whole.sum())
    parts_pg = np.zeros(len(cells.cell)) if rest is None else _sums(rest, cells.cell)
    excess_pg, n_organelles = np.zeros((2, len(cells.cell)))
    is_alike = np.ones(len(cells.cell), bool) if rest is None else _all_like(rest, cells)
    for one in inside:
        own_pg = _sums(one, cells.cell)
        parts_pg += own_pg
        excess_pg += own_pg * (one.increment_ml_per_g / cells.increment_ml_per_g - 1)
        n_organelles += _sums(one, cells.cell, is_counted=True)
        is_alike &= _all_like(one, cells)
    is_matrix = cells.estimator == "matrix"
    parts_pg += np.where(is_matrix, 0, np.nan_to_num(excess_pg))
    phase_pg = cells.dry_mass_pg + np.where(is_matrix, np.nan_to_num(excess_pg), 0)
    figures: dict[str, float | int | None] = {}
    if rest is not None:
        is_used = is_whole & is_alike & (n_organelles > 0)
        figures |= _of_parts(parts_pg[is_used], cells.dry_mass_pg[is_used])
    at = np.searchsorted(columns.label, cells.cell)
    column_pg = columns.contrast_um3[at] / cells.increment_ml_per_g
    is_used = is_whole & (cells.estimator != "column") & (columns.shared[at] <= MOST_SHARED)
    figures |= _of_columns(phase_pg[is_used], column_pg[is_used])
    field_pg, cells_pg = columns.field_um3 / cells.increment_ml_per_g, float(phase_pg.sum())
    if np.isfinite([field_pg, cells_pg]).all():
        figures |= {"field_pg": field_pg, "cells_pg": cells_pg}
    return Closure(n_whole, len(is_whole) - n_whole, **figures)  # type: ignore[arg-type]


def _sums(objects: Weighed, cells: NDArray[np.int64], *, is_counted: bool = False) -> Float:
    """Mass, or number, of the objects of each cell."""
    weights = np.ones(len(objects.cell)) if is_counted else objects.dry_mass_pg
    total = np.bincount(objects.cell, weights=weights, minlength=int(cells.max(initial=0)) + 1)
    return np.asarray(total[cells], dtype=np.float64)


def _all_like(objects: Weighed, cells: Weighed) -> NDArray[np.bool_]:
    """Whether all objects of each cell were weighed as the cell was."""
    size = int(max(cells.cell.max(initial=0), objects.cell.max(initial=0))) + 1
    of_cell = np.full(size, "", dtype=object)
    of_cell[cells.cell] = cells.estimator
    n_others = np.bincount(objects.cell, weights=objects.estimator != of_cell[objects.cell], minlength=size)
    return np.asarray(n_others[cells.cell] == 0)


def _of_parts(parts_pg: Float, cell_pg: Float) -> dict[str, float | int | None]:
    difference = np.abs(parts_pg - cell_pg)
    is_known = np.isfinite(difference) & (cell_pg > 0)
    if not is_known.any():
        return {}
    percent = 100 * difference[is_known] / cell_pg[is_known]
    return {
        "n_of_parts": int(is_known.sum()),
        "parts_pg": float(difference[is_known].max()),
        "parts_percent": float(percent.max()),
    }


def _of_columns(cell_pg: Float, column_pg: Float) -> dict[str, float | int | None]:
    is_known = np.isfinite(cell_pg) & np.isfinite(column_pg) & (cell_pg > 0)
    if not is_known.any():
        return {}
    percent = 100 * np.abs(column_pg[is_known] / cell_pg[is_known] - 1)
    return {
        "n_of_columns": int(is_known.sum()),
        "columns_median_percent": float(np.median(percent)),
        "columns_largest_percent": float(percent.max()),
    }
