"""What a measurement is, and the list of all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize


@dataclass(frozen=True)
class Region:
    """One object cut out, for measuring.

    Parameters
    ----------
    structure : str
    label : int
    mask : bool ndarray (z, y, x)
        The object, cropped to its bounding box plus one empty voxel where the volume allows.
    image : ndarray (C, z, y, x)
        The PHYSICAL image in the same box.
    voxel_size_um : tuple of 3 float
        z, y, x; z is NaN for planar images.
    corner : tuple of 3 int
        First voxel z, y, x of the box in the volume.
    is_cut : bool
        Whether the object touches the volume's border (its volume is then a lower bound).
    medium_ri : float, optional
    refraction_increment_ml_per_g : float, optional
        α of this structure.
    """

    structure: str
    label: int
    mask: NDArray[np.bool_]
    image: NDArray[Any]
    voxel_size_um: VoxelSize
    corner: tuple[int, int, int] = (0, 0, 0)
    is_cut: bool = False
    medium_ri: float | None = None
    refraction_increment_ml_per_g: float | None = None

    @property
    def is_2d(self) -> bool:
        """Whether the object lies in a planar image whose thickness has no meaning."""
        return bool(np.isnan(self.voxel_size_um[0]))

    @property
    def voxel_volume_um3(self) -> float:
        """Volume of one voxel in µm³; NaN for planar images."""
        return self.voxel_size_um[0] * self.voxel_size_um[1] * self.voxel_size_um[2]

    @property
    def pixel_area_um2(self) -> float:
        """Area of one pixel in the xy plane in µm²."""
        return self.voxel_size_um[1] * self.voxel_size_um[2]


@dataclass(frozen=True)
class Measurement:
    """One column.

    Parameters
    ----------
    name : str
        The function's name, and the column's.
    function : callable
        ``Region -> float``; NaN where the number has no meaning.
    unit : str
    length_power : int
        The number grows as the voxel size to this power.
    meaning : str
        The first line of the docstring.
    nan_reason : str
        When it is NaN, and why; ``""`` if never.
    """

    name: str
    function: Callable[[Region], float]
    unit: str
    length_power: int
    meaning: str
    nan_reason: str


_REGISTERED: dict[str, Measurement] = {}


def measurement(*, unit: str, length_power: int, nan_reason: str = "") -> Callable[..., Callable[[Region], float]]:
    """Declare a function ``Region -> float`` as a measurement (a column)."""

    def declare(function: Callable[[Region], float]) -> Callable[[Region], float]:
        meaning = (function.__doc__ or "").strip().splitlines()[0]
        _REGISTERED[function.__name__] = Measurement(
            function.__name__, function, unit, length_power, meaning, nan_reason
        )
        return function

    return declare


@cache
def measurements() -> dict[str, Measurement]:
    """Every measurement, by name."""
    package = importlib.import_module("tomocyte.measurements")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"tomocyte.measurements.{module.name}")
    return dict(_REGISTERED)
