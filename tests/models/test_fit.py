"""Does a model fit? Everything that must not pass is refused, everything that may pass is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.models.conftest import make_card

from tomocyte.errors import MetadataError, ModalityError
from tomocyte.models import ModelCard, check_fit
from tomocyte.volume import Volume

SHAPE = (12, 30, 40)


def ri_values(seed: int = 1, *, medium: float = 1.337, contrast: float = 0.03) -> np.ndarray:
    """A noisy medium with a brighter box."""
    rng = np.random.default_rng(seed)
    values = rng.normal(medium, 0.001, size=SHAPE)
    values[3:9, 8:22, 10:30] += contrast
    return values.astype(np.float32)


def volume_of(values: np.ndarray, **properties: Any) -> Volume:
    return Volume.from_array(
        values, **{"voxel_size_um": (0.35, 0.19, 0.21), "quantity": "refractive_index", **properties}
    )


def solid_card(**changes: Any) -> ModelCard:
    fields = {"dimensions": 3, "section_axis": None, "voxel_size_um": (0.35, 0.19, 0.21), "tile_shape": (16, 32, 32)}
    return make_card(**{**fields, **changes})


CARDS = {"2-D": make_card(), "3-D": solid_card()}
both = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)


@both
@pytest.mark.parametrize(
    ("volume", "code"),
    [
        (volume_of((ri_values() * 200 - 200).astype(np.uint8), quantity="intensity"), "VALUES"),
        (volume_of((ri_values() * 200 - 200).astype(np.uint8), quantity=None), "VALUES"),
        (volume_of(ri_values() * np.float32(1e4)), "VALUES"),
        (volume_of((ri_values() * 1e4).astype(np.uint16), quantity=None), "VALUES"),
        (volume_of(ri_values() - np.float32(1.337)), "VALUES"),
        (volume_of(np.random.default_rng(2).normal(0, 1, SHAPE).astype(np.float32), quantity=None), "VALUES"),
        (
            volume_of(ri_values(), quantity="linear_absorption_coefficient"),
            "QUANTITY",
        ),
        (volume_of(ri_values(), quantity="labels"), "QUANTITY"),
        (volume_of(np.full(SHAPE, np.nan, np.float32)), "VALUES"),
        (volume_of(ri_values(), voxel_size_um=(0.35, 0.76, 0.84)), "VOXEL-SIZE"),
        (volume_of(ri_values(), voxel_size_um=(1.4, 0.76, 0.84)), "VOXEL-SIZE"),
        (volume_of(ri_values(), voxel_size_um=(0.0875, 0.0475, 0.0525)), "VOXEL-SIZE"),
        (volume_of(ri_values().transpose(1, 0, 2), voxel_size_um=(0.19, 0.35, 0.21)), "VOXEL-SIZE"),
        (volume_of(ri_values().transpose(2, 1, 0), voxel_size_um=(0.21, 0.19, 0.35)), "VOXEL-SIZE"),
        (volume_of(ri_values().transpose(1, 2, 0), voxel_size_um=(0.19, 0.21, 0.35)), "VOXEL-SIZE"),
        (volume_of(ri_values().transpose(2, 0, 1), voxel_size_um=(0.21, 0.35, 0.19)), "VOXEL-SIZE"),
        (volume_of(np.stack([ri_values(), ri_values(2)])), "CHANNELS"),
    ],
    ids=[
        "8-bit fluorescence", "8-bit unsaid", "RI x 10000", "RI x 10000 integer", "RI minus medium", "MRC density",
        "absorption", "labels", "NaN", "4x pixel", "4x voxel", "voxel / 4", "zy swapped", "zx swapped", "zyx -> yxz",
        "zyx -> xzy", "two channels",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(card: ModelCard, volume: Volume, code: str) -> None:
    with pytest.raises(ModalityError) as caught:
        check_fit(card, volume)
    assert caught.value.code == f"E-MODEL-FIT-{code}"
    assert caught.value.cure.endswith("recorded in every output.")
    notes = check_fit(card, volume, is_forced=True)
    assert any(note.startswith(f"W-MODEL-FIT-{code}: small-nucleus 1.2.3: ") for note in notes)


def test_4x_spacing_along_z_matters_to_a_solid_model_only() -> None:
    volume = volume_of(ri_values(), voxel_size_um=(1.4, 0.19, 0.21))
    with pytest.raises(ModalityError, match=r"E-MODEL-FIT-VOXEL-SIZE.*voxel size z is 1.4 um.*0.175 to 0.7 um"):
        check_fit(CARDS["3-D"], volume)
    assert check_fit(CARDS["2-D"], volume) == ()


@pytest.mark.parametrize("variant", range(50))
def test_valid_variants_pass(variant: int) -> None:
    """Media from 1.33 to 1.40, contrasts, sizes within a factor of two, types, unsaid quantity, a few outliers."""
    rng = np.random.default_rng(variant)
    values = ri_values(variant, medium=rng.uniform(1.33, 1.40), contrast=rng.uniform(0.005, 0.06))
    if variant % 3 == 0:
        values = values.astype(np.float64)
    if variant % 4 == 0:
        values.ravel()[rng.integers(0, values.size, 20)] = [0.0, 9.0] * 10
    if variant % 5 == 0:
        values.ravel()[:10] = np.nan
    factor = 2.0 ** rng.uniform(-1, 1)
    stretch = rng.uniform(0.9, 1.1)
    size = (0.35 * factor, 0.19 * min(2.0, max(0.5, factor * stretch)), 0.21 * factor)
    quantity = (None, "refractive_index", "intensity")[variant % 3]
    volume = volume_of(values, voxel_size_um=size, quantity=quantity)
    for card in CARDS.values():
        assert check_fit(card, volume) == ()
        assert check_fit(card, volume, is_forced=True) == ()


def test_limits_of_the_range_belong_to_it() -> None:
    """Also after a round trip through float32."""
    for factor in (0.5 * (1 - 1e-7), 2.0 * (1 + 1e-7)):
        size = tuple(float(np.float32(part * factor)) for part in (0.35, 0.19, 0.21))
        assert check_fit(CARDS["3-D"], volume_of(ri_values(), voxel_size_um=size)) == ()


def test_number_of_planes() -> None:
    plane = volume_of(ri_values()[5], voxel_size_um=(math.nan, 0.19, 0.21))
    assert check_fit(CARDS["2-D"], plane) == ()
    with pytest.raises(ModalityError, match="E-MODEL-FIT-DIMENSIONS"):
        check_fit(CARDS["3-D"], plane)
    with pytest.raises(ModalityError, match="E-MODEL-FIT-DIMENSIONS"):
        check_fit(make_card(section_axis="y"), plane)
    planar = make_card(section_axis=None)
    assert check_fit(planar, plane) == ()
    with pytest.raises(ModalityError, match="E-MODEL-FIT-DIMENSIONS"):
        check_fit(planar, volume_of(ri_values()))


def test_channels_are_chosen_and_each_is_looked_at() -> None:
    two = volume_of(np.stack([ri_values() * np.float32(1e4), ri_values()]))
    assert check_fit(CARDS["3-D"], two, channels=(1,)) == ()
    with pytest.raises(ModalityError, match=r"E-MODEL-FIT-VALUES.*channel 0"):
        check_fit(CARDS["3-D"], two, channels=(0,))
    with pytest.raises(ModalityError, match="E-MODEL-FIT-CHANNELS"):
        check_fit(CARDS["3-D"], two, channels=(2,))
    pair = solid_card(channels=("first", "second"))
    with pytest.raises(ModalityError, match=r"E-MODEL-FIT-VALUES.*channel 0"):
        check_fit(pair, two)


def test_the_frame_asked_for_is_looked_at() -> None:
    movie = volume_of(np.stack([ri_values()[None], ri_values()[None] * np.float32(1e4)]))
    assert check_fit(CARDS["3-D"], movie, frame=0) == ()
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VALUES"):
        check_fit(CARDS["3-D"], movie, frame=1)
    assert check_fit(CARDS["3-D"], movie, frame=1, image=movie.frame(0)) == ()


def test_all_that_is_wrong_is_said_at_once() -> None:
    volume = volume_of(ri_values() * np.float32(1e4), quantity="labels", voxel_size_um=(1.4, 0.76, 0.84))
    with pytest.raises(ModalityError, match=r"E-MODEL-FIT-QUANTITY.*labels.*voxel size z.*13\d\d\d"):
        check_fit(CARDS["3-D"], volume)
    codes = [note.partition(":")[0] for note in check_fit(CARDS["3-D"], volume, is_forced=True)]
    assert codes == ["W-MODEL-FIT-QUANTITY", *["W-MODEL-FIT-VOXEL-SIZE"] * 3, "W-MODEL-FIT-VALUES"]


def test_missing_voxel_size_cannot_be_forced() -> None:
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        check_fit(CARDS["2-D"], volume_of(ri_values(), voxel_size_um=None), is_forced=True)


def test_only_a_few_planes_are_read() -> None:
    asked: list[int] = []
    values = ri_values()

    def read(frame: int, channel: int, start: int, stop: int) -> np.ndarray:
        asked.extend(range(start, stop))
        return np.broadcast_to(values[:1], (stop - start, *SHAPE[1:]))

    volume = Volume(
        shape=(1, 1, 2000, *SHAPE[1:]), dtype=np.dtype("f4"), read_planes=read, voxel_size_um=(0.35, 0.19, 0.21)
    )
    assert check_fit(CARDS["3-D"], volume) == ()
    assert len(asked) <= 16
    assert {0, 1999} <= set(asked)


def test_grey_values_of_soft_x_rays_may_have_any_scale_where_each_image_is_scaled() -> None:
    """A model trained on 0 to 2 per um takes bytes if it scales every image itself, and nothing else does."""
    absorbing = {"modality": "sxt", "quantity": "linear_absorption_coefficient", "value_range": (-0.2, 2.0)}
    grey = volume_of((ri_values() * 200 - 200).astype(np.uint8), quantity="intensity")
    per_image = solid_card(**absorbing, normalization={"kind": "percentile", "low": 5, "high": 95})
    assert check_fit(per_image, grey) == ()
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VALUES"):
        check_fit(solid_card(**absorbing), grey)
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VALUES"):
        check_fit(per_image, volume_of(ri_values() * 200, quantity="linear_absorption_coefficient"))
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VALUES"):
        check_fit(solid_card(normalization={"kind": "percentile"}), grey)
