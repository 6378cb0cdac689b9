"""Charts of learning curves: every family through scores, the goal, and how far apart they end; and several series.

To add something to one, draw it in its function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomocyte.figures.axes import MARKERS, finish_axes, line_style, panels_figure, refuse_nothing
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture
from tomocyte.statistics.learning_curves import Plan

FARTHEST = 10.0
"""The axis ends at most at this many times the largest training."""


@dataclass(frozen=True)
class ScoreSeries:
    """Scores after training on several numbers of volumes.

    Parameters
    ----------
    name : str
    n_volumes : sequence of float (N,)
    means, deviations : sequence of float (N,)
        Over test volumes; NaN: no bar.
    is_published : bool
        Drawn in grey, for comparison.
    """

    name: str
    n_volumes: Sequence[float]
    means: Sequence[float]
    deviations: Sequence[float]
    is_published: bool = False


def score_series_figure(
    series: Sequence[ScoreSeries], *, score: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """Means with their standard deviations against the number of training volumes, one line per series.

    Parameters
    ----------
    series : sequence of ScoreSeries
    score : str
        Its name.
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no series.
    """
    refuse_nothing(series, "series")
    with defaults():
        figure, (axes,) = panels_figure(1, title, width=6.4, height=4.4)
        ticks = {n for one in series for n in one.n_volumes}
        step = 0.006 * (max(ticks) - min(ticks))
        for number, one in enumerate(series):
            style: dict[str, Any] = line_style(number) | {"marker": MARKERS[number % len(MARKERS)]}
            if one.is_published:
                style |= {"color": "#999999", "linestyle": ("--", ":")[number % 2], "linewidth": 1}
            places = np.asarray(one.n_volumes) + step * (number - (len(series) - 1) / 2)
            bars = np.nan_to_num(np.asarray(one.deviations, np.float64))
            axes.errorbar(places, one.means, yerr=bars, label=drawable(one.name), capsize=2, elinewidth=0.8, **style)
        axes.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
        lowest = min(float(np.nanmin(one.means)) for one in series)
        axes.set_ylim(max(0.0, lowest - max(0.02, 0.6 * (1 - lowest))), 1.005)
        axes.set_xlabel("number of training volumes", fontsize=9)
        axes.set_ylabel(drawable(score), fontsize=9, parse_math=False)
        finish_axes(axes, legend="below")
        return picture(figure, file_format)


def learning_figure(plan: Plan, *, score: str, file_format: PictureFormat = "png") -> bytes:
    """Scores with their standard errors, curves (thin where they fit worse), the interval.

    Parameters
    ----------
    plan : Plan
    score : str
        Its name.
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
    """
    sizes = np.array([size.n_volumes for size in plan.sizes])
    scores, errors = np.array([(size.score, size.standard_error) for size in plan.sizes]).T
    most = max((one.volumes for one in plan.curves if one.is_plausible and math.isfinite(one.volumes)), default=0.0)
    end = min(FARTHEST * sizes[-1], max(2 * sizes[-1], 1.2 * most))
    n = np.geomspace(0.8 * sizes[0], end, 200)
    with defaults():
        figure, (axes,) = panels_figure(1, "", width=6.4, height=4.4)
        some = np.geomspace(n[0], n[-1], 30)
        low, high = np.array([plan.score_at(number)[1:] for number in some]).T
        share = f"{100 * plan.settings.level:g} % interval of all that fit as well"
        axes.fill_between(some, low, np.minimum(high, plan.settings.best), color="#DDDDDD", linewidth=0, label=share)
        for number, one in enumerate(plan.curves):
            style = line_style(number) | ({} if one.is_plausible else {"linewidth": 0.7, "alpha": 0.5})
            label = one.family.name if one.is_plausible else f"{one.family.name} (fits worse)"
            axes.plot(n, one.curve.score_at(n)[0], label=label, **style)
        points: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 4, "capsize": 2}
        axes.errorbar(sizes, scores, yerr=np.nan_to_num(errors), label="scores, with standard error", **points)
        if math.isfinite(plan.goal):
            axes.axhline(plan.goal, color="#7A0019", linewidth=1, linestyle=":", label=f"goal {plan.goal:g}")
        axes.set_xscale("log")
        ticks = [number for number in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if n[0] <= number <= n[-1]]
        axes.set_xticks(ticks, [str(number) for number in ticks])
        axes.minorticks_off()
        bottom = float(scores.min() - 0.35 * np.ptp(scores))
        axes.set(xlim=(n[0], n[-1]), ylim=(bottom, plan.settings.best + 0.02 * (plan.settings.best - bottom)))
        axes.set_xlabel("number of training volumes", fontsize=9)
        axes.set_ylabel(drawable(score), fontsize=9, parse_math=False)
        if math.isfinite(plan.goal) and plan.objections:
            axes.set_title("cannot be extrapolated to the goal", fontsize=9, loc="left")
        finish_axes(axes, legend="below")
        return picture(figure, file_format)
