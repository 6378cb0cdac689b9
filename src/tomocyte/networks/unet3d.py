"""A plain three-dimensional U-Net for anisotropic voxels.

To change its shape, use the settings; a network with other pieces is another file.

Voxels of optical diffraction tomograms are two to four times as long along z: ``strides`` says per level how far each
axis is pooled, so that z may be pooled later than y and x, and ``n_flat_levels`` how many levels look at each section
alone (1 x 3 x 3 kernels).

The refractive index is physical, so the first level has no normalisation: instance normalisation after the first,
bias-free convolution makes the network blind to any offset and scale of its input.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor, cat, nn

from tomocyte.networks._registry import Network, NetworkEntry, NetworkSettings
from tomocyte.networks.blocks import Norm, convolution_unit, initialise

SLOPE = 0.01
_Stride = Annotated[int, Field(ge=1, le=4)]


class UNet3dSettings(NetworkSettings):
    """Width, depth, pooling and normalisation."""

    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many, up to ``max_width``."""
    max_width: int = Field(default=256, ge=2, le=512)
    """Most feature maps of a level."""
    strides: tuple[tuple[_Stride, _Stride, _Stride], ...] = Field(
        default=((1, 2, 2), (2, 2, 2), (2, 2, 2)), min_length=1, max_length=6
    )
    """How far z, y, x are pooled after each level but the last; one level more than entries."""
    n_flat_levels: int = Field(default=0, ge=0, le=6)
    """How many first levels have 1 x 3 x 3 kernels."""
    norm: Norm = "batch"
    """What follows each convolution; batch folds away for inference and is the same for every tile."""
    has_stem_norm: bool = False
    """Whether the first level's encoder is normalised too; without, the absolute value of the input stays."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n_flat_levels > self.n_levels:
            raise ValueError(f"n_flat_levels is {self.n_flat_levels}, but there are {self.n_levels} levels")
        if self.max_width < self.width:
            raise ValueError(f"max_width is {self.max_width}, below width {self.width}")
        if any(stride == (1, 1, 1) for stride in self.strides):
            raise ValueError("a stride of (1, 1, 1) pools nothing")
        return self

    @property
    def n_levels(self) -> int:
        """Levels of resolution, the deepest included."""
        return len(self.strides) + 1


class ConvolutionBlock(nn.Sequential):
    """Two convolutions, each with normalisation and leaky ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: tuple[int, int, int], norm: Norm) -> None:
        super().__init__(
            convolution_unit(n_in, n_out, kernel, norm=norm, activation="leaky-relu", slope=SLOPE),
            convolution_unit(n_out, n_out, kernel, norm=norm, activation="leaky-relu", slope=SLOPE),
        )


class Up(nn.Module):
    """Transposed convolution as long as its stride, concatenation (skipped features first), convolutions."""

    def __init__(self, block: ConvolutionBlock, n_in: int, n_out: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(n_in, n_out, stride, stride=stride, bias=False)
        self.block = block

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, C, z, y, x), (B, D, Z, Y, X) -> (B, D, Z, Y, X)."""
        joined: Tensor = self.block(cat((skip, self.up(features)), dim=1))
        return joined


class UNet3d(Network):
    """Encoder, decoder and a 1 x 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Çiçek et al., MICCAI 2016, doi:10.1007/978-3-319-46723-8_49.
    """

    def __init__(self, settings: UNet3dSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        steps = [1, 1, 1]
        for stride in settings.strides:
            steps = [step * factor for step, factor in zip(steps, stride, strict=True)]
        self.divisor = tuple(steps)
        n_levels, norm = settings.n_levels, settings.norm
        widths = [min(settings.width * 2**level, settings.max_width) for level in range(n_levels)]
        kernels = [(1 if level < settings.n_flat_levels else 3, 3, 3) for level in range(n_levels)]
        norms: list[Norm] = [norm if settings.has_stem_norm else "none", *([norm] * (n_levels - 1))]
        self.blocks = nn.ModuleList(
            ConvolutionBlock(n_in, n_out, kernel, kind)
            for n_in, n_out, kernel, kind in zip([settings.n_inputs, *widths[:-1]], widths, kernels, norms, strict=True)
        )
        self.pools = nn.ModuleList(nn.MaxPool3d(stride) for stride in settings.strides)
        self.ups = nn.ModuleList(
            Up(
                ConvolutionBlock(2 * widths[level], widths[level], kernels[level], norm),
                widths[level + 1],
                widths[level],
                settings.strides[level],
            )
            for level in reversed(range(n_levels - 1))
        )
        self.head = nn.Conv3d(widths[0], settings.n_outputs, 1)
        initialise(self, scheme="kaiming", slope=SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        skips = []
        features = image
        for block, pool in zip(self.blocks, self.pools, strict=False):
            skips.append(block(features))
            features = pool(skips[-1])
        features = self.blocks[-1](features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits: Tensor = self.head(features)
        return logits

    def levels(self) -> dict[str, nn.Module]:
        """As in the base class; the deepest block is the bridge."""
        *downs, bridge = self.blocks.children()
        return {
            **{f"down {index}": part for index, part in enumerate(downs, 1)},
            "bridge": bridge,
            **{f"up {index}": part for index, part in enumerate(self.ups.children(), 1)},
            "output": self.head,
        }


ENTRIES = (
    NetworkEntry(
        "unet3d",
        "Three-dimensional U-Net; pooling and kernels per level, first level without normalisation.",
        3,
        "Çiçek et al. 2016, 3D U-Net, MICCAI",
        "10.1007/978-3-319-46723-8_49",
        UNet3dSettings,
        UNet3d,
    ),
)
