"""What a network is made of and costs: its layers, its multiply-adds per voxel, found without computing anything.

To count another layer, add it to :func:`_multiply_adds`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tomocyte.errors import SettingsError
from tomocyte.networks.registry import Network

STEPS = 4
"""Sizes in units of the divisor where none are given."""


def multiply_adds_per_voxel(module: nn.Module, shape: Sequence[int] | None = None) -> float:
    """Multiply-adds of all convolutions for one image, per voxel of that image.

    One multiplication with its addition counts once (a "flop count" is about twice as large). Positions at the border
    count in full. Normalisation, activation, pooling, interpolation and sums are not counted: they multiply little and
    are folded or fused. Nothing is computed, so any size is counted at once.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`tomocyte.networks.build_network`.
    shape : sequence of int, optional
        Spatial size ([z,] y, x), each a multiple of the divisor; only layers that see the whole image (excitation) make
        the count depend on it. Four times the divisor by default.

    Returns
    -------
    float

    Raises
    ------
    SettingsError
        ``E-NETWORK``: the module was not built here.

    Examples
    --------
    >>> from tomocyte.networks import build_network
    >>> module = build_network("unet3d", {"width": 2, "strides": [[1, 2, 2]]})
    >>> 27 * (1 * 2 + 2 * 2) + 27 * (2 * 4 + 4 * 4) / 4 + 4 * 2 + 27 * (4 * 2 + 2 * 2) + 2
    658.0
    >>> multiply_adds_per_voxel(module)
    658.0
    """
    if not isinstance(module, Network):
        kind = type(module).__name__
        raise SettingsError("E-NETWORK", f"a {kind} has no divisor.", cure="Build it with build_network.")
    size = tuple(shape) if shape is not None else tuple(STEPS * step for step in module.divisor)
    ghost = copy.deepcopy(module).to("meta").eval()
    total = 0

    def count(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _multiply_adds(part, inputs[0], output)

    for part in ghost.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            part.register_forward_hook(count)
    with torch.no_grad():
        ghost(torch.empty(1, module.n_inputs, *size, device="meta"))
    return total / math.prod(size)


@dataclass(frozen=True)
class Layer:
    """One layer with parameters, as it stands in the order of computation.

    Parameters
    ----------
    name : str
        Its place in the module, as in the names of its weights.
    kind : str
        ``Conv3d 3x3x3``, ``BatchNorm3d`` and so on, with stride and dilation where they are not 1.
    shape : tuple of int
        Feature maps, then [z,] y, x of its output.
    n_parameters : int
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    n_parameters: int


def list_layers(module: Network, shape: Sequence[int] | None = None) -> list[Layer]:
    """Every layer that has parameters, in the order in which an image passes them.

    Parameters
    ----------
    module : Network
    shape : sequence of int, optional
        Spatial size ([z,] y, x) of the image, each a multiple of the divisor; four times the divisor by default.

    Examples
    --------
    >>> from tomocyte.networks import build_network
    >>> layers = list_layers(build_network("unet3d", {"width": 2, "strides": [[1, 2, 2]]}), (4, 8, 8))
    >>> layers[0].kind, layers[0].shape, layers[0].n_parameters
    ('Conv3d 3x3x3', (2, 4, 8, 8), 54)
    """
    size = tuple(shape) if shape is not None else tuple(STEPS * step for step in module.divisor)
    ghost, layers = copy.deepcopy(module).to("meta").eval(), list[Layer]()

    def note(name: str, part: nn.Module, output: Tensor) -> None:
        count = sum(weight.numel() for weight in part.parameters(recurse=False))
        layers.append(Layer(name, _kind(part), tuple(output.shape[1:]), count))

    for name, part in ghost.named_modules():
        if any(True for _ in part.parameters(recurse=False)):
            part.register_forward_hook(lambda part, _given, output, name=name: note(name, part, output))
    with torch.no_grad():
        ghost(torch.empty(1, module.n_inputs, *size, device="meta"))
    return layers


def _kind(part: Any) -> str:
    words = [type(part).__name__]
    if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        words.append("x".join(str(size) for size in part.kernel_size))
        words += [
            f"{word} {'x'.join(str(step) for step in steps)}"
            for word, steps in (("stride", part.stride), ("dilation", part.dilation))
            if set(steps) != {1}
        ]
    return " ".join(words)


def _multiply_adds(part: Any, inputs: Tensor, output: Tensor) -> int:
    is_transposed = isinstance(part, nn.ConvTranspose2d | nn.ConvTranspose3d)
    places = inputs if is_transposed else output  # where a whole kernel is laid
    n_other = part.out_channels if is_transposed else part.in_channels
    return int(places.numel() * (n_other // part.groups) * math.prod(part.kernel_size))
