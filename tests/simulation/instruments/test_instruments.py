"""Door 5: an instrument is one file, found wherever it must appear."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import tomocyte
from tomocyte.errors import SettingsError
from tomocyte.formats import read_volume
from tomocyte.simulation import instruments as door
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import instrument, instrument_names, instruments
from tomocyte.simulation.instruments._instrument import log_uniform
from tomocyte.simulation.instruments.odt import OdtRanges

PROJECTION = """
    '''Absorption along straight rays, and how many cells a ray meets: two channels of one plane.'''

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
"""


@pytest.fixture
def dummy(tmp_path, monkeypatch):
    """The door with one more file behind it."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "dummy.py").write_text(textwrap.dedent(PROJECTION), encoding="utf-8")
    monkeypatch.setattr(door, "__path__", [*door.__path__, str(folder)])
    instrument_names.cache_clear()
    instruments.cache_clear()
    yield
    monkeypatch.undo()
    instrument_names.cache_clear()
    instruments.cache_clear()


def test_the_instruments_that_ship():
    assert instrument_names() == ("odt", "qpi")
    assert all(entry.name == name and entry.default in entry.variants for name, entry in instruments().items())
    assert all(set(entry.ranges) == {"none", "mild", "strong"} for entry in instruments().values())


@pytest.mark.parametrize("name", ["odt", "qpi"])
def test_an_unknown_variant_or_shift_lists_the_known(name):
    with pytest.raises(SettingsError, match="HT-2H"):
        instrument(name).variant("HT-9000")
    with pytest.raises(SettingsError, match="none, mild, strong"):
        instrument(name).ranges_of("wild")
    with pytest.raises(SettingsError, match="odt, qpi"):
        instrument("microwave")


def test_ranges_stand_under_the_name_of_their_instrument():
    """The form of data sets on disk: every instrument's key, null where it is another's or not given."""
    given = DatasetSettings.model_validate({"odt_ranges": {"noise_ri_std": [1e-5, 1e-4]}})
    assert isinstance(given.ranges, OdtRanges)
    content = given.model_dump(mode="json")
    assert content["odt_ranges"]["noise_ri_std"] == [1e-5, 1e-4]
    assert content["qpi_ranges"] is None
    assert "ranges" not in content
    assert list(content)[-6:] == [
        "odt_ranges", "qpi_ranges", "is_multiple_scattering", "is_coarse_grid_allowed", "frame_drop_share",
        "stage_drift_um",
    ]  # fmt: skip
    assert DatasetSettings.model_validate(content) == given
    assert DatasetSettings.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"qpi_ranges": {}}, "qpi_ranges belongs to qpi"),
        ({"odt_ranges": {}, "ranges": {}}, "both ranges and odt_ranges"),
        ({"odt_ranges": {"noise": 1}}, "ranges.noise"),
        ({"modality": "microwave"}, "odt or qpi"),
    ],
)
def test_ranges_that_belong_elsewhere_are_refused(content, message):
    with pytest.raises(ValidationError, match=message):
        DatasetSettings.model_validate(content)


def test_one_file_is_found_in_help_settings_and_plan(dummy):
    from tomocyte.cli import app
    from tomocyte.runs.simulate import dataset_plan

    assert instrument_names() == ("dummy", "odt", "qpi")
    assert "dummy_ranges" in DatasetSettings(modality="dummy").model_dump()
    (plan,) = dataset_plan({"modality": "dummy", "preset": "T cell"}, 1, seed=1)
    assert plan.name == "dummy-Tcell-seed1-00000"
    assert plan.dataset["modality"] == "dummy"

    for command in ("simulate", "beside"):
        shown = CliRunner().invoke(app, [command, "--help"]).output
        assert "dummy (projections), odt (tomograms) or qpi (images)." in " ".join(shown.split())


def test_what_a_perfect_image_shows_of_the_medium():
    """A tomogram its index; a dry-mass density counts from the medium."""
    assert [instrument(name).value_of_medium(1.337) for name in ("odt", "qpi")] == [1.337, 0.0]


def test_log_uniform_has_its_median_at_the_geometric_mean():
    rng = np.random.default_rng(2)
    drawn = [log_uniform((1e-4, 1e-2), rng) for _ in range(2000)]
    assert min(drawn) >= 1e-4
    assert max(drawn) <= 1e-2
    assert np.median(drawn) == pytest.approx(1e-3, rel=0.15)


@pytest.fixture
def package_with_dummy(tmp_path):
    """A folder for PYTHONPATH: the package as it is, and one more file; worker processes see it too."""
    source, copy = Path(tomocyte.__file__).parent, tmp_path / "path" / "tomocyte"
    for inner in (".", "simulation", "simulation/instruments"):
        (copy / inner).mkdir(parents=True, exist_ok=True)
        for entry in (source / inner).iterdir():
            if entry.name not in ("simulation", "instruments", "__pycache__"):
                (copy / inner / entry.name).symlink_to(entry)
    (copy / "simulation" / "instruments" / "dummy.py").write_text(textwrap.dedent(PROJECTION), encoding="utf-8")
    return copy.parent


def test_one_file_makes_a_data_set(package_with_dummy, tmp_path):
    """On disk with labels, tracks and truth, by the command; one source file was added."""
    grid = ["--shape", "24", "64", "72", "--voxel-size-um", "0.6", "0.31", "0.3"]
    options = ["-p", "Tcell", "--cells", "1", "1", "--seed", "3", "--frames", "2", "-o", str(tmp_path / "set")]
    command = [sys.executable, "-m", "tomocyte", "simulate", "dummy", *options, *grid]
    done = subprocess.run(
        [*command, "--set", "dummy_ranges.std=[0, 0]"],
        env={**os.environ, "PYTHONPATH": str(package_with_dummy)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout

    (item,) = (entry for entry in (tmp_path / "set" / "items").iterdir() if entry.is_dir())
    volume = read_volume(item / f"{item.name}.ome.tif")
    assert volume.shape == (2, 2, 1, 64, 72)
    assert volume.channel_names == ("depth", "share")
    card = json.loads((item / "card.json").read_text(encoding="utf-8"))
    assert card["instrument"] == {"name": "plain", "per_um": 0.5}
    assert card["degradation"] == {"std": 0.0}
    assert card["settings"]["dummy_ranges"] == {"std": [0.0, 0.0]}
    labels = read_volume(item / "labels" / "cell.ome.tif")
    assert labels.shape == (2, 1, 1, 64, 72)

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
