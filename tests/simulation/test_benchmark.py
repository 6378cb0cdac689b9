"""The benchmark definition: complete, without leaks, refusing mistakes; real beside simulated: numbers by formula."""

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation.benchmark import SPLITS, load_benchmark
from tomocyte.simulation.beside import draw_beside, profile_volume, radial_power
from tomocyte.simulation.cells.presets import cell_line
from tomocyte.simulation.cells.scene import STRUCTURES, SURROUNDINGS
from tomocyte.simulation.imaging import check_optics

ONE_SET = """
name: mine
version: 1
experiments:
  only:
    description: one
    structures: [cell]
    sizes:
      small:
        defaults: {preset: HeLa}
        train: [{n_items: 1, seed: %d}]
        validation: [{n_items: 1, seed: 2}]
        test: [{n_items: 1, seed: 3, settings: {preset: A549}}]
        shifted-test: [{n_items: 1, seed: 4%s}]
"""


def test_shipped_benchmark_can_be_made():
    """Every set has a known cell line and optics that exist at the ends of its media; no seed occurs twice."""
    benchmark = load_benchmark()
    sets = list(benchmark.sets())
    assert len({entry.seed for entry in sets}) == len(sets)
    for entry in sets:
        cell_line(entry.settings.preset)
        for medium_ri in (1.334, 1.348):
            check_optics(entry.settings, medium_ri)
    for experiment in benchmark.experiments.values():
        assert set(experiment.structures) <= {*STRUCTURES, *SURROUNDINGS}
        assert set(experiment.sizes) == {"small", "full"}


@pytest.mark.parametrize("experiment", ["choi", "osnet"])
@pytest.mark.parametrize("size", ["small", "full"])
def test_only_the_shifted_test_leaves_the_training_domain(experiment, size):
    parts = load_benchmark().size(experiment, size)
    for name in SPLITS[:3]:
        assert {entry.domain for entry in parts.split(name)} == {"in-domain"}
    shifted = parts.split("shifted-test")
    assert {entry.domain for entry in shifted} == {
        "other-cell-line",
        "other-laboratory",
        "other-voxel-size",
        "other-noise",
    }
    (training,) = parts.split("train")
    for entry in shifted:
        assert (entry.settings.preset != training.settings.preset) == (entry.domain == "other-cell-line")
        is_other_voxel = entry.settings.voxel_size_um != training.settings.voxel_size_um
        assert is_other_voxel == (entry.domain == "other-voxel-size")


def test_numbers_of_the_papers():
    """105 + 24 volumes of NIH3T3 and nine of each other line (Choi); 50 cells in training folds (OS-Net)."""
    benchmark = load_benchmark()
    choi = benchmark.size("choi", "full")
    assert [entry.n_items for entry in choi.train + choi.test] == [105, 24]
    assert {entry.n_items for entry in choi.shifted_test} == {9}
    osnet = benchmark.size("osnet", "full")
    assert sum(entry.n_items for entry in osnet.train + osnet.validation) == 50
    assert osnet.train[0].settings.shape[1:] == (448, 448)


def test_numbers_are_checked_on_fields_like_those_of_their_calibration():
    """Per line the fields of `choi-numbers` are made as the most frequent ones of `choi-truth`, with other seeds."""
    learned, checked = (load_benchmark().size(name) for name in ("choi-truth", "choi-numbers"))
    frequent = [entry for entry in learned.validation if entry.n_items >= 15]
    assert {entry.settings.model_dump_json() for entry in frequent} == {
        entry.settings.model_dump_json() for entry in checked.test
    }
    assert all(entry.settings.shift == entry.settings.scene.shift == "mild" for entry in checked.shifted_test)
    others = {entry.settings.instrument for entry in learned.validation if entry.domain == "other-laboratory"}
    assert others.isdisjoint(entry.settings.instrument for entry in checked.test + checked.shifted_test)


def test_own_benchmark_and_its_defaults(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(ONE_SET % (1, ""), "utf-8")
    own = load_benchmark(path).size("only")
    assert [own.split(name)[0].settings.preset for name in SPLITS] == ["HeLa", "HeLa", "A549", "HeLa"]


@pytest.mark.parametrize(
    "text",
    [
        ONE_SET % (2, ""),
        ONE_SET % (1, ", color: red"),
        ONE_SET % (1, ", settings: {voxel: 1}"),
        "[]",
        "a: [",
        "name: x",
    ],
)
def test_mistakes_are_refused(tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match="E-BENCHMARK"):
        load_benchmark(path)


def test_unknown_names_list_the_known():
    with pytest.raises(SettingsError, match="choi/small"):
        load_benchmark().size("choi", "huge")
    with pytest.raises(SettingsError, match="shifted-test"):
        load_benchmark().size("choi").split("exam")


def test_power_spectrum_finds_a_wave_and_a_slope():
    """A wave of 1.25 /µm peaks there at any voxel size; white noise is flat."""
    rng = np.random.default_rng(1)
    for voxel in ((0.2, 0.15, 0.1), (0.12, 0.2, 0.18)):
        x = np.arange(80) * voxel[2]
        wave = np.broadcast_to(np.cos(2 * np.pi * 1.25 * x), (40, 60, 80))
        frequency, power = radial_power(wave, voxel, n_bins=40)
        assert frequency[np.argmax(power)] == pytest.approx(1.25, abs=2 * frequency[0] + 0.05)
    _, flat = radial_power(rng.standard_normal((40, 44, 48)), (0.2, 0.15, 0.1), n_bins=10)
    assert flat[3:].max() / flat[3:].min() < 1.3  # the first shells hold few frequencies


def test_profile_and_page(tmp_path):
    voxels = np.full((10, 12, 14), 1.34)
    voxels[4:6, 5:7, 6:9] = 1.36
    profile = profile_volume(voxels, 1.34, voxel_size_um=(0.3, 0.2, 0.1), limits=(-0.01, 0.03), n_bins=4)
    np.testing.assert_allclose(profile.share, [0, 1 - 12 / 1680, 0, 12 / 1680], atol=1e-12)
    assert [plane.shape for plane in profile.slices] == [(12, 14), (10, 14), (10, 12)]
    np.testing.assert_allclose(profile.extents_um, [(2.4, 1.4), (3.0, 1.4), (3.0, 2.4)])
    path = tmp_path / "beside.png"
    draw_beside({"one": profile, "other": profile}, path, limits=(0, 0.02))
    assert path.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(SettingsError, match="E-AXES"):
        profile_volume(voxels[0], 1.34, voxel_size_um=(0.3, 0.2, 0.1), limits=(0, 1))
