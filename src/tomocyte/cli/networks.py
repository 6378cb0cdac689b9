"""``tomocyte networks``: the networks that can be trained, by name, and the layers of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli.options import DebugOption

if TYPE_CHECKING:
    from tomocyte.networks import NetworkEntry


def networks(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NETWORK]", help="One network only: its settings, and with --layers its layers."),
    ] = None,
    has_layers: Annotated[
        bool, typer.Option("--layers", help="List every layer with its size and parameters, for a small image.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SETTING=VALUE", help="With --layers: a setting of the network, e.g. width=8."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with all settings of each network.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """List the networks that can be trained: name, dimensions, number of parameters, paper.

    With a name, the settings of that network.
    """
    from tomocyte.errors import SettingsError
    from tomocyte.networks import find_network, network_entries

    if name is None and (has_layers or changes):
        raise SettingsError("E-USAGE", "--layers and --set need the name of a network.", cure="Give it first.")
    if changes and not has_layers:
        raise SettingsError("E-USAGE", "--set is for --layers.", cure="Add --layers.")
    entries = network_entries() if name is None else (find_network(name),)
    if has_layers and name is not None:
        _print_layers(name, changes or [], as_json=as_json)
    elif as_json:
        typer.echo(json.dumps([_as_row(entry) for entry in entries], indent=2))
    else:
        width = max(len(entry.name) for entry in entries)
        for entry in entries:
            _print_entry(entry, width)
        if name is not None:
            _print_settings(entries[0])


def _as_row(entry: NetworkEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description,
        "dimensions": entry.dimensions,
        "paper": entry.paper,
        "doi": entry.doi,
        "n_parameters": entry.n_parameters(),
        "published_parameters": entry.published_parameters,
        "settings": entry.settings.model_json_schema(),
    }


def _print_entry(entry: NetworkEntry, width: int) -> None:
    source = f"{entry.paper}, doi:{entry.doi}" if entry.doi else entry.paper
    head = f"{entry.name:<{width}} {entry.dimensions}-D  {entry.n_parameters():>12,} parameters"
    typer.echo(f"{head}  {entry.description}")
    if source:
        typer.echo(f"{'':<{width}} {source}")


def _print_settings(entry: NetworkEntry) -> None:
    for setting, about in entry.settings.model_json_schema()["properties"].items():
        default = json.dumps(about["default"]) if "default" in about else "see its description"
        typer.echo(f"  {setting} = {default}")
        typer.echo(f"      {' '.join(str(about.get('description', '')).split())}")


def _print_layers(name: str, changes: list[str], *, as_json: bool) -> None:
    from dataclasses import asdict

    from tomocyte.networks import build_network, count_parameters
    from tomocyte.networks.engine.costs import STEPS, list_layers, multiply_adds_per_voxel
    from tomocyte.settings import with_overrides

    module = build_network(name, with_overrides({}, changes))
    layers = list_layers(module)
    if as_json:
        typer.echo(json.dumps([asdict(layer) for layer in layers], indent=2))
        return
    size = " x ".join(str(STEPS * step) for step in module.divisor)
    typer.echo(f"{name}, for an image of {module.n_inputs} channel(s) and {size}:")
    widths = [max(len(text) for text in column) for column in zip(*((x.name, x.kind) for x in layers), strict=True)]
    for layer in layers:
        shape = " x ".join(str(part) for part in layer.shape)
        typer.echo(f"{layer.name:<{widths[0]}}  {layer.kind:<{widths[1]}}  {layer.n_parameters:>10,}  {shape}")
    cost = multiply_adds_per_voxel(module)
    typer.echo(f"{count_parameters(module):,} parameters; {cost:,.0f} multiply-adds per voxel.")
