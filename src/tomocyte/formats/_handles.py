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
from threading import RLock
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Whatever has a ``close``."""

    def close(self) -> None:
        """Free the file."""


Key = TypeVar("Key", bound=Hashable)
Handle = TypeVar("Handle", bound=Closable)


class HandleCache(Generic[Key, Handle]):
    """The handles used last, opened on demand, closed when pushed out or at exit; one user at a time.

    Parameters
    ----------
    open_handle : callable
        ``open_handle(key) -> handle``.
    n_kept : int
        How many stay open.
    """

    def __init__(self, open_handle: Callable[[Key], Handle], n_kept: int = 4) -> None:
        self._open = open_handle
        self._n_kept = n_kept
        self._kept: OrderedDict[tuple[int, Key], Handle] = OrderedDict()
        self._lock = RLock()
        atexit.register(self.close)

    @contextmanager
    def lend(self, key: Key) -> Iterator[Handle]:
        """The handle of ``key``; dropped when its use raises, because its state is then unknown."""
        with self._lock:
            mine = (os.getpid(), key)
            if mine not in self._kept:
                while len(self._kept) >= self._n_kept:
                    self._kept.popitem(last=False)[1].close()
                self._kept[mine] = self._open(key)
            self._kept.move_to_end(mine)
            is_fine = False
            try:
                yield self._kept[mine]
                is_fine = True
            finally:
                if not is_fine and mine in self._kept:
                    self._kept.pop(mine).close()

    def close(self) -> None:
        """Close every handle that this process opened."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == os.getpid()]:
                self._kept.pop(key).close()
