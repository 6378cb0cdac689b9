"""Recipes: everything that decides a training, one frozen class per part, read from YAML.

A recipe and its data give the same weights on the same machine. To add a setting, add a field with its meaning here and
use it in the module that does that step; to add an experiment, add a YAML file to ``recipes/``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings, load_settings
from tomocyte.training.data.augmentation import PRESETS, AugmentationSettings
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.losses import LossSettings
from tomocyte.training.optimisation import OptimiserSettings, ScheduleSettings


class NetworkChoice(Settings):
    """Which network, and its options."""

    name: str
    """As listed by ``tomocyte networks``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Fields of that network's settings, except the numbers of inputs and outputs."""


class LoopSettings(Settings):
    """How the weights change."""

    n_epochs: int = Field(default=100, ge=1, le=100_000)
    """Passes over the training samples."""
    batch_size: int = Field(default=8, ge=1, le=4096)
    """Samples per step, over all processes."""
    samples_per_epoch: int | None = Field(default=None, ge=1)
    """Samples of one epoch; empty: every one once."""
    optimiser: OptimiserSettings = OptimiserSettings()
    """Which optimiser."""
    schedule: ScheduleSettings = ScheduleSettings()
    """How the learning rate changes."""
    initial_shares: tuple[float, ...] | None = None
    """Share of the voxels that each output should hold inside at first (sets the last bias, with it the first steps of
    rare structures); empty: a half."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the moving average of the weights, used for validation and the final model; empty: none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto``: bf16 where the processor computes in it, else fp32."""
    seed: int = Field(default=1, ge=0)
    """Of weights, order and augmentation."""
    select: Literal["last", "best"] = "last"
    """Which weights are kept: the last, or those of the best validation score. ``best`` makes the validation score
    optimistic; never select on the samples that are reported."""
    select_by: Literal["dice", "as-published"] = "dice"
    """``as-published``: F0.5 + Jaccard + Dice, as OS-Net's authors chose."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation score; empty: never."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations."""
    checkpoint_every_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints; one is also written at the end of every epoch."""
    n_checkpoints: int = Field(default=2, ge=1, le=100)
    """How many checkpoints are kept."""

    @field_validator("initial_shares")
    @classmethod
    def _are_shares(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and not all(0 < share < 1 for share in given):
            raise ValueError("every share must lie between 0 and 1")
        return given

    @model_validator(mode="after")
    def _patience_needs_scores(self) -> LoopSettings:
        if self.patience is not None and self.validate_every > self.patience:
            raise ValueError("patience must not be shorter than validate_every")
        return self


class TestSet(Settings):
    """Data that no fold learns from."""

    __test__ = False  # not a test of pytest

    split: str = "test"
    """Split of a benchmark."""
    domain: str | None = None
    """Only the items of this domain; empty: all."""
    match: str | None = None
    """Only the items whose name matches this regular expression somewhere, e.g. ``A549``; empty: all."""
    truth: Literal["labels", "dapi", "hoechst"] = "labels"
    """The exact labels, or the mask that a laboratory gets by thresholding a simulated nuclear stain."""
    seed: int = Field(default=1, ge=0)
    """Of the simulated stain."""
    rows: tuple[str, ...] | None = None
    """Comparisons: which rows are tested; empty: all."""


class HeldOut(Settings):
    """Where a finished model is scored, for its card."""

    benchmark: str
    """Simulated data that have nothing in common with the training: EXPERIMENT/SIZE."""
    min_section_area_um2: float = Field(default=0.0, ge=0)
    """Sections that show less than this are not scored."""
    sets: dict[str, TestSet] = Field(min_length=1, max_length=32)
    """Name on the card -> which images, against which truth."""


class Recipe(Settings):
    """One training."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}$")
    """Name of the recipe and of the model it makes."""
    description: str = ""
    """What it is for."""
    paper: str = ""
    """What it follows, with DOI."""
    benchmark: str | None = None
    """Simulated data that this recipe was written for: EXPERIMENT/SIZE; made when no other data are given."""
    data: DataSettings
    """What is learned from which pixels."""
    network: NetworkChoice
    """Which network."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """What is done to training samples; settings, or the name of a preset (``none``, ``osnet-published``,
    ``strong-2d``, ``strong-3d``, ``choi-published``)."""
    loss: LossSettings = LossSettings()
    """What is made small."""
    loop: LoopSettings = LoopSettings()
    """How the weights change."""
    leaves_out: str | None = None
    """Images whose name matches this regular expression somewhere are not learned from; empty: none is left out."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the groups held out for validation where the data do not say which."""

    calibrate: bool = False
    """Whether ``tomocyte train`` calibrates the finished model on its validation images (3-D models with one output per
    structure); see ``tomocyte models calibrate``."""
    limits: str = Field(default="", max_length=2000)
    """What the model will not be good for; goes onto its card."""
    held_out: HeldOut | None = None
    """Where the finished model is scored; the figures go onto its card."""

    @field_validator("augmentation", mode="before")
    @classmethod
    def _preset_by_name(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given not in PRESETS:
            raise ValueError(f"no preset {given!r}; known: {', '.join(PRESETS)}")
        return PRESETS[given]()


def load_recipe(path: Path | str) -> dict[str, Any]:
    """The content of a recipe, unchecked: a YAML file, or the name of one that ships.

    Raises
    ------
    SettingsError
        ``E-RECIPE`` with the names that ship; ``E-SETTINGS`` for an unreadable file.
    """
    given = Path(path)
    if given.suffix in {".yaml", ".yml"} or given.exists():
        return load_settings(given)
    known = recipe_names()
    if str(path) not in known:
        raise SettingsError(
            "E-RECIPE", f"no recipe {str(path)!r}.", cure=f"Give a YAML file or one of: {', '.join(known)}."
        )
    return load_settings(Path(str(resources.files("tomocyte") / "recipes" / f"{path}.yaml")))


def recipe_names() -> list[str]:
    """Names of the recipes that ship for ``train`` and ``crossval``; those of ``reproduce`` have names of their own."""
    folder = Path(str(resources.files("tomocyte") / "recipes"))
    texts = {entry.stem: _text(entry) for entry in folder.glob("*.yaml")}
    others = {name for name, text in texts.items() if "\nsearch:" in text or "\nexperiment:" in text}
    known = {name for name, text in texts.items() if "\nloop:" in text or "\nrows:" in text}
    return sorted(known - others)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def build_recipe(content: dict[str, Any]) -> Recipe:
    """The checked recipe.

    Raises
    ------
    SettingsError
        ``E-SETTINGS`` naming the wrong field.
    """
    return build_settings(Recipe, content)
