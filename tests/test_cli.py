"""The command line as its user sees it: what it prints, what it leaves, how it exits."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.conftest import BALL_RADIUS_UM, BALL_SIZE_UM

from tomocyte.formats import read_volume

BallFile = Callable[..., Path]
VOLUME_UM3 = 4 / 3 * math.pi * BALL_RADIUS_UM**3
# The ball's edge is a linear ramp of 0.4 µm. A mask cut at half height leaves out the outer half of the ramp, which
# holds Δn · A · w/8; the inner half, which is counted, misses as much: the sum in the mask is Δn (V - A w/8) / α.
TWO_SIZES = ("--voxel-size-um", "1", "1", "1", "--pixel-size-um", "1", "1")
EDGE_UM = 0.4
DRY_MASS_PG = 0.02 / 0.19 * VOLUME_UM3 * (1 - 3 * EDGE_UM / (8 * BALL_RADIUS_UM))


def tomocyte(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tomocyte", *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_main_job_on_one_ball(ball_file: BallFile, tmp_path: Path) -> None:
    """Volume 4/3 π r³, dry mass Δn V / α, labels with the voxel size, every file there, resume does nothing."""
    out = tmp_path / "out"
    source = ball_file()
    done = tomocyte("run", source, "-o", out, "--modality", "odt")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out / "objects.csv")
    cell = table[table["structure"] == "cell"]
    assert len(cell) == 1
    assert cell["item"].item() == "ball"
    assert cell["volume_um3"].item() == pytest.approx(VOLUME_UM3, rel=0.02)
    assert cell["dry_mass_pg"].item() == pytest.approx(DRY_MASS_PG, rel=0.02)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "objects.parquet"), table, check_dtype=False, check_exact=True)
    labels = read_volume(out / "items" / "ball" / "cell.ome.tif")
    assert labels.quantity == "labels"
    assert labels.voxel_size_um == pytest.approx(BALL_SIZE_UM)
    assert np.count_nonzero(labels.planes(0, 0) == 1) * math.prod(BALL_SIZE_UM) == pytest.approx(
        cell["volume_um3"].item()
    )
    names = {"objects.csv", "objects.parquet", "objects.dictionary.csv", "status.csv", "run.json", "report.html"}
    assert names <= {path.name for path in out.iterdir()}
    assert list(pd.read_csv(out / "status.csv")["state"]) == ["ok"]
    dictionary = pd.read_csv(out / "objects.dictionary.csv", keep_default_na=False)
    assert set(table.columns) == set(dictionary["column"])
    settings = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert settings["settings"]["modality"] == "odt"
    assert "<img" in (out / "report.html").read_text(encoding="utf-8")

    before = {path: path.read_bytes() for path in sorted((out / "items").rglob("*")) if path.is_file()}
    again = tomocyte("run", source, "-o", out, "--modality", "odt")
    assert again.returncode == 0
    assert "1 in an earlier run" in again.stdout
    assert before == {path: path.read_bytes() for path in sorted((out / "items").rglob("*")) if path.is_file()}
    checked = tomocyte("verify", out)
    assert checked.returncode == 0, checked.stderr
    (out / "objects.csv").write_bytes((out / "objects.csv").read_bytes().replace(b"ball", b"bell"))
    assert tomocyte("verify", out).returncode == 1


def test_one_bad_file_among_good_ones(ball_file: BallFile, tmp_path: Path) -> None:
    good = [ball_file("a.ome.tif"), ball_file("c.ome.tif", centres_um=((0, -3.5, -3.8), (0, 2.0, 3.4)))]
    bad = good[0].with_name("b.ome.tif")
    bad.write_bytes(good[0].read_bytes()[: good[0].stat().st_size // 2])
    out = tmp_path / "out"
    done = tomocyte("run", good[0].parent, "-o", out, "-m", "odt", "--model", "classical", "--workers", 2)
    assert done.returncode == 3, done.stderr
    status = pd.read_csv(out / "status.csv", keep_default_na=False).set_index("item")
    assert dict(status["state"]) == {"a": "ok", "b": "failed", "c": "ok"}
    assert status.loc["b", "code"].startswith("E-TIFF")
    cells = pd.read_csv(out / "objects.csv").query("structure == 'cell'")
    assert dict(cells.groupby("item").size()) == {"a": 1, "c": 2}
    only_bad = tomocyte("run", bad, "-o", tmp_path / "out2", "-m", "odt", "--model", "classical")
    assert only_bad.returncode == 4
    assert (tmp_path / "out2" / "report.html").exists()


def test_a_change_of_settings_redoes_the_item(ball_file: BallFile, tmp_path: Path) -> None:
    source, out = ball_file(), tmp_path / "out"
    assert tomocyte("run", source, "-o", out, "-m", "odt", "--model", "classical").returncode == 0
    changed = tomocyte(
        "run", source, "-o", out, "-m", "odt", "--model", "classical", "--set", "segmentation.foreground.method=otsu"
    )
    assert "0 in an earlier run" in changed.stdout
    assert json.loads((out / "run.json").read_text())["engine"]["foreground"]["method"] == "otsu"
    kept = json.loads((out / "run.json").read_text())["engine"]["nucleus"]["method"]
    assert kept == "dark-core"


def test_no_cell_is_a_result(tmp_path: Path) -> None:
    file = tmp_path / "empty.ome.tif"
    rng = np.random.default_rng(3)
    voxels = rng.normal(1.337, 0.0003, (9, 20, 31)).astype(np.float32)
    tifffile.imwrite(
        file, voxels, ome=True, photometric="minisblack",
        metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.4, "PhysicalSizeX": 0.3},
    )  # fmt: skip
    done = tomocyte("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out" / "objects.csv")) == 0
    assert "W-NO-OBJECT" in pd.read_csv(tmp_path / "out" / "status.csv")["warnings"].item()


def test_dry_run_reads_headers_and_writes_nothing(ball_file: BallFile, tmp_path: Path) -> None:
    done = tomocyte("run", ball_file(), "-o", tmp_path / "out", "-m", "odt", "--model", "classical", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "0.5 x 0.4 x 0.3 um" in done.stdout
    assert "from the file" in done.stdout
    assert "forecast" in done.stdout
    assert not (tmp_path / "out").exists()


def test_missing_voxel_size_names_the_flag_and_the_flag_cures(tmp_path: Path) -> None:
    file = tmp_path / "bare.tif"
    voxels = np.full((9, 20, 31), 1.337, np.float32)
    voxels[2:7, 5:15, 8:24] = 1.36
    tifffile.imwrite(file, voxels, photometric="minisblack", metadata=None)
    arguments = ("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    failed = tomocyte(*arguments)
    assert failed.returncode == 4
    assert "E-AXES" in failed.stderr
    failed = tomocyte(*arguments, "--axes", "ZYX")
    assert "E-VOXEL-SIZE" in failed.stderr
    assert "--voxel-size-um" in failed.stderr
    cured = tomocyte(*arguments, "--axes", "ZYX", "--voxel-size-um", 1.1, 0.9, 0.7)
    assert cured.returncode == 0, cured.stderr
    labels = read_volume(tmp_path / "out" / "items" / "bare" / "cell.ome.tif")
    assert labels.voxel_size_um == pytest.approx((1.1, 0.9, 0.7))


@pytest.mark.parametrize("factor", [1e4, 1e2])
def test_scaled_ri_is_refused_unless_forced(ball_file: BallFile, tmp_path: Path, factor: float) -> None:
    file = tmp_path / "scaled.ome.tif"
    voxels = read_volume(ball_file()).planes(0, 0) * factor
    tifffile.imwrite(
        file, voxels.astype(np.uint16), ome=True, photometric="minisblack",
        metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.4, "PhysicalSizeX": 0.3},
    )  # fmt: skip
    refused = tomocyte("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    assert refused.returncode == 4
    assert "E-MODALITY-RANGE" in refused.stderr
    forced = tomocyte("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical", "--force")
    assert forced.returncode == 0, forced.stderr
    assert "W-FORCED" in pd.read_csv(tmp_path / "out" / "status.csv")["warnings"].item()


def test_nan_voxels_are_refused_or_masked(ball_file: BallFile, tmp_path: Path) -> None:
    file = tmp_path / "nan.ome.tif"
    voxels = read_volume(ball_file()).planes(0, 0).copy()
    voxels[3, 2, 1] = np.nan
    voxels[4, 2, 1] = np.inf
    tifffile.imwrite(
        file, voxels, ome=True, photometric="minisblack",
        metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.4, "PhysicalSizeX": 0.3},
    )  # fmt: skip
    refused = tomocyte("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    assert "E-NAN: 2 voxels" in refused.stderr
    masked = tomocyte("run", file, "-o", tmp_path / "out", "-m", "odt", "--model", "classical", "--nan", "mask")
    assert masked.returncode == 0, masked.stderr
    cells = pd.read_csv(tmp_path / "out" / "objects.csv").query("structure == 'cell'")
    assert cells["volume_um3"].item() == pytest.approx(VOLUME_UM3, rel=0.02)


def test_info_and_convert_keep_what_is_known(ball_file: BallFile, tmp_path: Path) -> None:
    source, target = ball_file(), tmp_path / "ball.nrrd"
    shown = json.loads(tomocyte("info", source, "--json").stdout)
    assert shown["shape"] == [1, 1, 24, 36, 52]
    assert shown["medium_ri"] == 1.337
    done = tomocyte("convert", source, target)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_volume(target).planes(0, 0), read_volume(source).planes(0, 0))
    assert read_volume(target).voxel_size_um == pytest.approx(BALL_SIZE_UM)
    again = tomocyte("convert", source, target)
    assert again.returncode == 1
    assert "E-EXISTS" in again.stderr
    assert tomocyte("convert", source, target, "--overwrite").returncode == 0
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "absent.tif", "-o", "out", "-m", "odt"], 1, "E-NO-INPUT"),
        (["run", "absent.tif", "-o", "out"], 1, "E-NO-INPUT"),
        (["run", "absent.tif", "-o", "out", "-m", "oct"], 1, "Known: fluorescence"),
        (["run", "-m", "odt", "--model", "classical"], 2, "INPUT"),
        (["info", "absent.tif"], 1, "E-NOT-FOUND"),
        (["samples", "get", "absent"], 1, "E-SAMPLE"),
        (["verify", "absent"], 1, "error"),
        (["run", "x", "-o", "out", "-m", "odt", "--medium-ri", "water"], 1, "background"),
        (["run", "x", "-o", "o", "-m", "odt", *TWO_SIZES], 1, "cannot be used together"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_line(arguments: list[str], code: int, said: str) -> None:
    done = tomocyte(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_round_trip_through_yaml(ball_file: BallFile, tmp_path: Path) -> None:
    file = tmp_path / "odt.yaml"
    file.write_text(tomocyte("settings", "-m", "odt").stdout, encoding="utf-8")
    done = tomocyte("run", ball_file(), "-o", tmp_path / "out", "--settings", file)
    assert done.returncode == 0, done.stderr


def test_version_and_samples_list() -> None:
    from tomocyte import __version__

    assert __version__ in tomocyte("--version").stdout
    assert "CC0" in tomocyte("samples", "list").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_no_half_file_and_is_resumed(
    ball_file: BallFile, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    sources = [ball_file(f"{name}.ome.tif") for name in "abc"]
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "tomocyte",
        "run",
        *map(str, sources),
        "-o",
        str(out),
        "-m",
        "odt",
        "--model",
        "classical",
    ]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (out / "items" / "a.done.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert (number != signal.SIGINT) or "again to resume" in said
    assert [path.name for path in out.rglob("*") if ".part" in path.name] == []
    again = tomocyte("run", *sources, "-o", out, "-m", "odt", "--model", "classical")
    assert again.returncode == 0, again.stderr
    assert "0 in an earlier run" not in again.stdout
    assert tomocyte("verify", out).returncode == 0


def test_a_planar_image_with_a_pixel_size(tmp_path: Path) -> None:
    """A disc of 6 µm radius on pixels of 0.5 x 0.3 µm: area π r²; no thickness, so no volume."""
    y, x = np.indices((60, 100))
    inside = ((y - 30) * 0.5) ** 2 + ((x - 50) * 0.3) ** 2 < 36
    tifffile.imwrite(tmp_path / "disc.tif", np.where(inside, 1.36, 1.337).astype(np.float32), photometric="minisblack")
    arguments = ("run", tmp_path / "disc.tif", "-o", tmp_path / "out", "-m", "odt", "--model", "classical")
    done = tomocyte(*arguments, "--pixel-size-um", 0.5, 0.3)
    assert done.returncode == 0, done.stderr
    cell = pd.read_csv(tmp_path / "out" / "objects.csv").query("structure == 'cell'")
    assert cell["area_um2"].item() == pytest.approx(math.pi * 36, rel=0.02)
    assert "volume_um3" not in cell
    refused = tomocyte(*arguments, "--pixel-size-um", 0.5, 0.3, "--channel", 1)
    assert "E-CHANNEL" in refused.stderr
