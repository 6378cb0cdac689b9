"""Touching cells separated: the mask of all cells and the nuclei in it become one label per cell.

The published network is applied once per nucleus; a voxel belongs to the cell with the highest probability. Here the
network sees a window around the nucleus instead of the whole field, so that the cost grows with the number of cells
and not with cells times field. Voxels of the mask that are lost are counted. The steps are in :func:`separate_cells`;
to add a method, add it to ``CellByCellSettings.method`` and to :func:`_claims`.

References
----------
Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351, "Cell-by-cell segmentation".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.labels.renumber import renumber
from tomocyte.progress import silent
from tomocyte.segmentation.cells.nuclei import flooded_regions, on_grid, seeds_of, shared_cells, together
from tomocyte.segmentation.cells.unclaimed import anchored, place_unclaimed
from tomocyte.segmentation.cells.votes import FULL, Votes, paint_cells
from tomocyte.segmentation.cells.windows import (
    Box,
    CellByCellSettings,
    Evidence,
    Grid,
    batches_of,
    make_grid,
    plan_windows,
    window_input,
)
from tomocyte.segmentation.prediction.tiled import Predictor
from tomocyte.volume import VoxelSize, check_voxel_size

__all__ = ["CellByCellSettings", "CellsResult", "separate_cells"]

Labels = NDArray[np.uint32]
AnyLabels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
WindowCallback = Callable[[int, int], None]

NO_NUCLEUS = "no-nucleus"
TWO_NUCLEI = "two-nuclei"
TOUCHES_BORDER = "touches-border"
NUCLEUS_OUTSIDE = "nucleus-outside"
FLAGS = (NO_NUCLEUS, TWO_NUCLEI, NUCLEUS_OUTSIDE, TOUCHES_BORDER)
"""``no-nucleus``: no nucleus claims it. ``two-nuclei``: two or more nuclei in one cell. ``nucleus-outside``: most
of its nucleus lies outside the mask of all cells. ``touches-border``: cut by a lateral (y, x) border of the image."""


@dataclass(frozen=True)
class CellsResult:
    """Separated cells, their nuclei, flags, confidence and counts.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Cells, 1..n in raster order, in the smallest type that holds them.
    nuclei : ndarray (Z, Y, X), unsigned integer
        Nuclei, numbered in the same order; touching ones are split, small fragments left out.
    flags : dict of int to tuple of str
        Cell -> some of :data:`FLAGS`; every cell has an entry.
    confidence : dict of int to float
        Cell -> mean probability inside it minus the mean of the highest that any other nucleus claims of it, in
        [-1, 1]; NaN where there are no probabilities. Two cells that were joined because each claims the other's
        nucleus have a low confidence and should be inspected.
    counts : dict of str to int
        ``n_nuclei``, ``n_split`` (gained by splitting touching nuclei), ``n_crumbs`` (too small), ``n_joined``
        (nuclei that share a cell with another), ``n_attached_voxels`` (claimed by no nucleus and given to the cell
        beside them), ``n_lost_voxels`` (of the mask, in no cell), ``n_added_voxels`` (of nuclei, outside the mask).
    n_predicted_voxels : int
        Voxels that the network saw: its cost.
    notes : tuple of str
        Where the settings could not be followed, and what was done instead.
    without_waist : frozenset of (int, int)
        Where nuclei are not joined: pairs of cells, the smaller number first, with no waist between them.
    """

    labels: AnyLabels
    nuclei: AnyLabels
    flags: dict[int, tuple[str, ...]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    n_predicted_voxels: int = 0
    notes: tuple[str, ...] = ()
    without_waist: frozenset[tuple[int, int]] = frozenset()


def separate_cells(
    membrane: Mask,
    nuclei: NDArray[Any],
    voxel_size_um: VoxelSize,
    predictor: Predictor | None,
    settings: CellByCellSettings,
    *,
    callback: WindowCallback = silent,
) -> CellsResult:
    """One label per cell.

    Parameters
    ----------
    membrane : ndarray (Z, Y, X), bool
        All cells.
    nuclei : ndarray (Z, Y, X), bool or unsigned integer
        A mask or labels; touching nuclei are split here.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    predictor : callable or None
        float32 (B, 3, *window) in [0, 1] (all cells, this nucleus, the others) to probabilities (B, 1, *window);
        used by ``method="network"`` only.
    settings : CellByCellSettings
    callback : callable, optional
        Called with the windows done and the windows in all.

    Returns
    -------
    CellsResult
        Nuclei belong to their cell even where the mask leaves them out.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: arrays that differ, or are not (Z, Y, X); ``E-CELLS-PREDICTOR``: a network without a predictor.
    MetadataError
        ``E-VOXEL-SIZE``.

    References
    ----------
    Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351: M = argmax over i of x_i, background below 0.5.

    Examples
    --------
    >>> cells = np.zeros((3, 4, 12), bool); cells[:, :, :5] = cells[:, :, 6:] = True
    >>> nuclei = np.zeros((3, 4, 12), np.uint8); nuclei[1, 1:3, 1:4] = 1; nuclei[1, 1:3, 8:10] = 2
    >>> settings = CellByCellSettings(method="watershed", voxel_size_um=(1, 1, 1), min_nucleus_um3=1)
    >>> result = separate_cells(cells, nuclei, (1.0, 1.0, 1.0), None, settings)
    >>> result.labels[0, 0].tolist()
    [1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 2, 2]
    """
    _check(membrane, nuclei, voxel_size_um, predictor, settings)
    notes: tuple[str, ...] = ()
    if settings.method == "network" and membrane.shape[0] == 1:
        settings = settings.model_copy(update={"method": "watershed"})
        notes = ("a single plane: cells were separated by watershed, as the network needs a volume",)
    seeds, n_split, n_too_small = seeds_of(nuclei, voxel_size_um, settings)
    counts = {"n_nuclei": int(seeds.max(initial=0)), "n_split": n_split, "n_crumbs": n_too_small}
    counts["n_added_voxels"] = int(np.count_nonzero((seeds != 0) & ~membrane))
    everything = membrane | (seeds != 0)
    box = _box_of(everything, settings)
    work = _Field(everything[box], seeds[box], voxel_size_um, settings)
    painted, number = _in_raster_order(work.separate(predictor, callback))
    labels: AnyLabels = painted
    if painted.shape != membrane.shape:
        labels = np.zeros(membrane.shape, dtype=painted.dtype)
        labels[box] = painted
    counts |= {
        "n_joined": sum(head != label for label, head in work.cell_of.items()),
        "n_attached_voxels": work.n_attached,
        "n_lost_voxels": int(np.count_nonzero(everything & (labels == 0))),
    }
    flags = _flags(labels, seeds, membrane, work.cell_of, number)
    confidence = {number[cell]: value for cell, value in work.confidence.items() if cell in number}
    return CellsResult(
        labels,
        seeds,
        flags,
        {label: confidence.get(label, math.nan) for label in flags},
        counts,
        work.n_predicted,
        notes,
        frozenset((min(pair), max(pair)) for pair in work.pairs_without_waist(number)),
    )


def _check(
    membrane: Mask,
    nuclei: NDArray[Any],
    voxel_size_um: VoxelSize,
    predictor: Predictor | None,
    settings: CellByCellSettings,
) -> None:
    if membrane.ndim != 3 or membrane.shape != nuclei.shape or membrane.size == 0 or membrane.dtype != bool:
        raise SettingsError(
            "E-SHAPE",
            f"a mask (Z, Y, X) and nuclei of its shape are needed, not {membrane.dtype} {membrane.shape} and "
            f"{nuclei.dtype} {nuclei.shape}.",
        )
    check_voxel_size(voxel_size_um, is_2d=membrane.shape[0] == 1)
    if settings.method == "network" and predictor is None:
        raise SettingsError(
            "E-CELLS-PREDICTOR", "the method 'network' needs a predictor.", cure="Give one, or use 'watershed'."
        )


def _box_of(everything: Mask, settings: CellByCellSettings) -> Box:
    """The box to work on: the mask's bounding box, or the whole field where the network sees the field."""
    if (settings.method == "network" and settings.frame != "windows") or not everything.any():
        return (slice(None), slice(None), slice(None))
    sides = []
    for axis in range(3):
        other_axes = tuple(other for other in range(3) if other != axis)
        along = np.flatnonzero(everything.any(axis=other_axes))
        sides.append(slice(int(along[0]), int(along[-1]) + 1))
    return (sides[0], sides[1], sides[2])


class _Field:
    """The state of :func:`separate_cells` on the network's grid."""

    def __init__(self, fine: Mask, seeds: NDArray[Any], voxel_size_um: VoxelSize, settings: CellByCellSettings) -> None:
        self.settings = settings
        self.fine = fine
        self.grid: Grid = make_grid(fine.shape, voxel_size_um, settings)
        self.nuclei = on_grid(seeds, self.grid).astype(np.uint32)
        self.membrane: Mask = np.asarray(self.grid.sampled(fine), dtype=bool) | (self.nuclei != 0)
        self.labels = list(range(1, int(seeds.max(initial=0)) + 1))
        self.cell_of = {label: label for label in self.labels}
        self.confidence: dict[int, float] = {}
        self.depth_um = np.zeros((0, 0, 0), dtype=np.float32)
        self.n_attached = 0
        self.n_predicted = 0
        self.without_waist: set[tuple[int, int]] = set()

    def pairs_without_waist(self, number: dict[int, int]) -> list[tuple[int, int]]:
        """Cells that would be one if nuclei were joined, by their final numbers."""
        return [(number[a], number[b]) for a, b in self.without_waist if a in number and b in number]

    def separate(self, predictor: Predictor | None, callback: WindowCallback) -> AnyLabels:
        """Cells on the fine voxels, with the numbers of their nuclei; cells without a nucleus have higher numbers."""
        cells, share = self._claims(predictor, callback)
        keeps = self.settings.unclaimed == "attach"
        inside = self.membrane
        if keeps:
            cells, share, self.n_attached = place_unclaimed(cells, share, inside, self.grid, self.settings)
        least = 0.0 if keeps else self.settings.threshold
        return paint_cells(self.fine, cells, share, inside, least=least)

    def _claims(self, predictor: Predictor | None, callback: WindowCallback) -> tuple[Labels, NDArray[np.uint16]]:
        """Which cell each voxel of the grid belongs to, and with which probability."""
        settings = self.settings
        if settings.method == "components":
            return self._components()
        self.depth_um = distance_um(self.membrane, self.grid.voxel_size_um)
        regions = flooded_regions(self.membrane, self.nuclei, self.depth_um)
        shared = shared_cells(self.nuclei, regions, self.grid.voxel_size_um, settings)
        if settings.is_joining:
            self._join(shared)
        else:
            self.without_waist = shared
        regions = self._heads()[regions]
        nuclei = self._heads()[self.nuclei]
        if settings.method == "watershed" or predictor is None:
            return regions, np.where(regions != 0, FULL, 0).astype(np.uint16)
        votes, claims = self._vote(nuclei, regions, predictor, callback)
        least = settings.joined_claim
        mutual = {pair for pair, value in claims.items() if value >= least and claims.get(pair[::-1], 0.0) >= least}
        self._join(mutual if settings.is_joining else set())
        label = self._heads()[votes.label]
        cells = np.where(votes.best >= settings.threshold * FULL, label, 0).astype(np.uint32)
        if settings.unclaimed == "attach":
            cells = anchored(cells, self._heads()[self.nuclei])
        self._rate(cells, votes)
        return cells, votes.best

    def _components(self) -> tuple[Labels, NDArray[np.uint16]]:
        """Each connected component is one cell, with the number of its first nucleus."""
        components = connected_components(self.membrane, connectivity=3).paint().astype(np.uint32)
        n_voxels = np.bincount(components.ravel())
        name = np.where(n_voxels >= self.grid.voxels_of(self.settings.min_cell_um3), np.arange(len(n_voxels)), 0)
        name = np.where(name > 0, name + len(self.labels), 0).astype(np.uint32)
        for label in reversed(self.labels):
            places = components[self.nuclei == label]
            if places.size:
                component = int(np.bincount(places).argmax())
                self.cell_of[label] = label
                name[component] = label
        for label in self.labels:
            places = components[self.nuclei == label]
            if places.size:
                self.cell_of[label] = int(name[np.bincount(places).argmax()])
        cells = name[components]
        return cells, np.where(cells != 0, FULL, 0).astype(np.uint16)

    def _vote(
        self, nuclei: Labels, regions: Labels, predictor: Predictor, callback: WindowCallback
    ) -> tuple[Votes, dict[tuple[int, int], float]]:
        """The network applied once per nucleus, and how much of each other nucleus each one claims."""
        votes = Votes.empty(self.grid.shape)
        claims: dict[tuple[int, int], float] = {}
        sizes = np.bincount(nuclei.ravel())
        windows = plan_windows(nuclei, regions, self.grid, self.settings)
        n_done = 0
        evidence = Evidence(self.membrane, nuclei)
        if self.settings.input == "regions":
            evidence = Evidence(self.membrane, nuclei, self.depth_um, regions)
        for batch in batches_of(windows, self.settings.most_batch_voxels):
            inputs = np.stack([window_input(window, evidence) for window in batch])
            predicted = predictor(inputs)
            _check_prediction(inputs, predicted)
            self.n_predicted += math.prod((len(batch), *batch[0].shape))
            for window, probability in zip(batch, predicted[:, 0], strict=True):
                votes.cast(window, probability, self.membrane)
                grid, own = window.inside(self.grid.shape)
                nuclei_here = nuclei[grid]
                sums = np.bincount(nuclei_here.ravel(), weights=probability[own].ravel(), minlength=len(sizes))
                for other in np.flatnonzero(sums[1:]) + 1:
                    if other != window.label:
                        claims[window.label, int(other)] = float(sums[other] / sizes[other])
            n_done += len(batch)
            callback(n_done, len(windows))
        return votes, claims

    def _rate(self, cells: Labels, votes: Votes) -> None:
        """Mean probability minus the mean of the runner-up, per cell."""
        n = np.bincount(cells.ravel())
        best = np.bincount(cells.ravel(), weights=votes.best.ravel(), minlength=len(n))
        second = np.bincount(cells.ravel(), weights=votes.second.ravel(), minlength=len(n))
        for label in np.flatnonzero(n[1:]) + 1:
            self.confidence[int(label)] = float((best[label] - second[label]) / (FULL * n[label]))

    def _join(self, pairs: set[tuple[int, int]]) -> None:
        heads = {(self.cell_of[first], self.cell_of[second]) for first, second in pairs}
        joined = together(self.labels, heads)
        self.cell_of = {label: joined[head] for label, head in self.cell_of.items()}

    def _heads(self) -> Labels:
        """Nucleus to cell, as a table."""
        table = np.arange(len(self.labels) + 1, dtype=np.uint32)
        for label, head in self.cell_of.items():
            table[label] = head
        return table


def _check_prediction(inputs: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
    expected = (inputs.shape[0], 1, *inputs.shape[2:])
    if predicted.shape != expected or not np.isfinite(predicted).all():
        raise SettingsError(
            "E-PREDICTOR",
            f"the network returned {predicted.shape}; finite values of shape {expected} were expected.",
        )


def _in_raster_order(labels: AnyLabels) -> tuple[AnyLabels, dict[int, int]]:
    """Labels 1..n by first voxel, and old to new numbers."""
    ordered = renumber(labels)
    table = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.uint32)
    for z in range(labels.shape[0]):
        table[labels[z].ravel()] = ordered[z].ravel()
    return ordered, {int(old): int(table[old]) for old in np.flatnonzero(table)}


def _flags(
    labels: AnyLabels, seeds: NDArray[Any], membrane: Mask, cell_of: dict[int, int], number: dict[int, int]
) -> dict[int, tuple[str, ...]]:
    """The flags of each cell."""
    flags_of: dict[int, set[str]] = {label: set() for label in number.values()}
    owned: dict[int, int] = {}
    inside, total = (np.zeros(len(cell_of) + 1, dtype=np.int64) for _ in range(2))
    for z in range(labels.shape[0]):
        inside += np.bincount(seeds[z][membrane[z]], minlength=len(inside))
        total += np.bincount(seeds[z].ravel(), minlength=len(total))
    for nucleus, head in cell_of.items():
        cell = number.get(head, 0)
        owned[cell] = owned.get(cell, 0) + 1
        if cell and 2 * inside[nucleus] < total[nucleus]:
            flags_of[cell].add(NUCLEUS_OUTSIDE)
    for cell, flags in flags_of.items():
        if owned.get(cell, 0) != 1:
            flags.add(TWO_NUCLEI if owned.get(cell, 0) > 1 else NO_NUCLEUS)
    for side in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        for cell in np.unique(side):
            if cell:
                flags_of[int(cell)].add(TOUCHES_BORDER)
    return {cell: tuple(flag for flag in FLAGS if flag in flags_of[cell]) for cell in sorted(flags_of)}
