"""Samples of the cell-by-cell network: what is shown, what is learned, and masks corrupted on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from tests.training.conftest import VOXEL_UM, write_pair

from tomocyte.comparison.cell_scores import cell_methods, compare_cell_methods, field_masks, score_cells_on_card
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.models import load_package
from tomocyte.segmentation.cells.separate import CellByCellSettings
from tomocyte.training.data.cell_samples import CellSamples, View, make_samples
from tomocyte.training.data.mask_corruption import corrupted, moved_edges, slit, smooth_noise, with_blobs
from tomocyte.training.data.settings import DataSettings
from tomocyte.training.recipe import build_recipe
from tomocyte.training.training import split_items, train_network
from tomocyte.volume import Volume

SHAPE = (14, 40, 60)
PATCH = (8, 16, 16)


def data_settings(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "modality": "odt",
        "structures": ["cell", "nucleus"],
        "targets": "cell-by-cell",
        "voxel_size_um": VOXEL_UM,
        "normalization": {"kind": "fixed"},
        "patch_shape": PATCH,
    }
    return {**content, **changes}


def write_cells(folder: Path, name: str, cells: NDArray[Any], nuclei: NDArray[Any]) -> None:
    write_pair(folder, name, np.where(cells > 0, 1.36, 1.337), cells, structure="cell")
    known: dict[str, Any] = {"voxel_size_um": VOXEL_UM, "origin": {"voxel_size_um": "user"}}
    volume = Volume.from_array(nuclei.astype(np.uint32), quantity="labels", **known)
    write_volume(folder / f"{name}_nucleus.ome.tif", volume)


def two_cells() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Cell 3 with nuclei 5 and 6, and cell 8 with nucleus 2 beside it; cell 9 without a nucleus."""
    cells, nuclei = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    cells[3:11, 8:30, 6:30], cells[3:11, 8:30, 30:50], cells[5:8, 34:38, 2:9] = 3, 8, 9
    nuclei[5:9, 12:20, 9:15], nuclei[5:9, 12:20, 21:27], nuclei[5:9, 16:24, 36:44] = 5, 6, 2
    nuclei[12, 2:4, 55] = 7  # in no cell
    return cells, nuclei


@pytest.fixture
def cell_data(tmp_path: Path) -> Path:
    for index in range(2):
        write_cells(tmp_path / "cells", f"field{index}", *two_cells())
    return tmp_path / "cells"


def samples_of(folder: Path, **changes: Any) -> CellSamples:
    settings = DataSettings.model_validate(data_settings(**changes))
    found = make_samples(find_items(folder, settings), settings, n_axes=3)
    assert isinstance(found, CellSamples)
    return found


def test_one_sample_per_cell_with_a_nucleus(cell_data: Path) -> None:
    samples = samples_of(cell_data)
    assert [(place.item, place.cell) for place in samples.cells] == [(0, 3), (0, 8), (1, 3), (1, 8)]
    assert samples.groups == ["field0", "field0", "field1", "field1"]
    assert samples.n_channels == 3
    assert samples.pixel_size_um(0) == pytest.approx(VOXEL_UM)
    assert samples.scene(0, 0).owner == {2: 8, 5: 3, 6: 3, 7: 0}


def test_a_whole_sample_is_the_window_around_its_nuclei(cell_data: Path) -> None:
    image, target = samples_of(cell_data).whole(1)
    cells, nuclei = two_cells()
    # Nucleus 2 has its middle at 7, 20, 40: the window of 8 x 16 x 16 begins at 3, 12, 32.
    box = (slice(3, 11), slice(12, 28), slice(32, 48))
    assert np.array_equal(image[0], cells[box] != 0)
    assert np.array_equal(image[1], nuclei[box] == 2)
    assert not image[2].any()
    assert np.array_equal(target[0], cells[box] == 8)


def test_all_nuclei_of_a_cell_are_the_chosen_one(cell_data: Path) -> None:
    image, target = samples_of(cell_data, patch_shape=(8, 24, 40)).whole(0)
    cells, nuclei = two_cells()
    box = (slice(3, 11), slice(4, 28), slice(0, 38))  # the middle is at 7, 16, 18: the window begins at -2 along x
    assert np.array_equal(image[1][:, :, 2:], np.isin(nuclei[box], (5, 6)))
    assert np.array_equal(image[2][:, :, 2:], nuclei[box] == 2)
    assert np.array_equal(target[0][:, :, 2:], cells[box] == 3)
    assert not image[:, :, :, :2].any()


def test_regions_begin_where_watershed_ends(cell_data: Path) -> None:
    image, _ = samples_of(cell_data, patch_shape=(8, 24, 40), cells={"input": "regions"}).whole(0)
    plain, _ = samples_of(cell_data, patch_shape=(8, 24, 40)).whole(0)
    assert np.array_equal(image[0] > 0, plain[0] > 0)
    assert np.array_equal(image[1] == 1, plain[1] == 1)
    assert np.array_equal((image[1] > 0) ^ (image[2] > 0), plain[0] > 0)
    depth = ndimage.distance_transform_edt(np.pad(plain[0], ((0, 0), (0, 0), (1, 1))), sampling=VOXEL_UM)[:, :, 1:-1]
    inner = depth[2:-2, 6:-6, 6:-6]
    assert np.corrcoef(inner[plain[0][2:-2, 6:-6, 6:-6] > 0], image[0][2:-2, 6:-6, 6:-6][inner > 0])[0, 1] > 0.5


def test_the_published_frame_is_the_middle_of_the_whole_field(cell_data: Path) -> None:
    samples = samples_of(cell_data, patch_shape=(64, 128, 128), voxel_size_um=None, cells={"frame": "as-published"})
    image, target = samples.whole(0)
    cells, _ = two_cells()
    z = ((np.arange(32, 96) + 0.5) * SHAPE[0] / 128).astype(int)
    y, x = (((np.arange(128) + 0.5) * n / 128).astype(int) for n in SHAPE[1:])
    expected = cells[np.ix_(z, y, x)]
    assert np.array_equal(image[0], expected != 0)
    assert np.array_equal(target[0], expected == 3)
    assert samples.pixel_size_um(0) == pytest.approx([n * s / 128 for n, s in zip(SHAPE, VOXEL_UM, strict=True)])


def test_reading_hangs_on_the_generator_alone(cell_data: Path) -> None:
    how = {"scale": [0.5, 2.0], "scale_z": [0.8, 1.2], "is_turned": True, "jitter_um": 1.0, "corruption": 0.5}
    samples = samples_of(cell_data, cells=how)
    first, again, other = (samples.read(0, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].dtype == np.float32
    assert first[1].dtype == np.uint8
    assert first[0].shape == (3, *PATCH)
    assert first[1].shape == (1, *PATCH)


def test_without_changes_reading_is_the_whole_sample(cell_data: Path) -> None:
    samples = samples_of(cell_data)
    read, whole = samples.read(1, np.random.default_rng(1)), samples.whole(1)
    assert np.array_equal(read[0], whole[0])
    assert np.array_equal(read[1], whole[1])


def test_a_cell_with_two_nuclei_is_sometimes_shown_with_one(cell_data: Path) -> None:
    samples = samples_of(cell_data, patch_shape=(8, 24, 40))
    n_chosen = [ndimage.label(samples.read(0, np.random.default_rng(seed))[0][1])[1] for seed in range(40)]
    assert {1, 2} == set(n_chosen)
    assert 4 <= n_chosen.count(1) <= 18  # a quarter of 40, at four standard deviations


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scale_enlarges_everything(cell_data: Path, scale: float) -> None:
    plain = samples_of(cell_data, patch_shape=(8, 48, 96)).whole(1)[0][1].sum()
    how = {"scale": [scale, scale]}
    scaled = samples_of(cell_data, patch_shape=(8, 48, 96), cells=how).read(1, np.random.default_rng(0))[0][1].sum()
    assert scaled == pytest.approx(plain * scale**3, rel=0.01)


def test_a_turned_view_looks_where_it_says() -> None:
    labels = np.zeros((3, 5, 7), dtype=np.uint8)
    labels[1, 1, 5] = 1  # middle at z 1.5, y 1.5, x 5.5 times the voxel size
    quarter = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    view = View((3, 5, 5), (0.5, 0.3, 0.3), (0.75, 0.75, 1.05), quarter)
    seen = view.look(labels, (0.5, 0.3, 0.3))
    # Its place from the centre: y -0.3, x +0.6. Turned back: y' = 0.6, x' = 0.3, two and one voxels from the middle.
    assert np.argwhere(seen).tolist() == [[1, 4, 3]]


def test_labels_that_do_not_cover_the_frame_are_refused(cell_data: Path) -> None:
    """255 is no cell where it means that nobody looked there; where it occurs nowhere, nothing is missing."""
    complete = samples_of(cell_data, ignore_label=255)
    assert [place.cell for place in complete.cells] == [3, 8, 3, 8]
    cells, nuclei = two_cells()
    cells[:, :, 52:] = 255
    write_cells(cell_data, "partial", cells, nuclei)
    with pytest.raises(InputError, match=r"E-LABELS-PARTIAL.*cell do not cover.*without --margin-um") as error:
        samples_of(cell_data, ignore_label=255)
    assert str(error.value.path).endswith("partial.ome.tif")


def test_fields_without_nuclei_are_refused(tmp_path: Path) -> None:
    cells, _ = two_cells()
    write_cells(tmp_path / "none", "field", cells, np.zeros_like(cells))
    with pytest.raises(InputError, match="E-NO-POSITIVES"):
        samples_of(tmp_path / "none")


@pytest.mark.parametrize(
    "changes", [{"structures": ["cell"]}, {"patch_shape": None}, {"cells": {"scale": [0.01, 1]}}], ids=str
)
def test_unfit_settings_are_refused(changes: dict[str, Any]) -> None:
    content = {"name": "x", "network": {"name": "unet3d"}, "data": data_settings(**changes)}
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        build_recipe(content)


def ball(shape: tuple[int, ...], radius: float) -> NDArray[np.bool_]:
    offsets = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    return np.asarray(sum(axis**2 for axis in offsets) <= radius**2)


def test_moved_edges_stay_near_the_edge() -> None:
    mask = ball((24, 30, 36), 10)
    distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    changes = []
    for seed in range(8):
        moved = moved_edges(mask, np.random.default_rng(seed))
        assert np.abs(distance[moved != mask]).max() <= 3
        changes.append(int(moved.sum()) - int(mask.sum()))
        assert (moved & ~mask).any()
        assert (mask & ~moved).any()
    assert min(changes) < max(changes)


def test_thin_threads_are_lost() -> None:
    mask = ball((24, 30, 36), 8)
    mask[12, 15, :] = True
    assert not any(moved_edges(mask, np.random.default_rng(seed))[12, 15, 0] for seed in range(5))


def test_noise_is_smooth_and_bounded() -> None:
    noise = smooth_noise((20, 31, 17), np.random.default_rng(3))
    assert noise.shape == (20, 31, 17)
    assert np.abs(noise).max() <= 1
    assert all(np.abs(np.diff(noise, axis=axis)).max() <= 2 / 8 + 1e-6 for axis in range(3))
    assert noise.std() > 0.2


def test_blobs_are_no_larger_than_they_may_be() -> None:
    mask = ball((24, 30, 36), 9)
    for seed in range(8):
        changed = with_blobs(mask, mask, (0.5, 0.5, 0.5), np.random.default_rng(seed)) != mask
        labels, n = ndimage.label(changed)
        for part in ndimage.find_objects(labels):
            assert all((side.stop - side.start) * 0.5 <= 2 * 2 * 2.5 + 0.5 for side in part)
        assert n <= 40


def test_a_slit_is_narrow() -> None:
    mask = ball((24, 30, 36), 11)
    cut = slit(mask, (0.5, 0.5, 0.5), np.random.default_rng(2))
    assert cut.any()
    inside = ndimage.distance_transform_edt(cut, sampling=0.5)
    assert inside.max() <= 1.0
    assert not slit(np.zeros_like(mask), (0.5, 0.5, 0.5), np.random.default_rng(2)).any()


def test_corrupted_masks_keep_the_chosen_nucleus_apart_from_the_others() -> None:
    cells, nuclei = two_cells()
    chosen = nuclei == 5
    others = np.where(chosen, 0, nuclei)
    n_others = []
    for seed in range(40):
        membrane, mine, rest = corrupted(cells != 0, chosen, others, VOXEL_UM, np.random.default_rng(seed))
        assert membrane.any()
        assert mine.any()
        assert not (mine & rest).any()
        n_others.append(sum(bool(rest[nuclei == label].any()) for label in (2, 6)))
    assert n_others.count(2) > 20
    assert min(n_others) < 2
    tiny = np.zeros_like(chosen)
    tiny[7, 20, 30] = True
    beside = np.where(np.arange(SHAPE[2]) < 24, others, 0)
    beside[5:9, 12:20, 15:20] = 4  # touches the chosen nucleus
    for seed in range(12):
        assert corrupted(cells != 0, tiny, others, VOXEL_UM, np.random.default_rng(seed))[1].any()
        _, mine, rest = corrupted(cells != 0, chosen, beside, VOXEL_UM, np.random.default_rng(seed))
        assert not (mine & rest).any()


def test_methods_are_compared_on_the_same_masks(cell_data: Path) -> None:
    settings = DataSettings.model_validate(data_settings())
    seen: dict[str, list[NDArray[np.bool_]]] = {"one": [], "other": []}

    def way(name: str) -> Any:
        def one_cell(cells: NDArray[np.bool_], nuclei: NDArray[np.bool_], size: tuple[float, ...]) -> NDArray[np.uint8]:
            assert size == pytest.approx(VOXEL_UM)
            seen[name].append(np.stack([cells, nuclei]))
            return cells.astype(np.uint8)

        return one_cell

    tables = compare_cell_methods(find_items(cell_data, settings), settings, {name: way(name) for name in seen})
    found = {
        kind: {name: table.values("hungarian_dice", method=name) for name in seen} for kind, table in tables.items()
    }
    # All cells as one: its partner is cell 3 with 4224 of 7828 voxels, the other two have none.
    assert found["exact"]["one"] == pytest.approx([2 * 4224 / (7828 + 4224) / 3] * 2)
    assert found["exact"]["one"] == found["exact"]["other"]
    assert found["spoiled"]["one"] == found["spoiled"]["other"]
    assert found["spoiled"]["one"][0] != found["spoiled"]["one"][1]
    assert all(np.array_equal(a, b) for a, b in zip(seen["one"], seen["other"], strict=True))


def test_methods_are_the_network_watershed_and_the_nearest_nucleus() -> None:
    cells = np.zeros((8, 12, 40), dtype=bool)
    cells[2:6, 2:10, 2:38] = True
    nuclei = np.zeros_like(cells)
    nuclei[3:5, 4:8, 6:12], nuclei[3:5, 4:8, 30:34] = True, True
    how = CellByCellSettings(voxel_size_um=(1, 1, 1), divisor=(2, 2, 2), margin_um=50)
    ways = cell_methods(lambda batch: batch[:, :1] * batch[:, 1:2].max(axis=(2, 3, 4), keepdims=True), how)
    found = {name: way(cells, nuclei, (1.0, 1.0, 1.0)) for name, way in ways.items()}
    assert np.array_equal(found["network"], cells)  # both claim everything
    assert [np.bincount(labels.ravel()).size - 1 for labels in found.values()] == [1, 2, 2]
    edge = int(np.flatnonzero(found["nearest_nucleus"][4, 5] == 2)[0])
    assert edge == 21  # from 11 and 30 the middle is 20.5


def test_exact_masks_are_the_labels(cell_data: Path) -> None:
    scene = samples_of(cell_data).scene(0, 0)
    cells, nuclei = two_cells()
    membrane, seeds = field_masks(scene, is_corrupted=False, seed=1)
    assert np.array_equal(membrane, cells != 0)
    assert np.array_equal(seeds, nuclei != 0)
    spoiled = [field_masks(scene, is_corrupted=True, seed=seed)[0] for seed in (1, 1, 2)]
    assert np.array_equal(spoiled[0], spoiled[1])
    assert not np.array_equal(spoiled[0], spoiled[2])


def test_training_makes_a_cell_by_cell_package_with_figures(cell_data: Path, tmp_path: Path) -> None:
    content = {
        "name": "small-cells",
        "network": {"name": "unet3d", "options": {"width": 4, "strides": [[2, 2, 2]]}},
        "data": data_settings(cells={"input": "regions", "is_turned": True, "corruption": 0.5}),
        "loop": {"n_epochs": 1, "batch_size": 2, "precision": "fp32", "validate_every": 1},
        "held_out": {"benchmark": "choi/small", "sets": {"all": {"split": "test"}}},
    }
    recipe = build_recipe(content)
    items = find_items(cell_data, recipe.data)
    result = train_network(recipe, split_items(items, 0.5, seed=1), folder=tmp_path / "run")
    assert (result["n_train"], result["n_validation"]) == (2, 2)
    card = load_package(tmp_path / "run" / "model").card
    assert card.role == "cell-by-cell"
    assert card.structures == ("cell",)
    assert card.channels == ("membrane", "nucleus", "other_nuclei")
    assert card.voxel_size_um == pytest.approx(VOXEL_UM)
    assert card.network.options["n_inputs"] == 3
    assert "2 cells of 1 images" in card.training_data
    before = (tmp_path / "run" / "model" / "weights.safetensors").read_bytes()
    test_items = [LabelledItem(i.name, i.image, i.labels, i.group, split="test") for i in items]
    scored = score_cells_on_card(tmp_path / "run" / "model", recipe, {"all": test_items})
    figures = scored.figures["all, exact masks (simulated, 2 fields)"]
    assert isinstance(figures, dict)
    assert set(figures) == {"matched_dice_network", "matched_dice_watershed", "matched_dice_nearest_nucleus"}
    assert (tmp_path / "run" / "model" / "weights.safetensors").read_bytes() == before
