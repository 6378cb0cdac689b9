"""Label images with a value each: painted by hand, and imaged like the same shapes from another source."""

import numpy as np
import pytest

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.simulation.instruments.odt import VARIANTS
from tomocyte.simulation.labelled import ValuedLabels, image_labels, paint_values
from tomocyte.simulation.physics.formation import simulate_odt
from tomocyte.simulation.physics.soft_xray import NO_SXT_DEGRADATION, SxtInstrument, simulate_sxt


def ball(shape, voxel, radius_um, center_um=(0.0, 0.0, 0.0)):
    axes = [(np.arange(n) - (n - 1) / 2) * step - c for n, step, c in zip(shape, voxel, center_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2 <= radius_um**2


def test_later_structures_lie_over_earlier_ones():
    cell = np.array([[[0, 1, 1, 2, 2]]])
    nucleus = np.array([[[0, 0, 7, 7, 0]]], np.uint8)
    layers = [ValuedLabels("cell", cell, {1: 0.25, 2: 0.3}), ValuedLabels("nucleus", nucleus, 0.4)]
    expected = np.array([[[0.11, 0.25, 0.4, 0.4, 0.3]]], np.float32)
    np.testing.assert_array_equal(paint_values(layers, 0.11), expected)
    np.testing.assert_array_equal(
        paint_values(layers[::-1], 0.11), np.array([[[0.11, 0.25, 0.25, 0.3, 0.3]]], np.float32)
    )


def test_a_mask_is_one_label():
    mask = np.array([[[False, True]]])
    np.testing.assert_allclose(paint_values([ValuedLabels("cell", mask, 1.36)], 1.337), [[[1.337, 1.36]]])


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ([ValuedLabels("cell", np.array([[[0, 1, 2]]]), {1: 0.3})], "E-SIM-VALUES"),
        ([ValuedLabels("cell", np.array([[[0, 1, 2]]]), {1: 0.3, 5: 0.2})], "E-SIM-VALUES"),
        ([ValuedLabels("cell", np.zeros((2, 2), int), 0.3)], "E-SHAPE"),
        ([ValuedLabels(name, np.zeros((2, 2, n), int), 1.0) for name, n in (("a", 2), ("b", 3))], "E-SHAPE"),
        ([ValuedLabels("cell", np.array([[[0.5, 1]]]), 0.3)], "E-LABELS-TYPE"),
        ([ValuedLabels("cell", np.array([[[-1, 1]]]), 0.3)], "E-LABELS-TYPE"),
    ],
)  # fmt: skip
def test_refuses_labels_it_cannot_paint(layers, code):
    with pytest.raises(SettingsError) as problem:
        paint_values(layers, 0.1)
    assert problem.value.code == code


def test_an_image_is_that_of_the_values():
    """As the physics images the same volume, with the degradation that was drawn."""
    shape, voxel = (24, 40, 44), (0.3, 0.2, 0.19)
    layer = ValuedLabels("cell", ball(shape, voxel, 2.0), 1.36)
    image = image_labels([layer], 1.337, voxel_size_um=voxel, modality="odt", variant="HT-2H-58deg", seed=4, index=1)
    assert image.channels.shape == (1, *shape)
    assert image.values[12, 20, 22] == pytest.approx(1.36)
    clean = simulate_odt(
        np.where(layer.labels, 1.36, 1.337),
        1.337,
        voxel_size_um=voxel,
        instrument=VARIANTS["HT-2H-58deg"].model_copy(update={"is_coarse_grid_allowed": True}),
        degradation=image.optics.degradation.model_copy(update={"noise_ri_std": 0.0, "n_fringes": 0}),
        rng=np.random.default_rng(0),
    )
    assert np.corrcoef(image.channels[0].ravel(), clean.ravel())[0, 1] > 0.95


def test_soft_xrays_of_labels_have_their_coefficients():
    """As the physics images the same values with what was drawn but photons; the same seed gives the same image."""
    shape, voxel = (20, 64, 64), (0.1, 0.1, 0.1)
    outer, inner = ball(shape, voxel, 2.4), ball(shape, voxel, 0.9, (0.0, 0.8, 0.0))
    layers = [ValuedLabels("cell", outer, 0.25), ValuedLabels("nucleus", inner, 0.4)]
    image, again = (image_labels(layers, 0.11, voxel_size_um=voxel, modality="sxt", seed=2) for _ in range(2))
    np.testing.assert_array_equal(image.channels, again.channels)
    other = image_labels(layers, 0.11, voxel_size_um=voxel, modality="sxt", seed=2, index=1)
    assert not np.array_equal(image.channels, other.channels)
    core = ball(shape, voxel, 0.6, (0.0, 0.8, 0.0))
    drawn = image.optics.degradation.degradation
    clean, perfect = (
        simulate_sxt(
            image.values,
            voxel_size_um=voxel,
            instrument=SxtInstrument(),
            degradation=degradation,
            rng=np.random.default_rng(0),
        )
        for degradation in (drawn.model_copy(update={"photons_per_pixel": None}), NO_SXT_DEGRADATION)
    )
    assert image.channels[0][core].mean() == pytest.approx(clean[core].mean(), rel=0.03)
    assert perfect[core].mean() == pytest.approx(0.4, rel=0.04)


def test_a_block_keeps_its_coefficient_although_its_corners_are_wider_than_its_sides():
    """A full square of 0.25 per µm reads 0.25 in the middle."""
    block = ValuedLabels("cytosol", np.ones((6, 60, 60), np.uint8), 0.25)
    image = image_labels([block], 0.0, voxel_size_um=(0.1, 0.1, 0.1), modality="sxt", seed=3)
    stray = image.optics.degradation.degradation.stray_share
    expected = -np.log((1 - stray) * np.exp(-1.5) + stray) / 6.0  # the mean over the path of 6 µm
    assert image.channels[0, :, 20:40, 20:40].mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"modality": "Hubble"}, "E-INSTRUMENT"),
        ({"variant": "Hubble"}, "E-INSTRUMENT"),
        ({"shift": "large"}, "E-SHIFT"),
        ({"outside_value": 0.9}, "E-OPTICS-MEDIUM"),
        ({"voxel_size_um": (0.0, 0.2, 0.2)}, "E-VOXEL-SIZE"),
    ],
)
def test_refuses_what_cannot_be_imaged(change, code):
    options = {"outside_value": 1.337, "voxel_size_um": (0.3, 0.1, 0.1), "modality": "odt", "seed": 1} | change
    with pytest.raises((SettingsError, MetadataError)) as problem:
        image_labels([ValuedLabels("cell", np.ones((8, 8, 8), np.uint8), 1.36)], **options)
    assert problem.value.code == code
