"""Nile Red stacks: colours, bleed-through, chromatic shift and masks of the fifteen compartments."""

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.rendering import render_scene
from tomocyte.simulation.cells.scene import Cell, Part, Scene
from tomocyte.simulation.cells.shapes import StarBody
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import Conditions, Optics, View
from tomocyte.simulation.instruments.nile_red import (
    INSTRUMENT,
    VARIANTS,
    ChromaticShift,
    NileRedDegradation,
    NileRedState,
    draw_nile_red,
    measure_nile_red,
    stained_light,
)
from tomocyte.simulation.physics.nile_red import emission_ratio
from tomocyte.structures import ZHANGHAO_COMPARTMENTS

STEP = (0.25, 0.1, 0.1)
SHAPE = (24, 120, 110)
PLACE = np.array([2.9, 7.4, 4.2])
EXACT = {"peak_std_um": 0.0, "dye_std": 0.0, "ratio_contrast": 1.0, "stain": "", "bleed_through": 0.2,
         "droplet_bleed_through": 0.8, "seed": 5}  # fmt: skip


def one_droplet(radius=0.6):
    """A ball of a cell that holds one droplet and nothing else."""
    body = StarBody.ellipsoid(np.array([3.0, 6.0, 5.5]), np.array([2.6, 5.2, 5.0]))
    shapes = [("plasma_membrane", body), ("cytosol", body.shrunk(0.25)),
              ("lipid_droplet", np.concatenate([PLACE, PLACE, [radius]])[None])]  # fmt: skip
    parts = tuple(Part(name, 1, 1, 0, shape, 1.36) for name, shape in shapes)
    cell = Cell(1, 1, 0, "adherent", (body,), parts, np.zeros(3), (0.4, 1.0))
    scene = Scene((cell,), 1.337, (6.0, 12.0, 11.0), np.zeros((4, 4, 4), np.float32))
    return View(scene, render_scene(scene, STEP, SHAPE))


def state(**changes):
    suffered = {"photons": 300.0, "crosstalk": 0.0} | changes.pop("degradation", {})
    return NileRedState(degradation=NileRedDegradation(**suffered), **{**EXACT, **changes})


@pytest.fixture(scope="module")
def item():
    settings = DatasetSettings(
        modality="nile_red", shape=(24, 160, 160), voxel_size_um=STEP, ranges={"stain": "mitochondrion"}
    )
    return simulate_item(settings, 0, seed=3)


@pytest.fixture(scope="module")
def frame(item):
    return item.frame(0)


def test_the_ratio_of_a_droplet_is_the_assumed_one():
    view, optics = one_droplet(), Optics(VARIANTS["spinning-disk"], state())
    yellow, red = measure_nile_red(view, optics, Conditions(), np.random.default_rng(1)) - 100.0
    inside = ndimage.binary_erosion(view.truth.labels["lipid_droplet"] > 0, np.ones((1, 5, 5)))
    assert inside.sum() > 50
    ratio = red[inside].sum() / yellow[inside].sum()
    assert ratio == pytest.approx(emission_ratio("lipid_droplet"), rel=0.03)
    assert ratio < 0.5 * emission_ratio("plasma_membrane")


def test_without_contrast_everything_has_one_ratio():
    light = stained_light(one_droplet(), state(ratio_contrast=0.0))
    assert light[1] / light[0] == pytest.approx(np.full(light[0].shape, emission_ratio("golgi", ratio_contrast=0.0)))


@pytest.mark.parametrize(
    "chromatic",
    [
        ChromaticShift(shift_um=(0.3, -0.25, 0.4)),
        ChromaticShift(rotation_deg=3.0),
        ChromaticShift(magnification=(1.0, 1.03, 0.97)),
        ChromaticShift(shift_um=(0.1, 0.2, -0.3), rotation_deg=-2.0, magnification=(1.02, 1.01, 0.99)),
    ],
)
def test_the_red_image_lies_where_the_transform_says(chromatic):
    """Only the droplet's own light: that of the same cell without dye in it is taken off."""
    with_droplet, without = one_droplet(0.6), one_droplet(1e-6)
    settings = state(degradation={"chromatic": chromatic})
    light = stained_light(with_droplet, settings) - stained_light(without, settings)
    angle = np.deg2rad(chromatic.rotation_deg)
    y, x = PLACE[1] - 6.0, PLACE[2] - 5.5  # from the middle of the field
    turned = [PLACE[0] - 3.0, y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)]
    expected = np.array([3.0, 6.0, 5.5]) + np.array(chromatic.magnification) * turned + chromatic.shift_um
    light[np.abs(light) < 1e-2 * light.max()] = 0
    for channel, place in ((0, PLACE), (1, expected)):
        found = (np.array(ndimage.center_of_mass(light[channel])) - (2, 6, 6) + 0.5) * STEP
        assert found == pytest.approx(place, abs=0.01)


def test_green_is_the_probe_and_the_bleed_through():
    view = one_droplet()
    light = stained_light(view, state(stain="plasma_membrane"))
    plain = stained_light(view, state(stain="golgi"))  # there is none, so that only what bleeds through remains
    near = ndimage.binary_dilation(
        np.pad(view.truth.labels["lipid_droplet"] > 0, [(2, 2), (6, 6), (6, 6)]), iterations=3
    )
    assert plain[2][~near] == pytest.approx(0.2 * plain[0][~near], rel=1e-4)
    assert plain[2][near].sum() / plain[0][near].sum() == pytest.approx(0.8, abs=0.03)
    assert light[2].sum() > 3 * plain[2].sum()


def test_bleaching_and_the_uneven_field_are_as_asked_for():
    view = one_droplet()
    channels = {}
    for bleaching in (0.0, 0.4):
        settings = state(degradation={"bleaching": bleaching})
        optics = Optics(VARIANTS["spinning-disk"], settings)
        channels[bleaching] = measure_nile_red(view, optics, Conditions(), np.random.default_rng(1))[0] - 100.0
    share = channels[0.4].sum(axis=(1, 2)) / channels[0.0].sum(axis=(1, 2))
    assert share == pytest.approx(0.6 ** np.linspace(0, 1, 24), rel=5e-3)


def test_a_field_has_all_fifteen_compartments(frame, item):
    assert item.instrument.structures == ("cell", *ZHANGHAO_COMPARTMENTS)
    empty = [name for name in ZHANGHAO_COMPARTMENTS if not frame.labels(name).any()]
    assert set(empty) <= {"filopodium", "nuclear_reticulum"}


def test_nucleus_cytosol_and_extracellular_space_share_out_every_voxel(frame):
    masks = [frame.labels(name) > 0 for name in ("nucleus", "cytosol", "extracellular")]
    assert (np.sum(masks, axis=0) == 1).all()


def test_organelles_lie_in_their_cells_and_nuclei(frame):
    cell, nucleus = frame.labels("cell"), frame.labels("nucleus")
    for name in ("mitochondrion", "endoplasmic_reticulum", "golgi", "lysosome", "plasma_membrane", "nuclear_membrane"):
        labels = frame.labels(name)
        assert (cell[labels > 0] > 0).all()
        owners = frame.truth.cell_of[name]
        assert (owners[labels[labels > 0]] == cell[labels > 0]).all()
    for name in ("nuclear_membrane", "nuclear_reticulum"):
        assert (nucleus[frame.labels(name) > 0] > 0).all()


def test_the_plasma_membrane_bounds_every_cell_in_all_directions(frame):
    """No voxel of a cell's inside touches what lies outside it, other than through the field's border."""
    cell, membrane = frame.labels("cell"), frame.labels("plasma_membrane")
    within = (cell > 0) & (membrane == 0) & (frame.labels("filopodium") == 0)
    outside = frame.labels("extracellular") > 0
    touching = ndimage.binary_dilation(outside) & within
    assert touching.sum() <= 0.002 * within.sum()


def test_masks_mark_what_is_bright(frame):
    yellow = frame.channels[0]
    inside = (frame.labels("cell") > 0) & (frame.labels("nucleus") == 0)
    network = frame.labels("endoplasmic_reticulum") > 0
    assert yellow[network].mean() - 100 > 1.5 * (np.median(yellow[inside]) - 100)


def test_the_same_seed_gives_the_same_stack(item, frame):
    assert np.array_equal(item.frame(0).channels, frame.channels)
    assert item.volume().channel_names == ("yellow", "red", "green")
    assert frame.channels.shape == (3, 24, 160, 160)
    assert frame.channels.min() >= 0


def test_what_was_drawn_stands_on_the_card_and_within_its_range():
    for shift in ("none", "mild", "strong"):
        ranges = INSTRUMENT.ranges_of(shift)
        for seed in range(20):
            drawn = draw_nile_red(VARIANTS["SIM"], ranges, np.random.default_rng(seed)).degradation
            chromatic = drawn.degradation.chromatic
            low, high = ranges.shift_um
            assert low <= np.hypot(*chromatic.shift_um[1:]) <= high + 1e-12
            assert ranges.rotation_deg[0] <= abs(chromatic.rotation_deg) <= ranges.rotation_deg[1]
            assert ranges.magnification[0] <= abs(chromatic.magnification[1] - 1) <= ranges.magnification[1] + 1e-12
            assert ranges.photons[0] <= drawn.degradation.photons <= ranges.photons[1]


def test_a_stain_that_is_no_structure_and_labels_without_cells_are_refused():
    with pytest.raises(ValueError, match="lipid_droplet, golgi"):
        DatasetSettings(modality="nile_red", ranges={"stain": "moon"})
    from tomocyte.simulation.labelled import ValuedLabels, image_labels

    layer = ValuedLabels("nucleus", np.ones((4, 8, 8), int), 1.0)
    with pytest.raises(SettingsError, match="whole cells") as refused:
        image_labels([layer], 0.0, voxel_size_um=STEP, modality="nile_red", seed=1)
    assert refused.value.code == "E-SIM-MODALITY"
