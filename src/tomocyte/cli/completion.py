"""What a shell proposes behind the tab key: names of modalities, models, samples, recipes, networks, measurements.

The shell starts the program for every key, so that nothing here may load torch. To complete another parameter, write a
function of no arguments, and give its parameter ``autocompletion=starting_with(function)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tomocyte.cli.listings import names_of


def starting_with(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion that proposes the names that begin with what is typed."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def recipes_for(kind: str) -> Callable[[str], list[str]]:
    """Completion of the shipped recipes of one command: ``training``, ``search``, ``crossval`` or ``paper``."""
    return starting_with(lambda: names_of(f"{kind}_recipes"))


def _models() -> list[str]:
    from tomocyte.models import list_models

    return [entry.name for entry in list_models()]


def _samples() -> list[str]:
    from tomocyte.runs.samples import registry

    return list(registry())


def _measurements() -> list[str]:
    from tomocyte.measurements import measurements

    return list(measurements())


modalities = starting_with(lambda: names_of("modalities"))
models = starting_with(_models)
run_models = starting_with(lambda: ["auto", "classical", *_models()])
refinements = starting_with(lambda: ["none", "boundary", *_models()])
cell_methods = starting_with(lambda: [*names_of("cell_methods"), *_models()])
samples = starting_with(_samples)
measured = starting_with(_measurements)
