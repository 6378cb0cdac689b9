"""Every command with every file that lacks something: its cure, typed as printed, gets further."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import yaml
from tests.training.conftest import disc_volume, small_recipe, write_pair
from tests.training.test_architecture_search import CONTENT
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import TomocyteError

PLACEHOLDERS = {"Z Y X": "0.4 0.2 0.2", "Z, Y, X": "0.4, 0.2, 0.2", "Y X": "0.3 0.2", "Y, X": "0.3, 0.2",
                "NUMBER": "1.337", "SECONDS": "2"}  # fmt: skip
ENDINGS = {"axes": "tif", "size": "tif", "plane": "tif", "dataset": "h5"}


def write(path: Path, voxels: np.ndarray, lacking: str) -> Path:
    """A file that lacks its axes and size, its voxel size, its pixel size, or the choice of an array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_suffix(f".{ENDINGS[lacking]}")
    if lacking == "dataset":
        with h5py.File(path, "w") as file:
            for name in ("image", "other"):
                file[name] = voxels
                file[name].attrs["element_size_um"] = (0.4, 0.2, 0.2)
    elif lacking == "axes":
        tifffile.imwrite(path, voxels, photometric="minisblack", metadata=None)
    else:
        pixels = voxels[3] if lacking == "plane" else voxels
        tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "ZYX"[-pixels.ndim :]}, ome=True)
    return path


def labelled(folder: Path, lacking: str) -> Path:
    """Four images with labels that lack the same."""
    rng = np.random.default_rng(7)
    for index in range(4):
        image, labels = disc_volume(rng)
        write(folder / f"c{index}", image.astype(np.float32), lacking)
        write(folder / f"c{index}_nucleus", labels.astype(np.uint16), lacking)
    return folder


def as_yaml(path: Path, content: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def type_line(*words: str) -> str:
    """What a line prints; the error that stops it included."""
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, TomocyteError | SystemExit):
        raise done.exception
    return done.output + (f"error: {done.exception}" if isinstance(done.exception, TomocyteError) else "")


def with_values(text: str) -> str:
    for name, value in PLACEHOLDERS.items():
        text = re.sub(rf"\b{name}\b", value, text)
    return text


def options_of(message: str) -> list[str]:
    """The options that a message says to give, the first of alternatives."""
    asking = with_values(message.partition("Give ")[2])
    words: list[str] = []
    for option, value in re.findall(
        r"(--[a-z][a-z-]*) ('[^']*'|with one of: [^\s,]+|[^\s,.;-]\S*(?: [0-9.]+)*)", asking
    ):
        plain = shlex.split(value.replace("with one of: ", "").rstrip(".,;"))
        if option == "--set" or option not in words:
            words += [option, *plain]
    return words


Line = Callable[[Path, str], list[str]]


def run_line(place: Path, lacking: str) -> list[str]:
    source = write(place / "in" / "c", disc_volume(np.random.default_rng(1))[0].astype(np.float32), lacking)
    return ["run", str(source), "-o", str(place / "out"), "-m", "odt", "--model", "classical", "--medium-ri", "1.337"]


def one_file(*before: str, after: Callable[[Path], list[str]], is_labels: bool = False) -> Line:
    def line(place: Path, lacking: str) -> list[str]:
        image, labels = disc_volume(np.random.default_rng(1))
        voxels = labels.astype(np.uint16) if is_labels else image.astype(np.float32)
        return [*before, str(write(place / "in" / "c", voxels, lacking)), *after(place)]

    return line


def evaluate_line(place: Path, lacking: str) -> list[str]:
    labels = disc_volume(np.random.default_rng(1))[1].astype(np.uint16)
    return ["evaluate", *(str(write(place / name, labels, lacking)) for name in ("prediction", "truth"))]


def beside_line(place: Path, lacking: str) -> list[str]:
    """An image that a cell fits into: 19 x 24 x 29 µm; its medium is nowhere."""
    voxels = disc_volume(np.random.default_rng(1))[0].astype(np.float32).repeat(8, 0).repeat(3, 1).repeat(3, 2)
    return ["beside", str(write(place / "in" / "c", voxels, lacking)), "-o", str(place / "b.png")]


def learning(verb: str, content: dict[str, Any]) -> Line:
    def line(place: Path, lacking: str) -> list[str]:
        data = labelled(place / "data", lacking)
        recipe = as_yaml(place / "recipe.yaml", content)
        is_looking = [] if verb == "search" else ["--dry-run"]  # a dry run of a search opens no image
        return [verb, recipe, "-o", str(place / "out"), "--data", str(data), *is_looking]

    return line


def tuning(place: Path, lacking: str) -> list[str]:
    """A model of sections that is trained before, on images that lack nothing."""
    rng = np.random.default_rng(3)
    for index in range(2):
        write_pair(
            place / "whole", f"c{index}", *(part[3:4] if lacking == "plane" else part for part in disc_volume(rng))
        )
    recipe = as_yaml(place / "recipe.yaml", BOXES)
    type_line("train", recipe, "-o", str(place / "model"), "--data", str(place / "whole"), "--set", "loop.n_epochs=1")
    data = labelled(place / "data", lacking)
    return ["fine-tune", str(place / "model" / "model"), "-o", str(place / "out"), "--data", str(data), "--dry-run"]


def calibrating(place: Path, lacking: str) -> list[str]:
    """The shipped model on one image of a box; the medium is that outside."""
    data = labelled(place / "data", lacking)
    for path in data.iterdir():
        if not path.name.startswith("c0"):
            path.unlink()
    return ["models", "calibrate", "odt-organelles", "-o", str(place / "out"), "--data", str(data)]


BOXES = small_recipe().model_dump(mode="json", exclude_defaults=True)
ROWS = {"kind": "crossval", "name": "boxes", "groups": "image", "n_folds": 2, "scores": "pixels",
        "base": {key: value for key, value in BOXES.items() if key not in ("name", "network")},
        "rows": {"small": {"network": BOXES["network"]}}}  # fmt: skip
LINES: dict[str, tuple[Line, tuple[str, ...]]] = {
    "run": (run_line, ("axes", "size", "plane", "dataset")),
    "info": (one_file("info", after=lambda place: []), ("axes", "dataset")),
    "convert": (
        one_file("convert", after=lambda place: [str(place / "n.ome.tif")]),
        ("axes", "size", "plane", "dataset"),
    ),
    "evaluate": (evaluate_line, ("axes", "dataset")),
    "propagate": (
        one_file("propagate", after=lambda place: ["-o", str(place / "all.ome.tif")], is_labels=True),
        ("axes", "size", "dataset"),
    ),
    "beside": (
        beside_line,
        ("axes", "size", "dataset"),
    ),
    "train": (learning("train", BOXES), ("axes", "size", "plane", "dataset")),
    "crossval": (learning("crossval", ROWS), ("axes", "size", "plane", "dataset")),
    "search": (
        learning("search", {**CONTENT, "loop": {**CONTENT["loop"], "n_epochs": 2}}),
        ("axes", "size", "dataset"),
    ),
}
LINES["track"] = (
    one_file("track", after=lambda place: ["-o", str(place / "out")], is_labels=True),
    ("axes", "size", "dataset"),
)
LINES["fine-tune"] = (tuning, ("axes", "size", "plane", "dataset"))
LINES["models calibrate"] = (calibrating, ("axes", "size", "dataset"))
CASES = [(command, lacking) for command, (_, facts) in LINES.items() for lacking in facts]


def typed_cure(line: list[str], message: str, place: Path) -> list[str]:
    """The line with what the message says added, or after the command that it gives with the new file in place."""
    given = re.search(r"`(tomocyte convert [^`]*)`", message)
    if given is None:
        return [*line, *options_of(message)]
    words = shlex.split(with_values(given[1]))[1:]
    assert type_line(*words).startswith("wrote ")
    source, target = Path(words[1]), place / words[2]
    source.unlink()
    replaced = target.rename(source.with_name(target.name))
    return [str(replaced) if word == str(source) else word for word in line]


@pytest.mark.parametrize(("command", "lacking"), CASES)
def test_the_cure_of_a_missing_fact_gets_further(
    command: str, lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One refusal asks for all; of labelled images each file that must be converted asks for itself."""
    monkeypatch.chdir(tmp_path)
    build, _ = LINES[command]
    line = build(tmp_path, lacking)
    messages = []
    while True:
        printed = type_line(*line)
        asking = [text for text in printed.splitlines() if re.match(r"(error|failed): ", text)]
        if not asking:
            break
        messages.append(asking[0])
        assert messages.count(asking[0]) == 1, asking[0]
        line = typed_cure(line, asking[0], tmp_path)
    is_converted = any("tomocyte convert" in text for text in messages)
    assert len(messages) == 1 or (is_converted and "--data" in line), messages


def test_a_bare_file_without_a_modality_is_asked_for_all_at_once(tmp_path: Path) -> None:
    line = [word for word in run_line(tmp_path, "axes") if word not in ("-m", "odt")]
    asked = type_line(*line)
    given = dict(zip(words := options_of(asked), words[1:], strict=False))
    assert set(words) > {"--modality", "--axes", "--voxel-size-um"}
    assert given["--modality"] == "fluorescence"  # the first of the list
    words[words.index("fluorescence")] = "odt"
    assert "1 of 1 inputs done" in type_line(*line, *words)


def test_a_phase_image_is_asked_for_its_quantity_with_the_rest(tmp_path: Path) -> None:
    pixels = disc_volume(np.random.default_rng(1))[0][3].astype(np.float32)
    source = write(tmp_path / "c", np.stack([pixels] * 5), "plane")
    line = ["run", str(source), "-o", str(tmp_path / "out"), "-m", "qpi", "--model", "classical"]
    words = options_of(type_line(*line))
    assert words == ["--pixel-size-um", "0.3", "0.2", "--quantity", "dry-mass-density"]
    assert "1 of 1 inputs done" in type_line(*line, *words)


def test_what_some_results_need_is_asked_for_too(tmp_path: Path) -> None:
    """Without a medium there is no dry mass, without a time step no speed: not needed, but said at once."""
    voxels = np.stack([disc_volume(np.random.default_rng(1))[0].astype(np.float32)] * 2)
    tifffile.imwrite(tmp_path / "c.tif", voxels, photometric="minisblack", metadata={"axes": "TZYX"}, ome=True)
    line = ["run", str(tmp_path / "c.tif"), "-o", str(tmp_path / "out"), "-m", "odt", "--model", "classical"]
    asked = type_line(*line)
    assert "Give --voxel-size-um Z Y X." in asked
    _, _, others = asked.partition("Not in the file either, and needed for some results: ")
    assert others.startswith("--time-step-s SECONDS; --medium-ri NUMBER, or --medium-ri background.")
    full = ["--voxel-size-um", "0.4", "0.2", "0.2", "--time-step-s", "2", "--medium-ri", "1.337"]
    assert "1 of 1 inputs done" in type_line(*line, *full)
