"""Helps that list what is registered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from tomocyte.cli import app, main
from tomocyte.cli.listings import LISTINGS, fill_in
from tomocyte.training import recipe_names


def help_of(*command: str) -> str:
    lines = CliRunner().invoke(app, [*command, "--help"], catch_exceptions=False).output
    return " ".join(lines.split()).replace("- ", "-")  # names are wrapped at hyphens


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run", ("fluorescence, nile_red, odt, qpi or sxt", "watershed, components, as-found")),
        ("settings", ("fluorescence, nile_red, odt, qpi or sxt",)),
        ("convert", (".nii.gz .nii (nifti)",)),
        (
            "simulate",
            (
                "nile_red (two bands of Nile Red), odt (tomograms), qpi (images) or sxt (soft X-ray tomograms)",
                "ome-tiff or tcf",
                "HeLa",
                "macrophage-lps",
            ),
        ),
        ("propagate", ("signed-distance: ",)),
        ("train", ("odt-organelles", "osnet-nucleus")),
        ("search", ("scnas-search",)),
        ("crossval", ("osnet-tables",)),
        ("reproduce", ("choi-fig2c", "osnet-fig4")),
    ],
)
def test_helps_name_what_is_registered(command: str, words: tuple[str, ...]) -> None:
    text = help_of(command)
    assert [word for word in words if word not in text] == []
    assert "{" not in text.partition("Arguments:")[2]
    assert help_of(command) == text  # the second time too


def test_recipes_of_a_kind_are_those_that_the_reader_knows() -> None:
    assert LISTINGS["paper_recipes"]().split(", ") == recipe_names("paper")


def test_other_braces_and_no_text_stay() -> None:
    assert fill_in(None) is None
    assert fill_in("{modality} and {0}") == "{modality} and {0}"
    assert "{" not in "".join(listing() for listing in LISTINGS.values())


def every_help() -> dict[str, str]:
    """Command -> its help on a terminal of 80 columns."""
    texts = {}
    pending: list[tuple[str, ...]] = [()]
    while pending:
        words = pending.pop()
        texts[" ".join(words)] = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).output
        command: Any = typer.main.get_command(app)
        for word in words:
            command = command.commands[word]
        pending += [(*words, verb) for verb in getattr(command, "commands", {})]
    return texts


HELPS = every_help()
HEADINGS = ["Arguments:", "Options:", "Input:", "What to do:", "Output:", "Advanced:", "Commands:"]


@pytest.mark.parametrize("command", sorted(HELPS))
def test_a_help_reads_well_on_a_narrow_screen(command: str) -> None:
    """Kinds of values and ranges in words, arguments in capitals, headings in one order, help and debug at the end."""
    text = HELPS[command]
    assert max(map(len, text.splitlines())) <= 80
    assert re.findall(r"<(str|int|float|path|list)|x[<>]=|\bNone\b|^  \w.*\.\.\.$", text, flags=re.MULTILINE) == []
    shown = [line for line in text.splitlines() if line in HEADINGS]
    assert shown == sorted(shown, key=HEADINGS.index)
    usage = text.partition("\n\n")[0]
    assert re.findall(r"[\[{](?!OPTIONS)([^\]}]*[a-z][^\]}]*)[\]}]", usage) == []
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, flags=re.MULTILINE)
    assert options[-1] == "--help"
    assert "--debug" not in options or options[-2] == "--debug"


def test_long_commands_can_be_quiet_and_keep_a_log() -> None:
    assert {command for command, text in HELPS.items() if "--quiet" in text} == {
        "run", "simulate", "convert", "verify", "evaluate", "propagate", "train", "fine-tune", "crossval", "search",
        "reproduce", "measure", "accuracy", "models calibrate", "edits export", "samples get", "figures", "analyse",
        "track", "consensus", "simulate-labels", "ablate", "register",
        "labels-from-stain",
    }  # fmt: skip
    assert all("--log FILE" in text for text in HELPS.values() if "--quiet" in text)


NOT_THERE = {
    "run": "absent.tif -o out -m odt", "measure": "absent.tif absent-labels.tif -o out -m odt",
    "simulate": "absent -o out", "simulate-labels": "sxt -o out --labels a=absent.tif --value a=1 --outside 1",
    "convert": "absent.tif new.ome.tif",
    "verify": "absent", "evaluate": "absent.tif other.tif", "propagate": "absent.tif -o new.tif",
    "track": "absent.tif -o out",
    "accuracy": "absent other", "figures": "absent",
    "train": "absent.yaml -o out", "fine-tune": "absent --data data -o out", "crossval": "absent.yaml -o out",
    "search": "absent.yaml -o out", "reproduce": "absent.yaml -o out", "edits export": "absent -o out",
    "ablate": "absent.yaml --drop ratio -o out",
    "models calibrate": "absent --data data -o out", "samples get": "absent -o out",
}  # fmt: skip


@pytest.mark.parametrize("command", sorted(NOT_THERE))
def test_what_goes_wrong_stands_in_the_log(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--quiet`` the error is all that a screen shows; the log has it with its traceback, appended."""
    monkeypatch.chdir(tmp_path)
    line = [*command.split(), *NOT_THERE[command].split(), "--quiet", "--log", "a.log"]
    for count in (1, 2):
        monkeypatch.setattr("sys.argv", ["tomocyte", *line])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 1
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        code = re.match(r"error: (E-[A-Z-]+): ", shown.err)
        assert code is not None
        log = (tmp_path / "a.log").read_text(encoding="utf-8")
        assert log.count(f" tomocyte {command} ") == count
        assert log.count("Traceback (most recent call last)") >= count
        assert code[1] in log
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


def test_quiet_leaves_out_notes(tmp_path: Path) -> None:
    """What MRC cannot keep, the medium, is named in a note; the result is not."""
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, np.zeros((3, 4, 5), np.uint16), photometric="minisblack", metadata={"axes": "ZYX"})
    size = ["--voxel-size-um", "0.4", "0.3", "0.2"]
    line = ["convert", str(source), str(tmp_path / "b.mrc"), *size, "--medium-ri", "1.337", "--overwrite"]
    loud = CliRunner().invoke(app, line)
    assert "note: W-CONVERT" in loud.stderr
    quiet = CliRunner().invoke(app, [*line, "--quiet"])
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert quiet.stdout.startswith("wrote ")
