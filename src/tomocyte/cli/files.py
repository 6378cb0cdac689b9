"""``tomocyte info``, ``convert``, ``formats`` and ``verify``: look at, convert and check files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.cli.describe import describe, describe_label_names, describe_metadata, plain, properties
from tomocyte.cli.options import (
    AxesOption,
    ChannelFileOption,
    DatasetOption,
    DebugOption,
    LabelTableOption,
    MediumOption,
    PixelSizeOption,
    RegionImageOption,
    TimeStepOption,
    VoxelSizeOption,
    files_of_command,
    voxel_size,
)
from tomocyte.cli.recording import remark
from tomocyte.names import shown_name


def info(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="A file or folder of a kind that `tomocyte formats` lists; or --channel-file.", metavar="FILE"
        ),
    ] = None,
    channel_file: ChannelFileOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    time_step_s: TimeStepOption = None,
    medium_ri: MediumOption = None,
    label_table: LabelTableOption = None,
    region_image: RegionImageOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Show what a file contains and who says it: axes, voxel size, quantity, medium, times, channels, metadata.

    The origin of a property is the file, the user, or a measurement; its source is the field or option that says it.
    """
    import json
    from dataclasses import asdict

    from tomocyte.datasets.channel_files import parse_channel_files, read_channel_files
    from tomocyte.errors import SettingsError
    from tomocyte.formats import ReadOptions, detect, read_volume
    from tomocyte.volume import CHOICES

    options = ReadOptions(
        voxel_size(voxel_size_um, pixel_size_um), axes, time_step_s, medium_ri, dataset, label_table, region_image
    )
    named = files_of_command(files, channel_file)
    if channel_file:
        parts = parse_channel_files([*channel_file, *named])
        file, volume = next(iter(parts.values())), read_channel_files(parts, options, is_size_required=False)
    elif len(named) > 1:
        raise SettingsError("E-USAGE", "one file is shown at a time.", cure="Give one, or --channel-file for each.")
    else:
        file = Path(named[0])
        volume = read_volume(file, options, is_size_required=False)
    header: dict[str, Any] = {
        "file": shown_name(file),
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
        "label_names": [plain(asdict(one)) for one in volume.label_names],
        "origin": dict(volume.origin),
        "notes": volume.notes,
        "sources": dict(volume.sources),
        "images": volume.metadata.get(CHOICES, ()),
        "properties": properties(volume),
        "metadata": plain({name: value for name, value in volume.metadata.items() if name != CHOICES}),
    }
    if as_json:
        size = volume.voxel_size_um
        header["voxel_size_um"] = None if size is None else [None if math.isnan(part) else part for part in size]
        typer.echo(json.dumps(header, indent=1, default=plain))
        return
    typer.echo(f"{shown_name(file)}\n  format     {header['format']}")
    for line in describe(header):
        typer.echo(f"  {line}")
    if volume.channel_names:
        typer.echo(f"  channels   {', '.join(volume.channel_names)}")
    for line in describe_label_names(volume):
        typer.echo(f"  {line}")
    for line in describe_metadata(header["images"], header["metadata"]):
        typer.echo(f"  {line}")


def convert(
    source: Annotated[
        Path, typer.Argument(help="File or folder to read, of a kind that `tomocyte formats` lists.", metavar="IN")
    ],
    target: Annotated[
        Path, typer.Argument(help="File to write; its ending chooses the format: {written_formats}.", metavar="OUT")
    ],
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    time_step_s: TimeStepOption = None,
    medium_ri: MediumOption = None,
    label_table: LabelTableOption = None,
    region_image: RegionImageOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Convert a file to another format; voxel values stay the same, what the format cannot keep is named."""
    from tomocyte.cli.progress import count_progress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.convert import convert as convert_file

    options = ReadOptions(
        voxel_size(voxel_size_um, pixel_size_um), axes, time_step_s, medium_ri, dataset, label_table, region_image
    )
    with count_progress(f"{shown_name(source.name)} -> {shown_name(target.name)}", None) as bar:
        lost = convert_file(
            source,
            target,
            options,
            is_overwriting=overwrite,
            on_open=lambda volume: bar.set_total(volume.n_frames * volume.n_channels * volume.spatial_shape[0]),
            on_planes=bar.set_done,
        )
    typer.echo(f"wrote {shown_name(target)}")
    for note in lost:
        remark(f"note: {note}")


def formats(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """List the file formats: file endings, whether they are only read or also written, and what they are."""
    import json

    from tomocyte.formats import formats as find

    if as_json:
        rows = [
            {
                "name": entry.name,
                "suffixes": list(entry.suffixes),
                "is_written": entry.write is not None,
                "description": entry.description,
            }
            for entry in find().values()
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for entry in find().values():
        use = "read" if entry.write is None else "read, written"
        typer.echo(f"{entry.name:<10} {' '.join(entry.suffixes) or 'a folder'} ({use}): {entry.description}")


def verify(
    output: Annotated[Path, typer.Argument(help="Output folder of `tomocyte run`.", metavar="OUT")],
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Check that every result is unchanged since it was written, by its SHA-256; nothing is changed."""
    from tomocyte.cli.progress import count_progress
    from tomocyte.ledger import verify as verify_output

    with count_progress("verify", None) as bar:
        result = verify_output(output, on_item=lambda _: bar.advance())
    for finding in result.findings:
        typer.echo(f"{finding.kind}: {finding.path}: {finding.problem}", err=True)
    typer.echo(f"{result.n_items} items, {result.n_files} files checked, {len(result.findings)} problems.")
    raise typer.Exit(0 if result.is_ok else 1)
