"""Each refusal that an option cures, provoked by a file built here; what its message names is typed.

Cures are followed until the conversion is done, each message another than the one before; the written image must be the
one that was meant. Refusals of damage have no option to type and stand in the tests of their formats.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import maker_samples as makers
import numpy as np
import pytest
import scipy.io
import zarr
from container_samples import COUNTS, FIVE, MATLAB, SIZE_UM, mat_73, tcf, zarr_04
from test_zarr_collections import VOXELS, _image, _plate
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError
from tomocyte.formats import read_volume
from tomocyte.formats._tcf_write import write_fluorescence
from tomocyte.volume import Volume

OPTION = re.compile(r"--(axes|dataset|voxel-size-um|pixel-size-um) (with one of: )?(\"[^\"]+\"|[^ ,;]+)")
ONE = (1, 1, *COUNTS.shape)
FIELD = (1, *VOXELS.shape)
Case = tuple[Path, list[str], tuple[int, ...]]


def typed(message: str) -> dict[str, list[str]]:
    """The first of each option that a message prints, with the first value that it offers."""
    found: dict[str, list[str]] = {}
    for name, _, value in OPTION.findall(message):
        if name == "voxel-size-um":  # printed as Z Y X, to be filled in
            found.setdefault(f"--{name}", [str(size) for size in SIZE_UM])
        elif name != "pixel-size-um":
            found.setdefault(f"--{name}", [value.strip('"').rstrip(".")])
    return found


def plate(folder: Path) -> Case:
    return _plate(folder / "p.zarr", 2), [], FIELD


def well_of_a_plate(folder: Path) -> Case:
    return _plate(folder / "p.zarr", 3), ["--dataset", "A/1"], FIELD


def row_of_a_plate(folder: Path) -> Case:
    return _plate(folder / "p.zarr", 2) / "A", [], FIELD


def level_that_is_not_there(folder: Path) -> Case:
    path = _image(folder / "a.zarr", 2)
    zarr.open_group(path, mode="r+")["0"][...] = VOXELS
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    group.create_array("1", data=VOXELS[:, :, ::2, ::2], chunks=(1, 3, 2, 3))
    attributes = json.loads((path / ".zattrs").read_text())
    scale = [{"type": "scale", "scale": [1, 0.5, 0.4, 0.4]}]
    attributes["multiscales"][0]["datasets"].append({"path": "1", "coordinateTransformations": scale})
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path, ["--dataset", "7"], FIELD


def group_of_images_that_nobody_lists(folder: Path) -> Case:
    root = zarr.open_group(folder / "g.zarr", mode="w", zarr_format=2)
    root.create_group("day 1")
    _image(folder / "g.zarr" / "day 1" / "cells", 2)
    _image(folder / "g.zarr" / "day 1" / "more", 2)
    return folder / "g.zarr", [], FIELD


def plain_array(folder: Path) -> Case:
    zarr.save_array(str(folder / "a.zarr"), COUNTS)
    return folder / "a.zarr", [], ONE


def plain_arrays(folder: Path) -> Case:
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=3)
    group.create_array("volumes/raw", data=COUNTS)
    group.create_array("volumes/spare", data=COUNTS)
    return folder / "a.zarr", [], ONE


def _said(folder: Path, **changes: object) -> Path:
    path = zarr_04(folder).path
    image = json.loads((path / ".zattrs").read_text())["multiscales"][0]
    (path / ".zattrs").write_text(json.dumps({"multiscales": [{**image, **changes}]}))
    return path


def zarr_without_unit(folder: Path) -> Case:
    return _said(folder, axes=[{"name": name, "type": "space"} for name in "zyx"]), [], ONE


def zarr_without_axes(folder: Path) -> Case:
    return _said(folder, axes=None), [], ONE


def zarr_axis_of_two_kinds(folder: Path) -> Case:
    axes = [{"name": "z", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    return _said(folder, axes=axes), [], ONE


def zarr_names_against_axes(folder: Path) -> Case:
    path = zarr_04(folder).path
    (path / "a/full/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["y", "z", "x"]}')
    return path, [], ONE


def zarr_axes_that_do_not_fit(folder: Path) -> Case:
    return zarr_04(folder).path, ["--axes", "YX"], ONE


def zarr_placed_by_a_file(folder: Path) -> Case:
    return _said(folder, coordinateTransformations=[{"type": "scale", "path": "scales"}]), [], ONE


def _hdf5(folder: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        for name, voxels in datasets.items():
            file[name] = voxels
    return folder / "a.h5"


def hdf5_several(folder: Path) -> Case:
    return _hdf5(folder, **{"my data/raw": COUNTS, "my data/second": COUNTS}), [], ONE


def hdf5_wrong_name(folder: Path) -> Case:
    return _hdf5(folder, raw=COUNTS, six=np.zeros((1, 1, 1, 2, 3, 4))), ["--dataset", "rwa"], ONE


def hdf5_more_axes_than_are_read(folder: Path) -> Case:
    return _hdf5(folder, raw=COUNTS, six=np.zeros((1, 1, 1, 2, 3, 4))), ["--dataset", "g"], ONE


def hdf5_bad_size(folder: Path) -> Case:
    path = _hdf5(folder, raw=COUNTS)
    with h5py.File(path, "r+") as file:
        file["raw"].attrs["element_size_um"] = (0.3, 0.2)
    return path, ["--axes", "ZYX"], ONE


def hdf5_tags_against_labels(folder: Path) -> Case:
    path = _hdf5(folder, raw=COUNTS)
    with h5py.File(path, "r+") as file:
        file["raw"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "tyx"]})
        for dimension, label in zip(file["raw"].dims, "zyx", strict=True):
            dimension.label = label
    return path, [], ONE


def mat_several(folder: Path) -> Case:
    scipy.io.savemat(folder / "a.mat", {"ri": MATLAB, "more": MATLAB, "six": np.zeros((2, 2, 2, 2, 2, 2))})
    return folder / "a.mat", [], ONE


def mat_wrong_name(folder: Path) -> Case:
    return mat_73(folder).path, ["--dataset", "phase"], ONE


def mat_axes_that_do_not_fit(folder: Path) -> Case:
    return mat_73(folder).path, ["--axes", "ZYXC"], ONE


def tcf_of_fluorescence_alone(folder: Path) -> Case:
    path = tcf(folder).path
    write_fluorescence(path, Volume.from_array(COUNTS, voxel_size_um=SIZE_UM))
    with h5py.File(path, "r+") as file:
        del file["Data/3D"]
    return path, [], ONE


def tcf_wrong_channel(folder: Path) -> Case:
    return tcf(folder).path, ["--dataset", "3DFL/CH0"], (2, 1, *COUNTS.shape)


def tcf_without_size(folder: Path) -> Case:
    path = tcf(folder).path
    with h5py.File(path, "r+") as file:
        del file["Data/3D"].attrs["ResolutionZ"]
    return path, [], (2, 1, *COUNTS.shape)


def nd2_wrong_position(folder: Path) -> Case:
    path = makers.nd2(folder / "a.nd2", FIVE, positions=("left side", "right"))
    return path, ["--dataset", "middle"], ONE


def nd2_of_bright_field(folder: Path) -> Case:
    return makers.nd2(folder / "a.nd2", FIVE, channels=("BF",), has_probe=False), [], ONE


def nd2_z_step_twice(folder: Path) -> Case:
    return makers.nd2(folder / "a.nd2", FIVE, z_high=9.0), [], ONE


def lif_wrong_image(folder: Path) -> Case:
    return makers.lif(folder / "a.lif", {"one": FIVE, "two": FIVE}), ["--dataset", "7"], ONE


def lif_x_twice(folder: Path) -> Case:
    return makers.lif(folder / "a.lif", {"one": FIVE}, voxel_x=0.7), [], ONE


def czi_wrong_scene(folder: Path) -> Case:
    tiles = [({"S": s, "C": 0, "Z": z}, COUNTS[z]) for s in range(2) for z in range(len(COUNTS))]
    path = makers.czi_tiles(folder / "a.czi", tiles, makers.czi_xml(scenes=("top left", "end")))
    return path, ["--dataset", "middle"], ONE


def czi_without_scaling(folder: Path) -> Case:
    return makers.czi(folder / "a.czi", FIVE, xml="<ImageDocument/>"), [], ONE


def oif_x_twice(folder: Path) -> Case:
    return makers.oif(folder / "a.oif", FIVE, width_um=0.9), [], ONE


def oib_with_a_dataset(folder: Path) -> Case:
    return makers.oib(folder / "a.oib", FIVE, z_interval_nm=9000.0), [], ONE


REFUSALS: list[tuple[Callable[[Path], Case], str]] = [
    (plate, "E-ZARR-DATASET"),
    (well_of_a_plate, "E-ZARR-DATASET"),
    (row_of_a_plate, "E-ZARR-DATASET"),
    (level_that_is_not_there, "E-ZARR-DATASET"),
    (group_of_images_that_nobody_lists, "E-ZARR-DATASET"),
    (plain_array, "E-AXES"),
    (plain_arrays, "E-ZARR-DATASET"),
    (zarr_without_unit, "E-VOXEL-SIZE"),
    (zarr_without_axes, "E-AXES"),
    (zarr_axis_of_two_kinds, "E-AXES"),
    (zarr_names_against_axes, "E-AXES"),
    (zarr_axes_that_do_not_fit, "E-AXES"),
    (zarr_placed_by_a_file, "E-VOXEL-SIZE"),
    (hdf5_several, "E-HDF5-DATASET"),
    (hdf5_wrong_name, "E-HDF5-DATASET"),
    (hdf5_more_axes_than_are_read, "E-HDF5-DATASET"),
    (hdf5_bad_size, "E-VOXEL-SIZE"),
    (hdf5_tags_against_labels, "E-AXES"),
    (mat_several, "E-DATASET"),
    (mat_wrong_name, "E-DATASET"),
    (mat_axes_that_do_not_fit, "E-AXES"),
    (tcf_of_fluorescence_alone, "E-TCF-DATASET"),
    (tcf_wrong_channel, "E-TCF-DATASET"),
    (tcf_without_size, "E-VOXEL-SIZE"),
    (nd2_wrong_position, "E-DATASET"),
    (nd2_of_bright_field, "E-VOXEL-SIZE"),
    (nd2_z_step_twice, "E-VOXEL-SIZE"),
    (lif_wrong_image, "E-DATASET"),
    (lif_x_twice, "E-VOXEL-SIZE"),
    (czi_wrong_scene, "E-DATASET"),
    (czi_without_scaling, "E-VOXEL-SIZE"),
    (oif_x_twice, "E-VOXEL-SIZE"),
    (oib_with_a_dataset, "E-VOXEL-SIZE"),
]


@pytest.mark.parametrize(("make", "code"), REFUSALS, ids=[make.__name__ for make, _ in REFUSALS])
def test_the_cure_of_a_refusal_cures(make: Callable[[Path], Case], code: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path, given, shape = make(tmp_path / "in")
    options = {given[index]: [given[index + 1]] for index in range(0, len(given), 2)}
    target, messages = tmp_path / "out.ome.zarr", [""]
    while True:
        words = [word for name, values in options.items() for word in (name, *values)]
        result = CliRunner().invoke(app, ["convert", str(path), str(target), *words])
        if result.exit_code == 0:
            break
        message = " ".join(f"{result.output} {result.exception}".split())
        assert message != messages[-1], "the cure did not get further"
        assert typed(message), f"nothing to type in {message}"
        messages.append(message)
        options |= typed(message)
    assert messages[1].split(code)[1].startswith(":"), messages
    volume = read_volume(target)
    assert volume.shape == shape
    if shape != (2, *ONE[1:]):  # refractive index
        np.testing.assert_array_equal(volume.frame(0), VOXELS if shape == FIELD else COUNTS[np.newaxis])


@pytest.mark.parametrize("is_bare", [True, False])
def test_a_packed_zarr_names_the_command_that_unpacks_it(is_bare: bool, tmp_path: Path) -> None:
    """With its files at the top of the archive, as the zarr library packs them, or in a folder."""
    store = zarr_04(tmp_path).path
    packed = tmp_path / "my cells.zarr.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in store.rglob("*"):
            archive.write(file, file.relative_to(store if is_bare else tmp_path))
    with pytest.raises(InputError, match=r"E-FORMAT.*Zarr image packed as a ZIP archive") as caught:
        read_volume(packed)
    command = re.search(r'unzip "([^"]+)"(?: -d "([^"]+)")? and name the folder (.+)\.$', caught.value.cure)
    assert command is not None
    with zipfile.ZipFile(tmp_path / command[1]) as archive:  # what unzip does
        archive.extractall(tmp_path / "unpacked" / (command[2] or "."))
    np.testing.assert_array_equal(read_volume(tmp_path / "unpacked" / command[3]).frame(0)[0], COUNTS)


def test_a_name_for_a_store_that_is_one_image_is_left_out(tmp_path: Path) -> None:
    path = _image(tmp_path / "a.zarr", 2)
    with pytest.raises(InputError, match=r"E-ZARR-DATASET.*leave --dataset out"):
        CliRunner().invoke(app, ["info", str(path), "--dataset", "cells"], catch_exceptions=False)


@pytest.mark.parametrize("n_axes", [1, 6])
def test_arrays_that_no_axes_fit_are_not_asked_for_axes(n_axes: int, tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), np.ones((2,) * n_axes))
    with pytest.raises(ValueError, match=r"E-AXES.*two to five axes") as caught:
        read_volume(tmp_path / "a.zarr")
    assert "--axes" not in str(caught.value)
