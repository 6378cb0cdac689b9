"""The average of two models, weight by weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.in_process import tomocyte
from tests.models.conftest import Made, make_card

from tomocyte.errors import OutputError, SettingsError
from tomocyte.models import load_package, save_package


def shifted(made: Made, folder: Path, by: float, **changes: object) -> Path:
    """A package whose weights are larger by ``by``; its counters are 7."""
    state = {
        name: weight + by if weight.is_floating_point() else torch.full_like(weight, 7)
        for name, weight in made.module.state_dict().items()
    }
    save_package(folder, state, make_card(**changes), made.image)
    return folder


def test_weights_lie_between_those_of_both(made: Made, tmp_path: Path) -> None:
    other = shifted(made, tmp_path / "other", 0.25)
    done = tomocyte("models", "average", made.folder, other, "--share", "0.8", "-o", tmp_path / "between")
    assert done.exit_code == 0, done.output
    found = load_package(tmp_path / "between")
    for name, weight in load_package(made.folder).state.items():
        expected = weight + 0.2 if weight.is_floating_point() else torch.full_like(weight, 7)  # 0.8 x 0.25
        torch.testing.assert_close(found.state[name], expected, atol=1e-6, rtol=0)
    assert found.card.figures == {}
    assert found.card.training_data.startswith("average: 0.2 of weights ")
    assert "; 0.8 of weights " in found.card.training_data
    with pytest.raises(OutputError, match="E-MODEL-EXISTS"):
        raise tomocyte("models", "average", made.folder, other, "-o", tmp_path / "between").exception or SystemError


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_nothing_and_all(share: float, made: Made, tmp_path: Path) -> None:
    done = tomocyte("models", "average", made.folder, made.folder, f"--share={share}", "-o", tmp_path / "no")
    assert isinstance(done.exception, SettingsError)
    assert done.exception.code == "E-MODEL-AVERAGE"
    assert not (tmp_path / "no").exists()


def test_models_that_see_or_find_something_else_are_refused(made: Made, tmp_path: Path) -> None:
    other = shifted(made, tmp_path / "other", 0.0, structures=("nucleus", "cell"))
    done = tomocyte("models", "average", made.folder, other, "-o", tmp_path / "no")
    assert isinstance(done.exception, SettingsError)
    assert "differ in structures" in str(done.exception)
