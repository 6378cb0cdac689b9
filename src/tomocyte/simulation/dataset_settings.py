"""The settings of one kind of simulated field: cells, grid, microscope, domain.

What belongs to one instrument alone (the ranges of its degradation) comes from its file in ``instruments/``. To add a
knob for all, add a field here and use it in ``dataset.py`` or ``imaging.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import (
    Field,
    PositiveInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from tomocyte.settings import Settings
from tomocyte.simulation.cells.motion import MotionSettings
from tomocyte.simulation.cells.settings import SceneSettings, Shift
from tomocyte.simulation.instruments import instrument, instrument_names, overlaid
from tomocyte.volume import VoxelSize


class DatasetSettings(Settings):
    """One kind of simulated field.

    As a mapping, and on disk, :attr:`ranges` stands under the name of its instrument: ``odt_ranges``, ``qpi_ranges``.
    A mapping may name a ``case`` of its instrument, which stands for the settings that make it.
    """

    modality: str = "odt"
    """Instrument, a file of :mod:`tomocyte.simulation.instruments`: ``odt`` makes tomograms of refractive index,
    ``qpi`` images of dry-mass density, ``sxt`` soft X-ray tomograms of linear absorption coefficients,
    ``nile_red`` stacks of Nile Red in two bands."""
    preset: str = "HeLa"
    """Cell line, a name of :data:`tomocyte.simulation.cells.presets.CELL_LINES`."""
    instrument: str = ""
    """Microscope, a variant of the instrument; empty for its default one, ``HT-2H`` (odt), ``HT-2H-2D`` (qpi),
    ``XM-2`` (sxt) or ``spinning-disk`` (nile_red)."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 192, 192)
    """Z, Y, X of the field; for qpi, Z planes are what the light goes through."""
    voxel_size_um: VoxelSize = (0.39, 0.195, 0.195)
    """z, y, x in µm."""
    n_cells: tuple[PositiveInt, PositiveInt] = (3, 5)
    """Cells per field, both ends included, drawn uniformly; fewer of the range where the drawn cells do not fit."""
    n_frames: PositiveInt = 1
    """Time points; with 2 or more the cells move by ``motion``."""
    shift: Shift = "none"
    """Domain of the optics (noise, fringes, beams); the domain of the cells is ``scene.shift``."""
    scene: SceneSettings = SceneSettings()
    """Ranges of the cells."""
    motion: MotionSettings = MotionSettings()
    """How the cells change over time."""
    ranges: SerializeAsAny[Settings] | None = None
    """Ranges of the instrument's degradation; what a mapping leaves out is that of ``shift``."""
    is_multiple_scattering: bool = False
    """Whether light may scatter more than once (odt): fields by multi-slice propagation, then their reconstruction."""
    is_coarse_grid_allowed: bool = True
    """Whether voxels coarser than Nyquist of the optics are accepted (the tomogram is low-passed to the grid)."""
    frame_drop_share: float = Field(default=0.0, ge=0, le=0.8)
    """Share of the frames after the first that are lost; times stay true and so become irregular."""
    stage_drift_um: float = Field(default=0.0, ge=0, le=5)
    """Standard deviation of the stage's random step (y, x) between frames in µm; labels move along."""

    @model_validator(mode="before")
    @classmethod
    def _take_named_ranges(cls, content: Any) -> Any:
        """``odt_ranges`` and its like, as :attr:`ranges`."""
        if not isinstance(content, dict):
            return content
        result = dict(content)
        modality = result.get("modality", "odt")
        for name in instrument_names():
            value = result.pop(f"{name}_ranges", None)
            if value is None:
                continue
            if name != modality:
                raise ValueError(f"{name}_ranges belongs to {name}, and the modality is {modality}")
            if result.get("ranges") is not None:
                raise ValueError(f"both ranges and {name}_ranges are given")
            result["ranges"] = value
        return result

    @model_validator(mode="before")
    @classmethod
    def _take_defaults(cls, content: Any) -> Any:
        """What the instrument, its variant, the cell line and a named ``case`` set, where nothing else is given."""
        if not isinstance(content, dict) or content.get("modality", "odt") not in instrument_names():
            return content
        defaults = instrument(content.get("modality", "odt")).defaults_of(content)
        given = {key: value for key, value in content.items() if key != "case"}
        scene = given.get("scene")
        if isinstance(scene, SceneSettings) and defaults.get("scene"):
            given["scene"] = {name: getattr(scene, name) for name in scene.model_fields_set}
        return overlaid(defaults, given)

    @field_validator("modality")
    @classmethod
    def _is_instrument(cls, name: str) -> str:
        if name not in instrument_names():
            raise ValueError(f"should be {' or '.join(instrument_names())}")
        return name

    @field_validator("ranges", mode="before")
    @classmethod
    def _of_instrument(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or "modality" not in info.data:
            return None
        kind = instrument(info.data["modality"])
        if isinstance(value, Mapping) and "shift" in info.data:
            value = overlaid(kind.ranges_of(info.data["shift"]).model_dump(), value)
        return kind.ranges_class.model_validate(value)

    @model_serializer(mode="wrap")
    def _under_its_name(self, as_mapping: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in as_mapping(self).items():
            if key == "ranges":
                content |= {f"{name}_ranges": value if name == self.modality else None for name in instrument_names()}
            else:
                content[key] = value
        return content
