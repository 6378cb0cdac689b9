"""The .zip of a package as another reader sees it; hostile ones stand in ``test_library.py``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tests.models.conftest import Made

from tomocyte.errors import InputError
from tomocyte.models.archive import export_zip, read_archive, write_archive
from tomocyte.models.reading import PACKAGE_FILES, read_plain

FILES = {"p/b.bin": bytes(range(256)) * 40, "p/a.json": b"{}"}


@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_archive_is_the_same_bytes_every_time_and_zipfile_reads_it(tmp_path: Path, is_compressed: bool) -> None:
    for name in ("first.zip", "second.zip"):
        write_archive(tmp_path / name, FILES, is_compressed=is_compressed)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        assert archive.namelist() == list(FILES)  # in the order given
        assert {name: archive.read(name) for name in FILES} == FILES
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
    assert ((tmp_path / "first.zip").stat().st_size < 3000) is is_compressed


def test_an_exported_package_comes_back_byte_for_byte(made: Made, tmp_path: Path) -> None:
    export_zip(made.folder, tmp_path / "p.zip")
    assert read_archive(tmp_path / "p.zip") == {name: (made.folder / name).read_bytes() for name in PACKAGE_FILES}


def test_a_plain_file_is_read_up_to_its_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(b"12345")
    assert read_plain(path, largest_nbytes=5) == b"12345"
    with pytest.raises(InputError, match=r"E-MODEL-FILE.*has 5 bytes; at most 4"):
        read_plain(path, largest_nbytes=4)
    (tmp_path / "link").symlink_to(path)
    for name, text in (("none", "is missing"), ("link", "is a link"), (".", "plain file|cannot be read")):
        with pytest.raises(InputError, match=f"E-MODEL-FILE.*{text}"):
            read_plain(tmp_path / name, largest_nbytes=5)
