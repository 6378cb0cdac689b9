"""Glass and beads around cells, in a field whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.segmentation.classical.sxt_field import (
    BEADS,
    CENTRE_UM,
    INNER_UM,
    OUTER_UM,
    SHAPE,
    SIZE_UM,
    away_um,
    ball,
    field,
)

from tomocyte.evaluation.objects import score_objects
from tomocyte.modalities.sxt import MODALITY
from tomocyte.segmentation import segment
from tomocyte.segmentation.classical.beads import find_beads
from tomocyte.segmentation.classical.capillary import Capillary, find_capillary
from tomocyte.segmentation.classical.surroundings import blur_um
from tomocyte.segmentation.settings import BeadSettings

SETTINGS = MODALITY.segmentation


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))


def test_the_wall_has_its_axis_its_tilt_and_its_radii() -> None:
    wall = find_capillary(field()[0], SIZE_UM)
    assert wall is not None
    assert wall.axis_um[0] == pytest.approx(CENTRE_UM, abs=0.1)
    assert wall.axis_um[1] == pytest.approx([0.0175, 0.0], abs=0.01)
    assert wall.inner_um[0] == pytest.approx(INNER_UM, abs=0.1)
    assert wall.outer_um[0] == pytest.approx(OUTER_UM, abs=0.1)


def test_an_arc_is_enough() -> None:
    """A third of the field's width is cut away: less than half of the circle is left."""
    image, labels = field()
    wall = find_capillary(image[:, :, :48], SIZE_UM)
    assert wall is not None
    glass, _ = wall.painted((*SHAPE[:2], 48), SIZE_UM)
    assert dice(glass, labels["capillary"][:, :, :48] > 0) > 0.85


@pytest.mark.parametrize("what", ["no glass", "noise", "a flat image", "a plane"])
def test_no_wall_where_there_is_none(what: str) -> None:
    image = field(has_glass=False)[0]
    if what == "noise":
        image = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    elif what == "a flat image":
        image = np.ones(SHAPE, np.float32)
    elif what == "a plane":
        image = field()[0][30:31]
    assert find_capillary(image, SIZE_UM) is None


@pytest.mark.parametrize("has_beads", [True, False])
def test_beads_are_found_and_droplets_are_none(has_beads: bool) -> None:
    """A droplet of 0.7 per um lies in a cell and is as round and even as a bead."""
    image, labels = field(beads=BEADS if has_beads else (), has_glass=False)
    image[ball((5.0, 5.2, 6.2), 0.6)] = 0.7
    beads = find_beads(image, SIZE_UM, BeadSettings(method="ball"))
    assert beads.max() == (len(BEADS) if has_beads else 0)
    assert min((row["object_dice"] for row in score_objects(labels["bead"], beads)), default=1) > 0.93


def test_touching_beads_and_a_bead_cut_by_the_end_of_the_field() -> None:
    beads = ((5.0, 5.0, 6.0, 0.9), (5.0, 6.75, 6.0, 0.9), (0.2, 9.0, 8.0, 1.0))
    image, labels = field(cells=((8.0, 5.0, 9.0, 2.0),), beads=beads, has_glass=False)
    found = find_beads(image, SIZE_UM, BeadSettings(method="ball"))
    assert found.max() == 3
    assert min(row["object_dice"] for row in score_objects(labels["bead"], found)) > 0.88


def test_a_bead_cut_by_the_glass() -> None:
    """The wall runs through a ball of 0.9 um whose middle lies 0.5 um inside it."""
    beads = (*BEADS, (5.0, CENTRE_UM[0], CENTRE_UM[1] - INNER_UM + 0.5, 0.9))
    image, labels = field(beads=beads)
    found = segment(image, SIZE_UM, SETTINGS)["bead"]
    rows = score_objects(labels["bead"], found)
    assert [row["prediction_label"] > 0 for row in rows] == [True, True, True]
    assert rows[2]["object_dice"] > 0.8


def test_cells_that_hardly_differ_from_the_medium_lie_beside_beads() -> None:
    """Cells and medium overlap in the histogram, so that one threshold parts both of them from the beads."""
    image, truth = field(cell_value=0.17, noise=0.02)
    labels = segment(image, SIZE_UM, SETTINGS)
    for structure in ("cell", "bead"):
        rows = score_objects(truth[structure], labels[structure])
        assert [row["prediction_label"] > 0 for row in rows] == [True, True]
        assert min(row["object_dice"] for row in rows) > 0.88


def test_the_glow_of_the_glass_is_no_cell() -> None:
    """It falls to a tenth within 0.7 um: a rim that the usual blur does not explain."""
    image, truth = field(beads=())
    depth = INNER_UM - away_um()
    image = image + np.where(depth > 0, 0.4 * np.exp(-np.maximum(depth, 0) / 0.3), 0).astype(np.float32)
    cells = segment(image, SIZE_UM, SETTINGS)["cell"]
    assert dice(cells > 0, truth["cell"] > 0) > 0.95
    assert cells.max() == 2


def test_the_rim_ends_where_the_glow_is_a_quarter_of_the_spread() -> None:
    """Exact: the darkest fifth inside has 0.1, the brightest tenth 0.5; the glow 0.4 exp(-d / 0.3) is 0.1 at 0.416."""
    image = np.full(SHAPE, 0.1, np.float32)
    image[np.random.default_rng(1).random(SHAPE) < 0.3] = 0.5
    depth = INNER_UM - away_um()
    image += np.where(depth > 0, 0.4 * np.exp(-np.maximum(depth, 0) / 0.3), 0).astype(np.float32)
    wall = Capillary(np.array([CENTRE_UM, (0.0175, 0.0)]), np.array([INNER_UM, 0.0]), np.array([OUTER_UM, 0.0]))
    assert blur_um(image, wall, SIZE_UM, at_least_um=0.35) == pytest.approx(0.3 * np.log(4), abs=max(SIZE_UM))
    assert blur_um(image, wall, SIZE_UM, at_least_um=0.8) == 0.8


def test_round_cells_are_no_beads() -> None:
    """They are uneven inside; with even ones beside beads, the beads absorb more."""
    assert find_beads(field(beads=(), has_glass=False)[0], SIZE_UM, BeadSettings(method="ball")).max() == 0


def test_a_whole_field() -> None:
    image, truth = field()
    labels = segment(image, SIZE_UM, SETTINGS)
    assert list(labels) == ["capillary", "bead", "cell"]
    assert dice(labels["capillary"] > 0, truth["capillary"] > 0) > 0.9
    for structure in ("cell", "bead"):
        rows = score_objects(truth[structure], labels[structure])
        assert [row["prediction_label"] > 0 for row in rows] == [True, True]
        assert min(row["object_dice"] for row in rows) > (0.95 if structure == "cell" else 0.9)
    assert not np.any((labels["cell"] > 0) & ((labels["bead"] > 0) | (labels["capillary"] > 0)))


def test_scale_and_offset_of_grey_values_do_not_matter() -> None:
    image = field()[0]
    for grey in (200 * image + 40, 3e4 * image - 9000):
        labels = segment(np.rint(grey).astype(np.int16), SIZE_UM, SETTINGS)
        for structure, expected in segment(image, SIZE_UM, SETTINGS).items():
            assert dice(labels[structure] > 0, expected > 0) > 0.99


def test_cells_at_the_glass_reach_it() -> None:
    """A cell pressed against the glass is not cut off by the blur that is left out."""
    image, truth = field(cells=((5.5, 6.8, 10.2, 2.4),), beads=())
    cell = segment(image, SIZE_UM, SETTINGS)["cell"]
    assert dice(cell > 0, truth["cell"] > 0) > 0.96
    assert np.count_nonzero(cell) == pytest.approx(np.count_nonzero(truth["cell"]), rel=0.05)


def test_structures_that_are_there_already_are_not_sought() -> None:
    image, truth = field()
    labels = segment(image, SIZE_UM, SETTINGS, existing={"cell": truth["cell"], "bead": truth["bead"]})
    assert labels["cell"] is truth["cell"]
    assert labels["bead"] is truth["bead"]
    assert labels["capillary"].any()
