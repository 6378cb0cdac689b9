"""Fig. 4 from its recipe: films, run, tracks, statistics, claims and pictures, or the exact truth alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.choi.macrophages.claims import claim_table, claim_words
from tomocyte.papers.choi.macrophages.films import (
    STRUCTURES,
    design_of_films,
    exact_films,
    film_plans,
    film_settings,
    imaged_films,
    longer_films,
    measured_by_run,
    measured_exactly,
    run_films,
    write_conditions,
)
from tomocyte.papers.choi.macrophages.pictures import chart_pictures
from tomocyte.papers.choi.macrophages.planes import moments_of, planes_figure
from tomocyte.papers.choi.macrophages.recipe import MacrophagesRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, silent
from tomocyte.runs.analyse import AnalysisSettings, Measured, analyse_objects
from tomocyte.runs.analyse.words import analysis_words
from tomocyte.runs.analyse.writing import comparison_table
from tomocyte.runs.drawing.view import view_item
from tomocyte.runs.finished import finished_run
from tomocyte.statistics import ComparisonSettings, cell_values, without_unfit
from tomocyte.statistics.objects import DERIVED

if TYPE_CHECKING:
    import pandas as pd

EXACT, FOUND = "exact truth", "through the pipeline"
LONGER = ("volume_um3", "surface_area_um2", "height_um", "mean_ri")


def macrophages_experiment(
    recipe: MacrophagesRecipe,
    output: Path,
    *,
    is_from_truth: bool = False,
    model: str | None = None,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> ExperimentResult:
    """Simulate, image, run, compare, and set what is found beside what the paper says and beside the truth.

    Parameters
    ----------
    recipe : MacrophagesRecipe
    output : Path
        Simulated films go to ``data``, the run to ``run``; what is there already is not done again.
    is_from_truth : bool
        Whether the cells are measured exactly, from their shapes, and nothing is imaged.
    model : str, optional
        Instead of the run's own.
    file_format : {"png", "pdf", "svg"}
    device : str
    n_workers : int
    callback : callable
        Receives events of the steps ``simulate`` and ``analyse``.
    """
    if is_from_truth:
        truth = exact_films(recipe, callback=callback)
        measured = {EXACT: measured_exactly(truth, recipe)}
        pictures: dict[str, bytes] = {}
    else:
        truth = imaged_films(recipe, output / "data", n_workers=n_workers, callback=callback)
        write_conditions(recipe, output / "conditions.csv")
        run = run_films(
            recipe, output / "data", output / "run", model=model, device=device, n_workers=n_workers, callback=callback
        )
        measured = {EXACT: measured_exactly(truth, recipe), FOUND: measured_by_run(run, recipe)}
        pictures = dict(plane_pictures(recipe, run, measured[FOUND], file_format=file_format))
    analyses = {
        source: analyse_objects(one, design_of_films(recipe), _analysis_settings(recipe, one))
        for source, one in measured.items()
    }
    source, last = list(measured.items())[-1]
    claims = claim_table(analyses, recipe)
    longer = longer_table(recipe, measured)
    tables = {
        "claims": claims,
        "comparison": comparison_table(analyses[source], last),
        "series": analyses[source].series,
        "series_by_condition": _joined({name: one.by_condition for name, one in analyses.items()}),
        **({"longer": longer} if len(longer) else {}),
    }
    pictures |= chart_pictures(recipe, analyses, last, file_format=file_format)
    words = analysis_words(analyses[source], last.column, title=f"{recipe.title} (simulated, {_how(source)})")
    summary = f"{words}\n## Claims of the paper\n\n{claim_words(claims)}{_longer_words(longer)}"
    return ExperimentResult(tables, pictures, summary, file_format)


def describe_macrophages(recipe: MacrophagesRecipe, *, is_from_truth: bool) -> list[str]:
    """What would be done, in lines for a screen."""
    names = {**recipe.conditions, **recipe.longer}
    lines = []
    for name, condition in names.items():
        settings = film_settings(recipe, condition)
        n_fields = recipe.n_replicates if name in recipe.conditions else recipe.n_longer
        shape = " x ".join(map(str, settings.shape))
        lines.append(
            f"{name}: {n_fields} x {condition.n_cells} cells ({condition.experiment}), {settings.n_frames} frames of "
            f"{shape} voxels, every {settings.motion.time_step_s / 60:g} min"
        )
    what = (
        "simulated and measured exactly, without images"
        if is_from_truth
        else f"simulated, imaged, run with tracks and compared: items with the truth of {', '.join(STRUCTURES)}"
    )
    return [f"{recipe.name}: {len(film_plans(recipe))} films, {what}.", *lines]


def plane_pictures(
    recipe: MacrophagesRecipe, run: Path, found: Measured, *, file_format: PictureFormat
) -> Iterator[tuple[str, bytes]]:
    """Planes of one cell of the first film of each condition, and of each longer film."""
    finished = finished_run(run)
    first = [f"{name}_1" for name in recipe.conditions]
    for name in [*first, *longer_films(recipe)]:
        view = view_item(finished, name)
        n_frames = view.volume.n_frames
        times = [view.time_s(frame) or 0.0 for frame in range(n_frames)]
        frames = list(range(n_frames))
        if name in first:
            frames = [min(frames, key=lambda one: abs(times[one] - 3600 * hour)) for hour in recipe.shown_h]
            frames = sorted(set(frames))
        objects = found.objects
        cells = objects[(objects["item"] == name) & (objects["structure"] == "cell")]
        moments = moments_of(view, cells, frames)
        if moments:
            title = f"{name.rpartition('_')[0]}: one cell through time (simulated)"
            yield f"planes-{name}", planes_figure(
                moments, view.voxel_size_um, title=title, quantity=view.volume.quantity or "value",
                unit=view.volume.unit, file_format=file_format,
            )  # fmt: skip


def longer_table(recipe: MacrophagesRecipe, measured: dict[str, Measured]) -> pd.DataFrame:
    """Means over the cells of each longer film at every time, from every source."""
    import pandas as pd

    names, rows = longer_films(recipe), []
    for source, one in measured.items():
        kept, _ = without_unfit(one.objects[one.objects["item"].isin(names)], recipe.keep)
        for quantity in LONGER:
            if quantity not in kept or kept.empty:
                continue
            values = cell_values(kept, "cell", quantity)
            for (item, time_s), part in values.groupby(["item", "time_s"], sort=True):
                rows.append((item, time_s, source, quantity, float(part["value"].mean()), len(part)))
    return pd.DataFrame(rows, columns=["item", "time_s", "source", "quantity", "mean", "n_cells"])


def _longer_words(longer: pd.DataFrame) -> str:
    if longer.empty:
        return ""
    lines = ["\n## Longer films\n", "Means over cells at the first and the last time:", ""]
    for (item, source, quantity), part in longer.groupby(["item", "source", "quantity"], sort=False):
        ends = part.sort_values("time_s").iloc[[0, -1]]
        first, last = (f"{value:.4g}" for value in ends["mean"])
        lines.append(f"- {item}, {quantity}, {source}: {first} to {last} in {ends['time_s'].iloc[1] / 3600:g} h")
    return "\n".join(lines) + "\n"


def _how(source: str) -> str:
    return "measured exactly" if source == EXACT else "from images through models and tracks"


def _analysis_settings(recipe: MacrophagesRecipe, measured: Measured) -> AnalysisSettings:
    """What the claims are about, as far as the table has it."""
    items = [entry.item for entry in design_of_films(recipe).assignments]
    kept, _ = without_unfit(measured.objects[measured.objects["item"].isin(items)], recipe.keep)
    derived = {column.name for column in DERIVED}
    claimed = dict.fromkeys(claim.structure for claim in recipe.claims)
    quantities = dict.fromkeys(claim.quantity for claim in recipe.claims)
    return AnalysisSettings(
        structures=tuple(name for name in claimed if (kept["structure"] == name).any()),
        quantities=tuple(name for name in quantities if name in derived or name in kept),
        summaries=("change",),
        keep=recipe.keep,
        comparison=ComparisonSettings(control=next(iter(recipe.conditions))),
    )


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([table.assign(source=source) for source, table in tables.items()], ignore_index=True)
