"""``tomocyte next-volumes``: which volume, or which kind of volumes, to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import DebugOption

if TYPE_CHECKING:
    from tomocyte.comparison.next_volumes import NextVolumes


def next_volumes(
    candidates: Annotated[
        list[Path],
        typer.Argument(
            help="Images that could be labelled: files, or folders, e.g. one per cell type.", metavar="IMAGES"
        ),
    ],
    learned: Annotated[
        list[Path],
        typer.Option("--learned", help="Images that were learned from: a file or a folder; may be repeated."),
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="How many volumes to name.")] = 5,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Table (CSV) of all candidates.")] = None,
    debug: DebugOption = False,  # noqa: ARG001 - read by the command line's error handler
) -> None:
    """Name the volumes that are least like those learned from, and how good their images are.

    Images are compared by brightness, spectrum, noise and resolution; neither labels nor a network are needed. Each is
    chosen as if those before it were learned from.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison.next_volumes import next_volumes as compare
    from tomocyte.ledger.atomic import write_atomic
    from tomocyte.runs.convert import refuse_existing
    from tomocyte.tables import csv_content

    if output is not None:
        refuse_existing(output)
    with task_progress() as callback:
        result = compare(learned, candidates, count, callback=callback)
    for line in lines_of(result):
        typer.echo(line)
    if output is not None:
        write_atomic(output, csv_content(result.table).encode())
        typer.echo(f"wrote {output}")


def lines_of(result: NextVolumes) -> list[str]:
    """The comparison in words."""
    from tomocyte.confidence.image_sets import WORDS

    lines = [f"images learned from lie {result.distances_learned:.2f} apart (distance from the nearest other one)"]
    for folder, part in result.table.groupby("folder", sort=False):
        differs = WORDS[str(part["differs_in"].mode().iloc[0])]
        lines.append(
            f"{folder}: {len(part)} images, distance {part['distance'].mean():.2f} from those learned from, most in "
            f"{differs}; noise {part['noise'].mean():.3f} of the range, resolution "
            f"{part['resolution_um'].mean():.2f} µm, edges {part['edge_um'].mean():.2f} µm wide"
        )
    lines.append("label next:")
    for number, one in enumerate(result.ranked, 1):
        lines.append(f"  {number}. {one.name}: distance {one.distance:.2f}, most in {WORDS[one.differs_in]}")
    return lines
