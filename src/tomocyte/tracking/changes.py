"""Links changed by hand: what follows what is said, and the rest of the links stays as it was.

To let a user say something else of links, add its kind to :data:`Kind` and a function to :data:`_CHANGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tomocyte.errors import InputError
from tomocyte.tracking.graph import Repair
from tomocyte.tracking.objects import Objects

Kind = Literal["link", "unlink", "division", "death"]
Place = tuple[int, int]
"""Frame and label of an object."""


@dataclass(frozen=True)
class LinkChange:
    """One change of links.

    Parameters
    ----------
    kind : {"link", "unlink", "division", "death"}
        The source goes on as the target; it does not go on (as the target, where there is one); it divides into the
        targets; it dies.
    source : (int, int)
        Frame and label of the earlier object.
    targets : tuple of (int, int)
        The later objects.
    name : str
        What messages call the change.
    """

    kind: Kind
    source: Place
    targets: tuple[Place, ...] = ()
    name: str = "a change"


@dataclass(frozen=True, eq=False)
class Changed:
    """Links after all changes.

    Parameters
    ----------
    repair : Repair
    deaths : frozenset of int
        Rows in which a track ends by death.
    touched : frozenset of int
        Rows of which a change speaks.
    warnings : tuple of tuple of str
        Of each change, ``W-EDIT-…: …``.
    """

    repair: Repair
    deaths: frozenset[int]
    touched: frozenset[int]
    warnings: tuple[tuple[str, ...], ...]


def change_links(objects: Objects, repair: Repair, changes: Sequence[LinkChange]) -> Changed:
    """Apply changes, one after the other.

    Parameters
    ----------
    objects : Objects
    repair : Repair
        The links that were found.
    changes : sequence of LinkChange

    Returns
    -------
    Changed

    Raises
    ------
    InputError
        ``E-EDIT-TARGET``: there is no such object; ``E-EDIT-LINK``: it contradicts an earlier change, or leads nowhere
        later.
    """
    graph = _Graph(objects, repair)
    warnings = []
    for change in changes:
        graph.begin(change)
        source, targets = graph.row(change.source), [graph.row(place) for place in change.targets]
        _CHANGES[change.kind](graph, source, targets)
        warnings.append(tuple(graph.warnings))
    return Changed(graph.repair(repair), frozenset(graph.deaths), frozenset(graph.touched), tuple(warnings))


class _Graph:
    """Links that can be changed, and which of them an earlier change has said."""

    def __init__(self, objects: Objects, repair: Repair) -> None:
        links = repair.links
        pairs = zip(links.source.tolist(), links.target.tolist(), links.gain.tolist(), strict=True)
        self.edges = {(a, b): gain for a, b, gain in pairs}
        self.after: dict[int, set[int]] = {}
        self.before: dict[int, set[int]] = {}
        for a, b in self.edges:
            self.after.setdefault(a, set()).add(b)
            self.before.setdefault(b, set()).add(a)
        self.objects = objects
        places = zip(objects.frame.tolist(), objects.label.tolist(), strict=True)
        self._rows = {place: row for row, place in enumerate(places)}
        self._said_after: dict[int, str] = {}
        self._said_before: dict[int, str] = {}
        self.deaths: set[int] = set()
        self.touched: set[int] = set()

    def begin(self, change: LinkChange) -> None:
        self.name, self.warnings = change.name, list[str]()

    def row(self, place: Place) -> int:
        if place not in self._rows:
            raise InputError(
                "E-EDIT-TARGET",
                f"{self.name}: no object {place[1]} of frame {place[0]} was tracked.",
                cure="Name an object that the table of objects has.",
            )
        return self._rows[place]

    def place(self, row: int) -> str:
        return f"object {self.objects.label[row]} of frame {self.objects.frame[row]}"

    def say_after(self, row: int) -> None:
        """Note that this change says what follows an object; refuse it where an earlier one did."""
        self.refuse_said_after(row)
        self._said_after[row] = self.name

    def say_before(self, row: int) -> None:
        """Note that this change says what comes before an object; refuse it where an earlier one did."""
        self.refuse_said_before(row)
        self._said_before[row] = self.name

    def refuse_said_after(self, row: int) -> None:
        self._refuse(self._said_after, row, "follows")

    def refuse_said_before(self, row: int) -> None:
        self._refuse(self._said_before, row, "comes before")

    def _refuse(self, said: dict[int, str], row: int, what: str) -> None:
        if row in said:
            raise InputError(
                "E-EDIT-LINK",
                f"{self.name}: {said[row]} says already what {what} {self.place(row)}.",
                cure="Leave one of the two out; an object that becomes two is one division.",
            )
        self.touched.add(row)

    def cut_after(self, row: int) -> int:
        """Remove what follows an object; returns how many links."""
        targets = sorted(self.after.get(row, ()))
        for target in targets:
            self.remove(row, target)
        return len(targets)

    def cut_before(self, row: int, *, but: int) -> None:
        """Remove what comes before an object, and say whose track ends there."""
        for source in sorted(self.before.get(row, set()) - {but}):
            self.remove(source, row)
            self.warnings.append(f"W-EDIT-UNLINKED: {self.place(source)} went on as {self.place(row)} before.")

    def remove(self, source: int, target: int) -> None:
        del self.edges[source, target]
        self.after[source].discard(target)
        self.before[target].discard(source)

    def add(self, source: int, target: int) -> None:
        if self.objects.frame[target] <= self.objects.frame[source]:
            raise InputError(
                "E-EDIT-LINK",
                f"{self.name}: {self.place(target)} is not later than {self.place(source)}.",
                cure="Name an object of a later frame.",
            )
        self.edges[source, target] = 0.0
        self.after.setdefault(source, set()).add(target)
        self.before.setdefault(target, set()).add(source)

    def repair(self, repair: Repair) -> Repair:
        """The links as arrays; errors of the segmentation stay such where no change speaks of them."""
        pairs = np.array(sorted(self.edges), dtype=np.int64).reshape(-1, 2)
        gain = np.array([self.edges[a, b] for a, b in pairs.tolist()])
        return replace(
            repair,
            links=replace(repair.links, source=pairs[:, 0], target=pairs[:, 1], gain=gain),
            merged={row: ones for row, ones in repair.merged.items() if self._still_holds(row, ones)},
            piece_of={row: main for row, main in repair.piece_of.items() if row not in self.touched},
        )

    def _still_holds(self, row: int, members: tuple[int, ...]) -> bool:
        """Whether every member goes on into or beyond an object that holds them all."""
        reaching = [max(self.after.get(member, ()), default=member) for member in members]
        return row not in self.touched and all(self.objects.frame[one] >= self.objects.frame[row] for one in reaching)


def _link(graph: _Graph, source: int, targets: list[int]) -> None:
    target = targets[0]
    graph.say_after(source)
    graph.say_before(target)
    if graph.after.get(source) == {target} and graph.before.get(target) == {source}:
        graph.warnings.append("W-EDIT-NOTHING: they were linked already.")
        return
    graph.cut_after(source)
    graph.cut_before(target, but=source)
    graph.add(source, target)


def _unlink(graph: _Graph, source: int, targets: list[int]) -> None:
    if targets:
        graph.refuse_said_before(targets[0])
    else:
        graph.refuse_said_after(source)
    graph.touched.add(source)
    linked = graph.after.get(source, set())
    wrong = sorted(linked & set(targets) if targets else linked)
    for target in wrong:
        graph.touched.add(target)
        graph.remove(source, target)
    if not wrong:
        graph.warnings.append("W-EDIT-NOTHING: there was no such link.")


def _division(graph: _Graph, source: int, targets: list[int]) -> None:
    graph.say_after(source)
    for target in targets:
        graph.say_before(target)
    if graph.after.get(source) == set(targets) and all(graph.before[target] == {source} for target in targets):
        graph.warnings.append("W-EDIT-NOTHING: the division was found already.")
        return
    graph.cut_after(source)
    for target in targets:
        graph.cut_before(target, but=source)
        graph.add(source, target)


def _death(graph: _Graph, source: int, _: list[int]) -> None:
    graph.say_after(source)
    graph.deaths.add(source)
    if graph.cut_after(source):
        graph.warnings.append(
            f"W-EDIT-DEATH: what followed {graph.place(source)} has a track of its own now; delete it if it is debris."
        )


_CHANGES: dict[Kind, Callable[[_Graph, int, list[int]], None]] = {
    "link": _link,
    "unlink": _unlink,
    "division": _division,
    "death": _death,
}
