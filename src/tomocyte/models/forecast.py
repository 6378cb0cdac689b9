"""What a trained model adds to the memory and the time of one input, before anything is computed.

Frames that are streamed and frames that are held whole take different memory; a new way of applying a model says here
what it takes.
"""

from __future__ import annotations

import math

from tomocyte.models.card import ModelCard
from tomocyte.models.loaded import prediction_settings
from tomocyte.models.objects import ObjectRules, is_streamed
from tomocyte.models.prediction import mask_settings
from tomocyte.volume import Volume


def model_forecast(card: ModelCard, rules: ObjectRules, volume: Volume) -> tuple[int, float]:
    """Bytes and seconds that a trained model adds to one input.

    Parameters
    ----------
    card : ModelCard
    rules : ObjectRules
    volume : Volume
        Only its header is used.

    Returns
    -------
    tuple of int and float
    """
    from tomocyte.networks.engine import choose_engine, choose_precision
    from tomocyte.networks.engine.forecast import network_divisor, network_forecast
    from tomocyte.segmentation.prediction.frame import count_tiles, prediction_bytes, tile_of, working_shape
    from tomocyte.segmentation.prediction.streamed import masks_bytes, tiles_for

    inference = rules.inference
    settings = prediction_settings(card, inference)
    shape, size = (len(card.channels), *volume.spatial_shape), volume.require_voxel_size()
    name, options = card.network.name, dict(card.network.options)
    divisor = network_divisor(name, options)
    instances = rules.of_all(card)
    if is_streamed(card, instances):
        masks = mask_settings(card, inference, instances, divisor)
        tiling = tiles_for(working_shape(shape, size, settings, "volume"), masks, n_voxels=math.prod(shape[1:]))
        settings = settings.model_copy(update={"tiling": tiling})
        # One mask at a time beside the bits, and the labels that are made of it.
        held = masks_bytes(shape, size, masks) + 3 * math.prod(shape[1:])
    else:
        # Normalised frame beside the physical one, and what tiles and resampling take.
        n_outputs = len(card.structures)
        held = 4 * math.prod(shape) + prediction_bytes(shape, size, settings, n_outputs=n_outputs, divisor=divisor)
    if inference.engine == "auto":
        precision, _ = choose_precision(inference.precision, inference.device)
    else:
        precision = choose_engine(inference.engine, device=inference.device, precision=inference.precision).precision
    n_flips = 2 ** len(settings.tiling.tile_shape) if settings.tiling.test_time_flips else 1
    network_bytes, seconds = network_forecast(
        name,
        options,
        (settings.tiling.batch_size, len(card.channels), *tile_of(shape, size, settings, divisor=divisor)),
        n_tiles=count_tiles(shape, size, settings, divisor=divisor) * n_flips * volume.n_frames,
        precision=precision,
    )
    return held + network_bytes, seconds
