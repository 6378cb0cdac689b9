"""What reports progress: one event, one callback, one that ignores events.

Whoever works long takes ``callback: Callback = silent``. To report something new, add a field with a default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["started", "at-work", "retried", "done", "failed", "resumed"]


@dataclass(frozen=True)
class Progress:
    """Where the work is.

    Parameters
    ----------
    item : str
        The input or field at work; empty where there is only one.
    step : str
        What is being done, e.g. ``measure: nucleus``; the word before the colon is the kind of step.
    frame, n_frames : int
        Which time point of how many.
    state : {"started", "at-work", "retried", "done", "failed", "resumed"}
        The last three end an item; ``resumed``: it was done before. ``retried``: its worker died, and ``step`` says
        how.
    """

    item: str = ""
    step: str = ""
    frame: int = 0
    n_frames: int = 1
    state: State = "at-work"


Callback = Callable[[Progress], None]


def silent(*_: object) -> None:
    """The callback of those who want no events; fits every callback, whatever it is called with."""
