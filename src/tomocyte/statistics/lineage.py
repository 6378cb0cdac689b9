"""What became of cells: generations, divisions, deaths, and how alike sisters are.

To add an event, name the end of a track in :data:`ENDS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.structures import CELL

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
DIVISION, DEATH, BORN = "division", "death", "born"
ENDS = (DIVISION, DEATH)
"""Ends of a track that are events; others, as leaving the field, are not."""


def lineage(objects: pd.DataFrame, tracks: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per track: its mother, its generation, its first and last frame, and how it ended.

    Parameters
    ----------
    objects : DataFrame
        ``item``, ``frame``, ``structure``, ``track_id`` and, where known, ``parent_id``.
    tracks : DataFrame, optional
        ``item``, ``track_id`` and ``end``, as tracking writes them; without it a track ends in a division where others
        name it as their parent, and deaths are not known.

    Returns
    -------
    DataFrame
        ``item``, ``track`` (str), ``parent`` (str, empty for none), ``generation`` (from 0), ``first_frame``,
        ``last_frame``, ``end``. Empty where objects were not tracked.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"item": "a", "structure": "cell", "frame": [0, 1, 1], "track_id": [1, 2, 3], "parent_id": [0, 1, 1]}
    >>> lineage(pd.DataFrame(rows))[["track", "parent", "generation", "end"]].values.tolist()
    [['1', '', 0, 'division'], ['2', '1', 1, ''], ['3', '1', 1, '']]
    """
    import pandas as pd

    names = ["item", "track", "parent", "generation", "first_frame", "last_frame", "end"]
    if "track_id" not in objects or objects["track_id"].isna().all():
        return pd.DataFrame({name: pd.Series(dtype="object") for name in names})
    tracked = objects[objects["track_id"].notna()]
    own = tracked[tracked["structure"] == CELL]
    rows = (own if len(own) else tracked).sort_values("frame", kind="stable")
    numbers = rows["track_id"].astype(int)
    parents = rows["parent_id"].fillna(0).astype(int) if "parent_id" in rows else pd.Series(0, index=rows.index)
    parents = parents.where(parents != numbers, 0)  # a track may name itself where it has no mother
    table = (
        rows.assign(number=numbers, mother=parents)
        .groupby(["item", "number"], sort=True)
        .agg(mother=("mother", "first"), first_frame=("frame", "min"), last_frame=("frame", "max"))
        .reset_index()
    )
    mother_of = {(item, number): mother for item, number, mother in table[["item", "number", "mother"]].to_numpy()}
    table["generation"] = [
        _generation(item, number, mother_of) for item, number in table[["item", "number"]].to_numpy()
    ]
    mothers = {(item, mother) for (item, _), mother in mother_of.items() if mother}
    table["end"] = [
        DIVISION if (item, number) in mothers else "" for item, number in table[["item", "number"]].to_numpy()
    ]
    if tracks is not None and "end" in tracks:
        ends = {(item, int(number)): str(end) for item, number, end in tracks[["item", "track_id", "end"]].to_numpy()}
        table["end"] = [
            ends.get((item, number), end) for item, number, end in table[["item", "number", "end"]].to_numpy()
        ]
    table["track"] = table["number"].astype(str)
    table["parent"] = table["mother"].map(lambda number: str(number) if number else "")
    return table[names]


def _generation(item: str, number: int, mother_of: dict[tuple[str, int], int]) -> int:
    """Divisions before a track; a circle of mothers, which is no lineage, ends where it closes."""
    generation, seen = 0, {number}
    while mother_of.get((item, number), 0) and mother_of[item, number] not in seen:
        number = mother_of[item, number]
        seen.add(number)
        generation += 1
    return generation


def with_events(series: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """A series with ``parent``, ``generation`` and ``event`` (``born``, ``division``, ``death`` or empty) of each row.

    Parameters
    ----------
    series : DataFrame
        ``item``, ``track``, ``frame``.
    tracks : DataFrame
        From :func:`lineage`.
    """
    names = ["item", "track", "parent", "generation", "first_frame", "last_frame", "end"]
    merged = series.merge(tracks[names], on=["item", "track"], how="left")
    is_born = (merged["frame"] == merged["first_frame"]) & (merged["parent"].fillna("") != "")
    is_end = (merged["frame"] == merged["last_frame"]) & merged["end"].isin(ENDS)
    event = np.where(is_end, merged["end"].fillna(""), np.where(is_born, BORN, ""))
    return merged.assign(
        parent=merged["parent"].fillna(""), generation=merged["generation"].fillna(0).astype(int), event=event
    ).drop(columns=["first_frame", "last_frame", "end"])


def sister_pairs(series: pd.DataFrame) -> pd.DataFrame:
    """The two daughters of each division with their mean values.

    Parameters
    ----------
    series : DataFrame
        ``condition``, ``replicate``, ``item``, ``track``, ``parent`` (empty for none) and ``value``.

    Returns
    -------
    DataFrame
        ``condition``, ``replicate``, ``item``, ``parent``, ``first_track``, ``second_track``, ``first_value``,
        ``second_value``; divisions with other than two daughters are left out.
    """
    import pandas as pd

    names = ["condition", "replicate", "item", "parent", "first_track", "second_track", "first_value", "second_value"]
    born = series[(series["parent"] != "") & series["value"].notna()]
    rows = []
    for (item, parent), part in born.groupby(["item", "parent"], sort=False):
        means = part.groupby("track", sort=True)["value"].mean()
        if len(means) == 2:
            first = part.iloc[0]
            rows.append((first["condition"], first["replicate"], item, parent, *means.index, *means.to_numpy()))
    return pd.DataFrame(rows, columns=names)


def correlation_of_pairs(first: Float, second: Float) -> float:
    """Intraclass correlation of pairs whose order means nothing (Fisher's): 1 for equal partners, 0 for strangers.

    Returns
    -------
    float
        NaN with fewer than two pairs or without spread.

    Examples
    --------
    >>> round(correlation_of_pairs(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])), 6)
    1.0
    """
    if len(first) < 2:
        return math.nan
    both = np.concatenate([first, second])
    variance = float(both.var())
    return float(np.mean((first - both.mean()) * (second - both.mean()))) / variance if variance else math.nan
