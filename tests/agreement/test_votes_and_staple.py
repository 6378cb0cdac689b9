"""Votes and STAPLE against SimpleITK, and against what is known of annotators who were made up."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from tomocyte.agreement import (
    UNDECIDED,
    agreed,
    count_patterns,
    group_objects,
    label_values,
    majority,
    patterns_of,
    reliability,
    staple,
    staple_objects,
)
from tomocyte.errors import SettingsError
from tomocyte.evaluation import overlap_table

Labels = NDArray[np.uint8]


def annotators(n_labels: int = 3) -> tuple[Labels, list[Labels]]:
    """A truth and four annotators who err in 10, 20, 45 and 30 % of the voxels, by chance."""
    rng = np.random.default_rng(1)
    truth = np.zeros((12, 30, 34), np.uint8)
    truth[2:9, 4:22, 5:20] = 1
    if n_labels > 2:
        truth[5:11, 15:28, 16:31] = 2
    given = []
    for share in (0.1, 0.2, 0.45, 0.3):
        labels, is_wrong = truth.copy(), rng.random(truth.shape) < share
        labels[is_wrong] = rng.integers(0, n_labels, is_wrong.sum())
        given.append(labels)
    return truth, given


def test_combinations_are_counted_plane_by_plane() -> None:
    """Counted by hand: (0, 0) once, (5, 0) twice, (5, 9) once; planes at a time as all at once."""
    one, other = np.array([[0, 5], [5, 5]]), np.array([[0, 0], [0, 9]])
    values = label_values([one, other])
    patterns = count_patterns(zip(one, other, strict=True), values)
    assert values.tolist() == [0, 5, 9]
    assert values[patterns.places].tolist() == [[0, 0], [5, 0], [5, 9]]
    assert patterns.counts.tolist() == [1, 2, 1]
    assert patterns.confusion(0, 1).tolist() == [[1, 0, 0], [2, 0, 1], [0, 0, 0]]
    assert patterns.look_up([one, other], np.array([7, 8, 9])).tolist() == [[7, 8], [8, 9]]


def test_so_many_labels_that_combinations_have_no_number_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"E-CONSENSUS-LABELS.*--instances"):
        count_patterns([[np.zeros(2, int)] * 5], np.arange(10_000))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        label_values([np.array([-1])])


def test_votes_by_hand() -> None:
    """3 against 1; 2 against 2, which nobody decides; 2 against 1 against 1."""
    given = [np.array([[4, 4, 1]]), np.array([[4, 4, 1]]), np.array([[4, 0, 0]]), np.array([[2, 0, 2]])]
    patterns = patterns_of(given)
    assert patterns.look_up(given, majority(patterns)).tolist() == [[4, UNDECIDED, 1]]
    assert patterns.look_up(given, agreed(patterns)).tolist() == [[UNDECIDED] * 3]
    assert patterns.look_up(given, agreed(patterns, min_agreement=0.75)).tolist() == [[4, UNDECIDED, UNDECIDED]]


def test_the_majority_is_that_of_simpleitk() -> None:
    _, given = annotators()
    patterns = patterns_of(given)
    theirs = sitk.GetArrayFromImage(sitk.LabelVoting([sitk.GetImageFromArray(one) for one in given], 77))
    ours = patterns.look_up(given, majority(patterns))
    assert (ours == UNDECIDED).any()
    np.testing.assert_array_equal(np.where(ours == UNDECIDED, 77, ours), theirs)


def test_staple_of_two_labels_is_that_of_simpleitk() -> None:
    _, given = annotators(2)
    patterns = patterns_of(given)
    ours = staple(patterns)
    theirs = sitk.STAPLEImageFilter()
    theirs.SetMaximumIterations(2000)
    theirs.SetForegroundValue(1)
    weights = sitk.GetArrayFromImage(theirs.Execute([sitk.GetImageFromArray(one) for one in given]))
    assert ours.is_converged
    np.testing.assert_allclose(patterns.look_up(given, ours.weights[:, 1]), weights, atol=1e-5)
    for annotator in range(4):
        sensitivity, specificity, _ = reliability(ours, annotator, 1)
        assert sensitivity == pytest.approx(theirs.GetSensitivity()[annotator], abs=1e-5)
        assert specificity == pytest.approx(theirs.GetSpecificity()[annotator], abs=1e-5)


def test_staple_of_several_labels_is_that_of_simpleitk() -> None:
    truth, given = annotators()
    patterns = patterns_of(given)
    ours = staple(patterns)
    theirs = sitk.MultiLabelSTAPLEImageFilter()
    theirs.SetMaximumNumberOfIterations(2000)
    theirs.SetTerminationUpdateThreshold(1e-8)
    labels = sitk.GetArrayFromImage(theirs.Execute([sitk.GetImageFromArray(one) for one in given]))
    found = patterns.look_up(given, ours.labels(patterns))
    np.testing.assert_array_equal(found, labels)
    for annotator in range(4):
        table = np.array(theirs.GetConfusionMatrix(annotator)).reshape(-1, 3)[:3]
        np.testing.assert_allclose(ours.confusion[annotator], table, atol=1e-4)
    voted = patterns.look_up(given, majority(patterns))
    assert (found == truth).mean() > (voted == truth).mean() + 0.02


def test_the_reliability_of_an_annotator_is_the_one_that_was_made_up() -> None:
    """60,000 voxels, three labels, five annotators: what each of them got right is counted from the truth."""
    rng = np.random.default_rng(7)
    truth = rng.choice(3, 60_000, p=(0.6, 0.3, 0.1))
    given = [
        np.where(rng.random(truth.size) < share, rng.choice(3, truth.size), truth) for share in (0.1, 0.2, 0.3) * 2
    ]
    found = staple(patterns_of(given))
    for annotator, label in ((0, 1), (1, 1), (2, 2), (5, 2)):
        labelled = given[annotator] == label
        sensitivity, specificity, precision = reliability(found, annotator, label)
        assert sensitivity == pytest.approx(labelled[truth == label].mean(), abs=0.01)
        assert specificity == pytest.approx((~labelled)[truth != label].mean(), abs=0.01)
        assert precision == pytest.approx((truth == label)[labelled].mean(), abs=0.01)


def test_staple_with_nothing_to_estimate() -> None:
    """All agree, or nobody labelled anything: no division by zero, everybody is right."""
    for labels in (np.zeros(9, int), np.array([0, 1, 2] * 3)):
        patterns = patterns_of([labels] * 3)
        found = staple(patterns)
        np.testing.assert_array_equal(patterns.look_up([labels] * 3, found.labels(patterns)), labels)
        assert found.is_converged
    assert np.isnan(reliability(staple(patterns_of([np.zeros(9, int), np.array([0] * 8 + [1])])), 0, 1)[2])


def test_objects_get_common_numbers_and_one_of_each_annotator() -> None:
    """A: two cells; B: the same under other numbers and a third; C: one that covers both of A, which joins neither."""
    a, b, c = (np.zeros((6, 20), int) for _ in range(3))
    a[1:5, 1:8], a[1:5, 9:16] = 1, 2
    b[1:5, 1:8], b[1:5, 9:15], b[0, 19] = 20, 10, 30
    c[1:5, 1:16] = 5
    given = [a, b, c]
    tables = {(i, j): overlap_table(given[i], given[j]) for i, j in ((0, 1), (0, 2), (1, 2))}
    groups = group_objects(tables, [[1, 2], [10, 20, 30], [5]])
    assert groups.numbers == ({1: 1, 2: 2}, {20: 1, 10: 2, 30: 3}, {5: 4})
    assert groups.n_annotators == (2, 2, 1, 1)
    common = [np.vectorize({0: 0, **own}.get)(one) for one, own in zip(given, groups.numbers, strict=True)]
    patterns = patterns_of(common)
    voted = patterns.look_up(common, majority(patterns))
    assert voted[2, 3] == 1
    assert voted[2, 10] == 2
    assert voted[0, 19] == 0
    assert voted[2, 15] == UNDECIDED  # 2 by A, nothing by B, another object by C
    labels, estimate = staple_objects(patterns)
    found = patterns.look_up(common, labels)
    assert (found[2, 3], found[2, 10], found[5, 0]) == (1, 2, 0)
    assert estimate.confusion.shape == (3, 2, 2)


def test_two_objects_of_one_annotator_are_never_one() -> None:
    """B's two halves overlap A's whole by 0.5 each: only one of them can be it."""
    a, b = np.zeros((2, 8), int), np.zeros((2, 8), int)
    a[:], b[:, :4], b[:, 4:] = 1, 1, 2
    groups = group_objects({(0, 1): overlap_table(a, b)}, [[1], [1, 2]])
    assert groups.numbers[1][1] != groups.numbers[1][2]
    assert sorted(groups.n_annotators) == [1, 2]
