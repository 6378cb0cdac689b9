"""Estimates of single objects beside their exact truth, from simulated fields that were analysed as in a run.

Only objects that were found (IoU of at least 0.5) and that no border cuts count: the truth is that of the whole object.
To compare another column, add it to :data:`tomocyte.confidence.own.COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.own import COLUMNS, mass_change, own_ends, own_scores
from tomocyte.confidence.settings import StructureCalibration, UncertaintySettings
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.models import ModelCard
from tomocyte.pipeline.settings import RunSettings

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.confidence.objects import ObjectSums


def own_rows(
    table: pd.DataFrame,
    labels: NDArray[Any],
    true_labels: NDArray[Any],
    truth: pd.DataFrame,
    sums: ObjectSums,
    structure: str,
) -> pd.DataFrame:
    """Estimates of one structure's objects beside their truth.

    Parameters
    ----------
    table : DataFrame
        Of the objects found, in the order of ``sums``: ``label``, the corrected columns and their ``…_estimator``.
    labels, true_labels : ndarray (Z, Y, X), unsigned integer
    truth : DataFrame
        Exact values, with ``structure``, ``label``, ``is_cut``.
    sums : ObjectSums
        Of the objects found.
    structure : str

    Returns
    -------
    DataFrame
        ``structure``, ``label``, ``true_label``, ``iou``, ``column``, ``estimator``, ``value``, ``in_mask``,
        ``truth``, ``score``.
    """
    import pandas as pd

    from tomocyte.confidence.assessment import MIN_IOU
    from tomocyte.evaluation import overlap_table
    from tomocyte.evaluation.matching import best_partners

    overlaps = overlap_table(true_labels, labels)
    whole = truth[(truth["structure"] == structure) & ~truth["is_cut"].astype(bool)]
    own = {column: dict(zip(whole["label"], whole[column].astype(float), strict=True)) for column in COLUMNS}
    place = {int(label): row for row, label in enumerate(table["label"])}
    change = mass_change(sums, structure)
    rows = []
    for pair in best_partners(overlaps):
        true_label = int(overlaps.truth_labels[overlaps.truth_index[pair]])
        label = int(overlaps.prediction_labels[overlaps.prediction_index[pair]])
        if overlaps.iou[pair] < MIN_IOU or true_label not in own[COLUMNS[0]]:
            continue
        row = place[label]
        for column in COLUMNS:
            value, true = float(table[column].iloc[row]), own[column][true_label]
            its_change = type(change)(change.log_ratio[[row]], change.uncertainty[[row]])
            rows.append(
                {
                    "structure": structure,
                    "label": label,
                    "true_label": true_label,
                    "iou": float(overlaps.iou[pair]),
                    "column": column,
                    "estimator": str(table[f"{column}_estimator"].iloc[row]),
                    "value": value,
                    "in_mask": float(table[f"{column}_in_mask"].iloc[row]),
                    "truth": true,
                    "score": float(own_scores(np.array([value]), np.array([true]), column, its_change)[0]),
                }
            )
    return pd.DataFrame(rows)


def compare_with_truth(item: LabelledItem, folder: Path, card: ModelCard, *, cells: str = "auto") -> pd.DataFrame:
    """The first frame of a simulated item analysed as in a run, once with its optics and once as if they were unknown.

    Parameters
    ----------
    item : LabelledItem
        With a table of exact truth.
    folder : Path
        Of the model.
    card : ModelCard
        Its calibration corrects the probabilities.
    cells : str
        How touching cells are separated.

    Returns
    -------
    DataFrame
        As :func:`own_rows`, with ``item`` and the structure's name on the card.
    """
    import pandas as pd

    from tomocyte.confidence.objects import sum_over_objects
    from tomocyte.confidence.voxels import calibrated_levels
    from tomocyte.pipeline.analysis import prepared_stages, walk
    from tomocyte.pipeline.planning import plan_run
    from tomocyte.pipeline.stages.confidence import probability_of
    from tomocyte.pipeline.stages.missing_cone import MissingConeStage
    from tomocyte.progress import silent

    volume = item.open_image()
    settings = RunSettings(
        modality=card.modality, model=str(folder), cells=cells, uncertainty=UncertaintySettings(method="single")
    )
    plan = plan_run(volume, settings)
    measured = replace(plan, stages=plan.stages[: plan.stages.index("measure") + 1])
    state = walk(measured, volume, 0, prepared_stages(measured, volume), [])
    prediction, true_frame, truth = state.prediction, item.read_frame(0), pd.read_parquet(item.truth or "")
    truth = truth[truth["frame"] == 0]
    tables = []
    for optics in dict.fromkeys((plan.optics, None)):
        stage = MissingConeStage(replace(plan, optics=optics), silent)
        stage.prepare(volume)
        corrected = stage.apply(state)
        for structure, output in (prediction.outputs if prediction is not None else {}).items():
            name = card.structures[output]
            if name not in true_frame.labels or prediction is None:
                continue
            sums = sum_over_objects(
                state.labels[structure],
                probability_of(prediction, structure),
                calibrated_levels(card.calibration.get(name)),
                state.frame.voxel_size_um,
            )
            true_labels = true_frame.labels[name].astype(np.uint32)
            tables.append(
                own_rows(corrected.tables[structure], state.labels[structure], true_labels, truth, sums, name)
            )
    return pd.concat(tables, ignore_index=True).assign(item=item.name)


def with_own_ends(
    structures: Mapping[str, StructureCalibration], rows: Iterable[pd.DataFrame]
) -> dict[str, StructureCalibration]:
    """Calibrations with the ends of intervals on the objects' own values.

    Parameters
    ----------
    structures : mapping
    rows : iterable of DataFrame
        From :func:`compare_with_truth`; values of the mask alone give no ends.
    """
    import pandas as pd

    tables = [table for table in rows if len(table)]
    if not tables:
        return dict(structures)
    table = pd.concat(tables, ignore_index=True)
    table = table[table["estimator"] != "in-mask"]
    result = dict(structures)
    for name, calibration in structures.items():
        own = table[table["structure"] == name]
        scores = {
            f"{column} {estimator}": group["score"]
            for (column, estimator), group in own.groupby(["column", "estimator"])
        }
        n_own = int(own.groupby(["column", "estimator"]).size().max()) if len(own) else 0
        result[name] = calibration.model_copy(update={"own": own_ends(scores), "n_own": n_own})
    return result
