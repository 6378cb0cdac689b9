"""From tables of objects to values of cells: what is left out, whose an organelle is, one value per cell and frame.

A table of objects is what ``tomocyte run`` and ``measure`` write. To add a quantity that a table does not hold but that
follows from it, add it to :data:`DERIVED` and to :func:`cell_values`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import InputError
from tomocyte.structures import CELL
from tomocyte.tables import Column

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("item", "frame", "structure", "label")
BORDER, FLAGGED = "border", "flagged"
"""Reasons to leave an object out; a flag's own name keeps the cells of that flag alone."""
FLAG_COLUMNS = ("flags", "track_flags")
"""Columns with flags, joined by semicolons."""
HARMLESS = ("touches-border", "after-gap", "corrected")
"""Flags that leave nothing out: what the border cuts is counted by itself, after a gap a cell is the same cell, and a
link set by hand changes nothing of the cell."""
HOMELESS, LOST, UNTRACKED = "outside all cells", "cell left out", "no track"
REASONS = {
    BORDER: "cut by the border",
    LOST: "whose cell is left out",
    HOMELESS: "outside all cells",
    UNTRACKED: "without a track",
}
"""Reason -> in words; other reasons are flags."""
N_PER_CELL, TOTAL_PER_CELL = "n_per_cell", "total_volume_um3"
DERIVED = (
    Column(N_PER_CELL, "1", "Number of objects of the structure in a cell; 0 for a cell without any."),
    Column(TOTAL_PER_CELL, "µm³", "Volume of all objects of the structure in a cell; 0 for a cell without any."),
)
"""Quantities of a cell that follow from its organelles."""


@dataclass(frozen=True)
class LeftOut:
    """What a comparison does not count.

    Parameters
    ----------
    counts : dict
        (structure, reason) -> rows left out. Reasons: the keys of :data:`REASONS`, and flags.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, structure: str, reason: str, count: int) -> None:
        """Count some more."""
        if count:
            self.counts[structure, reason] = self.counts.get((structure, reason), 0) + count

    @property
    def words(self) -> str:
        """In a sentence; empty where nothing was left out.

        Examples
        --------
        >>> LeftOut({("cell", "border"): 3, ("lipid_droplet", "cell left out"): 1}).words
        'Left out (of a film, each frame counts): 3 × cell cut by the border, 1 × lipid droplet whose cell is left out.'
        """
        parts = [
            f"{count} × {structure.replace('_', ' ')} {REASONS.get(reason, f'flagged {reason}')}"
            for (structure, reason), count in self.counts.items()
        ]
        return f"Left out (of a film, each frame counts): {', '.join(parts)}." if parts else ""


def check_objects(objects: pd.DataFrame) -> None:
    """Refuse a table that is none of objects.

    Raises
    ------
    InputError
        ``E-OBJECTS``.
    """
    missing = [name for name in KEYS if name not in objects]
    if missing:
        raise InputError(
            "E-OBJECTS",
            f"the table has no column {', '.join(missing)}.",
            cure="Give a table of objects, as `tomocyte run` and `tomocyte measure` write them.",
        )


def without_unfit(objects: pd.DataFrame, keep: Collection[str] = ()) -> tuple[pd.DataFrame, LeftOut]:
    """The objects that count: neither cut by the border nor flagged, and with them what their cells hold.

    Parameters
    ----------
    objects : DataFrame
        ``item``, ``frame``, ``structure``, ``label`` and, where known, ``cell_id``, ``is_cut``, ``flags``,
        ``track_flags``.
    keep : collection of str
        ``border``, ``flagged``, or flags that do not matter.

    Returns
    -------
    kept : DataFrame
    left_out : LeftOut
    """
    import pandas as pd

    check_objects(objects)
    left_out = LeftOut()
    is_cell = objects["structure"] == CELL
    is_out = pd.Series(False, index=objects.index)
    if "is_cut" in objects and BORDER not in keep:
        is_out |= objects["is_cut"].fillna(False).astype(bool)
        for name, count in objects.loc[is_out, "structure"].value_counts(sort=False).items():
            left_out.add(str(name), BORDER, int(count))
    columns = [objects[name].fillna("").astype(str) for name in FLAG_COLUMNS if name in objects]
    if columns and FLAGGED not in keep:
        harmless = {"", *HARMLESS, *keep}
        own = [
            [flag for text in texts for flag in text.split(";") if flag not in harmless]
            for texts in zip(*columns, strict=True)
        ]
        is_flagged = pd.Series([bool(flags) for flags in own], index=objects.index, dtype=bool) & ~is_out
        kinds = pd.DataFrame({"structure": objects["structure"], "flag": own}, index=objects.index)[is_flagged]
        counts: dict[Any, int] = kinds.explode("flag").value_counts(["structure", "flag"], sort=False).to_dict()
        for (name, flag), count in counts.items():
            left_out.add(name, flag, count)
        is_out |= is_flagged
    if is_cell.any() and "cell_id" in objects:
        fit = objects.loc[is_cell & ~is_out, ["item", "frame", "label"]].rename(columns={"label": "cell_id"})
        owner = objects[["item", "frame", "cell_id"]].merge(fit.drop_duplicates(), how="left", indicator="owner")
        has_owner = pd.Series((owner["owner"] == "both").to_numpy(), index=objects.index)
        is_homeless = ~is_cell & ~is_out & (objects["cell_id"].fillna(0) == 0)
        is_lost = ~is_cell & ~is_out & ~has_owner & ~is_homeless
        for rows, reason in ((is_homeless, HOMELESS), (is_lost, LOST)):
            for name, count in objects.loc[rows, "structure"].value_counts(sort=False).items():
                left_out.add(str(name), reason, int(count))
        is_out |= is_homeless | is_lost
    if has_tracks(objects):
        is_untracked = is_cell & ~is_out & objects["track_id"].isna()
        left_out.add(CELL, UNTRACKED, int(is_untracked.sum()))
        is_out |= is_untracked
    return objects[~is_out], left_out


def has_tracks(objects: pd.DataFrame) -> bool:
    """Whether objects were tracked."""
    return "track_id" in objects and bool(objects["track_id"].notna().any())


def cell_values(objects: pd.DataFrame, structure: str, quantity: str) -> pd.DataFrame:
    """One value per cell and frame: the object's own, or the mean over the objects that the cell holds.

    Parameters
    ----------
    objects : DataFrame
        Those that count, see :func:`without_unfit`.
    structure : str
    quantity : str
        A column, or one of :data:`DERIVED` for what lies in cells.

    Returns
    -------
    DataFrame
        ``item``, ``frame``, ``time_s`` (NaN where not known), ``track`` (str), ``value``. ``track`` is the cell's
        track where objects were tracked. Of several frames without tracks it is ``field``, one for all cells of the
        input: a label means another cell in another frame. Else it is the cell's label.
    """
    rows = objects[objects["structure"] == structure]
    cells = objects[objects["structure"] == CELL]
    is_part = structure != CELL and len(cells) > 0 and "cell_id" in objects
    if is_part:
        rows = _per_cell(rows, cells, quantity)
    else:
        rows = rows.assign(value=rows[quantity].astype("float64"))
    times = rows.get("time_s", np.nan)
    table = rows[["item", "frame", "value"]].assign(time_s=times, track=_identities(rows, objects))
    keys = ["item", "frame", "time_s", "track"]
    return table.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()


def _per_cell(rows: pd.DataFrame, cells: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The rows of the cells, each with the value of what it holds."""
    keys = ["item", "frame", "cell_id"]
    column = "volume_um3" if quantity == TOTAL_PER_CELL else quantity
    if quantity == N_PER_CELL:
        held = rows.groupby(keys, sort=False).size()
    elif quantity == TOTAL_PER_CELL:
        held = rows.groupby(keys, sort=False)[column].sum(min_count=1)
    else:
        held = rows.groupby(keys, sort=False)[column].mean()
    owners = cells.drop(columns=["cell_id", "value"], errors="ignore").rename(columns={"label": "cell_id"})
    merged = owners.merge(held.rename("value").reset_index(), on=keys, how="left")
    if quantity in (N_PER_CELL, TOTAL_PER_CELL):
        merged["value"] = merged["value"].fillna(0.0)
    return merged.rename(columns={"cell_id": "label"})


def _identities(rows: pd.DataFrame, objects: pd.DataFrame) -> pd.Series[str]:
    """What tells the cells of one input apart."""
    if has_tracks(objects):
        return rows["track_id"].map(lambda number: "" if number != number else str(int(number)))  # NaN is not itself
    n_frames = objects.groupby("item")["frame"].nunique()
    is_film = rows["item"].map(n_frames) > 1
    return rows["label"].astype(int).astype(str).where(~is_film, "field")
