"""Scores after training on a number of volumes, and how they vary with the volumes that they were tested on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingSize:
    """Scores of models that were trained on one number of volumes.

    Parameters
    ----------
    n_volumes : float
        That were learned from.
    score : float
        Mean of the test volumes.
    standard_error : float
        Of that mean; NaN where unknown.
    by_volume : mapping of str to float, optional
        Test volume -> its score.
    """

    n_volumes: float
    score: float
    standard_error: float = math.nan
    by_volume: dict[str, float] | None = None

    @classmethod
    def of_volumes(cls, n_volumes: float, by_volume: dict[str, float]) -> TrainingSize:
        """From the score of each test volume.

        Examples
        --------
        >>> TrainingSize.of_volumes(5, {"a": 0.5, "b": 0.75}).score
        0.625
        """
        values = np.array(list(by_volume.values()), np.float64)
        error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
        return cls(n_volumes, float(values.mean()), error, by_volume)


def resampled_scores(sizes: Sequence[TrainingSize], spread: Float, n_resamples: int, rng: np.random.Generator) -> Float:
    """Scores of resampled test volumes, the same ones at every size where they are the same.

    Parameters
    ----------
    sizes : sequence of TrainingSize (N,)
    spread : float64 ndarray (N,)
        Standard deviation of what is added besides.
    n_resamples : int
    rng : numpy Generator

    Returns
    -------
    float64 ndarray (n_resamples, N)
    """
    volumes = [size.by_volume for size in sizes]
    scores = np.array([size.score for size in sizes])
    noise = rng.normal(size=(n_resamples, len(sizes))) * spread
    names = sorted(volumes[0]) if volumes[0] else []
    if len(names) > 1 and all(one is not None and sorted(one) == names for one in volumes):
        table = np.array([[one[name] for name in names] for one in volumes if one is not None])
        index = rng.integers(len(names), size=(n_resamples, len(names)))
        return np.asarray(table[:, index].mean(axis=2).T + noise)
    draws = np.empty((n_resamples, len(sizes)))
    for number, size in enumerate(sizes):
        if size.by_volume is not None and len(size.by_volume) > 1:
            values = np.array(list(size.by_volume.values()))
            draws[:, number] = rng.choice(values, size=(n_resamples, len(values))).mean(axis=1)
        else:
            error = size.standard_error if math.isfinite(size.standard_error) else 0.0
            draws[:, number] = scores[number] + error * rng.normal(size=n_resamples)
    return draws + noise
