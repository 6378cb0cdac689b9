"""Registrations in a file: found once, from beads for instance, and applied to other stacks of the same instrument."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from tomocyte.channels.transform import ChannelTransform
from tomocyte.errors import SettingsError
from tomocyte.ledger.atomic import write_atomic
from tomocyte.settings import Settings, build_settings, load_settings

HEAD = """# Registration of channels, written by tomocyte. A place of the reference, counted in um from the centre of
# the field, lies in a channel at translation + magnification * rotated(place); z, y, x.
"""


class ChannelRegistration(Settings):
    """A channel of a registration file."""

    transform: ChannelTransform
    """Where it lies on the reference."""
    correlation: float = Field(default=0.0, ge=-1, le=1)
    """Of the local contrasts of both, once registered."""
    uncertainty_um: tuple[float | None, float, float] | None = None
    """How far halves of the image disagree, z, y, x, divided by two."""


class RegistrationFile(Settings):
    """Where the channels of an instrument lie on one of them."""

    reference: str
    """Name of the channel on which the others are laid."""
    shape_zyx: tuple[int, int, int]
    """Voxels of the stack in which it was found."""
    voxel_size_um: tuple[float | None, float, float]
    """Its voxel size."""
    source: str = ""
    """The file in which it was found."""
    channels: Mapping[str, ChannelRegistration]
    """By name."""


def save_registration(path: Path, content: RegistrationFile) -> None:
    """Write a registration as YAML, whole or not at all."""
    import yaml

    text = yaml.safe_dump(content.model_dump(mode="json", exclude_none=True), sort_keys=False, width=110)
    write_atomic(path, (HEAD + text).encode("utf-8"))


def load_registration(path: Path) -> RegistrationFile:
    """Read a registration.

    Raises
    ------
    SettingsError
        ``E-REGISTRATION-FILE``: no file, or not such a one.
    """
    if not path.is_file():
        raise SettingsError(
            "E-REGISTRATION-FILE", "no such file.", path=path, cure="Give a file that `tomocyte register` wrote."
        )
    try:
        return build_settings(RegistrationFile, load_settings(path))
    except SettingsError as problem:
        raise SettingsError(
            "E-REGISTRATION-FILE",
            "is no registration of channels.",
            path=path,
            cure="Give a file that `tomocyte register` wrote.",
        ) from problem
