"""Data sets: the same from any worker, truth and image on one grid, every option doing what it says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.settings import SceneSettings
from tomocyte.simulation.dataset import simulate_dataset, simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments.odt import OdtRanges
from tomocyte.simulation.instruments.qpi import QpiRanges

SMALL = DatasetSettings(
    preset="T cell",
    n_cells=(1, 3),
    shape=(24, 88, 80),
    voxel_size_um=(0.6, 0.3, 0.32),
    scene=SceneSettings(has_organelles=False),
)
QUIET = OdtRanges(
    noise_ri_std=(1e-6, 1e-6),
    n_fringes=(0, 0),
    background_ri_std=(1e-6, 1e-6),
    medium_ri_error=(0, 0),
    drift_um=(0, 0),
    blur_um=(0, 0),
    skirt_share=(0, 0),
    n_iterations=(30, 30),
    azimuth_fraction=(1, 1),
)

STILL = QpiRanges(noise_rad_std=(1e-6, 1e-6), n_fringes=(0, 0), background_rad_std=(1e-6, 1e-6))


def changed(**fields):
    return SMALL.model_copy(update=fields)


def test_any_order_and_any_number_of_workers_make_the_same_set():
    alone = [item.frame(0) for item in simulate_dataset(SMALL, 3, seed=5)]
    with ThreadPoolExecutor(2) as pool:
        shared = list(pool.map(lambda index: simulate_item(SMALL, index, seed=5).frame(0), [2, 0, 1]))
    for index, frame in zip([2, 0, 1], shared, strict=True):
        np.testing.assert_array_equal(frame.measured, alone[index].measured)
        np.testing.assert_array_equal(frame.labels("cell"), alone[index].labels("cell"))
    assert not np.array_equal(alone[0].labels("cell"), alone[1].labels("cell"))
    later = next(simulate_dataset(SMALL, 1, seed=5, first_index=2))
    np.testing.assert_array_equal(later.frame(0).measured, alone[2].measured)


def test_too_many_cells_become_fewer_of_the_range_not_the_fewest():
    crowded = changed(n_cells=(1, 40), shape=(24, 60, 56))
    numbers = [len(item.scenes[0].cells) for item in simulate_dataset(crowded, 4, seed=1)]
    assert max(numbers) < 20  # what is drawn on average does not fit
    assert min(numbers) > 1


def test_another_seed_is_another_set():
    first, other = (simulate_item(SMALL, 0, seed=seed).frame(0).measured for seed in (1, 2))
    assert not np.array_equal(first, other)


def test_noise_does_not_change_the_cells():
    """Geometry and optics draw from streams of their own: a shifted microscope looks at the same cells."""
    plain, shifted = (simulate_item(changed(shift=shift), 1, seed=3) for shift in ("none", "strong"))
    np.testing.assert_array_equal(plain.frame(0).labels("cell"), shifted.frame(0).labels("cell"))
    assert shifted.optics[1].noise_ri_std > plain.optics[1].noise_ri_std


def test_volume_says_what_it_is():
    item = simulate_item(SMALL, 0, seed=5)
    volume = item.volume()
    assert volume.shape == (1, 1, 24, 88, 80)
    assert (volume.quantity, volume.unit, volume.voxel_size_um) == ("refractive_index", "1", (0.6, 0.3, 0.32))
    assert volume.medium_ri == item.scenes[0].medium_ri
    assert volume.origin["medium_ri"] == "simulated"
    np.testing.assert_array_equal(volume.planes(0, 0, 3, 7), item.frame(0).measured[3:7])
    card = item.card()
    assert card["is_simulated"] is True
    assert card["seed"] == 5
    assert card["instrument"]["name"] == "HT-2H"


def test_measured_cells_lie_where_their_labels_are():
    """With little noise the tomogram's contrast is inside the labels, and most of the truth's."""
    frame = simulate_item(changed(ranges=QUIET), 0, seed=5).frame(0)
    fractions = frame.recovered()
    assert set(fractions) == set(np.unique(frame.labels("cell"))) - {0}
    assert all(0.7 < fraction < 1.1 for fraction in fractions.values())
    contrast = frame.measured - frame.truth.medium_ri
    inside = frame.labels("cell") > 0
    assert contrast[inside].mean() > 20 * abs(contrast[~inside].mean())


def test_multiple_scattering_is_another_image_of_the_same_cell():
    fields = {
        "n_cells": (1, 1),
        "instrument": "HT-2H-58deg",
        "ranges": QUIET.model_copy(update={"n_iterations": (5, 5)}),
    }
    single, several = (
        simulate_item(changed(**fields, is_multiple_scattering=flag), 0, seed=5).frame(0) for flag in (False, True)
    )
    np.testing.assert_array_equal(single.truth.ri, several.truth.ri)
    # The same cell in the same place, but not the same voxel values.
    assert 0.9 < np.corrcoef(single.measured.ravel(), several.measured.ravel())[0, 1] < 0.999
    (kept,) = several.recovered().values()
    assert 0.8 < kept < 1.1
    with pytest.raises(SettingsError, match="E-BACKEND"):
        simulate_item(changed(**fields, is_multiple_scattering=True), 0, seed=5).frame(0, backend="torch")


def test_truth_table_agrees_with_the_labels():
    """Volume of every cell: continuous shape against voxels, 3 %; none missing."""
    item = simulate_item(SMALL, 2, seed=5)
    table = item.truth()
    cells = table[(table["structure"] == "cell") & ~table["is_cut"]].set_index("label")
    counts = np.bincount(item.frame(0).labels("cell").ravel()) * 0.6 * 0.3 * 0.32
    assert len(cells) >= 1
    for label, row in cells.iterrows():
        assert counts[label] == pytest.approx(row["volume_um3"], rel=0.03)


def test_phase_images_carry_the_dry_mass():
    """Summed density of the image against that of straight rays through the true index, α = 0.19 mL/g."""
    item = simulate_item(
        changed(modality="qpi", voxel_size_um=(0.6, 0.2, 0.21), shape=(24, 132, 126), n_cells=(1, 1), ranges=STILL),
        0,
        seed=8,
    )
    frame = item.frame(0)
    assert frame.measured.shape == (1, 132, 126)
    assert item.volume().unit == "pg/um2"
    assert np.isnan(item.volume().voxel_size_um[0])
    straight = (frame.truth.ri - frame.truth.medium_ri).sum(axis=0, dtype=np.float64) * 0.6 / 0.19
    inside = frame.labels("cell")[0] > 0
    assert float(frame.measured.sum(dtype=np.float64)) == pytest.approx(straight.sum(), rel=0.05)
    np.testing.assert_array_equal(inside, (frame.truth.labels["cell"] > 0).any(axis=0))
    with pytest.raises(SettingsError, match="E-SIM-MODALITY"):
        frame.recovered()


def test_the_topmost_object_is_seen():
    """Two labels above each other, by hand."""
    from tomocyte.simulation.imaging import topmost

    labels = np.array([[[1, 1, 0]], [[0, 2, 0]]], np.uint32)
    np.testing.assert_array_equal(topmost(labels), [[[1, 2, 0]]])


def test_lost_frames_leave_the_others_as_they_are():
    moving = {"n_frames": 6, "n_cells": (2, 2)}
    whole = simulate_item(changed(**moving), 0, seed=4)
    lossy = simulate_item(changed(**moving, frame_drop_share=0.5), 0, seed=4)
    assert whole.time_s == tuple(1800.0 * frame for frame in range(6))
    assert 1 <= len(lossy.time_s) < 6
    assert set(lossy.time_s) < set(whole.time_s)
    last = len(lossy.time_s) - 1
    same = whole.time_s.index(lossy.time_s[last])
    np.testing.assert_array_equal(lossy.frame(last).measured, whole.frame(same).measured)
    assert lossy.tracks["frame"].max() == last
    kept = whole.tracks[whole.tracks["frame"] == same]["track_id"].tolist()
    assert lossy.tracks[lossy.tracks["frame"] == last]["track_id"].tolist() == kept


def test_stage_drift_moves_image_labels_and_table_alike():
    moving = changed(n_frames=3, n_cells=(1, 1), stage_drift_um=1.0)
    item = simulate_item(moving, 0, seed=6)
    assert item.origins_um[0] == (0.0, 0.0, 0.0)
    assert any(np.abs(item.origins_um[2]) > 0.2)
    table = item.truth()
    row = table[(table["frame"] == 2) & (table["structure"] == "cell")].iloc[0]
    labels = item.frame(2).labels("cell")
    where = (np.argwhere(labels > 0).mean(axis=0) + 0.5) * np.array([0.6, 0.3, 0.32])
    if not row["is_cut"]:
        np.testing.assert_allclose(where, [row["z_um"], row["y_um"], row["x_um"]], atol=0.15)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"instrument": "HT-9000"}, "E-INSTRUMENT"),
        ({"preset": "elephant"}, "E-SIM-PRESET"),
        ({"is_coarse_grid_allowed": False}, "E-OPTICS-NYQUIST"),
        ({"n_cells": (20, 20), "shape": (24, 40, 40)}, "E-SIM-FIT"),
        ({"n_cells": (3, 2)}, "E-SIM-COUNT"),
        ({"modality": "qpi", "voxel_size_um": (0.6, 0.3, 0.32)}, "E-OPTICS-NYQUIST"),
    ],
)
def test_what_cannot_be_made_is_refused(fields, code):
    with pytest.raises(SettingsError, match=code):
        simulate_item(changed(**fields), 0, seed=1)


def test_negative_seeds_and_empty_sets_are_refused():
    with pytest.raises(SettingsError, match="E-SEED"):
        simulate_item(SMALL, 0, seed=-1)
    with pytest.raises(SettingsError, match="E-SIM-COUNT"):
        list(simulate_dataset(SMALL, 0, seed=1))
