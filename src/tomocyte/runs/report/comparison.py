"""The comparison of conditions for people: a row per comparison, and the sentences of the analysis.

The file keeps every column and digit. To show another one, add a cell to :func:`_row`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tomocyte.runs.report.rounding import heading, like, rounded
from tomocyte.runs.report.section import colour_class

MOST_ROWS = 200
SIGNIFICANT = 0.05
_SMALLEST_P = 0.0001
SUMMARIES = {"mean": "mean of each cell", "change": "change over the film", "rate": "rate per hour"}
"""What of a cell is compared, as the table says it -> in words."""


def comparison_rows(path: Path) -> dict[str, Any] | None:
    """The rows of ``comparison.csv`` as text, with the numbers behind them.

    Returns
    -------
    dict or None
        ``rows`` and ``n``, how many the file has; None where there is no such table.
    """
    import pandas as pd

    if not path.is_file():
        return None
    whole = pd.read_csv(path)
    is_one = {"quantity", "condition", "control"} <= set(whole)
    return {"rows": [_row(row) for row in whole.head(MOST_ROWS).to_dict("records")] if is_one else [], "n": len(whole)}


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    summary, structure = _text(row, "summary"), _text(row, "structure")
    quantity = _text(row, "quantity")
    column = quantity if summary == "mean" else ""
    p, p_holm = _number(row, "p"), _number(row, "p_holm")
    known = p if math.isnan(p_holm) else p_holm
    return {
        "structure": structure.replace("_", " "),
        "colour": colour_class(structure),
        "quantity": _words(quantity),
        "unit": {"1": "", "nan": ""}.get(_text(row, "unit_of_quantity"), _text(row, "unit_of_quantity")),
        "summary": SUMMARIES.get(summary, summary),
        "sides": [_side(row, "condition", "", column), _side(row, "control", "_control", column)],
        "difference": {"text": _difference(row), "value": _value(_number(row, "difference"))},
        "p": {"text": p_text(p), "value": _value(p)},
        "p_holm": {"text": p_text(p_holm), "value": _value(p_holm)},
        "verdict": _text(row, "reason") if math.isnan(known) else _verdict(known),
        "is_shown": known < SIGNIFICANT,
    }


def _words(quantity: str) -> str:
    """A column without its unit, as people say it."""
    from tomocyte.measurements.registry import UNIT_ENDINGS

    ending = next((ending for ending in UNIT_ENDINGS if quantity.endswith(ending)), "")
    return heading(quantity.removesuffix(ending), "")


def _side(row: Mapping[Any, Any], name: str, ending: str, column: str) -> dict[str, str]:
    """Name, mean and numbers of one of the two."""
    mean = _number(row, f"mean{ending}")
    counts = (_number(row, f"n_{what}{ending}") for what in ("replicates", "cells"))
    replicates, cells = ("–" if math.isnan(count) else str(int(count)) for count in counts)
    return {
        "name": _text(row, name), "mean": rounded(mean, column), "value": _value(mean), "replicates": replicates,
        "cells": cells,
    }  # fmt: skip


def _difference(row: Mapping[Any, Any]) -> str:
    """The difference with three digits, and the ends of its interval behind it where they are known."""
    value, low, high = (_number(row, f"difference{side}") for side in ("", "_low", "_high"))
    if math.isnan(value):
        return "–"
    size = max(abs(value), *(abs(end) for end in (low, high) if math.isfinite(end)), 1e-300)
    decimals = max(0, 2 - math.floor(math.log10(size)))
    text = like(value, f"{0:.{decimals}f}")
    ends = [like(end, text) for end in (low, high) if math.isfinite(end)]
    return f"{text} ({ends[0]} to {ends[1]})" if len(ends) == 2 else text


def p_text(p: float) -> str:
    """A p value with two digits.

    Examples
    --------
    >>> p_text(0.01234), p_text(1e-9), p_text(math.nan)
    ('0.012', '< 0.0001', '–')
    """
    if math.isnan(p):
        return "–"
    return f"< {_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.2g}"


def _verdict(p: float) -> str:
    return "the conditions differ" if p < SIGNIFICANT else "no difference shown"


def _text(row: Mapping[Any, Any], name: str) -> str:
    value = row.get(name, "")
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def _number(row: Mapping[Any, Any], name: str) -> float:
    return float(row.get(name, math.nan))


def _value(number: float) -> str:
    return repr(number) if math.isfinite(number) else ""


def analysis_sentences(path: Path) -> list[tuple[str, str]]:
    """The lines of ``words.md``: pairs of kind (``heading``, ``item``, ``text``) and text; empty without that file."""
    if not path.is_file():
        return []
    kinds = {"## ": "heading", "- ": "item"}
    found = []
    for line in path.read_text(encoding="utf-8").replace("**", "").splitlines():
        if line.strip() and not line.startswith("# "):
            start = next((start for start in kinds if line.startswith(start)), "")
            found.append((kinds.get(start, "text"), line.removeprefix(start)))
    return found
