"""Surface distances against formulas, all pairs by hand, and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist
from tests.evaluation.shapes import ball

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.evaluation import assd_um, hausdorff_um, hd95_um, surface_dice, surface_distances

VOXEL = (0.4, 0.2, 0.1)
SHAPE = (21, 40, 82)
CENTRE = (4.0, 4.0, 4.1)


@pytest.mark.parametrize("steps", [(2, 0, 0), (0, 3, 0), (0, 0, 7)])
def test_shifted_ball(steps: tuple[int, int, int]) -> None:
    """Hausdorff distance = the shift; mean distance between a quarter of it and itself (mean of |cos| is 1/2)."""
    first = ball(CENTRE, 2.6, shape=SHAPE, voxel_size_um=VOXEL)
    shift = max(step * size for step, size in zip(steps, VOXEL, strict=True))
    second = np.roll(first, steps, axis=(0, 1, 2))
    assert hausdorff_um(first, second, voxel_size_um=VOXEL) == pytest.approx(shift, abs=1e-12)
    assert hd95_um(first, second, voxel_size_um=VOXEL) <= shift + 1e-12
    assert shift / 4 < assd_um(first, second, voxel_size_um=VOXEL) < shift
    assert surface_dice(first, second, voxel_size_um=VOXEL, tolerance_um=shift) == 1
    assert surface_dice(first, second, voxel_size_um=VOXEL, tolerance_um=0.99 * shift) < 1


def test_concentric_balls() -> None:
    """|R₁ − R₂| everywhere, within the voxel's diagonal."""
    voxel = (0.1, 0.08, 0.06)
    shape = (81, 101, 135)
    first = ball((4.0, 4.0, 4.0), 3.7, shape=shape, voxel_size_um=voxel)
    second = ball((4.0, 4.0, 4.0), 2.3, shape=shape, voxel_size_um=voxel)
    found = surface_distances(first, second, voxel_size_um=voxel)
    diagonal = math.hypot(*voxel)
    for value in (found.hausdorff_um, found.hd95_um, found.assd_um):
        assert value == pytest.approx(3.7 - 2.3, abs=diagonal)
    assert found.assd_um == pytest.approx(3.7 - 2.3, abs=0.3 * diagonal)


def by_all_pairs(first: np.ndarray, second: np.ndarray, size: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Distances by comparing each surface voxel with each; surfaces by SciPy's erosion."""
    points = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(size) for mask in (first, second)]
    table = cdist(*points)
    return table.min(axis=1), table.min(axis=0)


@pytest.mark.parametrize(("size", "tolerance"), [((0.6, 0.4, 0.2), 1e-12), ((0.31, 0.17, 0.13), 1e-6)])
def test_distances_equal_those_of_all_pairs(size: tuple[float, ...], tolerance: float) -> None:
    """To float64 where the sides are multiples of the smallest; else to the float32 of the distance transform."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        smooth = ndimage.gaussian_filter(rng.standard_normal((2, 9, 13, 17)), (0, 1.2, 1.2, 1.2))
        first, second = smooth > 0.05
        found = surface_distances(first, second, voxel_size_um=size)
        one, other = by_all_pairs(first, second, size)
        assert found.truth_um == pytest.approx(one, rel=tolerance, abs=1e-12)
        assert found.prediction_um == pytest.approx(other, rel=tolerance, abs=1e-12)
        both = np.concatenate([one, other])
        assert found.hausdorff_um == pytest.approx(both.max(), rel=tolerance)
        assert found.assd_um == pytest.approx(both.mean(), rel=tolerance)
        assert found.hd95_um == pytest.approx(max(np.percentile(one, 95), np.percentile(other, 95)), rel=tolerance)
        assert found.surface_dice(0.5) == pytest.approx(np.mean(both <= 0.5))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of its own call.
def test_scores_equal_monai() -> None:
    """MONAI computes in float32, hence 1e-6."""
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    rng = np.random.default_rng(4)
    size = (0.39, 0.195, 0.13)
    smooth = ndimage.gaussian_filter(rng.standard_normal((2, 10, 15, 21)), (0, 1.5, 1.5, 1.5))
    truth, prediction = smooth > 0.03
    ours, theirs = (torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (prediction, truth))
    options = {"include_background": True, "spacing": size}
    hd = compute_hausdorff_distance(ours, theirs, **options)
    hd95 = compute_hausdorff_distance(ours, theirs, percentile=95, **options)
    mean = compute_average_surface_distance(ours, theirs, symmetric=True, **options)
    share = compute_surface_dice(ours, theirs, class_thresholds=[0.4], **options)
    assert hausdorff_um(truth, prediction, voxel_size_um=size) == pytest.approx(float(hd), rel=1e-6)
    assert hd95_um(truth, prediction, voxel_size_um=size) == pytest.approx(float(hd95), rel=1e-6)
    assert assd_um(truth, prediction, voxel_size_um=size) == pytest.approx(float(mean), rel=1e-6)
    assert surface_dice(truth, prediction, voxel_size_um=size, tolerance_um=0.4) == pytest.approx(
        float(share), rel=1e-6
    )


def test_outside_the_image_is_outside() -> None:
    full = np.ones((3, 4, 5), bool)
    found = surface_distances(full, full, voxel_size_um=VOXEL)
    assert found.truth_um.size == 3 * 4 * 5 - 1 * 2 * 3
    assert found.hausdorff_um == 0


def test_one_plane_is_scored_within_the_plane() -> None:
    first, second = np.zeros((2, 1, 9, 11), bool)
    first[0, 1:6, 2:8] = True
    second[0, 1:6, 3:8] = True
    flat = surface_distances(first[0], second[0], voxel_size_um=(0.2, 0.1))
    for z in (math.nan, 3.0):
        found = surface_distances(first, second, voxel_size_um=(z, 0.2, 0.1))
        assert found.truth_um.tolist() == flat.truth_um.tolist()
        assert found.prediction_um.tolist() == flat.prediction_um.tolist()
    assert flat.truth_um.size == 2 * 5 + 2 * 6 - 4
    assert flat.hausdorff_um == pytest.approx(0.1)


def test_swapped_axes_show() -> None:
    first = ball(CENTRE, 2.6, shape=SHAPE, voxel_size_um=VOXEL)
    second = np.roll(first, 2, axis=0)
    turned = [mask.transpose(2, 0, 1) for mask in (first, second)]
    assert hausdorff_um(*turned, voxel_size_um=(VOXEL[2], VOXEL[0], VOXEL[1])) == pytest.approx(0.8)
    assert hausdorff_um(*turned, voxel_size_um=VOXEL) != pytest.approx(0.8)


def test_empty_masks() -> None:
    empty = np.zeros(SHAPE, bool)
    some = ball(CENTRE, 2.0, shape=SHAPE, voxel_size_um=VOXEL)
    for first, second in ((empty, some), (some, empty), (empty, empty)):
        found = surface_distances(first, second, voxel_size_um=VOXEL)
        assert all(math.isnan(value) for value in (found.hausdorff_um, found.hd95_um, found.assd_um))
    assert surface_dice(empty, some, voxel_size_um=VOXEL, tolerance_um=1) == 0
    assert math.isnan(surface_dice(empty, empty, voxel_size_um=VOXEL, tolerance_um=1))


def test_wrong_input_is_refused() -> None:
    mask = np.ones((3, 4, 5), bool)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        hausdorff_um(mask, mask, voxel_size_um=(1.0, 1.0))
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        hausdorff_um(mask, mask, voxel_size_um=(math.nan, 1.0, 1.0))
    with pytest.raises(SettingsError, match="E-SHAPE"):
        hausdorff_um(mask[0, 0], mask[0, 0], voxel_size_um=(1.0,))
    with pytest.raises(SettingsError, match="E-SHAPE"):
        hausdorff_um(mask, mask[:2], voxel_size_um=VOXEL)
    with pytest.raises(SettingsError, match="E-TOLERANCE"):
        surface_dice(mask, mask, voxel_size_um=VOXEL, tolerance_um=-1)
