"""``tomocyte simulate-labels``: shapes that somebody else segmented, as a microscope would show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import AxesOption, DebugOption, Output, VoxelSizeOption
from tomocyte.cli.recording import remark
from tomocyte.errors import SettingsError


def simulate_labels(
    modality: Annotated[str, typer.Argument(help="Kind of microscopy: {instruments}.", metavar="MODALITY")],
    *,
    output: Output,
    label_files: Annotated[
        list[str],
        typer.Option(
            "--labels",
            metavar="NAME=FILE",
            help="Label image or mask of a structure, e.g. mitochondrion=mito.nii.gz; repeat for more. Where they "
            "overlap, the later one counts.",
        ),
    ],
    values: Annotated[
        list[str],
        typer.Option(
            "--value",
            metavar="NAME=NUMBER",
            help="What the structure is made of: refractive index for odt and qpi, linear absorption coefficient in "
            "1/um for sxt. For each label its own: NAME=1:0.3,2:0.45.",
        ),
    ],
    outside: Annotated[
        float,
        typer.Option("--outside", help="The same of everything around: for odt and qpi the medium's refractive index."),
    ],
    voxel_size_um: VoxelSizeOption = None,
    axes: AxesOption = None,
    instrument: Annotated[str, typer.Option("--instrument", help="Microscope model, e.g. HT-2H, flat-holder.")] = "",
    shift: Annotated[
        str,
        typer.Option(
            "--shift", help="How much noise and artefacts differ from the training range: none, mild or strong."
        ),
    ] = "none",
    n_items: Annotated[
        int, typer.Option("-n", help="Number of images; noise and artefacts are drawn anew for each.", min=1)
    ] = 1,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the random numbers; the same seed gives the same files.", min=0)
    ] = 1,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Number of images simulated at the same time.", min=1)
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check labels and values and list the images; write nothing.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Simulate images of shapes that you have as labels, e.g. from electron microscopy.

    Every image is written with its labels beside it, on the labels' own voxels, as a data set that `tomocyte train` and
    `tomocyte evaluate` take. Label files often carry a wrong voxel size, or none: --voxel-size-um replaces it.
    """
    from tomocyte.cli.progress import RunProgress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.simulate.from_labels import labels_plan, write_labelled_images

    plans = labels_plan(
        files_by_name(label_files),
        values_by_name(values),
        outside=outside,
        modality=modality,
        options=ReadOptions(voxel_size_um=voxel_size_um, axes=axes),
        variant=instrument,
        shift=shift,
        n_items=n_items,
        seed=seed,
    )
    if dry_run:
        for plan in plans:
            typer.echo(plan.name)
        typer.echo(f"{len(plans)} items; nothing written.")
        return
    with RunProgress(n_items=len(plans)) as progress:
        result = write_labelled_images(plans, output, n_workers=workers, callback=progress.on_event)
    for failure in result.failures:
        typer.echo(f"failed: {failure.item}: {failure.code}: {failure.message}", err=True)
        if debug and failure.traceback:
            typer.echo(failure.traceback, err=True)
    size = " x ".join(f"{step:g}" for step in plans[0].voxel_size_um)
    typer.echo(
        f"{result.n_done} of {len(plans)} simulated images ({result.n_resumed} in an earlier run), voxels of {size} um."
    )
    for note in result.notes:
        remark(f"note: {note}")
    if result.failures:
        raise typer.Exit(4 if result.n_done == 0 else 3)


def files_by_name(entries: Sequence[str]) -> dict[str, Path]:
    """``--labels NAME=FILE``."""
    return {name: Path(text) for name, text in _pairs(entries, "--labels golgi=golgi.tif").items()}


def values_by_name(entries: Sequence[str]) -> dict[str, float | dict[int, float]]:
    """``--value NAME=NUMBER`` or ``NAME=LABEL:NUMBER,…``."""
    return {name: _value(text) for name, text in _pairs(entries, "--value golgi=0.3").items()}


def _pairs(entries: Sequence[str], example: str) -> dict[str, str]:
    """``NAME=TEXT`` entries by name.

    Raises
    ------
    SettingsError
        ``E-USAGE``: no such pair, or a name twice.
    """
    pairs: dict[str, str] = {}
    option = example.split()[0]
    for entry in entries:
        name, is_pair, text = entry.partition("=")
        if not is_pair or not name or not text:
            raise SettingsError("E-USAGE", f"{option} {entry} is not NAME=….", cure=f"Write {example}.")
        if name in pairs:
            raise SettingsError("E-USAGE", f"{option} {name} is given twice.", cure="Give each structure once.")
        pairs[name] = text
    return pairs


def _value(text: str) -> float | dict[int, float]:
    """A number, or ``LABEL:NUMBER,…``."""
    try:
        if ":" not in text:
            return float(text)
        parts = (part.split(":") for part in text.split(","))
        return {int(label): float(value) for label, value in parts}
    except ValueError:
        raise SettingsError(
            "E-USAGE", f"--value {text!r} is no number.", cure="Write NAME=0.3, or NAME=1:0.3,2:0.45 for each label."
        ) from None
