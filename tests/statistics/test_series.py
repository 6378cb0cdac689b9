"""Series of tracks: lme4's slopes, irregular and missing times, courses over replicates, lineages and sisters."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.statistics.published import REACTIONS_MS, SLOPES_MS_PER_DAY

from tomocyte.errors import SettingsError
from tomocyte.statistics import (
    Baseline,
    correlation_of_pairs,
    courses,
    lineage,
    mean_interval,
    normalised,
    sister_pairs,
    time_bins,
    track_changes,
    track_rates,
    with_events,
)


def film(values: dict[str, list[float]], *, times: list[float], item: str = "a", **facts: str) -> pd.DataFrame:
    """Tracks with a value per time; NaN where one lacks."""
    rows = [
        {"item": item, "track": track, "frame": frame, "time_s": time, "value": value}
        for track, course in values.items()
        for frame, (time, value) in enumerate(zip(times, course, strict=True))
    ]
    return pd.DataFrame(rows).assign(**{"condition": "control", "replicate": "1", **facts})


def test_lme4_mean_slope_of_sleepstudy() -> None:
    """Each subject is a replicate with one line: their mean slope is 10.467 with a standard error of 1.546.

    ``lmer(Reaction ~ Days + (Days | Subject), sleepstudy)`` prints both; for balanced data they are the mean of the
    subjects' slopes and its standard error.
    """
    days = np.arange(10.0)
    parts = [
        film({"1": (250 + slope * days).tolist()}, times=(days * 24 * 3600).tolist(), item=f"s{number}",
             replicate=str(number))
        for number, slope in enumerate(SLOPES_MS_PER_DAY)
    ]  # fmt: skip
    rates = track_rates(pd.concat(parts, ignore_index=True))
    per_day = mean_interval(rates["value"].to_numpy() * 24)
    assert per_day.value == pytest.approx(10.467, abs=5e-4)
    error = (per_day.high - per_day.value) / stats.t.ppf(0.975, 17)
    assert error == pytest.approx(1.546, abs=5e-4)


def test_lme4_slopes_of_single_subjects() -> None:
    """Reaction times of subjects 308, 309 and 335 give the slopes that lme4 tests itself with, to 8 digits."""
    rates = track_rates(film(REACTIONS_MS, times=[day * 24 * 3600.0 for day in range(10)]))
    expected = [SLOPES_MS_PER_DAY[place] for place in (0, 1, 8)]
    assert (rates["value"] * 24).tolist() == pytest.approx(expected, rel=1e-7)


def test_a_rate_is_scipys_line_through_irregular_and_missing_times() -> None:
    times = [0.0, 700.0, 1800.0, 5400.0, 5500.0]
    values = [1.0, 1.4, math.nan, 2.6, 3.0]
    rates = track_rates(film({"7": values}, times=times))
    known = [0, 1, 3, 4]
    hours = np.array(times)[known] / 3600
    expected = stats.linregress(hours, np.array(values)[known])
    half = stats.t.ppf(0.975, 2) * expected.stderr
    assert rates["n_times"].tolist() == [4]
    assert rates[["value", "low", "high"]].iloc[0].tolist() == pytest.approx(
        [expected.slope, expected.slope - half, expected.slope + half]
    )


def test_a_track_of_two_times_has_no_rate() -> None:
    assert track_rates(film({"1": [1.0, 2.0, math.nan]}, times=[0.0, 60.0, 120.0])).empty
    assert track_rates(film({"1": [1.0]}, times=[0.0])).empty


def test_normalised_by_first_frame_or_window() -> None:
    rows = film({"1": [math.nan, 2.0, 3.0, 6.0], "2": [4.0, 6.0, 8.0, 0.0]}, times=[-60.0, 0.0, 60.0, 120.0])
    assert normalised(rows).tolist()[1:] == [1.0, 1.5, 3.0, 1.0, 1.5, 2.0, 0.0]
    window = Baseline.parse("0:60")
    assert normalised(rows, window).tolist()[1:] == pytest.approx([0.8, 1.2, 2.4, 4 / 7, 6 / 7, 8 / 7, 0.0])
    late = normalised(rows, Baseline.parse("500:600"))
    assert late.isna().all()
    assert normalised(rows, is_relative=False).tolist()[1:] == [0.0, 1.0, 4.0, 0.0, 2.0, 4.0, -4.0]
    zero = film({"1": [0.0, 2.0]}, times=[0.0, 60.0])
    assert normalised(zero).isna().all()


@pytest.mark.parametrize("text", ["", "last", "5", "60:0", "a:b", "nan:3"])
def test_a_baseline_that_is_none(text: str) -> None:
    with pytest.raises(SettingsError, match="E-BASELINE"):
        Baseline.parse(text)


def test_changes_of_tracks_that_cover_their_film() -> None:
    """Four fifths of 100 s: a track from 0 to 80 s counts, one from 40 s does not, nor one of a single frame."""
    nan = math.nan
    times = [0.0, 40.0, 80.0, 100.0]
    rows = film(
        {"1": [2.0, 2.5, 3.0, nan], "2": [nan, 1.0, 2.0, 4.0], "3": [nan, nan, nan, 5.0], "4": [4.0, nan, nan, 3.0]},
        times=times,
    )
    changes = track_changes(rows)
    assert dict(zip(changes["track"], changes["value"], strict=True)) == {"1": 50.0, "4": -25.0}
    absolute = track_changes(rows, is_relative=False)
    assert dict(zip(absolute["track"], absolute["value"], strict=True)) == {"1": 1.0, "4": -1.0}


def test_tracks_of_two_inputs_have_nothing_to_do_with_each_other() -> None:
    both = pd.concat(
        [film({"1": [1.0, 2.0]}, times=[0.0, 60.0]), film({"1": [10.0, 10.0]}, times=[0.0, 60.0], item="b")],
        ignore_index=True,
    )
    assert normalised(both).tolist() == [1.0, 2.0, 1.0, 1.0]
    assert track_changes(both)["value"].tolist() == [100.0, 0.0]


def test_courses_are_means_over_replicates_with_their_spread() -> None:
    """Replicates of 3 cells (mean 2) and 1 cell (mean 6): 4, whatever the cells; each at nearly the same times."""
    parts = [
        film({"1": [1.0, 2.0], "2": [2.0, 3.0], "3": [3.0, 4.0]}, times=[0.0, 600.0]),
        film({"1": [6.0, 9.0]}, times=[3.0, 590.0], item="b", replicate="2"),
        film({"1": [5.0, math.nan]}, times=[0.0, 600.0], item="c", condition="drug"),
    ]
    table = courses(pd.concat(parts, ignore_index=True))
    control = table[table["condition"] == "control"]
    assert control["mean"].tolist() == [4.0, 6.0]
    assert control["n_replicates"].tolist() == [2, 2]
    assert control["n_cells"].tolist() == [4, 4]
    assert control["sd"].tolist() == pytest.approx([math.sqrt(8), math.sqrt(18)])
    assert control["sem"].tolist() == pytest.approx([2.0, 3.0])
    half = stats.t.ppf(0.975, 1) * 2.0
    assert control["low"].iloc[0] == pytest.approx(4 - half)
    assert control["sd_cells"].iloc[0] == pytest.approx(np.std([1, 2, 3, 6], ddof=1))
    drug = table[table["condition"] == "drug"]
    assert drug["mean"].tolist() == [5.0]
    assert math.isnan(drug["low"].iloc[0])
    assert courses(pd.concat(parts, ignore_index=True).assign(time_s=math.nan)).empty


def test_a_missing_frame_is_no_value_and_not_interpolated() -> None:
    rows = film({"1": [1.0, math.nan, 3.0]}, times=[0.0, 60.0, 120.0])
    table = courses(rows)
    assert table["time_s"].tolist() == [0.0, 120.0]
    assert time_bins(rows).tolist() == [0, 1, 2]


LINEAGE = {"item": "a", "structure": "cell", "frame": [0, 1, 2, 2, 3, 3], "track_id": [1, 1, 2, 3, 2, 3],
           "parent_id": [0, 0, 1, 1, 1, 1]}  # fmt: skip


def test_lineage_by_hand() -> None:
    """Track 1 divides after frame 1; its daughters live in frames 2 and 3."""
    tree = lineage(pd.DataFrame(LINEAGE))
    assert tree.set_index("track").to_dict("index") == {
        "1": {"item": "a", "parent": "", "generation": 0, "first_frame": 0, "last_frame": 1, "end": "division"},
        "2": {"item": "a", "parent": "1", "generation": 1, "first_frame": 2, "last_frame": 3, "end": ""},
        "3": {"item": "a", "parent": "1", "generation": 1, "first_frame": 2, "last_frame": 3, "end": ""},
    }
    ends = pd.DataFrame({"item": "a", "track_id": [1, 2, 3], "end": ["division", "death", "left"]})
    series = pd.DataFrame(LINEAGE).assign(track=lambda table: table["track_id"].astype(str), value=1.0)
    rows = with_events(series[["item", "track", "frame", "value"]], lineage(pd.DataFrame(LINEAGE), ends))
    assert rows["event"].tolist() == ["", "division", "born", "born", "death", ""]
    assert rows["generation"].tolist() == [0, 0, 1, 1, 1, 1]


def test_lineages_that_are_none() -> None:
    assert lineage(pd.DataFrame(LINEAGE).drop(columns="track_id")).empty
    assert lineage(pd.DataFrame(LINEAGE).assign(track_id=math.nan)).empty
    own = lineage(pd.DataFrame(LINEAGE).assign(parent_id=lambda table: table["track_id"]))
    assert own["parent"].tolist() == ["", "", ""]
    circle = lineage(pd.DataFrame(LINEAGE).assign(parent_id=[2, 2, 1, 1, 1, 1]))
    assert circle["generation"].max() <= 2


def test_sisters() -> None:
    rows = pd.DataFrame(
        {
            "condition": "x", "replicate": "1", "item": "a", "track": ["1", "2", "2", "3", "4"],
            "parent": ["", "1", "1", "1", "9"], "value": [9.0, 1.0, 3.0, 5.0, 7.0],
        }
    )  # fmt: skip
    pairs = sister_pairs(rows)
    assert pairs[["parent", "first_track", "second_track", "first_value", "second_value"]].values.tolist() == [
        ["1", "2", "3", 2.0, 5.0]
    ]
    # Fisher: pairs (1, 2) and (3, 5) around their mean 2.75, products (-1.75·-0.75 + 0.25·2.25)/2.
    expected = ((-1.75 * -0.75) + (0.25 * 2.25)) / 2 / np.var([1, 2, 3, 5])
    assert correlation_of_pairs(np.array([1.0, 3.0]), np.array([2.0, 5.0])) == pytest.approx(expected)
    assert math.isnan(correlation_of_pairs(np.array([1.0]), np.array([2.0])))
    assert math.isnan(correlation_of_pairs(np.ones(3), np.ones(3)))
