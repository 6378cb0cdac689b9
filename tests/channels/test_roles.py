"""Which channel is which, and a volume that shows what is derived from it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.channels.test_ratio import field

from tomocyte.channels import ChannelSettings, Roles, channel_roles, derived_volume, intensity_and_ratio
from tomocyte.errors import MetadataError, SettingsError
from tomocyte.volume import Volume


@pytest.mark.parametrize(
    ("names", "settings", "expected"),
    [
        (("yellow", "red"), {}, Roles(0, 1)),
        (("NileRed_Red", "green", "NileRed-Yellow"), {}, Roles(2, 0)),
        (("S617/73", "S685/40"), {}, Roles(0, 1)),
        (("w2 685 nm", "w1 617 nm"), {}, Roles(1, 0)),
        (("", ""), {}, Roles(0, 1, is_assumed=True)),
        (("DNA", "red", "x"), {}, Roles(0, 1, is_assumed=True)),
        (("red", "DNA"), {}, Roles(1, 0, is_assumed=True)),
        (("Green", "Red", "Red"), {}, Roles(0, 1, is_assumed=True)),
        (("Green", "Red", "Red"), {"yellow": 2, "red": 1}, Roles(2, 1)),
        (("a", "b"), {"yellow": "b", "red": "a"}, Roles(1, 0)),
        (("tired", "infrared"), {}, Roles(0, 1, is_assumed=True)),  # no word of them is red
    ],
)
def test_a_role_is_given_or_named_or_by_place(
    names: tuple[str, ...], settings: dict[str, object], expected: Roles
) -> None:
    assert channel_roles(names, ChannelSettings.model_validate(settings)) == expected


def test_one_channel_or_one_for_both_is_refused() -> None:
    with pytest.raises(MetadataError, match=r"E-CHANNEL: .*there is one.*--channel-file"):
        channel_roles(("yellow",), ChannelSettings())
    with pytest.raises(SettingsError, match="E-CHANNEL-ROLE"):
        channel_roles(("a", "b"), ChannelSettings(yellow=1, red=1))
    with pytest.raises(MetadataError, match=r"E-CHANNEL: there is no channel 'c'. Give one of: 0 \(a\), 1 \(b\)"):
        channel_roles(("a", "b"), ChannelSettings(yellow="c"))


def test_a_part_that_is_read_is_that_of_the_whole() -> None:
    """Planes of the lazy volume against the frame computed at once, stored with red first."""
    yellow, red, _ = field(0.6)
    volume = Volume.from_array(
        np.stack([red, yellow])[None], voxel_size_um=(0.3, 0.2, 0.1), channel_names=("red", "yellow")
    )
    whole = intensity_and_ratio(yellow, red)
    derived = derived_volume(volume)
    assert (derived.shape, derived.dtype, derived.voxel_size_um) == ((1, 2, 4, 120, 136), np.float32, (0.3, 0.2, 0.1))
    np.testing.assert_array_equal(derived.planes(0, 1, 1, 3), whole[1, 1:3])
    beside = derived_volume(volume, is_alone=False)
    assert beside.channels == ("red", "yellow", "intensity", "ratio")
    np.testing.assert_array_equal(beside.frame(0), np.concatenate([[red, yellow], whole]).astype(np.float32))
    assert derived_volume(beside) is beside
