"""``tomocyte propagate``: labels on a few slices become labels on all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import (
    AxesOption,
    DatasetOption,
    DebugOption,
    PixelSizeOption,
    VoxelSizeOption,
    voxel_size,
)
from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    from tomocyte.propagation import SelfTest
    from tomocyte.runs.propagation_plan import PropagationPlan


def propagate(
    labels: Annotated[Path, typer.Argument(help="Label image with some slices labelled.", metavar="LABELS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its ending chooses the format.")],
    image: Annotated[
        Path | None, typer.Option("--image", help="The image that was labelled; its borders are followed.")
    ] = None,
    image_dataset: Annotated[
        str | None,
        typer.Option("--image-dataset", help="Path of the image inside its file (HDF5, Zarr), if there are several."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="How labels are propagated; image-guided with --image and signed-distance without, when not given. "
            "{propagation_methods}",
        ),
    ] = None,
    axis: Annotated[
        str,
        typer.Option(
            "--axis", help="Axis along which slices were labelled: z, y or x; of a film of single planes always t."
        ),
    ] = "z",
    labelled_slices: Annotated[
        str | None,
        typer.Option(
            "--labelled-slices",
            metavar="SLICES",
            help="The labelled slices from 0, e.g. 0,20,40 or 0:261:20 (start:stop:step, stop not included); a slice "
            "without labels is then background. With --image also along several axes: z=0:261:20,y=100,x=40. "
            "Default: every slice that holds a label.",
        ),
    ] = None,
    unlabelled: Annotated[
        int | None,
        typer.Option(
            "--unlabelled",
            metavar="VALUE",
            help="The value of voxels that are not labelled, for scribbles and partly labelled slices with --image; "
            "all others are known and stay, 0 as background. Better with one slice or more that is labelled wholly.",
        ),
    ] = None,
    uncertainty_map: Annotated[
        bool,
        typer.Option("--uncertainty-map", help="Also write how uncertain each voxel is, from 0 to 1 (float32)."),
    ] = False,
    update: Annotated[
        Path | None,
        typer.Option(
            "--update",
            metavar="OLD",
            help="The dense labels that this command wrote before some labels changed, with their record beside them: "
            "only the slices that the changed labels concern are filled again, by the borders learned then. Give the "
            "other options as then. For image-guided.",
        ),
    ] = None,
    n_next: Annotated[
        int,
        typer.Option(
            "--next",
            min=0,
            help="Name so many slices to label next; NAME_next.html shows them, NAME_next.csv has them for napari.",
        ),
    ] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of the method, e.g. is_tapered=false.")
    ] = None,
    smooth: Annotated[
        int, typer.Option("--smooth", help="Steps of curvature flow that smooth borders of labels, e.g. 100; 0: none.")
    ] = 0,
    clean: Annotated[
        float,
        typer.Option(
            "--clean",
            help="Remove pieces of a label that reach no labelled slice and are not larger than this part of its "
            "largest piece, e.g. 0.1; 0: none.",
        ),
    ] = 0.0,
    fill: Annotated[
        float,
        typer.Option(
            "--fill",
            help="Fill holes that reach no labelled slice, up to this part of the label's size, e.g. 0.9; 0: none.",
        ),
    ] = 0.0,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print what would be done; write nothing.")
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Fill the slices between labelled ones; labelled slices stay as they are.

    With --image the borders of the image are followed, and the slices before the first and after the last labelled one
    are filled as far as labelled slices are apart; without, nothing is labelled there. Beside the labels,
    NAME.propagation.json records the input, the method and its settings. Existing files are never overwritten.
    """
    from dataclasses import astuple

    from tomocyte.cli.next_slices import lines_of
    from tomocyte.cli.progress import count_progress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.propagate import PropagateSettings, propagate_file
    from tomocyte.settings import build_settings, with_overrides

    named = {} if labelled_slices is None else parse_labelled_slices(labelled_slices, axis)
    axis = "t" if "t" in named else axis
    settings = build_settings(
        PropagateSettings,
        {
            "method": method,
            "method_settings": with_overrides({}, overrides or []),
            "axis": axis,
            "slices": named.pop(axis, None),
            "other_slices": named,
            "unlabelled": unlabelled,
            "image_dataset": image_dataset,
            "finishing": {"smooth": smooth, "clean": clean, "fill": fill},
            "is_map_written": uncertainty_map,
            "n_next": n_next,
        },
    )
    with count_progress("propagate", None) as bar:

        def callback(n_done: int, n_slices: int) -> None:
            bar.set_total(n_slices)
            bar.set_done(n_done)

        plan = propagate_file(
            labels,
            output,
            settings,
            image=image,
            previous=update,
            options=ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes=axes, dataset=dataset),
            is_dry_run=dry_run,
            callback=callback,
        )
    for note in plan.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo("\n".join(_planned(plan)))
    typer.echo(f"{plan.method}: {', '.join(f'{key}={value}' for key, value in plan.method_settings) or 'no settings'}")
    if plan.n_refilled is not None:
        typer.echo(f"{plan.n_refilled[0]} of {plan.n_refilled[1]} stretches between labelled slices were filled again.")
    if plan.test is not None:
        typer.echo(_tested(plan.test))
    if n_next and not dry_run:
        typer.echo("\n".join(lines_of(plan.suggested)))
    files = [path for path in astuple(plan.outputs) if path is not None]
    typer.echo(f"{'would write' if dry_run else 'wrote'} {', '.join(str(path) for path in files)}")


def _planned(plan: PropagationPlan) -> list[str]:
    """What is labelled, in words."""
    from tomocyte.propagation.next_slice import labour_saved

    known = f"{_counted(plan.n_known, 'voxel')} known beside these slices ({plan.n_known / math.prod(plan.shape):.2%})."
    if not plan.slices:
        return [
            f"{_counted(plan.n_labels, 'label')}, no slice along {plan.axis} wholly labelled: borders are taken to lie "
            "where grey values change most.",
            known,
        ]
    first = (
        f"{_counted(plan.n_labels, 'label')} on {_counted(len(plan.slices), 'slice')} along {plan.axis}, at most "
        f"{_counted(plan.largest_gap, 'slice')} between them; {_counted(plan.n_beyond, 'slice')} before the first and "
        "after the last."
    )
    saved = labour_saved(len(plan.slices), plan.n_slices)
    return [first, known if plan.n_known else f"{saved:.1%} of {plan.n_slices} slices need no painting"]


def _counted(number: int, noun: str) -> str:
    """
    Examples
    --------
    >>> _counted(1, "slice"), _counted(0, "slice")
    ('1 slice', '0 slices')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tested(test: SelfTest) -> str:
    """The test of a method on labelled slices, in words."""
    places = ", ".join(str(index) for index in test.slices)
    noun = "slice" if len(test.slices) == 1 else "slices"
    words = f"test: {noun} {places} left out and predicted from the neighbours, at twice the distance: "
    words += f"mean Dice {test.dice:.3f} (shape alone {test.dice_by_shape:.3f})"
    if test.dice_by_shape > test.dice:
        words += "; shape alone does better here: consider --method signed-distance without --image"
    return words


def parse_labelled_slices(text: str, axis: str) -> dict[str, tuple[int, ...]]:
    """Labelled slices by axis from ``z=0:261:20,y=100``; what has no axis before it lies along ``axis``.

    Raises
    ------
    SettingsError
        ``E-USAGE``: neither numbers nor ranges, or another axis than z, y and x.
    """
    lists: dict[str, list[str]] = {}
    name = axis
    for part in text.split(","):
        before, sign, after = part.partition("=")
        name = before.strip() if sign else name
        if sign and name not in {"z", "y", "x", "t"}:
            cure = "Write slices along several axes like z=0:261:20,y=100,x=40, frames like t=0:50:10."
            raise SettingsError("E-USAGE", f"--labelled-slices {text!r}: there is no axis {name!r}.", cure=cure)
        lists.setdefault(name, []).append(after if sign else part)
    return {name: parse_slices(",".join(parts)) for name, parts in lists.items()}


def parse_slices(text: str) -> tuple[int, ...]:
    """Slices from ``0,20,40`` or ``0:261:20``, or both with commas between.

    Raises
    ------
    SettingsError
        ``E-USAGE``: neither numbers nor ranges.
    """
    slices: list[int] = []
    for part in text.split(","):
        try:
            numbers = [int(word) for word in part.split(":")]
            slices.extend(numbers if len(numbers) == 1 else range(*numbers))
        except (ValueError, TypeError):
            cure = "Write slices like 0,20,40 or 0:261:20."
            raise SettingsError("E-USAGE", f"--labelled-slices {text!r} is not a list of slices.", cure=cure) from None
    return tuple(slices)
