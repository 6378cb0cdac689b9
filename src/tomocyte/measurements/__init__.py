"""Door 4: a measurement is a function in a file of this folder; its name is the column.

There are three kinds: of an object (``Region -> float``), of a pair of objects (``Pair -> float``) and of a track
(``Track -> float``). To add one, write ``def quantity_unit(region: Region) -> float`` in a file here, decorated with
:func:`measurement`; it is discovered automatically. The first line of its docstring is its line in the data dictionary,
and the end of its name gives the unit. To add measurements from outside the package, pass the functions as
``extra_measurements``.

A measurement sees the physical image, never the normalised one.
"""

from __future__ import annotations

from tomocyte.measurements._image import PlanesImage
from tomocyte.measurements.channels import object_measurements
from tomocyte.measurements.measure import measure
from tomocyte.measurements.pair_table import measure_pairs
from tomocyte.measurements.registry import (
    Measurement,
    Pair,
    Region,
    Track,
    as_measurement,
    find_measurements,
    measurement,
    measurements,
)
from tomocyte.measurements.track_table import measure_tracks

__all__ = [
    "Measurement",
    "Pair",
    "PlanesImage",
    "Region",
    "Track",
    "as_measurement",
    "find_measurements",
    "measure",
    "measure_pairs",
    "measure_tracks",
    "measurement",
    "measurements",
    "object_measurements",
]
