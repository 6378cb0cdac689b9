"""Recipes of the experiments on trained models: which data, which model, which settings.

A recipe is a YAML file of ``recipes``. To add a setting, add a field here and use it in the experiment.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings, load_settings, with_overrides

Split = Literal["train", "validation", "test", "shifted-test"]


class SectionsSettings(Settings):
    """Section-wise segmentation in 3-D (OS-Net, Fig. 3b)."""

    structure: str = "nucleus"
    """What is segmented."""
    around: str = "cell"
    """What is drawn around it in the rendering, from the true labels."""
    n_sections: PositiveInt = 6
    """Sections shown, spread evenly over the object's height."""
    n_shown: PositiveInt = 3
    """Of how many volumes pictures are drawn: those of the largest uncut objects."""
    min_volume_um3: float = Field(default=10.0, ge=0)
    """Smaller connected parts of a prediction do not count as objects."""
    margin_um: float = Field(default=4.0, ge=0)
    """What is shown around an object in µm."""


class TimeLapseSettings(Settings):
    """Frame-wise segmentation in 4-D with fringes that grow (OS-Net, Fig. 4)."""

    structure: str = "nucleus"
    """What is segmented."""
    around: str = "cell"
    """What is drawn around it, from the true labels."""
    n_fringes: int = Field(default=12, ge=0, le=100)
    """Fringe systems in the last frame; their number grows evenly from 0 in the first."""
    fringe_ri_amplitude: float = Field(default=0.008, ge=0, le=0.05)
    """Peak of one system in RI in the last frame; it grows evenly from 0 in the first."""
    instrument: str = "HT-2H"
    """Whose frequencies the fringes have."""
    seed: int = Field(default=1, ge=0)
    """Of the fringes."""
    n_shown: PositiveInt = 1
    """Of how many time-lapses pictures are drawn."""
    margin_um: float = Field(default=6.0, ge=0)
    """What is shown around a nucleus in µm."""


class RecipeData(Settings):
    """Where an experiment's files come from: the benchmark, or fields simulated for it."""

    benchmark: str | None = Field(default=None, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")
    """EXPERIMENT/SIZE of the benchmark."""
    splits: tuple[Split, ...] = ("test",)
    """Of the benchmark."""
    dataset: dict[str, Any] | None = None
    """Instead: settings of a simulated data set (see ``tomocyte simulate``)."""
    n_items: PositiveInt = 1
    """Of ``dataset``."""
    seed: int = Field(default=1, ge=0)
    """Of ``dataset``."""

    @model_validator(mode="after")
    def _one_source(self) -> RecipeData:
        if (self.benchmark is None) == (self.dataset is None):
            raise ValueError("give 'benchmark' or 'dataset', one of them")
        return self


class FigureRecipe(Settings):
    """One experiment."""

    name: str
    """As it is asked for on the command line."""
    title: str
    """In words; stands in every picture together with "simulated"."""
    paper: str
    """Which figure of which paper, with DOI."""
    experiment: Literal["sections-3d", "time-lapse"]
    """Which function."""
    model: str
    """Model package, by name or folder."""
    data: RecipeData
    """Which files."""
    sections: SectionsSettings = SectionsSettings()
    """For ``sections-3d``."""
    time_lapse: TimeLapseSettings = TimeLapseSettings()
    """For ``time-lapse``."""

    @model_validator(mode="after")
    def _settings_are_used(self) -> FigureRecipe:
        other = "time_lapse" if self.experiment == "sections-3d" else "sections"
        if other in self.model_fields_set:
            raise ValueError(f"{other!r} means nothing for the experiment {self.experiment!r}")
        return self


def figure_recipes() -> dict[str, Path]:
    """Name to file of the recipes of this kind that ship."""
    with resources.as_file(resources.files("tomocyte") / "recipes") as folder:
        files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    return {name: path for name, path in files.items() if "experiment" in load_settings(path)}


def load_figure_recipe(name_or_path: str | Path, overrides: list[str] | None = None) -> FigureRecipe:
    """A recipe that ships, or one in a file.

    Parameters
    ----------
    name_or_path : path-like
        ``osnet-fig3b``, or a YAML file.
    overrides : list of str, optional
        ``dotted.key=value``, laid over the recipe.

    Raises
    ------
    SettingsError
        ``E-RECIPE``: no such recipe; ``E-SETTINGS`` naming the wrong field.

    Examples
    --------
    >>> load_figure_recipe("osnet-fig3b").sections.n_sections
    6
    """
    text, shipped = str(name_or_path), figure_recipes()
    path = Path(text) if text.endswith((".yaml", ".yml")) else shipped.get(text)
    if path is None:
        raise SettingsError(
            "E-RECIPE", f"unknown recipe {text!r}.", cure=f"Known: {', '.join(shipped)}; or give a YAML file."
        )
    return build_settings(FigureRecipe, with_overrides(load_settings(path), overrides or []))
