"""``tomocyte networks``: the networks that can be trained, by name."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption


def networks(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with all settings of each network.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """List the networks that can be trained: name, dimensions, number of parameters, paper."""
    from tomocyte.networks import network_entries

    entries = network_entries()
    if as_json:
        rows = [
            {
                "name": entry.name,
                "description": entry.description,
                "dimensions": entry.dimensions,
                "paper": entry.paper,
                "doi": entry.doi,
                "n_parameters": entry.n_parameters(),
                "published_parameters": entry.published_parameters,
                "settings": entry.settings.model_json_schema(),
            }
            for entry in entries
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for entry in entries:
        source = f"{entry.paper}, doi:{entry.doi}" if entry.doi else entry.paper
        typer.echo(
            f"{entry.name:<16} {entry.dimensions}-D  {entry.n_parameters():>12,} parameters  {entry.description}"
        )
        if source:
            typer.echo(f"{'':<16} {source}")
