"""Label files become a data set: labels unchanged, the user's voxel size, the same bytes with any number of workers."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import TomocyteError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.ledger import verify
from tomocyte.runs.simulate.beside import real_beside_labels
from tomocyte.runs.simulate.from_labels import labels_plan, layers_of, read_sample, write_labelled_images
from tomocyte.volume import Volume

SHAPE, VOXEL = (20, 40, 44), (0.3, 0.2, 0.19)


@pytest.fixture
def sample(tmp_path: Path) -> dict[str, Path]:
    """A cell as labels, and two nuclei as whole numbers in a float file that knows no voxel size."""
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    cell = (((z - 10) / 8) ** 2 + ((y - 20) / 16) ** 2 + ((x - 22) / 18) ** 2 < 1).astype(np.uint8)
    nuclei = np.zeros(SHAPE, np.float32)
    nuclei[8:12, 14:20, 14:20], nuclei[8:12, 20:26, 24:30] = 1, 4
    files = {"cell": tmp_path / "cell.ome.tif", "nucleus": tmp_path / "nuclei.tif"}
    write_volume(files["cell"], Volume.from_array(cell, voxel_size_um=VOXEL, quantity="labels"))
    write_volume(files["nucleus"], Volume.from_array(nuclei, voxel_size_um=(9.0, 9.0, 9.0)))
    return files


def plan(sample: dict[str, Path], **options: object) -> list:
    given = {"outside": 1.337, "modality": "odt", "options": ReadOptions(voxel_size_um=VOXEL)} | options
    return labels_plan(sample, {"cell": 1.36, "nucleus": {1: 1.355, 4: 1.357}}, **given)  # type: ignore[arg-type]


def test_labels_and_image_lie_on_one_grid(sample: dict[str, Path], tmp_path: Path) -> None:
    plans = plan(sample, n_items=2, seed=5)
    out = tmp_path / "set"
    result = write_labelled_images(plans, out)
    assert (result.n_done, result.failures) == (2, [])
    items = find_items(out, LabelledSettings(structures=("cell", "nucleus")))
    assert [item.name for item in items] == [entry.name for entry in plans]
    folder = out / "items" / plans[0].name
    image = read_volume(folder / f"{plans[0].name}.ome.tif")
    assert image.is_simulated
    assert image.medium_ri == pytest.approx(1.337)
    for structure, path in sample.items():
        written = read_volume(folder / "labels" / f"{structure}.ome.tif")
        assert written.voxel_size_um == pytest.approx(VOXEL) == image.voxel_size_um
        np.testing.assert_array_equal(written.planes(0, 0), read_volume(path).planes(0, 0))
    inside = read_volume(sample["cell"]).planes(0, 0) > 0
    voxels = image.planes(0, 0)
    assert voxels[inside].mean() > 1.345 > voxels[~inside].mean()
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["settings"]["layers"][1]["values"] == {"1": 1.355, "4": 1.357}
    assert str(tmp_path) not in json.dumps(card)
    assert verify(out).is_ok


def test_again_makes_nothing_and_two_workers_the_same(sample: dict[str, Path], tmp_path: Path) -> None:
    plans = plan(sample, n_items=2)
    write_labelled_images(plans, tmp_path / "one")
    write_labelled_images(plans, tmp_path / "two", n_workers=2)
    for file in ("card.json", *(f"items/{entry.name}/{entry.name}.ome.tif" for entry in plans)):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert write_labelled_images(plans, tmp_path / "one").n_resumed == 2
    first, second = (read_volume(tmp_path / "one" / "items" / p.name / f"{p.name}.ome.tif") for p in plans)
    assert not np.array_equal(first.planes(0, 0), second.planes(0, 0))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"modality": "Hubble"}, "E-INSTRUMENT"),
        ({"variant": "Hubble"}, "E-INSTRUMENT"),
        ({"shift": "large"}, "E-SHIFT"),
        ({"outside": 0.5}, "E-OPTICS-MEDIUM"),
        ({"options": ReadOptions(voxel_size_um=(2.0, 2.0, 2.0))}, None),  # coarse: low-passed, as for simulated cells
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_made(
    sample: dict[str, Path], change: dict[str, object], code: str | None
) -> None:
    if code is None:
        assert plan(sample, **change)
        return
    with pytest.raises(TomocyteError) as problem:
        plan(sample, **change)
    assert problem.value.code == code


def test_values_and_labels_must_match(sample: dict[str, Path]) -> None:
    for values in ({"cell": 1.36}, {"cell": 1.36, "nucleus": {1: 1.35}}, {}):
        with pytest.raises(TomocyteError) as problem:
            labels_plan(sample, values, outside=1.337, modality="odt", options=ReadOptions(voxel_size_um=VOXEL))
        assert problem.value.code == "E-SIM-VALUES"


def command(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate-labels", *map(str, words)])
    code = getattr(done.exception, "code", done.exit_code)
    return (done.exit_code, done.output) if isinstance(code, int) else (done.exit_code, str(code))


def test_the_command_says_the_voxel_size_and_wants_it(sample: dict[str, Path], tmp_path: Path) -> None:
    words = ["odt", "-o", tmp_path / "set", "--labels", f"cell={sample['cell']}", "--value", "cell=1:1.36"]
    code, text = command(*words, "--outside", 1.337)
    assert (code, "1 of 1 simulated images" in text, "0.3 x 0.2 x 0.19 um" in text) == (0, True, True)
    bare = tmp_path / "bare.tif"
    tifffile.imwrite(bare, np.ones((8, 8, 8), np.uint8), metadata={"axes": "ZYX"})
    words = ["odt", "-o", tmp_path / "other", "--labels", f"cell={bare}", "--value", "cell=1.36", "--outside", 1.337]
    assert command(*words)[1] == "E-VOXEL-SIZE"
    assert command(*words, "--voxel-size-um", 0.3, 0.19, 0.19)[0] == 0


def test_the_page_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line as printed, on small label files whose header states millimetres."""
    page = Path(__file__).parents[2] / "docs" / "soft-xray.md"
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("tomocyte simulate-lab")]
    labels = np.zeros((12, 16, 18), np.int16)
    labels[3:6, 4:9, 4:9], labels[7:10, 8:13, 9:14] = 1, 2
    for name, voxels in (("mito", labels), ("lyso", (labels == 2).astype(np.int16))):
        write_volume(tmp_path / f"{name}.nii.gz", Volume.from_array(voxels, voxel_size_um=(50.0, 50.0, 50.0)))
    monkeypatch.chdir(tmp_path)
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert (done.exit_code, "voxels of 0.015 x 0.016 x 0.016 um" in done.output) == (0, True), done.output
    assert len(lines) == 2
    image = next((tmp_path / "from-em" / "items").glob("*-00002/*.ome.tif"))
    assert read_volume(image).voxel_size_um == pytest.approx((0.015, 0.016, 0.016))


@pytest.mark.parametrize(
    "words",
    [
        ("--labels", "cell.tif", "--value", "cell=1.36"),
        ("--labels", "cell=a.tif", "--labels", "cell=b.tif", "--value", "cell=1.36"),
        ("--labels", "cell=cell.tif", "--value", "cell=dense"),
        ("--labels", "cell=cell.tif", "--value", "cell=1:1.36,2"),
    ],
)
def test_wrong_words_are_explained(words: tuple[str, ...], tmp_path: Path) -> None:
    assert command("odt", "-o", tmp_path / "set", *words, "--outside", 1.337)[1] == "E-USAGE"


def test_a_real_image_beside_the_same_shapes(tmp_path: Path) -> None:
    """Grey values that fall with absorption, of the very shapes that are simulated, are turned over."""
    z, y, x = np.mgrid[:24, :48, :48]
    mask = ((z - 12) ** 2 + (y - 20) ** 2 + (x - 26) ** 2 < 81).astype(np.uint8)
    noise = np.random.default_rng(3).standard_normal(mask.shape)
    real = tmp_path / "real.ome.tif"
    grey = np.clip(np.rint(150 - 60 * mask + 6 * noise), 0, 255).astype(np.uint8)
    write_volume(real, Volume.from_array(grey, voxel_size_um=(0.06, 0.05, 0.05)))
    write_volume(tmp_path / "m.ome.tif", Volume.from_array(mask, voxel_size_um=(0.06, 0.05, 0.05), quantity="labels"))
    sample = read_sample(layers_of({"mitochondrion": tmp_path / "m.ome.tif"}, {"mitochondrion": 0.4}), ReadOptions())
    options = {"sample": sample, "outside_value": 0.2, "modality": "sxt", "variant": "flat-holder", "seed": 1}
    picture = tmp_path / "beside.png"
    figures = real_beside_labels(read_volume(real), picture, **options, is_inverted=True)  # type: ignore[arg-type]
    assert picture.stat().st_size > 10_000
    share = mask.mean()  # of two values alone, the larger is sqrt((1 - p) / p) deviations above the mean
    assert figures["real"]["p99.9"] == pytest.approx(np.sqrt((1 - share) / share), rel=0.15)
    assert figures["simulated"]["p99.9"] > 1 > -1.5 > -figures["simulated"]["p99.9"]
    upright = real_beside_labels(read_volume(real), picture, **options)  # type: ignore[arg-type]
    assert upright["real"]["p0.1"] == pytest.approx(-figures["real"]["p99.9"], rel=1e-5)
    wrong = [replace(sample[0], labels=mask[:-1])]
    with pytest.raises(TomocyteError) as problem:
        real_beside_labels(read_volume(real), picture, **{**options, "sample": wrong})  # type: ignore[arg-type]
    assert problem.value.code == "E-SHAPE"


@pytest.mark.parametrize(
    "words",
    [
        ("--labels", "cell=cell.tif", "--value", "cell=0.3"),
        ("--labels", "cell=cell.tif", "--value", "cell=0.3", "--outside", "0.1", "-p", "HL60"),
        ("--value", "cell=0.3", "--outside", "0.1", "--cells", "1", "2"),
        ("--inverted", "-m", "odt", "--medium-ri", "1.337"),
    ],
)
def test_beside_takes_shapes_or_a_cell_line(words: tuple[str, ...], tmp_path: Path) -> None:
    real = tmp_path / "real.ome.tif"
    write_volume(real, Volume.from_array(np.ones((4, 8, 8), np.float32), voxel_size_um=(0.1, 0.1, 0.1)))
    done = CliRunner().invoke(app, ["beside", str(real), "-o", str(tmp_path / "b.png"), *words])
    assert getattr(done.exception, "code", None) == "E-USAGE"
