"""What the tests of corrections share: edits as files, and runs whose workers are no processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.corrections.edits import EditList

TWO = ((0.0, -3.2, -3.8), (0.0, 2.0, 3.4))
"""Centres of two balls from the middle of the field, in µm."""
FIRST, SECOND = [5.75, 3.8, 3.85], [5.75, 9.0, 11.05]
"""The same, where voxel 0 lies at 0 µm."""


def edit_list(*edits: dict[str, Any], **more: Any) -> EditList:
    return EditList.model_validate({"edits": [{"structure": "cell", **edit} for edit in edits], **more})


def write_edits(path: Path, *edits: dict[str, Any], **more: Any) -> Path:
    content = {"version": 1, **more, "edits": [{"structure": "cell", **edit} for edit in edits]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def segment(inputs: Path, output: Path, *arguments: object) -> Any:
    """``tomocyte run`` with the classical engine."""
    return tomocyte("run", inputs, "-o", output, "-m", "odt", "--model", "classical", *arguments)


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """Workers without processes and results without pictures: the same calls in the same order, much faster."""
    with workers_in_this_process():
        yield
