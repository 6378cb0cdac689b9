"""Memory and time of an input, forecast from its header."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import BALL_SIZE_UM, ball_ri

from tomocyte.pipeline.forecast import BASE_BYTES, forecast_classical, forecast_run, peak_memory_bytes
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume


def odt_volume(voxels: np.ndarray) -> Volume:
    return Volume.from_array(voxels, voxel_size_um=BALL_SIZE_UM, quantity="refractive_index", unit="1")


def test_forecast_grows_with_the_frame_and_not_with_their_number() -> None:
    engine = SegmentationSettings()
    small, _ = forecast_classical(odt_volume(ball_ri()), engine)
    seen = {
        n: forecast_classical(Volume.from_array(np.broadcast_to(np.float32(0), (n, 1, 64, 256, 256))), engine)
        for n in (1, 2, 9)
    }
    assert small < seen[1][0] == seen[9][0]
    assert seen[9][1] - seen[1][1] == pytest.approx(8 * (seen[2][1] - seen[1][1]))


@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_a_further_channel_takes_four_bytes_per_voxel(n_channels: int) -> None:
    """It is held in float32 beside what is segmented, which takes 7.2 bytes per voxel."""
    voxels = np.broadcast_to(np.float32(0), (1, n_channels, 50, 200, 100))
    peak_bytes, _ = forecast_classical(Volume.from_array(voxels), SegmentationSettings())
    assert peak_bytes - BASE_BYTES == pytest.approx((7.2 + 4 * (n_channels - 1)) * 10**6)


def test_without_a_model_only_the_engine_counts() -> None:
    volume = odt_volume(ball_ri())
    plan = plan_run(volume, RunSettings(modality="odt", model="classical"))
    assert forecast_run(plan, volume) == forecast_classical(volume, plan.classical)


def test_every_random_placement_takes_time() -> None:
    volume = odt_volume(ball_ri())
    seconds = []
    for contacts in ({}, {"is_measured": True}, *({"is_measured": True, "n_placements": n} for n in (100, 200))):
        settings = RunSettings(modality="odt", model="classical", contacts=contacts)
        seconds.append(forecast_run(plan_run(volume, settings), volume)[1])
    assert seconds[0] < seconds[1] < seconds[2] < seconds[3]
    assert seconds[3] - seconds[2] == pytest.approx(seconds[2] - seconds[1])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says it in a file there")
def test_peak_memory_is_what_the_kernel_says() -> None:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak_memory_bytes() == pytest.approx(int(line.split()[1]) * 1024, rel=0.02)
