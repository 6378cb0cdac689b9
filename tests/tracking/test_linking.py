"""Objects linked over time: scenes whose right answer is known because they were drawn so."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tomocyte.errors import InputError
from tomocyte.tracking import TrackingSettings, track_objects
from tomocyte.tracking.hypotheses import Hypotheses, best_set

GRID = np.array([(y, x) for y in range(4) for x in range(5)], dtype=float) * 10.0


def table_of(frames: dict[int, list[tuple[float, float]] | np.ndarray], **columns: object) -> pd.DataFrame:
    """Frame -> places; labels are drawn anew in every frame."""
    rng = np.random.default_rng(5)
    parts = []
    for frame, places in frames.items():
        places = np.asarray(places, dtype=float).reshape(-1, 2)
        labels = rng.permutation(len(places)) + 1
        parts.append(
            pd.DataFrame({"frame": frame, "label": labels, "y_um": places[:, 0], "x_um": places[:, 1]}).assign(
                cell=np.arange(len(places))
            )
        )
    return pd.concat(parts, ignore_index=True).assign(**columns)


def is_consistent(table: pd.DataFrame, tracks: pd.Series) -> bool:
    """Whether cells and tracks are the same partition of the rows."""
    pairs = {(int(cell), int(track)) for cell, track in zip(table["cell"], tracks, strict=True)}
    return len(pairs) == table["cell"].nunique() == tracks.nunique()


def wandering(n_frames: int, *, drift: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    places = {}
    now = GRID.copy()
    for frame in range(n_frames):
        places[frame] = now + frame * np.array(drift)
        now = now + rng.normal(0, 0.6, now.shape)
    return places


def test_every_cell_keeps_its_number() -> None:
    table = table_of(wandering(8))
    result = track_objects(table)
    assert is_consistent(table, result.objects["track_id"])
    assert result.tracks["start"].eq("first-frame").all()
    assert result.tracks["end"].eq("last-frame").all()
    assert result.objects["label"].tolist() == table["label"].tolist(), "rows keep their order"


@pytest.mark.parametrize("order", range(3))
def test_the_order_of_rows_and_labels_does_not_matter(order: int) -> None:
    table = table_of(wandering(5))
    mixed = table.sample(frac=1.0, random_state=order).reset_index(drop=True)
    mixed["label"] = mixed["label"] * 7 + order
    assert is_consistent(mixed, track_objects(mixed).objects["track_id"])


def test_a_drift_of_more_than_half_the_spacing_is_taken_out() -> None:
    """Without correction the nearest neighbour is another cell; a field of irregular places makes the shift unique."""
    rng = np.random.default_rng(3)
    first = np.concatenate([GRID, GRID + np.array([40.0, 0.0])]) + rng.uniform(-3, 3, (40, 2))
    places = {frame: first + rng.normal(0, 0.3, first.shape) + frame * np.array([7.0, -9.0]) for frame in range(4)}
    table = table_of(places)
    assert is_consistent(table, track_objects(table).objects["track_id"])
    wrong = track_objects(table, TrackingSettings(has_drift=False)).objects["track_id"]
    assert not is_consistent(table, wrong)


def test_a_missing_object_comes_back_with_its_number() -> None:
    places = wandering(7)
    table = table_of(places)
    table = table[~((table["cell"] == 7) & table["frame"].isin([3, 4]))].reset_index(drop=True)
    result = track_objects(table)
    assert is_consistent(table, result.objects["track_id"])
    flags = result.objects.loc[(table["cell"] == 7) & (table["frame"] == 5), "track_flags"]
    assert flags.tolist() == ["after-gap"]
    apart = track_objects(table, TrackingSettings(max_gap_frames=1)).objects["track_id"]
    assert apart[table["cell"] == 7].nunique() == 2


def test_a_missing_frame_and_irregular_times() -> None:
    places = wandering(9)
    del places[4]
    table = table_of(places)
    table["time_s"] = table["frame"].map(
        {0: 0.0, 1: 60.0, 2: 130.0, 3: 200.0, 5: 900.0, 6: 960.0, 7: 1000.0, 8: 1100.0}
    )
    assert is_consistent(table, track_objects(table).objects["track_id"])


def test_a_division_has_a_mother_and_two_daughters() -> None:
    """Cell 7 becomes two of half the volume on both sides of its place."""
    places = wandering(6)
    table = table_of(places, volume_um3=100.0)
    table["volume_um3"] *= np.random.default_rng(1).normal(1, 0.03, len(table))
    mother = (table["cell"] == 7) & (table["frame"] >= 3)
    twin = table[mother].assign(cell=21, label=99)
    table.loc[mother, "cell"] = 22
    table.loc[mother, "x_um"] -= 2.4
    twin["x_um"] += 2.4
    table = pd.concat([table, twin], ignore_index=True)
    table.loc[table["cell"] >= 21, "volume_um3"] /= 2
    result = track_objects(table)
    assert is_consistent(table, result.objects["track_id"])
    track_of = {int(cell): int(rows.iloc[0]) for cell, rows in result.objects["track_id"].groupby(table["cell"])}
    tracks = result.tracks.set_index("track_id")
    assert tracks.loc[[track_of[21], track_of[22]], "parent_id"].tolist() == [track_of[7]] * 2
    assert tracks.loc[[track_of[21], track_of[22]], "generation"].tolist() == [1, 1]
    assert tracks.loc[[track_of[21], track_of[22]], "start"].tolist() == ["division"] * 2
    assert tracks.loc[track_of[7], ["last_frame", "end"]].tolist() == [2, "division"]
    assert (tracks["parent_id"] > 0).sum() == 2
    single = track_objects(table, TrackingSettings(has_divisions=False))
    assert (single.tracks["parent_id"] > 0).sum() == 0


@pytest.mark.parametrize("column", ["dry_mass_pg", "volume_um3"])
def test_two_cells_that_swap_are_told_apart_by_what_they_weigh(column: str) -> None:
    """Places alone say that both stayed; a cell of 100 and one of 300 do not exchange their mass."""
    places = wandering(6)
    mass = 100.0 + 10.0 * np.arange(20)
    mass[[6, 7]] = 100.0, 300.0
    for frame in (3, 4, 5):
        places[frame][[6, 7]] = places[frame][[7, 6]]
    for frame in places:
        middle = places[frame][[6, 7]].mean(axis=0)
        places[frame][[6, 7]] = middle + 0.12 * (places[frame][[6, 7]] - middle)
    table = table_of(places)
    assert not is_consistent(table, track_objects(table).objects["track_id"])
    table[column] = mass[table["cell"]] * np.random.default_rng(2).normal(1, 0.02, len(table))
    assert is_consistent(table, track_objects(table).objects["track_id"])


def test_objects_leave_and_enter_at_the_border() -> None:
    places = wandering(6)
    table = table_of(places)
    table = table[~((table["cell"] == 2) & (table["frame"] > 2)) & ~((table["cell"] == 17) & (table["frame"] < 3))]
    table = table.reset_index(drop=True)
    result = track_objects(table, extent_um=(30.0, 40.0))
    tracks = result.tracks.set_index("track_id")
    assert tracks.loc[result.objects["track_id"][table["cell"] == 2].iloc[0], "end"] == "border"
    assert tracks.loc[result.objects["track_id"][table["cell"] == 17].iloc[0], "start"] == "border"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_objects(n: int) -> None:
    table = table_of(wandering(4)).query("cell < @n").reset_index(drop=True)
    result = track_objects(table)
    assert len(result.tracks) == n
    assert is_consistent(table, result.objects["track_id"])


def test_one_frame_and_a_track_of_one_frame() -> None:
    table = table_of({0: GRID})
    assert track_objects(table).tracks["last_frame"].eq(0).all()
    several = table_of(wandering(5))
    several = several[(several["cell"] != 8) | (several["frame"] == 2)].reset_index(drop=True)
    result = track_objects(several)
    own = result.objects.loc[several["cell"] == 8, "track_id"].iloc[0]
    row = result.tracks.set_index("track_id").loc[own]
    assert (row["first_frame"], row["last_frame"], row["start"], row["end"]) == (2, 2, "appears", "disappears")


def test_frames_without_objects_in_between() -> None:
    table = table_of(wandering(6))
    table = table[~table["frame"].isin([2, 3])].reset_index(drop=True)
    assert is_consistent(table, track_objects(table).objects["track_id"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.drop(columns="x_um"), "E-TRACK-COLUMN"),
        (lambda t: t.assign(label=1), "E-TRACK-TABLE"),
        (lambda t: t.assign(y_um=np.nan), "E-TRACK-TABLE"),
        (lambda t: t.assign(frame=t["frame"] + 0.5), "E-TRACK-TABLE"),
        (lambda t: t.assign(time_s=-t["frame"].astype(float)), "E-TRACK-TABLE"),
        (lambda t: t.assign(z_um=np.where(t.index == 3, np.nan, 1.0)), "E-TRACK-TABLE"),
    ],
)
def test_tables_that_cannot_be_tracked(change: object, code: str) -> None:
    with pytest.raises(InputError) as caught:
        track_objects(change(table_of(wandering(3))))  # type: ignore[operator]
    assert caught.value.code == code


@pytest.mark.parametrize("seed", range(8))
def test_the_best_set_is_the_best_of_all_sets(seed: int) -> None:
    """Against all subsets, tried one by one."""
    rng = np.random.default_rng(seed)
    kinds = []
    for n_sources, n_targets, n in ((1, 1, 6), (1, 2, 4), (2, 1, 3)):
        sources = np.array([rng.choice(4, n_sources, replace=False) for _ in range(n)])
        targets = np.array([rng.choice(4, n_targets, replace=False) for _ in range(n)]) + 10
        kinds.append(Hypotheses(sources, targets, rng.uniform(0.1, 3, n), np.zeros(n, np.int64)))
    every = [
        (set((2 * kind.sources[i]).tolist()) | set((2 * kind.targets[i] + 1).tolist()), kind.gain[i])
        for kind in kinds
        for i in range(len(kind))
    ]
    best = 0.0
    for chosen in itertools.product([False, True], repeat=len(every)):
        picked = [one for one, take in zip(every, chosen, strict=True) if take]
        if sum(len(one[0]) for one in picked) == len(set().union(*(one[0] for one in picked))):
            best = max(best, sum(one[1] for one in picked))
    gain = sum(kind.gain[which].sum() for kind, which in zip(kinds, best_set(kinds), strict=True))
    assert gain == pytest.approx(best)


def merging_table() -> pd.DataFrame:
    """Eight cells; in frame 4 the first two are one object of both areas, between them."""
    rng = np.random.default_rng(0)
    cells = ((0, 0, 100), (0, 14, 140), (60, 0, 120), (60, 60, 90), (0, 60, 130), (30, 90, 80), (100, 30, 100),
             (120, 120, 110))  # fmt: skip
    rows = []
    for frame in range(8):
        for label, (y, x, area) in enumerate(cells, start=1):
            if frame == 4 and label == 1:
                rows.append((frame, 1, 0.3 * frame, 14 * 140 / 240, 240.0))
            elif frame != 4 or label > 2:
                shift = rng.normal(0, 0.2, 2)
                rows.append(
                    (frame, label, y + 0.3 * frame + shift[0], x + shift[1], area * np.exp(rng.normal(0, 0.02)))
                )
    return pd.DataFrame(rows, columns=["frame", "label", "y_um", "x_um", "area_um2"])


def test_merges_in_a_table_are_looked_for_where_asked() -> None:
    """Without images only the sizes can show one: the object is not mixed up with its parts either way."""
    table = merging_table()
    asked = track_objects(table, TrackingSettings(has_merges=True))
    assert set(asked.merged) == {(4, 1)}
    assert len(asked.tracks) == 8
    assert set(asked.merged[4, 1]) == {1, 2}
    left_alone = track_objects(table)
    assert left_alone.merged == {}
    assert len(left_alone.tracks) == 9
    one = left_alone.objects.set_index(["frame", "label"])["track_id"]
    assert one[4, 1] not in (one[3, 1], one[3, 2])
