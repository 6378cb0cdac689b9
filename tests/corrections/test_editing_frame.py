"""Label images while they are edited: boxes around objects, and what the segmentation called them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from tomocyte.corrections.apply import EditedFrame, apply_edit, labels_as_segmented
from tomocyte.corrections.edits import Delete, Merge, Renumber, Target
from tomocyte.corrections.frame import EditingFrame, few, object_boxes, union
from tomocyte.errors import InputError

SIZE_UM = (0.5, 0.3, 0.2)


def blobs(*, factor: int = 1) -> np.ndarray:
    """Connected pieces of noise, numbered from 1, then times a factor; label 2 is missing."""
    noise = ndimage.gaussian_filter(np.random.default_rng(8).random((9, 20, 31)), 1.5)
    labels = measure.label(noise > np.median(noise) + 0.03)
    labels[labels == 2] = 0
    return (labels * factor).astype(np.uint32)


@pytest.mark.parametrize("factor", [1, 10_000_000], ids=["few numbers", "far apart"])
def test_boxes_are_those_of_scipy(factor: int) -> None:
    labels = blobs(factor=factor)
    found = ndimage.find_objects((labels // factor).astype(np.int64))
    expected = {factor * number: box for number, box in enumerate(found, start=1) if box is not None}
    assert len(expected) > 5
    boxes = object_boxes(labels)
    assert boxes == expected
    assert list(boxes) == sorted(boxes)
    assert object_boxes(np.zeros((2, 3, 4), np.uint8)) == {}


def test_the_union_of_boxes_is_the_box_of_both() -> None:
    labels = blobs()
    boxes = object_boxes(labels)
    one, other = list(boxes)[:2]
    both = np.isin(labels, [one, other])
    assert union(boxes[one], boxes[other]) == ndimage.find_objects(both.astype(np.uint8))[0]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((), "none"),
        ((3,), "3"),
        (range(1, 11), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
        (range(11), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"),
    ],
)
def test_messages_name_ten_labels(labels: range | tuple[int, ...], text: str) -> None:
    assert few(labels) == text


def test_the_image_given_is_never_written() -> None:
    given = np.array([[[1, 1, 0, 2, 2, 2]]], np.uint8)
    work = EditingFrame({"cell": given}, SIZE_UM, "cell", "both")
    record = apply_edit(work, Delete(structure="cell", targets=(Target(label=2),)), 1)
    assert work.labels["cell"].tolist() == [[[1, 1, 0, 0, 0, 0]]]
    assert given.tolist() == [[[1, 1, 0, 2, 2, 2]]]
    assert (record.n_voxels, record.size) == (3, pytest.approx(3 * 0.5 * 0.3 * 0.2))
    assert (record.old, record.new, record.box) == (((2, 3),), (), ((0, 1), (0, 1), (3, 6)))
    with pytest.raises(InputError, match=r"E-EDIT-STRUCTURE.*Structures: cell"):
        apply_edit(work, Delete(structure="nucleus", targets=(Target(label=1),)), 2)


def test_objects_are_known_by_their_first_labels_unless_they_were_changed() -> None:
    """Of 1, 2, 3 and 5: 1 takes in 2, 3 becomes 7 and is the same object, 5 stays."""
    work = EditingFrame({"cell": np.array([[[1, 2, 0, 3, 0, 5]]], np.uint8)}, SIZE_UM, "cell", "both")
    apply_edit(work, Merge(structure="cell", targets=(Target(label=1), Target(label=2))), 1)
    apply_edit(work, Renumber(structure="cell", numbers={3: 7}), 2)
    edited = {name: {label: tuple(done) for label, done in marks.items()} for name, marks in work.marks.items()}
    frame = EditedFrame(work.labels, work.cells, edited, work.origin, ())
    assert labels_as_segmented(frame, "cell", [1, 5, 7]) == [0, 5, 3]
    assert labels_as_segmented(frame, "nucleus", [1, 5]) == [1, 5]
    assert labels_as_segmented(None, "cell", (4, 2)) == [4, 2]
