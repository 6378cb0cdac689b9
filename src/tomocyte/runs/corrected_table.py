"""The table of a run's item as it is with edits that the run has not seen: frames that they change, measured again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tomocyte.corrections.apply import EditedFrame
from tomocyte.corrections.from_labels import FinishedItem
from tomocyte.pipeline import open_input
from tomocyte.pipeline.measuring import measure_frame
from tomocyte.progress import Callback, silent
from tomocyte.runs.finished import FinishedRun

if TYPE_CHECKING:
    import pandas as pd

KEY = ["structure", "label"]


def corrected_table(
    run: FinishedRun, item: FinishedItem, frames: Mapping[int, EditedFrame], callback: Callback = silent
) -> pd.DataFrame:
    """The objects of an item with edits.

    Parameters
    ----------
    run : FinishedRun
    item : FinishedItem
        Of the run.
    frames : mapping
        Frame -> its labels, from :meth:`tomocyte.corrections.session.CorrectionSession.changed`.
    callback : callable
        Receives an event per step.

    Returns
    -------
    DataFrame
        The columns of the run's table, and ``edited``. What only a run finds out is empty for changed objects
        (confidence), or as it was before (tracks).

    Raises
    ------
    InputError
        ``E-NOT-FOUND``, ``E-INPUT-CHANGED``: the image is not the one that was analysed.
    TomocyteError
        As :func:`tomocyte.pipeline.measuring.measure_frame`.
    """
    import pandas as pd

    table = run.objects()
    table = table[table["item"] == item.name].reset_index(drop=True)
    if not frames:
        return table
    volume, _ = open_input(run.input_of(item), run.settings)
    masks = None
    if run.settings.model == "masks":
        masks = {name: item.folder / f"{name}.ome.tif" for name in item.structures}
    parts = [table[~table["frame"].isin(list(frames))]]
    for frame, edited in frames.items():
        measured = measure_frame(volume, run.settings, edited, frame=frame, masks=masks, callback=callback)
        parts.append(_with_rest(measured, table[table["frame"] == frame], item.name))
    columns = [*table.columns, *(["edited"] if "edited" not in table else [])]
    order = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return order.reindex(columns=columns).sort_values("frame", kind="stable").reset_index(drop=True)


def _with_rest(measured: pd.DataFrame, before: pd.DataFrame, item: str) -> pd.DataFrame:
    """Measured rows with the columns that only the run knows, from the rows that they had there."""
    old = before.drop_duplicates(KEY).set_index(KEY)
    result = measured.set_index(KEY)
    is_changed = result["edited"] != ""
    for name in old.columns.difference(result.columns):
        result[name] = old[name].reindex(result.index)
        if name not in ("track_id", "parent_id", "generation", "track_flags"):
            result[name] = result[name].mask(is_changed)
    for name in ("item", "path", "folder"):
        if name in old and len(old):
            result[name] = old[name].iloc[0]
    if "edited" in old:
        result["edited"] = result["edited"].where(is_changed, old["edited"].reindex(result.index).fillna(""))
    result["item"] = item
    return result.reset_index()
