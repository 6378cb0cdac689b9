"""Errors of the segmentation in single frames, found from the neighbours in time.

Two objects that become one and two again were merged by the segmentation; one that becomes two and one again was cut
into pieces. The links are put right, the objects are flagged, and :mod:`tomocyte.tracking.relabel` repairs the masks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tomocyte.tracking.link import Links
from tomocyte.tracking.objects import Float, Index, Objects
from tomocyte.tracking.scales import feature_cost, step_cost


@dataclass(frozen=True, eq=False)
class Repair:
    """Links put right, and what was wrong.

    Parameters
    ----------
    links : Links
        Without the false merges and divisions.
    merged : dict
        Row of an object that holds several -> rows of those objects, in the last frame in which they were apart.
    piece_of : dict
        Row of a piece -> row of the main piece in the same frame.
    """

    links: Links
    merged: dict[int, tuple[int, ...]]
    piece_of: dict[int, int]


def repair_links(objects: Objects, links: Links, max_frames: int) -> Repair:
    """Find merges and cuts that last at most some frames.

    Parameters
    ----------
    objects : Objects
    links : Links
    max_frames : int
        Most frames in a row in which two objects were seen as one, or one as two.

    Returns
    -------
    Repair
    """
    edges = {(int(a), int(b)): float(gain) for a, b, gain in zip(links.source, links.target, links.gain, strict=True)}
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    merged: dict[int, tuple[int, ...]] = {}
    piece_of: dict[int, int] = {}
    for first in sorted(before):
        if len(before[first]) == 2:
            _undo_merge(objects, links, edges, after, before, merged, first, max_frames)
    for mother in sorted(after):
        if len(after[mother]) == 2:
            _undo_cut(objects, edges, after, before, piece_of, mother, max_frames)
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    gain = np.array([edges[a, b] for a, b in pairs.tolist()])
    return Repair(replace(links, source=pairs[:, 0], target=pairs[:, 1], gain=gain), merged, piece_of)


Edges = dict[tuple[int, int], float]
Neighbours = dict[int, list[int]]


def _undo_merge(
    objects: Objects,
    links: Links,
    edges: Edges,
    after: Neighbours,
    before: Neighbours,
    merged: dict[int, tuple[int, ...]],
    first: int,
    max_frames: int,
) -> None:
    """Two become one at ``first`` and two again: each goes on as the one that it resembles."""
    chain = [first]
    while len(after.get(chain[-1], [])) == 1 and len(chain) < max_frames and len(before[after[chain[-1]][0]]) == 1:
        chain.append(after[chain[-1]][0])
    apart = after.get(chain[-1], [])
    if len(apart) != 2 or any(len(before[one]) != 1 for one in apart):
        return
    a, b = sorted(before[first], key=lambda row: -_size(objects, row))
    c, d = apart
    straight = _cost(objects, links, a, c) + _cost(objects, links, b, d)
    if straight > _cost(objects, links, a, d) + _cost(objects, links, b, c):
        c, d = d, c
    # The larger goes on through the merged object, the smaller across a gap.
    for edge in ((b, first), (chain[-1], d)):
        gain = edges.pop(edge)
        after[edge[0]].remove(edge[1])
        before[edge[1]].remove(edge[0])
    edges[b, d] = gain
    after[b].append(d)
    before[d].append(b)
    merged |= dict.fromkeys(chain, (a, b))


def _undo_cut(
    objects: Objects,
    edges: Edges,
    after: Neighbours,
    before: Neighbours,
    piece_of: dict[int, int],
    mother: int,
    max_frames: int,
) -> None:
    """One becomes two after ``mother`` and one again: the smaller is a piece of the larger."""
    chains = []
    for start in after[mother]:
        chain = [start]
        while len(after.get(chain[-1], [])) == 1 and len(chain) <= max_frames:
            following = after[chain[-1]][0]
            if len(before[following]) == 2:
                break
            chain.append(following)
        chains.append(chain)
    ends = [after.get(chain[-1], []) for chain in chains]
    if len(chains[0]) != len(chains[1]) or len(ends[0]) != 1 or ends[0] != ends[1]:
        return
    if len(chains[0]) > max_frames or any(len(before[row]) != 1 for chain in chains for row in chain):
        return
    main, piece = sorted(chains, key=lambda chain: -sum(_size(objects, row) for row in chain))
    for edge in ((mother, piece[0]), *itertools.pairwise(piece), (piece[-1], ends[0][0])):
        del edges[edge]
        after[edge[0]].remove(edge[1])
        before[edge[1]].remove(edge[0])
    piece_of |= dict(zip(piece, main, strict=True))


def _size(objects: Objects, row: int) -> float:
    size = objects.amounts[row, -1] if objects.amounts.shape[1] else 0.0
    return float(size) if np.isfinite(size) else 0.0


def _cost(objects: Objects, links: Links, source: int, target: int) -> float:
    """How unlikely it is that two objects are the same, by place and features."""
    interval = np.array([objects.time[target] - objects.time[source]])
    drift = _drift(objects, links, target) - _drift(objects, links, source)
    away = (objects.centres_um[target] - objects.centres_um[source] - drift)[None]
    change = (objects.features[target] - objects.features[source])[None]
    cost: Float = step_cost(away, links.scales.step_um, interval) + feature_cost(change, links.scales.feature_spread)
    return float(cost[0])


def _drift(objects: Objects, links: Links, row: int) -> NDArray[np.float64]:
    starts: Index = np.array([rows.start for rows in objects.frames])
    drift: NDArray[np.float64] = links.drift_um[int(np.searchsorted(starts, row, side="right")) - 1]
    return drift
