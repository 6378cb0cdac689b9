"""The scale of absorption from beads: lines through points that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.errors import ModalityError
from tomocyte.segmentation.bead_scale import scale_from_beads

SIZE_UM = (0.12, 0.1, 0.11)
LAC = 1.2


def three_beads(
    values: tuple[float, ...] = (210.0, 220.0, 230.0), medium: float = 112.0, radius: float = 0.8
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Beads of 0.8 um; their outermost 0.25 um are half as bright, as blur makes them."""
    shape = (40, 50, 90)
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(shape, SIZE_UM, strict=True)], indexing="ij")
    image, labels = np.full(shape, medium), np.zeros(shape, np.uint8)
    for number, value in enumerate(values, start=1):
        away = np.sqrt((z - 2.4) ** 2 + (y - 2.5) ** 2 + (x - 2.2 * number - 0.4) ** 2)
        labels[away < radius] = number
        image[away < radius] = (value + medium) / 2
        image[away < radius - 0.25] = value
    return image, labels


def test_two_points_make_a_line_and_the_rim_of_beads_does_not_count() -> None:
    image, beads = three_beads()
    scale = scale_from_beads(image, beads, [], SIZE_UM, lac_of_beads=LAC, lac_of_medium=0.12)
    assert scale.grey_of_beads == (210.0, 220.0, 230.0)
    assert scale.apply(np.array([220.0, 112.0, 100.0])) == pytest.approx([LAC, 0.12, 0.0], abs=1e-6)
    assert scale.relative_sd == pytest.approx(10 / 108)  # 210, 220, 230 have a standard deviation of 10


def test_without_the_medium_values_are_proportional() -> None:
    image, beads = three_beads()
    scale = scale_from_beads(image, beads, [], SIZE_UM, lac_of_beads=LAC)
    assert (scale.offset, scale.per_um_of_grey) == (0.0, pytest.approx(LAC / 220))
    assert scale.grey_of_medium == 112.0
    assert scale.relative_sd == pytest.approx(10 / 220)


def test_dark_beads_give_a_falling_line() -> None:
    image, beads = three_beads()
    bright = scale_from_beads(image, beads, [], SIZE_UM, lac_of_beads=LAC, lac_of_medium=0.12)
    dark = scale_from_beads(-image, beads, [], SIZE_UM, lac_of_beads=-LAC, lac_of_medium=-0.12)
    assert dark.apply(-image) == pytest.approx(-bright.apply(image), abs=1e-5)


def test_one_bead_has_no_spread_and_small_ones_are_left_out() -> None:
    image, beads = three_beads()
    beads[beads == 2] = 0
    beads[beads == 3] = 0
    beads[0, 0, :3] = 9
    scale = scale_from_beads(image, beads, [], SIZE_UM, lac_of_beads=LAC)
    assert (scale.grey_of_beads, scale.n_beads_left_out) == ((210.0,), 1)
    assert math.isnan(scale.relative_sd)


def test_what_is_not_medium_is_left_out_of_it() -> None:
    """A cell of twice the value covers most of the surroundings of the beads."""
    image, beads = three_beads()
    cell = np.zeros(beads.shape, np.uint8)
    cell[:, 8:] = 1
    cell[beads > 0] = 0
    image[(cell > 0)] = 180.0
    assert scale_from_beads(image, beads, [], SIZE_UM, lac_of_beads=LAC).grey_of_medium == 180.0
    scale = scale_from_beads(image, beads, [cell], SIZE_UM, lac_of_beads=LAC)
    assert scale.grey_of_medium == 112.0 or math.isnan(scale.grey_of_medium)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("E-BEADS-NONE", "no bead was found"),
        ("E-BEADS-NONE", "none of 3 beads is large enough"),
        ("E-BEADS-SCALE", "0 cannot mean no absorption"),
        ("E-BEADS-SCALE", "do not fit"),
        ("E-BEADS-MEDIUM", "no medium around"),
    ],
)
def test_no_scale_is_an_error_with_a_cure(code: str, what: str) -> None:
    image, beads = three_beads()
    others: list[NDArray[np.uint8]] = []
    medium: float | None = None
    if "no bead" in what:
        beads[:] = 0
    elif "large" in what:
        image, beads = three_beads(radius=0.35)
    elif "0 cannot" in what:
        image -= 1000
    elif "do not fit" in what:
        image, medium = -image, 0.12
    else:
        medium = 0.12
        others = [(beads == 0).astype(np.uint8)]
    with pytest.raises(ModalityError, match=what) as caught:
        scale_from_beads(image, beads, others, SIZE_UM, lac_of_beads=LAC, lac_of_medium=medium)
    assert caught.value.code == code
    assert caught.value.cure
