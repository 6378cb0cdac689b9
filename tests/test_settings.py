"""Settings: closed, checked, with overrides; a YAML round trip."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.in_process import tomocyte

from tomocyte.errors import SettingsError
from tomocyte.modalities import modality
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


@pytest.mark.parametrize("name", ["odt", "qpi", "sxt", "fluorescence", "nile_red"])
def test_printed_settings_are_those_of_the_modality(name: str, tmp_path: Path) -> None:
    """What the command prints is read back, unchanged, as the settings that it printed."""
    printed = tomocyte("settings", name).stdout
    file = tmp_path / "run.yaml"
    file.write_text(printed, encoding="utf-8")
    expected = RunSettings(modality=name, segmentation=modality(name).segmentation)
    assert build_settings(RunSettings, load_settings(file)) == expected
    assert printed == tomocyte("settings", "--modality", name).stdout


def test_printed_settings_say_meaning_unit_and_range() -> None:
    """Every field has a comment right above it; the limits are those that an out-of-bounds value meets."""
    lines = tomocyte("settings", "fluorescence").stdout.splitlines()
    fields = [index for index, line in enumerate(lines) if not line.lstrip().startswith("#")]
    parts = ("foreground:", "split:", "clean:", "nucleus:", "inclusion:", "capillary:", "bead:")
    bare = [lines[i] for i in fields if not lines[i].strip().startswith(parts) and "#" not in lines[i - 1]]
    assert bare == []
    text = "\n".join(lines)
    assert "[µm; a number (at least 0, at most 20) | null]\n    smoothing_um: null" in text
    assert "[half-maximum | otsu | local-adaptive | value]\n    method:" in text
    assert max(map(len, lines)) <= 114
    with pytest.raises(SettingsError, match=r"smoothing_um.*less than or equal to 20"):
        build_settings(SegmentationSettings, {"foreground": {"smoothing_um": 20.5}})


@pytest.mark.parametrize("arguments", [(), ("odt", "-m", "qpi")])
def test_settings_need_one_modality_and_say_what_to_type(arguments: tuple[str, ...]) -> None:
    problem = tomocyte("settings", *arguments).exception
    assert isinstance(problem, SettingsError)
    command = re.search(r"`tomocyte ([^`]+)`", str(problem))
    assert command is not None
    assert tomocyte(*command[1].split()).exit_code == 0


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
