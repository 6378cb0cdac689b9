"""What the tests of measurements share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.measurements import Region

Mask = NDArray[np.bool_]
VOXEL = (0.31, 0.17, 0.13)


@pytest.fixture
def make_region() -> Callable[..., Region]:
    """A region from a mask and, optionally, an image (z, y, x)."""

    def build(mask: Mask, voxel_size_um: tuple[float, float, float] = VOXEL, **fields: object) -> Region:
        image = fields.pop("image", None)
        given = None if image is None else np.asarray(image)[None]
        return Region(structure="cell", label=1, mask=mask, image=given, voxel_size_um=voxel_size_um, **fields)

    return build
