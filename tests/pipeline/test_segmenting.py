"""``tomocyte.segment``: the labels of a run, from an array."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from tests.in_process import workers_in_this_process

import tomocyte
from tomocyte.errors import SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.segmentation import segment as classical_segment
from tomocyte.volume import Volume

SHAPE = (30, 64, 72)
VOXEL_UM = (0.4, 0.2, 0.2)


def ball() -> np.ndarray:
    """One cell of radius 4 µm, 0.02 above its medium, with a nucleus of 2 µm that is lower by 0.008."""
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, VOXEL_UM, strict=True)), indexing="ij")
    radius = np.sqrt((z - 6) ** 2 + (y - 6.4) ** 2 + (x - 7.2) ** 2)
    return np.where(radius < 2, 1.349, np.where(radius < 4, 1.357, 1.337)).astype(np.float32)


@pytest.mark.parametrize("model", ["auto", "classical"])
def test_labels_are_those_of_a_run(model: str, tmp_path: Path) -> None:
    """The shipped model on an array, and on a file by a whole run: the same structures, voxel by voxel."""
    image = ball()
    source = tmp_path / "ball.ome.tif"
    write_volume(source, Volume.from_array(image, voxel_size_um=VOXEL_UM, quantity="refractive_index"))
    settings = tomocyte.RunSettings(modality="odt", model=model, medium_ri=1.337)
    with workers_in_this_process():
        result = tomocyte.run_inputs([source], settings, tmp_path / "out")
    assert result.n_done == 1
    medium = {"medium_ri": 1.337} if model == "auto" else {}
    notices = pytest.warns(UserWarning, match="W-MODEL-SIMULATED") if model == "auto" else nullcontext()
    with notices:
        labels = tomocyte.segment(image, VOXEL_UM, model=model, modality="odt", **medium)
    assert ("nucleolus" in labels) == (model == "auto")  # the classical engine does not know them
    written = {path.name.removesuffix(".ome.tif"): path for path in (tmp_path / "out/items/ball").glob("*.ome.tif")}
    assert set(labels) == set(written)
    for structure, path in written.items():
        np.testing.assert_array_equal(labels[structure], read_volume(path).planes(0, 0), err_msg=structure)
    # 4/3 pi 4^3 µm³ = 268.1 µm³
    volume_um3 = np.count_nonzero(labels["cell"]) * np.prod(VOXEL_UM)
    assert volume_um3 == pytest.approx(268.1, rel=0.15)


def test_a_model_that_was_left_out_is_said() -> None:
    """Pixels of 0.3 µm are coarser than the model was trained for; a run would note it."""
    with pytest.warns(UserWarning, match="W-MODEL-AUTO: odt-organelles was left out"):
        labels = tomocyte.segment(ball(), (0.4, 0.3, 0.3), model="auto", modality="odt", medium_ri=1.337)
    assert "nucleolus" not in labels


def test_without_a_model_it_is_the_classical_engine() -> None:
    expected = classical_segment(ball(), VOXEL_UM)
    labels = tomocyte.segment(ball(), VOXEL_UM)
    assert labels.keys() == expected.keys()
    np.testing.assert_array_equal(labels["cell"], expected["cell"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model": "auto"}, "needs a modality"),
        ({"medium_ri": 1.337}, "no effect without a model"),
        (
            {"model": "auto", "modality": "odt", "existing": {"cell": np.ones(SHAPE, np.uint8)}},
            "no effect with a model",
        ),
        ({"model": "no-such-model", "modality": "odt"}, "no-such-model"),
    ],
)
def test_what_has_no_effect_or_is_missing_is_said(options: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        tomocyte.segment(ball(), VOXEL_UM, **options)  # type: ignore[arg-type]
