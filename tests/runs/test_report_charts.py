"""What the charts of an input say: their curves, legends and times."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.figures.test_charts import scene, series

from tomocyte.figures import histogram
from tomocyte.figures.canvas import TRACK_COLOUR
from tomocyte.runs.report.charts import MOST_TRACKS, course_chart, frame_times, histogram_chart, item_charts
from tomocyte.runs.report.section import ReportItem
from tomocyte.structures import structure_colour


def test_each_structure_is_drawn_in_its_colour_and_counted() -> None:
    image, labels = scene()
    counts = json.loads(json.dumps(histogram(image, labels)))
    chart = histogram_chart(counts, unit="1", quantity="refractive_index")
    assert chart is not None
    names = dict(chart.legend)
    n_inside = sum(counts["structures"]["nucleus"]["counts"])
    mean = counts["structures"]["nucleus"]["mean"]
    assert names[structure_colour("nucleus")] == f"nucleus ({n_inside:,} voxels, mean {mean:.4f})"
    assert all(f'stroke="{colour}"' in chart.svg for colour in names)
    assert structure_colour("nucleolus") not in chart.svg
    assert ">refractive index</text>" in chart.svg


def test_no_value_no_histogram() -> None:
    counts = histogram(np.full((3, 20, 30), np.nan), {})
    assert histogram_chart(counts, unit="1", quantity="refractive_index") is None


def course(table: pd.DataFrame) -> tuple[str, dict[str, str]]:
    cells = table[table["structure"] == "cell"]
    chart = course_chart(cells, "volume_um3", "volume", "µm³", structure="cell")
    assert chart.caption == "volume of each cell over time"
    return chart.svg, dict(chart.legend)


def test_tracks_are_drawn_only_where_they_are_known() -> None:
    svg, legend = course(series())
    assert TRACK_COLOUR not in svg
    assert "mean ± SD (n = 3 per frame)" in legend.values()
    svg, legend = course(series().assign(track_id=series()["label"].astype(float)))
    assert svg.count(f'stroke="{TRACK_COLOUR}"') == 3
    assert legend[TRACK_COLOUR] == "tracks (3)"


def test_of_many_tracks_a_part_is_drawn_and_said() -> None:
    n = 2 * MOST_TRACKS + 1
    rows = [{"frame": frame, "structure": "cell", "track_id": track, "volume_um3": 1.0 * track} for track in range(n)
            for frame in (0, 1)]  # fmt: skip
    svg, legend = course(pd.DataFrame(rows))
    n_drawn = svg.count(f'stroke="{TRACK_COLOUR}"')
    assert MOST_TRACKS / 2 < n_drawn <= MOST_TRACKS
    assert legend[TRACK_COLOUR] == f"{n_drawn} of {n} tracks"


@pytest.mark.parametrize(("last_s", "unit", "last"), [(7200.0, "min", 120.0), (36000.0, "h", 10.0), (90.0, "s", 90.0)])
def test_time_has_a_unit_that_suits_it(last_s: float, unit: str, last: float) -> None:
    times, label = frame_times(pd.DataFrame({"frame": [0, 1], "time_s": [0.0, last_s]}))
    assert label == f"time ({unit})"
    assert times[1] == pytest.approx(last)


def test_unknown_times_are_frames() -> None:
    assert frame_times(pd.DataFrame({"frame": [3, 0]})) == ({0: 0.0, 3: 3.0}, "frame")


def test_courses_are_those_of_the_main_objects_that_have_values() -> None:
    table = series().assign(mean_ri=np.nan)
    item = ReportItem("a", {"primary": "nucleus"})
    assert [chart.caption for chart in item_charts(item, table, {})] == ["volume um3 of each nucleus over time"]
    assert list(item_charts(item, table[table["frame"] == 0], {})) == []
