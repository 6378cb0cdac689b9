"""What reports progress: one event, one callback, one that ignores events.

Whoever works long takes ``callback: Callback = silent``. To report something new, add a field with a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["started", "at-work", "retried", "done", "failed", "resumed"]
ENDED: frozenset[State] = frozenset({"done", "failed", "resumed"})
"""States that end an item."""


@dataclass(frozen=True)
class Progress:
    """Where the work is.

    Parameters
    ----------
    item : str
        The input, field or row of a table at work; empty where there is only one.
    step : str
        What is being done, e.g. ``measure: nucleus``; the word before the colon is the kind of step.
    frame, n_frames : int
        Which time point of how many.
    state : {"started", "at-work", "retried", "done", "failed", "resumed"}
        ``done``, ``failed`` and ``resumed`` end an item; ``resumed``: it was done before. ``retried``: its worker died,
        and ``step`` says how.
    done, total : int
        How many of all are done: items of an experiment, steps of a training, epochs, folds; ``total`` is 0 where
        nothing is counted.
    values : mapping of str to float
        Figures of the moment, e.g. ``loss`` of a training step; those of an epoch also hold its validation scores.
    """

    item: str = ""
    step: str = ""
    frame: int = 0
    n_frames: int = 1
    state: State = "at-work"
    done: int = 0
    total: int = 0
    values: Mapping[str, float] = field(default_factory=dict, hash=False)


Callback = Callable[[Progress], None]


def silent(*_: object) -> None:
    """The callback of those who want no events; fits every callback, whatever it is called with."""
