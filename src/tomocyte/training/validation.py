"""Scores on held-out samples during training, which stop it and select the weights.

Finished models are scored by :func:`tomocyte.comparison.score.score_model`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import MaskCounts, count_mask
from tomocyte.training.data.samples import Target
from tomocyte.training.data.settings import IGNORE

Probability = NDArray[np.float32]


def validation_scores(
    probabilities: Iterable[Probability], targets: Iterable[Target], *, threshold: float = 0.5
) -> dict[str, float]:
    """Mean Dice over samples and heads, and precision, recall, Jaccard, Dice and F0.5 of all their pixels pooled.

    Of structures that exclude each other the pooled Dice is 2 |equal and foreground| / (|truth| + |prediction|).

    Samples in which a head has neither truth nor prediction are left out of the mean Dice. Unlabelled pixels do
    not count. What cannot be computed, such as the precision of an empty prediction, is 0.
    """
    dices, pooled = [], MaskCounts()
    for probability, target in zip(probabilities, targets, strict=True):
        for head, truth in zip(probability, target, strict=True):
            labelled = truth != IGNORE
            counts = count_mask(truth[labelled] == 1, head[labelled] >= threshold)
            pooled = pooled + counts
            if counts.n_truth + counts.n_prediction:
                dices.append(counts.dice)
    scores = {
        "dice": float(np.mean(dices)) if dices else math.nan,
        "precision": pooled.precision,
        "recall": pooled.recall,
        "jaccard": pooled.jaccard,
        "pooled_dice": pooled.dice,
        "f05": pooled.f_beta(0.5),
    }
    return {name: value if math.isfinite(value) else 0.0 for name, value in scores.items()}


def selection_score(scores: dict[str, float], rule: str) -> float:
    """The number that the best weights make largest; never NaN."""
    if rule == "pooled-dice":
        return scores["pooled_dice"]
    return scores["dice"] if rule == "dice" else scores["f05"] + scores["jaccard"] + scores["dice"]
