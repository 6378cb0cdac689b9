"""Rounding for people, as tables of cases."""

from __future__ import annotations

import math

import pytest

from tomocyte.runs.report.rounding import heading, is_refractive_index, like, rounded


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (1493.46, "volume_um3", "1493"),
        (14934.6, "volume_um3", "14 935"),
        (123456789.4, "volume_um3", "123 456 789"),
        (0.0, "volume_um3", "0"),
        (0.5, "sphericity", "0.5000"),
        (0.012346, "volume_um3", "0.01235"),
        (9.9996, "x", "10.00"),
        (-2.5, "x", "−2.500"),
        (0.00001234567, "x", "1.235 × 10^−5"),
        (6.02214e23, "x", "6.022 × 10^23"),
        (1.35267, "mean_ri", "1.3527"),
        (0.0036, "sd_ri", "0.0036"),
        (1.5, "area_variation", "1.500"),
        (math.nan, "mean_ri", "–"),
        (math.inf, "x", "∞"),
        (-math.inf, "x", "−∞"),
        (7, "label", "7"),
        (4_000_000_000, "label", "4 000 000 000"),
    ],
)
def test_rounded(value: float, column: str, text: str) -> None:
    assert rounded(value, column).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "example", "text"),
    [(333.61, "439.9", "333.6"), (0.05859, "0.3639", "0.0586"), (12.3, "1493", "12"), (0.002, "1.3527", "0.0020")],
)
def test_a_deviation_has_the_decimals_of_its_mean(value: float, example: str, text: str) -> None:
    assert like(value, example) == text


@pytest.mark.parametrize(
    ("column", "unit", "text"),
    [
        ("volume_um3", "µm³", "volume"),
        ("surface_to_volume_per_um", "1/µm", "surface to volume"),
        ("concentration_mg_per_ml", "mg/mL", "concentration"),
        ("mean_ri", "1", "mean RI"),
        ("volume_um3", "", "volume um3"),
        ("n_lipid_droplets", "1", "n lipid droplets"),
    ],
)
def test_a_heading_leaves_the_unit_to_its_own_place(column: str, unit: str, text: str) -> None:
    assert heading(column, unit) == text


@pytest.mark.parametrize(
    ("column", "is_ri"),
    [("mean_ri", True), ("ri", True), ("sd_ri_dna", True), ("mean_refractive_index", True), ("trio_um", False),
     ("rim_area_um2", False), ("area_variation", False), ("", False)],
)  # fmt: skip
def test_columns_of_a_refractive_index_say_so_in_a_word_of_their_own(column: str, is_ri: bool) -> None:
    assert is_refractive_index(column) is is_ri
