"""Labels that change after a propagation: two slabs are filled again, and the result is that of all over."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import InputError
from tomocyte.propagation import image_guided, propagate
from tomocyte.propagation.image_guided import ImageGuidedSettings
from tomocyte.propagation.slabs import Slab

SIZE = (0.2, 0.2, 0.2)
SLICES = (0, 8, 16, 24, 32)


@pytest.fixture(scope="module")
def volume() -> tuple[np.ndarray, np.ndarray]:
    """An image (float32) and its exact labels: two tubes that touch and bend."""
    z, y, x = np.mgrid[:36, :50, :60].astype(float)
    bend = 6 * np.sin(z / 8)
    first = np.hypot(y - 25, x - 20 - bend) < 9
    second = (np.hypot(y - 25, x - 38 - bend) < 9) & ~first
    truth = np.where(first, 3, np.where(second, 7, 0)).astype(np.uint16)
    clean = ndimage.gaussian_filter(first + 2.0 * second, 0.7)
    return (clean + np.random.default_rng(0).normal(scale=0.4, size=clean.shape)).astype(np.float32), truth


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[Slab]:
    """The slabs that were filled, in the order of their slices."""
    slabs: list[Slab] = []
    fill = image_guided._fill_with_situations

    def counted(sparse: object, borders: object, slab: Slab) -> object:
        slabs.append(slab)
        return fill(sparse, borders, slab)  # type: ignore[arg-type]

    monkeypatch.setattr(image_guided, "_fill_with_situations", counted)
    return slabs


def edited(truth: np.ndarray) -> np.ndarray:
    labels = truth.copy()
    labels[16, 20:30, 5:55] = np.where(labels[16, 20:30, 5:55] == 7, 300, labels[16, 20:30, 5:55])
    labels[16, :8, :8] = 5
    return labels


@pytest.mark.parametrize("axis", ["z", "y"])
def test_an_edited_slice_fills_two_slabs_and_equals_all_over(
    volume: tuple[np.ndarray, np.ndarray], filled: list[Slab], axis: str
) -> None:
    order = {"z": (0, 1, 2), "y": (1, 0, 2)}[axis]
    image, truth = (array.transpose(order) for array in volume)
    changed = edited(volume[1]).transpose(order)
    options = {"voxel_size_um": SIZE, "slices": SLICES, "image": image, "axis": axis}
    before = propagate(truth, **options)
    assert before.memory is not None
    assert json.loads(json.dumps(before.memory)) == before.memory
    filled.clear()
    after = propagate(changed, previous=before, **options)
    assert sorted((slab.first, slab.last) for slab in filled) == [(9, 16), (17, 24)]
    filled.clear()
    nothing = replace(before, memory={**before.memory, "slabs": []})
    all_over = propagate(changed, previous=nothing, **options)
    assert len(filled) == 5
    assert np.array_equal(after.labels, all_over.labels)
    assert np.array_equal(after.uncertainty, all_over.uncertainty)
    assert after.memory == all_over.memory
    assert not np.array_equal(after.labels, before.labels)
    assert after.test == before.test
    filled.clear()
    back = propagate(truth, previous=after, **options)
    assert len(filled) == 2
    assert np.array_equal(back.labels, before.labels)
    assert np.array_equal(back.uncertainty, before.uncertainty)


def test_a_new_slice_and_a_scribble_fill_their_slabs(volume: tuple[np.ndarray, np.ndarray], filled: list[Slab]) -> None:
    image, truth = volume
    before = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image)
    filled.clear()
    after = propagate(truth, voxel_size_um=SIZE, slices=(*SLICES, 20), image=image, previous=before)
    assert sorted((slab.first, slab.last) for slab in filled) == [(17, 20), (21, 24)]
    assert np.array_equal(after.labels[20], truth[20])
    filled.clear()
    known = np.zeros(truth.shape, bool)
    known[4, 25, 10:30] = True
    scribbled = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, previous=before, known=known)
    assert [(slab.first, slab.last) for slab in filled] == [(1, 8)]
    assert np.array_equal(scribbled.labels[9:], before.labels[9:])


def test_a_result_that_was_changed_by_hand_is_not_trusted(
    volume: tuple[np.ndarray, np.ndarray], filled: list[Slab]
) -> None:
    image, truth = volume
    before = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image)
    by_hand = before.labels.copy()
    by_hand[28, 0, 0] = 9
    filled.clear()
    after = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, previous=replace(before, labels=by_hand))
    assert [(slab.first, slab.last) for slab in filled] == [(25, 32)]
    assert np.array_equal(after.labels, before.labels)


def test_without_uncertainty(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = volume
    settings = ImageGuidedSettings(is_uncertainty_measured=False)
    before = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, settings=settings)
    threads = ImageGuidedSettings(is_uncertainty_measured=False, n_threads=1)
    after = propagate(edited(truth), voxel_size_um=SIZE, slices=SLICES, image=image, settings=threads, previous=before)
    assert np.isnan(after.uncertainty).all()
    assert np.array_equal(after.labels[:9], before.labels[:9])
    assert np.array_equal(after.labels[16], edited(truth)[16])


def test_earlier_results_that_do_not_fit_are_refused(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = volume
    before = propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image)
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.* voxel size"):
        propagate(truth, voxel_size_um=(0.3, 0.2, 0.2), slices=SLICES, image=image, previous=before)
    settings = ImageGuidedSettings(max_beyond=1)
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.* settings"):
        propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, previous=before, settings=settings)
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*nothing to go on from"):
        propagate(truth, voxel_size_um=SIZE, slices=SLICES, previous=propagate(truth, voxel_size_um=SIZE))
    broken = replace(before, memory={"origin": (before.memory or {})["origin"], "borders": {"levels": "zz"}})
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*cannot be read"):
        propagate(truth, voxel_size_um=SIZE, slices=SLICES, image=image, previous=broken)
