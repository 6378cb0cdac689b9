"""How two objects lie to each other: overlap and distances.

To add a measurement of a pair, write ``def quantity_unit(pair: Pair) -> float`` here or in a file beside this one.
"""

from __future__ import annotations

import numpy as np

from tomocyte.measurements.registry import Pair, measurement


@measurement(when_empty="NaN for planar images, whose thickness has no meaning")
def overlap_volume_um3(pair: Pair) -> float:
    """Volume that belongs to both objects."""
    return pair.n_overlap_voxels * pair.first.voxel_volume_um3


@measurement()
def centroid_distance_um(pair: Pair) -> float:
    """Distance between the centres of the two objects (planar images: in the plane)."""
    apart = pair.first.centre_um - pair.second.centre_um
    return float(np.linalg.norm(apart[1:] if pair.is_2d else apart))


@measurement(when_empty="NaN when one of the two fills the volume and has no surface inside it")
def surface_distance_um(pair: Pair) -> float:
    """Smallest distance between the two surfaces; 0 where they touch or intersect.

    Surfaces are made of voxel faces, which lie up to half a diagonal of a voxel beside the true ones: the distance is
    off by at most one diagonal. Of an object inside another it is the distance to the other's surface.
    """
    return pair.surface_distance_um
