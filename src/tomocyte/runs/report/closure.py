"""Whether dry masses add up, in words for the list of an input's properties.

To say more, add a line to :func:`closure_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tomocyte.missing_cone.closure import MOST_PARTS_PERCENT
from tomocyte.runs.report.rounding import rounded


def closure_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Pairs of name and value; of several frames the worst of each.

    Parameters
    ----------
    records : sequence of mapping
        One per frame, with ``closure`` as :class:`tomocyte.missing_cone.closure.Closure` has it.
    """
    found = [record["closure"] for record in records if record.get("closure")]
    n_cut = sum(one["n_cut"] for one in found)
    without = f"; {_n(n_cut, 'cell')} cut by the border left out" if n_cut else ""
    frames = f", worst of {len(records)} frames" if len(records) > 1 else ""
    parts = [one for one in found if one["n_of_parts"]]
    if parts:
        worst_pg, worst = (max(one[name] for one in parts) for name in ("parts_pg", "parts_percent"))
        verb = "weigh" if worst <= MOST_PARTS_PERCENT else "do not weigh"
        yield (
            "organelles and the rest",
            f"{verb} what the cell weighs: within {_percent(worst)} and {max(worst_pg, 0.01):.2f} pg "
            f"({_n(sum(one['n_of_parts'] for one in parts), 'whole cell')}{frames}{without})",
        )
    elif n_cut and not sum(one["n_whole"] for one in found):
        yield "organelles and the rest", f"not compared: {_n(n_cut, 'cell')}, all cut by the border"
    columns = [one for one in found if one["n_of_columns"]]
    if columns:
        median, largest = (max(one[f"columns_{name}_percent"] for one in columns) for name in ("median", "largest"))
        yield (
            "3-D mass against 2-D phase",
            f"cells differ from the mass of their own columns by {_percent(median)} (median), at most "
            f"{_percent(largest)} ({_n(sum(one['n_of_columns'] for one in columns), 'whole cell')}{frames}{without})",
        )
    fields = [one for one in found if one["field_pg"] is not None and one["field_pg"] > 0]
    if fields:
        worst_field = max(fields, key=lambda one: abs(one["cells_pg"] / one["field_pg"] - 1))
        field_pg, cells_pg = worst_field["field_pg"], worst_field["cells_pg"]
        share = 100 * (cells_pg / field_pg - 1)
        yield (
            "whole field",
            f"weighs {rounded(field_pg)} pg above its background, its cells {rounded(cells_pg)} pg, "
            f"{_percent(abs(share))} {'more' if share > 0 else 'less'} (at the α of cells; those cut by the border "
            f"included{frames})",
        )


def _percent(value: float) -> str:
    return "0.1 %" if value <= 0.1 else f"{value:.1f} %"


def _n(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
