"""How labelled images are named and read: one frozen class.

To add a setting, add a field with its meaning here and use it in :mod:`tomocyte.datasets.labelled`.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tomocyte.channels import ChannelSettings
from tomocyte.settings import Settings


class LabelledSettings(Settings):
    """Which files of a folder are labelled images, and how they are read."""

    structures: tuple[str, ...] = ()
    """Structures whose label images are read; empty: every one that a data set holds."""
    image_suffix: str = ""
    """Folders of pairs: how image names end before the file type, e.g. ``_raw``."""
    label_suffix: str | None = None
    """Folders of pairs: how label names end in place of ``image_suffix``, e.g. ``_instances``; empty: ``_STRUCTURE``,
    ``_instances``, ``_labels`` or ``_mask``."""
    group_pattern: str | None = Field(default=None, max_length=200)
    """Regular expression found in an image's name; its first group (or all of it) names the cell, so that several
    images of one cell stay together, e.g. ``cell\\d+``. Empty: every image is a cell, or several, of its own."""
    stored_pixel_size_um: tuple[float, float] | None = None
    """Pixel size y, x in µm of planar images that do not carry one."""
    stored_voxel_size_um: tuple[float, float, float] | None = None
    """Voxel size z, y, x in µm of stacks that do not carry one."""
    stored_axes: str | None = Field(default=None, pattern=r"^[TCZYXtczyx]{2,5}$")
    """Axes of stored images that do not name them, in order, one letter of TCZYX each, e.g. ``ZYX``; label images have
    the same without C."""
    channels: tuple[str, ...] = Field(default=(), max_length=16)
    """Channels of the images that are read, by name and in this order; ``intensity`` and ``ratio`` are made of a yellow
    and a red one. Empty: all, as they are stored."""
    channel_roles: ChannelSettings = ChannelSettings()
    """``intensity`` and ``ratio``: which channels are yellow and red, and how the ratio is taken."""
    unions: dict[str, tuple[str, ...]] = Field(default_factory=dict, max_length=16)
    """Names for several structures together, which ``structures`` may hold, and ``channels`` too: as a mask, 1 inside
    any of them."""
    ignore_label: int | None = Field(default=None, ge=1)
    """Label value of unlabelled voxels; they give no loss."""
    slices_without_labels: Literal["background", "unlabelled"] = "background"
    """What a z slice without any label is in a label image: empty, or not labelled yet (only some slices were painted);
    unlabelled slices give no loss and no score."""
    weights: Literal["equal", "certainty"] = "equal"
    """``certainty``: the loss counts each voxel by 1 - uncertainty where ``NAME_uncertainty`` lies beside the label
    image NAME, as ``tomocyte propagate --uncertainty-map`` writes it; in full where there is no map."""

    @model_validator(mode="after")
    def _one_stored_size(self) -> LabelledSettings:
        if self.stored_pixel_size_um is not None and self.stored_voxel_size_um is not None:
            raise ValueError("give 'stored_pixel_size_um' or 'stored_voxel_size_um', not both")
        return self

    @field_validator("channels")
    @classmethod
    def _each_channel_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each channel can be given once")
        return names

    @field_validator("group_pattern")
    @classmethod
    def _is_an_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as problem:
            raise ValueError(f"not a regular expression: {problem}") from problem
        return pattern

    @property
    def stored_structures(self) -> tuple[str, ...]:
        """Structures whose label images are looked for.

        Examples
        --------
        >>> parts = {"reticulum": ("endoplasmic_reticulum", "nuclear_membrane")}
        >>> LabelledSettings(structures=("nuclear_membrane",), channels=("reticulum",), unions=parts).stored_structures
        ('nuclear_membrane', 'endoplasmic_reticulum')
        """
        wanted = (*self.structures, *(name for name in self.channels if name in self.unions))
        return tuple(dict.fromkeys(part for name in wanted for part in self.unions.get(name, (name,))))

    def group_of(self, name: str) -> str:
        """The group of an image, from its name.

        Examples
        --------
        >>> LabelledSettings(group_pattern=r"cell(\\d+)").group_of("cell12-z003")
        '12'
        """
        match = re.search(self.group_pattern, name) if self.group_pattern else None
        return name if match is None else match.group(1 if match.re.groups else 0)
