"""The version of the code that made a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte import __version__, provenance


@pytest.fixture
def version_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The version of a small package whose files are written first."""

    def version(**contents: bytes) -> str:
        for name, content in contents.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return provenance.code_version.__wrapped__()

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    return version


def test_code_that_decides_results_makes_another_version(version_of) -> None:
    first = version_of(measurements__shape=b"area = 1\n", cli__run=b"print\n")
    assert first.partition("+")[0] == __version__
    assert version_of(cli__run=b"another text\n") == first, "what is printed decides no result"
    assert version_of(measurements__shape=b"area = 1\r\n") == first, "nor does the system's end of a line"
    assert version_of(measurements__shape=b"area = 2\n") != first
    assert version_of(measurements__shape=b"area = 1\n") == first
    assert version_of(measurements__more=b"") != first, "a file more"
