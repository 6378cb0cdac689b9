"""Recipes: all settings of a training, a search, a comparison or an experiment, read from tagged YAML files.

The line ``kind:`` of a file names its purpose (``train``, ``organelle``, ``search``, ``crossval``, ``paper``);
:func:`load_recipe` reads all of them, :func:`build_recipe` checks one with the settings class of its kind. A recipe and
its data give the same weights on the same machine. To add a setting, add a field with its meaning here and use it in
the module of that step; to add an experiment, add a YAML file to ``recipes/``; to add a kind, derive a class from
:class:`TaggedRecipe` in the room that uses it and name its command in :data:`COMMANDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, overload

from pydantic import Field, field_validator, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings, load_settings, with_overrides
from tomocyte.training.data.augmentation import PRESETS, AugmentationSettings
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.losses import LossSettings
from tomocyte.training.optimisation import OptimiserSettings, ScheduleSettings

COMMANDS = {"train": "train", "organelle": "train", "search": "search", "crossval": "crossval", "paper": "reproduce"}
"""Kind of a recipe -> the command that takes it."""
_FIELD_OF_KIND = {"experiment": "paper", "rows": "crossval", "search": "search"}
"""Fields by which the kind of a recipe without ``kind`` is recognised."""


class TaggedRecipe(Settings):
    """What recipes of all kinds share."""

    kind: str
    """Which kind of recipe this is: train, organelle, search, crossval or paper."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}$")
    """As it is written on the command line."""

    def check_parts(self) -> None:
        """Refuse parts that are recipes themselves and wrong; :func:`build_recipe` calls it."""


R = TypeVar("R", bound=TaggedRecipe)


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
    """Which weights the model gets: the last, or those of the best validation score. ``best`` makes the validation
    score optimistic; never select on the samples that are reported."""
    select_by: Literal["dice", "pooled-dice", "as-published"] = "dice"
    """``dice``: the mean over images and structures. ``pooled-dice``: of the voxels of all images and structures
    together, right structure or not, as Biomedisa. ``as-published``: F0.5 + Jaccard + Dice, as OS-Net's authors
    chose."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation score; empty: never."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations."""
    checkpoint_every_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints; one is also written at the end of every epoch."""
    n_checkpoints: int = Field(default=2, ge=1, le=100)
    """How many checkpoints stay on disk."""

    @field_validator("initial_shares")
    @classmethod
    def _are_shares(cls, shares: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if shares is not None and not all(0 < share < 1 for share in shares):
            raise ValueError("every share must lie between 0 and 1")
        return shares

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
    """Simulated data that are independent of the training: EXPERIMENT/SIZE."""
    min_section_area_um2: float = Field(default=0.0, ge=0)
    """Sections that show less than this are not scored."""
    sets: dict[str, TestSet] = Field(min_length=1, max_length=32)
    """Name on the card -> which images, against which truth."""


class Recipe(TaggedRecipe):
    """One training; the model has the name of its recipe."""

    kind: Literal["train"] = "train"
    """A training."""
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
    """What training minimises."""
    loop: LoopSettings = LoopSettings()
    """How the weights change."""
    leaves_out: str | None = None
    """Images whose name matches this regular expression somewhere are not learned from; empty: none is left out."""
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the groups held out for validation where the data are not split already."""

    calibrate: bool = False
    """Whether the finished model is calibrated on its validation images (3-D models with one output per structure); see
    ``tomocyte models calibrate``."""
    limits: str = Field(default="", max_length=2000)
    """What the model will not be good for; goes onto its card."""
    held_out: HeldOut | None = None
    """Where the finished model is scored; the figures go onto its card."""

    @model_validator(mode="after")
    def _balance_needs_halves(self) -> Recipe:
        if self.data.balance != "none" and self.loop.batch_size % 2:
            raise ValueError("'data.balance' needs an even 'loop.batch_size'")
        return self

    @field_validator("augmentation", mode="before")
    @classmethod
    def _preset_by_name(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in PRESETS:
            raise ValueError(f"no preset {value!r}; known: {', '.join(PRESETS)}")
        return PRESETS[value]()


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The content of a recipe of any kind, unchecked.

    Parameters
    ----------
    name_or_path : path-like
        The name of a recipe that ships, or a YAML file.
    overrides : sequence of str
        ``dotted.key=value``, merged into the content.

    Raises
    ------
    SettingsError
        ``E-RECIPE`` with the names that ship; ``E-SETTINGS``: an unreadable file or override.

    Examples
    --------
    >>> load_recipe("osnet-nucleus", ["loop.n_epochs=3"])["loop"]["n_epochs"]
    3
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return with_overrides(load_settings(path), list(overrides))
    content = load_settings(_shipped()[str(name_or_path)]) if str(name_or_path) in _shipped() else {}
    if "kind" not in content:  # some tables that are no recipes are in the same folder
        names = "; ".join(f"{kind}: {', '.join(recipe_names(kind))}" for kind in COMMANDS)
        raise SettingsError(
            "E-RECIPE", f"no recipe {str(name_or_path)!r}.", cure=f"Give a YAML file or one of: {names}."
        )
    return with_overrides(content, list(overrides))


def recipe_names(kind: str) -> list[str]:
    """Names of the recipes of one kind that ship."""
    return sorted(name for name, path in _shipped().items() if load_settings(path).get("kind") == kind)


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("tomocyte") / "recipes"))
    return {path.stem: path for path in folder.glob("*.yaml")}


@overload
def build_recipe(content: Mapping[str, Any]) -> Recipe: ...


@overload
def build_recipe(content: Mapping[str, Any], *kinds: type[R]) -> R: ...


def build_recipe(content: Mapping[str, Any], *kinds: type[Any]) -> Any:
    """The checked recipe, in the settings class that its ``kind`` (and, of papers, its ``experiment``) names.

    Parameters
    ----------
    content : mapping
        From :func:`load_recipe`. Without ``kind`` it is a training, unless its fields are those of another kind.
    *kinds : type of TaggedRecipe
        Which classes the caller takes; :class:`Recipe` by default.

    Returns
    -------
    Recipe, or one of ``kinds``

    Raises
    ------
    SettingsError
        ``E-RECIPE``: of a kind that the caller does not take, with the command that does; without ``kind``, with the
        line to add; of an unknown experiment. ``E-SETTINGS`` naming the wrong field.

    Examples
    --------
    >>> build_recipe(load_recipe("osnet-nucleus")).network.name
    'osnet'
    """
    classes: Sequence[type[TaggedRecipe]] = kinds or (Recipe,)
    tags = [_values_of(entry, "kind")[0] for entry in classes]
    kind = _kind_of(content, tags)
    label = f"the recipe {content['name']!r}" if "name" in content else "the recipe"
    fitting = [entry for entry, tag in zip(classes, tags, strict=True) if tag == kind]
    if not fitting:
        command = COMMANDS.get(str(kind))
        raise SettingsError(
            "E-RECIPE",
            f"{label} is of kind {kind!r}, not {' or '.join(dict.fromkeys(map(repr, tags)))}.",
            cure=f"Use `tomocyte {command}`." if command else f"Known kinds: {', '.join(COMMANDS)}.",
        )
    if "experiment" in fitting[0].model_fields:
        experiments = {name: entry for entry in fitting for name in _values_of(entry, "experiment")}
        if str(content.get("experiment")) not in experiments:
            raise SettingsError(
                "E-RECIPE",
                f"{label} names an unknown experiment: {content.get('experiment')!r}.",
                cure=f"Write `experiment: NAME`, one of: {', '.join(experiments)}.",
            )
        fitting = [experiments[content["experiment"]]]
    recipe = build_settings(fitting[0], dict(content))
    recipe.check_parts()
    return recipe


def _values_of(kind: type[TaggedRecipe], field: str) -> tuple[Any, ...]:
    """The values of a field that is a ``Literal``."""
    return get_args(kind.model_fields[field].annotation)


def _kind_of(content: Mapping[str, Any], tags: Sequence[str]) -> Any:
    """The kind that a recipe names; an older one without ``kind`` is a training where it cannot be anything else."""
    if "kind" in content:
        return content["kind"]
    by_field = next((kind for field, kind in _FIELD_OF_KIND.items() if field in content), None)
    lacking = by_field or ("search" if "search" in tags else None)
    if lacking is None:
        return "train"
    raise SettingsError("E-RECIPE", "the recipe does not name its kind.", cure=f"Add the line `kind: {lacking}` to it.")
