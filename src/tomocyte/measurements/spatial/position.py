"""Where objects lie in their cell: between nucleus and membrane, and to which side of the cell or the nucleus."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements.spatial._kernels import Floats, sums_of_objects
from tomocyte.measurements.spatial.compartment import Compartment, sides_of


def radial_positions(compartment: Compartment, structure: str, nucleus: str) -> Floats:
    """Mean over each object's voxels of d / (d + e): d to the nuclear envelope, e to the cell's membrane.

    Both are distances of a voxel's centre from the surface, which lies half-way between voxels: the mean of the
    distance between boxes and that between centres. Voxels in the nucleus or outside the cell are left out.

    Returns
    -------
    float64 ndarray (n,)
        0 at the envelope, 1 at the membrane; NaN without a nucleus, or for objects without such a voxel.
    """
    n = compartment.n_objects(structure)
    envelope, membrane = _is_present(compartment, nucleus), bool((~compartment.inside).any())
    if not (envelope and membrane and n):
        return np.full(n, math.nan)
    sums = sums_of_objects(compartment.objects[structure], _radius(compartment, nucleus), n)
    means: Floats = np.divide(sums[:, 1], sums[:, 0], out=np.full(n, math.nan), where=sums[:, 0] > 0)
    return means


def _radius(compartment: Compartment, nucleus: str) -> NDArray[np.float32]:
    """The radial position of every voxel between nucleus and membrane; NaN elsewhere."""
    inside, core = compartment.inside, compartment.mask(nucleus)
    cell = str(compartment.cells)
    inner = compartment.gaps(nucleus, is_envelope=False) + compartment.depths(nucleus, is_outside=True)
    outer = compartment.gaps(cell, is_envelope=True) + compartment.depths(cell)
    is_between = inside & ~core
    radius = np.full(inside.shape, np.nan, np.float32)
    np.divide(inner, inner + outer, out=radius, where=is_between)
    return radius


def _is_present(compartment: Compartment, structure: str) -> bool:
    return structure in compartment.objects and compartment.n_objects(structure) > 0


def polarity(compartment: Compartment, structure: str, other: str) -> tuple[NDArray[np.float64], float]:
    """To which side of another structure, or of the cell, a structure lies, and how strongly.

    Returns
    -------
    vector : float64 ndarray (3,)
        z, y, x in µm from the centre of all voxels of the other structure to that of all voxels of this one; z is NaN
        in planar images.
    strength : float
        Its length divided by the root mean square distance of the cell's voxels from the centre of the other: 0 where
        the centres coincide, about 1 for what is gathered at the cell's edge. NaN when there is no cell.

    References
    ----------
    As the polarisation index of RNA: Park et al. 2012, doi:10.1016/j.celrep.2012.01.009.
    """
    sides = sides_of(compartment.voxel_size_um)
    own, reference = compartment.mask(structure), compartment.mask(other)
    if not own.any() or not reference.any():
        return np.full(3, math.nan), math.nan
    origin, _ = _centre_and_spread(reference, sides)
    vector = _centre_and_spread(own, sides)[0] - origin
    strength = math.nan
    if compartment.cells is not None:
        middle, spread = _centre_and_spread(compartment.inside, sides)
        radius = math.sqrt(float(np.square(middle - origin).sum()) + spread)
        strength = float(np.linalg.norm(vector)) / radius if radius else math.nan
    if math.isnan(compartment.voxel_size_um[0]):
        vector[0] = math.nan
    return vector, strength


def _centre_and_spread(mask: NDArray[np.bool_], sides: Floats) -> tuple[NDArray[np.float64], float]:
    """Centre of a mask in µm and the mean square distance of its voxels from it in µm²."""
    centre, spread = np.zeros(3), 0.0
    n = np.count_nonzero(mask)
    for axis in range(3):
        counts = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
        places = np.arange(mask.shape[axis]) * sides[axis]
        centre[axis] = float(counts @ places) / n
        spread += float(counts @ np.square(places - centre[axis])) / n
    return centre, spread
