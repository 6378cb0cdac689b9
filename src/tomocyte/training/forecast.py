"""What a training will cost on this computer, from a few of its own steps.

Validation and the scores at the end are not counted; to count them, add them to :func:`training_forecast`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.networks import find_network
from tomocyte.training.batches import Prefetcher, epoch_order
from tomocyte.training.data.cell_samples import make_samples
from tomocyte.training.distributed import Processes
from tomocyte.training.loop import Trainer
from tomocyte.training.recipe import Recipe

N_TIMED_STEPS = 2


@dataclass(frozen=True)
class TrainingForecast:
    """Cost of one training.

    Parameters
    ----------
    n_steps, n_parameters : int
    seconds_per_step : float
        Reading, augmentation and the change of the weights.
    """

    n_steps: int
    n_parameters: int
    seconds_per_step: float

    @property
    def minutes(self) -> float:
        """All steps."""
        return self.n_steps * self.seconds_per_step / 60


def training_forecast(recipe: Recipe, items: Sequence[LabelledItem], *, device: str = "cpu") -> TrainingForecast:
    """Take a few steps of a training, keep nothing of them, and say what all would take.

    Parameters
    ----------
    recipe : Recipe
    items : sequence of LabelledItem
        To learn from.
    device : str

    Raises
    ------
    SettingsError, InputError
        As a training with this recipe and these images.
    """
    samples = make_samples(list(items), recipe.data, n_axes=find_network(recipe.network.name).dimensions)
    with TemporaryDirectory() as folder:
        processes = Processes.from_environment(device)
        trainer = Trainer(recipe, samples, validation=None, folder=Path(folder), processes=processes)
        order = epoch_order(recipe, samples.n_training, 0)
        divisor: tuple[int, ...] = tuple(trainer.module.divisor)  # type: ignore[arg-type]
        batches = Prefetcher(samples, recipe, divisor=divisor, n_threads=0).epoch(order, 0)
        trainer.module.train()
        seconds = []
        for _ in range(N_TIMED_STEPS + 1):  # the first is slower: memory, compiled kernels
            begun = time.monotonic()
            batch = next(batches, None)
            if batch is None:
                break
            trainer.step(*batch)
            seconds.append(time.monotonic() - begun)
    n_parameters = sum(value.numel() for value in trainer.module.parameters())
    return TrainingForecast(trainer.n_steps, n_parameters, min(seconds))
