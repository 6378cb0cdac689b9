"""Two processes on one CPU, as torchrun starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.training.conftest import small_recipe

from tomocyte.errors import SettingsError
from tomocyte.models import load_package
from tomocyte.training.distributed import Processes

ROOT = Path(__file__).parent.parent.parent


def test_batches_that_cannot_be_shared_are_refused() -> None:
    Processes(0, 2, "cpu").check_batch(8)
    with pytest.raises(SettingsError, match=r"E-BATCH.*8 samples.*3 processes"):
        Processes(0, 3, "cpu").check_batch(8)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingsError, match="E-DEVICE"):
        Processes.from_environment("cuda")


def test_two_processes_train_one_network(data: Path, tmp_path: Path) -> None:
    """Without batch statistics the averaged gradients are those of one process: the same weights to rounding."""
    recipe = small_recipe(
        data={"patch_shape": [4, 32, 32]},
        network={"name": "unet3d", "options": {"width": 4, "strides": [[1, 2, 2]], "norm": "none"}},
        loop={"samples_per_epoch": 8, "n_epochs": 2},
    )
    path = tmp_path / "recipe.json"
    path.write_text(recipe.model_dump_json(exclude_defaults=True))
    (tmp_path / "recipe.yaml").write_text(path.read_text())
    train = ["-m", "tomocyte", "train", str(tmp_path / "recipe.yaml"), "--data", str(data)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for start, output in (([], "one"), (torchrun, "two")):
        command = [sys.executable, *start, *train, "-o", str(tmp_path / output)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=200)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two" / "result.json").read_text())["n_processes"] == 2
    one, two = (load_package(tmp_path / name / "model").state for name in ("one", "two"))
    largest = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert largest < 1e-4
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 2
