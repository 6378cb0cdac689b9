"""What long commands print: ``--quiet`` leaves out all but errors and results, ``--log`` keeps a copy.

Both belong to a command by its class, :class:`tomocyte.cli.listings.LongCommand`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import typer

from tomocyte.errors import OutputError

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Whether the running command was given ``--quiet``."""
    return _QUIET.get()


def remark(text: str) -> None:
    """Print a line to the error stream that ``--quiet`` leaves out."""
    if not is_quiet():
        typer.echo(text, err=True)


class _Copy:
    """A stream whose whole lines are also written to a log, each with the time in UTC."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log, self._line = stream, log, ""

    def write(self, text: str) -> int:
        """Write to both; what moves a cursor is for the screen alone."""
        if "\x1b" not in text:
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                log_line(self._log, line)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def log_line(log: TextIO, line: str) -> None:
    """One line with its time, on disk at once."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    log.write(f"{now} {line}\n")
    log.flush()


@contextmanager
def recording(path: str | None, *, is_quiet: bool = False) -> Iterator[None]:
    """Append everything that is printed inside, and the traceback of an error, to a file.

    Raises
    ------
    OutputError
        ``E-LOG``: the file cannot be written.
    """
    token = _QUIET.set(is_quiet)
    try:
        with _logged(path):
            yield
    finally:
        _QUIET.reset(token)


@contextmanager
def _logged(path: str | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        log = Path(path).open("a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed by `with log` below
    except OSError as problem:
        text = f"cannot be written: {problem.strerror}."
        raise OutputError("E-LOG", text, path=path, cure="Give --log a file in a folder that exists.") from problem
    out, err = sys.stdout, sys.stderr
    with log:
        log_line(log, f"tomocyte {' '.join(sys.argv[1:])}")
        sys.stdout, sys.stderr = _Copy(out, log), _Copy(err, log)
        try:
            yield
        except typer.Exit as end:
            log_line(log, f"exit code {end.exit_code}")
            raise
        except BaseException:
            for line in traceback.format_exc().splitlines():
                log_line(log, line)
            raise
        else:
            log_line(log, "exit code 0")
        finally:
            sys.stdout, sys.stderr = out, err
