"""Tables and words of the papers' experiments, with numbers that can be counted by hand."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tomocyte.evaluation.nuclear_position import NucleusComparison
from tomocyte.papers import reproduce
from tomocyte.papers.choi.report import ALL_NUCLEI, nucleus_table, position_table
from tomocyte.papers.osnet import pictures
from tomocyte.papers.osnet.pictures import course_pictures, track_of
from tomocyte.papers.osnet.sections import around_object
from tomocyte.papers.reproduce import EXPERIMENTS, describe_experiment
from tomocyte.papers.result import method_colours, origin_words
from tomocyte.training.recipe import build_recipe, load_recipe


def nucleus(distance_um: float | None, *, closer: float = 1.0, sign: float = 1.0) -> dict[str, Any]:
    values = NucleusComparison(
        truth_label=1, prediction_label=0 if distance_um is None else 2, cell_label=1, dice=0.5,
        distance_um=math.nan if distance_um is None else distance_um,
        relative_distance=math.nan if distance_um is None else distance_um / 10,
        centre_distance_um=2.0, truth_contrast=-0.01,
        prediction_contrast=math.nan if distance_um is None else -0.005,
        is_same_sign=math.nan if distance_um is None else sign,
        is_closer_than_centre=0.0 if distance_um is None else closer,
    )  # fmt: skip
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(values).items()
    }


def test_positions_are_summed_up_per_cell_line_and_over_all_nuclei() -> None:
    entries = [
        {
            "row": "r",
            "seed": 1,
            "set": "A",
            "item": "1",
            "scores": {"nuclei": [nucleus(1.0), nucleus(3.0, closer=0.0)]},
        },
        {"row": "r", "seed": 1, "set": "A", "item": "2", "scores": {"nuclei": [nucleus(None)]}},
        {"row": "r", "seed": 1, "set": "B", "item": "3", "scores": {"nuclei": [nucleus(7.0, sign=0.0)]}},
        {"row": "s", "seed": 1, "set": "B", "item": "3", "scores": {"nuclei": []}},
    ]
    nuclei = nucleus_table(entries)
    assert len(nuclei) == 4
    assert list(nuclei.columns[:4]) == ["row", "seed", "set", "item"]
    assert nuclei["distance_um"].isna().tolist() == [False, False, True, False]
    table = position_table(nuclei).set_index(["row", "set"])
    assert list(table.index) == [("r", "A"), ("r", "B"), ("r", ALL_NUCLEI)]
    first, everything = table.loc[("r", "A")], table.loc[("r", ALL_NUCLEI)]
    assert (first["n_nuclei"], first["n_found"], first["distance_um"]) == (3, 2, 2.0)
    assert first["closer_than_centre"] == pytest.approx(1 / 3)
    assert (first["same_sign"], first["relative_distance"]) == (1.0, pytest.approx(0.2))
    assert (everything["n_nuclei"], everything["distance_um"]) == (4, 3.0)
    assert everything["same_sign"] == pytest.approx(2 / 3)
    assert everything["contrast_error"] == pytest.approx(0.005)


def test_a_mask_follows_the_track_of_the_cell_that_holds_most_of_it() -> None:
    around = np.zeros((2, 4, 6), np.uint16)
    around[:, :, :2], around[:, :, 2:5] = 3, 8
    mask = np.zeros(around.shape, bool)
    mask[:, 1, 1:4] = True  # one column in cell 3, two in cell 8
    tracks = {(0, 3): 30, (0, 8): 80, (1, 8): 81}
    assert [track_of(tracks, frame, mask, around) for frame in (0, 1, 2)] == [80, 81, 0]
    assert track_of(tracks, 0, around == 0, around) == 0


@pytest.mark.parametrize(
    ("margin_um", "expected"),
    [(0.0, ((4, 5), (4, 6), (8, 9))), (2.0, ((3, 6), (2, 8), (4, 9))), (1.1, ((3, 6), (2, 8), (5, 9)))],
)
def test_a_box_has_its_margin_in_um_and_ends_with_the_volume(margin_um: float, expected: Any) -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4:6, 8] = True
    box = around_object(mask, (2.0, 1.0, 0.5), margin_um)
    assert tuple((side.start, side.stop) for side in box) == expected


@pytest.mark.parametrize(
    ("lines", "is_simulated", "expected"),
    [
        (["HeLa", "", "A549", "HeLa"], True, "simulated A549, HeLa"),
        (["HeLa"], False, "HeLa"),
        (["", ""], True, "simulated cells"),
    ],
)
def test_where_cells_come_from(lines: list[str], is_simulated: bool, expected: str) -> None:
    items: Any = [SimpleNamespace(cell_line=line) for line in lines]
    assert origin_words(items, is_simulated=is_simulated) == expected


def test_only_a_model_without_a_colour_borrows_os_nets() -> None:
    assert method_colours("OS-Net") == {}
    assert list(method_colours("my-net")) == ["my-net"]


@pytest.mark.parametrize(
    ("times", "label", "x"), [([0.0, 120.0], "time (min)", [0, 2]), ([0.0, math.nan], "frame", [0, 1])]
)
def test_a_course_is_the_mean_over_time_lapses(
    monkeypatch: pytest.MonkeyPatch, times: list[float], label: str, x: list[float]
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "course_figure", lambda *given, **options: drawn.append((given, options)) or b"png")
    frames = pd.DataFrame(
        {
            "item": ["a", "a", "b", "b"], "frame": [0, 1, 0, 1], "time_s": times * 2, "dice": [0.5, 1.0, 0.75, 0.5],
            "dice_without_fringes": 1.0, "volume_truth_um3": 10.0, "volume_prediction_um3": [8.0, 9.0, 12.0, 13.0],
            "volume_without_fringes_um3": 10.0,
        }
    )  # fmt: skip
    assert course_pictures(frames, title="t", file_format="png") == b"png"
    ((found_x, panels), options) = drawn[0]
    assert options["x_label"] == label
    assert list(found_x) == x
    dice, volume = panels.values()
    assert dice == {"with fringes": [0.625, 0.75], "without": [1.0, 1.0]}
    assert volume["with fringes"] == [10.0, 11.0]


def test_a_dry_run_names_every_training_once_and_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = build_recipe(load_recipe("choi-fig2c"), *EXPERIMENTS)
    lines = describe_experiment(recipe, Path("out"), data=Path("mine"))
    rows = [line.partition(": ")[0] for line in lines[:-1]]
    assert rows == [*recipe.rows, *recipe.models]
    assert lines[-1] == "on mine"
    assert describe_experiment(recipe, Path("out"))[-1].startswith(f"on {recipe.benchmark}, simulated for it: ")
    package = SimpleNamespace(card=SimpleNamespace(name="my-net", version="1.2"))
    monkeypatch.setattr(reproduce, "load_package", {"some/folder": package}.__getitem__)
    sections = build_recipe(load_recipe("osnet-fig3b"), *EXPERIMENTS)
    (line,) = describe_experiment(sections, Path("out"), model="some/folder")
    assert line.startswith(f"{sections.name}: sections-3d with my-net 1.2 on data simulated for it: ")
