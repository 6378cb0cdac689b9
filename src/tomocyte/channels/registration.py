"""One channel registered on another: shift, rotation and magnification from the images themselves, or from beads.

First the whole, then the quarters of the field are correlated (:mod:`correlation`), then all is refined on the voxels
with the steepest gradients (:mod:`refinement`), and what remains locally may be found too (:mod:`local_warp`). Channels
that have no structure in common are reported, and left where they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.channels.correlation import CLEAR, phase_shift, quarter_motion
from tomocyte.channels.local_warp import local_warp
from tomocyte.channels.refinement import FINE_PX, Comparison, Fit, local_contrast
from tomocyte.channels.transform import ChannelTransform, check_same_size
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

Image = NDArray[np.float32]
COARSE_PX = 2.0
ELSEWHERE_PX = (-43, -29, 17, 31)
NO_LENS = "more than two channels of one instrument differ by"
LIKE_NOWHERE_ELSE = 0.4
"""A correlation above all those elsewhere by as much is certain too: of few large objects, those differ widely."""
COARSE_POINTS, FINE_POINTS = 60_000, 200_000
COARSE_SETTLED = 0.02


class RegistrationSettings(Settings):
    """How a channel is registered."""

    max_shift_um: float = Field(default=8.0, gt=0, le=1000)
    """A larger shift is taken for none."""
    max_magnification: float = Field(default=0.05, ge=0, le=0.5)
    """With a larger difference of magnification, only a shift is sought."""
    max_rotation_deg: float = Field(default=10.0, ge=0, le=90)
    """With a larger rotation, only a shift is sought."""
    min_contrast: float = Field(default=8.0, ge=0, le=1000)
    """By how many standard deviations of the correlation at places where the channels cannot lie on each other the
    correlation must be above its mean there."""
    has_z_magnification: bool = False
    """Whether the magnification along z is fitted too: the stage moves the same for all channels, so usually not."""
    has_local_warp: bool = False
    """Whether what remains after shift, rotation and magnification is found locally too."""


@dataclass(frozen=True)
class Registration:
    """What was found.

    Parameters
    ----------
    transform : ChannelTransform
        That of nothing where the channels have no structure in common.
    is_certain : bool
        Whether the channels have structure in common.
    correlation : float
        Of their local contrasts where the reference is steep, -1 to 1, once registered.
    correlation_before : float
        As they came.
    contrast : float
        How many standard deviations the correlation is above that at other places.
    uncertainty_voxels : tuple of 3 float
        How far halves of the image disagree along z, y, x anywhere in the field, divided by two.
    problem : str
        Why it is not certain; empty otherwise.
    """

    transform: ChannelTransform
    is_certain: bool
    correlation: float
    correlation_before: float
    contrast: float
    uncertainty_voxels: tuple[float, float, float]
    problem: str = ""


def register_channels(
    reference: NDArray[Any],
    moving: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: RegistrationSettings | None = None,
) -> Registration:
    """Where a channel lies on another.

    Parameters
    ----------
    reference, moving : ndarray (Z, Y, X), real
        Two channels of one field, of the same size. NaN count as dark.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    settings : RegistrationSettings, optional

    Returns
    -------
    Registration

    Raises
    ------
    MetadataError
        ``E-CHANNEL-SHAPE``: the channels differ in size.

    References
    ----------
    Quadrisection as in Matsuda et al. (2018), doi:10.1038/s41598-018-25922-7; a correlation with free gain and offset
    is maximised as in Evangelidis and Psarakis (2008), doi:10.1109/TPAMI.2008.113.
    """
    settings = settings or RegistrationSettings()
    check_same_size(reference, moving)
    size = np.array([1.0 if math.isnan(part) else part for part in voxel_size_um])
    images = [_filled(channel) for channel in (reference, moving)]
    if min(reference.shape[1:]) < 32 or any(float(np.ptp(image)) == 0 for image in images):
        return _none("a channel is constant or smaller than 32 x 32 pixels", 0.0, 0.0)
    judged = _found(images, size, settings, is_shift_only=False)
    if judged.problem.endswith(NO_LENS):
        judged = _found(images, size, settings, is_shift_only=True)
    if judged.is_certain and settings.has_local_warp:
        warped = local_warp(images[0], images[1], judged.transform, voxel_size_um)
        judged = replace(judged, transform=warped)
    return judged


def _found(
    images: list[Image], size: NDArray[np.float64], settings: RegistrationSettings, *, is_shift_only: bool
) -> Registration:
    """From the whole to the exact; once more from where the channels lie now if that leads nowhere."""
    free = {"has_z_magnification": settings.has_z_magnification, "is_shift_only": is_shift_only}
    coarse = [local_contrast(image, COARSE_PX) for image in images]
    rough = Comparison(coarse[0], coarse[1], size, most_points=COARSE_POINTS, **free)
    fine = [local_contrast(image, FINE_PX) for image in images]
    exact = Comparison(fine[0], fine[1], size, most_points=FINE_POINTS, **free)
    start = _start(coarse[0], coarse[1], size)
    if is_shift_only:
        start = ChannelTransform(translation_um=start.translation_um)
    fit = exact.fit(rough.fit(start, settled_voxels=COARSE_SETTLED).transform)
    judged = _judged(fit, exact, settings)
    if not judged.is_certain:
        other = exact.fit(rough.fit(ChannelTransform(), settled_voxels=COARSE_SETTLED).transform)
        again = _judged(other, exact, settings)
        judged = again if again.contrast > judged.contrast else judged
    return judged


def _judged(fit: Fit, exact: Comparison, settings: RegistrationSettings) -> Registration:
    """Whether the channels are more alike there than where they cannot lie on each other."""
    before = exact.correlation(ChannelTransform())
    elsewhere = [exact.correlation(fit.transform, (dy, dx)) for dy in ELSEWHERE_PX for dx in ELSEWHERE_PX]
    contrast = (fit.correlation - float(np.mean(elsewhere))) / max(float(np.std(elsewhere)), 1e-3)
    shift = float(np.abs(fit.transform.translation_um[1:]).max())
    is_common = contrast >= settings.min_contrast or fit.correlation - max(elsewhere) >= LIKE_NOWHERE_ELSE
    if not is_common:
        return _none("the channels have no structure in common", before, contrast)
    strain = max(abs(one - 1) for one in fit.transform.magnification)
    if strain > settings.max_magnification or abs(fit.transform.rotation_deg) > settings.max_rotation_deg:
        return _none(f"{strain:.1%} and {fit.transform.rotation_deg:.1f} deg are {NO_LENS}", before, contrast)
    if shift > settings.max_shift_um:
        return _none(f"the shift, {shift:.3g} um, is above {settings.max_shift_um:g} um", before, contrast)
    return Registration(fit.transform, True, fit.correlation, before, contrast, exact.uncertainty(fit))


def _none(problem: str, before: float, contrast: float) -> Registration:
    unknown = (math.nan, math.nan, math.nan)
    return Registration(ChannelTransform(), False, before, before, contrast, unknown, problem)


def _filled(channel: NDArray[Any]) -> Image:
    image = np.asarray(channel, dtype=np.float32)
    is_finite = np.isfinite(image)
    if is_finite.all():
        return image
    low = float(np.min(image, where=is_finite, initial=np.inf))
    return np.where(is_finite, image, np.float32(low if math.isfinite(low) else 0.0))


def _start(reference: Image, moving: Image, size: NDArray[np.float64]) -> ChannelTransform:
    """Shift of the whole, then rotation and magnification by the quarters, in projections; then the shift along z."""
    flat = [image.max(axis=0) for image in (reference, moving)]
    shift, clarity = phase_shift(flat[0], flat[1])
    whole = (round(shift[0]), round(shift[1])) if clarity >= CLEAR else (0, 0)
    near = np.roll(flat[1], (-whole[0], -whole[1]), (0, 1))
    quarters = quarter_motion(flat[0], near)
    (dy, dx), angle, magnification = quarters or ((0.0, 0.0), 0.0, (1.0, 1.0))
    if quarters is None and clarity >= CLEAR:
        dy, dx = shift[0] - whole[0], shift[1] - whole[1]
    dz = 0.0
    if len(reference) > 1:
        dz = _depth_shift(reference, np.roll(moving, (-whole[0], -whole[1]), (1, 2)))
    return ChannelTransform(
        translation_um=(dz * size[0], (whole[0] + dy) * size[1], (whole[1] + dx) * size[2]),
        rotation_deg=math.degrees(angle),
        magnification=(1.0, float(np.clip(magnification[0], 0.9, 1.1)), float(np.clip(magnification[1], 0.9, 1.1))),
    )


def _depth_shift(reference: Image, moving: Image) -> float:
    """By how many whole planes the moving channel is best shifted along z."""
    first, second = (image.reshape(len(image), -1) for image in (reference, moving))
    most = min(6, len(reference) - 1)
    scores = {}
    for shift in range(-most, most + 1):
        own = first[max(0, -shift) : len(first) - max(0, shift)]
        other = second[max(0, shift) : len(second) + min(0, shift)]
        power = float(np.sqrt(np.mean(own**2) * np.mean(other**2)))
        scores[shift] = float(np.mean(own * other)) / max(power, 1e-12)
    return float(max(scores, key=lambda shift: scores[shift]))
