"""A whole recipe: weights trained, the finished model scored on held-out data and calibrated, all on its card.

:func:`train` is what both faces call, Python and ``tomocyte train``; :func:`fine_tune` begins with an existing
model. Steps after the training are in :func:`finish_model`: add others there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.comparison.calibrate import CalibrationData, calibrate, spaced
from tomocyte.comparison.held_out import add_object_scores, held_out_items, object_scores, score_on_card
from tomocyte.confidence.levels import fewest_scores
from tomocyte.confidence.objects import INTERVAL_LEVEL
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import SettingsError
from tomocyte.ledger import claim_folder
from tomocyte.models import ModelCard, ModelPackage, check_fit, load_package, read_card
from tomocyte.notices import Notice
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate.benchmark import labelled_images
from tomocyte.training.checkpoint import Tensors
from tomocyte.training.core_depth import with_core_depth
from tomocyte.training.fine_tuning import dice_of, structures_without_labels
from tomocyte.training.recipe import Recipe
from tomocyte.training.run_folder import OWN
from tomocyte.training.scaled_reference import with_scaled_frame
from tomocyte.training.training import LabelledData, train_network

UNCALIBRATED = (
    "Fine-tuned and not calibrated since: its results have no 90 % intervals and no calibrated confidence until "
    "`tomocyte models calibrate` has seen labelled images that it was not trained on."
)
LONGEST_LIMITS = 2000
FEWEST_OBJECTS = fewest_scores(INTERVAL_LEVEL)
"""Held-out objects of a structure from which a tuned model is calibrated again."""


def train(
    recipe: Recipe,
    data: LabelledData,
    *,
    folder: Path,
    device: str = "cpu",
    initial: Tensors | None = None,
    held_out: Path | None = None,
    restarts: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Train a model by its recipe, or resume an interrupted training.

    Parameters
    ----------
    recipe : Recipe
        All of it counts: with ``held_out`` the finished model is scored, with ``calibrate`` calibrated.
    data : LabelledData
        From :func:`tomocyte.training.split_items`.
    folder : Path
        The run folder; the same call resumes from its last checkpoint, a finished training is not repeated.
        Holds ``model/``, the package that ``tomocyte run --model`` takes.
    device : str
        ``cpu`` or ``cuda[:n]``.
    initial : dict of str to Tensor, optional
        Weights to begin with, e.g. of a model that ships.
    held_out : Path, optional
        Folder of the recipe's held-out data; without it, they are simulated into ``folder / "held-out"``.
    restarts : bool
        Whether to start again from the beginning; the model of an earlier training is renamed, never deleted.
    callback : callable
        Receives progress events of the training, of simulated held-out data, and of the calibration.

    Returns
    -------
    dict
        As :func:`tomocyte.training.training.train_network`, and ``figures`` of the card.

    Raises
    ------
    SettingsError, InputError, OutputError
        Coded, with a cure. What follows the training is checked before the first step: ``E-RECIPE`` for
        ``calibrate`` without validation images, ``E-NO-DATA`` for a held-out set without images.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tomocyte.datasets.labelled import find_items
    >>> from tomocyte.training import build_recipe, load_recipe, split_items
    >>> recipe = build_recipe(load_recipe("osnet-nucleus", ["loop.n_epochs=1"]))
    >>> items = find_items(Path("my_images"), recipe.data)  # doctest: +SKIP
    >>> train(recipe, split_items(items, 0.2, seed=1), folder=Path("out"))["figures"]  # doctest: +SKIP
    """
    if recipe.calibrate and not data.validation:
        raise SettingsError(
            "E-RECIPE",
            "`calibrate: true` needs validation images.",
            cure="Give more images, raise validation_share, or set calibrate=false.",
        )
    recipe = with_scaled_frame(with_core_depth(recipe, data.train), data.train)
    claim_folder(folder, "train", own=OWN)  # before anything is simulated into it
    scored = _held_out_items(recipe, held_out, folder, callback)
    result = train_network(
        recipe, data, folder=folder, device=device, initial=initial, restarts=restarts, callback=callback
    )
    if "weights_sha256" not in result:  # not the first of several processes
        return result
    card = finish_model(folder, recipe, data, scored, callback=callback)
    return {**result, "figures": dict(card.figures)}


def finish_model(
    folder: Path,
    recipe: Recipe,
    data: LabelledData,
    held_out: Sequence[LabelledItem] = (),
    *,
    callback: Callback = silent,
) -> ModelCard:
    """Finish a trained model as its recipe says: score it on held-out data, then calibrate it.

    Parameters
    ----------
    folder : Path
        Run folder of the training, with ``model/``; the card is replaced, the weights stay bit for bit.
    recipe : Recipe
    data : LabelledData
        What the model was trained with; calibrated on ``validation``.
    held_out : sequence of LabelledItem
        For the recipe's ``held_out``.
    callback : callable
        Receives the events of :func:`tomocyte.comparison.calibrate.calibrate`.

    Returns
    -------
    ModelCard

    Raises
    ------
    InputError
        ``E-NO-DATA``: a held-out set without images.
    SettingsError
        ``E-UNCERTAINTY``: a model that cannot be calibrated.
    """
    model = folder / "model"
    if data.validation:
        add_object_scores(model, recipe, data.validation)
    if recipe.held_out is not None:
        score_on_card(model, recipe, held_out)
    if recipe.calibrate:
        images = CalibrationData(data.validation, spaced(data.train), {})
        calibrate(model, images, folder, is_overwriting=True, callback=callback)
    return read_card(model)


def fine_tune(
    package: ModelPackage,
    recipe: Recipe,
    data: LabelledData,
    *,
    folder: Path,
    device: str = "cpu",
    restarts: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Train a finished model further on other labelled images.

    A calibrated model is calibrated again on the held-out images where these show at least 19 objects of a structure,
    unless the recipe says ``calibrate: false``; with fewer, the tuned model has no intervals, and its card says so.

    Parameters
    ----------
    package : ModelPackage
        From :func:`tomocyte.models.load_package`.
    recipe : Recipe
        From :func:`tomocyte.training.fine_tuning_recipe`.
    data, folder, device, restarts, callback
        As :func:`train`.

    Returns
    -------
    dict
        As :func:`train`; with validation images also ``before`` and ``after``, the scores of both models on them:
        ``dice`` and, of models that separate touching objects, ``f1`` at IoU 0.5 and ``matched_dice``. ``warnings``
        is a list of :class:`~tomocyte.notices.Notice`: ``W-TUNED-WORSE``, ``W-UNCALIBRATED``, ``W-NOT-HELD-OUT``,
        ``W-STRUCTURE-UNLABELLED``.

    Raises
    ------
    ModalityError
        ``E-MODEL-FIT-…``: an image that the model was not made for.
    SettingsError, InputError, OutputError
        As :func:`train`.
    """
    for item in (*data.train, *data.validation):
        check_fit(package.card, item.open_image())
    if _can_be_recalibrated(package.card, recipe, data.validation):
        recipe = recipe.model_copy(update={"calibrate": True})
    loses_calibration = bool(package.card.calibration) and not recipe.calibrate
    if loses_calibration:
        recipe = recipe.model_copy(update={"limits": f"{UNCALIBRATED} {recipe.limits}"[:LONGEST_LIMITS].strip()})
    before = _scores(package, recipe, data.validation)
    state = dict(package.state)
    result = train(recipe, data, folder=folder, device=device, initial=state, restarts=restarts, callback=callback)
    if "weights_sha256" not in result:  # not the first of several processes
        return result
    after = _scores(load_package(folder / "model"), recipe, data.validation)
    warnings = _warnings(recipe, data, before, after, loses_calibration=loses_calibration)
    if recipe.calibrate:
        warnings += _lost_intervals(package.card, read_card(folder / "model"))
    return {**result, **({"before": before, "after": after} if before else {}), "warnings": warnings}


def _can_be_recalibrated(card: ModelCard, recipe: Recipe, held_out: Sequence[LabelledItem]) -> bool:
    """Whether held-out images, labelled throughout, show enough objects of a structure that has intervals."""
    is_refused = "calibrate" in recipe.model_fields_set and not recipe.calibrate
    n_objects = dict.fromkeys(card.calibration, 0)
    for item in held_out if card.calibration and not is_refused else ():
        frame = item.read_frame(0)
        for name in n_objects.keys() & frame.labels.keys():
            if item.uncertainty or not frame.is_labelled(name).all():
                return False
            n_objects[name] += len(np.unique(frame.labels[name][frame.labels[name] > 0]))
    return any(count >= FEWEST_OBJECTS for count in n_objects.values())


def _lost_intervals(before: ModelCard, after: ModelCard) -> list[Notice]:
    """That a structure had intervals and has none since, because too few of its held-out objects were found."""
    lost = [
        name
        for name, entry in before.calibration.items()
        if entry.volume is not None and (name not in after.calibration or after.calibration[name].volume is None)
    ]
    if not lost:
        return []
    few = f"fewer than {FEWEST_OBJECTS} of the held-out ones were found"
    text = f"calibrated again, but without 90 % intervals of {', '.join(lost)}: {few}."
    return [Notice("W-UNCALIBRATED", text)]


def _scores(package: ModelPackage, recipe: Recipe, items: list[LabelledItem]) -> dict[str, float]:
    """Dice of a model on held-out images, and scores of its objects; empty without images."""
    if not items:
        return {}
    return {"dice": dice_of(package.build(), recipe, items), **object_scores(package, recipe, items)}


def _warnings(
    recipe: Recipe,
    data: LabelledData,
    before: dict[str, float],
    after: dict[str, float],
    *,
    loses_calibration: bool,
) -> list[Notice]:
    warnings = []
    worse = [name for name in before.keys() & after.keys() if round(after[name] - before[name], 3) < 0]
    if worse:
        changes = ", ".join(f"{name} {before[name]:.3f} to {after[name]:.3f}" for name in sorted(worse))
        text = f"the tuned weights are worse on the held-out images ({changes}): keep the model that you began with."
        warnings.append(Notice("W-TUNED-WORSE", text))
    if not before:
        text = "nothing was held out, so it is not known whether the tuned weights are better: label another image."
        warnings.append(Notice("W-NOT-HELD-OUT", text))
    lacking = structures_without_labels(recipe, [*data.train, *data.validation])
    if lacking:
        text = f"no image has labels of {', '.join(lacking)}: not trained further, and may have become worse."
        warnings.append(Notice("W-STRUCTURE-UNLABELLED", text))
    if loses_calibration:
        warnings.append(Notice("W-UNCALIBRATED", UNCALIBRATED))
    return warnings


def _held_out_items(recipe: Recipe, data: Path | None, folder: Path, callback: Callback) -> list[LabelledItem]:
    """The images of the recipe's held-out sets, none of the sets empty."""
    if recipe.held_out is None:
        return []
    items = labelled_images(
        recipe.data, data, benchmark=recipe.held_out.benchmark, folder=folder / "held-out", callback=callback
    )
    for name, test in recipe.held_out.sets.items():
        held_out_items(items, name, test)
    return items
