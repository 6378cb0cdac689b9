"""What is learned from which pixels of labelled images: one frozen class.

How files are named and read is :class:`tomocyte.datasets.settings.LabelledSettings`. To add a setting of
training, add a field with its meaning here and use it where samples are made.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tomocyte.datasets.settings import LabelledSettings
from tomocyte.segmentation.prediction.fixed_shape import FixedFrameSettings
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.scaled_frame import ScaledFrameSettings
from tomocyte.settings import Settings

IGNORE = 255
"""Value of an unlabelled target voxel: no loss, no score."""
FULL_WEIGHT = 254
"""Weight, as it is stored, of a voxel that counts in full; 0: like an unlabelled one."""


class CellSampleSettings(Settings):
    """How samples of the cell-by-cell network are cut out and made to look like predictions."""

    frame: Literal["windows", "as-published"] = "windows"
    """``windows``: ``patch_shape`` voxels of ``voxel_size_um`` around a nucleus. ``as-published``: the whole field,
    resized to 128 planes of 128 x 128 of which the middle 64 are used (``patch_shape: [64, 128, 128]``)."""
    input: Literal["masks", "regions"] = "masks"
    """``masks``: the three masks, as published. ``regions``: the mask of all cells as depth below its surface, and
    nuclei with the parts of the mask that seeded watershed gives them: the network begins where watershed ends."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the factor by which a training sample is enlarged."""
    scale_z: tuple[float, float] = (1.0, 1.0)
    """Range of a further factor for z."""
    is_turned: bool = False
    """Whether training samples are rotated by any angle about z and flipped along any axis."""
    jitter_um: float = Field(default=0.0, ge=0, le=20)
    """``windows``: how far their middle may lie from the nucleus's along y and x, in µm; a quarter of it along z."""
    corruption: float = Field(default=0.0, ge=0, le=1)
    """Share of training samples whose masks are corrupted as a network's predictions are: edges moved smoothly,
    blobs lost and added, neighbours' nuclei missing."""

    @model_validator(mode="after")
    def _is_possible(self) -> CellSampleSettings:
        for low, high in (self.scale, self.scale_z):
            if not 0.1 <= low <= high <= 10:
                raise ValueError("'scale' and 'scale_z' must be ranges within 0.1 to 10")
        return self


class DataSettings(LabelledSettings):
    """What is learned from which pixels."""

    modality: str
    """Name of the modality, e.g. ``odt``."""
    structures: tuple[str, ...] = Field(min_length=1, max_length=16)
    """One label image per structure; each is one output of the network."""
    targets: Literal["masks", "mask-and-core", "cell-by-cell"] = "masks"
    """``masks``: inside or outside. ``mask-and-core``: for one structure of many touching objects, its mask and the
    mask without a rim of ``core_depth_um`` around every object, from which touching objects are separated afterwards.
    ``cell-by-cell``: input is the mask of all cells, one nucleus and all others; learned is the cell of that nucleus.
    ``structures`` are then the cell and the nucleus, whose label images number them."""
    cells: CellSampleSettings = CellSampleSettings()
    """``cell-by-cell``: how samples are cut out."""
    core_depth_um: float | None = Field(default=None, gt=0, le=100)
    """Width of that rim in µm. Empty: half of the depth of the middle one of the labelled objects, so that every object
    keeps a core and touching ones part."""
    constant_channels: tuple[str, ...] = ()
    """Names of channels that are read as 0 everywhere: `tomocyte ablate` finds out so what a channel is worth."""
    voxel_size_um: tuple[float | None, float, float] | None = None
    """Voxel size z, y, x in µm at which the network works (z: null for sections); images are resampled to it. Empty:
    as stored."""
    fixed_frame: FixedFrameSettings | None = None
    """3-D networks, instead of a voxel size: every volume is resized to one shape, as Choi et al. published."""
    scaled_frame: ScaledFrameSettings | None = None
    """3-D softmax networks, instead of a voxel size: every volume is resized to one shape and its values to one range,
    and patches of ``patch_shape`` lie on a grid, each learned from once per epoch, as Biomedisa trained ACSeg."""
    joins_volumes: bool = True
    """``scaled_frame``: whether the grid runs through all volumes stacked along z, so that some patches straddle two,
    as published."""
    balance: Literal["none", "repeat", "cut"] = "none"
    """``scaled_frame``: ``repeat`` gives every batch as many patches with an object as without, the rarer kind several
    times; ``cut`` the same, leaving out some of the more frequent kind."""
    normalization: NormalizationSettings
    """From physical values to network input."""
    patch_shape: tuple[int, ...] | None = None
    """Size of a training patch (y, x) or (z, y, x) in pixels of the network; empty: whole sections."""
    object_share: float = Field(default=0.7, ge=0, le=1)
    """Share of patches centred on an object."""
    centred_on: Literal["voxels", "structures"] = "voxels"
    """3-D networks: patches centred on an object lie around any voxel of any structure, or first a structure is drawn
    and then one of its voxels, so that rare ones are seen as often as frequent ones."""
    sections: Literal["with-objects", "all"] = "with-objects"
    """2-D networks: the sections that show an object, as OS-Net trained, or all."""
    min_section_area_um2: float = Field(default=4.0, ge=0)
    """Sections showing less than this of every structure do not count as showing an object."""
    section_margin_um: float = Field(default=0.0, ge=0, le=1000)
    """``with-objects``: sections so near above or below one that shows an object count too, so that a network that
    will see whole volumes learns where objects end."""
    max_sections_per_item: int | None = Field(default=None, ge=1)
    """At most so many sections of one item, evenly spaced; empty: every one."""

    @model_validator(mode="after")
    def _one_working_size(self) -> DataSettings:
        if self.fixed_frame is not None and self.voxel_size_um is not None:
            raise ValueError("give 'voxel_size_um' or 'fixed_frame', not both")
        if self.scaled_frame is not None and (self.fixed_frame is not None or self.voxel_size_um is not None):
            raise ValueError("give one of 'voxel_size_um', 'fixed_frame' and 'scaled_frame'")
        return self

    @model_validator(mode="after")
    def _are_constant_channels_read(self) -> DataSettings:
        if self.constant_channels and (self.scaled_frame is not None or self.targets == "cell-by-cell"):
            raise ValueError("'constant_channels' means nothing with 'scaled_frame' or 'cell-by-cell'")
        return self

    @model_validator(mode="after")
    def _fits_scaled_frame(self) -> DataSettings:
        if self.scaled_frame is None:
            if not self.joins_volumes or self.balance != "none":
                raise ValueError("'joins_volumes' and 'balance' need 'scaled_frame'")
            return self
        if (self.targets, self.weights, len(self.patch_shape or ())) != ("masks", "equal", 3):
            raise ValueError("'scaled_frame' needs a 'patch_shape' z, y, x, 'targets: masks' and equal 'weights'")
        if any(length > side for length, side in zip(self.patch_shape or (), self.scaled_frame.shape, strict=True)):
            raise ValueError("'patch_shape' must not be larger than the shape of 'scaled_frame'")
        if "object_share" in self.model_fields_set:
            raise ValueError("'object_share' means nothing with 'scaled_frame', whose patches lie on a grid")
        return self

    @model_validator(mode="after")
    def _cells_need_nuclei(self) -> DataSettings:
        if self.targets == "cell-by-cell" and (len(self.structures) != 2 or self.patch_shape is None):
            raise ValueError("'cell-by-cell' needs two 'structures', cell and nucleus, and a 'patch_shape'")
        if self.targets == "cell-by-cell" and (self.weights, self.slices_without_labels) != ("equal", "background"):
            raise ValueError("'cell-by-cell' needs labels of whole frames, without 'weights' and unlabelled slices")
        return self
