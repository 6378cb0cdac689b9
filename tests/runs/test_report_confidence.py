"""How the page shows confidence, intervals, and images unlike the training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.runs.test_report_page import facts, objects, page

from tomocyte.runs.report import ReportItem
from tomocyte.runs.report.contents import without_ends

INTERVAL = {
    "volume_um3_low": [433.12, np.nan],
    "volume_um3_high": [560.04, np.nan],
    "confidence": [0.9312, 0.2114],
}


def test_intervals_stand_behind_their_value(tmp_path: Path) -> None:
    """Four digits of the value decide how the ends are rounded; no column of their own, no interval where none is."""
    shown = page(tmp_path, [ReportItem("a", facts())], objects("a", [500.123, 70.5], **INTERVAL))
    assert "500.1 (433.1 to 560.0)" in shown.text
    assert "70.50" in shown.text
    assert "70.50 (" not in shown.text
    assert "volume um3 low" not in shown.text
    assert "0.9312" in shown.text
    assert "90 % intervals" in shown.text


def test_without_confidence_there_is_no_word_about_it(tmp_path: Path) -> None:
    shown = page(tmp_path, [ReportItem("a", facts())], objects("a", [500.123, 70.5]))
    assert "onfidence" not in shown.text


def test_a_single_end_is_a_column_like_any_other() -> None:
    assert without_ends(["a", "a_low"]) == ["a", "a_low"]
    assert without_ends(["a_low", "a_high"]) == ["a_low", "a_high"]


def test_comparison_with_the_training_images_is_a_fact(tmp_path: Path) -> None:
    def said(*distances: float) -> str:
        domain: list[dict[str, Any]] = [
            {
                "frame": frame,
                "distance": d,
                "limit": 4.0,
                "is_outside": d > 4,
                "what": f"noise {d:g} times",
                "figures": {},
            }
            for frame, d in enumerate(distances)
        ]
        return page(tmp_path, [ReportItem("a", facts(domain=domain))], objects("a", [500.0])).text

    assert "similar (distance 0.25 of the limit)" in said(1.0)
    assert "different: noise 12 times (distance 3.00 of the limit)" in said(1.0, 12.0, 2.0)
