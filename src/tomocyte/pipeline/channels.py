"""Derived channels on the road: whether an input has them, from which of its channels, and a volume that shows them."""

from __future__ import annotations

from collections.abc import Sequence

from tomocyte.channels import ChannelSettings, Roles, channel_roles, derived_volume, has_derived_channels
from tomocyte.errors import SettingsError
from tomocyte.modalities import modality
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Channel
from tomocyte.pipeline.settings import RunSettings
from tomocyte.volume import Volume


def roles_of(volume: Volume, settings: RunSettings) -> Roles | None:
    """Which channels of an input the derived ones are made of; ``None`` where there are none to make.

    Raises
    ------
    SettingsError
        ``E-CHANNELS-NONE``: settings of derived channels for a modality without; ``E-CHANNEL-ROLE``.
    MetadataError
        ``E-CHANNEL``.
    """
    if not modality(settings.modality).derived_channels:
        if settings.channels != ChannelSettings():
            raise SettingsError(
                "E-CHANNELS-NONE",
                f"nothing is derived from channels of {settings.modality}, so settings of `channels` have no effect.",
                cure="Leave them out, or name another --modality.",
            )
        return None
    # One channel is refused with the modality's own words, or forced.
    if volume.n_channels < 2 or has_derived_channels(volume.channel_names):
        return None
    return channel_roles(volume.channel_names or ("",) * volume.n_channels, settings.channels)


def with_derived(volume: Volume, settings: RunSettings) -> Volume:
    """The volume with the channels that its modality derives behind its own; errors as :func:`roles_of`."""
    if roles_of(volume, settings) is None:
        return volume
    return derived_volume(volume, settings.channels, is_alone=False)


def role_notices(roles: Roles | None, channels: Sequence[Channel]) -> tuple[Notice, ...]:
    """What a user must know about which channel was taken for which."""
    if roles is None:
        return ()
    yellow, red = channels[roles.yellow].name, channels[roles.red].name
    if roles.is_assumed:
        text = (
            f"no name says which channel is which: {yellow} was taken for yellow (580 to 653 nm) and {red} for red "
            "(665 to 705 nm). If that is wrong, give --set channels.yellow=INDEX --set channels.red=INDEX."
        )
        return (Notice("W-CHANNEL-ORDER", text),)
    if roles.yellow > roles.red:
        text = f"red ({red}) is stored before yellow ({yellow}); they were told apart by their names, not their order."
        return (Notice("W-CHANNEL-ORDER", text),)
    return ()
