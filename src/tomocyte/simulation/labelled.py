"""Shapes that somebody else segmented, imaged by a simulated microscope: labels and a value for each of them.

Electron microscopy resolves what light and soft X-rays blur; with a coefficient (or refractive index) per label its
shapes become volumes of these microscopes with the truth known. To take shapes from elsewhere (meshes, atlases), turn
them into :class:`ValuedLabels`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.dtypes import refit
from tomocyte.settings import Settings
from tomocyte.simulation.cells.rendering import Rendered
from tomocyte.simulation.cells.scene import Scene
from tomocyte.simulation.imaging import microscope
from tomocyte.simulation.instruments import Channels, Conditions, Optics, View, instrument
from tomocyte.volume import VoxelSize

OPTICS_STREAM, NOISE_STREAM = range(2)
"""Independent streams of chance of one image."""


@dataclass(frozen=True, eq=False)
class ValuedLabels:
    """One structure, and what its voxels are made of.

    Parameters
    ----------
    structure : str
    labels : ndarray (Z, Y, X), integer or bool
        0 is not part of the structure.
    values : float or mapping of int to float
        In the microscope's quantity: of all labels, or of each.
    """

    structure: str
    labels: NDArray[Any]
    values: float | Mapping[int, float]


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """What the microscope makes of the labels.

    Parameters
    ----------
    channels : ndarray (C, Z, Y, X), float32
        In the quantity of the instrument.
    values : ndarray (Z, Y, X), float32
        The truth that was imaged.
    optics : Optics
        Instrument and degradation that were drawn.
    """

    channels: Channels
    values: NDArray[np.float32]
    optics: Optics[Any, Any]


def paint_values(layers: Sequence[ValuedLabels], outside_value: float) -> NDArray[np.float32]:
    """A volume of values from labels; where structures overlap, the later one counts.

    Parameters
    ----------
    layers : sequence of ValuedLabels
        At least one, all of one shape.
    outside_value : float
        Of voxels without a label.

    Returns
    -------
    ndarray (Z, Y, X), float32

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``; ``E-SIM-VALUES`` for a label without a value.

    Examples
    --------
    >>> layer = ValuedLabels("mitochondrion", np.array([[[0, 1, 2]]]), {1: 0.3, 2: 0.4})
    >>> paint_values([layer], 0.2).round(2).tolist()
    [[[0.2, 0.3, 0.4]]]
    """
    shapes = {layer.structure: np.shape(layer.labels) for layer in layers}
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 3:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise SettingsError("E-SHAPE", f"labels of one shape Z, Y, X are needed, not {listed or 'none'}.")
    volume = np.full(next(iter(shapes.values())), outside_value, np.float32)
    for layer in layers:
        labels = refit(layer.labels)
        present = np.unique(labels)
        table = np.full(int(present[-1]) + 1, np.nan, np.float32)
        if isinstance(layer.values, Mapping):
            for label, value in layer.values.items():
                if 0 < label < table.size:
                    table[label] = value
        else:
            table[1:] = layer.values
        is_unknown = np.isnan(table[present]) & (present > 0)
        if is_unknown.any():
            named = ", ".join(map(str, present[is_unknown][:5]))
            raise SettingsError(
                "E-SIM-VALUES",
                f"{int(is_unknown.sum())} labels of {layer.structure} have no value, among them {named}.",
                cure="Give a value for each label, or one number for all.",
            )
        is_object = labels > 0
        volume[is_object] = table[labels[is_object]]
    return volume


def image_labels(
    layers: Sequence[ValuedLabels],
    outside_value: float,
    *,
    voxel_size_um: VoxelSize,
    modality: str,
    variant: str = "",
    shift: str = "none",
    seed: int,
    index: int = 0,
) -> LabelledImage:
    """Image labels as a microscope would.

    Parameters
    ----------
    layers : sequence of ValuedLabels
        Inner structures after outer ones.
    outside_value : float
        Of what lies around them: the medium's refractive index, or the coefficient of ice or cytosol.
    voxel_size_um : tuple of float
        z, y, x in µm of labels and image; where it is coarser than the optics, the image is low-passed to it.
    modality : str
        Instrument, a file of :mod:`tomocyte.simulation.instruments`.
    variant : str
        Microscope of that kind; empty for the default one.
    shift : str
        Domain that the degradation is drawn from: ``none``, ``mild`` or ``strong``.
    seed, index : int
        The same give the same image.

    Raises
    ------
    SettingsError
        As :func:`paint_values`; ``E-INSTRUMENT``, ``E-SHIFT``, ``E-OPTICS-…``, ``E-RI``, ``E-ABSORPTION``: what cannot
        be imaged.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    kind = instrument(modality)
    values = paint_values(layers, outside_value)
    chosen = _seeing_all(microscope(modality, variant), values.shape, voxel_size_um)
    kind.check(chosen, outside_value, voxel_size_um)
    optics = kind.draw(chosen, kind.ranges_of(shift), _stream(seed, index, OPTICS_STREAM))
    view = view_of_values(values, outside_value, voxel_size_um=voxel_size_um)
    channels = kind.measure(view, optics, Conditions(), _stream(seed, index, NOISE_STREAM))
    return LabelledImage(channels, values, optics)


def view_of_values(values: NDArray[np.float32], outside_value: float, *, voxel_size_um: VoxelSize) -> View:
    """Known values (Z, Y, X) as input of an instrument: a scene without cells, whose truth they are."""
    depth, height, width = (size * step for size, step in zip(values.shape, voxel_size_um, strict=True))
    scene = Scene((), outside_value, (depth, height, width), np.zeros((2, 2, 2), np.float32))
    truth = Rendered({}, {}, values, outside_value, voxel_size_um, (0.0, 0.0, 0.0))
    return View(scene, truth)


def _seeing_all(variant: Settings, shape: tuple[int, ...], voxel_size_um: VoxelSize) -> Settings:
    """The microscope with a field as wide as the diagonal, if the sample turns: nothing is known beyond it."""
    if getattr(variant, "geometry", "") == "full-rotation" and getattr(variant, "view_um", 0.0) is None:
        diagonal_um = math.hypot(shape[1] * voxel_size_um[1], shape[2] * voxel_size_um[2])
        return variant.model_copy(update={"view_um": diagonal_um})
    return variant


def _stream(seed: int, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, stream)))
