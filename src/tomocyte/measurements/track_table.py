"""From a table of objects over time to one row per track; the columns are defined in ``motion.py`` and beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import InputError
from tomocyte.measurements.registry import select_measurements
from tomocyte.measurements.track import Track

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("track_id", "frame", "y_um", "x_um")
TRACK_KEYS = ("item", "structure", "track_id")


def measure_tracks(
    table: pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    extra_measurements: Sequence[Callable[..., Any]] = (),
) -> pd.DataFrame:
    """Measure every track of a table of objects.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame with ``track_id``, ``frame``, the centre ``z_um`` (optional in planar images),
        ``y_um``, ``x_um`` and, when times are known, ``time_s``. With columns ``item`` or ``structure``, the tracks of
        each are tracks of their own. Rows without a ``track_id`` are left out; no others are.
    names : sequence of str, optional
        Names of registered measurements of tracks, in column order; all of them by default.
    extra_measurements : sequence of callable
        The user's own functions ``Track -> float`` whose name is the column and whose docstring is its meaning.

    Returns
    -------
    DataFrame
        One row per track, ascending: ``item`` and ``structure`` where the table has them, ``track_id`` (int64) and the
        measurements (float64). No tracks: no rows, same columns and types.

    Raises
    ------
    InputError
        ``E-TRACK-COLUMN`` (a column is missing), ``E-TRACK`` (two rows of a track in one frame, or times that do not
        rise with the frames).
    SettingsError
        ``E-MEASUREMENT-NAME``, ``E-MEASUREMENT-KIND``, ``E-MEASUREMENT-CLASH``, ``E-MEASUREMENT-VALUE``.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"track_id": 4, "frame": [0, 1], "time_s": [0.0, 20.0], "y_um": [0.0, 3.0], "x_um": 1.0})
    >>> measure_tracks(rows, names=["path_length_um", "mean_speed_um_per_s"]).values.tolist()
    [[4.0, 3.0, 0.15]]
    """
    import pandas as pd

    columns = select_measurements(names, "track", extra_measurements=extra_measurements, reserved=TRACK_KEYS)
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise InputError(
            "E-TRACK-COLUMN",
            f"the table has no column {', '.join(map(repr, missing))}.",
            cure="Give a table of objects with track_id, frame, y_um and x_um.",
        )
    keys = [name for name in TRACK_KEYS if name in table]
    tracked = table[table["track_id"].notna()]
    tracked = tracked.astype({"track_id": "int64"}).sort_values([*keys, "frame"], kind="stable")
    rows = []
    for key, rows_of_track in tracked.groupby(keys, sort=True):
        track = Track(int(rows_of_track["track_id"].iloc[0]), rows_of_track.reset_index(drop=True))
        _check(track)
        rows.append((*key, *(column(track) for column in columns)))
    measured = pd.DataFrame(rows, columns=[*keys, *(column.name for column in columns)])
    kinds = {name: table[name].dtype for name in keys} | {"track_id": np.dtype("int64")}
    return measured.astype({**kinds, **{column.name: np.dtype("float64") for column in columns}})


def _check(track: Track) -> None:
    steps, intervals = np.diff(track.frames), np.diff(track.time_s)
    if (steps < 1).any():
        frame = int(track.frames[1:][steps < 1][0])
        raise InputError(
            "E-TRACK",
            f"track {track.track_id} has two rows in frame {frame}.",
            cure="A track has at most one object per frame; after a division each daughter is a track of its own.",
        )
    if (intervals <= 0).any():
        frame = int(track.frames[1:][intervals <= 0][0])
        raise InputError(
            "E-TRACK",
            f"the time of track {track.track_id} does not increase at frame {frame}.",
            cure="Correct the column time_s, or leave it out.",
        )
