"""Samples of the cell-by-cell network: all cells, one nucleus, the other nuclei, and that nucleus's cell to be learned.

One sample per cell that has a nucleus. Label images are kept at about the network's voxel size; a sample is one lookup
of nearest voxels through a rotation, a scale and a shift, so that no label is ever interpolated. To show the network
something else, change :meth:`CellSamples.read`.

References
----------
Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351, "Cell-by-cell segmentation".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError
from tomocyte.labels.distances import distance_um
from tomocyte.labels.dtypes import refit
from tomocyte.segmentation.cells.nuclei import flooded_regions
from tomocyte.segmentation.cells.windows import PUBLISHED_PLANES, PUBLISHED_SHAPE, Evidence, as_input
from tomocyte.training.data.grid_samples import GridSamples
from tomocyte.training.data.mask_corruption import corrupted
from tomocyte.training.data.samples import Image, Samples, Target
from tomocyte.training.data.settings import DataSettings
from tomocyte.volume import Volume

Labels = NDArray[np.unsignedinteger]
Mask = NDArray[np.bool_]
SMALLEST_NUCLEUS_UM3 = 5.0
"""Smaller pieces of nuclei never are the sample's nucleus; they stay in the map of the others."""
WHOLE_SHARE = 0.75
"""Cells with several nuclei: how often all of them together are the sample's nucleus. Otherwise it is one of them, and
the network learns that a cell may extend around another nucleus."""
CACHE_BYTES = 500_000_000


@dataclass(frozen=True)
class Scene:
    """Cells and nuclei of one frame, on a grid somewhat finer than the network's.

    Parameters
    ----------
    cells, nuclei : ndarray (z, y, x), unsigned integer
    voxel_size_um : tuple of 3 float
        Of these arrays.
    owner : dict of int to int
        Nucleus to the cell that holds most of it.
    """

    cells: Labels
    nuclei: Labels
    voxel_size_um: tuple[float, ...]
    owner: dict[int, int]

    def nuclei_of(self, cell: int) -> list[int]:
        """The nuclei of a cell."""
        return [nucleus for nucleus, owner in self.owner.items() if owner == cell]


@dataclass(frozen=True)
class CellPlace:
    """Where a sample comes from: item, frame and cell."""

    item: int
    frame: int
    cell: int


@dataclass(frozen=True)
class View:
    """From voxels of a sample to places in µm: ``centre + turn @ ((index - middle) * step)``.

    Parameters
    ----------
    shape : tuple of 3 int
    step_um, centre_um : tuple of 3 float
        The field's corner is 0.
    turn : ndarray (3, 3)
    """

    shape: tuple[int, ...]
    step_um: tuple[float, ...]
    centre_um: tuple[float, ...]
    turn: NDArray[np.float64]

    def look(self, labels: Labels, voxel_size_um: tuple[float, ...]) -> Labels:
        """The labels at each voxel, 0 outside the field."""
        axes = [
            ((np.arange(n) - (n - 1) / 2) * step).reshape([-1 if i == axis else 1 for i in range(3)])
            for axis, (n, step) in enumerate(zip(self.shape, self.step_um, strict=True))
        ]
        index = np.zeros(self.shape, dtype=np.intp)
        inside = np.ones(self.shape, dtype=bool)
        for row, (size, voxel, centre) in enumerate(zip(labels.shape, voxel_size_um, self.centre_um, strict=True)):
            terms = [factor * axis for factor, axis in zip(self.turn[row], axes, strict=True) if factor]
            place = np.floor(sum(terms, np.float64(centre)) / voxel).astype(np.intp)
            place = np.broadcast_to(place, self.shape)
            inside &= (place >= 0) & (place < size)
            index *= size
            index += np.clip(place, 0, size - 1)
        return np.where(inside, labels.ravel()[index], labels.dtype.type(0))


class CellSamples(Samples):
    """One sample per cell with a nucleus.

    Parameters
    ----------
    items : list of LabelledItem
    settings : DataSettings
        ``targets: cell-by-cell``.
    n_axes : int
        3.

    Raises
    ------
    InputError
        ``E-NO-POSITIVES``: no cell with a nucleus in any item; ``E-LABELS-PARTIAL``: unlabelled voxels in
        labels that the network would see; ``E-SHAPE``, ``E-LABELS-TYPE``.
    """

    def __init__(self, items: list[LabelledItem], settings: DataSettings, *, n_axes: int) -> None:
        self.items = items
        self.settings = settings
        self.n_axes = n_axes
        self._volumes: dict[int, tuple[Volume, dict[str, Volume | None]]] = {}
        self._scenes: OrderedDict[tuple[int, int], Scene] = OrderedDict()
        self.cells = [place for item in range(len(items)) for place in self._cells_of(item)]
        if not self.cells:
            raise InputError(
                "E-NO-POSITIVES",
                f"none of {len(items)} labelled images shows a {settings.structures[0]} with a nucleus.",
                path=items[0].image if items else None,
                cure="Give label images of cells and of nuclei, each object with its own number.",
            )

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def groups(self) -> list[str]:
        """Group of every sample."""
        return [self.items[place.item].group for place in self.cells]

    @property
    def n_channels(self) -> int:
        """All cells, the sample's nucleus, the other nuclei."""
        return 3

    def name(self, index: int) -> str:
        """Item, frame and cell."""
        place = self.cells[index]
        return f"{self.items[place.item].name}-t{place.frame:03d}-cell{place.cell:03d}"

    def pixel_size_um(self, index: int) -> tuple[float, ...]:
        """Voxel size z, y, x in µm of a sample that is not scaled."""
        return self._view(self.cells[index]).step_um

    def scene(self, item: int, frame: int) -> Scene:
        """Cells and nuclei of a frame; the last few hundred stay in memory."""
        key = (item, frame)
        if key in self._scenes:
            self._scenes.move_to_end(key)
            return self._scenes[key]
        scene = self._scenes[key] = self._read_scene(item, frame)
        held = sum(scene.cells.nbytes + scene.nuclei.nbytes for scene in self._scenes.values())
        while held > CACHE_BYTES and len(self._scenes) > 1:
            _, old = self._scenes.popitem(last=False)
            held -= old.cells.nbytes + old.nuclei.nbytes
        return scene

    def whole(self, index: int) -> tuple[Image, Target]:
        """A cell as it is: exact masks, not rotated, all its nuclei together.

        Returns
        -------
        tuple of ndarray
            (3, z, y, x) float32 in [0, 1], and (1, z, y, x) uint8.
        """
        place = self.cells[index]
        scene, view = self.scene(place.item, place.frame), self._view(place)
        cells, nuclei = (view.look(labels, scene.voxel_size_um) for labels in (scene.cells, scene.nuclei))
        is_own = np.isin(nuclei, scene.nuclei_of(place.cell))
        image = self._image(cells != 0, is_own, (nuclei != 0) & ~is_own, view.step_um)
        return image, (cells == place.cell)[None].astype(np.uint8)

    def read(self, index: int, rng: np.random.Generator) -> tuple[Image, Target]:
        """A cell for training: rotated, scaled, moved, and with corrupted masks in a share of the samples."""
        place, settings = self.cells[index], self.settings.cells
        scene = self.scene(place.item, place.frame)
        view = self._drawn(self._view(place), rng)
        cells, nuclei = (view.look(labels, scene.voxel_size_um) for labels in (scene.cells, scene.nuclei))
        own = scene.nuclei_of(place.cell)
        if len(own) > 1 and rng.random() > WHOLE_SHARE:
            own = [int(rng.choice(_large(scene, own)))]
        is_own = np.isin(nuclei, own)
        target = (cells == place.cell)[None].astype(np.uint8)
        others = np.where(is_own, nuclei.dtype.type(0), nuclei)
        if is_own.any() and rng.random() < settings.corruption:
            return self._image(*corrupted(cells != 0, is_own, others, view.step_um, rng), view.step_um), target
        return self._image(cells != 0, is_own, others != 0, view.step_um), target

    def _image(self, cells: Mask, own: Mask, others: Mask, step_um: tuple[float, ...]) -> Image:
        """The network's input; the other nuclei are one mask, their numbers do not matter."""
        nuclei = np.where(own, 1, np.where(others, 2, 0)).astype(np.uint32)
        everything = cells | own | others
        if self.settings.cells.input == "masks":
            return as_input(Evidence(everything, nuclei), 1)
        depth = distance_um(everything, (step_um[0], step_um[1], step_um[2]))
        return as_input(Evidence(everything, nuclei, depth, flooded_regions(everything, nuclei, depth)), 1)

    def _view(self, place: CellPlace) -> View:
        scene = self.scene(place.item, place.frame)
        extent = tuple(n * size for n, size in zip(scene.cells.shape, scene.voxel_size_um, strict=True))
        if self.settings.cells.frame == "as-published":
            planes = (PUBLISHED_PLANES, *PUBLISHED_SHAPE[1:])
            step = tuple(length / n for length, n in zip(extent, planes, strict=True))
            return View(PUBLISHED_SHAPE, step, tuple(length / 2 for length in extent), np.eye(3))
        places = np.argwhere(np.isin(scene.nuclei, scene.nuclei_of(place.cell)))
        centre = (places.mean(axis=0) + 0.5) * scene.voxel_size_um
        return View(self._patch, self._sample_size_um(scene.voxel_size_um), tuple(float(c) for c in centre), np.eye(3))

    def _drawn(self, view: View, rng: np.random.Generator) -> View:
        """A view rotated, scaled and moved at random."""
        settings = self.settings.cells
        across, along = (float(np.exp(rng.uniform(*np.log(pair)))) for pair in (settings.scale, settings.scale_z))
        step = (view.step_um[0] / (across * along), view.step_um[1] / across, view.step_um[2] / across)
        reach = settings.jitter_um if settings.frame == "windows" else 0.0
        move = rng.uniform(-1, 1, 3) * (reach / 4, reach, reach)
        turn = np.eye(3)
        if settings.is_turned:
            angle = rng.uniform(0, 2 * np.pi)
            turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            turn = turn * rng.choice([-1.0, 1.0], 3)
        centre = tuple(float(at + by) for at, by in zip(view.centre_um, move, strict=True))
        return View(view.shape, step, centre, turn)

    @property
    def _patch(self) -> tuple[int, ...]:
        return self.settings.patch_shape or PUBLISHED_SHAPE

    def _sample_size_um(self, stored: tuple[float, ...]) -> tuple[float, ...]:
        sizes = self.settings.voxel_size_um or stored
        return tuple(own if size is None else size for own, size in zip(stored, sizes, strict=True))

    def _cells_of(self, item: int) -> list[CellPlace]:
        image, labels = self.volume(item)
        if any(volume is None for volume in labels.values()):
            return []
        places = []
        for frame in range(image.n_frames):
            scene = self.scene(item, frame)
            cells = sorted({cell for cell in scene.owner.values() if cell})
            places += [CellPlace(item, frame, cell) for cell in cells if _large(scene, scene.nuclei_of(cell))]
        return places

    def _read_scene(self, item: int, frame: int) -> Scene:
        image, labels = self.volume(item)
        stored = image.require_voxel_size()
        sizes = self._sample_size_um(stored)
        factors = [max(1, round(0.75 * size / own)) for size, own in zip(sizes, stored, strict=True)]
        grid = [np.arange(factor // 2, n, factor) for n, factor in zip(image.spatial_shape, factors, strict=True)]
        arrays = []
        for name in self.settings.structures:
            volume = labels[name]
            planes = [] if volume is None else [volume.planes(frame, 0, int(z), int(z) + 1)[0] for z in grid[0]]
            array = np.stack([plane[np.ix_(grid[1], grid[2])] for plane in planes])
            self._check_complete(array, item, name)
            arrays.append(refit(array))
        size = tuple(n * own / len(at) for n, own, at in zip(image.spatial_shape, stored, grid, strict=True))
        return Scene(arrays[0], arrays[1], size, owners(arrays[1], arrays[0]))

    def _check_complete(self, labels: NDArray[Any], item: int, structure: str) -> None:
        """Refuse unlabelled voxels: the masks that the network sees are made of the labels."""
        entry = self.items[item]
        if entry.ignore_label is not None and (labels == entry.ignore_label).any():
            raise InputError(
                "E-LABELS-PARTIAL",
                f"labels of {structure} do not cover the whole frame.",
                path=entry.image,
                cure="Use images that are labelled throughout, e.g. exported without --margin-um.",
            )


def make_samples(items: list[LabelledItem], settings: DataSettings, *, n_axes: int) -> Samples:
    """The samples that the settings ask for."""
    if settings.scaled_frame is not None:
        return GridSamples(items, settings, n_axes=n_axes)
    kind = CellSamples if settings.targets == "cell-by-cell" else Samples
    return kind(items, settings, n_axes=n_axes)


def owners(nuclei: NDArray[Any], cells: NDArray[Any]) -> dict[int, int]:
    """The cell that holds most of each nucleus; 0 where none does.

    Examples
    --------
    >>> owners(np.array([1, 1, 1, 0, 2]), np.array([5, 5, 7, 7, 0]))
    {1: 5, 2: 0}
    """
    from tomocyte.labels.parents import assign_parents

    return assign_parents(np.atleast_3d(nuclei), np.atleast_3d(cells))


def _large(scene: Scene, nuclei: list[int]) -> list[int]:
    """Those of some nuclei that are large enough to be a sample's nucleus."""
    smallest = SMALLEST_NUCLEUS_UM3 / np.prod(scene.voxel_size_um)
    return [nucleus for nucleus in nuclei if np.count_nonzero(scene.nuclei == nucleus) >= smallest]
