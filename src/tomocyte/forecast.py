"""How much memory and time one input will take, from its header alone.

The figures were measured with ``tomocyte run`` on files of several sizes; measure again when a step changes.
"""

from __future__ import annotations

import math
import sys

from tomocyte.settings import SegmentationSettings
from tomocyte.volume import Volume

# The worker with its libraries loaded.
BASE_BYTES = 395_000_000
# One frame in float32, and the most masks and labels that are held beside it.
BYTES_PER_VOXEL = 7.2
SECONDS_PER_VOXEL = 1.3e-7
SECONDS_PER_FRAME = 0.1
BASE_SECONDS = 3.0


def forecast(volume: Volume, engine: SegmentationSettings) -> tuple[int, float]:
    """Peak memory in bytes and time in seconds that one input takes in its worker.

    Parameters
    ----------
    volume : Volume
        Only its header is used.
    engine : SegmentationSettings
        Fewer structures take less time.

    Returns
    -------
    tuple of int and float
        Memory of the worker process (frames are worked on one by one, so it does not grow with their number), and
        seconds on one core of a laptop of 2024, good to a factor of about two.
    """
    n_voxels = math.prod(volume.spatial_shape)
    n_structures = 1 + (engine.nucleus.method != "none") + (engine.inclusion.method != "none")
    share = (2 + n_structures) / 5
    return (
        round(BASE_BYTES + BYTES_PER_VOXEL * n_voxels),
        BASE_SECONDS + volume.n_frames * (SECONDS_PER_FRAME + SECONDS_PER_VOXEL * n_voxels * share),
    )


def peak_memory_bytes() -> int:
    """The most memory this process has used so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
