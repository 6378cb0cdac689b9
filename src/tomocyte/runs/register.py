"""Register the channels of a stack, keep how they lie on each other, and lay those of other stacks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.laying import find_registrations, lay, stored_transforms
from tomocyte.channels.registration import Registration, RegistrationSettings
from tomocyte.channels.registration_file import ChannelRegistration, RegistrationFile, save_registration
from tomocyte.channels.roles import ROLES, role_by_name
from tomocyte.errors import InputError
from tomocyte.names import shown_name
from tomocyte.runs.convert import write_whole_volume
from tomocyte.volume import Volume


@dataclass(frozen=True)
class Registered:
    """What was found in a stack.

    Parameters
    ----------
    reference : str
    found : mapping of str to Registration
        By channel.
    """

    reference: str
    found: Mapping[str, Registration]


def names_of_channels(volume: Volume) -> tuple[str, ...]:
    """A channel's role where its name tells it, else its name: files of one instrument may name channels differently.

    Examples
    --------
    >>> names_of_channels(Volume.from_array(np.zeros((2, 3, 4, 5)), channel_names=("NR Yellow", "x")))
    ('yellow', 'x')
    """
    names = list(volume.channels)
    for role in ROLES:
        index = role_by_name(volume.channel_names, role)
        if index is not None:
            names[index] = role
    return tuple(names)


def register_stack(
    volume: Volume, settings: RegistrationSettings, *, reference: str | None = None, frame: int = 0
) -> Registered:
    """Where the channels of a frame lie on one of them.

    Parameters
    ----------
    volume : Volume
        With a voxel size.
    settings : RegistrationSettings
    reference : str, optional
        Channel on which the others are laid, by name or index; default: the first.
    frame : int

    Raises
    ------
    InputError
        ``E-REGISTRATION-ONE``: one channel has nothing to be laid on.
    MetadataError
        ``E-CHANNEL``, ``E-VOXEL-SIZE``.
    """
    if volume.n_channels < 2:
        raise InputError(
            "E-REGISTRATION-ONE",
            "has one channel, which has nothing to be laid on.",
            path=volume.path,
            cure="Give all channels, e.g. with --channel-file yellow=FILE red=FILE.",
        )
    named = volume.with_properties(channel_names=names_of_channels(volume))
    index = 0 if reference is None else named.channel_index(reference)
    channels = [volume.planes(frame, channel) for channel in range(volume.n_channels)]
    found = find_registrations(channels, index, volume.require_voxel_size(), settings)
    return Registered(named.channels[index], {named.channels[channel]: one for channel, one in found.items()})


def store(path: Path, registered: Registered, volume: Volume) -> RegistrationFile:
    """Write what is certain; the content of the file.

    Raises
    ------
    InputError
        ``E-REGISTRATION``: nothing is.
    """
    certain = {name: one for name, one in registered.found.items() if one.is_certain}
    if not certain:
        problems = "; ".join(f"{name}: {one.problem}" for name, one in registered.found.items())
        raise InputError(
            "E-REGISTRATION",
            f"no channel could be laid on {registered.reference}: {problems}.",
            path=volume.path,
            cure="Find it in a stack of beads that all channels show, or in one that shows the same structures in all.",
        )
    size = volume.require_voxel_size()
    content = RegistrationFile(
        reference=registered.reference,
        shape_zyx=volume.spatial_shape,
        voxel_size_um=(None if math.isnan(size[0]) else size[0], size[1], size[2]),
        source="" if volume.path is None else shown_name(volume.path.name),
        channels={
            name: ChannelRegistration(
                transform=one.transform,
                correlation=one.correlation,
                uncertainty_um=_in_um(one.uncertainty_voxels, size),
            )
            for name, one in certain.items()
        },
    )
    save_registration(path, content)
    return content


def _in_um(
    voxels: tuple[float, float, float], size: tuple[float, float, float]
) -> tuple[float | None, float, float] | None:
    z, y, x = (round(float(part * length), 6) for part, length in zip(voxels, size, strict=True))
    return None if math.isnan(y) else (None if math.isnan(z) else z, y, x)


def registered_volume(volume: Volume, content: RegistrationFile) -> Volume:
    """A stack with its channels laid on the reference, float32, frame by frame; NaN where a channel saw nothing.

    Raises
    ------
    SettingsError
        ``E-REGISTRATION-CHANNEL``.
    MetadataError
        ``E-CHANNEL``, ``E-VOXEL-SIZE``.
    """
    size, names = volume.require_voxel_size(), names_of_channels(volume)
    reference = volume.with_properties(channel_names=names).channel_index(content.reference)
    by_index = {index: (name,) for index, name in enumerate(names)}
    transforms = stored_transforms(content, by_index, reference, [], size)

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        image = np.asarray(volume.planes(frame, channel), dtype=np.float32)[None]
        moved = {0: transforms[channel]} if channel in transforms else {}
        laid: NDArray[np.float32] = lay(image, moved, size)[0, z_start:z_stop]
        return laid

    return volume.with_properties(dtype=np.dtype(np.float32), read_planes=read_planes, channel_names=names)


def write_registered(path: Path, volume: Volume, content: RegistrationFile) -> None:
    """Write a stack whose channels lie on each other; what a channel did not see is 0."""
    laid = registered_volume(volume, content)
    frames: dict[tuple[int, int], NDArray[Any]] = {}

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if (frame, channel) not in frames:
            frames.clear()
            frames[frame, channel] = np.nan_to_num(laid.planes(frame, channel))
        return frames[frame, channel][z_start:z_stop]

    write_whole_volume(path, laid.with_properties(read_planes=read_planes))
