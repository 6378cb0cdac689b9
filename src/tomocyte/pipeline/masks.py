"""Masks and label images that the user brings: opened, checked against the image, read frame by frame.

A label image has a number per object. A mask, which has one value only, is taken apart into connected components. To
accept another kind of file, write a reader in :mod:`tomocyte.formats`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.orientation import oriented_like
from tomocyte.datasets.pairs import channel_of
from tomocyte.errors import InputError, MetadataError
from tomocyte.evaluation.kinds import as_labels
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import refit
from tomocyte.names import shown_name
from tomocyte.provenance import sha256_of_json, sha256_of_path
from tomocyte.volume import Volume

SIZE_TOLERANCE = 0.01
LARGEST_LABEL = np.iinfo(np.uint32).max
RESAMPLE = "Give masks with the frames and voxels of the image; resample with nearest neighbour where they differ."
TURN = "Their axes stand in another order: save the masks with the axes of the image."
SAVE_LABELS = "Save it as grey values: the number of an object in all of its voxels, 0 elsewhere."
NUMBER = "Number the objects from 1, for instance with skimage.segmentation.relabel_sequential."
Labels = NDArray[np.unsignedinteger[Any]]


def masks_sha256(masks: Mapping[str, Path]) -> str:
    """Hash of which structures are given and of the content of their files.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``.
    """
    hashes = {}
    for structure, path in sorted(masks.items()):
        if not path.exists():
            raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
        hashes[structure] = sha256_of_path(path)
    return sha256_of_json(hashes)


def open_masks(masks: Mapping[str, Path], volume: Volume, dataset: str | None = None) -> dict[str, tuple[Volume, int]]:
    """The files of masks, lazily, each with the channel that holds its structure.

    Parameters
    ----------
    masks : mapping
        Structure -> file.
    volume : Volume
        The image that they belong to, with a voxel size; labels where they are measured without an image.
    dataset : str, optional
        Array to read in files of masks that hold several.

    Raises
    ------
    InputError
        ``E-SHAPE``: not the image's frames and voxels. ``E-CHANNEL``: several channels, none named like the structure.
        What a reader says of the file.
    MetadataError
        ``E-VOXEL-SIZE``: another voxel size than the image's; ``E-ORIENTATION``.
    """
    opened = {}
    for structure, path in masks.items():
        is_input = volume.quantity == "labels" and volume.path is not None and path.samefile(volume.path)
        labels = volume if is_input else oriented_like(_read(structure, path, volume, dataset), volume)
        ours, theirs = (labels.n_frames, *labels.spatial_shape), (volume.n_frames, *volume.spatial_shape)
        if ours != theirs:
            name = shown_name(volume.path.name) if volume.path else ""
            is_turned = ours != theirs and sorted(ours) == sorted(theirs)
            raise InputError(
                "E-SHAPE",
                f"the mask of {structure} has the shape (T, Z, Y, X) = {ours}, the image {name} has {theirs}.",
                path=path,
                cure=TURN if is_turned else RESAMPLE,
            )
        _check_voxel_size(labels, volume, structure)
        opened[structure] = (labels, channel_of(labels, None, structure))
    return opened


def _read(structure: str, path: Path, volume: Volume, dataset: str | None) -> Volume:
    """The file; where it does not say what its axes are, they are those of the image."""
    try:
        return read_volume(path, ReadOptions(dataset=dataset), is_size_required=False)
    except InputError as problem:
        if not problem.code.endswith("E-AXES"):
            raise _of_masks(problem) from problem
    axes = "".join(("T" * (volume.n_frames > 1), "Z" * (not volume.is_2d), "YX"))
    try:
        return read_volume(path, ReadOptions(axes=axes, dataset=dataset), is_size_required=False)
    except MetadataError as problem:
        if not problem.code.endswith("E-AXES"):
            raise _of_masks(problem) from problem
        text = f"the mask of {structure} does not have the axes {axes} of the image: {problem.problem}"
        raise InputError("E-SHAPE", text, path=path, cure=RESAMPLE) from problem


def _of_masks(problem: InputError) -> InputError:
    """The error, with a cure that masks have: neither their axes nor their voxel size can be given."""
    missing = [replace(fact, name="mask_dataset") for fact in problem.missing if fact.name == "dataset"]
    advice = SAVE_LABELS if problem.code == "E-RGB" else problem.advice
    return type(problem)(problem.code, problem.problem, path=problem.path, cure=advice, missing=missing)


def _check_voxel_size(labels: Volume, volume: Volume, structure: str) -> None:
    """Refuse a mask that states another voxel size than the image, unless the user has given one."""
    if labels.voxel_size_um is None or volume.origin.get("voxel_size_um") == "user":
        return
    size = volume.require_voxel_size()
    for own, given in zip(labels.voxel_size_um, size, strict=True):
        if math.isnan(own) or math.isnan(given):
            continue
        if abs(own - given) > SIZE_TOLERANCE * given:
            raise MetadataError(
                "E-VOXEL-SIZE",
                f"the mask of {structure} states voxels of {labels.voxel_size_um} um, the image {size} um (z, y, x).",
                path=labels.path,
                cure="Give the right one with --voxel-size-um Z Y X.",
            )


def read_mask(labels: Volume, channel: int, frame: int, *, is_label_image: bool = False) -> tuple[Labels, bool]:
    """One frame of a mask file as labels, and whether a mask of one value was taken apart into its components.

    Parameters
    ----------
    labels : Volume
        From :func:`open_masks`.
    channel, frame : int
    is_label_image : bool
        Whether one value is the number of one object, however many pieces it has.

    Returns
    -------
    labels : unsigned ndarray (Z, Y, X)
        The numbers of the file, or 1, 2, … of the components of a mask.
    is_split : bool
        False also for a mask in one piece, which keeps its number.

    Raises
    ------
    InputError
        ``E-LABELS-TYPE``, ``E-NAN``: not labels.
        ``E-LABELS``: a number that does not fit into 32 bits.
    """
    name = shown_name(labels.path or "the mask")
    values = as_labels(labels.planes(frame, channel), name=name)
    highest = int(values.max(initial=0))
    if highest > LARGEST_LABEL:
        raise InputError("E-LABELS", f"{name} holds the number {highest}; labels end at {LARGEST_LABEL}.", cure=NUMBER)
    whole = refit(values)
    if highest == 0 or is_label_image or np.any((whole != 0) & (whole != highest)):
        return whole, False
    pieces = connected_components(whole != 0)
    return (whole, False) if pieces.n < 2 else (pieces.paint(), True)
