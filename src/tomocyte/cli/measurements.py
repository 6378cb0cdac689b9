"""``tomocyte measurements``: what can be measured."""

from __future__ import annotations

from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption


def measurements(
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only measurements of this kind: object, pair or track.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001 - read by the command line's error handler
) -> None:
    """List what can be measured: of an object, of a pair of objects, of a track.

    `tomocyte run` measures what suits the modality; add further measurements of objects or pairs with --measure NAME.
    """
    from tomocyte.errors import SettingsError
    from tomocyte.measurements import measurements as find

    kinds = ("object", "pair", "track")
    if kind is not None and kind not in kinds:
        raise SettingsError("E-USAGE", f"unknown kind {kind!r}.", cure=f"Known: {', '.join(kinds)}.")
    for one in find().values():
        if kind in (None, one.kind):
            unit = f" [{one.column.unit}]" if one.column.unit not in ("", "1") else ""
            typer.echo(f"{one.kind:<7} {one.name}{unit}: {one.column.meaning}")
