"""The output folder: what counts as done, what is refused, what is noticed."""

from __future__ import annotations

import doctest
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomocyte.ledger.atomic
import tomocyte.ledger.folder
import tomocyte.ledger.names
from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.ledger import (
    CommitRecord,
    Ledger,
    item_name,
    item_names,
    place_of,
    portable_paths,
    sha256_file,
    verify,
    writing,
)
from tomocyte.ledger.atomic import is_disk_full, part_folder, part_name, plain_files, write_atomic, write_whole
from tomocyte.ledger.names import is_safe_name
from tomocyte.ledger.record import read_record, record_bytes
from tomocyte.ledger.sealed import seal, unseal

KEY = {"input_sha256": "in", "request_sha256": "request", "model_sha256": "model", "code_version": "1.0"}
FILES = {"labels.ome.tif": b"II*\0" + bytes(range(256)) * 3, "zarr/0/c/0": b"chunk", "zarr/zarr.json": b"{}"}


def commit(ledger: Ledger, item: str, files: dict[str, bytes] | None = None, **changes: str) -> CommitRecord:
    staged = ledger.stage(item)
    for name, data in (FILES if files is None else files).items():
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).write_bytes(data)
    facts = {"shape": [3, 5, 7], "medium_ri": 1.337, "note": "µm"}
    record = CommitRecord(
        item=item, source=f"{item}.tif", **{**KEY, **changes}, n_rows=4, facts=facts, timings={"s": 1.5}
    )
    return ledger.commit(item, staged, record)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output of two items and two published files."""
    folder = tmp_path / "out"
    with Ledger(folder) as ledger:
        commit(ledger, "a")
        commit(ledger, "b", {"labels.ome.tif": b"other", "empty": b""})
        ledger.publish("objects.csv", lambda path: path.write_text("item,volume_um3\na,523.6\n") and None)
        ledger.publish("run.json", lambda path: path.write_text("{}") and None)
    return folder


def test_commit_keeps_the_files_and_their_hashes(out: Path) -> None:
    with Ledger(out) as ledger:
        record = ledger.committed("a", **KEY)
        assert [found.item for found in ledger.records()] == ["a", "b"]
    assert record is not None
    assert contents(out / "items" / "a") == FILES
    assert {name: (output.sha256, output.bytes) for name, output in record.outputs.items()} == {
        name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in FILES.items()
    }
    assert (record.n_rows, record.facts["medium_ri"], record.timings) == (4, 1.337, {"s": 1.5})


def test_timings_are_not_part_of_the_hash_and_facts_are(tmp_path: Path) -> None:
    record = CommitRecord(item="a", source="a.tif", **KEY)
    assert record.model_copy(update={"timings": {"s": 9.0}}).sha256() == record.sha256()
    assert record.model_copy(update={"facts": {"n": 1}}).sha256() != record.sha256()


@pytest.mark.parametrize("changed", list(KEY))
def test_another_input_request_model_or_version_is_not_done(out: Path, changed: str) -> None:
    with Ledger(out) as ledger:
        assert ledger.committed("a", **KEY) is not None
        assert ledger.committed("a", **{**KEY, changed: "other"}) is None
        assert ledger.committed("b", **KEY) is not None


def test_missing_or_shortened_files_are_not_done_and_touching_changes_nothing(out: Path) -> None:
    os.utime(out / "items" / "a" / "labels.ome.tif", (1, 1))
    with (out / "items" / "b" / "labels.ome.tif").open("ab") as stream:
        stream.write(b"x")
    with Ledger(out) as ledger:
        assert ledger.committed("a", **KEY) is not None
        assert ledger.committed("b", **KEY) is None
        shutil.rmtree(ledger.items / "a" / "zarr")
        assert ledger.committed("a", **KEY) is None
        assert ledger.committed("never", **KEY) is None


def test_a_new_commit_replaces_all_of_the_old_one(out: Path) -> None:
    with Ledger(out) as ledger:
        commit(ledger, "a", {"only": b"new"}, request_sha256="r2")
        assert ledger.committed("a", **KEY) is None
        assert ledger.committed("a", **{**KEY, "request_sha256": "r2"}) is not None
    assert contents(out / "items" / "a") == {"only": b"new"}


def test_files_without_a_record_do_not_exist(out: Path) -> None:
    (out / "items" / "a.done.json").unlink()
    with Ledger(out) as ledger:
        assert ledger.committed("a", **KEY) is None
        commit(ledger, "a", {"only": b"new"})
    assert contents(out / "items" / "a") == {"only": b"new"}


def test_a_damaged_record_does_not_count(out: Path) -> None:
    done = out / "items" / "a.done.json"
    done.write_bytes(done.read_bytes().replace(b'"n_rows": 4', b'"n_rows": 5'))
    with Ledger(out) as ledger:
        assert ledger.committed("a", **KEY) is None
        assert [record.item for record in ledger.records()] == ["b"]


def test_discard_removes_what_was_staged_and_nothing_else(out: Path) -> None:
    with Ledger(out) as ledger:
        staged = ledger.stage("c")
        (staged / "x").touch()
        ledger.discard(staged)
        with pytest.raises(SettingsError):
            ledger.discard(out / "items" / "b")
    assert sorted(path.name for path in (out / "items").iterdir()) == ["a", "a.done.json", "b", "b.done.json"]


def test_publish_keeps_the_old_file_when_writing_fails(out: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        assert path.suffix == ".csv"
        raise ZeroDivisionError

    with Ledger(out) as ledger, pytest.raises(ZeroDivisionError):
        ledger.publish("objects.csv", fail)
    assert (out / "objects.csv").read_text() == "item,volume_um3\na,523.6\n"
    assert not list(out.glob("*.part*"))


def test_a_withdrawn_file_is_gone_from_disk_and_manifest_and_all_others_stay(out: Path) -> None:
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    with Ledger(out) as ledger:
        ledger.withdraw("objects.csv")
        ledger.withdraw("objects.csv")  # there is none any more
        ledger.withdraw("notes.txt")  # never published
        ledger.withdraw("../out/run.json")
        files = json.loads((out / "manifest.json").read_text())["files"]
        assert files == {"run.json": {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2}}
    after = contents(out)
    assert set(before) - set(after) == {"objects.csv"}
    assert {name for name in after if after[name] != before[name]} == {"manifest.json"}
    (out / "notes.txt").unlink()
    assert verify(out).is_ok
    with Ledger(out) as ledger:  # and it can come back
        ledger.publish("objects.csv", lambda path: path.write_text("item\n") and None)
    assert verify(out).is_ok


def test_nothing_is_withdrawn_once_the_lock_is_lost(out: Path) -> None:
    with Ledger(out) as ledger:
        (out / ".lock").unlink()
        with pytest.raises(OutputError, match="E-LOCK-LOST"):
            ledger.withdraw("objects.csv")
        assert (out / "objects.csv").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "manifest.json", "items", ".hidden", "x.part1-00000000.csv", ""])
def test_publish_refuses_names_that_are_not_its_own(out: Path, name: str) -> None:
    with Ledger(out) as ledger, pytest.raises(SettingsError, match="E-ITEM-NAME"):
        ledger.publish(name, lambda path: path.touch())


@pytest.mark.parametrize("item", ["../x", "a/b", ".hidden", "x.part1-00000000", "x.done.json", "", "a\0b"])
def test_stage_refuses_unsafe_names(out: Path, item: str) -> None:
    with Ledger(out) as ledger, pytest.raises(SettingsError, match="E-ITEM-NAME"):
        ledger.stage(item)


def test_links_cannot_be_committed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out") as ledger:
        staged = ledger.stage("a")
        (staged / "link").symlink_to("/etc/hosts")
        with pytest.raises(OutputError, match="E-OUT-LINK"):
            ledger.commit("a", staged, CommitRecord(item="a", source="a", **KEY))


def test_nan_cannot_be_recorded(tmp_path: Path) -> None:
    record = CommitRecord(item="a", source="a", **KEY, facts={"ri": float("nan")})
    with Ledger(tmp_path / "out") as ledger:
        staged = ledger.stage("a")
        with pytest.raises(SettingsError, match="E-RECORD-VALUE"):
            ledger.commit("a", staged, record)


def test_source_holds_no_folder_and_any_bytes() -> None:
    assert CommitRecord(item="a", source="/home/someone/a b.tif", **KEY).source == "a b.tif"
    assert CommitRecord(item="a", source=os.fsdecode(b"\xff.tif"), **KEY).source == "\\xff.tif"


def test_locked_names_the_holder_and_frees_itself(tmp_path: Path) -> None:
    code = "import sys\nfrom tomocyte.ledger import Ledger\n"
    code += "with Ledger(sys.argv[1]):\n    print('in', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(OutputError, match="E-LOCKED") as caught, Ledger(tmp_path / "out"):
            pass
        assert f"pid {holder.pid} on {socket.gethostname()}" in str(caught.value)
        with pytest.raises(OutputError, match="E-LOCKED"):
            verify(tmp_path / "out")
        holder.kill()
    with Ledger(tmp_path / "out"):
        pass


def test_a_killed_runs_half_started_child_does_not_lock_the_next_one_out(tmp_path: Path) -> None:
    """Between fork and exec a child holds a copy of the lock; the parent may be killed in that very moment."""
    code = "import os, signal, sys, time\nfrom tomocyte.ledger import Ledger\n"
    code += "with Ledger(sys.argv[1]):\n    if os.fork() == 0:\n        time.sleep(0.4)\n        os._exit(0)\n"
    code += "    os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], timeout=60)
    assert done.returncode == -9
    with Ledger(tmp_path / "out"):
        pass


def test_a_removed_lock_file_is_noticed_before_anything_is_committed(out: Path) -> None:
    with Ledger(out) as ledger:
        (out / ".lock").unlink()
        with pytest.raises(OutputError, match="E-LOCK-LOST"):
            commit(ledger, "c")
        with pytest.raises(OutputError, match="E-LOCK-LOST"):
            ledger.publish("x.csv", lambda path: path.touch())


def test_other_peoples_folders_are_refused_and_untouched(tmp_path: Path) -> None:
    for name in ("thesis.docx", "items/photo.part1.jpg", "x.part12-00000000.tif/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="E-OUT-FOREIGN"), Ledger(tmp_path):
        pass
    assert contents(tmp_path) == before


def test_another_programs_lock_file_is_untouched(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("pid of another program")
    with pytest.raises(OutputError, match="E-OUT-FOREIGN"), Ledger(tmp_path):
        pass
    assert contents(tmp_path) == {".lock": b"pid of another program"}


def test_leftovers_are_swept_and_other_files_stay(out: Path) -> None:
    (out / "items" / "c.part99-0123abcd").mkdir()
    (out / "items" / "c.part99-0123abcd" / "x").touch()
    (out / "objects.part99-0123abcd.csv").touch()
    (out / "my notes.part1.txt").write_text("mine")
    (out / "items" / "d.v1").mkdir()  # renamed, not yet recorded: a pending record says whose it is
    (out / "items" / "d.v1.part99-0123abcd.done.json").write_text("{")
    (out / "items" / "theirs").mkdir()
    with Ledger(out):
        assert sorted(path.name for path in out.glob("**/*part*")) == ["my notes.part1.txt"]
    names = sorted(path.name for path in (out / "items").iterdir())
    assert names == ["a", "a.done.json", "b", "b.done.json", "theirs"]


def test_litter_of_file_browsers_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    with Ledger(tmp_path):
        pass
    assert verify(tmp_path).is_ok


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="E-OUT-NOTDIR"), Ledger(path):
            pass


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may reach, unlike the test runner's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("is_made", [True, False])
def test_read_only_folder(open_folder: Path, is_made: bool) -> None:
    """As somebody without special rights, since root may write everywhere."""
    target = open_folder / "out"
    if is_made:
        target.mkdir(mode=0o555)
    open_folder.chmod(0o555)
    code = (
        "import os, sys\nfrom tomocyte.ledger import Ledger\nfrom tomocyte.errors import OutputError\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try:\n    Ledger(sys.argv[1]).__enter__()\nexcept OutputError as error: print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "E-OUT-RO\n", done.stderr


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (OSError(28, "No space left on device"), "E-DISK"),
        (OSError(122, "Disk quota exceeded"), "E-DISK"),
        (OSError("Unable to write: No space left on device"), "E-DISK"),  # as h5py says it, without a number
        (OSError(5, "Input/output error"), "E-OUT-IO"),
        (OSError(30, "Read-only file system"), "E-OUT-RO"),
        (OSError(36, "File name too long"), "E-OUT-NAME"),
    ],
)
def test_errors_of_the_system_in_plain_words(tmp_path: Path, problem: OSError, code: str) -> None:
    with pytest.raises(OutputError) as caught, writing(tmp_path / "a.tif", needed_bytes=12):
        raise problem
    assert caught.value.code == code
    assert caught.value.path == str(tmp_path / "a.tif")
    if code == "E-DISK":
        assert "12 bytes needed" in str(caught.value)
        assert "bytes free" in str(caught.value)


def test_a_full_disk_is_seen_through_the_errors_around_it() -> None:
    """Libraries wrap what the system said."""
    outer = RuntimeError("write failed")
    assert not is_disk_full(outer)
    outer.__cause__ = OSError(28, "No space left on device")
    assert is_disk_full(outer)
    assert not is_disk_full(OSError(5, "Input/output error"))
    assert not is_disk_full(ValueError("no space left on device"))


def test_a_record_survives_its_round_trip_and_a_seal_is_recomputed_by_hand(tmp_path: Path) -> None:
    record = CommitRecord(item="a", source="a.tif", **KEY, facts={"note": "µm", "n": 3}, timings={"s": 1.5})
    path = tmp_path / "a.done.json"
    path.write_bytes(record_bytes(record))
    assert read_record(path) == record
    content = json.loads(path.read_text())
    claimed = content.pop("sha256")
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert claimed == hashlib.sha256(plain.encode()).hexdigest()
    assert unseal(path) == content


@pytest.mark.parametrize(
    "content", [{"record": {"item": "a"}, "timings": {}}, {"timings": {}}, {"record": None, "timings": {}}]
)
def test_a_sealed_file_of_another_form_is_no_record(tmp_path: Path, content: dict[str, object]) -> None:
    (tmp_path / "a.done.json").write_bytes(seal(content))
    with pytest.raises(InputError, match=r"E-RECORD.*another version"):
        read_record(tmp_path / "a.done.json")


def test_files_of_a_tree_come_sorted_with_slashes(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a", "b.x", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, _ in plain_files(tmp_path)] == ["a", "b/10", "b/2", "b.x", "c/d/e"]


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_atomic(path, b"old")
    with pytest.raises(FileExistsError):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new, longer")
    assert contents(tmp_path) == {"table.csv": b"new, longer"}


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("objects.csv", r"objects\.part\d+-[0-9a-f]{8}\.csv"), ("a.ome.tif", r"a\.part\d+-[0-9a-f]{8}\.ome\.tif")],
)
def test_unfinished_files_keep_their_suffixes_and_are_marked(name: str, pattern: str) -> None:
    part = part_name(name)
    assert re.fullmatch(pattern, part)
    assert part != part_name(name)
    assert not is_safe_name(part)
    assert re.fullmatch(r"cell 1\.part\d+-[0-9a-f]{8}", part_folder("cell 1"))


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_reads_everything_and_changes_nothing(out: Path) -> None:
    before, seen = contents(out), []
    report = verify(out, seen.append)
    assert report.is_ok
    assert (report.n_items, report.n_files) == (2, 3 + 2 + 2)
    assert seen == ["a", "b", "objects.csv", "run.json"]
    assert contents(out) == before


def test_verify_catches_every_flipped_bit_truncation_and_deletion(out: Path) -> None:
    rng = random.Random(7)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    for _ in range(200):
        path = rng.choice([path for path in files if path.stat().st_size])
        data = bytearray(path.read_bytes())
        bit = rng.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        assert is_damage_noticed(out, path, bytes(data)), f"bit {bit} of {path.name}"
    for path in files:
        data = path.read_bytes()
        if data:
            for length in {0, rng.randrange(len(data)), len(data) - 1}:
                assert is_damage_noticed(out, path, data[:length]), f"{path.name} cut at {length}"
        assert is_damage_noticed(out, path, data + b"\0")
        assert is_damage_noticed(out, path, None), f"{path.name} deleted"
    assert verify(out).is_ok


def is_damage_noticed(out: Path, path: Path, damaged: bytes | None) -> bool:
    """Whether verify objects while a file has other content (or is gone); puts the file back."""
    original = path.read_bytes()
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    try:
        return not verify(out).is_ok
    except OutputError as error:
        return error.code == "E-OUT-NONE" and path.name == ".tomocyte.json"
    finally:
        path.write_bytes(original)


def test_verify_tells_kinds_of_damage_apart(out: Path) -> None:
    (out / "items" / "a" / "extra").touch()
    (out / "items" / "a" / "zarr" / "zarr.json").unlink()
    (out / "items" / "b" / "labels.ome.tif").write_bytes(b"OTHER")
    (out / "items" / "x.part1-00000000").mkdir()
    (out / "items" / "x.part1-00000000" / "half").touch()
    (out / "link").symlink_to(out / "objects.csv")
    assert [(finding.kind, finding.path) for finding in verify(out).findings] == [
        ("unexpected", "items/a/extra"),
        ("missing", "items/a/zarr/zarr.json"),
        ("changed", "items/b/labels.ome.tif"),
        ("leftover", "items/x.part1-00000000/half"),
        ("unexpected", "link"),
    ]


def test_verify_says_when_tables_are_older_than_the_items(out: Path) -> None:
    with Ledger(out) as ledger:
        commit(ledger, "a", request_sha256="r2")
    assert [(finding.kind, finding.path) for finding in verify(out).findings] == [("stale", "manifest.json")]
    with Ledger(out) as ledger:
        ledger.publish("objects.csv", lambda path: path.touch())
    assert verify(out).is_ok


def test_verify_wants_an_output_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="E-OUT-NONE"):
        verify(tmp_path)


def test_two_sealed_files_cannot_be_swapped(out: Path) -> None:
    a, b = out / "items" / "a.done.json", out / "items" / "b.done.json"
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)
    assert {finding.kind for finding in verify(out).findings} >= {"changed"}
    with Ledger(out) as ledger:
        assert ledger.committed("a", **KEY) is None


def test_records_are_plain_json_without_absolute_paths(out: Path) -> None:
    text = (out / "items" / "a.done.json").read_text(encoding="utf-8")
    assert json.loads(text)["record"]["facts"]["note"] == "µm"
    assert str(out.parent) not in text


# --- names ------------------------------------------------------------------------------------------------------------

ODD_NAMES = [
    "Zelle", "cell 1", "Größe", unicodedata.normalize("NFD", "Größe"), "세포", unicodedata.normalize("NFD", "세포"),
    "細胞", "😀", "it's",
    'a"b', "100%", "#3", "[x]", "-rf", "--out", "=cmd|'", "+1", "@a", ".hidden", "..", "a..", "a ", " a", "CON",
    "nul.x",
    "a\nb", "a\tb", "x" * 240, "ä" * 120, "a.part12-0123abcd", "b.done.json", "c.v1.2", "tab:le", "ﬁ", "İ", "ß",
]  # fmt: skip


@pytest.mark.parametrize("stem", ODD_NAMES)
def test_odd_names_become_folders_everywhere(tmp_path: Path, stem: str) -> None:
    name = item_name(tmp_path / f"{stem}.tif")
    assert name == unicodedata.normalize("NFC", name)
    assert len(name.encode()) <= 140
    assert not set(name) & set("<>:\"/\\|?*'`\n\t\0")
    assert name[0] not in "-=+@. "
    assert name[-1] not in ". "
    with Ledger(tmp_path / "out") as ledger:
        commit(ledger, name)
        assert [record.item for record in ledger.records()] == [name]
        assert ledger.committed(name, **KEY) is not None
    assert verify(tmp_path / "out").is_ok


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cell.tif", "cell"), ("cell.ome.tif", "cell"), ("cell.OME.TIFF", "cell"), ("plate/cell.ome.zarr/", "cell"),
        ("cell.nii.gz", "cell"), ("t01.c2.mrc", "t01.c2"), ("no suffix", "no suffix"), ("細胞.tcf", "細胞"),
    ],
)  # fmt: skip
def test_plain_names_stay_readable(file: str, name: str) -> None:
    assert item_name(file) == name


def test_clashing_inputs_get_distinct_names_independent_of_order() -> None:
    paths = [
        "a/cell.tif", "b/cell.tif", "a/Cell.tif", "a/cell.mrc", "a/other.tif",
        "a/é.tif", "a/" + unicodedata.normalize("NFD", "é") + ".tif",
    ]  # fmt: skip
    names = dict(zip(paths, item_names(paths), strict=True))
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names.values()}
    assert len(folded) == len(paths)
    assert names["a/other.tif"] == "other"
    assert names["b/cell.tif"] == "b_cell"
    assert names["a/cell.tif"].startswith("a_cell-")
    shuffled = random.Random(3).sample(paths, len(paths))
    assert dict(zip(shuffled, item_names(shuffled), strict=True)) == names


def test_names_tell_folders_apart_and_stay_however_many_inputs_are_given() -> None:
    """Counted by hand: same names in two folders carry them; who has a name keeps it."""
    assert item_names(["x/control/f1.tif", "x/drug/f1.tif", "x/drug/f2.tif"]) == ("control_f1", "drug_f1", "f2")
    assert item_names(["x/day1/control/f1.tif", "x/day2/control/f1.tif"]) == ("day1_control_f1", "day2_control_f1")
    known = {place_of("x/control/f1.tif"): "f1"}
    assert item_names(["x/control/f1.tif"], known) == ("f1",)
    assert item_names(["x/drug/f1.tif", "x/control/f1.tif"], known) == ("drug_f1", "f1")


def test_an_input_never_gets_the_name_of_another_that_is_still_there(tmp_path: Path) -> None:
    control, drug = tmp_path / "control" / "f1.tif", tmp_path / "drug" / "f1.tif"
    for path in (control, drug):
        path.parent.mkdir()
        path.touch()
    known = {place_of(control): "f1"}
    assert item_names([drug], known) == ("drug_f1",)
    control.unlink()
    assert item_names([drug], known) == ("f1",), "moved"


def test_portable_paths_are_those_below_the_common_folder() -> None:
    assert portable_paths(["x/a/1.tif", "x/b/c/2.tif", "x/3.tif"]) == ("a/1.tif", "b/c/2.tif", "3.tif")
    assert portable_paths(["/elsewhere/a/1.tif", "/elsewhere/b/c/2.tif"]) == ("a/1.tif", "b/c/2.tif")
    assert portable_paths(["x/a/1.tif"]) == ("1.tif",)
    assert portable_paths([]) == ()


def test_a_name_that_looks_like_anothers_hash_still_differs() -> None:
    hashed = item_names(["a/cell.tif", "b/cell.tif"])[0]
    paths = ["a/cell.tif", "b/cell.tif", f"c/{hashed}.tif"]
    assert len(set(item_names(paths))) == 3


def test_the_same_input_twice_is_refused() -> None:
    with pytest.raises(InputError, match="E-NAME-CLASH"):
        item_names(["a/cell.tif", "a/../a/cell.tif"])


def test_taken_names_are_avoided() -> None:
    assert item_name("x/cell.tif", {"CELL"}).startswith("cell-")
    assert item_name("x/cell.tif", {"cells"}) == "cell"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80), max_size=8
    )
)
def test_any_set_of_inputs_gets_distinct_safe_names(stems: list[str]) -> None:
    paths = sorted({os.path.abspath(f"/d/{stem}.tif") for stem in stems})
    names = item_names(paths)
    assert len({unicodedata.normalize("NFC", name.casefold()) for name in names}) == len(paths)
    assert all(0 < len(name.encode()) <= 210 and name not in (".", "..") and "/" not in name for name in names)


@pytest.mark.parametrize(
    "module",
    [tomocyte.ledger.atomic, tomocyte.ledger.folder, tomocyte.ledger.names],
    ids=lambda module: module.__name__,
)
def test_examples_run(module: object) -> None:
    failed, run = doctest.testmod(module)  # type: ignore[arg-type]
    assert run > 0
    assert failed == 0


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()
