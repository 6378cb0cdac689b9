"""Progress bars with the time left; on a screen only, plain lines otherwise."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from tomocyte.cli.recording import is_quiet
from tomocyte.progress import ENDED, Callback, Progress

LONGEST_NAME = 24
# Share of one frame's time that has passed when a step begins.
STEP_SHARE = {"read": 0.0, "predict": 0.1, "segment": 0.1, "measure": 0.55, "draw": 0.85, "write": 0.9, "simulate": 0.0}


class CountBar:
    """A bar that counts up to a total that may become known later."""

    def __init__(self, progress: Bars, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def set_total(self, total: int) -> None:
        """How many there are in all."""
        self._progress.update(self._task, total=total)

    def set_done(self, count: int) -> None:
        """How many are done."""
        self._progress.update(self._task, completed=count)

    def advance(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)


@contextmanager
def count_progress(title: str, total: int | None) -> Iterator[CountBar]:
    """A bar on the screen while the block runs."""
    console = Console(stderr=True, quiet=is_quiet())
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield CountBar(progress, progress.add_task(title, total=total))


class RunProgress:
    """Bars of a run: all inputs above, one line per input at work below.

    Parameters
    ----------
    n_items : int
        Number of inputs.
    """

    def __init__(self, n_items: int) -> None:
        self._console = Console(stderr=True, quiet=is_quiet())
        self._progress = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._n_items = n_items
        self._all = self._progress.add_task("all inputs", total=n_items)
        self._tasks: dict[str, TaskID] = {}
        self._share: dict[str, float] = {}
        self._n_done = 0

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            text = "Interrupted; what was finished is kept. Run the same command again to resume."
            self._console.print(text, highlight=False)

    def on_event(self, event: Progress) -> None:
        """Take one event."""
        item = event.item
        shown = item if len(item) <= LONGEST_NAME else f"{item[: LONGEST_NAME - 1]}…"
        if event.state in ENDED:
            self._n_done += 1
            self._share.pop(item, None)
            if item in self._tasks:
                self._progress.remove_task(self._tasks.pop(item))
            if not self._console.is_terminal and event.state != "resumed":
                text = f"[{self._n_done}/{self._n_items}] {item}: {event.state}"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif event.state == "at-work":
            share = (event.frame + STEP_SHARE.get(event.step.partition(":")[0], 0.0)) / event.n_frames
            self._share[item] = share
            if item not in self._tasks:
                self._tasks[item] = self._progress.add_task(shown, total=1.0)
            frames = f", frame {event.frame + 1}/{event.n_frames}" if event.n_frames > 1 else ""
            self._progress.update(self._tasks[item], completed=share, description=f"{shown}: {event.step}{frames}")
        self._progress.update(self._all, completed=self._n_done + sum(self._share.values()))


@contextmanager
def task_progress() -> Iterator[Callback]:
    """A bar with the steps or items of the present task and the time left on a screen; lines elsewhere.

    Gives the callback of trainings, searches, comparisons, calibrations and experiments.
    """
    console = Console(stderr=True, quiet=is_quiet())
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    try:
        with Bars(*columns, console=console, disable=not console.is_terminal) as progress:
            yield _TaskBar(console, progress).on_event
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; what was finished is kept. To continue: {continuing_command(sys.argv[1:])}", err=True)
        raise


def continuing_command(arguments: Sequence[str]) -> str:
    """What to type to continue an interrupted command: the same, quoted for the shell, but not from the beginning.

    Examples
    --------
    >>> continuing_command(["train", "my recipe.yaml", "-o", "out", "--restart"])
    "tomocyte train 'my recipe.yaml' -o out"
    """
    return shlex.join(["tomocyte", *(word for word in arguments if word != "--restart")])


class _TaskBar:
    """One bar that one task after another uses."""

    def __init__(self, console: Console, progress: Bars) -> None:
        self._console, self._progress = console, progress
        self._task = progress.add_task("reading", total=None)
        self._title = ""
        self._kind = ""

    def on_event(self, event: Progress) -> None:
        """Take one event."""
        kind, _, purpose = event.step.partition(": ")
        if kind == "fold":
            self._title = f"{event.item}, fold {event.done + 1} of {event.total}: "
            self._show(event.step, self._title)
            self._line(self._title)
        elif kind == "training":
            left = f", about {event.values['minutes_left']:.0f} min left" if "minutes_left" in event.values else ""
            self._title = f"{event.item} (training {event.done + 1} of {event.total}{left}): "
            self._show(event.step, self._title)
            self._line(self._title)
        elif kind == "score":
            self._show(event.step, f"{self._title}scoring {event.item}")
        elif kind == "epoch":
            self._line(f"{self._title}{_epoch_line(event)}")
        elif kind == "train":
            loss = f"loss {event.values['loss']:.4f}" if "loss" in event.values else "resumed"
            self._show(event.step, f"{self._title}{loss}", event.done, event.total)
        elif kind == "calibrate":
            text = f"{purpose}: {event.item} ({event.done + 1} of {event.total})"
            self._show(event.step, text, event.done, event.total)
            self._line(text)
        elif event.state == "at-work" and event.total and event.n_frames > 1:
            text = f"{kind}: {event.item}, frame {event.frame + 1}/{event.n_frames}"
            self._show(event.step, text, event.done + event.frame / event.n_frames, event.total)
        elif event.state in ENDED:
            self._show(event.step, event.step, event.done, event.total)
            if event.state != "resumed":
                self._line(f"[{event.done}/{event.total}] {event.item}: {event.state}")

    def _show(self, step: str, text: str, done: float = 0, total: int | None = None) -> None:
        """Another step begins with a clock of its own."""
        if step != self._kind:
            self._kind = step
            self._progress.reset(self._task, total=total)
        self._progress.update(self._task, total=total, completed=done, description=text)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _epoch_line(event: Progress) -> str:
    values = event.values
    dice = f", Dice {values['dice']:.3f}" if "dice" in values else ""
    loss = f"{values['loss']:.4f}" if "loss" in values else "none"
    return f"epoch {event.done}: loss {loss}{dice}, {values['seconds']:.0f} s"
