"""The page that says which slices to label next: how many voxels are expected to be wrong where, with pictures.

To show more of a slice, add it to :func:`_shown` and to ``report/sections/next_slices.html.j2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.axes import LINE_COLOURS
from tomocyte.figures.canvas import BACKGROUND_COLOUR, COMPARISON_COLOURS
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.sketches import Curve, sketch
from tomocyte.propagation import AXES, SelfTest
from tomocyte.propagation.next_slice import ErrorProfile, labour_saved
from tomocyte.provenance import environment
from tomocyte.runs.next_slices import Suggestion
from tomocyte.runs.report.page import write_sections
from tomocyte.runs.report.section import ReportRun, chip_name, shown_picture
from tomocyte.volume import Planes, VoxelSize

LARGEST_SIDE_PX = 1000
"""Slices that are larger are drawn from every second pixel, or fewer."""
LABEL_COLOUR, PLACE_COLOUR = COMPARISON_COLOURS["OS-Net"], COMPARISON_COLOURS["truth"]


@dataclass(frozen=True, eq=False)
class NextPage:
    """What is shown.

    Parameters
    ----------
    name : str
        Of the file of sparse labels.
    method : str
    axis : {"z", "y", "x", "t"}
        Along which slices were labelled.
    voxel_size_um : tuple of 3 float
    profile : ErrorProfile
    suggested : sequence of Suggestion
    test : SelfTest, optional
    labels : ndarray (Z, Y, X), unsigned integer
        As propagated.
    uncertainty : ndarray (Z, Y, X), float32
    image : Planes (Z, Y, X), optional
    quantity, unit : str
        Of the image.
    """

    name: str
    method: str
    axis: str
    voxel_size_um: VoxelSize
    profile: ErrorProfile
    suggested: Sequence[Suggestion]
    test: SelfTest | None
    labels: NDArray[Any]
    uncertainty: NDArray[np.float32]
    image: Planes | None
    quantity: str
    unit: str


def write_next_page(path: Path, page: NextPage) -> None:
    """Write the page, in one file without any reference to the outside; it appears whole or not at all.

    Parameters
    ----------
    path : Path
    page : NextPage

    Raises
    ------
    OSError
        The file cannot be written.
    """
    title = f"Slices to label next: {page.name}"
    run = ReportRun(modality="", model="", title=title, versions={"tomocyte": environment()["tomocyte"]})
    write_sections(path, [{"name": "next_slices", "title": "", "view": _view(page)}], run)


def _view(page: NextPage) -> dict[str, Any]:
    n_labelled, n_slices = len(page.profile.slices), len(page.profile.errors)
    expected = float(page.profile.errors.sum())
    return {
        "n_labelled": n_labelled,
        "n_slices": n_slices,
        "saved": f"{labour_saved(n_labelled, n_slices):.1%}",
        "axis": page.axis,
        "method": page.method,
        "test": page.test,
        "is_measured": page.test is not None,
        "expected": f"{expected:,.0f}",
        "share": f"{expected / page.labels.size:.2%}",
        "chart": _chart(page),
        "slices": [_shown(page, one, expected) for one in page.suggested],
    }


def _chart(page: NextPage) -> dict[str, Any]:
    """Expected errors of every slice; labelled slices and those to label next on it."""
    errors = page.profile.errors
    indices = np.arange(len(errors), dtype=np.float64)
    labelled, named = list(page.profile.slices), sorted(one.slice.index for one in page.suggested)
    curves = [
        Curve(indices, errors, LINE_COLOURS[0]),
        Curve(indices[labelled], errors[labelled], BACKGROUND_COLOUR, 0, has_points=True),
        Curve(indices[named], errors[named], PLACE_COLOUR, 0, has_points=True),
    ]
    label = "frame" if page.axis == "t" else f"slice along {page.axis}"
    caption = f"Voxels that are expected to be wrong, by {label}"
    svg = sketch(curves, x_label=label, y_label="voxels", name=caption)
    meanings = {
        LINE_COLOURS[0]: "expected to be wrong",
        BACKGROUND_COLOUR: "labelled",
        PLACE_COLOUR: "label next",
    }
    legend = [(chip_name(colour), meaning) for colour, meaning in meanings.items()]
    return {"svg": svg, "caption": caption, "legend": legend}


def _shown(page: NextPage, one: Suggestion, expected: float) -> dict[str, Any]:
    """One slice: what its labelling is expected to remove, and pictures of it."""
    return {
        "index": one.slice.index,
        "is_filled": bool(page.profile.is_filled[one.slice.index]),
        "gain": f"{one.slice.gain_voxels:,.0f}",
        "share": f"{one.slice.gain_voxels / expected:.0%}" if expected else "–",
        "place": dict(zip("tyx" if page.axis == "t" else "zyx", one.place, strict=True)),
        "pictures": [{"caption": caption, "href": "", **shown_picture(png)} for caption, png in _pictures(page, one)],
    }


def _pictures(page: NextPage, one: Suggestion) -> list[tuple[str, bytes]]:
    axis = AXES.index("z" if page.axis == "t" else page.axis)
    labels, uncertainty = (_slice(array, axis, one.slice.index) for array in (page.labels, page.uncertainty))
    step = max(1, -(-max(labels.shape) // LARGEST_SIDE_PX))
    sides = [size * step for place, size in enumerate(page.voxel_size_um) if place != axis]
    rows, columns = np.ogrid[: labels.shape[0] : step, : labels.shape[1] : step]
    row, column = one.slice.place
    is_near = np.hypot(rows - row, columns - column) < max(4 * step, min(labels.shape) / 16)
    outlines = {"labels so far": labels[::step, ::step], "most errors": is_near}
    colours = {"labels so far": LABEL_COLOUR, "most errors": PLACE_COLOUR}
    shown = []
    if page.image is not None:
        image = np.asarray(_slice(page.image, axis, one.slice.index))[::step, ::step]
        panel = ContourPanel(image, outlines, colours=colours)
        png = contour_figure([panel], (sides[0], sides[1]), quantity=page.quantity, unit=page.unit)
        shown.append(("labels so far", png))
    if not page.profile.is_filled[one.slice.index] and shown:
        return shown
    panel = ContourPanel(uncertainty[::step, ::step], outlines, colours=colours)
    shown.append(("uncertainty", contour_figure([panel], (sides[0], sides[1]), quantity="uncertainty", unit="1")))
    return shown


def _slice(array: Planes, axis: int, index: int) -> NDArray[Any]:
    return np.asarray(array[index]) if axis == 0 else np.moveaxis(np.asarray(array), axis, 0)[index]
