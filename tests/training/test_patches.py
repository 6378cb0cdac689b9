"""Windows of volumes against slices of the whole, and what outputs stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.training.conftest import VOXEL_UM, small_recipe

from tomocyte.training.batches import make_sample
from tomocyte.training.data.augmentation import PRESETS, choi_published
from tomocyte.training.data.cell_samples import owners
from tomocyte.training.data.patches import Labelled, read_window
from tomocyte.training.data.targets import output_names
from tomocyte.training.validation import selection_score
from tomocyte.volume import Volume

SHAPE = (9, 20, 24)


def labelled(rng: np.random.Generator) -> tuple[Labelled, np.ndarray, np.ndarray]:
    """Two frames of two channels; a box of one object next to another, and two rows that nobody looked at."""
    values = rng.normal(size=(2, 2, *SHAPE)).astype(np.float32)
    labels = np.zeros((2, 1, *SHAPE), np.uint8)
    labels[1, 0, 1:8, 2:15, 3:12], labels[1, 0, 1:8, 2:15, 12:22] = 4, 6
    labels[1, 0, :, 18:] = 200
    known: dict[str, Any] = {"voxel_size_um": VOXEL_UM}
    image = Volume.from_array(values, **known)
    truth = Volume.from_array(labels, quantity="labels", **known)
    return Labelled(image, {"nucleus": truth, "nucleolus": None}, 1, ignore_label=200), values, labels


@pytest.mark.parametrize(("names", "targets"), [(["nucleus", "nucleolus"], "masks"), (["nucleus"], "mask-and-core")])
def test_a_window_is_a_slice_of_the_whole(names: list[str], targets: str) -> None:
    """Also of cores, where objects are deeper than twice the rim: the faces of a window are no borders of objects."""
    source, values, labels = labelled(np.random.default_rng(1))
    settings = small_recipe(
        data={"structures": names, "targets": targets, "core_depth_um": 0.4}
        if targets != "masks"
        else {"structures": names}
    ).data
    window = (slice(3, 6), slice(5, 20), slice(4, 17))
    image, target = read_window(source, window, settings)
    np.testing.assert_array_equal(image, values[1][:, window[0], window[1], window[2]])
    assert image.shape == (2, 3, 15, 13)
    part = labels[1, 0][window]
    expected = np.where(part == 200, 255, (part > 0).astype(np.uint8))
    np.testing.assert_array_equal(target[0], expected)
    everything = (slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    whole = read_window(source, everything, settings)[1]
    np.testing.assert_array_equal(target, whole[(slice(None), *window)])
    if targets == "masks":
        assert (target[1] == 255).all()  # nobody labelled nucleoli
    else:
        assert 0 < (target[1] == 1).sum() < (target[0] == 1).sum()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"structures": ["nucleus", "nucleolus"]}, ("nucleus", "nucleolus")),
        ({"structures": ["cell"], "targets": "mask-and-core"}, ("cell", "cell_core")),
    ],
)
def test_names_of_outputs(changes: dict[str, Any], names: tuple[str, ...]) -> None:
    assert output_names(small_recipe(data=changes).data) == names


@pytest.mark.parametrize(("rule", "expected"), [("dice", 0.8), ("f05+jaccard+dice", 0.8 + 0.6 + 0.5)])
def test_the_number_that_selects_weights(rule: str, expected: float) -> None:
    scores = {"dice": 0.8, "f05": 0.6, "jaccard": 0.5, "precision": 0.9, "recall": 0.1}
    assert selection_score(scores, rule) == pytest.approx(expected)


class Noise:
    """Samples that depend on the generator alone."""

    def read(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return index + rng.random((1, 8, 10), np.float32), (rng.random((1, 8, 10)) > 0.5).astype(np.uint8)


def test_a_sample_depends_on_seed_epoch_and_position_alone() -> None:
    recipe, samples = small_recipe(augmentation="strong-2d", loop={"seed": 11}), Noise()

    def made(epoch: int, position: int, *, is_augmented: bool = True) -> tuple[np.ndarray, np.ndarray]:
        return make_sample(samples, recipe, 3, is_augmented=is_augmented, epoch=epoch, position=position)  # type: ignore[arg-type]

    plain, target = made(2, 7, is_augmented=False)
    image, expected = Noise().read(3, np.random.default_rng([11, 2, 7, 2]))
    np.testing.assert_array_equal(plain, image)
    np.testing.assert_array_equal(target, expected)
    changed = [made(2, 7), made(2, 7), made(2, 8), made(3, 7)]
    np.testing.assert_array_equal(changed[0][0], changed[1][0])
    assert not any(np.array_equal(changed[0][0], other[0]) for other in (changed[2], changed[3], (plain, target)))
    assert changed[0][1].dtype == np.uint8


def test_a_nucleus_belongs_to_the_cell_that_holds_most_of_it() -> None:
    nuclei = np.zeros((2, 3, 8), np.uint8)
    cells = np.zeros((2, 3, 8), np.uint8)
    nuclei[:, 1, 1:6], cells[..., :3], cells[..., 3:] = 7, 2, 5  # 2 voxels in cell 2, 3 in cell 5, in each plane
    assert owners(nuclei, cells) == {7: 5}
    assert owners(nuclei, np.zeros_like(cells)) == {7: 0}


def test_chois_augmentation_is_the_printed_one() -> None:
    """Flips, rotation and rescaling by 0.5 to 2 (Online Methods of doi:10.1101/2021.05.23.445351); nothing else."""
    settings = choi_published()
    assert PRESETS["choi-published"]() == settings
    geometry = settings.geometry
    assert geometry.flip_axes == ("z", "y", "x")
    assert (geometry.rotation_deg, geometry.scale, geometry.is_scaled_evenly) == (180.0, (0.5, 2.0), True)
    assert settings.intensity == type(settings.intensity)()
