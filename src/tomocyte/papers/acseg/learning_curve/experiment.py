"""Table 1 from its recipe: labels made, networks trained on more and more volumes, each scored on the same ones.

Whatever is finished is kept; the same command goes on. The order is in :func:`learning_curve_experiment`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.learning_curve.recipe import LearningCurveRecipe
from tomocyte.papers.acseg.learning_curve.report import curve_result
from tomocyte.papers.acseg.trainings.labels import labelled_as
from tomocyte.papers.acseg.trainings.recipe import LabelKind
from tomocyte.papers.acseg.trainings.score import VolumeScorer
from tomocyte.papers.acseg.trainings.train import timed_recipe, trained
from tomocyte.papers.acseg.trainings.volumes import divide, labelled_volumes
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.runs.simulate import ItemPlan, benchmark_plan, dataset_plan
from tomocyte.runs.simulate.benchmark import simulate_plans


@dataclass(frozen=True)
class Point:
    """One training of the curve."""

    network: str
    labels: LabelKind
    n_training: int
    seed: int

    @property
    def words(self) -> str:
        """For a screen."""
        return f"{self.network}, {self.labels} labels, {self.n_training} volumes"


def points_of(recipe: LearningCurveRecipe, n_volumes: int | None = None) -> list[Point]:
    """Every training: first all networks with the first kind of labels, then with the next.

    Parameters
    ----------
    recipe : LearningCurveRecipe
    n_volumes : int, optional
        That there are; larger trainings are left out.
    """
    return [
        Point(network, kind, size, seed)
        for labels in recipe.labels
        for seed in recipe.seeds
        for network in recipe.networks
        for kind, size in recipe.trainings_of(network)
        if kind == labels and (n_volumes is None or size <= n_volumes)
    ]


def learning_curve_experiment(
    recipe: LearningCurveRecipe,
    output: Path,
    *,
    data: Path | None = None,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> ExperimentResult:
    """Simulate, label, train, score, and set what is found beside what the paper says.

    Parameters
    ----------
    recipe : LearningCurveRecipe
    output : Path
        Holds ``data``, ``labels``, ``trainings`` and ``scores``; what is there already is not done again.
    data : Path, optional
        Labelled volumes instead of simulated ones.
    file_format : {"png", "pdf", "svg"}
    device : str
    n_workers : int
        Volumes simulated at the same time.
    callback : callable
        Receives events of the steps ``simulate``, ``labels``, ``training`` and ``score``, and those of the trainings.

    Raises
    ------
    InputError
        ``E-NO-DATA``: too few volumes.
    """
    import pandas as pd

    folder = data or simulate_plans(
        plans_of(recipe), output / "data", structures=recipe.structures(), n_workers=n_workers, callback=callback
    )
    items = labelled_volumes(folder, recipe.structures(), scored=recipe.structure)
    train, test = divide(items, recipe.n_test, seed=recipe.order_seed)
    n_used = max([point.n_training for point in points_of(recipe, len(train))], default=0)
    labelled, facts = {}, []
    for kind in recipe.labels:
        labelled[kind], own = labelled_as(
            kind, train[:n_used], recipe.labelling, recipe.structures(), output / "labels", callback=callback
        )
        facts += own
    lines = list(_scored(recipe, output, labelled, test, device=device, callback=callback))
    is_simulated = test[0].open_image().is_simulated
    return curve_result(
        recipe, pd.DataFrame(lines), pd.DataFrame(facts), n_volumes=len(train), n_test=len(test),
        is_simulated=is_simulated, file_format=file_format,
    )  # fmt: skip


def _scored(
    recipe: LearningCurveRecipe,
    output: Path,
    labelled: dict[LabelKind, list[LabelledItem]],
    test: list[LabelledItem],
    *,
    device: str,
    callback: Callback,
) -> Iterator[dict[str, Any]]:
    """One line per training and test volume."""
    n_volumes = len(next(iter(labelled.values())))
    points, begin = points_of(recipe, n_volumes), time.monotonic()
    for number, point in enumerate(points):
        left = (time.monotonic() - begin) / 60 / number * (len(points) - number) if number else _minutes(recipe, points)
        callback(
            Progress(
                point.words, "training", state="started", done=number, total=len(points), values={"minutes_left": left}
            )
        )
        items = labelled[point.labels]
        untimed, cost = recipe.training(point.network, point.seed), recipe.cost_of(point.network)
        training = timed_recipe(untimed, cost, items[: min(recipe.sizes)], output, device=device)
        made = trained(training, items[: point.n_training], output, device=device, callback=callback)
        scorer = VolumeScorer(made.model, recipe.structure, recipe.inference, output, device=device)
        for item in test:
            yield {
                "network": point.network, "labels": point.labels, "n_training": point.n_training, "seed": point.seed,
                "item": item.name, **scorer.score(item, callback), "n_steps": made.n_steps,
                "core_minutes": made.core_minutes,
            }  # fmt: skip


def plans_of(recipe: LearningCurveRecipe) -> list[ItemPlan]:
    """What is simulated: volumes to learn from and to test."""
    source = recipe.data
    if source.benchmark is None:
        return dataset_plan(dict(source.dataset or {}), source.n_items, seed=source.seed)
    experiment, _, size = source.benchmark.partition("/")
    return benchmark_plan(experiment, size, source.splits)


def _minutes(recipe: LearningCurveRecipe, points: list[Point]) -> float:
    """Core minutes of trainings, without scoring."""
    return sum(recipe.cost_of(point.network).minutes for point in points)


def describe_learning_curve(recipe: LearningCurveRecipe, data: Path | None = None) -> list[str]:
    """What would be done and how long it would take, in lines for a screen."""
    n_volumes = None
    plans = plans_of(recipe)
    source = f"{recipe.data.benchmark or 'data'} simulated for it: {len(plans)} volumes"
    n_test = sum(plan.split == "test" for plan in plans) or recipe.n_test
    if data is not None:
        items = labelled_volumes(data, recipe.structures(), scored=recipe.structure)
        train, test = divide(items, recipe.n_test, seed=recipe.order_seed)
        n_volumes, n_test = len(train), len(test)
        source = f"{data}: {n_volumes} volumes to learn from, {n_test} to test"
    points = points_of(recipe, n_volumes)
    lines = [f"{recipe.name}: {len(points)} trainings, each scored on {n_test} volumes; {source}."]
    for network in recipe.networks:
        for kind in recipe.labels:
            sizes = [
                str(point.n_training)
                for point in points
                if (point.network, point.labels, point.seed) == (network, kind, recipe.seeds[0])
            ]
            length = recipe.networks[network].n_steps
            each = f"{length} steps" if length else f"{recipe.cost_of(network).minutes:g} core minutes"
            if sizes:
                lines.append(f"{network}, {kind} labels: {', '.join(sizes)} volumes, {each} each")
    if any(recipe.networks[point.network].n_steps is None for point in points):
        minutes = _minutes(recipe, [point for point in points if recipe.networks[point.network].n_steps is None])
        lines.append(f"trainings take about {minutes:.0f} core minutes; simulating and scoring come on top.")
    return lines
