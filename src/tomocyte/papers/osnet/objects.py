"""What was found against the truth, object by object: Dice, diameters, volumes, and how well they agree.

To compare one more quantity, add a registered measurement to :data:`MEASURED` with its unit and its words.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import score_objects
from tomocyte.labels.components import connected_components
from tomocyte.measurements import measure
from tomocyte.statistics.agreement import paired_agreement
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

MEASURED: dict[str, tuple[str, str]] = {
    "section_diameter_um": ("µm", "diameter of the widest section"),
    "height_um": ("µm", "height along z"),
    "equivalent_diameter_um": ("µm", "diameter of a ball of its volume"),
    "volume_um3": ("µm³", "volume"),
}
"""Quantity -> unit and meaning; the widest section is taken for a circle of its area."""


def compare_objects(
    truth: NDArray[Any], inside: NDArray[np.bool_], voxel_size_um: VoxelSize, *, structure: str, min_volume_um3: float
) -> tuple[pd.DataFrame, int]:
    """Each true object and the predicted one that matches it.

    Found objects are the connected parts of the mask; the best one-to-one assignment by Dice pairs them with the true
    ones. Two true objects that were found as one therefore share it: the larger overlap gets it, the other gets none.

    Parameters
    ----------
    truth : ndarray (Z, Y, X), unsigned integer
        Labels, 0 = background.
    inside : ndarray (Z, Y, X), bool
        What was found.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    structure : str
        What the objects are.
    min_volume_um3 : float
        Smaller found parts do not count.

    Returns
    -------
    table : DataFrame
        One row per true object: ``label``, ``is_cut`` (touches a border, so that its sizes are lower bounds),
        ``z_um``, ``y_um``, ``x_um`` of the truth, ``partner`` (0 = not found), ``dice``, and for every quantity of
        :data:`MEASURED` ``<name>_truth`` and ``<name>_prediction`` (NaN where not found).
    n_without_truth : int
        Found objects that belong to no true one.
    """
    components = connected_components(inside)
    is_large = components.n_voxels * math.prod(voxel_size_um) >= min_volume_um3
    prediction = components.paint(is_large)
    table = _sizes(truth, voxel_size_um, structure)
    sizes = _sizes(prediction, voxel_size_um, structure).set_index("label")
    pairs = {int(row["label"]): row for row in score_objects(truth, prediction) if row["label"]}
    result = table[["label", "is_cut", "z_um", "y_um", "x_um"]].copy()
    result["partner"] = [int(pairs[int(label)]["prediction_label"]) for label in table["label"]]
    result["dice"] = [pairs[int(label)]["object_dice"] for label in table["label"]]
    for name in MEASURED:
        result[f"{name}_truth"] = table[name]
        result[f"{name}_prediction"] = sizes[name].reindex(result["partner"]).to_numpy()
    return result, len(sizes) - int((result["partner"] > 0).sum())


def agreement_table(objects: pd.DataFrame) -> pd.DataFrame:
    """How well sizes agree, over the objects that were found and that no border cuts.

    Parameters
    ----------
    objects : DataFrame
        Rows of :func:`compare_objects`, of any number of frames.

    Returns
    -------
    DataFrame
        One row per quantity: ``quantity``, ``unit``, ``meaning``, ``n_pairs``, ``mean_truth``, ``bias``,
        ``difference_sd``, ``lower_limit``, ``upper_limit`` (Bland and Altman), ``concordance`` (Lin),
        ``mean_relative_error``.

    References
    ----------
    Bland, Altman, Lancet 327, 307 (1986), doi:10.1016/S0140-6736(86)90837-8; Lin, Biometrics 45, 255 (1989),
    doi:10.2307/2532051.
    """
    import pandas as pd

    usable = objects[~objects["is_cut"].astype(bool) & (objects["partner"] > 0)]
    rows = []
    for name, (unit, meaning) in MEASURED.items():
        truth, prediction = usable[f"{name}_truth"].to_numpy(), usable[f"{name}_prediction"].to_numpy()
        agreement = paired_agreement(truth, prediction)
        rows.append(
            {
                "quantity": name,
                "unit": unit,
                "meaning": meaning,
                "n_pairs": agreement.n_pairs,
                "mean_truth": float(np.mean(truth)) if len(truth) else math.nan,
                "bias": agreement.bias,
                "difference_sd": agreement.difference_sd,
                "lower_limit": agreement.lower_limit,
                "upper_limit": agreement.upper_limit,
                "concordance": agreement.concordance,
                "mean_relative_error": agreement.mean_relative_error,
            }
        )
    return pd.DataFrame(rows)


def _sizes(labels: NDArray[Any], voxel_size_um: VoxelSize, structure: str) -> pd.DataFrame:
    names = [name for name in MEASURED if name != "section_diameter_um"]
    table = measure(labels, None, voxel_size_um, structure=structure, names=names)
    widest = _widest_section_um2(labels, voxel_size_um)
    table["section_diameter_um"] = [2 * math.sqrt(widest[int(label)] / math.pi) for label in table["label"]]
    return table


def _widest_section_um2(labels: NDArray[Any], voxel_size_um: VoxelSize) -> dict[int, float]:
    """Area of the largest section perpendicular to z of each label."""
    pixel = voxel_size_um[1] * voxel_size_um[2]
    widest: dict[int, float] = {}
    for plane in labels:
        names, counts = np.unique(plane, return_counts=True)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            widest[name] = max(widest.get(name, 0.0), count * pixel)
    return widest
