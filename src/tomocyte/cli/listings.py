"""Lists in help texts that come from the registries, so that a new file behind a door appears by itself.

Options stand under headings, and every help text ends with the exit codes.
A help text contains a placeholder such as ``{modalities}``. A command of the class :class:`ListingCommand` fills it in
when its own help is shown; only then is the registry imported. To add a list, write a function here and name it in
:data:`LISTINGS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import typer
import typer.main
from typer.core import TyperArgument, TyperCommand, TyperOption

from tomocyte.cli.cures import RECIPE_KEYS, for_command

EXIT_CODES = (
    "Exit codes: 0 done; 1 an error; 2 a wrong command; 3 some inputs failed; 4 all inputs failed; 130 stopped by "
    "Ctrl-C; 143 stopped by SIGTERM."
)
MOST_UNGROUPED = 14
"""Commands with more options show them under headings."""
OPTION_GROUPS: dict[str, tuple[str, ...]] = {
    "Input": (
        "recursive", "voxel_size_um", "pixel_size_um", "axes", "dataset", "time_step_s", "medium_ri", "quantity",
        "wavelength_um", "lac_per_um", "lac_from_beads", "lac_of_medium", "contrast", "nan", "data", "image", "cell",
        "nucleus", "nucleolus", "lipid_droplet",
        "mitochondrion", "others", "label_files", "values", "outside", "inputs", "conditions",
        "from_folders", "folder_levels",
    ),
    "What to do": (
        "modality", "model", "cells", "channel", "structure", "object_diameter_um", "edits", "settings", "preset",
        "n_items", "frames", "experiment", "shape", "instrument", "shift", "benchmark", "seed", "threshold",
        "tolerance_um", "instances", "min_iou", "method", "axis", "labelled_slices", "resamples", "overrides",
        "kind", "quantities", "subject", "item", "track", "summaries", "baseline", "control", "paired", "test",
        "effect_percent", "keep", "goal", "score", "best", "where", "volumes", "choose", "weighted", "level",
        "classes", "drop", "seeds",
    ),
    "Output": (
        "output", "measurements", "contacts", "contact_gap_um", "placements", "colocalisation", "uncertainty",
        "uncertainty_map", "structures", "movie", "unit", "title", "frames_per_second", "picture_format", "file_format",
        "no_figures", "as_json", "overwrite", "discard_changes", "dry_run", "quiet", "log",
    ),
    "Advanced": (),
}  # fmt: skip
"""Heading in help texts -> names of parameters; what stands nowhere is advanced."""
NO_INPUT = {"simulate"}
"""Commands that read no image: what would describe one says what to make."""
KINDS = {"str": "TEXT", "path": "PATH", "Path": "PATH", "float": "NUMBER", "int": "NUMBER"}
"""Type of a value -> how help texts call it."""


def readable(record: tuple[str, str]) -> tuple[str, str]:
    """An entry of a help text in plain English: kinds of values instead of types, ranges in words.

    Examples
    --------
    >>> readable(("--seed <int range>", "Seed.  [default: 1; x>=0]"))
    ('--seed NUMBER', 'Seed.  [default: 1; at least 0]')
    >>> readable(("--row <list[str]>", "")), readable(("--threshold <float range>", "From.  [0.0<=x<=1.0]"))
    (('--row TEXT', ''), ('--threshold NUMBER', 'From.  [0 to 1]'))
    """
    name, text = record
    name = re.sub(r"<(?:list\[)?(\w+)\]?(?: range)?>", lambda found: KINDS.get(found[1], found[1].upper()), name)
    text = re.sub(r"([\d.]+)<=x<=([\d.]+)", lambda found: f"{float(found[1]):g} to {float(found[2]):g}", text)
    text = re.sub(r"\bx>=([\d.]+)", lambda found: f"at least {float(found[1]):g}", text)
    return name, text


class ListingCommand(TyperCommand):
    """A command whose help texts may contain the placeholders of :data:`LISTINGS`."""

    recipe_keys: ClassVar[Mapping[str, str]] = {}
    """How its recipe states what a file does not say; see :mod:`tomocyte.cli.cures`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with every placeholder filled in."""
        original = {index: getattr(parameter, "help", None) for index, parameter in enumerate(self.params)}
        try:
            for parameter in self.params:
                if isinstance(parameter, TyperArgument | TyperOption):
                    parameter.help = fill_in(parameter.help)
            super().format_help(ctx, formatter)
            self.format_exit_codes(formatter)
        finally:  # whatever is registered later must appear too
            for index, text in original.items():
                parameter = self.params[index]
                if isinstance(parameter, TyperArgument | TyperOption):
                    parameter.help = text

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the cure of an error names options that the command has."""
        from tomocyte.errors import TomocyteError

        try:
            return super().invoke(ctx)
        except TomocyteError as problem:
            convert = getattr(ctx.find_root().command, "commands", {}).get("convert", self)
            raise for_command(problem, options_of(self), options_of(convert), self.recipe_keys) from problem

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under the headings of :data:`OPTION_GROUPS`; those of few options under one."""
        entries = [one.get_help_record(ctx) for one in self.get_params(ctx) if isinstance(one, TyperArgument)]
        arguments = [(record[0].partition(" <")[0], record[1]) for record in entries if record is not None]
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": arguments}
        options = [one for one in self.get_params(ctx) if not isinstance(one, TyperArgument)]
        options.sort(key=lambda one: one.name in ("debug", "help"))
        is_grouped = len(options) > MOST_UNGROUPED
        rows |= {heading: [] for heading in OPTION_GROUPS}
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None:
                heading = group_of(option.name or "", self.name or "") if is_grouped else "Options"
                rows.setdefault(heading, []).append(readable(record))
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_exit_codes(self, formatter: Any) -> None:
        """Write what the exit codes mean, last."""
        formatter.write_paragraph()
        formatter.write_text(EXIT_CODES)


class LongCommand(ListingCommand):
    """A command that takes long: it has ``--quiet`` and ``--log`` besides its own options."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        only = typer.Typer(add_completion=False)
        only.command()(_recording_options)
        self.params += typer.main.get_command(only).params

    def invoke(self, ctx: Any) -> Any:
        """Run the command with its words recorded."""
        from tomocyte.cli.recording import recording

        with recording(ctx.params.pop("log", None), is_quiet=bool(ctx.params.pop("quiet", False))):
            return super().invoke(ctx)


class RecipeCommand(LongCommand):
    """A command that learns from labelled images, as a recipe describes them."""

    recipe_keys = RECIPE_KEYS


def _recording_options(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors and the result only.")] = False,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help="Append everything that is printed, with times in UTC, and tracebacks to this file.",
        ),
    ] = None,
) -> None:
    """Only its options are used."""


def options_of(command: Any) -> frozenset[str]:
    """Every option of a command, as typed."""
    names = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return frozenset(names | {"--help"})


def group_of(parameter: str, command: str = "") -> str:
    """The heading of a parameter in help texts.

    Examples
    --------
    >>> group_of("voxel_size_um"), group_of("debug"), group_of("voxel_size_um", "simulate")
    ('Input', 'Advanced', 'What to do')
    """
    heading = next((heading for heading, names in OPTION_GROUPS.items() if parameter in names), "Advanced")
    return "What to do" if heading == "Input" and command in NO_INPUT else heading


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
    from tomocyte.modalities import image_modalities

    return _one_of(image_modalities())


def _instruments() -> str:
    from tomocyte.simulation.instruments import instruments

    return _one_of(f"{name} ({entry.description})" for name, entry in instruments().items())


def _cases() -> str:
    from tomocyte.simulation.instruments import instruments

    return ", ".join(name for entry in instruments().values() for name in entry.cases)


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


def _figure_kinds() -> str:
    from tomocyte.figures.experiment import FIGURES

    return _one_of(FIGURES)


def _cell_methods() -> str:
    from tomocyte.pipeline.plan import AS_FOUND
    from tomocyte.pipeline.planning import AUTO, CELL_METHODS

    return ", ".join((AUTO, *CELL_METHODS, AS_FOUND))


def _recipes(kind: str) -> str:
    """Names of the shipped recipes of one kind; read without the room that trains, which would load torch."""
    from importlib import resources

    recipes = (resources.files("tomocyte") / "recipes").iterdir()
    tag = re.compile(rf"^kind: {kind}$", re.MULTILINE)
    return ", ".join(
        sorted(path.name.removesuffix(".yaml") for path in recipes if tag.search(path.read_text(encoding="utf-8")))
    )


def _one_of(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def names_of(placeholder: str) -> list[str]:
    """The single names of a listing that holds names only.

    Examples
    --------
    >>> names_of("cell_methods")[:2]
    ['auto', 'watershed']
    """
    return LISTINGS[placeholder]().replace(" or ", ", ").split(", ")


LISTINGS: dict[str, Callable[[], str]] = {
    "modalities": _modalities,
    "instruments": _instruments,
    "cases": _cases,
    "simulated_formats": _simulated_formats,
    "cell_lines": _cell_lines,
    "time_lapses": _time_lapses,
    "propagation_methods": _propagation_methods,
    "written_formats": _written_formats,
    "cell_methods": _cell_methods,
    "figure_kinds": _figure_kinds,
    "training_recipes": partial(_recipes, "train"),
    "organelle_recipes": partial(_recipes, "organelle"),
    "search_recipes": partial(_recipes, "search"),
    "crossval_recipes": partial(_recipes, "crossval"),
    "paper_recipes": partial(_recipes, "paper"),
}
"""Placeholder -> what is registered, as text."""
