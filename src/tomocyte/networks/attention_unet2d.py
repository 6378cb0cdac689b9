"""The two-dimensional attention U-Net that turns an image of a stain into a mask of what is in focus (FG-net).

To change its size, use the settings; another wiring is another file. Zhanghao et al. print its input (1 x 256 x 256)
and that it is an attention U-Net, not its layers: these are their networks' for volumes (``attention-unet3d``) with
planes of 3 x 3 and pooling by two.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, cat, nn
from torch.nn import functional

from tomocyte.networks.blocks import Norm, convolution_unit
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

PLANE, POINT = (3, 3), (1, 1)


class AttentionUNet2dSettings(NetworkSettings):
    """How wide and how deep."""

    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    n_levels: int = Field(default=5, ge=2, le=6)
    """Levels; y and x are halved between two of them."""
    norm: Norm = "batch"
    """What follows each convolution."""

    @model_validator(mode="after")
    def _is_normalised(self) -> Self:
        if self.norm == "none":
            raise ValueError("'norm' is needed: the gates' maps would not stay between 0 and 1 where they can learn")
        return self


class Gate(nn.Module):
    """Skipped features times a map in 0 to 1, which they and the features from below decide pixel by pixel.

    References
    ----------
    Oktay et al., MIDL 2018, arXiv:1804.03999; at the resolution of the skipped features, as Zhanghao et al.
    """

    def __init__(self, n_features: int, norm: Norm) -> None:
        super().__init__()
        n_between = n_features // 2
        self.of_gating = convolution_unit(n_features, n_between, POINT, norm=norm, activation=None)
        self.of_skip = convolution_unit(n_features, n_between, POINT, norm=norm, activation=None)
        self.attention = nn.Sequential(convolution_unit(n_between, 1, POINT, norm=norm, activation=None), nn.Sigmoid())

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """Both (B, C, y, x) -> the same."""
        gated: Tensor = skip * self.attention(functional.relu(self.of_gating(gating) + self.of_skip(skip)))
        return gated


class Up(nn.Module):
    """Pixels repeated by two and convolved, the gate, concatenation (skipped features first), two convolutions."""

    def __init__(self, n_out: int, norm: Norm) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(nn.Upsample(scale_factor=2), convolution_unit(2 * n_out, n_out, PLANE, norm=norm))
        self.gate = Gate(n_out, norm)
        self.block = _block(2 * n_out, n_out, norm)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, 2 C, y, x), (B, C, 2 y, 2 x) -> (B, C, 2 y, 2 x)."""
        up = self.enlarge(features)
        joined: Tensor = self.block(cat((self.gate(up, skip), up), dim=1))
        return joined


def _block(n_in: int, n_out: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        convolution_unit(n_in, n_out, PLANE, norm=norm), convolution_unit(n_out, n_out, PLANE, norm=norm)
    )


class AttentionUNet2d(Network):
    """Encoder, gated decoder and a 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Zhanghao et al., bioRxiv 2021, doi:10.1101/2021.12.13.472520 (FG-net, Fig. S2b).
    """

    def __init__(self, settings: AttentionUNet2dSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = (2 ** (settings.n_levels - 1),) * 2
        widths = [settings.width * 2**level for level in range(settings.n_levels)]
        blocks = [
            _block(n_in, n_out, settings.norm)
            for n_in, n_out in zip([settings.n_inputs, *widths[:-1]], widths, strict=True)
        ]
        self.downs, self.bridge = nn.ModuleList(blocks[:-1]), blocks[-1]
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(Up(width, settings.norm) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(widths[0], settings.n_outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Y, X) -> logits (B, n_outputs, Y, X)."""
        skips, features = [], image
        for block in self.downs:
            skips.append(block(features))
            features = self.pool(skips[-1])
        features = self.bridge(features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(features)
        return logits


ENTRIES = (
    NetworkEntry(
        "attention-unet2d",
        "Two-dimensional U-Net with attention gates: masks of what is in focus in images of a stain (FG-net).",
        2,
        "Zhanghao et al. 2021, Fast imaging of 15 intracellular compartments, bioRxiv",
        "10.1101/2021.12.13.472520",
        AttentionUNet2dSettings,
        AttentionUNet2d,
    ),
)
