"""Figures of a frame as a model sees it, to be compared with those of its training images."""

from __future__ import annotations

import numpy as np

from tomocyte.models.card import ModelCard
from tomocyte.models.prediction import ModelInput, Prediction


def describe_frame(card: ModelCard, frame: ModelInput, prediction: Prediction) -> dict[str, float] | None:
    """What :func:`tomocyte.confidence.out_of_distribution.describe_image` says of a frame.

    Parameters
    ----------
    card : ModelCard
    frame : ModelInput
        Its first channel is described, normalised, on the network's grid.
    prediction : Prediction
        Of that frame.

    Returns
    -------
    dict or None
        None where the probabilities were not kept.
    """
    from tomocyte.confidence.out_of_distribution import describe_image, described_window
    from tomocyte.segmentation.prediction.normalization import offset_and_scale
    from tomocyte.segmentation.prediction.streamed import ResampledSource

    probability = None if prediction.masks is None else prediction.masks.probability
    if probability is None:
        return None
    window = described_window(probability, card.structures)
    image = frame.image[:1]
    scaling = offset_and_scale(image[0], card.normalization, medium_ri=frame.medium_ri)
    source = ResampledSource(image, tuple(probability.shape[1:]), (scaling,))
    normalized = np.asarray(source.read(window)[0])
    return describe_image(normalized, probability[:, *window], card.structures)
