"""Whether two methods agree on the same cells: one against the other, and Bland and Altman's chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.curves import agreement_figure
from tomocyte.figures.experiment.tables import complete_rows, in_order

if TYPE_CHECKING:
    import pandas as pd


def bland_altman(
    table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """The second method against the first, beside their difference over their mean with bias and limits.

    Parameters
    ----------
    table : DataFrame
        ``first, second``, one row per cell; ``first_name`` and ``second_name``, where they are there, name the methods.
    quantity, unit : str
        Of the values.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
        As :func:`tomocyte.figures.agreement_figure` draws it.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or there is no pair of values.
    """
    rows = complete_rows(table, ("first", "second"), ("first", "second"))
    names = [str(in_order(rows[f"{side}_name"])[0]) if f"{side}_name" in rows else side for side in ("first", "second")]
    return agreement_figure(
        rows["first"].to_numpy(),
        rows["second"].to_numpy(),
        name=quantity,
        unit=unit,
        methods=(names[0], names[1]),
        title=title,
        file_format=file_format,
    )
