"""Several predictions made into one, against numpy's mean and standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.conftest import make_card
from tests.models.voxelwise import INFERENCE, RULES, SHAPE, frame_of, linear, model_of, solid_card, values

from tomocyte.errors import SettingsError
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models.ensemble import check_member, not_streamed, predict_ensemble
from tomocyte.models.objects import ObjectRules


def test_mean_and_spread_of_an_ensemble_are_numpys() -> None:
    shifts = (0.0, 0.1, -0.2)
    v = values()
    models = [model_of(lambda batch, shift=shift: linear(batch, shift)) for shift in shifts]
    calls: list[tuple[int, int]] = []
    found = predict_ensemble(
        models, frame_of(v), RULES, method="ensemble", callback=lambda done, total: calls.append((done, total))
    )
    members = np.stack([np.clip(v / 4 + shift, 0, 1) for shift in shifts])
    members = np.stack([members, members / 2], axis=1)  # (member, output, z, y, x)
    assert found.spread is not None
    assert found.masks is not None
    assert found.masks.probability is not None
    assert np.abs(found.spread / 255.0 - members.std(axis=0)).max() < 1.1 / 255
    assert np.abs(found.masks.probability / 255.0 - members.mean(axis=0)).max() < 1.1 / 255
    is_clear = np.abs(members.mean(axis=0) - 0.5) > 2 / 255
    for output, name in enumerate(("cell", "nucleus")):
        clear = is_clear[output]
        np.testing.assert_array_equal(found.masks.mask(output)[clear], (members.mean(axis=0)[output] > 0.5)[clear])
        np.testing.assert_array_equal(found.labels[name] > 0, found.masks.mask(output))
    assert sum(done == total for done, total in calls) == 3  # every member anew


def test_flips_are_turned_back_before_they_are_compared() -> None:
    """A voxelwise network does not care; one that adds a gradient along x is averaged over both directions."""
    v = values()
    same = predict_ensemble([model_of(linear)], frame_of(v), RULES, method="flips")
    assert same.spread is not None
    assert same.spread.max() <= 1  # rounding to 8 bits
    assert same.masks is not None
    assert same.masks.probability is not None
    assert np.abs(same.masks.probability[0] / 255.0 - v / 4).max() < 1.1 / 255

    def tilted(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        slope = np.linspace(-0.1, 0.1, batch.shape[-1], dtype=np.float32)
        return np.repeat(np.broadcast_to(0.5 + slope, batch.shape), 2, axis=1)

    frame = frame_of(v[..., :24])
    whole = INFERENCE.model_copy(update={"tile_shape": (8, 24, 24)})
    found = predict_ensemble(
        [model_of(tilted)], frame, ObjectRules(whole, CleanSettings(), SplitSettings()), method="flips"
    )
    assert found.spread is not None
    expected = np.abs(np.linspace(-0.1, 0.1, 24))  # ± the slope: the standard deviation of two equal halves
    np.testing.assert_allclose(
        found.spread[0] / 255.0, np.broadcast_to(expected, found.spread[0].shape), atol=1.1 / 255
    )


def test_voxels_outside_belong_to_nothing_in_an_ensemble() -> None:
    frame = frame_of(np.zeros(SHAPE, np.float32))
    frame.image[0, :, :, 20:] = np.nan
    found = predict_ensemble([model_of(lambda batch: linear(batch, 1.0))] * 2, frame, RULES, method="ensemble")
    assert (found.labels["cell"][:, :, :20] == 1).all()
    assert not found.labels["cell"][:, :, 20:].any()


def test_members_that_cannot_be_joined_are_refused() -> None:
    frame = frame_of(values())
    with pytest.raises(SettingsError, match="E-UNCERTAINTY"):
        predict_ensemble([], frame, RULES, method="ensemble")
    flat = make_card(structures=("cell", "nucleus"))
    with pytest.raises(SettingsError, match="E-UNCERTAINTY: small-nucleus"):
        predict_ensemble([model_of(linear, flat, (4, 4))], frame, RULES, method="flips")
    assert not_streamed("osnet").code == "E-UNCERTAINTY"


@pytest.mark.parametrize(
    "changes",
    [
        {"structures": ("nucleus", "cell")},  # another order is another output
        {"structures": ("cell", "nucleolus")},
        {"voxel_size_um": (0.4, 0.3, 0.2)},
        {"channels": ("phase",)},
    ],
)
def test_a_member_trained_on_something_else_is_refused(changes: dict[str, Any]) -> None:
    first = solid_card(name="first")
    check_member(solid_card(name="second", limits="others", threshold={"cell": 0.4}), first)
    with pytest.raises(SettingsError, match=r"E-UNCERTAINTY: second does not find .* as first"):
        check_member(solid_card(name="second", **changes), first)
