"""Does a model fit a volume? Asked before anything is computed, and answered with what is wrong and what would fit.

A further question is a function that returns a :class:`Mismatch` or nothing, added to :func:`check_fit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import ModalityError
from tomocyte.volume import Volume

if TYPE_CHECKING:
    from tomocyte.models.card import ModelCard

MOST_SAMPLES = 1_000_000
MOST_PLANES = 16
LARGEST_STRETCH = 1.3
"""How far the ratio of two sides of a pixel may be from the model's: above, an axis is swapped or not what it says."""
ROUNDING = 1e-3
UNSAID = (None, "intensity")
"""Quantities with which a file does not say what a voxel value means; then the values decide."""


@dataclass(frozen=True)
class Mismatch:
    """One reason why a model does not fit: a code's last part, what is wrong, how to cure it."""

    code: str
    problem: str
    cure: str


def check_fit(
    card: ModelCard,
    volume: Volume,
    *,
    image: NDArray[Any] | None = None,
    frame: int = 0,
    channels: Sequence[int] | None = None,
    is_forced: bool = False,
) -> tuple[str, ...]:
    """Refuse a volume that a model was not made for.

    Parameters
    ----------
    card : ModelCard
    volume : Volume
    image : ndarray (C, Z, Y, X), optional
        The frame's voxels in the volume's unit where they are in memory already; else up to 16 planes are read.
    frame : int
        Whose values are looked at.
    channels : sequence of int, optional
        Which of the volume's channels the model is to see, in the order of the card's; default: all.
    is_forced : bool
        Whether to go on all the same.

    Returns
    -------
    tuple of str
        Empty when all fits; when forced, one note ``W-MODEL-FIT-…: …`` per mismatch, to be recorded in every output.

    Raises
    ------
    ModalityError
        ``E-MODEL-FIT-QUANTITY``, ``-CHANNELS``, ``-DIMENSIONS``, ``-VOXEL-SIZE`` or ``-VALUES``: the first mismatch
        gives the code, the message names all.
    MetadataError
        ``E-VOXEL-SIZE``: the voxel size is unknown; this cannot be forced.
    """
    indices = tuple(range(volume.n_channels)) if channels is None else tuple(channels)
    size = volume.require_voxel_size()
    mismatches = [
        *_quantity(card, volume),
        *_channels(card, volume, indices),
        *_dimensions(card, volume),
        *_voxel_size(card, size),
        *([] if _takes_any_scale(card, volume) else _values(card, _sample(volume, image, frame, indices), indices)),
    ]
    if is_forced:
        return tuple(f"W-MODEL-FIT-{entry.code}: {card.name} {card.version}: {entry.problem}" for entry in mismatches)
    if mismatches:
        problem = f"{card.name} does not fit: " + " ".join(entry.problem for entry in mismatches)
        cure = (
            " ".join(entry.cure for entry in mismatches)
            + " Or continue with --force; this is recorded in every output."
        )
        raise ModalityError(f"E-MODEL-FIT-{mismatches[0].code}", problem, path=volume.path, cure=cure)
    return ()


def _quantity(card: ModelCard, volume: Volume) -> Iterator[Mismatch]:
    if volume.quantity not in (*UNSAID, card.quantity):
        yield Mismatch(
            "QUANTITY",
            f"the values are {volume.quantity}, the model was trained on {card.quantity}.",
            f"Choose a model for {volume.quantity} (`tomocyte models list`).",
        )


def _channels(card: ModelCard, volume: Volume, indices: tuple[int, ...]) -> Iterator[Mismatch]:
    is_inside = all(0 <= channel < volume.n_channels for channel in indices)
    if len(indices) != len(card.channels) or not is_inside:
        yield Mismatch(
            "CHANNELS",
            f"the model needs {len(card.channels)} channels ({', '.join(card.channels)}), not {list(indices)} of "
            f"{volume.n_channels}.",
            "Choose the channel with --channel.",
        )


def _dimensions(card: ModelCard, volume: Volume) -> Iterator[Mismatch]:
    if card.dimensions == 3 and volume.is_2d:
        yield Mismatch("DIMENSIONS", "the image has one plane, the model needs a volume.", "Choose a 2-D model.")
    elif card.dimensions == 2 and not volume.is_2d and card.section_axis is None:
        yield Mismatch(
            "DIMENSIONS",
            f"the volume has {volume.shape[2]} planes, the model is for planar images.",
            "Choose a model for volumes, or give a projection.",
        )
    elif card.section_axis in ("y", "x") and volume.is_2d:
        problem = f"the image has one plane, the model needs sections along {card.section_axis}."
        yield Mismatch("DIMENSIONS", problem, "Choose a model for planar images.")


def _voxel_size(card: ModelCard, size: tuple[float, float, float]) -> Iterator[Mismatch]:
    low, high = card.voxel_size_range
    for axis, size_um, wanted_um in zip("zyx", size, card.voxel_size_um, strict=True):
        # A single plane has no thickness to compare.
        if wanted_um is None or (axis == "z" and math.isnan(size_um) and card.dimensions == 2):
            continue
        if not low * wanted_um * (1 - ROUNDING) <= size_um <= high * wanted_um * (1 + ROUNDING):
            yield Mismatch(
                "VOXEL-SIZE",
                f"voxel size {axis} is {size_um:g} um, the model is for {low * wanted_um:g} to "
                f"{high * wanted_um:g} um.",
                "Correct the voxel size if it is wrong, or bin or resample the volume.",
            )
    stretch = (size[1] / size[2]) / (card.voxel_size_um[1] / card.voxel_size_um[2])
    if not 1 / LARGEST_STRETCH <= stretch <= LARGEST_STRETCH:
        yield Mismatch(
            "VOXEL-SIZE",
            f"pixels of {size[1]:g} x {size[2]:g} um (y, x) have a different shape from the model's "
            f"{card.voxel_size_um[1]:g} x {card.voxel_size_um[2]:g} um.",
            "Two axes may be swapped: correct their order if it is wrong.",
        )


def _takes_any_scale(card: ModelCard, volume: Volume) -> bool:
    """Whether values may have any scale: grey values are a quantity of the modality, and the model scales each image.

    So are the grey values of soft X-ray tomograms; they say nothing about a model that was trained on 1/µm.
    """
    from tomocyte.modalities import modalities

    kind = modalities().get(card.modality)
    is_grey = volume.quantity == "intensity" and kind is not None and "intensity" in kind.alternatives
    return is_grey and card.normalization.kind in ("zscore", "percentile")


def _values(card: ModelCard, samples: list[NDArray[np.float64]], indices: tuple[int, ...]) -> Iterator[Mismatch]:
    low, high = card.value_range
    for channel, values in zip(indices, samples, strict=False):
        finite = values[np.isfinite(values)]
        bottom, top = np.percentile(finite, (1.0, 99.0)) if finite.size else (math.nan, math.nan)
        if not (low <= bottom and top <= high):
            yield Mismatch(
                "VALUES",
                f"values of channel {channel} go from {bottom:.6g} to {top:.6g}, the model was trained for "
                f"{low:g} to {high:g} ({card.quantity}).",
                "Check what a voxel value means and its unit (RI x 10000 must be divided by 10000; 8-bit values are an "
                "image, not RI).",
            )


def _sample(
    volume: Volume, image: NDArray[Any] | None, frame: int, indices: tuple[int, ...]
) -> list[NDArray[np.float64]]:
    """Up to a million evenly spaced voxels of each indices channel."""
    n_planes = volume.shape[2]
    picked = sorted({round(z) for z in np.linspace(0, n_planes - 1, min(n_planes, MOST_PLANES))})
    step = max(1, math.ceil(len(picked) * volume.shape[3] * volume.shape[4] / MOST_SAMPLES))
    while step > 1 and math.gcd(step, volume.shape[4]) > 1:
        step += 1  # a step that shares no factor with the row's length visits every column
    samples = []
    for channel in indices:
        if not 0 <= channel < volume.n_channels:
            continue
        planes = (
            (image[channel, z] for z in picked)
            if image is not None
            else (volume.planes(frame, channel, z, z + 1)[0] for z in picked)
        )
        samples.append(np.concatenate([plane.reshape(-1)[::step].astype(np.float64) for plane in planes]))
    return samples
