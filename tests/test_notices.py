"""Notices as lines, as records and each once."""

from __future__ import annotations

import pytest

from tomocyte.notices import Notice, unique


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("W-NAN: 3 voxels.", "W-NAN", "3 voxels."),
        ("W-MODEL-DOMAIN: a: b: c", "W-MODEL-DOMAIN", "a: b: c"),
        ("W-EDIT-GONE: nothing is left of cell 4. (edit 1)", "W-EDIT-GONE", "nothing is left of cell 4. (edit 1)"),
    ],
)
def test_lines_are_split_at_the_first_colon_and_come_back(line: str, code: str, text: str) -> None:
    notice = Notice.parse(line)
    assert (notice.code, notice.text) == (code, text)
    assert str(notice) == line


def test_each_notice_stands_once_where_it_came_first() -> None:
    lines = ["W-B: x", "W-A: x", "W-B: y", "W-B: x", "W-A: x"]
    assert [str(notice) for notice in unique(map(Notice.parse, lines))] == ["W-B: x", "W-A: x", "W-B: y"]
    assert unique([]) == ()
