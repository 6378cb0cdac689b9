"""Links changed by hand: who becomes whom, the numbers of tracks that nothing was said of, and contradictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tomocyte.errors import InputError
from tomocyte.tracking import LinkChange, Tracks
from tomocyte.tracking.files import TrackedObjects, tracks_of_links

N_FRAMES = 6


def rows() -> TrackedObjects:
    """Three cells in six frames; labels 1, 2, 3 in every frame, the third divides into 3 and 4 at frame 4."""
    table, links = [], []
    for frame in range(N_FRAMES):
        for label in (1, 2, 3, 4) if frame >= 4 else (1, 2, 3):
            table.append((frame, label, 10.0 * label, float(frame)))
    place = {(frame, label): row for row, (frame, label, _, _) in enumerate(table)}
    for frame in range(N_FRAMES - 1):
        links += [(place[frame, label], place[frame + 1, label]) for label in (1, 2, 3)]
    links += [(place[3, 3], place[4, 4]), (place[4, 4], place[5, 4])]
    return TrackedObjects(pd.DataFrame(table, columns=["frame", "label", "y_um", "x_um"]), np.array(links))


def changed(*changes: LinkChange) -> Tracks:
    return tracks_of_links(rows(), changes)


def numbers(tracks: Tracks, label: int) -> list[int]:
    """Tracks of the objects of a label, frame by frame."""
    objects = tracks.objects
    return objects[objects["label"] == label].sort_values("frame")["track_id"].tolist()


def ends(tracks: Tracks) -> dict[int, tuple[str, str, int]]:
    """Track -> start, end, parent."""
    table = tracks.tracks
    return dict(zip(table["track_id"], zip(table["start"], table["end"], table["parent_id"], strict=True), strict=True))


def test_without_changes() -> None:
    tracks = changed()
    assert [numbers(tracks, label) for label in (1, 2, 3, 4)] == [[1] * 6, [2] * 6, [3] * 4 + [4] * 2, [5] * 2]
    assert tracks.objects["track_flags"].eq("").all()


def test_two_links_exchange_two_cells_in_all_later_frames() -> None:
    tracks = changed(LinkChange("link", (1, 1), ((2, 2),)), LinkChange("link", (1, 2), ((2, 1),)))
    assert numbers(tracks, 1) == [1, 1, 2, 2, 2, 2]
    assert numbers(tracks, 2) == [2, 2, 1, 1, 1, 1]
    assert numbers(tracks, 3) == [3] * 4 + [4] * 2, "nothing was said of it"
    flagged = tracks.objects[tracks.objects["track_flags"] == "corrected"]
    assert sorted(zip(flagged["frame"], flagged["label"], strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert tracks.warnings[0] == ("W-EDIT-UNLINKED: object 2 of frame 1 went on as object 2 of frame 2 before.",)
    assert tracks.warnings[1] == ()


def test_a_link_over_a_gap_takes_the_earlier_number_and_leaves_the_later_one_unused() -> None:
    tracks = changed(LinkChange("unlink", (1, 1)), LinkChange("link", (1, 1), ((4, 4),)))
    assert numbers(tracks, 1) == [1, 1, 6, 6, 6, 6]
    assert numbers(tracks, 4) == [1, 1]
    assert 5 not in ends(tracks)
    assert ends(tracks)[6] == ("appears", "last-frame", 0)
    assert numbers(tracks, 3) == [3] * 6, "one daughter was taken away: no division any more"
    gap = tracks.objects.set_index(["frame", "label"]).loc[(4, 4), "track_flags"]
    assert gap == "after-gap;corrected"


def test_unlinked_tracks_begin_anew_with_numbers_above_all_others() -> None:
    tracks = changed(LinkChange("unlink", (2, 2)))
    assert numbers(tracks, 2) == [2, 2, 2, 6, 6, 6]
    assert (ends(tracks)[2][1], ends(tracks)[6][0]) == ("disappears", "appears")
    assert [numbers(tracks, label) for label in (1, 3, 4)] == [[1] * 6, [3] * 4 + [4] * 2, [5] * 2]


def test_one_link_of_a_division_is_cut() -> None:
    tracks = changed(LinkChange("unlink", (3, 3), ((4, 4),)))
    assert numbers(tracks, 3) == [3] * 6
    assert numbers(tracks, 4) == [5, 5]
    assert tracks.tracks["parent_id"].eq(0).all()


def test_a_division_has_daughters_of_the_next_generation_in_all_later_frames() -> None:
    tracks = changed(LinkChange("division", (1, 1), ((2, 1), (2, 2))))
    assert numbers(tracks, 1) == [1, 1, 6, 6, 6, 6]
    assert numbers(tracks, 2) == [2, 2, 7, 7, 7, 7]
    assert ends(tracks)[1][1] == "division"
    assert {ends(tracks)[one][0::2] for one in (6, 7)} == {("division", 1)}
    later = tracks.objects[tracks.objects["track_id"].isin((6, 7))]
    assert later["generation"].eq(1).all()
    assert later["parent_id"].eq(1).all()


def test_generations_follow_from_a_division_before() -> None:
    """The mother of the division that was found becomes a daughter itself: all after it are a generation further."""
    tracks = changed(LinkChange("division", (0, 1), ((1, 1), (1, 3))))
    generation = tracks.objects.groupby("track_id")["generation"].first()
    daughters = sorted({*numbers(tracks, 3)[4:], *numbers(tracks, 4)})
    assert generation[daughters].tolist() == [2, 2]


def test_a_death_ends_a_track() -> None:
    tracks = changed(LinkChange("death", (3, 1)))
    assert numbers(tracks, 1) == [1, 1, 1, 1, 6, 6]
    assert ends(tracks)[1][1] == "death"
    assert tracks.warnings[0][0].startswith("W-EDIT-DEATH: what followed object 1 of frame 3 ")
    last = changed(LinkChange("death", (5, 2)))
    assert ends(last)[2][1] == "death"
    assert last.warnings == ((),)


def test_what_was_found_already_is_no_change() -> None:
    same = changed(
        LinkChange("link", (0, 1), ((1, 1),)),
        LinkChange("division", (3, 3), ((4, 4), (4, 3))),
        LinkChange("unlink", (0, 2), ((1, 3),)),
        LinkChange("unlink", (5, 2)),
    )
    pd.testing.assert_frame_equal(same.tracks, changed().tracks)
    assert [texts[0].split(":")[0] for texts in same.warnings] == ["W-EDIT-NOTHING"] * 4


def test_changes_are_the_same_however_the_rows_lie() -> None:
    given = rows()
    order = np.random.default_rng(3).permutation(len(given.table))
    place = np.argsort(order)
    mixed = TrackedObjects(given.table.iloc[order].reset_index(drop=True), place[given.links])
    change = LinkChange("division", (1, 1), ((2, 1), (2, 2)))
    pd.testing.assert_frame_equal(tracks_of_links(mixed, [change]).tracks, changed(change).tracks)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((LinkChange("link", (0, 1), ((0, 2),)),), "E-EDIT-LINK"),
        ((LinkChange("link", (2, 1), ((1, 1),)),), "E-EDIT-LINK"),
        ((LinkChange("link", (0, 9), ((1, 1),)),), "E-EDIT-TARGET"),
        ((LinkChange("link", (0, 1), ((1, 2),)), LinkChange("link", (0, 1), ((1, 3),))), "E-EDIT-LINK"),
        ((LinkChange("link", (0, 1), ((1, 2),)), LinkChange("link", (0, 3), ((1, 2),))), "E-EDIT-LINK"),
        ((LinkChange("death", (1, 1)), LinkChange("link", (1, 1), ((2, 1),))), "E-EDIT-LINK"),
        ((LinkChange("division", (1, 1), ((2, 1), (2, 2))), LinkChange("death", (1, 1))), "E-EDIT-LINK"),
        ((LinkChange("link", (0, 1), ((1, 2),)), LinkChange("unlink", (0, 1))), "E-EDIT-LINK"),
        ((LinkChange("link", (0, 1), ((1, 2),)), LinkChange("unlink", (0, 2), ((1, 2),))), "E-EDIT-LINK"),
    ],
)
def test_contradictions_are_refused(changes: tuple[LinkChange, ...], code: str) -> None:
    with pytest.raises(InputError) as caught:
        changed(*changes)
    assert caught.value.code == code
    assert caught.value.cure
