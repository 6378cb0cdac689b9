"""ACSeg's Fig. 3 on boxes that can be counted by hand, and as a command on label images."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import stats
from tests.in_process import tomocyte

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, MetadataError
from tomocyte.evaluation import Case
from tomocyte.papers.acseg.differences import CellPair, close_up_box, missing_and_added
from tomocyte.papers.acseg.experiment import FIELDS_RECIPES
from tomocyte.papers.acseg.fields import SegmentedFields, case_of, field_pairs, labelled_items
from tomocyte.papers.acseg.recipe import FieldsRecipe, SegmentationsRecipe
from tomocyte.papers.acseg.segmentations import agreement_table, compare_case, compare_masks
from tomocyte.papers.simulated_fields import field_plans
from tomocyte.training.recipe import build_recipe, load_recipe

SIZE = (0.5, 0.2, 0.1)


def shipped(**changes: object) -> SegmentationsRecipe:
    recipe = build_recipe(load_recipe("acseg-fig3"), SegmentationsRecipe)
    assert isinstance(recipe, SegmentationsRecipe)
    return recipe.model_copy(update=changes)


def boxes() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two cells in both, one of them smaller in the second; one cell in each alone; one cut by the border in both."""
    first, second = np.zeros((20, 40, 60), np.uint8), np.zeros((20, 40, 60), np.uint8)
    first[4:14, 4:14, 4:14], second[4:14, 4:14, 4:14] = 1, 7
    first[4:14, 4:14, 20:30], second[4:14, 4:14, 20:28] = 2, 5
    first[4:14, 24:34, 4:14] = 3
    second[4:14, 24:34, 40:50] = 9
    first[4:14, 24:34, 54:60], second[4:14, 24:34, 54:60] = 4, 8
    return first, second


def case(first: NDArray[np.uint8], second: NDArray[np.uint8], size: tuple[float, float, float] | None = SIZE) -> Case:
    return Case("a", "a", first, second, None, size)


def test_cells_are_counted_by_hand() -> None:
    first, second = boxes()
    cells, alone = compare_case(case(first, second), shipped())
    rows = cells.set_index("label_first")
    assert rows["label_second"].to_dict() == {1: 7, 2: 5, 4: 8}
    assert rows["is_cut"].to_dict() == {1: False, 2: False, 4: True}
    voxel = 0.5 * 0.2 * 0.1
    assert rows.loc[1, "volume_um3_first"] == pytest.approx(1000 * voxel)
    assert rows.loc[2, "volume_um3_second"] == pytest.approx(800 * voxel)
    assert rows.loc[2, "dice"] == pytest.approx(2 * 800 / 1800)
    ratio = rows.loc[2, "surface_area_um2_second"] / rows.loc[2, "volume_um3_second"]
    assert rows.loc[2, "surface_to_volume_per_um_second"] == pytest.approx(ratio)
    assert alone[["side", "label", "volume_um3"]].values.tolist() == [
        ["truth", 3, pytest.approx(1000 * voxel)], ["model", 9, pytest.approx(1000 * voxel)]
    ]  # fmt: skip


def test_what_overlaps_less_is_another_cell() -> None:
    first, second = boxes()
    cells, _ = compare_case(case(first, second), shipped(min_iou=0.85))
    assert 2 not in cells["label_first"].tolist()  # 800 of 1000 voxels in common


def test_without_a_voxel_size_nothing_is_measured() -> None:
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        compare_case(case(*boxes(), size=None), shipped())


def test_tests_are_those_of_scipy_and_claims_follow() -> None:
    rng = np.random.default_rng(5)
    first = rng.uniform(150, 300, 12)
    cells = pd.DataFrame({"volume_um3_first": first, "volume_um3_second": first + rng.normal(0, 2, 12)})
    cells["surface_to_volume_per_um_first"] = rng.uniform(0.9, 1.1, 12)
    cells["surface_to_volume_per_um_second"] = cells["surface_to_volume_per_um_first"] - 0.05 + rng.normal(0, 0.01, 12)
    table = agreement_table(cells, shipped()).set_index("quantity")
    for name in table.index:
        ours, theirs = cells[f"{name}_second"], cells[f"{name}_first"]
        assert table.loc[name, "p_paired_t"] == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
        assert table.loc[name, "p_wilcoxon"] == pytest.approx(stats.wilcoxon(ours - theirs).pvalue)
        step = (ours - theirs).to_numpy()
        assert table.loc[name, "lower_limit"] == pytest.approx(step.mean() - 1.96 * step.std(ddof=1))
    volume = table.loc["volume_um3"]
    assert volume["margin"] == pytest.approx(0.05 * first.mean())
    shifted = [cells["volume_um3_second"] - cells["volume_um3_first"] + sign * volume["margin"] for sign in (1, -1)]
    p_both = [
        stats.ttest_1samp(shifted[0], 0, alternative="greater"),
        stats.ttest_1samp(shifted[1], 0, alternative="less"),
    ]
    assert volume["p_equivalence"] == pytest.approx(max(one.pvalue for one in p_both))
    assert table["verdict"].to_dict() == {"volume_um3": "holds", "surface_to_volume_per_um": "holds"}
    assert table.loc["surface_to_volume_per_um", "p_published"] == 0.001478
    reversed_cells = cells.rename(
        columns=lambda name: name.replace("first", "x").replace("second", "first").replace("x", "second")
    )
    other = agreement_table(reversed_cells, shipped()).set_index("quantity")
    assert other.loc["surface_to_volume_per_um", "verdict"] == "does not hold"


def test_one_cell_decides_nothing() -> None:
    cells, _ = compare_case(case(*boxes()), shipped())
    table = agreement_table(cells[cells["label_first"] == 1], shipped())
    assert set(table["verdict"]) == {"cannot be decided"}
    assert all(math.isnan(p) for p in table["p_paired_t"])


def write(folder: Path, labels: dict[str, NDArray[np.uint8]], *, has_size: bool = True) -> Path:
    folder.mkdir()
    for name, array in labels.items():
        about = {"axes": "ZYX"}
        sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SIZE, strict=True)}
        tifffile.imwrite(folder / f"{name}.ome.tif", array, metadata={**about, **(sizes if has_size else {})})
    return folder


def test_two_folders_as_a_command(tmp_path: Path) -> None:
    first, second = boxes()
    a = write(tmp_path / "a", {"x": first, "y": first})
    b = write(tmp_path / "b", {"x": second, "y": first})
    out = tmp_path / "out"
    words = ["reproduce", "acseg-fig3", "-o", out, "--data", a, "--data", b, "--set", "names=[manual, net]"]
    dry = tomocyte(*words, "--dry-run")
    assert f"{a} against {b}" in dry.output.replace("\n", "")
    assert not out.exists()
    done = tomocyte(*words, "--set", "n_shown=1")
    assert done.exit_code == 0, done.exception
    # Of 3 + 4 pairs two are cut; 3 cells are alone on one side.
    assert (
        "7 cells are in both, 2 of them cut by the border and left out; 1 only in manual, 1 only in net." in done.output
    )
    cells = pd.read_csv(out / "cells.csv")
    assert len(cells) == 7
    assert (out / "agreement-volume_um3.png").stat().st_size > 1000
    assert (out / "difference-x-2.png").stat().st_size > 1000  # the only one that differs
    assert len(pd.read_csv(out / "unmatched.csv")) == 2


def test_the_cure_for_a_missing_voxel_size_works(tmp_path: Path) -> None:
    first, second = boxes()
    a = write(tmp_path / "a", {"x": first}, has_size=False)
    b = write(tmp_path / "b", {"x": second}, has_size=False)
    words = ["reproduce", "acseg-fig3", "-o", tmp_path / "out", "--data", a, "--data", b, "--set", "n_shown=0"]
    refused = tomocyte(*words)
    assert "E-VOXEL-SIZE" in str(refused.exception)
    assert "voxel_size_um=[Z, Y, X]" in str(refused.exception)
    assert tomocyte(*words, "--set", "voxel_size_um=[0.5, 0.2, 0.1]").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--data", "a"), "E-NO-DATA"),
        (("--data", "a", "--data", "b", "--model", "x"), "E-USAGE"),
        (("--from-truth",), "E-USAGE"),
    ],
)
def test_half_a_comparison_is_refused(words: tuple[str, ...], code: str, tmp_path: Path) -> None:
    done = tomocyte("reproduce", "acseg-fig3", "-o", tmp_path / "out", *words, "--dry-run")
    assert code in str(done.exception)


def test_all_cells_of_a_tomogram_are_one_mask() -> None:
    first, second = boxes()
    row = compare_masks(case(first, second), shipped())
    voxel = 0.5 * 0.2 * 0.1
    assert row["volume_um3_first"] == pytest.approx((3 * 1000 + 600) * voxel)
    assert row["volume_um3_second"] == pytest.approx((2 * 1000 + 800 + 600) * voxel)
    assert row["dice"] == pytest.approx(2 * (1000 + 800 + 600) / (3600 + 3400))


def test_what_is_missing_lies_beyond_the_tolerance() -> None:
    """A rod of 20 voxels sticks out of a box in the first alone; the second is one voxel thicker on one side."""
    first, second = np.zeros((20, 20, 50), bool), np.zeros((20, 20, 50), bool)
    first[5:15, 5:15, 5:15] = second[5:15, 5:16, 5:15] = True
    first[9:11, 9:11, 15:35] = True
    missing, added = missing_and_added(CellPair("a", first, second, (0.1, 0.1, 0.1)), 0.15)
    assert not added.any()
    places = np.argwhere(missing)
    assert places[:, 2].min() == 16  # the first voxel of the rod touches the box, the next lies 0.2 um from it
    assert len(places) == 2 * 2 * 19
    everything, thicker = missing_and_added(CellPair("a", first, second, (0.1, 0.1, 0.1)), 0.0)
    assert (everything.sum(), thicker.sum()) == (2 * 2 * 20, 10 * 10)
    z, y, x = close_up_box(missing, (0.1, 0.1, 0.1))
    assert x.stop - x.start == round(0.35 * 50)
    assert missing[z, y, x].sum() == 2 * 2 * round(0.35 * 50)


def labelled_folder(folder: Path, first: NDArray[np.uint8]) -> Path:
    """A tomogram in which the labelled cells absorb more, and its labels beside it."""
    image = np.where(first > 0, 0.3, 0.1).astype(np.float32)
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SIZE, strict=True)}
    folder.mkdir()
    for name, array in (("x", image), ("x_mask", first)):
        tifffile.imwrite(folder / f"{name}.ome.tif", array, metadata={"axes": "ZYX", **sizes})
    return folder


def test_tomograms_with_masks_need_no_second_segmentation(tmp_path: Path) -> None:
    first, second = boxes()
    data, masks = labelled_folder(tmp_path / "data", first), write(tmp_path / "masks", {"x": second})
    words = ["reproduce", "acseg-fig3", "-o", tmp_path / "out", "--data", data]
    dry = tomocyte(*words, "--dry-run")
    assert "1 images with labels" in dry.output
    pairs = field_pairs(shipped(), labelled_items(shipped(), data), masks)
    assert [(pair.name, pair.prediction.name, pair.truth.name) for pair in pairs] == [
        ("x", "x.ome.tif", "x_mask.ome.tif")
    ]
    (field,) = SegmentedFields(shipped(), labelled_items(shipped(), data), masks)
    assert (field.case, field.voxel_size_um, field.is_simulated) == ("x", SIZE, False)
    assert np.array_equal(field.truth, first)
    assert np.array_equal(field.found, second)
    with pytest.raises(InputError, match="E-PAIR"):
        field_pairs(shipped(), labelled_items(shipped(), data), write(tmp_path / "others", {"y": second}))


def test_fields_are_simulated_in_either_size() -> None:
    """The paper's tomograms are 491 × 472 × 472 voxels of about 0.032 µm; the simulator's own are 176³ of 0.086 µm."""
    for name, shape in (("acseg-fig3", [491, 472, 472]), ("acseg-fig6", [475, 475, 475])):
        sizes = {}
        for size in ("small", "full"):
            recipe = build_recipe(load_recipe(name, [f"size={size}"]), *FIELDS_RECIPES)
            assert isinstance(recipe, FieldsRecipe)
            first = field_plans(recipe)[0]
            assert (first.name, first.domain, first.dataset["preset"]) == ("T-cell-0", "T cell", "T cell")
            sizes[size] = first.dataset
        assert sizes["small"]["shape"] == [176] * 3
        assert sizes["full"]["shape"] == shape
        assert sizes["full"]["voxel_size_um"] == pytest.approx([0.032] * 3, rel=0.01)


def test_what_an_item_is_an_example_of() -> None:
    item = LabelledItem("a", Path("a.tif"), {})
    assert case_of(item) == "a"
    assert case_of(replace(item, cell_line="MEF")) == "MEF"
    assert case_of(replace(item, cell_line="T cell", domain="touching the glass")) == "touching the glass"
    assert case_of(replace(item, cell_line="MEF", domain="other-cell-line", split="shifted-test")) == "MEF"


def test_the_four_cases_are_those_of_the_simulator() -> None:
    recipe = build_recipe(load_recipe("acseg-fig4"), *FIELDS_RECIPES)
    assert isinstance(recipe, FieldsRecipe)
    plans = {plan.domain: plan.dataset for plan in field_plans(recipe)}
    assert plans["between two beads"]["scene"]["capillary"]["n_beads"] == [2, 2]
    assert plans["tightly packed"]["n_cells"][0] > 2
    assert plans["touching the glass"]["scene"]["capillary"]["glass_share"] == 1
    assert plans["isolated with debris"]["scene"]["n_debris"][0] > 5
