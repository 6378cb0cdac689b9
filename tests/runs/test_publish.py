"""Which outputs of before count: those of the same request, model and version, and of all channels."""

from __future__ import annotations

from typing import Any

import pytest

from tomocyte import __version__
from tomocyte.ledger import CommitRecord
from tomocyte.runs.publish import Key, is_current

REQUEST, OTHER, MODEL = "a" * 64, "b" * 64, "c" * 64


def record(**changes: Any) -> CommitRecord:
    made = {"item": "one", "source": "one.tif", "input_sha256": "0" * 64, "request_sha256": REQUEST}
    return CommitRecord(**{**made, "model_sha256": MODEL, "code_version": __version__, **changes})


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"request_sha256": OTHER}, False),
        ({"model_sha256": None}, False),
        ({"code_version": "0.0.0"}, False),
        ({"item": "two"}, False),
        ({"item": "two", "request_sha256": OTHER}, True),
        ({"facts": {"shape_tczyx": [1, 2, 3, 4, 5]}}, False),
    ],
)
def test_an_output_counts_if_it_was_made_just_so(changes: dict[str, Any], counts: bool) -> None:
    """Item two was corrected by hand, so that its request is another one."""
    key = Key(REQUEST, MODEL, {"two": OTHER})
    assert key.holds(record(**changes)) is counts
    assert (key.request_of("one"), key.request_of("two")) == (REQUEST, OTHER)


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({}, True),
        ({"shape_tczyx": [9, 1, 3, 4, 5]}, True),
        ({"shape_tczyx": [1, 2, 3, 4, 5]}, False),
        ({"shape_tczyx": [1, 2, 3, 4, 5], "plan": {}}, True),
    ],
)
def test_of_several_channels_older_versions_measured_one(facts: dict[str, Any], counts: bool) -> None:
    assert is_current(record(facts=facts)) is counts
