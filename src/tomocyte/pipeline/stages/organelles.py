"""What each cell holds: number, total and median size and dry mass of its organelles, and the share of its nucleus.

It is computed from the finished table, so that cells that were set by hand count. To add another column per cell, add
it to :func:`cell_columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.structures import CELL, NUCLEUS, contains
from tomocyte.tables import Column
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("volume_um3", "area_um2")
MASSES = ("dry_mass_pg", "projected_dry_mass_pg")
OTHERS = "Empty for other structures than cells"


class OrganellesStage(Stage):
    """Adds to every cell what its organelles sum up to."""

    name = "organelles"

    def prepare(self, volume: Volume) -> None:
        """Start with no columns."""
        super().prepare(volume)
        self._described: tuple[Column, ...] = ()

    @property
    def described(self) -> tuple[Column, ...]:
        """What the columns of cells mean."""
        return self._described

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is."""
        return state

    def after_all(self, state: VolumeState) -> VolumeState:
        """The table with the columns of cells; nothing where the main objects are no cells."""
        if self.plan.main != CELL:
            return state
        organelles = [name for name in state.labels if name != CELL and contains(CELL, name)]
        table, columns = cell_columns(state.table, organelles)
        self._described = columns
        return replace(state, table=table)


def cell_columns(table: pd.DataFrame, organelles: Sequence[str]) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """A table of objects with further columns in the rows of cells, and what these columns mean.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame with ``frame``, ``structure``, ``label``, ``cell_id`` and sizes.
    organelles : sequence of str
        Structures to sum up.

    Returns
    -------
    table : DataFrame
        With ``n_<organelle>``, ``total_<organelle>_<size>``, ``median_<organelle>_<size>`` for volume (planar: area)
        and dry mass, and ``nucleus_to_cytoplasm_ratio``.
    columns : tuple of Column
    """
    import pandas as pd

    is_cell = table["structure"] == CELL
    keys = pd.MultiIndex.from_frame(table.loc[is_cell, ["frame", "label"]])
    planar = "volume_um3" not in table
    sizes = [name for name in (*SIZES, *MASSES) if name in table and table[name].notna().any()]
    added: dict[str, np.ndarray] = {}
    columns: list[Column] = []

    def add(column: Column, values: pd.Series) -> None:
        whole = np.full(len(table), np.nan)
        whole[is_cell.to_numpy()] = values.reindex(keys).to_numpy(dtype=np.float64)
        added[column.name] = whole
        columns.append(column)

    for organelle in organelles:
        rows = table[(table["structure"] == organelle) & (table["cell_id"] > 0)]
        groups = rows.groupby(["frame", "cell_id"])
        words = organelle.replace("_", " ")
        count = groups.size().reindex(keys, fill_value=0)
        add(Column(f"n_{organelle}", "1", f"Number of objects of {words} in the cell.", f"{OTHERS}."), count)
        for name in sizes:
            unit = _unit(name)
            what = name.removesuffix("_um3").removesuffix("_um2").removesuffix("_pg").replace("_", " ")
            # A missing size is no size of 0: the total is then unknown.
            total = groups[name].sum(min_count=1).where(groups[name].count() == groups.size())
            total = total.reindex(keys).where(count > 0, 0.0)
            meaning = f"Total {what} of {words} in the cell."
            add(Column(f"total_{organelle}_{name}", unit, meaning, f"{OTHERS}, and where a size is unknown."), total)
            meaning = f"Median {what} of the objects of {words} in the cell."
            add(
                Column(f"median_{organelle}_{name}", unit, meaning, f"{OTHERS}, and for cells that hold none."),
                groups[name].median(),
            )
    size = "area_um2" if planar else "volume_um3"
    if f"total_{NUCLEUS}_{size}" in added:
        nucleus = added[f"total_{NUCLEUS}_{size}"]
        rest = table[size].to_numpy(dtype=np.float64) - nucleus
        kind = "area" if planar else "volume"
        added[f"nucleus_to_cytoplasm_{kind}_ratio"] = np.where(
            rest > 0, nucleus / np.where(rest > 0, rest, 1.0), np.nan
        )
        columns.append(
            Column(
                f"nucleus_to_cytoplasm_{kind}_ratio",
                "1",
                f"{kind.capitalize()} of the cell's nuclei divided by that of the rest of the cell.",
                f"{OTHERS}.",
            )
        )
    return table.assign(**added), tuple(columns)


def _unit(name: str) -> str:
    return {"volume_um3": "µm³", "area_um2": "µm²"}.get(name, "pg")
