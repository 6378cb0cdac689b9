"""The doors: one file is all that a format, a modality, a network, a measurement, an instrument or a method costs.

Each test puts a file behind a door and finds it in every place where it must appear: in Python, on the command line, in
settings and recipes, in what a run writes. :data:`COSTS` says how many source files that takes. What a door promises of
its entries beyond that stands in the tests of its room.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.doors import Doors
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import Volume

COSTS = {
    "format": 1,
    "modality": 1,
    "network": 1,
    "object measurement": 1,
    "pair measurement": 1,
    "track measurement": 1,
    "instrument": 1,
    "propagation method": 1,
    "metric": 1,
    "command": 2,
    "stage": 2,
}
"""Source files that are added or changed for one of these; a test beside them is not counted."""
VOXEL_UM = (0.5, 0.4, 0.3)
ODT = ("-m", "odt", "--model", "classical")


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    with workers_in_this_process():
        yield


def two_boxes(background: float = 1.337, inside: float = 1.357) -> np.ndarray:
    """Two cells of 8 x 10 x 12 voxels, 57.6 µm³ each, 8 voxels = 2.4 µm apart along x."""
    image = np.full((14, 20, 44), background, np.float32)
    image[3:11, 5:15, 6:18] = image[3:11, 5:15, 26:38] = inside
    return image


def write_tomogram(path: Path, image: np.ndarray | None = None, **properties: Any) -> Path:
    known = {"voxel_size_um": VOXEL_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": 1.337, **properties}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume.from_array(two_boxes() if image is None else image, **known))
    return path


def said(*arguments: object) -> str:
    """What a command prints, as one line; it must succeed."""
    done = tomocyte(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return " ".join(done.output.split())


def code_of(*arguments: object) -> str:
    return str(getattr(tomocyte(*arguments).exception, "code", ""))


FORMAT = '''
"""A numpy file with a voxel size in its name."""

import numpy as np

from tomocyte.formats import Format
from tomocyte.volume import Volume


def verify(path):
    return path.is_file() and path.read_bytes()[1:6] == b"NUMPY"


def read(path, options):
    size = (0.5, 0.4, 0.3)
    volume = Volume.from_array(np.load(path), voxel_size_um=size, origin={"voxel_size_um": "file"})
    return volume.with_properties(quantity="refractive_index", unit="1", medium_ri=1.337)


def write(path, volume, on_frame):
    with path.open("wb") as stream:
        np.save(stream, volume.planes(0, 0))


FORMAT = Format("dummy", (".dummy",), "Arrays of one program.", verify, read, write)
'''


def test_format(doors: Doors, tmp_path: Path) -> None:
    """Listed, read, written, found in folders, segmented; gone again without its file."""
    from tomocyte.datasets.files import image_endings, stem_of
    from tomocyte.formats import detect, formats

    before = set(formats())
    doors.add("tomocyte.formats", "dummy_format.py", FORMAT)
    assert len(doors.files) == COSTS["format"]
    assert set(formats()) == before | {"dummy"}
    assert "dummy .dummy (read, written): Arrays of one program." in said("formats")
    source = write_tomogram(tmp_path / "in.ome.tif")
    stored = tmp_path / "inputs" / "x.dummy"
    stored.parent.mkdir()
    assert ".dummy (dummy)" in said("convert", "--help")
    said("convert", source, stored)
    np.testing.assert_array_equal(np.load(stored), two_boxes())
    said("convert", stored, tmp_path / "back.ome.tif")
    np.testing.assert_array_equal(read_volume(tmp_path / "back.ome.tif").planes(0, 0), two_boxes())
    assert detect(stored).name == "dummy"
    assert "format dummy" in said("info", stored)
    assert ".dummy" in image_endings()
    assert stem_of(stored) == "x"
    assert "2 cell" in said("run", stored.parent, "-o", tmp_path / "out", *ODT)
    assert pd.read_csv(tmp_path / "out" / "objects.csv")["item"].unique().tolist() == ["x"]


MODALITY = '''
"""Holds the density of something."""

from dataclasses import replace

from tomocyte.modalities.sxt import MODALITY as SXT

MODALITY = replace(
    SXT, name="dummy", description="density of something", quantity="dummy_density", channels=("dummy_density",),
    unit="kg", measurements=("volume_um3", "mean_value"),
)
'''


def test_modality(doors: Doors, tmp_path: Path) -> None:
    """In helps, settings and files that say what they hold; its measurements in the table; its name in the report."""
    from tomocyte.modalities import modalities, modalities_of

    before = set(modalities())
    doors.add("tomocyte.modalities", "dummy_modality.py", MODALITY)
    assert len(doors.files) == COSTS["modality"]
    assert set(modalities()) == before | {"dummy"}
    assert modalities_of("dummy_density") == ["dummy"]
    for command in ("run", "settings"):
        assert "dummy, fluorescence, nile_red, odt, qpi or sxt" in said(command, "--help")
    settings = tomocyte("settings", "-m", "dummy").output
    assert yaml.safe_load(settings)["modality"] == "dummy"
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    known = {"quantity": "dummy_density", "unit": "kg", "medium_ri": None}
    source = write_tomogram(tmp_path / "x.ome.tif", two_boxes(0, 5), **known)
    out = tmp_path / "out"
    # The file says what it holds: the modality follows.
    assert "2 cell" in said("run", source, "-o", out)
    objects = pd.read_csv(out / "objects.csv")
    assert objects["mean_value"].tolist() == [5.0, 5.0]
    assert "mean_ri" not in objects
    described = pd.read_csv(out / "objects.dictionary.csv").set_index("column")
    assert {"volume_um3", "mean_value"} <= set(described.index)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "dummy density in kg" in page
    assert "dummy" in json.loads((out / "run.json").read_text())["settings"]["modality"]
    assert "2 cell" in said("run", source, "-o", tmp_path / "again", "--settings", tmp_path / "settings.yaml")


NETWORK = '''
"""One convolution."""

from pydantic import Field
from torch import nn

from tomocyte.networks import Network, NetworkEntry, NetworkSettings


class PointSettings(NetworkSettings):
    width: int = Field(default=1, ge=1, le=9)
    """Of nothing."""


class Point(Network):
    def __init__(self, settings):
        super().__init__()
        self.n_inputs, self.n_outputs, self.divisor = settings.n_inputs, settings.n_outputs, (1, 1)
        self.head = nn.Conv2d(self.n_inputs, self.n_outputs, 1)

    def forward(self, images):
        return self.head(images)


ENTRIES = (NetworkEntry("dummy", "One convolution.", 2, "Nobody 2026", "", PointSettings, Point),)
'''


def test_network(doors: Doors) -> None:
    """A file, or a folder: built by its name, with options that are checked, and listed."""
    from tomocyte.networks import build_network, count_parameters, find_network, network_entries

    before = {entry.name for entry in network_entries()}
    doors.add("tomocyte.networks", "dummy_network.py", NETWORK)
    assert len(doors.files) == COSTS["network"]
    doors.add("tomocyte.networks", "dummy_folder/__init__.py", NETWORK.replace('"dummy"', '"folder"'))
    assert {entry.name for entry in network_entries()} == before | {"dummy", "folder"}
    for name in ("dummy", "folder"):
        assert count_parameters(build_network(name, {"n_inputs": 3, "n_outputs": 2})) == 3 * 2 + 2
        assert find_network(name).settings.model_json_schema()["properties"]["width"]["maximum"] == 9
    assert "dummy 2-D 2 parameters One convolution. Nobody 2026" in said("networks")


def test_network_in_recipes_and_models(doors: Doors, tmp_path: Path) -> None:
    """A recipe trains it by its name and checks its options; the model that comes out finds cells in a run."""
    doors.add("tomocyte.networks", "dummy_network.py", NETWORK)
    data = tmp_path / "data"
    for name in ("a", "b"):
        write_tomogram(data / f"{name}.ome.tif", medium_ri=None)
        labels = (two_boxes() > 1.34).astype(np.uint32)
        write_tomogram(data / f"{name}_cell.ome.tif", labels, quantity="labels", unit="", medium_ri=None)
    recipe = {
        "kind": "train",
        "name": "points",
        "data": {
            "modality": "odt",
            "structures": ["cell"],
            "normalization": {"kind": "fixed", "offset": 1.347, "scale": 0.01},
            "min_section_area_um2": 1.0,
        },
        "network": {"name": "dummy"},
        "loop": {
            "n_epochs": 20, "batch_size": 8, "precision": "fp32", "optimiser": {"learning_rate": 0.3},
            "validate_every": 20,
        },
    }  # fmt: skip
    (tmp_path / "points.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    train = ("train", tmp_path / "points.yaml", "--data", data, "-o", tmp_path / "trained")
    assert code_of(*train, "--dry-run", "--set", "network.options.width=10") == "E-SETTINGS"
    assert code_of(*train, "--dry-run", "--set", "network.name=dumy") == "E-NETWORK"
    said(*train)
    model = tmp_path / "trained" / "model"
    assert "dummy" in said("models", "show", model)
    exact = ("--set", "inference.engine=torch", "--set", "inference.precision=fp32")
    done = said("run", data / "a.ome.tif", "-o", tmp_path / "out", "-m", "odt", "--model", model, *exact)
    assert "2 cell" in done


MEASUREMENTS = {
    "object": '''
from tomocyte.measurements.registry import Region, measurement


@measurement(quantity="any", unit="native", when_empty="NaN without an image")
def dummy_doubled_mean(region: Region) -> float:
    """Twice the mean of the image."""
    return 2 * region.summary.mean
''',
    "pair": '''
from tomocyte.measurements.registry import Pair, measurement


@measurement()
def dummy_label_sum(pair: Pair) -> float:
    """Sum of the two labels."""
    return float(pair.first.label + pair.second.label)
''',
    "track": '''
from tomocyte.measurements.registry import Track, measurement


@measurement(unit="frames")
def dummy_first_frame(track: Track) -> float:
    """Frame in which the track begins."""
    return float(track.frames[0])
''',
}
COLUMNS = {"object": "dummy_doubled_mean", "pair": "dummy_label_sum", "track": "dummy_first_frame"}


@pytest.mark.parametrize("kind", ["object", "pair", "track"])
def test_measurement(doors: Doors, kind: str) -> None:
    """Listed with its kind, unit and meaning, and described for data dictionaries."""
    from tomocyte.measurements import find_measurements, measurements
    from tomocyte.pipeline.columns import object_columns, pair_columns

    name = COLUMNS[kind]
    doors.add("tomocyte.measurements", "dummy_measurement.py", MEASUREMENTS[kind])
    assert len(doors.files) == COSTS[f"{kind} measurement"]
    assert measurements()[name].kind == kind
    assert [one.name for one in find_measurements([name], kind)] == [name]  # type: ignore[arg-type]
    described = {"object": object_columns, "pair": pair_columns}
    assert all((name in {column.name for column in made()}) is (one == kind) for one, made in described.items())
    line = {
        "object": "object dummy_doubled_mean [native]: Twice the mean of the image.",
        "pair": "pair dummy_label_sum: Sum of the two labels.",
        "track": "track dummy_first_frame [frames]: Frame in which the track begins.",
    }[kind]
    assert line in said("measurements")
    for other in MEASUREMENTS:
        assert (line in said("measurements", "--kind", other)) is (other == kind)


def test_measurements_in_a_run(doors: Doors, tmp_path: Path) -> None:
    """Asked for by option or setting: a column of objects or of pairs, in table, dictionary, report and plan."""
    for kind, text in MEASUREMENTS.items():
        doors.add("tomocyte.measurements", f"dummy_{kind}_measurement.py", text)
    source = write_tomogram(tmp_path / "x.ome.tif")
    out = tmp_path / "out"
    options = ("--measure", "dummy_doubled_mean", "--measure", "dummy_label_sum", "--set", "pair_distance_um=3")
    run = ("run", source, *ODT, *options, "-o", out)
    # One column of objects more than without, and one of pairs.
    plans = [said(*one, "--dry-run") for one in (("run", source, *ODT, "-o", out), run)]
    counts = [int(plan.split(" measurements;")[0].split()[-1]) for plan in plans]
    assert counts[1] == counts[0] + 2
    said(*run)
    cells = pd.read_csv(out / "objects.csv").query("structure == 'cell'")
    np.testing.assert_allclose(cells["dummy_doubled_mean"], 2 * cells["mean_ri"])
    dictionary = pd.read_csv(out / "objects.dictionary.csv").set_index("column")
    assert dictionary.loc["dummy_doubled_mean", ["unit", "meaning"]].tolist() == [
        "native", "Twice the mean of the image.",
    ]  # fmt: skip
    pairs = pd.read_csv(out / "pairs.csv").query("structure == 'cell' and other_structure == 'cell'")
    assert pairs[["item", "label", "other_label", "dummy_label_sum"]].values.tolist() == [["x", 1, 2, 3.0]]
    dictionary = pd.read_csv(out / "pairs.dictionary.csv").set_index("column")
    assert dictionary.loc["dummy_label_sum", "meaning"] == "Sum of the two labels."
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "dummy_doubled_mean" in page
    assert "Twice the mean of the image." in page
    plan = json.loads((out / "run.json").read_text(encoding="utf-8"))["plans"]["x"]
    assert {"dummy_doubled_mean", "dummy_label_sum"} <= set(plan["measurements"])

    by_setting = ("--set", "measurements=[dummy_doubled_mean]")
    said("run", source, *ODT, *by_setting, "-o", tmp_path / "again")
    again = pd.read_csv(tmp_path / "again" / "objects.csv").query("structure == 'cell'")
    assert again["dummy_doubled_mean"].tolist() == cells["dummy_doubled_mean"].tolist()
    assert not (tmp_path / "again" / "pairs.csv").exists()


def test_a_measurement_of_tracks(doors: Doors, tmp_path: Path) -> None:
    """In the table of tracks, with its column; a run without tracks refuses it by its code."""
    from tomocyte.measurements import measure_tracks

    doors.add("tomocyte.measurements", "dummy_measurement.py", MEASUREMENTS["track"])
    tracks = pd.DataFrame({"track_id": 1, "frame": [4, 5], "y_um": 0.0, "x_um": 0.0})
    assert measure_tracks(tracks)["dummy_first_frame"].tolist() == [4.0]
    source = write_tomogram(tmp_path / "x.ome.tif")
    done = tomocyte("run", source, *ODT, "-o", tmp_path / "out", "--measure", "dummy_first_frame")
    assert done.exit_code == 4
    assert "E-MEASUREMENT-NAME" in done.output


METHOD = '''
"""Fills every slice with one label, and follows an image."""

import numpy as np

from tomocyte.propagation import DenseLabels, PropagationMethod
from tomocyte.settings import Settings


class DummySettings(Settings):
    label: int = 7


def fill(sparse, settings, callback):
    labels = np.full_like(sparse.labels, settings.label)
    return DenseLabels(labels, np.zeros(labels.shape, np.float32))


METHOD = PropagationMethod("dummy", "One label everywhere.", DummySettings, fill, image="required")
'''


def test_propagation_method(doors: Doors, tmp_path: Path) -> None:
    """In the help and behind --method, with settings of its own, an image that it needs, and a record."""
    from tomocyte.propagation import methods

    before = set(methods())
    doors.add("tomocyte.propagation", "dummy.py", METHOD)
    assert len(doors.files) == COSTS["propagation method"]
    assert set(methods()) == before | {"dummy"}
    assert "dummy: One label everywhere." in said("propagate", "--help")
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[::2, 2:4, 3:5] = 1
    sparse = write_tomogram(tmp_path / "sparse.ome.tif", labels, quantity="labels", unit="", medium_ri=None)
    dense = tmp_path / "dense.ome.tif"
    command = ("propagate", sparse, "-o", dense, "--method", "dummy", "--set", "label=5")
    assert code_of(*command) == "E-PROPAGATION-IMAGE"
    assert not dense.exists()
    assert code_of(*command, "--image", sparse, "--set", "lable=5") == "E-SETTINGS"
    assert "dummy: label=5" in said(*command, "--image", sparse)
    assert np.unique(read_volume(dense).planes(0, 0)).tolist() == [5]
    record = json.loads((tmp_path / "dense.propagation.json").read_text(encoding="utf-8"))
    assert (record["method"], record["settings"]) == ("dummy", {"label": 5})
    assert record["image"]["name"] == sparse.name


METRIC = '''
"""How many voxels of the truth were missed."""

from tomocyte.evaluation.metric import Metric

METRICS = (
    Metric(
        "dummy_missed", "1", "Voxels of the truth that were missed.", "masks", lambda counts: counts.n_false_negative,
        is_shown=True,
    ),
)
'''


def test_metric(doors: Doors, tmp_path: Path) -> None:
    """On the screen, in the score table and in its dictionary, per image and pooled."""
    from tomocyte.evaluation import find_metric

    doors.add("tomocyte.evaluation.metrics", "dummy.py", METRIC)
    assert len(doors.files) == COSTS["metric"] <= 2
    assert find_metric("dummy_missed").needs == "masks"
    truth = (two_boxes() > 1.34).astype(np.uint8)
    prediction = truth.copy()
    prediction[:, :, 26:] = 0
    known: dict[str, Any] = {"quantity": "labels", "unit": "", "medium_ri": None}
    one, other = (
        write_tomogram(tmp_path / f"{name}.ome.tif", labels, **known)
        for name, labels in {"prediction": prediction, "truth": truth}.items()
    )
    shown = said("evaluate", one, other, "-o", tmp_path / "out", "--resamples", "100")
    assert "dummy_missed 960.0000" in shown
    scores = pd.read_csv(tmp_path / "out" / "scores.csv").set_index("level")
    assert scores.loc[["image", "pooled"], "dummy_missed"].tolist() == [960, 960]
    dictionary = pd.read_csv(tmp_path / "out" / "scores.dictionary.csv").set_index("column")
    assert dictionary.loc["dummy_missed", "meaning"] == "Voxels of the truth that were missed."


INSTRUMENT = '''
"""Absorption along straight rays, and how many cells a ray meets: two channels of one plane."""

import numpy as np

from tomocyte.settings import Settings
from tomocyte.simulation.cells.rendering import render_scene
from tomocyte.simulation.instruments import Instrument, Optics


class Absorption(Settings):
    name: str = "plain"
    per_um: float = 0.5


class Grain(Settings):
    std: float = 0.0


class GrainRanges(Settings):
    std: tuple[float, float] = (0.0, 0.0)


def check(variant, medium_ri, voxel_size_um):
    pass


def draw(variant, ranges, rng):
    return Optics(variant, Grain(std=float(rng.uniform(*ranges.std))))


def measure(view, optics, conditions, rng):
    truth = view.truth
    stained = view.scene.with_values(lambda part: (optics.instrument.per_um, 0.0), 0.0)
    density = render_scene(stained, truth.voxel_size_um, truth.ri.shape, origin_um=truth.origin_um).ri
    depth = density.sum(axis=0, keepdims=True) * truth.voxel_size_um[0]
    depth = depth + rng.normal(0, optics.degradation.std, depth.shape)
    share = (truth.labels["cell"] > 0).mean(axis=0, keepdims=True)
    return np.stack([depth, share]).astype(np.float32)


INSTRUMENT = Instrument(
    name="dummy",
    description="projections",
    quantity="optical_depth",
    unit="1",
    channels=("depth", "share"),
    variants={"plain": Absorption()},
    default="plain",
    ranges={"none": GrainRanges(), "mild": GrainRanges(std=(0.1, 0.2)), "strong": GrainRanges(std=(0.2, 0.4))},
    check=check,
    draw=draw,
    measure=measure,
    n_planes=1,
)
'''


def test_instrument(doors: Doors, tmp_path: Path) -> None:
    """In helps and settings of a data set; simulates one on disk, with images, labels, tracks, truth and a card."""
    from tomocyte.simulation.dataset_settings import DatasetSettings
    from tomocyte.simulation.instruments import instrument_names, instruments

    before = instrument_names()
    doors.add("tomocyte.simulation.instruments", "dummy.py", INSTRUMENT)
    assert len(doors.files) == COSTS["instrument"]
    assert set(instrument_names()) == {*before, "dummy"} == set(instruments())
    assert "dummy_ranges" in DatasetSettings(modality="dummy").model_dump()
    for command in ("simulate", "beside"):
        listed = "nile_red (two bands of Nile Red), odt (tomograms), qpi (images) or sxt (soft X-ray tomograms)."
        assert f"dummy (projections), {listed}" in said(command, "--help")
    grid = ("--shape", 24, 64, 72, "--voxel-size-um", 0.6, 0.31, 0.3)
    fields = ("-p", "Tcell", "--cells", 1, 1, "--seed", 3, "--frames", 2, *grid)
    simulate = ("simulate", "dummy", *fields, "-o", tmp_path / "set", "--set", "dummy_ranges.std=[0, 0]")
    assert code_of(*simulate, "--set", "dummy_ranges.noise=1", "--dry-run") == "E-SETTINGS"
    assert "dummy-Tcell-seed3-00000" in said(*simulate, "--dry-run")
    said(*simulate)
    (item,) = (entry for entry in (tmp_path / "set" / "items").iterdir() if entry.is_dir())
    volume = read_volume(item / f"{item.name}.ome.tif")
    assert (volume.shape, volume.channel_names) == ((2, 2, 1, 64, 72), ("depth", "share"))
    card = json.loads((item / "card.json").read_text(encoding="utf-8"))
    assert card["instrument"] == {"name": "plain", "per_um": 0.5}
    assert card["degradation"] == {"std": 0.0}
    assert card["settings"]["dummy_ranges"] == {"std": [0.0, 0.0]}
    labels = read_volume(item / "labels" / "cell.ome.tif")

    # Absorbed in all: half per µm of height, over the cell's volume from its shape.
    truth = pd.read_csv(tmp_path / "set" / "truth.csv")
    cells = truth[(truth["structure"] == "cell") & ~truth["is_cut"]].to_dict("records")
    assert [cell["frame"] for cell in cells] == [0, 1]
    for cell in cells:
        depth, share = (volume.planes(cell["frame"], channel).astype(np.float64) for channel in (0, 1))
        assert depth.sum() * 0.31 * 0.3 == pytest.approx(0.5 * cell["volume_um3"], rel=0.02)
        assert share.sum() * 24 * 0.6 * 0.31 * 0.3 == pytest.approx(cell["volume_um3"], rel=0.03)
        np.testing.assert_array_equal(labels.planes(cell["frame"], 0) > 0, share > 0)
    tracks = pd.read_csv(tmp_path / "set" / "tracks.csv")
    assert tracks[["frame", "label"]].to_numpy().tolist() == [[0, 1], [1, 1]]


COMMAND = '''
"""``tomocyte dummy``: says hello."""

from typing import Annotated

import typer


def dummy(name: Annotated[str, typer.Argument(help="Of whoever is greeted.")]) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")
'''


def test_command(doors: Doors) -> None:
    """A file and a place in the list of commands."""
    from typer.testing import CliRunner

    import tomocyte.cli

    doors.add("tomocyte.cli", "dummy.py", COMMAND)
    last = 'app.command(cls=ListingCommand, short_help="List what can be measured.")(measurements.measurements)\n'
    added = "from tomocyte.cli import dummy\napp.command()(dummy.dummy)\n"
    app = doors.change(tomocyte.cli, last, last + added)["app"]
    assert 1 <= len(doors.files) <= COSTS["command"]
    assert "Greet somebody." in CliRunner().invoke(app, ["--help"]).output
    assert "Of whoever is greeted." in CliRunner().invoke(app, ["dummy", "--help"]).output
    assert CliRunner().invoke(app, ["dummy", "world"]).output == "hello world\n"


STAGE = '''
"""Keeps the largest object only."""

from dataclasses import replace

import numpy as np

from tomocyte.notices import Notice
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState


class DummyStage(Stage):
    name = "dummy"

    def apply(self, state: FrameState) -> FrameState:
        self.report("keep the first", state.frame)
        cells = state.labels["cell"]
        return replace(state, labels={**state.labels, "cell": np.where(cells == 1, cells, 0)})

    def after_all(self, state: VolumeState) -> VolumeState:
        self.notify(Notice("W-DUMMY", "only the first cell was kept."))
        return state
'''


def test_stage(doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and its line in the list of stages: it acts, and plan, status and report say so."""
    from tomocyte.pipeline import stages

    doors.add("tomocyte.pipeline.stages", "dummy.py", STAGE)
    following = "        MeasureStage,\n        MissingConeStage,\n"
    added = "        __import__(f'{__name__}.dummy', fromlist=['DummyStage']).DummyStage,\n"
    registered = doors.change(stages, following, added + following)
    assert len(doors.files) == COSTS["stage"]
    monkeypatch.setattr("tomocyte.pipeline.analysis.STAGES", registered["STAGES"])
    monkeypatch.setattr(stages, "STAGES", registered["STAGES"])
    out = tmp_path / "out"
    said("run", write_tomogram(tmp_path / "x.ome.tif"), "-o", out, *ODT)
    assert pd.read_csv(out / "objects.csv").query("structure == 'cell'")["label"].tolist() == [1]
    assert "W-DUMMY: only the first cell was kept." in pd.read_csv(out / "status.csv")["warnings"].item()
    assert "W-DUMMY: only the first cell was kept." in (out / "report.html").read_text(encoding="utf-8")
    done = json.loads((out / "run.json").read_text(encoding="utf-8"))["plans"]["x"]["stages"]
    assert done == ["classical", "dummy", "measure", "missing_cone", "organelles", "plausibility", "draw"]
