"""Which channel of a file is which: by what the user gives, else by its name, else by its place.

To let a further channel have a role, add it to :class:`ChannelSettings` and to :data:`BANDS_NM`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tomocyte.channels.ratio import RatioSettings
from tomocyte.channels.registration_file import RegistrationFile, load_registration
from tomocyte.errors import MetadataError, SettingsError
from tomocyte.settings import Settings

ChannelName = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=200)]

BANDS_NM = {"yellow": (580, 653), "red": (665, 705)}
"""Emission of Nile Red that each role collects, in nm."""
ROLES = ("yellow", "red", "green")


class ChannelSettings(Settings):
    """Which channels there are, and what becomes of them."""

    yellow: ChannelName | None = None
    """Channel of the shorter wavelengths (580 to 653 nm), by index or name; empty: by its name, else the first."""
    red: ChannelName | None = None
    """Channel of the longer wavelengths (665 to 705 nm), by index or name; empty: by its name, else the second."""
    registration: Literal["none", "auto"] | RegistrationFile = "none"
    """Whether the other channels are laid on yellow first: ``none``; ``auto``: as the first frame itself shows; or the
    content of a file that ``tomocyte register`` wrote (its path may be given)."""
    ratio: RatioSettings = RatioSettings()
    """How they become intensity and ratio."""

    @field_validator("registration", mode="before")
    @classmethod
    def _is_read(cls, given: object) -> object:
        is_path = isinstance(given, Path) or (isinstance(given, str) and given not in ("none", "auto"))
        return load_registration(Path(str(given))) if is_path else given


@dataclass(frozen=True)
class Roles:
    """Indices of the channels of a polarity stain.

    Parameters
    ----------
    yellow, red : int
    is_assumed : bool
        Whether nothing but the order of the channels says which is which.
    """

    yellow: int
    red: int
    is_assumed: bool = False


def channel_roles(names: Sequence[str], settings: ChannelSettings) -> Roles:
    """Which channel is yellow and which is red.

    Parameters
    ----------
    names : sequence of str
        Of all channels, empty for one without a name; a colour in the name or a wavelength in nm tells its role.
    settings : ChannelSettings

    Raises
    ------
    MetadataError
        ``E-CHANNEL``: fewer than two channels, or none of a name or index that is given.
    SettingsError
        ``E-CHANNEL-ROLE``: one channel for both.

    Examples
    --------
    >>> channel_roles(["NR red", "NR yellow"], ChannelSettings())
    Roles(yellow=1, red=0, is_assumed=False)
    >>> channel_roles(["", ""], ChannelSettings())
    Roles(yellow=0, red=1, is_assumed=True)
    """
    if len(names) < 2:
        raise MetadataError(
            "E-CHANNEL",
            "a ratio needs two channels, yellow and red; there is one.",
            cure="Give both, e.g. with --channel-file yellow=FILE red=FILE.",
        )
    given = {
        role: None if wish is None else _index(wish, names)
        for role, wish in (("yellow", settings.yellow), ("red", settings.red))
    }
    named = {role: given[role] if given[role] is not None else role_by_name(names, role) for role in ("yellow", "red")}
    if named["yellow"] == named["red"] is not None:
        named = given
    is_assumed = None in named.values()
    for role, other, place in (("yellow", "red", 0), ("red", "yellow", 1)):
        if named[role] is None:
            named[role] = place if named[other] != place else 1 - place
    yellow, red = named["yellow"], named["red"]
    if yellow is None or red is None or yellow == red:
        raise SettingsError(
            "E-CHANNEL-ROLE",
            f"channel {yellow} cannot be both yellow and red.",
            cure="Give two, e.g. --set channels.yellow=0 --set channels.red=1.",
        )
    return Roles(yellow, red, is_assumed)


def role_names(names: Sequence[str], roles: Roles) -> dict[int, tuple[str, ...]]:
    """By what names each channel may stand in a registration: its own, and its role's.

    Examples
    --------
    >>> role_names(["w1", "w2"], Roles(1, 0))
    {0: ('red', 'w1'), 1: ('yellow', 'w2')}
    """
    own = {roles.yellow: "yellow", roles.red: "red"}
    return {index: tuple(filter(None, (own.get(index), name))) for index, name in enumerate(names)}


def role_by_name(names: Sequence[str], role: str) -> int | None:
    """The one channel whose name has a role's colour as a word, or a wavelength (nm) of its band; else ``None``.

    Examples
    --------
    >>> role_by_name(["617/73", "685/40"], "red"), role_by_name(["Red", "Red"], "red")
    (1, None)
    """
    matches = [index for index, name in enumerate(names) if role in re.findall(r"[a-z]+", name.lower())]
    if not matches and role in BANDS_NM:
        low, high = BANDS_NM[role]
        matches = [
            index
            for index, name in enumerate(names)
            if any(low <= int(number) <= high for number in re.findall(r"(?<![\d.])\d{3}(?!\d)", name))
        ]
    return matches[0] if len(matches) == 1 else None


def _index(wish: int | str, names: Sequence[str]) -> int:
    matches = [index for index, name in enumerate(names) if name == wish]
    if len(matches) == 1:
        return matches[0]
    if isinstance(wish, int) and wish < len(names):
        return wish
    known = ", ".join(f"{index} ({name or 'no name'})" for index, name in enumerate(names))
    raise MetadataError("E-CHANNEL", f"there is no channel {wish!r}.", cure=f"Give one of: {known}.")
