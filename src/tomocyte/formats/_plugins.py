"""Reader plugins of the package bioio that happen to be installed: which of them read a file, by its ending.

A plugin is found by its entry point and loaded only for a file that no reader of tomocyte takes. To use plugins
of another package, add the group of their entry points to :data:`GROUP`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

GROUP: Final = "bioio.readers"


@dataclass(frozen=True)
class Plugin:
    """One installed plugin.

    Parameters
    ----------
    name : str
        Its distribution and version, e.g. ``"bioio-imageio 1.3.0"``, or the name of its entry point.
    entry : str
        Name of its entry point.
    endings : tuple of str
        In lower case, with the dot; empty for a plugin that cannot be loaded.
    problem : str
        Why it cannot be loaded.
    """

    name: str
    entry: str
    endings: tuple[str, ...]
    problem: str = ""

    def reader(self) -> Any:
        """Its class of readers."""
        return _metadata(next(iter(entry_points(group=GROUP, name=self.entry)))).get_reader()


def plugins() -> tuple[Plugin, ...]:
    """Every installed plugin, those with few endings first: they know their files best."""
    found = (_plugin(entry) for entry in entry_points(group=GROUP))
    return tuple(sorted(found, key=lambda plugin: (len(plugin.endings), plugin.name)))


def plugins_for(path: Path) -> tuple[Plugin, ...]:
    """Plugins that say they read files of this ending, those with the longest ending that fits first."""
    name = path.name.lower()
    fitting = [(plugin, [ending for ending in plugin.endings if name.endswith(ending)]) for plugin in plugins()]
    ranked = [(-max(map(len, endings)), plugin) for plugin, endings in fitting if endings]
    return tuple(plugin for _, plugin in sorted(ranked, key=lambda pair: pair[0]))


def advice() -> str:
    """What to tell about a file that neither tomocyte nor an installed plugin reads."""
    installed = plugins()
    broken = [f"{plugin.name} cannot be loaded ({plugin.problem})" for plugin in installed if plugin.problem]
    if broken:
        return f"Of the installed plugins of bioio, {'; '.join(broken)}."
    if installed:
        names = ", ".join(plugin.name for plugin in installed)
        return f"No installed plugin of bioio reads this ending either ({names})."
    return "Files of other makers open when a plugin of bioio that reads them is installed (list: https://bioio-devs.github.io/bioio)."


def _metadata(entry: EntryPoint) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return entry.load().ReaderMetadata


@cache
def _plugin(entry: EntryPoint) -> Plugin:
    name = entry.name if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    try:
        stated = [str(ending).lower().lstrip(".") for ending in _metadata(entry).get_supported_extensions()]
    except Exception as error:  # noqa: BLE001  a foreign package may raise anything; the message shows it
        return Plugin(name, entry.name, (), f"{type(error).__name__}: {error}".splitlines()[0][:200])
    return Plugin(name, entry.name, tuple(f".{ending}" for ending in stated if ending))
