"""What objects of the segmentation hold: the single objects that went into them, until they come out again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tomocyte.tracking.graph import Graph
from tomocyte.tracking.objects import Float, Objects

SIZE_SPREAD = 0.3
"""Spread of the logarithm of an object's amounts over those of all that it should hold."""
MOST_DOUBT = 4.5
"""Highest cost of an amount in one frame, that of three spreads: masks at the border of the field are cut anyhow."""
DOUBTED_FRAMES = 3
"""Later, cells have grown, and what else came and went hides whether two went in."""
MOST_ASSIGNMENTS = 4096
"""More ways for objects to come out of one than these are not tried; then they stay in its largest follower."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What every object holds.

    Parameters
    ----------
    members : dict
        Row -> itself, or the rows of the objects that it holds, in the last frame in which they were apart.
    left : dict
        Row of an object that was held -> its row in the first frame in which it is alone again.
    """

    members: dict[int, tuple[int, ...]]
    left: dict[int, int]


def follow_contents(
    objects: Objects,
    drift_um: Float,
    graph: Graph,
    maybe: dict[int, list[int]],
    is_cut: Callable[[int], bool],
) -> Contents:
    """Follow single objects through those that hold several.

    Parameters
    ----------
    objects : Objects
    drift_um : (n_frames, d) float
    graph : Graph
        Links; those of pieces are removed from it.
    maybe : dict
        Further rows that may follow a row, if it holds several.
    is_cut : callable
        Whether a single object that two follow was only cut; then it has put the graph right.
    """
    centres = objects.centres_um - np.repeat(drift_um, [rows.stop - rows.start for rows in objects.frames], axis=0)
    members: dict[int, tuple[int, ...]] = {}
    left: dict[int, int] = {}
    passed: dict[int, list[int]] = {}
    for row in range(len(objects)):
        inside = tuple(passed.pop(row, []))
        members[row] = inside if len(inside) > 1 else (row,)
        followers = list(graph.after.get(row, []))
        if len(inside) > 1:
            followers += [one for one in maybe.get(row, []) if one not in followers]
            groups = assign(objects, centres, inside, followers)
            for follower, group in zip(followers, groups, strict=True):
                passed.setdefault(follower, []).extend(group)
        elif len(followers) == 1:
            passed.setdefault(followers[0], []).append(row)
        elif len(followers) == 2 and is_cut(row):
            passed.setdefault(graph.after[row][0], []).append(row)
        if len(inside) == 1 and inside[0] not in graph.before.get(row, []):
            left[inside[0]] = row
    return Contents(members, left)


def assign(objects: Objects, centres: Float, inside: Sequence[int], followers: Sequence[int]) -> list[list[int]]:
    """Which of the objects inside another one went into which of its followers: by place and amounts.

    Parameters
    ----------
    objects : Objects
    centres : (n, d) float
        Without drift.
    inside : sequence of int
        Rows, in the last frame in which they were apart.
    followers : sequence of int

    Returns
    -------
    list of list of int
        Of each follower; every one has an object, unless there are more followers than objects.
    """
    n, k = len(inside), len(followers)
    if k < 2:
        return [list(inside)] * k
    if k**n > MOST_ASSIGNMENTS:
        largest = max(range(k), key=lambda place: float(np.nan_to_num(_amounts(objects, [followers[place]])[-1])))
        return [list(inside) if place == largest else [] for place in range(k)]
    shift = _middle(objects, centres, followers) - _middle(objects, centres, inside)
    away = centres[list(inside)][:, None] + shift - centres[list(followers)][None]  # (n, k, d)
    widths = objects.diameter_um[list(inside)]
    width = (
        float(np.nanmean(widths)) if np.isfinite(widths).any() else float(np.linalg.norm(away, axis=2).mean() + 1e-9)
    )
    places = ((away / (0.5 * width)) ** 2).sum(axis=2)
    best, least = None, np.inf
    for choice in itertools.product(range(k), repeat=n):
        if len(set(choice)) < min(n, k):
            continue
        groups = [[one for one, place in zip(inside, choice, strict=True) if place == number] for number in range(k)]
        cost = 0.5 * float(places[np.arange(n), choice].sum()) + _amounts_cost(objects, groups, followers)
        if cost < least:
            best, least = groups, cost
    return best or [list(inside), *([] for _ in range(k - 1))]


def unlikely_entries(objects: Objects, graph: Graph, contents: Contents) -> list[tuple[int, int]]:
    """Links into objects that are said to hold several, while their amounts say that they do not.

    Only objects that do not come out again are doubted.

    Parameters
    ----------
    objects : Objects
    graph : Graph
    contents : Contents

    Returns
    -------
    list of (int, int)
        Of each object that several went into, at most one: the link that the amounts speak against most.
    """
    holders: dict[int, list[int]] = {}
    for row, members in contents.members.items():
        for one in members if len(members) > 1 else ():
            holders.setdefault(one, []).append(row)
    unlikely = []
    for row, sources in graph.before.items():
        inside = contents.members[row]
        doubts = [
            (_doubt(objects, contents, holders, entered), source)
            for source in (sources if len(sources) > 1 and len(inside) > 1 else ())
            if (entered := tuple(one for one in contents.members[source] if one in inside))
            and len(entered) < len(inside)
            and not any(one in contents.left for one in entered)
        ]
        if doubts and max(doubts)[0] > 0:
            unlikely.append((max(doubts)[1], row))
    return unlikely


def _doubt(objects: Objects, contents: Contents, holders: dict[int, list[int]], entered: tuple[int, ...]) -> float:
    """How much better the amounts of the objects that are said to hold these fit without them, soon after."""
    doubt = 0.0
    together = [row for row in holders[entered[0]] if set(entered) < set(contents.members[row])]
    for row in together[:DOUBTED_FRAMES]:
        others = [one for one in contents.members[row] if one not in entered]
        with_them = _amounts_cost(objects, [[*others, *entered]], [row])
        doubt += min(with_them, MOST_DOUBT) - min(_amounts_cost(objects, [others], [row]), MOST_DOUBT)
    return doubt


def _amounts(objects: Objects, rows: Sequence[int]) -> Float:
    """(k,): dry mass and size of objects together; one NaN where nothing is known."""
    if not objects.amounts.shape[1]:
        return np.full(1, np.nan)
    total: Float = objects.amounts[list(rows)].sum(axis=0)
    return total


def _amounts_cost(objects: Objects, groups: Sequence[Sequence[int]], followers: Sequence[int]) -> float:
    cost = 0.0
    for group, follower in zip(groups, followers, strict=True):
        if group:
            change = np.log(_amounts(objects, [follower]) / _amounts(objects, group))
            known = change[np.isfinite(change)]
            cost += 0.5 * float(((known / SIZE_SPREAD) ** 2).mean()) if len(known) else 0.0
    return cost


def _middle(objects: Objects, centres: Float, rows: Sequence[int]) -> Float:
    """(d,): centre of mass of objects."""
    weights = objects.amounts[list(rows), -1] if objects.amounts.shape[1] else np.ones(len(rows))
    weights = np.where(np.isfinite(weights), weights, 1.0)
    middle: Float = np.average(centres[list(rows)], axis=0, weights=weights)
    return middle
