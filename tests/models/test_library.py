"""The library: names become folders, packages are taken in whole, hostile archives never."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from tests.models.conftest import Made

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.models import export_zip, find_model, install_model, list_models, load_package, user_folder
from tomocyte.models.archive import read_archive
from tomocyte.models.library import is_bundled

FILES = ("card.json", "weights.safetensors", "selftest.safetensors")


def test_import_list_find_export(made: Made, library: Path, tmp_path: Path) -> None:
    assert list_models() == ()
    entry = install_model(made.folder)
    assert (entry.name, entry.place, entry.folder) == ("small-nucleus", "user", library / "small-nucleus")
    assert [(seen.name, seen.card) for seen in list_models()] == [("small-nucleus", made.card)]
    assert list_models()[0].nbytes == (made.folder / "weights.safetensors").stat().st_size
    assert find_model("small-nucleus") == library / "small-nucleus"
    assert load_package("small-nucleus").card == made.card

    for name in ("a.zip", "b.zip"):
        export_zip(find_model("small-nucleus"), tmp_path / name)
        os.utime(library / "small-nucleus" / "card.json", (1, 1))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        for name in FILES:
            assert archive.read(f"small-nucleus/{name}") == (made.folder / name).read_bytes()

    with pytest.raises(OutputError, match="E-MODEL-EXISTS"):
        install_model(tmp_path / "a.zip")
    install_model(tmp_path / "a.zip", is_overwriting=True)
    shutil.rmtree(library)
    install_model(tmp_path / "a.zip")
    for name in FILES:
        assert (library / "small-nucleus" / name).read_bytes() == (made.folder / name).read_bytes()


def test_unknown_names_and_paths(made: Made, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_model(made.folder)
    for wrong in ("nucleus", "", "..", ".", "/nowhere", "small-nucleus/card.json"):
        with pytest.raises(SettingsError, match="E-MODEL-NAME"):
            find_model(wrong)
    with pytest.raises(SettingsError, match="small-nucleus"):
        find_model("nucleus")
    assert find_model(made.folder) == made.folder
    assert find_model(str(made.folder)) == made.folder
    monkeypatch.chdir(made.folder.parent)
    assert find_model("./small-nucleus") == Path("small-nucleus")
    assert find_model("small-nucleus") == library / "small-nucleus"  # the library's first


def test_name_of_a_bundled_model_is_taken(made: Made, library: Path, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "bundled" / "small-nucleus")
    assert [entry.place for entry in list_models()] == ["bundled"]
    assert is_bundled("small-nucleus")
    assert not is_bundled("my-own")
    with pytest.raises(OutputError, match="E-MODEL-EXISTS"):
        install_model(made.folder, is_overwriting=True)
    assert not library.exists()


def test_broken_and_unfinished_packages_are_listed_with_the_reason(made: Made, library: Path) -> None:
    install_model(made.folder)
    shutil.copytree(made.folder, library / "other-name")
    shutil.copytree(made.folder, library / "broken")
    (library / "broken" / "card.json").write_text("{}")
    shutil.copytree(made.folder, library / "small-nucleus.part123-0123abcd")
    (library / "notes").mkdir()
    seen = {entry.name: entry.problem for entry in list_models()}
    assert list(seen) == ["broken", "other-name", "small-nucleus"]
    assert "E-MODEL-CARD" in seen["broken"]
    assert "small-nucleus" in seen["other-name"]
    assert seen["small-nucleus"] == ""


def test_only_the_three_files_are_copied(made: Made, folder: Path, library: Path) -> None:
    (folder / "README.md").write_text("hello")
    (folder / "link").symlink_to("/etc/passwd")
    entry = install_model(folder)
    assert {path.name for path in entry.folder.iterdir()} == set(FILES)


def test_broken_package_is_not_installed(folder: Path, library: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(data))
    with pytest.raises(InputError, match="E-MODEL-HASH"):
        install_model(folder)
    assert list(library.iterdir()) == []
    with pytest.raises(InputError, match="E-MODEL-FILE"):
        install_model(folder / "nothing.zip")


def test_leftovers_of_dead_processes_go_with_the_next_import(made: Made, library: Path) -> None:
    dead = 2**22 + 1  # above the largest pid of Linux
    for name in (
        f"small-nucleus.part{dead}-0123abcd",
        f"small-nucleus.part{os.getppid()}-0123abcd",
        "small-nucleus.part1",
    ):
        (library / name).mkdir(parents=True)
    install_model(made.folder)
    assert {path.name for path in library.iterdir()} == {
        "small-nucleus", f"small-nucleus.part{os.getppid()}-0123abcd", "small-nucleus.part1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/tomocyte/models"),
        ("linux", {}, "/home/me/.local/share/tomocyte/models"),
        ("darwin", {}, "/home/me/Library/Application Support/tomocyte/models"),
        ("win32", {"LOCALAPPDATA": "/appdata"}, "/appdata/tomocyte/models"),
        ("linux", {"TOMOCYTE_MODELS": "/mine", "XDG_DATA_HOME": "/data"}, "/mine"),
        ("linux", {"TOMOCYTE_MODELS": "~/mine"}, "/home/me/mine"),
    ],
)
def test_user_folder(monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str) -> None:
    for name in ("TOMOCYTE_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tomocyte.models.library.sys.platform", platform)
    assert user_folder() == Path(expected)


# --- hostile archives ---------------------------------------------------------------------------------------------


def build(files: dict[str, bytes], extra: list[tuple[zipfile.ZipInfo | str, bytes]] = [], **options: int) -> bytes:  # noqa: B006
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", **options) as archive:  # type: ignore[call-overload]
        warnings.simplefilter("ignore")  # names that are there twice
        for name, data in files.items():
            archive.writestr(name, data)
        for entry, data in extra:
            archive.writestr(entry, data)
    return buffer.getvalue()


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name
    info.external_attr = mode << 16
    return info


def renamed(files: dict[str, bytes], old: bytes, new: bytes) -> bytes:
    """The archive with a name changed in place, as no library would write it."""
    data = build({**files, old.decode(): b"x"})
    assert len(old) == len(new)
    return data.replace(old, new)


NAMES = [
    "../evil", "a/../../evil", "/etc/evil", "//h/share", "C:/evil", "c:evil", "..", ".", "a//b", "a/./b", "a\\..\\evil",
    "..\\evil", "evil\n", "evil\x7f", "con", "a/NUL.txt", "evil.", "evil ", "small-nucleus/../card.json", "~/../x",
    "\u202egnp.exe", "./card.json",
]  # fmt: skip
CLASHES = [
    ("extra", "extra"), ("extra", "EXTRA"), ("caf\u00e9", "cafe\u0301"), ("\u1e9e", "SS"), ("folder/", "folder"),
    ("Stra\u00dfe", "STRASSE"),
]  # fmt: skip


def corpus(files: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    whole = {f"small-nucleus/{name}": data for name, data in files.items()}
    bad: dict[str, tuple[bytes, str]] = {
        f"name {name!r}": (build(whole, [(member(name), b"x")]), "E-MODEL-ZIP-NAME") for name in NAMES
    }
    for one, two in CLASHES:
        bad[f"clash {one!r} {two!r}"] = (build(whole, [(member(one), b"x"), (member(two), b"x")]), "E-MODEL-ZIP-NAME")
    bad["a second card in other case"] = (build(whole, [("small-nucleus/CARD.json", b"x")]), "E-MODEL-ZIP-NAME")
    bad["NUL in a name"] = (renamed(whole, b"abcdefgh", b"abc\0defg"), "E-MODEL-ZIP-NAME")
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR):
        bad[f"kind {kind:o}"] = (build(whole, [(member("entry", kind | 0o777), b"/etc/passwd")]), "E-MODEL-ZIP-LINK")
    weights = files["weights.safetensors"]
    linked = {name: data for name, data in whole.items() if "weights" not in name}
    link = member("small-nucleus/weights.safetensors", stat.S_IFLNK | 0o777)
    bad["weights are a link"] = (build(linked, [(link, b"/etc/passwd")]), "E-MODEL-ZIP-LINK")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    bad["bomb alone"] = (bomb.getvalue(), "E-MODEL-ZIP-BOMB")
    bad["bomb beside"] = (build({**whole, "zeros": bytes(5_000_000)}, compression=zipfile.ZIP_DEFLATED), "E-MODEL-ZIP")
    bad["65 members"] = (build(whole, [(f"n{i}", b"") for i in range(62)]), "E-MODEL-ZIP-BOMB")
    bad["100000 members"] = (build({}, [(f"n{i}", b"") for i in range(2000)]), "E-MODEL-ZIP-BOMB")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        bad[f"method {method}"] = (build(whole, compression=method), "E-MODEL-ZIP")
    good = build(whole)
    bad["cut"] = (good[: len(good) // 2], "E-MODEL-ZIP")
    bad["end cut"] = (good[:-1], "E-MODEL-ZIP")
    bad["empty"] = (b"", "E-MODEL-ZIP")
    bad["tar"] = (b"\0" * 1024, "E-MODEL-ZIP")
    bad["comment"] = (good[:-2] + struct.pack("<H", 3) + b"abc", "E-MODEL-ZIP")
    bad["flipped data"] = (good.replace(weights[-40:], bytes(40)), "E-MODEL-ZIP")
    bad["encrypted"] = (flagged(good, 0x1), "E-MODEL-ZIP")
    bad["declares fewer members"] = (
        declaring(build(whole, [(f"n{i}", b"") for i in range(80)]), 3),
        "E-MODEL-ZIP-BOMB",
    )
    bad["declares 4 GB"] = (grown(good, weights, 1 << 31), "E-MODEL-ZIP-BOMB")
    bad["no card"] = (build({"weights.safetensors": weights}), "E-MODEL-ZIP")
    bad["no weights"] = (build({"card.json": files["card.json"]}), "E-MODEL-ZIP")
    bad["two packages"] = (build({**whole, **{f"b/{name}": data for name, data in files.items()}}), "E-MODEL-ZIP")
    bad["card too large"] = (build({**whole, "small-nucleus/card.json": os.urandom(1 << 21)}), "E-MODEL-ZIP-BOMB")
    bad["zip64"] = (good[:-22] + b"PK\x06\x07" + bytes(16) + good[-22:], "E-MODEL-ZIP")
    return bad


def flagged(data: bytes, flag: int) -> bytes:
    """Every member marked with a general-purpose flag, in both headers."""
    broken = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            broken[place + offset] |= flag
            place = data.find(mark, place + 4)
    return bytes(broken)


def declaring(data: bytes, count: int) -> bytes:
    return data[:-14] + struct.pack("<HH", count, count) + data[-10:]


def grown(data: bytes, weights: bytes, nbytes: int) -> bytes:
    """The central directory declares another unpacked size for the weights."""
    start = data.find(b"PK\x01\x02")
    old = struct.pack("<L", len(weights))
    return data[:start] + data[start:].replace(old + old, old + struct.pack("<L", nbytes))


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_hostile_archives_are_refused_and_touch_nothing(made: Made, library: Path, tmp_path: Path) -> None:
    files = {name: (made.folder / name).read_bytes() for name in FILES}
    source = tmp_path / "package.zip"
    cases = corpus(files)
    assert len(cases) >= 50
    for name, (data, code) in cases.items():
        source.write_bytes(data)
        before = listing(tmp_path)
        with pytest.raises(InputError) as caught:
            install_model(source)
        assert caught.value.code.startswith(code), f"{name}: {caught.value}"
        assert listing(tmp_path) == before, name


@pytest.mark.parametrize("place", ["", "small-nucleus/", "any name/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_honest_archives_pass(made: Made, library: Path, tmp_path: Path, place: str, compression: int) -> None:
    """With folders as members, and with files that are not ours beside them."""
    files = {place + name: (made.folder / name).read_bytes() for name in FILES}
    extra: list[tuple[zipfile.ZipInfo | str, bytes]] = [("__MACOSX/._card", b"x"), ("README.md", b"hello")]
    if place:
        extra.append((member(place, stat.S_IFDIR | 0o755), b""))
    (tmp_path / "p.zip").write_bytes(build(files, extra, compression=compression))
    assert install_model(tmp_path / "p.zip").card == made.card
    assert {path.name for path in (library / "small-nucleus").iterdir()} == set(FILES)


def test_every_cut_and_flip_of_an_archive_gives_an_error_or_the_same_files(made: Made, tmp_path: Path) -> None:
    export_zip(made.folder, tmp_path / "p.zip")
    data = (tmp_path / "p.zip").read_bytes()
    truth = {name: (made.folder / name).read_bytes() for name in FILES}

    def check(changed: bytes) -> bool:
        (tmp_path / "q.zip").write_bytes(changed)
        try:
            files = read_archive(tmp_path / "q.zip")
        except InputError:
            return False
        assert files == truth
        return True

    assert check(data)
    step = max(1, len(data) // 150)
    assert not any(check(data[:length]) for length in range(0, len(data), step))
    directory = data.index(b"PK\x01\x02")
    flips = [*range(0, directory, step), *range(directory, len(data), 3)]
    assert sum(check(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]) for place in flips) < len(flips)
