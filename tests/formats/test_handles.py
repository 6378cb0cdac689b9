"""Which files stay open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp


class Handle:
    """Writes down when it is closed."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name, self._closed = name, closed

    def close(self) -> None:
        self._closed.append(self.name)


def test_the_handles_used_last_stay_open(tmp_path: Path) -> None:
    opened: list[str] = []
    closed: list[str] = []

    def open_handle(stamp: FileStamp, how: str) -> Handle:
        opened.append(stamp.path.name + how)
        return Handle(opened[-1], closed)

    cache: HandleCache[str, Handle] = HandleCache(open_handle, n_open=2)
    stamps = []
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
        stamps.append(FileStamp.of(tmp_path / name))
    for index in (0, 1, 0, 2, 0):  # b is the one used least when c comes
        with cache.lend(stamps[index], "") as handle:
            assert handle.name == "abc"[index]
    assert (opened, closed) == (["a", "b", "c"], ["b"])
    with pytest.raises(ZeroDivisionError), cache.lend(stamps[0], ""):
        raise ZeroDivisionError
    assert closed == ["b", "a"]  # nobody knows its state any more
    (tmp_path / "c").write_bytes(b"another content")
    with cache.lend(FileStamp.of(tmp_path / "c"), ""):
        pass
    assert closed == ["b", "a", "c"]  # an earlier state of the same file
    cache.close()
    assert closed == ["b", "a", "c", "c"]
