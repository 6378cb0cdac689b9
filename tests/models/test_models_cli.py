"""``tomocyte models`` as its user sees it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.models.conftest import Made
from typer.testing import CliRunner, Result

from tomocyte.cli.models import app
from tomocyte.errors import InputError, OutputError, SettingsError


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(*arguments: object) -> list[str]:
    done = call(*arguments)
    assert done.exit_code == 0, done.exception
    return done.stdout.splitlines()


def test_import_list_show_export(made: Made, library: Path, tmp_path: Path) -> None:
    assert "tomocyte models import" in lines("list")[0]
    assert str(library) in lines("list")[0]
    assert lines("import", made.folder) == [f"imported small-nucleus 1.2.3 into {library / 'small-nucleus'}"]
    (row,) = lines("list")
    assert row.split()[:5] == ["small-nucleus", "1.2.3", "odt", "2-D", "nucleus,"]
    assert row.endswith(str(library / "small-nucleus"))
    (entry,) = json.loads("\n".join(lines("list", "--json")))
    assert entry["nbytes"] == (made.folder / "weights.safetensors").stat().st_size
    assert (entry["name"], entry["structures"]) == ("small-nucleus", ["nucleus", "nucleolus"])

    shown = "\n".join(lines("show", "small-nucleus"))
    for part in (
        "Nuclei and nucleoli", "any x 0.19 x 0.21 um", "1.3 to 1.5", "held-out dice: 0.91", "n_fields: 3",
        "Not for fixed cells.", "simulated data", "CC-BY-4.0", "10.1109/ACCESS.2019.2924255", "offset 1.337",
    ):  # fmt: skip
        assert part in shown, part
    content = json.loads("\n".join(lines("show", "small-nucleus", "--json")))
    assert content["figures"] == {"held-out": {"dice": 0.91}, "n_fields": 3}

    target = tmp_path / "out.zip"
    assert lines("export", "small-nucleus", "-o", target)[0].startswith(f"wrote {target}")
    assert isinstance(call("export", "small-nucleus", "-o", target).exception, SettingsError)
    first = target.read_bytes()
    lines("export", "small-nucleus", "-o", target, "--overwrite")
    assert target.read_bytes() == first
    assert isinstance(call("import", target).exception, OutputError)
    lines("import", target, "--overwrite")


def test_errors_carry_their_codes(made: Made, library: Path, tmp_path: Path) -> None:
    for arguments, code in (
        (("show", "nothing"), "E-MODEL-NAME"),
        (("import", tmp_path / "nothing"), "E-MODEL-FILE"),
        (("export", made.folder, "-o", "x.zip", "--format", "pickle"), "E-USAGE"),
        (("export", made.folder, "-o", "x.onnx"), "E-USAGE"),
    ):
        problem = call(*arguments).exception
        assert isinstance(problem, InputError | SettingsError), problem
        assert problem.code == code
    library.mkdir()
    (library / "broken").mkdir()
    (library / "broken" / "card.json").write_text("{}")
    assert "broken" in lines("list")[0]
    assert "E-MODEL-CARD" in lines("list")[0]


def test_missing_extra_is_named(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tomocyte.models.export as export

    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnx" else object())
    for file_format, name in (("onnx", "a.onnx"), ("bioimageio", "a.zip")):
        problem = call("export", made.folder, "-o", tmp_path / name, "--format", file_format).exception
        assert isinstance(problem, SettingsError)
        assert (problem.code, problem.cure) == ("E-MODEL-EXTRA", "pip install 'tomocyte[export]'")
    assert os.listdir(tmp_path) == []


def test_help_says_what_each_verb_does() -> None:
    for verb in ("list", "show", "import", "export"):
        done = call(verb, "--help")
        assert done.exit_code == 0
        assert len(done.stdout.splitlines()) > 6


def test_remove_asks_and_removes_only_what_was_imported(made: Made, library: Path) -> None:
    """Refused: a no, a model that ships, an unknown one, a folder with a file of the user's. `--yes` does not ask."""
    lines("import", made.folder)
    folder = library / "small-nucleus"
    refused = CliRunner().invoke(app, ["remove", "small-nucleus"], input="n\n")
    assert refused.exit_code == 1
    assert "Remove small-nucleus" in refused.output
    for name in ("odt-organelles", "nothing", str(folder)):
        problem = call("remove", name, "--yes").exception
        assert isinstance(problem, SettingsError)
        assert problem.code == "E-MODEL-NAME"
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    foreign = call("remove", "small-nucleus", "--yes").exception
    assert isinstance(foreign, OutputError)
    assert "notes.txt" in str(foreign)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["card.json", "notes.txt", "selftest.safetensors", "weights.safetensors"]
    )
    (folder / "notes.txt").unlink()
    assert lines("remove", "small-nucleus", "--yes") == [f"removed small-nucleus from {folder}"]
    assert not folder.exists()
    assert made.folder.exists()
    lines("import", made.folder)
    assert CliRunner().invoke(app, ["remove", "small-nucleus"], input="y\n").exit_code == 0
    assert not folder.exists()
