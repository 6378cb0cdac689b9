"""What a training leaves beside its weights: the input of the self-test and the curves."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.training.conftest import small_recipe

from tomocyte.datasets.labelled import find_items
from tomocyte.errors import TomocyteError
from tomocyte.training import LabelledData
from tomocyte.training.training import selftest_image, train_network, write_curves


def samples_of(image: np.ndarray, target: np.ndarray) -> Any:
    return SimpleNamespace(whole=lambda index: (image, target), n_axes=image.ndim - 1)


@pytest.mark.parametrize(
    ("shape", "divisor", "expected"),
    [
        ((100, 130), (16, 16), (64, 64)),
        ((100, 130), (24, 20), (72, 80)),  # the next multiples of 24 and 20 above 64
        ((40, 130), (16, 16), (64, 64)),  # a small image is continued by its edge
        ((30, 100, 90), (4, 8, 8), (16, 64, 64)),
    ],
)
def test_the_self_test_sees_a_piece_around_an_object(
    shape: tuple[int, ...], divisor: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    target = np.zeros((1, *shape), np.uint8)
    corner = tuple(size - 8 for size in shape)
    target[(0, *(slice(start, start + 4) for start in corner))] = 1
    trainer: Any = SimpleNamespace(module=SimpleNamespace(divisor=divisor))
    piece = selftest_image(samples_of(image, target), trainer)
    assert piece.shape == (1, *expected)
    assert piece.flags.c_contiguous
    assert float(image[(0, *(start + 1 for start in corner))]) in piece
    steps = np.array(image.strides[1:]) // image.itemsize  # of the running numbers, along each axis
    along = [float(np.diff(piece[0], axis=axis).max()) for axis in range(len(shape))]
    assert along == steps.tolist()  # neighbours stay neighbours


def test_curves_hold_a_column_per_score_that_ever_came(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.75}, {"epoch": 2, "loss": 0.5, "validation": {"dice": 0.25, "recall": 0.125}}]
    write_curves(tmp_path, history)
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [
        {"epoch": "1", "loss": "0.75", "dice": "", "recall": ""},
        {"epoch": "2", "loss": "0.5", "dice": "0.25", "recall": "0.125"},
    ]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_epochs_without_a_loss_have_no_picture(tmp_path: Path) -> None:
    write_curves(tmp_path, [{"epoch": 1, "loss": None}])
    assert [path.name for path in tmp_path.iterdir()] == ["curves.csv"]


def test_a_training_without_one_good_step_makes_no_model(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that never changed are not called trained."""
    outcome = SimpleNamespace(history=[{"epoch": 1, "loss": None}], n_skipped_steps=1)
    run = SimpleNamespace(run=lambda: outcome)
    monkeypatch.setattr("tomocyte.training.training._started", lambda trainer, initial: run)
    recipe = small_recipe()
    with pytest.raises(TomocyteError, match="E-TRAIN-NONFINITE"):
        train_network(recipe, LabelledData(find_items(data, recipe.data), []), folder=tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()
