"""The README's Python runs and says what its comment says; its commands exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_python_example() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(blocks("python")[0], {})
    volume, mass = (float(word) for word in printed.getvalue().split()[-2:])
    assert volume == pytest.approx(268.1, rel=0.01)
    assert mass == pytest.approx(28.2, rel=0.01)


def test_commands_exist() -> None:
    from tomocyte.cli import app

    commands = [command for command in app.registered_commands if command.callback]
    known = {command.name or command.callback.__name__ for command in commands if command.callback}
    known |= {group.name for group in app.registered_groups}
    used = {line.split()[1] for block in blocks("") for line in block.splitlines() if line.startswith("tomocyte ")}
    assert used
    assert used <= known


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (README.parent / link).exists(), link


def test_it_fits_a_screen() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 80
