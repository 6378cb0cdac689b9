"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tomocyte.errors import SettingsError

Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, or patterns such as 'data/*.tif', of the kinds that `tomocyte formats` lists.",
        metavar="INPUT",
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


def contact_settings(is_measured: bool, gap_um: float | None, n_placements: int | None) -> dict[str, Any] | None:
    """The settings of contacts from their options; ``None`` where none is given."""
    given = {"gap_um": gap_um, "n_placements": n_placements}
    content = {name: value for name, value in given.items() if value is not None}
    return {"is_measured": True, **content} if is_measured or content else None
