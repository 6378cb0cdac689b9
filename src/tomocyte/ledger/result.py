"""What a run did: counts and failures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Failure:
    """One input that could not be done."""

    item: str
    source: str
    code: str
    problem: str
    cure: str = ""
    traceback: str = ""

    @property
    def message(self) -> str:
        """Problem and cure in one line."""
        return f"{self.problem} {self.cure}".strip()


@dataclass
class RunResult:
    """What a run did.

    Parameters
    ----------
    n_done, n_resumed : int
        Inputs committed now or before; of these, those found done already.
    failures : list of Failure
        In the order of items.
    n_objects : dict
        Structure -> number of objects over all inputs and frames.
    n_implausible : int
        Inputs done with results that cannot be right (``W-IMPLAUSIBLE-…``).
    notes : list of str
        What the user must hear: which earlier corrections or files of theirs were kept, and where they are.
    """

    n_done: int = 0
    n_resumed: int = 0
    failures: list[Failure] = field(default_factory=list)
    n_objects: dict[str, int] = field(default_factory=dict)
    n_implausible: int = 0
    notes: list[str] = field(default_factory=list)
