"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.errors import SettingsError

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders, or patterns such as 'data/*.tif', of the kinds that `tomocyte formats` lists; or "
        "--channel-file.",
        metavar="INPUT",
    ),
]
ChannelFileOption = Annotated[
    list[str] | None,
    typer.Option(
        "--channel-file",
        help="One input in several files, one per channel: --channel-file yellow=A.tif red=B.tif (of one folder).",
    ),
]
RecursiveOption = Annotated[
    bool, typer.Option("--recursive", help="Also take the images in the subfolders of a folder.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results; the same command again continues there.")
]
VoxelSizeOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--voxel-size-um", metavar="Z Y X", help="Voxel size in um; replaces the one in the file."),
]
PixelSizeOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--pixel-size-um", metavar="Y X", help="Pixel size in um, for 2-D images."),
]
InstrumentOption = Annotated[
    str | None,
    typer.Option(
        "--instrument",
        help="The tomograph, e.g. HT-2H, where the file does not name it: refractive index and dry mass are "
        "corrected for the frequencies that it does not measure.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="The axes of the stored array in order, one letter of TCZYX each, e.g. ZYX."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Which array to read in a file with several (HDF5, TCF, Zarr), e.g. 3DFL/CH0."),
]
LabelTableOption = Annotated[
    Path | None,
    typer.Option(
        "--label-table",
        help="Names and colours of the labels: a label description file of ITK-SNAP or a colour table of 3D Slicer.",
    ),
]
RegionImageOption = Annotated[
    Path | None,
    typer.Option(
        "--region-image", help="The image on which the regions (ROIs) of Fiji were drawn, whose size they need."
    ),
]
TimeStepOption = Annotated[
    float | None, typer.Option("--time-step-s", help="Seconds between frames; replaces those in the file.", min=0.0)
]
MediumOption = Annotated[
    float | None,
    typer.Option("--medium-ri", help="Refractive index of the medium; replaces the one in the file.", min=1.0, max=2.0),
]
ContactsOption = Annotated[
    bool,
    typer.Option(
        "--contacts",
        help="Also measure distances and contacts between structures, where in their cell objects lie, and cells' "
        "neighbours: contacts.csv and further columns.",
    ),
]
MeshOption = Annotated[
    str | None,
    typer.Option(
        "--mesh",
        help="Also write the objects' surfaces as meshes in um, one file per structure: `stl`, or `ply` with the label "
        "of each object.",
        metavar="stl|ply",
    ),
]
MaskedImagesOption = Annotated[
    bool,
    typer.Option(
        "--masked-images",
        help="Also write the image under the masks of each structure, 0 outside: masked/STRUCTURE.ome.tif.",
    ),
]
ContactGapOption = Annotated[
    float | None,
    typer.Option(
        "--contact-gap-um",
        help="Surfaces at most this far apart, in um, are in contact. Default: 0.03. Implies --contacts.",
        min=0.0,
        max=10.0,
    ),
]
PlacementsOption = Annotated[
    int | None,
    typer.Option(
        "--placements",
        help="Compare contacts with chance: place the objects this often at random in their cell, e.g. 199. Implies "
        "--contacts.",
        min=1,
    ),
]
ColocalisationOption = Annotated[
    bool,
    typer.Option(
        "--colocalisation",
        help="Also measure, for every two channels, Pearson's and Manders' coefficients in every object.",
    ),
]
ModalityOption = Annotated[
    str,
    typer.Option(
        "--modality",
        "-m",
        autocompletion=completion.modalities,
        help="Kind of microscopy: {modalities}. Not needed for files that name their quantity (TCF).",
    ),
]
MediumChoiceOption = Annotated[
    str | None,
    typer.Option(
        "--medium-ri",
        help="Refractive index of the medium, 1 to 2, or `background` to measure it outside the cells.",
    ),
]
QuantityOption = Annotated[
    str | None,
    typer.Option("--quantity", help="What a voxel value is, where the modality allows several, e.g. phase."),
]
StructureOption = Annotated[
    str | None, typer.Option("--structure", help="What the main objects are called, e.g. nucleus.")
]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        autocompletion=completion.measured,
        help="A further measurement (`tomocyte measurements`); may be repeated.",
    ),
]
NanOption = Annotated[
    str,
    typer.Option(
        "--nan",
        help="What to do with voxels that are no number: `refuse` the input, or `mask` them as outside the image.",
    ),
]
EditsOption = Annotated[
    Path | None,
    typer.Option("--edits", help="Corrections made by hand: edits.yaml, or a folder with ITEM.edits.yaml files."),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Continue even if the values do not fit the modality or the model; recorded in every output.",
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", "-j", help="Number of inputs processed at the same time.", min=1)
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show each input, what would be done with it, time, memory and problems; write nothing."
    ),
]
DiscardOption = Annotated[
    bool,
    typer.Option(
        "--discard-changes",
        help="Replace results that were changed by hand since they were written, and leave out corrections of "
        "earlier runs. Without it nothing of that is lost.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object with counts, items and files; all else on stderr.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def voxel_size(
    voxel: tuple[float, float, float] | None, pixel: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    """The voxel size z, y, x in µm from either option; z is NaN for a pixel size."""
    if voxel is not None and pixel is not None:
        raise SettingsError("E-USAGE", "--voxel-size-um and --pixel-size-um cannot be used together.")
    return (math.nan, *pixel) if pixel is not None else voxel


def medium(text: str | None) -> float | str | None:
    """The medium's RI, or ``background``."""
    if text is None or text == "background":
        return text
    try:
        value = float(text)
    except ValueError:
        raise SettingsError("E-USAGE", f"--medium-ri {text!r} is neither a number nor `background`.") from None
    if not 1.0 <= value <= 2.0:
        raise SettingsError("E-USAGE", f"--medium-ri {value} is not a refractive index of a medium (1 to 2).")
    return value


def shared_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name from the options that ``run`` and ``measure`` share; ``None`` where an option is not given.

    Parameters
    ----------
    given : mapping
        Parameters of the command by name.
    """
    as_given = ("instrument", "axes", "dataset", "time_step_s", "mesh")
    quantity, channel = given["quantity"], given["channel"]
    return {name: given[name] for name in as_given} | {
        "modality": given["modality"] or None,
        "voxel_size_um": voxel_size(given["voxel_size_um"], given["pixel_size_um"]),
        "medium_ri": medium(given["medium_ri"]),
        "quantity": quantity.replace("-", "_") if quantity else None,
        "channel": int(channel) if channel is not None and channel.isdecimal() else channel,
        "measurements": tuple(given["measurements"]) if given["measurements"] else None,
        "contacts": contact_settings(given["contacts"], given["contact_gap_um"], given["placements"]),
        "colocalisation": {"is_measured": True} if given["colocalisation"] else None,
        "masked_images": True if given["masked_images"] else None,
        "nan": None if given["nan"] == "refuse" else given["nan"],
        "edits": None if given["edits"] is None else str(given["edits"]),
        "is_forced": True if given["force"] else None,
    }


def contact_settings(is_measured: bool, gap_um: float | None, n_placements: int | None) -> dict[str, Any] | None:
    """The settings of contacts from their options; ``None`` where none is given."""
    given = {"gap_um": gap_um, "n_placements": n_placements}
    content = {name: value for name, value in given.items() if value is not None}
    return {"is_measured": True, **content} if is_measured or content else None


def files_of_command(files: list[str] | None, channel_file: list[str] | None) -> list[str]:
    """The files that stand in a command as such; none are needed beside those of ``--channel-file``.

    Raises
    ------
    SettingsError
        ``E-USAGE``: no file at all.
    """
    if not files and not channel_file:
        raise SettingsError(
            "E-USAGE", "no file is given.", cure="Name one, or --channel-file NAME=FILE for each channel."
        )
    return files or []
