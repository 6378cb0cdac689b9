"""What the tests of corrections share: edits as files, and runs whose workers are no processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tomocyte.corrections.edits import EditList
from tomocyte.errors import TomocyteError

TWO = ((0.0, -3.2, -3.8), (0.0, 2.0, 3.4))
"""Centres of two balls from the middle of the field, in µm."""
FIRST, SECOND = [5.75, 3.8, 3.85], [5.75, 9.0, 11.05]
"""The same, where voxel 0 lies at 0 µm."""


def edit_list(*edits: dict[str, Any], **more: Any) -> EditList:
    return EditList.model_validate({"edits": [{"structure": "cell", **edit} for edit in edits], **more})


def write_edits(path: Path, *edits: dict[str, Any], **more: Any) -> Path:
    content = {"version": 1, **more, "edits": [{"structure": "cell", **edit} for edit in edits]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def segment(inputs: Path, output: Path, *arguments: object) -> Any:
    """``tomocyte run`` with the classical engine."""
    return tomocyte("run", inputs, "-o", output, "-m", "odt", "--model", "classical", *arguments)


def tomocyte(*arguments: object) -> Any:
    """The command line in this process; an error of tomocyte's own is the result's ``exception``."""
    from tomocyte.cli import app

    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    is_foreseen = done.exception is None or isinstance(done.exception, SystemExit | TomocyteError)
    if not is_foreseen:
        raise done.exception
    return done


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """Workers without processes and results without pictures: the same calls in the same order, much faster."""
    from tomocyte.batch import Outcome
    from tomocyte.pipeline import process_item

    def run_staged(ledger: Any, tasks: Any, work: Callable[..., Any], **_: Any) -> Iterator[tuple[str, Path, Any]]:
        assert work is process_item
        for index, task in enumerate(tasks):
            staged = ledger.stage(task["item"])
            try:
                outcome = Outcome(index, task, result=work({**task, "staged": str(staged)}, lambda event: None))
            except TomocyteError as error:
                ledger.discard(staged)
                outcome = Outcome(index, task, error=error)
            yield task["item"], staged, outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tomocyte.batch.run_staged", run_staged)
        patch.setattr("tomocyte.figures.overview", lambda *_, **__: b"")
        patch.setattr("tomocyte.figures.closeup", lambda *_, **__: None)
        patch.setattr("tomocyte.pipeline.stages.draw.time_courses", lambda *_, **__: {})
        patch.setattr("tomocyte.runs.report.page._charts", lambda *_: [])
        yield
