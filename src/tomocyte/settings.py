"""Settings: one frozen class per step, documented per field, refusing unknown keys.

YAML comes in through :func:`load_settings`, JSON goes out into ``run.json``. To add a step, add a class here and a
field to the settings that contain it. Never accept a setting and ignore it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tomocyte.errors import SettingsError


class Settings(BaseModel):
    """Frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ForegroundSettings(Settings):
    """Which voxels belong to a cell; never an empty field's noise."""

    method: Literal["half-maximum", "otsu", "local-adaptive", "value"] = "half-maximum"
    """Half-way between background and cell; Otsu's; one that follows the neighbourhood; a given value."""
    value: float | None = None
    """The threshold in the image's unit, for ``value``."""
    fraction: float = Field(default=0.5, gt=0, lt=1)
    """Where ``half-maximum`` cuts between background (0) and cell (1); ``local-adaptive`` never cuts below."""
    core_fraction: float = Field(default=0.5, gt=0, lt=1)
    """``half-maximum`` and ``local-adaptive``: an object counts only if it reaches this far from background (0) to
    cell (1) somewhere, which keeps uneven background and noise out."""
    min_contrast_to_noise: float = Field(default=3.0, ge=0)
    """Cells must stand this many background deviations out, else the field is empty (not for ``value``)."""
    is_bright: bool = True
    """Whether cells have higher values than the background."""
    smoothing_um: float = Field(default=0.3, ge=0, le=20)
    """Gaussian sigma in µm before the threshold; it moves the surface of a cell of radius R inwards by sigma²/R."""
    local_window_um: float = Field(default=15.0, gt=0, le=500)
    """Neighbourhood (Gaussian sigma) of ``local-adaptive`` in µm."""

    @model_validator(mode="after")
    def _value_is_given(self) -> ForegroundSettings:
        if (self.method == "value") != (self.value is not None):
            raise ValueError("give 'value' with method 'value', and only then")
        return self


class SplitSettings(Settings):
    """How touching cells are told apart (seeded watershed)."""

    method: Literal["none", "distance", "intensity", "local-contrast"] = "distance"
    """Seeds and landscape from the distance to the border, the smoothed intensity, or what is bright for its place."""
    smoothing_um: float = Field(default=0.5, ge=0, le=20)
    """Gaussian sigma in µm of the intensity before seeds are sought in it."""
    window_um: float = Field(default=4.0, gt=0, le=200)
    """Gaussian sigma in µm of the neighbourhood of ``local-contrast``: about half a cell's radius."""
    min_separation_um: float = Field(default=5.0, gt=0, le=200)
    """Smallest distance between two cells' seeds in µm."""
    prominence: float = Field(default=0.15, ge=0, le=1)
    """How far, as a fraction of the peak's height, the landscape must fall between two seeds."""
    seed_fraction: float = Field(default=0.1, ge=0, le=1)
    """Smallest size of a hill that makes a seed, as a fraction of the smallest cell."""


class CleanSettings(Settings):
    """What is taken for an object at all."""

    min_volume_um3: float = Field(default=50.0, ge=0)
    """Smallest object in µm³ (3-D)."""
    min_area_um2: float = Field(default=25.0, ge=0)
    """Smallest object in µm² (2-D)."""
    is_hole_filled: bool = True
    """Whether holes inside an object belong to it."""
    is_border_cleared: bool = False
    """Whether objects cut by the lateral (y, x) border are dropped; z faces do not count."""


class NucleusSettings(Settings):
    """How nuclei are found inside cells."""

    method: Literal["none", "dark-core", "edge"] = "none"
    """A core of lower values; the edge-based method that OS-Net was compared with (Sobel)."""
    erosion_um: float = Field(default=1.0, ge=0, le=20)
    """How deep below the cell's surface a nucleus may begin, in µm."""
    smoothing_um: float = Field(default=0.4, ge=0, le=20)
    """Gaussian sigma in µm before the threshold."""
    min_fraction: float = Field(default=0.05, ge=0, le=1)
    """Smallest nucleus as a fraction of its cell."""
    max_fraction: float = Field(default=0.7, ge=0, le=1)
    """Largest nucleus as a fraction of its cell."""
    min_contrast: float = Field(default=0.0005, ge=0)
    """Smallest difference between cytoplasm and nucleus, in the image's unit."""
    opening_um: float = Field(default=0.8, ge=0, le=20)
    """What is thinner than twice this (rims, tails) is cut off a dark core; a core that is mostly thin is none."""
    min_solidity: float = Field(default=0.75, ge=0, le=1)
    """Smallest share of its convex hull that a dark core fills; a shell or a rim is no nucleus."""


class InclusionSettings(Settings):
    """How bright inclusions are found inside cells."""

    method: Literal["none", "bright"] = "none"
    """Voxels far above their cell's own spread."""
    n_deviations: float = Field(default=3.0, gt=0)
    """How many robust standard deviations above the cell's median an inclusion's peak lies."""
    rim_fraction: float = Field(default=0.5, gt=0, le=1)
    """Where an inclusion ends, as a fraction of the way from the cell's median to the level its peak must reach."""
    min_contrast: float = Field(default=0.003, ge=0)
    """Smallest difference from the cell's median, in the image's unit."""
    min_volume_um3: float = Field(default=0.05, ge=0)
    """Smallest inclusion in µm³ (3-D)."""
    min_area_um2: float = Field(default=0.2, ge=0)
    """Smallest inclusion in µm² (2-D)."""


class SegmentationSettings(Settings):
    """The classical engine, step by step."""

    foreground: ForegroundSettings = ForegroundSettings()
    split: SplitSettings = SplitSettings()
    clean: CleanSettings = CleanSettings()
    nucleus: NucleusSettings = NucleusSettings()
    inclusion: InclusionSettings = InclusionSettings()


class InstanceSettings(Settings):
    """How probabilities become objects."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A voxel belongs to an object above this probability."""
    core_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Two outputs: a voxel belongs to a core above this probability of the second one."""
    min_volume_um3: float = Field(default=1.0, ge=0)
    """Smallest object in µm³ (3-D)."""
    min_area_um2: float = Field(default=1.0, ge=0)
    """Smallest object in µm² (2-D)."""
    min_core_volume_um3: float = Field(default=0.2, ge=0)
    """Smallest core in µm³ (3-D); smaller ones are noise."""
    min_core_area_um2: float = Field(default=0.2, ge=0)
    """Smallest core in µm² (2-D)."""
    is_coreless_kept: bool = True
    """Two outputs: whether a part of the mask without any core is an object of its own; otherwise it is dropped."""
    is_hole_filled: bool = True
    """Whether holes inside an object belong to it."""
    is_border_cleared: bool = False
    """Whether objects cut by the lateral (y, x) border are dropped; z faces do not count."""
    split: SplitSettings = SplitSettings(method="none")
    """One output: how touching objects are told apart. Intensities here are probabilities."""


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
    instances: dict[str, InstanceSettings] = {}
    """Per structure, how probabilities become objects; else by the card's threshold and a smallest size that suits."""


class UncertaintySettings(Settings):
    """How a trained 3-D model says how sure it is."""

    method: Literal["auto", "none", "single", "flips", "ensemble"] = "auto"
    """``single``: from the model's own probabilities. ``flips``: mean and spread over all flips of the image, at eight
    times the cost. ``ensemble``: over several models. ``auto``: ``single`` where the model is calibrated."""
    models: tuple[str, ...] = Field(default=(), max_length=15)
    """``ensemble``: further models of the same structures."""
    is_map_written: bool = False
    """Whether each structure's doubt is written beside its mask, voxel by voxel."""

    @model_validator(mode="after")
    def _fits(self) -> UncertaintySettings:
        if (self.method == "ensemble") != bool(self.models):
            raise ValueError("give 'models' with method 'ensemble', and only then")
        if self.method == "none" and self.is_map_written:
            raise ValueError("'is_map_written' needs a method")
        return self


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


S = TypeVar("S", bound=Settings)


def load_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, unchecked (the settings class checks it).

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: not readable, not YAML, or not a mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(
            "E-SETTINGS", f"cannot be read: {problem}.", path=path, cure="Give a YAML file."
        ) from problem
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError("E-SETTINGS", "is not a mapping of settings.", path=path, cure="Write `key: value` lines.")
    return content


def with_overrides(content: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of ``content`` with ``dotted.key=value`` laid over it; values are YAML scalars.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: an override without ``=``, or a path through something that is no mapping.
    """
    import copy

    import yaml

    result = copy.deepcopy(content)
    for override in overrides:
        dotted, separator, text = override.partition("=")
        if not separator:
            raise SettingsError("E-SETTINGS", f"{override!r} has no `=`.", cure="Write --set key.part=value.")
        *parents, last = dotted.strip().split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError("E-SETTINGS", f"{dotted!r} goes through a value that has no parts.")
        place[last] = yaml.safe_load(text)
    return result


def build_settings(kind: type[S], content: dict[str, Any]) -> S:
    """Check a mapping against a settings class.

    Raises
    ------
    SettingsError
        ``E-SETTINGS`` naming each field that is unknown, missing or out of bounds.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        lines = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in problem.errors()]
        raise SettingsError("E-SETTINGS", "; ".join(lines) + ".", cure="See `tomocyte settings`.") from problem
