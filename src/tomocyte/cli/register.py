"""``tomocyte register``: how the channels of an instrument lie on each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import (
    AxesOption,
    ChannelFileOption,
    DatasetOption,
    DebugOption,
    PixelSizeOption,
    VoxelSizeOption,
    files_of_command,
    voxel_size,
)

if TYPE_CHECKING:
    from tomocyte.channels.registration import Registration
    from tomocyte.volume import Volume


def register(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Registration to write (YAML); with --registration: the registered stack."),
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="A stack of several channels, of beads or of cells; or --channel-file.", metavar="FILE"),
    ] = None,
    channel_file: ChannelFileOption = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", help="Channel on which the others are laid, by name or number. Default: the first."
        ),
    ] = None,
    registration: Annotated[
        Path | None,
        typer.Option("--registration", help="Lay the channels of FILE as this registration says, and write the stack."),
    ] = None,
    local_warp: Annotated[
        bool, typer.Option("--local-warp", help="Also find what remains locally (up to 2 pixels).")
    ] = False,
    z_magnification: Annotated[
        bool, typer.Option("--z-magnification", help="Also find a magnification along z.")
    ] = False,
    max_shift_um: Annotated[
        float | None, typer.Option("--max-shift-um", help="A larger shift is taken for none. Default: 8.", min=0.0)
    ] = None,
    beads: Annotated[
        bool, typer.Option("--beads", help="Also print the resolution: full widths at half maximum of single beads.")
    ] = False,
    frame: Annotated[int, typer.Option("--frame", help="Frame in which to find it, from 0.", min=0)] = 0,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Find how the channels of a stack lie on each other: shift, rotation, magnification.

    The result is a file for `tomocyte run --registration FILE`, or for this command with --registration. Channels that
    show nothing in common are named and left out.
    """
    from tomocyte.channels.registration import RegistrationSettings
    from tomocyte.channels.registration_file import load_registration
    from tomocyte.datasets.channel_files import parse_channel_files, read_channel_files
    from tomocyte.errors import SettingsError
    from tomocyte.formats import ReadOptions, read_volume
    from tomocyte.runs.convert import refuse_existing
    from tomocyte.runs.register import register_stack, store, write_registered
    from tomocyte.settings import build_settings

    if not overwrite:
        refuse_existing(output)
    options = ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, dataset=dataset)
    named = files_of_command(files, channel_file)
    if channel_file:
        volume = read_channel_files(parse_channel_files([*channel_file, *named]), options)
    elif len(named) > 1:
        raise SettingsError("E-USAGE", "one stack is registered at a time.", cure="Give one, or --channel-file.")
    else:
        volume = read_volume(named[0], options)
    if registration is not None:
        if reference is not None or local_warp or z_magnification or max_shift_um is not None:
            raise SettingsError(
                "E-USAGE", "with --registration, nothing is found.", cure="Leave out the other options."
            )
        write_registered(output, volume, load_registration(registration))
        typer.echo(f"wrote {output}")
        return
    content = {"has_local_warp": local_warp, "has_z_magnification": z_magnification}
    limits = {} if max_shift_um is None else {"max_shift_um": max_shift_um}
    settings = build_settings(RegistrationSettings, content | limits)
    registered = register_stack(volume, settings, reference=reference, frame=frame)
    for name, one in registered.found.items():
        for line in lines_of(name, registered.reference, one):
            typer.echo(line)
    if beads:
        for line in width_lines(volume, frame):
            typer.echo(line)
    store(output, registered, volume)
    typer.echo(f"wrote {output}")


def lines_of(name: str, reference: str, found: Registration) -> list[str]:
    """A registration in words."""
    if not found.is_certain:
        return [f"{name} on {reference}: not found, {found.problem}; it is left out."]
    z, y, x = found.transform.translation_um
    by_z, by_y, by_x = found.transform.magnification
    unsure = ", ".join("-" if math.isnan(part) else f"{part:.2g}" for part in found.uncertainty_voxels)
    return [
        f"{name} on {reference}: shift {z:.3f}, {y:.3f}, {x:.3f} um (z, y, x), "
        f"rotation {found.transform.rotation_deg:.3f} deg, magnification {by_z:.5f}, {by_y:.5f}, {by_x:.5f}",
        f"  correlation {found.correlation_before:.2f} before, {found.correlation:.2f} after; "
        f"halves of the image agree to {unsure} voxels (z, y, x)",
    ]


def width_lines(volume: Volume, frame: int) -> list[str]:
    """The resolution of each channel in words."""
    from tomocyte.channels.beads import bead_widths

    lines = []
    for index, name in enumerate(volume.channels):
        widths = bead_widths(volume.planes(frame, index), volume.require_voxel_size())
        shown = ", ".join("-" if math.isnan(part) else f"{part:.3f}" for part in widths.median_um)
        lines.append(f"{name}: {len(widths.fwhm_um)} beads, full width at half maximum {shown} um (z, y, x)")
    return lines
