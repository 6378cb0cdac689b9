"""Charts of learning and of scores: training curves, precision against recall, reliability, agreement, folds.

To add a chart, write a function that draws inside ``defaults`` and returns ``picture(figure, file_format)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomocyte.figures.axes import LINE_COLOURS, finish_axes, line_style, panels_figure, refuse_nothing
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.statistics.agreement import LIMIT_DEVIATIONS, paired_agreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tomocyte.evaluation.calibration import ReliabilityCounts
    from tomocyte.evaluation.curves import PrecisionRecallCurve

PUBLISHED_COLOUR = "#7A0019"
_MOST_POINTS = 2000


def training_figure(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    best_epoch: int | None = None,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """What was measured after each epoch: one panel per quantity, one line per series.

    Parameters
    ----------
    panels : mapping of str to mapping of str to sequence of float
        Quantity -> series (``train``, ``validation``, ``fold 1`` …) -> one value per epoch, the first of epoch 1; NaN
        where it was not measured.
    best_epoch : int, optional
        The epoch whose weights were kept, from 1.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no panel.
    """
    from matplotlib.ticker import MaxNLocator

    refuse_nothing(panels, "panels")
    with defaults():
        figure, all_axes = panels_figure(len(panels), title, width=3.6)
        for axes, (name, series) in zip(all_axes, panels.items(), strict=True):
            for number, (label, values) in enumerate(series.items()):
                heights = np.asarray(values, np.float64)
                is_known = np.isfinite(heights)
                epochs = np.arange(1, len(heights) + 1)[is_known]
                marker = "o" if len(epochs) < 25 else ""
                axes.plot(epochs, heights[is_known], marker=marker, label=drawable(label), **line_style(number))
            if best_epoch is not None:
                axes.axvline(best_epoch, color="#999999", linewidth=1, linestyle=":", label="weights kept")
            axes.set_xlabel("epoch", fontsize=9)
            axes.set_ylabel(drawable(name), fontsize=9, parse_math=False)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            finish_axes(axes)
        return picture(figure, file_format)


def course_figure(
    x: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    x_label: str,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """Quantities over time, or over anything else: one panel per quantity, one line per series.

    Parameters
    ----------
    x : sequence of float (n,)
    panels : mapping of str to mapping of str to sequence of float (n,)
        Quantity -> series -> values; NaN where there is none.
    x_label : str
        With its unit.
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no panel.
    """
    refuse_nothing(panels, "panels")
    with defaults():
        figure, all_axes = panels_figure(len(panels), title, width=4.0, height=3.2)
        for axes, (name, series) in zip(all_axes, panels.items(), strict=True):
            for number, (label, values) in enumerate(series.items()):
                heights = np.asarray(values, np.float64)
                is_known = np.isfinite(heights)
                axes.plot(
                    np.asarray(x)[is_known], heights[is_known], marker="o", label=drawable(label), **line_style(number)
                )
            axes.set_xlabel(drawable(x_label), fontsize=9, parse_math=False)
            axes.set_ylabel(drawable(name), fontsize=9, parse_math=False)
            finish_axes(axes)
        return picture(figure, file_format)


def precision_recall_figure(
    curves: Mapping[str, PrecisionRecallCurve], *, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """Precision against recall over all thresholds, one curve per model, with its area in the legend.

    Parameters
    ----------
    curves : mapping of str to PrecisionRecallCurve
        From :func:`tomocyte.evaluation.curves.precision_recall_curve`.
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no curve.
    """
    refuse_nothing(curves, "curves")
    with defaults():
        figure, (axes,) = panels_figure(1, title, width=5.2, height=4.2)
        for number, (name, curve) in enumerate(curves.items()):
            keep = np.unique(np.linspace(0, len(curve.recall) - 1, _MOST_POINTS).astype(int))
            label = f"{drawable(name)} (area {curve.auc:.3f})"
            axes.plot(curve.recall[keep], curve.precision[keep], label=label, **line_style(number))
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
        axes.set_xlabel("recall", fontsize=9)
        axes.set_ylabel("precision", fontsize=9)
        finish_axes(axes)
        return picture(figure, file_format)


def reliability_figure(
    counts: Mapping[str, ReliabilityCounts], *, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """What a model says against what is true, one curve per model; the diagonal is a model that knows its doubts.

    Parameters
    ----------
    counts : mapping of str to ReliabilityCounts
        From :func:`tomocyte.evaluation.calibration.count_reliability`; a marker's area grows with its bin's voxels.
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no model.

    References
    ----------
    Guo et al., Proc. ICML 70, 1321 (2017), arXiv:1706.04599 (ECE).
    """
    refuse_nothing(counts, "models")
    with defaults():
        figure, (axes,) = panels_figure(1, title, width=4.6, height=4.2)
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        for number, (name, one) in enumerate(counts.items()):
            is_known = one.n_voxels > 0
            x, y = one.mean_probability[is_known], one.fraction_inside[is_known]
            size = 8 + 60 * np.sqrt(one.n_voxels[is_known] / max(1, int(one.n_voxels.max())))
            axes.scatter(x, y, s=size, color=LINE_COLOURS[number % len(LINE_COLOURS)], alpha=0.5, linewidths=0)
            axes.plot(x, y, label=f"{drawable(name)} (ECE {one.ece:.4f})", **line_style(number))
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xlabel("predicted probability", fontsize=9)
        axes.set_ylabel("share that is inside", fontsize=9)
        finish_axes(axes)
        return picture(figure, file_format)


def agreement_figure(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    name: str,
    unit: str,
    methods: tuple[str, str] = ("truth", "prediction"),
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """Prediction against truth beside the Bland-Altman chart of the same pairs.

    Parameters
    ----------
    truth, prediction : array-like (n,), float
        One value per object; pairs with a NaN are left out.
    name, unit : str
        What was measured.
    methods : tuple of 2 str
        What the first and the second values are.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
        Difference over mean, with the bias and the limits of agreement (bias ∓ 1.96 SD) where there are two pairs.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: not two lists of the same length.

    References
    ----------
    Bland, Altman, Lancet 327, 307 (1986), doi:10.1016/S0140-6736(86)90837-8.
    """
    agreement = paired_agreement(truth, prediction)
    first, second = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    is_pair = np.isfinite(first) & np.isfinite(second)
    first, second = first[is_pair], second[is_pair]
    label = value_label(name, unit)
    with defaults():
        figure, (scatter, chart) = panels_figure(2, title, width=3.9, height=3.6)
        if len(first):
            ends = [min(first.min(), second.min()), max(first.max(), second.max())]
            scatter.plot(ends, ends, color="#999999", linewidth=1, linestyle=":")
        scatter.plot(first, second, "o", color=LINE_COLOURS[0], markersize=4.5, alpha=0.75)
        scatter.set_xlabel(drawable(f"{label}, {methods[0]}"), fontsize=9, parse_math=False)
        scatter.set_ylabel(drawable(f"{label}, {methods[1]}"), fontsize=9, parse_math=False)
        chart.plot((first + second) / 2, second - first, "o", color=LINE_COLOURS[0], markersize=4.5, alpha=0.75)
        chart.axhline(0, color="#999999", linewidth=1, linestyle=":")
        if np.isfinite(agreement.bias):
            chart.axhline(agreement.bias, color=LINE_COLOURS[1], linewidth=1.4, label=f"bias {agreement.bias:+.3g}")
        if np.isfinite(agreement.difference_sd):
            limits = f"limits {agreement.lower_limit:+.3g}, {agreement.upper_limit:+.3g} (bias ∓ {LIMIT_DEVIATIONS} SD)"
            chart.axhline(agreement.lower_limit, color=LINE_COLOURS[1], linewidth=1, linestyle="--", label=limits)
            chart.axhline(agreement.upper_limit, color=LINE_COLOURS[1], linewidth=1, linestyle="--")
        chart.set_xlabel(drawable(f"{label}, mean of both"), fontsize=9, parse_math=False)
        chart.set_ylabel(drawable(f"{methods[1]} minus {methods[0]}"), fontsize=9, parse_math=False)
        chart.set_title(f"n = {agreement.n_pairs}", fontsize=8, loc="right")
        finish_axes(scatter, legend="none")
        finish_axes(chart, legend="below")
        return picture(figure, file_format)


def fold_scores_figure(
    scores: Mapping[str, Sequence[float]],
    *,
    name: str,
    published: Mapping[str, float] | None = None,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """One row per model: a point per fold, a box of the quartiles from four folds on, the mean, and the paper's mean.

    Parameters
    ----------
    scores : mapping of str to sequence of float
        Model -> one value per fold; NaN is left out.
    name : str
        Of the score.
    published : mapping of str to float, optional
        Model -> the mean that the paper prints, drawn as an open diamond.
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no model.
    """
    refuse_nothing(scores, "models")
    published_scores = published or {}
    with defaults():
        figure, (axes,) = panels_figure(1, title, width=6.6, height=1.3 + 0.36 * len(scores))
        for row, (model, values) in enumerate(scores.items()):
            folds = np.asarray(values, np.float64)
            folds = folds[np.isfinite(folds)]
            _draw_row(axes, row, folds, is_first=row == 0)
            if model in published_scores:
                is_first = model == next(name for name in scores if name in published_scores)
                label = "mean in the paper (real data)" if is_first else None
                style: dict[str, Any] = {
                    "markerfacecolor": "none",
                    "color": PUBLISHED_COLOUR,
                    "markersize": 6,
                    "linestyle": "none",
                }
                axes.plot([published_scores[model]], [row], "D", label=label, **style)
        axes.set_yticks(range(len(scores)), [drawable(model) for model in scores], parse_math=False)
        axes.set_ylim(len(scores) - 0.4, -0.6)
        axes.set_xlabel(drawable(name), fontsize=9, parse_math=False)
        axes.grid(axis="x", color="#E5E5E5", linewidth=0.7)
        axes.set_axisbelow(True)
        finish_axes(axes, legend="below")
        return picture(figure, file_format)


def _draw_row(axes: Axes, row: int, folds: NDArray[np.float64], *, is_first: bool) -> None:
    if len(folds) >= 4:
        low, middle, high = np.percentile(folds, (25, 50, 75))
        axes.barh(row, high - low, left=low, height=0.5, color="#CFE3F1", edgecolor="none")
        axes.plot([middle, middle], [row - 0.25, row + 0.25], color="#7FB2D5", linewidth=1.5)
    if not len(folds):
        return
    spread = row + (np.linspace(-0.14, 0.14, len(folds)) if len(folds) > 1 else np.zeros(1))
    axes.plot(folds, spread, "o", color=LINE_COLOURS[0], markersize=4, alpha=0.8, label="a fold" if is_first else None)
    mean = float(folds.mean())
    style: dict[str, Any] = {"color": LINE_COLOURS[1], "linewidth": 2.2, "solid_capstyle": "butt"}
    axes.plot([mean, mean], [row - 0.3, row + 0.3], label="mean" if is_first else None, **style)
