"""OS-Net and the U-Nets it was compared with: one module, switched by its settings.

To add a variant, add a settings class that fixes what its name promises, and an entry below.

Where the paper's text, its Table 1 and the published code disagree, the choice is a setting:

- ``up_kernel``: the text says 4 x 4, but the counts of Table 1 (2,159,648; 2,770,848) need 3 x 3 and a head without
  bias.
- ``pool_from``: the text and Fig. 2a pool the sum of the short skip connection (``ssc``); code in circulation pools the
  GCN's output alone and gives the sum to the long skip connection only (``gcn``). The parameters are the same.

The right branch of the GCN pads the axis it convolves; code in circulation pads the other one, wrong at the border.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, cat, nn

from tomocyte.networks.blocks import GlobalConvolution, Norm, convolution_unit, initialise, up_convolution
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings

N_LEVELS = 4
PAPER = (
    "Lee et al. 2019, Deep-learning-based label-free segmentation of cell nuclei in time-lapse refractive index "
    "tomograms, IEEE Access 7"
)
DOI = "10.1109/ACCESS.2019.2924255"


class OSNetSettings(NetworkSettings):
    """OS-Net: U-Net of 16 to 256 feature maps with global convolutions and short skip connections."""

    width: int = Field(default=16, ge=2, le=64)
    """Feature maps of the first level; each level below has twice as many."""
    uses_gcn: bool = True
    """Whether each Down module has a global convolution."""
    uses_ssc: bool = True
    """Whether the features before the global convolution are added to those after it."""
    gcn_kernel: int = Field(default=7, ge=3, le=31)
    """Odd length of the global convolution's kernels, in pixels."""
    pool_from: Literal["ssc", "gcn"] = "ssc"
    """What goes down to the next level: the sum (the paper's text) or the global convolution's output alone."""
    up_kernel: Literal[3, 4] = 4
    """Kernel of the transposed convolutions: 4 in the paper's text, 3 in its table of parameters."""
    has_head_bias: bool = True
    """Whether the final 1 x 1 convolution has a bias."""
    norm: Norm = "batch"
    """What follows each convolution; the paper's is batch, which keeps absolute values and folds away for inference."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.uses_ssc and not self.uses_gcn:
            raise ValueError("uses_ssc needs uses_gcn: the skip connection bridges the global convolution")
        if self.gcn_kernel % 2 == 0:
            raise ValueError(f"gcn_kernel is {self.gcn_kernel}, but must be odd")
        return self


class UNet16GcnSscSettings(OSNetSettings):
    """OS-Net as Table 1 counts it."""

    width: Literal[16] = 16
    """Feature maps of the first level, as the name says."""
    up_kernel: Literal[3, 4] = 3
    """Kernel of the transposed convolutions: 3 as Table 1 counts, 4 as the text says."""
    has_head_bias: bool = False
    """Whether the final 1 x 1 convolution has a bias; not in Table 1's count."""
    uses_gcn: Literal[True] = True
    """Whether each Down module has a global convolution, as the name says."""
    uses_ssc: Literal[True] = True
    """Whether there are short skip connections, as the name says."""


class UNet16GcnSettings(OSNetSettings):
    """U-Net of 16 to 256 feature maps with global convolutions."""

    width: Literal[16] = 16
    """Feature maps of the first level, as the name says."""
    up_kernel: Literal[3, 4] = 3
    """Kernel of the transposed convolutions: 3 as Table 1 counts, 4 as the text says."""
    has_head_bias: bool = False
    """Whether the final 1 x 1 convolution has a bias; not in Table 1's count."""
    uses_gcn: Literal[True] = True
    """Whether each Down module has a global convolution, as the name says."""
    uses_ssc: Literal[False] = False
    """Whether there are short skip connections, as the name says."""


class UNetSettings(OSNetSettings):
    """Plain U-Net; a width is fixed by each name."""

    up_kernel: Literal[3, 4] = 3
    """Kernel of the transposed convolutions: 3 as Table 1 counts, 4 as the text says."""
    has_head_bias: bool = False
    """Whether the final 1 x 1 convolution has a bias; not in Table 1's count."""
    uses_gcn: Literal[False] = False
    """Whether each Down module has a global convolution, as the name says."""
    uses_ssc: Literal[False] = False
    """Whether there are short skip connections, as the name says."""


class UNet16Settings(UNetSettings):
    """Plain U-Net of 16 to 256 feature maps."""

    width: Literal[16] = 16
    """Feature maps of the first level, as the name says."""


class UNet64Settings(UNetSettings):
    """Plain U-Net of 64 to 1024 feature maps."""

    width: Literal[64] = 64
    """Feature maps of the first level, as the name says."""


class OSNetEntrySettings(OSNetSettings):
    """OS-Net as its text describes it."""

    uses_gcn: Literal[True] = True
    """Whether each Down module has a global convolution, as the name says."""
    uses_ssc: Literal[True] = True
    """Whether there are short skip connections, as the name says."""


class ConvolutionBlock(nn.Sequential):
    """Two times 3 x 3 convolution, normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int, norm: Norm) -> None:
        super().__init__(
            convolution_unit(n_in, n_out, (3, 3), norm=norm), convolution_unit(n_out, n_out, (3, 3), norm=norm)
        )


class Down(nn.Module):
    """Convolutions, global convolution, short skip connection; returns what is skipped and what is pooled."""

    def __init__(self, n_in: int, n_out: int, settings: OSNetSettings) -> None:
        super().__init__()
        self.block = ConvolutionBlock(n_in, n_out, settings.norm)
        self.gcn = (
            GlobalConvolution(n_out, kernel=settings.gcn_kernel, norm=settings.norm) if settings.uses_gcn else None
        )
        self.uses_ssc = settings.uses_ssc
        self.pools_sum = settings.pool_from == "ssc"
        self.pool = nn.MaxPool2d(2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, Y, X) -> skip (B, D, Y, X), pooled (B, D, Y/2, X/2)."""
        features = self.block(features)
        if self.gcn is None:
            return features, self.pool(features)
        extracted = self.gcn(features)
        skip = features + extracted if self.uses_ssc else extracted
        return skip, self.pool(skip if self.pools_sum else extracted)


class Up(nn.Module):
    """Transposed convolution, long skip connection (the skipped features first), convolutions."""

    def __init__(self, n_in: int, n_out: int, settings: OSNetSettings) -> None:
        super().__init__()
        self.up = up_convolution(n_in, n_out, settings.up_kernel)
        self.block = ConvolutionBlock(2 * n_out, n_out, settings.norm)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(B, 2D, Y, X), (B, D, 2Y, 2X) -> (B, D, 2Y, 2X)."""
        joined: Tensor = self.block(cat((skip, self.up(features)), dim=1))
        return joined


class OSNet(Network):
    """Four Down modules, a bridge, four Up modules and a 1 x 1 convolution; returns logits.

    References
    ----------
    Lee et al., IEEE Access 7, 83449 (2019), doi:10.1109/ACCESS.2019.2924255.
    Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28.
    """

    def __init__(self, settings: OSNetSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = (2**N_LEVELS, 2**N_LEVELS)
        widths = [settings.width * 2**level for level in range(N_LEVELS + 1)]
        self.downs = nn.ModuleList(
            Down(n_in, n_out, settings) for n_in, n_out in zip([settings.n_inputs, *widths], widths[:-1], strict=False)
        )
        self.bridge = ConvolutionBlock(widths[-2], widths[-1], settings.norm)
        self.ups = nn.ModuleList(Up(2 * n_out, n_out, settings) for n_out in reversed(widths[:-1]))
        self.head = nn.Conv2d(widths[0], settings.n_outputs, 1, bias=settings.has_head_bias)
        initialise(self, scheme="kaiming")

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
        "unet16",
        "U-Net of 16 to 256 feature maps, as Table 1 counts it.",
        2,
        PAPER,
        DOI,
        UNet16Settings,
        OSNet,
        2_159_648,
    ),
    NetworkEntry("unet16-gcn", "unet16 with global convolutions.", 2, PAPER, DOI, UNet16GcnSettings, OSNet, 2_770_848),
    NetworkEntry(
        "unet16-gcn-ssc",
        "unet16 with global convolutions and short skip connections: OS-Net as Table 1 counts it.",
        2,
        PAPER,
        DOI,
        UNet16GcnSscSettings,
        OSNet,
        2_770_848,
    ),
    NetworkEntry(
        "osnet",
        "OS-Net as its text describes it: 4 x 4 transposed convolutions, a head with bias.",
        2,
        PAPER,
        DOI,
        OSNetEntrySettings,
        OSNet,
        3_075_489,
    ),
    NetworkEntry(
        "unet64",
        "U-Net of 64 to 1024 feature maps; Table 1 prints four times unet16's count, which no such network has.",
        2,
        PAPER,
        DOI,
        UNet64Settings,
        OSNet,
    ),
)
