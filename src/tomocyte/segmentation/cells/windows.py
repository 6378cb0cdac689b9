"""What the cell-by-cell network sees: its grid, the windows around nuclei, and batches of windows of equal size.

Masks are brought to the network's grid by their nearest voxel, so nothing is interpolated and a label stays a label. To
add a kind of window, add a frame to :class:`CellByCellSettings` and its windows to :func:`plan_windows`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.labels.extents import label_extents
from tomocyte.labels.resample import resample_labels
from tomocyte.labels.settings import SplitSettings
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

PUBLISHED_PLANES = 128
"""Planes that a field is resized to before the middle ones are kept."""
PUBLISHED_SHAPE = (64, 128, 128)
"""What the published network sees of a field."""
DEEP_UM = 4.0
"""Depth below the surface of the cells beyond which the network's input no longer grows, in µm."""
Shape3 = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Labels = NDArray[np.unsignedinteger[Any]]


class CellByCellSettings(Settings):
    """How the mask of all cells becomes one label per cell."""

    method: Literal["network", "watershed", "components"] = "network"
    """``network``: the cell-by-cell network. ``watershed``: flooding from the nuclei, deepest parts of the cells first.
    ``components``: what is connected is one cell."""
    frame: Literal["windows", "whole", "as-published"] = "windows"
    """``windows``: around each nucleus, as large as its cell may be. ``whole``: the whole field for each nucleus.
    ``as-published``: the whole field resized to 128 planes of 128 x 128, of which the middle 64 are seen."""
    input: Literal["masks", "regions"] = "masks"
    """What the network learned from, see :func:`as_input`: three masks, as published, or the mask of all cells as depth
    below its surface, and nuclei with the parts of the mask that seeded watershed gives them."""
    voxel_size_um: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Voxel size z, y, x in µm of the network's grid; ``as-published`` has its own."""
    divisor: tuple[int, int, int] = (8, 16, 16)
    """What each size of a window must be a multiple of."""
    margin_um: float = Field(default=1.5, ge=0, le=50)
    """How far a window reaches beyond the part of the mask that is nearest to its nucleus, in µm."""
    most_batch_voxels: int = Field(default=300_000, ge=1)
    """Voxels of windows given to the network at once."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a nucleus claims a voxel."""
    unclaimed: Literal["attach", "background"] = "attach"
    """Voxels that no nucleus claims: cells of their own where large and thick enough, else part of the cell beside
    them; or background, as published. Lost voxels are counted in both cases."""
    min_cell_um3: float = Field(default=50.0, ge=0)
    """Smallest cell without a nucleus in µm³ (2-D: µm² of 1 µm depth)."""
    min_touching_share: float = Field(default=0.25, ge=0, le=10)
    """An unclaimed part that touches a cell is a cell of its own only if it is at least this share of the median cell;
    smaller ones are far ends of cells."""
    min_cell_depth_um: float = Field(default=1.0, ge=0, le=20)
    """How deep below its surface the middle of a cell without a nucleus lies, at least, in µm."""
    attach_um: float = Field(default=1.5, ge=0, le=20)
    """Pieces of the mask that touch no cell belong to one that is at most so far away, in µm."""
    min_nucleus_um3: float = Field(default=5.0, ge=0)
    """Smaller nuclei are fragments and no seeds of cells, in µm³ (2-D: µm² of 1 µm depth)."""
    split: SplitSettings = SplitSettings(method="distance", min_separation_um=4.0, prominence=0.25)
    """How touching nuclei are split."""
    is_joining: bool = True
    """Whether nuclei of one cell are joined by what follows; without, every nucleus has a cell of its own."""
    joined_gap_um: float = Field(default=10.0, ge=0, le=50)
    """Two nuclei at most so far apart may be of one cell, in µm."""
    joined_contact: float = Field(default=0.85, ge=0)
    """They are if their parts of the mask meet without a waist: contact area over (smaller volume)^(2/3) is at least
    this, and more the farther they are apart. Halves of a ball have 1.9, halves of a flat disc about 1.2, square cells
    of a carpet about 0.6."""
    joined_contact_per_um: float = Field(default=0.09, ge=0)
    """How much more per µm between the nuclei."""
    joined_claim: float = Field(default=0.5, gt=0, le=1)
    """And if the network sees the other nucleus inside either one's cell with at least this mean probability."""


@dataclass(frozen=True)
class Grid:
    """The network's grid over a box of the image.

    Parameters
    ----------
    shape : tuple of 3 int
    voxel_size_um : tuple of 3 float
        Of the grid; z may be NaN for a single plane.
    fine_shape : tuple of 3 int
        Of the box in image voxels.
    visible : tuple of 3 slice
        The part of the grid that the network may see: all of it, or the middle planes.
    """

    shape: Shape3
    voxel_size_um: VoxelSize
    fine_shape: Shape3
    visible: Box

    def sampled(self, fine: NDArray[Any]) -> NDArray[Any]:
        """The nearest voxel of the image for each voxel of the grid."""
        return resample_labels(fine, self.shape)

    def voxels_of(self, volume_um3: float) -> float:
        """Voxels of the grid in a volume; a plane counts as 1 µm deep."""
        return volume_um3 / float(np.prod([1.0 if math.isnan(size) else size for size in self.voxel_size_um]))


def make_grid(fine_shape: Shape3, voxel_size_um: VoxelSize, settings: CellByCellSettings) -> Grid:
    """The grid over a box.

    Examples
    --------
    >>> make_grid((64, 192, 180), (0.39, 0.195, 0.2), CellByCellSettings()).shape
    (50, 75, 72)
    >>> make_grid((64, 192, 180), (0.39, 0.195, 0.2), CellByCellSettings(frame="as-published")).shape
    (128, 128, 128)
    """
    visible = (slice(None), slice(None), slice(None))
    if settings.frame == "as-published" and settings.method == "network":
        first = (PUBLISHED_PLANES - PUBLISHED_SHAPE[0]) // 2
        shape: Shape3 = (PUBLISHED_PLANES, PUBLISHED_SHAPE[1], PUBLISHED_SHAPE[2])
        visible = (slice(first, first + PUBLISHED_SHAPE[0]), slice(None), slice(None))
    else:
        n_voxels = [
            1 if math.isnan(have) else max(1, round(n * have / want))
            for n, have, want in zip(fine_shape, voxel_size_um, settings.voxel_size_um, strict=True)
        ]
        shape = (n_voxels[0], n_voxels[1], n_voxels[2])
    sizes = [have * n / m for have, n, m in zip(voxel_size_um, fine_shape, shape, strict=True)]
    return Grid(shape, (sizes[0], sizes[1], sizes[2]), fine_shape, visible)


@dataclass(frozen=True)
class Window:
    """A part of the grid that the network sees for one nucleus; it may reach beyond the grid, where nothing is.

    Parameters
    ----------
    label : int
        The nucleus, or the nuclei that stand together.
    start, shape : tuple of 3 int
    """

    label: int
    start: Shape3
    shape: Shape3

    def inside(self, grid_shape: Shape3) -> tuple[Box, Box]:
        """The part of the grid that the window covers, and that part's place in the window."""
        grid, own = [], []
        for start, size, n in zip(self.start, self.shape, grid_shape, strict=True):
            low, high = max(start, 0), min(start + size, n)
            grid.append(slice(low, high))
            own.append(slice(low - start, high - start))
        return (grid[0], grid[1], grid[2]), (own[0], own[1], own[2])


def plan_windows(nuclei: Labels, regions: Labels, grid: Grid, settings: CellByCellSettings) -> list[Window]:
    """One window per nucleus, those of equal size behind each other.

    Parameters
    ----------
    nuclei, regions : ndarray (z, y, x), unsigned integer
        On the grid: the nuclei, and the part of the mask that is nearest to each, with the same numbers.
    """
    labels = [int(label) for label in np.flatnonzero(np.bincount(nuclei.ravel())) if label]
    if settings.frame != "windows":
        first = [int(planes.start or 0) for planes in grid.visible]
        sizes = [len(range(*planes.indices(n))) for planes, n in zip(grid.visible, grid.shape, strict=True)]
        rounded = [_rounded(size, unit) for size, unit in zip(sizes, settings.divisor, strict=True)]
        whole = (rounded[0], rounded[1], rounded[2])
        return [Window(label, (first[0], first[1], first[2]), whole) for label in labels]
    extents = label_extents(np.maximum(nuclei, regions))
    margin = [math.ceil(settings.margin_um / size) for size in grid.voxel_size_um]
    windows = []
    for label in labels:
        start, shape = [], []
        for axis, n in enumerate(grid.shape):
            low = max(int(extents.lower[label, axis]) - margin[axis], 0)
            high = min(int(extents.upper[label, axis]) + margin[axis], n)
            size = _rounded(high - low, settings.divisor[axis])
            shape.append(size)
            start.append(min(max(low - (size - high + low) // 2, 0), max(n - size, 0)))
        windows.append(Window(label, (start[0], start[1], start[2]), (shape[0], shape[1], shape[2])))
    return sorted(windows, key=lambda window: (window.shape, window.label))


def batches_of(windows: list[Window], most_voxels: int) -> Iterator[list[Window]]:
    """Windows of equal size in groups of at most ``most_voxels`` voxels, at least one each."""
    batch: list[Window] = []
    for window in windows:
        is_full = bool(batch) and (len(batch) + 1) * math.prod(window.shape) > most_voxels
        if batch and (is_full or batch[0].shape != window.shape):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@dataclass(frozen=True)
class Evidence:
    """Masks, nuclei, depth and regions of a field, on the grid.

    Parameters
    ----------
    membrane : ndarray (z, y, x), bool
        All cells.
    nuclei : ndarray (z, y, x), unsigned integer
    depth_um : ndarray (z, y, x), float32, optional
        Distance below the surface of the mask; ``None`` for a network that sees masks.
    regions : ndarray (z, y, x), unsigned integer, optional
        The part of the mask that seeded watershed gives to each nucleus, by the same numbers.
    """

    membrane: NDArray[np.bool_]
    nuclei: Labels
    depth_um: NDArray[np.float32] | None = None
    regions: Labels | None = None

    def of(self, box: Box) -> Evidence:
        """The same of a part of the grid."""
        depth = None if self.depth_um is None else self.depth_um[box]
        return Evidence(
            self.membrane[box], self.nuclei[box], depth, None if self.regions is None else self.regions[box]
        )


def as_input(evidence: Evidence, label: int) -> NDArray[np.float32]:
    """What the network sees for one nucleus: all cells, this nucleus, the others.

    Parameters
    ----------
    evidence : Evidence
    label : int

    Returns
    -------
    ndarray (3, z, y, x), float32, in [0, 1]
        Of 0 and 1 where there are only masks. Otherwise all cells rise from 0.5 at their surface to 1 at 4 µm below it,
        and the parts that watershed gives to a nucleus are 0.5 where the nucleus is 1.

    Examples
    --------
    >>> nuclei = np.array([[[0, 1, 0, 0, 2]]])
    >>> as_input(Evidence(nuclei >= 0, nuclei), 2)[1:, 0, 0].tolist()
    [[0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0]]
    >>> as_input(Evidence(nuclei >= 0, nuclei, 4.0 * nuclei, np.array([[[1, 1, 1, 2, 2]]])), 2)[:, 0, 0].tolist()
    [[0.5, 1.0, 0.5, 0.5, 1.0], [0.0, 0.0, 0.0, 0.5, 1.0], [0.5, 1.0, 0.5, 0.0, 0.0]]
    """
    nucleus = evidence.nuclei == label
    other_nuclei = (evidence.nuclei != 0) & ~nucleus
    channels = np.stack([evidence.membrane, nucleus, other_nuclei]).astype(np.float32)
    if evidence.depth_um is not None and evidence.regions is not None:
        channels[0] *= 0.5 + 0.5 * np.minimum(evidence.depth_um / DEEP_UM, 1)
        channels[1] = np.maximum(channels[1], 0.5 * (evidence.regions == label))
        channels[2] = np.maximum(channels[2], 0.5 * ((evidence.regions != 0) & (evidence.regions != label)))
    return channels


def window_input(window: Window, evidence: Evidence) -> NDArray[np.float32]:
    """What the network sees in a window, (3, z, y, x) float32; 0 beyond the grid."""
    channels = np.zeros((3, *window.shape), dtype=np.float32)
    grid, own = window.inside(evidence.membrane.shape)
    channels[(slice(None), *own)] = as_input(evidence.of(grid), window.label)
    return channels


def _rounded(size: int, unit: int) -> int:
    return max(1, math.ceil(size / unit)) * unit
