"""Colocalisation of two channels inside objects: Pearson, Manders' M1 and M2, and the overlap coefficient.

It looks at two channels at once, which a measurement of an object does not; so it makes its own columns, for every pair
of channels. To add a coefficient, add it to :func:`_coefficients` and its column to :data:`COEFFICIENTS`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.measurements._image import Image, crop
from tomocyte.measurements.channels import channel_suffixes
from tomocyte.measurements.measure import as_image, check_labels, label_boxes, roomy_box
from tomocyte.settings import Settings
from tomocyte.tables import Column, table_from_rows
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

MANDERS = "doi:10.1111/j.1365-2818.1993.tb03313.x"
NO_INTENSITY = "Empty unless both channels hold intensities, none of them negative"
COEFFICIENTS = {
    "pearson": (
        "Pearson correlation of {first} and {second} over the object's voxels.",
        "Empty where one of them is the same everywhere in the object.",
        "",
    ),
    "manders_m1": (
        "M1: share of {first} in the object that lies where {second} is above its threshold.",
        f"{NO_INTENSITY}, and where {{first}} is 0.",
        MANDERS,
    ),
    "manders_m2": (
        "M2: share of {second} in the object that lies where {first} is above its threshold.",
        f"{NO_INTENSITY}, and where {{second}} is 0.",
        MANDERS,
    ),
    "moc": (
        "Manders' overlap coefficient of {first} and {second} over the object's voxels, Σxy / √(Σx² Σy²).",
        f"{NO_INTENSITY}, and where one of them is 0.",
        MANDERS,
    ),
}
"""Start of a column's name -> meaning, when it is empty, reference."""


class ColocalisationSettings(Settings):
    """Colocalisation of the channels of an image inside the objects."""

    is_measured: bool = False
    """Whether the colocalisation of every two channels is measured in every object."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Channel -> threshold for Manders' M1 and M2, in the unit of the image; of others Otsu's over the voxels of all
    objects of a structure in a frame."""


def measure_colocalisation(
    labels: NDArray[Any],
    image: Image,
    voxel_size_um: VoxelSize,
    *,
    channel_names: Sequence[str],
    is_intensity: Sequence[bool],
    thresholds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Colocalisation of every two channels in every object.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)
    image : array-like (C, Z, Y, X)
        The PHYSICAL image. Voxels that are NaN or infinite in one of two channels are left out of both.
    voxel_size_um : tuple of 3 float
        z is NaN for planar images.
    channel_names : sequence of str
        One per channel.
    is_intensity : sequence of bool
        One per channel: whether 0 means nothing there, without which only Pearson's coefficient has a meaning.
    thresholds : mapping, optional
        Name of a channel -> its threshold; of others :func:`otsu_thresholds`.

    Returns
    -------
    DataFrame
        One row per label, ascending: ``label`` and the columns of :func:`colocalisation_columns`.

    Raises
    ------
    MetadataError
        ``E-CHANNEL``: not one name per channel.
    SettingsError
        ``E-CHANNEL``: a threshold of a channel that is not there.
    InputError
        ``E-LABELS``, ``E-SHAPE``.

    Examples
    --------
    >>> labels = np.ones((1, 2, 2), np.uint8)
    >>> image = np.array([[[[0.0, 1.0], [2.0, 3.0]]], [[[0.0, 2.0], [4.0, 6.0]]]])
    >>> table = measure_colocalisation(labels, image, (float("nan"), 0.1, 0.1), channel_names=["a", "b"],
    ...                                is_intensity=[True, True], thresholds={"a": 1.5, "b": 5.0})
    >>> table[["pearson_a_b", "manders_m1_a_b", "manders_m2_a_b", "moc_a_b"]].round(4).values.tolist()
    [[1.0, 0.5, 0.8333, 1.0]]
    """
    check_labels(labels, image, voxel_size_um)
    if not len(channel_names) == len(is_intensity) == image.shape[0]:
        raise MetadataError(
            "E-CHANNEL",
            f"{len(channel_names)} channel names for {image.shape[0]} channels.",
            cure="Give one name per channel of the image.",
        )
    lazy = as_image(image)
    source = image if lazy is None else lazy
    given = thresholds or {}
    unknown = [name for name in given if name not in channel_names]
    if unknown:
        raise SettingsError(
            "E-CHANNEL",
            f"there is no channel {unknown[0]!r} to give a threshold to.",
            cure=f"Channels: {', '.join(channel_names)}.",
        )
    levels = [
        given.get(name, level) for name, level in zip(channel_names, otsu_thresholds(source, labels), strict=True)
    ]
    columns = colocalisation_columns(channel_names)
    suffixes = channel_suffixes(channel_names)
    numbers, boxes = label_boxes(labels)
    rows = []
    for number, tight in zip(numbers, boxes, strict=True):
        box, _ = roomy_box(tight, labels.shape, is_2d=math.isnan(voxel_size_um[0]))
        mask = labels[box] == labels.dtype.type(number)
        here = crop(source, box)
        values = [np.asarray(here[index, :, :, :])[mask].astype(np.float64) for index in range(image.shape[0])]
        row: dict[str, float] = {"label": int(number)}
        for one, other in itertools.combinations(range(len(values)), 2):
            is_light = is_intensity[one] and is_intensity[other]
            found = _coefficients(values[one], values[other], levels[one], levels[other], is_light=is_light)
            row |= {f"{name}_{suffixes[one]}_{suffixes[other]}": value for name, value in found.items()}
        row |= {f"threshold_{suffix}": level for suffix, level in zip(suffixes, levels, strict=True)}
        rows.append(row)
    return table_from_rows(rows, (Column("label", "1", "", kind="integer"), *columns))


def otsu_thresholds(image: Image, labels: NDArray[Any]) -> list[float]:
    """Otsu's threshold of each channel over the voxels of all objects; NaN where there are fewer than two values.

    It is over the objects, not the field, so that empty background does not decide.
    """
    from skimage.filters import threshold_otsu

    mask = labels > 0
    levels = []
    for channel in range(image.shape[0]):
        values = np.asarray(image[channel, :, :, :])[mask].astype(np.float64)
        values = values[np.isfinite(values)]
        is_varied = values.size > 0 and values.min() < values.max()
        levels.append(float(threshold_otsu(values)) if is_varied else math.nan)
    return levels


def colocalisation_columns(channel_names: Sequence[str]) -> list[Column]:
    """The columns of every two channels, then the threshold of each."""
    suffixes = channel_suffixes(channel_names)
    columns = []
    for one, other in itertools.combinations(range(len(suffixes)), 2):
        names = {"first": channel_names[one] or f"channel {one}", "second": channel_names[other] or f"channel {other}"}
        columns += [
            Column(
                f"{name}_{suffixes[one]}_{suffixes[other]}", "1", meaning.format(**names), empty.format(**names), source
            )
            for name, (meaning, empty, source) in COEFFICIENTS.items()
        ]
    for suffix, name in zip(suffixes, channel_names, strict=True):
        meaning = f"Threshold of {name or suffix} for M1 and M2: as given, else Otsu's over the voxels of all objects."
        columns.append(Column(f"threshold_{suffix}", "native", meaning, "Empty where all values are equal."))
    return columns


def _coefficients(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    first_level: float,
    second_level: float,
    *,
    is_light: bool,
) -> dict[str, float]:
    """The four coefficients of two channels over an object's voxels."""
    is_number = np.isfinite(first) & np.isfinite(second)
    x, y = first[is_number], second[is_number]
    result = dict.fromkeys(COEFFICIENTS, math.nan)
    if not x.size:
        return result
    along, across = x - x.mean(), y - y.mean()
    result["pearson"] = _ratio(float(along @ across), math.sqrt(float(along @ along) * float(across @ across)))
    if is_light and x.min() >= 0 and y.min() >= 0:
        result["moc"] = _ratio(float(x @ y), math.sqrt(float(x @ x) * float(y @ y)))
        if math.isfinite(second_level):
            result["manders_m1"] = _ratio(float(x[y > second_level].sum()), float(x.sum()))
        if math.isfinite(first_level):
            result["manders_m2"] = _ratio(float(y[x > first_level].sum()), float(y.sum()))
    return result


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
