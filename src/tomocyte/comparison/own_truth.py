"""Estimates of single objects beside their exact truth, from simulated fields that were analysed as in a run.

Only objects that were found (IoU of at least 0.5) and that no border cuts count: the truth is that of the whole object.
To compare another column, add it to :data:`tomocyte.confidence.own.COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.comparison.whole_objects import found_whole, whole_objects
from tomocyte.confidence.objects import ExpectedChange
from tomocyte.confidence.own import COLUMNS, CORRECTED, MASK, expected_change, own_ends, own_scores
from tomocyte.confidence.settings import StructureCalibration

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.confidence.assessment import Examined
    from tomocyte.confidence.objects import ObjectSums
    from tomocyte.pipeline.plan import Plan
    from tomocyte.pipeline.stage import FrameState
    from tomocyte.volume import Volume

Tables = Sequence[Mapping[str, "pd.DataFrame"]]
"""Structure -> table of its objects; first with the optics that are known, then as if they were not."""


def own_rows(
    table: pd.DataFrame,
    labels: NDArray[Any],
    true_labels: NDArray[Any],
    truth: pd.DataFrame,
    sums: ObjectSums,
    structure: str,
    columns: Sequence[str] = COLUMNS,
) -> pd.DataFrame:
    """Estimates of one structure's objects beside their truth.

    Parameters
    ----------
    table : DataFrame
        Of the objects found, in the order of ``sums``: ``label``, some of the columns, and the ``…_estimator`` of
        corrected ones.
    labels, true_labels : ndarray (Z, Y, X), unsigned integer
    truth : DataFrame
        Exact values, with ``structure``, ``label``, ``is_cut``.
    sums : ObjectSums
        Of the objects found.
    structure : str
    columns : sequence of str
        Of :data:`tomocyte.confidence.own.COLUMNS`; those that table or truth lack are left out.

    Returns
    -------
    DataFrame
        ``structure``, ``label``, ``true_label``, ``iou``, ``column``, ``estimator``, ``value``, ``truth``, ``score``.
    """
    import pandas as pd

    whole = whole_objects(truth, structure)
    place = {int(label): row for row, label in enumerate(table["label"])}
    known = [column for column in columns if column in table and column in whole]
    changes = {column: expected_change(sums, structure, column) for column in known}
    rows = []
    for found in found_whole(labels, true_labels, whole):
        row = place[found.label]
        for column in known:
            value, true = float(table[column].iloc[row]), float(whole[column].loc[found.true_label])
            change = ExpectedChange(*(values[[row]] for values in changes[column]))
            score = own_scores(np.array([value]), np.array([true]), column, change)
            rows.append(
                {
                    "structure": structure,
                    **found._asdict(),
                    "column": column,
                    "estimator": str(table[f"{column}_estimator"].iloc[row]) if column in CORRECTED else MASK,
                    "value": value,
                    "truth": true,
                    "score": float(score[0]),
                }
            )
    return pd.DataFrame(rows)


def measured_tables(plan: Plan, state: FrameState, volume: Volume) -> Tables:
    """The tables of a frame as a run corrects them, once with its optics and once as if they were unknown.

    Parameters
    ----------
    plan : Plan
    state : FrameState
        Segmented and measured.
    volume : Volume
        The frame's.
    """
    from tomocyte.pipeline.stages.missing_cone import MissingConeStage
    from tomocyte.progress import silent

    tables: list[Mapping[str, pd.DataFrame]] = []
    for optics in dict.fromkeys((plan.optics, None)) if MissingConeStage.is_needed(plan) else ():
        stage = MissingConeStage(replace(plan, optics=optics), silent)
        stage.prepare(volume)
        tables.append(stage.apply(state).tables)
    return tables


def compare_with_truth(
    examined: Examined, tables: Tables, truth: pd.DataFrame, calibration: Mapping[str, StructureCalibration]
) -> pd.DataFrame:
    """The numbers of an examined frame beside its exact truth.

    Parameters
    ----------
    examined : Examined
    tables : Tables
        From :func:`measured_tables`, by the names of ``examined``.
    truth : DataFrame
        Of the frame.
    calibration : mapping
        It corrects the probabilities.

    Returns
    -------
    DataFrame
        As :func:`own_rows`, with ``item``.
    """
    import pandas as pd

    from tomocyte.confidence.objects import sum_over_objects
    from tomocyte.confidence.voxels import calibrated_levels

    rows = []
    for name, output in examined.outputs.items():
        labels = examined.labels[name]
        sums = sum_over_objects(
            labels, examined.probability[output], calibrated_levels(calibration.get(name)), examined.voxel_size_um
        )
        for number, table in enumerate(tables):
            columns = CORRECTED if number else COLUMNS  # sizes do not depend on the optics
            rows.append(own_rows(table[name], labels, examined.truth[name], truth, sums, name, columns))
    return pd.concat(rows, ignore_index=True).assign(item=examined.name) if rows else pd.DataFrame()


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
