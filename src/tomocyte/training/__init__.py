"""Training: from labelled images to weights that can be trusted.

``recipe`` says everything that decides a training, ``labelled`` and ``samples`` read the data, ``loop`` changes the
weights, ``checkpoint`` and ``run_folder`` keep them, ``crossval`` compares. To add a loss, an augmentation, an
optimiser or a kind of target, see the docstring of its module. Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tomocyte.training.crossval import CrossvalResult, crossvalidate, folds_of
    from tomocyte.training.crossval_recipe import CrossvalRecipe, build_crossval
    from tomocyte.training.fine_tuning import describe_training, dice_of, fine_tuning_recipe
    from tomocyte.training.held_out import score_on_card
    from tomocyte.training.labelled import LabelledItem, find_items, said_by_folder
    from tomocyte.training.recipe import Recipe, build_recipe, load_recipe
    from tomocyte.training.training import LabelledData, split_items, train

_HOME = {
    "CrossvalRecipe": "crossval_recipe",
    "CrossvalResult": "crossval",
    "LabelledData": "training",
    "LabelledItem": "labelled",
    "Recipe": "recipe",
    "build_crossval": "crossval_recipe",
    "build_recipe": "recipe",
    "crossvalidate": "crossval",
    "describe_training": "fine_tuning",
    "dice_of": "fine_tuning",
    "find_items": "labelled",
    "fine_tuning_recipe": "fine_tuning",
    "folds_of": "crossval",
    "load_recipe": "recipe",
    "said_by_folder": "labelled",
    "score_on_card": "held_out",
    "split_items": "training",
    "train": "training",
}

__all__ = [
    "CrossvalRecipe",
    "CrossvalResult",
    "LabelledData",
    "LabelledItem",
    "Recipe",
    "build_crossval",
    "build_recipe",
    "crossvalidate",
    "describe_training",
    "dice_of",
    "find_items",
    "fine_tuning_recipe",
    "folds_of",
    "load_recipe",
    "said_by_folder",
    "score_on_card",
    "split_items",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
