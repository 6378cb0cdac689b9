"""Channels of MetaMorph: files ``NAME_w1YFP_s1_t1.TIF``, ``NAME_w2RFP_s1_t1.TIF`` hold one volume."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

NAME = re.compile(
    r"^(?P<stem>.+)_w(?P<number>\d)(?P<label>[^_\d][^_]*|\d{3}[^_]*)(?P<rest>(?:_s\d+)?(?:_t\d+)?\.tiff?)$",
    re.IGNORECASE,
)


def wavelength_files(path: Path) -> dict[str, Path]:
    """The files of the channels of a MetaMorph stack, by the label of the channel, in their order.

    Parameters
    ----------
    path : Path
        Any of them; a label must follow the number, for ``_w1.tif`` alone may be a well.

    Returns
    -------
    dict of str to Path
        Empty unless there are two or more; never raises.
    """
    match = NAME.match(path.name)
    if match is None:
        return {}
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    except OSError:
        return {}
    files: dict[int, tuple[str, Path]] = {}
    for name in names:
        other = NAME.match(name)
        if other is None or (other["stem"], other["rest"].lower()) != (match["stem"], match["rest"].lower()):
            continue
        if int(other["number"]) in files:
            return {}
        files[int(other["number"])] = (other["label"], path.parent / name)
    labels = [label for _, (label, _) in sorted(files.items())]
    if len(files) < 2 or len(set(labels)) < len(labels):
        return {}
    return {label: file for _, (label, file) in sorted(files.items())}


def files_of_wavelengths(paths: Sequence[Path], others: Sequence[tuple[Path, ...]]) -> list[tuple[Path, ...]]:
    """The files of the volume of each path where MetaMorph's names tell them, else those in ``others``."""
    parts = []
    for path, other in zip(paths, others, strict=True):
        files = wavelength_files(path) if len(other) == 1 else {}
        parts.append(tuple(sorted(file.resolve() for file in files.values())) or other)
    return parts
