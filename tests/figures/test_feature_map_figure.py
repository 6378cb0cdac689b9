"""The picture of feature maps: what is grey where, by reading the PNG back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.feature_maps import feature_map_figure


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(imread(io.BytesIO(png)), dtype=np.float64)[..., :3]


def maps_of(output: float) -> dict[str, NDArray[np.float64]]:
    """Two channels whose mean is 0 on the left and 1 on the right, and a constant output."""
    ramp = np.zeros((2, 8, 8))
    ramp[0, :, :2], ramp[1, :, :2] = 9, -9  # the mean is 0, the largest is 9
    ramp[0, :, 4:], ramp[1, :, 4:] = 3, -1
    return {"down 1": ramp, "output": np.full((2, 8, 8), output)}


def test_mean_over_channels_is_dark_left_and_bright_right_and_the_output_is_a_probability() -> None:
    drawn = pixels(feature_map_figure({"osnet": maps_of(0.0)}))
    middle = drawn[drawn.shape[0] // 2 + 7, :, 0]
    tile = middle[110:260]
    assert tile[10] == 0
    assert tile[140] == 1
    assert middle[268 + 75] == pytest.approx(0.5, abs=0.01)  # a logit of 0
    shown = pixels(feature_map_figure({"osnet": maps_of(0.25)}, is_logit=False))
    assert shown[shown.shape[0] // 2 + 7, 268 + 75, 0] == pytest.approx(0.25, abs=0.01)


def test_one_row_per_network_one_column_per_level_and_the_image_first() -> None:
    one = pixels(feature_map_figure({"a": maps_of(0)})).shape
    two = pixels(feature_map_figure({"a": maps_of(0), "b": maps_of(0)})).shape
    with_image = pixels(feature_map_figure({"a": maps_of(0)}, image=np.eye(8))).shape
    assert two[0] > 1.9 * one[0] - 10
    assert two[1] == one[1]
    assert with_image[0] == one[0]
    assert with_image[1] == one[1] + 158


def test_the_middle_plane_of_a_volume_is_drawn_at_its_own_proportions() -> None:
    volume = np.zeros((1, 3, 8, 16))
    volume[0, 1, :, 8:] = 1
    drawn = pixels(feature_map_figure({"a": {"down 1": volume, "output": volume}}))
    row = drawn[8 + 22 + 37, :, 0]
    assert row[120] == 0
    assert row[250] == 1
    assert drawn.shape[0] == 8 + 22 + 75 + 8


def test_same_input_same_bytes() -> None:
    assert feature_map_figure({"a": maps_of(1)}) == feature_map_figure({"a": maps_of(1)})


@pytest.mark.parametrize("maps", [{}, {"osnet": {}}])
def test_nothing_to_draw_is_an_error(maps: dict[str, dict[str, NDArray[np.float64]]]) -> None:
    with pytest.raises(SettingsError, match="E-PICTURE"):
        feature_map_figure(maps)
