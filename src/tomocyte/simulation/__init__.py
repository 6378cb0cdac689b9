"""Made truth: cells as continuous shapes, in space and time, with what is known about each of them.

Geometry lives in ``shapes`` (and its ``kernels``), cell lines in ``presets`` (one row each), the making of cells in
``plan``, ``bodies``, ``organelles``, ``composition`` and ``field``, time in ``motion``, numbers in ``truth``. Image
formation is in its own modules on top of :class:`~tomocyte.simulation.scene.Rendered`.
"""

from __future__ import annotations

from tomocyte.simulation.scene import STRUCTURES, Cell, Part, Rendered, Scene

__all__ = ["STRUCTURES", "Cell", "Part", "Rendered", "Scene"]
