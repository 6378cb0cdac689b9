"""How much memory and time a network takes, from its shape alone.

The figures were measured with ``tomocyte run`` on files of several sizes; measure again when an engine changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# torch and an engine loaded, a self-test run.
ENGINE_BYTES = 330_000_000
ENGINE_SECONDS = 8.0
COPIES_OF_WEIGHTS = 4
# What a network holds at once, in units of its largest single feature map; engines differ from 5 to 10.
MAPS_HELD = 10
FLOP_PER_SECOND = {"fp32": 8e10, "bf16": 1.8e11}


def network_divisor(name: str, options: dict[str, Any]) -> tuple[int, ...]:
    """What each spatial size of a network's input must be a multiple of; takes what ``build_network`` takes."""
    divisor: Any = _on_meta(name, options).divisor
    return tuple(divisor)


def _on_meta(name: str, options: dict[str, Any]) -> torch.nn.Module:
    """A network without numbers."""
    import torch

    from tomocyte.networks import build_network

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build_network(name, options).eval()


def network_forecast(
    name: str, options: dict[str, Any], batch_shape: tuple[int, ...], *, n_tiles: int, precision: str
) -> tuple[int, float]:
    """Memory in bytes and time in seconds that a network takes, from a run without numbers (torch's meta device).

    Parameters
    ----------
    name, options : str, dict
        As :func:`tomocyte.networks.build_network` takes them.
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

    module = _on_meta(name, options)
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
