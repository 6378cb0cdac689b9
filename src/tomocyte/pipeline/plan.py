"""The plan of one input: everything that will be done, decided before a voxel is segmented.

``auto`` and defaults exist in the settings; here they have become names and numbers, and nowhere else. The plan is
frozen
and can be printed: ``--dry-run`` and ``run.json`` show it. To let a run decide something new, add a field to the plan
and resolve it in :func:`plan_run`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tomocyte.modalities import Modality
from tomocyte.notices import Notice
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Origin, VoxelSize

if TYPE_CHECKING:
    from tomocyte.channels import Roles
    from tomocyte.corrections.edits import EditList
    from tomocyte.models import ModelCard
    from tomocyte.models.cascade import PlannedCascade
    from tomocyte.simulation.physics.optics import OdtInstrument
    from tomocyte.tables import Column

CLASSICAL = "classical"
MASKS = "masks"
"""What stands for the model where the masks are given."""
AS_FOUND = "as-found"
ConfidenceMethod = Literal["none", "single", "flips", "ensemble"]


@dataclass(frozen=True)
class Channel:
    """One channel of the input.

    Parameters
    ----------
    name : str
    quantity, unit : str
        What a voxel means when it has been read and, where that is asked for, converted.
    """

    name: str
    quantity: str
    unit: str


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be done with one input.

    Parameters
    ----------
    settings : RunSettings
        With ``model`` resolved.
    modality : Modality
    channels : tuple of Channel
        All channels of the input, then those that are derived from them; every one is measured.
    segmented : int
        The channel that is segmented.
    voxel_size_um : tuple of 3 float
    converts : bool
        Whether the segmented channel is converted into the modality's own quantity when it is read.
    medium_ri : float, "background" or None
        Given, or to be measured in each frame.
    medium_origin : str or None
    model : str or None
        Name or folder of the trained model; none: the classical engine alone.
    card : ModelCard or None
        Of that model.
    model_channels : tuple of int
        The channels that it sees.
    engine : mapping or None
        What computes the model: engine, device, precision and version.
    classical : SegmentationSettings
        For what the model does not find.
    confidence : {"none", "single", "flips", "ensemble"}
        How the model says how sure it is.
    is_confidence_required : bool
        Whether it is an error if the model cannot say.
    cells : str
        ``network``, ``watershed``, ``components`` or ``as-found``.
    cells_model : str or None
        Name or folder of the network that tells cells apart.
    cells_card : ModelCard or None
        Of that network.
    refinement_card : ModelCard or None
        Of the network that refines surfaces.
    main : str
        What the main objects, ``cell`` inside the program, are called in tables and files.
    measurements : tuple of str
        Columns, in order.
    pair_measurements : tuple of str
        Columns of the table of pairs; none: no such table.
    extra_measurements : tuple of callable
        Further measurements from Python.
    stages : tuple of str
        The steps, in order.
    edits : EditList or None
        Corrections by hand.
    notices : tuple of Notice
        What a user must know already now.
    left_out_model_sha256 : str or None
        Of the card of a model that does not fit this input; with another model it might.
    cascade : PlannedCascade or None
        Several networks, one after the other, in the place of one model.
    masks : mapping of str to Path
        Structure -> file of the user's own masks, in the place of a segmentation.
    optics : OdtInstrument or None
        The tomograph, where it is known.
    optics_origin : str or None
    n_frames : int
    roles : Roles or None
        Which channels give the derived ones, where there are any.
    """

    settings: RunSettings
    modality: Modality
    channels: tuple[Channel, ...]
    segmented: int
    voxel_size_um: VoxelSize
    converts: bool
    medium_ri: float | Literal["background"] | None
    medium_origin: Origin | None
    model: str | None
    card: ModelCard | None
    model_channels: tuple[int, ...]
    engine: Mapping[str, str | int] | None
    classical: SegmentationSettings
    confidence: ConfidenceMethod
    is_confidence_required: bool
    cells: str
    cells_model: str | None
    cells_card: ModelCard | None
    main: str
    measurements: tuple[str, ...]
    pair_measurements: tuple[str, ...]
    extra_measurements: tuple[Callable[..., float], ...]
    stages: tuple[str, ...]
    edits: EditList | None
    notices: tuple[Notice, ...]
    left_out_model_sha256: str | None = None
    cascade: PlannedCascade | None = None
    refinement_card: ModelCard | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    optics: OdtInstrument | None = None
    optics_origin: Origin | None = None
    n_frames: int = 1
    roles: Roles | None = None

    @property
    def channel(self) -> Channel:
        """The channel that is segmented."""
        return self.channels[self.segmented]

    @property
    def checked(self) -> int:
        """The channel as it is read whose values must fit the modality."""
        return self.segmented if self.roles is None else self.roles.yellow

    @property
    def channels_as_read(self) -> tuple[Channel, ...]:
        """What each channel holds until beads give the scale of the segmented one; else :attr:`channels`."""
        if self.settings.lac_from_beads is None:
            return self.channels
        grey = Channel(self.channel.name, "intensity", self.modality.unit_of("intensity"))
        return tuple(grey if channel is self.channel else channel for channel in self.channels)

    @property
    def has_contrast(self) -> bool:
        """Whether what is sought may be dark: grey values of a modality of which archives keep both kinds."""
        is_grey = self.channels_as_read[self.segmented].quantity == "intensity" or self.converts
        return self.modality.may_be_dark and is_grey and not self.masks

    @property
    def engine_name(self) -> str:
        """What segments where no trained model does."""
        if self.cascade is not None:
            return self.cascade.cascade.name
        return MASKS if self.masks else CLASSICAL

    def _derived(self, roles: Roles) -> dict[str, Any]:
        ratio = self.settings.channels.ratio
        yellow, red = (self.channels[index].name for index in (roles.yellow, roles.red))
        return {
            "names": list(self.modality.derived_channels),
            "yellow": yellow,
            "red": red,
            "registration": self._registration,
            "direction": ratio.direction,
            "background": ratio.background,
            "floor": ratio.floor,
        }

    @property
    def _registration(self) -> str:
        choice = self.settings.channels.registration
        return choice if isinstance(choice, str) else f"by a file ({choice.source or 'without a source'})"

    def name_of(self, structure: str) -> str:
        """What a structure is called in tables and files."""
        return self.main if structure == "cell" else structure

    def columns(self) -> tuple[Column, ...]:
        """What the measured columns mean, one for each channel that a measurement looks at."""
        from tomocyte.measurements import object_measurements

        measured = object_measurements(
            self.measurements,
            channel_names=[channel.name for channel in self.channels],
            channel_quantities=[channel.quantity for channel in self.channels],
            extra_measurements=self.extra_measurements,
        )
        return tuple(measurement.column for measurement in measured)

    def describe(self) -> dict[str, Any]:
        """The plan as JSON, for ``run.json`` and ``--dry-run``."""
        return {
            "stages": list(self.stages),
            "modality": self.modality.name,
            "channels": [
                {"name": channel.name, "quantity": channel.quantity, "unit": channel.unit} for channel in self.channels
            ],
            "segmented_channel": self.channel.name,
            "derived_channels": None if self.roles is None else self._derived(self.roles),
            "voxel_size_um": [None if math.isnan(size) else size for size in self.voxel_size_um],
            "medium_ri": self.medium_ri,
            "medium_origin": self.medium_origin,
            "masks": {structure: path.name for structure, path in self.masks.items()},
            "instrument": None if self.optics is None else self.optics.model_dump(mode="json"),
            "instrument_origin": self.optics_origin,
            "model": self.engine_name if self.card is None else f"{self.card.name} {self.card.version}",
            "cascade": None if self.cascade is None else self.cascade.describe(),
            "model_channels": [self.channels[index].name for index in self.model_channels],
            "engine": None if self.engine is None else dict(self.engine),
            "confidence": self.confidence,
            "cells": self.cells if self.cells_card is None else f"{self.cells_card.name} {self.cells_card.version}",
            "refinement": self.settings.refinement.method
            if self.refinement_card is None
            else f"{self.refinement_card.name} {self.refinement_card.version}",
            "classical": json.loads(self.classical.model_dump_json()),
            "main_structure": self.main,
            "measurements": [*self.measurements, *self.pair_measurements],
            "extra_measurements": [function.__name__ for function in self.extra_measurements],
            "n_edits": 0 if self.edits is None else len(self.edits.edits),
        }
