"""One diameter sets the scales that were not given, and nothing else."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from tomocyte.errors import SettingsError
from tomocyte.labels.settings import SplitSettings, required
from tomocyte.modalities import modalities, modality
from tomocyte.segmentation.scales import with_scales, without_scales
from tomocyte.segmentation.settings import SegmentationSettings


def test_a_given_number_stays() -> None:
    settings = SegmentationSettings.model_validate({"object_diameter_um": 8, "split": {"min_separation_um": 3}})
    scaled = with_scales(settings, 8)
    assert scaled.split.min_separation_um == 3
    assert scaled.foreground.smoothing_um == 0.5
    # A ball and a disc of half the diameter.
    assert scaled.clean.min_volume_um3 == pytest.approx(4 / 3 * math.pi * 2**3)
    assert scaled.clean.min_area_um2 == pytest.approx(math.pi * 2**2)


def test_instances_keep_what_was_set() -> None:
    settings = SegmentationSettings(object_diameter_um=8, split=SplitSettings(min_separation_um=3.5))
    assert (settings.split.min_separation_um, settings.split.window_um) == (3.5, None)
    assert SegmentationSettings.model_validate(settings.model_dump()) == settings


def test_a_diameter_without_effect_is_refused() -> None:
    content = SegmentationSettings().model_dump() | {"object_diameter_um": 8}
    with pytest.raises(ValidationError, match="no effect"):
        SegmentationSettings.model_validate(content)


def test_an_empty_scale_without_a_diameter() -> None:
    assert required(2.0) == 2.0
    with pytest.raises(SettingsError, match="E-SCALE"):
        required(None)


def test_only_fluorescence_estimates() -> None:
    assert [name for name, kind in modalities().items() if kind.segmentation.follows_diameter] == ["fluorescence"]


def test_laid_over_a_modality() -> None:
    odt = modality("odt").segmentation
    assert without_scales(odt, {}) == odt.model_dump()
    content = without_scales(odt, {"object_diameter_um": 12.0}) | {"object_diameter_um": 12.0}
    assert with_scales(SegmentationSettings.model_validate(content), 12.0).split.min_separation_um == pytest.approx(7.2)
