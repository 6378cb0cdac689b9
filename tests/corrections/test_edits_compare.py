"""From two label images to edits and back: the replay gives the corrected image, whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter

from tomocyte.corrections.apply import apply_edits
from tomocyte.corrections.compare import find_edits
from tomocyte.corrections.edits import Edit
from tomocyte.errors import InputError

SIZE_UM = (0.5, 0.4, 0.25)


def replayed(before: np.ndarray, after: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The kinds of edits found, and their replay after a way through JSON."""
    edits = find_edits(before, after, SIZE_UM, structure="cell")
    several = TypeAdapter(tuple[Edit, ...])
    again = several.validate_json(several.dump_json(edits))
    assert again == edits
    done = apply_edits({"cell": before}, again, SIZE_UM)
    return [edit.do for edit in edits], done.labels["cell"]


def blocks() -> np.ndarray:
    """Six cubes of 4 voxels, labels 1..6, with gaps of two, in 6x14x20."""
    labels = np.zeros((6, 14, 20), np.uint8)
    for number in range(6):
        y, x = 1 + 6 * (number // 3), 1 + 6 * (number % 3)
        labels[1:5, y : y + 4, x : x + 4] = number + 1
    return labels


def changed(what: str) -> np.ndarray:
    after = blocks().astype(np.uint16)
    match what:
        case "delete":
            after[(after == 2) | (after == 5)] = 0
        case "merge":
            after[after == 3] = 2
        case "merge into the later":
            after[after == 2] = 3
        case "merge into a new number":
            after[(after == 2) | (after == 3)] = 900
        case "split":
            after[:, :, 9:][after[:, :, 9:] == 2] = 77
        case "split with new numbers":
            after[:, :, :9][after[:, :, :9] == 2] = 50
            after[after == 2] = 51
        case "add":
            after[0, 0, :5] = 30
        case "renumber":
            after = np.where(after > 0, 1000 - after, 0).astype(np.uint16)
        case "swap":
            after = np.array([0, 2, 3, 1, 4, 6, 5], np.uint16)[after]
        case "repaint":
            after[1, 1, 1:3] = 0
            after[0, 1, 8] = 2
        case "merge and move a border":
            after[after == 3] = 2
            after[1:3, 3, 11:13] = 2
        case "everything":
            after = np.array([0, 4, 4, 0, 2, 5, 9], np.uint16)[after]
            after[:3][after[:3] == 5] = 6
            after[5, 13, 12:] = 5000
    return after


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("nothing", []),
        ("delete", ["delete"]),
        ("merge", ["merge"]),
        ("merge into the later", ["merge"]),
        ("merge into a new number", ["merge", "renumber"]),
        ("split", ["split"]),
        ("split with new numbers", ["split", "renumber"]),
        ("add", ["add"]),
        ("renumber", ["renumber"]),
        ("swap", ["renumber"]),
        ("repaint", ["repaint"]),
        ("merge and move a border", ["merge", "repaint"]),
        ("everything", ["delete", "merge", "split", "add", "renumber"]),
    ],
)  # fmt: skip
def test_what_was_done_is_recognised_and_replays_exactly(what: str, expected: list[str]) -> None:
    kinds, again = replayed(blocks(), changed(what))
    np.testing.assert_array_equal(again, changed(what))
    assert kinds == expected


def test_targets_carry_label_and_a_point_inside() -> None:
    (edit,) = find_edits(blocks(), changed("delete"), SIZE_UM, structure="cell", frame=3)
    assert edit.frame == 3
    for target in edit.targets:
        assert blocks()[target.voxel] == target.label
    assert [target.label for target in edit.targets] == [2, 5]


LABELS = hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 4))


@settings(max_examples=150)
@given(before=LABELS, after=LABELS)
def test_any_two_images_replay(before: np.ndarray, after: np.ndarray) -> None:
    np.testing.assert_array_equal(replayed(before, after)[1], after)


@settings(max_examples=60)
@given(data=st.data())
def test_random_corrections_replay(data: st.DataObject) -> None:
    """As a person would: whole objects moved to other numbers, and boxes painted over."""
    table = np.array([0, *(data.draw(st.integers(0, 9)) for _ in range(6))], np.uint16)
    after = table[blocks()]
    for _ in range(data.draw(st.integers(0, 3))):
        sides = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in after.shape]
        after[tuple(slice(low, high) for low, high in sides)] = data.draw(st.integers(0, 12))
    np.testing.assert_array_equal(replayed(blocks(), after)[1], after)


def test_a_correction_of_a_large_cell_stays_small() -> None:
    """A sphere of 60 voxels across, shaved by a layer: the file grows with the surface, not with the volume."""
    z, y, x = np.indices((64, 70, 80)) - np.array([32, 35, 40])[:, None, None, None]
    radius = np.sqrt(z**2 + y**2 + x**2)
    before, after = (radius < 30).astype(np.uint8), (radius < 29).astype(np.uint8)
    (edit,) = find_edits(before, after, SIZE_UM, structure="cell")
    assert len(edit.model_dump_json()) < 12_000


def test_other_shapes_and_labels_that_are_too_large_are_refused() -> None:
    with pytest.raises(InputError, match="E-SHAPE"):
        find_edits(blocks(), blocks()[1:], SIZE_UM, structure="cell")
    with pytest.raises(InputError, match="E-EDIT-LABEL"):
        find_edits(blocks(), blocks().astype(np.uint32) * 2**23, SIZE_UM, structure="cell")
