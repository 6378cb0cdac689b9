"""Lineage trees: time to the right, a line per track, a fork per division."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.axes import LINE_COLOURS, finish_axes, time_scale, titled_figure
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.figures.experiment.tables import complete_rows, in_order, shown_count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLUMNS = ("track_id", "parent_id", "first_frame", "last_frame")
_MOST_TRACKS = 300
_MOST_NAMED = 80
_DIVISION = "division"
ENDS = {
    "death": "X",
    "left the field": ">",
    "lost": "v",
    "merged with another": "D",
    "end of the film": "|",
}
"""How a track ends, in words -> its mark; other words get other marks. A division is a fork with a dot."""
_OTHER_MARKS = ("P", "*", "s", "^")
_NOT_MARKED = (_DIVISION, "")


def lineage_trees(
    table: pd.DataFrame, *, quantity: str = "frame", unit: str = "", title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """The tree of every cell that was there first, the largest on top; colours count the divisions since.

    Parameters
    ----------
    table : DataFrame
        ``track_id, parent_id, first_frame, last_frame``, one row per track; a ``parent_id`` of 0, empty, or that of
        no track begins a tree. ``end``, in words, is marked at the end of a track: :data:`ENDS`, ``division`` or
        others. ``first_time_s`` and ``last_time_s``, where both are there for all tracks, are drawn instead of frames.
    quantity, unit : str
        What the horizontal axis shows, where that is not time.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
        At most 300 tracks, whole trees first; the figure says how many there are.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or there is no track.
    """
    rows = complete_rows(table, _COLUMNS, ("track_id", "first_frame", "last_frame"))
    heights, generations = lineage_layout(rows)
    shown, label = _on_axis(rows[rows["track_id"].isin(list(heights)[:_MOST_TRACKS])], value_label(quantity, unit))
    n_rows = 1 + max(heights[number] for number in shown["track_id"].tolist())
    with defaults():
        size = (6.4, min(40.0, 1.3 + 0.16 * n_rows))
        figure = titled_figure(size, title)
        axes = figure.subplots()
        _draw_tracks(axes, shown, heights, generations, is_named=len(shown) <= _MOST_NAMED)
        _draw_ends(axes, shown, heights)
        axes.set_xlabel(drawable(label), fontsize=9, parse_math=False)
        axes.set_ylim(n_rows - 0.4, -0.6)
        axes.set_yticks([])
        finish_axes(axes, legend="below")
        axes.spines["left"].set_visible(False)
        part = "" if len(shown) == len(rows) else f"{len(shown):,} of "
        axes.set_title(f"{part}{shown_count(len(rows), 'track')}", fontsize=8, loc="right")
        return picture(figure, file_format)


def lineage_layout(table: pd.DataFrame) -> tuple[dict[int, float], dict[int, int]]:
    """Where each track lies, and how many divisions came before it.

    Parameters
    ----------
    table : DataFrame
        As in :func:`lineage_trees`.

    Returns
    -------
    heights : dict of int to float
        Track -> row; the ends of the trees take whole rows one after the other, a mother lies in the middle of her
        daughters. Trees with most tracks come first.
    generations : dict of int to int
        Track -> number of divisions since the tree's beginning.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a track is its own ancestor, or is there twice.

    Examples
    --------
    >>> import pandas as pd
    >>> tracks = pd.DataFrame({"track_id": [1, 2, 3], "parent_id": [0, 1, 1], "first_frame": [0, 3, 3]})
    >>> lineage_layout(tracks)
    ({1: 0.5, 2: 0.0, 3: 1.0}, {1: 0, 2: 1, 3: 1})
    """
    from tomocyte.errors import SettingsError

    ordered = table.sort_values(["first_frame", "track_id"])
    numbers = [int(number) for number in ordered["track_id"]]
    parents = [0 if not np.isfinite(parent) else int(parent) for parent in ordered["parent_id"].astype(float)]
    daughters: dict[int, list[int]] = {number: [] for number in numbers}
    roots = []
    for number, parent in zip(numbers, parents, strict=True):
        if parent in daughters and parent != number:
            daughters[parent].append(number)
        else:
            roots.append(number)
    trees = [_tree(root, daughters) for root in roots]
    trees.sort(key=len, reverse=True)
    if len(daughters) != len(numbers) or sum(map(len, trees)) != len(numbers):
        raise SettingsError(
            "E-PICTURE",
            "a track stands in the table twice, or is its own ancestor.",
            cure="Give each track one row, and the parent that it came from.",
        )
    heights: dict[int, float] = {}
    generations: dict[int, int] = {}
    n_rows = 0
    for tree in trees:
        generations[tree[0]] = 0
        for number in tree:
            generations |= dict.fromkeys(daughters[number], generations[number] + 1)
        places: dict[int, float] = {}
        for number in reversed(tree):  # daughters before their mother
            if not daughters[number]:
                places[number] = float(n_rows)
                n_rows += 1
            else:
                places[number] = float(np.mean([places[daughter] for daughter in daughters[number]]))
        heights |= {number: places[number] for number in tree}
    return heights, generations


def _tree(root: int, daughters: dict[int, list[int]]) -> list[int]:
    """A track and all its descendants, mothers before daughters, branch by branch."""
    found, waiting = [], [root]
    while waiting:
        number = waiting.pop()
        found.append(number)
        waiting += daughters[number]
    return found


def _on_axis(rows: pd.DataFrame, label: str) -> tuple[pd.DataFrame, str]:
    """The rows with ``first`` and ``last`` as they are drawn, and what the axis is called."""
    times = ["first_time_s", "last_time_s"]
    if set(times) <= set(rows) and np.isfinite(rows[times].to_numpy(np.float64)).all():
        divisor, name = time_scale(float(rows[times].abs().to_numpy().max()))
        return rows.assign(first=rows[times[0]] / divisor, last=rows[times[1]] / divisor), f"time ({name})"
    return rows.assign(first=rows["first_frame"].astype(float), last=rows["last_frame"].astype(float)), label


def _draw_tracks(
    axes: Axes, rows: pd.DataFrame, heights: dict[int, float], generations: dict[int, int], *, is_named: bool
) -> None:
    last = dict(zip(rows["track_id"].astype(int), rows["last"], strict=True))
    forks: set[int] = set()
    for row in rows.to_dict("records"):
        number = int(row["track_id"])
        colour = LINE_COLOURS[generations[number] % len(LINE_COLOURS)]
        y, first = heights[number], row["first"]
        axes.plot([first, row["last"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
        parent = int(row["parent_id"]) if generations[number] else 0
        if parent in last:
            axes.plot([last[parent], first, first], [heights[parent], heights[parent], y], color=colour, linewidth=1)
            forks.add(parent)
        if is_named:
            axes.text(first, y, f"{number} ", fontsize=6.5, ha="right", va="center")
    if forks:
        places = [last[number] for number in forks], [heights[number] for number in forks]
        label = shown_count(len(forks), _DIVISION)
        axes.plot(*places, "o", color="black", markersize=3.5, linestyle="none", zorder=4, label=label)


def _draw_ends(axes: Axes, rows: pd.DataFrame, heights: dict[int, float]) -> None:
    if "end" not in rows:
        return
    ends: Any = rows["end"].fillna("").astype(str)
    names = sorted(name for name in in_order(ends) if name not in _NOT_MARKED)
    others = iter(itertools.cycle(_OTHER_MARKS))
    marks = {name: ENDS[name] if name in ENDS else next(others) for name in names}
    for name in sorted(names, key=lambda name: (name not in ENDS, list(ENDS).index(name) if name in ENDS else 0)):
        there = rows[ends == name]
        axes.plot(
            there["last"], [heights[int(track)] for track in there["track_id"]], marks[name], color="#333333",
            markersize=5.5, markeredgewidth=1.4 if marks[name] == "|" else 0.6, markeredgecolor="#333333",
            linestyle="none", zorder=4, label=drawable(f"{name} ({len(there)})"),
        )  # fmt: skip
