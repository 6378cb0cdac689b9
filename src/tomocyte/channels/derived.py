"""A volume with its derived channels, read lazily: for training and for checks that look at a few planes."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.laying import stored_transforms
from tomocyte.channels.ratio import DERIVED_CHANNELS, RatioLevels, intensity_and_ratio, ratio_levels
from tomocyte.channels.registration import register_channels
from tomocyte.channels.registration_file import RegistrationFile
from tomocyte.channels.roles import ChannelSettings, Roles, channel_roles, role_names
from tomocyte.channels.transform import ChannelTransform, apply_transform
from tomocyte.volume import Volume


def has_derived_channels(names: tuple[str, ...]) -> bool:
    """Whether the derived channels are stored already.

    Examples
    --------
    >>> has_derived_channels(("intensity", "ratio")), has_derived_channels(("yellow", "red"))
    (True, False)
    """
    return set(DERIVED_CHANNELS) <= set(names)


def derived_volume(volume: Volume, settings: ChannelSettings | None = None, *, is_alone: bool = True) -> Volume:
    """The derived channels of a volume as a volume, computed when they are read.

    Parameters
    ----------
    volume : Volume
        With yellow and red among its channels. One that has the derived channels itself is returned as it is.
    settings : ChannelSettings, optional
    is_alone : bool
        Whether the derived channels stand alone, or behind those of the volume.

    Returns
    -------
    Volume
        float32. Background and floor of a frame are those of its whole channels, whatever part is read.

    Raises
    ------
    MetadataError, SettingsError
        As :func:`~tomocyte.channels.roles.channel_roles`.

    Examples
    --------
    >>> voxels = np.stack([np.full((3, 8, 9), 200), np.full((3, 8, 9), 400)]).astype(np.uint16)
    >>> voxels[:, :, 0] = 0
    >>> derived = derived_volume(Volume.from_array(voxels, channel_names=("yellow", "red")))
    >>> derived.channels, derived.planes(0, 1, 0, 1)[0, 5, 5]
    (('intensity', 'ratio'), np.float32(2.0))
    """
    if has_derived_channels(volume.channel_names):
        return volume
    wishes = settings or ChannelSettings()
    roles = channel_roles(volume.channel_names or ("",) * volume.n_channels, wishes)

    transforms: dict[int, ChannelTransform] = {}
    if wishes.registration != "none":
        transforms = _transforms(volume, roles, wishes)

    @lru_cache(maxsize=1)
    def moved_red(frame: int) -> NDArray[np.float32]:
        return apply_transform(volume.planes(frame, roles.red), transforms[roles.red], volume.require_voxel_size())

    def red_planes(frame: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if roles.red in transforms:
            return moved_red(frame)[z_start:z_stop]
        return volume.planes(frame, roles.red, z_start, z_stop)

    @cache
    def levels(frame: int) -> RatioLevels:
        return ratio_levels(volume.planes(frame, roles.yellow), red_planes(frame, 0, volume.shape[2]), wishes.ratio)

    n_before = 0 if is_alone else volume.n_channels

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if channel < n_before:
            return volume.planes(frame, channel, z_start, z_stop).astype(np.float32)
        yellow, red = volume.planes(frame, roles.yellow, z_start, z_stop), red_planes(frame, z_start, z_stop)
        derived = intensity_and_ratio(yellow, red, settings=wishes.ratio, levels=levels(frame))
        part: NDArray[np.float32] = derived[channel - n_before]
        return part

    names = DERIVED_CHANNELS if is_alone else (*volume.channels, *DERIVED_CHANNELS)
    return volume.with_properties(
        shape=(volume.n_frames, n_before + 2, *volume.spatial_shape),
        dtype=np.dtype(np.float32),
        read_planes=read_planes,
        channel_names=names,
    )


def _transforms(volume: Volume, roles: Roles, settings: ChannelSettings) -> dict[int, ChannelTransform]:
    """How red is laid on yellow, by the first frame or as it is stored."""
    size = volume.require_voxel_size()
    if isinstance(settings.registration, RegistrationFile):
        names = role_names(volume.channels, roles)
        return stored_transforms(settings.registration, names, roles.yellow, [roles.red], size)
    pair = [volume.planes(0, index) for index in (roles.yellow, roles.red)]
    return {roles.red: register_channels(pair[0], pair[1], size).transform}
