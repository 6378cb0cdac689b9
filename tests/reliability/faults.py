"""Making the k-th call of the operating system fail, or kill the process, or just be written down.

``Faults`` replaces functions of ``os`` for the length of a ``with`` block. NTH-FAIL raises at call k, CRASH kills at
call k, ORDER-TRACE only records. To watch another function, add its name to :data:`WATCHED`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WATCHED = (
    "open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "remove", "rmdir", "ftruncate", "listdir",
)  # fmt: skip


class Faults:
    """Counts the watched calls; at call ``at`` (from 1) does ``then`` instead."""

    def __init__(self, at: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self.at, self.then = at, then
        self.calls: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self._real = {name: getattr(os, name) for name in WATCHED}

    def __enter__(self) -> Self:
        for name in WATCHED:
            setattr(os, name, self._watched(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    def _watched(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(first: Any, *others: Any, **named: Any) -> Any:
            if name == "rename" and not str(first).startswith("/"):  # relative to a folder: shutil's own walk
                return real(first, *others, **named)
            target = others[0] if name in ("replace", "rename") else first
            label = self._names.get(target, f"fd {target}") if isinstance(target, int) else str(target)
            self.calls.append((name, label))
            if len(self.calls) == self.at:
                self.then()
            result = real(first, *others, **named)
            if name == "open":
                self._names[result] = label
            return result

        return call


def raising(number: int) -> Callable[[], None]:
    """What the k-th call does: fail with this error number."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


def dying() -> None:
    """What the k-th call does: end the process as if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def relative(calls: list[tuple[str, str]], out: Path) -> list[tuple[str, str]]:
    """The calls with paths relative to the output folder."""
    return [(name, os.path.relpath(label, out) if label.startswith("/") else label) for name, label in calls]
