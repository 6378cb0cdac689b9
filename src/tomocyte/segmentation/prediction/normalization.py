"""From physical values to what a network sees: named, float32, finite.

Measurements never use the result: they see the physical image. To add a method, add its name to
:class:`NormalizationSettings` and its offset and scale to :func:`offset_and_scale`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings

MOST_SAMPLES = 4_000_000
TINY = 1e-12


class NormalizationSettings(Settings):
    """How physical values become network input; part of every model card."""

    kind: Literal["fixed", "medium", "zscore", "percentile"] = "fixed"
    """``fixed``: (v - offset) / scale. ``medium``: (v - medium RI) / scale. ``zscore``: mean 0 and standard deviation
    1. ``percentile``: ``low`` becomes 0, ``high`` becomes 1, nothing is clipped. The last two per frame and channel."""
    offset: float = Field(default=0.0, allow_inf_nan=False)
    """``fixed``: what becomes 0, in the image's unit. ``medium``: used where the medium is unknown."""
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """``fixed`` and ``medium``: the difference from the offset that becomes 1, in the image's unit."""
    low: float = Field(default=1.0, ge=0, le=100)
    """``percentile``: the percentile that becomes 0."""
    high: float = Field(default=99.0, ge=0, le=100)
    """``percentile``: the percentile that becomes 1."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> NormalizationSettings:
        if not self.low < self.high:
            raise ValueError("'low' must be below 'high'")
        return self


def normalize(
    image: NDArray[Any], settings: NormalizationSettings, *, medium_ri: float | None = None
) -> NDArray[np.float32]:
    """Physical values as a network sees them: ``(value - offset) / scale``.

    Voxels that are NaN or infinite become exactly 0 (the offset's place) and are left out of every statistic: a
    network never sees them. The pipeline decides beforehand whether such an image is accepted at all.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X) or (C, Y, X), real
        One frame, physical values; each channel is treated alone.
    settings : NormalizationSettings
    medium_ri : float, optional
        Refractive index of the medium; used by ``medium`` only, in place of the settings' offset.

    Returns
    -------
    ndarray, same shape, float32
        Finite everywhere. A constant channel gives zeros with ``zscore`` and ``percentile``.

    Raises
    ------
    SettingsError
        ``E-MEDIUM``: a medium that is no finite number above 0; ``E-AXES``: no channel axis.

    Examples
    --------
    >>> image = np.array([[[1.337, 1.387], [np.nan, 1.362]]])
    >>> normalize(image, NormalizationSettings(kind="medium", scale=0.05), medium_ri=1.337).round(3).tolist()
    [[[0.0, 1.0], [0.0, 0.5]]]
    """
    if image.ndim < 3:
        raise SettingsError("E-AXES", f"an image (C, Z, Y, X) or (C, Y, X) is needed, not {image.ndim} dimensions.")
    result = np.empty(image.shape, dtype=np.float32)
    for channel in range(image.shape[0]):
        offset, scale = offset_and_scale(image[channel], settings, medium_ri=medium_ri)
        for plane, out in zip(image[channel], result[channel], strict=True):
            values = plane.astype(np.float64)
            values[~np.isfinite(values)] = offset
            with np.errstate(over="ignore"):
                out[...] = (values - offset) / scale
            out[~np.isfinite(out)] = 0.0
    return result


def offset_and_scale(
    channel: NDArray[Any], settings: NormalizationSettings, *, medium_ri: float | None = None
) -> tuple[float, float]:
    """The two numbers of ``(value - offset) / scale`` for one channel of one frame.

    Parameters
    ----------
    channel : ndarray (Z, Y, X) or (Y, X), real
    settings : NormalizationSettings
    medium_ri : float, optional

    Returns
    -------
    offset, scale : float
        In the image's unit; the scale is infinite for a constant channel, so that everything becomes 0.

    Raises
    ------
    SettingsError
        ``E-MEDIUM``.

    Notes
    -----
    Percentiles of more than 4 million voxels are those of 4 million evenly spaced ones.
    """
    if settings.kind == "fixed":
        return settings.offset, settings.scale
    if settings.kind == "medium":
        return _medium(settings, medium_ri), settings.scale
    offset, scale = _percentiles(channel, settings) if settings.kind == "percentile" else _moments(channel)
    is_flat = not scale > TINY * max(1.0, abs(offset))
    return offset, math.inf if is_flat else scale


def _medium(settings: NormalizationSettings, medium_ri: float | None) -> float:
    if medium_ri is None:
        return settings.offset
    if not (math.isfinite(medium_ri) and medium_ri > 0):
        raise SettingsError(
            "E-MEDIUM", f"the refractive index of the medium cannot be {medium_ri}.", cure="Give e.g. 1.337."
        )
    return medium_ri


def _moments(channel: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation of the finite voxels, by planes in float64 (two passes: no cancellation)."""
    count, total = 0, 0.0
    for plane in channel:
        values = plane[np.isfinite(plane)]
        count += values.size
        total += float(values.sum(dtype=np.float64))
    if count == 0:
        return 0.0, 0.0
    mean, squares = total / count, 0.0
    for plane in channel:
        values = plane[np.isfinite(plane)].astype(np.float64) - mean
        squares += float(np.dot(values, values))
    return mean, math.sqrt(squares / count)


def _percentiles(channel: NDArray[Any], settings: NormalizationSettings) -> tuple[float, float]:
    step = max(1, math.ceil(channel.size / MOST_SAMPLES))
    while step > 1 and math.gcd(step, channel.shape[-1]) > 1:
        step += 1  # a step that shares no factor with the row's length visits every column
    values = channel.reshape(-1)[::step].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(values, (settings.low, settings.high))
    return float(low), float(high - low)
