"""Pieces that several networks are made of: convolution units, the global convolution, initialisation.

To add a piece, write a small ``nn.Module`` or a function that returns one; a piece used by one network only stays in
that network's file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "instance", "group", "none"]
Activation = Literal["relu", "leaky-relu", "elu"]
LARGEST_GROUP_COUNT = 8


def activation_layer(kind: Activation, *, slope: float = 0.01) -> nn.Module:
    """The non-linearity; ``slope`` is that of the leaky ReLU below zero."""
    if kind == "relu":
        return nn.ReLU(inplace=True)
    if kind == "elu":
        return nn.ELU(inplace=True)
    return nn.LeakyReLU(slope, inplace=True)


def norm_layer(kind: Norm, n_channels: int, dimensions: int) -> nn.Module:
    """The normalisation of ``n_channels`` feature maps, always with a learned scale and offset."""
    if kind == "batch":
        return nn.BatchNorm2d(n_channels) if dimensions == 2 else nn.BatchNorm3d(n_channels)
    if kind == "instance":
        return nn.GroupNorm(n_channels, n_channels)  # one channel per group is instance normalisation
    if kind == "group":
        return nn.GroupNorm(math.gcd(LARGEST_GROUP_COUNT, n_channels), n_channels)
    return nn.Identity()


def convolution_unit(
    n_in: int,
    n_out: int,
    kernel: Sequence[int],
    *,
    norm: Norm = "batch",
    activation: Activation | None = "relu",
    slope: float = 0.01,
) -> nn.Sequential:
    """Convolution that keeps the shape, normalisation, activation; a bias only where nothing normalises it away.

    Parameters
    ----------
    kernel : sequence of int
        Odd size per axis, (y, x) or (z, y, x).
    activation : str or None
        None: the caller adds something first.
    """
    layers: list[nn.Module] = []
    if len(kernel) == 2:
        y, x = kernel
        layers.append(nn.Conv2d(n_in, n_out, (y, x), padding=(y // 2, x // 2), bias=norm == "none"))
    else:
        z, y, x = kernel
        layers.append(nn.Conv3d(n_in, n_out, (z, y, x), padding=(z // 2, y // 2, x // 2), bias=norm == "none"))
    if norm != "none":
        layers.append(norm_layer(norm, n_out, len(kernel)))
    if activation is not None:
        layers.append(activation_layer(activation, slope=slope))
    return nn.Sequential(*layers)


class GlobalConvolution(nn.Module):
    """Two branches of one-dimensional convolutions, k x 1 then 1 x k and 1 x k then k x 1, added.

    Each of the four convolutions keeps the number of channels and is followed by normalisation and ReLU: OS-Net's form,
    with k = 7. Peng et al., who invented the layer, put no non-linearity inside and went up to k = 15.

    References
    ----------
    Peng et al., CVPR 2017, doi:10.1109/CVPR.2017.189.
    """

    def __init__(self, n_channels: int, *, kernel: int = 7, norm: Norm = "batch") -> None:
        super().__init__()
        tall, wide = (kernel, 1), (1, kernel)
        self.left = nn.Sequential(
            convolution_unit(n_channels, n_channels, tall, norm=norm),
            convolution_unit(n_channels, n_channels, wide, norm=norm),
        )
        self.right = nn.Sequential(
            convolution_unit(n_channels, n_channels, wide, norm=norm),
            convolution_unit(n_channels, n_channels, tall, norm=norm),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, C, Y, X)."""
        left: Tensor = self.left(features)
        right: Tensor = self.right(features)
        return left + right


def up_convolution(n_in: int, n_out: int, kernel: Literal[3, 4]) -> nn.ConvTranspose2d:
    """Transposed convolution without bias that doubles y and x."""
    return nn.ConvTranspose2d(
        n_in, n_out, kernel, stride=2, padding=1, output_padding=1 if kernel == 3 else 0, bias=False
    )


@torch.no_grad()
def initialise(module: nn.Module, *, scheme: Literal["kaiming", "normal"], slope: float = 0.0) -> None:
    """Draw all weights anew from torch's random generator.

    Parameters
    ----------
    scheme : {"kaiming", "normal"}
        ``kaiming``: convolutions normal with the fan in and the gain of a ReLU of that ``slope``, biases as torch draws
        them. ``normal``: N(0, 0.02), biases 0. Batch-norm scales are N(1, 0.02), offsets 0, with both.

    References
    ----------
    He et al., ICCV 2015, doi:10.1109/ICCV.2015.123.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            if scheme == "kaiming":
                nn.init.kaiming_normal_(part.weight, a=slope, mode="fan_in", nonlinearity="leaky_relu")
            else:
                nn.init.normal_(part.weight, 0.0, 0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
