"""What a trained model adds to the memory and the time of one input, before anything is computed.

Frames that are streamed and frames that are held whole take different memory; a new way of applying a model says here
what it takes.
"""

from __future__ import annotations

import math

from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.structures import instance_settings, is_streamed, mask_settings, structures_of
from tomocyte.pipeline.trained import card_of, prediction_settings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume


def model_forecast(volume: Volume, settings: RunSettings, engine: SegmentationSettings) -> tuple[int, float]:
    """Bytes and seconds that a trained model adds to one input; (0, 0) for the classical engine.

    Parameters
    ----------
    volume : Volume
        Only its header is used.
    settings : RunSettings
    engine : SegmentationSettings
        Whose sizes and split hold for the main objects.

    Returns
    -------
    tuple of int and float
    """
    card = card_of(settings)
    if card is None:
        return 0, 0.0
    from tomocyte.networks.engine import choose_engine, choose_precision
    from tomocyte.pipeline.forecast import network_divisor, network_forecast
    from tomocyte.segmentation.prediction.frame import count_tiles, prediction_bytes, tile_of, working_shape
    from tomocyte.segmentation.prediction.streamed import masks_bytes, tiles_for

    inference = settings.inference
    chosen = prediction_settings(card, inference)
    shape, size = (len(card.channels), *volume.spatial_shape), volume.require_voxel_size()
    network = (card.network.name, dict(card.network.options))
    divisor = network_divisor(network)
    wanted = {
        structure: instance_settings(
            card, structure, settings, engine, is_main=structure in ("cell", settings.structure)
        )
        for structure in structures_of(card)
    }
    if is_streamed(card, wanted):
        masks = mask_settings(card, settings, wanted, divisor)
        tiling = tiles_for(working_shape(shape, size, chosen, "volume"), masks, n_voxels=math.prod(shape[1:]))
        chosen = chosen.model_copy(update={"tiling": tiling})
        # One mask at a time beside the bits, and the labels that are made of it.
        held = masks_bytes(shape, size, masks) + 3 * math.prod(shape[1:])
    else:
        # Normalised frame beside the physical one, and what tiles and resampling take.
        n_outputs = len(card.structures)
        held = 4 * math.prod(shape) + prediction_bytes(shape, size, chosen, n_outputs=n_outputs, divisor=divisor)
    if inference.engine == "auto":
        exactness, _ = choose_precision(inference.precision, inference.device)
    else:
        exactness = choose_engine(inference.engine, device=inference.device, precision=inference.precision).precision
    n_flips = 2 ** len(chosen.tiling.tile_shape) if chosen.tiling.test_time_flips else 1
    network_bytes, seconds = network_forecast(
        network,
        (chosen.tiling.batch_size, len(card.channels), *tile_of(shape, size, chosen, divisor=divisor)),
        n_tiles=count_tiles(shape, size, chosen, divisor=divisor) * n_flips * volume.n_frames,
        precision=exactness,
    )
    return held + network_bytes, seconds
