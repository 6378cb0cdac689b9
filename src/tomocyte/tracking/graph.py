"""Links as a graph that can be changed, and what the repair makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tomocyte.tracking.link import Links
from tomocyte.tracking.objects import Float, Index


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


@dataclass(eq=False)
class Graph:
    """Who became whom; rows of objects.

    Parameters
    ----------
    gain : dict
        (earlier, later) -> how good the link is.
    after, before : dict
        Row -> rows that follow it, that it follows.
    """

    gain: dict[tuple[int, int], float] = field(default_factory=dict)
    after: dict[int, list[int]] = field(default_factory=dict)
    before: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, links: Links) -> Graph:
        """The graph of links."""
        graph = cls()
        for a, b, gain in zip(links.source.tolist(), links.target.tolist(), links.gain.tolist(), strict=True):
            graph.add(a, b, gain)
        return graph

    def add(self, a: int, b: int, gain: float = 0.0) -> None:
        """Add a link."""
        self.gain[a, b] = gain
        self.after.setdefault(a, []).append(b)
        self.before.setdefault(b, []).append(a)

    def remove(self, a: int, b: int) -> None:
        """Remove a link."""
        del self.gain[a, b]
        self.after[a].remove(b)
        self.before[b].remove(a)

    def last_before(self, row: int, frame: int, number: Index) -> int | None:
        """The row that follows ``row`` without branches in the frame before ``frame``, if there is one."""
        while number[row] < frame - 1:
            after = self.after.get(row, [])
            if len(after) != 1:
                return None
            row = after[0]
        return row if number[row] == frame - 1 else None

    def arrays(self) -> tuple[Index, Index, Float]:
        """Sources, targets and gains, sorted."""
        pairs = np.array(sorted(self.gain), dtype=np.int64).reshape(-1, 2)
        gain = np.array([self.gain[a, b] for a, b in pairs.tolist()])
        return pairs[:, 0], pairs[:, 1], gain
