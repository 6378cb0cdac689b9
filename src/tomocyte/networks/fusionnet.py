"""FusionNet: residual blocks at every level and skip connections that add; v2 adds OS-Net's two pieces.

To add a variant, add a settings class that fixes what its name promises, and an entry below.

With max-pooling (not strided convolution), 3 x 3 transposed convolutions and a 3 x 3 head, all without bias, the counts
of OS-Net's Table 1 are met exactly: 4,913,344 and 5,524,544.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from tomocyte.networks.blocks import (
    Activation,
    GlobalConvolution,
    activation_layer,
    convolution_unit,
    initialise,
    up_convolution,
)
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

N_LEVELS = 4
ENCODER_SLOPE = 0.2
PAPER = "Quan et al. 2021, FusionNet, Front. Comput. Sci. 3, at the width of Lee et al. 2019"
DOI = "10.3389/fcomp.2021.613981"


class FusionNetSettings(NetworkSettings):
    """FusionNet of 16 to 256 feature maps."""

    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    uses_gcn: Literal[False] = False
    """Whether each Down module has a global convolution."""
    uses_ssc: Literal[False] = False
    """Whether the features before the global convolution are added to those after it."""


class FusionNetV2Settings(NetworkSettings):
    """FusionNet with global convolutions and short skip connections."""

    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    uses_gcn: Literal[True] = True
    """Whether each Down module has a global convolution."""
    uses_ssc: Literal[True] = True
    """Whether the features before the global convolution are added to those after it."""
    gcn_kernel: Literal[3, 5, 7, 9, 11, 13, 15] = 7
    """Length of the global convolution's kernels, in pixels."""
    pool_from: Literal["ssc", "gcn"] = "ssc"
    """What goes down to the next level: the sum, or the global convolution's output alone."""


class ResidualBlock(nn.Module):
    """Five 3 x 3 convolutions; the middle three are bridged by an addition."""

    def __init__(self, n_in: int, n_out: int, activation: Activation) -> None:
        super().__init__()
        self.first = convolution_unit(n_in, n_out, (3, 3), activation=activation, slope=ENCODER_SLOPE)
        self.residual = nn.Sequential(
            convolution_unit(n_out, n_out, (3, 3), activation=activation, slope=ENCODER_SLOPE),
            convolution_unit(n_out, n_out, (3, 3), activation=activation, slope=ENCODER_SLOPE),
            convolution_unit(n_out, n_out, (3, 3), activation=None),
        )
        self.last = convolution_unit(n_out, n_out, (3, 3), activation=activation, slope=ENCODER_SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, D, Y, X)."""
        features = self.first(features)
        fused: Tensor = self.last(features + self.residual(features))
        return fused


class Down(nn.Module):
    """Residual block and, in v2, global convolution with short skip connection; returns skip and pooled."""

    def __init__(self, n_in: int, n_out: int, settings: FusionNetSettings | FusionNetV2Settings) -> None:
        super().__init__()
        self.block = ResidualBlock(n_in, n_out, "leaky-relu")
        self.gcn: GlobalConvolution | None = None
        self.pools_sum = True
        if isinstance(settings, FusionNetV2Settings):
            self.gcn = GlobalConvolution(n_out, kernel=settings.gcn_kernel)
            self.pools_sum = settings.pool_from == "ssc"
        self.pool = nn.MaxPool2d(2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, Y, X) -> skip (B, D, Y, X), pooled (B, D, Y/2, X/2)."""
        features = self.block(features)
        if self.gcn is None:
            return features, self.pool(features)
        extracted = self.gcn(features)
        skip = features + extracted
        return skip, self.pool(skip if self.pools_sum else extracted)


class Up(nn.Module):
    """Transposed convolution, mean with the skipped features, residual block."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.up = nn.Sequential(up_convolution(n_in, n_out, 3), nn.BatchNorm2d(n_out), activation_layer("elu"))
        self.block = ResidualBlock(n_out, n_out, "elu")

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, 2D, Y, X), (B, D, 2Y, 2X) -> (B, D, 2Y, 2X)."""
        fused: Tensor = self.block((self.up(features) + skip) / 2)
        return fused


class FusionNet(Network):
    """Four Down modules, a bridge, four Up modules and a 3 x 3 convolution; returns logits.

    References
    ----------
    Quan et al., Front. Comput. Sci. 3, 613981 (2021), doi:10.3389/fcomp.2021.613981.
    Lee et al., IEEE Access 7, 83449 (2019), doi:10.1109/ACCESS.2019.2924255.
    """

    def __init__(self, settings: FusionNetSettings | FusionNetV2Settings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = (2**N_LEVELS, 2**N_LEVELS)
        widths = [settings.width * 2**level for level in range(N_LEVELS + 1)]
        self.downs = nn.ModuleList(
            Down(n_in, n_out, settings) for n_in, n_out in zip([settings.n_inputs, *widths], widths[:-1], strict=False)
        )
        self.bridge = ResidualBlock(widths[-2], widths[-1], "leaky-relu")
        self.ups = nn.ModuleList(Up(2 * n_out, n_out) for n_out in reversed(widths[:-1]))
        self.head = nn.Conv2d(widths[0], settings.n_outputs, 3, padding=1, bias=False)
        initialise(self, scheme="normal")

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Y, X) -> logits (B, n_outputs, Y, X)."""
        skips = []
        features = image
        for down in self.downs:
            skip, features = down(features)
            skips.append(skip)
        features = self.bridge(features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(features)
        return logits


ENTRIES = (
    NetworkEntry(
        "fusionnet",
        "FusionNet of 16 to 256 feature maps, as OS-Net's Table 1 counts it.",
        2,
        PAPER,
        DOI,
        FusionNetSettings,
        FusionNet,
        4_913_344,
    ),
    NetworkEntry(
        "fusionnet-v2",
        "FusionNet with OS-Net's global convolutions and short skip connections.",
        2,
        PAPER,
        DOI,
        FusionNetV2Settings,
        FusionNet,
        5_524_544,
    ),
)
