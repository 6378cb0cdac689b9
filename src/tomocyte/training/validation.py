"""Scores on held-out samples while training goes on: what stops it and what chooses the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomocyte.evaluation import MaskCounts, count_mask
from tomocyte.segmentation.prediction.fixed_shape import predict_fixed
from tomocyte.segmentation.prediction.tiled import Predictor, predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings
from tomocyte.training.data.batches import stack
from tomocyte.training.data.samples import Samples, Target
from tomocyte.training.data.settings import IGNORE

Probability = NDArray[np.float32]


def predict_samples(
    module: torch.nn.Module,
    samples: Samples,
    *,
    is_softmax: bool,
    autocast: Callable[[], Any] = nullcontext,
    device: str = "cpu",
) -> list[Probability]:
    """Probabilities (K, \\*S) float32 of every sample, whole.

    Softmax networks give the probabilities of their heads, without the background.
    """
    return list(iter_predictions(module, samples, is_softmax=is_softmax, autocast=autocast, device=device))


def iter_predictions(
    module: torch.nn.Module,
    samples: Samples,
    *,
    is_softmax: bool,
    autocast: Callable[[], Any] = nullcontext,
    device: str = "cpu",
) -> Iterator[Probability]:
    """As :func:`predict_samples`, one by one, so that large volumes never lie in memory together."""
    was_training = module.training
    module.eval()

    def predict(batch: Probability) -> Probability:
        with torch.inference_mode(), autocast():
            logits = module(torch.from_numpy(batch).to(device)).float()
        probability = torch.softmax(logits, 1)[:, 1:] if is_softmax else torch.sigmoid(logits)
        return np.asarray(probability.cpu().numpy(), dtype=np.float32)

    for index in range(len(samples)):
        yield _predict_whole(module, samples, index, predict, is_softmax=is_softmax)
    module.train(was_training)


def _predict_whole(
    module: torch.nn.Module, samples: Samples, index: int, predict: Predictor, *, is_softmax: bool
) -> Probability:
    """A section at once; a volume in tiles of the size that patches have in training."""
    image, target = samples.whole(index)
    divisor: tuple[int, ...] = tuple(module.divisor)  # type: ignore[arg-type]
    tile = samples.settings.patch_shape
    if samples.n_axes == 3 and tile is not None:
        n_outputs = int(module.n_outputs) - is_softmax  # type: ignore[arg-type]
        tiling, frame = TilingSettings(tile_shape=tile), samples.settings.fixed_frame
        if frame is not None:
            return predict_fixed(image, predict, frame, tiling=tiling, n_outputs=n_outputs, divisor=divisor)
        return predict_tiled(image, predict, tiling, n_outputs=n_outputs, divisor=divisor)
    batch, _ = stack([(image, target)], divisor)
    window = (slice(None), *(slice(size) for size in image.shape[1:]))
    return np.asarray(predict(batch.numpy())[0][window])


def validation_scores(
    probabilities: Iterable[Probability], targets: Iterable[Target], *, threshold: float = 0.5
) -> dict[str, float]:
    """Mean Dice over samples and heads, and precision, recall, Jaccard and F0.5 of all their pixels pooled.

    Samples that show nothing of a head and get nothing predicted are left out of the mean Dice. Unlabelled pixels do
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
        "f05": pooled.f_beta(0.5),
    }
    return {name: value if math.isfinite(value) else 0.0 for name, value in scores.items()}


def selection_score(scores: dict[str, float], rule: str) -> float:
    """The number that the best weights make largest; never NaN."""
    return scores["dice"] if rule == "dice" else scores["f05"] + scores["jaccard"] + scores["dice"]
