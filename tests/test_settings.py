"""Settings: closed, checked, with overrides; a YAML round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tomocyte.errors import SettingsError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.settings import build_settings, load_settings, with_overrides


def test_yaml_round_trip(tmp_path: Path) -> None:
    settings = RunSettings(modality="odt", model="classical", segmentation=SegmentationSettings(), medium_ri=1.335)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    assert build_settings(RunSettings, load_settings(file)) == settings


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({}, "modality"),
        ({"modality": "odt", "modle": "x"}, "modle"),
        ({"modality": "odt", "time_step_s": -1}, "time_step_s"),
        ({"modality": "odt", "segmentation": {"foreground": {"method": "magic"}}}, "segmentation.foreground.method"),
        ({"modality": "odt", "nan": "ignore"}, "nan"),
    ],
)
def test_a_wrong_setting_is_named(content: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match="E-SETTINGS") as caught:
        build_settings(RunSettings, content)
    assert named in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunSettings(modality="odt", model="classical").modality = "sxt"  # type: ignore[misc]


def test_overrides_are_laid_over_a_copy() -> None:
    base = {"modality": "odt", "segmentation": {"foreground": {"method": "otsu"}}}
    result = with_overrides(base, ["segmentation.foreground.smoothing_um=0.5", "segmentation.split.method=none"])
    assert result == {
        "modality": "odt",
        "segmentation": {"foreground": {"method": "otsu", "smoothing_um": 0.5}, "split": {"method": "none"}},
    }
    assert base == {"modality": "odt", "segmentation": {"foreground": {"method": "otsu"}}}


@pytest.mark.parametrize("wrong", ["segmentation.foreground", "modality.name=1"])
def test_wrong_overrides(wrong: str) -> None:
    with pytest.raises(SettingsError):
        with_overrides({"modality": "odt"}, [wrong])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1,\n", "!!python/object/apply:os.system ['true']\n"])
def test_files_that_are_no_settings(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"x\.yaml"):
        load_settings(file)
    with pytest.raises(SettingsError):
        load_settings(tmp_path / "absent.yaml")
