"""``tomocyte info``, ``convert`` and ``verify``: looking at, changing and checking files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.cli.describe import describe
from tomocyte.cli.options import (
    AxesOption,
    DatasetOption,
    DebugOption,
    PixelSizeOption,
    TimeStepOption,
    VoxelSizeOption,
    voxel_size,
)


def info(
    file: Annotated[Path, typer.Argument(help="A file or folder.")],
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Say what a file holds: format, axes, voxel size, quantity, medium, and where each of these came from."""
    import json

    from tomocyte.formats import ReadOptions, detect, read_volume

    volume = read_volume(file, ReadOptions(axes=axes, dataset=dataset), is_size_required=False)
    seen: dict[str, Any] = {
        "file": str(file),
        "format": detect(file).name,
        "shape": volume.shape,
        "dtype": str(volume.dtype),
        "voxel_size_um": volume.voxel_size_um,
        "quantity": volume.quantity,
        "unit": volume.unit,
        "medium_ri": volume.medium_ri,
        "time_step_s": volume.time_step_s,
        "time_s": volume.time_s,
        "channel_names": volume.channel_names,
        "origin": dict(volume.origin),
        "notes": volume.notes,
    }
    if as_json:
        size = volume.voxel_size_um
        seen["voxel_size_um"] = None if size is None else [None if math.isnan(part) else part for part in size]
        typer.echo(json.dumps(seen, indent=1, default=str))
        return
    typer.echo(f"{file}\n  format     {seen['format']}")
    for line in describe(seen):
        typer.echo(f"  {line}")
    if volume.channel_names:
        typer.echo(f"  channels   {', '.join(volume.channel_names)}")


def convert(
    source: Annotated[Path, typer.Argument(help="File or folder to read.", metavar="IN")],
    target: Annotated[Path, typer.Argument(help="File to write; its ending chooses the format.", metavar="OUT")],
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    time_step_s: TimeStepOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Convert a file to another format, voxels unchanged, physical properties kept."""
    from tomocyte.cli.progress import count_progress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.convert import convert as convert_file

    options = ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, time_step_s, None, dataset)
    with count_progress(f"{source.name} -> {target.name}", None) as bar:
        convert_file(
            source,
            target,
            options,
            is_overwriting=overwrite,
            on_open=lambda volume: bar.set_total(volume.n_frames * volume.n_channels * volume.spatial_shape[0]),
            on_planes=bar.set_done,
        )
    typer.echo(f"wrote {target}")


def verify(
    output: Annotated[Path, typer.Argument(help="A folder that `tomocyte run` wrote.", metavar="OUT")],
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Read every result again and compare it with the hash in its commit record; changes nothing."""
    from tomocyte.cli.progress import count_progress
    from tomocyte.ledger import verify as verify_output

    with count_progress("verify", None) as bar:
        found = verify_output(output, on_item=lambda _: bar.advance())
    for finding in found.findings:
        typer.echo(f"{finding.kind}: {finding.path}: {finding.problem}", err=True)
    typer.echo(f"{found.n_items} items, {found.n_files} files checked, {len(found.findings)} problems.")
    raise typer.Exit(0 if found.is_ok else 1)
