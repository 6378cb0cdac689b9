"""What to look at before trusting the numbers: notes, flags and cut objects, each with how many there are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tomocyte.runs.report.section import ReportContent, Section, colour_class
from tomocyte.structures import in_drawing_order

if TYPE_CHECKING:
    import pandas as pd

LOW_CONFIDENCE = 0.5
"""Below it, a mask is more likely to miss its object than to match it."""
_MOST_LINKS = 12


def quality_view(content: ReportContent) -> dict[str, Any] | None:
    """Notes by their code with the inputs that have them, and per structure how many objects carry which flag."""
    notes: dict[str, list[int]] = defaultdict(list)
    texts: dict[str, str] = {}
    for number, item in enumerate(content.items):
        lines = list(item.warnings) if item.error is None else [f"{item.error['code']}: {item.error['problem']}"]
        for line in lines:
            code, _, text = line.partition(": ")
            texts.setdefault(code, text)
            if number not in notes[code]:
                notes[code].append(number)
    rows = [
        {
            "code": code,
            "text": texts[code],
            "n": len(numbers),
            "inputs": [{"number": number + 1, "name": content.items[number].name} for number in numbers[:_MOST_LINKS]],
            "n_more": max(0, len(numbers) - _MOST_LINKS),
        }
        for code, numbers in sorted(notes.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    ]
    flags = flag_rows(content.table)
    if not rows and not flags:
        return None
    return {"notes": rows, "flags": flags, "n_inputs": len(content.items)}


def flag_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """How many objects of each structure carry a flag, lie at the border or have a low confidence.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"structure": "cell", "flags": ["two-nuclei", ""], "is_cut": [True, True]})
    >>> [(row["flag"], row["n"], row["n_all"]) for row in flag_rows(cells)]
    [('cut by the border', 2, 2), ('two-nuclei', 1, 2)]
    """
    if not len(table):
        return []
    rows = []
    for name in in_drawing_order([str(name) for name in table["structure"]]):
        objects = table[table["structure"] == name]
        counts: dict[str, int] = {}
        if "is_cut" in objects:
            counts["cut by the border"] = int(objects["is_cut"].astype(bool).sum())
        if "confidence" in objects:
            counts[f"confidence below {LOW_CONFIDENCE}"] = int((objects["confidence"] < LOW_CONFIDENCE).sum())
        if "flags" in objects:
            words = objects["flags"].dropna().astype(str).str.split(r"[\s,;|]+").explode()
            counts |= {str(word): int(count) for word, count in words[words != ""].value_counts().items()}
        rows += [
            {"structure": name, "colour": colour_class(name), "flag": flag, "n": count, "n_all": len(objects)}
            for flag, count in counts.items()
            if count
        ]
    return rows


SECTION = Section("quality", "What to check", quality_view)
