"""The meaning of the columns of score tables, and why a cell may be empty.

Metrics describe themselves (:mod:`tomocyte.evaluation.metrics`); describe any other new column here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tomocyte.errors import SettingsError
from tomocyte.evaluation.metric import find_metric
from tomocyte.tables import Column

_KEYS = (
    Column(
        "level", "", "image, group, pooled (counts of all images added), mean or sd (over images, n - 1).", kind="text"
    ),
    Column("item", "", "The image; empty for more than one.", kind="text"),
    Column("frame", "1", "Index of the time point, from 0; -1 for more than one image.", kind="integer"),
    Column("group", "", "What is resampled together: cell, image, field.", kind="text"),
    Column("structure", "", "What was segmented.", kind="text"),
    Column("is_simulated", "", "Whether truth or prediction (of any image in the row) is simulated.", kind="boolean"),
    Column("n_images", "1", "Images (frames) in this row.", kind="integer"),
    Column("reason", "", "Why cells of this row are empty, or how many images a mean leaves out.", kind="text"),
)
OBJECT_COLUMNS = (
    Column("label", "1", "Number of the true object; 0: a predicted object without a true partner.", kind="integer"),
    Column("prediction_label", "1", "Number of its partner; 0: none (missed).", kind="integer"),
    Column("n_truth_voxels", "1", "Voxels of the true object.", kind="integer"),
    Column("n_prediction_voxels", "1", "Voxels of the predicted object.", kind="integer"),
    Column("object_dice", "1", "Dice of the pair; 0 without a partner."),
    Column("object_iou", "1", "Intersection over union of the pair; 0 without a partner."),
    Column("truth_volume_um3", "µm³", "Volume of the true object.", "planar, or no voxel size"),
    Column("prediction_volume_um3", "µm³", "Volume of the predicted object.", "planar, or no voxel size"),
    Column("truth_area_um2", "µm²", "Area of the true object.", "not planar, or no pixel size"),
    Column("prediction_area_um2", "µm²", "Area of the predicted object.", "not planar, or no pixel size"),
    Column("object_hd95_um", "µm", "HD95 of the pair.", "no partner, or no voxel size"),
    Column("object_assd_um", "µm", "Mean surface distance of the pair.", "no partner, or no voxel size"),
    Column("object_distance_um", "µm", "Distance of the pair's centres.", "no partner, or no voxel size"),
)
INTERVAL_COLUMNS = (
    Column("metric", "", "Column of the score table.", kind="text"),
    Column("statistic", "", "mean (over images) or pooled (counts of all images added).", kind="text"),
    Column("value", "", "The statistic of all images; unit of the metric.", "no image has a value"),
    Column("low", "", "Lower end of the bootstrap interval.", "see reason"),
    Column("high", "", "Upper end of the bootstrap interval.", "see reason"),
    Column("level_of_confidence", "1", "Share of intervals that would hold the true value."),
    Column(
        "method",
        "",
        "Of an interval: how it is made from the resamples, percentile or BCa; of a score: what segmented the image.",
        kind="text",
    ),
    Column("n_groups", "1", "Groups resampled.", kind="integer"),
)
CONFUSION_COLUMNS = (
    Column("classes", "", "The structures that exclude each other; the earlier one where masks overlap.", kind="text"),
    Column("true_class", "", "Structure of these voxels in the truth; other: none of them.", kind="text"),
    Column("predicted_class", "", "Structure of these voxels in the prediction; other: none of them.", kind="text"),
    Column("n_class_voxels", "1", "Voxels of this true and this predicted class.", kind="integer"),
    Column("share_of_true_class", "1", "Their share of all voxels of the true class.", "no voxel of the true class"),
)
_DESCRIBED = {column.name: column for column in (*_KEYS, *OBJECT_COLUMNS, *INTERVAL_COLUMNS, *CONFUSION_COLUMNS)}


def describe_column(name: str) -> Column:
    """What one column means, metric or not.

    Raises
    ------
    SettingsError
        ``E-COLUMN``: it is not described.

    Examples
    --------
    >>> describe_column("instance_f1_iou75").meaning
    'F1 of objects that match at an IoU of at least 0.75.'
    """
    if name in _DESCRIBED:
        return _DESCRIBED[name]
    try:
        return find_metric(name).column
    except SettingsError as problem:
        raise SettingsError(
            "E-COLUMN", f"the column {name!r} is not described.", cure="Describe it in evaluation.columns."
        ) from problem


def describe_columns(names: Iterable[str]) -> list[Column]:
    """What columns mean, in the order given; see :func:`describe_column`."""
    return [describe_column(name) for name in names]
