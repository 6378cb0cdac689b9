"""One training of a table, as long as its share of core minutes; done once, whatever table asks for it.

How long a step takes is measured once per network and kept, so that the same command resumes with the same number of
steps. To make trainings of equal cost in another respect, change :func:`timed_recipe`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal
from tomocyte.papers.acseg.trainings.recipe import TrainingCost
from tomocyte.papers.acseg.trainings.records import stored
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.training.checkpoint import Tensors
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import Recipe
from tomocyte.training.training import LabelledData, split_items, train_network

N_TIMED_STEPS = 8
N_FIRST_STEPS = 3
"""Of the timed steps, those that are not counted: files are read, code is compiled."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Parameters
    ----------
    model : Path
        The package.
    n_steps : int
    core_minutes : float
        Of the processor, all threads together; of a training that was interrupted those since it was resumed, NaN where
        it was finished before they were counted.
    """

    model: Path
    n_steps: int
    core_minutes: float


def is_validated(recipe: Recipe) -> bool:
    """Whether something of a training is decided by validation volumes."""
    loop = recipe.loop
    return loop.select == "best" or loop.patience is not None or loop.schedule.kind == "plateau"


def training_data(recipe: Recipe, items: Sequence[LabelledItem]) -> LabelledData:
    """The volumes of a training; a share of them is held out where something is decided by validation, as in the paper.

    Where that share is less than a volume, one is held out.
    """
    if not is_validated(recipe) or len(items) < 2:
        return LabelledData(list(items), [])
    return split_items(list(items), recipe.validation_share, seed=recipe.loop.seed, min_held_out=1)


def seconds_per_step(recipe: Recipe, items: Sequence[LabelledItem], folder: Path, *, device: str = "cpu") -> float:
    """Core seconds of one training step, all threads together; measured once and kept in ``folder``.

    Parameters
    ----------
    recipe : Recipe
    items : sequence of LabelledItem
        Some volumes of those that are learned from.
    folder : Path
    device : str
    """
    key = sha256_of_json({"recipe": recipe_hash(recipe), "device": device})
    path = folder / f"{recipe.name}-{key[:12]}.json"
    record = stored(path, key)
    if record is None:
        moments: list[float] = []

        def take_time(event: Progress) -> None:
            if event.step == "train":
                moments.append(time.process_time() if device == "cpu" else time.perf_counter())

        n_samples = N_TIMED_STEPS * recipe.loop.batch_size
        short = _with_length(recipe, n_epochs=1, samples_per_epoch=n_samples, is_free=True)
        place = folder / f"{recipe.name}-{key[:12]}"
        train_network(
            short, LabelledData(list(items), []), folder=place, device=device, restarts=True, callback=take_time
        )
        seconds = float(np.median(np.diff(moments[N_FIRST_STEPS:])))
        record = {"key": key, "seconds": seconds}
        write_atomic(path, seal(record))
    return float(record["seconds"])


def timed_recipe(
    training: Recipe,
    cost: TrainingCost,
    items: Sequence[LabelledItem],
    folder: Path,
    *,
    device: str = "cpu",
) -> Recipe:
    """A training recipe with as many steps as its minutes allow.

    Parameters
    ----------
    training : Recipe
    cost : TrainingCost
    items : sequence of LabelledItem
        What the time of a step is measured on.
    folder : Path
        Of the experiment; the measured time is kept in ``pace``.
    device : str
    """
    n_steps = cost.n_steps
    if n_steps is None:
        of_all_seeds = training.model_copy(update={"loop": training.loop.model_copy(update={"seed": 1})})
        seconds = seconds_per_step(of_all_seeds, items, folder / "pace", device=device)
        n_steps = max(1, round(60 * cost.minutes / seconds))
    n_epochs = min(cost.n_epochs, n_steps)
    samples = math.ceil(n_steps / n_epochs) * training.loop.batch_size
    return _with_length(training, n_epochs=n_epochs, samples_per_epoch=samples)


def _with_length(recipe: Recipe, *, n_epochs: int, samples_per_epoch: int, is_free: bool = False) -> Recipe:
    """Another number of steps, at most a tenth for warming up; ``is_free``: nothing is decided by validation."""
    loop = recipe.loop
    n_steps = n_epochs * math.ceil(samples_per_epoch / loop.batch_size)
    n_warm = min(loop.schedule.n_warm_up_steps, n_steps // 10)
    changes: dict[str, Any] = {
        "n_epochs": n_epochs,
        "samples_per_epoch": samples_per_epoch,
        "schedule": loop.schedule.model_copy(update={"n_warm_up_steps": n_warm}),
    }
    if is_free:
        changes |= {"select": "last", "patience": None}
    if is_free or not is_validated(recipe):
        changes["validate_every"] = n_epochs
    return recipe.model_copy(update={"loop": loop.model_copy(update=changes)})


def training_folder(folder: Path, recipe: Recipe, items: Sequence[LabelledItem], parent: str = "") -> Path:
    """Where a training lives: named by everything that decides its weights.

    Parameters
    ----------
    folder : Path
        Of the experiment.
    recipe : Recipe
    items : sequence of LabelledItem
        What is learned from.
    parent : str
        Hash of the weights that it begins with.
    """
    labels = [[item.name, *(str(path) for path in item.labels.values())] for item in items]
    digest = sha256_of_json({"recipe": recipe_hash(recipe), "labels": labels, "parent": parent})
    return folder / "trainings" / f"{recipe.name}-{digest[:12]}"


def trained(
    recipe: Recipe,
    items: Sequence[LabelledItem],
    folder: Path,
    *,
    initial: Tensors | None = None,
    parent: str = "",
    device: str = "cpu",
    callback: Callback = silent,
) -> Trained:
    """Train a network, or take it as it was trained before.

    Parameters
    ----------
    recipe : Recipe
        From :func:`timed_recipe`.
    items : sequence of LabelledItem
    folder : Path
        Of the experiment.
    initial : dict of str to Tensor, optional
        Weights to begin with.
    parent : str
        Their hash.
    device : str
    callback : callable
        Receives the events of the training.
    """
    place = training_folder(folder, recipe, items, parent)
    begin = time.process_time()
    result = train_network(
        recipe, training_data(recipe, items), folder=place, device=device, initial=initial, callback=callback
    )
    n_steps = int(result["history"][-1]["step"]) if result["history"] else 0
    record = stored(place / "cost.json", result["weights_sha256"])
    if record is None:
        minutes = (time.process_time() - begin) / 60
        record = {"key": result["weights_sha256"], "core_minutes": minutes}
        write_atomic(place / "cost.json", seal(record))
    return Trained(place / "model", n_steps, float(record["core_minutes"]))
