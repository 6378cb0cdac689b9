"""Columns of objects beside SimpleITK, cc3d and scikit-image on simulated labels; the script prints the same table."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import pytest
import SimpleITK

AGREEMENT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "agreement.py"))
VOXEL = (0.31, 0.17, 0.13)
EXACT = 1e-9


def potatoes(rng: np.random.Generator) -> np.ndarray:
    """Warped balls that touch, overlap the border, and hold hollows; one voxel, one line and one plane."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (25, 44, 52)), indexing="ij")
    labels = np.zeros(z.shape, np.uint16)
    for number in range(1, 19):
        centre, radius = rng.uniform(0, 1, 3) * labels.shape, rng.uniform(3, 6)
        bumps = 1 + 0.3 * np.sin(x / 3 + number) * np.cos(y / 4) + 0.1 * np.sin(z)
        distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        is_there = (distance < radius * bumps) & ~((distance < 1.5) & (number % 3 == 0))
        labels[is_there & (labels == 0)] = 10 * number
    labels[:, 0], labels[:, :, 0] = 0, 0
    labels[3, 0, 5], labels[5, 0, 8:14], labels[0:9, 2:20, 0] = 7, 8, 9
    return labels


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    rng = np.random.default_rng(4)
    labels = potatoes(rng)
    return AGREEMENT["compare"](labels, VOXEL, rng.normal(1.34, 0.01, labels.shape))


def test_columns_of_the_same_definition_are_equal(rows: list[Any]) -> None:
    same = [row for row in rows if row.tolerance < float("inf")]
    assert {row.peer for row in same} == {"SimpleITK", "cc3d", "scikit-image"}
    assert [row.line() for row in same if not row.is_met] == []
    assert len({row.column for row in same}) >= 20
    counts = {row.column: row.differences.size for row in same}
    assert counts["n_voxels"] == 21, "eighteen balls, a voxel, a line, a plane"
    assert counts["surface_area_mesh_um2"] >= 5, "objects large enough, and not cut"


def test_columns_of_another_definition_differ_as_they_should(rows: list[Any]) -> None:
    """Areas of thirteen single steps, hulls half a voxel larger, a median from a histogram: near, and not equal."""
    other = {(row.column, row.peer): row for row in rows if row.tolerance == float("inf")}
    bounds = {
        ("surface_area_um2", "SimpleITK"): 0.35,
        ("sphericity", "SimpleITK"): 0.35,
        ("p50_value", "SimpleITK"): 0.01,
    }
    for key, bound in bounds.items():
        apart = np.abs(other[key].differences)
        assert 0 < np.median(apart) < bound, key
    # From centre to centre it is shorter; inside a larger hull are more voxels.
    assert (other["feret_diameter_max_um", "SimpleITK"].differences > -EXACT).all()
    assert (other["solidity", "scikit-image"].differences > -EXACT).all()


@pytest.mark.parametrize(
    ("measure", "factor"),
    [
        (lambda labels: float(cc3d.statistics(labels)["voxel_counts"][1]), 1.0),
        (lambda labels: float(AGREEMENT["shapes"](labels, VOXEL).GetPhysicalSize(1)), 0.31 * 0.17 * 0.13),
    ],
    ids=["cc3d", SimpleITK.__name__],
)
def test_a_wrong_number_would_be_seen(measure: Callable[[np.ndarray], float], factor: float) -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 1:4, 1:4] = 1
    peer = np.array([measure(labels)])
    row = AGREEMENT["Row"]
    assert row("n", "peer", np.array([18 * factor]), peer, EXACT).is_met
    assert not row("n", "peer", np.array([18 * factor * (1 + 1e-8)]), peer, EXACT).is_met
    assert not row("n", "peer", np.array([np.nan]), peer, EXACT).is_met, "nothing compared is nothing shown"
