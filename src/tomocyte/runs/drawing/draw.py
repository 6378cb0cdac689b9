"""All figures of a run, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.runs.drawing.charts import cells_of, chart_run, first_frame, lineage_files
from tomocyte.runs.drawing.montages import cell_montage, track_montages
from tomocyte.runs.drawing.renderings import rendering_files
from tomocyte.runs.drawing.view import ItemView, view_item
from tomocyte.runs.finished import FinishedRun
from tomocyte.settings import Settings

if TYPE_CHECKING:
    from tomocyte.statistics.design import Design

QUANTITIES = ("volume_um3", "area_um2", "dry_mass_pg", "projected_dry_mass_pg", "mean_ri", "mean_value")
"""Drawn when none is asked for: those of them that a run has, the first three."""
_MOST_DEFAULT = 3


class DrawSettings(Settings):
    """Which figures of a run are drawn."""

    quantities: tuple[str, ...] = ()
    """Columns of the table of objects. Empty: size, dry mass and refractive index, where they are there."""
    structure: str | None = None
    """Structure whose objects are shown. Default: the main objects."""
    n_each: int = Field(default=3, ge=1, le=12)
    """Cells of each kind in a montage: lowest, typical, highest."""
    has_montages: bool = True
    """Whether crops of the inputs and renderings are drawn; the inputs must lie where they lay."""


def draw_run(
    run: FinishedRun,
    folder: Path,
    settings: DrawSettings | None = None,
    *,
    design: Design | None = None,
    inputs: Path | None = None,
) -> Iterator[Path]:
    """Write charts, montages and a rendering per condition of a run, each as SVG (not the last), PNG and CSV.

    Parameters
    ----------
    run : FinishedRun
    folder : Path
        Where files are written; made if missing.
    settings : DrawSettings, optional
    design : Design, optional
        Conditions and replicates of the inputs.
    inputs : Path, optional
        Folder where the inputs lie now.

    Yields
    ------
    Path
        Of each file.

    Raises
    ------
    SettingsError
        ``E-DRAW``: no such column or structure, or nothing was found.
    InputError
        As :func:`~tomocyte.runs.drawing.view.view_item`.
    """
    options = settings or DrawSettings()
    objects = run.objects()
    facts = [run.item(name).record.facts for name in run.names]
    structure = options.structure or (str(facts[0]["primary"]) if facts else "cell")
    present = sorted(set(objects["structure"]))
    if structure not in present:
        raise SettingsError(
            "E-DRAW", f"the run found no {structure}.", path=run.folder,
            cure=f"Draw one of: {', '.join(present)}." if present else "Nothing was found: look at the report.",
        )  # fmt: skip
    own = objects[objects["structure"] == structure].dropna(axis=1, how="all")
    quantities = options.quantities or [name for name in QUANTITIES if name in own][:_MOST_DEFAULT]
    unknown = [name for name in quantities if name not in own or own[name].dtype.kind not in "fiu"]
    if unknown or not quantities:
        numbers = ", ".join(name for name in own.columns if own[name].dtype.kind == "f")
        raise SettingsError(
            "E-DRAW", f"{structure} has no values in {', '.join(unknown) or 'any column'}.", path=run.folder,
            cure=f"It has {numbers}.",
        )  # fmt: skip
    yield from chart_run(objects, folder, quantities, structure, design)
    tracks = run.tracks()
    if tracks is not None:
        yield from lineage_files(tracks, objects, folder)
    if not options.has_montages:
        return

    @cache
    def view(name: str) -> ItemView:
        return view_item(run, name, inputs)

    cells, _ = cells_of(objects, structure, design)
    for quantity in quantities:
        stem = folder / f"{structure}_{quantity}_montage"
        yield from cell_montage(first_frame(cells), quantity, stem, view=view, n_each=options.n_each)
    yield from track_montages(cells, folder / structure, view=view)
    for item in cells.drop_duplicates("condition")["item"]:
        yield from rendering_files(view(str(item)), folder / f"rendering_{item}")
