"""Samples: hashes are checked, a mirror is used, nothing half-written stays."""

from __future__ import annotations

import ast
import hashlib
import io
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.in_process import tomocyte

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.runs import samples
from tomocyte.runs.samples import Sample, SampleFile, get_sample, registry

CONTENT = b"refractive index"
URL = "https://example.org/a.tif"


@pytest.fixture
def _one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SampleFile("a.tif", hashlib.sha256(CONTENT).hexdigest(), URL)
    monkeypatch.setattr(samples, "REGISTRY", (Sample("a", "one file", "nowhere", "CC0-1.0", (file,)),))


class Answer(io.BytesIO):
    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self._url = url

    def geturl(self) -> str:
        return self._url


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, url: str = URL) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda asked, timeout: Answer(content, url))


@pytest.mark.usefixtures("_one_sample")
def test_mirror_is_searched_and_checked(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror" / "deep"
    mirror.mkdir(parents=True)
    (mirror / "a.tif").write_bytes(CONTENT)
    [path] = get_sample("a", tmp_path / "out", mirror=mirror.parent)
    assert path.read_bytes() == CONTENT
    assert get_sample("a", tmp_path / "out", mirror=tmp_path / "absent") == [path]


@pytest.mark.usefixtures("_one_sample")
@pytest.mark.parametrize(
    ("content", "url", "code"),
    [
        (b"other", URL, "E-SAMPLE-HASH"),
        (CONTENT[:5], URL, "E-SAMPLE-HASH"),
        (CONTENT, "http://x.org", "E-SAMPLE-SOURCE"),
    ],
    ids=["other bytes", "truncated", "not https"],
)
def test_what_is_not_the_sample_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, url: str, code: str
) -> None:
    serve(monkeypatch, content, url)
    with pytest.raises(InputError) as caught:
        get_sample("a", tmp_path)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_one_sample")
def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, CONTENT)
    [path] = get_sample("a", tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("_one_sample")
def test_no_network_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(asked: Any, timeout: float) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match="--from"):
        get_sample("a", tmp_path)


@pytest.mark.usefixtures("_one_sample")
def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="E-EXISTS"):
        get_sample("a", tmp_path)
    assert (tmp_path / "a.tif").read_bytes() == b"mine"


def test_unknown_sample_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="simulated-odt"):
        get_sample("absent", tmp_path)


def test_every_entry_has_source_licence_and_hash() -> None:
    for sample in registry().values():
        assert sample.source
        assert sample.licence
        assert sample.make is not None or sample.files
        assert all(len(file.sha256) == 64 for file in sample.files)


def test_what_cannot_be_downloaded_is_listed_apart() -> None:
    """Re-encoded files have no address; the two of NEUBIAS have one, and the simulated sample needs none."""
    can, cannot = tomocyte("samples", "list").output.split("Not to be downloaded")
    for name in ("simulated-odt", "chromosomes", "two-channel-nucleus"):
        assert f"  {name} " in can
    for name in ("hl60", "qpi-dense", "ovule-nuclei"):
        assert f"  {name} " in cannot
    assert "--from DIR" in cannot


def test_no_message_points_to_a_page_that_an_installed_program_lacks() -> None:
    source = Path(samples.__file__).parent.parent
    texts = [
        node.value
        for path in source.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(texts) > 1000
    assert [text for text in texts if "docs/" in text] == []
