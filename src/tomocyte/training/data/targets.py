"""From label images to what a network learns: one plane of 0 and 1 per output, 255 where it is not labelled.

To add a kind of target, add it to ``DataSettings.targets`` and to :func:`make_targets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.training.data.settings import FULL_WEIGHT, IGNORE, DataSettings

Target = NDArray[np.uint8]


def output_names(settings: DataSettings) -> tuple[str, ...]:
    """What each output of the network stands for."""
    if settings.targets == "mask-and-core":
        return (settings.structures[0], f"{settings.structures[0]}_core")
    if settings.targets == "cell-by-cell":
        return settings.structures[:1]
    return settings.structures


def make_targets(
    labels: dict[str, NDArray[Any] | None],
    settings: DataSettings,
    pixel_size_um: tuple[float, ...],
    *,
    ignore_label: int | None = None,
) -> Target:
    """The target planes or volumes of one image.

    Parameters
    ----------
    labels : dict
        Structure -> labels (Y, X) or (Z, Y, X), 0 = background; ``None`` where the structure is not labelled.
    settings : DataSettings
    pixel_size_um : tuple of float
        Of the labels, one per axis.
    ignore_label : int, optional
        Label value of unlabelled voxels.

    Returns
    -------
    ndarray (K, Y, X) or (K, Z, Y, X), uint8
        0 outside, 1 inside, 255 not labelled.
    """
    shape = next(array.shape for array in labels.values() if array is not None)
    outputs = [_mask(labels.get(name), shape, ignore_label) for name in settings.structures]
    if settings.targets == "mask-and-core":
        first = labels.get(settings.structures[0])
        outputs = [outputs[0], _core(first, outputs[0], settings, pixel_size_um)]
    return np.stack(outputs)


def make_weights(
    uncertainty: Mapping[str, NDArray[Any] | None], settings: DataSettings, shape: tuple[int, ...]
) -> Target:
    """How much each voxel of each output counts in the loss: 1 - uncertainty, in steps of 1 / 254.

    Parameters
    ----------
    uncertainty : mapping
        Structure -> uncertainty of its labels, 0 to 1, of the given shape; ``None`` or missing: certain.
    settings : DataSettings
    shape : tuple of int
        (Y, X) or (Z, Y, X).

    Returns
    -------
    ndarray (K, Y, X) or (K, Z, Y, X), uint8
        0 to 254; :data:`FULL_WEIGHT` counts in full.

    Raises
    ------
    InputError
        As :func:`stored_weight`.
    """
    outputs = []
    for name in settings.structures:
        values = uncertainty.get(name)
        if values is None:
            outputs.append(np.full(shape, FULL_WEIGHT, np.uint8))
            continue
        outputs.append(stored_weight(values))
    return np.stack(outputs * (len(output_names(settings)) // len(outputs)))


def stored_weight(uncertainty: NDArray[Any]) -> Target:
    """1 - uncertainty as a weight from 0 to :data:`FULL_WEIGHT`.

    Raises
    ------
    InputError
        ``E-UNCERTAINTY-MAP``: NaN, or values outside 0 to 1.

    Examples
    --------
    >>> stored_weight(np.array([0.0, 0.5, 1.0])).tolist()
    [254, 127, 0]
    """
    if not ((uncertainty >= 0) & (uncertainty <= 1)).all():
        raise InputError(
            "E-UNCERTAINTY-MAP",
            "a map of uncertainty has NaN or values outside 0 to 1.",
            cure="Write it again with `tomocyte propagate --uncertainty-map`, or --set data.weights=equal.",
        )
    return np.asarray(np.rint((1 - uncertainty) * FULL_WEIGHT), dtype=np.uint8)


def _mask(labels: NDArray[Any] | None, shape: tuple[int, ...], ignore_label: int | None) -> Target:
    if labels is None:
        return np.full(shape, IGNORE, dtype=np.uint8)
    mask: Target = (labels != 0).astype(np.uint8)
    if ignore_label is not None:
        mask[labels == ignore_label] = IGNORE
    return mask


def _core(
    labels: NDArray[Any] | None, mask: Target, settings: DataSettings, pixel_size_um: tuple[float, ...]
) -> Target:
    """What lies deeper than ``core_depth_um`` in its object; small objects keep their deepest half."""
    import edt
    from scipy import ndimage

    if labels is None:
        return mask.copy()
    objects = np.where(mask == 1, labels, 0)
    present, inverse = np.unique(objects, return_inverse=True)
    ranks = np.ascontiguousarray(inverse.reshape(objects.shape).astype(np.uint32))
    depth = edt.edt(ranks, anisotropy=pixel_size_um, black_border=False)
    deepest = np.zeros(len(present), dtype=np.float32)
    if len(present) > 1:
        deepest[1:] = ndimage.maximum(depth, ranks, index=np.arange(1, len(present)))
    rim = np.inf if settings.core_depth_um is None else settings.core_depth_um
    core = (depth > np.minimum(rim, 0.5 * deepest[ranks])) & (mask == 1)
    result: Target = np.where(mask == IGNORE, IGNORE, core.astype(np.uint8)).astype(np.uint8)
    return result
