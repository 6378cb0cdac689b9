"""``tomocyte accuracy``: the numbers of a run compared with the exact truth of simulated fields."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption


def accuracy(
    run: Annotated[
        Path, typer.Argument(help="Folder of `tomocyte run` on simulated fields, all or some of them.", metavar="RUN")
    ],
    data: Annotated[Path, typer.Argument(help="Folder of `tomocyte simulate` with those fields.", metavar="FIELDS")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the tables.")] = None,
    debug: DebugOption = False,  # noqa: ARG001 - read by the command line's error handler
) -> None:
    """Compare the numbers of a run with the exact truth of simulated fields.

    Whole objects that were found (overlap, IoU, of at least 0.5) count. Printed for each structure: how far dry mass,
    mean refractive index, volume, surface and height are from the truth (mean and standard deviation), the share of
    objects within a goal, and how often the truth lies in the 90 % interval, for all cell lines together and for each,
    with the exact binomial interval of that share.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison.accuracy import COLUMNS, as_markdown, compare_run, summarise
    from tomocyte.ledger import PublishedFiles, claim_folder
    from tomocyte.tables import data_dictionary, write_csv

    with task_progress() as callback:
        numbers, whole = compare_run(run, data, callback=callback)
    summary = summarise(numbers, whole)
    text = as_markdown(summary)
    typer.echo(text)
    if output is None:
        return
    claim_folder(output, "accuracy")
    published = PublishedFiles(output)
    published.publish("accuracy.csv", partial(write_csv, summary))
    published.publish("accuracy.dictionary.csv", partial(write_csv, data_dictionary(COLUMNS)))
    published.publish("numbers.csv", partial(write_csv, numbers))
    published.publish("accuracy.md", lambda path: path.write_text(text, encoding="utf-8"))
    for name, kept in published.kept:
        typer.echo(f"note: {name} was changed or added by somebody; that file is now {kept}.", err=True)
    typer.echo(f"wrote {output / 'accuracy.csv'}", err=True)
