"""A score table in the layout of the papers: rows (models) by columns (scores), each cell the mean (SD) over folds.

Every metric of the table gets a column (:mod:`tomocyte.evaluation.metrics`), those of :data:`PAPER_ORDER` first.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tomocyte.evaluation import Metric, ScoreTable, all_metrics, find_metric
from tomocyte.papers.score_tables.published import PublishedRow
from tomocyte.statistics.agreement import mean_and_sd

if TYPE_CHECKING:
    import pandas as pd

PAPER_ORDER = (
    "dice", "jaccard", "f05", "f05_as_published", "auc_pr", "precision", "recall", "pixel_accuracy",
    "instance_f1", "hungarian_dice", "panoptic_quality",
)  # fmt: skip
"""Metrics in the order of a paper's columns; the OS-Net paper has the first five, with one F0.5."""
KEYS = ("method", "fold")


@dataclass(frozen=True, eq=False)
class PaperTable:
    """Scores of models, each with its mean and standard deviation (n - 1) over folds.

    Parameters
    ----------
    scores : ScoreTable
        A row per ``method`` and ``fold``, the metrics as columns; NaN is left out.
    title : str
        State there that data are simulated.
    labels : mapping of str to str
        Row -> what is printed; a row without one is printed as it is called.
    n_parameters : mapping of str to int
        Row -> trainable parameters; a row without one (no network) is left empty.
    published : mapping of str to PublishedRow
        Row -> the paper's value, printed next to the same score.
    """

    scores: ScoreTable
    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    n_parameters: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, PublishedRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self._names():
            find_metric(name)

    @property
    def note(self) -> str:
        """What the cells mean."""
        counts = {len(self._values(row, name)) for row in self._rows() for name in self._names()} - {0}
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
        for name in self._rows():
            row: dict[str, object] = {"model": self.labels.get(name, name)}
            for score in self._shown():
                values = self._values(name, score)
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
        for name in self._rows():
            row = [self.labels.get(name, name)]
            for score in shown:
                row.append(score_text(self._values(name, score)))
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
        """The columns, the paper's first."""
        order = [*PAPER_ORDER, *(metric.name for metric in all_metrics())]
        return sorted(self._names(), key=lambda name: _place(find_metric(name), order))

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.scores.rows for name in row if name not in KEYS))

    def _rows(self) -> list[str]:
        return [str(name) for name in self.scores.unique("method")]

    def _values(self, row: str, score: str) -> list[float]:
        return self.scores.values(score, method=row)

    def _has_paper(self, score: str) -> bool:
        return any(getattr(row, score, ()) for row in self.published.values())

    def _headings(self, shown: list[str]) -> list[str]:
        names = []
        for score in shown:
            heading = score_heading(score)
            names.append(heading)
            if self._has_paper(score):
                names.append(f"{heading}, paper")
        return names


def score_heading(score: str) -> str:
    """What stands over the column of a metric.

    Examples
    --------
    >>> score_heading("pr_auc"), score_heading("moc")
    ('PR (AUC)', 'moc')
    """
    metric = find_metric(score)
    return metric.heading or metric.name


def _place(metric: Metric, order: Sequence[str]) -> int:
    """Where a metric stands among names; one of many thresholds where they stand."""
    names = (metric.name, metric.name.rpartition("_iou")[0])
    return next(index for index, name in enumerate(order) if name in names)


def score_text(values: Sequence[float]) -> str:
    """Mean (SD) with four decimals; the mean alone of a single fold; empty without values.

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
