"""Bodies told apart by shape: what is thin stays with the body that it grows from, what has no waist is one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.evaluation.objects import score_objects
from tomocyte.labels.settings import SplitSettings
from tomocyte.segmentation.bodies import opened
from tomocyte.segmentation.splitting import split_touching

SHAPE = (110, 130, 120)
SIZE_UM = (0.1, 0.09, 0.11)
SETTINGS = SplitSettings(method="bodies", min_separation_um=3, prominence=0.1, thin_um=0.8)
Labels = NDArray[np.uint8]


def axes() -> list[NDArray[np.float64]]:
    return list(np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(SHAPE, SIZE_UM, strict=True)], indexing="ij"))


def ball(centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    return sum((axis - at) ** 2 for axis, at in zip(axes(), centre, strict=True)) < radius**2  # type: ignore[return-value]


def tube(start: tuple[float, float, float], direction: tuple[float, float, float], length: float) -> NDArray[np.bool_]:
    """A filopodium, 0.3 um thick."""
    unit = np.array(direction) / np.linalg.norm(direction)
    offsets = [axis - at for axis, at in zip(axes(), start, strict=True)]
    along = sum(offset * u for offset, u in zip(offsets, unit, strict=True))
    across = sum(offset**2 for offset in offsets) - along**2
    return (along > 0) & (along < length) & (across < 0.15**2)  # type: ignore[no-any-return, operator]


def split(mask: NDArray[np.bool_], **changes: object) -> NDArray[np.unsignedinteger]:  # type: ignore[type-arg]
    settings = SETTINGS.model_copy(update=changes)
    return split_touching(mask.astype(np.uint8), mask, SIZE_UM, settings, min_voxels=5 / np.prod(SIZE_UM))


def pressed_pair() -> Labels:
    """Two balls of 2.5 um that share a disc of 1.5 um, one with filopodia along and away from the other."""
    first, second = (5.5, 4.0, 6.5), (5.5, 8.0, 6.5)
    truth = np.zeros(SHAPE, np.uint8)
    middle = axes()[1] < 6.0
    truth[ball(first, 2.5) & middle] = 1
    truth[ball(second, 2.5) & ~middle] = 2
    for direction in ((1, 0.3, 0), (-1, 0.5, 0.2), (0.2, 0.5, 1), (0, -1, 0.3), (0.3, 0.6, -1)):
        truth[tube(first, direction, 4.2) & (truth == 0)] = 1  # type: ignore[arg-type]
    for direction in ((1, 0.2, 0.5), (-1, 0.3, -0.5)):
        truth[tube(second, direction, 4.5) & (truth == 0)] = 2  # type: ignore[arg-type]
    return truth


def test_pressed_cells_part_and_keep_their_filopodia() -> None:
    truth = pressed_pair()
    labels = split(truth > 0)
    scores = [row["object_dice"] for row in score_objects(truth, labels)]
    assert len(scores) == 2
    assert min(scores) > 0.99
    thin = (truth > 0) & ~opened(truth > 0, SIZE_UM, 0.8)
    own = np.array([0, labels[55, 44, 59], labels[55, 89, 59]])
    assert np.count_nonzero(thin) > 500
    assert np.mean(own[truth[thin]] == labels[thin]) > 0.98
    # The distance transform with them gives filopodia cells of their own, or the wrong cell.
    plain = split(truth > 0, method="distance")
    assert np.mean(own[truth[thin]] == plain[thin]) < np.mean(own[truth[thin]] == labels[thin])


def test_a_long_spiky_cell_stays_one_and_three_in_a_row_are_three() -> None:
    z, y, x = axes()
    spindle = ((z - 5.5) / 1.6) ** 2 + ((y - 5.8) / 5.0) ** 2 + ((x - 6.6) / 1.3) ** 2 < 1
    for direction in ((1, 1, 0), (-1, 1.5, 0.5), (1, -2, 1), (0, 2, 1), (0.3, -1, -1)):
        spindle |= tube((5.5, 5.8, 6.6), direction, 4.5)  # type: ignore[arg-type]
    assert split(spindle).max() == 1
    row = np.any([ball((5.5, at, 6.5), 2.0) for at in (2.3, 5.8, 9.3)], axis=0)
    labels = split(row)
    assert labels.max() == 3
    assert len({int(labels[55, round(at / 0.09), 59]) for at in (2.3, 5.8, 9.3)}) == 3


def test_without_a_waist_two_seeds_are_one_cell() -> None:
    """A ball with a deep cleft has two peaks of the distance, but its halves meet over most of a disc."""
    z, y, _ = axes()
    cleft = ball((5.5, 5.8, 6.5), 3.5) & ~((np.abs(y - 5.8) < 0.2) & (z > 4.4))
    assert split(cleft).max() == 1
    assert split(cleft, max_contact=100).max() == 2


@pytest.mark.parametrize("n_planes", [1, 3])
def test_a_plane_and_a_thin_stack(n_planes: int) -> None:
    y, x = np.ogrid[:80, :140]
    discs = ((y - 40) ** 2 + (x - 40) ** 2 < 30**2) | ((y - 40) ** 2 + (x - 95) ** 2 < 30**2)
    mask = np.repeat(discs[None], n_planes, axis=0)
    size = (float("nan") if n_planes == 1 else 1.0, 0.1, 0.1)
    settings = SETTINGS.model_copy(update={"min_separation_um": 2.0})
    labels = split_touching(mask.astype(np.uint8), mask, size, settings, min_voxels=50)
    assert labels.max() == 2
    assert labels[0, 40, 20] != labels[0, 40, 115]
