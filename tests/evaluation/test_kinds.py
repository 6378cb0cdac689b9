"""Labels and probabilities are told apart, and what is neither is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import InputError
from tomocyte.evaluation.kinds import as_labels, kind_of


@pytest.mark.parametrize(
    ("values", "quantity", "kind"),
    [
        (np.array([0, 7], np.uint16), None, "labels"),
        (np.array([0, 7], np.int32), "labels", "labels"),
        (np.array([True, False]), None, "labels"),
        (np.array([0, 0.5], np.float32), None, "probability"),
        (np.array([0, 1], np.float32), "probability", "probability"),
        (np.array([0, 1], np.float32), None, "whole numbers"),
        (np.array([0, 3], np.float64), "labels", "labels"),
        (np.zeros(0, np.float32), None, "whole numbers"),
    ],
)
def test_kinds(values: np.ndarray, quantity: str | None, kind: str) -> None:
    assert kind_of(values, quantity, name="prediction") == kind


@pytest.mark.parametrize(
    ("values", "quantity", "code"),
    [
        (np.array([0, 255], np.uint8), "probability", "E-LABELS-TYPE"),
        (np.array([1.337, 1.36]), None, "E-LABELS-TYPE"),
        (np.array([-0.1, 0.4]), None, "E-LABELS-TYPE"),
        (np.array([0.5, np.nan]), None, "E-NAN"),
        (np.array([0.5, np.inf]), "probability", "E-NAN"),
        (np.array([0.5, 1.5]), "probability", "E-LABELS-TYPE"),
        (np.array([1 + 1j]), None, "E-LABELS-TYPE"),
    ],
)
def test_neither(values: np.ndarray, quantity: str | None, code: str) -> None:
    with pytest.raises(InputError, match=code) as found:
        kind_of(values, quantity, name="prediction")
    assert found.value.cure or values.dtype.kind == "c"


def test_labels() -> None:
    ints = np.array([0, 3], np.int16)
    assert as_labels(ints, name="truth") is ints
    floats = as_labels(np.array([0.0, 70_000.0], np.float32), name="truth")
    assert floats.dtype == np.uint32
    assert floats.tolist() == [0, 70_000]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.array([0, -1]), "E-LABELS-TYPE"),
        (np.array([0, -1.0]), "E-LABELS-TYPE"),
        (np.array([0, 0.5]), "E-LABELS-TYPE"),
        (np.array([0, 2.0**25]), "E-LABELS-TYPE"),
        (np.array([0, np.nan]), "E-NAN"),
        (np.array([1j]), "E-LABELS-TYPE"),
    ],
)
def test_no_labels(values: np.ndarray, code: str) -> None:
    with pytest.raises(InputError, match=code):
        as_labels(values, name="truth")


def test_one_fraction_at_the_end_of_a_large_image_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomocyte.evaluation.kinds.CHUNK_VOXELS", 10)
    values = np.zeros((5, 7))
    values[-1, -1] = 0.5
    assert kind_of(values, None, name="prediction") == "probability"
