"""A scene on a voxel grid: each part painted within its bounding box.

Two volumes are written, the object index and the refractive index; labels are looked up from the first. To render
something else, add a kernel that paints it and call it in :func:`render_scene`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.scene import IN_NUCLEUS, STRUCTURES, SURROUNDINGS, Cell, Part, Scene, Vector
from tomocyte.simulation.cells.shapes import Float, StarBody

Volumes = tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32]]

_BULGE_UM = 0.15  # between its nodes a surface may lie a little beyond them
TEXTURE_NODES_PER_LENGTH = 3.0
"""Nodes of the texture tile per correlation length."""


class Labels(Mapping[str, NDArray[np.uint32]]):
    """Structure -> labels (Z, Y, X) uint32, 0 = background, each made at access (17 at once would need much memory).

    Parameters
    ----------
    objects : ndarray (Z, Y, X) uint32
        Object index of every voxel, 0 = medium.
    tables : mapping of str to ndarray (n_objects + 1,) uint32
        Per structure, object index -> label.
    """

    def __init__(self, objects: NDArray[np.uint32], tables: Mapping[str, NDArray[np.uint32]]) -> None:
        self._objects = objects
        self._tables = dict(tables)

    def __getitem__(self, structure: str) -> NDArray[np.uint32]:
        if structure not in self._tables:
            raise SettingsError(
                "E-SIM-STRUCTURE", f"unknown structure {structure!r}.", cure=f"Known: {', '.join(self._tables)}."
            )
        labels: NDArray[np.uint32] = np.take(self._tables[structure], self._objects)
        return labels

    def __contains__(self, structure: object) -> bool:
        return structure in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A scene on a voxel grid.

    Parameters
    ----------
    labels : mapping of str to ndarray (Z, Y, X) uint32
        Every name of ``scene.STRUCTURES`` and ``scene.SURROUNDINGS``; an array is made at each access (8 bytes per
        voxel are kept in all).
        ``extracellular`` is a mask of 0 and 1.
    cell_of : mapping of str to ndarray (n_labels + 1,) uint32
        Per structure, object label -> cell label; entry 0 is 0.
    ri : ndarray (Z, Y, X) float32
        True refractive index with texture.
    medium_ri : float
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    origin_um : tuple of 3 float
        Outer corner of the first voxel.
    """

    labels: Mapping[str, NDArray[np.uint32]]
    cell_of: Mapping[str, NDArray[np.uint32]]
    ri: NDArray[np.float32]
    medium_ri: float
    voxel_size_um: Vector
    origin_um: Vector = field(default=(0.0, 0.0, 0.0))


def render_scene(
    scene: Scene, voxel_size_um: Vector, shape: tuple[int, int, int], *, origin_um: Vector = (0, 0, 0)
) -> Rendered:
    """Labels and refractive index of a scene on a voxel grid.

    Parameters
    ----------
    scene : Scene
    voxel_size_um : tuple of 3 float
        z, y, x in µm, each above 0.
    shape : tuple of 3 int
        Z, Y, X of the result.
    origin_um : tuple of 3 float
        Outer corner of the first voxel; the centre of voxel i lies at ``origin + (i + 0.5) * voxel_size``.

    Returns
    -------
    Rendered

    Raises
    ------
    SettingsError
        ``E-SIM-GRID`` for a voxel size or shape that is not positive.

    Examples
    --------
    >>> empty = Scene((), 1.337, (4.0, 6.0, 5.0), np.zeros((2, 2, 2), np.float32))
    >>> rendered = render_scene(empty, (1.0, 0.5, 0.5), (4, 12, 10))
    >>> rendered.ri.shape, int(rendered.labels["extracellular"].sum())
    ((4, 12, 10), 480)
    """
    if min(shape) < 1 or not all(math.isfinite(size) and size > 0 for size in voxel_size_um):
        raise SettingsError(
            "E-SIM-GRID",
            f"a grid of {shape} voxels of {voxel_size_um} µm cannot be rendered.",
            cure="Give three sizes above 0 and at least one voxel along each axis.",
        )
    objects = np.zeros(shape, np.uint32)
    ri = np.full(shape, scene.medium_ri, np.float32)
    grid = np.array([origin_um, voxel_size_um], dtype=float)
    for particle in scene.debris:
        paint = np.array([particle[7], 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])  # object 0: no label
        _paint_tube((objects, ri, scene.texture), grid, tube=particle[:7], paint=paint)
    n_in_cells = sum(len(cell.parts) for cell in scene.cells)
    for index, part in enumerate(scene.surroundings, start=n_in_cells + 1):
        paint = np.array([part.ri, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, index])  # no texture
        _paint((objects, ri, scene.texture), grid, part=part, paint=paint)
    if scene.capillary is not None:
        index = n_in_cells + len(scene.surroundings) + 1
        glass = np.array([scene.capillary.ri, scene.capillary.outside_ri, index])
        kernels.paint_wall((objects, ri), grid, scene.capillary.frame, glass)
    for is_filopodium in (True, False):
        index = 0
        for cell in scene.cells:
            for part in cell.parts:
                index += 1
                if (part.structure == "filopodium") == is_filopodium:
                    _paint((objects, ri, scene.texture), grid, part=part, paint=_paint_values(cell, part, index))
    tables, cell_of = _label_tables(scene)
    return Rendered(
        labels=Labels(objects, tables),
        cell_of=cell_of,
        ri=ri,
        medium_ri=scene.medium_ri,
        voxel_size_um=voxel_size_um,
        origin_um=origin_um,
    )


def texture_at(scene: Scene, cell: Cell, points_um: Float) -> Float:
    """The cell's texture (mean 0, standard deviation about 1) at points (n, 3) in µm."""
    paint = _paint_values(cell, cell.parts[0], 0)
    out: Float = kernels.read_texture_at(scene.texture, paint, np.ascontiguousarray(points_um))
    return out


def _paint_values(cell: Cell, part: Part, index: int) -> Float:
    scales = [TEXTURE_NODES_PER_LENGTH / length for length in cell.texture_length_um]
    return np.array([part.ri, part.texture_sigma, *scales, *cell.texture_origin_um, index], dtype=float)


def _paint(volumes: Volumes, grid: Float, *, part: Part, paint: Float) -> None:
    if isinstance(part.shape, StarBody):
        body = part.shape
        bounds = body.bounds_um + np.array([[-_BULGE_UM], [_BULGE_UM]])
        box = _voxel_box(bounds, grid, volumes[0].shape)
        if (box[:, 1] > box[:, 0]).all():
            tables = np.stack([body.radii, body.thickness_per_radius_um])
            kernels.paint_body(volumes, grid, box, body.frame, tables, paint)
        return
    for tube in part.shape:
        _paint_tube(volumes, grid, tube=tube, paint=paint)


def _paint_tube(volumes: Volumes, grid: Float, *, tube: Float, paint: Float) -> None:
    ends = tube[:6].reshape(2, 3)
    bounds = np.stack([ends.min(axis=0) - tube[6], ends.max(axis=0) + tube[6]])
    box = _voxel_box(bounds, grid, volumes[0].shape)
    if (box[:, 1] > box[:, 0]).all():
        kernels.paint_capsule(volumes, grid, box, tube, paint)


def _voxel_box(bounds_um: Float, grid: Float, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Voxel indices (3, 2) that cover ``bounds_um`` (2, 3) and one voxel more, inside the volume."""
    low = np.floor((bounds_um[0] - grid[0]) / grid[1]).astype(int) - 1
    high = np.ceil((bounds_um[1] - grid[0]) / grid[1]).astype(int) + 1
    return np.stack([np.clip(low, 0, shape), np.clip(high, 0, shape)], axis=1).astype(np.int64)


def _label_tables(scene: Scene) -> tuple[dict[str, NDArray[np.uint32]], dict[str, NDArray[np.uint32]]]:
    """Object index -> label per structure, and object label -> cell label per structure."""
    parts = list(scene.parts())
    names = (*STRUCTURES, *SURROUNDINGS)
    n_objects = len(parts) + (scene.capillary is not None)
    tables = {name: np.zeros(n_objects + 1, np.uint32) for name in names}
    tables["extracellular"][0] = 1
    owners: dict[str, dict[int, int]] = {name: {0: 0} for name in names}
    for index, part in enumerate(parts, start=1):
        if part.structure in SURROUNDINGS:
            tables[part.structure][index] = part.label
            tables["extracellular"][index] = 1
            owners[part.structure][part.label] = 0
            continue
        containers = {"cell": part.cell_label}
        if part.structure in IN_NUCLEUS:
            containers["nucleus"] = part.nucleus_label
        if part.structure != "nucleoplasm":
            containers[part.structure] = part.label
        for name, label in containers.items():
            tables[name][index] = label
            owners[name][label] = part.cell_label
    if scene.capillary is not None:
        tables["capillary"][n_objects] = tables["extracellular"][n_objects] = 1
        owners["capillary"][1] = 0
    cell_of = {}
    for name, owner in owners.items():
        lookup = np.zeros(max(owner) + 1, np.uint32)
        lookup[list(owner)] = list(owner.values())
        cell_of[name] = lookup
    return tables, cell_of
