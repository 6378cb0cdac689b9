"""The lock of an output folder: one run at a time, and never a stale lock.

The system frees the lock when the process ends, however it ends. Another kind of file system is another
``_lock_file``.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from pathlib import Path

from tomocyte.errors import OutputError
from tomocyte.ledger.atomic import READ, output_error, writing

PATIENCE_S = 1.0
"""How long a refused lock is tried again: a run killed while it starts a worker leaves, for the moment between fork and
exec, a child that still holds it."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class FolderLock:
    """One process at a time: a lock on a file that the system frees when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        The lock file. It stays for ever; only the lock on it comes and goes.
    """

    _SIGNATURE = b'{"tomocyte_lock":'

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, is_shared: bool = False) -> None:
        """Take the lock, alone or (for reading) shared.

        Raises
        ------
        OutputError
            ``E-LOCKED`` with the holder's pid and host; ``E-OUT-FOREIGN`` the file is not ours; ``E-OUT-NOLOCK`` the
            file system cannot lock; ``E-OUT-RO`` no permission.
        """
        with writing(self.path):
            descriptor = os.open(self.path, READ if is_shared else os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock(descriptor, is_shared=is_shared)
            if not is_shared:
                self._sign(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _lock(self, descriptor: int, *, is_shared: bool) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return _lock_file(descriptor, is_shared=is_shared)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    problem = "this disk cannot lock files."
                    raise OutputError("E-OUT-NOLOCK", problem, path=self.path, cure="Write to a local disk.") from error
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                    raise output_error(error, self.path) from error
                if time.monotonic() > deadline:
                    cure = "Wait for it or choose another folder; the folder is free again when that process ends."
                    problem = f"another run is using this folder ({self._holder()})."
                    raise OutputError("E-LOCKED", problem, path=self.path.parent, cure=cure) from error
            time.sleep(0.05)

    def _sign(self, descriptor: int) -> None:
        with writing(self.path):
            held = os.read(descriptor, len(self._SIGNATURE))
            if held and held != self._SIGNATURE:
                problem = "this lock file belongs to another program."
                raise OutputError("E-OUT-FOREIGN", problem, path=self.path, cure="Choose an empty folder.")
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = {"pid": os.getpid(), "host": socket.gethostname()}
            os.write(descriptor, self._SIGNATURE + json.dumps(holder).encode() + b"}\n")

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_bytes())["tomocyte_lock"]
            return f"pid {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "pid unknown"

    def check(self) -> None:
        """Raise ``E-LOCK-LOST`` where somebody removed or replaced the lock file under a running process."""
        try:
            is_ours = self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            cure = "Never delete it: it is released by itself. Run the same command again."
            raise OutputError("E-LOCK-LOST", "the lock file was removed while in use.", path=self.path, cure=cure)

    def release(self) -> None:
        """Let go; harmless when nothing is held."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock_file(descriptor: int, *, is_shared: bool) -> None:  # noqa: ARG001
        # Windows locks bind readers too, so a byte far behind the holder's name is locked; it knows no shared lock.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock_file(descriptor: int, *, is_shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
