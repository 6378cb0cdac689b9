"""Errors of the segmentation, found from the frames before and after.

Two objects that become one are one object of the segmentation that holds both (``merged``), for as long as it lasts
and with as many as it holds; who comes out of it again is decided by place and amounts (:mod:`contents`). One that
becomes two and one again was cut into pieces. The links are put right, the objects are flagged, and
:mod:`tomocyte.tracking.relabel` repairs the masks.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from tomocyte.tracking.contents import Contents, follow_contents, unlikely_entries
from tomocyte.tracking.graph import Graph, Repair
from tomocyte.tracking.link import Links
from tomocyte.tracking.objects import Float, Index, Objects
from tomocyte.tracking.overlaps import NO_OVERLAPS, Overlaps
from tomocyte.tracking.settings import TrackingSettings

HIDDEN_SHARE = 0.25
"""Least share of a lost object that lies where the one is that took its place, after the drift; cells move."""


def repair_links(
    objects: Objects, links: Links, settings: TrackingSettings, *, overlaps: Overlaps = NO_OVERLAPS
) -> Repair:
    """Find objects that hold several, and pieces.

    Parameters
    ----------
    objects : Objects
    links : Links
    settings : TrackingSettings
        ``max_gap_frames`` is also the most frames in a row in which one object was seen as two.
    overlaps : Overlaps, optional
        Where there are some, an object that is lost in another one is found there.

    Returns
    -------
    Repair
    """
    graph = Graph.of(links)
    piece_of: dict[int, int] = {}
    maybe = add_hidden(objects, graph, overlaps)

    def is_cut(mother: int) -> bool:
        return _undo_cut(objects, graph, piece_of, mother, settings.max_gap_frames)

    contents = follow_contents(objects, links.drift_um, graph, maybe, is_cut)
    while not settings.has_fusions and (unlikely := unlikely_entries(objects, graph, contents)):
        for edge in unlikely:
            graph.remove(*edge)
        contents = follow_contents(objects, links.drift_um, graph, maybe, is_cut)
    merged = {row: members for row, members in contents.members.items() if len(members) > 1}
    if settings.has_fusions:  # whoever does not come out again has truly become one
        merged = {row: members for row, members in merged.items() if all(one in contents.left for one in members)}
    _put_right(objects, graph, contents, merged)
    source, target, gain = graph.arrays()
    return Repair(replace(links, source=source, target=target, gain=gain), merged, piece_of)


def add_hidden(objects: Objects, graph: Graph, overlaps: Overlaps) -> dict[int, list[int]]:
    """Link objects that are lost to the object that took their place, if it has grown by them.

    Returns
    -------
    dict
        Row of an object -> rows of the next frame that appear in its place and may come out of it, if it holds several.
    """
    maybe: dict[int, list[int]] = {}
    if not len(overlaps.keys):
        return maybe
    source, target = np.divmod(overlaps.keys, len(objects))
    into = _largest(source, target, overlaps.n_common / overlaps.n_voxels[source])
    out_of = _largest(target, source, overlaps.n_common / overlaps.n_voxels[target])
    number = frame_numbers(objects)
    for row in range(len(objects)):
        after = graph.after.get(row, [])
        is_gap = len(after) == 1 and number[after[0]] > number[row] + 1
        whole = into.get(row)
        if (after and not is_gap) or whole is None or not graph.before.get(whole):
            continue
        if not _fits(objects, whole, graph.before[whole], row):
            continue
        if is_gap:
            place = graph.last_before(whole, int(number[after[0]]), number)
            if place is None:
                continue
            maybe.setdefault(place, []).append(after[0])
            graph.remove(row, after[0])
        graph.add(row, whole)
    for row in range(len(objects)):
        whole = out_of.get(row)
        if whole is None or graph.before.get(row) or not graph.after.get(whole):
            continue
        if row not in maybe.get(whole, []) and _fits(objects, whole, graph.after[whole], row):
            maybe.setdefault(whole, []).append(row)
    return maybe


def frame_numbers(objects: Objects) -> Index:
    """(n,): which of the frames that have objects each object is in."""
    return np.repeat(np.arange(len(objects.frames)), [rows.stop - rows.start for rows in objects.frames])


def _largest(row: Index, other: Index, share: Float) -> dict[int, int]:
    """Row -> the other object that most of it overlaps with, if it is at least :data:`HIDDEN_SHARE`."""
    order = np.argsort(share)
    order = order[share[order] >= HIDDEN_SHARE]
    return dict(zip(row[order].tolist(), other[order].tolist(), strict=True))


def _fits(objects: Objects, whole: int, parts: list[int], one: int) -> bool:
    """Whether the size of an object is nearer to that of the parts with one more than without it."""
    sizes = objects.amounts[:, -1] if objects.amounts.shape[1] else np.full(len(objects), np.nan)
    size, without = float(sizes[whole]), float(sizes[parts].sum())
    together = without + float(sizes[one])
    return bool(abs(np.log(size / together)) < abs(np.log(size / without)))


def _put_right(objects: Objects, graph: Graph, contents: Contents, merged: dict[int, tuple[int, ...]]) -> None:
    """Links along each object: the largest through the object that holds several, the others across a gap."""
    for row in merged:
        for a in list(graph.before.get(row, [])):
            graph.remove(a, row)
        for b in list(graph.after.get(row, [])):
            graph.remove(row, b)
    last: dict[int, int] = {}
    first_place: dict[int, int] = {}
    for row in sorted(merged):
        main = max(merged[row], key=lambda one: (_size(objects, one), -one))
        graph.add(last.get(main, main), row)
        last[main] = row
        for one in merged[row]:
            first_place.setdefault(one, row)
    for one, row in contents.left.items():
        if one in first_place:
            graph.add(last.get(one, one), row)
    for one, row in first_place.items():
        if one not in contents.left and one not in last:
            graph.add(one, row)  # its track ends in the other


def _undo_cut(objects: Objects, graph: Graph, piece_of: dict[int, int], mother: int, max_frames: int) -> bool:
    """Whether one becomes two after ``mother`` and one again: then the smaller is a piece of the larger."""
    after, before = graph.after, graph.before
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
    if len(chains) != 2 or len(chains[0]) != len(chains[1]) or len(ends[0]) != 1 or ends[0] != ends[1]:
        return False
    if len(chains[0]) > max_frames or any(len(before[row]) != 1 for chain in chains for row in chain):
        return False
    main, piece = sorted(chains, key=lambda chain: -sum(_size(objects, row) for row in chain))
    for edge in ((mother, piece[0]), *itertools.pairwise(piece), (piece[-1], ends[0][0])):
        graph.remove(*edge)
    piece_of |= dict(zip(piece, main, strict=True))
    return True


def _size(objects: Objects, row: int) -> float:
    size = objects.amounts[row, -1] if objects.amounts.shape[1] else 0.0
    return float(size) if np.isfinite(size) else 0.0
