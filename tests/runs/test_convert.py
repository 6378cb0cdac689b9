"""What is written never replaces what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte.errors import OutputError
from tomocyte.runs.convert import refuse_existing


def test_files_and_folders_that_exist_are_refused(tmp_path: Path) -> None:
    folder, file, free = tmp_path / "folder", tmp_path / "file.tif", tmp_path / "free.tif"
    folder.mkdir()
    file.write_bytes(b"")
    refuse_existing()
    refuse_existing(free, tmp_path / "no" / "such.tif")
    for target in (folder, file):
        with pytest.raises(OutputError, match=r"E-EXISTS.*Take another") as caught:
            refuse_existing(free, target, cure="Take another.")
        assert str(target) in str(caught.value)
