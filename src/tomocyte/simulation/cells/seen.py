"""Labels of what a microscope with a coarse axial resolution shows in focus, instead of exact shapes.

Exact labels of a tubule that is thinner than the distance of two planes fall apart; what is segmented of a stack is
every plane in which it is bright. Here each organelle has a label image of its own, so that they overlap where they
are seen in one voxel; cells, nuclei and membranes stay exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.rendering import Rendered
from tomocyte.simulation.cells.scene import IN_NUCLEUS, Scene
from tomocyte.simulation.cells.shapes import StarBody

if TYPE_CHECKING:
    import pandas as pd


def whole_cytosol(table: pd.DataFrame) -> pd.DataFrame:
    """A truth table whose ``cytosol`` is all of a cell outside its nuclei, as that of :class:`SeenLabels`.

    Volume, dry mass, mean index and place are the cell's less the nuclei's, the area is that of both.

    Parameters
    ----------
    table : DataFrame
        Of :func:`~tomocyte.simulation.cells.truth.truth_table`.
    """
    table = table.copy()
    weighted = ["mean_ri", "z_um", "y_um", "x_um"]
    for row in table.index[table["structure"] == "cytosol"]:
        own = table["cell_id"] == table.at[row, "cell_id"]
        cell = table[own & (table["structure"] == "cell")].iloc[0]
        nuclei = table[own & (table["structure"] == "nucleus")]
        volume = cell["volume_um3"] - nuclei["volume_um3"].sum()
        for name in weighted:
            total = cell[name] * cell["volume_um3"] - (nuclei[name] * nuclei["volume_um3"]).sum()
            table.at[row, name] = total / volume
        table.at[row, "volume_um3"] = volume
        table.at[row, "surface_area_um2"] = cell["surface_area_um2"] + nuclei["surface_area_um2"].sum()
        table.at[row, "dry_mass_pg"] = cell["dry_mass_pg"] - nuclei["dry_mass_pg"].sum()
    return table


class SeenLabels(Mapping[str, NDArray[np.uint32]]):
    """Structure -> labels (Z, Y, X) uint32, each made at access.

    Organelles that are unions of capsules are taken ``axial_um`` wider along z than across (in quadrature): a ball of
    radius r has the half axes r and √(r² + axial²). None reaches out of its cell, or of its nucleus. ``cytosol`` is all
    of a cell outside its nucleus, so that nucleus, cytosol and extracellular space share out every voxel.

    Parameters
    ----------
    scene : Scene
    exact : Rendered
        The same scene on the grid.
    axial_um : float
        Half of the height over which a thin object is in focus.
    """

    def __init__(self, scene: Scene, exact: Rendered, *, axial_um: float) -> None:
        self._scene = scene
        self._exact = exact
        self._axial_um = axial_um
        parts = [part for cell in scene.cells for part in cell.parts]
        self._drawn = {part.structure for part in parts if not isinstance(part.shape, StarBody)} - {"filopodium"}

    def __getitem__(self, structure: str) -> NDArray[np.uint32]:
        exact = self._exact.labels
        if structure == "cytosol":
            return np.where(exact["nucleus"] == 0, exact["cell"], np.uint32(0))
        if structure not in self._drawn:
            return exact[structure]
        return self._marked(structure)

    def __contains__(self, structure: object) -> bool:
        return structure in self._exact.labels

    def __iter__(self) -> Iterator[str]:
        return iter(self._exact.labels)

    def __len__(self) -> int:
        return len(self._exact.labels)

    def _marked(self, structure: str) -> NDArray[np.uint32]:
        container = self._exact.labels["nucleus" if structure in IN_NUCLEUS else "cell"]
        labels = np.zeros(container.shape, np.uint32)
        grid = np.array([self._exact.origin_um, self._exact.voxel_size_um], dtype=float)
        for cell in self._scene.cells:
            for part in cell.parts_of(structure):
                if isinstance(part.shape, StarBody):
                    continue
                owner = part.nucleus_label if structure in IN_NUCLEUS else part.cell_label
                tubes = np.ascontiguousarray(part.shape, dtype=float)
                stretches = np.hypot(tubes[:, 6], self._axial_um) / tubes[:, 6]
                kernels.mark_tubes(labels, (container, np.uint32(owner)), grid, tubes, part.label, stretches)
        return labels
