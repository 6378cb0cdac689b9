"""How much memory and time one input will take, from its plan and its header.

The figures were measured with ``tomocyte run`` on files of several sizes; measure again when a stage changes.
"""

from __future__ import annotations

import math
import sys

from tomocyte.pipeline.channels import with_derived
from tomocyte.pipeline.plan import Plan
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume

# The worker with its libraries loaded.
BASE_BYTES = 395_000_000
# One channel of a frame in float32, and the most masks and labels that are held beside it.
BYTES_PER_VOXEL = 7.2
BYTES_PER_FURTHER_CHANNEL = 4
SECONDS_PER_VOXEL = 1.3e-7
SECONDS_PER_FRAME = 0.1
BASE_SECONDS = 3.0
# Of contacts, per structure: distances and areas, and one random placement of its objects.
SECONDS_PER_CONTACT_VOXEL = 1.0e-7
SECONDS_PER_PLACEMENT_VOXEL = 1.0e-8


def forecast_run(plan: Plan, volume: Volume) -> tuple[int, float]:
    """Peak memory in bytes and time in seconds that one input takes in its worker.

    Parameters
    ----------
    plan : Plan
    volume : Volume
        Only its header is used.

    Returns
    -------
    tuple of int and float
        Memory of the worker process (frames are worked on one by one, so it does not grow with their number), and
        seconds on one core of a laptop of 2024, good to a factor of about two; of random placements, which take as long
        as there are objects, to a factor of about five.
    """
    peak_bytes, seconds = forecast_classical(with_derived(volume, plan.settings), plan.classical)
    seconds += _contact_seconds(plan, volume)
    cards = plan.cascade.cards if plan.cascade else () if plan.card is None else (plan.card,)
    if not cards:
        return peak_bytes, seconds
    from tomocyte.models.forecast import model_forecast
    from tomocyte.models.objects import ObjectRules

    rules = ObjectRules(plan.settings.inference, plan.classical.clean, plan.classical.split, plan.main)
    forecasts = [model_forecast(card, rules, volume) for card in cards]
    # One after the other; the channels that they make stay.
    made_bytes = 4 * math.prod(volume.spatial_shape) * (len(plan.cascade.made) if plan.cascade else 0)
    model_bytes = max(n_bytes for n_bytes, _ in forecasts) + made_bytes
    return peak_bytes + model_bytes, seconds + sum(model_seconds for _, model_seconds in forecasts)


def _contact_seconds(plan: Plan, volume: Volume) -> float:
    """Of contacts between structures, and of comparing them with chance, where that is asked for."""
    contacts = plan.settings.contacts
    if not contacts.is_measured:
        return 0.0
    names = plan.cascade.structures if plan.cascade else plan.masks if plan.card is None else plan.card.structures
    n_structures = max(len(names), 1 if plan.card is not None or plan.masks or plan.cascade else 3)
    per_voxel = SECONDS_PER_CONTACT_VOXEL + SECONDS_PER_PLACEMENT_VOXEL * contacts.n_placements
    return volume.n_frames * math.prod(volume.spatial_shape) * n_structures * per_voxel


def forecast_classical(volume: Volume, settings: SegmentationSettings) -> tuple[int, float]:
    """As :func:`forecast_run`, of reading, the classical engine and measuring; fewer structures take less time."""
    n_voxels = math.prod(volume.spatial_shape)
    n_structures = 1 + (settings.nucleus.method != "none") + (settings.inclusion.method != "none")
    share = (2 + n_structures) / 5
    bytes_per_voxel = BYTES_PER_VOXEL + BYTES_PER_FURTHER_CHANNEL * (volume.n_channels - 1)
    return (
        round(BASE_BYTES + bytes_per_voxel * n_voxels),
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
