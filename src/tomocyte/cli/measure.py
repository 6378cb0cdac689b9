"""``tomocyte measure``: the user's own masks measured, with the tables and the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.cli.options import (
    AxesOption,
    ColocalisationOption,
    ContactGapOption,
    ContactsOption,
    DatasetOption,
    DebugOption,
    InstrumentOption,
    MeshOption,
    Output,
    PixelSizeOption,
    PlacementsOption,
    TimeStepOption,
    VoxelSizeOption,
    contact_settings,
    medium,
    voxel_size,
)
from tomocyte.cli.run import run_and_print, show_plan

FILE = "FILE"


def measure(
    image: Annotated[
        Path | None,
        typer.Argument(help="The image, or a folder of images. Without one, only forms are measured.", metavar="IMAGE"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Argument(help="Masks or labels of the main objects: the cells, or what --structure names.", metavar=FILE),
    ] = None,
    *,
    output: Output,
    cell: Annotated[Path | None, typer.Option("--cell", help="Masks or labels of cells.", metavar=FILE)] = None,
    nucleus: Annotated[Path | None, typer.Option("--nucleus", help="Masks or labels of nuclei.", metavar=FILE)] = None,
    nucleolus: Annotated[
        Path | None, typer.Option("--nucleolus", help="Masks or labels of nucleoli.", metavar=FILE)
    ] = None,
    lipid_droplet: Annotated[
        Path | None, typer.Option("--lipid-droplet", help="Masks or labels of lipid droplets.", metavar=FILE)
    ] = None,
    mitochondrion: Annotated[
        Path | None, typer.Option("--mitochondrion", help="Masks or labels of mitochondria.", metavar=FILE)
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", help="Masks or labels of any other structure, e.g. golgi=golgi.tif.", metavar="NAME=FILE"
        ),
    ] = None,
    structure: Annotated[
        str | None, typer.Option("--structure", help="What the main objects are called, e.g. nucleus.")
    ] = None,
    modality: Annotated[
        str,
        typer.Option(
            "--modality",
            "-m",
            autocompletion=completion.modalities,
            help="Kind of microscopy: {modalities}. Not needed for files that name their quantity (TCF).",
        ),
    ] = "",
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    medium_ri: Annotated[
        str | None,
        typer.Option(
            "--medium-ri", help="Refractive index of the medium, or `background` to measure it outside the cells."
        ),
    ] = None,
    instrument: InstrumentOption = None,
    quantity: Annotated[
        str | None,
        typer.Option("--quantity", help="What a voxel value is, where the modality allows several, e.g. phase."),
    ] = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    time_step_s: TimeStepOption = None,
    measurements: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            autocompletion=completion.measured,
            help="A further measurement (`tomocyte measurements`); may be repeated.",
        ),
    ] = None,
    contacts: ContactsOption = False,
    contact_gap_um: ContactGapOption = None,
    placements: PlacementsOption = None,
    mesh: MeshOption = None,
    colocalisation: ColocalisationOption = False,
    nan: Annotated[
        str,
        typer.Option("--nan", help="NaN or infinite voxels: `refuse` the input, or `mask` them as outside the image."),
    ] = "refuse",
    edits: Annotated[Path | None, typer.Option("--edits", help="Corrections made by hand: edits.yaml.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. pair_distance_um=0.2; may be repeated.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Continue even if the values do not fit the modality; recorded in every output."),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Number of inputs processed at the same time.", min=1)
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, time, memory and problems; write nothing.")
    ] = False,
    discard_changes: Annotated[
        bool,
        typer.Option("--discard-changes", help="Replace results that were changed by hand."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with counts, items and files; all else on stderr.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Measure masks and labels of your own: the tables, the report and the label images of `tomocyte run`.

    A label image has a number per object; a mask of one value is taken apart into connected pieces. Organelles get the
    cell that they lie in. Any format that is read will do, with the voxels of the image. Of a folder of images, give
    folders with files of the same names. The same command again continues; another image goes to the same folder.
    """
    from tomocyte.errors import SettingsError
    from tomocyte.runs.masks import GivenMasks, find_masks

    named = {
        "cell": cell,
        "nucleus": nucleus,
        "nucleolus": nucleolus,
        "lipid_droplet": lipid_droplet,
        "mitochondrion": mitochondrion,
    }
    files = {name: path for name, path in named.items() if path is not None}
    for entry in others or ():
        name, is_pair, path = entry.partition("=")
        if not is_pair or not name or not path:
            raise SettingsError(
                "E-USAGE", f"--labels {entry} is not NAME=FILE.", cure="Write --labels golgi=golgi.tif."
            )
        files[name] = Path(path)
    given = GivenMasks(files, labels, structure)
    settings, masks = find_masks(
        image,
        given,
        overrides or [],
        {
            "modality": modality or None,
            "voxel_size_um": voxel_size(voxel_size_um, pixel_size_um),
            "medium_ri": medium(medium_ri),
            "instrument": instrument,
            "quantity": quantity.replace("-", "_") if quantity else None,
            "axes": axes,
            "dataset": dataset,
            "time_step_s": time_step_s,
            "measurements": tuple(measurements) if measurements else None,
            "contacts": contact_settings(contacts, contact_gap_um, placements),
            "mesh": mesh,
            "colocalisation": {"is_measured": True} if colocalisation else None,
            "nan": None if nan == "refuse" else nan,
            "edits": None if edits is None else str(edits),
            "is_forced": True if force else None,
        },
    )
    paths = list(masks)
    if dry_run:
        raise typer.Exit(show_plan(paths, settings, output, workers, masks))
    options: dict[str, Any] = {"n_workers": workers, "is_discarding_changes": discard_changes, "masks": masks}
    raise typer.Exit(run_and_print(paths, settings, output, options, is_debug=debug, as_json=as_json))
