"""Scores on held-out samples while training goes on: what stops it and what chooses the weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomocyte.training.batches import stack
from tomocyte.training.recipe import IGNORE
from tomocyte.training.samples import Samples, Target

Probability = NDArray[np.float32]


def predict_samples(
    module: torch.nn.Module,
    samples: Samples,
    *,
    is_softmax: bool,
    autocast: Callable[[], Any] = nullcontext,
    device: str = "cpu",
) -> list[Probability]:
    """Probabilities (K, \\*S) float32 of every sample, whole, one by one.

    Softmax networks give the probabilities of their heads, without the background.
    """
    divisor = tuple(module.divisor)  # type: ignore[arg-type]
    was_training = module.training
    module.eval()
    result = []
    with torch.inference_mode():
        for index in range(len(samples)):
            image, target = samples.whole(index)
            batch, _ = stack([(image, target)], divisor)
            with autocast():
                logits = module(batch.to(device))
            probability = torch.softmax(logits.float(), 1)[:, 1:] if is_softmax else torch.sigmoid(logits.float())
            window = (slice(None), *(slice(size) for size in image.shape[1:]))
            result.append(probability[0].cpu().numpy()[window])
    module.train(was_training)
    return result


def validation_scores(
    probabilities: list[Probability], targets: list[Target], *, threshold: float = 0.5
) -> dict[str, float]:
    """Mean Dice over samples and heads, and precision, recall, Jaccard and F0.5 of all their pixels pooled.

    Samples that show nothing of a head and get nothing predicted are left out of the mean Dice. Unlabelled pixels do
    not count.
    """
    dices, counts = [], np.zeros(3, dtype=np.int64)
    for probability, target in zip(probabilities, targets, strict=True):
        for head, truth in zip(probability, target, strict=True):
            labelled = truth != IGNORE
            found, inside = (head >= threshold) & labelled, truth == 1
            both = int(np.count_nonzero(found & inside))
            n_found, n_inside = int(np.count_nonzero(found)), int(np.count_nonzero(inside))
            counts += (both, n_found - both, n_inside - both)
            if n_found + n_inside:
                dices.append(2 * both / (n_found + n_inside))
    hit, false, missed = (int(count) for count in counts)
    precision = hit / (hit + false) if hit + false else 0.0
    recall = hit / (hit + missed) if hit + missed else 0.0
    below = 0.25 * precision + recall
    return {
        "dice": float(np.mean(dices)) if dices else float("nan"),
        "precision": precision,
        "recall": recall,
        "jaccard": hit / (hit + false + missed) if hit + false + missed else float("nan"),
        "f05": 1.25 * precision * recall / below if below else 0.0,
    }


def selection_score(scores: dict[str, float], rule: str) -> float:
    """The number that the best weights make largest; never NaN."""
    value = scores["dice"] if rule == "dice" else scores["f05"] + scores["jaccard"] + scores["dice"]
    return value if np.isfinite(value) else 0.0
