"""Numbers of a run beside the exact truth of its simulated fields: errors, shares within a goal, coverage of intervals.

The run is as anybody's: ``tomocyte run`` on the fields. To compare another column, add it to :data:`QUANTITIES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.comparison.whole_objects import found_whole, whole_objects
from tomocyte.corrections.from_labels import FinishedItem, finished_item
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError
from tomocyte.progress import Callback, Progress, silent
from tomocyte.tables import Column

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
INSIDE = "inside its 90 % interval"


@dataclass(frozen=True)
class Quantity:
    """A column that is compared.

    Parameters
    ----------
    column : str
        The same in tables of objects and of the truth.
    name : str
        For people.
    goal : float
        Errors up to it count as within the goal.
    is_relative : bool
        Whether errors are shares of the true value; else they are differences.
    """

    column: str
    name: str
    goal: float = 0.08
    is_relative: bool = True


QUANTITIES = (
    Quantity("dry_mass_pg", "dry mass"),
    Quantity("mean_ri", "mean RI", 0.0010, is_relative=False),
    Quantity("volume_um3", "volume"),
    Quantity("surface_area_um2", "surface"),
    Quantity("height_um", "height"),
)

COLUMNS = (
    Column("domain", "", "In what the fields differ from those of the training.", kind="text"),
    Column("line", "", "Cell line; all: of every line together.", kind="text"),
    Column("structure", "", "What was found.", kind="text"),
    Column("column", "", "The number that is compared.", kind="text"),
    Column("n", "1", "Whole objects that were found (IoU of at least 0.5) and have the number.", kind="integer"),
    Column("n_whole", "1", "Whole objects that there are.", kind="integer"),
    Column("bias", "", "Mean error: of mean_ri the difference, else a share of the true value.", "no object"),
    Column("sd", "", "Standard deviation of the error.", "fewer than two objects"),
    Column("bias_in_mask", "", "Mean error of the value of the mask alone.", "the value is that of the mask"),
    Column("sd_in_mask", "", "Standard deviation of that.", "the value is that of the mask"),
    Column("goal", "", "Largest error that counts as within the goal."),
    Column("share_within_goal", "1", "Share of objects within it.", "no object"),
    Column("share_within_goal_in_mask", "1", "The same of the value of the mask alone.", "as bias_in_mask"),
    Column("n_intervals", "1", "Objects with a 90 % interval.", kind="integer"),
    Column("coverage", "1", "Share of their true values that lie in it.", "no interval"),
    Column("coverage_low", "1", "Lower end of the exact 95 % binomial interval of that share.", "no interval",
           "doi:10.1093/biomet/26.4.404"),
    Column("coverage_high", "1", "Upper end.", "no interval", "doi:10.1093/biomet/26.4.404"),
)  # fmt: skip
"""Of the table of :func:`summarise`."""


def compare_run(run: Path, data: Path, *, callback: Callback = silent) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The numbers of all whole objects that a run found in simulated fields, and how many there are.

    Parameters
    ----------
    run : Path
        Folder of ``tomocyte run`` on the images of ``data``, or on some of them.
    data : Path
        What ``tomocyte simulate`` wrote.
    callback : callable
        Receives an event of the step ``compare`` before each field.

    Returns
    -------
    numbers : DataFrame
        One row per object and quantity: ``item``, ``line``, ``domain``, ``frame``, ``structure``, ``label``,
        ``true_label``, ``iou``, ``column``, ``estimator``, ``value``, ``in_mask``, ``low``, ``high``, ``truth``.
    whole : DataFrame
        ``item``, ``line``, ``domain``, ``structure``, ``n_whole``.

    Raises
    ------
    InputError
        ``E-NO-DATA``: the run has none of the fields; ``E-ACCURACY-IMAGE``: it is of another image of that name;
        ``E-EDIT-BASE``: its labels were changed.
    """
    import pandas as pd

    pairs = list(_pairs(run, data))
    numbers, whole = [], []
    for index, (field, item) in enumerate(pairs):
        callback(Progress(field.name, "compare", done=index, total=len(pairs)))
        for structure, n_whole, rows in _compare_field(field, item):
            about = {"item": field.name, "line": field.cell_line, "domain": field.domain, "structure": structure}
            numbers += [{**about, **row} for row in rows]
            whole.append({**about, "n_whole": n_whole})
    return pd.DataFrame(numbers), pd.DataFrame(whole)


def _pairs(run: Path, data: Path) -> Iterator[tuple[LabelledItem, FinishedItem]]:
    """Fields with exact truth and what the run made of them."""
    from tomocyte.provenance import sha256_of_path

    finished = [
        finished_item(run, path.name.removesuffix(".done.json")) for path in (run / "items").glob("*.done.json")
    ]
    by_source = {item.record.source: item for item in finished}
    fields = [field for field in find_items(data) if field.truth is not None and field.image.name in by_source]
    if not fields:
        raise InputError(
            "E-NO-DATA",
            f"{run} holds the result of no field of this folder that has exact truth.",
            path=data,
            cure="Give the folder of `tomocyte run` on images of `tomocyte simulate`, then that of the simulation.",
        )
    for field in fields:
        item = by_source[field.image.name]
        if item.record.input_sha256 != sha256_of_path(field.image):
            raise InputError(
                "E-ACCURACY-IMAGE",
                f"is not the image of that name that {run} was made from.",
                path=field.image,
                cure="Run the images of this folder again, or give the folder that was run.",
            )
        yield field, item


def _compare_field(field: LabelledItem, item: FinishedItem) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Structure, whole objects there are, and the rows of those found."""
    import pandas as pd

    table, truth = pd.read_parquet(item.folder / "objects.parquet"), pd.read_parquet(field.truth or "")
    image = field.open_image()
    for structure in (name for name in item.structures if name in field.labels):
        labels, true_labels = item.labels(structure), field.open_labels(structure, image)
        n_whole, rows = 0, []
        for frame in range(image.n_frames if true_labels is not None else 0):
            whole = whole_objects(truth[truth["frame"] == frame], structure)
            mine = table[(table["frame"] == frame) & (table["structure"] == structure)]
            own = {int(row["label"]): row for row in mine.to_dict("records")}
            true = {int(label): row for label, row in zip(whole.index, whole.to_dict("records"), strict=True)}
            n_whole += len(whole)
            there = np.asarray(true_labels.planes(frame, 0)) if true_labels is not None else np.zeros(0)
            for found in found_whole(np.asarray(labels.planes(frame, 0)), there, whole):
                rows += [
                    {"frame": frame, **found._asdict(), **numbers}
                    for numbers in _numbers(own[found.label], true[found.true_label])
                ]
        yield structure, n_whole, rows


def _numbers(mine: dict[Any, Any], true: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """An object's quantities beside their truth; those without a value are left out."""
    for quantity in QUANTITIES:
        column = quantity.column
        value, truth = float(mine.get(column, math.nan)), float(true.get(column, math.nan))
        if math.isfinite(value) and math.isfinite(truth):
            yield {
                "column": column,
                "estimator": str(mine.get(f"{column}_estimator", "")),
                "value": value,
                "in_mask": float(mine.get(f"{column}_in_mask", math.nan)),
                "low": float(mine.get(f"{column}_low", math.nan)),
                "high": float(mine.get(f"{column}_high", math.nan)),
                "truth": truth,
            }


def summarise(numbers: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Errors and coverage per domain, structure and quantity, of all lines together and of each.

    Parameters
    ----------
    numbers, whole : DataFrame
        From :func:`compare_run`.

    Returns
    -------
    DataFrame
        With the columns of :data:`COLUMNS`.

    References
    ----------
    Clopper & Pearson, Biometrika 26, 404 (1934), doi:10.1093/biomet/26.4.404: the exact interval of a share.
    """
    import pandas as pd

    rows = []
    for domain, of_domain in numbers.groupby("domain", sort=True):
        for line in (ALL, *sorted(of_domain["line"].unique())):
            of_line = of_domain if line == ALL else of_domain[of_domain["line"] == line]
            n_whole = whole[(whole["domain"] == domain) & ((line == ALL) | (whole["line"] == line))]
            for structure in dict.fromkeys(of_domain["structure"]):
                total = int(n_whole[n_whole["structure"] == structure]["n_whole"].sum())
                for quantity in QUANTITIES:
                    some = of_line[(of_line["structure"] == structure) & (of_line["column"] == quantity.column)]
                    if len(some):
                        about = {"domain": domain, "line": line, "structure": structure, "column": quantity.column}
                        rows.append({**about, "n_whole": total, **_errors(some, quantity), **_coverage(some)})
    return pd.DataFrame(rows)[[column.name for column in COLUMNS]]


def _errors(rows: pd.DataFrame, quantity: Quantity) -> dict[str, float]:
    scale = rows["truth"] if quantity.is_relative else 1.0
    result: dict[str, float] = {"n": len(rows), "goal": quantity.goal}
    for name, suffix in (("value", ""), ("in_mask", "_in_mask")):
        error = ((rows[name] - rows["truth"]) / scale).dropna()
        result[f"bias{suffix}"] = float(error.mean())
        result[f"sd{suffix}"] = float(error.std())
        result[f"share_within_goal{suffix}"] = float((error.abs() <= quantity.goal).mean())
    return result


def _coverage(rows: pd.DataFrame) -> dict[str, float]:
    from scipy import stats

    bounded = rows.dropna(subset=["low", "high"])
    n = len(bounded)
    if not n:
        return {"n_intervals": 0, "coverage": math.nan, "coverage_low": math.nan, "coverage_high": math.nan}
    n_inside = int(((bounded["truth"] >= bounded["low"]) & (bounded["truth"] <= bounded["high"])).sum())
    ends = stats.binomtest(n_inside, n).proportion_ci(0.95, method="exact")
    return {
        "n_intervals": n,
        "coverage": n_inside / n,
        "coverage_low": float(ends.low),
        "coverage_high": float(ends.high),
    }


def as_markdown(summary: pd.DataFrame) -> str:
    """The summary as two Markdown tables per domain: errors, and coverage per line.

    Parameters
    ----------
    summary : DataFrame
        From :func:`summarise`.
    """
    parts = []
    for domain, rows in summary.groupby("domain", sort=True):
        together, lines = rows[rows["line"] == ALL], [line for line in dict.fromkeys(rows["line"]) if line != ALL]
        parts.append(f"**{str(domain) or 'all fields'}**\n")
        heads = (
            "structure",
            "number",
            "n of whole",
            "bias, SD",
            "in the mask",
            "within",
            "in the mask",
            "inside its 90 % interval",
        )
        parts.append(_table(heads, [_error_cells(row) for row in together.to_dict("records")]))
        cells = []
        for row in together.to_dict("records"):
            same = rows[(rows["structure"] == row["structure"]) & (rows["column"] == row["column"])].set_index("line")
            shares = [_share_of(same.loc[line]) if line in same.index else "" for line in lines]
            cells.append([_spoken(row["structure"]), _quantity(row["column"]).name, *shares])
        parts.append(_table((INSIDE, "", *lines), cells))
    return "\n".join(parts)


def _error_cells(row: dict[Any, Any]) -> list[str]:
    quantity = _quantity(row["column"])

    def error(value: float) -> str:
        return "" if math.isnan(value) else f"{100 * value:+.1f} %" if quantity.is_relative else f"{value:+.4f}"

    def both(suffix: str) -> str:
        bias, sd = row[f"bias{suffix}"], row[f"sd{suffix}"]
        return "" if math.isnan(bias) else f"{error(bias)}, {error(sd).lstrip('+') or '-'}"

    def within(suffix: str) -> str:
        share = row[f"share_within_goal{suffix}"]
        return "" if math.isnan(row[f"bias{suffix}"]) else f"{100 * share:.0f} %"

    goal = f"{100 * quantity.goal:g} %" if quantity.is_relative else f"{quantity.goal:.4f}"
    return [
        _spoken(row["structure"]), quantity.name, f"{row['n']} of {row['n_whole']}", both(""), both("_in_mask"),
        f"{goal}: {within('')}", within("_in_mask"), _share_of(row),
    ]  # fmt: skip


def _share_of(row: Any) -> str:
    if not row["n_intervals"]:
        return ""
    return f"{row['coverage']:.2f} ({row['coverage_low']:.2f}–{row['coverage_high']:.2f}, n {row['n_intervals']})"


def _quantity(column: str) -> Quantity:
    return next(quantity for quantity in QUANTITIES if quantity.column == column)


def _spoken(structure: str) -> str:
    return structure.replace("_", " ")


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]]) + "\n"
