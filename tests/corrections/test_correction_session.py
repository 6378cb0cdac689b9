"""Corrections step by step: each an edit, undone exactly, kept in a file that a run replays."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import FIRST, SECOND, TWO, segment
from tests.pipeline.stages.test_tracking_stage import moving_cells

from tomocyte.corrections.edits import Delete, Merge, SetCell, Split, Target
from tomocyte.corrections.from_labels import finished_item
from tomocyte.corrections.session import CorrectionSession, label_along, open_session, plane_along
from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.runs.corrected_table import corrected_table
from tomocyte.runs.finished import finished_run
from tomocyte.volume import Volume


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two balls."""
    folder = tmp_path_factory.mktemp("balls")
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(folder / "a.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **known))
    assert segment(folder / "a.ome.tif", folder / "out").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    moving_cells(folder / "a.ome.tif")
    assert segment(folder / "a.ome.tif", folder / "out").exit_code == 0
    return folder


@pytest.fixture
def session(balls: Path) -> CorrectionSession:
    return CorrectionSession(finished_item(balls / "out", "a"))


def voxel(point_um: list[float]) -> tuple[int, int, int]:
    z, y, x = (round(at / size) for at, size in zip(point_um, BALL_SIZE_UM, strict=True))
    return z, y, x


def replayed(folder: Path, session: CorrectionSession, place: Path) -> Path:
    """A run with the edits of a session, saved as a file."""
    session.save(place / "edits.yaml")
    done = segment(folder / "a.ome.tif", place / "out", "--edits", place / "edits.yaml")
    assert done.exit_code == 0, done.output
    return place / "out"


def test_a_merge_is_undone_and_done_again(session: CorrectionSession) -> None:
    before = session.labels("cell").copy()
    first, second = (int(before[voxel(place)]) for place in (FIRST, SECOND))
    assert {first, second} == {1, 2}
    merge = Merge(structure="cell", targets=(Target(label=1), Target(label=2)))
    record = session.apply(merge)
    assert record is not None
    assert record.n_voxels == np.count_nonzero(before == 2)
    np.testing.assert_array_equal(session.labels("cell"), before > 0)
    assert session.undo() == merge
    np.testing.assert_array_equal(session.labels("cell"), before)
    assert session.new == ()
    assert session.redo() == merge
    np.testing.assert_array_equal(session.labels("cell"), before > 0)
    with pytest.raises(SettingsError, match="nothing was undone"):
        session.redo()
    session.undo()
    with pytest.raises(SettingsError) as problem:
        session.undo()
    assert problem.value.code == "E-EDIT-UNDO"


def test_a_new_edit_forgets_what_was_undone(session: CorrectionSession) -> None:
    session.apply(Delete(structure="cell", targets=(Target(label=1),)))
    session.undo()
    session.apply(Delete(structure="cell", targets=(Target(label=2),)))
    assert session.undone == ()
    assert np.unique(session.labels("cell")).tolist() == [0, 1]


def test_an_edit_that_cannot_be_done_changes_nothing(session: CorrectionSession) -> None:
    before = session.labels("cell").copy()
    with pytest.raises(InputError):
        session.apply(Merge(structure="cell", targets=(Target(label=1), Target(label=9))))
    assert session.new == ()
    np.testing.assert_array_equal(session.labels("cell"), before)


def test_a_stroke_is_a_new_object_and_a_repaint(session: CorrectionSession) -> None:
    before = session.labels("cell").copy()
    place = voxel(FIRST)
    number = int(before[place])
    after = before.copy()
    after[0, 0, 0:3] = 7
    after[place] = 0
    after[1, 2, 3] = number
    records = session.paint("cell", 0, after, box=(slice(0, 24), slice(0, 36), slice(0, 52)))
    assert [(record.do, record.n_voxels) for record in records] == [("add", 3), ("repaint", 2)]
    np.testing.assert_array_equal(session.labels("cell"), after)
    assert session.paint("cell", 0, after, box=(slice(0, 2), slice(0, 36), slice(0, 52))) == ()
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.labels("cell"), before)


def test_whole_frames_are_compared_where_no_box_is_given(session: CorrectionSession) -> None:
    after = session.labels("cell").copy()
    after[after == 2] = 1
    (record,) = session.paint("cell", 0, after)
    assert record.do == "merge"
    np.testing.assert_array_equal(session.labels("cell"), after)
    with pytest.raises(InputError) as problem:
        session.paint("cell", 0, after[1:])
    assert problem.value.code == "E-SHAPE"


def test_targets_are_deep_inside_or_where_they_were_clicked(session: CorrectionSession) -> None:
    place = voxel(FIRST)
    number = int(session.labels("cell")[place])
    deep = session.target("cell", 0, number)
    assert deep.voxel is not None
    assert np.abs(np.array(deep.voxel) - place).max() <= 1, "the middle of a ball"
    clicked = (place[0], place[1] + 3, place[2])
    assert session.target("cell", 0, number, at=clicked) == Target(label=number, voxel=clicked)
    with pytest.raises(InputError) as problem:
        session.target("cell", 0, number, at=(0, 0, 0))
    assert problem.value.code == "E-EDIT-TARGET"


def test_a_drawn_line_splits_the_object_that_it_crosses(
    session: CorrectionSession, balls: Path, tmp_path: Path
) -> None:
    z, y, x = voxel(FIRST)
    labels = session.labels("cell")
    number = int(labels[z, y, x])
    ends = (z, y - 8, x), (z, y + 9, x)
    assert label_along(labels, *ends) == number
    plane = plane_along(*ends, 0, session.voxel_size_um)
    # y from y - 8 to y + 9, so the normal lies along x, whatever the voxel size.
    assert [abs(part) for part in plane.normal] == [0, 0, 1]
    session.apply(Split(structure="cell", target=Target(label=number), plane=plane))
    split = session.labels("cell")
    inside = labels == number
    columns = np.nonzero(inside)[2]
    expected = min(np.count_nonzero(columns < x), np.count_nonzero(columns > x))
    parts = sorted(int(np.count_nonzero(split == label)) for label in np.unique(split[inside]))
    assert len(parts) == 2
    assert parts[0] in (expected, expected + np.count_nonzero(columns == x))
    out = replayed(balls, session, tmp_path)
    np.testing.assert_array_equal(read_volume(out / "items" / "a" / "cell.ome.tif").planes(0, 0), split)


def test_a_line_into_depth_is_cut_straight() -> None:
    # Drawn in z and x while y is hidden: one µm in z for one in x.
    plane = plane_along((0, 3, 0), (2, 3, 4), 1, (0.5, 9.0, 0.25))
    np.testing.assert_allclose(np.abs(plane.normal), [2**-0.5, 0, 2**-0.5], atol=1e-6)
    assert plane.normal[0] * plane.normal[2] < 0
    with pytest.raises(InputError) as problem:
        plane_along((1, 2, 3), (5, 2, 3), 0, (1, 1, 1))
    assert problem.value.code == "E-EDIT-SPLIT"
    flat = plane_along((0, 0, 1), (0, 5, 1), 0, (float("nan"), 0.5, 0.5))
    assert [abs(part) for part in flat.normal] == [0, 0, 1]


def test_a_line_beside_everything_names_nothing() -> None:
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[0, 3] = 2
    assert label_along(labels, (0, 0, 0), (0, 0, 3)) == 0
    assert label_along(labels, (0, -9, 0), (0, -5, 3)) == 0
    assert label_along(labels, (0, 0, 0), (0, 9, 0)) == 2


def test_the_table_is_that_of_a_run_with_these_edits(session: CorrectionSession, balls: Path, tmp_path: Path) -> None:
    run = finished_run(balls / "out")
    pd.testing.assert_frame_equal(corrected_table(run, session.item, session.changed()), run.objects())
    after = session.labels("cell").copy()
    after[2:4, 2:6, 40:46] = 5
    session.paint("cell", 0, after, box=(slice(2, 4), slice(2, 6), slice(40, 46)))
    session.apply(Merge(structure="cell", targets=(Target(label=1), Target(label=2)), note="one"))
    start = time.perf_counter()
    quick = corrected_table(run, session.item, session.changed())
    assert time.perf_counter() - start < 10
    whole = finished_run(replayed(balls, session, tmp_path)).objects()
    assert quick.query("structure == 'cell'")["label"].tolist() == [1, 5]
    assert quick.query("structure == 'cell'")["edited"].tolist() == ["merge", "add"]
    common = [name for name in whole if name in quick and name not in ("path", "folder")]
    assert {"volume_um3", "dry_mass_pg", "mean_ri", "cell_id", "edited", "is_cut", "z_um"} <= set(common)
    keys = ["structure", "label"]
    pd.testing.assert_frame_equal(
        quick[common].sort_values(keys).reset_index(drop=True),
        whole[common].sort_values(keys).reset_index(drop=True),
        check_dtype=False,
        check_like=True,
    )
    box = quick.query("label == 5 and structure == 'cell'").iloc[0]
    assert box["volume_um3"] == pytest.approx(2 * 4 * 6 * 0.5 * 0.4 * 0.3)


def test_organelles_follow_cells_set_by_hand(film: Path) -> None:
    run = finished_run(film / "out")
    session = CorrectionSession(run.item("a"))
    before = run.objects().query("frame == 1 and structure == 'inclusion'")
    label, own = (int(before.iloc[0][name]) for name in ("label", "cell_id"))
    other = next(int(cell) for cell in before["cell_id"] if int(cell) != own)
    session.apply(SetCell(structure="inclusion", frame=1, target=Target(label=label), cell=Target(label=other)))
    table = corrected_table(run, session.item, session.changed())
    row = table.query(f"frame == 1 and structure == 'inclusion' and label == {label}").iloc[0]
    assert (row["cell_id"], row["edited"]) == (other, "set-cell")
    counts = table.query("frame == 1 and structure == 'cell'").set_index("label")["n_inclusion"]
    held = before["cell_id"].value_counts()
    assert (counts[own], counts[other]) == (held[own] - 1, held[other] + 1)
    untouched = table.query("frame == 0").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        untouched[run.objects().columns],
        run.objects().query("frame == 0").reset_index(drop=True),
        check_dtype=False,
    )


def test_links_need_their_objects_to_the_end(film: Path, tmp_path: Path) -> None:
    session = CorrectionSession(finished_item(film / "out", "a"))
    assert session.link("link", frame=1, label=1, later=[2]).do == "link"
    assert session.link("unlink", frame=0, label=2).later == ()
    session.link("division", frame=2, label=1, later=[1, 2])
    assert [edit.do for edit in session.new] == ["link", "unlink", "division"]
    with pytest.raises(InputError) as problem:
        session.apply(Delete(structure="cell", frame=2, targets=(Target(label=2),)))
    assert problem.value.code == "E-EDIT-LINK"
    assert np.unique(session.labels("cell", 2)).tolist() == [0, 1, 2]
    with pytest.raises(SettingsError, match="frame 9 does not exist"):
        session.link("link", frame=3, label=1, later=[1], to_frame=9)
    for _ in range(2):
        session.undo()
    tracks = finished_run(replayed(film, session, tmp_path)).tracks()
    assert tracks is not None
    # The first goes on as the second, whose own track ends; what followed the first begins anew.
    assert len(tracks) == 3


def test_links_of_a_single_frame_are_refused(session: CorrectionSession) -> None:
    with pytest.raises(InputError) as problem:
        session.link("death", frame=0, label=1)
    assert problem.value.code == "E-EDIT-LINK"


def test_a_file_is_continued_and_never_overwritten(balls: Path, tmp_path: Path) -> None:
    item, path = finished_item(balls / "out", "a"), tmp_path / "a.edits.yaml"
    session = open_session(item, path)
    session.apply(Delete(structure="cell", targets=(Target(label=1),), note="dirt"))
    session.save(path)
    session.apply(Delete(structure="cell", targets=(Target(label=2),)))
    session.save(path)
    again = open_session(item, path)
    assert [edit.note for edit in again.new] == ["dirt", ""]
    assert not again.labels("cell").any()
    again.undo()
    again.save(path)
    theirs = path.read_bytes()
    with pytest.raises(OutputError) as problem:
        session.save(path)
    assert problem.value.code == "E-EXISTS"
    assert path.read_bytes() == theirs
    path.write_text("my notes")
    with pytest.raises(OutputError):
        again.save(path)
    assert path.read_text() == "my notes"
    with pytest.raises(SettingsError) as refused:
        open_session(item, path)
    assert refused.value.code == "E-EDIT-FILE"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.edits.yaml"]
