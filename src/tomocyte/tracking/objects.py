"""The objects of a series as arrays: one row per object and frame, sorted by frame.

A table comes in through :func:`objects_of_table`; nothing else here knows what its columns are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Index = NDArray[np.int64]
NEEDED = ("frame", "label", "y_um", "x_um")
SIZES = ("volume_um3", "area_um2")
MASSES = ("dry_mass_pg", "projected_dry_mass_pg")
"""Amounts that two daughters share and that two merged objects add up."""


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of a series, rows sorted by frame and label.

    Parameters
    ----------
    rows : (n,) int
        Position of each object in the table that it came from.
    frame, label : (n,) int
    time : (n,) float
        In typical frame intervals: differences of successive frames are near 1.
    centres_um : (n, d) float
        d is 3 or, in planar images, 2.
    amounts : (n, k) float
        Dry mass (if known) and size, above 0; NaN where unknown. k may be 0.
    diameter_um : (n,) float
        Of the sphere (or disc) of the object's size, NaN where unknown.
    border_um : (n,) float
        Distance of the centre to the nearest lateral border of the field.
    is_border : (n,) bool
        Whether the border of the field cuts the object, where that is known.
    is_field_known : bool
        Whether the size of the field was given; otherwise it is the box around all centres.
    """

    rows: Index
    frame: Index
    label: Index
    time: Float
    centres_um: Float
    amounts: Float
    diameter_um: Float
    border_um: Float
    is_border: NDArray[np.bool_]
    is_field_known: bool

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def n_dimensions(self) -> int:
        """3, or 2 in planar images."""
        return int(self.centres_um.shape[1])

    @cached_property
    def frames(self) -> tuple[slice, ...]:
        """The rows of each frame that has objects, in order of time."""
        if not len(self):
            return ()
        starts = np.flatnonzero(np.diff(self.frame, prepend=self.frame[:1] - 1))
        return tuple(slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True))

    @cached_property
    def features(self) -> Float:
        """(n, k): logarithm of the first amount, then of the others in relation to it.

        Dry mass is conserved and hardly depends on where a boundary is drawn; volume over dry mass is the same in
        mother and daughters.
        """
        return features_of(self.amounts)


def features_of(amounts: Float) -> Float:
    """(n, k): logarithm of the first amount, then of each other one over the first; NaN where unknown."""
    logs = np.log(amounts)
    if logs.shape[1] > 1:
        logs[:, 1:] -= logs[:, :1]
    return logs


def objects_of_table(
    table: pd.DataFrame,
    *,
    extent_um: Sequence[float] | None = None,
) -> Objects:
    """The objects of a table, checked.

    Parameters
    ----------
    table : DataFrame
        ``frame``, ``label``, ``y_um``, ``x_um``; optional ``z_um``, ``time_s``, ``volume_um3`` or ``area_um2``,
        ``dry_mass_pg``, ``is_cut_lateral``. Rows in any order.
    extent_um : sequence of 2 or 3 float, optional
        Size of the field, z first; by default the box around all centres.

    Returns
    -------
    Objects

    Raises
    ------
    InputError
        ``E-TRACK-COLUMN``: a column is missing; ``E-TRACK-TABLE``: a value is missing, or one label stands twice in a
        frame.
    """
    check_table(table)
    order = np.lexsort((table["label"].to_numpy(), table["frame"].to_numpy()))
    rows = table.iloc[order]
    frame = rows["frame"].to_numpy(dtype=np.int64)
    axes = ["y_um", "x_um"]
    if "z_um" in rows and not rows["z_um"].isna().all():
        axes.insert(0, "z_um")
    centres = rows[axes].to_numpy(dtype=np.float64)
    amounts, diameter = _amounts(rows)
    lateral = centres[:, -2:]
    if len(rows) == 0:
        low, high = np.zeros(2), np.zeros(2)
    elif extent_um is None:
        low, high = lateral.min(axis=0), lateral.max(axis=0)
    else:
        low, high = np.zeros(2), np.asarray(extent_um, dtype=np.float64)[-2:]
    border = np.minimum(lateral - low, high - lateral).min(axis=1) if len(rows) else np.zeros(0)
    is_cut = rows["is_cut_lateral"].to_numpy(dtype=bool) if "is_cut_lateral" in rows else np.zeros(len(rows), bool)
    return Objects(
        rows=order.astype(np.int64),
        frame=frame,
        label=rows["label"].to_numpy(dtype=np.int64),
        time=_times(rows, frame),
        centres_um=centres,
        amounts=amounts,
        diameter_um=diameter,
        border_um=border,
        is_border=is_cut,
        is_field_known=extent_um is not None,
    )


def check_table(table: pd.DataFrame) -> None:
    """Refuse a table that cannot be tracked.

    Raises
    ------
    InputError
        As :func:`objects_of_table`.
    """
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise InputError(
            "E-TRACK-COLUMN",
            f"the table of positions has no column {', '.join(map(repr, missing))}.",
            cure="Give one row per object and frame with the columns frame, label, y_um, x_um and, in volumes, z_um.",
        )
    for name in NEEDED:
        if table[name].isna().any():
            row = int(np.flatnonzero(table[name].isna())[0])
            raise InputError("E-TRACK-TABLE", f"row {row} has no {name}.", cure=f"Fill in {name}, or delete the row.")
    if "z_um" in table and table["z_um"].isna().any() and not table["z_um"].isna().all():
        row = int(np.flatnonzero(table["z_um"].isna())[0])
        raise InputError("E-TRACK-TABLE", f"row {row} has no z_um.", cure="Fill in z_um, or delete the column.")
    for name in ("frame", "label"):
        values = table[name].to_numpy(dtype=np.float64)
        bad = np.flatnonzero((values != np.round(values)) | (values < 0))
        if len(bad):
            raise InputError(
                "E-TRACK-TABLE",
                f"row {bad[0]} has the {name} {values[bad[0]]:g}.",
                cure=f"A {name} is a whole number of at least 0.",
            )
    twice = table.duplicated(["frame", "label"])
    if twice.any():
        first = table[twice].iloc[0]
        raise InputError(
            "E-TRACK-TABLE",
            f"label {int(first['label'])} stands twice in frame {int(first['frame'])}.",
            cure="Each object of a frame needs a label of its own; give one structure of one input at a time.",
        )


def _amounts(rows: pd.DataFrame) -> tuple[Float, Float]:
    """Mass and size, as far as all of a column is not empty, and the diameter."""
    n = len(rows)
    diameter = np.full(n, np.nan)
    columns = []
    for names in (MASSES, SIZES):
        name = next((name for name in names if name in rows and rows[name].notna().any()), None)
        if name is None:
            continue
        values = rows[name].to_numpy(dtype=np.float64)
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        columns.append(values)
        if name == "volume_um3":
            diameter = (6.0 * values / np.pi) ** (1 / 3)
        elif name == "area_um2":
            diameter = (4.0 * values / np.pi) ** 0.5
    if not columns:
        return np.zeros((n, 0)), diameter
    return np.stack(columns, axis=1), diameter


def _times(rows: pd.DataFrame, frame: Index) -> Float:
    """Times in typical intervals: from seconds where all are known and rise, else the frame's number."""
    times = frame.astype(np.float64)
    if "time_s" in rows and rows["time_s"].notna().all() and len(rows):
        seconds = rows["time_s"].to_numpy(dtype=np.float64)
        _, first = np.unique(frame, return_index=True)
        intervals = np.diff(seconds[first])
        if (intervals <= 0).any():
            raise InputError(
                "E-TRACK-TABLE",
                f"the time does not rise from frame {frame[first][:-1][intervals <= 0][0]} to the next.",
                cure="Correct the column time_s, or leave it out.",
            )
        steps = np.diff(frame[first])
        if len(intervals):
            return seconds / float(np.median(intervals / steps))
    return times
