"""Pictures of a time-lapse, as in OS-Net's Fig. 4: sections over time, bodies over time, outlines over one image.

To draw something else at every time point, add it to :class:`Moment` and draw it in :func:`moment_pictures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.curves import course_figure
from tomocyte.figures.rendering import (
    CELL_BODY_COLOUR,
    CELL_OPACITY,
    PREDICTION_BODY_COLOUR,
    Body,
    BodyPanel,
    body_figure,
)
from tomocyte.papers.osnet.recipe import TimeLapseSettings
from tomocyte.papers.osnet.sections import Box, around_object, container_of
from tomocyte.papers.result import method_colours
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Tracks = Mapping[tuple[int, int], int]
"""(frame, label of the cell) -> track."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One time point, cut to what is shown.

    Parameters
    ----------
    time_s : float
        NaN where the file does not give it.
    image : ndarray (Z, Y, X), float32
        As the model saw it.
    truth, around : ndarray (Z, Y, X), unsigned integer
        True labels of the structure and of what contains it.
    inside : ndarray (Z, Y, X), bool
        What was found.
    voxel_size_um : tuple of 3 float
    """

    time_s: float
    image: NDArray[np.float32]
    truth: NDArray[Any]
    inside: NDArray[np.bool_]
    around: NDArray[Any]
    voxel_size_um: VoxelSize


def track_of(tracks: Tracks, frame: int, mask: NDArray[np.bool_], around: NDArray[Any]) -> int:
    """The track of the cell that holds most of a mask; 0 without tracks."""
    names, counts = np.unique(around[mask], return_counts=True)
    names, counts = names[names != 0], counts[names != 0]
    return tracks.get((frame, int(names[np.argmax(counts)])), 0) if len(names) else 0


def moment_box(item: LabelledItem, volume: Volume, tracks: Tracks, settings: TimeLapseSettings) -> Box:
    """The region shown of a time-lapse: the largest object of the first frame, all its positions, and a margin.

    Without tracks, or without an object, the whole volume is shown.
    """
    size = volume.require_voxel_size()
    everything = (slice(0, volume.shape[2]), slice(0, volume.shape[3]), slice(0, volume.shape[4]))
    track, boxes = 0, []
    for frame in range(volume.n_frames):
        truth, around = item.read_labels(settings.structure, frame), item.read_labels(settings.around, frame)
        names, counts = np.unique(truth, return_counts=True)
        order = [int(name) for name in names[np.argsort(-counts, kind="stable")] if name != 0]
        of_track = {track_of(tracks, frame, truth == label, around): label for label in reversed(order)}
        if frame == 0:
            track = track_of(tracks, 0, truth == order[0], around) if order else 0
        if track in of_track:
            boxes.append(around_object(truth == of_track[track], size, settings.margin_um))
    if track == 0 or not boxes:
        return everything
    low = [min(box[axis].start for box in boxes) for axis in range(3)]
    high = [max(box[axis].stop for box in boxes) for axis in range(3)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def moment_pictures(
    moments: Sequence[Moment], item: str, method: str, *, title: str, file_format: PictureFormat
) -> dict[str, bytes]:
    """Sections (Fig. 4a), bodies (4b) and outlines over the first section (4d), by file name."""
    size = moments[0].voxel_size_um
    z = _middle(moments[0].truth)
    captions = [_time_text(moment.time_s, index) for index, moment in enumerate(moments)]
    plain = [ContourPanel(m.image[z], {}, caption) for m, caption in zip(moments, captions, strict=True)]
    outlined = [
        ContourPanel(m.image[z], {"truth": m.truth[z] > 0, method: m.inside[z]}, colours=method_colours(method))
        for m in moments
    ]
    options: dict[str, Any] = {"title": title, "file_format": file_format}
    bodies = [
        BodyPanel((Body(_cell_of(m), CELL_BODY_COLOUR, CELL_OPACITY), Body(m.inside, PREDICTION_BODY_COLOUR)), caption)
        for m, caption in zip(moments, captions, strict=True)
    ]
    return {
        f"sections-{item}": contour_figure([*plain, *outlined], size[1:], n_columns=len(moments), **options),
        f"bodies-{item}": body_figure(bodies, size, n_columns=3, **options),
        f"outlines-{item}": contour_figure([_outlines(moments, captions, z)], size[1:], **options),
    }


def course_pictures(frames: pd.DataFrame, *, title: str, file_format: PictureFormat) -> bytes:
    """Dice and volume over time, means over the time-lapses."""
    means = frames.groupby("frame").mean(numeric_only=True)
    is_timed = bool(means["time_s"].notna().all())
    x = (means["time_s"] / 60).tolist() if is_timed else [float(frame) for frame in means.index]
    panels = {
        "Dice": {"with fringes": means["dice"].tolist(), "without": means["dice_without_fringes"].tolist()},
        "volume of all nuclei in a field (µm³)": {
            "truth": means["volume_truth_um3"].tolist(),
            "with fringes": means["volume_prediction_um3"].tolist(),
            "without": means["volume_without_fringes_um3"].tolist(),
        },
    }
    label = "time (min)" if is_timed else "frame"
    return course_figure(x, panels, x_label=label, title=title, file_format=file_format)


def _outlines(moments: Sequence[Moment], captions: list[str], z: int) -> ContourPanel:
    """The cell and what was found in it at every time point, over the first image, coloured by time."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["plasma"](np.linspace(0.15, 0.95, len(moments)))
    contours = {
        caption: np.where(m.inside[z] & _cell_of(m)[z], 2, _cell_of(m)[z].astype(np.uint8))
        for m, caption in zip(moments, captions, strict=True)
    }
    colours = {caption: to_hex(shade) for caption, shade in zip(captions, shades, strict=True)}
    return ContourPanel(moments[0].image[z], contours, "cell (truth) and nucleus (found) over the first frame", colours)


def _cell_of(moment: Moment) -> NDArray[np.bool_]:
    return container_of(moment.around, moment.truth > 0)


def _middle(labels: NDArray[Any]) -> int:
    """The plane with most of the structure."""
    return int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))


def _time_text(time_s: float, frame: int) -> str:
    return f"frame {frame}" if math.isnan(time_s) else f"{time_s / 60:.0f} min"
