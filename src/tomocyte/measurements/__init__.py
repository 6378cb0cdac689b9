"""Door 4: a measurement is a function in this folder; its name is the column.

To add one, write ``def quantity_unit(region: Region) -> float`` in a module here and decorate it with
:func:`tomocyte.measurements.registry.measurement`; it is found by itself. The first line of its docstring is its line
in the data dictionary. A measurement sees the physical image, never the normalised one.
"""

from __future__ import annotations

from tomocyte.measurements._image import PlanesImage
from tomocyte.measurements.measure import measure
from tomocyte.measurements.registry import Measurement, Region, measurement, measurements

__all__ = ["Measurement", "PlanesImage", "Region", "measure", "measurement", "measurements"]
