"""Fields that are simulated for an experiment, of several kinds and in two sizes, and their way through a run.

What experiments on such fields share: derive a recipe from :class:`SimulatedFieldsRecipe`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.papers.analysed import run_all
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate import ItemPlan, dataset_plan
from tomocyte.settings import Settings, build_settings
from tomocyte.simulation.instruments import overlaid
from tomocyte.volume import VoxelSize

Size = Literal["small", "full"]


class Grid(Settings):
    """Size of simulated fields; what is empty is the simulator's own for the cell line."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels z, y, x."""
    voxel_size_um: VoxelSize | None = None
    """z, y, x in µm."""
    finer: float = Field(default=1.0, gt=0, le=10)
    """So many times as many voxels along each axis, each so many times as small."""


class FieldSet(Settings):
    """Some simulated fields of one kind."""

    dataset: dict[str, Any] = Field(default_factory=dict)
    """Settings of these fields over those of all (see ``tomocyte simulate``)."""
    n_items: PositiveInt = 1
    """How many."""
    seed: int = Field(default=1, ge=0)
    """Of them."""


class SimulatedFieldsRecipe(PaperRecipe):
    """What experiments on simulated fields, or on images of a user's own, share."""

    fields: dict[str, FieldSet] = Field(min_length=1)
    """Name of a case -> fields simulated for it where no data are given."""
    dataset: dict[str, Any] = Field(default_factory=dict)
    """Settings of all simulated fields."""
    size: Size = "small"
    """Which of ``grids`` is simulated."""
    grids: dict[Size, Grid] = Field(min_length=1)
    """Sizes to choose from."""
    labelled: tuple[str, ...] = ("cell",)
    """Structures whose labels are written with the simulated fields."""
    model: str = "auto"
    """Model that segments the fields."""
    modality: str
    """Of the fields."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size z, y, x in µm of files that do not say it."""

    @model_validator(mode="after")
    def _size_is_there(self) -> SimulatedFieldsRecipe:
        if self.size not in self.grids:
            raise ValueError(f"'grids' has no {self.size!r}")
        return self


def field_plans(recipe: SimulatedFieldsRecipe) -> list[ItemPlan]:
    """What is simulated for a recipe: the items of every case, whose name is their domain."""
    grid = recipe.grids[recipe.size]
    given = {key: value for key, value in grid.model_dump().items() if key != "finer" and value is not None}
    plans = []
    for case, one in recipe.fields.items():
        settings = {**overlaid(recipe.dataset, one.dataset), "modality": recipe.modality, **given}
        items = dataset_plan(settings, one.n_items, seed=one.seed)
        if grid.finer != 1:
            made = items[0].dataset
            shape = [round(n * grid.finer) for n in made["shape"]]
            sizes = [size / grid.finer for size in made["voxel_size_um"]]
            items = dataset_plan({**made, "shape": shape, "voxel_size_um": sizes}, one.n_items, seed=one.seed)
        stem = re.sub(r"[^A-Za-z0-9]+", "-", case)
        plans += [plan.model_copy(update={"name": f"{stem}-{plan.index}", "domain": case}) for plan in items]
    return plans


def segment_items(
    recipe: SimulatedFieldsRecipe,
    items: Sequence[LabelledItem],
    output: Path,
    *,
    model: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Run every image that is not done yet; the folder is that of a run.

    Parameters
    ----------
    recipe : SimulatedFieldsRecipe
    items : sequence of LabelledItem
    output : Path
    model : str, optional
        Instead of the recipe's.
    settings : mapping, optional
        Further settings of the run.
    device : str
    n_workers : int
    callback : callable
        Receives events of the step ``analyse``.

    Raises
    ------
    InputError
        ``E-REPRODUCE-RUN``: an image could not be analysed; the others are kept.
    """
    content = {
        "modality": recipe.modality,
        "model": model or recipe.model,
        "inference": {"device": device},
        "voxel_size_um": recipe.voxel_size_um,
        **(settings or {}),
    }
    paths = [item.image for item in items]
    return run_all(paths, build_settings(RunSettings, content), output, n_workers=n_workers, callback=callback)
