"""Table 2 from its recipe: networks trained on every training set, each tested on every cell type.

Whatever is finished is kept; the same command goes on. The order is in :func:`transfer_experiment`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.models import find_model, load_package
from tomocyte.papers.acseg.trainings.labels import labelled_as
from tomocyte.papers.acseg.trainings.score import VolumeScorer
from tomocyte.papers.acseg.trainings.train import Trained, timed_recipe, trained
from tomocyte.papers.acseg.transfer.prediction import prediction_tables
from tomocyte.papers.acseg.transfer.recipe import TransferRecipe
from tomocyte.papers.acseg.transfer.report import transfer_result
from tomocyte.papers.acseg.transfer.volumes import TypeVolumes, plans_of, volumes_by_type, with_sections_across
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.runs.simulate.benchmark import simulate_plans
from tomocyte.settings import Settings, build_settings


@dataclass(frozen=True)
class Row:
    """One training of the table."""

    network: str
    training_set: str
    seed: int

    @property
    def words(self) -> str:
        """For a screen."""
        return f"{self.network}, {self.training_set}"


def rows_of(recipe: TransferRecipe) -> list[Row]:
    """Every training, in the order in which they are done."""
    return [
        Row(network, name, seed)
        for seed in recipe.seeds
        for network in recipe.networks
        for name in recipe.sets_of(network)
    ]


def transfer_experiment(
    recipe: TransferRecipe,
    output: Path,
    *,
    data: Path | None = None,
    model: str | None = None,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> ExperimentResult:
    """Simulate, label, train, test, and set what is found beside what the paper says.

    Parameters
    ----------
    recipe : TransferRecipe
    output : Path
        Holds ``data``, ``labels``, ``trainings`` and ``scores``; what is there already is not done again.
    data : Path, optional
        Labelled volumes instead of simulated ones, in a folder per cell type.
    model : str, optional
        A finished model of the first network, by name or folder, in place of the first training that others continue.
    file_format : {"png", "pdf", "svg"}
    device : str
    n_workers : int
        Volumes simulated at the same time.
    callback : callable
        Receives events of the steps ``simulate``, ``labels``, ``training``, ``score`` and ``describe``, and those of
        the trainings.

    Raises
    ------
    InputError
        ``E-NO-DATA``: too few volumes.
    """
    import pandas as pd

    structures = recipe.structures()
    folder = data or simulate_plans(
        plans_of(recipe), output / "data", structures=structures, n_workers=n_workers, callback=callback
    )
    volumes = volumes_by_type(recipe, folder)
    labelled: dict[str, list[LabelledItem]] = {}
    for name, one in volumes.items():
        n_used = max([parts.get(name, 0) for parts in recipe.training_sets.values()], default=0)
        labelled[name], _ = labelled_as(
            recipe.labels, one.train[:n_used], recipe.labelling, structures, output / "labels", callback=callback
        )
    lines = list(_tested(recipe, output, labelled, volumes, model, device=device, callback=callback))
    fields = pd.DataFrame(lines)
    predicted = prediction_tables(recipe, fields, volumes, output, callback=callback)
    test = next(one.test[0] for one in volumes.values() if one.test)
    return transfer_result(
        recipe, fields, predicted, is_simulated=test.open_image().is_simulated, file_format=file_format
    )


def _tested(
    recipe: TransferRecipe,
    output: Path,
    labelled: Mapping[str, list[LabelledItem]],
    volumes: Mapping[str, TypeVolumes],
    model: str | None,
    *,
    device: str,
    callback: Callback,
) -> Iterator[dict[str, Any]]:
    """One line per training and test volume."""
    rows, begin = rows_of(recipe), time.monotonic()
    finished: dict[tuple[str, int], Path] = {}
    if model is not None and recipe.continues is not None:
        network = next(iter(recipe.networks))
        finished = {(network, seed): find_model(model) for seed in recipe.seeds}
    for number, row in enumerate(rows):
        left = (time.monotonic() - begin) / 60 / number * (len(rows) - number) if number else minutes_of(recipe, rows)
        values = {"minutes_left": left}
        callback(Progress(row.words, "training", state="started", done=number, total=len(rows), values=values))
        parts = recipe.training_sets[row.training_set]
        items = [item for name, n_volumes in parts.items() for item in labelled[name][:n_volumes]]
        base = finished.get((row.network, row.seed))
        is_base = recipe.continues is not None and row.training_set == recipe.continues.training_set
        if base is not None and is_base:
            made = Trained(base, 0, float("nan"))
        else:
            start = base if recipe.is_continued(row.network, row.training_set) else None
            made = _trained(recipe, row, items, output, start, device=device, callback=callback)
        if is_base:
            finished[row.network, row.seed] = made.model
        inference = recipe.networks[row.network].inference or recipe.inference
        scorer = VolumeScorer(made.model, recipe.structure, inference, output, device=device)
        for cell_type in recipe.tests_of(row.network):
            for item in volumes[cell_type].test:
                yield {
                    "network": row.network, "training_set": row.training_set, "cell_type": cell_type,
                    "n_training": len(items), "seed": row.seed, "item": item.name, **scorer.score(item, callback),
                    "n_steps": made.n_steps, "core_minutes": made.core_minutes,
                }  # fmt: skip


def _trained(
    recipe: TransferRecipe,
    row: Row,
    items: list[LabelledItem],
    output: Path,
    start: Path | None,
    *,
    device: str,
    callback: Callback,
) -> Trained:
    """One training, from the beginning or from the weights of a model."""
    training, cost, initial, parent = recipe.training(row.network, row.seed), recipe.cost_of(row.network), None, ""
    if start is not None and recipe.continues is not None:
        package = load_package(start)
        initial, parent = dict(package.state), package.card.weights_sha256
        cost = recipe.cost_of_continued(row.network)
        training = changed(training, recipe.continues.changes)
    axes = recipe.networks[row.network].axes
    turned = with_sections_across(items, axes, output / "sections")
    timed = timed_recipe(training, cost, turned[:5], output, device=device)
    return trained(timed, turned, output, initial=initial, parent=parent, device=device, callback=callback)


def changed(settings: Settings, changes: Mapping[str, Any]) -> Any:
    """Settings with other values, checked again.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``.
    """
    from tomocyte.comparison.crossval_recipe import merged

    return build_settings(type(settings), merged(settings.model_dump(mode="json"), changes))


def minutes_of(recipe: TransferRecipe, rows: list[Row]) -> float:
    """Core minutes of trainings that are not given in steps, without scoring."""
    costs = [
        recipe.cost_of_continued(row.network) if recipe.is_continued(row.network, row.training_set) else
        recipe.cost_of(row.network)
        for row in rows
    ]  # fmt: skip
    return sum(cost.minutes for cost in costs if cost.n_steps is None)


def describe_transfer(recipe: TransferRecipe, data: Path | None = None) -> list[str]:
    """What would be done and how long it would take, in lines for a screen."""
    if data is None:
        plans = plans_of(recipe)
        source = f"{len(plans)} volumes simulated for it"
        n_test = sum(plan.split == "test" for plan in plans)
    else:
        volumes = volumes_by_type(recipe, data)
        n_test = sum(len(one.test) for one in volumes.values())
        source = f"{data}: {sum(len(one.train) for one in volumes.values())} volumes to learn from"
    rows = rows_of(recipe)
    lines = [f"{recipe.name}: {len(rows)} trainings; {n_test} volumes to test; {source}."]
    for network in recipe.networks:
        tests = ", ".join(recipe.tests_of(network))
        for name in recipe.sets_of(network):
            is_continued = recipe.is_continued(network, name)
            cost = recipe.cost_of_continued(network) if is_continued else recipe.cost_of(network)
            length = f"{cost.n_steps} steps" if cost.n_steps else f"{cost.minutes:g} core minutes"
            if recipe.continues is not None and is_continued:
                length += f", begun with the weights of {recipe.continues.training_set}"
            lines.append(f"{network}, {name}: {length}; tested on {tests}")
    minutes = minutes_of(recipe, rows)
    if minutes:
        lines.append(f"trainings take about {minutes:.0f} core minutes; simulating and scoring come on top.")
    return lines
