"""Organelle networks compared on cell lines they have not seen (Choi et al., Fig. 2c; one network against four).

Every training of every row is done once and every held-out field is scored once; the same command resumes where it was
interrupted. The order of the steps is in :func:`compare_trainings`; tables, pictures and the summary are made in
``report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomocyte.comparison import train
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.models import ModelPackage, find_model, load_package
from tomocyte.models.cells import cells_settings
from tomocyte.models.loaded import LoadedModel, load_from_package, load_model
from tomocyte.models.settings import InferenceSettings
from tomocyte.papers.choi.recipe import BY_NETWORK, INSTANCES, CellLineSet, OrganellesRecipe, training_folder
from tomocyte.papers.choi.scores import SeparationMethod, predict_field, score_field
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.training.batches import epoch_order
from tomocyte.training.recipe import Recipe
from tomocyte.training.training import LabelledData

Entry = dict[str, Any]


def compare_trainings(
    recipe: OrganellesRecipe,
    data: Path,
    folder: Path,
    *,
    rows: Sequence[str] | None = None,
    device: str = "cpu",
    callback: Callback = silent,
) -> list[Entry]:
    """Train what is not trained yet, score what is not scored yet.

    Parameters
    ----------
    recipe : OrganellesRecipe
    data : Path
        What ``tomocyte simulate … --benchmark`` wrote.
    folder : Path
        Holds ``trainings/`` and ``scores/``.
    rows : sequence of str, optional
        Only these.
    device : str
        Of training and prediction.
    callback : callable
        Receives an event of the step ``fold`` before each of a row's trainings, its ``item`` being the row, the events
        of the training, and one of the step ``score`` before each field.

    Returns
    -------
    list of dict
        One entry per row, seed, set and field: ``row``, ``seed``, ``set``, ``item``, ``scores`` (see
        :func:`tomocyte.papers.choi.scores.score_field`); of the row ``n_networks``, ``n_parameters``, ``n_steps``.

    Raises
    ------
    SettingsError, InputError, OutputError
        As :func:`tomocyte.comparison.train`; ``E-NO-DATA``: a set without fields.
    """
    sets = {name: fields_of(data, test) for name, test in recipe.tests.items()}
    entries: list[Entry] = []
    for row in recipe.rows if rows is None else rows:
        for seed in recipe.seeds:
            trainings = recipe.trainings(row, seed)
            n_steps = 0
            for index, training in enumerate(trainings):
                callback(Progress(row, "fold", state="started", done=index, total=len(trainings)))
                place = training_folder(folder, training)
                result = train(training, _data_of(training, data), folder=place, device=device, callback=callback)
                n_steps += sum(_n_steps(training, result["n_train"], epoch) for epoch in range(len(result["history"])))
            about = {"row": row, "seed": seed, "n_networks": len(trainings), "n_steps": n_steps}
            packages = [load_package(training_folder(folder, training) / "model") for training in trainings]
            about["n_parameters"] = _n_parameters(packages)
            scorer = _Scorer(recipe, packages, folder, device, callback)
            entries += [{**about, "set": name, **scorer.entry(item)} for name in sets for item in sets[name]]
    for row, model in recipe.models.items() if rows is None else ():
        callback(Progress(row, "fold", state="started", total=1))
        package = load_package(find_model(model))
        about = {"row": row, "seed": 0, "n_networks": 1, "n_steps": 0, "n_parameters": _n_parameters([package])}
        scorer = _Scorer(recipe, [package], folder, device, callback)
        entries += [{**about, "set": name, **scorer.entry(item)} for name in sets for item in sets[name]]
    return entries


def _n_parameters(packages: list[ModelPackage]) -> int:
    return sum(value.numel() for package in packages for value in package.build().parameters())


def fields_of(data: Path, test: CellLineSet) -> list[LabelledItem]:
    """The fields of a held-out set.

    Raises
    ------
    InputError
        ``E-NO-DATA``: none.
    """
    domains = () if test.domain is None else (test.domain,)
    items = [
        item for item in find_items(data, splits=(test.split,), domains=domains) if item.cell_line == test.cell_line
    ]
    if not items:
        split = test.split if test.domain is None else f"{test.split}, domain {test.domain}"
        raise InputError(
            "E-NO-DATA",
            f"no field of {test.cell_line} in the split {split}.",
            path=data,
            cure="Use the whole benchmark, or take the set out of the recipe.",
        )
    return items


def separation_methods(recipe: OrganellesRecipe, device: str) -> dict[str, SeparationMethod]:
    """How touching cells are separated: as the recipe says, and by the cell-by-cell network where it names one."""
    methods = {INSTANCES: SeparationMethod(recipe.cells)}
    if recipe.cells_model is not None:
        network = load_model(recipe.cells_model, InferenceSettings(device=device))
        methods[BY_NETWORK] = SeparationMethod(cells_settings(network.card, network.divisor), network.predictor)
    return methods


def is_simulated(recipe: OrganellesRecipe, data: Path) -> bool:
    """Whether any held-out field was simulated."""
    return any(fields_of(data, test)[0].open_image().is_simulated for test in recipe.tests.values())


def _data_of(training: Recipe, data: Path) -> LabelledData:
    """The benchmark's training fields; its validation fields too where something is decided by them."""
    items, loop = find_items(data, training.data), training.loop
    is_validated = loop.select == "best" or loop.patience is not None or loop.schedule.kind == "plateau"
    return LabelledData(
        [item for item in items if item.split == "train"],
        [item for item in items if item.split == "validation"] if is_validated else [],
    )


def _n_steps(training: Recipe, n_samples: int, epoch: int) -> int:
    return -(-len(epoch_order(training, n_samples, epoch)) // training.loop.batch_size)


class _Scorer:
    """The networks of one row applied to held-out fields; loaded when a field is not scored yet."""

    def __init__(
        self, recipe: OrganellesRecipe, packages: list[ModelPackage], folder: Path, device: str, callback: Callback
    ) -> None:
        self.packages, self.folder, self.device, self.callback = packages, folder / "scores", device, callback
        self.inference = recipe.inference
        self.methods = separation_methods(recipe, device)
        self.key_content = {
            "weights": [package.card.weights_sha256 for package in packages],
            "inference": recipe.inference.model_dump(mode="json"),
            "cells": {name: method.settings.model_dump(mode="json") for name, method in self.methods.items()},
            "cells_model": None if recipe.cells_model is None else load_package(recipe.cells_model).card.weights_sha256,
        }
        self._models: list[LoadedModel] = []

    def entry(self, item: LabelledItem) -> Entry:
        """A field's name and scores."""
        key = sha256_of_json({**self.key_content, "item": item.name})
        path = self.folder / item.name / f"{key[:16]}.json"
        scores = _stored_scores(path, key)
        if scores is None:
            self._models = self._models or [
                load_from_package(package, engine=self.inference.engine, device=self.device)
                for package in self.packages
            ]
            self.callback(Progress(item.name, "score"))
            scores = score_field(predict_field(self._models, item, self.inference), item, self.methods)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, seal({"key": key, "scores": scores}))
        return {"item": item.name, "scores": scores}


def _stored_scores(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = unseal(path)
    except InputError:
        return None
    return dict(content["scores"]) if content["key"] == key else None
