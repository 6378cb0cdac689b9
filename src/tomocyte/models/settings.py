"""How a trained model is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.settings import Settings


class InferenceSettings(Settings):
    """How a trained model is applied; the model card knows the rest. Of no meaning to the classical engine."""

    engine: Literal["auto", "torch", "compiled", "openvino"] = "auto"
    """What computes; ``auto`` takes OpenVINO on a CPU where it is installed, else torch."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """How exactly; ``auto`` takes bf16 where the machine multiplies it natively."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d{1,2})?)$")
    """``cpu``, ``cuda`` or ``cuda:N``."""
    tile_shape: tuple[int, ...] | None = None
    """Voxels of a tile at the model's voxel size; empty: the card's, and at least 512 x 512 for sections."""
    overlap: float = Field(default=0.25, ge=0, le=0.75)
    """Share of a tile that the next one covers too."""
    weight: Literal["gaussian", "spline", "linear", "constant"] = "gaussian"
    """How tiles are blended where they overlap."""
    halo: tuple[int, ...] = ()
    """Voxels at each side of a tile that are read but never used."""
    batch_size: int = Field(default=1, ge=1, le=1024)
    """Tiles given to the network at once; more than 1 only helps on a GPU."""
    test_time_flips: bool = False
    """Whether predictions are averaged over all flips of the tile's axes."""
    skips_empty: bool = True
    """3-D models of refractive index with a known medium: whether tiles that hold nothing but medium are left out."""
    section_axes: tuple[Literal["z", "y", "x"], ...] | None = None
    """2-D networks: what the sections are perpendicular to; empty: the card's axis."""
    vote: Literal["mean", "majority"] = "mean"
    """Several section axes: the mean of their probabilities, or the share of axes that say yes."""
    are_exclusive: bool = True
    """Whether structures that cannot be at one place (of Nile Red: nucleus, cytosol and extracellular space) share out
    what a model with overlapping outputs finds there: the most probable one has it."""
    instances: dict[str, InstanceSettings] = Field(default_factory=dict)
    """Per structure, how probabilities become objects; else by the card's threshold and a smallest size that suits."""
