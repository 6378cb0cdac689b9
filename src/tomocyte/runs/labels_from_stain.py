"""Truth from a stain: fluorescence laid on the image beside which it was recorded, and thresholded, becomes labels.

The centres of both fields lie on each other, moved as the registration of the file says. Of TCF files, ``Rotation`` is
taken in degrees, ``TranslationX`` and ``TranslationY`` and ``OffsetZ`` in µm, since the files name no units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.channels.registration import RegistrationSettings, register_channels
from tomocyte.channels.transform import ChannelTransform, apply_transform
from tomocyte.errors import InputError
from tomocyte.labels.components import connected_components
from tomocyte.labels.stack import LabelStack
from tomocyte.runs.convert import write_whole_volume
from tomocyte.volume import Volume, VoxelSize

RegistrationChoice = Literal["file", "none", "image"]


@dataclass(frozen=True)
class StainLabels:
    """What was made of a stain.

    Parameters
    ----------
    volume : Volume
        Labels (T, 1, Z, Y, X) on the image's grid.
    n_objects : tuple of int
        Of each frame.
    placement : str
        How the stain was laid on the image, in words.
    """

    volume: Volume
    n_objects: tuple[int, ...]
    placement: str


def stain_transform(stain: Volume) -> ChannelTransform:
    """Where the image lies in its stain, as the file of the stain says: nothing where it says nothing.

    Raises
    ------
    InputError
        ``E-STAIN-REGISTRATION``: a scale that no microscope has.
    """
    said = stain.metadata
    scale = float(said.get("Scale", 1.0) or 1.0)
    if not 0.5 <= scale <= 2:
        raise InputError(
            "E-STAIN-REGISTRATION",
            f"its registration has a scale of {scale:g}.",
            path=stain.path,
            cure="Give --registration none, or image.",
        )
    return ChannelTransform(
        translation_um=(
            -float(said.get("OffsetZ", 0.0) or 0.0),
            float(said.get("TranslationY", 0.0) or 0.0),
            float(said.get("TranslationX", 0.0) or 0.0),
        ),
        rotation_deg=float(said.get("Rotation", 0.0) or 0.0),
        magnification=(1.0, scale, scale),
    )


def on_grid(
    stain: NDArray[Any],
    stain_size_um: VoxelSize,
    shape: tuple[int, int, int],
    size_um: VoxelSize,
    transform: ChannelTransform,
) -> NDArray[np.float32]:
    """A stain on the grid of an image; NaN where the stain saw nothing.

    Parameters
    ----------
    stain : ndarray (Z, Y, X), real
        On its own grid.
    stain_size_um, size_um : tuple of 3 float
        Voxels of the stain and of the image.
    shape : tuple of 3 int
        Of the image.
    transform : ChannelTransform
        Where places of the image lie in the stain, both counted from their centres.

    Examples
    --------
    >>> wide = np.arange(4.0).reshape(1, 1, 4)
    >>> on_grid(wide, (1, 1, 1), (1, 1, 8), (1, 1, 0.5), ChannelTransform())[0, 0].tolist()
    [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
    """
    from scipy.ndimage import map_coordinates

    own, theirs = (np.array([1.0 if math.isnan(part) else part for part in size]) for size in (size_um, stain_size_um))
    centre, their_centre = ((np.array(one) - 1) / 2 for one in (shape, stain.shape))
    rows = (np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")) - centre[1:, None, None]) * (
        own[1:, None, None]
    )
    result = np.full(shape, np.nan, dtype=np.float32)
    image = np.asarray(stain, dtype=np.float32)
    edge = np.array(stain.shape)[:, None, None] - 0.5
    for z in range(shape[0]):
        places = np.concatenate([np.full((1, *shape[1:]), (z - centre[0]) * own[0]), rows])
        index = transform.places(places, (0.0, 0.0, 0.0)) / theirs[:, None, None] + their_centre[:, None, None]
        is_inside = ((index >= -0.5) & (index <= edge)).all(axis=0)
        plane = map_coordinates(image, index, order=1, mode="nearest", output=np.float32)
        result[z][is_inside] = plane[is_inside]
    return result


def labels_from_stain(
    image: Volume,
    stain: Volume,
    method: ForegroundMethod,
    *,
    channel: int = 0,
    registration: RegistrationChoice = "file",
    min_volume_um3: float = 0.0,
) -> StainLabels:
    """Labels of what a stain shows, on the grid of the image that it belongs to.

    Parameters
    ----------
    image : Volume
    stain : Volume
        Of as many frames, with a voxel size.
    method : ForegroundMethod
    channel : int
        Of the stain.
    registration : {"file", "none", "image"}
        As the file says; centres on each other; or that of the file, then what the images themselves show.
    min_volume_um3 : float
        Smaller objects are left out.

    Raises
    ------
    InputError
        ``E-STAIN-FRAMES``: frames of the stain are missing; ``E-STAIN-REGISTRATION``: image and stain show no structure
        in common.
    """
    if stain.n_frames != image.n_frames:
        raise InputError(
            "E-STAIN-FRAMES",
            f"the stain has {stain.n_frames} frames, the image {image.n_frames}.",
            path=image.path,
            cure="Give a file in which every frame of the image has one of the stain.",
        )
    size, stain_size = image.require_voxel_size(), stain.require_voxel_size()
    transform = ChannelTransform() if registration == "none" else stain_transform(stain)
    stack, counts = LabelStack(image.spatial_shape), []
    rest: ChannelTransform | None = None
    for frame in range(image.n_frames):
        laid = on_grid(stain.planes(frame, channel), stain_size, image.spatial_shape, size, transform)
        if registration == "image":
            rest = rest or _by_image(image, laid, size, frame)
            laid = apply_transform(laid, rest, size)
        is_seen = np.isfinite(laid)
        dark = float(np.min(laid, where=is_seen, initial=np.inf)) if is_seen.any() else 0.0
        mask = stain_foreground(np.where(is_seen, laid, np.float32(dark)), size[1:], method)
        components = connected_components(mask)
        smallest = min_volume_um3 / float(np.prod([1.0 if math.isnan(part) else part for part in size]))
        stack.append(components.paint(components.n_voxels >= max(smallest, 1)))
        counts.append(int(np.count_nonzero(components.n_voxels[1:] >= max(smallest, 1))))
    shift = transform.translation_um
    words = f"shift {shift[0]:g}, {shift[1]:g}, {shift[2]:g} um (z, y, x), rotation {transform.rotation_deg:g} deg, "
    placement = words + f"scale {transform.magnification[1]:g}"
    if rest is not None:
        placement += f", then {', '.join(f'{part:.3f}' for part in rest.translation_um)} um by the image"
    volume = stack.volume(voxel_size_um=size, time_s=image.time_s)
    return StainLabels(volume, tuple(counts), placement)


def _by_image(image: Volume, laid: NDArray[np.float32], size: VoxelSize, frame: int) -> ChannelTransform:
    found = register_channels(image.planes(frame, 0), laid, size, RegistrationSettings())
    if not found.is_certain:
        raise InputError(
            "E-STAIN-REGISTRATION",
            f"the stain could not be laid on the image: {found.problem}.",
            path=image.path,
            cure="Give --registration file, or none.",
        )
    return found.transform


def write_stain_labels(path: Path, labels: StainLabels, structure: str) -> None:
    """Write the labels, whole or not at all."""
    write_whole_volume(path, labels.volume.with_properties(channel_names=(structure,)))
