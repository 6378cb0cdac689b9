"""Polystyrene beads of a soft X-ray tomogram: balls, even inside, that absorb more than cells and lie in none.

To add a test for what is a bead, add it to :func:`_bead_at`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import label_dtype
from tomocyte.labels.extents import Box, label_extents
from tomocyte.labels.settings import SplitSettings
from tomocyte.segmentation.bodies import split_bodies
from tomocyte.segmentation.classical.capillary import dense_levels
from tomocyte.segmentation.classical.thresholds import GAUSSIAN_MAD, Histogram, otsu_threshold
from tomocyte.segmentation.settings import BeadSettings
from tomocyte.segmentation.smoothing import sigma_in_voxels, smooth
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Float = NDArray[np.float64]
SHELL_UM = (0.2, 0.6)
"""What surrounds a bead: this far from its surface."""
INNER = 0.6
"""Share of the radius within which a bead is even."""
TWO_CLASSES = 0.8
CALM_UM = 0.4
"""Smoothing that leaves cells and takes noise away, but blurs their outlines."""
TWO_CALM_CLASSES = 0.78
LIKE_GLASS = 0.5
"""A bead absorbs at least this much of what glass does, over the medium; cells absorb less."""
LEAST_SHARE = 0.01
FEW = 0.1
"""Share of the voxels that beads alone may take: more than that are cells."""
ALIKE = 0.75
"""Contrast of a bead over that of the brightest, at least."""
MOST_TOGETHER = 2.0
"""Volume of touching beads, in largest ones."""
MOST_EMBEDDED = 0.7
"""Share of its surroundings that may be as bright as a cell; a droplet lies in its cell."""


def find_beads(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: BeadSettings,
    *,
    clear: Mask | None = None,
    glass: float | None = None,
) -> Labels:
    """Beads, numbered as they are found: the brightest threshold first, in raster order.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        NaN = outside, e.g. glass.
    voxel_size_um : tuple of 3 float
    settings : BeadSettings
    clear : ndarray (Z, Y, X), bool, optional
        Where the image is not brightened by glass nearby: brightness is judged there. None: everywhere.
    glass : float, optional
        Value of the glass, which beads are compared with where no cells are seen.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
    """
    smoothed = smooth(
        np.asarray(image, dtype=np.float32), sigma_in_voxels(settings.smoothing_um, voxel_size_um, image.shape[0])
    )
    judged = smoothed if clear is None else np.where(clear, smoothed, np.float32(np.nan))
    levels = dense_levels(judged)
    labels: NDArray[np.uint16] = np.zeros(image.shape, dtype=np.uint16)
    if not levels:
        return labels
    dense = levels[-1]
    faint = faint_level(judged, dense)
    if faint == dense and np.mean(judged[np.isfinite(judged)] > dense) < FEW:  # noise may hide cells
        rest = np.where(distance_um(~(judged > dense), voxel_size_um) > CALM_UM, judged, np.float32(np.nan))
        calm = smooth(rest, sigma_in_voxels(CALM_UM, voxel_size_um, image.shape[0]))
        faint = faint_level(calm, dense, two_classes=TWO_CALM_CLASSES)
    least = settings.min_contrast * _usual(judged, faint)
    if faint == dense and glass is not None:
        least = min(least, LIKE_GLASS * (glass - float(np.nanmedian(judged))))
    found: list[_Bead] = []
    taken = np.zeros(image.shape, dtype=bool)
    for level in sorted({*levels, faint}, reverse=True):
        for box, candidate in _candidates((smoothed > level) & ~taken, voxel_size_um, settings):
            bead = _bead_of(smoothed, box, candidate, voxel_size_um, faint, settings)
            found += bead
            for one in bead:
                taken[one.box] |= one.reach
    # Beads of one kind absorb alike: what is clearly fainter is a droplet or debris.
    least = max([least, *(ALIKE * one.contrast for one in found)])
    number = 0
    for one in found:
        if one.contrast >= least:
            number += 1
            labels[one.box][one.mask & (labels[one.box] == 0)] = number
    return labels.astype(label_dtype(number))


@dataclass(frozen=True)
class _Bead:
    """A bead's voxels in a box, those with its blur, and how far it stands out of the medium, in the image's unit."""

    box: Box
    mask: Mask
    reach: Mask
    contrast: float


def faint_level(image: NDArray[Any], dense: float, *, two_classes: float = TWO_CLASSES) -> float:
    """What parts cells from the medium: Otsu's threshold of what is not dense, if that has two classes; else ``dense``.

    Examples
    --------
    >>> values = np.repeat([0.1, 0.12, 0.3, 0.32, 1.2], [400, 400, 90, 90, 20])
    >>> bool(0.12 < faint_level(values, 0.7) < 0.3), faint_level(values[values < 0.11], 0.7)
    (True, 0.7)
    """
    values = image[np.isfinite(image) & (image <= dense)]
    histogram = Histogram.of(values, n_bins=4096)
    if histogram.is_flat:
        return dense
    level = otsu_threshold(histogram)
    is_above = values > level
    share = float(np.mean(is_above))
    gap = float(values[is_above].mean() - values[~is_above].mean()) if 0 < share < 1 else 0.0
    if share < LEAST_SHARE:  # the blur of what is dense
        return dense
    # Share of the variance that lies between the classes; halves of one Gaussian have 0.64, of a box 0.75.
    return level if share * (1 - share) * gap**2 > two_classes * float(values.var()) else dense


def _usual(smoothed: NDArray[Any], faint: float) -> float:
    """How far cells stand out: the median of what is brighter than the medium over that of the medium."""
    finite = smoothed[np.isfinite(smoothed)]
    bright = finite > faint
    return float(np.median(finite[bright]) - np.median(finite[~bright]))


def _candidates(dense: Mask, voxel_size_um: VoxelSize, settings: BeadSettings) -> Iterator[tuple[Box, Mask]]:
    """Connected pieces of the size of one bead to a few, with some room around them."""
    ball = math.pi / 6 / math.prod(voxel_size_um)
    components = connected_components(dense)
    keep = components.n_voxels >= 0.3 * ball * settings.min_diameter_um**3
    keep &= components.n_voxels <= MOST_TOGETHER * ball * settings.max_diameter_um**3
    keep[0] = False
    labels = components.paint(keep)
    extents = label_extents(labels)
    room = max(round(2 * SHELL_UM[1] / min(voxel_size_um)), 1)
    for label in range(1, len(extents.n_voxels)):
        box = extents.box(label, labels.shape, margin=room)
        yield box, labels[box] == label


def _bead_of(
    smoothed: NDArray[Any], box: Box, candidate: Mask, voxel_size_um: VoxelSize, faint: float, settings: BeadSettings
) -> list[_Bead]:
    """The bead that a candidate is, or the beads that it consists of."""
    whole = _bead_at(smoothed, box, candidate, voxel_size_um, faint, settings)
    if whole is not None:
        return [whole]
    smallest = 0.3 * math.pi / 6 * settings.min_diameter_um**3 / math.prod(voxel_size_um)
    if np.count_nonzero(candidate) < 2 * smallest:
        return []
    split = SplitSettings(
        method="bodies", thin_um=settings.min_diameter_um / 2, min_separation_um=settings.min_diameter_um
    )
    parts = split_bodies(candidate, voxel_size_um, split, filling=candidate, min_voxels=smallest)
    n = int(parts.max(initial=0))
    each = (_bead_at(smoothed, box, parts == part, voxel_size_um, faint, settings) for part in range(1, n + 1))
    return [one for one in each if one is not None] if n > 1 else []


def _bead_at(
    smoothed: NDArray[Any],
    box: Box,
    candidate: Mask,
    voxel_size_um: VoxelSize,
    faint: float,
    settings: BeadSettings,
) -> _Bead | None:
    """The bead that a candidate is, cut where it is half as bright as inside; else nothing."""
    image = smoothed[box]
    in_view = np.isfinite(image)
    centre, radius = _ball(candidate, voxel_size_um, box, smoothed.shape, in_view)
    if not settings.min_diameter_um <= 2 * radius <= settings.max_diameter_um:
        return None
    away = _away_um(candidate.shape, voxel_size_um, centre)
    inner = image[(away < INNER * radius) & in_view]
    around = (away > radius + SHELL_UM[0]) & (away < radius + SHELL_UM[1]) & in_view
    # What lies beside a bead is a cell in part; the medium is the darker part of it.
    shell = image[around]
    if inner.size < 10 or shell.size < 10:
        return None
    medium = float(np.median(shell[shell <= faint])) if (shell <= faint).any() else float(np.percentile(shell, 10))
    height = float(np.median(inner))
    spread = GAUSSIAN_MAD * float(np.median(np.abs(inner - height)))
    if height - medium <= 0 or spread > settings.max_unevenness * (height - medium):
        return None
    if np.count_nonzero(shell > faint) > MOST_EMBEDDED * shell.size:
        return None
    bead = (image > (height + medium) / 2) & (away < radius + SHELL_UM[0])
    bead = _piece_at_middle(bead, candidate)
    centre, radius = _ball(bead, voxel_size_um, box, smoothed.shape, in_view)
    away = _away_um(bead.shape, voxel_size_um, centre)
    ball = (away < radius) & in_view
    total = int(np.count_nonzero(ball) + np.count_nonzero(bead))
    overlap = 2 * int(np.count_nonzero(ball & bead)) / max(1, total)
    reach = bead | (away < radius + SHELL_UM[1] / 2)
    return _Bead(box, bead, reach, height - medium) if overlap >= settings.min_roundness else None


def _piece_at_middle(bead: Mask, candidate: Mask) -> Mask:
    """The connected piece of a mask that has most in common with the candidate."""
    pieces, n = ndimage.label(bead)
    if n < 2:
        return bead
    counts = np.bincount(pieces[candidate], minlength=n + 1)
    counts[0] = 0
    return np.asarray(pieces == int(counts.argmax()))


def _ball(mask: Mask, voxel_size_um: VoxelSize, box: Box, shape: tuple[int, ...], in_view: Mask) -> tuple[Float, float]:
    """Centre (in the box) and radius in µm of the sphere of least squares through the surface of a mask.

    Voxels at a border of the volume, or beside what is out of view (the glass), are no surface, so that a ball that
    either cuts keeps its centre.
    """
    size = np.array(voxel_size_um)
    surface = mask & ~ndimage.binary_erosion(mask, border_value=1)
    surface &= ndimage.binary_erosion(in_view, structure=ndimage.generate_binary_structure(3, 3), border_value=1)
    points = np.argwhere(surface)
    corner = np.array([side.start for side in box])
    at_border = ((points + corner == 0) | (points + corner == np.array(shape) - 1)).any(axis=1)
    points = (points[~at_border] + 0.5) * size
    if len(points) < 10:
        return np.zeros(3), 0.0
    middle = points.mean(axis=0)
    local = points - middle
    matrix = np.concatenate([2 * local, np.ones((len(local), 1))], axis=1)
    solution = np.linalg.lstsq(matrix, np.sum(local**2, axis=1), rcond=None)[0]
    radius = math.sqrt(max(0.0, float(solution[3] + np.sum(solution[:3] ** 2))))
    # Surface voxels' middles lie half a voxel below the surface.
    return np.asarray(middle + solution[:3]), radius + float(size.mean()) / 2


def _away_um(shape: tuple[int, ...], voxel_size_um: VoxelSize, centre: Float) -> NDArray[np.float32]:
    z, y, x = (
        ((np.arange(n) + 0.5) * size - at) ** 2 for n, size, at in zip(shape, voxel_size_um, centre, strict=True)
    )
    away = np.sqrt(z[:, None, None] + y[None, :, None] + x[None, None])
    return np.asarray(away, dtype=np.float32)
