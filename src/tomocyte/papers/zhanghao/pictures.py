"""Pictures of stacks and compartments: ratio times intensity, all compartments, intensity under masks, matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.compartments import CompartmentPanel, compartment_figure
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.matrices import MatrixPanel, matrix_figure
from tomocyte.figures.ratio_images import ratio_figure
from tomocyte.papers.zhanghao.fields import TRUTH, CompartmentFrame, Masks

if TYPE_CHECKING:
    import pandas as pd

EFFECTS = (0.0, 2.0)
"""Contacts observed over expected that get the first and the last colour: 1 is chance."""
_MOST_SHOWN_PX = 512
_TRUTH_COLOUR = {TRUTH: "#FF2020"}


def title_of(title: str, frame: CompartmentFrame) -> str:
    """The title of a picture of one stack; it says whether the stack is simulated."""
    return f"{title}: {frame.name}{' (simulated)' if frame.is_simulated else ''}"


def ratio_picture(frame: CompartmentFrame, *, title: str, file_format: PictureFormat) -> bytes:
    """Fig. 1a: the plane with most contrast, and the brightest voxel of all planes."""
    z = _sharpest(frame)
    panels = [(f"z = {z * frame.voxel_size_um[0]:.2f} µm", frame.intensity[z], frame.ratio[z])]
    if frame.intensity.shape[0] > 1:
        brightest = frame.intensity.argmax(axis=0)[None]
        panels.append(
            (
                "brightest of all planes",
                np.take_along_axis(frame.intensity, brightest, axis=0)[0],
                np.take_along_axis(frame.ratio, brightest, axis=0)[0],
            )
        )
    name = title_of(title, frame)
    return ratio_figure(
        panels, frame.voxel_size_um[1:], ratio_name=frame.ratio_name, title=name, file_format=file_format
    )


def compartments_picture(
    frame: CompartmentFrame,
    masks: Masks,
    panels: Mapping[str, Sequence[str]],
    *,
    title: str,
    file_format: PictureFormat,
) -> bytes:
    """Fig. 1b to h: the compartments, all and in groups."""
    shown = [CompartmentPanel(tuple(names), caption) for caption, names in panels.items()]
    return compartment_figure(masks, shown, frame.voxel_size_um, title=title_of(title, frame), file_format=file_format)


def masked_picture(
    frame: CompartmentFrame, compartments: Sequence[str], *, title: str, file_format: PictureFormat
) -> bytes:
    """Fig. 2b: the intensity under the mask of each compartment, with the outline of the true one in red.

    Of each compartment the plane with most of it is shown, where that is true, else where it was found.
    """
    z = _sharpest(frame)
    top = float(np.percentile(frame.intensity, 99.8))
    crop = _crop(frame)
    panels = [ContourPanel(np.minimum(frame.intensity[z][crop], top), {}, "intensity", _TRUTH_COLOUR)]
    for name in compartments:
        found, truth = frame.found.get(name), frame.truth.get(name)
        reference = truth if truth is not None and truth.any() else found
        if reference is None:
            continue
        plane = int(np.argmax(np.count_nonzero(reference, axis=(1, 2))))
        inside = np.zeros(reference.shape[1:], bool) if found is None else found[plane] != 0
        image = np.where(inside, np.minimum(frame.intensity[plane], top), 0.0)[crop]
        outlines = {} if truth is None else {TRUTH: (truth[plane] != 0)[crop]}
        panels.append(ContourPanel(image, outlines, name.replace("_", " "), _TRUTH_COLOUR))
    return contour_figure(
        panels, frame.voxel_size_um[1:], n_columns=4, title=title_of(title, frame), quantity="intensity", unit="",
        file_format=file_format,
    )  # fmt: skip


def _sharpest(frame: CompartmentFrame) -> int:
    """The plane whose values vary most: out of focus there is as much light, but no structure."""
    return int(np.argmax(frame.intensity.std(axis=(1, 2), dtype=np.float64)))


def _crop(frame: CompartmentFrame) -> tuple[slice, slice]:
    """The part of a plane that is shown: around the brightest part, where a plane is large."""
    plane = frame.intensity.sum(axis=0, dtype=np.float64)
    sides = []
    for axis, n in enumerate(plane.shape):
        profile = plane.sum(axis=1 - axis)
        middle = int((profile * np.arange(n)).sum() / profile.sum()) if profile.sum() > 0 else n // 2
        start = min(max(0, middle - _MOST_SHOWN_PX // 2), max(0, n - _MOST_SHOWN_PX))
        sides.append(slice(start, start + _MOST_SHOWN_PX))
    return sides[0], sides[1]


def confusion_picture(
    matrices: Mapping[str, tuple[Sequence[str], NDArray[np.int64]]], *, title: str, file_format: PictureFormat
) -> bytes:
    """Fig. 2d to f: of each true class, which share of its voxels was called what."""
    panels = [
        MatrixPanel(_shares(matrix), names, names, name, "truth", "found") for name, (names, matrix) in matrices.items()
    ]
    return matrix_figure(panels, title=title, file_format=file_format)


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    totals = matrix.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    return shares


def contact_picture(
    contacts: pd.DataFrame, compartments: Sequence[str], *, title: str, file_format: PictureFormat
) -> bytes | None:
    """Contacts of all pairs per cell, and against chance where objects were placed at random; ``None`` without any."""
    first = contacts[contacts["frame"] == contacts["frame"].min()]
    panels: list[MatrixPanel] = []
    for column, heading, limits, digits in (
        ("contacts_per_cell", "contacts per cell", None, 0),
        ("effect", "observed / expected by chance", EFFECTS, 2),
    ):
        table: Any = first.pivot(index="structure", columns="other_structure", values=column)
        rows = [name for name in compartments if name in table.index and table.loc[name].notna().any()]
        columns = [name for name in compartments if name in table.columns]
        if not rows or not columns:
            continue
        values = table.reindex(index=rows, columns=columns).to_numpy(np.float64)
        top = limits or (0.0, max(1.0, float(np.nanpercentile(values, 95))))
        panels.append(MatrixPanel(values, rows, columns, heading, limits=top, digits=digits))
    return matrix_figure(panels, title=title, file_format=file_format) if panels else None
