"""A 30-step training on a CPU, started by the test that kills it: ``-m tests.training.killed_training DATA OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tests.training.conftest import small_recipe

from tomocyte.comparison import train
from tomocyte.datasets.labelled import find_items
from tomocyte.progress import Progress
from tomocyte.training import LabelledData
from tomocyte.training.recipe import Recipe

STEPS = 30


def recipe() -> Recipe:
    """Ten epochs of three steps, a checkpoint after each, with everything that has a state."""
    return small_recipe(
        augmentation="strong-2d",
        loop={
            "n_epochs": 10,
            "checkpoint_every_steps": 1,
            "ema_decay": 0.9,
            "schedule": {"kind": "cosine"},
            "select": "best",
        },
    )


def main(data: Path, output: Path) -> None:
    """Train, or go on."""
    torch.set_num_threads(1)
    items = find_items(data, recipe().data)
    train(recipe(), LabelledData(items[:4], items[4:]), folder=output, callback=print_step)


def print_step(event: Progress) -> None:
    """One line per step that was taken."""
    if event.step == "train" and event.state == "at-work":
        sys.stdout.write(f"{event.done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
