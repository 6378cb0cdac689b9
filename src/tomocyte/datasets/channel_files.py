"""Several files, one per channel, that a user names as one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tomocyte.channels.joining import join_channels
from tomocyte.errors import InputError, MissingFact, SettingsError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.volume import Volume


def parse_channel_files(arguments: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` arguments as files by the name of their channel.

    Raises
    ------
    SettingsError
        ``E-CHANNEL-FILE``: without ``=``, a name twice, or files in different folders.
    InputError
        ``E-NOT-FOUND``.
    """
    files: dict[str, Path] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator or not name.strip() or not text:
            cure = "Give NAME=FILE for each channel, e.g. --channel-file yellow=a.tif red=b.tif."
            raise SettingsError("E-CHANNEL-FILE", f"{argument!r} names no channel.", cure=cure)
        if name.strip() in files:
            raise SettingsError("E-CHANNEL-FILE", f"{name!r} is given twice.", cure="Give one file for each channel.")
        files[name.strip()] = Path(text)
    for path in files.values():
        if not path.exists():
            raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    if len({path.resolve() for path in files.values()}) < len(files):
        raise SettingsError("E-CHANNEL-FILE", "one file is given twice.", cure="Give one file for each channel.")
    if len({path.parent.resolve() for path in files.values()}) > 1:
        cure = "Copy or link them into one folder."
        raise SettingsError("E-CHANNEL-FILE", "the files of one input lie in different folders.", cure=cure)
    return files


def read_channel_files(
    files: Mapping[str, Path],
    options: ReadOptions | None = None,
    *,
    is_size_required: bool = True,
    lacks: Callable[[Volume], Sequence[MissingFact]] = Volume.missing_facts,
) -> Volume:
    """The volume of all channels; arguments and errors as of :func:`tomocyte.formats.read_volume`.

    Raises
    ------
    MetadataError
        Also ``E-CHANNEL-SHAPE`` and ``E-CHANNEL-FILE``: the files do not fit each other.
    """
    alone = replace(options or ReadOptions(), is_alone=True)
    volumes = {
        name: read_volume(path, alone, is_size_required=is_size_required, lacks=lacks) for name, path in files.items()
    }
    return join_channels(volumes)
