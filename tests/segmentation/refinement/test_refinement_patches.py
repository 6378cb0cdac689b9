"""ACSeg's second level: which patches a network sees, what it sees, and what becomes of its answers."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.segmentation.refinement.patches import label_channel, refine_patches, surface_patches

SHAPE = (21, 18, 27)
PATCH = (8, 8, 8)


def first_level() -> np.ndarray:
    classes = np.zeros(SHAPE, np.uint8)
    classes[3:9, 4:12, 5:16] = 1
    classes[12:14, 10:13, 20:23] = 2
    return classes


def image() -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 1, SHAPE).astype(np.float32)


def one_hot(batch: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.stack([classes == k for k in range(3)], axis=1).astype(np.float32)


def test_the_network_sees_the_image_and_the_label_divided_by_the_largest() -> None:
    seen = []

    def same(batch: np.ndarray) -> np.ndarray:
        seen.append(batch)
        return one_hot(batch, np.rint(batch[:, 1] * 2))

    classes = first_level()
    refined = refine_patches(image(), classes, same, n_classes=3, patch=PATCH, stride=4, batch_size=2)
    assert np.array_equal(refined, classes)
    assert {batch.shape[1:] for batch in seen} == {(2, *PATCH)}
    assert set(np.unique(np.concatenate([batch[:, 1].ravel() for batch in seen]))) <= {0.0, 0.5, 1.0}
    assert np.array_equal(seen[0][0, 0], image()[:8, :8, :8])


def test_only_patches_with_more_than_one_class_are_seen() -> None:
    """Counted by hand along one axis: patches of 4 at 0, 2, …, 12; the border lies between 6 and 7."""
    classes = np.zeros((4, 4, 16), np.uint8)
    classes[..., 7:] = 1
    assert [corner[2] for corner in surface_patches(classes, (4, 4, 4), 2)] == [4, 6]
    assert label_channel(classes, 2).max() == 1


def test_answers_add_up_and_replace_the_first_level_inside_patches_alone() -> None:
    """Against the published rule written out over the whole volume."""
    rng = np.random.default_rng(7)
    answers = {}

    def invented(batch: np.ndarray) -> np.ndarray:
        found = rng.dirichlet((1, 1, 1), size=(len(batch), *PATCH)).astype(np.float32)
        found = np.moveaxis(found, -1, 1)
        for one, patch in zip(found, batch, strict=True):
            answers[patch[0].tobytes()] = one
        return found

    picture, classes = image(), first_level()
    refined = refine_patches(picture, classes, invented, n_classes=3, patch=PATCH, stride=4, batch_size=3)
    far = [(0, -size % 8) for size in SHAPE]
    padded, wide = np.pad(picture, far, "symmetric"), np.pad(classes, far, "symmetric")
    total = np.zeros((3, *padded.shape))
    for z in range(0, padded.shape[0] - 7, 4):
        for y in range(0, padded.shape[1] - 7, 4):
            for x in range(0, padded.shape[2] - 7, 4):
                part = (slice(z, z + 8), slice(y, y + 8), slice(x, x + 8))
                if np.any(wide[part] != wide[z, y, x]):
                    total[(slice(None), *part)] += answers.pop(padded[part].tobytes())
    assert not answers
    expected = np.where(total.any(axis=0), total.argmax(axis=0), wide)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    assert np.array_equal(refined, expected)
    assert (refined != classes).any()


def test_nothing_is_seen_of_a_constant_first_level() -> None:
    def never(batch: np.ndarray) -> np.ndarray:
        raise AssertionError

    empty = np.zeros(SHAPE, np.uint8)
    assert not refine_patches(image(), empty, never, n_classes=3, patch=PATCH, stride=8).any()


def test_gaps_other_shapes_and_other_answers_are_refused() -> None:
    def wrong(batch: np.ndarray) -> np.ndarray:
        return batch

    for picture, stride, code in ((image(), 9, "E-TILE"), (image()[1:], 4, "E-AXES"), (image(), 4, "E-PREDICTOR")):
        with pytest.raises(SettingsError) as problem:
            refine_patches(picture, first_level(), wrong, n_classes=3, patch=PATCH, stride=stride)
        assert problem.value.code == code
