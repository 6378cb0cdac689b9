"""Which samples are changed (by counting), that a sample is changed reproducibly, and how long it takes."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomocyte.errors import InputError
from tomocyte.settings import build_settings
from tomocyte.training.data.augmentation import (
    PRESETS,
    AugmentationSettings,
    augment,
    augmented_order,
    none,
    osnet_published,
    strong_2d,
    strong_3d,
)
from tomocyte.training.data.geometry import GeometrySettings, draw_map
from tomocyte.training.data.intensity import IntensitySettings


def everything(anisotropy: float = 1.0) -> AugmentationSettings:
    """Every transform on every sample."""
    return AugmentationSettings(
        share=1,
        geometry=GeometrySettings(
            flip_axes=("y", "x"),
            is_turned_by_90=True,
            rotation_deg=180,
            enlargements=(1.2, 1.3, 1.4),
            scale=(0.8, 1.25),
            scale_z=(0.8, 1.25),
            elastic_pairs=((1, 1), (5, 2), (1, 0.5), (1, 3)),
            elastic_px=(1, 6),
            anisotropy=anisotropy,
        ),
        intensity=IntensitySettings(
            gamma=(0.7, 1.4),
            scale=0.25,
            shift=0.25,
            background=0.3,
            fringes=0.15,
            blur_px=(0.3, 1.5),
            noise=(0.02, 0.2),
            anisotropy=anisotropy,
        ),
    )


def sample(shape: tuple[int, ...], n_heads: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    return image, rng.choice(np.array([0, 1, 255], dtype=np.uint8), size=(n_heads, *shape))


def test_published_sampling_appends_the_same_30_percent_every_epoch() -> None:
    orders = [augmented_order(50, osnet_published(), seed=3, epoch=epoch) for epoch in range(4)]
    assert all(order == orders[0] for order in orders)
    assert orders[0][:50] == [(i, False) for i in range(50)]
    extra = orders[0][50:]
    assert len(extra) == len({i for i, _ in extra}) == 15
    assert all(is_changed for _, is_changed in extra)
    assert augmented_order(50, osnet_published(), seed=4, epoch=0) != orders[0]


def test_sampling_anew_each_epoch_reaches_every_sample_evenly() -> None:
    settings = osnet_published().model_copy(update={"sampling": "each-epoch"})
    counts: Counter[int] = Counter()
    for epoch in range(400):
        order = augmented_order(20, settings, seed=3, epoch=epoch)
        assert order[:20] == [(i, False) for i in range(20)]
        assert len(order) == 26
        assert len({i for i, _ in order[20:]}) == 6
        counts.update(i for i, _ in order[20:])
    assert len(counts) == 20
    assert 85 < min(counts.values()) <= max(counts.values()) < 155  # 120 expected, deviation 9.2
    assert augmented_order(20, settings, seed=3, epoch=7) == augmented_order(20, settings, seed=3, epoch=7)


def test_sampling_in_place_changes_a_share() -> None:
    settings = AugmentationSettings(share=0.25)
    orders = [augmented_order(400, settings, seed=3, epoch=epoch) for epoch in range(5)]
    assert all([i for i, _ in order] == list(range(400)) for order in orders)
    assert np.mean([is_changed for order in orders for _, is_changed in order]) == pytest.approx(0.25, abs=0.04)
    assert orders[0] != orders[1]


@given(n=st.integers(0, 200), share=st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.7, 1.0]), epoch=st.integers(0, 9))
def test_number_of_extras_is_the_share_rounded_down(n: int, share: float, epoch: int) -> None:
    settings = AugmentationSettings(share=share, sampling="each-epoch")
    order = augmented_order(n, settings, seed=0, epoch=epoch)
    assert len(order) - n == int(round(share * 100) * n // 100)
    assert all(0 <= i < n and type(i) is int and type(changed) is bool for i, changed in order)


@pytest.mark.parametrize("shape", [(24, 30), (8, 24, 30)])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_keep_shape_type_and_values_of_targets(name: str, shape: tuple[int, ...]) -> None:
    image, targets = sample(shape)
    for dtype in (np.uint8, np.float32):
        for seed in range(5):
            seen, labels = augment(image, targets.astype(dtype), PRESETS[name](), np.random.default_rng(seed))
            assert (seen.shape, seen.dtype, labels.shape, labels.dtype) == (
                image.shape,
                np.float32,
                targets.shape,
                dtype,
            )
            assert set(np.unique(labels)) <= {0, 1, 255}
            assert np.isfinite(seen).all()


def test_a_sample_follows_from_the_state_of_the_generator() -> None:
    image, targets = sample((40, 50))
    first, again, other = (augment(image, targets, everything(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - other[0]).mean() > 0.1


def test_nothing_is_nothing_and_the_given_arrays_are_left_alone() -> None:
    image, targets = sample((9, 20, 30))
    copies = image.copy(), targets.copy()
    seen, labels = augment(image, targets, none(), np.random.default_rng(0))
    np.testing.assert_array_equal(seen, image)
    np.testing.assert_array_equal(labels, targets)
    augment(image, targets, everything(2.0), np.random.default_rng(0))
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(targets, copies[1])


def test_published_augmentation_enlarges_flips_and_bends_but_leaves_values() -> None:
    """A constant image stays constant; a ramp is reversed or not, and never shown at its own scale."""
    flat = np.full((1, 60, 80), 0.7, dtype=np.float32)
    ramp = np.broadcast_to(np.arange(80, dtype=np.float32), (1, 60, 80)).copy()
    slopes = []
    for seed in range(60):
        seen, _ = augment(flat, flat, osnet_published(), np.random.default_rng(seed))
        np.testing.assert_allclose(seen, 0.7, atol=1e-5)
        seen, _ = augment(ramp, ramp, osnet_published(), np.random.default_rng(seed))
        slopes.append((seen[0, 20:40, 60].mean() - seen[0, 20:40, 20].mean()) / 40)
    assert np.abs(np.abs(slopes)[:, None] - 1 / np.array([1.2, 1.3, 1.4])).min(1).max() < 0.02
    assert len({int(np.sign(slope)) for slope in slopes}) == 2


def test_published_flip_is_never_none() -> None:
    """The paper: horizontally and vertically; its authors: one of h, v and both."""
    maps = [draw_map((60, 80), osnet_published().geometry, np.random.default_rng(seed)) for seed in range(90)]
    signs = Counter(tuple(np.sign(np.diag(one.matrix)).astype(int).tolist()) for one in maps)
    assert set(signs) == {(-1, 1), (1, -1), (-1, -1)}
    assert all(one.displacement is not None for one in maps)


def test_intensity_is_changed_and_targets_are_not() -> None:
    """Noise of deviation 0.5 on a flat image; the targets see none of it."""
    flat, settings = np.zeros((1, 60, 80), np.float32), IntensitySettings(noise=(0.5, 0.5))
    seen, labels = augment(flat, flat, AugmentationSettings(intensity=settings), np.random.default_rng(0))
    assert seen.std() == pytest.approx(0.5, rel=0.05)
    assert not labels.any()


def test_settings_come_back_from_a_file() -> None:
    for preset in PRESETS.values():
        assert build_settings(AugmentationSettings, preset().model_dump(mode="json")) == preset()


def test_wrong_arrays_are_refused() -> None:
    image, targets = sample((8, 9))
    for bad in ((image[0], targets[0]), (image, targets[..., :-1]), (image.astype(np.float64), targets)):
        with pytest.raises(InputError, match="E-AUGMENT-SHAPE"):
            augment(*bad, none(), np.random.default_rng(0))


@pytest.mark.parametrize(("shape", "limit_s"), [((192, 192), 0.015), ((32, 96, 96), 0.150)])
@pytest.mark.parametrize(
    "settings", [everything(), strong_2d(), strong_3d()], ids=["everything", "strong-2d", "strong-3d"]
)
def test_time_of_a_sample(shape: tuple[int, ...], limit_s: float, settings: AugmentationSettings) -> None:
    """CPU time on one core, the median of nine."""
    image, targets = sample(shape)
    rng, times = np.random.default_rng(0), []
    for _ in range(10):
        start = time.process_time()
        augment(image, targets, settings, rng)
        times.append(time.process_time() - start)
    assert np.median(times[1:]) < limit_s
