"""Made truth: cells as continuous shapes, in space and time, with what is known about each of them.

Geometry lives in ``shapes`` (and its ``kernels``), cell lines in ``presets`` (one row each), the making of cells in
``plan``, ``bodies``, ``organelles``, ``composition`` and ``field``, time in ``motion``, numbers in ``truth``. Image
formation is in its own modules on top of :class:`~tomocyte.simulation.scene.Rendered`.
"""

from __future__ import annotations

from tomocyte.simulation.field import simulate_scene
from tomocyte.simulation.motion import EXPERIMENTS, MotionSettings, simulate_timelapse
from tomocyte.simulation.presets import CELL_LINES, cell_line
from tomocyte.simulation.scene import STRUCTURES, Cell, Part, Rendered, Scene
from tomocyte.simulation.settings import SceneSettings
from tomocyte.simulation.truth import truth_table

__all__ = [
    "CELL_LINES",
    "EXPERIMENTS",
    "STRUCTURES",
    "Cell",
    "MotionSettings",
    "Part",
    "Rendered",
    "Scene",
    "SceneSettings",
    "cell_line",
    "simulate_scene",
    "simulate_timelapse",
    "truth_table",
]
