"""``tomocyte samples``: open sample data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli import completion
from tomocyte.cli.listings import ListingCommand, LongCommand
from tomocyte.cli.options import DebugOption

app = typer.Typer(help="Open sample data: list and download.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", cls=ListingCommand, short_help="List the open samples.")
def samples_list() -> None:
    """List the open samples: content, source, licence; those that cannot be downloaded stand apart."""
    from tomocyte.runs.samples import registry

    entries = list(registry().values())
    for title, is_obtained in (
        ("Made or downloaded by `tomocyte samples get NAME -o FOLDER`:", True),
        ("Not to be downloaded in this form; with the files in a folder of yours: "
         "`tomocyte samples get NAME -o FOLDER --from DIR`:", False),
    ):  # fmt: skip
        typer.echo(title)
        for entry in entries:
            if entry.is_obtained == is_obtained:
                typer.echo(f"  {entry.name:<20} {entry.description}\n  {'':<20} {entry.source}; {entry.licence}")


@app.command("get", cls=LongCommand, short_help="Download, copy or simulate one sample.")
def samples_get(
    name: Annotated[
        str,
        typer.Argument(help="Name from `tomocyte samples list`.", metavar="NAME", autocompletion=completion.samples),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")] = Path(),
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy the files from this local folder instead of downloading them.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Download, copy or simulate one sample, and check it by its SHA-256."""
    from tomocyte.runs.samples import get_sample

    for path in get_sample(name, output, mirror=source):
        typer.echo(f"wrote {path}")
