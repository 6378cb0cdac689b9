"""Which pictures one volume leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

TIME_COURSES = (
    "volume_um3",
    "area_um2",
    "mean_ri",
    "mean_intensity",
    "mean_value",
    "dry_mass_pg",
    "projected_dry_mass_pg",
)


def frame_pictures(
    image: NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    what: tuple[str, str],
    title: str,
) -> dict[str, bytes]:
    """Three planes of a frame, and the largest cell close up where it is small in the field.

    Parameters
    ----------
    image : ndarray (Z, Y, X)
        Physical values.
    labels : mapping
        Structure -> unsigned ndarray (Z, Y, X).
    voxel_size_um : tuple of 3 float
    what : tuple of 2 str
        Quantity and unit of the image.
    title : str

    Returns
    -------
    dict
        ``overview`` and perhaps ``closeup`` -> PNG.
    """
    from tomocyte.figures import closeup, overview

    quantity, unit = what
    pictures = {"overview": overview(image, labels, voxel_size_um, unit=unit, quantity=quantity, title=title)}
    near = closeup(image, labels, voxel_size_um, unit=unit, quantity=quantity, title=title)
    return pictures if near is None else pictures | {"closeup": near}


def time_course_pictures(table: pd.DataFrame, structure: str) -> dict[str, bytes]:
    """Mean ± SD over time of the key measurements of one structure that have values: file name -> PNG."""
    from tomocyte.figures import time_course_figure
    from tomocyte.measurements import measurements

    rows = table[table["structure"] == structure]
    shown = [name for name in TIME_COURSES if name in rows and rows[name].notna().any()]
    units = {name: measurements()[name].unit for name in shown}
    return {
        f"timecourse_{name}.png": time_course_figure(table, name, units[name], structure=structure) for name in shown
    }
