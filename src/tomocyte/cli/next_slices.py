"""``tomocyte next``: which slice of which volume to label next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import DebugOption

if TYPE_CHECKING:
    from tomocyte.runs.next_slices import Suggestion


def next_(
    records: Annotated[
        list[Path],
        typer.Argument(help="NAME.propagation.json of `tomocyte propagate`, one per volume.", metavar="RECORDS"),
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="How many slices, of all volumes together.")] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table (CSV) to write; napari opens it as points.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001 - read by the command line's error handler
) -> None:
    """Name the slices whose labelling is expected to remove most wrong voxels, best first.

    Each is planned as if those before it were labelled. Gains are voxels that are expected to be wrong now and right
    then, the slice itself included.
    """
    from tomocyte.ledger.atomic import write_atomic
    from tomocyte.propagation.next_slice import labour_saved
    from tomocyte.runs.convert import refuse_existing
    from tomocyte.runs.next_slices import points_csv, read_record, suggestions

    if output is not None:
        refuse_existing(output)
    volumes = [read_record(path) for path in records]
    n_labelled = sum(len(volume.profile.slices) for volume in volumes)
    n_slices = sum(len(volume.profile.errors) for volume in volumes)
    saved = labour_saved(n_labelled, n_slices)
    typer.echo(f"labelled by hand: {n_labelled} of {n_slices} slices; {saved:.1%} need no painting")
    ranked = suggestions(volumes, count)
    for line in lines_of(ranked):
        typer.echo(line)
    if output is not None:
        write_atomic(output, points_csv(ranked))
        typer.echo(f"wrote {output}")


def lines_of(ranked: Sequence[Suggestion]) -> list[str]:
    """A ranking in words."""
    if not ranked:
        return ["label next: no slice; no voxel is expected to be wrong"]
    lines = ["label next:"]
    for number, one in enumerate(ranked, 1):
        first, y, x = one.place
        axis = "t" if one.volume.axis == "t" else "z"
        gain = f"{one.slice.gain_voxels:,.0f} wrong voxels fewer are expected"
        lines.append(
            f"  {number}. {one.volume.name}: slice {one.slice.index} along {one.volume.axis}, {gain}, most around "
            f"{axis} {first}, y {y}, x {x}"
        )
    if not all(one.volume.is_measured for one in ranked):
        lines.append("  (not measured on slices left out: these gains rank slices and are not counts of voxels)")
    return lines
