"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import tomocyte.evaluation

NAMES = sorted(module.name for module in pkgutil.iter_modules(tomocyte.evaluation.__path__))


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"tomocyte.evaluation.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.failed == 0
    assert found.attempted > 0 or name in {"case", "metrics", "reasons", "tally"}
