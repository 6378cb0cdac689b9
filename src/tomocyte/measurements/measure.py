"""From labels and the physical image to one row per object; the columns are defined in the sibling modules.

Columns of every table that are not measurements (the border flags, the centre) are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError
from tomocyte.measurements._image import Image, PlanesImage, crop
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements.channels import CENTRE, FLAGS, object_measurements
from tomocyte.measurements.regions import Regions
from tomocyte.measurements.registry import Measurement, Region
from tomocyte.measurements.shapes import Shapes
from tomocyte.volume import VoxelSize, check_voxel_size

if TYPE_CHECKING:
    import pandas as pd


def measure(
    labels: NDArray[Any],
    image: Image | None,
    voxel_size_um: VoxelSize,
    *,
    structure: str,
    names: Sequence[str],
    medium_ri: float | None = None,
    refraction_increment_ml_per_g: float | None = None,
    channel_names: Sequence[str] = (),
    channel_quantities: Sequence[str | None] = (),
    extra_measurements: Sequence[Callable[..., Any]] = (),
) -> pd.DataFrame:
    """Measure every object of a label image, on every channel of the image.

    A measurement of the image has its own name as column when one channel holds what it needs, else one column per
    channel, ``<measurement>_<channel>``; see :func:`~tomocyte.measurements.object_measurements`, which lists them.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)
        0 is background; an object is all voxels of one label, connected or not.
    image : array-like (C, Z, Y, X), optional
        The PHYSICAL image, never the normalised one: an array, anything that slices like one (a Zarr or HDF5 array, a
        :class:`~tomocyte.measurements.PlanesImage`), or ``None``. NaN and infinite voxels are left out of all
        statistics.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z is NaN for planar images.
    structure : str
        What the objects are, e.g. ``cell``.
    names : sequence of str
        Names of registered measurements, in column order.
    medium_ri : float, optional
        Refractive index of the medium.
    refraction_increment_ml_per_g : float, optional
        α of this structure in mL/g.
    channel_names : sequence of str
        One per channel of the image; empty: ``channel_0``, ``channel_1``, … where there are several.
    channel_quantities : sequence of str, optional
        What each channel holds, e.g. ``refractive_index``, ``None`` for unknown; a measurement that needs one is made
        on the channels that hold it. Empty: every channel is measured.
    extra_measurements : sequence of callable
        The user's own measurements, as scikit-image's ``extra_properties``: plain functions ``Region -> float`` whose
        name is the column and whose docstring is its meaning.

    Returns
    -------
    DataFrame
        One row per label, ascending: ``label`` (int64), the measurements (float64), ``is_cut`` (the object touches a
        border of the volume) = ``is_cut_lateral`` (y, x) or ``is_cut_z`` (always false for planar images), and the
        centre ``z_um``, ``y_um``, ``x_um``, where voxel 0 lies at 0 µm. No objects: no rows, same columns and types.

    Raises
    ------
    InputError
        ``E-LABELS`` (not unsigned integers in three axes), ``E-SHAPE`` (the image has another size).
    MetadataError
        ``E-VOXEL-SIZE``, ``E-CHANNEL`` (not one name and quantity per channel).
    SettingsError
        ``E-MEASUREMENT-NAME`` (unknown), ``E-MEASUREMENT-KIND`` (not of objects), ``E-MEASUREMENT-CLASH`` (a column
        that exists already), ``E-MEASUREMENT-QUANTITY`` (no channel holds it), ``E-MEASUREMENT-VALUE`` (no number).

    Examples
    --------
    >>> labels = np.zeros((4, 5, 6), np.uint32)
    >>> labels[1:3, 1:4, 2:4] = 7
    >>> table = measure(labels, None, (0.5, 0.2, 0.1), structure="cell", names=["n_voxels", "height_um"])
    >>> table[["label", "n_voxels", "height_um"]].values.tolist()
    [[7.0, 12.0, 1.0]]
    """
    columns = object_measurements(
        names,
        channel_names=_channel_names(image, channel_names),
        channel_quantities=channel_quantities,
        extra_measurements=extra_measurements,
    )
    check_labels(labels, image, voxel_size_um)
    source = as_image(image)
    shapes = Shapes(label_runs(labels), voxel_size_um)
    regions = Regions(structure, shapes, source, medium_ri, refraction_increment_ml_per_g)
    channels = {column.channel for column in columns if column.channel is not None}
    regions_of = {channel: regions.on_channel(channel) for channel in channels}
    values = {
        column.name: column.of_all(regions if column.channel is None else regions_of[column.channel])
        for column in columns
        if column.is_elementwise
    }
    single = [column for column in columns if not column.is_elementwise]
    if single:
        values |= _one_by_one(labels, regions, single)
    return _table(shapes, values, [column.name for column in columns])


def _one_by_one(
    labels: NDArray[Any], regions: Regions, columns: Sequence[Measurement]
) -> dict[str, NDArray[np.float64]]:
    """The columns whose functions take one region at a time."""
    shapes, source = regions.shapes, regions.image
    values = {column.name: np.empty(len(shapes.runs)) for column in columns}
    # Bottom up, so that a lazy image is read plane by plane, once.
    for index in np.argsort(shapes.boxes[:, 0], kind="stable"):
        box, is_cut = roomy_box(shapes.boxes[index], labels.shape, is_2d=shapes.is_2d)
        number = shapes.runs.numbers[index]
        region = Region(
            structure=regions.structure,
            label=int(number),
            mask=labels[box] == labels.dtype.type(number),
            image=None if source is None else crop(source, box),
            voxel_size_um=shapes.voxel_size_um,
            corner=(box[0].start, box[1].start, box[2].start),
            is_cut=is_cut["is_cut"],
            medium_ri=regions.medium_ri,
            refraction_increment_ml_per_g=regions.refraction_increment_ml_per_g,
        )
        for column in columns:
            values[column.name][index] = column(region if column.channel is None else region.on_channel(column.channel))
    return values


def label_boxes(labels: NDArray[Any]) -> tuple[NDArray[np.uint64], Integers]:
    """The labels present, ascending, and their bounding boxes.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)

    Returns
    -------
    numbers : uint64 ndarray (n,)
    boxes : int64 ndarray (n, 6)
        Start and stop along z, y, x.
    """
    runs = label_runs(labels)
    return runs.numbers, Shapes(runs, (1.0, 1.0, 1.0)).boxes


def roomy_box(
    tight: Integers, shape: tuple[int, ...], *, is_2d: bool
) -> tuple[tuple[slice, slice, slice], dict[str, bool]]:
    """The box with one voxel of margin where the volume allows, and which borders the object touches."""
    sides = [(int(tight[2 * axis]), int(tight[2 * axis + 1])) for axis in range(3)]
    touches = [start == 0 or stop == size for (start, stop), size in zip(sides, shape, strict=True)]
    slices = [slice(max(start - 1, 0), min(stop + 1, size)) for (start, stop), size in zip(sides, shape, strict=True)]
    is_lateral, is_z = touches[1] or touches[2], touches[0] and not is_2d
    flags = {"is_cut": is_lateral or is_z, "is_cut_lateral": is_lateral, "is_cut_z": is_z}
    return (slices[0], slices[1], slices[2]), flags


def _channel_names(image: Image | None, names: Sequence[str]) -> Sequence[str]:
    """A name for each channel, empty where nothing names it."""
    n_channels = len(names) if image is None or len(image.shape) != 4 else image.shape[0]
    if names and len(names) != n_channels:
        raise MetadataError(
            "E-CHANNEL",
            f"{len(names)} channel names for {n_channels} channels.",
            cure="Give one name per channel of the image.",
        )
    return names or [""] * n_channels


def _table(shapes: Shapes, values: dict[str, NDArray[np.float64]], names: list[str]) -> pd.DataFrame:
    """The values as a table whose columns and types do not depend on how many objects there are."""
    import pandas as pd

    is_cut_z, is_cut_y, is_cut_x = (shapes.cut_sides[:, axis].any(axis=1) for axis in range(3))
    is_lateral = is_cut_y | is_cut_x
    flags = dict(zip(FLAGS, (is_lateral | is_cut_z, is_lateral, is_cut_z), strict=True))
    centres = dict(zip(CENTRE, (shapes.centre * np.array(shapes.voxel_size_um)).T, strict=True))
    ordered = {name: values[name] for name in names}
    return pd.DataFrame({"label": shapes.runs.numbers.astype(np.int64), **ordered, **flags, **centres})


def as_image(image: Image | None) -> Image | None:
    """The image itself when it is an array, else a reader with a small cache."""
    if image is None or isinstance(image, np.ndarray | PlanesImage):
        return image
    return PlanesImage(image.shape, lambda channel, start, stop: np.asarray(image[channel, start:stop]))


def check_labels(labels: NDArray[Any], image: Image | None, voxel_size_um: VoxelSize) -> None:
    if labels.ndim != 3 or labels.dtype.kind not in "ub":
        raise InputError(
            "E-LABELS",
            f"labels must be unsigned integers in the axes Z, Y, X, not {labels.dtype} of shape {labels.shape}.",
            cure="Convert them, for instance with labels.astype(numpy.uint32).",
        )
    if image is not None and (len(image.shape) != 4 or tuple(image.shape[1:]) != labels.shape):
        raise InputError(
            "E-SHAPE",
            f"the image {tuple(image.shape)} does not match the labels {labels.shape}.",
            cure="Give the image with the axes C, Z, Y, X and the labels' Z, Y, X.",
        )
    check_voxel_size(voxel_size_um, is_2d=labels.shape[0] == 1)
