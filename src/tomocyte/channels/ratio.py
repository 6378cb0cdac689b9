"""The two images that networks see of a two-channel stain: how much of it there is, and how polar it is there.

Publications differ in which way the ratio goes (the Methods of Zhanghao et al. divide red by yellow, a caption
the other way round); here it is a setting. To add a derived image, add its name to :data:`DERIVED_CHANNELS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte.errors import MetadataError
from tomocyte.settings import Settings

INTENSITY, RATIO = "intensity", "ratio"
DERIVED_CHANNELS = (INTENSITY, RATIO)
"""Names of the derived channels, in order."""
BLOCK_PIXELS = 8
DARK_PERCENT = 1.0
"""Share of the blocks of a channel, the darkest, of which the brightest is its background."""
MOST_BLOCKS = 200_000

Direction = Literal["red/yellow", "yellow/red"]


class RatioSettings(Settings):
    """How yellow and red become intensity and ratio."""

    direction: Direction = "red/yellow"
    """Which channel is divided by which."""
    background: tuple[float, float] | Literal["measured"] = "measured"
    """Background (camera offset) of yellow and of red, subtracted first; ``measured``: the level of the darkest 1 % of
    squares of 8 x 8 pixels of each channel."""
    floor: float | Literal["measured"] = "measured"
    """Intensity above the background below which the ratio tends to its neutral value, which it has where there is no
    light; ``measured``: a multiple of the noise of the background."""
    floor_deviations: float = Field(default=8.0, ge=0, le=100)
    """How many standard deviations of the background's noise a measured floor is."""
    neutral: float = Field(default=1.0, ge=0, le=100)
    """The ratio where there is no light."""
    highest: float = Field(default=4.0, gt=0, le=1000)
    """Ratios above are set to this."""

    @model_validator(mode="after")
    def _has_a_possible_floor(self) -> RatioSettings:
        if self.floor != "measured" and not 0 <= self.floor < 1e6:
            raise ValueError("'floor' is at least 0 and below 1000000, or measured")
        if self.neutral > self.highest:
            raise ValueError("'neutral' is at most 'highest'")
        return self


@dataclass(frozen=True)
class RatioLevels:
    """What was subtracted, and where the ratio stops to be trusted.

    Parameters
    ----------
    yellow, red : float
        Background of the channels, in their unit.
    floor : float
        Intensity above background.
    """

    yellow: float
    red: float
    floor: float


def ratio_levels(yellow: NDArray[Any], red: NDArray[Any], settings: RatioSettings) -> RatioLevels:
    """Background and floor of a pair of channels: as given, else measured.

    Parameters
    ----------
    yellow, red : ndarray (Z, Y, X), real
        NaN are ignored.
    settings : RatioSettings

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``: the channels differ in size.

    Examples
    --------
    >>> channel = np.full((1, 64, 64), 100, np.uint16)
    >>> channel[:, 30:, 30:] = 900
    >>> ratio_levels(channel, channel + 20, RatioSettings())
    RatioLevels(yellow=100.0, red=120.0, floor=0.0)
    """
    _check_shapes(yellow, red)
    (low_yellow, sd_yellow), (low_red, sd_red) = _background(yellow), _background(red)
    if settings.background != "measured":
        low_yellow, low_red = settings.background
    # The mean of two channels of independent noise.
    floor = settings.floor_deviations * 0.5 * float(np.hypot(sd_yellow, sd_red))
    return RatioLevels(low_yellow, low_red, floor if settings.floor == "measured" else settings.floor)


def intensity_and_ratio(
    yellow: NDArray[Any],
    red: NDArray[Any],
    *,
    settings: RatioSettings | None = None,
    levels: RatioLevels | None = None,
) -> NDArray[np.float32]:
    """Intensity, the mean of the channels above their backgrounds, and their ratio.

    Where the intensity I is below the floor f, both channels are filled up so that the ratio tends to neutral, n:
    ``(a + n (f - I)) / (b + f - I)``. Above the floor it is ``a / b``, exactly.

    Parameters
    ----------
    yellow, red : ndarray (Z, Y, X), real, at least 0
        Camera counts of one frame, of the same size and registered. Not changed. NaN give NaN.
    settings : RatioSettings, optional
    levels : RatioLevels, optional
        Background and floor that were found in a larger image, as :func:`ratio_levels` returns them; otherwise those of
        these images.

    Returns
    -------
    ndarray (2, Z, Y, X), float32
        :data:`DERIVED_CHANNELS`: intensity in the channels' unit, at least 0; ratio from 0 to ``settings.highest``.

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``: the channels differ in size.

    References
    ----------
    Zhanghao et al. (2021), https://doi.org/10.1101/2021.12.13.472520.

    Examples
    --------
    >>> yellow, red = np.array([[[100.0, 500.0, 900.0]]]), np.array([[[100.0, 900.0, 500.0]]])
    >>> settings = RatioSettings(background=(100.0, 100.0), floor=10.0)
    >>> intensity_and_ratio(yellow, red, settings=settings)[:, 0, 0].tolist()
    [[0.0, 600.0, 600.0], [1.0, 2.0, 0.5]]
    """
    settings = settings or RatioSettings()
    _check_shapes(yellow, red)
    levels = levels or ratio_levels(yellow, red, settings)
    derived = np.empty((2, *yellow.shape), dtype=np.float32)
    for plane in range(len(yellow)):
        above = [
            np.maximum(channel[plane].astype(np.float32) - np.float32(level), np.float32(0))
            for channel, level in ((yellow, levels.yellow), (red, levels.red))
        ]
        top, bottom = above if settings.direction == "yellow/red" else above[::-1]
        intensity = np.multiply(top + bottom, np.float32(0.5), out=derived[0, plane])
        lacking = np.maximum(np.float32(levels.floor) - intensity, np.float32(0))
        top = top + np.float32(settings.neutral) * lacking
        bottom = bottom + lacking
        is_dark = (bottom <= 0) & (top <= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.divide(top, bottom, out=derived[1, plane])
        ratio[is_dark] = settings.neutral
        np.minimum(ratio, np.float32(settings.highest), out=ratio)
    return derived


def _check_shapes(yellow: NDArray[Any], red: NDArray[Any]) -> None:
    if yellow.shape != red.shape or yellow.ndim != 3:
        raise MetadataError(
            "E-CHANNEL-SHAPE",
            f"channels of {_size(yellow)} and of {_size(red)} voxels do not lie on each other.",
            cure="Give channels (Z, Y, X) of the same size, as one camera or two equal ones record them.",
        )


def _size(channel: NDArray[Any]) -> str:
    return " x ".join(map(str, channel.shape)) or "no"


def _background(channel: NDArray[Any]) -> tuple[float, float]:
    """Level and standard deviation of the darkest squares of a channel (Z, Y, X)."""
    size = BLOCK_PIXELS if min(channel.shape[1:]) >= BLOCK_PIXELS else 1
    n_planes, height, width = channel.shape[0], channel.shape[1] // size, channel.shape[2] // size
    step = max(1, n_planes * height * width // MOST_BLOCKS)
    planes = np.asarray(channel[::step, : height * size, : width * size], dtype=np.float64)
    blocks = planes.reshape(len(planes), height, size, width, size).transpose(0, 1, 3, 2, 4).reshape(-1, size * size)
    blocks = blocks[np.isfinite(blocks).all(axis=1)]
    if not len(blocks):
        return 0.0, 0.0
    means = blocks.mean(axis=1)
    level = float(np.percentile(means, DARK_PERCENT))
    return level, float(np.median(blocks[means <= level].std(axis=1)))
