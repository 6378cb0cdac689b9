"""Which outputs of a card become objects, with which thresholds and sizes, and which models can be streamed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models.conftest import make_card

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models.objects import ObjectRules, is_streamed, structures_of
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.settings import InstanceSettings

SOLID = {"dimensions": 3, "section_axis": None, "voxel_size_um": (0.3, 0.2, 0.1), "tile_shape": (16, 32, 64)}
CLEAN = CleanSettings(min_volume_um3=7.0, min_area_um2=3.0, is_hole_filled=False, is_border_cleared=True)
SPLIT = SplitSettings(method="intensity")
NO_SPLIT = SplitSettings(method="none")


def rules(inference: dict[str, Any] | None = None, main: str = "cell", split: SplitSettings = SPLIT) -> ObjectRules:
    return ObjectRules(InferenceSettings(**(inference or {})), CLEAN, split, main)


@pytest.mark.parametrize(
    ("structures", "expected"),
    [
        (("cell", "nucleus"), {"cell": (0,), "nucleus": (1,)}),
        (("background", "nucleus", "cell", "nucleus_core"), {"nucleus": (1, 3), "cell": (2,)}),
        (("dense_core", "cell"), {"dense_core": (0,), "cell": (1,)}),  # the core of nothing is a structure
    ],
)
def test_outputs_of_each_structure(structures: tuple[str, ...], expected: dict[str, tuple[int, ...]]) -> None:
    assert structures_of(make_card(structures=structures)) == expected


@pytest.mark.parametrize(
    ("structure", "inference", "main", "expected"),
    [
        # the cell: the user's cleaning and split; the card's threshold
        ("cell", {}, "cell", {"threshold": 0.7, "min_volume_um3": 7.0, "min_area_um2": 3.0, "is_hole_filled": False,
                              "is_border_cleared": True, "split": SPLIT}),
        # a nucleus beside it: the registry's 5 µm³ and 5 µm²; split because the model is a 3-D one
        ("nucleus", {}, "cell", {"threshold": 0.5, "min_volume_um3": 5.0, "min_area_um2": 5.0,
                               "is_hole_filled": True, "is_border_cleared": False, "split": SPLIT}),
        ("nucleolus", {}, "cell", {"split": NO_SPLIT}),
        # the nucleus is what the run is about
        ("nucleus", {}, "nucleus", {"min_volume_um3": 7.0, "is_border_cleared": True}),
        # a share of axes is not a probability
        ("cell", {"vote": "majority"}, "cell", {"threshold": 0.5}),
        # what the user says wins over all
        ("cell", {"instances": {"cell": InstanceSettings(threshold=0.3, min_volume_um3=0.1)}}, "cell",
         {"threshold": 0.3, "min_volume_um3": 0.1}),
    ],
)  # fmt: skip
def test_rules_of_a_structure(structure: str, inference: dict[str, Any], main: str, expected: dict[str, Any]) -> None:
    card = make_card(**SOLID, structures=("cell", "nucleus", "nucleolus"), threshold={"cell": 0.7})
    settings = rules(inference, main).of(card, structure)
    assert {name: getattr(settings, name) for name in expected} == expected
    assert rules(inference, main).of_all(card)[structure] == settings


def test_a_core_tells_objects_apart_and_has_a_threshold_of_its_own() -> None:
    card = make_card(**SOLID, structures=("cell", "cell_core"), threshold={"cell": 0.4, "cell_core": 0.6})
    settings = rules().of(card, "cell")
    assert (settings.threshold, settings.core_threshold, settings.split) == (0.4, 0.6, NO_SPLIT)


def test_the_main_structure_is_called_cell_in_a_run() -> None:
    card = make_card(**SOLID, structures=("nuclei", "nucleolus"))
    assert [rules(main="nucleus").canonical(card, name) for name in card.structures] == ["cell", "nucleolus"]


@pytest.mark.parametrize(
    ("changes", "split", "expected"),
    [
        ({"structures": ("cell", "nucleus")}, NO_SPLIT, True),
        ({"structures": ("cell", "nucleus")}, SplitSettings(method="distance"), True),
        ({"structures": ("cell", "nucleus")}, SPLIT, False),  # by the probability itself
        ({"structures": ("cell", "cell_core")}, NO_SPLIT, False),
        ({"structures": ("background", "cell"), "activation": "softmax"}, NO_SPLIT, False),
        ({"structures": tuple(f"organelle_{n}" for n in range(16))}, NO_SPLIT, True),
        ({"structures": tuple(f"organelle_{n}" for n in range(17))}, NO_SPLIT, False),  # two bytes have 16 bits
    ],
)
def test_what_can_be_streamed(changes: dict[str, Any], split: SplitSettings, expected: bool) -> None:
    card = make_card(**{**SOLID, **changes})
    assert is_streamed(card, rules(split=split).of_all(card)) is expected


def test_sections_are_not_streamed() -> None:
    card = make_card(structures=("cell", "nucleus"))
    assert not is_streamed(card, rules(split=NO_SPLIT).of_all(card))
