"""Recipes that compare trainings of organelle networks on cell lines they have not seen (Choi et al., Fig. 2c).

A row of the comparison is one training, or several whose outputs are put together (four networks with one head each).
Trainings that two rows or two recipes share are done once: what decides their weights decides their folder. To add a
setting, add a field here and use it in ``choi_scores`` or ``choi``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tomocyte.comparison.crossval_recipe import merged
from tomocyte.errors import SettingsError
from tomocyte.models.settings import InferenceSettings
from tomocyte.papers.recipe import PaperRecipe, Split
from tomocyte.segmentation.cells.windows import CellByCellSettings
from tomocyte.settings import Settings
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import Recipe, build_recipe

INSTANCES = "cell instances"
"""Name of the score of single cells in tables, next to the structures."""
BY_NETWORK = "cell instances, network"
"""The same with the cell-by-cell network."""


class CellLineSet(Settings):
    """Held-out fields of one cell line."""

    split: Split = "test"
    """Split of the benchmark."""
    domain: str | None = None
    """Only items of this domain; empty: all."""
    cell_line: str
    """Only items simulated with this preset."""


class OrganellesRecipe(PaperRecipe):
    """Trainings compared on held-out fields of several cell lines."""

    experiment: Literal["organelles"]
    """Which experiment."""
    benchmark: str = Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")
    """EXPERIMENT/SIZE; made when no other data are given. Its train and validation splits are learned from."""
    seeds: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=32)
    """Every row is trained once with each."""
    base: dict[str, Any] = Field(default_factory=dict)
    """A recipe of one training, with a name."""
    rows: dict[str, dict[str, Any] | list[dict[str, Any]]] = Field(default_factory=dict, max_length=32)
    """Row -> what differs from ``base``; a list: several trainings, each with structures of its own."""
    models: dict[str, str] = Field(default_factory=dict, max_length=32)
    """Row -> a finished model, by name or folder, scored like the trainings."""
    tests: dict[str, CellLineSet] = Field(min_length=1, max_length=32)
    """Name of a set -> its fields."""
    published: dict[str, float] = Field(default_factory=dict)
    """Structure (or ``cell instances``) -> mean Dice over all sets that the paper prints, on real data."""
    cells: CellByCellSettings = CellByCellSettings(method="watershed")
    """How the mask of all cells becomes single cells."""
    cells_model: str | None = None
    """A cell-by-cell network, by name or folder, scored in addition."""
    inference: InferenceSettings = InferenceSettings()
    """How networks are applied to the held-out fields; those of a fixed frame as they were trained."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> OrganellesRecipe:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("'seeds' names a seed twice")
        return self

    @model_validator(mode="after")
    def _has_rows(self) -> OrganellesRecipe:
        if not self.rows and not self.models:
            raise ValueError("'rows' or 'models' must name what is compared")
        if set(self.rows) & set(self.models):
            raise ValueError("a row of 'models' has the name of one of 'rows'")
        return self

    def trainings(self, row: str, seed: int) -> list[Recipe]:
        """The trainings of one row.

        Raises
        ------
        SettingsError
            ``E-ROW``: no such row, or two of its trainings learn the same structure; ``E-SETTINGS``: a wrong field.
        """
        if row not in self.rows:
            raise SettingsError("E-ROW", f"no row {row!r}.", cure=f"Known: {', '.join(self.rows)}.")
        content = self.rows[row]
        parts = content if isinstance(content, list) else [content]
        recipes = [build_recipe(merged(merged(self.base, part), {"loop": {"seed": seed}})) for part in parts]
        structures = [name for recipe in recipes for name in recipe.data.structures]
        if not recipes or len(set(structures)) < len(structures):
            raise SettingsError("E-ROW", f"the trainings of {row!r} share a structure.", cure="Give each its own.")
        return recipes

    def check_parts(self) -> None:
        """Refuse a row whose trainings are no recipes."""
        for row in self.rows:
            self.trainings(row, self.seeds[0])


def training_folder(folder: Path, recipe: Recipe) -> Path:
    """Folder of a training: its name and the first digits of the hash of all settings that decide its weights."""
    return folder / "trainings" / f"{recipe.name}-{recipe_hash(recipe)[:12]}"
