"""Corrections on arrays that can be counted by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tomocyte.corrections.apply import EditedFrame, apply_edits
from tomocyte.corrections.edits import Edit, EditFile
from tomocyte.errors import InputError
from tomocyte.labels.runs import pack_voxels

SIZE_UM = (0.5, 0.4, 0.25)
VOXEL_UM3 = 0.05


def read(*edits: dict[str, Any]) -> tuple[Edit, ...]:
    return tuple(TypeAdapter(Edit).validate_python({"structure": "cell", **edit}) for edit in edits)


def apply(labels: np.ndarray | dict[str, np.ndarray], *edits: dict[str, Any], **options: Any) -> EditedFrame:
    given = labels if isinstance(labels, dict) else {"cell": labels}
    return apply_edits(given, read(*edits), SIZE_UM, **options)


def code_of(labels: np.ndarray | dict[str, np.ndarray], *edits: dict[str, Any], **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        apply(labels, *edits, **options)
    assert str(caught.value).startswith(f"{caught.value.code}: edit {len(edits)} ")
    return caught.value.code


def row(*values: int) -> np.ndarray:
    return np.array([[values]], dtype=np.uint8)


def two_blocks() -> np.ndarray:
    """Blocks 1 (2x3x4 voxels) and 2 (2x3x3), a column of background between them, in a frame of 4x5x9."""
    labels = np.zeros((4, 5, 9), np.uint16)
    labels[1:3, 1:4, 0:4] = 1
    labels[1:3, 1:4, 5:8] = 2
    return labels


def test_merge_keeps_the_first_label_and_counts() -> None:
    labels = two_blocks()
    done = apply(labels, {"do": "merge", "targets": [2, 1]})
    assert sorted(np.unique(done.labels["cell"])) == [0, 2]
    assert np.count_nonzero(done.labels["cell"]) == 24 + 18
    record = done.log[0]
    assert (record.n_voxels, record.size) == (24, pytest.approx(24 * VOXEL_UM3))
    assert (record.old, record.new) == (((1, 24), (2, 18)), ((2, 42),))
    assert [text.split(":")[0] for text in record.warnings] == ["W-EDIT-APART"]
    assert done.edited == {"cell": {2: ("merge",)}}
    assert set(np.unique(labels)) == {0, 1, 2}, "the labels given were changed"


def test_merge_of_touching_objects_does_not_warn() -> None:
    done = apply(row(1, 1, 2, 3), {"do": "merge", "targets": [1, 2, 3]})
    assert done.labels["cell"].tolist() == [[[1, 1, 1, 1]]]
    assert done.log[0].warnings == ()


def dumbbell() -> np.ndarray:
    """Two cubes of 5 voxels joined by a bar one voxel thick and three long: x 1..5, 6..8, 9..13."""
    labels = np.zeros((7, 8, 15), np.uint8)
    labels[1:6, 1:6, 1:6] = 1
    labels[1:6, 1:6, 9:14] = 1
    labels[3, 3, 6:9] = 1
    return labels


@pytest.mark.parametrize("seeds", [[[3, 3, 3], [3, 3, 11]], [[1, 1, 1], [5, 5, 13]], [[1, 1, 5], [3, 3, 9]]])
def test_split_by_seeds_cuts_the_waist_wherever_the_seeds_were_set(seeds: list[list[int]]) -> None:
    points = [{"voxel": seed} for seed in seeds]
    done = apply(dumbbell(), {"do": "split", "target": 1, "seeds": points})
    parts = done.labels["cell"]
    assert (parts[:, :, :6] == 2).sum() == 0
    assert (parts[1:6, 1:6, 1:6] == 1).all()
    assert (parts[1:6, 1:6, 9:14] == 2).all()
    assert (parts > 0).sum() == 125 + 125 + 3
    assert done.edited["cell"] == {1: ("split",), 2: ("split",)}
    assert done.log[0].warnings == ()


def test_split_without_a_waist_goes_by_the_nearest_seed_in_um() -> None:
    """A bar of 8 voxels of 0.25 µm, seeds at 0 and 5: the middle lies at 2.5."""
    done = apply(row(*[4] * 8), {"do": "split", "target": 4, "seeds": [{"um": [0, 0, 0]}, {"um": [0, 0, 1.25]}]})
    assert done.labels["cell"].tolist() == [[[4, 4, 4, 5, 5, 5, 5, 5]]]
    assert "W-EDIT-WAIST" in done.log[0].warnings[0]


def test_split_gives_unreached_pieces_to_the_nearest_seed() -> None:
    done = apply(
        row(1, 1, 0, 1, 0, 0, 1, 1),
        {"do": "split", "target": 1, "seeds": [[{"voxel": [0, 0, 0]}], [{"voxel": [0, 0, 7]}]]},
    )
    assert done.labels["cell"].tolist() == [[[1, 1, 0, 1, 0, 0, 2, 2]]]


def test_split_by_a_plane() -> None:
    """x of voxel 2 is 0.5 µm: what lies on the plane belongs to the side of the normal."""
    edit = {"do": "split", "target": 1, "plane": {"through": {"um": [0, 0, 0.5]}, "normal": [0, 0, 1]}}
    done = apply(row(1, 1, 1, 1, 0, 7), edit)
    assert done.labels["cell"].tolist() == [[[1, 1, 8, 8, 0, 7]]]
    turned = edit | {"plane": {"through": {"voxel": [0, 0, 2]}, "normal": [0, 0, -3]}}
    assert apply(row(1, 1, 1, 1, 0, 7), turned).labels["cell"].tolist() == [[[8, 8, 8, 1, 0, 7]]]


def test_split_by_a_slanted_plane_counts_in_um() -> None:
    """Normal (0, 1, 1) in µm through 0: the sum of y·0.4 and x·0.25 decides, not that of the indices."""
    labels = np.ones((1, 3, 4), np.uint8)
    edit = {"do": "split", "target": 1, "plane": {"through": {"um": [0, 0.4, 0.5]}, "normal": [0, 1, 1]}}
    y, x = np.indices((3, 4))
    assert apply(labels, edit).labels["cell"][0].tolist() == np.where(y * 0.4 + x * 0.25 >= 0.9 - 1e-9, 2, 1).tolist()


def test_delete_with_and_without_contents() -> None:
    cells, nuclei = row(1, 1, 1, 2, 2), row(0, 3, 0, 5, 0)
    plain = apply({"cell": cells, "nucleus": nuclei}, {"do": "delete", "targets": [1]})
    assert plain.labels["cell"].tolist() == [[[0, 0, 0, 2, 2]]]
    assert plain.labels["nucleus"] is nuclei
    whole = apply({"cell": cells, "nucleus": nuclei}, {"do": "delete", "targets": [1], "with_contents": True})
    assert whole.labels["nucleus"].tolist() == [[[0, 0, 0, 5, 0]]]
    assert whole.log[0].new == ()
    assert "nucleus 3" in whole.log[0].warnings[0]


def test_repaint_with_box_ball_and_polygon() -> None:
    frame = np.zeros((3, 5, 6), np.uint8)
    frame[0, 0, 0] = 9
    box = {"box": {"low": {"voxel": [1, 1, 2]}, "high": {"voxel": [2, 3, 2]}}}
    assert (apply(frame, {"do": "repaint", "shape": box, "to": 9}).labels["cell"] == 9).sum() == 1 + 2 * 3
    ball = {"ball": {"centre": {"voxel": [1, 2, 3]}, "radius_um": 0.4}}
    painted = apply(frame, {"do": "repaint", "shape": ball, "to": 9}).labels["cell"] == 9
    # Within 0.4 µm: nothing along z (0.5), one voxel to each side along y (0.4), one along x (0.25); diagonal 0.47.
    assert np.argwhere(painted)[1:].tolist() == [[1, 1, 3], [1, 2, 2], [1, 2, 3], [1, 2, 4], [1, 3, 3]]
    polygon = {
        "polygon": {"planes": [2, 7], "corners": [[0.9, 0.9], [0.9, 4.1], [3.1, 4.1], [3.1, 0.9]], "unit": "voxel"}
    }
    painted = apply(frame, {"do": "repaint", "shape": polygon, "to": 9}).labels["cell"] == 9
    assert np.argwhere(painted)[1:].tolist() == [[2, y, x] for y in (1, 2, 3) for x in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("anything", [3, 3, 3, 3, 0]),
        ("background", [1, 3, 2, 3, 0]),
        ("objects", [3, 0, 3, 3, 0]),
        (2, [1, 0, 3, 3, 0]),
    ],
)  # fmt: skip
def test_repaint_over_some(over: Any, expected: list[int]) -> None:
    box = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [0, 0, 3]}}}
    done = apply(row(1, 0, 2, 3, 0), {"do": "repaint", "shape": box, "to": 3, "over": over})
    assert done.labels["cell"].tolist() == [[expected]]


def test_repaint_to_background_says_what_is_gone() -> None:
    box = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [0, 0, 1]}}}
    done = apply(row(1, 2, 2), {"do": "repaint", "shape": box, "to": "background"})
    assert done.labels["cell"].tolist() == [[[0, 0, 2]]]
    assert done.log[0].old == ((1, 1), (2, 2))
    assert done.log[0].new == ((2, 1),)
    assert any("no voxel of cell 1 is left" in text for text in done.log[0].warnings)
    assert done.edited["cell"] == {2: ("repaint",)}


def test_add_takes_a_free_label_and_only_background() -> None:
    box = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [0, 0, 3]}}}
    done = apply(row(0, 7, 0, 0, 0), {"do": "add", "shape": box})
    assert done.labels["cell"].tolist() == [[[8, 7, 8, 8, 0]]]
    assert done.log[0].n_voxels == 3
    assert apply(row(0, 7), {"do": "add", "shape": box, "label": 300}).labels["cell"].tolist() == [[[300, 7]]]


def test_organelles_follow_cells_and_what_was_set_by_hand() -> None:
    cells, nuclei = row(1, 1, 2, 2, 3, 3), row(0, 4, 5, 0, 0, 6)
    given = {"cell": cells, "nucleus": nuclei}
    put = {"do": "set-cell", "structure": "nucleus", "target": 4, "cell": 2}
    none = {"do": "set-cell", "structure": "nucleus", "target": 6, "cell": "none"}
    assert apply(given, put, none).cells == {"nucleus": {4: 2, 6: 0}}
    assert apply(given, put, {"do": "merge", "targets": [3, 2]}).cells == {"nucleus": {4: 3}}
    assert apply(given, put, {"do": "delete", "targets": [2]}).cells == {"nucleus": {}}
    renumbered = apply(given, put, {"do": "renumber", "numbers": {1: 2, 2: 1}})
    assert renumbered.cells == {"nucleus": {4: 1}}
    assert renumbered.labels["cell"].tolist() == [[[2, 2, 1, 1, 3, 3]]]


def test_edits_follow_each_other_and_only_their_own_frame_is_touched() -> None:
    """Order matters: the second merge names an object that the first one made."""
    first, second = {"do": "merge", "targets": [1, 2]}, {"do": "merge", "targets": [1, 3]}
    elsewhere = {"do": "delete", "targets": [1], "frame": 4}
    done = apply(row(1, 2, 3), first, elsewhere, second)
    assert done.labels["cell"].tolist() == [[[1, 1, 1]]]
    assert [record.number for record in done.log] == [1, 3]
    assert code_of(row(1, 2, 3), {"do": "merge", "targets": [2, 1]}, second) == "E-EDIT-TARGET"


def test_a_point_finds_the_object_whatever_its_label() -> None:
    """(0.5, 0.8, 1.25) µm is voxel (1, 2, 5) of block 2."""
    by_point = {"do": "delete", "targets": [{"um": [0.5, 0.8, 1.25]}]}
    swapped = two_blocks()
    swapped[two_blocks() == 2] = 6
    for labels in (two_blocks(), swapped):
        assert sorted(np.unique(apply(labels, by_point).labels["cell"])) == [0, 1]


def test_label_and_point_must_agree_unless_said_otherwise() -> None:
    edit = {"do": "delete", "targets": [{"label": 1, "voxel": [1, 2, 5]}]}
    assert code_of(two_blocks(), edit) == "E-EDIT-TARGET"
    assert sorted(np.unique(apply(two_blocks(), edit, go_by="label").labels["cell"])) == [0, 2]
    assert sorted(np.unique(apply(two_blocks(), edit, go_by="point").labels["cell"])) == [0, 1]
    agreeing = {"do": "delete", "targets": [{"label": 2, "voxel": [1, 2, 5]}]}
    assert sorted(np.unique(apply(two_blocks(), agreeing).labels["cell"])) == [0, 1]


FAR = {"ball": {"centre": {"um": [0, 0, 99]}, "radius_um": 1}}
HERE = {"box": {"low": {"voxel": [1, 1, 1]}, "high": {"voxel": [1, 1, 2]}}}
ALIEN = {"voxels": pack_voxels(row(1, 0), row(1, 0) > 0).model_dump()}


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"do": "delete", "targets": [3]}, "E-EDIT-TARGET"),
        ({"do": "delete", "targets": [{"voxel": [0, 0, 0]}]}, "E-EDIT-TARGET"),
        ({"do": "delete", "targets": [{"voxel": [4, 0, 0]}]}, "E-EDIT-TARGET"),
        ({"do": "delete", "targets": [{"voxel": [0, 0, -1]}]}, "E-EDIT-TARGET"),
        ({"do": "delete", "targets": [1], "structure": "vacuole"}, "E-EDIT-STRUCTURE"),
        ({"do": "merge", "targets": [1, {"voxel": [1, 1, 0]}]}, "E-EDIT-TARGET"),
        ({"do": "split", "target": 1, "seeds": [{"voxel": [1, 1, 1]}, {"voxel": [1, 1, 5]}]}, "E-EDIT-SPLIT"),
        ({"do": "split", "target": 1, "seeds": [{"voxel": [1, 1, 1]}, {"voxel": [1, 1, 1]}]}, "E-EDIT-SPLIT"),
        ({"do": "split", "target": 1, "plane": {"through": {"um": [0, 0, 5]}, "normal": [0, 0, 1]}}, "E-EDIT-SPLIT"),
        ({"do": "repaint", "shape": FAR, "to": 1}, "E-EDIT-OUTSIDE"),
        ({"do": "repaint", "shape": HERE, "to": 5}, "E-EDIT-TARGET"),
        ({"do": "repaint", "shape": ALIEN}, "E-EDIT-SHAPE"),
        ({"do": "repaint", "shape": {"image": {"path": "x.tif"}}}, "E-EDIT-IMAGE"),
        ({"do": "add", "shape": HERE}, "E-EDIT-EMPTY"),
        ({"do": "add", "shape": HERE, "label": 2}, "E-EDIT-LABEL"),
        ({"do": "set-cell", "target": 1, "cell": 2}, "E-EDIT-STRUCTURE"),
        ({"do": "renumber", "numbers": {1: 2}}, "E-EDIT-LABEL"),
        ({"do": "renumber", "numbers": {8: 3}}, "E-EDIT-LABEL"),
    ],
)  # fmt: skip
def test_bad_edits_are_refused_by_name(edit: dict[str, Any], code: str) -> None:
    assert code_of(two_blocks(), edit) == code


@pytest.mark.parametrize(
    "edit",
    [
        {"do": "merge", "targets": [1]},
        {"do": "merge", "targets": [1, {}]},
        {"do": "delete", "targets": [0]},
        {"do": "delete", "targets": [2**24]},
        {"do": "delete", "targets": [{"um": [0, 0, 0], "voxel": [0, 0, 0]}]},
        {"do": "delete", "targets": [{"um": [0, math.nan, 0]}]},
        {"do": "split", "target": 1},
        {"do": "split", "target": 1, "seeds": [{"voxel": [0, 0, 0]}]},
        {"do": "split", "target": 1, "plane": {"through": {"um": [0, 0, 0]}, "normal": [0, 0, 0]}},
        {"do": "repaint", "shape": HERE},
        {"do": "repaint", "shape": HERE | FAR, "to": 1},
        {"do": "renumber", "numbers": {1: 3, 2: 3}},
        {"do": "paint", "targets": [1]},
        {"do": "delete", "targets": [1], "structure": "../cell"},
        {"do": "delete", "targets": [1], "frame": -1},
        {"do": "delete", "targets": [1], "why": "a typo"},
    ],
)  # fmt: skip
def test_edits_that_say_too_little_or_too_much_are_refused(edit: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(edit)


def test_planar_points_and_areas() -> None:
    labels = np.zeros((1, 4, 6), np.uint8)
    labels[0, 1:3, 2:5] = 1
    done = apply_edits({"cell": labels}, read({"do": "delete", "targets": [{"um": [0.5, 0.9]}]}), (math.nan, 0.5, 0.3))
    assert not done.labels["cell"].any()
    assert done.log[0].size == pytest.approx(6 * 0.15)


def test_labels_far_apart_cost_no_memory() -> None:
    labels = np.array([[[1, 1, 2**24 - 1, 0]]], np.uint32)
    done = apply(labels, {"do": "merge", "targets": [1, 2**24 - 1]})
    assert done.labels["cell"].tolist() == [[[1, 1, 1, 0]]]
    box = {"box": {"low": {"voxel": [0, 0, 3]}, "high": {"voxel": [0, 0, 3]}}}
    assert code_of(labels, {"do": "add", "shape": box}) == "E-EDIT-LABEL"


def test_many_objects_widen_the_label_type() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    edit = {"do": "split", "target": 255, "seeds": [{"voxel": [0, 15, 15]}, {"voxel": [0, 15, 15]}]}
    assert code_of(labels, edit) == "E-EDIT-SPLIT"
    box = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [0, 0, 0]}}}
    added = apply(labels, {"do": "add", "shape": box}).labels["cell"]
    assert added.dtype == np.uint16
    assert added[0, 0, 0] == 256


def test_file_holds_one_input_or_several() -> None:
    one = {"version": 1, "edits": [{"do": "delete", "structure": "cell", "targets": [1]}]}
    assert EditFile.model_validate(one).edits is not None
    assert EditFile.model_validate({"version": 1, "items": {"a": {"edits": []}}}).items is not None
    for bad in (
        {"version": 2, "edits": []},
        {"version": 1},
        one | {"items": {}},
        {"version": 1, "items": {}, "item": "a"},
    ):
        with pytest.raises(ValidationError):
            EditFile.model_validate(bad)
