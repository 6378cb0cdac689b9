"""Which outputs of before count: those of the same request, model and code."""

from __future__ import annotations

from typing import Any

import pytest

from tomocyte.ledger import CommitRecord
from tomocyte.provenance import code_version
from tomocyte.runs.publish import Key

REQUEST, OTHER, MODEL = "a" * 64, "b" * 64, "c" * 64


def record(**changes: Any) -> CommitRecord:
    made = {"item": "one", "source": "one.tif", "input_sha256": "0" * 64, "request_sha256": REQUEST}
    return CommitRecord(**{**made, "model_sha256": MODEL, "code_version": code_version(), **changes})


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"request_sha256": OTHER}, False),
        ({"model_sha256": None}, False),
        ({"code_version": "0.0.0"}, False),
        ({"code_version": code_version()[:-1]}, False),
        ({"item": "two"}, False),
        ({"item": "two", "request_sha256": OTHER}, True),
    ],
)
def test_an_output_counts_if_it_was_made_just_so(changes: dict[str, Any], counts: bool) -> None:
    """Item two was corrected by hand, so that its request is another one."""
    key = Key(REQUEST, MODEL, {"two": OTHER})
    assert key.holds(record(**changes)) is counts
    assert (key.request_of("one"), key.request_of("two")) == (REQUEST, OTHER)
