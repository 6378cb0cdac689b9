"""What a network's entry is, the closed list of all of them, and the one way to build one.

Nothing is added here: a module or folder of this room that has a tuple ``ENTRIES`` is registered by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings

LARGEST_PARAMETER_COUNT = 100_000_000


class NetworkSettings(Settings):
    """Settings that every network has; each network's own settings add to it."""

    n_inputs: int = Field(default=1, ge=1, le=64)
    """Channels of the image."""
    n_outputs: int = Field(default=1, ge=1, le=64)
    """Channels of logits, one per structure."""


class Network(nn.Module):
    """A module with its numbers of inputs and outputs, the divisor of its sizes and the names of its levels."""

    n_inputs: int
    """Channels it takes."""
    n_outputs: int
    """Channels of logits it returns."""
    divisor: tuple[int, ...]
    """Every spatial size must be a multiple of its entry here; one per axis."""
    head: nn.Conv2d | nn.Conv3d
    """The last convolution; its bias, where it has one, sets how large each structure is thought to be at first."""

    def levels(self) -> dict[str, nn.Module]:
        """The modules whose output is worth looking at, in the order of computation; the last one is ``output``."""
        downs, ups = list(self.get_submodule("downs").children()), list(self.get_submodule("ups").children())
        return {
            **{f"down {index}": part for index, part in enumerate(downs, 1)},
            "bridge": self.get_submodule("bridge"),
            **{f"up {index}": part for index, part in enumerate(ups, 1)},
            "output": self.head,
        }


@dataclass(frozen=True)
class NetworkEntry:
    """One network that can be asked for by name.

    Parameters
    ----------
    name : str
        As it stands in a recipe or a model card.
    description : str
        One sentence.
    dimensions : {2, 3}
        2: the module sees ``(B, C, Y, X)``; 3: ``(B, C, Z, Y, X)``.
    paper, doi : str
        Where it was published; ``""`` where it was not.
    settings : type
        Frozen class that checks the options.
    build : callable
        ``settings -> Network``.
    published_parameters : int or None
        Trainable parameters at the default settings, as printed in the paper or as its text implies; None where neither
        is so.
    """

    name: str
    description: str
    dimensions: Literal[2, 3]
    paper: str
    doi: str
    settings: type[NetworkSettings]
    build: Callable[[Any], Network]
    published_parameters: int | None = None

    def n_parameters(self) -> int:
        """Trainable parameters at the default settings, counted without allocating them."""
        return _count_unallocated(self, self.settings())


def _entries() -> dict[str, NetworkEntry]:
    package = importlib.import_module("tomocyte.networks")
    return _entries_in(tuple(package.__path__))


@cache
def _entries_in(folders: tuple[str, ...]) -> dict[str, NetworkEntry]:
    entries: dict[str, NetworkEntry] = {}
    for module in pkgutil.iter_modules(folders):
        for entry in getattr(importlib.import_module(f"tomocyte.networks.{module.name}"), "ENTRIES", ()):
            if entry.name in entries:
                raise SettingsError("E-NETWORK", f"two networks are called {entry.name!r}.")
            entries[entry.name] = entry
    return entries


def network_entries() -> tuple[NetworkEntry, ...]:
    """Every network that can be built, sorted by name.

    Examples
    --------
    >>> "osnet" in [entry.name for entry in network_entries()]
    True
    """
    return tuple(entry for _, entry in sorted(_entries().items()))


def find_network(name: str) -> NetworkEntry:
    """The entry called ``name``.

    Raises
    ------
    SettingsError
        ``E-NETWORK``: no such network; the known ones are listed.
    """
    entry = _entries().get(name)
    if entry is None:
        names = ", ".join(sorted(_entries()))
        raise SettingsError("E-NETWORK", f"unknown network {name!r}.", cure=f"Known networks: {names}.")
    return entry


def build_network(name: str, options: Mapping[str, Any] | None = None) -> Network:
    """A freshly initialised network, in training mode, on the CPU.

    The weights are drawn from torch's random generator: call ``torch.manual_seed`` first for the same ones again.

    Parameters
    ----------
    name : str
        One of :func:`network_entries`.
    options : mapping, optional
        Settings of that network; what is not given keeps its default.

    Returns
    -------
    Network
        A ``torch.nn.Module`` with ``divisor`` (every spatial size must be a multiple of it), ``n_inputs`` and
        ``n_outputs``; it maps float32 ``(B, n_inputs, [Z,] Y, X)`` to logits ``(B, n_outputs, [Z,] Y, X)``.

    Raises
    ------
    SettingsError
        ``E-NETWORK``: the name is unknown, or the network asked for has more than 100 million parameters;
        ``E-SETTINGS``: an option is unknown or outside its bounds.

    Examples
    --------
    >>> build_network("osnet", {"n_outputs": 2}).divisor
    (16, 16)
    """
    entry = find_network(name)
    settings = build_settings(entry.settings, dict(options or {}))
    count = _count_unallocated(entry, settings)  # before building, so that a hostile card costs no memory
    if count > LARGEST_PARAMETER_COUNT:
        raise SettingsError(
            "E-NETWORK",
            f"{name} with these options has {count:,} parameters; {LARGEST_PARAMETER_COUNT:,} are allowed.",
            cure="Choose a smaller width or fewer levels.",
        )
    return entry.build(settings)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _count_unallocated(entry: NetworkEntry, settings: NetworkSettings) -> int:
    with torch.device("meta"):
        return count_parameters(entry.build(settings))
