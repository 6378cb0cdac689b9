"""The engine as a whole: analytic cells, edge cases, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.evaluation import dice, score_instances
from tomocyte.labels.parents import assign_parents
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.segmentation.classical.steps import segment
from tomocyte.segmentation.settings import ForegroundSettings, InclusionSettings, NucleusSettings, SegmentationSettings

NAN = float("nan")
SIZE = (0.31, 0.17, 0.13)
ALL = SegmentationSettings(
    nucleus=NucleusSettings(method="dark-core"), inclusion=InclusionSettings(method="bright"), clean=CleanSettings()
)


def ball(
    shape: tuple[int, ...], voxel_size_um: tuple[float, ...], centre_um: tuple[float, ...], radius_um: float
) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * size for n, size in zip(shape, voxel_size_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (z - centre_um[0]) ** 2 + (y - centre_um[1]) ** 2 + (x - centre_um[2]) ** 2 <= radius_um**2


def noisy(image: np.ndarray, sigma: float = 0.0005, seed: int = 0) -> np.ndarray:
    return (image + np.random.default_rng(seed).normal(0, sigma, image.shape)).astype(np.float32)


def cell_image(voxel_size_um: tuple[float, float, float] = SIZE) -> np.ndarray:
    """A cell of 6 µm radius with a dark nucleus of 3.5 µm and a droplet of 0.9 µm in 15 × 16 × 17 µm of medium."""
    shape = tuple(round(extent / size) for extent, size in zip((15, 16, 17), voxel_size_um, strict=True))
    image = np.full(shape, 1.335, dtype=np.float32)
    image[ball(shape, voxel_size_um, (7.5, 8, 8.5), 6.0)] = 1.36
    image[ball(shape, voxel_size_um, (7.5, 8, 9.0), 3.5)] = 1.353
    image[ball(shape, voxel_size_um, (7.5, 8, 4.0), 0.9)] = 1.40
    return noisy(image)


def test_volumes_of_known_spheres() -> None:
    found = segment(cell_image(), SIZE, ALL)
    voxel = SIZE[0] * SIZE[1] * SIZE[2]
    assert {name: int(labels.max()) for name, labels in found.items()} == {"cell": 1, "nucleus": 1, "inclusion": 1}
    assert np.count_nonzero(found["cell"]) * voxel == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.005)
    assert np.count_nonzero(found["nucleus"]) * voxel == pytest.approx(4 / 3 * np.pi * 3.5**3, rel=0.05)
    assert np.count_nonzero(found["inclusion"]) * voxel == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.05)
    assert all(labels.dtype == np.uint8 for labels in found.values())
    assert assign_parents(found["nucleus"], found["cell"]) == {1: 1}


@pytest.mark.parametrize(
    ("radius_voxels", "sigma_voxels"), [(10, 0.0), (20, 0.0), (40, 0.0), (20, 1.0), (40, 1.0), (40, 2.0)]
)
def test_volume_of_a_sphere_to_half_a_percent(radius_voxels: int, sigma_voxels: float) -> None:
    n = 2 * radius_voxels + 12
    z, y, x = np.ogrid[:n, :n, :n]
    distance = np.sqrt((z - n / 2 - 0.1) ** 2 + (y - n / 2 - 0.2) ** 2 + (x - n / 2 + 0.3) ** 2)
    # A voxel cut by the surface has the mean of both sides.
    image = 1.335 + 0.03 * np.clip(radius_voxels - distance + 0.5, 0, 1)
    settings = SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0.2 * sigma_voxels), clean=CleanSettings(min_volume_um3=1)
    )
    n_voxels = np.count_nonzero(segment(image.astype(np.float32), (0.2, 0.2, 0.2), settings)["cell"])
    # The half-maximum of a blurred sphere lies sigma²/R inside it.
    radius = radius_voxels - sigma_voxels**2 / radius_voxels
    assert n_voxels == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.005)


@pytest.mark.parametrize("voxel_size_um", [(1.0, 0.125, 0.125), (0.8, 0.3, 0.1)])
def test_anisotropic_voxels(voxel_size_um: tuple[float, float, float]) -> None:
    found = segment(cell_image(voxel_size_um), voxel_size_um, ALL)
    volume = np.count_nonzero(found["cell"]) * np.prod(voxel_size_um)
    assert int(found["cell"].max()) == int(found["nucleus"].max()) == 1
    assert volume == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 6, 7), np.float32),
        np.full((1, 6, 7), 1.335, np.float32),
        np.full((4, 5, 6), np.nan, np.float32),
        np.ones((1, 1, 1), np.float32),
        np.full((3, 4, 5), np.float32(1e-42)),
        noisy(np.full((12, 40, 50), 1.335)),
        noisy(np.full((1, 80, 90), 0.0), 0.02),
    ],
    ids=["zero", "constant plane", "all NaN", "one voxel", "denormal", "noise", "noisy plane"],
)
@pytest.mark.parametrize("method", ["half-maximum", "otsu", "local-adaptive"])
def test_no_cells_is_a_result(image: np.ndarray, method: str) -> None:
    settings = ALL.model_copy(update={"foreground": ForegroundSettings(method=method)})  # type: ignore[arg-type]
    found = segment(image, (0.3, 0.2, 0.1), settings)
    assert set(found) == {"cell", "nucleus", "inclusion"}
    for labels in found.values():
        assert labels.shape == image.shape
        assert labels.dtype == np.uint8
        assert not labels.any()


def test_one_voxel_differing() -> None:
    image = np.full((5, 6, 7), 1.335, dtype=np.float32)
    image[2, 3, 4] = 1.4
    raw = SegmentationSettings(foreground=ForegroundSettings(smoothing_um=0), clean=CleanSettings(min_volume_um3=0))
    labels = segment(image, SIZE, raw)["cell"]
    assert np.argwhere(labels).tolist() == [[2, 3, 4]]
    assert not segment(image, SIZE)["cell"].any()


def test_nan_voxels_are_outside_and_leave_their_neighbours_alone() -> None:
    image = cell_image()
    holed = image.copy()
    spots = [(24, 47, 65), (24, 47, 90), (2, 3, 4), (24, 0, 0)]
    for spot in spots:
        holed[spot] = np.nan
    holed[10, 10, 10] = np.inf
    settings = ALL.model_copy(update={"clean": CleanSettings(is_hole_filled=False)})
    before, after = segment(image, SIZE, settings)["cell"], segment(holed, SIZE, settings)["cell"]
    assert all(after[spot] == 0 for spot in spots)
    changed = np.argwhere(before != after)
    assert np.isin([tuple(c) for c in changed.tolist()], spots).all()
    assert len(changed) == 2
    assert segment(holed, SIZE, ALL)["cell"][24, 47, 65] == 1


def test_border_cells_can_be_cleared() -> None:
    shape = (40, 120, 150)
    image = np.full(shape, 1.335)
    image[ball(shape, SIZE, (6, 0, 5), 4.0)] = 1.36
    image[ball(shape, SIZE, (6, 12, 14), 4.0)] = 1.36
    image[ball(shape, SIZE, (0, 12, 4.4), 4.0)] = 1.36
    kept = segment(noisy(image), SIZE)["cell"]
    assert int(kept.max()) == 3
    cleared = SegmentationSettings(clean=CleanSettings(is_border_cleared=True))
    labels = segment(noisy(image), SIZE, cleared)["cell"]
    # The one cut by y = 0 goes, the one cut by z = 0 stays.
    assert int(labels.max()) == 2
    assert not labels[:, 0].any()
    assert labels[0].any()


def test_seventy_thousand_cells_of_one_voxel() -> None:
    image = np.zeros((140, 80, 50), dtype=np.float32)
    image[::2, ::2, ::2] = 1.0
    settings = SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0),
        clean=CleanSettings(min_volume_um3=0),
        nucleus=NucleusSettings(method="none"),
    )
    labels = segment(image, SIZE, settings)["cell"]
    assert labels.dtype == np.uint32
    assert np.array_equal(labels[image > 0], np.arange(1, 70_001))


def test_labels_are_in_raster_order_and_repeatable() -> None:
    shape = (30, 140, 160)
    image = np.full(shape, 1.335)
    for centre in ((4.6, 5, 15), (4.6, 17, 5), (4.6, 18, 15), (4.6, 5, 5.5)):
        image[ball(shape, SIZE, centre, 4.0)] = 1.36
    labels = segment(noisy(image), SIZE)["cell"]
    firsts = [int(np.flatnonzero(labels.ravel() == label)[0]) for label in range(1, int(labels.max()) + 1)]
    assert len(firsts) == 4
    assert firsts == sorted(firsts)
    assert np.array_equal(labels, segment(noisy(image), SIZE)["cell"])


def test_input_is_not_changed_and_steps_are_told() -> None:
    image = cell_image()
    before = image.copy()
    image.setflags(write=False)
    steps: list[str] = []
    segment(image, SIZE, ALL, callback=steps.append)
    assert np.array_equal(image, before)
    assert steps == ["foreground", "components", "split", "clean", "nucleus", "inclusion"]


def two_cells() -> np.ndarray:
    shape = (40, 90, 200)
    image = np.full(shape, 1.335)
    image[ball(shape, SIZE, (6.2, 7.6, 8.0), 5.0)] = 1.36
    image[ball(shape, SIZE, (6.2, 7.6, 17.0), 5.0)] = 1.36
    return noisy(image)


def test_touching_cells_are_two() -> None:
    labels = segment(two_cells(), SIZE)["cell"]
    sizes = np.bincount(labels.ravel())[1:]
    assert len(sizes) == 2
    # Two spheres of 5 µm, 9 µm apart: half of their union each.
    overlap = np.pi * (4 * 5 + 9) * (2 * 5 - 9) ** 2 / 12
    assert sizes * np.prod(SIZE) == pytest.approx(4 / 3 * np.pi * 125 - overlap / 2, rel=0.02)


@pytest.mark.parametrize("flip", [(0,), (1,), (2,), (0, 1, 2)])
def test_flips(flip: tuple[int, ...]) -> None:
    plain, flipped = segment(two_cells(), SIZE)["cell"], segment(np.flip(two_cells(), flip), SIZE)["cell"]
    back = np.flip(flipped, flip)
    assert dice(plain, back) >= 0.999
    assert score_instances(plain, back, min_iou=0.98).n_matched == 2


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_transposed_axes_with_transposed_voxels(order: tuple[int, int, int]) -> None:
    image = cell_image()
    plain = segment(image, SIZE, ALL)
    size = (SIZE[order[0]], SIZE[order[1]], SIZE[order[2]])
    turned = segment(np.transpose(image, order), size, ALL)
    for name, labels in plain.items():
        assert dice(np.transpose(labels, order), turned[name]) >= 0.99


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 10.0), (-1.0, 3.0), (1e4, 0.0)])
def test_offset_sign_and_unit_of_the_values(factor: float, offset: float) -> None:
    image = two_cells()
    other = (factor * image.astype(np.float64) + offset).astype(np.float32)
    settings = SegmentationSettings(foreground=ForegroundSettings(is_bright=factor > 0))
    plain, changed = segment(image, SIZE)["cell"], segment(other, SIZE, settings)["cell"]
    assert score_instances(plain, changed, min_iou=0.98).n_matched == 2


def test_a_hot_voxel_changes_nothing() -> None:
    image = two_cells()
    hot = image.copy()
    hot[1, 2, 3] = 1e6
    settings = SegmentationSettings(foreground=ForegroundSettings(smoothing_um=0))
    assert dice(segment(image, SIZE, settings)["cell"], segment(hot, SIZE, settings)["cell"]) >= 0.999


@pytest.mark.parametrize("size_z", [NAN, 1.0])
@pytest.mark.parametrize("method", ["distance", "intensity", "local-contrast"])
def test_planes(size_z: float, method: str) -> None:
    y, x = np.mgrid[:120, :160] * 0.5 + 0.25
    image = np.zeros((1, 120, 160))
    for centre in (25.0, 41.0):
        # The dry-mass density of a sphere: as thick as it is there.
        image[0] += 2 * np.sqrt(np.maximum(0, 9.0**2 - (y - 30) ** 2 - (x - centre) ** 2)) / 18
    settings = SegmentationSettings(
        foreground=ForegroundSettings(fraction=0.2),
        split=SplitSettings(method=method, smoothing_um=1.0, window_um=4.0, min_separation_um=6),  # type: ignore[arg-type]
    )
    labels = segment(noisy(image, 0.01), (size_z, 0.5, 0.5), settings)["cell"]
    assert int(labels.max()) == 2
    at = labels[0, 60, [20, 50, 82, 110]]
    assert at[1] != at[2]
    assert np.mean(labels[0, :, 50:64][labels[0, :, 50:64] > 0] == at[1]) > 0.95


def test_rings_of_touching_cells_are_not_filled_but_rings_are() -> None:
    y, x = np.mgrid[:200, :210] * 0.5
    image = np.zeros((1, 200, 210))
    for angle in np.arange(6) * np.pi / 3:
        image[0][(y - 50 - 22 * np.sin(angle)) ** 2 + (x - 52 - 22 * np.cos(angle)) ** 2 <= 11.5**2] = 1
    labels = segment(noisy(image, 0.01), (NAN, 0.5, 0.5))["cell"]
    assert int(labels.max()) == 6
    assert labels[0, 100, 104] == 0
    distance = np.hypot(y - 50, x - 52)
    ring = (distance < 30) & (distance > 20)
    settings = SegmentationSettings(split=SplitSettings(method="none"))
    assert segment(noisy(ring[None] * 1.0, 0.01), (NAN, 0.5, 0.5), settings)["cell"][0, 100, 104] == 1


def test_hollow_cell_is_filled() -> None:
    shape = (50, 90, 110)
    shell = ball(shape, SIZE, (7.7, 7.6, 7.1), 5.0) & ~ball(shape, SIZE, (7.7, 7.6, 7.1), 3.0)
    image = noisy(np.where(shell, 1.36, 1.335))
    for is_filled, radius in ((True, 0.0), (False, 3.0)):
        settings = SegmentationSettings(
            clean=CleanSettings(is_hole_filled=is_filled), split=SplitSettings(method="none")
        )
        volume = np.count_nonzero(segment(image, SIZE, settings)["cell"]) * np.prod(SIZE)
        assert volume == pytest.approx(4 / 3 * np.pi * (125 - radius**3), rel=0.02)


def test_value_and_otsu_thresholds() -> None:
    image = cell_image()
    for foreground in (ForegroundSettings(method="otsu"), ForegroundSettings(method="value", value=1.3475)):
        volume = np.count_nonzero(segment(image, SIZE, SegmentationSettings(foreground=foreground))["cell"])
        assert volume * np.prod(SIZE) == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.01)
    with pytest.raises(ValidationError):
        ForegroundSettings(method="value")
    with pytest.raises(ValidationError):
        ForegroundSettings(value=1.0)
    flat = np.full((4, 50, 60), 2.0, np.float32)
    settings = SegmentationSettings(foreground=ForegroundSettings(method="value", value=1.0))
    assert segment(flat, (0.2, 0.1, 0.1), settings)["cell"].max() == 0
    large = np.full((40, 50, 60), 2.0, np.float32)
    assert np.all(segment(large, (0.3, 0.4, 0.5), settings)["cell"] == 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float64])
def test_any_real_type_of_number(dtype: type) -> None:
    image = np.full((12, 60, 70), 20, dtype)
    image[2:10, 15:45, 20:50] = 90
    labels = segment(image, (0.5, 0.5, 0.5))["cell"]
    assert np.array_equal(labels > 0, segment(image.astype(np.float32), (0.5, 0.5, 0.5))["cell"] > 0)
    assert int(labels.max()) == 1


def test_wrong_input_is_refused() -> None:
    for image in (np.zeros((3, 4)), np.zeros((0, 3, 4)), np.zeros((2, 3, 4), complex)):
        with pytest.raises(SettingsError, match="E-AXES"):
            segment(image, SIZE)
    for size in ((0.0, 0.1, 0.1), (NAN, 0.1, 0.1), (0.1, 0.1, 1e9)):
        with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
            segment(np.zeros((3, 4, 5)), size)


def test_objects_that_stay_faint_do_not_count() -> None:
    shape = (40, 120, 150)
    image = np.full(shape, 1.335)
    image[ball(shape, SIZE, (6, 6, 6), 4.0)] = 1.36
    image[ball(shape, SIZE, (6, 15, 14), 4.0)] = 1.343
    low = ForegroundSettings(fraction=0.2)
    assert int(segment(noisy(image), SIZE, SegmentationSettings(foreground=low))["cell"].max()) == 1
    every = ForegroundSettings(fraction=0.2, core_fraction=0.21)
    assert int(segment(noisy(image), SIZE, SegmentationSettings(foreground=every))["cell"].max()) == 2
