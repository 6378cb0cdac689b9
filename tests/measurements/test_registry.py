"""The door: one file more is found by itself, whatever its kind; so are functions given from Python."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tomocyte.measurements as door
from tomocyte.errors import SettingsError
from tomocyte.measurements import (
    Pair,
    Region,
    Track,
    as_measurement,
    find_measurements,
    measure,
    measure_pairs,
    measure_tracks,
    measurement,
    measurements,
    object_measurements,
)
from tomocyte.measurements.registry import check_unique, select_measurements
from tomocyte.pipeline.columns import object_columns, pair_columns
from tomocyte.tables import data_dictionary, find_columns

VOXEL = (0.31, 0.17, 0.13)
NEW_FILE = '''
from tomocyte.measurements.registry import Pair, Region, Track, measurement
from tomocyte.measurements.shape import volume_um3


@measurement()
def doubled_volume_um3(region: Region) -> float:
    """Twice the volume."""
    return 2 * volume_um3(region)


@measurement(quantity="any", unit="native", when_empty="NaN without an image")
def doubled_mean(region: Region) -> float:
    """Twice the mean of the image."""
    return 2 * region.summary.mean


@measurement()
def label_sum(pair: Pair) -> float:
    """Sum of the two labels."""
    return float(pair.first.label + pair.second.label)


@measurement()
def first_frame(track: Track) -> float:
    """Frame in which the track begins."""
    return float(track.frames[0])
'''


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros((4, 6, 12), np.uint8)
    made[1:3, 1:4, 1:5], made[1:3, 1:4, 5:9] = 3, 8
    return made


def test_one_file_may_hold_measurements_of_every_kind(labels, doors) -> None:
    doors.add("tomocyte.measurements", "dummy_of_every_kind.py", NEW_FILE)
    new = {"doubled_volume_um3": "object", "doubled_mean": "object", "label_sum": "pair", "first_frame": "track"}
    for name, kind in new.items():
        assert measurements()[name].kind == kind
        assert name in measurements(kind)
        assert find_measurements([name], kind)[0].name == name
    columns = (*object_columns(), *pair_columns(), *(one.column for one in measurements("track").values()))
    described = data_dictionary(find_columns(new, columns)).set_index("column")
    assert described.loc["doubled_mean", "meaning"] == "Twice the mean of the image."
    assert described.loc["first_frame", "meaning"] == "Frame in which the track begins."
    assert described["unit"].tolist() == ["µm³", "native", "1", "1"]

    image = np.stack([np.full(labels.shape, 1.5), np.full(labels.shape, 4.0)])
    objects = measure(
        labels, image, VOXEL, structure="cell", names=["doubled_volume_um3", "doubled_mean"], channel_names=["A", "B"]
    )
    np.testing.assert_allclose(objects["doubled_volume_um3"], 2 * 24 * np.prod(VOXEL))
    assert objects[["doubled_mean_a", "doubled_mean_b"]].values.tolist() == [[3.0, 8.0], [3.0, 8.0]]
    assert measure_pairs(labels, None, VOXEL, structure="cell")["label_sum"].tolist() == [11.0]
    tracks = pd.DataFrame({"track_id": 1, "frame": [4, 5], "y_um": 0.0, "x_um": 0.0})
    assert measure_tracks(tracks)["first_frame"].tolist() == [4.0]


def test_the_door_is_as_it_was_without_the_file() -> None:
    assert {"doubled_volume_um3", "label_sum", "first_frame"}.isdisjoint(measurements())


def test_two_files_with_one_name_are_refused(doors) -> None:
    text = NEW_FILE.split("@measurement(quantity")[0].replace("doubled_volume_um3", "height_um")
    doors.add("tomocyte.measurements", "dummy_of_a_known_name.py", text)
    with pytest.raises(
        SettingsError, match=r"dummy_of_a_known_name and tomocyte.measurements.shape .*'height_um'"
    ) as caught:
        measurements()
    assert caught.value.code == "E-MEASUREMENT-CLASH"


def test_the_kinds() -> None:
    kinds = {kind: set(measurements(kind)) for kind in ("object", "pair", "track")}
    assert {"volume_um3", "mean_intensity", "dry_mass_pg"} < kinds["object"]
    assert {"overlap_volume_um3", "centroid_distance_um", "surface_distance_um"} <= kinds["pair"]
    assert {"duration_s", "path_length_um", "net_displacement_um", "mean_speed_um_per_s"} <= kinds["track"]
    assert set.union(*kinds.values()) == set(measurements())
    assert sum(map(len, kinds.values())) == len(measurements())
    for one in measurements().values():
        assert one.column.meaning.endswith(".")
        assert one.name == one.function.__name__
    with pytest.raises(SettingsError, match="E-MEASUREMENT-KIND"):
        measurements("volume")


def test_an_unknown_name_is_refused_with_the_list_of_its_kind() -> None:
    with pytest.raises(SettingsError) as caught:
        find_measurements(["surface_distance_um", "volume_um3", "nonsense"], "pair")
    assert caught.value.code == "E-MEASUREMENT-NAME"
    assert "'volume_um3', 'nonsense'" in str(caught.value)
    assert caught.value.cure.endswith("centroid_distance_um, overlap_volume_um3, surface_distance_um.")
    assert find_measurements(["volume_um3"])[0].unit == "µm³"


def box_volume_um3(region):
    """Volume of the bounding box.

    More about it.
    """
    return np.prod(region.box_size) * region.voxel_volume_um3


def test_a_plain_function_is_a_measurement_of_objects(labels) -> None:
    table = measure(labels, None, VOXEL, structure="cell", names=["n_voxels"], extra_measurements=[box_volume_um3])
    assert list(table)[:3] == ["label", "n_voxels", "box_volume_um3"]
    np.testing.assert_allclose(table["box_volume_um3"], 24 * np.prod(VOXEL))
    column = object_measurements(["n_voxels"], extra_measurements=[box_volume_um3])[-1].column
    assert (column.name, column.unit, column.meaning) == ("box_volume_um3", "µm³", "Volume of the bounding box.")
    assert "box_volume_um3" not in measurements(), "a function of the user's does not enter the door"
    assert not set(vars(box_volume_um3)), "and is left as it is"


def test_what_a_function_measures_follows_from_its_annotation_or_the_declaration() -> None:
    def of_region(region: Region) -> float:
        """One."""
        return 1.0

    def of_pair(pair: Pair) -> float:
        """One."""
        return 1.0

    def of_track(track: Track) -> float:
        """One."""
        return 1.0

    def in_quotes(one: "door.Track") -> "float":  # noqa: UP037
        """One."""
        return 1.0

    def without(one):
        """One."""
        return 1.0

    functions = (of_region, of_pair, of_track, in_quotes, without)
    assert [as_measurement(one).kind for one in functions] == ["object", "pair", "track", "track", "object"]
    assert as_measurement(measurement(kind="pair")(without)).kind == "pair"


def refused(declare) -> str:
    with pytest.raises(SettingsError) as caught:
        declare()
    return caught.value.code


def test_what_is_no_measurement_is_refused(labels) -> None:
    def undocumented(region: Region) -> float:
        return 1.0

    def volume_um3(region: Region) -> float:
        """Another volume."""
        return 1.0

    def is_cut(region: Region) -> float:
        """A column that every table has."""
        return 1.0

    def label_um(pair: Pair) -> float:
        """A length."""
        return 1.0

    def text(region: Region) -> str:
        """Not a number."""
        return "much"

    def extra(*functions):
        return lambda: measure(labels, None, VOXEL, structure="cell", names=[], extra_measurements=functions)

    assert refused(extra(undocumented)) == "E-MEASUREMENT"
    assert refused(extra(lambda region: 1.0)) == "E-MEASUREMENT"
    assert refused(extra(volume_um3)) == "E-MEASUREMENT-CLASH"
    assert refused(extra(is_cut)) == "E-MEASUREMENT-CLASH"
    assert refused(extra(box_volume_um3, box_volume_um3)) == "E-MEASUREMENT-CLASH"
    assert refused(extra(label_um)) == "E-MEASUREMENT-KIND"
    assert refused(extra(text)) == "E-MEASUREMENT-VALUE"
    assert refused(lambda: measurement(unit="nm")(label_um)) == "E-MEASUREMENT"
    assert refused(lambda: measurement(kind="track")(label_um)) == "E-MEASUREMENT"
    assert refused(lambda: measurement(kind="cell")(label_um)) == "E-MEASUREMENT"
    assert refused(lambda: measurement(quantity="any")(label_um)) == "E-MEASUREMENT"


@pytest.mark.parametrize(
    ("name", "unit", "power"),
    [
        ("n_things", "1", 0),
        ("size_um", "µm", 1),
        ("size_um2", "µm²", 2),
        ("size_um3", "µm³", 3),
        ("ratio_per_um", "1/µm", -1),
        ("speed_um_per_s", "µm/s", 1),
        ("growth_um3_per_s", "µm³/s", 3),
        ("density_pg_per_um2", "pg/µm²", 0),
        ("content_mg_per_ml", "mg/mL", 0),
        ("mass_pg", "pg", 3),
        ("gain_pg_per_s", "pg/s", 3),
        ("delay_s", "s", 0),
        ("turn_rad", "rad", 0),
    ],
)
def test_the_unit_follows_from_the_name(name, unit, power) -> None:
    def function(region: Region) -> float:
        """Something."""
        return 1.0

    function.__name__ = name
    one = as_measurement(function)
    assert (one.unit, one.length_power) == (unit, power)


@pytest.mark.parametrize(
    ("columns", "twice"),
    [((), ""), (("a", "b"), ""), (("a", "b", "a"), "'a'"), (("b", "a", "b", "a", "a"), "'a', 'b'")],
)
def test_a_table_has_no_two_columns_of_one_name(columns, twice) -> None:
    if twice:
        with pytest.raises(SettingsError, match=f"E-MEASUREMENT-CLASH.*would have the column {twice} twice"):
            check_unique(columns)
    else:
        check_unique(columns)


def test_measurements_are_those_named_in_order_then_ones_own() -> None:
    def own(region: Region) -> float:
        """One."""
        return 1.0

    def apart(pair: Pair) -> float:
        """Two."""
        return 2.0

    chosen = select_measurements(["n_voxels", "mean_ri"], "object", extra_measurements=[own])
    assert [one.name for one in chosen] == ["n_voxels", "mean_ri", "own"]
    assert {one.name for one in select_measurements(None, "pair")} == set(measurements("pair"))
    for names, extra, reserved, code in (
        (["n_voxels", "n_voxels"], [], [], "CLASH"),
        ([], [apart], [], "KIND"),
        ([], [own, own], [], "CLASH"),
        ([], [own], ["own"], "CLASH"),
        (["n_voxels"], [], ["n_voxels"], "CLASH"),
        (["no_such"], [], [], "NAME"),
    ):
        with pytest.raises(SettingsError, match=f"E-MEASUREMENT-{code}"):
            select_measurements(names, "object", extra_measurements=extra, reserved=reserved)
