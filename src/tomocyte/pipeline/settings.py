"""Everything that decides the result of a run for one input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tomocyte.channels import ChannelSettings
from tomocyte.confidence.settings import UncertaintySettings
from tomocyte.measurements.colocalisation import ColocalisationSettings
from tomocyte.measurements.spatial.settings import ContactSettings
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.refinement.settings import RefinementSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.settings import Settings
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.structures import canonical_name
from tomocyte.tracking import TrackingSettings


class RunSettings(Settings):
    """Everything that decides the result of ``tomocyte run`` for one input; its hash keys the outputs."""

    modality: str
    """Name of the modality, e.g. ``odt``."""
    model: str = "auto"
    """Name of a model or the folder of its package; ``classical`` is the engine without a trained network, ``auto`` the
    modality's own model, or the classical engine for inputs that it does not fit; ``masks``: none, the masks are given
    to ``tomocyte measure``."""
    cascade: str | None = Field(default=None, min_length=1)
    """Several networks, one after the other, instead of one model: a YAML file, or the name of a cascade that ships."""
    inference: InferenceSettings = InferenceSettings()
    """How a trained model is applied."""
    uncertainty: UncertaintySettings = UncertaintySettings()
    """How a trained model says how sure it is."""
    cells: str = Field(default="auto", min_length=1)
    """How cells are told apart where a trained model finds cells and nuclei in volumes. ``auto``: by the network
    ``odt-cells``, and in a time-lapse by ``watershed``; the name of another network or the folder of its package;
    ``watershed`` from the nuclei; ``components``; ``as-found``: as the model's own settings give them."""
    has_binucleate_cells: bool | None = None
    """Whether two nuclei belong to one cell where their parts of the mask of all cells meet without a waist. ``false``
    makes a cell of every nucleus: for crowded cultures, whose cells press against each other and have one each. Empty
    (null): yes, and in a time-lapse whose errors are repaired if there is no waist in nearly all frames."""
    refinement: RefinementSettings = RefinementSettings()
    """Whether surfaces are refined at the image's own voxel size, and how."""
    segmentation: SegmentationSettings | None = None
    """Settings of the classical engine; empty: those of the modality."""
    structure: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$")
    """What the main objects are called in tables and file names, an alias by its registered name; empty: the modality's
    own word."""
    quantity: str | None = None
    """What a voxel value means, where the modality knows several and the file does not say."""
    wavelength_um: float | None = Field(default=None, gt=0.1, lt=20)
    """Vacuum wavelength in µm; turns a phase image into a dry-mass density."""
    lac_per_um: float | None = Field(default=None, gt=0, lt=1e9)
    """Linear absorption coefficient in 1/µm of one grey value; turns the grey values of soft X-ray tomograms into it.
    """
    lac_from_beads: float | None = Field(default=None, gt=0, lt=100)
    """Linear absorption coefficient in 1/µm of polystyrene at the photon energy (1.20 at 517 eV); the grey values of
    the beads found give the scale of soft X-ray tomograms."""
    lac_of_medium: float | None = Field(default=None, ge=0, lt=100)
    """With ``lac_from_beads``: linear absorption coefficient in 1/µm of the medium (ice: 0.11 at 517 eV), the second
    point of the scale. Empty: grey value 0 is taken for no absorption."""
    contrast: Literal["auto", "bright", "dark"] = "auto"
    """Whether what absorbs is bright or dark in soft X-ray tomograms of grey values. ``auto``: bright, and images in
    which it looks dark are refused."""
    voxel_size_um: tuple[float, float, float] | None = None
    """Voxel size z, y, x in µm, over what the file says; z is NaN for a planar pixel size."""
    axes: str | None = None
    """One letter of TCZYX per stored axis, over what the file says."""
    time_step_s: float | None = Field(default=None, gt=0)
    """Seconds between frames, over what the file says."""
    dataset: str | None = None
    """Array inside a container."""
    mask_dataset: str | None = None
    """Array inside a container with masks of the user's own."""
    are_masks_labels: bool = False
    """Whether masks of one value are label images of one object, and are not taken apart into connected pieces."""
    channel: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=200)] = 0
    """Channel to segment, by its index from 0 or its name; all channels are measured."""
    channel_files: dict[str, str] = Field(default_factory=dict)
    """Names of files in one folder, by the name of the channel that each holds, where an input is several files."""
    channels: ChannelSettings = ChannelSettings()
    """Which channels are which, and what is made of them, for modalities of several channels."""
    measurements: tuple[str, ...] = ()
    """Further measurements beside those of the modality, by name, of objects or of pairs of objects; see
    `tomocyte measurements`."""
    pair_distance_um: float = Field(default=0.0, ge=0, le=1000)
    """Pairs of objects are measured that overlap, touch or lie at most this far apart, in µm."""
    contacts: ContactSettings = ContactSettings()
    """Contacts, distances and positions of objects within their cell."""
    mesh: Literal["stl", "ply"] | None = None
    """Format of meshes to write beside the label images, one file per structure and frame; empty: none."""
    masked_images: bool = False
    """Whether the image under each structure's masks is written beside the label images, 0 outside: of the channel that
    is segmented, or of a modality with derived channels of its intensity."""
    colocalisation: ColocalisationSettings = ColocalisationSettings()
    """Colocalisation of the channels inside the objects."""
    tracking: TrackingSettings | None = TrackingSettings()
    """How the main objects of a time-lapse are followed over time; empty (null): they are not."""
    medium_ri: float | Literal["background"] | None = None
    """Refractive index of the medium, or ``background`` to measure it outside the cells."""
    instrument: str | OdtInstrument | None = None
    """The tomograph: a name that ``tomocyte simulate`` knows too, such as ``HT-2H``, or its optics; empty: the one that
    the file names. It decides how index and dry mass are corrected for missing frequencies."""
    nan: Literal["refuse", "mask"] = "refuse"
    """What to do with NaN or infinite voxels: refuse the input, or treat them as outside."""
    edits: str | None = None
    """Corrections made by hand: an ``edits.yaml``, or a folder of ``<item>.edits.yaml``. What they say decides, not
    where they lie."""
    is_forced: bool = False
    """Whether to go on although the values do not fit the modality or the model; recorded in every output."""

    @field_validator("structure")
    @classmethod
    def _is_registered_name(cls, given: str | None) -> str | None:
        return None if given is None else canonical_name(given)

    @model_validator(mode="after")
    def _medium_needs_beads(self) -> RunSettings:
        if self.lac_of_medium is not None and self.lac_from_beads is None:
            raise ValueError("'lac_of_medium' needs 'lac_from_beads': one point gives no scale")
        if self.lac_from_beads is not None and self.lac_per_um is not None:
            raise ValueError("give 'lac_from_beads' or 'lac_per_um', not both")
        if self.lac_from_beads is not None and self.lac_from_beads == self.lac_of_medium:
            raise ValueError("'lac_from_beads' and 'lac_of_medium' are equal: two equal points give no scale")
        return self

    @model_validator(mode="after")
    def _one_engine(self) -> RunSettings:
        if self.cascade is not None and self.model != "auto":
            raise ValueError("give 'model' or 'cascade', not both")
        return self

    @model_validator(mode="after")
    def _inference_needs_a_model(self) -> RunSettings:
        if self.model in ("classical", "masks") and self.inference != InferenceSettings():
            raise ValueError("'inference' needs a trained 'model'")
        return self
