"""Differences of two segmentations of a cell in three dimensions, as in Fig. 3C: both, compared, and a close-up.

To choose other cells, change the order in :func:`most_different`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.datasets.pairs import Pair, open_pair
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.rendering import (
    CELL_BODY_COLOUR,
    PREDICTION_BODY_COLOUR,
    TRUTH_BODY_COLOUR,
    Body,
    BodyPanel,
    body_figure,
)
from tomocyte.formats import ReadOptions
from tomocyte.labels.distances import distance_um
from tomocyte.papers.acseg.recipe import SegmentationsRecipe
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]

MISSING_COLOUR, ADDED_COLOUR = "#D55E00", "#0072B2"
"""What only the first and only the second holds."""
_MARGIN_VOXELS = 3
_CLOSE_UP_SHARE = 0.35
"""Side of the close-up, as a share of the cell's longest side."""
_DETAIL = 0.75
"""Smoothing of surfaces in voxels: filopodia are one or two voxels thick."""
_LARGEST_SIDE = 128


@dataclass(frozen=True, eq=False)
class CellPair:
    """One cell in both segmentations, cut out: masks (Z, Y, X) on one grid."""

    name: str
    first: Mask
    second: Mask
    voxel_size_um: VoxelSize


def most_different(pairs: Sequence[Pair], cells: pd.DataFrame, recipe: SegmentationsRecipe) -> Iterator[CellPair]:
    """The cells with the lowest Dice, read again and cut out."""
    by_name = {pair.name: pair for pair in pairs}
    for index in cells["dice"].sort_values(kind="stable").index[: recipe.n_shown]:
        row = cells.loc[index]
        opened = open_pair(
            by_name[row["item"]], ReadOptions(voxel_size_um=recipe.voxel_size_um), channel=None,
            structure=recipe.structure,
        )  # fmt: skip
        case = next(case for case in opened.cases() if case.frame == row["frame"])
        size = case.voxel_size_um
        if case.prediction is None or size is None or math.isnan(size[0]):
            continue
        masks = case.truth == row["label_first"], case.prediction == row["label_second"]
        box = box_around(masks[0] | masks[1])
        name = f"{row['item']}-{int(row['label_first'])}" + (f"-frame{int(row['frame'])}" if row["frame"] else "")
        yield CellPair(name, masks[0][box], masks[1][box], (size[0], size[1], size[2]))


def box_around(mask: Mask) -> Box:
    """The smallest box around a mask that is not empty, and a few voxels more where there are any."""
    z, y, x = (
        slice(max(side.start - _MARGIN_VOXELS, 0), side.stop + _MARGIN_VOXELS)
        for side in ndimage.find_objects(mask.astype(np.uint8))[0]
    )
    return z, y, x


def missing_and_added(cell: CellPair, tolerance_um: float) -> tuple[Mask, Mask]:
    """What only the first and what only the second holds, further than a tolerance from the other.

    Returns
    -------
    missing, added : ndarray (Z, Y, X), bool
    """
    sides = []
    for own, other in ((cell.first, cell.second), (cell.second, cell.first)):
        sides.append(own & ~other & (distance_um(~other, cell.voxel_size_um) > tolerance_um))
    return sides[0], sides[1]


def difference_figure(
    cell: CellPair,
    names: tuple[str, str],
    *,
    title: str,
    tolerance_voxels: float = 1.5,
    file_format: PictureFormat = "png",
) -> bytes:
    """Both bodies, their union coloured by what is missing and added, and a close-up of most of that."""
    tolerance_um = tolerance_voxels * max(cell.voxel_size_um)
    missing, added = missing_and_added(cell, tolerance_um)
    union = cell.first | cell.second
    paint = ((missing, MISSING_COLOUR), (added, ADDED_COLOUR))
    box = close_up_box(missing | added, cell.voxel_size_um)
    inside = np.zeros_like(union)
    inside[box] = True
    corners = [[one.start * size, one.stop * size] for one, size in zip(box, cell.voxel_size_um, strict=True)]
    compared = f"only {names[0]}: orange, only {names[1]}: blue (over {tolerance_um:.2g} µm)"
    panels = [
        BodyPanel((Body(cell.first, TRUTH_BODY_COLOUR),), names[0]),
        BodyPanel((Body(cell.second, PREDICTION_BODY_COLOUR),), names[1]),
        BodyPanel((Body(union, CELL_BODY_COLOUR, paint=paint),), compared, frame_um=np.array(corners)),
        BodyPanel((Body(union & inside, CELL_BODY_COLOUR, paint=paint),), "close-up", is_close_up=True),
    ]
    middle = np.mean(corners, axis=1) - np.array(union.shape) * cell.voxel_size_um / 2
    return body_figure(
        panels, cell.voxel_size_um, n_columns=2, title=title, view_deg=_towards(middle), file_format=file_format,
        smoothing_um=_DETAIL * min(cell.voxel_size_um), largest_side=_LARGEST_SIDE,
    )  # fmt: skip


def close_up_box(mask: Mask, voxel_size_um: VoxelSize) -> Box:
    """A cube that holds most voxels of a mask; in the middle of an empty one."""
    longest_um = max(n * size for n, size in zip(mask.shape, voxel_size_um, strict=True))
    sides = [
        max(1, min(n, round(_CLOSE_UP_SHARE * longest_um / size)))
        for n, size in zip(mask.shape, voxel_size_um, strict=True)
    ]
    counts = ndimage.uniform_filter(mask.astype(np.float32), sides, mode="constant")
    peak = np.unravel_index(np.argmax(counts), mask.shape) if mask.any() else [n // 2 for n in mask.shape]
    z, y, x = (
        slice(start := min(max(int(at) - side // 2, 0), n - side), start + side)
        for at, side, n in zip(peak, sides, mask.shape, strict=True)
    )
    return z, y, x


def _towards(direction: NDArray[np.float64]) -> tuple[float, float]:
    """Elevation and azimuth of an eye that looks from a direction (z, y, x); the y axis of a picture points away."""
    z, y, x = direction
    elevation = math.degrees(math.atan2(z, math.hypot(y, x)))
    return min(max(elevation, -20.0), 50.0), math.degrees(math.atan2(-y, x))
