"""``tomocyte figures``: charts, montages and films of a finished run, and figures of tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import DebugOption
from tomocyte.cli.recording import is_quiet, remark
from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    from tomocyte.runs.finished import FinishedRun
    from tomocyte.statistics.design import Design

MovieOption = Annotated[
    str | None,
    typer.Option(
        "--movie",
        metavar="mp4|gif|frames",
        help="Make a film, with time stamp and scale bar: an MP4 (needs ffmpeg), a GIF, or a folder of PNG frames.",
    ),
]


def figures(
    source: Annotated[
        Path,
        typer.Argument(
            help="Output folder of `tomocyte run`; or a CSV: one that lies beside a figure, or a table of your own.",
            metavar="RUN|TABLE",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write to, default: `figures` in the run's folder. Of a table: name of the figure without "
            "ending, default: that of the table with `_figure`.",
        ),
    ] = None,
    quantities: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            help="Column of objects.csv to draw, e.g. volume_um3; may be repeated. Default: size, dry mass, mean RI. "
            "Of a table: what its values are.",
        ),
    ] = None,
    structure: Annotated[
        str | None, typer.Option("--structure", help="Structure whose objects are drawn. Default: the main objects.")
    ] = None,
    conditions: Annotated[
        Path | None,
        typer.Option(
            "--conditions",
            help="CSV with the columns path, condition, replicate. Default: folders are conditions, inputs replicates.",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", help="Folder where the inputs lie now. Default: where the run found them."),
    ] = None,
    movie: MovieOption = None,
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            metavar="field|track|turn",
            help="What a film shows: the field, one cell through time, or a rendering in 3-D that turns.",
        ),
    ] = "field",
    item: Annotated[
        str | None, typer.Option("--item", help="Film this input only, named as in the column `item`. Default: all.")
    ] = None,
    track: Annotated[
        int | None, typer.Option("--track", help="Film the cell of this track. Default: the longest.", min=1)
    ] = None,
    frame: Annotated[int, typer.Option("--frame", help="Time point of a rendering, from 0.", min=0)] = 0,
    frames_per_second: Annotated[
        float, typer.Option("--frames-per-second", help="Speed of a film.", min=0.1, max=60.0)
    ] = 6.0,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Of a table of your own: which figure, one of {figure_kinds}.")
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Of a table of your own: unit of its values.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Of a table: title of the figure.")] = None,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Draw figures or films of a finished run: SVG, PNG and the data of each as CSV.

    Charts show cells and replicates (superplots), distributions, courses over time and lineages; montages show cells
    with the lowest, typical and highest values, and the same cell through time. Nothing is computed again; montages and
    films need the inputs. What is written to the run's own folder is shown in its report.html.
    """
    from tomocyte.figures.movies import check_movie
    from tomocyte.runs.drawing import DrawSettings, FilmSettings, draw_run, draw_table, film_run
    from tomocyte.runs.finished import finished_run
    from tomocyte.settings import build_settings

    if source.suffix.lower() == ".csv":
        if len(quantities or ()) > 1:
            raise SettingsError("E-USAGE", "a table has one quantity.", cure="Give --quantity once.")
        stem = output or source.with_name(f"{source.stem}_figure")
        quantity = quantities[0] if quantities else None
        _print_files(draw_table(source, stem, kind=kind, quantity=quantity, unit=unit, title=title))
        return
    run = finished_run(source)
    folder = output or source / "figures"
    if movie is None:
        settings = build_settings(DrawSettings, {"quantities": tuple(quantities or ()), "structure": structure})
        _print_files(draw_run(run, folder, settings, design=_design(run, conditions), inputs=inputs))
        show_in_report(source, folder)
        return
    check_movie(movie)
    content = {
        "kind": movie, "subject": subject, "track": track, "frame": frame, "frames_per_second": frames_per_second,
    }  # fmt: skip
    _print_files(film_run(run, folder, build_settings(FilmSettings, content), item=item, inputs=inputs))
    show_in_report(source, folder)


def _design(run: FinishedRun, conditions: Path | None) -> Design | None:
    from tomocyte.statistics import read_design

    return None if conditions is None else read_design(conditions, run.called_names())


def show_in_report(run_folder: Path, new: Path) -> None:
    """Write the report of a run again where it shows what was written to a folder, and say so."""
    from tomocyte.runs.report_of_run import has_place_for, refresh_report

    report = refresh_report(run_folder, new)
    if report is not None:
        remark(f"report: {report}")
    elif has_place_for(run_folder, new):
        remark("note: an earlier version wrote this run, so report.html stays as it is: give the same run again.")


def films_of_run(output: Path, kind: str) -> None:
    """Film the fields of a run that has just been published; what has one frame only is left out, and said."""
    from tomocyte.runs.drawing import FilmSettings, film_run
    from tomocyte.runs.finished import finished_run
    from tomocyte.settings import build_settings

    settings = build_settings(FilmSettings, {"kind": kind})
    try:
        for path in film_run(finished_run(output), output / "figures", settings):
            remark(f"film: {path}")
        show_in_report(output, output / "figures")
    except SettingsError as problem:
        if problem.code != "E-MOVIE-FRAMES":
            raise
        remark("note: no film: no input has more than one frame.")


def _print_files(paths: Iterable[Path]) -> None:
    for path in paths:
        if not is_quiet():
            typer.echo(f"wrote {path}")
