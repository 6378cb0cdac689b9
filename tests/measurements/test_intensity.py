from __future__ import annotations

import math

import numpy as np
import pytest

from tomocyte.measurements import _quantiles, composition, intensity, region


def test_statistics_against_numpy_and_fsum(make_region) -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((6, 9, 13)) < 0.5
    image = rng.normal(1.35, 0.01, mask.shape).astype(np.float32)
    one = make_region(mask, image=image)
    values = image[mask].astype(np.float64)
    assert intensity.mean_value(one) == pytest.approx(math.fsum(values) / values.size, rel=1e-12)
    assert intensity.sd_value(one) == pytest.approx(values.std(), rel=1e-12)
    for name, percent in (("p05", 5), ("p50", 50), ("p95", 95)):
        for kind in ("value", "ri"):
            assert getattr(intensity, f"{name}_{kind}")(one) == pytest.approx(np.percentile(values, percent), rel=1e-12)
    for name in ("mean_dry_mass_density_pg_per_um2", "mean_lac_per_um", "mean_phase_rad", "mean_intensity"):
        assert getattr(intensity, name)(one) == pytest.approx(values.mean(), rel=1e-12)
    assert intensity.n_nonfinite_voxels(one) == 0


def test_a_float32_sum_would_be_wrong_here(make_region, monkeypatch) -> None:
    """Adding 1.3371 in float32 to a running sum stalls at 2^25; the mean must not care, in many blocks or one."""
    monkeypatch.setattr(region, "BLOCK_VOXELS", 1 << 16)
    image = np.full((90, 210, 310), 1.3371, np.float32)
    image[:, ::2] += np.float32(0.01)
    one = make_region(np.ones(image.shape, np.bool_), image=image)
    exact = (105 * float(image[0, 0, 0]) + 105 * float(image[0, 1, 0])) / 210
    assert intensity.mean_ri(one) == pytest.approx(exact, rel=1e-12)


def test_voxels_without_a_number_are_left_out_and_counted(make_region) -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image[0, 0, 0], image[1, 2, 3], image[0, 1, 1] = np.nan, np.inf, -np.inf
    mask = np.ones(image.shape, np.bool_)
    mask[0, 0, 1] = False
    one = make_region(mask, image=image)
    good = [value for value in range(24) if value not in (0, 23, 5, 1)]
    assert intensity.n_nonfinite_voxels(one) == 3
    assert intensity.mean_value(one) == pytest.approx(sum(good) / len(good))
    assert intensity.p50_value(one) == pytest.approx(np.median(good))
    nothing = make_region(mask, image=np.full(image.shape, np.nan))
    assert math.isnan(intensity.mean_value(nothing))
    assert math.isnan(intensity.p05_value(nothing))
    assert intensity.n_nonfinite_voxels(nothing) == 23


def test_without_an_image_there_are_no_values(make_region) -> None:
    one = make_region(np.ones((2, 3, 4), np.bool_), medium_ri=1.33, refraction_increment_ml_per_g=0.19)
    for function in (intensity.mean_ri, intensity.sd_ri, intensity.p95_ri, composition.dry_mass_pg):
        assert math.isnan(function(one))
    assert intensity.n_nonfinite_voxels(one) == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int16", "uint16", "int32", "int64"])
@pytest.mark.parametrize("limit", [0, 1 << 30], ids=["counted", "gathered"])
def test_quantiles_of_every_type_against_numpy(dtype, limit, monkeypatch) -> None:
    monkeypatch.setattr(_quantiles, "GATHER_BYTES", limit)
    rng = np.random.default_rng(2)
    values = rng.normal(40, 30, 3001)
    values = (np.abs(values) if dtype.startswith("u") else values).astype(dtype)
    values[:50] = values[50]  # ties
    blocks = np.array_split(values, 4)
    fractions = (0.0, 0.05, 0.5, 0.77, 0.95, 1.0)
    found = _quantiles.quantiles(lambda: blocks, fractions, values.size)
    for fraction in fractions:
        expected = np.quantile(values.astype(np.float64), fraction)
        assert found[fraction] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_quantiles_of_one_value_and_of_zeros_with_signs() -> None:
    assert _quantiles.quantiles(lambda: [np.array([7.5])], (0.05, 0.95), 1) == {0.05: 7.5, 0.95: 7.5}
    signed = np.array([-0.0, 0.0, -3.0, 2.0], np.float32)
    assert _quantiles.quantiles(lambda: [signed], (0.5,), 4)[0.5] == 0.0


def test_dry_mass_of_the_reference_sphere(make_region) -> None:
    """r = 5 µm, Δn = 0.02, α = 0.19 mL/g: 523.599 µm³, 105.26 mg/mL, 55.116 pg."""
    voxel = (0.25, 0.2, 0.16)
    z, y, x = (np.arange(-reach, reach + 1) * side for reach, side in zip((21, 26, 33), voxel, strict=True))
    mask = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 25
    image = np.where(mask, 1.357, 1.337)
    one = make_region(mask, voxel, image=image, medium_ri=1.337, refraction_increment_ml_per_g=0.19)
    assert composition.concentration_mg_per_ml(one) == pytest.approx(105.263, abs=0.001)
    assert composition.dry_mass_pg(one) == pytest.approx(55.116, rel=0.005)
    exact = math.fsum(((image[mask] - 1.337) / 0.19).tolist()) * math.prod(voxel)
    assert composition.dry_mass_pg(one) == pytest.approx(exact, rel=1e-12)


def test_dry_mass_needs_medium_and_increment(make_region) -> None:
    image = np.full((3, 4, 5), 1.36)
    mask = np.ones(image.shape, np.bool_)
    for known in ({"medium_ri": 1.337}, {"refraction_increment_ml_per_g": 0.19}, {}):
        one = make_region(mask, image=image, **known)
        assert math.isnan(composition.dry_mass_pg(one))
        assert math.isnan(composition.concentration_mg_per_ml(one))


def test_projected_dry_mass_is_density_times_area(make_region) -> None:
    image = np.array([[[0.5, 1.5, 9.0], [2.0, np.nan, 9.0]]])
    mask = np.array([[[True, True, False], [True, True, False]]])
    assert composition.projected_dry_mass_pg(make_region(mask, (math.nan, 0.2, 0.3), image=image)) == pytest.approx(
        0.24
    )
    assert math.isnan(composition.projected_dry_mass_pg(make_region(mask, (0.5, 0.2, 0.3), image=image)))


def test_voxels_without_a_number_add_no_dry_mass(make_region) -> None:
    image = np.full((2, 3, 4), 1.357)
    image[0, 0, :3] = np.nan
    mask = np.ones(image.shape, np.bool_)
    one = make_region(mask, (0.5, 0.2, 0.1), image=image, medium_ri=1.337, refraction_increment_ml_per_g=0.2)
    assert composition.dry_mass_pg(one) == pytest.approx(21 * 0.01 * 0.1)  # 21 voxels of 0.01 µm³ at 0.1 pg/µm³
