"""Films of every condition: simulated, imaged, run through the pipeline, and the exact truth of the same cells.

The concentration is the paper's Eq. 1, with its index of the medium.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.comparison.crossval_recipe import merged
from tomocyte.formats import read_volume
from tomocyte.ledger.atomic import write_atomic
from tomocyte.papers.analysed import run_all
from tomocyte.papers.choi.macrophages.recipe import MacrophagesRecipe, SimulatedCondition
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, Progress, silent
from tomocyte.runs.analyse import Measured, read_measured
from tomocyte.runs.simulate import ItemPlan
from tomocyte.runs.simulate.benchmark import simulate_plans
from tomocyte.settings import build_settings
from tomocyte.simulation.cells.motion import experiment
from tomocyte.simulation.cells.truth import COLUMNS
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.statistics import Design
from tomocyte.statistics.design import Assignment
from tomocyte.structures import structure
from tomocyte.tables import Column, csv_content

if TYPE_CHECKING:
    import pandas as pd

STRUCTURES = ("cell", "nucleus", "nucleolus", "lipid_droplet")
CONCENTRATION = Column(
    "concentration_mg_per_ml",
    "mg/mL",
    "(mean index - index of the medium) / α, the paper's Eq. 1.",
    "",
    "doi:10.1101/2021.05.23.445351",
)


def film_plans(recipe: MacrophagesRecipe) -> list[ItemPlan]:
    """Every film: those that are compared, then the longer ones; ``<condition>_<replicate>``.

    Raises
    ------
    SettingsError
        ``E-SIM-EXPERIMENT``, ``E-SETTINGS``: a wrong setting of a field.
    """
    plans = []
    for number, (name, condition, n_fields) in enumerate(_films(recipe)):
        content = film_settings(recipe, condition).model_dump(mode="json")
        plans += [
            ItemPlan(name=f"{name}_{index + 1}", dataset=content, seed=recipe.seed + number, index=index)
            for index in range(n_fields)
        ]
    return plans


def film_settings(recipe: MacrophagesRecipe, condition: SimulatedCondition) -> DatasetSettings:
    """Settings of the films of one condition."""
    row = experiment(condition.experiment)
    base = {
        "preset": row.preset,
        "n_cells": (condition.n_cells, condition.n_cells),
        "n_frames": condition.n_frames or recipe.n_frames,
        "motion": row.motion.model_dump(mode="json"),
    }
    content = merged(merged(base, recipe.field), condition.field)
    content["motion"]["time_step_s"] = condition.time_step_s or recipe.time_step_s
    return build_settings(DatasetSettings, content)


def _films(recipe: MacrophagesRecipe) -> Iterator[tuple[str, SimulatedCondition, int]]:
    for name, condition in recipe.conditions.items():
        yield name, condition, recipe.n_replicates
    for name, condition in recipe.longer.items():
        yield name, condition, recipe.n_longer


def design_of_films(recipe: MacrophagesRecipe) -> Design:
    """Which film is which condition and replicate; longer films take no part."""
    names = [(name, index + 1) for name in recipe.conditions for index in range(recipe.n_replicates)]
    return Design(tuple(Assignment(f"{name}_{number}", name, f"{name}-{number}") for name, number in names))


def longer_films(recipe: MacrophagesRecipe) -> list[str]:
    """Names of the films that are not compared."""
    return [f"{name}_{index + 1}" for name in recipe.longer for index in range(recipe.n_longer)]


def write_conditions(recipe: MacrophagesRecipe, path: Path) -> None:
    """The design as ``tomocyte analyse --conditions`` reads it."""
    import pandas as pd

    rows = [(entry.item, entry.condition, entry.replicate) for entry in design_of_films(recipe).assignments]
    rows += [(name, "-", "-") for name in longer_films(recipe)]
    table = pd.DataFrame(
        [(f"{item}.ome.tif", *rest) for item, *rest in rows], columns=["path", "condition", "replicate"]
    )
    write_atomic(path, csv_content(table).encode())


def exact_films(recipe: MacrophagesRecipe, *, callback: Callback = silent) -> pd.DataFrame:
    """The exact truth of every film, from continuous shapes, without an image: truth table and ``time_s``."""
    import pandas as pd

    plans, tables = film_plans(recipe), []
    for number, plan in enumerate(plans, start=1):
        item = simulate_item(DatasetSettings.model_validate(plan.dataset), plan.index, seed=plan.seed)
        truth = item.truth()
        tables.append(truth.assign(item=plan.name, time_s=truth["frame"].map(dict(enumerate(item.time_s)))))
        callback(Progress(plan.name, "simulate", state="done", done=number, total=len(plans)))
    return pd.concat(tables, ignore_index=True)


def imaged_films(
    recipe: MacrophagesRecipe, folder: Path, *, n_workers: int = 1, callback: Callback = silent
) -> pd.DataFrame:
    """Simulate and image every film that is not in the folder yet, and give the exact truth of all."""
    import pandas as pd

    plans = film_plans(recipe)
    simulate_plans(plans, folder, structures=STRUCTURES, n_workers=n_workers, callback=callback)
    truth = pd.read_parquet(folder / "truth.parquet")
    times = {plan.name: dict(enumerate(read_volume(film_path(folder, plan.name)).time_s or ())) for plan in plans}
    truth = truth[truth["item"].isin(times)].reset_index(drop=True)
    time_s = [times[item][frame] for item, frame in zip(truth["item"], truth["frame"], strict=True)]
    return truth.assign(time_s=time_s)


def film_path(folder: Path, name: str) -> Path:
    """Where a film lies in the folder of simulated data."""
    return folder / "items" / name / f"{name}.ome.tif"


def run_films(
    recipe: MacrophagesRecipe,
    data: Path,
    output: Path,
    *,
    model: str | None = None,
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Segment, measure and track every film that is not done yet; the folder is that of a run.

    Raises
    ------
    InputError
        ``E-REPRODUCE-RUN``: a film could not be analysed; the others are kept.
    """
    settings = run_settings(recipe, model=model, device=device)
    paths = [film_path(data, plan.name) for plan in film_plans(recipe)]
    return run_all(paths, settings, output, n_workers=n_workers, callback=callback)


def run_settings(recipe: MacrophagesRecipe, *, model: str | None = None, device: str = "cpu") -> RunSettings:
    """Settings of the run."""
    over: dict[str, Any] = {} if model is None else {"model": model}
    if device != "cpu":
        over["inference"] = {"device": device}
    return build_settings(RunSettings, merged({"modality": "odt", **recipe.run}, over))


def measured_exactly(truth: pd.DataFrame, recipe: MacrophagesRecipe) -> Measured:
    """The truth as objects for an analysis."""
    columns = {column.name: column for column in (*COLUMNS, CONCENTRATION)}
    return Measured(Path("simulated"), _shown_objects(truth, recipe), None, columns, _inputs(truth))


def measured_by_run(folder: Path, recipe: MacrophagesRecipe) -> Measured:
    """The objects that a run found, with concentrations by the paper's Eq. 1."""
    found = read_measured(folder)
    columns = {**found.columns, CONCENTRATION.name: CONCENTRATION}
    objects = _shown_objects(found.objects, recipe)
    return Measured(found.source, objects, found.tracks, columns, found.inputs, found.failed)


def _shown_objects(objects: pd.DataFrame, recipe: MacrophagesRecipe) -> pd.DataFrame:
    rows = objects[objects["structure"].isin(STRUCTURES)].reset_index(drop=True)
    return rows.assign(**{CONCENTRATION.name: concentration_mg_per_ml(rows, recipe.n0)})


def _inputs(objects: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return {str(item): (str(item),) for item in dict.fromkeys(objects["item"])}


def concentration_mg_per_ml(objects: pd.DataFrame, n0: float) -> pd.Series[float]:
    """The paper's Eq. 1: (mean index - n0) / α, with α of the structure."""
    alpha = objects["structure"].map(lambda name: structure(name).refraction_increment_ml_per_g)
    result: pd.Series[float] = (objects["mean_ri"] - n0) / alpha.astype(float) * 1000
    return result
