"""The settings of one kind of simulated field: cells, grid, microscope, domain.

To add a knob, add a field here and use it in ``dataset.py`` or ``imaging.py``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from tomocyte.settings import Settings
from tomocyte.simulation.cells.motion import MotionSettings
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.physics.degradation import OdtRanges, QpiRanges, Shift
from tomocyte.volume import VoxelSize


class DatasetSettings(Settings):
    """One kind of simulated field."""

    modality: Literal["odt", "qpi"] = "odt"
    """Tomograms of refractive index, or images of dry-mass density."""
    preset: str = "HeLa"
    """Cell line, a name of :data:`tomocyte.simulation.cells.presets.CELL_LINES`."""
    instrument: str = ""
    """Microscope, a name of the modality's presets; empty for ``HT-2H`` (odt) and ``HT-2H-2D`` (qpi)."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 192, 192)
    """Z, Y, X of the field; for qpi, Z planes are what the light goes through."""
    voxel_size_um: VoxelSize = (0.39, 0.195, 0.195)
    """z, y, x in µm."""
    n_cells: tuple[PositiveInt, PositiveInt] = (3, 5)
    """Cells per field, both ends included, drawn uniformly; fewer of the range where the drawn cells do not fit."""
    n_frames: PositiveInt = 1
    """Time points; from 2 on the cells move as ``motion`` says."""
    shift: Shift = "none"
    """Domain of the optics (noise, fringes, beams); the domain of the cells is ``scene.shift``."""
    scene: SceneSettings = SceneSettings()
    """Ranges of the cells."""
    motion: MotionSettings = MotionSettings()
    """How the cells change over time."""
    odt_ranges: OdtRanges | None = None
    """Instead of the ranges of ``shift``."""
    qpi_ranges: QpiRanges | None = None
    """Instead of the ranges of ``shift``."""
    is_multiple_scattering: bool = False
    """Whether light may scatter more than once (odt): fields by multi-slice propagation, then their reconstruction."""
    is_coarse_grid_allowed: bool = True
    """Whether voxels coarser than Nyquist of the optics are accepted (the tomogram is low-passed to the grid)."""
    frame_drop_share: float = Field(default=0.0, ge=0, le=0.8)
    """Share of the frames after the first that are lost; times stay true and so become irregular."""
    stage_drift_um: float = Field(default=0.0, ge=0, le=5)
    """Standard deviation of the stage's random step (y, x) between frames in µm; labels move along."""
