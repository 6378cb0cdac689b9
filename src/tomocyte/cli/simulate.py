"""``tomocyte simulate``: data sets with exact truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli.options import (
    AxesOption,
    DatasetOption,
    DebugOption,
    MediumOption,
    Output,
    PixelSizeOption,
    VoxelSizeOption,
    voxel_size,
)
from tomocyte.cli.recording import remark
from tomocyte.cli.simulate_labels import files_by_name, values_by_name
from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    from tomocyte.runs.simulate import ItemPlan

EXPERIMENT_SHAPE = (64, 448, 448)  # room for a dozen cells


def simulate(
    modality: Annotated[str, typer.Argument(help="Kind of microscopy: {instruments}.", metavar="MODALITY")],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option("--preset", "-p", help="Cell line: {cell_lines}. Default: HeLa; sxt: T cell; nile_red: U2-OS."),
    ] = None,
    n_items: Annotated[int, typer.Option("-n", help="Number of fields of view.", min=1)] = 1,
    frames: Annotated[int | None, typer.Option("--frames", help="Number of time points of each field.", min=1)] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="Time-lapse experiment: {time_lapses}.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the random numbers; the same seed gives the same files.", min=0)
    ] = 1,
    cells: Annotated[
        tuple[int, int] | None, typer.Option("--cells", metavar="LOW HIGH", help="Fewest and most cells per field.")
    ] = None,
    shape: Annotated[
        tuple[int, int, int] | None, typer.Option("--shape", metavar="Z Y X", help="Size of each field in voxels.")
    ] = None,
    voxel_size_um: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--voxel-size-um", metavar="Z Y X", help="Voxel size in um; default: the instrument's own."),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option("--case", help="Kind of field with a name (sxt): {cases}."),
    ] = None,
    instrument: Annotated[str | None, typer.Option("--instrument", help="Microscope model, e.g. HT-2H.")] = None,
    shift: Annotated[
        str,
        typer.Option("--shift", help="How much cells and optics differ from the training range: none, mild or strong."),
    ] = "none",
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", help="Simulate the shipped benchmark instead: EXPERIMENT[/SIZE[/SPLIT]]."),
    ] = None,
    structures: Annotated[
        str | None,
        typer.Option(
            "--structures",
            help="Label images to write, separated by commas, or `all`. Default: cell,nucleus,nucleolus,lipid_droplet; "
            "for sxt cell,nucleus,mitochondrion,lipid_droplet,bead,capillary; for nile_red all 15 compartments.",
        ),
    ] = None,
    stain: Annotated[
        str | None,
        typer.Option("--stain", help="Structure that a green probe marks in a third channel (nile_red)."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="File format: {simulated_formats}.")] = "ome-tiff",
    backend: Annotated[
        str, typer.Option("--backend", help="What computes the optics: numpy, torch or torch:cuda.")
    ] = "numpy",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, e.g. scene.medium_ri=[1.334,1.336].")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Number of fields simulated at the same time.", min=1)
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the settings and list the fields; write nothing.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Simulate images of cells with exact labels, tracks and a table of the true values.

    Each field is written as an image file with its label images beside it. truth.csv has one row per object: volume,
    surface area, mean RI, dry mass and contacts, computed from the shapes before they are cut into voxels. If the
    command is interrupted, the same command continues where it stopped.
    """
    from tomocyte.runs.simulate import dataset_plan, with_backend, write_dataset
    from tomocyte.settings import with_overrides

    modality = modality.replace("-", "_")
    if benchmark is not None:
        plans = _benchmark(benchmark)
    else:
        flags = {
            "modality": modality,
            "preset": preset,
            "n_frames": frames,
            "n_cells": cells,
            "shape": shape,
            "voxel_size_um": voxel_size_um,
            "instrument": instrument,
            "case": case,
            "shift": shift,
        }
        given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        given["scene"] = {"shift": shift}
        if stain is not None:
            given["nile_red_ranges"] = {"stain": stain}
        plans = dataset_plan(with_overrides(_experiment(experiment) | given, overrides or []), n_items, seed=seed)
    plans = [with_backend(plan, backend) for plan in plans]
    names = _structures(structures, modality)
    if dry_run:
        for plan in plans:
            typer.echo(plan.name)
        typer.echo(f"{len(plans)} items; nothing written.")
        return
    from tomocyte.cli.progress import RunProgress

    with RunProgress(n_items=len(plans)) as progress:
        result = write_dataset(
            plans, output, file_format=file_format, structures=names, n_workers=workers, callback=progress.on_event
        )
    for failure in result.failures:
        typer.echo(f"failed: {failure.item}: {failure.code}: {failure.message}", err=True)
        if debug and failure.traceback:
            typer.echo(failure.traceback, err=True)
    cells_made = result.n_objects.get("cell", 0)
    typer.echo(
        f"{result.n_done} of {len(plans)} simulated items ({result.n_resumed} in an earlier run), {cells_made} cells."
    )
    for note in result.notes:
        remark(f"note: {note}")
    typer.echo(f"truth: {output / 'truth.csv'}")
    if result.failures:
        raise typer.Exit(4 if result.n_done == 0 else 3)


def beside(
    real: Annotated[Path, typer.Argument(help="A real tomogram or dry-mass density image.", metavar="REAL")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Figure to write: .png, .pdf or .svg.")],
    modality: Annotated[str, typer.Option("--modality", "-m", help="Kind of microscopy: {instruments}.")] = "odt",
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", help="Cell line to simulate: {cell_lines}. Default: HL60.")
    ] = None,
    instrument: Annotated[str, typer.Option("--instrument", help="Microscope model, e.g. HT-2H, HL60-rotation.")] = "",
    cells: Annotated[
        tuple[int, int] | None,
        typer.Option("--cells", metavar="LOW HIGH", help="Fewest and most cells per field. Default: 1 1."),
    ] = None,
    label_files: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="NAME=FILE",
            help="Image these shapes instead of cells of a line, e.g. mitochondrion=mito.tif on the voxels of REAL.",
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--value", metavar="NAME=NUMBER", help="Refractive index, or coefficient in 1/um, of each."),
    ] = None,
    outside: Annotated[float | None, typer.Option("--outside", help="The same of everything around them.")] = None,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Dark voxels of REAL absorb more (soft X-rays as grey values).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random numbers.")] = 1,
    medium_ri: MediumOption = None,
    pixel_size_um: PixelSizeOption = None,
    voxel_size_um: VoxelSizeOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    open_hl60: Annotated[
        bool,
        typer.Option(
            "--open-hl60",
            help="Add the noise and artefacts that were fitted to the open HL60 tomogram (`tomocyte samples`).",
        ),
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Draw a real image beside a simulated one of the same size: slices, histograms, power spectra, key values."""
    from tomocyte.formats import ReadOptions, read_volume
    from tomocyte.runs.simulate.beside import has_grey_values, missing_facts, real_beside_labels, real_beside_simulated
    from tomocyte.runs.simulate.from_labels import layers_of, read_sample

    is_of_labels = bool(label_files or values)
    if is_of_labels and (preset or cells or open_hl60 or outside is None):
        raise SettingsError(
            "E-USAGE",
            "with --labels, --outside is needed, and --preset, --cells and --open-hl60 mean nothing.",
            cure="Give --labels, --value and --outside alone, or none of them.",
        )
    options = ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, None, medium_ri, dataset)
    volume = read_volume(real, options, lacks=partial(missing_facts, modality=modality))
    if inverted and not has_grey_values(volume, modality):
        raise SettingsError("E-USAGE", "--inverted is for soft X-rays as grey values.", cure="Leave it out.")
    if is_of_labels:
        layers = layers_of(files_by_name(label_files or ()), values_by_name(values or ()))
        figures = real_beside_labels(
            volume,
            output,
            sample=read_sample(layers, options),
            outside_value=outside or 0.0,
            modality=modality,
            variant=instrument,
            seed=seed,
            is_inverted=inverted,
        )
    else:
        settings: dict[str, Any] = {"modality": modality, "preset": preset or "HL60", "instrument": instrument}
        settings |= {"n_cells": cells or (1, 1)}
        figures = real_beside_simulated(
            volume, output, settings=settings, seed=seed, is_open_hl60=open_hl60, is_inverted=inverted
        )
    for name in figures["real"]:
        typer.echo(f"{name:<24} real {figures['real'][name]:>10.4f}   simulated {figures['simulated'][name]:>10.4f}")
    typer.echo(f"wrote {output}")


def _benchmark(text: str) -> list[ItemPlan]:
    """The plans of ``EXPERIMENT[/SIZE[/SPLIT]]``; the small size and every split by default."""
    from tomocyte.runs.simulate import benchmark_plan
    from tomocyte.simulation.benchmark import SPLITS

    name, _, rest = text.partition("/")
    size, _, split = rest.partition("/")
    return benchmark_plan(name, size or "small", (split,) if split else SPLITS)


def _experiment(name: str | None) -> dict[str, Any]:
    """The settings of a time-lapse preset; flags go over them."""
    if name is None:
        return {}
    from tomocyte.simulation.cells.motion import experiment

    row = experiment(name)
    motion = row.motion.model_dump(mode="json")
    return {
        "preset": row.preset,
        "n_cells": (row.n_cells, row.n_cells),
        "n_frames": row.n_frames,
        "motion": motion,
        "shape": EXPERIMENT_SHAPE,
    }


def _structures(text: str | None, modality: str) -> tuple[str, ...]:
    """The structures named; those of the instrument where none is, and where `all` are."""
    from tomocyte.simulation.cells.scene import STRUCTURES, SURROUNDINGS
    from tomocyte.simulation.instruments import instrument
    from tomocyte.structures import canonical_name

    usual = instrument(modality).structures
    known = (*STRUCTURES, *SURROUNDINGS) if set(usual) & set(SURROUNDINGS) else STRUCTURES
    typed = usual if text is None else known if text == "all" else [part.strip() for part in text.split(",")]
    names = tuple(dict.fromkeys(canonical_name(part) for part in typed if part))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise SettingsError(
            "E-STRUCTURE",
            f"unknown structures: {', '.join(unknown) or 'none given'}.",
            cure=f"Known: {', '.join(known)}.",
        )
    return names
