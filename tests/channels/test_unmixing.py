"""One dye taken out of the channel of another: amounts that are known."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.channels.unmixing import UnmixingSettings, unmixed
from tomocyte.errors import MetadataError

SHAPE = (3, 64, 72)


def channels(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dye in two thirds of a square, a probe in a fifth of it; backgrounds of 90 and 110 counts."""
    rng = np.random.default_rng(2)
    dye = np.zeros(SHAPE)
    dye[:, 16:48, 16:48] = rng.uniform(200, 1000, (3, 32, 32))
    probe = np.zeros(SHAPE)
    probe[1, 20:34, 20:34] = 500
    return probe + share * dye + 90, dye + 110, probe


@pytest.mark.parametrize("share", [0.2, 0.35])
def test_what_is_known_is_subtracted_exactly(share: float) -> None:
    green, yellow, probe = channels(share)
    light, used = unmixed(green, yellow, UnmixingSettings(share=share))
    assert used == share
    np.testing.assert_allclose(light, probe, atol=1e-3)
    fitted, found = unmixed(green, yellow, UnmixingSettings(share="fitted"))
    assert found == pytest.approx(share, rel=1e-4)
    np.testing.assert_allclose(fitted, probe, atol=0.1)


def test_droplets_are_dark_and_inputs_stay_as_they_are() -> None:
    green, yellow, _ = channels(0.2)
    removed = np.zeros(SHAPE, bool)
    removed[1, 20:24, 20:24] = True
    before = green.copy(), yellow.copy()
    light, _ = unmixed(green, yellow, removed=removed)
    assert not light[removed].any()
    assert light[1, 30, 30] == pytest.approx(500, abs=1e-2)
    np.testing.assert_array_equal(green, before[0])
    np.testing.assert_array_equal(yellow, before[1])
    with pytest.raises(MetadataError, match="E-CHANNEL-SHAPE"):
        unmixed(green[:2], yellow)
