"""Names of files that are no text, on several lines, long or hidden, on every road that a name takes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tomocyte.ledger.atomic import part_name
from tomocyte.names import is_hidden, natural_key

SPHERE_UM = 2.5
LATIN_1 = os.fsdecode(b"zelle_\xb5m.tif")
ODD = [
    LATIN_1,
    os.fsdecode(b"\xff\xfe.tif"),
    "a\nb.tif",
    "q'\"x.tif",
    "e😀é.tif",
    "n" * 236 + ".tif",
    "-lead.tif",
    "p%20.tif",
    "h#1.tif",
    "b[0].tif",
    "[b].tif",
    "=cmd.tif",
]


def tomogram(shift: float) -> np.ndarray:
    """A sphere of RI 1.357 in a medium of 1.337; (z, y, x) = 12 x 40 x 60 voxels."""
    z, y, x = np.meshgrid(
        *(np.arange(n) * s for n, s in zip((12, 40, 60), (0.5, 0.3, 0.2), strict=True)), indexing="ij"
    )
    is_inside = (z - 3) ** 2 + (y - 6) ** 2 + (x - 6) ** 2 < SPHERE_UM**2
    return (np.where(is_inside, 1.357, 1.337) + shift).astype(np.float32)


def save(path: Path, shift: float = 0.0) -> Path:
    with path.open("wb") as stream:
        tifffile.imwrite(
            stream,
            tomogram(shift),
            imagej=True,
            resolution=(1 / 0.2, 1 / 0.3),
            metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
        )
    return path


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    typed = [os.fsencode(str(argument)) for argument in arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"tomocyte", *typed], capture_output=True, cwd=cwd, env=environment
    )


RUN = ("-m", "odt", "--medium-ri", "1.337", "--cells", "components")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_every_odd_name_gets_its_row_its_report_and_its_entry(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for index, name in enumerate(ODD):
        save(folder / name, index * 1e-5)
    done = command("run", "d", "-o", "out", *RUN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        status = pd.read_csv(tmp_path / "out" / "status.csv", keep_default_na=False)
        assert len(status) == len(ODD)
        assert set(status["state"]) == {"ok"}
        assert r"zelle_\xb5m.tif" in set(status["source"])
        assert r"a\nb.tif" in set(status["source"])
        run = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
        quoted = {entry["path"]: entry.get("path_quoted") for entry in run["inputs"]}
        assert quoted[r"d/zelle_\xb5m.tif"] == "d/zelle_%B5m.tif"
        assert quoted["d/p%20.tif"] is None
        assert (tmp_path / "out" / "report.html").stat().st_size > 0
        again = command("run", *(f"d/{name}" for name in ODD), "-o", "out", *RUN, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert b"12 in an earlier run" in again.stdout
    assert command("verify", "out", cwd=tmp_path).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("name", [LATIN_1, "a\nb.tif", "n" * 236 + ".tif"])
def test_odd_names_are_shown_and_converted(name: str, tmp_path: Path) -> None:
    save(tmp_path / name)
    shown = command("info", f"./{name}", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert b"\xb5m.tif" not in shown.stdout
    assert b"a\nb" not in shown.stdout
    assert json.loads(command("info", f"./{name}", "--json", cwd=tmp_path).stdout)["shape"] == [1, 1, 12, 40, 60]
    target = name.replace(".tif", ".ome.tif")
    converted = command("convert", f"./{name}", f"./{target}", cwd=tmp_path)
    assert converted.returncode == 0, converted.stderr
    assert np.array_equal(tifffile.imread(io.BytesIO((tmp_path / target).read_bytes())), tomogram(0))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_bad_file_of_an_odd_name_costs_one_row(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    save(folder / "ok.tif")
    (folder / LATIN_1).write_bytes(b"II*\0 no more")
    done = command("run", "d", "-o", "out", *RUN, cwd=tmp_path)
    assert done.returncode == 3
    status = pd.read_csv(tmp_path / "out" / "status.csv", keep_default_na=False).set_index("source")
    assert status.loc["ok.tif", "state"] == "ok"
    assert status.loc[r"zelle_\xb5m.tif", "code"].startswith("E-")
    assert (tmp_path / "out" / "report.html").exists()


def test_wells_and_frames_are_sorted_as_people_count() -> None:
    wells = ["A10", "B1", "A2", "A1"]
    assert sorted(wells, key=natural_key) == ["A1", "A2", "A10", "B1"]
    frames = ["p/t10.tif", "p/t9.tif", "p-b/t1.tif"]
    assert sorted(frames, key=natural_key) == ["p/t9.tif", "p/t10.tif", "p-b/t1.tif"]
    assert sorted(["a01", "a1", "a001"], key=natural_key) == ["a001", "a01", "a1"]


def test_companions_and_litter_are_hidden_but_images_are_not() -> None:
    hidden = ["._c1.tif", ".DS_Store", "Thumbs.db", "desktop.ini", "~$c1.tif", ".hidden.tif", "__MACOSX", "@eaDir"]
    assert [name for name in hidden if not is_hidden(name)] == []
    assert not any(is_hidden(name) for name in ("c1.tif", "_c1.tif", "~c1.tif", "$c1.tif", "thumbs.db.tif"))


@pytest.mark.parametrize("name", ["é" * 120 + ".tif", "n" * 250 + ".csv", "a.b"])
def test_an_unfinished_name_fits_where_the_name_does(name: str) -> None:
    part = part_name(name)
    assert len(os.fsencode(part)) <= 255
    assert part.endswith(name[name.index(".") :])
