"""Voxels that are known beside the labelled slices: scribbles and slices along several axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import InputError
from tomocyte.propagation import propagate
from tomocyte.propagation.image_guided import ImageGuidedSettings

SIZE = (0.2, 0.2, 0.2)
SLICES = (0, 16, 32)


def tube_and_ball(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image (float32) and its exact labels: a bent tube (4) through all slices, a ball (9) between two labelled."""
    z, y, x = np.mgrid[:33, :60, :70].astype(float)
    tube = np.hypot(y - 22, x - 22 - 5 * np.sin(z / 8)) < 10
    ball = np.sqrt((z - 8) ** 2 + (y - 42) ** 2 + (x - 52) ** 2) < 6
    truth = np.where(tube, 4, np.where(ball, 9, 0)).astype(np.uint16)
    clean = ndimage.gaussian_filter((truth > 0).astype(float), 0.7)
    return (clean + np.random.default_rng(seed).normal(scale=0.15, size=clean.shape)).astype(np.float32), truth


def dice(found: np.ndarray, truth: np.ndarray, label: int) -> float:
    both = np.count_nonzero((found == label) & (truth == label))
    return 2 * both / (np.count_nonzero(found == label) + np.count_nonzero(truth == label))


def test_a_scribble_finds_what_lies_between_labelled_slices() -> None:
    image, truth = tube_and_ball()
    known = np.zeros(truth.shape, bool)
    known[8, 42, 50:55] = True
    known[8, 5, 5:65] = True  # Background.
    without = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image)
    dense = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, known=known)
    assert not (without.labels == 9).any()
    assert dice(dense.labels, truth, 9) > 0.85
    assert dice(dense.labels, truth, 4) > dice(without.labels, truth, 4) - 0.005
    assert np.array_equal(dense.labels[known], truth[known])
    assert not dense.uncertainty[known].any()
    assert not dense.uncertainty[list(SLICES)].any()
    assert dense.uncertainty[8, 42, 56] > 0


def test_what_is_not_known_is_not_read() -> None:
    image, truth = tube_and_ball(1)
    known = np.zeros(truth.shape, bool)
    known[:, 42] = known[:, :, 52] = True
    spoilt = truth.copy()
    is_given = known.copy()
    is_given[list(SLICES)] = True
    spoilt[~is_given] = np.random.default_rng(0).integers(0, 60_000, np.count_nonzero(~is_given))
    results = [
        propagate(labels, voxel_size_um=SIZE, slices=SLICES, image=image, known=known) for labels in (truth, spoilt)
    ]
    assert np.array_equal(results[0].labels, results[1].labels)
    assert np.array_equal(results[0].uncertainty, results[1].uncertainty)


def test_slices_along_the_other_axes_help_and_stay() -> None:
    image, truth = tube_and_ball(2)
    known = np.zeros(truth.shape, bool)
    known[:, 20] = known[:, 42] = known[:, :, 24] = True
    dense = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, known=known)
    assert np.array_equal(dense.labels[known], truth[known])
    assert not dense.uncertainty[known].any()
    assert dice(dense.labels, truth, 9) > 0.85
    turned = propagate(
        truth.transpose(1, 0, 2),
        voxel_size_um=SIZE,
        slices=SLICES,
        axis="y",
        image=image.transpose(1, 0, 2),
        known=known.transpose(1, 0, 2),
    )
    assert np.array_equal(turned.labels.transpose(1, 0, 2), dense.labels)


def test_a_constant_image_takes_the_nearest_known_label() -> None:
    """Nothing to follow and both ends background: each voxel of a row gets the label of the nearer seed."""
    labels = np.zeros((9, 1, 21), np.uint8)
    known = np.zeros(labels.shape, bool)
    labels[4, 0, 5], known[4, 0, 5], known[4, 0, 8] = 3, True, True
    dense = propagate(labels, voxel_size_um=SIZE, slices=(0, 8), image=np.ones(labels.shape, np.float32), known=known)
    assert dense.labels[4, 0, 3:9].tolist() == [3, 3, 3, 3, 0, 0]
    assert dense.labels[1, 0].any() == 0


def test_labels_go_as_far_beyond_the_last_slice_as_voxels_are_known() -> None:
    image, truth = tube_and_ball(3)
    known = np.zeros(truth.shape, bool)
    known[30, 22, 10:40] = True
    reached = propagate(truth, voxel_size_um=SIZE, slices=(0, 8), image=image, known=known).labels
    assert [bool((reached[index] == 4).any()) for index in (15, 30, 31)] == [True, True, False]
    settings = ImageGuidedSettings(max_beyond=2)
    kept = propagate(truth, voxel_size_um=SIZE, slices=(0, 8), image=image, known=known, settings=settings)
    assert np.array_equal(kept.labels[30][known[30]], truth[30][known[30]])
    assert np.count_nonzero(kept.labels[30]) == np.count_nonzero(truth[30][known[30]])
    assert kept.uncertainty[30][known[30]].max() == 0
    assert kept.uncertainty[30][~known[30]].min() == 1


def test_labels_of_high_numbers_and_measured_or_not() -> None:
    image, truth = tube_and_ball(4)
    known = np.zeros(truth.shape, bool)
    known[:, 42] = True
    high = np.array([0, 0, 0, 0, 70_000, 0, 0, 0, 0, 4_000_000_000], np.uint32)[truth]
    low = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, known=known)
    settings = ImageGuidedSettings(is_uncertainty_measured=False)
    other = propagate(high, voxel_size_um=SIZE, slices=SLICES, image=image, known=known, settings=settings)
    assert np.array_equal(other.labels == 4_000_000_000, low.labels == 9)
    assert np.array_equal(other.labels == 70_000, low.labels == 4)


def test_refusals() -> None:
    labels = np.ones((5, 6, 7), np.uint8)
    known = np.zeros(labels.shape, bool)
    known[1, 2, 3] = True
    with pytest.raises(InputError, match="E-PROPAGATION-KNOWN") as caught:
        propagate(labels, voxel_size_um=SIZE, slices=(0, 4), known=known)
    assert "image-guided" in str(caught.value.cure)
    with pytest.raises(InputError, match="E-SHAPE"):
        propagate(labels, voxel_size_um=SIZE, slices=(0, 4), known=known[1:])
    known[1] = False
    known[0] = True
    on_labelled_slices = propagate(labels, voxel_size_um=SIZE, slices=(0, 4), known=known)
    assert np.array_equal(on_labelled_slices.labels, labels)
