"""The state of a training: whole again after a file, of this recipe only, readable as it was written before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tomocyte.errors import SettingsError
from tomocyte.training.checkpoint import TrainingState, load_training, save_checkpoint, save_training


def test_progress_comes_back_as_it_was(tmp_path: Path) -> None:
    parts = {"module": {"w": torch.arange(6.0).reshape(2, 3)}, "optimiser": {"state": {0: {"step": torch.tensor(2.0)}}}}
    saved = TrainingState(parts, {"n_taken": 7, "notes": ["one"]}, {"rng": torch.arange(4, dtype=torch.uint8)})
    path = save_training(tmp_path, 7, saved, recipe_sha256="a" * 64)
    found = load_training(tmp_path, recipe_sha256="a" * 64)
    assert found is not None
    assert torch.equal(found.parts["module"]["w"], parts["module"]["w"])
    assert found.parts["optimiser"]["state"][0]["step"] == 2
    assert torch.equal(found.tensors["rng"], saved.tensors["rng"])
    assert (found.state["n_taken"], found.state["notes"]) == (7, ["one"])
    with pytest.raises(SettingsError, match="E-RESUME"):
        load_training(tmp_path, recipe_sha256="b" * 64)
    assert load_training(tmp_path / "nothing", recipe_sha256="a" * 64) is None
    # A newer one that is damaged is named, and the one before it taken.
    newer = save_training(tmp_path, 8, saved, recipe_sha256="a" * 64)
    newer.write_bytes(newer.read_bytes()[:-1])
    found = load_training(tmp_path, recipe_sha256="a" * 64)
    assert found is not None
    assert path.exists()
    assert found.state["notes"][0] == "one"
    assert "step-00000008" in found.state["notes"][1]


def test_a_checkpoint_of_the_former_layout_is_read(tmp_path: Path) -> None:
    """Written by hand as the first version wrote them: names of tensors that are not those of the parts."""
    tensors = {"best/w": torch.ones(2), "rng": torch.zeros(1)}
    state = {"recipe": "r", "parts": {"best_weights": {"w": {"tensor": "best/w"}}}, "notes": [], "place": [1, 2, 3]}
    save_checkpoint(tmp_path, 3, tensors, state)
    found = load_training(tmp_path, recipe_sha256="r")
    assert found is not None
    assert torch.equal(found.parts["best_weights"]["w"], torch.ones(2))
    assert found.state["place"] == [1, 2, 3]
