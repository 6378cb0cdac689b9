"""What the columns mean, the settings of the run and the versions of what made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tomocyte.runs.report.section import ReportContent, Section


def about_view(content: ReportContent) -> dict[str, Any]:
    """The data dictionary, the settings as flat lines, and the versions."""
    return {
        "dictionary": list(content.dictionary.values()),
        "settings": list(_flattened(content.run.settings)),
        "versions": content.run.versions,
    }


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else str(value)


SECTION = Section("about", "Columns, settings, versions", about_view)
