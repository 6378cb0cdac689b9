"""Metrics: a name, a unit, what it is computed from, and a function; and the list of all of them.

Nothing is added here: a module of :mod:`tomocyte.evaluation.metrics` with a tuple ``METRICS`` is discovered
automatically, and its metrics appear in the score table, in the data dictionary and in the output of ``tomocyte
evaluate``.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal, get_args

from tomocyte.errors import SettingsError
from tomocyte.tables import Column, ColumnKind

Needs = Literal["masks", "probabilities", "surfaces", "instances", "images"]


@dataclass(frozen=True)
class Metric:
    """One column of a score table.

    Parameters
    ----------
    name, unit, meaning : str
        The column, its unit (``1``: none) and one sentence.
    needs : {"masks", "probabilities", "surfaces", "instances", "images"}
        What ``function`` takes: the part of this name of a :class:`~tomocyte.evaluation.tally.Tally`; with ``images``
        the :class:`~tomocyte.evaluation.tally.Case` itself.
    function : callable
        Returns a number, NaN where it has no meaning, or ``None`` where its column was not asked for.
    is_higher_better : bool, optional
        ``None``: neither, as of a count.
    when_empty : str
        Why it is NaN where nothing more special is known; ``""`` if never.
    reference : str
    kind : {"number", "integer"}
        What its cells hold: float64 or int64.
    heading : str
        Over its column in a table to read; empty: the name.
    aliases : tuple of str
        Other names that stored tables use.
    is_shown : bool
        Whether ``tomocyte evaluate`` prints it on the screen; tables hold it anyway.
    is_default : bool
        Whether it is computed when no metric is named.
    is_pooled : bool
        Whether the counts of several images give it.
    interval : callable, optional
        The pooled metric from arrays of TP, FP and FN, for its bootstrap interval.
    min_iou : float, optional
        Intersection over union from which objects match. NaN: every one that is asked for gets a column; ``function``
        then takes it as a second argument.
    """

    name: str
    unit: str
    meaning: str
    needs: Needs
    function: Callable[..., float | None]
    is_higher_better: bool | None = True
    when_empty: str = ""
    reference: str = ""
    kind: ColumnKind = "number"
    heading: str = ""
    aliases: tuple[str, ...] = ()
    is_shown: bool = False
    is_default: bool = True
    is_pooled: bool = True
    interval: Callable[[Any, Any, Any], Any] | None = None
    min_iou: float | None = None

    @property
    def column(self) -> Column:
        """What its column means, for a data dictionary."""
        return Column(self.name, self.unit, self.meaning, self.when_empty, self.reference, self.kind)

    @property
    def is_per_iou(self) -> bool:
        """Whether it stands for one metric per intersection over union."""
        return self.min_iou is not None and math.isnan(self.min_iou)

    def at(self, min_iou: float) -> Metric:
        """The metric at one intersection over union; its name ends in the percentage."""
        meaning = f"{self.meaning.rstrip('.')} that match at an IoU of at least {min_iou:g}."
        function = partial(self.function, min_iou=min_iou)
        name = f"{self.name}_iou{iou_suffix(min_iou)}"
        return replace(self, name=name, meaning=meaning, function=function, min_iou=min_iou)


def iou_suffix(min_iou: float) -> str:
    """``50`` for 0.5, ``62_5`` for 0.625: the end of a column's name."""
    return f"{round(100 * min_iou, 6):g}".replace(".", "_")


def all_metrics() -> tuple[Metric, ...]:
    """Every metric in the order of the columns: by what it needs, those of the room's own file first.

    Raises
    ------
    SettingsError
        ``E-METRIC``: two metrics of one name.
    """
    package = importlib.import_module("tomocyte.evaluation.metrics")
    return _metrics_in(tuple(package.__path__))


@cache
def _metrics_in(folders: tuple[str, ...]) -> tuple[Metric, ...]:
    rank = {name: index for index, name in enumerate(get_args(Needs))}
    ranked: list[tuple[int, bool, Metric]] = []
    for module in pkgutil.iter_modules(folders):
        entries = getattr(importlib.import_module(f"tomocyte.evaluation.metrics.{module.name}"), "METRICS", ())
        ranked += [(rank[metric.needs], module.name != metric.needs, metric) for metric in entries]
    ordered = [metric for _, _, metric in sorted(ranked, key=lambda entry: entry[:2])]
    names = [metric.name for metric in ordered]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError("E-METRIC", f"two metrics have the name {', '.join(twice)}.", cure="Rename one.")
    return tuple(ordered)


def find_metric(name: str) -> Metric:
    """The metric of a column; ``instance_f1_iou75`` and the like are read from their name.

    Raises
    ------
    SettingsError
        ``E-SCORE`` with the known names.

    Examples
    --------
    >>> find_metric("instance_f1_iou75").meaning
    'F1 of objects that match at an IoU of at least 0.75.'
    >>> find_metric("pr_auc").name
    'auc_pr'
    """
    for metric in all_metrics():
        if not metric.is_per_iou and name in (metric.name, *metric.aliases):
            return metric
        percent = name.removeprefix(f"{metric.name}_iou")
        if metric.is_per_iou and percent != name and percent.replace("_", "", 1).isdigit():
            return metric.at(float(percent.replace("_", ".")) / 100)
        if metric.is_per_iou and name in metric.aliases:
            return metric.at(0.5)
    names = ", ".join(f"{entry.name}_iou50" if entry.is_per_iou else entry.name for entry in all_metrics())
    raise SettingsError("E-SCORE", f"there is no score {name!r}.", cure=f"Scores: {names}.")


def with_min_ious(metrics: Sequence[Metric], min_ious: Sequence[float]) -> tuple[Metric, ...]:
    """Metrics of one intersection over union each: neighbours that stand for many are repeated for every one."""
    result: list[Metric] = []
    waiting: list[Metric] = []
    for metric in metrics:
        if metric.is_per_iou:
            waiting.append(metric)
            continue
        result += [entry.at(min_iou) for min_iou in min_ious for entry in waiting]
        waiting = []
        result.append(metric)
    return (*result, *(entry.at(min_iou) for min_iou in min_ious for entry in waiting))
