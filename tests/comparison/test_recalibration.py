"""A calibrated model that is tuned: calibrated again on enough held-out objects, otherwise without intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unet_by_hand import MEDIUM_RI, SIZE_UM, balls_ri, save_by_hand

from tomocyte.comparison import fine_tune
from tomocyte.confidence.settings import StructureCalibration
from tomocyte.datasets.labelled import find_items
from tomocyte.formats import write_volume
from tomocyte.models import load_package, read_card
from tomocyte.models.package import write_package
from tomocyte.training import LabelledData, build_recipe, fine_tuning_recipe
from tomocyte.volume import Volume

CENTRES = ((0.0, -2.2, -2.6), (0.0, 2.4, 2.7))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven images of two balls each."""
    folder = tmp_path_factory.mktemp("labelled")
    known: dict[str, Any] = {"voxel_size_um": SIZE_UM, "medium_ri": MEDIUM_RI}
    rng = np.random.default_rng(5)
    for number in range(11):
        centres = [tuple(np.asarray(centre) + rng.uniform(-0.3, 0.3, 3)) for centre in CENTRES]
        truth = np.zeros(balls_ri(*centres).shape, np.uint32)
        for label, centre in enumerate(centres, 1):
            truth[balls_ri(centre) > MEDIUM_RI + 0.3 * 0.02] = label
        image = Volume.from_array(balls_ri(*centres), quantity="refractive_index", unit="1", **known)
        write_volume(folder / f"f{number:02d}.ome.tif", image)
        write_volume(folder / f"f{number:02d}_cell.ome.tif", Volume.from_array(truth, quantity="labels", **known))
    return folder


@pytest.mark.parametrize(
    ("n_held_out", "changes", "is_calibrated"),
    [(10, {}, True), (9, {}, False), (10, {"calibrate": False}, False)],
    ids=["20 objects", "18 objects", "refused"],
)
def test_nineteen_held_out_objects_are_enough(
    images: Path, tmp_path: Path, n_held_out: int, changes: dict[str, Any], is_calibrated: bool
) -> None:
    """The end of a 90 % interval leaves out 5 % on each side: below 19 objects that is less than one of them."""
    package = load_package(save_by_hand(tmp_path / "by-hand", (0.5,), (8.0,)))
    stale = {"cell": StructureCalibration(slope=0.7, volume=(-1.0, 1.5), n_objects=40)}
    card = package.card.model_copy(update={"calibration": stale})
    write_package(tmp_path / "sure", card, package.state, dict(package.selftest))
    content = fine_tuning_recipe(card) | changes
    content["data"]["patch_shape"] = (8, 16, 16)
    content["loop"] |= {"n_epochs": 1, "samples_per_epoch": 1, "batch_size": 1, "schedule": {}, "precision": "fp32"}
    content["loop"]["optimiser"] = {"kind": "sgd", "learning_rate": 1e-9}
    recipe = build_recipe(content)
    items = find_items(images, recipe.data)
    sets = LabelledData(items[10:], items[:n_held_out])
    tuned = fine_tune(load_package(tmp_path / "sure"), recipe, sets, folder=tmp_path / "tuned")
    after = read_card(tmp_path / "tuned" / "model")
    codes = [notice.code for notice in tuned["warnings"]]
    assert ("W-UNCALIBRATED" in codes) != is_calibrated
    assert ("no 90 % intervals" in after.limits) != is_calibrated
    if is_calibrated:
        entry = after.calibration["cell"]
        assert (entry.n_objects, entry.volume is not None) == (20, True)
        assert entry.volume != stale["cell"].volume
    else:
        assert not after.calibration
