"""Comparisons and series of every structure and quantity, from one table of objects and a design.

To add what cells are compared by, write a function in :mod:`tomocyte.statistics.series` and name it in
:data:`SUMMARIES`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tomocyte.errors import InputError, SettingsError
from tomocyte.notices import Notice
from tomocyte.runs.analyse.reading import Measured
from tomocyte.settings import Settings
from tomocyte.statistics import (
    Baseline,
    ComparisonSettings,
    Design,
    LeftOut,
    cell_values,
    compare_conditions,
    courses,
    holm,
    lineage,
    normalised,
    sister_pairs,
    track_changes,
    track_rates,
    with_events,
    without_unfit,
)
from tomocyte.statistics.comparing import Comparison
from tomocyte.statistics.objects import DERIVED, has_tracks
from tomocyte.statistics.series import COVERED_SHARE, TRACK_KEYS, as_cells
from tomocyte.structures import CELL, ancestors, find_name, in_drawing_order

if TYPE_CHECKING:
    import pandas as pd

Summary = Literal["mean", "change", "rate"]
QUANTITIES = (
    "volume_um3",
    "area_um2",
    "surface_area_um2",
    "mean_ri",
    "concentration_mg_per_ml",
    "dry_mass_pg",
    "mean_lac_per_um",
    "mean_intensity",
)
"""Compared unless others are asked for, where the table has them; few, because every test costs the others power."""

MANY_PER_CELL = 1.5
"""Objects per cell that holds any, from which on their number and total volume are compared, too."""


def has_zero(quantity: str) -> bool:
    """Whether the zero of a quantity means nothing of it, so that percentages make sense; an index has none.

    Examples
    --------
    >>> has_zero("volume_um3"), has_zero("mean_ri")
    (True, False)
    """
    return "ri" not in quantity.split("_")


class AnalysisSettings(Settings):
    """What is compared, and how."""

    structures: tuple[str, ...] = ()
    """Structures; all of the table where none is named."""
    quantities: tuple[str, ...] = ()
    """Columns of the table, ``n_per_cell`` or ``total_volume_um3``; the usual ones where none is named."""
    summaries: tuple[Summary, ...] = ()
    """What of a film is compared: the ``mean`` of each cell over its frames, its ``change`` from the baseline to the
    end in percent (of an index, its difference), its ``rate`` per hour. By default mean and change, without times the
    mean."""
    baseline: str = "first"
    """What series are divided by: ``first`` frame, or a window START:END in seconds."""
    band: Literal["interval", "sd", "sem"] = "interval"
    """What figures over time show about the mean of replicates: its interval, their standard deviation, or its standard
    error."""
    keep: tuple[str, ...] = ()
    """What is not left out: ``border``, ``flagged``, or the name of a flag."""
    comparison: ComparisonSettings = Field(default_factory=ComparisonSettings)
    """The test."""


@dataclass(frozen=True)
class Tested:
    """One comparison, and of what."""

    structure: str
    quantity: str
    summary: Summary
    comparison: Comparison
    p_holm: float = float("nan")


@dataclass(frozen=True, eq=False)
class Analysis:
    """All results of an analysis.

    Parameters
    ----------
    design : Design
    settings : AnalysisSettings
    tested : tuple of Tested
    cells : mapping-like of (structure, quantity, summary) to DataFrame
        One value per cell: ``condition``, ``replicate``, ``dish``, ``item``, ``track``, ``cell``, ``value``.
    series : DataFrame
        One row per structure, quantity, track and frame; empty without times.
    by_condition : DataFrame
        Courses of the values and of the normalised values, of all cells and per generation.
    rates : DataFrame
        Per structure, quantity and track.
    sisters : DataFrame
    left_out : LeftOut
    notices : tuple of Notice
    """

    design: Design
    settings: AnalysisSettings
    tested: tuple[Tested, ...]
    cells: dict[tuple[str, str, Summary], pd.DataFrame]
    series: pd.DataFrame
    by_condition: pd.DataFrame
    rates: pd.DataFrame
    sisters: pd.DataFrame
    left_out: LeftOut
    notices: tuple[Notice, ...]


def analyse_objects(measured: Measured, design: Design, settings: AnalysisSettings | None = None) -> Analysis:
    """Compare the conditions of a design in every structure and quantity.

    Parameters
    ----------
    measured : Measured
    design : Design
    settings : AnalysisSettings, optional

    Raises
    ------
    SettingsError
        ``E-STRUCTURE``, ``E-QUANTITY``: the table has none of that name; ``E-CONDITION``: the control is none;
        ``E-BASELINE``.
    InputError
        ``E-ANALYSE``: no object is left.
    """
    options = settings or AnalysisSettings()
    baseline = Baseline.parse(options.baseline)
    check_control(design, options.comparison.control)
    kept, left_out = without_unfit(measured.objects[measured.objects["item"].isin(_items(design))], options.keep)
    if kept.empty:
        if left_out.counts:
            raise InputError(
                "E-ANALYSE", f"no object is left to compare. {left_out.words}", path=measured.source,
                cure="Give --keep border or --keep flagged, if these count here.",
            )  # fmt: skip
        raise InputError(
            "E-ANALYSE", "no input of the design holds an object.", path=measured.source,
            cure="Look at the masks, and at the report of the run.",
        )  # fmt: skip
    pairs = _quantities(kept, options)
    tracks = lineage(kept, measured.tracks)
    is_film = bool((kept.groupby("item")["frame"].nunique() > 1).any())
    has_times = is_film and "time_s" in kept and bool(kept["time_s"].notna().any())
    summaries = options.summaries or (("mean", "change") if has_times else ("mean",))
    notices = [*design.notices(), *_notices(measured, design, options, kept, is_film=is_film, has_times=has_times)]
    collected = _Collected()
    for structure, quantity in pairs:
        values = cell_values(kept, structure, quantity)
        values = design.join(values)
        # The condition that the design names first is what others are compared with, whatever the inputs are called.
        order = list(design.conditions)
        values = values.sort_values("condition", key=lambda names: names.map(order.index), kind="stable")
        values = values.assign(time_s=values["time_s"] - values["time_zero_s"])
        collected.add(structure, quantity, values, tracks, baseline, options, summaries, is_series=has_times)
    tested = _corrected(collected.tested)
    return Analysis(design, options, tested, collected.cells, *collected.tables(), left_out, tuple(notices))


class _Collected:
    """Results so far."""

    def __init__(self) -> None:
        self.tested: list[Tested] = []
        self.cells: dict[tuple[str, str, Summary], pd.DataFrame] = {}
        self.series: list[pd.DataFrame] = []
        self.courses: list[pd.DataFrame] = []
        self.rates: list[pd.DataFrame] = []
        self.sisters: list[pd.DataFrame] = []

    def add(
        self,
        structure: str,
        quantity: str,
        values: pd.DataFrame,
        tracks: pd.DataFrame,
        baseline: Baseline,
        options: AnalysisSettings,
        summaries: tuple[Summary, ...],
        *,
        is_series: bool,
    ) -> None:
        """Compare one quantity of one structure."""
        for summary in summaries:
            if summary == "mean":
                cells = values
            elif summary == "change":
                cells = track_changes(values, baseline, is_relative=has_zero(quantity))
            else:
                cells = track_rates(values)
            cells = as_cells(cells)
            self.cells[structure, quantity, summary] = cells
            known = {*cells.loc[cells["value"].notna(), "condition"]}
            control = options.comparison.control
            if control is not None and control not in known:
                continue
            aim = options.comparison.effect_percent if summary == "change" and has_zero(quantity) else None
            self.tested += [
                Tested(structure, quantity, summary, _with_short_tracks(comparison, summary, values, cells))
                for comparison in compare_conditions(cells, options.comparison.model_copy(update={"effect": aim}))
            ]
        if not is_series:
            return
        level = options.comparison.level
        about = {"structure": structure, "quantity": quantity}
        rows = with_events(values, tracks) if len(tracks) else values.assign(parent="", generation=0, event="")
        rows = rows.assign(normalised=normalised(rows, baseline, is_relative=has_zero(quantity)), **about)
        self.series.append(rows)
        generations = sorted(set(rows["generation"]))
        for column in ("value", "normalised"):
            parts = [("all", rows)]
            if len(generations) > 1:
                parts += [(str(number), rows[rows["generation"] == number]) for number in generations]
            for name, part in parts:
                self.courses.append(courses(part, column, level).assign(generation=name, of=column, **about))
        self.rates.append(track_rates(rows, level).assign(**about))
        self.sisters.append(sister_pairs(rows).assign(**about))

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Series, courses, rates and sisters, each in one table."""
        return _joined(self.series), _joined(self.courses), _joined(self.rates), _joined(self.sisters)


def _with_short_tracks(
    comparison: Comparison, summary: Summary, values: pd.DataFrame, cells: pd.DataFrame
) -> Comparison:
    """The comparison with a note on tracks that are too short for a change or a rate."""
    if summary == "mean":
        return comparison
    counts = []
    for name in (comparison.condition, comparison.control):
        all_tracks, used = (
            table.loc[(table["condition"] == name) & table["value"].notna(), list(TRACK_KEYS)].drop_duplicates()
            for table in (values, cells)
        )
        counts.append((len(all_tracks) - len(used), len(all_tracks), name))
    if not any(missing for missing, *_ in counts):
        return comparison
    texts = " and ".join(f"{missing} of {total} tracks of {name}" for missing, total, name in counts)
    why = f"cover less than {100 * COVERED_SHARE:g} % of the film" if summary == "change" else "have fewer than 3 times"
    return replace(comparison, notes=(*comparison.notes, f"left out because they {why}: {texts}"))


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else (parts[0] if parts else pd.DataFrame())


def _corrected(tested: list[Tested]) -> tuple[Tested, ...]:
    """With Holm's correction over all tests of the analysis."""
    adjusted = holm([one.comparison.p for one in tested])
    return tuple(
        Tested(one.structure, one.quantity, one.summary, one.comparison, float(p))
        for one, p in zip(tested, adjusted, strict=True)
    )


def _items(design: Design) -> list[str]:
    return [entry.item for entry in design.assignments]


def check_control(design: Design, control: str | None) -> None:
    """Refuse a control that is none of the conditions.

    Raises
    ------
    SettingsError
        ``E-CONDITION``.
    """
    if control is not None and control not in design.conditions:
        cure = f"The conditions are: {', '.join(design.conditions)}."
        raise SettingsError("E-CONDITION", f"there is no condition {control!r}.", cure=cure)


def _quantities(objects: pd.DataFrame, options: AnalysisSettings) -> list[tuple[str, str]]:
    """Every structure with each of its quantities that has a value."""
    present = in_drawing_order(dict.fromkeys(objects["structure"]))
    structures = present
    if options.structures:
        found = {name: find_name(name, present) for name in options.structures}
        missing = [name for name, match in found.items() if match is None]
        if missing:
            raise SettingsError(
                "E-STRUCTURE",
                f"the table has no {', '.join(missing)} that count.",
                cure=f"It has: {', '.join(present)}.",
            )
        structures = [match for match in found.values() if match is not None]
    derived = [column.name for column in DERIVED]
    numeric = [str(name) for name in objects.select_dtypes("number").columns]
    unknown = [name for name in options.quantities if name not in (*numeric, *derived)]
    if unknown:
        raise SettingsError(
            "E-QUANTITY",
            f"the table has no number {', '.join(unknown)}.",
            cure=f"It has: {', '.join(numeric)}, and {', '.join(derived)} of what lies in cells.",
        )
    pairs = []
    for structure in structures:
        rows = objects[objects["structure"] == structure]
        is_part = structure != CELL and CELL in present and CELL in ancestors(structure)
        n_cells = len(rows[["item", "frame", "cell_id"]].drop_duplicates()) if is_part else 0
        is_many = n_cells > 0 and len(rows) / n_cells >= MANY_PER_CELL
        wanted = options.quantities or (*QUANTITIES, *(derived if is_many else ()))
        for name in wanted:
            is_derived = name in derived and is_part and (name == derived[0] or "volume_um3" in objects)
            if is_derived or (name in numeric and bool(rows[name].notna().any())):
                pairs.append((structure, name))
    if not pairs:
        raise SettingsError(
            "E-QUANTITY",
            "no structure has a value of what is to be compared.",
            cure=f"Name columns with --quantity; the table has: {', '.join(numeric)}.",
        )
    return pairs


def _notices(
    measured: Measured, design: Design, options: AnalysisSettings, kept: pd.DataFrame, *, is_film: bool, has_times: bool
) -> list[Notice]:
    notices = []
    items = _items(design)
    failed = [item for item in items if item in measured.failed]
    if failed:
        notices.append(Notice("W-ANALYSE-FAILED", f"inputs that could not be done take no part: {', '.join(failed)}."))
    with_objects = {*kept["item"].unique()}
    empty = [item for item in items if item not in with_objects and item not in measured.failed]
    if empty:
        notices.append(
            Notice(
                "W-ANALYSE-EMPTY",
                f"inputs without an object that counts take no part (nothing is counted as 0): {', '.join(empty)}.",
            )
        )
    alive = {entry.condition for entry in design.assignments if entry.item not in {*failed, *empty}}
    dead = [name for name in design.conditions if name not in alive]
    if dead:
        notices.append(
            Notice(
                "W-ANALYSE-NO-CONDITION",
                f"no input of {', '.join(dead)} holds an object that counts: nothing is compared with it.",
            )
        )
    if is_film and not has_times:
        notices.append(
            Notice(
                "W-ANALYSE-NO-TIMES",
                "nothing says when frames were taken: there are no series. Run again with --time-step-s.",
            )
        )
    if is_film and not has_tracks(kept):
        notices.append(
            Notice(
                "W-ANALYSE-NO-TRACKS",
                "objects were not tracked: a label means another cell in another frame, so that series are means over "
                "all cells of an input.",
            )
        )
    if design.has_common_replicates() and not options.comparison.is_paired:
        names = ", ".join(design.replicates(design.conditions[0])[:3])
        notices.append(
            Notice(
                "W-ANALYSE-PAIRED",
                f"replicates have the same names in every condition ({names}): if each is one day, donor or animal, "
                "give --paired, which compares within it.",
            )
        )
    return notices
