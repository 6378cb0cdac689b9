"""What the columns of the score tables mean, and why a cell may be empty.

To add a column, describe it here; :class:`~tomocyte.evaluation.scores.ScoreTable` refuses to write one that nobody
described.
"""

from __future__ import annotations

from collections.abc import Iterable

from tomocyte.errors import SettingsError
from tomocyte.tables import Column

BOTH_EMPTY = "both masks are empty"
ONE_EMPTY = "a mask is empty"
NO_TRUTH = "the truth is empty"
NO_PREDICTION = "the prediction is empty"
NO_OBJECT = "no object in either"
NO_TRUE_OBJECT = "no true object"
NO_PREDICTED_OBJECT = "no predicted object"
NO_MATCH = "no object matches"
NO_PROBABILITY = "no probability was given"
NO_VOXEL_SIZE = "no voxel size is known"
NOT_POOLED = "not defined for pooled images"


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
_MASKS = (
    Column("n_voxels", "1", "All voxels.", kind="integer"),
    Column("n_true_positive", "1", "Voxels inside both.", kind="integer"),
    Column("n_false_positive", "1", "Voxels inside the prediction only.", kind="integer"),
    Column("n_false_negative", "1", "Voxels inside the truth only.", kind="integer"),
    Column("n_true_negative", "1", "Voxels outside both.", kind="integer"),
    Column("dice", "1", "2 TP / (2 TP + FP + FN), also F1.", BOTH_EMPTY, "doi:10.2307/1932409"),
    Column("jaccard", "1", "TP / (TP + FP + FN).", BOTH_EMPTY, "doi:10.1111/j.1469-8137.1912.tb05611.x"),
    Column("precision", "1", "TP / (TP + FP).", NO_PREDICTION),
    Column("recall", "1", "TP / (TP + FN).", NO_TRUTH),
    Column("f05", "1", "F-score with beta 0.5: precision weighs more.", BOTH_EMPTY),
    Column(
        "f05_as_published",
        "1",
        "F0.5 with recall misprinted as TP / (FP + FN), as in the OS-Net paper; exceeds 1.",
        BOTH_EMPTY,
    ),
    Column("pixel_accuracy", "1", "(TP + TN) / all."),
    Column("moc", "1", "Overlap coefficient of the masks.", ONE_EMPTY, "doi:10.1111/j.1365-2818.1993.tb03313.x"),
    Column("relative_volume_error", "1", "(predicted - true voxels) / true voxels.", NO_TRUTH),
)
_PROBABILITY = (
    Column("auc_pr", "1", "Area under precision against recall, trapezoids.", NO_TRUTH),
    Column("average_precision", "1", "Area under precision against recall, steps.", NO_TRUTH),
    Column("ece", "1", "Expected calibration error.", NO_PROBABILITY, "arXiv:1706.04599"),
    Column(
        "brier",
        "1",
        "Mean squared difference of probability and truth.",
        NO_PROBABILITY,
        "doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
    ),
)
_SURFACE = (
    Column("hausdorff_um", "µm", "Largest distance of the surfaces; largest of all where pooled.", ONE_EMPTY),
    Column("hd95_um", "µm", "Larger of the two directed 95th percentiles of the surface distance.", ONE_EMPTY),
    Column("assd_um", "µm", "Mean distance of the surface voxels of both.", ONE_EMPTY),
    Column(
        "surface_dice",
        "1",
        "Share of the surface voxels within the tolerance of the other surface (NSD).",
        BOTH_EMPTY,
        "doi:10.2196/26151",
    ),
)
_INSTANCES = (
    Column("n_true_objects", "1", "Objects of the truth.", kind="integer"),
    Column("n_predicted_objects", "1", "Objects of the prediction.", kind="integer"),
    Column("instance_ap_mean", "1", "Mean of TP / (TP + FP + FN) at IoU 0.5, 0.55 … 0.95.", NO_OBJECT),
    Column("panoptic_quality", "1", "SQ times RQ.", NO_OBJECT, "doi:10.1109/CVPR.2019.00963"),
    Column("segmentation_quality", "1", "SQ: mean IoU of pairs with IoU above 0.5.", NO_MATCH),
    Column("recognition_quality", "1", "RQ: F1 of objects at IoU above 0.5.", NO_OBJECT),
    Column("hungarian_dice", "1", "Mean Dice of the true objects with their best partners.", NO_TRUE_OBJECT),
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
    Column("method", "", "How the interval is made from the resamples: percentile or BCa.", kind="text"),
    Column("n_groups", "1", "Groups resampled.", kind="integer"),
)
_AT_IOU = {
    "instance_precision_iou": ("Precision of objects", NO_PREDICTED_OBJECT),
    "instance_recall_iou": ("Recall of objects", NO_TRUE_OBJECT),
    "instance_f1_iou": ("F1 of objects", NO_OBJECT),
    "instance_ap_iou": ("TP / (TP + FP + FN) of objects", NO_OBJECT),
}
_KNOWN = {
    column.name: column
    for column in (*_KEYS, *_MASKS, *_PROBABILITY, *_SURFACE, *_INSTANCES, *OBJECT_COLUMNS, *INTERVAL_COLUMNS)
}


def describe_column(name: str) -> Column:
    """What one column means; ``instance_f1_iou75`` and the like are read from their name.

    Raises
    ------
    SettingsError
        ``E-COLUMN``: nobody described it.

    Examples
    --------
    >>> describe_column("instance_f1_iou75").meaning
    'F1 of objects that match at an IoU of at least 0.75.'
    """
    if name in _KNOWN:
        return _KNOWN[name]
    for start, (meaning, reason) in _AT_IOU.items():
        percent = name.removeprefix(start)
        if percent != name and percent.replace("_", "", 1).isdigit():
            share = float(percent.replace("_", ".")) / 100
            return Column(name, "1", f"{meaning} that match at an IoU of at least {share:g}.", reason)
    raise SettingsError("E-COLUMN", f"no meaning is known for {name!r}.", cure="Describe it in evaluation.columns.")


def describe_columns(names: Iterable[str]) -> list[Column]:
    """What columns mean, in the order given; see :func:`describe_column`."""
    return [describe_column(name) for name in names]
