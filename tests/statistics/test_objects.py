"""From objects to values of cells: what is left out and counted, whose an organelle is, cells without any."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from tomocyte.errors import InputError
from tomocyte.statistics import cell_values, without_unfit


def field() -> pd.DataFrame:
    """Four cells: whole, cut by the border, without a nucleus, with two droplets; a droplet lies outside all cells."""
    rows = [
        ("cell", 1, 1, False, "", 100.0),
        ("cell", 2, 2, True, "touches-border", 50.0),
        ("cell", 3, 3, False, "no-nucleus", 70.0),
        ("cell", 4, 4, False, "", 120.0),
        ("nucleus", 1, 1, False, "", 20.0),
        ("nucleus", 2, 2, False, "", 10.0),
        ("nucleus", 3, 4, False, "", 30.0),
        ("lipid_droplet", 1, 4, False, "", 1.0),
        ("lipid_droplet", 2, 4, False, "", 3.0),
        ("lipid_droplet", 3, 3, False, "", 5.0),
        ("lipid_droplet", 4, 0, False, "", 7.0),
    ]
    table = pd.DataFrame(rows, columns=["structure", "label", "cell_id", "is_cut", "flags", "volume_um3"])
    return table.assign(item="a", frame=0)


def test_unfit_objects_are_left_out_and_counted() -> None:
    kept, left_out = without_unfit(field())
    assert kept.groupby("structure")["label"].apply(list).to_dict() == {
        "cell": [1, 4], "nucleus": [1, 3], "lipid_droplet": [1, 2],
    }  # fmt: skip
    assert left_out.counts == {
        ("cell", "border"): 1,
        ("cell", "no-nucleus"): 1,
        ("lipid_droplet", "outside all cells"): 1,
        ("nucleus", "cell left out"): 1,
        ("lipid_droplet", "cell left out"): 1,
    }
    assert sum(left_out.counts.values()) + len(kept) == len(field())
    assert left_out.words == (
        "Left out (of a film, each frame counts): 1 × cell cut by the border, 1 × cell flagged no-nucleus, 1 × lipid "
        "droplet outside all cells, 1 × nucleus whose cell is left out, 1 × lipid droplet whose cell is left out."
    )


@pytest.mark.parametrize(
    ("keep", "cells"),
    [(("border",), [1, 2, 4]), (("no-nucleus",), [1, 3, 4]), (("flagged",), [1, 3, 4]),
     (("border", "flagged"), [1, 2, 3, 4])],
)  # fmt: skip
def test_what_is_kept_on_purpose(keep: tuple[str, ...], cells: list[int]) -> None:
    kept, _ = without_unfit(field(), keep)
    assert kept.loc[kept["structure"] == "cell", "label"].tolist() == cells


def test_objects_that_are_two_cells_in_one_frame_are_left_out() -> None:
    """Flags of tracking: merged and piece count, after a gap a cell is the same cell."""
    flags = {1: "merged;after-gap", 4: "after-gap"}
    table = field()
    table["track_flags"] = [
        flags.get(label, "") if name == "cell" else ""
        for name, label in zip(table["structure"], table["label"], strict=True)
    ]
    kept, left_out = without_unfit(table)
    assert kept.loc[kept["structure"] == "cell", "label"].tolist() == [4]
    assert left_out.counts["cell", "merged"] == 1
    assert ("cell", "after-gap") not in left_out.counts


def values(structure: str, quantity: str) -> dict[str, float]:
    table = cell_values(without_unfit(field())[0], structure, quantity)
    return dict(zip(table["track"], table["value"], strict=True))


def test_organelles_are_averaged_in_their_cell() -> None:
    assert values("cell", "volume_um3") == {"1": 100.0, "4": 120.0}
    assert values("nucleus", "volume_um3") == {"1": 20.0, "4": 30.0}
    droplets = values("lipid_droplet", "volume_um3")
    assert math.isnan(droplets["1"])  # a cell without droplets has none of a size
    assert droplets["4"] == 2.0


def test_a_cell_without_droplets_has_none_of_them() -> None:
    assert values("lipid_droplet", "n_per_cell") == {"1": 0.0, "4": 2.0}
    assert values("lipid_droplet", "total_volume_um3") == {"1": 0.0, "4": 4.0}


def test_tracks_of_cells_are_those_of_their_organelles() -> None:
    """The number of a track, not of a label; a cell that was not tracked is left out."""
    first = field().assign(track_id=lambda table: table["cell_id"] + 10.0)
    second = first.assign(frame=1, volume_um3=lambda table: table["volume_um3"] * 2)
    second.loc[(second["structure"] == "cell") & (second["label"] == 1), "track_id"] = math.nan
    kept, left_out = without_unfit(pd.concat([first, second], ignore_index=True))
    assert left_out.counts["cell", "no track"] == 1
    table = cell_values(kept, "nucleus", "volume_um3")
    assert table[["frame", "track", "value"]].values.tolist() == [
        [0, "11", 20.0], [0, "14", 30.0], [1, "14", 60.0],
    ]  # fmt: skip


def test_a_film_without_tracks_is_one_series_per_input() -> None:
    film = pd.concat([field(), field().assign(frame=1, volume_um3=1.0)], ignore_index=True)
    table = cell_values(without_unfit(film)[0], "cell", "volume_um3")
    assert table[["frame", "track", "value"]].values.tolist() == [[0, "field", 110.0], [1, "field", 1.0]]


def test_objects_without_cells_are_units_themselves() -> None:
    nuclei = field().query("structure == 'nucleus'").drop(columns=["cell_id", "flags", "is_cut"])
    kept, left_out = without_unfit(nuclei)
    assert left_out.words == ""
    assert cell_values(kept, "nucleus", "volume_um3")["value"].tolist() == [20.0, 10.0, 30.0]


def test_a_table_of_something_else() -> None:
    with pytest.raises(InputError, match="E-OBJECTS"):
        without_unfit(pd.DataFrame({"item": ["a"], "volume_um3": [1.0]}))
