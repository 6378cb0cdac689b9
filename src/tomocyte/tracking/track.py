"""From a table of objects, and their label images where there are any, to tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.progress import Callback, silent
from tomocyte.tracking.changes import LinkChange
from tomocyte.tracking.lineage import Tracks, tracks_of
from tomocyte.tracking.link import link_objects
from tomocyte.tracking.motion import drifts, spacing_um
from tomocyte.tracking.objects import Objects, objects_of_table
from tomocyte.tracking.overlaps import NO_OVERLAPS, count_overlaps
from tomocyte.tracking.repair import repair_links
from tomocyte.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    import pandas as pd

ReadLabels = Callable[[int], NDArray[Any]]


def track_objects(
    table: pd.DataFrame,
    settings: TrackingSettings | None = None,
    *,
    labels: ReadLabels | None = None,
    voxel_size_um: Sequence[float] | None = None,
    extent_um: Sequence[float] | None = None,
    changes: Sequence[LinkChange] = (),
    callback: Callback = silent,
) -> Tracks:
    """Follow the objects of one structure over time.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame: ``frame``, ``label``, ``y_um``, ``x_um``; optional ``z_um``, ``time_s``,
        ``volume_um3`` or ``area_um2``, ``dry_mass_pg``, ``is_cut_lateral``. Rows in any order.
    settings : TrackingSettings, optional
    labels : callable, optional
        Index of a frame -> its labels (Z, Y, X); each frame is read once. Then overlaps count, and merges are looked
        for.
    voxel_size_um : sequence of 3 float, optional
        z, y, x; needed with ``labels``, so that overlaps follow the drift.
    extent_um : sequence of float, optional
        Size z, y, x (or y, x) of the field.
    changes : sequence of LinkChange, optional
        What was said by hand of links, applied to those that are found.
    callback : callable, optional
        Receives progress events.

    Returns
    -------
    Tracks

    Raises
    ------
    InputError
        ``E-TRACK-COLUMN``, ``E-TRACK-TABLE``: the table cannot be tracked; ``E-EDIT-TARGET``, ``E-EDIT-LINK``: a change
        cannot be applied.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"frame": [0, 0, 1, 1], "label": [1, 2, 1, 2], "y_um": 0.0, "x_um": [0.0, 9.0, 9.2, 0.1]})
    >>> track_objects(table).objects["track_id"].tolist()
    [1, 2, 2, 1]
    """
    settings = settings or TrackingSettings()
    objects = objects_of_table(table, extent_um=extent_um)
    overlaps = NO_OVERLAPS
    if labels is not None:
        frames = [int(objects.frame[rows.start]) for rows in objects.frames]
        shifts = _shifts(objects, voxel_size_um) if settings.has_drift and voxel_size_um is not None else None
        overlaps = count_overlaps(objects, _read(labels, frames), shifts)
    links = link_objects(objects, settings, overlaps=overlaps, callback=callback)
    return tracks_of(objects, repair_links(objects, links, settings, overlaps=overlaps), changes)


def _read(labels: ReadLabels, frames: Sequence[int]) -> Iterable[tuple[int, NDArray[Any]]]:
    for frame in frames:
        yield frame, labels(frame)


def _shifts(objects: Objects, voxel_size_um: Sequence[float]) -> dict[int, tuple[int, ...]]:
    """Frame -> drift since the frame before, in whole voxels z, y, x."""
    steps = np.diff(drifts(objects, spacing_um(objects)), axis=0, prepend=0.0)
    size = np.asarray(voxel_size_um, dtype=np.float64)[-objects.n_dimensions :]
    whole = np.round(steps / size).astype(int)
    pad = (0,) * (3 - objects.n_dimensions)
    return {
        int(objects.frame[rows.start]): (*pad, *step) for rows, step in zip(objects.frames, whole.tolist(), strict=True)
    }
