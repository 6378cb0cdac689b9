"""What a simulated frame is: cells made of continuous parts; ``rendering`` puts them on a voxel grid.

Membership is exclusive for the finest structures and nested for the containers:

* ``cell`` contains all parts that carry a cell's label, filopodia included; ``nucleus`` contains its
  ``nuclear_membrane``, ``nuclear_reticulum`` and ``nucleolus`` (and the nucleoplasm, which has no name of its own);
* every voxel of a cell belongs to exactly one leaf. Leaves are painted in the order of :data:`PAINT_ORDER`, a later one
  over an earlier one. Parts are placed apart from each other, so that the order decides only ties (a filopodium is what
  its tube has outside every cell body; a nucleus hides what lies below it);
* ``cytosol`` is the cell without nucleus, organelles, plasma membrane and filopodia;
  ``extracellular`` is a mask (1 outside every cell).

A voxel belongs to the part that contains its centre, so the labels of two renderings agree wherever they look at the
same point. The refractive index is anti-aliased: at a border it is the mean over the voxel, to first order.

To add a structure: give it an entry in :mod:`tomocyte.structures`, name it in :data:`PAINT_ORDER`, give it parts in
``organelles`` and an index in ``composition``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.structures import ancestors

if TYPE_CHECKING:
    from tomocyte.simulation.cells.capillary import Capillary
    from tomocyte.simulation.cells.shapes import StarBody

Float = NDArray[np.float64]
Vector = tuple[float, float, float]

PAINT_ORDER: tuple[str, ...] = (
    "filopodium",
    "plasma_membrane",
    "cytosol",
    "endoplasmic_reticulum",
    "golgi",
    "mitochondrion",
    "early_endosome",
    "late_endosome",
    "lysosome",
    "peroxisome",
    "lipid_droplet",
    "nuclear_membrane",
    "nucleoplasm",
    "nuclear_reticulum",
    "nucleolus",
)
"""Leaves, each painted over those before it."""

IN_NUCLEUS = frozenset(name for name in PAINT_ORDER if "nucleus" in ancestors(name))
"""Leaves that belong to a nucleus."""

STRUCTURES: tuple[str, ...] = (
    "cell",
    "nucleus",
    *(name for name in PAINT_ORDER if name != "nucleoplasm"),
    "extracellular",
)
"""Names of the label images of every scene."""

SURROUNDINGS: tuple[str, ...] = ("bead", "capillary", "debris")
"""Names of the label images that a scene in a capillary has as well; they count as extracellular."""


@dataclass(frozen=True, eq=False)
class Part:
    """One leaf object: a continuous shape with its composition.

    Parameters
    ----------
    structure : str
        A name of :data:`PAINT_ORDER`, or of :data:`SURROUNDINGS`.
    label : int
        From 1, unique within the structure and the scene. Cytosol and plasma membrane carry their cell's label, the
        nuclear membrane its nucleus's.
    cell_label, nucleus_label : int
        The containers; ``nucleus_label`` is 0 outside nuclei, both are 0 outside cells.
    shape : StarBody or ndarray (N, 7) float64
        A star-shaped body, or a union of capsules (z0, y0, x0, z1, y1, x1, radius) in µm; a sphere has equal ends.
    ri : float
        Mean refractive index, before texture.
    texture_sigma : float
        Standard deviation of the index around it.
    """

    structure: str
    label: int
    cell_label: int
    nucleus_label: int
    shape: StarBody | Float
    ri: float
    texture_sigma: float = 0.0


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell: its outer bodies and all its parts in painting order.

    Parameters
    ----------
    label : int
        From 1, in this frame.
    track_id, parent_id : int
        Identity over time; ``parent_id`` is 0 for a cell without a mother.
    kind : str
        ``suspended``, ``adherent``, ``macrophage``, ``fibroblast``, ``mitotic`` or ``apoptotic``.
    bodies : tuple of StarBody
        Disjoint; the first is the cell, further ones are apoptotic fragments.
    parts : tuple of Part
    texture_origin_um : ndarray (3,)
        Where the cell's texture is anchored, so that it moves with the cell.
    texture_length_um : tuple of 2 float
        Correlation lengths of the fine and the coarse texture in µm.
    """

    label: int
    track_id: int
    parent_id: int
    kind: str
    bodies: tuple[StarBody, ...]
    parts: tuple[Part, ...]
    texture_origin_um: Float
    texture_length_um: tuple[float, float]

    def parts_of(self, structure: str) -> tuple[Part, ...]:
        """The parts of one leaf structure."""
        return tuple(part for part in self.parts if part.structure == structure)


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame as continuous geometry in µm; independent of a voxel size.

    Parameters
    ----------
    cells : tuple of Cell
        Labels 1 … n in order.
    medium_ri : float
    extent_um : tuple of 3 float
        Size z, y, x of the field; its corner is the origin. Cells may reach over the lateral border.
    texture : ndarray (N, N, N) float32
        Periodic random field, mean 0, standard deviation 1, that the cells' texture is read from.
    preset : str
        Name of the cell line.
    frame : int
    time_s : float
    debris : ndarray (n, 8)
        Particles in the medium, capsules and their index; they have no label and count as extracellular.
    surroundings : tuple of Part
        Beads and labelled debris around suspended cells; they overlap no cell.
    capillary : Capillary, optional
        The glass around suspended cells; its object index is one more than the last part's.
    """

    cells: tuple[Cell, ...]
    medium_ri: float
    extent_um: Vector
    texture: NDArray[np.float32]
    preset: str = ""
    frame: int = 0
    time_s: float = 0.0
    debris: Float = field(default_factory=lambda: np.zeros((0, 8)))
    surroundings: tuple[Part, ...] = ()
    capillary: Capillary | None = None

    def parts(self) -> Iterator[Part]:
        """Every part, cell by cell, in painting order, then the surroundings; the n-th has object index n (from 1)."""
        for cell in self.cells:
            yield from cell.parts
        yield from self.surroundings

    def with_values(
        self,
        value_of: Callable[[Part], tuple[float, float]],
        medium_value: float,
        *,
        capillary_values: tuple[float, float] | None = None,
    ) -> Scene:
        """The same geometry for another modality: its value and texture sigma per part instead of the index.

        Parameters
        ----------
        value_of : callable
            ``Part -> (mean, texture sigma)``, e.g. a linear absorption coefficient from ``part.structure``.
        medium_value : float
            The value outside the cells. Unlabelled debris is left out.
        capillary_values : tuple of 2 float, optional
            The values of the glass and beyond it; ``medium_value`` for both when not given.

        Returns
        -------
        Scene
            Rendering it gives that quantity where the index was.
        """

        def with_value(part: Part) -> Part:
            value, sigma = value_of(part)
            return replace(part, ri=value, texture_sigma=sigma)

        return replace(
            self,
            cells=tuple(replace(cell, parts=tuple(map(with_value, cell.parts))) for cell in self.cells),
            surroundings=tuple(map(with_value, self.surroundings)),
            medium_ri=medium_value,
            capillary=self.capillary and self.capillary.with_values(*(capillary_values or (medium_value,) * 2)),
            debris=np.zeros((0, 8)),
        )
