"""A whole recipe: weights trained, the finished model scored on held-out data and calibrated, all on its card.

:func:`train` is what both faces call, Python and ``tomocyte train``; :func:`fine_tune` begins with an existing
model. Steps after the training are in :func:`finish_model`: add others there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomocyte.comparison.calibrate import CalibrationData, calibrate, spaced
from tomocyte.comparison.held_out import held_out_items, score_on_card
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import SettingsError
from tomocyte.models import ModelCard, ModelPackage, check_fit, read_card
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate.benchmark import labelled_images
from tomocyte.training.checkpoint import Tensors
from tomocyte.training.fine_tuning import dice_of
from tomocyte.training.recipe import Recipe
from tomocyte.training.training import LabelledData, train_network


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
        Whether to delete what the folder holds and start again.
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
        As :func:`train`; with validation images also ``dice_before`` and ``dice_after`` on them, in [0, 1].

    Raises
    ------
    ModalityError
        ``E-MODEL-FIT-…``: an image that the model was not made for.
    SettingsError, InputError, OutputError
        As :func:`train`.
    """
    for item in (*data.train, *data.validation):
        check_fit(package.card, item.open_image())
    before = dice_of(package.build(), recipe, data.validation) if data.validation else None
    state = dict(package.state)
    result = train(recipe, data, folder=folder, device=device, initial=state, restarts=restarts, callback=callback)
    if before is None:
        return result
    return {**result, "dice_before": before, "dice_after": result["history"][-1]["validation"]["dice"]}


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
