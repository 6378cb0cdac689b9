"""Label images corrected where they lie, and runs after that: nothing is lost, the printed ways on work as typed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import TWO, contents, segment, tomocyte, write_edits

from tomocyte.formats import read_volume, write_volume
from tomocyte.ledger import verify
from tomocyte.volume import Volume

RUN = ("-m", "odt", "--model", "classical")


def labels_of(path: Path) -> np.ndarray:
    volume = read_volume(path, is_size_required=False)
    return np.stack([volume.planes(frame, 0) for frame in range(volume.n_frames)])


def save_tomogram(path: Path, voxels: np.ndarray, size_um: tuple[float, float, float] = BALL_SIZE_UM) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = (0.0, 30.0) if voxels.ndim == 5 else None
    known = {"quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(path, Volume.from_array(voxels, voxel_size_um=size_um, time_s=times, **known))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two inputs, run: ``in/f1`` with two balls, ``in/other`` with one; the test stands in it."""
    save_tomogram(tmp_path / "in" / "f1.ome.tif", ball_ri(centres_um=TWO))
    save_tomogram(tmp_path / "in" / "other.ome.tif", ball_ri())
    monkeypatch.chdir(tmp_path)
    assert segment(Path("in"), Path("out")).exit_code == 0
    return tmp_path


def correct(path: Path) -> np.ndarray:
    """The second ball is deleted, something new drawn in the corner; saved over the file, without axes or size."""
    labels = labels_of(path)
    labels[labels == 2] = 0
    labels[..., 0, :4] = 9
    tifffile.imwrite(path, np.squeeze(labels).astype(np.uint16), photometric="minisblack")
    return labels


def typed(message: str, n_commands: int = 1) -> tuple[list[list[str]], list[str]]:
    """The commands of a message as a shell would take them, and the option to add to the run."""
    quoted = re.findall(r"`([^`]*)`", message)
    commands = [shlex.split(text)[1:] for text in quoted if text.startswith("tomocyte ")]
    (option,) = [shlex.split(text) for text in quoted if text.startswith("--edits")]
    assert len(commands) == n_commands
    return commands, option


@pytest.mark.parametrize("kind", ["one plane", "volume", "frames"])
def test_from_a_label_image_corrected_in_place_to_the_same_labels_as_results(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    voxels = ball_ri(centres_um=TWO)
    if kind == "frames":
        voxels = np.stack([voxels, voxels[:, ::-1]])[:, None]
    path = Path("in/my cells (1).ome.tif")
    if kind == "one plane":  # the same balls, seen from the side that QPI measures
        phase = ball_ri(centres_um=TWO).max(axis=0, keepdims=True) - MEDIUM_RI
        size = (float("nan"), *BALL_SIZE_UM[1:])
        volume = Volume.from_array(phase.astype(np.float32) * 100, voxel_size_um=size, quantity="phase", unit="rad")
        path.parent.mkdir()
        write_volume(path, volume)
        run = ("run", "in", "-o", "my out", "-m", "qpi", "--model", "classical", "--wavelength-um", "0.532")
    else:
        save_tomogram(path, voxels)
        run = ("run", "in", "-o", "my out", *RUN)
    assert tomocyte(*run).exit_code == 0
    label = Path("my out/items/my cells (1)/cell.ome.tif")
    saved = correct(label)
    content = label.read_bytes()

    stopped = tomocyte(*run)
    assert stopped.exit_code == 4
    assert "E-OUT-CHANGED: cell.ome.tif changed since" in stopped.stderr
    assert label.read_bytes() == content
    (command,), option = typed(stopped.stderr)
    assert tomocyte(*command).exit_code == 0
    done = tomocyte(*run, *option)
    assert done.exit_code == 0, done.stderr
    np.testing.assert_array_equal(labels_of(label), saved)
    assert verify(Path("my out")).is_ok
    assert "(1 in an earlier run)" in tomocyte(*run).stdout
    np.testing.assert_array_equal(labels_of(label), saved)


def test_the_other_inputs_go_on_and_changes_are_dropped_only_when_asked(place: Path) -> None:
    before = contents(place / "out" / "items" / "f1")
    correct(place / "out" / "items" / "f1" / "cell.ome.tif")
    changed = contents(place / "out" / "items" / "f1")
    for more in ((), ("--set", "segmentation.inclusion.rim_fraction=0.6"), ("--trust-times",)):
        done = segment(Path("in"), Path("out"), *more)
        assert done.exit_code == 3
        assert "failed: f1: E-OUT-CHANGED" in done.stderr
        assert contents(place / "out" / "items" / "f1") == changed
    assert "1 of 2 inputs done (1 in an earlier run), 1 failed" in segment(Path("in"), Path("out")).stdout
    status = pd.read_csv(place / "out" / "status.csv", keep_default_na=False).set_index("item")
    assert status["code"].to_dict() == {"f1": "E-OUT-CHANGED", "other": ""}
    assert set(pd.read_csv(place / "out" / "objects.csv")["item"]) == {"other"}
    assert segment(Path("in"), Path("out"), "--discard-changes").exit_code == 0
    assert contents(place / "out" / "items" / "f1") == before


def test_edits_that_are_not_what_was_saved_do_not_replace_it(place: Path) -> None:
    label = place / "out" / "items" / "f1" / "cell.ome.tif"
    correct(label)
    changed = contents(place / "out" / "items" / "f1")
    edits = write_edits(place / "e.yaml", {"do": "delete", "targets": [2]}, item="f1")
    done = segment(Path("in"), Path("out"), "--edits", edits)
    assert done.exit_code == 3
    assert "E-OUT-CHANGED: the edits do not give what was saved in cell.ome.tif" in done.stderr
    assert contents(place / "out" / "items" / "f1") == changed


def test_a_corrected_result_corrected_in_place_again(place: Path) -> None:
    label = place / "out" / "items" / "f1" / "cell.ome.tif"
    correct(label)
    (command,), option = typed(segment(Path("in"), Path("out")).stderr)
    tomocyte(*command)
    assert segment(Path("in"), Path("out"), *option).exit_code == 0
    labels = labels_of(label)
    labels[labels == 9] = 0
    labels[:, 3:5, :2, :2] = 4
    tifffile.imwrite(label, labels[0], photometric="minisblack")
    stopped = segment(Path("in"), Path("out"), *option)  # with the edits of before
    assert stopped.exit_code == 3
    (again,) = [shlex.split(text)[1:] for text in re.findall(r"`(tomocyte [^`]*)`", stopped.stderr)]
    assert again[-1] == "--append"
    assert tomocyte(*again).exit_code == 0
    assert segment(Path("in"), Path("out"), *option).exit_code == 0
    np.testing.assert_array_equal(labels_of(label), labels)


def test_a_forgotten_flag_never_loses_corrections(place: Path) -> None:
    edits = write_edits(place / "e.yaml", {"do": "delete", "targets": [2]}, item="f1")
    assert segment(Path("in"), Path("out"), "--edits", edits).exit_code == 0
    corrected = contents(place / "out" / "items" / "f1")
    forgotten = segment(Path("in"), Path("out"))
    assert "2 in an earlier run" in forgotten.stdout
    assert "corrections of an earlier run are kept: 1 of f1; --discard-changes leaves them out" in forgotten.stderr
    assert contents(place / "out" / "items" / "f1") == corrected
    other = write_edits(place / "o.yaml", {"do": "delete", "targets": [1]}, item="other")
    assert segment(Path("in"), Path("out"), "--edits", other).exit_code == 0
    assert contents(place / "out" / "items" / "f1") == corrected, "edits of another input leave these"
    assert segment(Path("in"), Path("out"), "--set", "segmentation.inclusion.rim_fraction=0.6").exit_code == 0
    assert labels_of(place / "out" / "items" / "f1" / "cell.ome.tif").max() == 1, "other settings, same corrections"
    none = write_edits(place / "none.yaml", item="f1")
    assert segment(Path("in"), Path("out"), "--edits", none).exit_code == 0
    assert labels_of(place / "out" / "items" / "f1" / "cell.ome.tif").max() == 2, "an empty list asks for none"


def test_corrections_of_another_content_or_without_their_file_are_not_dropped(place: Path) -> None:
    edits = write_edits(place / "e.yaml", {"do": "delete", "targets": [2]}, item="f1")
    assert segment(Path("in"), Path("out"), "--edits", edits).exit_code == 0
    corrected = contents(place / "out" / "items" / "f1")
    save_tomogram(place / "in" / "f1.ome.tif", ball_ri(centres_um=TWO[:1]))
    done = segment(Path("in"), Path("out"))
    assert "failed: f1: E-EDIT-INPUT" in done.stderr
    assert "--discard-changes" in done.stderr
    assert contents(place / "out" / "items" / "f1") == corrected
    save_tomogram(place / "in" / "f1.ome.tif", ball_ri(centres_um=TWO))
    copy = place / "out" / "items" / "f1" / "edits.yaml"
    text = copy.read_text()
    copy.unlink()
    done = segment(Path("in"), Path("out"))
    assert "failed: f1: E-EDIT-KEPT" in done.stderr
    assert (place / "out" / "items" / "f1" / "cell.ome.tif").read_bytes() == corrected["cell.ome.tif"]
    copy.write_text(text.replace("label: 2", "label: 1"))
    done = segment(Path("in"), Path("out"))
    assert "E-EDIT-KEPT" in done.stderr
    (option,) = [shlex.split(found) for found in re.findall(r"`(--edits [^`]*)`", done.stderr)]
    assert segment(Path("in"), Path("out"), *option).exit_code == 0
    assert pd.read_csv(place / "out" / "objects.csv")["label"].tolist() == [2, 1], "the edits as they were changed"


def test_a_failing_edit_leaves_results_and_tables_as_they_were(place: Path) -> None:
    items, table = contents(place / "out" / "items"), (place / "out" / "objects.csv").read_bytes()
    edits = write_edits(place / "e.yaml", {"do": "delete", "targets": [77]}, item="f1")
    done = segment(Path("in"), Path("out"), "--edits", edits)
    assert done.exit_code == 3
    assert "E-EDIT-TARGET" in done.stderr
    assert contents(place / "out" / "items") == items
    assert (place / "out" / "objects.csv").read_bytes() == table
    status = pd.read_csv(place / "out" / "status.csv", keep_default_na=False).set_index("item")
    assert status.loc["f1", ["state", "code", "n_objects"]].tolist() == ["failed", "E-EDIT-TARGET", 2]
    assert "The tables hold its results before that." in status.loc["f1", "message"]
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert "Shown are the results before that." in page
    assert segment(Path("in"), Path("out")).exit_code == 0


def test_files_of_the_users_stay_where_they_were_put(place: Path) -> None:
    (place / "out" / "notes.txt").write_text("mine")
    (place / "out" / "items" / "f1" / "my_notes.txt").write_text("mine too")
    (place / "out" / "objects.csv").write_text("item,my column\n")
    done = segment(Path("in"), Path("out"), "--set", "segmentation.inclusion.rim_fraction=0.6")
    assert done.exit_code == 0
    assert (place / "out" / "notes.txt").read_text() == "mine"
    assert (place / "out" / "items" / "f1" / "my_notes.txt").read_text() == "mine too"
    assert "note: objects.csv was changed or added by somebody; that file is now objects.changed-1.csv." in done.stderr
    assert (place / "out" / "objects.changed-1.csv").read_text() == "item,my column\n"


def test_a_changed_table_of_an_item_stops_it_and_says_how_to_keep_it(place: Path) -> None:
    table = place / "out" / "items" / "f1" / "objects.csv"
    before = table.read_bytes()
    table.write_bytes(before + b"f1,my row\n")
    done = segment(Path("in"), Path("out"))
    assert "E-OUT-CHANGED: objects.csv changed" in done.stderr
    assert "To keep objects.csv: move it to another place, then the same command." in done.stderr
    table.rename(place / "mine.csv")
    assert segment(Path("in"), Path("out")).exit_code == 0
    assert table.read_bytes() == before


def test_a_deleted_label_image_is_made_again(place: Path) -> None:
    before = contents(place / "out" / "items" / "f1")
    (place / "out" / "items" / "f1" / "cell.ome.tif").unlink()
    assert "(1 in an earlier run)" in segment(Path("in"), Path("out")).stdout
    assert contents(place / "out" / "items" / "f1") == before


def test_changed_labels_are_not_exported_as_what_was_measured(place: Path) -> None:
    edits = write_edits(place / "e.yaml", {"do": "delete", "targets": [2]}, item="f1")
    assert segment(Path("in"), Path("out"), "--edits", edits).exit_code == 0
    saved = correct(place / "out" / "items" / "f1" / "cell.ome.tif")
    problem = tomocyte("edits", "export", "out", "-o", "labelled").exception
    assert problem.code == "E-EDIT-BASE"
    (command,) = [shlex.split(text)[1:] for text in re.findall(r"`(tomocyte [^`]*)`", problem.cure)]
    assert tomocyte(*command).exit_code == 0
    assert segment(Path("in"), Path("out"), "--edits", "f1.edits.yaml").exit_code == 0
    assert tomocyte("edits", "export", "out", "-o", "labelled").exit_code == 0
    exported = labels_of(place / "labelled" / "items" / "f1" / "labels" / "cell.ome.tif")
    np.testing.assert_array_equal(exported, saved)


def test_two_structures_corrected_in_place_go_into_one_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed commands one after the other; the second adds to the first's file."""
    folder = place / "out" / "items" / "f1"
    names = sorted(path.name for path in folder.glob("*.ome.tif"))
    if len(names) < 2:
        pytest.fail(f"the run gives only {names}")
    saved = {name: correct(folder / name) for name in names[:2]}
    commands, option = typed(segment(Path("in"), Path("out")).stderr, n_commands=2)
    for command in commands:
        assert tomocyte(*command).exit_code == 0
    assert segment(Path("in"), Path("out"), *option).exit_code == 0
    for name, labels in saved.items():
        np.testing.assert_array_equal(labels_of(folder / name), labels)


def test_same_names_in_two_folders_are_told_apart_everywhere(tmp_path: Path, ball_file: Callable[..., Path]) -> None:
    for folder, centres in (("control", TWO), ("drug", ((0.0, 0.0, 0.0),))):
        save_tomogram(tmp_path / "data" / folder / "f1.ome.tif", ball_ri(centres_um=centres))
    assert segment(tmp_path / "data" / "control", tmp_path / "out").exit_code == 0
    assert "(1 in an earlier run)" in segment(tmp_path / "data", tmp_path / "out", "--recursive").stdout
    assert sorted(path.name for path in (tmp_path / "out" / "items").iterdir() if path.is_dir()) == ["drug_f1", "f1"]
    fresh = segment(tmp_path / "data", tmp_path / "fresh", "--recursive")
    assert fresh.exit_code == 0
    for name in ("objects", "status"):
        table = pd.read_csv(tmp_path / "fresh" / f"{name}.csv", keep_default_na=False)
        places = table[["item", "path", "folder"]].drop_duplicates().values.tolist()
        assert places == [
            ["control_f1", "control/f1.ome.tif", "control"],
            ["drug_f1", "drug/f1.ome.tif", "drug"],
        ]
    parquet = pd.read_parquet(tmp_path / "fresh" / "objects.parquet")
    assert parquet.groupby("folder").size().to_dict() == {"control": 2, "drug": 1}
    dictionary = pd.read_csv(tmp_path / "fresh" / "objects.dictionary.csv")["column"].tolist()
    assert dictionary[:3] == ["item", "path", "folder"]
    page = (tmp_path / "fresh" / "report.html").read_text(encoding="utf-8")
    assert "control/f1.ome.tif" in page
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere" / "data")
    segment(tmp_path / "elsewhere" / "data", tmp_path / "moved", "--recursive")
    for name in ("objects.csv", "status.csv", "objects.parquet"):
        assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
