"""Cross-validation: every row of a table trained on every fold, scored on what it never saw.

Each training has its own run folder below ``rows/``; a finished one is never repeated, so the same command resumes.
The order of the steps is in :func:`crossvalidate`; scores come from ``comparison``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tomocyte.comparison.baselines import baseline_predictor
from tomocyte.comparison.crossval_recipe import CrossvalRecipe, check_disjoint, grouped_folds
from tomocyte.comparison.held_out import held_out_items
from tomocyte.comparison.samples import Sample, image_rows, network_predictor, score_samples, summary_of
from tomocyte.comparison.score import Predictor
from tomocyte.comparison.train_model import train
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, SettingsError
from tomocyte.evaluation import ScoreTable
from tomocyte.ledger import claim_folder
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.networks import find_network
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import environment, sha256_of_json
from tomocyte.training.data.samples import Samples
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import Recipe, TestSet
from tomocyte.training.training import LabelledData, check_positives

VALIDATION = "validation"
"""Name of the set of each fold's own held-out images."""


@dataclass(frozen=True)
class CrossvalResult:
    """What a comparison ends with.

    Parameters
    ----------
    scores : ScoreTable
        One row per method, set and fold: ``method``, ``set``, ``fold`` (0 for baselines on test sets), the metrics.
    images : ScoreTable
        One row per method, set, fold, image and output.
    n_parameters : dict
        Method -> trainable parameters.
    is_simulated : bool
        Whether any image was simulated.
    """

    scores: ScoreTable
    images: ScoreTable
    n_parameters: dict[str, int]
    is_simulated: bool


def folds_of(items: Sequence[LabelledItem], recipe: CrossvalRecipe) -> list[list[LabelledItem]]:
    """The items of each fold: no group and no image in two of them (checked).

    Raises
    ------
    InputError
        ``E-FOLDS``: too few groups, or a group in two folds. ``E-NO-POSITIVES``, ``E-CLASS-MISSING``: a fold that shows
        no object, or none of a structure; the message names the fold.
    """
    if any(recipe.recipe(row).data.scaled_frame is not None for row in recipe.rows):
        raise SettingsError(
            "E-RECIPE",
            "a comparison takes no data.scaled_frame, whose grey values are those of a training's first volume.",
            cure="Train with `tomocyte train`, and score the model with `tomocyte evaluate`.",
        )
    pool = [item for item in items if not item.split or item.split in recipe.splits]
    if recipe.groups == "image":
        pool = [replace(item, group=item.name) for item in pool]
    first = recipe.recipe(next(iter(recipe.rows)))
    samples = Samples(pool, first.data, n_axes=find_network(first.network.name).dimensions)
    dealt = grouped_folds(samples.groups, recipe.n_folds, seed=recipe.fold_seed)
    folds = [[item for item in pool if item.group in set(groups)] for groups in dealt]
    check_disjoint(folds)
    for index, fold in enumerate(folds):
        try:
            check_positives(Samples(fold, first.data, n_axes=samples.n_axes))
        except InputError as problem:
            raise InputError(
                problem.code, f"fold {index + 1}: {problem.problem}", path=problem.path, cure=problem.cure
            ) from problem
    return folds


def crossvalidate(
    recipe: CrossvalRecipe,
    items: Sequence[LabelledItem],
    folder: Path,
    *,
    rows: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
    callback: Callback = silent,
) -> CrossvalResult:
    """Train and score every row on every fold; finished parts are not repeated.

    Parameters
    ----------
    recipe : CrossvalRecipe
    items : sequence of LabelledItem
    folder : Path
    rows : sequence of str, optional
        Only these; the tables then hold what is finished.
    overrides : mapping, optional
        Merged into every row's recipe.
    device : str
    callback : callable
        Receives an event of the step ``fold`` before each training, its ``item`` being the row, and those of the
        trainings.

    Raises
    ------
    SettingsError, InputError, OutputError
    """
    methods = list(recipe.rows) if rows is None else list(rows)
    recipes = {row: recipe.recipe(row, overrides) for row in methods}
    folds = folds_of(items, recipe)
    claim_folder(folder, "crossval", own=("crossval.json", "folds.json"))
    _write_json(folder / "crossval.json", {**recipe.model_dump(mode="json"), "environment": environment()})
    _write_json(folder / "folds.json", [[item.name for item in fold] for fold in folds])
    for row in methods:
        for index in range(len(folds)):
            callback(Progress(row, "fold", state="started", done=index, total=len(folds)))
            _train_and_score(recipe, recipes[row], row, _Fold(index, folds, items, folder), device, callback)
    for name in recipe.baselines:
        callback(Progress(name, "fold", state="started", total=1))
        _score_baseline(recipe, name, folds, items, folder)
    return collect(recipe, folder)


@dataclass(frozen=True)
class _Fold:
    index: int
    folds: list[list[LabelledItem]]
    items: Sequence[LabelledItem]
    folder: Path

    def data(self) -> LabelledData:
        others = [item for i, fold in enumerate(self.folds) if i != self.index for item in fold]
        return LabelledData(others, [])

    def sets(self, recipe: CrossvalRecipe, row: str) -> dict[str, tuple[list[LabelledItem], TestSet | None]]:
        result: dict[str, tuple[list[LabelledItem], TestSet | None]] = {VALIDATION: (self.folds[self.index], None)}
        for name, test in recipe.tests.items():
            if test.rows is None or row in test.rows:
                result[name] = (held_out_items(self.items, name, test), test)
        return result


def row_folder(folder: Path, row: str, fold: int) -> Path:
    """Where the training of one row and fold lives."""
    return folder / "rows" / re.sub(r"[^a-z0-9.-]+", "-", row.lower()).strip("-") / f"fold-{fold + 1}"


def _train_and_score(
    recipe: CrossvalRecipe, row_recipe: Recipe, row: str, fold: _Fold, device: str, callback: Callback
) -> None:
    place = row_folder(fold.folder, row, fold.index)
    result = train(row_recipe, fold.data(), folder=place, device=device, callback=callback)
    path = place / "scores.json"
    sets = fold.sets(recipe, row)
    key = sha256_of_json(
        {
            "weights": result["weights_sha256"],
            "recipe": recipe_hash(row_recipe),
            "sets": {name: [[i.name for i in items], t and t.model_dump()] for name, (items, t) in sets.items()},
            "scores": recipe.scores,
        }
    )
    if _scores(path, key) is not None:
        return
    content: dict[str, Any] = {"key": key, "method": row, "fold": fold.index + 1, "sets": {}}
    module = _load(place / "model")
    content["n_parameters"] = sum(value.numel() for value in module.parameters())
    for name, (items, test) in sets.items():
        samples = Samples(items, row_recipe.data, n_axes=find_network(row_recipe.network.name).dimensions)
        is_softmax = row_recipe.loss.activation == "softmax"
        predict = network_predictor(module, is_softmax=is_softmax, kind=recipe.scores)
        content["sets"][name] = _set_scores(recipe, samples, predict, test)
        content["is_simulated"] = content.get("is_simulated", False) or samples.volume(0)[0].is_simulated
    write_atomic(path, seal(content))


def _set_scores(
    recipe: CrossvalRecipe, samples: Samples, predict: Predictor[Sample], test: TestSet | None
) -> dict[str, Any]:
    """One method on one set, as it is stored: the scores of the set and of each image."""
    table = score_samples(samples, predict, kind=recipe.scores, test=test)
    images = [_plain(row) for row in image_rows(table, recipe.scores)]
    return {"summary": _plain(summary_of(table, recipe.scores)), "images": images}


def _load(folder: Path) -> Any:
    from tomocyte.models import load_package

    return load_package(folder).build()


def _score_baseline(
    recipe: CrossvalRecipe,
    name: str,
    folds: list[list[LabelledItem]],
    items: Sequence[LabelledItem],
    folder: Path,
) -> None:
    data = recipe.recipe(next(iter(recipe.rows))).data
    n_axes = find_network(recipe.recipe(next(iter(recipe.rows))).network.name).dimensions
    sets: dict[str, tuple[list[LabelledItem], TestSet | None]] = {
        f"{VALIDATION}/{i + 1}": (fold, None) for i, fold in enumerate(folds)
    }
    sets |= {f"{key}/0": (held_out_items(items, key, test), test) for key, test in recipe.tests.items()}
    path = folder / "baselines" / f"{name}.json"
    key = sha256_of_json(
        {k: [[i.name for i in members], t and t.model_dump()] for k, (members, t) in sets.items()}
        | {"data": data.model_dump(mode="json"), "scores": recipe.scores}
    )
    if _scores(path, key) is not None:
        return
    content: dict[str, Any] = {"key": key, "method": name, "sets": {}}
    for set_name, (members, test) in sets.items():
        samples = Samples(members, data, n_axes=n_axes)
        content["sets"][set_name] = _set_scores(recipe, samples, baseline_predictor(name, recipe.scores), test)
        content["is_simulated"] = content.get("is_simulated", False) or samples.volume(0)[0].is_simulated
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, seal(content))


def collect(recipe: CrossvalRecipe, folder: Path) -> CrossvalResult:
    """All scores that are finished in a folder.

    Raises
    ------
    SettingsError
        ``E-NO-SCORES``: none is.
    """
    scores, images, n_parameters, simulated = ScoreTable(), ScoreTable(), {}, False
    for row in recipe.rows:
        for index in range(recipe.n_folds):
            content = _scores(row_folder(folder, row, index) / "scores.json", None)
            if content is None:
                continue
            n_parameters[row] = int(content["n_parameters"])
            simulated = simulated or bool(content["is_simulated"])
            for name, stored in content["sets"].items():
                _add_set(scores, images, {"method": row, "set": name, "fold": index + 1}, stored)
    for name in recipe.baselines:
        content = _scores(folder / "baselines" / f"{name}.json", None)
        for key, stored in (content or {"sets": {}})["sets"].items():
            set_name, _, fold = key.rpartition("/")
            _add_set(scores, images, {"method": name, "set": set_name, "fold": int(fold)}, stored)
    if not len(scores):
        raise SettingsError("E-NO-SCORES", "nothing is finished in this folder.", path=folder, cure="Run it first.")
    return CrossvalResult(scores, images, n_parameters, simulated)


def _add_set(scores: ScoreTable, images: ScoreTable, keys: dict[str, Any], stored: Mapping[str, Any]) -> None:
    scores.add_row({**keys, **stored["summary"]})
    for row in stored["images"]:
        images.add_row({**keys, **row})


def _scores(path: Path, key: str | None) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = unseal(path)
    except InputError:
        return None
    return content if key is None or content["key"] == key else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that JSON can hold: NaN becomes None."""
    return {name: None if isinstance(v, float) and v != v else v for name, v in values.items()}


def _write_json(path: Path, content: Any) -> None:
    write_atomic(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
