"""Links corrected by hand, in runs and by ``tomocyte track``: tables, masks and organelles follow."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.corrections.conftest import contents, edit_list, segment, write_edits
from tests.in_process import tomocyte
from tests.pipeline.stages.test_tracking_stage import moving_cells

from tomocyte.corrections.files import check_edits, edits_as_yaml
from tomocyte.corrections.from_labels import finished_item
from tomocyte.corrections.links import find_link_edits, in_labels, in_table, link_edit
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import read_volume
from tomocyte.volume import Volume

LEFT = [{"um": [3.0, 6.0, 4.0 + 0.6 * frame]} for frame in range(4)]
"""Points in the large cell with one droplet, frame by frame."""
RIGHT = [{"um": [3.0, 5.0, 19.0 - 0.6 * frame]} for frame in range(4)]
"""Points in the small cell with two droplets."""
EXCHANGED = ({"do": "link", "frame": 1, "target": LEFT[1], "to": RIGHT[2]},
             {"do": "link", "frame": 1, "target": RIGHT[1], "to": LEFT[2], "note": "they crossed"})  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    moving_cells(folder / "a.ome.tif")
    assert segment(folder / "a.ome.tif", folder / "plain").exit_code == 0
    return folder


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_csv(out / "objects.csv"), pd.read_csv(out / "tracks.csv", keep_default_na=False)


def corrected(film: Path, place: Path, *edits: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    write_edits(place / "edits.yaml", *edits)
    done = segment(film / "a.ome.tif", place / "out", "--edits", place / "edits.yaml")
    assert done.exit_code == 0, done.output
    return tables(place / "out")


def by_cell(objects: pd.DataFrame) -> dict[str, list[int]]:
    """Tracks of the large and of the small cell, frame by frame."""
    cells = objects[objects["structure"] == "cell"].sort_values(["frame", "volume_um3"])
    return {"small": cells["track_id"].tolist()[::2], "large": cells["track_id"].tolist()[1::2]}


def test_two_cells_exchanged_in_a_run(film: Path, tmp_path: Path) -> None:
    before, _ = tables(film / "plain")
    plain = by_cell(before)
    large, small = plain["large"][0], plain["small"][0]
    assert (plain["large"], plain["small"]) == ([large] * 4, [small] * 4)
    objects, tracks = corrected(film, tmp_path, *EXCHANGED)
    assert by_cell(objects) == {"large": [large] * 2 + [small] * 2, "small": [small] * 2 + [large] * 2}
    droplets = objects.query("structure == 'inclusion' and track_id > 0").groupby(["track_id", "frame"]).size()
    assert droplets[large].tolist() == [1, 1, 2, 2], "organelles follow their cell"
    same = [name for name in before if name not in ("track_id", "track_flags", "edited")]
    pd.testing.assert_frame_equal(objects[same], before[same])
    assert len(tracks) == 2
    log = pd.read_csv(tmp_path / "out" / "items" / "a" / "edits_log.csv", keep_default_na=False)
    assert log["do"].tolist() == ["link", "link"]
    assert log["note"].tolist() == ["", "they crossed"]
    assert "W-EDIT-UNLINKED" in log["warnings"][0]
    assert log["n_voxels_changed"].tolist() == [0, 0]
    assert "2 link" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    masks = read_volume(tmp_path / "out" / "items" / "a" / "cell.ome.tif")
    plain_masks = read_volume(film / "plain" / "items" / "a" / "cell.ome.tif")
    assert all(np.array_equal(masks.planes(t, 0), plain_masks.planes(t, 0)) for t in range(4))


def test_a_replay_is_the_same_and_without_edits_everything_is_as_before(film: Path, tmp_path: Path) -> None:
    corrected(film, tmp_path, *EXCHANGED)
    first = contents(tmp_path / "out" / "items" / "a")
    copy = tmp_path / "out" / "items" / "a" / "edits.yaml"
    again = segment(film / "a.ome.tif", tmp_path / "again", "--edits", copy)
    assert again.exit_code == 0, again.output
    second = contents(tmp_path / "again" / "items" / "a")
    assert {name for name in first if first[name] != second[name]} <= {"facts.json"}
    undone = segment(film / "a.ome.tif", tmp_path / "out", "--discard-changes")
    assert undone.exit_code == 0, undone.output
    now, tracks = tables(tmp_path / "out")
    before, tracks_before = tables(film / "plain")
    pd.testing.assert_frame_equal(now, before)
    pd.testing.assert_frame_equal(tracks, tracks_before)


def test_a_point_finds_its_cell_where_the_numbers_are_others(film: Path, tmp_path: Path) -> None:
    """A renumbering stands for a segmentation that was made again."""
    renumbered = [{"do": "renumber", "frame": frame, "numbers": {1: 2, 2: 1}} for frame in (1, 3)]
    objects, _ = corrected(film, tmp_path, *renumbered, *EXCHANGED)
    before, _ = tables(film / "plain")
    plain, now = by_cell(before), by_cell(objects)
    assert now["large"][0:2] == now["small"][2:4]
    assert len(set(now["large"])) == len(set(plain["large"])) + 1


def test_death_and_division_reach_tables_and_analysis(film: Path, tmp_path: Path) -> None:
    objects, tracks = corrected(
        film,
        tmp_path,
        {"do": "division", "frame": 0, "target": LEFT[0], "daughters": [LEFT[1], RIGHT[1]]},
        {"do": "death", "frame": 2, "target": RIGHT[2]},
    )
    ends = tracks.set_index("track_id")["end"]
    cells = by_cell(objects)
    mother, daughter, dying = cells["large"][0], cells["large"][1], cells["small"][1]
    assert (ends[mother], ends[dying]) == ("division", "death")
    assert tracks.set_index("track_id").loc[[daughter, dying], "parent_id"].tolist() == [mother, mother]
    assert cells["small"][3] not in (dying, mother, daughter)
    rows = objects[(objects["track_id"] == daughter) & (objects["structure"] == "inclusion")]
    assert rows["generation"].eq(1).all()
    assert rows["parent_id"].eq(mother).all()
    from tomocyte.statistics.lineage import lineage

    known = lineage(objects, tracks).set_index("track")
    assert known.loc[str(dying), "end"] == "death"
    assert known.loc[str(daughter), "generation"] == 1


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"do": "link", "frame": 0, "target": LEFT[0], "to": {"um": [3.0, 0.5, 0.5]}}, "E-EDIT-TARGET"),
        ({"do": "link", "frame": 0, "target": 9, "to": LEFT[1]}, "E-EDIT-TARGET"),
        ({"do": "division", "frame": 0, "target": LEFT[0], "daughters": [LEFT[1], LEFT[1]]}, "E-EDIT-TARGET"),
        ({"do": "death", "frame": 0, "target": LEFT[0], "structure": "inclusion"}, "E-EDIT-STRUCTURE"),
        ({"do": "death", "frame": 4, "target": LEFT[0]}, "E-EDIT-FRAME"),
        ({"do": "link", "frame": 3, "target": LEFT[3], "to": LEFT[3]}, "E-EDIT-FRAME"),
    ],
)
def test_an_impossible_link_stops_its_input_and_keeps_what_is_there(
    film: Path, tmp_path: Path, edit: dict, code: str
) -> None:
    segment(film / "a.ome.tif", tmp_path / "out")
    before = contents(tmp_path / "out" / "items" / "a")
    write_edits(tmp_path / "edits.yaml", edit)
    done = segment(film / "a.ome.tif", tmp_path / "out", "--edits", tmp_path / "edits.yaml")
    assert done.exit_code != 0
    assert code in done.output
    assert "edit 1" in done.output
    assert contents(tmp_path / "out" / "items" / "a") == before


@pytest.mark.parametrize(
    "edit",
    [
        {"do": "link", "frame": 2, "to_frame": 2, "target": 1, "to": 1},
        {"do": "link", "frame": 2, "target": 1},
        {"do": "division", "frame": 2, "target": 1, "daughters": [1]},
        {"do": "death", "frame": 2, "target": 1, "to": 1},
    ],
)
def test_links_that_say_too_little_or_too_much_are_refused(edit: dict) -> None:
    with pytest.raises(ValueError, match="validation error"):
        edit_list(edit)


def test_links_without_tracks_are_refused_before_anything_is_computed(film: Path, tmp_path: Path) -> None:
    edits = edit_list({"do": "death", "target": 1})
    volume = Volume.from_array(np.zeros((2, 1, 1, 4, 4), np.uint8), quantity="labels", unit="1")
    check_edits(edits, volume)
    with pytest.raises(InputError) as caught:
        check_edits(edits, volume, is_tracked=False)
    assert caught.value.code == "E-EDIT-LINK"
    write_edits(tmp_path / "edits.yaml", {"do": "death", "target": 1})
    done = segment(film / "a.ome.tif", tmp_path / "out", "--edits", tmp_path / "edits.yaml", "--set", "tracking=null")
    assert "E-EDIT-LINK" in done.output + str(done.exception)


def test_the_command_writes_label_and_point(film: Path, tmp_path: Path) -> None:
    item, out = finished_item(film / "plain", "a"), tmp_path / "e.yaml"
    objects, _ = tables(film / "plain")
    cells = objects[objects["structure"] == "cell"].set_index(["frame", "track_id"])["label"]
    large, small = by_cell(objects)["large"][0], by_cell(objects)["small"][0]
    words = ["--frame", 1, "--object", cells[1, large], "--to", cells[2, small], "-o", out]
    assert tomocyte("edits", "add", film / "plain", "a", "link", *words).exit_code == 0
    refused = tomocyte("edits", "add", film / "plain", "a", "death", "--frame", 3, "--object", 1, "-o", out)
    assert "E-EXISTS" in str(refused.exception)
    more = ["--frame", 3, "--object", cells[3, small], "-o", out, "--append", "--note", "blebs"]
    assert tomocyte("edits", "add", film / "plain", "a", "death", *more).exit_code == 0
    written = yaml.safe_load(out.read_text(encoding="utf-8"))["edits"]
    assert [edit["do"] for edit in written] == ["link", "death"]
    labels = item.labels_as_written("cell")
    z, y, x = written[0]["to"]["voxel"]
    assert labels.planes(2, 0)[z, y, x] == written[0]["to"]["label"] == cells[2, small]
    done = segment(film / "a.ome.tif", tmp_path / "out", "--edits", out)
    assert done.exit_code == 0, done.output
    now, tracks = tables(tmp_path / "out")
    assert by_cell(now)["small"][2] == large
    assert "death" in tracks["end"].tolist()


@pytest.mark.parametrize(
    ("do", "given", "code"),
    [
        ("link", {"frame": 9, "label": 1, "later": [1]}, "E-EDIT-FRAME"),
        ("link", {"frame": 3, "label": 1, "later": [1]}, "E-EDIT-FRAME"),
        ("link", {"frame": 0, "label": 7, "later": [1]}, "E-EDIT-TARGET"),
        ("link", {"frame": 0, "label": 1, "later": [1, 2]}, "E-SETTINGS"),
        ("link", {"frame": 0, "label": 1}, "E-SETTINGS"),
        ("death", {"frame": 0, "label": 1, "later": [1]}, "E-SETTINGS"),
        ("division", {"frame": 0, "label": 1, "later": [1]}, "E-SETTINGS"),
    ],
)
def test_edits_that_cannot_be_written(film: Path, do: str, given: dict, code: str) -> None:
    with pytest.raises((InputError, SettingsError)) as caught:
        link_edit(finished_item(film / "plain", "a"), do, **given)
    assert caught.value.code == code


def test_tracking_alone_applies_the_same_edits(film: Path, tmp_path: Path) -> None:
    """Of a run, of its label image, and of its table: the same tracks, masks with their numbers."""
    objects, _ = corrected(film, tmp_path, *EXCHANGED)
    run = tmp_path / "out"
    wanted = objects[objects["structure"] == "cell"].set_index(["frame", "label"])["track_id"]
    assert tomocyte("track", run, "-o", tmp_path / "of-run").exit_code == 0
    labels = run / "items" / "a" / "cell.ome.tif"
    assert tomocyte("track", labels, "-o", tmp_path / "of-labels", "--edits", tmp_path / "edits.yaml").exit_code == 0
    cells = objects[objects["structure"] == "cell"]
    places = ["frame", "label", "z_um", "y_um", "x_um", "volume_um3", "time_s"]
    cells[places].to_csv(tmp_path / "cells.csv", index=False)
    of_table = tomocyte(
        "track", tmp_path / "cells.csv", "-o", tmp_path / "of-table", "--edits", tmp_path / "edits.yaml"
    )
    assert of_table.exit_code == 0, of_table.output
    for name in ("of-run", "of-labels", "of-table"):
        found = pd.read_csv(tmp_path / name / "objects.csv").set_index(["frame", "label"])["track_id"]
        pairs = set(zip(found.loc[wanted.index], wanted, strict=True))
        assert len(pairs) == 2, name
        assert (tmp_path / name / "edits.yaml").exists()
        assert (tmp_path / name / "edits_log.csv").exists()
    masks = read_volume(tmp_path / "of-labels" / "masks.ome.tif")
    numbers = [masks.planes(t, 0)[7, 30, 20 + 3 * t] for t in range(4)]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]


def test_tracking_alone_refuses_edits_of_labels(film: Path, tmp_path: Path) -> None:
    write_edits(tmp_path / "edits.yaml", {"do": "delete", "targets": [1]})
    labels = film / "plain" / "items" / "a" / "cell.ome.tif"
    done = tomocyte("track", labels, "-o", tmp_path / "out", "--edits", tmp_path / "edits.yaml")
    assert "E-EDIT-LABELS" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_in_a_table_a_point_means_the_clearly_nearest() -> None:
    table = pd.DataFrame({"frame": [0, 0], "label": [4, 9], "y_um": [0.0, 0.0], "x_um": [0.0, 10.0]})
    edits = edit_list({"do": "death", "target": {"um": [1.0, 2.0]}}, {"do": "death", "target": {"um": [0.0, 4.0]}})
    found = find_link_edits(edits.edits[:1], in_table(table))
    assert found.changes[0].source == (0, 4)
    with pytest.raises(InputError, match="E-EDIT-TARGET"):
        find_link_edits(edits.edits[1:], in_table(table))
    both = edit_list({"do": "death", "target": {"label": 9, "um": [0.0, 1.0]}})
    with pytest.raises(InputError, match="nearest to object 4"):
        find_link_edits(both.edits, in_table(table))
    assert find_link_edits(both.edits, in_table(table, "label")).changes[0].source == (0, 9)
    assert find_link_edits(both.edits, in_table(table, "point")).changes[0].source == (0, 4)
    voxel = edit_list({"do": "death", "target": {"voxel": [0, 0, 1]}})
    with pytest.raises(InputError, match="no voxels"):
        find_link_edits(voxel.edits, in_table(table))


def test_numbers_of_edits_count_all_edits() -> None:
    """Edits of labels stand between them; the log and messages name the place in the whole list."""
    labels = np.zeros((1, 4, 6), np.uint8)
    labels[0, :2, :2], labels[0, 3, 4:] = 1, 2
    edits = edit_list(
        {"do": "delete", "targets": [1]},
        {"do": "division", "frame": 0, "target": 1, "daughters": [1, {"voxel": [0, 3, 5]}], "to_frame": 2},
    )
    found = find_link_edits(edits.edits, in_labels(lambda frame: labels, (float("nan"), 0.5, 0.5)))
    assert found.changes[0].targets == ((2, 1), (2, 2))
    assert found.records[0].number == 2
    assert found.records[0].new == ((1, 4), (2, 2))
    assert found.log([("W-A: b.",)])[0].warnings == ("W-A: b. (edit 2)",)
    assert shlex.split(edits_as_yaml({"a": edits}))  # written without an error


def test_the_commands_of_the_page_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "correction.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("tomocyte ") and ("film" in line)]
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    moving_cells(tmp_path / "film.ome.tif")
    for line in lines:
        more = ["--model", "classical"] if " run " in line else []
        done = tomocyte(*shlex.split(line)[1:], *more)
        assert done.exit_code == 0, (line, done.output)
    _, tracks = tables(tmp_path / "films")
    assert {"division", "death"} <= set(tracks["end"])
