"""The tab key as a shell presses it; help under headings, which ends with the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TYPED = [
    ("tomocyte fine", 1, "fine-tune"),
    ("tomocyte run -m o", 3, "odt"),
    ("tomocyte run --voxel", 2, "--voxel-size-um"),
    ("tomocyte run --model odt-o", 3, "odt-organelles"),
    ("tomocyte models show odt-c", 3, "odt-cells"),
    ("tomocyte samples get simulated", 3, "simulated-odt"),
    ("tomocyte reproduce choi-fig2", 2, "choi-fig2c"),
    ("tomocyte train osnet-n", 2, "osnet-nucleus"),
]


def press_tab(line: str, word: int, shell: str) -> str:
    """What the program proposes for a word of a line in a shell, as the script of ``--show-completion`` asks it."""
    how = {"bash": "complete_bash", "zsh": "complete_zsh", "fish": "complete_fish"}[shell]
    asked = {
        "_TOMOCYTE_COMPLETE": how,
        "COMP_WORDS": line,
        "COMP_CWORD": str(word),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": line.split()[-1],
    }
    program = "import sys; sys.argv = ['tomocyte']; from tomocyte.cli import app\ntry:\n    app(prog_name='tomocyte')\n"
    program += "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.split()[-1] == "False", done.stderr
    return done.stdout


@pytest.mark.parametrize(("line", "word", "proposed"), TYPED, ids=[line for line, *_ in TYPED])
def test_bash_proposes_verbs_options_and_registered_names(line: str, word: int, proposed: str) -> None:
    assert proposed in press_tab(line, word, "bash").split()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str) -> None:
    assert "odt-organelles" in press_tab("tomocyte run --model odt-o", 3, shell)


def test_help_has_headings_and_exit_codes() -> None:
    done = subprocess.run([sys.executable, "-m", "tomocyte", "run", "--help"], capture_output=True, text=True)
    headings = [line.rstrip(":") for line in done.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Arguments", "Input", "What to do", "Output", "Advanced"]
    words = " ".join(done.stdout.split())
    assert words.count("--voxel-size-um") == 1
    assert words.endswith("130 stopped by Ctrl-C; 143 stopped by SIGTERM.")
