"""Results of an experiment: tables, pictures, and a summary in plain words.

To write another kind of file, add it to :class:`ExperimentResult` and write it in :func:`write_result`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.figures.canvas import COMPARISON_COLOURS, PictureFormat
from tomocyte.ledger import writing
from tomocyte.ledger.atomic import write_atomic
from tomocyte.provenance import environment, now_utc
from tomocyte.tables import csv_content

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.datasets.labelled import LabelledItem
    from tomocyte.models import ModelCard

OS_NETS = ("osnet", "unet16-gcn-ssc")
"""Networks that the paper calls OS-Net."""


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """All results of an experiment.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        File name without ending -> table; the units are in the column names.
    pictures : mapping of str to bytes
        File name without ending -> picture.
    summary : str
        Markdown; states whether data are simulated.
    file_format : {"png", "pdf", "svg"}
        Of the pictures.
    """

    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, bytes]
    summary: str
    file_format: PictureFormat = "png"
    notes: tuple[str, ...] = field(default=())


def write_result(result: ExperimentResult, folder: Path, *, about: Mapping[str, Any]) -> list[Path]:
    """Write all of it, each file whole or not at all, and ``experiment.json`` with how it was made.

    Parameters
    ----------
    result : ExperimentResult
    folder : Path
        Made if missing; files of the same name are replaced.
    about : mapping
        Fit for JSON: recipe, model, data.

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    files = {f"{name}.csv": csv_content(table).encode() for name, table in result.tables.items()}
    files |= {f"{name}.{result.file_format}": data for name, data in result.pictures.items()}
    files["summary.md"] = result.summary.encode()
    record = {**about, "notes": list(result.notes), "environment": environment(), "finished": now_utc()}
    files["experiment.json"] = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomic(folder / name, data)
    return [folder / name for name in files]


def method_name(card: ModelCard, item: LabelledItem) -> str:
    """Name of a model's outline: OS-Net (with its own colour in another laboratory), or the model's name."""
    if card.network.name not in OS_NETS:
        return card.name
    return "OS-Net (cross-laboratory)" if item.domain == "other-laboratory" else "OS-Net"


def method_colours(name: str) -> dict[str, str]:
    """A model that is no OS-Net is drawn in OS-Net's yellow, too."""
    return {} if name in COMPARISON_COLOURS else {name: COMPARISON_COLOURS["OS-Net"]}


def origin_words(items: list[LabelledItem], *, is_simulated: bool) -> str:
    """``simulated MDA-MB-231``, or the cell lines of measured cells."""
    lines = sorted({item.cell_line for item in items if item.cell_line})
    cells = ", ".join(lines) if lines else "cells"
    return f"simulated {cells}" if is_simulated else cells
