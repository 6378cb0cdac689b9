"""Links to the files of the run, which lie beside the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from tomocyte.runs.report.section import ReportContent, Section

MEANINGS = {
    "objects.csv": "all objects, one row each, with every digit",
    "objects.parquet": "the same, for Python and R",
    "objects.dictionary.csv": "what its columns mean",
    "pairs.csv": "distances between objects",
    "contacts.csv": "contacts between structures",
    "status.csv": "one row per input: what became of it",
    "run.json": "settings, versions and hashes",
    "tracks.csv": "tracks through time",
}
"""File of a run -> what it holds, in the order of the list."""
FOLDERS = {
    "analysis": "comparison of conditions",
    "figures": "figures and films",
    "items": "label images and tables of each input",
}
"""Folder -> what it holds."""


def files_view(content: ReportContent) -> list[dict[str, Any]] | None:
    """The files and folders that are there, with links; None where the page lies alone."""
    there = [
        {"name": name, "href": link_of(Path(name)), "meaning": meaning}
        for name, meaning in MEANINGS.items()
        if (content.folder / name).is_file()
    ]
    there += [
        {"name": f"{name}/", "href": f"{name}/", "meaning": meaning}
        for name, meaning in FOLDERS.items()
        if (content.folder / name).is_dir()
    ]
    return there or None


def link_of(relative: Path) -> str:
    """The address of a file below the folder of the page."""
    return quote(relative.as_posix())


SECTION = Section("files", "Files", files_view)
