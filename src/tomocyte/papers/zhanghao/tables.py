"""Numbers per compartment from the tables of a run: objects, volumes, intensity and ratio, contacts of all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.structures import CELL

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("item", "frame")


def anatomy_table(run: Path, compartments: Sequence[str]) -> pd.DataFrame:
    """One row per stack, frame and compartment: number, volume, share of the cells, intensity and ratio.

    Parameters
    ----------
    run : Path
        Folder of a run.
    compartments : sequence of str

    Returns
    -------
    DataFrame
        ``item``, ``frame``, ``compartment``, ``n_cells``, ``n_objects``, ``n_per_cell``, ``volume_um3``,
        ``volume_share`` (of the volume of all cells), ``mean_intensity`` and ``mean_ratio`` (over all voxels; NaN where
        the run has not measured them).
    """
    import pandas as pd

    objects = pd.read_parquet(run / "objects.parquet")
    rows = []
    for (item, frame), here in objects.groupby(list(KEYS), sort=False):
        cells = here[here["structure"] == CELL]
        for name in compartments:
            own = here[here["structure"] == name]
            volume = float(own["volume_um3"].sum()) if "volume_um3" in own else math.nan
            whole = float(cells["volume_um3"].sum()) if "volume_um3" in cells else math.nan
            rows.append(
                {
                    "item": item, "frame": int(str(frame)), "compartment": name, "n_cells": len(cells),
                    "n_objects": len(own), "n_per_cell": len(own) / len(cells) if len(cells) else math.nan,
                    "volume_um3": volume, "volume_share": volume / whole if whole else math.nan,
                    "mean_intensity": _mean(own, "mean_intensity_intensity"), "mean_ratio": _mean(own, "mean_ratio"),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _mean(objects: pd.DataFrame, column: str) -> float:
    """The mean over all voxels of the objects."""
    if column not in objects or not len(objects) or "volume_um3" not in objects:
        return math.nan
    is_known = objects[column].notna()
    weights = objects.loc[is_known, "volume_um3"]
    return float(np.average(objects.loc[is_known, column], weights=weights)) if weights.sum() > 0 else math.nan


def contact_table(run: Path, stages: Mapping[tuple[str, int], str] | None = None) -> pd.DataFrame | None:
    """One row per frame and two compartments: what touches what per cell, against chance; ``None`` if not measured.

    Parameters
    ----------
    run : Path
        Folder of a run.
    stages : mapping, optional
        Item and frame -> stage; then there is a row per stage instead of one per frame.

    Returns
    -------
    DataFrame or None
        ``frame`` or ``stage``, ``structure``, ``other_structure``, ``n_cells``, ``contacts_per_cell``,
        ``area_um2_per_cell``, ``expected_per_cell`` and ``effect`` (sum of observed over sum of
        expected contacts; NaN without placements).
    """
    import pandas as pd

    path = run / "contacts.parquet"
    if not path.exists():
        return None
    contacts = pd.read_parquet(path)
    place = "frame"
    if stages is not None:
        place = "stage"
        contacts["stage"] = [stages[key] for key in zip(contacts["item"], contacts["frame"], strict=True)]
    rows = []
    for key, own in contacts.groupby([place, "structure", "other_structure"], sort=False):
        placed = own[own["n_contacts_expected"].notna()]
        expected = float(placed["n_contacts_expected"].sum())
        rows.append(
            (
                *key, len(own), own["n_contacts"].mean(), own["contact_area_um2"].mean(),
                placed["n_contacts_expected"].mean(),
                float(placed["n_contacts"].sum()) / expected if expected else math.nan,
            )
        )  # fmt: skip
    names = (
        place, "structure", "other_structure", "n_cells", "contacts_per_cell", "area_um2_per_cell",
        "expected_per_cell", "effect",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(names))
