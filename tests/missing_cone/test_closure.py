"""Whether masses add up: balls of exact mass, and masses that are wrong on purpose."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from tomocyte.missing_cone.closure import Closure, Weighed, closure
from tomocyte.missing_cone.columns import Columns, column_contrasts

EXACT_PG = 55.116  # a ball of 5 µm with Δn = 0.02 at 0.19 mL/g
VOXEL, SHAPE = (0.4, 0.22, 0.2), (30, 80, 150)


def ball(x_um: float) -> np.ndarray:
    """A ball of 5 µm in the middle of z and y."""
    centre = (6.0, 8.8, x_um)
    axes = [(np.arange(n) + 0.5) * step - at for n, step, at in zip(SHAPE, VOXEL, centre, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 < 25


def weighed(mass: Any, *, alpha: float = 0.19, estimator: str = "matrix", cell: Any = None) -> Weighed:
    mass = np.atleast_1d(np.asarray(mass, np.float64))
    cells = np.arange(1, len(mass) + 1) if cell is None else np.asarray(cell)
    return Weighed(cells, mass, np.full(len(mass), estimator), alpha)


def columns(mass: Any, *, shared: Any = 0.0, field_pg: float = math.nan) -> Columns:
    mass = np.atleast_1d(np.asarray(mass, np.float64))
    label = np.arange(1, len(mass) + 1)
    return Columns(label, mass * 0.19, np.broadcast_to(shared, mass.shape).astype(float), field_pg * 0.19)


def whole(n: int = 1) -> np.ndarray:
    return np.ones(n, bool)


class TestBalls:
    cells = ball(7.0).astype(np.uint8) + 2 * ball(22.0).astype(np.uint8)
    found = column_contrasts((0.02 * (cells > 0)).astype(np.float32), cells, VOXEL)

    def test_the_field_weighs_both_and_no_column_is_shared(self) -> None:
        assert self.found.field_um3 / 0.19 == pytest.approx(2 * EXACT_PG, rel=0.005)
        assert self.found.shared.tolist() == [0, 0]
        result = closure(weighed([EXACT_PG, EXACT_PG]), [], None, self.found, whole(2))
        assert result.n_of_columns == 2
        assert result.columns_largest_percent == pytest.approx(0, abs=0.5)
        assert result.cells_pg == pytest.approx(2 * EXACT_PG)
        assert not result.is_open

    def test_a_mass_a_fifth_too_small_is_seen(self) -> None:
        result = closure(weighed([0.8 * EXACT_PG, 0.8 * EXACT_PG]), [], None, self.found, whole(2))
        assert result.columns_median_percent == pytest.approx(25, abs=0.6)  # 1 / 0.8 - 1
        assert result.is_open

    def test_what_is_in_no_cell_is_in_the_field(self) -> None:
        one = np.where(self.cells == 1, self.cells, 0)
        result = column_contrasts((0.02 * (self.cells > 0)).astype(np.float32), one, VOXEL)
        assert result.field_um3 / 0.19 == pytest.approx(2 * EXACT_PG, rel=0.08)

    def test_cells_above_each_other_share_their_columns(self) -> None:
        cells = np.zeros((8, 10, 12), np.uint8)
        cells[1:3, 2:6, 2:7], cells[4:7, 2:6, 6:10] = 1, 2  # one of five, and of four, rows of pixels
        result = column_contrasts(np.zeros(cells.shape, np.float32), cells, (0.5, 0.5, 0.5))
        assert result.shared.tolist() == pytest.approx([1 / 5, 1 / 4])
        own = closure(weighed([1.0, 1.0]), [], None, replace(result, contrast_um3=np.ones(2)), whole(2))
        assert own.n_of_columns == 0


class TestParts:
    """A cell of 100 pg by the matrix: nucleus 30, two droplets of 4, cytoplasm 62."""

    inside = (weighed([30.0]), weighed([4.0, 4.0], alpha=0.135, cell=[1, 1]))

    def test_parts_that_add_up(self) -> None:
        result = closure(weighed(100.0), self.inside, weighed(62.0), columns(97.0), whole())
        assert (result.n_of_parts, result.parts_percent) == (1, pytest.approx(0))
        # Columns count droplets at 0.19: 100 + 8 · (0.135 / 0.19 - 1) = 97.684.
        assert result.columns_median_percent == pytest.approx(100 * (1 - 97.0 / 97.6842), abs=1e-3)
        assert not result.is_open

    def test_a_nucleus_that_is_too_heavy_is_seen(self) -> None:
        heavy = (weighed([33.0]), self.inside[1])
        result = closure(weighed(100.0), heavy, weighed(62.0), columns(100.0), whole())
        assert result.parts_pg == pytest.approx(3)
        assert result.parts_percent == pytest.approx(3)
        assert result.is_open

    def test_in_the_mask_a_cell_counts_its_droplets_at_its_own_alpha(self) -> None:
        inside = [replace(one, estimator=np.full(len(one.cell), "in-mask")) for one in self.inside]
        cell, rest = weighed(97.6842, estimator="in-mask"), weighed(62.0, estimator="in-mask")
        result = closure(cell, inside, rest, columns(97.6842), whole())
        assert result.parts_percent == pytest.approx(0, abs=1e-3)
        assert result.columns_median_percent == pytest.approx(0, abs=1e-3)

    def test_what_was_weighed_in_two_ways_is_not_compared(self) -> None:
        cell = weighed(150.0, estimator="column")
        inside = [replace(one, estimator=np.full(len(one.cell), "in-mask")) for one in self.inside]
        result = closure(cell, inside, weighed(62.0, estimator="in-mask"), columns(150.0), whole())
        assert (result.n_of_parts, result.n_of_columns) == (0, 0)
        assert not result.is_open

    def test_cells_cut_by_the_border_are_left_out_and_counted(self) -> None:
        cells, rest = weighed([100.0, 100.0]), weighed([70.0, 20.0])
        inside = [weighed([30.0, 30.0])]
        result = closure(cells, inside, rest, columns([100, 10], field_pg=210), np.array([True, False]))
        assert (result.n_whole, result.n_cut, result.n_of_parts, result.n_of_columns) == (1, 1, 1, 1)
        assert result.parts_percent == pytest.approx(0)
        assert result.columns_largest_percent == pytest.approx(0)
        assert (result.cells_pg, result.field_pg) == (pytest.approx(200), pytest.approx(210))

    def test_a_cell_without_organelles_proves_nothing(self) -> None:
        result = closure(weighed(100.0), [], weighed(100.0), columns(math.nan), whole())
        assert result == Closure(1, 0)
        assert all(value is None or math.isfinite(value) for value in asdict(result).values())
