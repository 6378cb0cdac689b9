"""Fig. 6 on a box with rods, which can be counted."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tomocyte.papers.acseg.cell_types import COLOURS, bodies_of, cell_types_experiment, protrusions
from tomocyte.papers.acseg.claims import judge_scores
from tomocyte.papers.acseg.fields import SegmentedField
from tomocyte.papers.acseg.recipe import CellTypesRecipe, ScoreClaim
from tomocyte.training.recipe import build_recipe, load_recipe

SIZE = (0.1, 0.1, 0.1)


def spiky(n_rods: int) -> NDArray[np.bool_]:
    """A ball of radius 12 voxels with rods of 2 × 2 voxels that stick out of it by 15, at most six, and a short one."""
    z, y, x = np.ogrid[:30, :30, :48]
    mask = (z - 14.5) ** 2 + (y - 14.5) ** 2 + (x - 14.5) ** 2 <= 144
    for number in range(n_rods):
        z, y = 10 + 8 * (number // 3), 8 + 6 * (number % 3)
        mask[z : z + 2, y : y + 2, 15:40] = True
    mask[26:29, 15:17, 15:17] = True
    return np.asarray(mask)


@pytest.mark.parametrize("n_rods", [0, 1, 5])
def test_protrusions_are_counted_and_measured(n_rods: int) -> None:
    mask = spiky(n_rods)
    found = protrusions(mask, SIZE, thin_um=0.3, min_length_um=0.8)
    assert found.n == n_rods
    if n_rods:
        outside = int(mask[:, :, 27:].sum())  # beyond the ball
        assert outside == n_rods * 4 * 13
        assert found.share == pytest.approx(outside / mask.sum(), rel=0.4)  # rods off the middle leave it sooner
        assert 1.3 <= found.length_um <= 1.9
    else:
        assert math.isnan(found.length_um)


def test_larger_cells_are_drawn_first() -> None:
    labels = np.zeros((4, 4, 8), np.uint8)
    labels[:2, :2, :2], labels[2:, 2:, 2:] = 7, 3
    bodies = bodies_of(labels)
    assert [int(body.mask.sum()) for body in bodies] == [24, 8]
    assert [body.colour for body in bodies] == list(COLOURS[:2])


def field(case: str, n_rods: int, n_found: int) -> SegmentedField:
    truth, found = spiky(n_rods).astype(np.uint8), spiky(n_found).astype(np.uint8)
    image = np.where(truth > 0, 0.3, 0.1).astype(np.float32)
    return SegmentedField(case, case, image, truth, found, {}, SIZE, "lac", "1/um", True)


def test_the_experiment_finds_the_missing_protrusions() -> None:
    changes = ["thin_um=0.3", "min_length_um=0.8"]
    recipe = build_recipe(load_recipe("acseg-fig6", changes), CellTypesRecipe)
    assert isinstance(recipe, CellTypesRecipe)
    fields = [field("T cell", 1, 1), field("BV-2", 4, 0), field("Huh-7", 5, 4)]
    result = cell_types_experiment(recipe, fields)
    scores = result.tables["scores"].set_index("case")
    assert scores["protrusions_per_cell_truth"].to_dict() == {"T cell": 1, "BV-2": 4, "Huh-7": 5}
    assert scores["protrusions_per_cell_model"].to_dict() == {"T cell": 1, "BV-2": 0, "Huh-7": 4}
    assert scores.loc["T cell", "dice"] == 1.0
    for side in ("truth", "model"):
        assert scores.loc["Huh-7", f"volume_um3_{side}"] == pytest.approx(
            0.001 * spiky(5 if side == "truth" else 4).sum()
        )
    assert scores.loc["BV-2", "surface_to_volume_per_um_truth"] > scores.loc["BV-2", "surface_to_volume_per_um_model"]
    verdicts = dict(zip(result.tables["claims"]["words"], result.tables["claims"]["verdict"], strict=True))
    assert verdicts["Huh-7 are nearer to BV-2 than to T cells in the number of filopodia"] == "holds"
    assert verdicts["T cells are segmented best"] == "not measured"
    assert sorted(result.pictures) == [
        f"{kind}-{case}" for kind in ("difference", "planes", "surfaces") for case in ("BV-2", "Huh-7", "T-cell")
    ]


def test_nothing_found_is_a_dice_of_zero() -> None:
    recipe = build_recipe(load_recipe("acseg-fig6"), CellTypesRecipe)
    assert isinstance(recipe, CellTypesRecipe)
    one = field("MEF", 1, 1)
    one.found[:] = 0
    result = cell_types_experiment(recipe, [one])
    assert result.tables["scores"].loc[0, "dice"] == 0.0
    assert math.isnan(result.tables["scores"].loc[0, "surface_to_volume_per_um_model"])
    assert list(result.pictures) == ["planes-MEF"]


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ({"says": "case-above", "case": "a", "other": "b"}, "holds"),
        ({"says": "case-above", "case": "b", "other": "a"}, "does not hold"),
        ({"says": "case-above", "case": "a", "other": "d"}, "not measured"),
        ({"says": "nearer", "case": "a", "other": "b", "unless": "c", "quantity": "q"}, "does not hold"),
        ({"says": "nearer", "case": "b", "other": "c", "unless": "a", "quantity": "q"}, "holds"),
        ({"says": "nearer", "case": "b", "other": "c", "unless": "a", "quantity": "none"}, "not measured"),
    ],
)
def test_claims_about_cases(claim: dict[str, str], verdict: str) -> None:
    scores = pd.DataFrame({"case": ["a", "b", "c"], "method": "model", "dice": [0.9, 0.8, 0.7], "q": [1.0, 9.0, 6.0]})
    # a is at 1, b at 9, c at 6: a is nearer to c than to b, b nearer to c than to a.
    judged = judge_scores([ScoreClaim(method="model", words="", **claim)], scores)  # type: ignore[arg-type]
    assert judged["verdict"].tolist() == [verdict]
