"""The three-dimensional attention U-Nets by which Zhanghao et al. find fifteen compartments in Nile Red images.

To change its size, use the settings; another wiring is another file.

Both forms have five levels, convolutions with bias, batch normalisation and ReLU, and additive gates at the resolution
of the features that are skipped: what comes from below decides where they pass. ``preprint`` (2021) pools y and x by 2,
2, 4 and 4, with kernels of 3 x 5 x 5 below the second level, repeats voxels going up, each time with a convolution, and
fills up with zeros at borders. ``published`` (2025) pools by 2 throughout with 3 x 3 x 3 kernels, interpolates going
up, repeats the outermost voxels at borders, and has one more block before the output. z is first pooled after the
second level in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, cat, nn
from torch.nn import functional

from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

Form = Literal["preprint", "published"]
_Shape = tuple[int, int, int]
_Padding = Literal["zeros", "replicate"]
CUBE: _Shape = (3, 3, 3)
WIDE: _Shape = (3, 5, 5)
N_LEVELS = 5
KERNELS: dict[Form, tuple[_Shape, ...]] = {"preprint": (CUBE, CUBE, WIDE, WIDE, WIDE), "published": (CUBE,) * N_LEVELS}
"""Of each level's convolutions."""
STRIDES: dict[Form, tuple[_Shape, ...]] = {
    "preprint": ((1, 2, 2), (2, 2, 2), (2, 4, 4), (2, 4, 4)),
    "published": ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
}
"""How far z, y and x are pooled after each level but the last."""
NARROWEST_GATE = 16
"""Feature maps in the gates of the first level of the preprint's form at full width, as many as in the second's."""


class AttentionUNet3dSettings(NetworkSettings):
    """Which form, and how wide."""

    n_inputs: int = Field(default=2, ge=1, le=64)
    """Channels of the image: intensity and ratio."""
    form: Form = "published"
    """``preprint``: of the bioRxiv version and its weights; ``published``: of the version in Nature Communications."""
    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    is_residual: bool = False
    """``published``: whether each block's input is added to its output through a 1 x 1 x 1 convolution. The authors'
    program counts these convolutions although it leaves them out: 5,490,861 parameters, of which 5,402,781 are used."""

    @model_validator(mode="after")
    def _fits_form(self) -> Self:
        if self.is_residual and self.form == "preprint":
            raise ValueError("'is_residual' needs the form 'published'")
        return self


class Unit(nn.Sequential):
    """Convolution with bias that keeps the shape, batch normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: Sequence[int], padding_mode: _Padding) -> None:
        z, y, x = kernel
        super().__init__(
            nn.Conv3d(n_in, n_out, (z, y, x), padding=(z // 2, y // 2, x // 2), padding_mode=padding_mode),
            nn.BatchNorm3d(n_out),
            nn.ReLU(inplace=True),
        )


class Block(nn.Module):
    """Two units; with ``is_residual``, their input is added through a 1 x 1 x 1 convolution."""

    def __init__(self, n_in: int, n_out: int, kernel: _Shape, padding_mode: _Padding, *, is_residual: bool) -> None:
        super().__init__()
        self.units = nn.Sequential(Unit(n_in, n_out, kernel, padding_mode), Unit(n_out, n_out, kernel, padding_mode))
        self.shortcut = nn.Conv3d(n_in, n_out, 1) if is_residual else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, z, y, x) -> (B, D, z, y, x)."""
        result: Tensor = self.units(features)
        return result if self.shortcut is None else result + self.shortcut(features)


class Gate(nn.Module):
    """Skipped features times a map in 0 to 1, which they and the features from below decide voxel by voxel.

    Oktay et al. compute the map at the coarser resolution; both forms here do so at that of the skipped features.

    References
    ----------
    Oktay et al., MIDL 2018, arXiv:1804.03999.
    """

    def __init__(self, n_features: int, n_between: int) -> None:
        super().__init__()
        self.of_gating = nn.Sequential(nn.Conv3d(n_features, n_between, 1), nn.BatchNorm3d(n_between))
        self.of_skip = nn.Sequential(nn.Conv3d(n_features, n_between, 1), nn.BatchNorm3d(n_between))
        self.attention = nn.Sequential(nn.Conv3d(n_between, 1, 1), nn.BatchNorm3d(1), nn.Sigmoid())

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """Both (B, C, z, y, x) -> the same."""
        gated: Tensor = skip * self.attention(functional.relu(self.of_gating(gating) + self.of_skip(skip)))
        return gated


class Up(nn.Module):
    """Enlargement, the gate, concatenation, a block."""

    def __init__(self, settings: AttentionUNet3dSettings, level: int) -> None:
        super().__init__()
        form, n_out = settings.form, settings.width * 2**level
        kernel, n_in = KERNELS[form][level], 2 * n_out
        self.is_preprint = form == "preprint"
        z, y, x = STRIDES[form][level]
        if self.is_preprint:
            n_between = max(n_out // 2, NARROWEST_GATE * settings.width // 16)
            self.enlarge = nn.Sequential(nn.Upsample(scale_factor=(z, y, x)), Unit(n_in, n_out, kernel, "zeros"))
        else:
            n_between = n_out
            enlarged = nn.Upsample(scale_factor=(z, y, x), mode="trilinear", align_corners=True)
            self.enlarge = nn.Sequential(enlarged, nn.Conv3d(n_in, n_out, 1))
        self.gate = Gate(n_out, n_between)
        padding: _Padding = "zeros" if self.is_preprint else "replicate"
        self.block = Block(2 * n_out, n_out, kernel, padding, is_residual=settings.is_residual)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, 2 C, z, y, x), (B, C, Z, Y, X) -> (B, C, Z, Y, X)."""
        up = self.enlarge(features)
        gated = self.gate(up, skip)
        joined: Tensor = self.block(cat((gated, up) if self.is_preprint else (up, gated), dim=1))
        return joined


class AttentionUNet3d(Network):
    """Encoder, gated decoder and a 1 x 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Zhanghao et al., bioRxiv 2021, doi:10.1101/2021.12.13.472520 (preprint); Nature Communications 2025 (published).
    """

    def __init__(self, settings: AttentionUNet3dSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        form, width = settings.form, settings.width
        self.divisor = tuple(math.prod(steps) for steps in zip(*STRIDES[form], strict=True))
        widths = [width * 2**level for level in range(N_LEVELS)]
        padding: _Padding = "zeros" if form == "preprint" else "replicate"
        blocks = [
            Block(n_in, n_out, kernel, padding, is_residual=settings.is_residual)
            for n_in, n_out, kernel in zip([settings.n_inputs, *widths[:-1]], widths, KERNELS[form], strict=True)
        ]
        self.downs, self.bridge = nn.ModuleList(blocks[:-1]), blocks[-1]
        self.pools = nn.ModuleList(nn.MaxPool3d(stride) for stride in STRIDES[form])
        self.ups = nn.ModuleList(Up(settings, level) for level in reversed(range(N_LEVELS - 1)))
        last = Block(width, width, CUBE, padding, is_residual=settings.is_residual)
        self.last = nn.Identity() if form == "preprint" else last
        self.head = nn.Conv3d(width, settings.n_outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        skips, features = [], image
        for block, pool in zip(self.downs, self.pools, strict=True):
            skips.append(block(features))
            features = pool(skips[-1])
        features = self.bridge(features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(self.last(features))
        return logits


ENTRIES = (
    NetworkEntry(
        "attention-unet3d",
        "Three-dimensional U-Net with attention gates, in the two forms of Zhanghao et al.",
        3,
        "Zhanghao et al. 2021, Fast imaging of 15 intracellular compartments, bioRxiv",
        "10.1101/2021.12.13.472520",
        AttentionUNet3dSettings,
        AttentionUNet3d,
    ),
)
