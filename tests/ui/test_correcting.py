"""Picks, strokes and lines in layers become edits that a run replays; without napari."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import FIRST, SECOND, TWO, segment
from tests.in_process import workers_in_this_process
from tests.pipeline.stages.test_tracking_stage import moving_cells

from tomocyte.corrections.files import read_edit_file
from tomocyte.errors import InputError
from tomocyte.formats import read_volume, write_volume
from tomocyte.runs.finished import finished_run
from tomocyte.ui.napari.correcting import (
    Correction,
    Uncertain,
    box_of_strokes,
    edits_path,
    hidden_axis,
    start_correcting,
    uncertain_first,
)
from tomocyte.ui.napari.opening import open_path
from tomocyte.volume import Volume


@dataclass
class Shown:
    """The part of a layer that corrections need."""

    data: Any
    n_drawn: int = 0

    def refresh(self) -> None:
        self.n_drawn += 1


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(folder / "a.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **known))
    moving_cells(folder / "film.ome.tif")
    with workers_in_this_process():
        assert segment(folder / "a.ome.tif", folder / "balls").exit_code == 0
        assert segment(folder / "film.ome.tif", folder / "film").exit_code == 0
    return folder


def corrected(runs: Path, name: str, path: Path) -> Correction:
    opened = [layer for layer in open_path(runs / name).layers if layer.kind == "labels"]
    layers = {layer.options["metadata"]["structure"]: Shown(layer.data.copy()) for layer in opened}
    place = opened[0].options["metadata"]
    return start_correcting(Path(place["run"]), place["item"], layers, path)


@pytest.fixture
def balls(runs: Path, tmp_path: Path) -> Correction:
    return corrected(runs, "balls", tmp_path / "a.edits.yaml")


@pytest.fixture
def film(runs: Path, tmp_path: Path) -> Correction:
    return corrected(runs, "film", tmp_path / "film.edits.yaml")


def voxel(point_um: list[float]) -> list[float]:
    return [at / size for at, size in zip(point_um, BALL_SIZE_UM, strict=True)]


def kinds(correction: Correction) -> list[str]:
    return [edit.do for edit in read_edit_file(correction.path).edits or ()]


def test_two_picked_objects_become_one_and_two_again(balls: Correction) -> None:
    shown = balls.layers["cell"]
    before = shown.data.copy()
    assert balls.pick("cell", [0, 0, 0]) is None
    assert balls.pick("cell", [-3, 0, 99]) is None
    picks = [balls.pick("cell", voxel(place)) for place in (SECOND, FIRST)]
    assert [str(pick) for pick in picks] == [f"cell {before[tuple(pick.voxel)]}" for pick in picks]
    first, second = (pick.label for pick in picks if pick is not None)
    balls.merge()
    assert np.unique(shown.data).tolist() == [0, first]
    assert np.count_nonzero(shown.data == first) == np.count_nonzero(before)
    assert (balls.picks, shown.n_drawn, kinds(balls)) == ([], 1, ["merge"])
    balls.undo()
    np.testing.assert_array_equal(shown.data, before)
    assert kinds(balls) == []
    balls.redo()
    assert (kinds(balls), second in shown.data) == (["merge"], False)


def test_what_was_painted_is_an_edit_at_once(balls: Correction) -> None:
    shown = balls.layers["cell"]
    shown.data[20, 30:33, 5:9] = 4
    shown.data[12, 0, 0] = 4
    balls.painted("cell", (slice(12, 21), slice(0, 33), slice(0, 9)))
    assert kinds(balls) == ["add"]
    np.testing.assert_array_equal(balls.session.labels("cell"), shown.data)
    shown.data[20, 30, 5] = 0
    balls.painted("cell", (slice(20, 21), slice(30, 31), slice(5, 6)))
    assert kinds(balls) == ["add", "repaint"]
    shown.data[shown.data == 4] = 0
    balls.painted("cell")
    assert kinds(balls) == ["add", "repaint", "delete"]
    for _ in range(3):
        balls.undo()
    assert 4 not in shown.data


def test_paint_that_no_edit_can_hold_is_taken_back(balls: Correction) -> None:
    shown = balls.layers["cell"]
    before = shown.data.copy()
    shown.data[0, 0, 0] = 2**24
    with pytest.raises(InputError):
        balls.painted("cell", (slice(0, 1),) * 3)
    np.testing.assert_array_equal(shown.data, before)


def test_a_line_splits_and_the_run_replays_it(balls: Correction, runs: Path, tmp_path: Path) -> None:
    z, y, x = voxel(FIRST)
    number = int(balls.layers["cell"].data[round(z), round(y), round(x)])
    balls.split("cell", np.array([[z, y - 9, x], [z, y + 9, x]]), 0)
    parts = np.unique(balls.layers["cell"].data)
    assert parts.tolist() == [0, 1, 2, 3]
    halves = [int(np.count_nonzero(balls.layers["cell"].data == label)) for label in (number, 3)]
    assert halves[0] / halves[1] == pytest.approx(1, abs=0.2)
    with pytest.raises(InputError) as problem:
        balls.split("cell", np.array([[z, 0, 0], [z, 0, 3]]), 0)
    assert problem.value.code == "E-EDIT-SPLIT"
    with workers_in_this_process():
        done = segment(runs / "a.ome.tif", tmp_path / "out", "--edits", balls.path)
    assert done.exit_code == 0, done.output
    written = read_volume(tmp_path / "out" / "items" / "a" / "cell.ome.tif").planes(0, 0)
    np.testing.assert_array_equal(written, balls.layers["cell"].data)
    rows = finished_run(tmp_path / "out").objects().query("structure == 'cell'")
    table = balls.table().query("structure == 'cell'")
    np.testing.assert_allclose(table.set_index("label")["volume_um3"], rows.set_index("label")["volume_um3"])


def test_delete_and_too_few_picks(balls: Correction) -> None:
    for action in (balls.merge, balls.delete, balls.set_cell):
        with pytest.raises(InputError) as problem:
            action()
        assert problem.value.code == "E-NAPARI-PICK"
    balls.pick("cell", voxel(FIRST))
    with pytest.raises(InputError):
        balls.merge()
    with pytest.raises(InputError):
        balls.set_cell()
    balls.delete()
    assert len(np.unique(balls.layers["cell"].data)) == 2
    assert not balls.path.with_name("other").exists()


def test_work_goes_on_where_it_ended(balls: Correction, runs: Path) -> None:
    balls.pick("cell", voxel(FIRST))
    balls.delete()
    again = corrected(runs, "balls", balls.path)
    np.testing.assert_array_equal(again.layers["cell"].data, balls.layers["cell"].data)
    again.undo()
    assert len(np.unique(again.layers["cell"].data)) == 3
    assert edits_path(runs / "balls", "a") == runs.resolve() / "a.edits.yaml"


LEFT, RIGHT = [(7, 30, 6 + 3 * t + 15) for t in range(4)], [(7, 24, 84 - 3 * t + 12) for t in range(4)]


def test_links_of_a_film_are_picked_in_two_frames(film: Correction) -> None:
    film.pick("cell", (1, *LEFT[1]))
    film.pick("cell", (2, *RIGHT[2]))
    film.link("link")
    film.pick("cell", (0, *LEFT[0]))
    film.pick("cell", (2, *LEFT[2]))
    film.pick("cell", (2, *RIGHT[2]))
    film.link("division")
    film.pick("cell", (3, *LEFT[3]))
    film.link("death")
    edits = read_edit_file(film.path).edits or ()
    assert [(edit.do, edit.frame) for edit in edits] == [("link", 1), ("division", 0), ("death", 3)]
    assert edits[1].to_frame == 2
    film.pick("cell", (1, *LEFT[1]))
    film.pick("cell", (1, *RIGHT[1]))
    with pytest.raises(InputError):
        film.link("link")


def test_an_organelle_is_given_to_a_cell_and_to_none(film: Correction) -> None:
    droplet = film.pick("inclusion", (1, 7, 22, 6 + 3 + 8))
    assert droplet is not None
    cell = film.pick("cell", (1, *RIGHT[1]))
    assert cell is not None
    film.set_cell()
    row = film.table().query(f"frame == 1 and structure == 'inclusion' and label == {droplet.label}").iloc[0]
    assert row["cell_id"] == cell.label
    film.pick("inclusion", (1, 7, 22, 6 + 3 + 8))
    film.set_cell()
    row = film.table().query(f"frame == 1 and structure == 'inclusion' and label == {droplet.label}").iloc[0]
    assert row["cell_id"] == 0


def test_strokes_in_a_film_stay_in_their_frame(film: Correction) -> None:
    shown = film.layers["cell"]
    before = shown.data.copy()
    shown.data[2, 0, 0:2, 0] = 9
    film.painted("cell", (slice(2, 3), slice(0, 1), slice(0, 2), slice(0, 1)))
    edits = read_edit_file(film.path).edits or ()
    assert [(edit.do, edit.frame) for edit in edits] == [("add", 2)]
    film.undo()
    np.testing.assert_array_equal(shown.data, before)


def test_labels_above_the_range_of_a_layer_widen_it(balls: Correction) -> None:
    shown = balls.layers["cell"]
    shown.data = shown.data.astype(np.uint8)
    after = balls.session.labels("cell").astype(np.uint32)
    after[0, 0, 0] = 300
    balls.session.paint("cell", 0, after, box=(slice(0, 1), slice(0, 1), slice(0, 1)))
    balls.show(0)
    assert shown.data[0, 0, 0] == 300


def test_what_is_not_in_memory_cannot_be_corrected(balls: Correction) -> None:
    with pytest.raises(InputError) as problem:
        Correction(balls.run, balls.session, {"cell": Shown(object())}, balls.path)
    assert problem.value.code == "E-NAPARI-LARGE"


def test_the_least_certain_object_comes_first_and_each_once() -> None:
    table = pd.DataFrame(
        {"frame": [0, 0, 1, 1], "structure": ["cell"] * 4, "label": [1, 2, 1, 2], "confidence": [0.9, 0.4, np.nan, 0.7]}
    )
    assert uncertain_first(table)["label"].tolist() == [2, 2, 1]
    walk = Uncertain(lambda: table)
    rows = [walk.next() for _ in range(4)]
    assert [(int(row["frame"]), int(row["label"])) for row in rows[:3]] == [(0, 2), (1, 2), (0, 1)]
    assert rows[3] is None
    with pytest.raises(InputError) as problem:
        uncertain_first(table.drop(columns="confidence"))
    assert problem.value.code == "E-NAPARI-CONFIDENCE"


@dataclass
class Stroke:
    slice_key: tuple[slice, ...]


def test_strokes_have_a_box_around_them() -> None:
    masked = Stroke((slice(3, 4), slice(5, 9)))
    indices = ((np.array([7, 2]), np.array([6, 6])), 0, 1)
    assert box_of_strokes([masked, indices]) == (slice(2, 8), slice(5, 9))
    assert box_of_strokes([]) is None
    assert box_of_strokes([((np.zeros(0, int), np.zeros(0, int)), 0, 1)]) is None


@pytest.mark.parametrize(
    ("displayed", "n", "hidden"), [((1, 2), 3, 0), ((0, 2), 3, 1), ((2, 3), 4, 0), ((1, 2), 4, 2), ((0, 1), 2, 0)]
)
def test_the_axis_across_a_section(displayed, n, hidden) -> None:
    assert hidden_axis(displayed, n) == hidden


def test_time_and_three_dimensions_are_no_section() -> None:
    for displayed, n in (((0, 3), 4), ((0, 1, 2), 3)):
        with pytest.raises(InputError) as problem:
            hidden_axis(displayed, n)
        assert problem.value.code == "E-NAPARI-SECTION"
