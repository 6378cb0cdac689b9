"""Figures as files: SVG for papers, PNG for slides, and the CSV that the figure is drawn from and can be drawn again.

To add a kind of figure, write a function with the parameters of the others and name it in :data:`FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.experiment.agreement import bland_altman
from tomocyte.figures.experiment.distributions import distributions
from tomocyte.figures.experiment.lineage import lineage_trees
from tomocyte.figures.experiment.start_to_end import start_to_end
from tomocyte.figures.experiment.superplot import superplot
from tomocyte.figures.experiment.time_courses import time_courses
from tomocyte.tables import FORMULA_STARTS, write_csv

if TYPE_CHECKING:
    import pandas as pd

ABOUT = ("figure", "quantity", "unit", "title")
"""Columns of a CSV that say which figure it belongs to."""
ENDINGS: tuple[PictureFormat, ...] = ("svg", "png")


class DrawTable(Protocol):
    """A figure of a table."""

    def __call__(
        self, table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
    ) -> bytes: ...


FIGURES: dict[str, DrawTable] = {
    "superplot": superplot,
    "start-to-end": start_to_end,
    "time-course": time_courses,
    "distribution": distributions,
    "lineage": lineage_trees,
    "bland-altman": bland_altman,
}
"""Name of a kind -> the function that draws it from a table."""


def figure_kind(name: str) -> DrawTable:
    """The function of a kind of figure.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: there is no such kind.
    """
    if name not in FIGURES:
        raise SettingsError("E-PICTURE", f"{name!r} is no kind of figure.", cure=f"Known: {', '.join(FIGURES)}.")
    return FIGURES[name]


def write_figure(
    stem: Path, kind: str, table: pd.DataFrame, *, quantity: str, unit: str, title: str = ""
) -> tuple[Path, ...]:
    """Draw a table, and write ``stem.svg``, ``stem.png`` and ``stem.csv``.

    The CSV holds the rows with the columns ``figure``, ``quantity``, ``unit`` and ``title`` in front, so that
    :func:`draw_again` needs nothing else.

    Parameters
    ----------
    stem : Path
        Of the files, without ending; their folder is made if missing.
    kind : str
        One of :data:`FIGURES`.
    table : DataFrame
        As that function takes it.
    quantity, unit, title : str

    Returns
    -------
    tuple of Path
        SVG, PNG, CSV.

    Raises
    ------
    SettingsError
        ``E-PICTURE``.
    OSError
        A file cannot be written.
    """
    draw = partial(figure_kind(kind), table, quantity=quantity, unit=unit, title=title)
    data = table.drop(columns=[name for name in ABOUT if name in table])
    for place, (name, text) in enumerate(zip(ABOUT, (kind, quantity, unit, title), strict=True)):
        data.insert(place, name, text)
    return write_pictures(stem, lambda file_format: draw(file_format=file_format), data)


def write_pictures(stem: Path, draw: Callable[[PictureFormat], bytes], data: pd.DataFrame) -> tuple[Path, ...]:
    """Write a picture as SVG and PNG beside the CSV of what it shows; for pictures of images, not only of tables.

    Parameters
    ----------
    stem : Path
    draw : callable
        From a format to the picture's bytes.
    data : DataFrame

    Returns
    -------
    tuple of Path
        SVG, PNG, CSV.
    """
    pictures = {ending: draw(ending) for ending in ENDINGS}
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in (*ENDINGS, "csv")]
    for path, picture in zip(paths, pictures.values(), strict=False):
        path.write_bytes(picture)
    write_csv(data, paths[-1])
    return tuple(paths)


def draw_again(csv: Path, *, file_format: PictureFormat = "png") -> bytes:
    """The figure of a CSV that :func:`write_figure` wrote.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: it does not say what figure it belongs to.
    """
    table, about = read_figure_table(csv)
    missing = [name for name in ABOUT if name not in about]
    if missing:
        raise SettingsError(
            "E-PICTURE", f"has no column {missing[0]!r}.", path=csv, cure="Give a CSV that lies beside a figure."
        )
    draw = figure_kind(about.pop("figure"))
    return draw(table, **about, file_format=file_format)


def read_figure_table(csv: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of a CSV, and what it says of its figure: those of ``figure, quantity, unit, title`` that it has.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: it cannot be read as a table.
    """
    import pandas as pd
    from pandas.api.types import is_string_dtype

    try:
        table = pd.read_csv(csv, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as problem:
        raise SettingsError(
            "E-PICTURE", f"cannot be read as a table ({problem}).", path=csv, cure="Give a CSV in UTF-8 with commas."
        ) from problem
    for name in table.columns[[is_string_dtype(kind) for kind in table.dtypes]]:
        table[name] = [_as_it_was(text) for text in table[name]]
    about = {}
    for name in ABOUT:
        if name in table and len(table):
            text = table.pop(name).iloc[0]
            about[name] = "" if pd.isna(text) else str(text)
    return table, about


def _as_it_was(text: Any) -> Any:
    """A text without the mark that keeps spreadsheets from taking it for a formula."""
    is_marked = isinstance(text, str) and text[:1] == "'" and text[1:].startswith(FORMULA_STARTS)
    return text[1:] if is_marked else text
