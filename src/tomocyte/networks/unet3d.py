"""A plain three-dimensional U-Net for anisotropic voxels.

To change its shape, use the settings; a network with other pieces is another file.

Voxels of optical diffraction tomograms are two to four times as long along z: ``strides`` says per level how far each
axis is pooled, so that z may be pooled later than y and x, and ``n_flat_levels`` how many levels look at each section
alone (1 x 3 x 3 kernels).

The refractive index is physical, so the first level has no normalisation: instance normalisation after the first,
bias-free convolution makes the network blind to any offset and scale of its input.

``stem_stride`` folds that many voxels of z, y and x into channels before the first level and unfolds the outputs again:
all of the network then works on a coarser grid, at a fraction of the cost, while input and output keep every voxel.
``detail_width`` adds a few convolutions that see every voxel: they correct the unfolded outputs by the image beside
them, which is where surfaces and thin structures are decided.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor, cat, nn

from tomocyte.networks.blocks import Norm, convolution_unit, initialise
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

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
    stem_stride: tuple[_Stride, _Stride, _Stride] = (1, 1, 1)
    """How many voxels of z, y, x the first level sees as one, with their values as channels."""
    n_flat_levels: int = Field(default=0, ge=0, le=6)
    """How many first levels have 1 x 3 x 3 kernels."""
    norm: Norm = "batch"
    """What follows each convolution; batch folds away for inference and is the same for every tile."""
    has_stem_norm: bool = False
    """Whether the first level's encoder is normalised too; without, the absolute value of the input stays."""
    detail_width: int = Field(default=0, ge=0, le=32)
    """Feature maps of the two convolutions that correct the outputs by the unfolded image; 0: none."""

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


def fold(image: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """Space to depth: (B, C, Z, Y, X) -> (B, C * z * y * x, Z / z, Y / y, X / x); :func:`unfold` undoes it.

    Examples
    --------
    >>> import torch
    >>> fold(torch.arange(4.0).reshape(1, 1, 1, 1, 4), (1, 1, 2)).tolist()
    [[[[[0.0, 2.0]]], [[[1.0, 3.0]]]]]
    """
    if stride == (1, 1, 1):
        return image
    (n, c, z, y, x), (a, b, d) = image.shape, stride
    parts = image.reshape(n, c, z // a, a, y // b, b, x // d, d)
    return parts.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * a * b * d, z // a, y // b, x // d)


def unfold(features: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """Depth to space: (B, C * z * y * x, Z, Y, X) -> (B, C, Z * z, Y * y, X * x)."""
    if stride == (1, 1, 1):
        return features
    (n, c, z, y, x), (a, b, d) = features.shape, stride
    parts = features.reshape(n, c // (a * b * d), a, b, d, z, y, x)
    return parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // (a * b * d), z * a, y * b, x * d)


class Detail(nn.Sequential):
    """From the image and the outputs, voxel by voxel, to a correction of the outputs."""

    def __init__(self, settings: UNet3dSettings, width: int) -> None:
        n_image_and_outputs = settings.n_inputs + settings.n_outputs
        super().__init__(
            ConvolutionBlock(n_image_and_outputs, width, (3, 3, 3), settings.norm),
            nn.Conv3d(width, settings.n_outputs, 1),
        )

    def silence(self) -> None:
        """Correct nothing, so that training starts from the outputs as they are."""
        for parameter in self[-1].parameters():
            nn.init.zeros_(parameter)


class UNet3d(Network):
    """Encoder, decoder and a 1 x 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Çiçek et al., MICCAI 2016, doi:10.1007/978-3-319-46723-8_49; folding voxels into channels: Shi et al., CVPR 2016,
    doi:10.1109/CVPR.2016.207.
    """

    def __init__(self, settings: UNet3dSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.stem_stride = settings.stem_stride
        n_folded = math.prod(settings.stem_stride)
        steps = list(settings.stem_stride)
        for stride in settings.strides:
            steps = [step * factor for step, factor in zip(steps, stride, strict=True)]
        self.divisor = tuple(steps)
        n_levels, norm = settings.n_levels, settings.norm
        widths = [min(settings.width * 2**level, settings.max_width) for level in range(n_levels)]
        kernels = [(1 if level < settings.n_flat_levels else 3, 3, 3) for level in range(n_levels)]
        norms: list[Norm] = [norm if settings.has_stem_norm else "none", *([norm] * (n_levels - 1))]
        self.blocks = nn.ModuleList(
            ConvolutionBlock(n_in, n_out, kernel, kind)
            for n_in, n_out, kernel, kind in zip(
                [settings.n_inputs * n_folded, *widths[:-1]], widths, kernels, norms, strict=True
            )
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
        self.head = nn.Conv3d(widths[0], settings.n_outputs * n_folded, 1)
        self.detail = Detail(settings, settings.detail_width) if settings.detail_width else None
        initialise(self, scheme="kaiming", slope=SLOPE)
        if self.detail is not None:
            self.detail.silence()

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        skips = []
        features = fold(image, self.stem_stride)
        for block, pool in zip(self.blocks, self.pools, strict=False):
            skips.append(block(features))
            features = pool(skips[-1])
        features = self.blocks[-1](features)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            features = up(features, skip)
        logits = unfold(self.head(features), self.stem_stride)
        if self.detail is None:
            return logits
        # An engine that computes in bf16 hands the first convolution the image's remainder too, behind the image.
        seen = image[:, : self.n_inputs].to(logits.dtype)
        corrected: Tensor = logits + self.detail(cat((seen, logits), dim=1))
        return corrected

    def levels(self) -> dict[str, nn.Module]:
        """As in the base class; the deepest block is the bridge."""
        *downs, bridge = self.blocks.children()
        return {
            **{f"down {index}": part for index, part in enumerate(downs, 1)},
            "bridge": bridge,
            **{f"up {index}": part for index, part in enumerate(self.ups.children(), 1)},
            "output": self.head,
            **({} if self.detail is None else {"detail": self.detail}),
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
