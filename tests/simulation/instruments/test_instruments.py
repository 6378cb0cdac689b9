"""Door 5: what every instrument keeps; one more file behind the door is put there in tests/test_doors.py."""

import numpy as np
import pytest
from pydantic import ValidationError

from tomocyte.errors import SettingsError
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import instrument, instrument_names, instruments
from tomocyte.simulation.instruments._instrument import log_uniform
from tomocyte.simulation.instruments.odt import OdtRanges


def test_the_instruments_that_ship():
    assert instrument_names() == ("nile_red", "odt", "qpi", "sxt")
    assert all(entry.name == name and entry.default in entry.variants for name, entry in instruments().items())
    assert all(set(entry.ranges) == {"none", "mild", "strong"} for entry in instruments().values())


@pytest.mark.parametrize(("name", "known"), [("odt", "HT-2H"), ("qpi", "HT-2H"), ("sxt", "XM-2, flat-holder")])
def test_an_unknown_variant_or_shift_lists_the_known(name, known):
    with pytest.raises(SettingsError, match=known):
        instrument(name).variant("HT-9000")
    with pytest.raises(SettingsError, match="none, mild, strong"):
        instrument(name).ranges_of("wild")
    with pytest.raises(SettingsError, match="nile_red, odt, qpi, sxt"):
        instrument("microwave")


def test_ranges_stand_under_the_name_of_their_instrument():
    """The form of data sets on disk: every instrument's key, null where it is another's or not given."""
    given = DatasetSettings.model_validate({"odt_ranges": {"noise_ri_std": [1e-5, 1e-4]}})
    assert isinstance(given.ranges, OdtRanges)
    content = given.model_dump(mode="json")
    assert content["odt_ranges"]["noise_ri_std"] == [1e-5, 1e-4]
    assert content["qpi_ranges"] is None
    assert "ranges" not in content
    assert list(content)[-8:] == [
        "nile_red_ranges", "odt_ranges", "qpi_ranges", "sxt_ranges", "is_multiple_scattering", "is_coarse_grid_allowed",
        "frame_drop_share", "stage_drift_um",
    ]  # fmt: skip
    assert DatasetSettings.model_validate(content) == given
    assert DatasetSettings.model_validate_json(given.model_dump_json()) == given


def test_ranges_given_in_part_leave_the_rest_to_the_shift():
    settings = DatasetSettings.model_validate(
        {"modality": "nile_red", "shift": "strong", "nile_red_ranges": {"ratio_contrast": 0.5}}
    )
    strong = instrument("nile_red").ranges_of("strong")
    assert settings.ranges == strong.model_copy(update={"ratio_contrast": 0.5})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"qpi_ranges": {}}, "qpi_ranges belongs to qpi"),
        ({"odt_ranges": {}, "ranges": {}}, "both ranges and odt_ranges"),
        ({"odt_ranges": {"noise": 1}}, "ranges.noise"),
        ({"modality": "microwave"}, "nile_red or odt or qpi or sxt"),
    ],
)
def test_ranges_that_belong_elsewhere_are_refused(content, message):
    with pytest.raises(ValidationError, match=message):
        DatasetSettings.model_validate(content)


def test_what_a_perfect_image_shows_of_the_medium():
    """A tomogram its index; a dry-mass density counts from the medium."""
    assert [instrument(name).value_of_medium(1.337) for name in ("odt", "qpi")] == [1.337, 0.0]


def test_log_uniform_has_its_median_at_the_geometric_mean():
    rng = np.random.default_rng(2)
    drawn = [log_uniform((1e-4, 1e-2), rng) for _ in range(2000)]
    assert min(drawn) >= 1e-4
    assert max(drawn) <= 1e-2
    assert np.median(drawn) == pytest.approx(1e-3, rel=0.15)
