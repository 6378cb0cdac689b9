"""What a network gives for whole samples: sections at once, volumes in tiles of the size that patches have in training.

To predict another kind of sample, change :func:`predict_sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomocyte.segmentation.prediction.fixed_shape import predict_fixed
from tomocyte.segmentation.prediction.scaled_frame import ScaledFrameSettings, scaled_tiling
from tomocyte.segmentation.prediction.tiled import Predictor, predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings
from tomocyte.training.batches import stack
from tomocyte.training.data.samples import Samples

Probability = NDArray[np.float32]


def predict_samples(
    module: torch.nn.Module,
    samples: Samples,
    *,
    is_softmax: bool,
    autocast: Callable[[], Any] = nullcontext,
    device: str = "cpu",
) -> Iterator[Probability]:
    """As :func:`predict_sample`, every sample, one by one, so that large volumes never lie in memory together."""
    for index in range(len(samples)):
        yield predict_sample(module, samples, index, is_softmax=is_softmax, autocast=autocast, device=device)


def predict_sample(
    module: torch.nn.Module,
    samples: Samples,
    index: int,
    *,
    is_softmax: bool,
    autocast: Callable[[], Any] = nullcontext,
    device: str = "cpu",
) -> Probability:
    """Probabilities (K, \\*S) float32 of one sample, whole.

    Softmax networks give the probabilities of their heads, without the background.
    """
    was_training = module.training
    module.eval()

    def predict(batch: Probability) -> Probability:
        with torch.inference_mode(), autocast():
            logits = module(torch.from_numpy(batch).to(device)).float()
        probability = torch.softmax(logits, 1)[:, 1:] if is_softmax else torch.sigmoid(logits)
        return np.asarray(probability.cpu().numpy(), dtype=np.float32)

    result = _predict_whole(module, samples, index, predict, is_softmax=is_softmax)
    module.train(was_training)
    return result


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
        if samples.settings.scaled_frame is not None:
            return _most_probable(image, predict, samples.settings.scaled_frame, tiling, n_outputs, divisor)
        if frame is not None:
            return predict_fixed(image, predict, frame, tiling=tiling, n_outputs=n_outputs, divisor=divisor)
        return predict_tiled(image, predict, tiling, n_outputs=n_outputs, divisor=divisor)
    batch, _ = stack([(image, target)], divisor)
    window = (slice(None), *(slice(size) for size in image.shape[1:]))
    return np.asarray(predict(batch.numpy())[0][window])


def _most_probable(
    image: Probability,
    predict: Predictor,
    frame: ScaledFrameSettings,
    tiling: TilingSettings,
    n_outputs: int,
    divisor: tuple[int, ...],
) -> Probability:
    """1 for the most probable structure of each voxel where it is more probable than the background, else 0."""
    plan = scaled_tiling(frame, tiling, divisor=divisor)
    heads = predict_tiled(image, predict, plan, n_outputs=n_outputs, divisor=divisor)
    winner = np.argmax(np.concatenate((1 - heads.sum(axis=0, keepdims=True), heads)), axis=0)
    return np.stack([winner == output for output in range(1, n_outputs + 1)]).astype(np.float32)
