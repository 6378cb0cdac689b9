"""Biomedisa's three-dimensional U-Net, the network of ACSeg.

To change its size, use the settings; another wiring is another file.

Every convolution has a bias and is followed by ReLU, batch normalisation and ReLU once more (in Keras the first one is
the convolution's own activation). Going up, features are repeated (nearest neighbour), without a convolution, and
stand before the skipped ones. Normalisation has Keras' constants, which differ from torch's: 0.001 below the root, and
0.99 of the running statistics kept in each step. Five levels are Biomedisa's default since 2023-07-04, six what it was
when ACSeg was published.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn import functional

from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

EPSILON = 1e-3


class BiomedisaSettings(NetworkSettings):
    """Width and depth."""

    width: int = Field(default=32, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    n_levels: int = Field(default=5, ge=2, le=6)
    """Levels of resolution, the deepest included: 5, or 6 as ACSeg."""
    momentum: float = Field(default=0.01, gt=0, le=1)
    """Share of each batch in the running statistics of normalisation: Keras' 0.01 needs some hundred steps until they
    are those of the images; shorter trainings need more."""


class Stage(nn.Sequential):
    """3 x 3 x 3 convolution with bias, ReLU, batch normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int, momentum: float) -> None:
        super().__init__(
            nn.Conv3d(n_in, n_out, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm3d(n_out, eps=EPSILON, momentum=momentum),
            nn.ReLU(inplace=True),
        )


class Block(nn.Sequential):
    """Two stages of the same width."""

    def __init__(self, n_in: int, n_out: int, momentum: float) -> None:
        super().__init__(Stage(n_in, n_out, momentum), Stage(n_out, n_out, momentum))


class Up(nn.Module):
    """Each voxel repeated twice along each axis, concatenation (skipped features last), a block."""

    def __init__(self, n_in: int, n_out: int, momentum: float) -> None:
        super().__init__()
        self.block = Block(n_in + n_out, n_out, momentum)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, C, z, y, x), (B, D, 2 z, 2 y, 2 x) -> (B, D, 2 z, 2 y, 2 x)."""
        joined: Tensor = self.block(cat((functional.interpolate(features, scale_factor=2.0), skip), dim=1))
        return joined


class Biomedisa(Network):
    """Encoder, decoder and a 1 x 1 x 1 convolution with bias; returns logits, of which Biomedisa takes the softmax.

    References
    ----------
    Lösel et al., PLoS Comput. Biol. 19, e1011529 (2023), doi:10.1371/journal.pcbi.1011529; Erozan et al., iScience 27,
    109856 (2024), doi:10.1016/j.isci.2024.109856; Glorot & Bengio, AISTATS 2010 (initial weights).
    """

    def __init__(self, settings: BiomedisaSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = (2 ** (settings.n_levels - 1),) * 3
        widths = [settings.width * 2**level for level in range(settings.n_levels)]
        inputs = [settings.n_inputs, *widths[:-1]]
        momentum = settings.momentum
        *downs, bridge = (Block(n_in, n_out, momentum) for n_in, n_out in zip(inputs, widths, strict=True))
        self.downs = nn.ModuleList(downs)
        self.bridge = bridge
        self.ups = nn.ModuleList(
            Up(widths[level + 1], widths[level], momentum) for level in reversed(range(len(downs)))
        )
        self.head = nn.Conv3d(widths[0], settings.n_outputs, 1)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        skips, features = [], image
        for block in self.downs:
            skips.append(block(features))
            features = functional.max_pool3d(skips[-1], 2)
        features = self.bridge(features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(features)
        return logits


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Kernels uniform within √(6 / (fan in + fan out)), biases 0; normalisation starts with 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


ENTRIES = (
    NetworkEntry(
        "biomedisa",
        "Biomedisa's 3-D U-Net, as ACSeg: ReLU before and after batch normalisation, nearest upsampling.",
        3,
        "Erozan et al. 2024, Automated 3D cytoplasm segmentation in soft X-ray tomography, iScience 27",
        "10.1016/j.isci.2024.109856",
        BiomedisaSettings,
        Biomedisa,
    ),
)
