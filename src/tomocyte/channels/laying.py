"""Channels of a frame laid on one of them, by a registration that is found in it or was stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.registration import Registration, RegistrationSettings, register_channels
from tomocyte.channels.registration_file import RegistrationFile
from tomocyte.channels.transform import ChannelTransform, apply_transform
from tomocyte.errors import SettingsError
from tomocyte.volume import VoxelSize

SAME_SHARE = 0.01
"""Pixels that differ by less are the same."""


def find_registrations(
    channels: Sequence[NDArray[Any]],
    reference: int,
    voxel_size_um: VoxelSize,
    settings: RegistrationSettings | None = None,
) -> dict[int, Registration]:
    """Where the other channels of a frame lie on one of them, by the index of the channel.

    Parameters
    ----------
    channels : sequence of ndarray (Z, Y, X), real
    reference : int
    voxel_size_um : tuple of 3 float
    settings : RegistrationSettings, optional
    """
    return {
        index: register_channels(channels[reference], moving, voxel_size_um, settings)
        for index, moving in enumerate(channels)
        if index != reference
    }


def stored_transforms(
    content: RegistrationFile,
    names: Mapping[int, Sequence[str]],
    reference: int,
    needed: Sequence[int],
    voxel_size_um: VoxelSize,
) -> dict[int, ChannelTransform]:
    """The transforms of a registration file for the channels of a frame, by the index of the channel.

    Parameters
    ----------
    content : RegistrationFile
    names : mapping of int to sequence of str
        By what names each channel may stand in the file.
    reference : int
    needed : sequence of int
        Channels that must be in the file.
    voxel_size_um : tuple of 3 float

    Raises
    ------
    SettingsError
        ``E-REGISTRATION-CHANNEL``: another reference, a channel that is missing, or other pixels.
    """
    known = ", ".join(content.channels)
    if content.reference not in names[reference]:
        raise SettingsError(
            "E-REGISTRATION-CHANNEL",
            f"the registration lays {known} on {content.reference}, not on {names[reference][0]}.",
            cure=f"Find one with `tomocyte register FILE --reference {names[reference][0]}`.",
        )
    stored, own = content.voxel_size_um[1:], voxel_size_um[1:]
    if not np.allclose(stored, own, rtol=SAME_SHARE):
        raise SettingsError(
            "E-REGISTRATION-CHANNEL",
            f"the registration was found with pixels of {stored[0]:g} x {stored[1]:g} um, these are "
            f"{own[0]:g} x {own[1]:g} um.",
            cure="Find one in a stack of the same instrument and binning with `tomocyte register`.",
        )
    transforms = {}
    for index, own_names in names.items():
        match = next((name for name in own_names if name in content.channels), None)
        if match is not None and index != reference:
            transforms[index] = content.channels[match].transform
    for index in needed:
        if index not in transforms and index != reference:
            raise SettingsError(
                "E-REGISTRATION-CHANNEL",
                f"the registration has no channel {names[index][0]}; it has {known}.",
                cure="Find one with `tomocyte register` in a stack with the same channels.",
            )
    return transforms


def lay(
    image: NDArray[np.float32], transforms: Mapping[int, ChannelTransform], voxel_size_um: VoxelSize
) -> NDArray[np.float32]:
    """A frame (C, Z, Y, X) with channels moved by their transforms; NaN where a moved channel saw nothing."""
    moved = image.copy()
    for index, transform in transforms.items():
        if transform != ChannelTransform():
            moved[index] = apply_transform(image[index], transform, voxel_size_um)
    return moved
