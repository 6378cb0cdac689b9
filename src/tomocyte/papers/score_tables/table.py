"""A table of scores in the layout of the papers: rows (models) by columns (scores), each cell the mean (SD) over folds.

To add a score, add it to :data:`SCORE_NAMES`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tomocyte.errors import SettingsError
from tomocyte.papers.score_tables.published import PublishedRow
from tomocyte.statistics.agreement import mean_and_sd

if TYPE_CHECKING:
    import pandas as pd

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Row (model) -> score -> one value per fold."""

SCORE_NAMES: dict[str, str] = {
    "dice": "DICE",
    "jaccard": "Jaccard",
    "f05": "F0.5",
    "f05_as_published": "F0.5 as published",
    "pr_auc": "PR (AUC)",
    "precision": "Precision",
    "recall": "Recall",
    "pixel_accuracy": "Pixel accuracy",
    "f1": "Objects: F1 (IoU 0.5)",
    "matched_dice": "Objects: matched Dice",
    "panoptic_quality": "Objects: PQ",
}
"""Score -> heading, in the order of the columns; the paper has the first five, with one F0.5."""


@dataclass(frozen=True, eq=False)
class PaperTable:
    """Scores of models, each with its mean and standard deviation (n - 1) over folds.

    Parameters
    ----------
    scores : mapping of str to mapping of str to sequence of float
        Row -> score (a key of :data:`SCORE_NAMES`) -> one value per fold; NaN is left out.
    title : str
        Say there that data are simulated.
    labels : mapping of str to str
        Row -> what is printed; a row without one is printed as it is called.
    n_parameters : mapping of str to int
        Row -> trainable parameters; a row without one (no network) is left empty.
    published : mapping of str to PublishedRow
        Row -> what the paper prints, set beside the same score.
    """

    scores: Scores
    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    n_parameters: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, PublishedRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted({name for row in self.scores.values() for name in row} - set(SCORE_NAMES))
        if unknown:
            raise SettingsError(
                "E-SCORE", f"unknown scores: {', '.join(unknown)}.", cure=f"Known: {', '.join(SCORE_NAMES)}."
            )

    @property
    def note(self) -> str:
        """What the cells mean."""
        counts = {len(values) for row in self.scores.values() for values in row.values()}
        folds = f"{min(counts, default=0)}" if len(counts) < 2 else f"{min(counts)} to {max(counts)}"
        text = f"Mean (SD) over {folds} folds; SD with n - 1."
        if self.published:
            text += " Paper: mean (SD) as printed, on real data."
        return text

    def frame(self) -> pd.DataFrame:
        """Numbers, one row per model: ``model``, then per score ``…_mean``, ``…_sd``, ``…_n_folds``, ``n_parameters``.

        With ``published`` also ``…_paper_mean`` and ``…_paper_sd``.
        """
        import pandas as pd

        rows = []
        for name, scores in self.scores.items():
            row: dict[str, object] = {"model": self.labels.get(name, name)}
            for score in self._shown():
                values = list(scores.get(score, ()))
                mean, deviation = mean_and_sd(values)
                row |= {f"{score}_mean": mean, f"{score}_sd": deviation}
                row[f"{score}_n_folds"] = sum(not math.isnan(value) for value in values)
                if name in self.published and self._has_paper(score):
                    printed: tuple[float, ...] = getattr(self.published[name], score)
                    row[f"{score}_paper_mean"] = printed[0] if printed else math.nan
                    row[f"{score}_paper_sd"] = printed[1] if len(printed) > 1 else math.nan
            row["n_parameters"] = self.n_parameters.get(name)
            rows.append(row)
        return pd.DataFrame(rows).astype({"n_parameters": "Int64"})

    def cells(self) -> list[list[str]]:
        """Headings, then one row per model, as text."""
        shown = self._shown()
        has_counts = any(row.n_parameters is not None for row in self.published.values())
        table = [["Model", *self._headings(shown), "Parameters", *["Parameters, paper"] * has_counts]]
        for name, scores in self.scores.items():
            row = [self.labels.get(name, name)]
            for score in shown:
                row.append(score_text(scores.get(score, ())))
                if self._has_paper(score):
                    row.append(_printed_text(self.published.get(name), score))
            row.append(_count_text(self.n_parameters.get(name)))
            if has_counts:
                row.append(_count_text(self.published[name].n_parameters if name in self.published else None))
            table.append(row)
        return table

    def markdown(self) -> str:
        """The table as Markdown, its title above and its note below."""
        heading, *rows = [[cell.replace("|", "\\|") for cell in row] for row in self.cells()]
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [_piped(heading), _piped(["---", *["---:"] * (len(heading) - 1)]), *map(_piped, rows)]
        return "\n".join([*lines, "", self.note]) + "\n"

    def csv(self) -> str:
        """The numbers of :meth:`frame` as CSV, safe for spreadsheets."""
        from tomocyte.tables import csv_content

        return csv_content(self.frame())

    def html(self) -> str:
        """The table as an HTML fragment without scripts or references; all text is escaped."""
        heading, *rows = [[html.escape(cell) for cell in row] for row in self.cells()]
        lines = ["<table>", f"<caption>{html.escape(self.title)}</caption>"] if self.title else ["<table>"]
        lines.append("<thead><tr>" + "".join(f'<th scope="col">{cell}</th>' for cell in heading) + "</tr></thead>")
        lines.append("<tbody>")
        for first, *cells in rows:
            lines.append(f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        lines += ["</tbody>", "</table>", f"<p>{html.escape(self.note)}</p>"]
        return "\n".join(lines) + "\n"

    def _shown(self) -> list[str]:
        return [name for name in SCORE_NAMES if any(name in row for row in self.scores.values())]

    def _has_paper(self, score: str) -> bool:
        return any(getattr(row, score, ()) for row in self.published.values())

    def _headings(self, shown: list[str]) -> list[str]:
        names = []
        for score in shown:
            names.append(SCORE_NAMES[score])
            if self._has_paper(score):
                names.append(f"{SCORE_NAMES[score]}, paper")
        return names


def score_text(values: Sequence[float]) -> str:
    """Mean (SD) with four decimals; the mean alone of a single fold; nothing without values.

    Examples
    --------
    >>> score_text([0.90, 0.92, 0.94]), score_text([0.3716]), score_text([])
    ('0.9200 (0.0200)', '0.3716', '')
    """
    mean, deviation = mean_and_sd(values)
    if math.isnan(mean):
        return ""
    return f"{mean:.4f}" if math.isnan(deviation) else f"{mean:.4f} ({deviation:.4f})"


def _printed_text(row: PublishedRow | None, score: str) -> str:
    printed: tuple[float, ...] = getattr(row, score, ()) if row is not None else ()
    if not printed:
        return ""
    return f"{printed[0]:.4f}" if len(printed) == 1 else f"{printed[0]:.4f} ({printed[1]:.4f})"


def _count_text(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
