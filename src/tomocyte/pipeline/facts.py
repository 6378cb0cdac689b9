"""What the record of an input says about it beside its outputs."""

from __future__ import annotations

import json
from typing import Any

from tomocyte.settings import Settings
from tomocyte.volume import Vector


class ItemFacts(Settings):
    """Facts of one analysed input, as they stand in its commit record and in ``facts.json``."""

    shape_tczyx: tuple[int, int, int, int, int]
    """Of the input."""
    dtype: str
    """Type of the stored voxels."""
    voxel_size_um: tuple[float | None, float, float]
    """z, y, x; z is empty for a plane without thickness."""
    quantity: str
    """What a voxel of the segmented channel means, after conversion."""
    unit: str
    """Its unit."""
    time_s: tuple[float, ...] | None
    """Of each frame, where it is known."""
    medium_ri: tuple[float | None, ...]
    """Refractive index of the medium, of each frame."""
    affine: tuple[Vector, Vector, Vector, Vector] | None = None
    """Where the voxels lie, if the input says it: steps along z, y, x and the first voxel, each x, y, z."""
    affine_unit: str | None = None
    """``um``, or empty where the input does not name it."""
    origin: dict[str, str]
    """Where each property came from: file, user, measured or simulated."""
    modality: str
    """Its name."""
    model: str
    """Name of the trained model, or ``classical``."""
    primary: str
    """What the main objects are called."""
    channel: int
    """The channel that was segmented."""
    is_simulated: bool
    """Whether the input is simulated."""
    n_objects: dict[str, int]
    """Per structure, over all frames."""
    n_masked_voxels: int
    """Voxels that were NaN or infinite, over all frames."""
    plan: dict[str, Any]
    """Everything that was decided before anything was segmented."""
    columns: tuple[dict[str, str], ...] = ()
    """What columns mean that only this input has: those of its channels, and the user's own measurements."""
    histogram: dict[str, Any]
    """Of the first frame."""
    trained_model: dict[str, Any] | None = None
    """Which weights computed, on what."""
    left_out_model: str | None = None
    """SHA-256 of the card of a model that does not fit this input."""
    cells: dict[str, Any] | None = None
    """How cells were told apart, with counts."""
    domain: tuple[dict[str, Any], ...] | None = None
    """How each frame compares with the model's training images."""
    object_diameter_um: tuple[float | None, ...] | None = None
    """Of each frame, the objects' typical diameter where scales of the classical engine follow it; empty where nothing
    stands out of the noise."""
    refinement: tuple[dict[str, Any], ...] | None = None
    """Of each frame, how much the refinement of surfaces changed."""
    absorption: tuple[dict[str, Any], ...] | None = None
    """Of each frame, how the beads turned grey values into linear absorption coefficients."""
    channels: tuple[dict[str, Any], ...] | None = None
    """Of each frame, what was subtracted from its channels before their ratio was taken, and how it was."""
    missing_cone: tuple[dict[str, Any], ...] | None = None
    """Of each tomogram, how index and dry mass were corrected for missing frequencies."""
    tracking: dict[str, Any] | None = None
    """Tracks and divisions of a time-lapse, and what it showed to be likely."""
    previews: tuple[dict[str, Any], ...] = ()
    """Small pictures for the report: of each its file and frame, and which cell or plane is on which tile."""
    edits: dict[str, Any] | None = None
    """Corrections by hand."""
    cascade: dict[str, Any] | None = None
    """The networks that were applied one after the other, with their hashes."""
    masks: dict[str, Any] | None = None
    """Files of the user's own masks by structure, and the hash of their content."""

    def as_json(self) -> dict[str, Any]:
        """What is written: facts that do not apply are left out."""
        content: dict[str, Any] = json.loads(self.model_dump_json(exclude_none=False))
        optional = (
            "affine", "affine_unit", "trained_model", "left_out_model", "cells", "domain", "object_diameter_um",
            "refinement", "absorption", "channels", "missing_cone", "tracking", "edits", "cascade", "masks",
        )  # fmt: skip
        return {name: value for name, value in content.items() if not (name in optional and value is None)}
