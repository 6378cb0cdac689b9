"""Which columns a table of objects has when the image has several channels, and what they are called.

A measurement that does not look at the image gives one column. One that does gives a column for each channel that
holds its quantity: under its own name when there is one such channel, else as ``<measurement>_<channel>``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.measurements.registry import Measurement, check_unique, select_measurements

FLAGS = ("is_cut", "is_cut_lateral", "is_cut_z")
CENTRE = ("z_um", "y_um", "x_um")


def object_measurements(
    names: Sequence[str],
    *,
    channel_names: Sequence[str] = (),
    channel_quantities: Sequence[str | None] = (),
    extra_measurements: Sequence[Callable[..., Any]] = (),
) -> list[Measurement]:
    """The columns that :func:`~tomocyte.measurements.measure` makes, in their order, with what they mean.

    Parameters
    ----------
    names : sequence of str
        Names of registered measurements of objects.
    channel_names : sequence of str
        One per channel; empty for an image of one channel.
    channel_quantities : sequence of str, optional
        What each channel holds, e.g. ``refractive_index``; ``None`` for unknown. Empty: unknown for all, and every
        channel is measured.
    extra_measurements : sequence of callable
        The user's own functions, each with a docstring; their columns come last.

    Returns
    -------
    list of Measurement
        Each with its column's ``name`` and its ``channel`` (``None`` when it does not look at the image).

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-NAME``, ``E-MEASUREMENT-KIND``, ``E-MEASUREMENT-CLASH``, ``E-MEASUREMENT-QUANTITY`` (no channel
        holds what a measurement needs).
    MetadataError
        ``E-CHANNEL``: not one quantity per channel.

    Examples
    --------
    >>> [one.name for one in object_measurements(["volume_um3", "mean_intensity"], channel_names=["DAPI", "Actin 488"])]
    ['volume_um3', 'mean_intensity_dapi', 'mean_intensity_actin_488']
    """
    selected = select_measurements(names, "object", extra_measurements=extra_measurements, reserved=(*FLAGS, *CENTRE))
    n_channels = max(1, len(channel_names), len(channel_quantities))
    if channel_quantities and len(channel_quantities) != n_channels:
        raise MetadataError(
            "E-CHANNEL",
            f"{len(channel_quantities)} quantities for {n_channels} channels.",
            cure="Give one quantity per channel, None where it is unknown.",
        )
    labels = list(channel_names) or [""] * n_channels
    quantities = list(channel_quantities) or [None] * n_channels
    suffixes = channel_suffixes(labels)
    columns: list[Measurement] = []
    for entry in selected:
        if entry.quantity is None:
            columns.append(entry)
            continue
        fitting = [index for index, held in enumerate(quantities) if entry.quantity in ("any", held) or held is None]
        if not fitting:
            raise SettingsError(
                "E-MEASUREMENT-QUANTITY",
                f"{entry.name} needs {entry.quantity}; the image holds {', '.join(map(str, quantities))}.",
                cure="Leave it out, or give the image that it is meant for.",
            )
        if len(fitting) == 1:
            columns.append(replace(entry, channel=fitting[0]))
        else:
            columns += [_on_channel(entry, index, suffixes[index], labels[index]) for index in fitting]
    check_unique([*FLAGS, *CENTRE, *(column.name for column in columns)])
    return columns


def channel_suffixes(channel_names: Sequence[str]) -> list[str]:
    """The suffix of each channel in column names: lower case, with ``_`` for anything but letters and digits.

    A name without letters and digits becomes ``channel_<index>``; names that become equal each get their index, counted
    from 0, appended.

    Examples
    --------
    >>> channel_suffixes(["GFP", "Alexa Fluor 488", "α-tubulin", "gfp", "???"])
    ['gfp_0', 'alexa_fluor_488', 'α_tubulin', 'gfp_3', 'channel_4']
    """
    normal = [unicodedata.normalize("NFKC", name).casefold() for name in channel_names]
    safe = [re.sub(r"[\W_]+", "_", name).strip("_") or f"channel_{index}" for index, name in enumerate(normal)]
    # A name with its index may equal another channel's name; that channel then gets its own index, too.
    while len(set(safe)) < len(safe):
        count = Counter(safe)
        safe = [f"{name}_{index}" if count[name] > 1 else name for index, name in enumerate(safe)]
    return safe


def _on_channel(entry: Measurement, index: int, suffix: str, label: str) -> Measurement:
    where = f"channel {label}" if label.strip() else f"channel {index}"
    meaning = f"{entry.column.meaning.rstrip('.')}, {where}."
    return replace(entry, column=replace(entry.column, name=f"{entry.name}_{suffix}", meaning=meaning), channel=index)
