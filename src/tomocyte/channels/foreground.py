"""What a stain shows in focus, by thresholds: the classical alternatives to a network trained for it (FG-net).

Each method is made for stacks: a threshold is that of the whole stack, so that planes without the structure stay empty.
To add a method, add a branch to :func:`stain_foreground` and its numbers to :class:`ForegroundMethod`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings

MAD_TO_SD = 1.4826
"""Standard deviation of normally distributed values over the median of their absolute deviations."""


class ForegroundMethod(Settings):
    """Which threshold, and its numbers."""

    method: Literal["otsu", "adaptive", "top-hat"] = "otsu"
    """``otsu``: one threshold for the stack. ``adaptive``: brighter than its surroundings. ``top-hat``: what is left of
    each plane after an opening, then Otsu's threshold."""
    factor: float = Field(default=1.0, gt=0, le=20)
    """``otsu``, ``top-hat``: the threshold is Otsu's times this."""
    size_um: float = Field(default=1.0, gt=0, le=50)
    """``adaptive``: sigma of the surroundings; ``top-hat``: side of the square by which planes are opened; in µm."""
    n_deviations: float = Field(default=3.0, ge=0, le=50)
    """``adaptive``: how much brighter, in standard deviations of the noise."""
    smoothing_um: float = Field(default=0.05, ge=0, le=5)
    """Sigma of the Gaussian in y and x before everything else, in µm."""


def stain_foreground(
    image: NDArray[Any], pixel_size_um: tuple[float, float], settings: ForegroundMethod | None = None
) -> NDArray[np.bool_]:
    """The mask of what is in focus in a stack of a stain.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, finite
        One channel.
    pixel_size_um : tuple of 2 float
        y, x in µm.
    settings : ForegroundMethod, optional

    Returns
    -------
    ndarray (Z, Y, X), bool
        Empty where the image is constant.

    Raises
    ------
    SettingsError
        ``E-AXES``: not a stack; ``E-NAN``.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> stack = np.zeros((1, 9, 9))
    >>> stack[0, 3:6, 3:6] = 100
    >>> int(stain_foreground(stack, (0.1, 0.1), ForegroundMethod(smoothing_um=0)).sum())
    9
    """
    from scipy import ndimage

    if image.ndim != 3:
        raise SettingsError("E-AXES", f"a stack (Z, Y, X) is needed, not {image.ndim} dimensions.")
    if not np.isfinite(image).all():
        raise SettingsError("E-NAN", "the stain has voxels that are NaN or infinite.", cure="Replace them first.")
    options = settings or ForegroundMethod()
    y, x = pixel_size_um
    smooth = ndimage.gaussian_filter(
        image.astype(np.float32), (0, options.smoothing_um / y, options.smoothing_um / x), mode="nearest"
    )
    if options.method == "adaptive":
        around = ndimage.gaussian_filter(smooth, (0, options.size_um / y, options.size_um / x), mode="nearest")
        excess = smooth - around
        noise = MAD_TO_SD * float(np.median(np.abs(excess - np.median(excess))))
        return np.asarray((excess > options.n_deviations * noise) & (excess > 0))
    if options.method == "top-hat":
        sides = (1, max(1, round(options.size_um / y)), max(1, round(options.size_um / x)))
        smooth = ndimage.white_tophat(smooth, size=sides, mode="nearest")
    return _above_otsu(smooth, options.factor)


def _above_otsu(image: NDArray[np.float32], factor: float) -> NDArray[np.bool_]:
    from skimage.filters import threshold_otsu

    low = float(image.min())
    if low == float(image.max()):
        return np.zeros(image.shape, bool)
    return np.asarray(image - low > factor * (float(threshold_otsu(image)) - low))
