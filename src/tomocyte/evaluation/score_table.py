"""Scores in one tidy table, of users' files, folds, fields or papers: rows are images of a structure by a method.

Images are added one by one and not kept; only counts and rows are, from which pooled rows, means and intervals are
made. Rows of earlier scores (read from a file) are added as they are. The columns are the metrics of
:mod:`tomocyte.evaluation.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.calibration import ReliabilityCounts
from tomocyte.evaluation.case import Case, ScoreSettings
from tomocyte.evaluation.columns import OBJECT_COLUMNS
from tomocyte.evaluation.curves import PrecisionRecallCounts
from tomocyte.evaluation.matching import overlap_table
from tomocyte.evaluation.metric import Metric, all_metrics, find_metric, with_min_ious
from tomocyte.evaluation.objects import score_objects
from tomocyte.evaluation.tally import Row, Tally, count_case, predicted_mask, score_row, without_probability
from tomocyte.statistics.agreement import mean_and_sd
from tomocyte.statistics.bootstrap import BootstrapSettings, Float, bootstrap_interval

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("level", "item", "frame", "group", "structure", "method", "is_simulated", "n_images")
NOT_AVERAGED = {*KEYS, "reason"}
Subject = tuple[str, str]
"""Structure and method."""


class ScoreTable:
    """Add the images one by one with :meth:`add`, then call :meth:`table`, :meth:`objects` or :meth:`intervals`.

    Parameters
    ----------
    settings : ScoreSettings, optional
    metrics : sequence of str or Metric, optional
        Only these columns, by name, or metrics of the caller's own; by default those that the settings select.
    extra_metrics : sequence of Metric, optional
        Further columns behind the others.

    Raises
    ------
    SettingsError
        ``E-IOU``: an intersection over union outside (0, 1]; ``E-SCORE``: no such metric.

    Examples
    --------
    >>> scores = ScoreTable(ScoreSettings(is_surface_scored=False))
    >>> _ = scores.add(Case("a", "a", np.array([[1, 1, 0]]), np.array([[1, 0, 0]])))
    >>> _ = scores.add(Case("b", "b", np.array([[1, 0, 0]]), np.array([[1, 0, 0]])))
    >>> table = scores.table()
    >>> table.set_index("level").loc[["pooled", "mean"], "dice"].round(4).tolist()
    [0.8, 0.8333]
    """

    def __init__(
        self,
        settings: ScoreSettings | None = None,
        *,
        metrics: Sequence[str | Metric] | None = None,
        extra_metrics: Sequence[Metric] = (),
    ) -> None:
        self.settings = settings or ScoreSettings()
        if not self.settings.min_ious or not all(0 < value <= 1 for value in self.settings.min_ious):
            raise SettingsError(
                "E-IOU", f"min_ious must be numbers above 0 and at most 1, not {self.settings.min_ious}."
            )
        selected = _of_settings(self.settings) if metrics is None else _of_names(metrics)
        self.metrics = with_min_ious((*selected, *extra_metrics), self.settings.min_ious)
        self._rows: list[Row] = []
        self._objects: list[Row] = []
        self._tallies: list[Tally] = []
        self._groups: dict[Subject, dict[str, Tally]] = {}
        self._pooled: dict[Subject, Tally] = {}
        self._names: set[tuple[Any, ...]] = set()

    @classmethod
    def of_folds(cls, scores: Mapping[str, Mapping[str, Sequence[float]]]) -> ScoreTable:
        """A table of existing scores: method -> metric -> one value per fold.

        Examples
        --------
        >>> ScoreTable.of_folds({"otsu": {"dice": [0.5, 0.75]}}).values("dice", method="otsu")
        [0.5, 0.75]
        """
        table = cls()
        for method, columns in scores.items():
            n_folds = max((len(values) for values in columns.values()), default=0)
            for fold in range(n_folds):
                values = {name: values[fold] for name, values in columns.items() if fold < len(values)}
                table.add_row({"method": method, "fold": fold + 1, **values})
        return table

    def __len__(self) -> int:
        """Rows so far."""
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """One row per image, structure and method: keys and scores."""
        return [dict(row) for row in self._rows]

    @property
    def reliability(self) -> ReliabilityCounts | None:
        """The reliability curve of all images together; ``None`` without probabilities."""
        tally = self.tally()
        return tally.probabilities.reliability if tally is not None and tally.probabilities is not None else None

    @property
    def curve(self) -> PrecisionRecallCounts | None:
        """The precision-recall counts of all images together; ``None`` without probabilities."""
        tally = self.tally()
        return tally.probabilities.curve if tally is not None and tally.probabilities is not None else None

    def add(self, case: Case) -> Row:
        """Score one image and keep its row and counts.

        Returns
        -------
        dict
            Its row of the table.

        Raises
        ------
        SettingsError
            ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``, ``E-PROBABILITY``; ``E-EMPTY`` with neither prediction nor
            probability; ``E-DUPLICATE`` for an image, structure and method that was added before.
        """
        return self.add_all([case])[0]

    def add_all(self, cases: Iterable[Case]) -> list[Row]:
        """Score several images, all or, when one of them raises, none; see :meth:`add`.

        Memory: with probabilities, about 1 MB per image until the last one is counted.
        """
        counted: list[tuple[Row, Tally, list[Row]]] = []
        names: set[tuple[Any, ...]] = set()
        for case in cases:
            keys = self._keys(case)
            if _name(keys) in names or _name(keys) in self._names:
                raise SettingsError(
                    "E-DUPLICATE", f"image {case.item!r}, frame {case.frame} was added twice.", cure="Give other names."
                )
            names.add(_name(keys))
            tally, objects = self._count(case)
            row = {**keys, **score_row(tally, self.metrics)}
            counted.append((row, tally, [{**keys, **object_row} for object_row in objects]))
        self._names |= names
        for row, tally, objects in counted:
            self._rows.append(row)
            self._objects += objects
            self._tallies.append(tally.without_bins())
            subject, group = _subject(row), row["group"]
            if self.settings.is_group_pooled:
                groups = self._groups.setdefault(subject, {})
                groups[group] = groups[group] + tally if group in groups else tally
            self._pooled[subject] = self._pooled[subject] + tally if subject in self._pooled else tally
        return [dict(row) for row, _, _ in counted]

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Add scores that were computed before; columns that are not metrics are keys. Such rows cannot be pooled."""
        self._rows.append(dict(row))

    def _keys(self, case: Case) -> Row:
        keys: Row = {"level": "image", "item": case.item, "frame": case.frame, "group": case.group}
        keys["structure"] = case.structure or self.settings.structure
        keys |= {"method": case.method} if case.method else {}
        return {**keys, "is_simulated": bool(case.is_simulated)}

    def _count(self, case: Case) -> tuple[Tally, list[Row]]:
        if not any(metric.needs == "instances" for metric in self.metrics):
            return count_case(case, self.settings, self.metrics), []
        prediction = predicted_mask(case, self.settings)
        overlaps = overlap_table(case.truth, prediction)
        tally = count_case(case, self.settings, self.metrics, overlaps=overlaps)
        if not self.settings.is_instance_scored:
            return tally, []
        size = case.voxel_size_um if self.settings.is_surface_scored else None
        return tally, score_objects(case.truth, prediction, voxel_size_um=size, table=overlaps)

    def values(self, metric: str, **keys: Any) -> list[float]:
        """The values of a column in the rows with these keys that have it.

        Examples
        --------
        >>> table = ScoreTable.of_folds({"a": {"dice": [0.5]}, "b": {"dice": [0.75]}})
        >>> table.values("dice", method="b")
        [0.75]
        """
        values = [row[metric] for row in self._rows if metric in row and _has(row, keys)]
        return [math.nan if value is None else float(value) for value in values]

    def unique(self, key: str) -> list[Any]:
        """The different values of a key, in the order of their first row."""
        return list(dict.fromkeys(row[key] for row in self._rows if key in row))

    def mean_and_sd(self, metric: str, **keys: Any) -> tuple[float, float]:
        """Mean and standard deviation (n - 1) of a column over the rows with these keys; NaN is left out."""
        return mean_and_sd(self.values(metric, **keys))

    def pooled(self) -> Row:
        """The scores of all counts added: every image, structure and method.

        Raises
        ------
        SettingsError
            ``E-EMPTY`` without images.
        """
        return score_row(self._total(), self.metrics)

    def tally(self) -> Tally | None:
        """All counts added; ``None`` without images."""
        tallies = list(self._pooled.values())
        return sum(tallies[1:], tallies[0]) if tallies else None

    def frame(self) -> pd.DataFrame:
        """The rows as they are, without pooled rows and means."""
        import pandas as pd

        return pd.DataFrame(self._rows)

    def table(self) -> pd.DataFrame:
        """Rows ``image``, ``group`` (where a group has several images), ``pooled``, ``mean`` and ``sd``.

        With several structures or methods, those of each follow one another.

        Returns
        -------
        DataFrame
            Columns as in :mod:`tomocyte.evaluation.columns`; NaN where a score has no meaning, ``reason`` says why.

        Raises
        ------
        SettingsError
            ``E-EMPTY`` without images.
        """
        import pandas as pd

        has_probability = self._total().probabilities is not None
        rows = [row for subject in self._pooled for row in self._summarised(subject, has_probability)]
        widest = max(rows, key=len)
        order = [*(name for name in KEYS if name in widest), *(n for n in widest if n not in NOT_AVERAGED), "reason"]
        return pd.DataFrame([{name: row.get(name, math.nan) for name in order} for row in rows], columns=order)

    def _total(self) -> Tally:
        tally = self.tally()
        if tally is None:
            raise SettingsError(
                "E-EMPTY", "no image was compared.", cure="Give at least one prediction with its truth."
            )
        return tally

    def _summarised(self, subject: Subject, has_probability: bool) -> list[Row]:
        """The rows of one structure and method, with those over several images."""
        images = [row for row in self._rows if _subject(row) == subject]
        blank: Row = {"item": "", "frame": -1, "structure": subject[0]}
        blank |= {"method": subject[1]} if "method" in images[0] else {}
        blank["is_simulated"] = any(row["is_simulated"] for row in images)
        rows = list(images)
        groups = self._groups.get(subject, {})
        if 1 < len(groups) < len(images):
            for group, tally in groups.items():
                rows.append({**blank, "level": "group", "group": group, **score_row(tally, self.metrics)})
        rows.append({**blank, "level": "pooled", "group": "", **score_row(self._pooled[subject], self.metrics)})
        if has_probability:
            rows = [
                row if _has_probability(row, self.metrics) else without_probability(row, self.metrics) for row in rows
            ]
        names = [name for name in max(rows, key=len) if name not in NOT_AVERAGED]
        images = [row for row in rows if row["level"] == "image"]
        for level, place in (("mean", 0), ("sd", 1)):
            rows.append({**blank, "level": level, "group": "", **_over_images(images, names, place)})
        return rows

    def objects(self) -> pd.DataFrame:
        """One row per object with its partner, when ``is_instance_scored``; else a table without rows."""
        import pandas as pd

        has_method = any("method" in row for row in self._objects)
        keys = ["item", "frame", "group", "structure", *["method"] * has_method, "is_simulated"]
        columns = [*keys, *(column.name for column in OBJECT_COLUMNS)]
        return pd.DataFrame([{name: row.get(name) for name in columns} for row in self._objects], columns=columns)

    def intervals(self, *, rng: np.random.Generator, settings: BootstrapSettings | None = None) -> pd.DataFrame:
        """Bootstrap intervals of every mean over images and of the pooled overlap scores, resampling groups.

        Parameters
        ----------
        rng : numpy Generator
            Source of the draws; the same seed gives the same table.
        settings : BootstrapSettings, optional

        Returns
        -------
        DataFrame
            Columns as in :data:`~tomocyte.evaluation.columns.INTERVAL_COLUMNS`, and ``reason``.

        Raises
        ------
        SettingsError
            ``E-SUBJECTS``: several structures or methods, which are not samples of one population.
        """
        import pandas as pd

        if len(self._pooled) > 1:
            raise SettingsError(
                "E-SUBJECTS", "the table holds several structures or methods.", cure="Make one table for each."
            )
        bootstrap = settings or BootstrapSettings()
        table = self.table()
        images = table[table["level"] == "image"]
        groups = images["group"].to_numpy()
        counts = {metric.name for metric in self.metrics if metric.kind == "integer"}
        names = [name for name in table.columns if name not in NOT_AVERAGED | counts]
        rows = []
        for name in names:
            values = images[name].to_numpy(dtype=np.float64)
            has_value = ~np.isnan(values)
            sums = np.column_stack([np.where(has_value, values, 0.0), has_value])
            rows.append((name, "mean", _per_group(sums[has_value], groups[has_value]), _mean_of_sums))
        masks = [tally.masks for tally in self._tallies]
        voxels = [(mask.n_true_positive, mask.n_false_positive, mask.n_false_negative) for mask in masks]
        pooled = _per_group(np.array(voxels, dtype=np.float64), groups)
        rows += [
            (metric.name, "pooled", pooled, _pooled_statistic(metric)) for metric in self.metrics if metric.interval
        ]
        intervals = []
        for name, kind, sums, statistic in rows:
            interval = bootstrap_interval(sums, statistic, rng=rng, settings=bootstrap)
            ends = {"low": interval.low, "high": interval.high}
            row = {"metric": name, "statistic": kind, "value": interval.value, **ends}
            row |= {"level_of_confidence": bootstrap.level, "method": bootstrap.method, "n_groups": interval.n_groups}
            intervals.append({**row, "reason": interval.reason})
        return pd.DataFrame(intervals)


def _of_settings(settings: ScoreSettings) -> list[Metric]:
    """The metrics that the settings select."""
    is_scored = {"surfaces": settings.is_surface_scored, "instances": settings.is_instance_scored}
    return [metric for metric in all_metrics() if metric.is_default and is_scored.get(metric.needs, True)]


def _of_names(names: Sequence[str | Metric]) -> list[Metric]:
    return [find_metric(entry) if isinstance(entry, str) else entry for entry in names]


def _name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("item", "frame", "structure", "method"))


def _subject(row: Mapping[str, Any]) -> Subject:
    return str(row.get("structure", "")), str(row.get("method", ""))


def _has(row: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    return all(row.get(key) == value for key, value in keys.items())


def _has_probability(row: Row, metrics: Sequence[Metric]) -> bool:
    return any(metric.name in row for metric in metrics if metric.needs == "probabilities")


def _over_images(images: Sequence[Row], names: Sequence[str], place: int) -> Row:
    """Means (place 0) or standard deviations (1) of the columns."""
    result: Row = {"n_images": len(images)}
    missing: list[str] = []
    for name in names:
        values = [float(row[name]) for row in images]
        result[name] = mean_and_sd(values)[place]
        n_missing = sum(math.isnan(value) for value in values)
        if n_missing:
            missing.append(f"{name} {n_missing}")
    result["reason"] = f"images left out, of {len(images)}: {', '.join(missing)}" if missing else ""
    if place == 1 and len(images) == 1:
        result["reason"] = "one image has no spread"
    return result


def _mean_of_sums(sums: Float) -> Float:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _pooled_statistic(metric: Metric) -> Any:
    """The pooled metric as a function of TP, FP and FN along the last axis."""
    return lambda sums: metric.interval(sums[..., 0], sums[..., 1], sums[..., 2])  # type: ignore[misc]


def _per_group(values: Float, groups: NDArray[Any]) -> Float:
    """Sums (n_groups, k) of the rows of each group."""
    names, place = np.unique(groups.astype(str), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    return sums
