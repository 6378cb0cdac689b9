"""Everything that decides the result of a run for one input."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tomocyte.confidence.settings import UncertaintySettings
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.settings import Settings


class RunSettings(Settings):
    """Everything that decides the result of ``tomocyte run`` for one input; its hash keys the outputs."""

    modality: str
    """Name of the modality, e.g. ``odt``."""
    model: str = "auto"
    """Name of a model or the folder of its package; ``classical`` is the engine without a trained network, ``auto`` the
    modality's own model, or the classical engine for inputs that it does not fit."""
    inference: InferenceSettings = InferenceSettings()
    """How a trained model is applied."""
    uncertainty: UncertaintySettings = UncertaintySettings()
    """How a trained model says how sure it is."""
    cells: str = Field(default="auto", min_length=1)
    """How cells are told apart where a trained model finds cells and nuclei in volumes. ``auto``: by the network
    ``odt-cells``; the name of another network or the folder of its package; ``watershed`` from the nuclei;
    ``components``; ``as-found``: as the model's own settings give them."""
    segmentation: SegmentationSettings | None = None
    """Settings of the classical engine; empty: those of the modality."""
    structure: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$")
    """What the main objects are called in tables and file names; empty: the modality's own word."""
    quantity: str | None = None
    """What a voxel value means, where the modality knows several and the file does not say."""
    wavelength_um: float | None = Field(default=None, gt=0.1, lt=20)
    """Vacuum wavelength in µm; turns a phase image into a dry-mass density."""
    voxel_size_um: tuple[float, float, float] | None = None
    """Voxel size z, y, x in µm, over what the file says; z is NaN for a planar pixel size."""
    axes: str | None = None
    """One letter of TCZYX per stored axis, over what the file says."""
    time_step_s: float | None = Field(default=None, gt=0)
    """Seconds between frames, over what the file says."""
    dataset: str | None = None
    """Array inside a container."""
    channel: int = Field(default=0, ge=0)
    """Channel to segment and measure, from 0."""
    medium_ri: float | Literal["background"] | None = None
    """Refractive index of the medium, or ``background`` to measure it outside the cells."""
    nan: Literal["refuse", "mask"] = "refuse"
    """What to do with NaN or infinite voxels: refuse the input, or treat them as outside."""
    edits: str | None = None
    """Corrections made by hand: an ``edits.yaml``, or a folder of ``<item>.edits.yaml``. What they say decides, not
    where they lie."""
    is_forced: bool = False
    """Whether to go on although the values do not fit the modality or the model; recorded in every output."""

    @model_validator(mode="after")
    def _inference_needs_a_model(self) -> RunSettings:
        if self.model == "classical" and self.inference != InferenceSettings():
            raise ValueError("'inference' needs a trained 'model'")
        return self
