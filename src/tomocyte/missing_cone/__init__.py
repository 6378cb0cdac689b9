"""What a tomogram of limited angles lost: refractive index and dry mass of the object, not of its tomogram.

Pure functions on arrays. ``parts`` divides a field into parts of even index, ``transfer`` finds their index from the
frequencies that were measured, ``objects`` gives it back to cells and organelles, ``columns`` weighs cells by the
projection along z, which is complete. To add an estimator, add a module here and a name in :data:`ESTIMATORS`.
"""

from __future__ import annotations

from typing import Literal

Estimator = Literal["matrix", "column", "in-mask"]
ESTIMATORS: tuple[Estimator, ...] = ("matrix", "column", "in-mask")
"""How a value was found: from the geometric transfer matrix, from the columns above a cell, from the mask alone."""
