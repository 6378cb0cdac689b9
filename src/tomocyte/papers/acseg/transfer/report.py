"""Tables, pictures and summary of Table 2: scores by training set and cell type, claims, and what foretold them.

To add a column of the table of means, add it to :func:`transfer_table`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.scatter import ScatterPanel, scatter_figure
from tomocyte.papers.acseg.trainings.claims import Rows, claim_lines, claim_table, mean_and_sd_text, score_rows
from tomocyte.papers.acseg.trainings.score import FIGURES
from tomocyte.papers.acseg.transfer.prediction import PredictionTables, verdict
from tomocyte.papers.acseg.transfer.recipe import TransferRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.score_tables import PublishedTable, load_published

if TYPE_CHECKING:
    import pandas as pd

TABLE = "table-2"
KEYS = ("network", "training_set", "cell_type")
ALL = "all"
"""In claims: the volumes of all cell types that were added anywhere."""


def transfer_result(
    recipe: TransferRecipe,
    fields: pd.DataFrame,
    predicted: PredictionTables,
    *,
    is_simulated: bool,
    file_format: PictureFormat = "png",
) -> ExperimentResult:
    """Everything that is written.

    Parameters
    ----------
    recipe : TransferRecipe
    fields : DataFrame
        One row per training and test volume: ``network``, ``training_set``, ``cell_type``, ``n_training``, ``seed``,
        ``item``, the figures of :data:`tomocyte.papers.acseg.trainings.score.FIGURES`, ``n_steps``, ``core_minutes``.
    predicted : PredictionTables
    is_simulated : bool
    file_format : {"png", "pdf", "svg"}
    """
    published = None if recipe.published is None else load_published(recipe.published).table(TABLE)
    table = transfer_table(fields, published)
    claims = claim_table(recipe.claims, transfer_rows(recipe, fields))
    kind = "simulated" if is_simulated else "real"
    lines = [
        f"# {recipe.title}, {kind} volumes",
        "",
        f"After {recipe.paper}. Dice of {recipe.structure}, mean ± SD over the test volumes; in brackets the worst. "
        f"{_begun(recipe)}",
        "",
        *_table_lines(recipe, table, published),
        *claim_lines(claims),
        *_prediction_lines(predicted),
    ]
    tables = {
        "fields": fields, "table": table, "claims": claims, "volumes": predicted.volumes, "pairs": predicted.pairs,
        "correlations": predicted.correlations,
    }  # fmt: skip
    pictures = _pictures(recipe, predicted, kind, file_format)
    kept = {name: one for name, one in tables.items() if len(one)}
    return ExperimentResult(kept, pictures, "\n".join(lines).rstrip() + "\n", file_format)


def transfer_table(fields: pd.DataFrame, published: PublishedTable | None) -> pd.DataFrame:
    """One row per network, training set and cell type, over the test volumes; seeds are averaged first."""
    import pandas as pd

    lines: list[dict[str, Any]] = []
    for (network, training_set, cell_type), part in fields.groupby(list(KEYS), sort=False):
        by_item = part.groupby("item")[list(FIGURES)].mean()
        dice = by_item["dice"].to_numpy(np.float64)
        row = None if published is None else published.rows.get(f"{training_set}/{cell_type}")
        printed = row.dice if row and len(row.dice) == 2 else (math.nan, math.nan)
        lines.append(
            {
                "network": network, "training_set": training_set, "cell_type": cell_type,
                "dice_mean": float(np.nanmean(dice)),
                "dice_sd": float(np.nanstd(dice, ddof=1)) if len(dice) > 1 else math.nan,
                "dice_worst": float(np.nanmin(dice)),
                "volume_error_percent": float(by_item["volume_error_percent"].mean()),
                "surface_to_volume_error_percent": float(by_item["surface_to_volume_error_percent"].mean()),
                "n_test": len(by_item), "n_seeds": int(part["seed"].nunique()),
                "n_training": int(part["n_training"].iloc[0]),
                "n_steps": int(part["n_steps"].mean()), "core_minutes": float(part["core_minutes"].mean()),
                "published_mean": printed[0], "published_sd": printed[1],
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def transfer_rows(recipe: TransferRecipe, fields: pd.DataFrame) -> dict[str, dict[str, Rows]]:
    """Rows for claims: ``SET/CELL TYPE``, and ``SET/all`` over all added cell types."""
    rows = score_rows(fields, KEYS[1:], FIGURES)
    for quantities in rows.values():
        for quantity, own in quantities.items():
            grown: dict[str, Any] = dict(own)
            for training_set in recipe.training_sets:
                parts = [own.get(f"{training_set}/{name}") for name in recipe.added]
                if parts and all(part is not None for part in parts):
                    grown[f"{training_set}/{ALL}"] = {
                        item: value for part in parts if part is not None for item, value in part.items()
                    }
            quantities[quantity] = grown
    return rows


def _begun(recipe: TransferRecipe) -> str:
    if recipe.continues is None:
        return "Every training was done from the beginning, as in the paper."
    return (
        f"Trainings on more than {recipe.continues.training_set} begin with the weights of that training and are "
        "shorter, unlike the paper's, which trained all from the beginning."
    )


def _table_lines(recipe: TransferRecipe, table: pd.DataFrame, published: PublishedTable | None) -> list[str]:
    lines = []
    for network in recipe.networks:
        own = table[table["network"] == network]
        if own.empty:
            continue
        types = list(dict.fromkeys(own["cell_type"]))
        counts = own.groupby("cell_type", sort=False)["n_test"].max()
        heads = [f"{name} ({counts[name]})" for name in types]
        lines += [f"## {network}", "", _piped(["learned from", *heads, "core min"]), _piped(["---"] * (len(types) + 2))]
        for training_set, part in own.groupby("training_set", sort=False):
            cells = part.set_index("cell_type")
            shown = [_cell(cells.loc[name]) if name in cells.index else "" for name in types]
            minutes = float(part["core_minutes"].mean())
            lines.append(_piped([str(training_set), *shown, "" if math.isnan(minutes) else f"{minutes:.1f}"]))
            printed = [] if published is None else [published.rows.get(f"{training_set}/{name}") for name in types]
            if any(row is not None for row in printed):
                values = ["" if row is None else mean_and_sd_text(row.dice[0], row.dice[-1]) for row in printed]
                lines.append(_piped(["the paper's (real)", *values, ""]))
        lines.append("")
    return lines


def _cell(row: Any) -> str:
    return f"{mean_and_sd_text(row['dice_mean'], row['dice_sd'])} ({row['dice_worst']:.3f})"


def _piped(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _prediction_lines(predicted: PredictionTables) -> list[str]:
    """Issue of the paper: which cell type, or volume, to label next."""
    if predicted.correlations.empty:
        return []
    lines = [
        "## Could it have been known before?",
        "",
        "From the images alone, before anything is labelled or trained: how far they are from those learned from, and "
        "how good they are (the network's uncertainty needs the trained network, but no label). Rank correlations with "
        "95 % intervals from resampled pairs; p from shuffled ones.",
        "",
    ]
    for outcome, part in predicted.correlations.groupby("outcome", sort=False):
        lines += [f"| {outcome} ({part['n_pairs'].max()} pairs) | rank correlation | p | |", "|---|---|---|---|"]
        for row in part.to_dict("records"):
            value = row["rank_correlation"]
            shown = "" if math.isnan(value) else f"{value:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
            p = "" if math.isnan(row["p"]) else f"{row['p']:.2g}"
            lines.append(f"| {row['words']} | {shown} | {p} | {verdict(row)} |")
        lines.append("")
    if len(predicted.pairs):
        lines += ["| added | tested | gain in Dice | distance before | after |", "|---|---|---:|---:|---:|"]
        for row in predicted.pairs.to_dict("records"):
            lines.append(
                f"| {row['added']} | {row['cell_type']} | {row['gain']:+.4f} | {row['distance_before']:.2f} | "
                f"{row['distance_after']:.2f} |"
            )
        lines += [
            "",
            "Gains from few added sets are few pairs that share volumes and trainings: their interval is too short, "
            "and only a strong correlation means something.",
            "",
        ]
    return lines


def _pictures(
    recipe: TransferRecipe, predicted: PredictionTables, kind: str, file_format: PictureFormat
) -> dict[str, bytes]:
    if predicted.volumes.empty:
        return {}
    pairs, score = predicted.pairs, f"Dice after {next(iter(recipe.training_sets))}"
    of_volumes = predicted.volumes.groupby("cell_type", sort=False)
    panels = []
    for column, words in (("distance", "distance from the images learned from"), ("uncertainty", "own uncertainty")):
        points = {str(name): (list(part[column]), list(part["dice"])) for name, part in of_volumes}
        panels.append(ScatterPanel(words, score, points))
    if len(pairs):
        added = pairs.groupby("added", sort=False)
        points = {f"+ {name}": (list(part["approach"]), list(part["gain"])) for name, part in added}
        panels.append(ScatterPanel("how much nearer the added images bring it", "gain in Dice", points))
    title = f"{recipe.title}: what foretells a score ({kind} volumes)"
    return {"which-next": scatter_figure(panels, title=title, file_format=file_format)}
