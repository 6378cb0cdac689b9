"""Stacks with a probe beside Nile Red: which files of a folder are one stack, and which channel is which.

A stack is one file of three channels, or three files of one: ``NAME_yellow``, ``NAME_red`` and ``NAME_green``. To read
other names, change :func:`_by_colour`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tomocyte.channels import ChannelSettings, channel_roles, channels_of
from tomocyte.channels.joining import join_channels
from tomocyte.channels.roles import role_by_name
from tomocyte.datasets.files import ITEMS, item_folders, named_images
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import read_volume
from tomocyte.names import natural_key, shown_name
from tomocyte.volume import Volume

COLOURS = ("yellow", "red", "green")
_COLOUR = re.compile(rf"[\s_.-]({'|'.join(COLOURS)})$", re.IGNORECASE)


@dataclass(frozen=True)
class ProbeStack:
    """One stack.

    Parameters
    ----------
    name : str
    files : tuple of Path
        One, or three in the order of :data:`COLOURS`.
    """

    name: str
    files: tuple[Path, ...]

    def open(self) -> Volume:
        """Yellow, red and green, in this order, lazily; with a voxel size.

        Raises
        ------
        MetadataError
            ``E-CHANNEL``: a channel is missing or not known by its name; ``E-CHANNEL-SHAPE``, ``E-CHANNEL-FILE``: files
            that do not fit; ``E-VOXEL-SIZE``.
        InputError
            ``E-FRAMES``: several time points.
        """
        if len(self.files) == 1:
            volume = _in_order(read_volume(self.files[0]))
        else:
            volume = join_channels(dict(zip(COLOURS, map(read_volume, self.files), strict=True)))
        if volume.n_frames > 1:
            raise InputError(
                "E-FRAMES",
                f"{volume.n_frames} time points; a stack to learn from has one.",
                path=self.files[0],
                cure="Give one file per time point.",
            )
        return volume


def probe_stacks(folder: Path) -> list[ProbeStack]:
    """The stacks of a folder, or of the output folder of ``tomocyte simulate``, by name.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no such folder, or no stack in it; ``E-CHANNEL``: one of the three files of a stack is missing.
    """
    if not folder.is_dir():
        raise InputError("E-NO-DATA", "no such folder.", path=folder, cure="Give the folder of the stacks with --data.")
    if (folder / ITEMS).is_dir():
        images = {place.name: path for place in item_folders(folder) if (path := named_images(place).get(place.name))}
    else:
        images = named_images(folder)
    groups, stacks = _by_colour(images), []
    for name, files in groups.items():
        missing = [colour for colour in COLOURS if colour not in files]
        if missing:
            raise InputError(
                "E-CHANNEL",
                f"{shown_name(name)} has {', '.join(files)}, but no {' and no '.join(missing)}.",
                path=next(iter(files.values())),
                cure=f"Give {', '.join(f'{name}_{colour}' for colour in missing)} beside it.",
            )
        stacks.append(ProbeStack(shown_name(name), tuple(files[colour] for colour in COLOURS)))
    taken = {path for files in groups.values() for path in files.values()}
    stacks += [ProbeStack(shown_name(name), (path,)) for name, path in images.items() if path not in taken]
    if not stacks:
        raise InputError(
            "E-NO-DATA", "no image in it.", path=folder, cure="Give stacks with yellow, red and green channels."
        )
    return sorted(stacks, key=lambda stack: natural_key(stack.name))


def _by_colour(images: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Files whose name ends with a colour, by the name before it."""
    groups: dict[str, dict[str, Path]] = {}
    for name, path in images.items():
        match = _COLOUR.search(name)
        if match:
            groups.setdefault(name[: match.start()], {})[match[1].lower()] = path
    return groups


def _in_order(volume: Volume) -> Volume:
    """The three channels of one file."""
    names = volume.channel_names or ("",) * volume.n_channels
    if volume.n_channels < 3:
        raise MetadataError(
            "E-CHANNEL",
            f"{volume.n_channels} channels; yellow, red and green are needed.",
            path=volume.path,
            cure="Give stacks of three channels, or NAME_yellow, NAME_red and NAME_green.",
        )
    roles = channel_roles(names, ChannelSettings())
    green = role_by_name(names, "green")
    others = [index for index in range(volume.n_channels) if index not in (roles.yellow, roles.red)]
    if green is None and len(others) > 1:
        raise MetadataError(
            "E-CHANNEL",
            f"none of {', '.join(volume.channels)} is called green.",
            path=volume.path,
            cure="Name the channel of the probe green, or leave out the other channels.",
        )
    indices = (roles.yellow, roles.red, others[0] if green is None else green)
    return channels_of(volume, [volume.channels[index] for index in indices]).with_properties(channel_names=COLOURS)
