"""Quantities over time: normalised, their rates, their courses per condition, what became of a cell.

A series has one row per track and frame: ``condition``, ``replicate``, ``item``, ``track``, ``frame``, ``time_s`` and
``value``; times may be irregular and frames may lack. Nothing is interpolated. To add what a track is summarised by,
write a function here that gives one row per track.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.statistics.effects import LEVEL, mean_interval
from tomocyte.statistics.levels import replicate_means

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
TRACK_KEYS = ("item", "track")
"""What tells tracks apart: the numbers of two inputs have nothing to do with each other."""
COVERED_SHARE = 0.8
"""Share of its film that a track must cover for its change from start to end."""
SECONDS_PER_HOUR = 3600.0
FEWEST_TIMES = 3
"""Of a rate: a line through two points has no interval."""


@dataclass(frozen=True)
class Baseline:
    """What a series is divided by: its first frame, or its mean in a window of time.

    Parameters
    ----------
    start_s, end_s : float or None
        Both ends belong to the window; ``None``: the first frame of each track.
    """

    start_s: float | None = None
    end_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> Baseline:
        """From ``first`` or ``START:END`` in seconds.

        Raises
        ------
        SettingsError
            ``E-BASELINE``.

        Examples
        --------
        >>> Baseline.parse("0:3600").end_s
        3600.0
        """
        if text == "first":
            return cls()
        start, _, end = text.partition(":")
        try:
            window = cls(float(start), float(end))
        except ValueError:
            window = cls(math.nan, math.nan)
        if window.start_s is None or window.end_s is None or not window.start_s <= window.end_s:
            raise SettingsError(
                "E-BASELINE",
                f"{text!r} is no baseline.",
                cure="Write first, or the window START:END in seconds, e.g. 0:3600.",
            )
        return window

    @property
    def words(self) -> str:
        """In a sentence."""
        if self.start_s is None or self.end_s is None:
            return "the first frame of each track"
        return f"the mean from {self.start_s:g} to {self.end_s:g} s of each track"


def normalised(series: pd.DataFrame, baseline: Baseline | None = None, *, is_relative: bool = True) -> pd.Series[float]:
    """Each value over the baseline of its track, or minus it.

    Parameters
    ----------
    series : DataFrame
        ``item``, ``track``, ``frame``, ``value`` and, for a window, ``time_s``.
    baseline : Baseline, optional
        The first frame by default.
    is_relative : bool
        ``False`` for what has no meaningful zero, as a refractive index: the baseline is then subtracted.

    Returns
    -------
    Series
        Of the same index; NaN where the baseline is missing or 0.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"item": "a", "track": ["1", "1", "2"], "frame": [1, 0, 0], "value": [3.0, 2.0, 5.0]})
    >>> normalised(rows).tolist()
    [1.5, 1.0, 1.0]
    """
    window = baseline or Baseline()
    keys = list(TRACK_KEYS)
    known = series[series["value"].notna()].sort_values([*keys, "frame"], kind="stable")
    if window.start_s is None or window.end_s is None:
        base = known.groupby(keys, sort=False)["value"].first()
    else:
        inside = known[known["time_s"].between(window.start_s, window.end_s)]
        base = inside.groupby(keys, sort=False)["value"].mean()
    of_row = series[keys].merge(base.rename("base").reset_index(), on=keys, how="left")["base"]
    result: pd.Series[float]
    if is_relative:
        result = series["value"] / of_row.where(of_row != 0).to_numpy(np.float64)
    else:
        result = series["value"] - of_row.to_numpy(np.float64)
    return result


def track_rates(series: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """The slope of each track over time by least squares, with the interval of a straight line.

    Parameters
    ----------
    series : DataFrame
        ``condition``, ``replicate``, ``item``, ``track``, ``time_s``, ``value`` and, where known, ``dish``.
    level : float

    Returns
    -------
    DataFrame
        One row per track with at least 3 times: its level columns, ``n_times``, ``value`` (per hour), ``low``,
        ``high``.

    Notes
    -----
    The interval takes what is left beside the line as independent noise; a course that bends is not.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"condition": "x", "replicate": "1", "item": "a", "track": "1", "time_s": [0.0, 1800.0, 7200.0]}
    >>> track_rates(pd.DataFrame(rows).assign(value=[1.0, 2.0, 5.0]))["value"].round(6).tolist()
    [2.0]
    """
    import pandas as pd
    from scipy import stats

    facts = [name for name in ("condition", "replicate", "dish", *TRACK_KEYS) if name in series]
    known = series[series["value"].notna() & series["time_s"].notna()]
    rows = []
    for _, track in known.groupby(list(TRACK_KEYS), sort=False):
        hours = track["time_s"].to_numpy(np.float64) / SECONDS_PER_HOUR
        if len(set(hours.tolist())) < FEWEST_TIMES:
            continue
        fit = stats.linregress(hours, track["value"].to_numpy(np.float64))
        half = float(stats.t.ppf((1 + level) / 2, len(hours) - 2)) * float(fit.stderr)
        slope = float(fit.slope)
        rows.append((*track.iloc[0][facts], len(hours), slope, slope - half, slope + half))
    return pd.DataFrame(rows, columns=[*facts, "n_times", "value", "low", "high"])


def track_changes(series: pd.DataFrame, baseline: Baseline | None = None, *, is_relative: bool = True) -> pd.DataFrame:
    """How much each track changed from its baseline to its last frame, in percent of the baseline.

    Parameters
    ----------
    series : DataFrame
    baseline : Baseline, optional
    is_relative : bool
        ``False``: in the unit of the value.

    Returns
    -------
    DataFrame
        One row per track that covers at least 80 % of the time of its input: level columns and ``value``.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"condition": "x", "replicate": "1", "item": "a", "track": "1", "frame": [0, 1], "time_s": [0.0, 60.0]}
    >>> track_changes(pd.DataFrame(rows).assign(value=[2.0, 3.0]))["value"].tolist()
    [50.0]
    """
    facts = [name for name in ("condition", "replicate", "dish", *TRACK_KEYS) if name in series]
    steps = normalised(series, baseline, is_relative=is_relative)
    rows = series.assign(value=100 * (steps - 1) if is_relative else steps).sort_values("frame", kind="stable")
    film = rows.groupby("item", sort=False)["time_s"]
    duration = film.max() - film.min()
    known = rows[rows["value"].notna()]
    tracks = known.groupby(list(TRACK_KEYS), sort=False)
    last = known.loc[known.index.isin(tracks.tail(1).index), [*facts, "value"]]
    covered = (tracks["time_s"].max() - tracks["time_s"].min()).rename("covered").reset_index()
    last = last.merge(covered, on=list(TRACK_KEYS), how="left")
    needed = last["item"].map(duration) * COVERED_SHARE
    return last[(last["covered"] >= needed) & (last["covered"] > 0)].drop(columns="covered").reset_index(drop=True)


def time_bins(series: pd.DataFrame) -> pd.Series[int]:
    """Number of the time step of each row: times of several inputs that nearly agree belong together.

    The step is the median time between frames of one input.

    Examples
    --------
    >>> import pandas as pd
    >>> times = [0.0, 60.0, 120.0, 1.0, 64.0, 118.0]
    >>> time_bins(pd.DataFrame({"item": ["a"] * 3 + ["b"] * 3, "time_s": times})).tolist()
    [0, 1, 2, 0, 1, 2]
    """
    times = series[["item", "time_s"]].dropna().drop_duplicates().sort_values(["item", "time_s"])
    steps = times.groupby("item")["time_s"].diff().dropna()
    step = float(steps.median()) if len(steps) else 1.0
    return (series["time_s"] / step).round().astype(int)


def courses(series: pd.DataFrame, column: str = "value", level: float = LEVEL) -> pd.DataFrame:
    """Mean of each condition over time: over replicates, with their spread.

    Parameters
    ----------
    series : DataFrame
        ``condition``, ``replicate``, ``item``, ``track``, ``time_s`` and, where known, ``dish``; rows without a time
        are left out.
    column : str
        Which values.
    level : float
        Of the interval.

    Returns
    -------
    DataFrame
        ``condition``, ``time_s`` (mean of the rows), ``mean``, ``sd`` and ``sem`` between replicates, ``low`` and
        ``high`` of Student's interval over replicates (empty with one), ``sd_cells``, ``n_replicates``, ``n_cells``;
        one row per condition and time step.
    """
    import pandas as pd

    rows = series[series["time_s"].notna() & series[column].notna()]
    names = ["condition", "time_s", "mean", "sd", "sem", "low", "high", "sd_cells", "n_replicates", "n_cells"]
    if rows.empty:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in names})
    rows = rows.assign(value=rows[column], step=time_bins(rows), cell=_cell_names(rows))
    means = replicate_means(rows, ("step",))
    spread: dict[Any, float] = rows.groupby(["step", "condition"])["value"].std().to_dict()
    at: dict[Any, float] = rows.groupby(["step", "condition"])["time_s"].mean().to_dict()
    table = []
    for (step, condition), part in means.groupby(["step", "condition"], sort=True):
        values = part["value"].to_numpy(np.float64)
        mean = mean_interval(values, level)
        sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        key = (step, condition)
        table.append(
            (condition, at[key], mean.value, sd, sd / math.sqrt(len(values)), mean.low, mean.high, spread[key],
             len(values), int(part["n_cells"].sum()))
        )  # fmt: skip
    order = {name: place for place, name in enumerate(dict.fromkeys(series["condition"]))}
    result = pd.DataFrame(table, columns=names)
    return result.sort_values(
        ["condition", "time_s"], key=lambda part: part.map(order) if part.name == "condition" else part, kind="stable"
    ).reset_index(drop=True)


def _cell_names(series: pd.DataFrame) -> pd.Series[str]:
    return series["item"].astype(str) + "\0" + series["track"].astype(str)


def as_cells(tracks: pd.DataFrame) -> pd.DataFrame:
    """A table of one row per track, with the column ``cell`` that comparisons take."""
    return tracks.assign(cell=_cell_names(tracks))
