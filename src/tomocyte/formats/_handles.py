"""Files that stay open for the next read, a few per process.

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


OpenOptions = TypeVar("OpenOptions", bound=Hashable)
Handle = TypeVar("Handle", bound=Closable)


class HandleCache(Generic[OpenOptions, Handle]):
    """The handles used last, opened on demand, closed when pushed out or at exit; one user at a time.

    Parameters
    ----------
    open_handle : callable
        ``open_handle(stamp, options) -> handle``.
    n_open : int
        Number of handles that stay open.
    """

    def __init__(self, open_handle: Callable[[FileStamp, OpenOptions], Handle], n_open: int = 4) -> None:
        self._open = open_handle
        self._n_open = n_open
        self._handles: OrderedDict[tuple[int, FileStamp, OpenOptions], Handle] = OrderedDict()
        self._lock = RLock()
        atexit.register(self.close)

    @contextmanager
    def lend(self, stamp: FileStamp, options: OpenOptions) -> Iterator[Handle]:
        """The handle of a file; dropped when its use raises, because its state is then unknown."""
        with self._lock:
            key = (os.getpid(), stamp, options)
            if key not in self._handles:
                self._make_room(stamp)
                self._handles[key] = self._open(stamp, options)
            self._handles.move_to_end(key)
            is_fine = False
            try:
                yield self._handles[key]
                is_fine = True
            finally:
                if not is_fine and key in self._handles:
                    self._handles.pop(key).close()

    def _make_room(self, stamp: FileStamp) -> None:
        """Close what is too old: earlier states of the same file (HDF5 would answer from them), then the least used."""
        self.forget(stamp.path, except_for=stamp)
        while len(self._handles) >= self._n_open:
            self._handles.popitem(last=False)[1].close()

    def forget(self, path: Path, *, except_for: FileStamp | None = None) -> None:
        """Close the handles of a file, but not those of one state of it."""
        with self._lock:
            for key in [key for key in self._handles if key[1].path == path and key[1] != except_for]:
                self._handles.pop(key).close()

    def close(self) -> None:
        """Close every handle that this process opened."""
        with self._lock:
            for key in [key for key in self._handles if key[0] == os.getpid()]:
                self._handles.pop(key).close()
