"""Many compared images in one tidy table: per image, per group, pooled, mean and spread, with intervals.

Images are handed over one by one and forgotten; what stays are counts and rows. To add a score, see
:mod:`tomocyte.evaluation.tally`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.evaluation.calibration import ReliabilityCounts, count_reliability
from tomocyte.evaluation.columns import OBJECT_COLUMNS
from tomocyte.evaluation.counts import count_mask
from tomocyte.evaluation.curves import PrecisionRecallCounts, count_precision_recall, precision_recall_curve
from tomocyte.evaluation.matching import overlap_table
from tomocyte.evaluation.objects import score_objects
from tomocyte.evaluation.tally import Row, Tally, score_row, tally_instances, tally_surface, without_probability
from tomocyte.settings import Settings
from tomocyte.statistics.agreement import mean_and_sd
from tomocyte.statistics.bootstrap import BootstrapSettings, Float, bootstrap_interval

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("level", "item", "frame", "group", "structure", "is_simulated", "n_images")
NOT_AVERAGED = {*KEYS, "reason"}
# Pooled scores of counts that get an interval, as functions of TP, FP, FN along the last axis.
POOLED = {
    "dice": lambda s: 2 * s[..., 0] / (2 * s[..., 0] + s[..., 1] + s[..., 2]),
    "jaccard": lambda s: s[..., 0] / (s[..., 0] + s[..., 1] + s[..., 2]),
    "precision": lambda s: s[..., 0] / (s[..., 0] + s[..., 1]),
    "recall": lambda s: s[..., 0] / (s[..., 0] + s[..., 2]),
}


class ScoreSettings(Settings):
    """What is scored, and how."""

    structure: str = "mask"
    """What was segmented; the table's column ``structure``."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """A probability of at least this is inside the predicted mask."""
    is_surface_scored: bool = True
    """Whether distances of the surfaces are measured."""
    tolerance_um: float | None = Field(default=None, ge=0)
    """Distance in µm within which surfaces count as equal; empty: no surface Dice."""
    is_instance_scored: bool = False
    """Whether objects (numbers in the label image) are matched, not only the masks of all of them."""
    min_ious: tuple[float, ...] = (0.5, 0.75)
    """Intersections over union from which a pair of objects matches, one set of columns each, in (0, 1]."""
    n_probability_bins: int = Field(default=65_536, ge=2, le=1 << 22)
    """Bins of the pooled precision-recall curve."""
    n_calibration_bins: int = Field(default=15, ge=1, le=1000)
    """Bins of the reliability curve."""


@dataclass(frozen=True)
class Case:
    """One image to compare.

    Parameters
    ----------
    item : str
        Name of the image.
    group : str
        What it belongs to and is resampled with: cell, field, fold.
    truth : ndarray (Z, Y, X) or (Y, X), bool or integer
        Mask (non-zero = inside) or labels.
    prediction : ndarray, bool or integer, same shape, optional
        ``None``: the probability at the threshold.
    probability : ndarray, float in [0, 1], same shape, optional
    voxel_size_um : tuple of float, optional
        One per axis, in µm; without it there are no distances. That of a single plane's z may be NaN.
    frame : int
        Time point.
    is_simulated : bool
        Whether the truth or the prediction comes from a simulation.
    """

    item: str
    group: str
    truth: NDArray[Any]
    prediction: NDArray[Any] | None = None
    probability: NDArray[Any] | None = None
    voxel_size_um: tuple[float, ...] | None = None
    frame: int = 0
    is_simulated: bool = False


class ScoreTable:
    """Hand over the images one by one with :meth:`add`, then ask for the tables.

    Parameters
    ----------
    settings : ScoreSettings, optional

    Examples
    --------
    >>> scores = ScoreTable(ScoreSettings(is_surface_scored=False))
    >>> _ = scores.add(Case("a", "a", np.array([[1, 1, 0]]), np.array([[1, 0, 0]])))
    >>> _ = scores.add(Case("b", "b", np.array([[1, 0, 0]]), np.array([[1, 0, 0]])))
    >>> table = scores.table()
    >>> table.set_index("level").loc[["pooled", "mean"], "dice"].round(4).tolist()
    [0.8, 0.8333]
    """

    def __init__(self, settings: ScoreSettings | None = None) -> None:
        self.settings = settings or ScoreSettings()
        if not self.settings.min_ious or not all(0 < value <= 1 for value in self.settings.min_ious):
            raise SettingsError("E-IOU", f"min_ious {self.settings.min_ious} must be numbers above 0 up to 1.")
        self._rows: list[Row] = []
        self._objects: list[Row] = []
        self._tallies: list[Tally] = []
        self._groups: dict[str, Tally] = {}
        self._pooled: Tally | None = None

    def __len__(self) -> int:
        """Images so far."""
        return len(self._rows)

    @property
    def reliability(self) -> ReliabilityCounts | None:
        """The reliability curve of all images together; ``None`` without probabilities."""
        return self._pooled.reliability if self._pooled is not None else None

    @property
    def curve(self) -> PrecisionRecallCounts | None:
        """The precision-recall counts of all images together; ``None`` without probabilities."""
        return self._pooled.curve if self._pooled is not None else None

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
            probability; ``E-DUPLICATE`` for an item and frame that is there already.
        """
        return self.add_all([case])[0]

    def add_all(self, cases: Iterable[Case]) -> list[Row]:
        """Score several images, all or, when one of them raises, none; see :meth:`add`.

        Memory: with probabilities, about 1 MB per image until the last one is counted.
        """
        counted: list[tuple[Row, Tally, list[Row]]] = []
        for case in cases:
            keys: Row = {"level": "image", "item": case.item, "frame": case.frame, "group": case.group}
            keys |= {"structure": self.settings.structure, "is_simulated": bool(case.is_simulated)}
            names = {(row["item"], row["frame"]) for row in (*self._rows, *(one for one, _, _ in counted))}
            if (case.item, case.frame) in names:
                raise SettingsError(
                    "E-DUPLICATE", f"image {case.item!r}, frame {case.frame} comes twice.", cure="Give other names."
                )
            tally, objects = self._count(case)
            counted.append(({**keys, **self._scores(tally)}, tally, [{**keys, **part} for part in objects]))
        for row, tally, objects in counted:
            self._rows.append(row)
            self._objects += objects
            self._tallies.append(tally.without_bins())
            before = self._groups.get(row["group"])
            self._groups[row["group"]] = tally if before is None else before + tally
            self._pooled = tally if self._pooled is None else self._pooled + tally
        return [dict(row) for row, _, _ in counted]

    def _count(self, case: Case) -> tuple[Tally, list[Row]]:
        said, prediction = self.settings, case.prediction
        curve = reliability = areas = None
        if case.probability is not None:
            curve = count_precision_recall(case.truth, case.probability, n_bins=said.n_probability_bins)
            reliability = count_reliability(case.truth, case.probability, n_bins=said.n_calibration_bins)
            exact = precision_recall_curve(case.truth, case.probability)
            areas = exact.auc, exact.average_precision
            prediction = case.probability >= said.threshold if prediction is None else prediction
        if prediction is None:
            raise SettingsError("E-EMPTY", f"image {case.item!r} has neither prediction nor probability.")
        mask = count_mask(case.truth, prediction)
        surface = None
        if said.is_surface_scored:
            surface = tally_surface(case.truth, prediction, case.voxel_size_um, said.tolerance_um)
        instances, objects = None, []
        if said.is_instance_scored:
            overlaps = overlap_table(case.truth, prediction)
            instances = tally_instances(overlaps, said.min_ious)
            size = case.voxel_size_um if said.is_surface_scored else None
            objects = score_objects(case.truth, prediction, voxel_size_um=size, table=overlaps)
        return Tally(1, mask, surface, instances, curve, reliability, areas), objects

    def _scores(self, tally: Tally) -> Row:
        has_tolerance = self.settings.tolerance_um is not None
        return score_row(tally, min_ious=self.settings.min_ious, has_tolerance=has_tolerance)

    def table(self) -> pd.DataFrame:
        """Rows ``image``, ``group`` (where a group has several images), ``pooled``, ``mean`` and ``sd``.

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

        if self._pooled is None:
            raise SettingsError(
                "E-EMPTY", "no image was compared.", cure="Give at least one prediction with its truth."
            )
        structure = self.settings.structure
        rows = list(self._rows)
        is_simulated = any(row["is_simulated"] for row in rows)
        blank = {"item": "", "frame": -1, "structure": structure, "is_simulated": is_simulated}
        if 1 < len(self._groups) < len(self._rows):
            for group, tally in self._groups.items():
                rows.append({**blank, "level": "group", "group": group, **self._scores(tally)})
        rows.append({**blank, "level": "pooled", "group": "", **self._scores(self._pooled)})
        if self._pooled.reliability is not None:
            rows = [row if "ece" in row else without_probability(row) for row in rows]
        widest = max(rows, key=_n_columns)
        values = [name for name in widest if name not in NOT_AVERAGED]
        for level, place in (("mean", 0), ("sd", 1)):
            rows.append({**blank, "level": level, "group": "", **self._over_images(rows, values, place)})
        order = [*KEYS, *values, "reason"]
        return pd.DataFrame([{name: row[name] for name in order} for row in rows], columns=order)

    def _over_images(self, rows: list[Row], names: list[str], place: int) -> Row:
        images = [row for row in rows if row["level"] == "image"]
        result: Row = {"n_images": len(images)}
        left_out: list[str] = []
        for name in names:
            values = [float(row[name]) for row in images]
            result[name] = mean_and_sd(values)[place]
            n_missing = sum(math.isnan(value) for value in values)
            if n_missing:
                left_out.append(f"{name} {n_missing}")
        result["reason"] = f"images left out, of {len(images)}: {', '.join(left_out)}" if left_out else ""
        if place == 1 and len(images) == 1:
            result["reason"] = "one image has no spread"
        return result

    def objects(self) -> pd.DataFrame:
        """One row per object with its partner, when ``is_instance_scored``; else a table without rows."""
        import pandas as pd

        columns = ["item", "frame", "group", "structure", "is_simulated", *(column.name for column in OBJECT_COLUMNS)]
        return pd.DataFrame([{name: row[name] for name in columns} for row in self._objects], columns=columns)

    def intervals(self, *, rng: np.random.Generator, settings: BootstrapSettings | None = None) -> pd.DataFrame:
        """Bootstrap intervals of every mean over images and of the pooled overlap scores, resampling groups.

        Parameters
        ----------
        rng : numpy Generator
            Where the draws come from; the same seed gives the same table.
        settings : BootstrapSettings, optional

        Returns
        -------
        DataFrame
            Columns as in :data:`~tomocyte.evaluation.columns.INTERVAL_COLUMNS`, and ``reason``.
        """
        import pandas as pd

        chosen = settings or BootstrapSettings()
        table = self.table()
        images = table[table["level"] == "image"]
        groups = images["group"].to_numpy()
        names = [name for name in table.columns if name not in NOT_AVERAGED and not name.startswith("n_")]
        rows = []
        for name in names:
            values = images[name].to_numpy(dtype=np.float64)
            has_value = ~np.isnan(values)
            sums = np.column_stack([np.where(has_value, values, 0.0), has_value])
            rows.append((name, "mean", _per_group(sums[has_value], groups[has_value]), _mean_of_sums))
        counts = [(t.mask.n_true_positive, t.mask.n_false_positive, t.mask.n_false_negative) for t in self._tallies]
        pooled = _per_group(np.array(counts, dtype=np.float64), groups)
        rows += [(name, "pooled", pooled, statistic) for name, statistic in POOLED.items()]
        found = []
        for name, kind, sums, statistic in rows:
            one = bootstrap_interval(sums, statistic, rng=rng, settings=chosen)
            row = {"metric": name, "statistic": kind, "value": one.value, "low": one.low, "high": one.high}
            row |= {"level_of_confidence": chosen.level, "method": chosen.method, "n_groups": one.n_groups}
            found.append({**row, "reason": one.reason})
        return pd.DataFrame(found)


def _n_columns(row: Row) -> int:
    return len(row)


def _mean_of_sums(sums: Float) -> Float:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _per_group(values: Float, groups: NDArray[Any]) -> Float:
    """Sums (n_groups, k) of the rows of each group."""
    names, place = np.unique(groups.astype(str), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    return sums
