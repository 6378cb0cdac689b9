"""Errors: one line with code, place, problem and cure; the builtin stays catchable; they cross process borders."""

from __future__ import annotations

import copy

import pytest

from tomocyte import errors

CHILDREN = [
    (errors.InputError, ValueError),
    (errors.MetadataError, ValueError),
    (errors.ModalityError, ValueError),
    (errors.SettingsError, ValueError),
    (errors.OutputError, OSError),
    (errors.ResourceError, MemoryError),
    (errors.WorkerError, RuntimeError),
]


@pytest.mark.parametrize(("kind", "builtin"), CHILDREN)
def test_message_and_builtin(kind: type[errors.TomocyteError], builtin: type[Exception]) -> None:
    problem = kind("E-TEST", "it is 3, allowed is 4.", path="cells/α.tif", cure="Give 4.")
    assert str(problem) == "E-TEST: cells/α.tif: it is 3, allowed is 4. Give 4."
    assert isinstance(problem, builtin)
    assert isinstance(problem, errors.TomocyteError)


@pytest.mark.parametrize(("kind", "builtin"), CHILDREN)
def test_copies_keep_everything(kind: type[errors.TomocyteError], builtin: type[Exception]) -> None:
    """copy uses the same protocol as sending between processes."""
    problem = kind("E-TEST", "wrong.", path="a", cure="Cure.")
    twin = copy.copy(problem)
    assert type(twin) is kind
    assert (twin.code, twin.problem, twin.path, twin.cure) == ("E-TEST", "wrong.", "a", "Cure.")
