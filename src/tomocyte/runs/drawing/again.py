"""Figures of tables that are not a run's: the CSV beside a figure, or a table of one's own."""

from __future__ import annotations

from pathlib import Path

from tomocyte.errors import OutputError, SettingsError
from tomocyte.figures.experiment import FIGURES, write_figure
from tomocyte.figures.experiment.files import read_figure_table


def draw_table(
    csv: Path,
    stem: Path,
    *,
    kind: str | None = None,
    quantity: str | None = None,
    unit: str | None = None,
    title: str | None = None,
) -> tuple[Path, ...]:
    """Draw a CSV as SVG, PNG and CSV; what it says of itself holds where nothing else is given.

    Parameters
    ----------
    csv : Path
        Beside a figure, with the columns ``figure, quantity, unit, title``; or any table with the columns that a kind
        of figure needs.
    stem : Path
        Of the new files, which must not exist.
    kind, quantity, unit, title : str, optional

    Raises
    ------
    SettingsError
        ``E-PICTURE``: it says nowhere what figure is wanted, or lacks a column.
    OutputError
        ``E-EXISTS``.
    """
    table, about = read_figure_table(csv)
    wanted = kind or about.get("figure")
    if not wanted:
        raise SettingsError(
            "E-PICTURE",
            "does not say which figure is to be drawn.",
            path=csv,
            cure=f"Name it: --kind, one of {', '.join(FIGURES)}.",
        )
    for ending in ("svg", "png", "csv"):
        path = stem.with_name(f"{stem.name}.{ending}")
        if path.exists():
            raise OutputError("E-EXISTS", "already exists.", path=path, cure="Choose another name with -o.")
    given = {"quantity": quantity, "unit": unit, "title": title}
    labels = {name: about.get(name, "") if text is None else text for name, text in given.items()}
    return write_figure(stem, wanted, table, **labels)
