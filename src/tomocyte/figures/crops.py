"""Single cells cut out of a volume: the plane through their middle, all of one size, and which cells are worth it.

A montage is :func:`tomocyte.figures.contour_figure` of such panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.contours import ContourPanel
from tomocyte.volume import Planes, VoxelSize

if TYPE_CHECKING:
    import pandas as pd


def crop_plane(array: Planes, centre: Sequence[float], shape: tuple[int, int]) -> NDArray[Any]:
    """The part of one xy plane around a place; near the border it is moved so that it stays inside.

    Parameters
    ----------
    array : Planes
        One plane is read.
    centre : sequence of 3 float
        z, y, x in voxels; the centre of the first voxel is 0.
    shape : tuple of 2 int
        Rows and columns wanted; fewer come back where the volume has fewer.

    Examples
    --------
    >>> crop_plane(np.arange(24).reshape(1, 4, 6), (0, 0, 3), (2, 3)).tolist()
    [[2, 3, 4], [8, 9, 10]]
    """
    z = min(max(round(centre[0]), 0), array.shape[0] - 1)
    starts = [
        min(max(round(middle - (n - 1) / 2), 0), max(length - n, 0))
        for middle, n, length in zip(centre[1:], shape, array.shape[1:], strict=True)
    ]
    return np.asarray(array[z])[starts[0] : starts[0] + shape[0], starts[1] : starts[1] + shape[1]]


def crop_shape(side_um: float, voxel_size_um: VoxelSize) -> tuple[int, int]:
    """Rows and columns of a square of this side."""
    return max(1, round(side_um / voxel_size_um[1])), max(1, round(side_um / voxel_size_um[2]))


def cell_panel(
    image: Planes,
    labels: Mapping[str, Planes],
    centre_um: Sequence[float],
    voxel_size_um: VoxelSize,
    *,
    side_um: float,
    caption: str = "",
) -> ContourPanel:
    """The plane through the middle of a cell with the outlines of what was found in it.

    Parameters
    ----------
    image : Planes
        In its physical unit.
    labels : mapping of str to Planes
        Structure to labels, 0 = background.
    centre_um : sequence of 3 float
        z, y, x in µm as in the tables, where the centre of voxel 0 lies at 0; z is not used in a single plane.
    voxel_size_um : tuple of 3 float
        z, y, x; z may be NaN for a single plane.
    side_um : float
        Of the square that is shown.
    caption : str
    """
    centre = [
        place / size if np.isfinite(place) and np.isfinite(size) else 0.0
        for place, size in zip(centre_um, voxel_size_um, strict=True)
    ]
    shape = crop_shape(side_um, voxel_size_um)
    outlines = {name: crop_plane(array, centre, shape) for name, array in labels.items()}
    return ContourPanel(crop_plane(image, centre, shape), outlines, caption)


def typical_and_extreme(values: pd.Series[float], *, n_each: int = 3) -> dict[str, list[Any]]:
    """Which cells to show: those of the lowest values, those nearest to the median, those of the highest.

    Parameters
    ----------
    values : Series
        One value per cell; cells without one are not shown.
    n_each : int
        Cells of each kind; a cell stands in one kind only, in the order lowest, highest, typical.

    Returns
    -------
    dict
        ``lowest``, ``typical``, ``highest``: index labels, by rising value; kinds without cells are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> typical_and_extreme(pd.Series({"a": 5.0, "b": 1.0, "c": 9.0, "d": 4.0}), n_each=1)
    {'lowest': ['b'], 'typical': ['d'], 'highest': ['c']}
    """
    rising = values[np.isfinite(values)].sort_values(kind="stable")
    n_ends = min(n_each, len(rising) // 2) if len(rising) > 1 else 0
    low, high = rising.iloc[:n_ends], rising.iloc[len(rising) - n_ends :]
    between = rising.iloc[n_ends : len(rising) - n_ends]
    nearest = (between - rising.median()).abs().sort_values(kind="stable").index[:n_each]
    typical = between.loc[between.index.isin(nearest)]
    kinds = {"lowest": low, "typical": typical, "highest": high}
    return {kind: list(rows.index) for kind, rows in kinds.items() if len(rows)}
