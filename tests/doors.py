"""Puts files behind the doors of the package for one test, and counts what had to be added or changed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class Doors:
    """Files behind doors, in a temporary folder beside the package's own.

    Parameters
    ----------
    folder : Path
    monkeypatch : MonkeyPatch
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.files: list[str] = []
        """Source files that were added or changed."""
        self._patch = monkeypatch
        self._modules = set(sys.modules)
        self._rooms: set[str] = set()

    def add(self, room: str, file: str, text: str) -> None:
        """Add a source file to a room, e.g. ``add("tomocyte.formats", "mine.py", text)``."""
        package = importlib.import_module(room)
        place = self.folder / room
        path = place / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.files.append(f"{room}/{file}")
        if room not in self._rooms:
            self._rooms.add(room)
            self._patch.setattr(package, "__path__", [*package.__path__, str(place)])

    def change(self, module: ModuleType, old: str, new: str) -> dict[str, Any]:
        """What a module of the package would hold if its source said ``new`` where it says ``old``."""
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module.__name__}"
        self.files.append(str(module.__file__))
        names = {"__name__": module.__name__, "__file__": module.__file__, "__package__": module.__package__}
        exec(compile(source.replace(old, new), str(module.__file__), "exec"), names)
        return names

    def close(self) -> None:
        """Forget the added modules."""
        for name in set(sys.modules) - self._modules:
            if str(self.folder) in str(getattr(sys.modules[name], "__file__", "")):
                room, _, attribute = name.rpartition(".")
                del sys.modules[name]
                if attribute in vars(sys.modules.get(room, sys)):
                    delattr(sys.modules[room], attribute)
