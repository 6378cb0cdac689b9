"""Lines that stand in for the bar where standard error is no screen."""

from __future__ import annotations

import pytest

from tomocyte.cli.progress import task_progress
from tomocyte.progress import Progress

EVENTS = [
    (Progress("a", "simulate", state="at-work", total=2), ""),
    (Progress("a", "simulate", state="done", done=1, total=2), "[1/2] a: done"),
    (Progress("b", "simulate", state="resumed", done=2, total=2), ""),
    (Progress("osnet", "fold", state="started", done=0, total=5), "osnet, fold 1 of 5: "),
    (Progress(step="train", state="started", done=3, total=9), ""),
    (Progress(step="train", done=4, total=9, values={"loss": 0.5}), ""),
    (
        Progress(step="epoch", done=2, total=3, values={"loss": 0.25, "seconds": 1.6, "dice": 0.75}),
        "osnet, fold 1 of 5: epoch 2: loss 0.2500, Dice 0.750, 2 s",
    ),
    (Progress(step="epoch", done=3, total=3, values={"seconds": 0.2}), "osnet, fold 1 of 5: epoch 3: loss none, 0 s"),
    (Progress("c", "score"), ""),
    (Progress("x" * 90, "calibrate: usual look", done=0, total=7), f"usual look: {'x' * 90} (1 of 7)"),
    (Progress("d", "experiment", state="failed", done=1, total=1), "[1/1] d: failed"),
]


@pytest.mark.parametrize(("event", "line"), EVENTS[:3] + EVENTS[8:])
def test_one_line_per_event_that_matters(event: Progress, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with task_progress() as callback:
        callback(event)
    assert capsys.readouterr().err.rstrip("\n") == line


def test_the_lines_of_a_training_name_its_fold(capsys: pytest.CaptureFixture[str]) -> None:
    with task_progress() as callback:
        for event, _ in EVENTS[3:8]:
            callback(event)
    assert capsys.readouterr().err.splitlines() == [line for _, line in EVENTS[3:8] if line]


def test_an_interruption_says_that_the_same_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), task_progress():
        raise KeyboardInterrupt
    assert "To continue: tomocyte" in capsys.readouterr().err
