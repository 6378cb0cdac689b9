"""Position and contrast of nuclei on boxes whose centres, shells and means are counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.evaluation.nuclear_position import NucleusComparison, compare_nuclei, summarise_nuclei

SIZE = (0.5, 0.25, 0.2)
SHAPE = (12, 40, 60)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cell of 10 x 36 x 50 voxels with an eccentric nucleus, darker by 0.01."""
    cells, truth = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    cells[1:11, 2:38, 4:54] = 9
    truth[3:9, 6:18, 10:30] = 4
    image = np.full(SHAPE, 1.337)
    image[cells > 0] = 1.36
    image[truth > 0] = 1.35
    return truth, cells, image


def test_distances_are_those_of_the_centres() -> None:
    truth, cells, image = scene()
    found = np.zeros(SHAPE, np.uint8)
    found[3:9, 8:20, 15:35] = 1  # 2 voxels along y, 5 along x
    (row,) = compare_nuclei(truth, found, cells, image, voxel_size_um=SIZE)
    assert (row.truth_label, row.prediction_label, row.cell_label) == (4, 1, 9)
    assert row.distance_um == pytest.approx(math.hypot(2 * 0.25, 5 * 0.2))
    # Centres: nucleus (5.5, 11.5, 19.5), cell (5.5, 19.5, 28.5).
    assert row.centre_distance_um == pytest.approx(math.hypot(8 * 0.25, 9 * 0.2))
    volume = 10 * 36 * 50 * 0.5 * 0.25 * 0.2
    assert row.relative_distance == pytest.approx(row.distance_um / (6 * volume / math.pi) ** (1 / 3))
    assert row.dice == pytest.approx(10 * 15 / (12 * 20))
    assert row.is_closer_than_centre == 1


def test_contrast_is_against_the_shell_of_the_own_cell() -> None:
    truth, cells, image = scene()
    (row,) = compare_nuclei(truth, truth, cells, image, voxel_size_um=SIZE)
    assert row.truth_contrast == pytest.approx(-0.01)
    assert row.prediction_contrast == pytest.approx(-0.01)
    assert row.is_same_sign == 1
    # A blob of the same size on a bright inclusion in the cytoplasm: brighter than what is around it.
    image[3:9, 22:34, 34:50] = 1.38
    blob = np.zeros(SHAPE, np.uint8)
    blob[3:9, 17:34, 29:50] = 1
    (row,) = compare_nuclei(truth, blob, cells, image, voxel_size_um=SIZE)
    assert row.dice > 0
    assert row.prediction_contrast > 0
    assert row.is_same_sign == 0
    assert row.is_closer_than_centre == 0


def test_other_nuclei_and_the_medium_are_no_cytoplasm() -> None:
    truth, cells, image = scene()
    truth[3:9, 20:26, 10:30] = 5  # two nuclei 0.5 um apart, the second one very dark
    image[truth == 5] = 1.30
    rows = compare_nuclei(truth, truth, cells, image, voxel_size_um=SIZE, shell_um=(0.0, 30.0))
    assert [row.truth_contrast for row in rows] == pytest.approx([-0.01, -0.06])


@pytest.mark.parametrize("near", [0.0, 0.5, 1.1])
def test_the_shell_begins_where_it_is_told_to(near: float) -> None:
    truth, cells, image = scene()
    distance = np.zeros(SHAPE)
    distance[:, :, 30:54] = (np.arange(30, 54) - 29) * 0.2
    image = np.where(truth > 0, 0.0, distance)
    image[:, :, :30] = 0  # only what lies beyond x counts below
    cells[:, :, :10], cells[:, :6], cells[:, 18:], cells[:3], cells[9:] = 0, 0, 0, 0, 0
    (row,) = compare_nuclei(truth, truth, cells, image, voxel_size_um=SIZE, shell_um=(near, 2.1))
    steps = [0.2 * n for n in range(1, 11) if 0.2 * n > near + 1e-6]
    assert row.truth_contrast == pytest.approx(-np.mean(steps), rel=1e-6)


def test_missed_nuclei_and_nuclei_without_a_cell() -> None:
    truth, cells, image = scene()
    truth[0, 0, :3] = 7
    (missed, outside) = compare_nuclei(truth, np.zeros(SHAPE, np.uint8), cells, image, voxel_size_um=SIZE)
    assert (missed.prediction_label, missed.dice, missed.is_closer_than_centre) == (0, 0.0, 0.0)
    assert math.isnan(missed.distance_um)
    assert missed.truth_contrast == pytest.approx(-0.01)
    assert math.isnan(missed.is_same_sign)
    assert outside.cell_label == 0
    assert math.isnan(outside.centre_distance_um)
    assert math.isnan(outside.is_closer_than_centre)


def test_summary_counts_by_hand() -> None:
    def row(found: int, distance: float, closer: float, sign: float) -> NucleusComparison:
        return NucleusComparison(1, found, 1, 0.5, distance, distance / 10, 2.0, -0.01, -0.01 * sign, sign, closer)

    nan = math.nan
    rows = [row(1, 1.0, 1.0, 1.0), row(2, 3.0, 0.0, 1.0), row(3, 2.0, 1.0, 0.0), row(0, nan, 0.0, nan)]
    summary = summarise_nuclei(rows)
    assert (summary["n_nuclei"], summary["n_found"]) == (4, 3)
    assert summary["distance_um"] == 2.0
    assert summary["relative_distance"] == pytest.approx(0.2)
    assert summary["closer_than_centre"] == 0.5
    assert summary["same_sign"] == pytest.approx(2 / 3)
    assert math.isnan(summarise_nuclei([])["distance_um"])


def test_what_does_not_belong_together_is_refused() -> None:
    truth, cells, image = scene()
    for one, other, size in (
        (cells, image[1:], SIZE),
        (cells, image, SIZE[1:]),
        (cells[:, 1:], image, SIZE),
    ):
        with pytest.raises(SettingsError, match="E-SHAPE"):
            compare_nuclei(truth, truth, one, other, voxel_size_um=size)
    with pytest.raises(SettingsError, match="E-SHELL"):
        compare_nuclei(truth, truth, cells, image, voxel_size_um=SIZE, shell_um=(2.0, 1.0))
