"""A day of a new user: run, correct in place, run again, leave corrections out, export, fine-tune, run the model.

Nothing of theirs may be lost at any step; what a message says to type next is typed as printed. Simulated tomograms.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.formats import write_volume
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings


def typed(line: str) -> str:
    """What a command printed; every step of this day must end well or say how to go on."""
    done = tomocyte(*shlex.split(line)[1:])
    return f"{done.output}\n{done.exception or ''}\nexit {done.exit_code}"


def commands_in(text: str) -> list[str]:
    return re.findall(r"`(tomocyte [^`]+)`", text)


def pixels(path: Path) -> np.ndarray:
    return tifffile.imread(path)


def correct_in_place(path: Path) -> np.ndarray:
    """As Fiji or napari save over a file: a corner of one nucleus is rubbed out, the OME-XML is gone."""
    labels = pixels(path)
    rubbed = labels.copy()
    z, y, x = (int(np.median(along)) for along in np.nonzero(labels))
    rubbed[z:, y:, x:] = 0
    assert 0 < np.count_nonzero(rubbed) < np.count_nonzero(labels)
    tifffile.imwrite(path, rubbed, photometric="minisblack", metadata={"axes": "ZYX"})
    return rubbed


def test_a_day_of_a_new_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = DatasetSettings(preset="HeLa", shape=(48, 112, 112), n_cells=(1, 2))
    for index, name in enumerate(("a", "b")):
        Path("fields").mkdir(exist_ok=True)
        write_volume(Path(f"fields/{name}.ome.tif"), simulate_item(settings, index, seed=77).volume())
    with workers_in_this_process():
        assert "2 of 2 inputs done" in typed("tomocyte run fields -o out")

        nucleus = Path("out/items/a/nucleus.ome.tif")
        corrected = correct_in_place(nucleus)
        saved = nucleus.read_bytes()
        refusal = typed("tomocyte run fields -o out")
        assert "E-OUT-CHANGED" in refusal
        assert "1 failed" in refusal
        assert "exit 3" in refusal
        assert nucleus.read_bytes() == saved

        [cure] = [command for command in commands_in(refusal) if "from-labels" in command]
        assert "exit 0" in typed(cure)
        [option] = re.findall(r"`(--edits [^`]+)`", refusal)
        assert nucleus.read_bytes() == saved
        assert "2 of 2 inputs done" in typed(f"tomocyte run fields -o out {option}")
        assert np.array_equal(pixels(nucleus) > 0, corrected > 0)

        forgotten = typed("tomocyte run fields -o out")
        assert np.array_equal(pixels(nucleus) > 0, corrected > 0), forgotten
        assert "E-BUG" not in forgotten

        exported = typed("tomocyte edits export out -o mine")
        assert "exit 0" in exported
        assert np.array_equal(pixels(next(Path("mine").rglob("*nucleus*.tif"))) > 0, corrected > 0)

        tuned = typed(
            "tomocyte fine-tune odt-organelles --data mine -o tuned --set loop.n_epochs=1"
            " --set loop.samples_per_epoch=6 --set data.patch_shape=[16,64,64] --set loop.schedule.n_warm_up_steps=0"
        )
        assert "exit 0" in tuned, tuned
        assert re.search("before|held out|one image", tuned), tuned
        assert "interval" in tuned

        other = typed("tomocyte run fields -o out2 --model tuned/model -m odt")
        assert "2 of 2 inputs done" in other, other
    run = json.loads(Path("out2/run.json").read_text(encoding="utf-8"))
    assert run["model"]["name"] not in {"odt-organelles", "classical"}
    assert np.array_equal(pixels(nucleus) > 0, corrected > 0)
