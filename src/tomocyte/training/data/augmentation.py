"""Augmentation: which samples are changed, and a sample changed at random by the settings given.

Geometry moves image and targets together (``geometry``), intensity changes the image alone (``intensity``).
To add a preset, add a function that returns settings and name it in ``PRESETS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import InputError
from tomocyte.settings import Settings
from tomocyte.training.data.geometry import GeometrySettings, draw_map, resample
from tomocyte.training.data.intensity import IntensitySettings, change_intensity


class AugmentationSettings(Settings):
    """How many samples are changed, and how; the defaults change nothing."""

    sampling: Literal["as-published", "each-epoch", "in-place"] = "in-place"
    """``as-published``: every sample as it is, and a share of them once more, changed; which ones is drawn once.
    ``each-epoch``: the same, drawn again in each epoch. ``in-place``: every sample once, a share of them changed."""
    share: float = Field(default=0.0, ge=0, le=1)
    """Share of the samples that are changed."""
    geometry: GeometrySettings = GeometrySettings()
    """Where pixels come from."""
    intensity: IntensitySettings = IntensitySettings()
    """What happens to values."""


def none() -> AugmentationSettings:
    """Every sample as it is."""
    return AugmentationSettings()


def osnet_published() -> AugmentationSettings:
    """As OS-Net was trained: enlarged crop, flip and elastic deformation, all three, on 30 % drawn once.

    One difference: the authors resampled masks with cubic splines, which over- and undershoot at the edges; here masks
    take their nearest neighbour and stay masks. Crop and deformation are one interpolation (cubic, as their crop)
    instead of two.

    References
    ----------
    .. [1] J. Lee et al., Deep-learning-based label-free segmentation of cell nuclei in time-lapse refractive index
       tomograms, IEEE Access 7 (2019) 83449, doi:10.1109/ACCESS.2019.2924255
    """
    return AugmentationSettings(
        sampling="as-published",
        share=0.3,
        geometry=GeometrySettings(
            enlargements=(1.2, 1.3, 1.4),
            flip_axes=("y", "x"),
            flip="never-identity",
            elastic_pairs=((1, 1), (5, 2), (1, 0.5), (1, 3)),
            image_order=3,
        ),
    )


def strong_2d() -> AugmentationSettings:
    """For few annotated sections: any rotation, scale and smooth deformation; varied contrast, fringes, noise."""
    return AugmentationSettings(
        sampling="in-place",
        share=0.9,
        geometry=GeometrySettings(
            probability=0.6,
            flip_axes=("y", "x"),
            is_turned_by_90=True,
            rotation_deg=180.0,
            scale=(0.8, 1.25),
            elastic_px=(1.0, 6.0),
            elastic_spacing_px=48.0,
        ),
        intensity=IntensitySettings(
            probability=0.4,
            gamma=(0.7, 1.4),
            scale=0.25,
            shift=0.25,
            background=0.3,
            fringes=0.15,
            blur_px=(0.3, 1.5),
            noise=(0.02, 0.2),
        ),
    )


def strong_3d() -> AugmentationSettings:
    """For tomograms whose absolute values count: rotation about z, scale, noise, fringes and blur; contrast by a tenth.

    Made for values normalised as Δn / 0.02: noise up to 0.002, fringes and background up to 0.001 in RI.
    """
    return AugmentationSettings(
        sampling="in-place",
        share=0.85,
        geometry=GeometrySettings(
            probability=0.6,
            flip_axes=("z", "y", "x"),
            is_turned_by_90=True,
            rotation_deg=45.0,
            scale=(0.8, 1.25),
            scale_z=(0.85, 1.2),
            anisotropy=2.0,
        ),
        intensity=IntensitySettings(
            probability=0.35,
            scale=0.1,
            shift=0.04,
            background=0.05,
            fringes=0.05,
            blur_px=(0.3, 1.3),
            noise=(0.01, 0.1),
            anisotropy=2.0,
        ),
    )


def choi_published() -> AugmentationSettings:
    """As Choi et al. print it: flips, rotation, rescaling by 0.5 to 2; random cropping is how patches are drawn.

    How often is not printed: here every sample, each transform with a chance of one half. The axis of rotation is not
    printed: here z, the optical axis. A patch rescaled by less than one is continued by its mirror image.

    References
    ----------
    .. [1] Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351, Online Methods
    """
    return AugmentationSettings(
        sampling="in-place",
        share=1.0,
        geometry=GeometrySettings(
            probability=0.5,
            flip_axes=("z", "y", "x"),
            rotation_deg=180.0,
            scale=(0.5, 2.0),
            is_scaled_evenly=True,
        ),
    )


PRESETS: dict[str, Callable[[], AugmentationSettings]] = {
    "none": none,
    "osnet-published": osnet_published,
    "strong-2d": strong_2d,
    "strong-3d": strong_3d,
    "choi-published": choi_published,
}
"""Settings by the name that a recipe may use."""


def augmented_order(n_items: int, settings: AugmentationSettings, *, seed: int, epoch: int) -> list[tuple[int, bool]]:
    """Which samples an epoch sees, and which of them are changed; not shuffled.

    Parameters
    ----------
    n_items : int
        Number of samples.
    settings : AugmentationSettings
    seed : int
        Seed of the training; with the epoch it decides the answer.
    epoch : int
        Number of the epoch, from 0; ``as-published`` does not depend on it.

    Returns
    -------
    list of (int, bool)
        Index of a sample and whether it is changed. With ``as-published`` and ``each-epoch`` n_items plain entries and
        then ⌊share × n_items⌋ changed ones, each sample at most once; with ``in-place`` n_items entries.

    Examples
    --------
    >>> order = augmented_order(10, osnet_published(), seed=1, epoch=0)
    >>> len(order), sum(is_changed for _, is_changed in order)
    (13, 3)
    """
    rng = np.random.default_rng((seed, 0 if settings.sampling == "as-published" else epoch, 0x0A6))
    if settings.sampling == "in-place":
        return [(i, bool(changed)) for i, changed in enumerate(rng.random(n_items) < settings.share)]
    n_extra = int(np.floor(settings.share * n_items + 1e-9))
    extra = rng.permutation(n_items)[:n_extra]
    return [(i, False) for i in range(n_items)] + [(int(i), True) for i in extra]


def augment(
    image: NDArray[np.float32],
    targets: NDArray[np.generic],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """One sample, changed at random.

    Parameters
    ----------
    image : ndarray
        (C, Y, X) or (C, Z, Y, X) float32, normalised, finite.
    targets : ndarray
        (K, Y, X) or (K, Z, Y, X) of any type; 255 means "not labelled" and stays 255.
    settings : AugmentationSettings
        ``geometry`` and ``intensity``; ``share`` and ``sampling`` belong to ``augmented_order``.
    rng : numpy.random.Generator
        The same state gives the same sample.

    Returns
    -------
    tuple of ndarray
        Image and targets, new arrays of the same shapes and types.

    Raises
    ------
    InputError
        ``E-AUGMENT-SHAPE``: not 2-D or 3-D with channels, or image and targets of different size.

    Examples
    --------
    >>> image, targets = np.ones((1, 8, 6), np.float32), np.zeros((2, 8, 6), np.uint8)
    >>> changed, moved = augment(image, targets, osnet_published(), np.random.default_rng(0))
    >>> changed.shape, moved.shape
    ((1, 8, 6), (2, 8, 6))
    """
    if image.ndim not in (3, 4) or image.shape[1:] != targets.shape[1:] or image.dtype != np.float32:
        raise InputError(
            "E-AUGMENT-SHAPE",
            f"image {image.shape} {image.dtype}, targets {targets.shape}.",
            cure="Give a float32 image (C, Y, X) or (C, Z, Y, X) and targets of the same size.",
        )
    coordinates = draw_map(image.shape[1:], settings.geometry, rng)
    image, targets = resample(image, targets, coordinates, image_order=settings.geometry.image_order)
    return change_intensity(image, settings.intensity, rng), targets
