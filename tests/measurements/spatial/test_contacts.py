"""Tables of contacts: counted by hand, on bodies known from a formula, and p on scenes that are random or are not."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

from tomocyte.errors import InputError
from tomocyte.measurements.spatial import CONTACT_COLUMNS, ContactSettings, measure_contacts

VOXEL = (0.2, 0.1, 0.1)
SHAPE = (24, 48, 52)
PLACES = np.meshgrid(*((np.arange(n) - n / 2 + 0.5) * s for n, s in zip(SHAPE, VOXEL, strict=True)), indexing="ij")


def ball(centre, radius) -> np.ndarray:
    return sum((axis - at) ** 2 for axis, at in zip(PLACES, centre, strict=True)) <= radius**2


CELL, NUCLEUS, GOLGI = ball((0, 0, 0), 2.3), ball((0, 0, -0.7), 1.0), ball((0, 1.1, 0.9), 0.4)
FIXED = {"cell": CELL.astype(np.uint8), "nucleus": NUCLEUS.astype(np.uint8), "golgi": GOLGI.astype(np.uint8)}


def scattered(rng: np.random.Generator, share_at_golgi: float, n: int = 12) -> np.ndarray:
    """Balls thrown one by one, the largest first, until each lies free; some of them around the Golgi apparatus."""
    droplets, free = np.zeros(SHAPE, np.uint8), CELL & ~NUCLEUS & ~GOLGI
    for number, radius in enumerate(np.sort(rng.uniform(0.15, 0.3, n))[::-1], start=1):
        while True:
            centre = rng.uniform(-2.3, 2.3, 3)
            if rng.random() < share_at_golgi:
                direction = rng.normal(size=3)
                centre = np.array([0, 1.1, 0.9]) + direction / np.linalg.norm(direction) * (0.42 + radius)
            body = ball(centre, radius)
            if body.any() and not (body & ~free).any():
                droplets[body], free = number, free & ~body
                break
    return droplets


def compared(droplets: np.ndarray, **settings) -> pd.DataFrame:
    """Rows of the droplets, by what they are compared with."""
    chosen = ContactSettings(gap_um=0.15, **settings)
    table = measure_contacts({**FIXED, "lipid_droplet": droplets}, VOXEL, cells="cell", settings=chosen).structures
    return table[table["structure"] == "lipid_droplet"].set_index("other_structure")


def test_p_is_uniform_where_objects_lie_at_random_and_small_where_they_do_not() -> None:
    """Distances have few ties: their p is uniform. Counts have many: theirs is at least not too small."""
    rows = [compared(scattered(np.random.default_rng(seed), 0.0), n_placements=39, seed=seed) for seed in range(60)]
    for other in ("nucleus", "golgi", "cell"):
        p = np.array([row.loc[other, "mean_distance_p"] for row in rows])
        assert stats.kstest(p, "uniform").pvalue > 0.01, other
        for name in ("n_contacts_p", "contact_area_p"):
            counted = np.array([row.loc[other, name] for row in rows])
            assert stats.binomtest(int((counted <= 0.1).sum()), len(rows), 0.1, "greater").pvalue > 0.01, other
        effects = np.array([row.loc[other, "mean_distance_effect"] for row in rows])
        assert abs(effects.mean() - 1) < 3.5 * effects.std() / math.sqrt(len(rows))
    for seed in range(5):
        row = compared(scattered(np.random.default_rng(seed), 0.7), n_placements=99, seed=seed).loc["golgi"]
        assert row["mean_distance_p"] == row["n_contacts_p"] == row["contact_area_p"] == pytest.approx(0.02)
        assert row["n_contacts_effect"] > 5
        assert row["mean_distance_effect"] < 0.8
        assert row["n_contacts_z"] > 4


def test_the_seed_decides_the_placements_and_nothing_else_does() -> None:
    droplets = scattered(np.random.default_rng(1), 0.3)
    one, same, other = (compared(droplets, n_placements=9, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    expected = [column for column in one if "_expected" in column]
    observed = ["n_contacts", "contact_area_um2", "mean_distance_um", "polarity"]
    assert not np.allclose(one[expected], other[expected])
    pd.testing.assert_frame_equal(one[observed], other[observed])


def test_contacts_and_distances_by_hand() -> None:
    """Two cells side by side; droplets of one voxel at known places; one outside all cells."""
    cells, nuclei, droplets = (np.zeros((7, 12, 30), np.uint16) for _ in range(3))
    cells[1:6, 1:11, 1:15], cells[1:6, 1:11, 15:29] = 3, 8
    nuclei[2:5, 4:8, 3:7] = 1
    for number, place in ((1, (3, 5, 7)), (2, (3, 5, 9)), (5, (3, 10, 13)), (6, (3, 5, 20)), (9, (6, 0, 0))):
        droplets[place] = number
    tables = measure_contacts({"cell": cells, "nucleus": nuclei, "lipid_droplet": droplets}, VOXEL, cells="cell",
                              settings=ContactSettings(gap_um=0.0))  # fmt: skip
    rows = tables.objects["lipid_droplet"].set_index("label")
    nan = math.nan
    np.testing.assert_allclose(rows["distance_to_nucleus_um"], [0, 0.2, math.hypot(0.2, 0.6), nan, nan], rtol=1e-6)
    # To the membrane: a droplet in the last column is a voxel's side away from it only in its own voxel.
    np.testing.assert_allclose(rows["distance_to_cell_um"], [0.4, 0.4, 0.0, 0.4, nan], rtol=1e-6)
    np.testing.assert_array_equal(rows["n_contacts_nucleus"], [1, 0, 0, 0, nan])
    np.testing.assert_array_equal(rows["n_contacts_cell"], [0, 0, 1, 0, nan])
    assert rows.loc[[1, 2], "contact_area_nucleus_um2"].tolist() == [pytest.approx(0.02, rel=0.3), 0]
    # From the middle of the voxel 2.5 voxels in x to the nucleus, 4.5 in y to the membrane.
    assert rows.loc[2, "radial_position"] == pytest.approx(0.25 / (0.25 + 0.45), rel=1e-5)
    assert rows.loc[[6, 9], "radial_position"].isna().all()
    # Among each other: 1 and 2 have a voxel between them, 5 lies 4 voxels from 2 in y and 3 in x; each in its own cell.
    np.testing.assert_allclose(rows["distance_to_lipid_droplet_um"], [0.1, 0.1, 0.5, nan, nan], rtol=1e-6)
    np.testing.assert_array_equal(rows["n_contacts_lipid_droplet"], [0, 0, 0, 0, nan])
    cell_rows = tables.objects["cell"].set_index("label")
    assert cell_rows["neighbour_distance_um"].tolist() == [0, 0]
    assert cell_rows["n_neighbours"].tolist() == [1, 1]
    # The wall between them is 5 voxels of 0.2 µm high and 10 of 0.1 µm wide.
    np.testing.assert_allclose(cell_rows["shared_area_um2"], 1.0, rtol=1e-6)
    pairs = tables.structures.set_index(["cell_id", "structure", "other_structure"])
    assert pairs.loc[(3, "lipid_droplet", "nucleus"), ["n_objects", "n_in_contact", "n_contacts"]].tolist() == [3, 1, 1]
    assert pairs.loc[(8, "lipid_droplet", "nucleus"), ["n_objects", "n_other_objects"]].tolist() == [1, 0]
    assert math.isnan(pairs.loc[(8, "lipid_droplet", "nucleus"), "mean_distance_um"])
    own = pairs.loc[(3, "lipid_droplet", "lipid_droplet")]
    assert own[["n_objects", "n_other_objects", "n_contacts"]].tolist() == [3, 2, 0]
    assert own["mean_distance_um"] == pytest.approx(0.7 / 3)
    assert (8, "lipid_droplet", "lipid_droplet") not in pairs.index  # one droplet has no other


def test_objects_among_each_other_against_chance() -> None:
    """Where they lie at random p is uniform, apart for ties; gathered at the Golgi apparatus they are nearer."""
    rows = [compared(scattered(np.random.default_rng(seed), 0.0), n_placements=39, seed=seed).loc["lipid_droplet"]
            for seed in range(100, 140)]  # fmt: skip
    assert stats.kstest([row["mean_distance_p"] for row in rows], "uniform").pvalue > 0.01
    assert np.mean([row["mean_distance_effect"] for row in rows]) == pytest.approx(1, abs=0.1)
    assert all(math.isnan(row["contact_area_p"]) for row in rows)
    row = compared(scattered(np.random.default_rng(1), 0.9), n_placements=99).loc["lipid_droplet"]
    assert row["mean_distance_p"] == pytest.approx(0.02)
    assert row["mean_distance_effect"] < 0.7
    assert row["n_contacts_effect"] > 1.5


def test_radial_position_between_concentric_balls() -> None:
    """Nucleus of 1, cell of 2.3 µm: an object at the distance r from the centre lies at (r - 1) / 1.3."""
    nucleus = ball((0, 0, 0), 1.0).astype(np.uint8)
    for r, direction in ((1.3, (0, 1, 0)), (1.65, (0, 0.6, 0.8)), (2.0, (1, 0, 0)), (1.7, (0.6, 0.0, 0.8))):
        droplet = ball(np.multiply(direction, r), 0.18).astype(np.uint8)
        tables = measure_contacts({"cell": CELL.astype(np.uint8), "nucleus": nucleus, "lipid_droplet": droplet}, VOXEL,
                                  cells="cell")  # fmt: skip
        assert tables.objects["lipid_droplet"]["radial_position"].item() == pytest.approx((r - 1) / 1.3, abs=0.1 / 1.3)


def test_polarity_of_an_object_at_one_side() -> None:
    """Strength: the distance over √(3/5) R, the root mean square radius of a ball."""
    droplet = ball((0.6, -0.9, 1.2), 0.3).astype(np.uint8)
    table = measure_contacts({"cell": CELL.astype(np.uint8), "golgi": droplet}, VOXEL, cells="cell").structures
    row = table.iloc[0]
    assert row[["polarity_z_um", "polarity_y_um", "polarity_x_um"]].tolist() == pytest.approx(
        [0.6, -0.9, 1.2], abs=0.02
    )
    assert row["polarity"] == pytest.approx(math.hypot(0.6, 0.9, 1.2) / (math.sqrt(0.6) * 2.3), rel=0.02)


def test_nucleoli_are_measured_from_inside_and_placed_in_their_nucleus() -> None:
    nucleolus = ball((0.1, 0.35, -0.65), 0.25).astype(np.uint8)
    tables = measure_contacts({**FIXED, "nucleolus": nucleolus}, VOXEL, cells="cell",
                              settings=ContactSettings(n_placements=99))  # fmt: skip
    row = tables.objects["nucleolus"].iloc[0]
    assert row["distance_to_nucleus_um"] == pytest.approx(
        1.0 - math.hypot(0.1, 0.35, 0.05) - 0.25, abs=math.hypot(*VOXEL)
    )
    pair = tables.structures.set_index(["structure", "other_structure"]).loc[("nucleolus", "nucleus")]
    # Every place where it fits, and the distance there, by scipy.
    form = nucleolus[np.ix_(*(np.flatnonzero(nucleolus.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))))] > 0
    assert all(side % 2 for side in form.shape)
    is_near = ndimage.binary_dilation(~NUCLEUS, np.ones((3, 3, 3)))
    nearest = ndimage.grey_erosion(ndimage.distance_transform_edt(~is_near, sampling=VOXEL), footprint=form)
    distances = nearest[ndimage.binary_erosion(NUCLEUS, form)]
    error = distances.std() / math.sqrt(99)
    assert pair["mean_distance_expected_um"] == pytest.approx(distances.mean(), abs=4 * error)
    assert "distance_to_nucleolus_um" not in tables.objects["nucleus"]


@pytest.mark.parametrize("scale", [0.37, 8.0])
def test_columns_scale_as_their_units_say(scale) -> None:
    labels = {**FIXED, "lipid_droplet": scattered(np.random.default_rng(3), 0.4)}
    small, large = (
        measure_contacts(labels, tuple(side * factor for side in VOXEL), cells="cell",
                         settings=ContactSettings(gap_um=0.15 * factor, n_placements=5))
        for factor in (1.0, scale)
    )  # fmt: skip
    for column in CONTACT_COLUMNS:
        if column.kind != "text":
            power = {"µm": 1, "µm²": 2}.get(column.unit, 0)
            np.testing.assert_allclose(
                large.structures[column.name], small.structures[column.name] * scale**power, rtol=1e-4, atol=1e-9
            )


def test_without_cells_the_volume_is_one() -> None:
    droplets = scattered(np.random.default_rng(4), 0.4)
    table = measure_contacts({"golgi": FIXED["golgi"], "lipid_droplet": droplets}, VOXEL,
                             settings=ContactSettings(n_placements=9)).structures  # fmt: skip
    assert table[["structure", "cell_id", "other_structure"]].values.tolist() == [
        ["golgi", 0, "lipid_droplet"], ["lipid_droplet", 0, "golgi"], ["lipid_droplet", 0, "lipid_droplet"],
    ]  # fmt: skip
    assert table["mean_distance_p"].notna().all()
    assert table["polarity"].isna().all()


def test_nothing_to_measure_gives_tables_of_the_same_types() -> None:
    empty = {name: np.zeros_like(one) for name, one in FIXED.items()}
    none = measure_contacts(empty, VOXEL, cells="cell", settings=ContactSettings(n_placements=9))
    some = measure_contacts(FIXED, VOXEL, cells="cell", settings=ContactSettings(n_placements=9))
    assert (len(none.structures), len(none.objects["golgi"])) == (0, 0)
    assert none.structures.dtypes.tolist() == some.structures.dtypes.tolist()
    assert none.objects["golgi"].dtypes.tolist() == some.objects["golgi"].dtypes.tolist()


def test_an_organelle_without_allowed_region_is_said() -> None:
    """A Golgi apparatus that fills the cell but for single voxels leaves a thick droplet no place."""
    cells = np.zeros((5, 9, 12), np.uint8)
    cells[1:4, 1:8, 1:11] = 1
    droplet = np.zeros_like(cells)
    droplet[2, 2:4, 2:4] = 1
    golgi = cells * (droplet == 0)
    golgi[2, 6, 9] = 0
    row = measure_contacts({"cell": cells, "golgi": golgi, "lipid_droplet": droplet}, VOXEL, cells="cell",
                           settings=ContactSettings(n_placements=9)).structures.iloc[-1]  # fmt: skip
    # It fits where it is, and nowhere else: always the same.
    assert (row["n_movable"], row["mean_distance_p"]) == (1, 1.0)
    golgi[2, 2, 2] = 1
    row = measure_contacts({"cell": cells, "golgi": golgi, "lipid_droplet": droplet}, VOXEL, cells="cell",
                           settings=ContactSettings(n_placements=9)).structures.iloc[-1]  # fmt: skip
    assert (row["n_movable"], row["n_outside_allowed"], row["n_placements"]) == (0, 1, 0)
    assert math.isnan(row["mean_distance_p"])


def test_planar_images() -> None:
    labels = {name: one[12:13] for name, one in FIXED.items()} | {"lipid_droplet": ball((0.1, -1.5, 0.5), 0.3)[12:13]}
    tables = measure_contacts({name: one.astype(np.uint8) for name, one in labels.items()}, (math.nan, 0.1, 0.1),
                              cells="cell", settings=ContactSettings(n_placements=19))  # fmt: skip
    rows = tables.structures[tables.structures["structure"] == "lipid_droplet"]
    assert rows["mean_distance_p"].notna().all()
    assert rows[["contact_area_um2", "contact_area_p", "polarity_z_um"]].isna().all(axis=None)


def test_labels_of_different_size_are_refused_and_inputs_stay_as_they_were() -> None:
    with pytest.raises(InputError) as caught:
        measure_contacts({"cell": FIXED["cell"], "golgi": FIXED["golgi"][1:]}, VOXEL, cells="cell")
    assert caught.value.code == "E-SHAPE"
    kept = {name: one.copy() for name, one in FIXED.items()}
    for one in kept.values():
        one.setflags(write=False)
    measure_contacts(kept, VOXEL, cells="cell", settings=ContactSettings(n_placements=2))
    assert all((kept[name] == FIXED[name]).all() for name in kept)


@pytest.mark.parametrize("bad", [{"gap_um": -0.1}, {"n_placements": -1}, {"seed": -1}, {"gap": 1}], ids=str)
def test_settings_are_checked(bad) -> None:
    with pytest.raises(ValueError):
        ContactSettings(**bad)
