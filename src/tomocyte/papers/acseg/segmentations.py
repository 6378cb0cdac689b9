"""Fig. 3, two segmentations of the same cells: volume and surface to volume, agreement, paired tests, differences.

Objects of both label images that overlap most are the same cell; a whole tomogram counts once more, as in the paper. To
compare another quantity, add a claim about it to the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.datasets.pairs import Pair, open_pair
from tomocyte.errors import InputError, MetadataError
from tomocyte.evaluation import dice, match_instances
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.experiment import FIGURES
from tomocyte.formats import ReadOptions
from tomocyte.measurements import measure
from tomocyte.papers.acseg.differences import difference_figure, most_different
from tomocyte.papers.acseg.recipe import MethodClaim, SegmentationsRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.runs.analyse.reading import unit_of
from tomocyte.statistics import MethodComparison, compare_methods, paired_agreement

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.evaluation.case import Case

ALPHA = 0.05
SHAPE = ("volume_um3", "surface_area_um2", "surface_to_volume_per_um")


def segmentations_experiment(
    recipe: SegmentationsRecipe,
    pairs: Sequence[Pair],
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Compare two sets of label images cell by cell.

    Parameters
    ----------
    recipe : SegmentationsRecipe
    pairs : sequence of Pair
        The first segmentation as truth, the second as prediction.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``compare`` after each pair of files.

    Returns
    -------
    ExperimentResult
        Tables ``cells`` (one row per cell), ``tomograms``, ``unmatched``, ``agreement``; Bland-Altman charts and
        renderings of the cells that differ most.

    Raises
    ------
    InputError
        ``E-PAIR``, ``E-SHAPE``, …: files that cannot be compared; ``E-NO-CELLS``: no cell is in both.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    import pandas as pd

    tables, lonely, whole_masks, is_simulated = [], [], [], False
    for number, pair in enumerate(pairs, start=1):
        opened = open_pair(
            pair, ReadOptions(voxel_size_um=recipe.voxel_size_um), channel=None, structure=recipe.structure
        )
        is_simulated |= opened.is_simulated
        for case in opened.cases():
            table, alone = compare_case(case, recipe)
            tables.append(table)
            lonely.append(alone)
            whole_masks.append(compare_masks(case, recipe))
        callback(Progress(pair.name, "compare", state="done", done=number, total=len(pairs)))
    cells = pd.concat(tables, ignore_index=True)
    if cells.empty or not (~cells["is_cut"]).any():
        raise InputError(
            "E-NO-CELLS", "no whole cell is in both segmentations.", path=pairs[0].prediction if pairs else None,
            cure="Give label images of the same cells, or lower --set min_iou=0.5.",
        )  # fmt: skip
    whole = cells[~cells["is_cut"]]
    tomograms = pd.DataFrame(whole_masks)
    agreement = pd.concat(
        [agreement_table(whole, recipe).assign(of="cells"), agreement_table(tomograms, recipe).assign(of="tomograms")],
        ignore_index=True,
    )
    words = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    pictures = _charts(whole, recipe, title=words, file_format=file_format)
    for cell in most_different(pairs, whole, recipe):
        pictures[f"difference-{cell.name}"] = difference_figure(
            cell, recipe.names, title=words, tolerance_voxels=recipe.tolerance_voxels, file_format=file_format
        )
    unmatched = pd.concat(lonely, ignore_index=True)
    summary = _summary(words, cells, unmatched, agreement, recipe)
    result = {"cells": cells, "tomograms": tomograms, "unmatched": unmatched, "agreement": agreement}
    return ExperimentResult(result, pictures, summary, file_format)


def compare_case(case: Case, recipe: SegmentationsRecipe) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cells of one frame: those in both segmentations with both sizes, and those in one alone.

    Returns
    -------
    cells : DataFrame
        ``item``, ``frame``, ``label_first``, ``label_second``, ``dice``, ``is_cut`` (by the border, in either),
        and every quantity as ``<name>_first`` and ``<name>_second``.
    unmatched : DataFrame
        ``item``, ``frame``, ``side`` (name of the segmentation), ``label``, ``volume_um3``.
    """
    import pandas as pd

    if case.prediction is None:
        problem = "holds probabilities, not labels."
        raise InputError("E-LABELS-TYPE", problem, path=case.item, cure="Give label images.")
    if case.voxel_size_um is None:
        raise MetadataError(
            "E-VOXEL-SIZE", "neither file says its voxel size.", path=case.item,
            cure="Give --set 'voxel_size_um=[Z, Y, X]' in um.",
        )  # fmt: skip
    z, y, x = case.voxel_size_um
    names = _quantities(recipe)
    sides = [
        measure(labels, None, (z, y, x), structure=recipe.structure, names=names).set_index("label")
        for labels in (case.truth, case.prediction)
    ]
    matches = match_instances(case.truth, case.prediction, min_iou=recipe.min_iou)
    rows = []
    for ours, theirs in matches:
        first, second = (table.loc[label].to_dict() for table, label in zip(sides, (ours, theirs), strict=True))
        inside, found = case.truth == ours, case.prediction == theirs
        row: dict[str, Any] = {
            "item": case.item, "frame": case.frame, "label_first": ours, "label_second": theirs,
            "dice": 2 * int((inside & found).sum()) / (int(inside.sum()) + int(found.sum())),
            "is_cut": bool(first["is_cut"]) or bool(second["is_cut"]),
        }  # fmt: skip
        for name in names:
            row |= {f"{name}_first": float(first[name]), f"{name}_second": float(second[name])}
        rows.append(row)
    columns = ["item", "frame", "label_first", "label_second", "dice", "is_cut"]
    columns += [f"{name}_{side}" for name in names for side in ("first", "second")]
    cells = pd.DataFrame(rows, columns=columns).astype({"is_cut": bool})
    alone = []
    for side, (table, used) in enumerate(zip(sides, zip(*matches, strict=True) if matches else ((), ()), strict=True)):
        for label, volume in table.loc[~table.index.isin(used), "volume_um3"].items():
            alone.append((case.item, case.frame, recipe.names[side], label, volume))
    return cells, pd.DataFrame(alone, columns=["item", "frame", "side", "label", "volume_um3"])


def compare_masks(case: Case, recipe: SegmentationsRecipe) -> dict[str, Any]:
    """All cells of one frame together, in both segmentations: one row as in ``cells``, without labels."""
    if case.prediction is None or case.voxel_size_um is None:
        raise InputError("E-LABELS-TYPE", "holds no labels with a voxel size.", path=case.item)
    z, y, x = case.voxel_size_um
    masks = [(labels != 0).astype(np.uint8) for labels in (case.truth, case.prediction)]
    row: dict[str, Any] = {"item": case.item, "frame": case.frame, "dice": dice(*masks)}
    names = _quantities(recipe)
    tables = [measure(mask, None, (z, y, x), structure=recipe.structure, names=names) for mask in masks]
    for name in names:
        values = [float(table[name].iloc[0]) if len(table) else math.nan for table in tables]
        row |= {f"{name}_first": values[0], f"{name}_second": values[1]}
    return row


def _quantities(recipe: SegmentationsRecipe) -> list[str]:
    return list(dict.fromkeys([*SHAPE, *(claim.quantity for claim in recipe.claims)]))


def agreement_table(cells: pd.DataFrame, recipe: SegmentationsRecipe) -> pd.DataFrame:
    """One row per claim: both means, Bland and Altman's limits, paired tests, equivalence, and whether it holds.

    Differences are the second segmentation minus the first.
    """
    import pandas as pd

    rows = []
    for claim in recipe.claims:
        first = cells[f"{claim.quantity}_first"].to_numpy(np.float64)
        second = cells[f"{claim.quantity}_second"].to_numpy(np.float64)
        agreement = paired_agreement(first, second)
        margin = recipe.margin_percent / 100 * abs(float(np.nanmean(first)))
        tests = compare_methods(second, first, margin=margin)
        rows.append(
            {
                "quantity": claim.quantity,
                "unit": unit_of(claim.quantity),
                "n_cells": agreement.n_pairs,
                "mean_first": float(np.nanmean(first)),
                "mean_second": float(np.nanmean(second)),
                "difference": tests.difference.value,
                "low": tests.difference.low,
                "high": tests.difference.high,
                "lower_limit": agreement.lower_limit,
                "upper_limit": agreement.upper_limit,
                "concordance": agreement.concordance,
                "t": tests.t,
                "p_paired_t": tests.p_t,
                "p_wilcoxon": tests.p_wilcoxon,
                "margin": margin,
                "p_equivalence": tests.p_equivalence,
                "p_published": claim.p_published,
                "says": claim.says,
                "words": claim.words,
                "verdict": verdict(claim, tests),
            }
        )
    return pd.DataFrame(rows)


def verdict(claim: MethodClaim, tests: MethodComparison) -> str:
    """Whether a claim holds; "no significant difference" holds where the t test finds none, as in the paper."""
    if math.isnan(tests.p_t):
        return "cannot be decided"
    is_different = tests.p_t < ALPHA
    if claim.says == "same":
        return "does not hold" if is_different else "holds"
    sign = 1 if claim.says == "higher" else -1
    return "holds" if is_different and sign * tests.difference.value > 0 else "does not hold"


def _charts(
    cells: pd.DataFrame, recipe: SegmentationsRecipe, *, title: str, file_format: PictureFormat
) -> dict[str, bytes]:
    import pandas as pd

    pictures = {}
    for claim in recipe.claims:
        table = pd.DataFrame({"first": cells[f"{claim.quantity}_first"], "second": cells[f"{claim.quantity}_second"]})
        if not np.isfinite(table.to_numpy()).all(axis=1).any():
            continue
        table = table.assign(first_name=recipe.names[0], second_name=recipe.names[1])
        pictures[f"agreement-{claim.quantity}"] = FIGURES["bland-altman"](
            table, quantity=_words(claim.quantity), unit=unit_of(claim.quantity), title=title, file_format=file_format
        )
    return pictures


def _words(quantity: str) -> str:
    for ending in ("_um3", "_um2", "_per_um", "_um"):
        if quantity.endswith(ending):
            return quantity.removesuffix(ending).replace("_", " ")
    return quantity.replace("_", " ")


def _summary(
    title: str, cells: pd.DataFrame, unmatched: pd.DataFrame, agreement: pd.DataFrame, recipe: SegmentationsRecipe
) -> str:
    first, second = recipe.names
    counts = {side: int((unmatched["side"] == side).sum()) for side in recipe.names}
    lines = [
        f"# {title}",
        "",
        f"{len(cells)} cells are in both, {int(cells['is_cut'].sum())} of them cut by the border and left out; "
        f"{counts[first]} only in {first}, {counts[second]} only in {second}. Mean Dice {cells['dice'].mean():.4f}. "
        f"Differences: {second} minus {first}.",
        "",
        f"| of | quantity | {first} | {second} | difference (95 % interval) | limits of agreement | paired t | "
        f"Wilcoxon | equivalent within {recipe.margin_percent:g} % | the paper says | |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in agreement.to_dict("records"):
        published = "" if math.isnan(row["p_published"]) else f" (p = {row['p_published']:.4g})"
        lines.append(
            f"| {row['of']} | {_words(row['quantity'])} ({row['unit']}) | {row['mean_first']:.4g} | "
            f"{row['mean_second']:.4g} | {row['difference']:+.3g} ({row['low']:.3g} to {row['high']:.3g}) | "
            f"{row['lower_limit']:.3g} to "
            f"{row['upper_limit']:.3g} | p = {row['p_paired_t']:.2g} | p = {row['p_wilcoxon']:.2g} | "
            f"p = {row['p_equivalence']:.2g} | {row['words']}{published} | {row['verdict']} |"
        )
    lines += [
        "",
        "The paper's test is the paired t test of 10 tomograms, each of which is one mask: the rows of tomograms. In "
        "the rows of cells, those of one tomogram count as independent. A large p of the t test does not show that "
        "both agree; a small one of equivalence does.",
        "",
    ]
    return "\n".join(lines)
