"""Images under masks: the image's own values inside, 0 outside, frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.in_process import tomocyte

from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import Volume

VOXEL_UM = (0.3, 0.2, 0.2)


@pytest.mark.parametrize("modality", ["fluorescence", "nile_red"])
def test_every_structure_has_its_image(modality: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(1, 900, (2, 2, 5, 20, 24)).astype(np.uint16)
    image[:, :, :, :8, :8] = 100  # background of both channels
    labels = {"cell": np.zeros((2, 1, 5, 20, 24), np.uint16), "golgi": np.zeros((2, 1, 5, 20, 24), np.uint16)}
    labels["cell"][:, 0, 1:4, 8:18, 8:20], labels["golgi"][1, 0, 2, 10:12, 10:15] = 1, 1
    known = {"voxel_size_um": VOXEL_UM, "time_s": (0.0, 60.0)}
    names = ("yellow", "red")
    write_volume(tmp_path / "i.ome.tif", Volume.from_array(image, quantity="intensity", channel_names=names, **known))
    for name, one in labels.items():
        write_volume(tmp_path / f"{name}.ome.tif", Volume.from_array(one, quantity="labels", **known))
    given = [word for name in labels for word in ("--labels", f"{name}={tmp_path / name}.ome.tif")]
    done = tomocyte("measure", tmp_path / "i.ome.tif", *given, "-o", tmp_path / "out", "-m", modality,
                    "--structure", "cell", "--masked-images", "--set", "channels.ratio.background=[100,100]"
                    if modality == "nile_red" else "nan=refuse")  # fmt: skip
    assert done.exit_code == 0, done.output
    expected = image[:, 0].astype(float)
    if modality == "nile_red":
        expected = (np.maximum(image[:, 0] - 100.0, 0) + np.maximum(image[:, 1] - 100.0, 0)) / 2
    for name, one in labels.items():
        volume = read_volume(tmp_path / "out" / "items" / "i" / "masked" / f"{name}.ome.tif")
        assert volume.voxel_size_um == pytest.approx(VOXEL_UM)
        assert volume.channels == ("intensity" if modality == "nile_red" else "yellow",)
        for frame in range(2):
            inside = one[frame, 0] > 0
            np.testing.assert_allclose(volume.planes(frame, 0), np.where(inside, expected[frame], 0), rtol=1e-5)
    assert tomocyte("verify", tmp_path / "out").exit_code == 0


def test_they_are_not_written_unless_asked_for(tmp_path: Path) -> None:
    labels = np.zeros((4, 12, 12), np.uint16)
    labels[1:3, 3:9, 3:9] = 1
    write_volume(tmp_path / "l.ome.tif", Volume.from_array(labels, voxel_size_um=VOXEL_UM, quantity="labels"))
    assert tomocyte("measure", "--cell", tmp_path / "l.ome.tif", "-o", tmp_path / "out").exit_code == 0
    assert not (tmp_path / "out" / "items" / "l" / "masked").exists()
