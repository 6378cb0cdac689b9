"""Lists in help texts that come from the registries, so that a new file behind a door appears by itself.

A help text contains a placeholder such as ``{modalities}``. A command of the class :class:`ListingCommand` fills it in
when its own help is shown; only then is the registry imported. To add a list, write a function here and name it in
:data:`LISTINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption


class ListingCommand(TyperCommand):
    """A command whose help texts may contain the placeholders of :data:`LISTINGS`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with every placeholder filled in."""
        original = {index: getattr(parameter, "help", None) for index, parameter in enumerate(self.params)}
        try:
            for parameter in self.params:
                if isinstance(parameter, TyperArgument | TyperOption):
                    parameter.help = fill_in(parameter.help)
            super().format_help(ctx, formatter)
        finally:  # whatever is registered later must appear too
            for index, text in original.items():
                parameter = self.params[index]
                if isinstance(parameter, TyperArgument | TyperOption):
                    parameter.help = text


def fill_in(text: str | None) -> str | None:
    """A help text with its placeholders replaced by what is registered now.

    Examples
    --------
    >>> fill_in("One of {cell_methods}.")
    'One of auto, watershed, components, as-found.'
    """
    for name, listing in LISTINGS.items():
        if text is not None and f"{{{name}}}" in text:
            text = text.replace(f"{{{name}}}", listing())
    return text


def _modalities() -> str:
    from tomocyte.modalities import modalities

    return _one_of(modalities())


def _instruments() -> str:
    from tomocyte.simulation.instruments import instruments

    return _one_of(f"{name} ({entry.description})" for name, entry in instruments().items())


def _simulated_formats() -> str:
    from tomocyte.simulation.instruments import instruments

    return _one_of(dict.fromkeys(name for entry in instruments().values() for name in entry.file_formats))


def _cell_lines() -> str:
    from tomocyte.simulation.cells.presets import CELL_LINES

    return ", ".join(CELL_LINES)


def _time_lapses() -> str:
    from tomocyte.simulation.cells.motion import EXPERIMENTS

    return ", ".join(EXPERIMENTS)


def _propagation_methods() -> str:
    from tomocyte.propagation import methods

    return "; ".join(f"{name}: {entry.description}" for name, entry in sorted(methods().items()))


def _written_formats() -> str:
    from tomocyte.formats import formats

    writers = [entry for entry in formats().values() if entry.write is not None]
    return ", ".join(f"{' '.join(entry.suffixes)} ({entry.name})" for entry in writers)


def _cell_methods() -> str:
    from tomocyte.pipeline.plan import AS_FOUND
    from tomocyte.pipeline.planning import AUTO, CELL_METHODS

    return ", ".join((AUTO, *CELL_METHODS, AS_FOUND))


def _recipes(kind: str) -> str:
    """Names of the shipped recipes of one kind; read without the room that trains, which would load torch."""
    import re
    from importlib import resources

    recipes = (resources.files("tomocyte") / "recipes").iterdir()
    tag = re.compile(rf"^kind: {kind}$", re.MULTILINE)
    return ", ".join(
        sorted(path.name.removesuffix(".yaml") for path in recipes if tag.search(path.read_text(encoding="utf-8")))
    )


def _one_of(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


LISTINGS: dict[str, Callable[[], str]] = {
    "modalities": _modalities,
    "instruments": _instruments,
    "simulated_formats": _simulated_formats,
    "cell_lines": _cell_lines,
    "time_lapses": _time_lapses,
    "propagation_methods": _propagation_methods,
    "written_formats": _written_formats,
    "cell_methods": _cell_methods,
    "training_recipes": partial(_recipes, "train"),
    "search_recipes": partial(_recipes, "search"),
    "crossval_recipes": partial(_recipes, "crossval"),
    "paper_recipes": partial(_recipes, "paper"),
}
"""Placeholder -> what is registered, as text."""
