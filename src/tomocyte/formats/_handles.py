"""Open files kept for the next read, a few per process.

A reader that is pickled to another process, or forked, opens its own. To keep another kind of handle, make one
:class:`HandleCache` at module level with the function that opens it.
"""

from __future__ import annotations

import atexit
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Generic, Protocol, TypeVar

from tomocyte.formats._hostile import FileStamp


class Closable(Protocol):
    """Whatever has a ``close``."""

    def close(self) -> None:
        """Free the file."""


How = TypeVar("How", bound=Hashable)
Handle = TypeVar("Handle", bound=Closable)


class HandleCache(Generic[How, Handle]):
    """The handles used last, opened on demand, closed when pushed out or at exit; one user at a time.

    Parameters
    ----------
    open_handle : callable
        ``open_handle(stamp, options) -> handle``.
    n_kept : int
        How many stay open.
    """

    def __init__(self, open_handle: Callable[[FileStamp, How], Handle], n_kept: int = 4) -> None:
        self._open = open_handle
        self._n_kept = n_kept
        self._kept: OrderedDict[tuple[int, FileStamp, How], Handle] = OrderedDict()
        self._lock = RLock()
        atexit.register(self.close)

    @contextmanager
    def lend(self, stamp: FileStamp, options: How) -> Iterator[Handle]:
        """The handle of a file; dropped when its use raises, because its state is then unknown."""
        with self._lock:
            mine = (os.getpid(), stamp, options)
            if mine not in self._kept:
                self._make_room(stamp)
                self._kept[mine] = self._open(stamp, options)
            self._kept.move_to_end(mine)
            is_fine = False
            try:
                yield self._kept[mine]
                is_fine = True
            finally:
                if not is_fine and mine in self._kept:
                    self._kept.pop(mine).close()

    def _make_room(self, stamp: FileStamp) -> None:
        """Close what is too old: earlier states of the same file (HDF5 would answer from them), then the least used."""
        self.forget(stamp.path, except_for=stamp)
        while len(self._kept) >= self._n_kept:
            self._kept.popitem(last=False)[1].close()

    def forget(self, path: Path, *, except_for: FileStamp | None = None) -> None:
        """Close the handles of a file, but not those of one state of it."""
        with self._lock:
            for key in [key for key in self._kept if key[1].path == path and key[1] != except_for]:
                self._kept.pop(key).close()

    def close(self) -> None:
        """Close every handle that this process opened."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == os.getpid()]:
                self._kept.pop(key).close()
