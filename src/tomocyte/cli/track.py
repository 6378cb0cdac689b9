"""``tomocyte track``: objects followed over time, from labels, a table, a run's folder or another program's tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import (
    AxesOption,
    DatasetOption,
    DebugOption,
    PixelSizeOption,
    TimeStepOption,
    VoxelSizeOption,
)
from tomocyte.errors import SettingsError

FORMATS = ("ctc", "geff", "trackmate")


def track(
    source: Annotated[
        Path,
        typer.Argument(
            help="A label image over time, a table of positions (CSV, TSV, Parquet), the folder of a run, a folder of "
            "the Cell Tracking Challenge, a TrackMate XML or a GEFF.",
            metavar="SOURCE",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the results.")],
    file_format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Also write ctc (Cell Tracking Challenge), geff or trackmate; may be repeated.",
        ),
    ] = None,
    structure: Annotated[
        str | None, typer.Option("--structure", help="Which structure of a table or run; cells if there are any.")
    ] = None,
    item: Annotated[str | None, typer.Option("--item", help="Which input of a table or run with several.")] = None,
    edits: Annotated[
        Path | None,
        typer.Option("--edits", help="Corrections of links by hand: edits.yaml. Default: those of the run."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. max_gap_frames=3; may be repeated.")
    ] = None,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    time_step_s: TimeStepOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and track everything, print what comes out; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Follow objects over time: numbers that stay the same, divisions, lineage.

    A table has one row per object and frame: frame, label, y_um, x_um; also z_um, time_s, volume_um3 or area_um2,
    dry_mass_pg where they are known. Written are objects.csv, tracks.csv, the masks with the numbers of tracks and a
    record. Tracks of another program are kept as they are. Existing files are never overwritten.
    """
    from tomocyte.cli.options import voxel_size
    from tomocyte.cli.progress import task_progress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.track import track_file
    from tomocyte.settings import build_settings, with_overrides
    from tomocyte.tracking import TrackingSettings

    unknown = [name for name in file_format or () if name not in FORMATS]
    if unknown:
        raise SettingsError("E-USAGE", f"--format {unknown[0]} is not known.", cure=f"Known: {', '.join(FORMATS)}.")
    settings = build_settings(TrackingSettings, with_overrides({}, overrides or []))
    size = voxel_size(voxel_size_um, pixel_size_um)
    with task_progress() as callback:
        result = track_file(
            source,
            output,
            settings,
            options=ReadOptions(voxel_size_um=size, axes=axes, dataset=dataset, time_step_s=time_step_s),
            structure=structure,
            item=item,
            edits=edits,
            file_formats=tuple(file_format or ()),  # type: ignore[arg-type]
            is_dry_run=dry_run,
            callback=callback,
        )
    tracks = result.tracks.tracks
    counts = {
        "n_objects": result.n_objects,
        "n_frames": result.n_frames,
        "n_tracks": len(tracks),
        "n_divisions": int((tracks["end"] == "division").sum()),
        "n_deaths": int((tracks["end"] == "death").sum()),
        "n_merged": len(result.tracks.merged),
        "n_pieces": len(result.tracks.pieces),
        "n_repaired": result.n_repaired,
    }
    if as_json:
        typer.echo(json.dumps({**counts, "files": list(result.files)}))
        return
    typer.echo(
        f"{counts['n_objects']} objects in {counts['n_frames']} frames: {counts['n_tracks']} tracks, "
        f"{counts['n_divisions']} divisions."
    )
    if result.n_repaired:
        typer.echo(
            f"note: {result.n_repaired} objects were cut or put together, as the frames before and after show; see "
            "the flag repaired, and repairs.yaml. --set has_repairs=false leaves them.",
            err=True,
        )
    for warning in result.warnings:
        typer.echo(f"note: {warning}", err=True)
    if counts["n_merged"] or counts["n_pieces"]:
        typer.echo(
            f"note: {counts['n_merged']} objects are two and {counts['n_pieces']} are pieces of another, as the frames "
            "before and after show; see the column track_flags.",
            err=True,
        )
    typer.echo(f"would write {output}" if dry_run else f"wrote {', '.join(result.files)} in {output}")
