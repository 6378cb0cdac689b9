"""``tomocyte samples``: open sample data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption

app = typer.Typer(help="Open sample data: list it, get it.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def samples_list() -> None:
    """List the open samples: what, where from, licence, size."""
    from tomocyte.runs.samples import registry

    for entry in registry().values():
        typer.echo(f"{entry.name:<20} {entry.description}\n{'':<20} {entry.source}; {entry.licence}")


@app.command("get")
def samples_get(
    name: Annotated[str, typer.Argument(help="Name from `tomocyte samples list`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to put it in.")] = Path(),
    source: Annotated[
        Path | None, typer.Option("--from", help="A local folder that holds the files, instead of the network.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Get one sample: made, downloaded or copied, and checked against its SHA-256."""
    from tomocyte.runs.samples import get_sample

    for path in get_sample(name, output, mirror=source):
        typer.echo(f"wrote {path}")
