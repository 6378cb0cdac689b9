"""The command line and whole runs in this process: what a test changes in the package is seen by the workers, too."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tomocyte.errors import TomocyteError


def tomocyte(*arguments: object) -> Any:
    """The command line in this process; an error of tomocyte's own is the result's ``exception``."""
    from tomocyte.cli import app

    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    is_foreseen = done.exception is None or isinstance(done.exception, SystemExit | TomocyteError)
    if not is_foreseen:
        raise done.exception
    return done


PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
"""A PNG of one grey pixel."""


@contextmanager
def workers_in_this_process() -> Iterator[None]:
    """Workers without processes and results without pictures: the same calls in the same order, much faster."""
    from tomocyte.batch import Outcome

    def run_staged(ledger: Any, tasks: Any, work: Callable[..., Any], **_: Any) -> Iterator[tuple[str, Path, Any]]:
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
        patch.setattr("tomocyte.figures.overview", lambda *_, **__: PICTURE)
        patch.setattr("tomocyte.figures.closeup", lambda *_, **__: None)
        patch.setattr("tomocyte.pipeline.stages.draw.time_courses", lambda *_, **__: {})
        yield
