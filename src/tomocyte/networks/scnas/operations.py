"""The operations that stand on the edges of ScNAS cells, and how an input is fitted to a cell.

ScNAS's own list is not in its abstract nor in the paper that used it; this one is chosen here: what differentiable
searches of three-dimensional networks choose among. To add an operation, name it in ``genotype.Operation`` and in
``STAY``, ``DOWN`` or ``UP`` there, and give its module in :func:`build_operation`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tomocyte.networks.blocks import Norm, activation_layer, norm_layer
from tomocyte.networks.scnas.genotype import Operation

SLOPE = 0.01
DILATION = 2
EXCITATION_SHARE = 4
"""Feature maps per unit of the squeezed description."""
Stride = tuple[int, int, int]


class Excitation(nn.Module):
    """Each feature map times a number in (0, 1) that follows from the means of all of them.

    The means are those of the tile, so that the result depends a little on what the tile shows.

    References
    ----------
    Hu et al., CVPR 2018, doi:10.1109/CVPR.2018.00745.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(2, width // EXCITATION_SHARE)
        self.squeeze = nn.Conv3d(width, hidden, 1)
        self.activation = activation_layer("leaky-relu", slope=SLOPE)
        self.excite = nn.Conv3d(hidden, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, C, Z, Y, X)."""
        means = features.mean(dim=(2, 3, 4), keepdim=True)
        gate: Tensor = self.excite(self.activation(self.squeeze(means))).sigmoid()
        return features * gate


class MeanPool(nn.AvgPool3d):
    """Mean pooling that also takes bfloat16, which torch cannot pool on the CPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        """(B, C, Z, Y, X) -> (B, C, Z / sz, Y / sy, X / sx), of the same type."""
        if input.dtype != torch.bfloat16:
            return super().forward(input)
        return super().forward(input.float()).to(input.dtype)


def _finished(convolutions: list[nn.Module], width: int, norm: Norm) -> nn.Sequential:
    """Normalisation and leaky ReLU after the convolutions; the last one stands right before the normalisation."""
    layers = [*convolutions]
    if norm != "none":
        layers.append(norm_layer(norm, width, 3))
    layers.append(activation_layer("leaky-relu", slope=SLOPE))
    return nn.Sequential(*layers)


def _conv(width: int, stride: Stride, norm: Norm) -> nn.Module:
    return _finished([nn.Conv3d(width, width, 3, stride=stride, padding=1, bias=norm == "none")], width, norm)


def _dilated(width: int, stride: Stride, norm: Norm) -> nn.Module:
    convolution = nn.Conv3d(width, width, 3, stride=stride, padding=DILATION, dilation=DILATION, bias=norm == "none")
    return _finished([convolution], width, norm)


def _separable(width: int, stride: Stride, norm: Norm) -> nn.Module:
    each = nn.Conv3d(width, width, 3, stride=stride, padding=1, groups=width, bias=False)
    return _finished([each, nn.Conv3d(width, width, 1, bias=norm == "none")], width, norm)


def _excited(width: int, stride: Stride, norm: Norm) -> nn.Module:
    return nn.Sequential(_conv(width, stride, norm), Excitation(width))


def _max_pool(_width: int, stride: Stride, _norm: Norm) -> nn.Module:
    return nn.MaxPool3d(stride)


def _average_pool(_width: int, stride: Stride, _norm: Norm) -> nn.Module:
    return MeanPool(stride)


def _identity(_width: int, _stride: Stride, _norm: Norm) -> nn.Module:
    return nn.Identity()


def _linear_up(_width: int, stride: Stride, _norm: Norm) -> nn.Module:
    z, y, x = stride
    return nn.Upsample(scale_factor=(float(z), float(y), float(x)), mode="trilinear", align_corners=False)


def _linear_up_conv(width: int, stride: Stride, norm: Norm) -> nn.Module:
    return nn.Sequential(_conv(width, (1, 1, 1), norm), _linear_up(width, stride, norm))


def _transposed(width: int, stride: Stride, norm: Norm) -> nn.Module:
    return _finished([nn.ConvTranspose3d(width, width, stride, stride=stride, bias=norm == "none")], width, norm)


_BUILDERS: dict[Operation, Callable[[int, Stride, Norm], nn.Module]] = {
    "identity": _identity,
    "conv": _conv,
    "dilated-conv": _dilated,
    "separable-conv": _separable,
    "excited-conv": _excited,
    "max-pool": _max_pool,
    "average-pool": _average_pool,
    "linear-up": _linear_up,
    "linear-up-conv": _linear_up_conv,
    "transposed-conv": _transposed,
}


def build_operation(operation: Operation, width: int, *, stride: Stride, norm: Norm) -> nn.Module:
    """One operation on ``width`` feature maps.

    Convolutions are followed by normalisation and leaky ReLU (slope 0.01), and have a bias only without normalisation.
    ``conv`` 3 x 3 x 3; ``dilated-conv`` the same with every second voxel; ``separable-conv`` one 3 x 3 x 3 kernel per
    feature map, then 1 x 1 x 1; ``excited-conv`` a convolution whose feature maps are weighed (:class:`Excitation`);
    ``linear-up-conv`` a convolution, then trilinear interpolation; ``transposed-conv`` as long as its stride.

    Parameters
    ----------
    operation : str
    width : int
        Feature maps that come in and go out.
    stride : tuple of int (z, y, x)
        How far the resolution falls or, for the up operations, rises; (1, 1, 1) keeps it.
    norm : str
    """
    return _BUILDERS[operation](width, stride, norm)


class Fit(nn.Sequential):
    """Brings a cell's input to the cell's width, and from a finer resolution to the cell's: mean pool, 1 x 1 x 1.

    Linear: neither normalised nor bent, so that the absolute value of the image can pass.
    """

    def __init__(self, n_in: int, n_out: int, pool: Stride) -> None:
        convolution = nn.Conv3d(n_in, n_out, 1, bias=False)
        super().__init__(*([] if pool == (1, 1, 1) else [MeanPool(pool)]), convolution)
