"""The command line: one verb per public function; the only room that prints, catches and exits.

Exit codes: 0 success, 1 an error, 2 wrong usage, 3 some inputs failed, 4 all inputs failed, 130 Ctrl-C, 143 SIGTERM.
To add a verb, add a function in a module here that calls the public function of a room, and name it below.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from tomocyte.cli import (
    ablate,
    accuracy,
    analyse,
    consensus,
    edits,
    evaluate,
    figures,
    files,
    labels_from_stain,
    measure,
    measurements,
    models,
    networks,
    next_slices,
    next_volumes,
    plan,
    propagate,
    register,
    reproduce,
    run,
    samples,
    search,
    simulate,
    simulate_labels,
    track,
    training,
)
from tomocyte.cli.listings import EXIT_CODES, ListingCommand, LongCommand, RecipeCommand

app = typer.Typer(
    name="tomocyte",
    help="From raw 3-D and 4-D microscopy of cells to masks, single cells and numbers with units.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=LongCommand, short_help="Segment, label and measure files: the main command.")(run.run)
app.command(cls=LongCommand, short_help="Measure masks and labels of your own.")(measure.measure)
app.command(cls=LongCommand, short_help="Compare the conditions of an experiment.")(analyse.analyse)
app.command(cls=LongCommand, short_help="Simulate images of cells with the exact truth.")(simulate.simulate)
app.command("simulate-labels", cls=LongCommand, short_help="Simulate images of shapes that you have as labels.")(
    simulate_labels.simulate_labels
)
app.command(cls=ListingCommand, short_help="Draw a real image beside a simulated one.")(simulate.beside)
app.command(cls=ListingCommand, short_help="Print the settings of a modality as YAML.")(run.settings)
app.command(cls=ListingCommand, short_help="Show what a file contains.")(files.info)
app.command(cls=LongCommand, short_help="Convert a file to another format.")(files.convert)
app.command(cls=ListingCommand, short_help="List the file formats that are read and written.")(files.formats)
app.command(cls=LongCommand, short_help="Check that results are unchanged since they were written.")(files.verify)
app.command(cls=LongCommand, short_help="Draw figures and films of a finished run.")(figures.figures)
app.command(cls=LongCommand, short_help="Compare masks or labels with the truth.")(evaluate.evaluate)
app.command(cls=LongCommand, short_help="Compare numbers with the exact truth of simulated fields.")(accuracy.accuracy)
app.command(cls=ListingCommand, short_help="How many more volumes to label for a score.")(plan.plan)
app.command(cls=LongCommand, short_help="Compare annotators and make one label image of theirs.")(consensus.consensus)
app.command(cls=LongCommand, short_help="Fill the slices between labelled ones.")(propagate.propagate)
app.command("next", cls=ListingCommand, short_help="Which slice to label next.")(next_slices.next_)
app.command("next-volumes", cls=ListingCommand, short_help="Which volume or cell type to label next.")(
    next_volumes.next_volumes
)
app.command(cls=LongCommand, short_help="Follow objects over time.")(track.track)
app.command("labels-from-stain", cls=LongCommand, short_help="Make labels from the stain beside an image.")(
    labels_from_stain.labels_from_stain
)
app.command(cls=LongCommand, short_help="Find how the channels of a stack lie on each other.")(register.register)
app.command(cls=RecipeCommand, short_help="Train a network on labelled images.")(training.train)
app.command("fine-tune", cls=RecipeCommand, short_help="Adapt a trained model to a few images of your own.")(
    training.fine_tune
)
app.command(cls=RecipeCommand, short_help="Compare networks by cross-validation.")(training.crossval)
app.command(cls=RecipeCommand, short_help="Find out what a channel is worth to a network.")(ablate.ablate)
app.command(cls=RecipeCommand, short_help="Search for a good network architecture.")(search.search)
app.command(cls=LongCommand, short_help="Repeat an experiment of a published paper.")(reproduce.reproduce)
app.command(cls=ListingCommand, short_help="List the networks that can be trained.")(networks.networks)
app.command(cls=ListingCommand, short_help="List what can be measured.")(measurements.measurements)
app.add_typer(edits.app, name="edits", short_help="Use results that you corrected by hand.")
app.add_typer(models.app, name="models", short_help="List, show, import and export trained models.")
app.add_typer(samples.app, name="samples", short_help="List and download open sample data.")


def show_every_name() -> None:
    """Let file names that are no text, or not of the terminal's alphabet, appear with an escape instead of failing."""
    from tomocyte.names import escape_unencodable

    codecs.register_error("tomocyte", escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tomocyte")


def main() -> NoReturn:
    """Entry point of the command ``tomocyte``."""
    from tomocyte.errors import TomocyteError

    def on_terminate(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, on_terminate)
    show_every_name()
    is_debug = "--debug" in sys.argv
    try:
        app(prog_name="tomocyte")
    except TomocyteError as problem:
        if is_debug:
            traceback.print_exc()
        typer.echo(f"error: {problem}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as problem:
        if is_debug:
            raise
        typer.echo(
            f"error: E-BUG: an unexpected error: {type(problem).__name__}: {problem}. "
            "Finished results are kept. Please report this error with the traceback that --debug shows.",
            err=True,
        )
        sys.exit(1)
    sys.exit(0)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from tomocyte import __version__

        typer.echo(f"tomocyte {__version__}")
        raise typer.Exit
