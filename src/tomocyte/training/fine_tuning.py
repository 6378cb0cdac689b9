"""Fine-tuning: a recipe that follows from a model's card, and what a model scores before anything is changed."""

from __future__ import annotations

from typing import Any

import torch

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.models import ModelCard
from tomocyte.networks import find_network
from tomocyte.training.data.cell_samples import make_samples
from tomocyte.training.predictions import predict_samples
from tomocyte.training.recipe import Recipe
from tomocyte.training.validation import validation_scores

N_SAMPLES = 4000
LEARNING_RATE = 5e-4


def fine_tuning_recipe(card: ModelCard) -> dict[str, Any]:
    """The content of a recipe that trains the card's model further; unchecked, so that overrides can be merged into it.

    All about the input is as in the model: network, normalisation, voxel size, structures, loss. About 4,000
    strongly augmented samples at a falling learning rate, with averaged weights.
    """
    earlier: dict[str, Any] = dict(card.recipe)
    data = {**earlier.get("data", {})}
    data.setdefault("structures", [name for name in card.structures if name != "background"])
    data |= {
        "modality": card.modality,
        "voxel_size_um": card.voxel_size_um,
        "normalization": card.normalization.model_dump(mode="json"),
        "max_sections_per_item": None,
        "label_suffix": None,
        "image_suffix": "",
        "stored_pixel_size_um": None,
        "stored_voxel_size_um": None,
        "stored_axes": None,
    }
    options = {key: value for key, value in card.network.options.items() if key not in ("n_inputs", "n_outputs")}
    return {
        "kind": "train",
        "name": f"{card.name}-tuned"[:60],
        "description": f"{card.name} {card.version}, trained on with the user's own labelled images",
        "paper": card.paper,
        "data": data,
        "network": {"name": card.network.name, "options": options},
        "augmentation": "strong-2d" if card.dimensions == 2 else earlier.get("augmentation", "none"),
        "loss": earlier.get("loss", {"kind": "cross-entropy" if card.activation == "softmax" else "dice+bce"}),
        "loop": {
            "n_epochs": 20,
            "samples_per_epoch": N_SAMPLES // 20,
            "batch_size": 8,
            "optimiser": {"kind": "adam", "learning_rate": LEARNING_RATE},
            "schedule": {"kind": "cosine", "n_warm_up_steps": 10},
            "ema_decay": 0.98,
            "validate_every": 5,
        },
    }


def structures_without_labels(recipe: Recipe, items: list[LabelledItem]) -> list[str]:
    """The structures of a recipe that no image has labels of; what a model knows of them is not trained further."""
    labelled = {name for item in items for name in item.labels}
    return [name for name in recipe.data.structures if name not in labelled]


def dice_of(module: torch.nn.Module, recipe: Recipe, items: list[LabelledItem]) -> float:
    """Mean Dice of a network on labelled images, whole, at threshold 0.5, in fp32."""
    samples = make_samples(items, recipe.data, n_axes=find_network(recipe.network.name).dimensions)
    is_softmax = recipe.loss.activation == "softmax"
    probabilities = predict_samples(module, samples, is_softmax=is_softmax)
    return validation_scores(probabilities, [samples.whole(i)[1] for i in range(len(samples))])["dice"]


def describe_training(recipe: Recipe, items: list[LabelledItem]) -> list[str]:
    """What ``--dry-run`` prints: samples, steps, network."""
    from tomocyte.training.batches import epoch_order
    from tomocyte.training.loop import build_module

    samples = make_samples(items, recipe.data, n_axes=find_network(recipe.network.name).dimensions)
    n_steps = -(-len(epoch_order(recipe, samples.n_training, 0)) // recipe.loop.batch_size) * recipe.loop.n_epochs
    module = build_module(recipe, samples.n_channels)
    n_parameters = sum(value.numel() for value in module.parameters())
    kind = "sections" if samples.n_axes == 2 else "volumes"
    return [
        f"{len(samples)} {kind}, pixels of {' x '.join(f'{size:g}' for size in samples.pixel_size_um(0))} um",
        f"{recipe.network.name}: {n_parameters:,} parameters",
        f"{recipe.loop.n_epochs} epochs, {n_steps} steps of {recipe.loop.batch_size} samples",
    ]
