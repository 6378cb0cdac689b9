"""What a user changes, adds or deletes in an output folder, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomocyte.ledger.kinds
import tomocyte.ledger.published
from tomocyte.errors import OutputError, SettingsError
from tomocyte.ledger import CommitRecord, Ledger, claim_folder, is_output_folder, known_items, verify
from tomocyte.ledger.kinds import kind_of
from tomocyte.ledger.record import read_record
from tomocyte.ledger.sealed import seal

KEY = {"input_sha256": "in", "request_sha256": "request", "model_sha256": None, "code_version": "1.0"}


def commit(ledger: Ledger, item: str, text: str = "written", *, is_discarding: bool = False) -> None:
    staged = ledger.stage(item)
    (staged / "cell.ome.tif").write_text(text)
    (staged / "objects.csv").write_text(f"{text} table")
    record = CommitRecord(item=item, source=f"{item}.tif", **{**KEY, "request_sha256": text})
    ledger.commit(item, staged, record, is_discarding=is_discarding)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    with Ledger(folder, "run", "odt") as ledger:
        commit(ledger, "f1")
        ledger.publish("objects.csv", lambda path: path.write_text("a,b\n"))
    return folder


def edit(path: Path, text: str, *, is_time_kept: bool = False) -> None:
    """Another program saves over the file; some restore its date."""
    before = path.stat()
    path.write_text(text)
    if is_time_kept:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("text", ["longer than before", "WRITTEN"], ids=["other size", "same size"])
@pytest.mark.parametrize("is_time_kept", [False, True])
def test_a_changed_result_is_seen_and_never_replaced(out: Path, text: str, is_time_kept: bool) -> None:
    label = out / "items" / "f1" / "cell.ome.tif"
    edit(label, text, is_time_kept=is_time_kept)
    with Ledger(out) as ledger:
        assert ledger.changes("f1").changed == ("cell.ome.tif",)
        assert ledger.committed("f1", **{**KEY, "request_sha256": "written"}) is None
        with pytest.raises(OutputError, match=r"E-OUT-CHANGED.*cell\.ome\.tif"):
            commit(ledger, "f1", "other")
        assert label.read_text() == text
        commit(ledger, "f1", "other", is_discarding=True)
    assert label.read_text() == "other"


def test_a_copied_folder_is_unchanged(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    time.sleep(0.02)
    shutil.copytree(out, copy, copy_function=shutil.copyfile)
    stamps = read_record(copy / "items" / "f1.done.json").stamps
    assert stamps["cell.ome.tif"][0] != (copy / "items" / "f1" / "cell.ome.tif").stat().st_mtime_ns
    with Ledger(copy) as ledger:
        assert ledger.changes("f1").is_whole


def test_unchanged_results_are_known_without_being_read(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("tomocyte.ledger.keeping.sha256_file", never)
    with Ledger(out) as ledger:
        assert ledger.committed("f1", **{**KEY, "request_sha256": "written"}) is not None
        (out / "items" / "f1" / "cell.ome.tif").touch()
        with pytest.raises(AssertionError, match="was read"):
            ledger.changes("f1")


def test_added_files_move_into_the_new_results(out: Path) -> None:
    folder = out / "items" / "f1"
    (folder / "my_notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_text("drawn")
    (folder / ".DS_Store").write_text("litter")
    with Ledger(out) as ledger:
        assert ledger.changes("f1").added == ("figures/a.png", "my_notes.txt")
        commit(ledger, "f1", "other")
        assert ledger.kept == []
    assert (folder / "my_notes.txt").read_text() == "mine"
    assert (folder / "figures" / "a.png").read_text() == "drawn"
    assert (folder / "cell.ome.tif").read_text() == "other"
    assert not (out / "kept").exists()


def test_an_added_file_of_a_name_that_results_need_is_kept_elsewhere(out: Path) -> None:
    folder = out / "items" / "f1"
    (folder / "nucleus.ome.tif").write_text("mine")
    with Ledger(out) as ledger:
        staged = ledger.stage("f1")
        (staged / "nucleus.ome.tif").write_text("theirs")
        ledger.commit("f1", staged, CommitRecord(item="f1", source="f1.tif", **KEY))
        assert ledger.kept == [("items/f1/nucleus.ome.tif", "kept/f1/nucleus.ome.tif")]
    assert (folder / "nucleus.ome.tif").read_text() == "theirs"
    assert (out / "kept" / "f1" / "nucleus.ome.tif").read_text() == "mine"


def test_added_files_survive_a_kill_at_every_step_of_a_commit(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rename, unlink and removal of a commit is once the last thing that happens."""
    calls = ("rename", "replace", "unlink", "rmdir", "mkdir")

    class KilledError(BaseException):
        pass

    def counted(call: Callable[..., Any], last: int, counts: list[str]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            counts.append(call.__name__)
            if len(counts) >= last:
                raise KilledError
            return call(*arguments, **options)

        return run

    def committed(text: str) -> None:
        with Ledger(out) as ledger:
            staged = ledger.stage("f1")
            (staged / "cell.ome.tif").write_text(text)
            with monkeypatch.context() as patch:
                for name in calls if text != "again" else ():
                    patch.setattr(os, name, counted(getattr(os, name), int(text), counts))
                ledger.commit("f1", staged, CommitRecord(item="f1", source="f1.tif", **KEY))

    n_kills = 0
    for last in range(1, 60):
        (out / "items" / "f1").mkdir(exist_ok=True)
        (out / "items" / "f1" / "my_notes.txt").write_text("mine")
        counts: list[str] = []
        try:
            committed(str(last))
        except KilledError:
            n_kills += 1
        committed("again")
        assert (out / "items" / "f1" / "my_notes.txt").read_text() == "mine", f"lost at call {last}"
        assert not (out / "kept").exists()
        if len(counts) < last:
            break
    assert n_kills > 5


def test_a_deleted_result_is_made_again(out: Path) -> None:
    (out / "items" / "f1" / "cell.ome.tif").unlink()
    with Ledger(out) as ledger:
        assert ledger.changes("f1").missing == ("cell.ome.tif",)
        assert ledger.committed("f1", **{**KEY, "request_sha256": "written"}) is None
        commit(ledger, "f1")
    assert verify(out).is_ok


def test_a_folder_without_a_record_is_moved_not_removed(out: Path) -> None:
    (out / "items" / "f1.done.json").unlink()
    with Ledger(out) as ledger:
        commit(ledger, "f1", "other")
        assert ledger.kept == [("items/f1", "kept/f1.unrecorded-1")]
    assert (out / "kept" / "f1.unrecorded-1" / "cell.ome.tif").read_text() == "written"


def test_a_changed_table_is_kept_under_another_name(out: Path) -> None:
    for number, text in enumerate(["my column\n", "x,y\n"], start=1):
        edit(out / "objects.csv", text)
        with Ledger(out) as ledger:
            ledger.publish("objects.csv", lambda path: path.write_text("c,d\n"))
            assert ledger.kept == [("objects.csv", f"objects.changed-{number}.csv")]
        assert (out / f"objects.changed-{number}.csv").read_text() == text
        assert (out / "objects.csv").read_text() == "c,d\n"
    with Ledger(out) as ledger:
        ledger.publish("objects.csv", lambda path: path.write_text("e\n"))
        assert ledger.kept == []
        edit(out / "objects.csv", "mine\n")
        ledger.withdraw("objects.csv")
    assert (out / "objects.changed-3.csv").read_text() == "mine\n"
    assert not (out / "objects.csv").exists()


def test_a_users_own_file_of_the_name_of_a_table_is_kept(out: Path) -> None:
    (out / "pairs.csv").write_text("mine")
    with Ledger(out) as ledger:
        ledger.publish("pairs.csv", lambda path: path.write_text("theirs"))
    assert (out / "pairs.changed-1.csv").read_text() == "mine"


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_table_whose_replacement_was_interrupted_is_not_taken_for_a_users(
    out: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    real = tomocyte.ledger.published.put_in_place

    def killed(part: Path, final: Path) -> None:
        if final.name == "objects.csv":
            if at == "after":
                real(part, final)
            raise KilledError
        real(part, final)

    for text in ("c\n", "d\n"):  # killed twice in a row
        with monkeypatch.context() as patch, Ledger(out) as ledger:
            patch.setattr("tomocyte.ledger.published.put_in_place", killed)
            with pytest.raises(KilledError):
                ledger.publish("objects.csv", lambda path, text=text: path.write_text(text))
    with Ledger(out) as ledger:
        ledger.publish("objects.csv", lambda path: path.write_text("e\n"))
        assert ledger.kept == []
    assert (out / "objects.csv").read_text() == "e\n"
    assert sorted(path.name for path in out.glob("objects*")) == ["objects.csv"]
    assert verify(out).is_ok


def test_a_folder_belongs_to_one_command(out: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for kind, about in (("simulate", ""), ("edits export", ""), ("run", "fluorescence")):
        with (
            pytest.raises(OutputError, match=r"E-OUT-KIND.*`tomocyte run` of the modality odt.*-o"),
            Ledger(out, kind, about),
        ):
            pass
    with pytest.raises(OutputError, match="E-OUT-KIND"):
        claim_folder(out, "train")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with Ledger(out, "run", "odt"):
        pass
    claim_folder(tmp_path / "scores", "evaluate")
    assert kind_of(tmp_path / "scores") == ("evaluate", "")
    claim_folder(tmp_path / "scores", "evaluate")
    with pytest.raises(OutputError, match=r"E-OUT-KIND.*tomocyte evaluate"), Ledger(tmp_path / "scores", "run", "odt"):
        pass


def test_a_run_that_made_nothing_does_not_bind_the_folder_to_its_modality(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out", "run", "odt"):
        pass
    with Ledger(tmp_path / "out", "run", "sxt") as ledger:
        commit(ledger, "f1")
    assert kind_of(tmp_path / "out") == ("run", "sxt")


def test_results_of_the_version_before_are_told_by_their_files(out: Path) -> None:
    with Ledger(out) as ledger:
        ledger.publish("run.json", lambda path: path.write_text('{"settings": {"modality": "odt"}}'))
    (out / ".tomocyte.json").write_bytes(tomocyte.ledger.kinds.marker_bytes("", ""))
    assert is_output_folder(out)
    with pytest.raises(OutputError, match="E-OUT-KIND"), Ledger(out, "simulate"):
        pass
    with pytest.raises(OutputError, match="E-OUT-KIND"), Ledger(out, "run", "qpi"):
        pass
    with Ledger(out, "run", "odt"):
        pass
    assert verify(out).is_ok


def test_a_claimed_folder_holds_nothing_of_other_people(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("mine")
    with pytest.raises(OutputError, match="E-OUT-FOREIGN"):
        claim_folder(tmp_path, "train", own=("checkpoints",))
    (tmp_path / "checkpoints").mkdir()
    claim_folder(tmp_path, "train", own=("checkpoints",))
    assert kind_of(tmp_path) == ("train", "")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "sha256"), values))
def test_a_seal_is_what_the_library_writes(content: dict[str, Any]) -> None:
    """The standard library's encoder and hash, in the order of the format: the same bytes, for any content."""

    def by_library(value: object) -> bytes:
        return (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()

    try:
        expected = by_library({**content, "sha256": hashlib.sha256(by_library(content)).hexdigest()})
    except (UnicodeEncodeError, TypeError):
        with pytest.raises(SettingsError, match="E-RECORD-VALUE"):
            seal(content)
    else:
        assert seal(content) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"bytes"])
def test_what_json_cannot_hold_is_not_sealed(value: object) -> None:
    with pytest.raises(SettingsError, match="E-RECORD-VALUE"):
        seal({"a": [value]})


def test_the_inputs_of_a_folder_are_known_by_their_places(tmp_path: Path) -> None:
    places = {"/data/control/f1.tif": "f1", '/data/a "quoted" µ.tif': "b", "": "old"}
    with Ledger(tmp_path / "out") as ledger:
        for place, item in places.items():
            ledger.commit(item, ledger.stage(item), CommitRecord(item=item, source="x", place=place, **KEY))
    (tmp_path / "out" / "items" / "damaged.done.json").write_text("{")
    (tmp_path / "out" / "items" / "flipped.done.json").write_text('{\n "place": "\\q",\n')
    assert known_items(tmp_path / "out") == {place: item for place, item in places.items() if place}
    assert known_items(tmp_path / "none") == {}


def test_data_that_a_command_simulated_for_itself_is_not_foreign(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out" / "held-out", "simulate"):
        pass
    claim_folder(tmp_path / "out", "train")
    assert kind_of(tmp_path / "out") == ("train", "")
    (tmp_path / "mine" / "data").mkdir(parents=True)
    with pytest.raises(OutputError, match="E-OUT-FOREIGN"):
        claim_folder(tmp_path / "mine", "train")
