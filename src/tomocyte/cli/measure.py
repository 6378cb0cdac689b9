"""``tomocyte measure``: the user's own masks measured, with the tables and the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.cli.options import (
    AxesOption,
    ColocalisationOption,
    ContactGapOption,
    ContactsOption,
    DatasetOption,
    DebugOption,
    DiscardOption,
    DryRunOption,
    EditsOption,
    ForceOption,
    InstrumentOption,
    JsonOption,
    MaskedImagesOption,
    MeasureOption,
    MediumChoiceOption,
    MeshOption,
    ModalityOption,
    NanOption,
    Output,
    PixelSizeOption,
    PlacementsOption,
    QuantityOption,
    StructureOption,
    TimeStepOption,
    VoxelSizeOption,
    WorkersOption,
    shared_settings,
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
        typer.Argument(
            help="Masks or labels of the main objects: the cells, or what --structure names.", metavar="LABELS"
        ),
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
    structure: StructureOption = None,
    modality: ModalityOption = "",
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    medium_ri: MediumChoiceOption = None,
    instrument: InstrumentOption = None,
    quantity: QuantityOption = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    mask_dataset: Annotated[
        str | None,
        typer.Option(
            "--mask-dataset", help="Which array to read in files of masks with several (HDF5, Zarr), e.g. label."
        ),
    ] = None,
    time_step_s: TimeStepOption = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", help="Channel to draw: its name, or its number from 0. All channels are measured."),
    ] = None,
    measurements: MeasureOption = None,
    contacts: ContactsOption = False,
    contact_gap_um: ContactGapOption = None,
    placements: PlacementsOption = None,
    mesh: MeshOption = None,
    masked_images: MaskedImagesOption = False,
    colocalisation: ColocalisationOption = False,
    nan: NanOption = "refuse",
    edits: EditsOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. pair_distance_um=0.2; may be repeated.")
    ] = None,
    force: ForceOption = False,
    workers: WorkersOption = 1,
    dry_run: DryRunOption = False,
    discard_changes: DiscardOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure masks and labels of your own: the tables, the report and the label images of `tomocyte run`.

    A label image has a number per object; a mask of one value is taken apart into connected pieces. Organelles get the
    cell that they lie in. Any format that is read will do, with the voxels of the image. Of a folder of images, give
    folders with files of the same names. The same command again continues; another image goes to the same folder.
    """
    given = locals()
    from tomocyte.errors import SettingsError
    from tomocyte.runs.masks import GivenMasks, find_masks

    named = {
        "cell": cell,
        "nucleus": nucleus,
        "nucleolus": nucleolus,
        "lipid_droplet": lipid_droplet,
        "mitochondrion": mitochondrion,
    }
    files = [(name, path) for name, path in named.items() if path is not None]
    for entry in others or ():
        name, is_pair, path = entry.partition("=")
        if not is_pair or not name or not path:
            raise SettingsError(
                "E-USAGE", f"--labels {entry} is not NAME=FILE.", cure="Write --labels golgi=golgi.tif."
            )
        files.append((name, Path(path)))
    given_masks = GivenMasks(files, labels, structure)
    settings, masks = find_masks(
        image,
        given_masks,
        overrides or [],
        shared_settings(given) | {"mask_dataset": mask_dataset},
    )
    paths = list(masks)
    if dry_run:
        raise typer.Exit(show_plan(paths, settings, output, workers, masks))
    options: dict[str, Any] = {"n_workers": workers, "is_discarding_changes": discard_changes, "masks": masks}
    raise typer.Exit(run_and_print(paths, settings, output, options, is_debug=debug, as_json=as_json))
