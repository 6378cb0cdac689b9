"""Painted slices against geometry: areas that follow from how far a contour is moved, and what is overlooked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.papers.acseg.trainings.labels import make_labels
from tomocyte.papers.acseg.trainings.recipe import LabellingSettings
from tomocyte.simulation.painting import PaintingSettings, paint_slices

EXACT = PaintingSettings(offset_um=0, slice_offset_um=0, shift_um=0, missed_share=0)
SIZE = (0.3, 0.05, 0.1)


def cylinder(radius_um: float, n_slices: int = 200) -> NDArray[np.bool_]:
    y, x = np.ogrid[:160, :80]
    disc = ((y - 80) * 0.05) ** 2 + ((x - 40) * 0.1) ** 2 <= radius_um**2
    return np.broadcast_to(disc, (n_slices, *disc.shape)).copy()


def test_the_area_varies_as_the_offset_says() -> None:
    """A disc whose radius is moved by a normal step of 0.1 µm: the radius of its area has that deviation."""
    settings = EXACT.model_copy(update={"slice_offset_um": 0.1})
    painted = paint_slices(cylinder(2.0), SIZE, settings=settings, rng=np.random.default_rng(3))
    radii = np.sqrt(painted.sum(axis=(1, 2)) * 0.005 / math.pi)
    assert radii.mean() == pytest.approx(2.0, abs=0.03)
    assert radii.std(ddof=1) == pytest.approx(0.1, rel=0.15)


def test_slices_are_moved_each_alone() -> None:
    settings = EXACT.model_copy(update={"shift_um": 0.2})
    painted = paint_slices(cylinder(2.0), SIZE, settings=settings, rng=np.random.default_rng(3))
    y, x = np.ogrid[:160, :80]
    middles = np.array([[(one * y).sum() * 0.05, (one * x).sum() * 0.1] for one in painted]) / painted.sum(
        axis=(1, 2)
    ).reshape(-1, 1)
    assert middles.std(axis=0, ddof=1) == pytest.approx([0.2, 0.2], rel=0.2)
    assert abs(np.corrcoef(middles[:-1, 0], middles[1:, 0])[0, 1]) < 0.2


def test_the_contour_moves_by_its_offset_and_smoothly() -> None:
    """Where the contour crosses the row and the column of the centre, it strays by the offset, opposite ends alone."""
    settings = EXACT.model_copy(update={"offset_um": 0.15, "length_um": 0.5})
    painted = paint_slices(cylinder(2.5), SIZE, settings=settings, rng=np.random.default_rng(4))
    up = np.array([80 - np.flatnonzero(one[:, 40])[0] for one in painted]) * 0.05
    down = np.array([np.flatnonzero(one[:, 40])[-1] - 80 for one in painted]) * 0.05
    assert up.std(ddof=1) == pytest.approx(0.15, rel=0.2)
    assert abs(np.corrcoef(up, down)[0, 1]) < 0.2


def test_thin_parts_are_overlooked_and_thick_ones_never() -> None:
    truth = cylinder(1.5, 1)
    truth[0, 79:82, :20] = True  # 0.15 µm wide
    settings = EXACT.model_copy(update={"missed_share": 1.0, "thin_um": 0.4})
    painted = paint_slices(truth, SIZE, settings=settings, rng=np.random.default_rng(5))
    assert not painted[0, 79:82, :20].any()
    kept = cylinder(1.5, 1)
    assert painted[kept].mean() > 0.99
    half = EXACT.model_copy(update={"missed_share": 0.5, "thin_um": 0.4})
    many = paint_slices(np.repeat(truth, 300, 0), SIZE, settings=half, rng=np.random.default_rng(6))
    assert many[:, 80, 5].mean() == pytest.approx(0.5, abs=0.1)


def test_only_the_slices_asked_for_are_painted() -> None:
    painted = paint_slices(cylinder(1.0, 9), SIZE, slices=[1, 4], settings=EXACT, rng=np.random.default_rng(1))
    assert painted.any(axis=(1, 2)).tolist() == [False, True, False, False, True, False, False, False, False]


def test_labels_of_each_kind() -> None:
    """A cylinder along z painted without error is propagated without error, too."""
    truth, ball = cylinder(1.5, 21), np.zeros((21, 160, 80), bool)
    ball[2:9, 4:16, 4:10] = True
    image = np.where(truth, 2.0, np.where(ball, 3.0, 1.0)).astype(np.float32)
    masks = {"cell": truth, "bead": ball}
    settings = LabellingSettings(every=4, painting=EXACT)
    made = {
        kind: make_labels(kind, masks, image, SIZE, settings, np.random.default_rng(1))  # type: ignore[arg-type]
        for kind in ("truth", "manual", "propagated")
    }
    for labels, _ in made.values():
        assert np.array_equal(labels["cell"], truth)
    assert np.array_equal(made["manual"][0]["bead"], ball)
    assert {kind: counts["cell"] for kind, (_, counts) in made.items()} == {"truth": 0, "manual": 21, "propagated": 6}
    assert made["propagated"][1]["bead"] == 2  # slices 4 and 8
