"""Pictures of a run: time courses of what was measured."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import tomocyte.figures
from tomocyte.pipeline.stages import STAGES
from tomocyte.pipeline.stages.draw import time_courses

UNITS = {"volume_um3": "µm³", "area_um2": "µm²", "mean_ri": "1"}


def table(**columns: list[float]) -> pd.DataFrame:
    """Two cells in each of three frames, and a nucleus that has everything."""
    frames = np.repeat([0, 1, 2], 2)
    cells = pd.DataFrame(
        {"structure": "cell", "frame": frames, "time_s": 10.0 * frames, "label": [1, 2] * 3, **columns}
    )
    nucleus = {"structure": "nucleus", "frame": 0, "time_s": 0.0, "label": 1, "dry_mass_pg": 3.0, "mean_ri": 1.36}
    return pd.concat([cells, pd.DataFrame([nucleus])], ignore_index=True)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"volume_um3": [1.0] * 6}, ["volume_um3"]),
        ({"mean_ri": [1.36] * 6, "volume_um3": [1.0] * 6}, ["volume_um3", "mean_ri"]),
        ({"dry_mass_pg": [math.nan] * 6, "area_um2": [math.nan] * 5 + [2.0]}, ["area_um2"]),
        ({"sphericity": [0.5] * 6}, []),
    ],
)
def test_time_courses_are_drawn_of_key_measurements_with_values(
    columns: dict[str, list[float]], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only another structure has is none of this one."""

    def drawn(rows: pd.DataFrame, name: str, unit: str, *, structure: str) -> bytes:
        return f"{name} in {unit} of {structure} in {len(rows)} rows".encode()

    monkeypatch.setattr(tomocyte.figures, "time_course_figure", drawn)
    pictures = time_courses(table(**columns), "cell")
    assert pictures == {
        f"timecourse_{name}.png": f"{name} in {UNITS[name]} of cell in 7 rows".encode() for name in names
    }


def test_stages_are_found_by_their_own_names() -> None:
    assert {name: stage.__name__ for name, stage in STAGES.items()} == {
        name: f"{name.title().replace('_', '')}Stage" for name in STAGES
    }
