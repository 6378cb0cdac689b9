"""What experiment figures read: complete rows, points beside each other, parts of one table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomocyte.errors import SettingsError
from tomocyte.figures.experiment import course_table, superplot_table
from tomocyte.figures.experiment.tables import complete_rows, markers_of, spread


def test_rows_without_a_value_are_left_out() -> None:
    table = pd.DataFrame({"condition": ["a", "a", "b"], "value": [1.0, np.nan, np.inf]})
    assert complete_rows(table, ("condition", "value"), ("value",)).index.tolist() == [0]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pd.DataFrame({"condition": ["a"]}), "lacks the column value"),
        (pd.DataFrame({"x": [1]}), "lacks the columns condition, value"),
        (pd.DataFrame({"condition": ["a"], "value": [np.nan]}), "no row with a value"),
    ],
)
def test_a_table_that_cannot_be_drawn_says_what_it_lacks(table: pd.DataFrame, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        complete_rows(table, ("condition", "value"), ("value",))


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.floats(0.1, 2))
def test_points_stay_in_their_column(values: list[float], width: float) -> None:
    offsets = spread(np.array(values), width)
    assert len(offsets) == len(values)
    assert np.abs(offsets).max(initial=0.0) <= width / 2 * (1 + 1e-9)


def test_equal_values_lie_beside_each_other() -> None:
    offsets = spread(np.array([3.0, 3.0, 3.0, 3.0, 3.0]), 1.0)
    assert sorted(offsets) == pytest.approx([-0.5, -0.25, 0, 0.25, 0.5])


def test_forty_two_replicates_can_be_told_apart() -> None:
    from tomocyte.figures.experiment.tables import colours_of

    names = list(range(42))
    colours, markers = colours_of(names), markers_of(names)
    assert len({(colours[name], markers[name]) for name in names}) == 42


def test_one_table_holds_the_whole_figure() -> None:
    cells = pd.DataFrame({"condition": ["a", "b"], "replicate": [1, 1], "value": [1.0, 2.0]})
    differences = pd.DataFrame({"condition": ["b"], "value": [1.0], "low": [0.5], "high": [1.5]})
    table = superplot_table(cells, differences)
    assert table["part"].tolist() == ["cell", "cell", "difference"]
    assert table["low"].isna().tolist() == [True, True, False]
    bands = pd.DataFrame({"condition": ["a"], "time_s": [0.0], "mean": [1.0], "low": [0.5], "high": [1.5]})
    assert course_table(bands)["part"].tolist() == ["band"]
    with pytest.raises(SettingsError, match="no rows"):
        superplot_table(cells.iloc[:0])
