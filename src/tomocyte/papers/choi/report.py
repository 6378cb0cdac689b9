"""Results of a comparison of organelle networks: tables, grouped bars, and a summary.

``fields`` has a row per field and structure, ``scores`` the means per cell line, ``nuclei`` and ``position`` where
nuclei lie and how they differ from their cytoplasm. To add a column, add it to the function of its table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.evaluation.counts import dice_of
from tomocyte.evaluation.nuclear_position import NucleusComparison, summarise_nuclei
from tomocyte.figures.bars import grouped_bars_figure
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.choi.comparison import Entry
from tomocyte.papers.choi.recipe import BY_NETWORK, INSTANCES, OrganellesRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.statistics.agreement import mean_and_sd

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "cell": "membrane (cell body)",
    "lipid_droplet": "lipid droplets",
    INSTANCES: "single cells",
    BY_NETWORK: "single cells, network",
}
ALL_NUCLEI = "all"
"""The set that stands for the nuclei of all sets, each nucleus counting the same."""
MEAN_OF_SETS = "mean"
"""The set that stands for the mean over all sets, each counting the same."""


def comparison_result(
    recipe: OrganellesRecipe, entries: Sequence[Entry], *, is_simulated: bool, file_format: PictureFormat = "png"
) -> ExperimentResult:
    """Tables, pictures and summary of a comparison.

    Parameters
    ----------
    recipe : OrganellesRecipe
    entries : sequence of dict
        From :func:`tomocyte.papers.choi.comparison.compare_trainings`.
    is_simulated : bool
        Part of every title.
    file_format : {"png", "pdf", "svg"}
    """
    fields, nuclei = field_table(entries), nucleus_table(entries)
    scores, position = score_table(fields), position_table(nuclei)
    kind = "simulated" if is_simulated else "real"
    pictures = {}
    for number, row in enumerate(dict.fromkeys(fields["row"]), 1):
        own = fields[fields["row"] == row]
        groups = {
            str(name): {str(part): _dice(own, str(name), str(part)) for part in dict.fromkeys(own["structure"])}
            for name in dict.fromkeys(own["set"])
        }
        title = f"{row} ({kind} fields, {own['item'].nunique()})"
        picture = grouped_bars_figure(
            groups, name="Dice", published=recipe.published, title=title, file_format=file_format
        )
        pictures[f"bars-{number}"] = picture
    summary = _summary(recipe, scores, position, entries, kind)
    tables = {"fields": fields, "scores": scores, "nuclei": nuclei, "position": position}
    return ExperimentResult(tables=tables, pictures=pictures, summary=summary, file_format=file_format)


def field_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One line per row, seed, field and structure: ``dice`` and the voxels it is made of (none for single cells)."""
    import pandas as pd

    lines = []
    for entry in entries:
        place = {key: entry[key] for key in ("row", "seed", "set", "item")}
        parts = {**entry["scores"]["structures"], **entry["scores"]["cells"]}
        for structure, figures in parts.items():
            line = {**place, "structure": structure, "dice": _number(figures["dice"])}
            counts = ("n_truth", "n_prediction", "n_common")
            lines.append(line | {key: _number(figures.get(key)) for key in counts} | {"f1": _number(figures.get("f1"))})
    return pd.DataFrame(lines)


def score_table(fields: pd.DataFrame) -> pd.DataFrame:
    """Per row, set and structure: ``dice_mean`` and ``dice_sd`` over fields (each the mean over seeds), ``seed_sd``.

    ``dice_pooled`` counts all voxels of the set as one image. The set ``mean`` is the mean over sets.
    """
    import pandas as pd

    lines = []
    for (row, name, structure), part in fields.groupby(["row", "set", "structure"], sort=False):
        per_field = part.groupby("item")["dice"].mean()
        mean, deviation = mean_and_sd([float(value) for value in per_field])
        seeds = [float(value) for value in part.groupby("seed")["dice"].mean()]
        voxels = part[["n_truth", "n_prediction", "n_common"]].sum()
        n_common = float(voxels["n_common"])
        pooled = dice_of(n_common, float(voxels["n_prediction"]) - n_common, float(voxels["n_truth"]) - n_common)
        is_mask = structure not in (INSTANCES, BY_NETWORK)
        lines.append(
            {
                "row": row,
                "set": name,
                "structure": structure,
                "dice_mean": mean,
                "dice_sd": deviation,
                "seed_sd": mean_and_sd(seeds)[1],
                "dice_pooled": pooled if is_mask else math.nan,
                "n_fields": int(per_field.notna().sum()),
                "n_seeds": len(seeds),
            }
        )
    table = pd.DataFrame(lines)
    means = table.groupby(["row", "structure"], sort=False)[["dice_mean", "dice_pooled"]].mean().reset_index()
    counts = table.groupby(["row", "structure"], sort=False).agg(
        n_fields=("n_fields", "sum"), n_seeds=("n_seeds", "max")
    )
    means = means.merge(counts.reset_index(), on=["row", "structure"]).assign(set=MEAN_OF_SETS)
    return pd.concat([table, means], ignore_index=True)


def nucleus_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One line per true nucleus, field, row and seed; columns as :class:`NucleusComparison` has them."""
    import pandas as pd

    columns = ["row", "seed", "set", "item", *NucleusComparison.__dataclass_fields__]
    lines = [
        {key: entry[key] for key in columns[:4]} | {key: _number(value) for key, value in nucleus.items()}
        for entry in entries
        for nucleus in entry["scores"]["nuclei"]
    ]
    return pd.DataFrame(lines, columns=columns)


def position_table(nuclei: pd.DataFrame) -> pd.DataFrame:
    """Per row and set, and over ``all`` nuclei: :func:`tomocyte.evaluation.nuclear_position.summarise_nuclei`."""
    import pandas as pd

    names = list(NucleusComparison.__dataclass_fields__)
    lines = []
    for row, own in nuclei.groupby("row", sort=False):
        for name, part in [*own.groupby("set", sort=False), (ALL_NUCLEI, own)]:
            rows = [NucleusComparison(**dict(zip(names, values, strict=True))) for values in part[names].to_numpy()]
            lines.append({"row": row, "set": name, **summarise_nuclei(rows)})
    return pd.DataFrame(lines)


def _summary(
    recipe: OrganellesRecipe, scores: pd.DataFrame, position: pd.DataFrame, entries: Sequence[Entry], kind: str
) -> str:
    lines = [f"# {recipe.title}, {kind} fields", "", f"After {recipe.paper}. Dice is the mean (SD) over fields.", ""]
    structures = list(dict.fromkeys(scores["structure"]))
    for row in dict.fromkeys(scores["row"]):
        first = next(entry for entry in entries if entry["row"] == row)
        n_networks = first["n_networks"]
        networks = "one network" if n_networks == 1 else f"{n_networks} networks"
        trained = f"{first['n_steps']:,} steps in all" if first["n_steps"] else "trained before, as it stands"
        lines += [
            f"## {row}",
            "",
            f"{networks}, {first['n_parameters']:,} parameters, {trained}.",
            "",
            _piped(["cells", *[NAMES.get(part, part) for part in structures], "fields"]),
            _piped(["---", *["---:"] * (len(structures) + 1)]),
        ]
        own = scores[scores["row"] == row].set_index(["set", "structure"])
        for name in dict.fromkeys(own.index.get_level_values("set")):
            cells = [_cell(own, str(name), part) for part in structures]
            n_fields = own.xs(name, level="set")["n_fields"].max()
            lines.append(_piped([str(name), *cells, str(int(n_fields))]))
        if recipe.published:
            printed = [f"{recipe.published[part]:.3f}" if part in recipe.published else "" for part in structures]
            lines.append(_piped(["paper, mean (real data)", *printed, ""]))
        lines.append("")
    if len(position):
        lines += _position_lines(position)
    return "\n".join(lines).rstrip() + "\n"


def _position_lines(position: pd.DataFrame) -> list[str]:
    heading = ["row", "cells", "nuclei found", "distance, µm", "of the cell's diameter", "cell's centre, µm"]
    heading += ["closer than the centre", "sign of the contrast right"]
    lines = ["## Where the nuclei lie", "", _piped(heading), _piped(["---", "---", *["---:"] * (len(heading) - 2)])]
    for entry in position.to_dict("records"):
        cells = [str(entry["row"]), str(entry["set"]), f"{entry['n_found']:.0f} of {entry['n_nuclei']:.0f}"]
        cells += [_text(entry["distance_um"], 2), _text(entry["relative_distance"], 3)]
        cells += [_text(entry["centre_distance_um"], 2), _text(entry["closer_than_centre"], 2)]
        lines.append(_piped([*cells, _text(entry["same_sign"], 2)]))
    note = (
        "Medians of distances between the centres of true and predicted nuclei (those found), and of the true nucleus "
    )
    note += "from its cell's centre; shares of all true nuclei, and of those found."
    return [*lines, "", note, ""]


def _cell(own: pd.DataFrame, name: str, structure: str) -> str:
    if (name, structure) not in own.index:
        return ""
    entry: Any = own.loc[(name, structure)]
    mean, deviation = float(entry["dice_mean"]), float(entry["dice_sd"])
    return _text(mean, 3) + (f" ({deviation:.3f})" if math.isfinite(deviation) else "")


def _dice(own: pd.DataFrame, name: str, structure: str) -> list[float]:
    rows = own[(own["set"] == name) & (own["structure"] == structure)]
    return [float(value) for value in rows.groupby("item")["dice"].mean()]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _text(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
