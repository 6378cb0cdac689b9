"""How much memory and time one input will take, from its header and, with a trained model, from its network's shape.

The figures were measured with ``tomocyte run`` on files of several sizes; measure again when a step changes.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import torch

# The worker with its libraries loaded.
BASE_BYTES = 395_000_000
# One frame in float32, and the most masks and labels that are held beside it.
BYTES_PER_VOXEL = 7.2
SECONDS_PER_VOXEL = 1.3e-7
SECONDS_PER_FRAME = 0.1
BASE_SECONDS = 3.0
# torch and an engine loaded, a self-test run.
ENGINE_BYTES = 330_000_000
ENGINE_SECONDS = 8.0
COPIES_OF_WEIGHTS = 4
# What a network holds at once, in units of its largest single feature map; engines differ from 5 to 10.
MAPS_HELD = 10
FLOP_PER_SECOND = {"fp32": 8e10, "bf16": 1.8e11}


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


def network_divisor(network: tuple[str, dict[str, Any]]) -> tuple[int, ...]:
    """What each spatial size of a network's input must be a multiple of; takes what :func:`network_forecast` takes."""
    divisor: Any = _without_numbers(network).divisor
    return tuple(divisor)


def _without_numbers(network: tuple[str, dict[str, Any]]) -> torch.nn.Module:
    import torch

    from tomocyte.networks import build_network

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build_network(*network).eval()


def network_forecast(
    network: tuple[str, dict[str, Any]], batch_shape: tuple[int, ...], *, n_tiles: int, precision: str
) -> tuple[int, float]:
    """Memory in bytes and time in seconds that a network takes, from a run without numbers (torch's meta device).

    Parameters
    ----------
    network : tuple of str and dict
        Name and options, as :func:`tomocyte.networks.build_network` takes them.
    batch_shape : tuple of int
        (B, C, y, x) or (B, C, z, y, x).
    n_tiles : int
        Tiles in all.
    precision : {"fp32", "bf16"}

    Returns
    -------
    tuple of int and float
        Seconds on one core of a laptop of 2024, good to a factor of about two; on a GPU much less.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = _without_numbers(network)
    maps: list[int] = []
    for part in (part for part in module.modules() if not list(part.children())):
        part.register_forward_hook(lambda part, given, made: maps.append(4 * made.numel()))  # noqa: ARG005
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(batch_shape, device="meta"))
    n_weights = sum(parameter.numel() for parameter in module.parameters())
    flops = counter.get_total_flops() / batch_shape[0] * n_tiles
    return (
        ENGINE_BYTES + COPIES_OF_WEIGHTS * 4 * n_weights + MAPS_HELD * max(maps),
        ENGINE_SECONDS + flops / FLOP_PER_SECOND[precision],
    )


def peak_memory_bytes() -> int:
    """The most memory this process has used so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
