"""Macrophages under LPS (Choi et al., Fig. 4): cells are simulated over time, measured exactly, and compared.

The concentration is the paper's Eq. 1, with its index of the medium. To add a trend of the paper, add it to
:data:`TRENDS`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, PositiveInt

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.experiment import FIGURES
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.runs.analyse import Analysis, AnalysisSettings, Measured, analyse_objects, design_of
from tomocyte.runs.analyse.drawing import figure_tables
from tomocyte.runs.analyse.words import analysis_words
from tomocyte.runs.analyse.writing import comparison_table
from tomocyte.settings import Settings
from tomocyte.simulation import simulate_timelapse, truth_table
from tomocyte.simulation.cells.motion import experiment
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.cells.truth import COLUMNS
from tomocyte.statistics import ComparisonSettings
from tomocyte.structures import structure
from tomocyte.tables import Column

if TYPE_CHECKING:
    import pandas as pd

STRUCTURES = ("cell", "nucleus", "nucleolus", "lipid_droplet")
N0 = 1.3337
"""Index of the medium in the paper's Eq. 1."""
CONCENTRATION = Column(
    "concentration_mg_per_ml",
    "mg/mL",
    "(mean index - 1.3337) / α, the paper's Eq. 1.",
    "",
    "doi:10.1101/2021.05.23.445351",
)
Direction = Literal["up", "down", "same"]
TRENDS: dict[tuple[str, str], Direction] = {
    ("cell", "volume_um3"): "up",
    ("cell", "surface_area_um2"): "up",
    ("cell", "mean_ri"): "down",
    ("cell", "concentration_mg_per_ml"): "down",
    ("nucleus", "volume_um3"): "up",
    ("nucleus", "surface_area_um2"): "up",
    ("nucleus", "mean_ri"): "down",
    ("nucleus", "concentration_mg_per_ml"): "down",
    ("lipid_droplet", "volume_um3"): "up",
    ("lipid_droplet", "n_per_cell"): "up",
    ("lipid_droplet", "mean_ri"): "same",
}
"""Structure and quantity -> what LPS does to it, against the control, as the paper describes Fig. 4."""
EARLY_S = 7200.0
"""What the paper calls the beginning, in seconds: two hours."""
SAME_RI = 0.002
"""Largest difference of an index that counts as none."""


class SimulatedCondition(Settings):
    """Cells of one condition."""

    experiment: str
    """Time-lapse experiment of the simulator."""
    n_cells: PositiveInt
    """Per replicate."""


class MacrophagesRecipe(PaperRecipe):
    """Simulated cells of several conditions over time."""

    experiment: Literal["macrophages"]
    """Which experiment."""
    conditions: dict[str, SimulatedCondition] = Field(min_length=2, max_length=8)
    """Name -> cells; the first is the control."""
    n_replicates: PositiveInt = 3
    """Fields of each condition, one per replicate."""
    n_frames: int = Field(default=17, ge=2, le=200)
    """Time points."""
    time_step_s: float = Field(default=1800.0, gt=0, le=86400)
    """Seconds between them."""
    extent_um: tuple[float, float, float] = (20.0, 80.0, 80.0)
    """Size of each field in µm."""
    seed: int = Field(default=1, ge=0)
    """Of all cells."""


def macrophages_experiment(
    recipe: MacrophagesRecipe, *, file_format: PictureFormat = "png", callback: Callback = silent
) -> ExperimentResult:
    """Simulate, compare, and set what is found beside what the paper describes.

    Parameters
    ----------
    recipe : MacrophagesRecipe
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``simulate`` after each field.
    """
    measured = simulate_conditions(recipe, callback=callback)
    design = design_of(measured.inputs, conditions=None, levels=("condition", "replicate"))
    control = next(iter(recipe.conditions))
    settings = AnalysisSettings(
        structures=STRUCTURES,
        quantities=tuple(dict.fromkeys(quantity for _, quantity in TRENDS)),
        summaries=("change",),
        keep=("border",),
        comparison=ComparisonSettings(control=control),
    )
    analysis = analyse_objects(measured, design, settings)
    trends = trend_table(analysis)
    pictures = {
        figure.name: FIGURES[figure.kind](
            figure.table, quantity=figure.quantity, unit=figure.unit, title=figure.title, file_format=file_format
        )
        for figure in figure_tables(measured, analysis)
    }
    words = analysis_words(analysis, measured.column, title=f"{recipe.title} (simulated, measured exactly)")
    return ExperimentResult(
        {
            "trends": trends,
            "comparison": comparison_table(analysis, measured),
            "series_by_condition": analysis.by_condition,
        },
        pictures,
        f"{words}\n## Trends\n\n{_trend_words(trends)}\n{_nucleolus_words(analysis)}",
        file_format,
    )


def simulate_conditions(recipe: MacrophagesRecipe, *, callback: Callback = silent) -> Measured:
    """The exact truth of every condition and replicate, as a table of objects."""
    import pandas as pd

    tables, inputs = [], {}
    n_fields = len(recipe.conditions) * recipe.n_replicates
    for number, (name, condition) in enumerate(recipe.conditions.items()):
        row = experiment(condition.experiment)
        for replicate in range(recipe.n_replicates):
            item = f"{name}_{replicate + 1}"
            inputs[item] = (f"{name}/{replicate + 1}/field",)
            rng = np.random.default_rng([recipe.seed, number, replicate])
            scenes, _ = simulate_timelapse(
                row.preset,
                recipe.n_frames,
                n_cells=condition.n_cells,
                extent_um=recipe.extent_um,
                settings=SceneSettings(has_organelles=False),
                motion=row.motion.model_copy(update={"time_step_s": recipe.time_step_s}),
                rng=rng,
            )
            tables += [truth_table(scene, item=item).assign(time_s=scene.time_s) for scene in scenes]
            callback(Progress(step="simulate", done=len(inputs), total=n_fields))
    objects = pd.concat(tables, ignore_index=True)
    objects = objects[objects["structure"].isin(STRUCTURES)].reset_index(drop=True)
    objects["concentration_mg_per_ml"] = concentration_mg_per_ml(objects)
    columns = {column.name: column for column in (*COLUMNS, CONCENTRATION)}
    return Measured(Path("simulated"), objects, None, columns, inputs)


def concentration_mg_per_ml(objects: pd.DataFrame) -> pd.Series[float]:
    """The paper's Eq. 1: (mean index - n0) / α, with α of the structure."""
    alpha = objects["structure"].map(lambda name: structure(name).refraction_increment_ml_per_g)
    result: pd.Series[float] = (objects["mean_ri"] - N0) / alpha.astype(float) * 1000
    return result


def trend_table(analysis: Analysis) -> pd.DataFrame:
    """One row per trend of the paper: what it says, what is found, and whether both agree."""
    import pandas as pd

    names = ["structure", "quantity", "paper", "change", "change_control", "difference", "low", "high", "p_holm"]
    rows = []
    for one in analysis.tested:
        paper = TRENDS.get((one.structure, one.quantity))
        if paper is None:
            continue
        comparison = one.comparison
        step = comparison.difference
        if paper == "same":
            agrees = abs(step.value) <= SAME_RI
        else:
            agrees = not math.isnan(step.low) and (step.low > 0 if paper == "up" else step.high < 0)
        rows.append(
            (one.structure, one.quantity, paper, comparison.mean, comparison.mean_control, step.value, step.low,
             step.high, one.p_holm, agrees)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=[*names, "agrees"])


def _nucleolus_words(analysis: Analysis) -> str:
    """How nucleoli grew within two hours and afterwards; the paper: slightly up at first, then constant."""
    rows = analysis.by_condition
    rows = rows[(rows["structure"] == "nucleolus") & (rows["quantity"] == "volume_um3") & (rows["of"] == "normalised")]
    texts = []
    for condition, course in rows.groupby("condition", sort=False):
        early = course[course["time_s"] <= EARLY_S]["mean"].iloc[-1]
        end = course["mean"].iloc[-1]
        texts.append(f"{condition} {100 * (early - 1):+.1f} % within 2 h, {100 * (end - early):+.1f} % afterwards")
    return f"Nucleolus volume (paper: slightly up at first, then constant): {'; '.join(texts)}.\n"


def _trend_words(trends: pd.DataFrame) -> str:
    lines = ["| structure | quantity | paper | LPS | control | agrees |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.structure} | {row.quantity} | {row.paper} | {row.change:.4g} | {row.change_control:.4g} | "
        f"{'yes' if row.agrees else 'no'} |"
        for row in trends.itertuples()
    ]
    return "\n".join(lines) + "\n\nChanges from the first to the last frame: %, of an index its difference.\n"
