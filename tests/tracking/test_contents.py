"""Whether an object holds what is said to have gone into it: its volume has to fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tomocyte.tracking.contents import follow_contents, unlikely_entries
from tomocyte.tracking.graph import Graph
from tomocyte.tracking.objects import objects_of_table


def entries(*volumes_um3: float, comes_out: bool = False) -> list[tuple[int, int]]:
    """Cells of 100 and 60 µm³ (rows 0, 1) go into an object of these volumes (rows 2, 3, …)."""
    rows = [(0, 1, 0.0, 0.0, 100.0), (0, 2, 0.0, 8.0, 60.0)]
    rows += [(frame, 1, 0.0, 3.0, volume) for frame, volume in enumerate(volumes_um3, start=1)]
    if comes_out:
        rows += [(len(volumes_um3) + 1, 1, 0.0, 0.0, 100.0), (len(volumes_um3) + 1, 2, 0.0, 8.0, 60.0)]
    table = pd.DataFrame(rows, columns=["frame", "label", "y_um", "x_um", "volume_um3"])
    objects = objects_of_table(table)
    graph = Graph()
    for a, b in [(0, 2), (1, 2), *((row, row + 1) for row in range(2, 1 + len(volumes_um3)))]:
        graph.add(a, b)
    if comes_out:
        graph.add(1 + len(volumes_um3), 2 + len(volumes_um3))
        graph.add(1 + len(volumes_um3), 3 + len(volumes_um3))
    drift = np.zeros((len(objects.frames), 2))
    contents = follow_contents(objects, drift, graph, {}, lambda _: False)
    return unlikely_entries(objects, graph, contents)


@pytest.mark.parametrize(
    ("volumes_um3", "expected"),
    [
        ((160.0, 158.0, 165.0), []),
        ((100.0, 101.0, 99.0), [(1, 2)]),  # the smaller one has left
        ((60.0, 61.0, 62.0), [(0, 2)]),
        ((160.0, 100.0, 101.0), [(1, 2)]),  # it fitted once, by chance
        ((160.0, 160.0, 160.0, 100.0, 100.0, 100.0), []),  # what comes later says nothing of what went in
    ],
)
def test_the_volume_says_what_went_in(volumes_um3: tuple[float, ...], expected: list[tuple[int, int]]) -> None:
    assert entries(*volumes_um3) == expected


def test_what_comes_out_again_was_in() -> None:
    assert entries(100.0, 100.0) == [(1, 2)]
    assert entries(100.0, 100.0, comes_out=True) == []
