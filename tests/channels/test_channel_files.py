"""Channels in several files are one volume: by names that MetaMorph gives, or as the user says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tomocyte.channels.joining import join_channels
from tomocyte.datasets.channel_files import parse_channel_files, read_channel_files
from tomocyte.datasets.inputs import find_inputs
from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.formats import ReadOptions, parts_beside, read_volume
from tomocyte.formats.tiff.wavelengths import wavelength_files
from tomocyte.volume import Volume

OPTIONS = ReadOptions(voxel_size_um=(0.3, 0.2, 0.1), axes="ZYX")


def write(folder: Path, name: str, value: int, shape: tuple[int, int, int] = (3, 4, 5)) -> Path:
    path = folder / name
    tifffile.imwrite(path, np.full(shape, value, np.uint16), photometric="minisblack")
    return path


def test_names_of_metamorph_make_one_volume(tmp_path: Path) -> None:
    write(tmp_path, "Exp_w2RFP_s1.TIF", 20)
    first = write(tmp_path, "Exp_w1YFP_s1.TIF", 10)
    write(tmp_path, "Exp_w1YFP_s2.TIF", 30)
    write(tmp_path, "Exp_w2RFP_s2.TIF", 40)
    alone = write(tmp_path, "Other_w1YFP.TIF", 50)
    volume = read_volume(first, OPTIONS)
    assert (volume.shape, volume.channels) == ((1, 2, 3, 4, 5), ("YFP", "RFP"))
    assert volume.frame(0)[:, 0, 0, 0].tolist() == [10, 20]
    assert [path.name for path in parts_beside(first)] == ["Exp_w2RFP_s1.TIF"]
    names = [path.name for path in find_inputs([str(tmp_path)])]
    assert names == ["Exp_w1YFP_s1.TIF", "Exp_w1YFP_s2.TIF", "Other_w1YFP.TIF"]
    assert read_volume(alone, OPTIONS).n_channels == 1
    assert read_volume(first, ReadOptions((0.3, 0.2, 0.1), "ZYX", is_alone=True)).n_channels == 1


@pytest.mark.parametrize(
    "names",
    [
        ("a_w1.tif", "a_w2.tif"),  # wells, perhaps
        ("a_w1YFP.tif", "b_w2RFP.tif"),
        ("a_w1YFP_t1.tif", "a_w2RFP_t2.tif"),
        ("a_w1YFP.tif", "a_w2YFP.tif"),
        ("a_w1YFP_thumb_.tif", "a_w2RFP_thumb_.tif"),
    ],
)
def test_other_names_stay_files_of_their_own(names: tuple[str, ...], tmp_path: Path) -> None:
    paths = [write(tmp_path, name, 1) for name in names]
    assert [wavelength_files(path) for path in paths] == [{}, {}]


def test_files_that_the_user_names(tmp_path: Path) -> None:
    paths = {name: write(tmp_path, f"{name}.tif", value) for name, value in (("a", 1), ("b", 2))}
    files = parse_channel_files([f"yellow={paths['b']}", f"red={paths['a']}"])
    volume = read_channel_files(files, OPTIONS)
    assert (volume.channels, volume.frame(0)[:, 0, 0, 0].tolist()) == (("yellow", "red"), [2, 1])
    assert volume.path == paths["b"]


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.tif", 1)
    larger = write(tmp_path, "b.tif", 1, (3, 4, 6))
    with pytest.raises(MetadataError, match=r"E-CHANNEL-SHAPE: .*red has 1 x 3 x 4 x 6 .*yellow 1 x 3 x 4 x 5"):
        read_channel_files({"yellow": first, "red": larger}, OPTIONS)
    with pytest.raises(SettingsError, match="E-CHANNEL-FILE: one file is given twice"):
        parse_channel_files([f"yellow={first}", f"red={first}"])
    with pytest.raises(SettingsError, match=r"E-CHANNEL-FILE: .* names no channel"):
        parse_channel_files([str(first)])
    with pytest.raises(InputError, match="E-NOT-FOUND"):
        parse_channel_files([f"yellow={first}", "red=none.tif"])
    (tmp_path / "other").mkdir()
    far = write(tmp_path / "other", "c.tif", 1)
    with pytest.raises(SettingsError, match="different folders"):
        parse_channel_files([f"yellow={first}", f"red={far}"])
    size = {"voxel_size_um": (0.3, 0.2, 0.1)}
    one = Volume.from_array(np.zeros((3, 4, 5)), **size)
    two = Volume.from_array(np.zeros((3, 4, 5)), voxel_size_um=(0.3, 0.2, 0.2))
    with pytest.raises(MetadataError, match=r"b has voxels of 0\.3 x 0\.2 x 0\.2 um, a of 0\.3 x 0\.2 x 0\.1 um"):
        join_channels({"a": one, "b": two})
    with pytest.raises(MetadataError, match="has 2 channels"):
        join_channels({"a": Volume.from_array(np.zeros((2, 3, 4, 5)), **size)})
