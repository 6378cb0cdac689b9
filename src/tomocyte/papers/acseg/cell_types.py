"""Fig. 6: one model over several cell types, as surfaces and planes, with the protrusions that it finds and misses.

To compare another property of cells, add it to :func:`_row`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.evaluation import dice
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import contour_figure
from tomocyte.figures.rendering import Body, BodyPanel, body_figure
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.measurements import measure
from tomocyte.papers.acseg.claims import claims_markdown, judge_scores, scores_markdown
from tomocyte.papers.acseg.differences import CellPair, difference_figure
from tomocyte.papers.acseg.fields import SegmentedField
from tomocyte.papers.acseg.pictures import outline_panel, title_of
from tomocyte.papers.acseg.recipe import CellTypesRecipe
from tomocyte.papers.acseg.thresholds import opening
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.volume import VoxelSize

MODEL = "model"
COLOURS = ("#7B9EC8", "#E0A458", "#8DBF8B", "#C88EA7", "#B7A6D9", "#D9C77A", "#8CC5C5", "#C9896B")
"""Of cells, the largest first; they repeat."""
_LARGEST_SIDE = 110
_SHARES = (0.3, 0.5, 0.7)
"""Where between the first and the last plane with cells planes are shown."""


@dataclass(frozen=True)
class Protrusions:
    """What is thin on the surface of cells.

    Parameters
    ----------
    n : int
    length_um : float
        Mean of how far they reach from the cells' bodies; NaN without any.
    share : float
        Of the cells' volume.
    """

    n: int
    length_um: float
    share: float


def cell_types_experiment(
    recipe: CellTypesRecipe,
    fields: Sequence[SegmentedField],
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Score and draw the segmentation of every field; the first of each cell type is drawn.

    Parameters
    ----------
    recipe : CellTypesRecipe
    fields : sequence of SegmentedField
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``compare`` after each field.

    Returns
    -------
    ExperimentResult
        Tables ``scores`` (a row per field: Dice, volumes, surfaces, protrusions of truth and model), ``claims``;
        pictures ``surfaces-…`` (found cells), ``planes-…``, ``difference-…`` per cell type.
    """
    import pandas as pd

    title = recipe.title
    rows: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    for number, field in enumerate(fields, start=1):
        title = title_of(recipe.title, is_simulated=field.is_simulated)
        rows.append(_row(field, recipe))
        name = field.case.replace(" ", "-")
        if f"planes-{name}" not in pictures:
            pictures |= _pictures(field, name, title=title, file_format=file_format)
        callback(Progress(field.name, "compare", state="done", done=number, total=len(fields)))
    scores = pd.DataFrame(rows)
    judged = judge_scores(recipe.claims, scores)
    return ExperimentResult(
        {"scores": scores, "claims": judged}, pictures, _summary(title, recipe, scores, judged), file_format
    )


def protrusions(
    mask: NDArray[np.bool_], voxel_size_um: VoxelSize, *, thin_um: float, min_length_um: float
) -> Protrusions:
    """Parts of a mask that a ball of radius ``thin_um`` does not reach and that reach ``min_length_um`` from the rest.

    Steps of a surface along voxels are thin, too, and do not reach far.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
    thin_um, min_length_um : float
        In µm.

    Examples
    --------
    >>> rod = np.zeros((9, 9, 40), dtype=bool)
    >>> rod[1:8, 1:8, 1:8] = rod[4, 4, 8:30] = True
    >>> protrusions(rod, (0.1, 0.1, 0.1), thin_um=0.2, min_length_um=1.0).n
    1
    """
    body = opening(mask, thin_um, voxel_size_um)
    components = connected_components(mask & ~body, connectivity=3)
    away = distance_um(~body, voxel_size_um)
    labels = components.paint()
    lengths = np.atleast_1d(ndimage.maximum(away, labels, np.arange(1, components.n + 1)))
    is_long = lengths >= min_length_um
    n_voxels = int(components.n_voxels[1:][is_long].sum())
    mean = float(lengths[is_long].mean()) if is_long.any() else math.nan
    return Protrusions(int(is_long.sum()), mean, n_voxels / max(1, int(mask.sum())))


def _row(field: SegmentedField, recipe: CellTypesRecipe) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": field.case, "item": field.name, "method": MODEL, "dice": dice(field.truth, field.found),
    }  # fmt: skip
    for side, labels in (("truth", field.truth), ("model", field.found)):
        mask = labels != 0
        n_cells = len(np.unique(labels)) - bool((labels == 0).any())
        whole = measure(
            mask.astype(np.uint8), None, field.voxel_size_um, structure=recipe.structure,
            names=["volume_um3", "surface_to_volume_per_um"],
        )  # fmt: skip
        thin = protrusions(mask, field.voxel_size_um, thin_um=recipe.thin_um, min_length_um=recipe.min_length_um)
        row |= {
            f"n_cells_{side}": n_cells,
            f"volume_um3_{side}": float(whole["volume_um3"].sum()),
            f"surface_to_volume_per_um_{side}": float(whole["surface_to_volume_per_um"].iloc[0])
            if n_cells
            else math.nan,
            f"protrusions_per_cell_{side}": thin.n / n_cells if n_cells else math.nan,
            f"protrusion_length_um_{side}": thin.length_um,
            f"protrusion_share_{side}": thin.share,
        }
    return row


def _pictures(field: SegmentedField, name: str, *, title: str, file_format: PictureFormat) -> dict[str, bytes]:
    """Planes with outlines, surfaces of what is true and what was found, and their difference."""
    words = f"{title}: {field.case}"
    planes = np.flatnonzero(field.truth.any(axis=(1, 2)))
    shown = dict.fromkeys(int(planes[int(share * (len(planes) - 1))]) for share in _SHARES) if len(planes) else {}
    panels = [
        outline_panel(field, z, field.found[z], f"z = {z * field.voxel_size_um[0]:.1f} µm, Dice "
                      f"{dice(field.truth[z], field.found[z]):.3f}")
        for z in shown
    ]  # fmt: skip
    options: dict[str, Any] = {"file_format": file_format}
    pictures = {}
    if panels:
        pictures[f"planes-{name}"] = contour_figure(
            panels, field.voxel_size_um[1:], title=words, quantity=field.quantity, unit=field.unit, **options
        )
    if field.found.any():
        bodies = [
            BodyPanel(bodies_of(labels), caption)
            for labels, caption in ((field.truth, "truth"), (field.found, "model"))
            if labels.any()
        ]
        pictures[f"surfaces-{name}"] = body_figure(
            bodies, field.voxel_size_um, title=words, smoothing_um=0.75 * min(field.voxel_size_um),
            largest_side=_LARGEST_SIDE, **options,
        )  # fmt: skip
        pair = CellPair(field.name, field.truth != 0, field.found != 0, field.voxel_size_um)
        pictures[f"difference-{name}"] = difference_figure(pair, ("truth", "model"), title=words, **options)
    return pictures


def bodies_of(labels: NDArray[Any]) -> tuple[Body, ...]:
    """Every object as a body, the largest first, each in a colour of its own."""
    names, counts = np.unique(labels[labels != 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    return tuple(Body(labels == name, COLOURS[index % len(COLOURS)]) for index, name in enumerate(order))


def _summary(title: str, recipe: CellTypesRecipe, scores: Any, judged: Any) -> str:
    means = scores.groupby("case", sort=False).mean(numeric_only=True)
    lines = [
        f"# {title}",
        "",
        f"{len(scores)} tomograms. Protrusions: what a ball of {recipe.thin_um:g} µm does not reach inside the cells "
        f"and that reaches at least {recipe.min_length_um:g} µm from the rest.",
        "",
        *scores_markdown(scores),
        "",
        "| truth, model | surface to volume (1/µm) | protrusions per cell | their length (µm) | share of the volume |",
        "|---|---|---|---|---|",
    ]
    for case, row in means.iterrows():
        cells = [
            f"{row[f'{name}_truth']:.3g}, {row[f'{name}_model']:.3g}"
            for name in ("surface_to_volume_per_um", "protrusions_per_cell", "protrusion_length_um", "protrusion_share")
        ]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *claims_markdown(judged), "", recipe.published, ""])
