"""Shift, rotation and magnification of two images from phase correlation of their quarters.

Two images are cut into four about their centre; the shifts of the quarters give the shift of the whole (their mean),
the magnification (they move apart) and the rotation (they move around).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
LOW_PASS = 0.25
"""Cycles per pixel at which the weight of a frequency has fallen to exp(-1/2)."""
SMALLEST_PX = 16
CLEAR = 6.0
"""Standard deviations from which on a peak of the correlation is no accident."""


def phase_shift(reference: NDArray[np.floating], moving: NDArray[np.floating]) -> tuple[tuple[float, ...], float]:
    """By how much ``moving`` is shifted against ``reference``, and how clear that is.

    Parameters
    ----------
    reference, moving : ndarray of any number of axes, float
        Of one size, about zero mean.

    Returns
    -------
    shift : tuple of float
        Voxels per axis; what lies at i in the reference lies at i + shift in the moving image.
    clarity : float
        Height of the peak above the mean of the correlation, in its standard deviations.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(64, 48))
    >>> shift, clarity = phase_shift(image, np.roll(image, (3, -5), (0, 1)))
    >>> [round(part, 1) for part in shift], clarity > 10
    ([3.0, -5.0], True)
    """
    shape = reference.shape
    window = np.ones((1,) * len(shape))
    for axis, n in enumerate(shape):
        along = np.hanning(n + 2)[1:-1] if n > 2 * SMALLEST_PX else np.ones(n)
        window = window * along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    first, second = (np.fft.rfftn((image - image.mean()) * window) for image in (reference, moving))
    cross = second * np.conj(first)
    cross /= np.abs(cross) + 1e-12 * float(np.abs(cross).max(initial=0.0)) + 1e-30
    frequency = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    squared = sum(
        part.reshape([-1 if other == axis else 1 for other in range(len(shape))]) ** 2
        for axis, part in enumerate(frequency)
    )
    surface = np.fft.irfftn(cross * np.exp(-0.5 * squared / LOW_PASS**2), s=shape, axes=range(len(shape)))
    top = np.unravel_index(int(np.argmax(surface)), shape)
    clarity = float((surface[top] - surface.mean()) / max(float(surface.std()), 1e-30))
    shift = []
    for axis, n in enumerate(shape):
        line = surface[tuple(slice(None) if other == axis else top[other] for other in range(len(shape)))]
        shift.append(_between(line, int(top[axis]), n))
    return tuple(shift), clarity


def _between(line: NDArray[np.floating], top: int, n: int) -> float:
    """The place of a maximum between samples, by the Gaussian through three of them; shifts above half are negative."""
    whole = top - n if top > n // 2 else top
    if n < 3:
        return float(whole)
    low, middle, high = (max(float(line[(top + step) % n]), 1e-30) for step in (-1, 0, 1))
    if min(low, high) <= 1e-20:
        return float(whole)
    left, centre, right = math.log(low), math.log(middle), math.log(high)
    bend = left - 2 * centre + right
    return float(whole) if bend >= 0 else whole + float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))


def quarter_motion(reference: Image, moving: Image) -> tuple[tuple[float, float], float, tuple[float, float]] | None:
    """Shift (y, x) in pixels, rotation in radians (positive from x towards y) and magnification (y, x) of two images.

    Parameters
    ----------
    reference, moving : ndarray (Y, X), float32
        Of one size, at least 32 x 32, already about in register.

    Returns
    -------
    tuple or None
        ``None`` where a quarter shows no clear shift.

    References
    ----------
    The quadrisection of Matsuda et al. (2018), Sci. Rep. 8, 7583, doi:10.1038/s41598-018-25922-7.
    """
    height, width = reference.shape
    if min(height, width) < 2 * SMALLEST_PX:
        return None
    rows, columns = (
        (slice(0, height // 2), slice(height - height // 2, height)),
        (
            slice(0, width // 2),
            slice(width - width // 2, width),
        ),
    )
    shifts = np.zeros((2, 2, 2))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            shift, clarity = phase_shift(reference[row, column], moving[row, column])
            if clarity < CLEAR or max(map(abs, shift)) > min(height, width) / 8:
                return None
            shifts[:, i, j] = shift
    # From the centre of the field to the centres of the quarters.
    half_y, half_x = (height - height // 2) / 2, (width - width // 2) / 2
    apart_y = (shifts[0, 1].mean() - shifts[0, 0].mean()) / 2
    apart_x = (shifts[1, :, 1].mean() - shifts[1, :, 0].mean()) / 2
    around_y = (shifts[0, :, 1].mean() - shifts[0, :, 0].mean()) / 2 / half_x
    around_x = -(shifts[1, 1].mean() - shifts[1, 0].mean()) / 2 / half_y
    mean = shifts.mean(axis=(1, 2))
    return (
        (float(mean[0]), float(mean[1])),
        float((around_y + around_x) / 2),
        (float(1 + apart_y / half_y), float(1 + apart_x / half_x)),
    )
