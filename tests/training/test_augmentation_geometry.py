"""Geometry against scipy, against exact flips and turns, against formulas; 255 and class numbers never mix."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from tomocyte.training.data.geometry import (
    CoordinateMap,
    GeometrySettings,
    draw_map,
    resample,
    simard_displacement,
    smooth_displacement,
)

SHAPES = [(11, 17), (5, 11, 17)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def smooth_image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = rng(seed).normal(size=(2, *shape))
    return ndimage.gaussian_filter(noise, (0, *[1.0] * len(shape))).astype(np.float32)


def some_targets(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return rng(seed).choice(np.array([0, 1, 7, 255], dtype=np.uint8), size=(3, *shape))


def moved(
    shape: tuple[int, ...], seed: int, **settings: object
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    image, targets = smooth_image(shape), some_targets(shape)
    chosen = GeometrySettings(**settings)
    seen = resample(image, targets, draw_map(shape, chosen, rng(seed)), image_order=chosen.image_order)
    return image, targets, *seen


EVERYTHING = {
    "flip_axes": ("y", "x"),
    "is_turned_by_90": True,
    "rotation_deg": 180.0,
    "enlargements": (1.2, 1.3, 1.4),
    "scale": (0.8, 1.25),
    "scale_z": (0.9, 1.1),
    "elastic_pairs": ((5.0, 2.0),),
    "elastic_px": (1.0, 3.0),
    "elastic_spacing_px": 24.0,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [1, 3])
def test_resampling_is_scipys(shape: tuple[int, ...], order: int) -> None:
    """A skewed map with a displacement, written out with scipy's map_coordinates in float64."""
    n = len(shape)
    matrix = np.eye(n) + rng(2).normal(0, 0.2, (n, n))
    offset = rng(3).normal(0, 2, n)
    displacement = rng(4).normal(0, 1, (n, *shape)).astype(np.float32)
    image, targets = smooth_image(shape), some_targets(shape)
    seen, labels = resample(image, targets, CoordinateMap(matrix, offset, displacement), image_order=order)
    places = np.einsum("ij,j...->i...", matrix, np.indices(shape) + displacement.astype(np.float64))
    places += offset.reshape(-1, *[1] * n)
    for channel, found in zip(image, seen, strict=True):
        wanted = ndimage.map_coordinates(channel.astype(np.float64), places, order=order, mode="reflect")
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    for head, found in zip(targets, labels, strict=True):
        np.testing.assert_array_equal(found, ndimage.map_coordinates(head, places, order=0, mode="reflect"))


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_axis_aligned_resampling_is_scipys(shape: tuple[int, ...], order: int) -> None:
    """The quick way for flips and scales gives what the general one gives."""
    n = len(shape)
    matrix, offset = np.diag([0.83, -1 / 1.3, 0.77][-n:]), np.array([1.4, shape[-2] * 0.9, 2.3])[-n:]
    places = matrix @ np.indices(shape).reshape(n, -1) + offset[:, None]
    image, targets = smooth_image(shape), some_targets(shape)
    seen, labels = resample(image, targets, CoordinateMap(matrix, offset, None), image_order=order)
    for channel, found in zip(image, seen, strict=True):
        wanted = ndimage.map_coordinates(channel, places, order=order, mode="reflect").reshape(shape)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    for head, found in zip(targets, labels, strict=True):
        wanted = ndimage.map_coordinates(head, places, order=0, mode="reflect").reshape(shape)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", SHAPES)
def test_defaults_do_nothing_but_copy(shape: tuple[int, ...]) -> None:
    image, targets, seen, labels = moved(shape, 0)
    np.testing.assert_array_equal(seen, image)
    np.testing.assert_array_equal(labels, targets)
    assert not np.shares_memory(seen, image)
    assert not np.shares_memory(labels, targets)


@pytest.mark.parametrize("shape", SHAPES)
def test_published_flip_is_h_v_or_both_and_never_none(shape: tuple[int, ...]) -> None:
    found = set()
    for seed in range(40):
        image, targets, seen, labels = moved(shape, seed, flip_axes=("y", "x"), flip="never-identity")
        kinds = [axes for axes in ((-2,), (-1,), (-2, -1)) if np.array_equal(seen, np.flip(image, axes))]
        assert len(kinds) == 1
        np.testing.assert_array_equal(labels, np.flip(targets, kinds[0]))
        found.add(kinds[0])
    assert found == {(-2,), (-1,), (-2, -1)}


def test_independent_flips_reach_all_eight() -> None:
    shape, found = (4, 5, 6), {}
    for seed in range(400):
        image, _, seen, _ = moved(shape, seed, flip_axes=("x", "z", "y"))
        back = [axes for axes in ((), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3))
                if np.array_equal(seen, np.flip(image, axes))]  # fmt: skip
        assert len(back) == 1
        found[back[0]] = found.get(back[0], 0) + 1
    assert len(found) == 8
    assert min(found.values()) > 25  # 50 expected, standard deviation 6.6


@pytest.mark.parametrize("shape", [(12, 12), (5, 12, 12)])
def test_turns_by_90_are_numpys(shape: tuple[int, ...]) -> None:
    found = set()
    for seed in range(30):
        image, targets, seen, labels = moved(shape, seed, is_turned_by_90=True)
        turns = [k for k in (1, 2, 3) if np.array_equal(seen, np.rot90(image, k, axes=(-2, -1)))]
        assert len(turns) == 1
        np.testing.assert_array_equal(labels, np.rot90(targets, turns[0], axes=(-2, -1)))
        found.add(turns[0])
    assert found == {1, 2, 3}


def test_an_oblong_is_turned_by_180_only() -> None:
    for seed in range(8):
        image, _, seen, _ = moved((11, 17), seed, is_turned_by_90=True)
        np.testing.assert_array_equal(seen, np.rot90(image, 2, axes=(-2, -1)))


def test_rotation_moves_a_blob_on_its_circle() -> None:
    """A Gaussian blob 12 pixels from the centre: same distance and plane, an angle within the bounds, all reached."""
    z, y, x = np.indices((7, 41, 61))
    image = np.exp(-(9 * (z - 2) ** 2 + (y - 20) ** 2 + (x - 42) ** 2) / 8).astype(np.float32)[None]
    angles = []
    for seed in range(60):
        coordinates = draw_map(image.shape[1:], GeometrySettings(rotation_deg=40), rng(seed))
        seen, target = resample(image, (image > 0.5).astype(np.uint8), coordinates)
        for array in (seen[0], target[0]):
            centre = np.array(ndimage.center_of_mass(array)) - (2, 20, 30)
            assert abs(centre[0]) < 0.05
            assert np.hypot(*centre[1:]) == pytest.approx(12, abs=0.35)
        angles.append(np.degrees(np.arctan2(*ndimage.center_of_mass(seen[0])[1:] - np.array([20, 30]))))
    assert max(map(abs, angles)) <= 40.5
    assert min(angles) < -25
    assert max(angles) > 25


def test_enlargement_is_by_the_factors_given_and_stays_inside() -> None:
    """The crop of an image enlarged by f shows 1/f of it; a linear ramp shows where it began."""
    shape = (40, 60)
    ramps = np.stack(np.indices(shape)).astype(np.float32)
    starts: dict[float, list[tuple[float, ...]]] = {1.2: [], 1.3: [], 1.4: []}
    for seed in range(80):
        coordinates = draw_map(shape, GeometrySettings(enlargements=(1.2, 1.3, 1.4)), rng(seed))
        seen, _ = resample(ramps, ramps, coordinates)
        inner = seen[:, 3:-3, 3:-3]
        factor = 1 / float(np.diff(inner[0], axis=0).mean())
        assert min(abs(factor - f) for f in starts) < 1e-4
        assert float(np.diff(inner[1], axis=1).mean()) == pytest.approx(1 / factor, abs=1e-5)
        key = min(starts, key=lambda f: abs(factor - f))
        starts[key].append(tuple(seen[:, 3, 3]))
        assert seen[0].min() >= 0
        assert seen[1].max() <= 59
    for factor, places in starts.items():
        assert len(places) > 10
        spread = np.ptp(np.array(places), axis=0)
        assert (spread > 0.4 * np.array(shape) * (1 - 1 / factor)).all()


def test_an_enlarged_crop_begins_at_a_pixel_of_the_enlarged_image() -> None:
    """Pixel edges lie at -0.5; the crop's edge, in pixels of the enlarged image, is a whole number within it."""
    shape = (40, 60)
    for seed in range(30):
        crop = draw_map(shape, GeometrySettings(enlargements=(1.3,)), rng(seed))
        begin = (crop.matrix @ [-0.5, -0.5] + crop.offset + 0.5) * 1.3
        np.testing.assert_allclose(begin, np.rint(begin), atol=1e-9)
        assert (begin > -1e-9).all()
        assert (begin < np.array(shape) * 0.3 + 1e-9).all()


def test_what_follows_the_crop_turns_about_the_middle_of_the_crop() -> None:
    centre = (np.array((40, 60)) - 1) / 2
    for seed in range(10):
        crop, more = (
            draw_map((40, 60), GeometrySettings(enlargements=(1.2, 1.3, 1.4), **settings), rng(seed))
            for settings in ({}, {"flip_axes": ("y", "x"), "rotation_deg": 90, "scale": (0.8, 1.25)})
        )
        np.testing.assert_allclose(more.matrix @ centre + more.offset, crop.matrix @ centre + crop.offset)
        assert not np.allclose(more.matrix, crop.matrix)


def test_scales_are_within_bounds_per_axis_about_the_centre() -> None:
    shape, found = (9, 21, 31), []
    for seed in range(60):
        coordinates = draw_map(shape, GeometrySettings(scale=(0.8, 1.25), scale_z=(0.9, 1.1)), rng(seed))
        centre = (np.array(shape) - 1) / 2
        np.testing.assert_allclose(coordinates.matrix @ centre + coordinates.offset, centre)
        assert np.count_nonzero(coordinates.matrix) == 3
        found.append(1 / np.diag(coordinates.matrix))
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    assert (low >= [0.9, 0.8, 0.8]).all()
    assert (high <= [1.1, 1.25, 1.25]).all()
    assert (low < [0.93, 0.86, 0.86]).all()
    assert (high > [1.07, 1.17, 1.17]).all()
    assert abs(np.corrcoef(np.log(found).T)[1, 2]) < 0.4


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 1.0), (5.0, 2.0), (1.0, 3.0)])
def test_simards_displacement_has_the_size_of_the_formula(alpha: float, sigma: float) -> None:
    """White noise of variance 1/3 under a 2-D Gaussian: standard deviation α / (2 √(3π) σ)."""
    field = simard_displacement((260, 330), alpha, sigma, rng())
    assert field.shape == (2, 260, 330)
    assert field.dtype == np.float32
    inner = field[:, 20:-20, 20:-20]
    assert inner.std() == pytest.approx(alpha / (2 * np.sqrt(3 * np.pi) * sigma), rel=0.1)
    # correlation at distance d along an axis is exp(-d² / 4σ²)
    shifted = (inner[:, :, 2:] * inner[:, :, :-2]).mean() / inner.var()
    assert shifted == pytest.approx(np.exp(-1 / sigma**2), abs=0.05)


@pytest.mark.parametrize(
    ("shape", "amplitude", "spacing"),
    [((90, 130), (3.0, 3.0), (24.0, 24.0)), ((30, 64, 80), (1.5, 3.0, 3.0), (12.0, 24.0, 24.0))],
)
def test_smooth_deformation_reaches_its_amplitude_and_never_folds(
    shape: tuple[int, ...], amplitude: tuple[float, ...], spacing: tuple[float, ...]
) -> None:
    """Where the Jacobian's determinant stays above 0 neighbours stay in order."""
    for seed in range(12):
        field = smooth_displacement(shape, np.array(amplitude), np.array(spacing), rng(seed))
        largest = np.abs(field).reshape(len(shape), -1).max(1)
        np.testing.assert_allclose(largest, amplitude, rtol=1e-4)
        jacobian = np.stack([np.stack(np.gradient(part)) for part in field]) + np.eye(len(shape)).reshape(
            len(shape), len(shape), *[1] * len(shape)
        )
        assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0
        # smooth: a second difference of a cubic B-spline of coefficients c is at most 4 max|c| / spacing²
        for axis, size in enumerate(spacing):
            for part, most in zip(field, amplitude, strict=True):
                assert np.abs(np.diff(part, 2, axis=axis)).max() < 4 * 2.5 * most / size**2


def test_smooth_deformation_of_a_large_amplitude_is_held_back() -> None:
    field = smooth_displacement((60, 80), np.array([50.0, 50.0]), np.array([10.0, 10.0]), rng())
    assert 1.0 < np.abs(field).max() <= 0.4 * 10


def test_deformation_is_the_same_in_micrometres_along_z() -> None:
    """Voxels twice as long in z: half the pixels of displacement, half the spacing."""
    settings = GeometrySettings(elastic_px=(2.0, 2.0), elastic_spacing_px=16.0, anisotropy=2.0)
    field = draw_map((40, 50, 60), settings, rng()).displacement
    np.testing.assert_allclose(np.abs(field).reshape(3, -1).max(1), (1, 2, 2), rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_at_once_keeps_values_types_and_shapes(shape: tuple[int, ...]) -> None:
    for seed in range(8):
        image, targets, seen, labels = moved(shape, seed, **EVERYTHING)
        assert (seen.shape, seen.dtype, labels.shape, labels.dtype) == (
            image.shape,
            np.float32,
            targets.shape,
            np.uint8,
        )
        assert set(np.unique(labels)) <= {0, 1, 7, 255}
        assert seen.min() >= image.min() - 1e-6  # linear interpolation stays between its neighbours
        assert seen.max() <= image.max() + 1e-6
        assert not np.array_equal(seen, image)


def test_image_and_targets_move_together() -> None:
    """The mask of a disc seen through the map is the mask of the disc's image seen through it, up to half a pixel."""
    y, x = np.indices((80, 96))
    height = (np.hypot(y - 35, x - 50) - 20).astype(np.float32)[None]  # distance to the rim
    for seed in range(10):
        coordinates = draw_map((80, 96), GeometrySettings(**EVERYTHING), rng(seed))
        seen, mask = resample(height, (height < 0).astype(np.float32), coordinates)
        is_clear = np.abs(seen) > 0.8
        np.testing.assert_array_equal(mask[is_clear] == 1, seen[is_clear] < 0)


def test_masks_stay_masks_where_cubic_interpolation_rings() -> None:
    """What the published resampling does to a mask, and ours does not."""
    mask = np.zeros((1, 40, 50), dtype=np.float32)
    mask[:, 10:25, 12:30] = 1
    ringing = ndimage.zoom(mask[0], 1.3, order=3)
    assert ringing.min() < -0.05
    assert ringing.max() > 1.05
    _, seen = resample(mask, mask, draw_map((40, 50), GeometrySettings(enlargements=(1.3,)), rng()), image_order=3)
    assert set(np.unique(seen)) == {0.0, 1.0}


def test_probability_is_that_of_each_transform() -> None:
    settings = GeometrySettings(probability=0.3, rotation_deg=90, elastic_px=(1, 2), enlargements=(1.2,))
    maps = [draw_map((20, 30), settings, rng(seed)) for seed in range(600)]
    turned = np.mean([m.matrix[0, 1] != 0 for m in maps])
    bent = np.mean([m.displacement is not None for m in maps])
    larger = np.mean([np.linalg.det(m.matrix) < 0.99 for m in maps])
    for share in (turned, bent, larger):
        assert share == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(
    "settings",
    [
        {"flip_axes": ("x", "x")},
        {"flip_axes": ("t",)},
        {"scale": (1.2, 0.8)},
        {"scale_z": (0.0, 1.0)},
        {"enlargements": (0.9,)},
        {"elastic_pairs": ((1.0, 0.0),)},
        {"elastic_px": (0.0, 3.5), "elastic_spacing_px": 24.0},
        {"elastic_px": (-1.0, 1.0)},
        {"image_order": 2},
        {"rotation": 10},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GeometrySettings(**settings)
