"""Light of one dye taken out of the channel of another: green of a probe without what Nile Red emits there.

To subtract more than one dye, call :func:`unmixed` once for each.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.channels.ratio import RatioSettings, ratio_levels
from tomocyte.settings import Settings


class UnmixingSettings(Settings):
    """How much of one channel is in another."""

    share: float | Literal["fitted"] = Field(default=0.2, union_mode="left_to_right")
    """Light of the dye in the probe's channel over that in its own, above both backgrounds; Zhanghao et al. take 0.2 of
    yellow. ``fitted``: the median of that share where the dye is bright, right where the probe covers less than half of
    what the dye shows."""
    brightest_percent: float = Field(default=10.0, gt=0, le=100)
    """``fitted``: percentage of the voxels, the brightest of the dye, in which the share is measured."""


def unmixed(
    probe: NDArray[Any],
    dye: NDArray[Any],
    settings: UnmixingSettings | None = None,
    *,
    removed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], float]:
    """The probe's channel without the dye's light and without its own background.

    Parameters
    ----------
    probe, dye : ndarray (Z, Y, X), real
        Camera counts of one frame, of the same size and registered.
    settings : UnmixingSettings, optional
    removed : ndarray (Z, Y, X), bool, optional
        Voxels that are set to 0: lipid droplets, in which Nile Red shines in green too.

    Returns
    -------
    tuple of ndarray (Z, Y, X), float32, at least 0, and float
        Light of the probe in its channel's unit, and the share that was subtracted.

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``: the channels differ in size.

    References
    ----------
    Zhanghao et al. 2021, Methods, doi:10.1101/2021.12.13.472520.

    Examples
    --------
    >>> dye = np.zeros((1, 64, 64))
    >>> dye[0, 20:40, 20:40] = 100
    >>> probe = 0.2 * dye
    >>> probe[0, 20:25, 20:25] += 30
    >>> light, share = unmixed(probe, dye)
    >>> float(light.max()), float(light[0, 30, 30]), share
    (30.0, 0.0, 0.2)
    """
    options = settings or UnmixingSettings()
    levels = ratio_levels(dye, probe, RatioSettings())  # its two names stand for any two channels
    of_dye = np.maximum(np.asarray(dye, np.float32) - np.float32(levels.yellow), 0)
    of_probe = np.asarray(probe, np.float32) - np.float32(levels.red)
    share = _fitted_share(of_probe, of_dye, options) if options.share == "fitted" else options.share
    light = np.maximum(of_probe - np.float32(share) * of_dye, 0)
    if removed is not None:
        light[removed] = 0
    return light, share


def _fitted_share(probe: NDArray[np.float32], dye: NDArray[np.float32], options: UnmixingSettings) -> float:
    bright = dye >= np.percentile(dye, 100 - options.brightest_percent)
    bright &= dye > 0
    return max(0.0, float(np.median(probe[bright] / dye[bright]))) if bright.any() else 0.0
