"""Generic HDF5: which array, which axes, and nothing that reaches out of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM, hdf5_gzip, hdf5_plain

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, formats, read_volume

RAW = ReadOptions(dataset="raw", voxel_size_um=SIZE_UM, axes="ZYX")


def _file(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, voxels in datasets.items():
            file[name] = voxels
    return path


def test_several_arrays_are_listed_not_guessed(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.h5", raw=COUNTS, label=COUNTS // 2, curve=np.arange(4), names=np.array([b"a", b"b"]))
    with pytest.raises(InputError, match=r"E-HDF5-DATASET.*--dataset.*label \(7, 9, 11\), raw \(7, 9, 11\)"):
        read_volume(path)
    np.testing.assert_array_equal(
        read_volume(path, ReadOptions(dataset="/label", voxel_size_um=SIZE_UM, axes="ZYX")).frame(0)[0], COUNTS // 2
    )


@pytest.mark.parametrize("name", ["curve", "nothing", "names", "."])
def test_a_wrong_name_is_refused(name: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "a.h5", raw=COUNTS, curve=np.arange(4), names=np.array([b"a", b"b"]))
    with pytest.raises(InputError, match=r"E-HDF5-(DATASET|MISSING)"):
        read_volume(path, ReadOptions(dataset=name))


def test_third_axis_without_size_or_labels_is_ambiguous(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.h5", raw=COUNTS)
    with pytest.raises(MetadataError, match=r"E-AXES.*--axes"):
        read_volume(path, ReadOptions(voxel_size_um=SIZE_UM))
    assert read_volume(path, ReadOptions(axes="TYX", voxel_size_um=SIZE_UM)).shape == (7, 1, 1, 9, 11)


def test_no_size_is_an_error_that_names_the_flag(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.h5", raw=COUNTS)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um"):
        read_volume(path, ReadOptions(axes="ZYX"))


def _axistags(array: h5py.Dataset) -> None:
    array.attrs["axistags"] = json.dumps({"axes": [{"key": key, "typeFlags": 2} for key in "xzcyt"]})


def _labels(array: h5py.Dataset) -> None:
    for dimension, label in zip(array.dims, "xzcyt", strict=True):
        dimension.label = label


@pytest.mark.parametrize("say", [_axistags, _labels])
def test_axes_in_any_order(say: Callable[[h5py.Dataset], None], tmp_path: Path) -> None:
    voxels = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.int32).reshape(2, 3, 4, 5, 6)  # x z c y t
    path = _file(tmp_path / "a.h5", raw=voxels)
    with h5py.File(path, "r+") as file:
        say(file["raw"])
        file["raw"].attrs["element_size_um"] = SIZE_UM
    volume = read_volume(path)
    assert volume.shape == (6, 4, 3, 5, 2)
    assert volume.voxel_size_um == SIZE_UM
    np.testing.assert_array_equal(volume.frame(4), voxels[..., 4].transpose(2, 1, 3, 0))


@pytest.mark.parametrize("size", [(0.3, 0.2), (1.0,), (1.0, 2.0, 3.0, 4.0), (-0.3, 0.2, 0.1), (np.nan, 0.2, 0.1)])
def test_unusable_sizes(size: tuple[float, ...], tmp_path: Path) -> None:
    path = _file(tmp_path / "a.h5", raw=COUNTS)
    with h5py.File(path, "r+") as file:
        file["raw"].attrs["element_size_um"] = size
    with pytest.raises(InputError, match="E-VOXEL-SIZE"):
        read_volume(path, ReadOptions(axes="ZYX"))


def _external_link(file: h5py.File, other: Path) -> None:
    file["raw"] = h5py.ExternalLink(str(other), "/raw")


def _external_group(file: h5py.File, other: Path) -> None:
    file["group"] = h5py.ExternalLink(str(other), "/")
    file["raw"] = h5py.SoftLink("/group/raw")


def _loop(file: h5py.File, other: Path) -> None:
    file["raw"] = h5py.SoftLink("/back")
    file["back"] = h5py.SoftLink("/raw")


def _external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("raw", shape=(7, 9, 11), dtype=np.uint16, external=[(str(other), 0, COUNTS.nbytes)])


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((7, 9, 11), np.uint16)
    layout[...] = h5py.VirtualSource(str(other), "raw", (7, 9, 11))
    file.create_virtual_dataset("raw", layout)


def _virtual_through_link(file: h5py.File, other: Path) -> None:
    file["inner"] = h5py.ExternalLink(str(other), "/raw")
    layout = h5py.VirtualLayout((7, 9, 11), np.uint16)
    layout[...] = h5py.VirtualSource(".", "inner", (7, 9, 11))
    file.create_virtual_dataset("raw", layout)


def _plugin(file: h5py.File, other: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((7, 9, 11))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)  # the number of the zstd plugin
    h5py.h5d.create(file.id, b"raw", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple((7, 9, 11)), settings)


def _bomb(file: h5py.File, other: Path) -> None:
    array = file.create_dataset("raw", (2**20, 2**14, 2**10), np.uint8, chunks=(64, 64, 64), compression="gzip")
    array[:64, :64, :64] = 1


def _huge_chunk(file: h5py.File, other: Path) -> None:
    array = file.create_dataset(
        "raw", (7, 9, 11), np.uint8, chunks=(512, 1024, 2048), maxshape=(None,) * 3, compression=1
    )
    array.id.write_direct_chunk((0, 0, 0), b"x\x9c\x03\x00\x00\x00\x00\x01")


def _never_written(file: h5py.File, other: Path) -> None:
    file.create_dataset("raw", (7, 9, 11), np.uint16)


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (_external_link, "E-HDF5-LINK"),
        (_external_group, "E-HDF5-LINK"),
        (_loop, "E-HDF5-LINK"),
        (_external_storage, "E-HDF5-EXTERNAL"),
        (_virtual, "E-HDF5-VIRTUAL.*other files"),
        (_virtual_through_link, "E-HDF5-LINK"),
        (_plugin, "E-HDF5-FILTER"),
        (_bomb, "E-(BOMB|HDF5-TRUNC)"),
        (_huge_chunk, "E-BOMB"),
        (_never_written, "E-HDF5-TRUNC"),
    ],
)
def test_what_reaches_out_of_the_file_is_refused(
    attack: Callable[[h5py.File, Path], None], code: str, tmp_path: Path
) -> None:
    other = hdf5_plain(tmp_path).path
    with h5py.File(tmp_path / "a.h5", "w") as file:
        attack(file, other)
    with pytest.raises(InputError, match=code):
        read_volume(tmp_path / "a.h5", RAW)


def test_links_and_virtual_datasets_within_the_file_are_fine(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/er/source"] = COUNTS
        file["group"] = h5py.SoftLink("/deep/er")
        layout = h5py.VirtualLayout((7, 9, 11), np.uint16)
        layout[...] = h5py.VirtualSource(".", "/deep/er/source", (7, 9, 11))
        file.create_virtual_dataset("virtual", layout)
    for name in ("group/source", "virtual"):
        options = ReadOptions(dataset=name, voxel_size_um=SIZE_UM, axes="ZYX")
        np.testing.assert_array_equal(read_volume(tmp_path / "a.h5", options).frame(0)[0], COUNTS)


def test_missing_chunks_are_counted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        array = file.create_dataset("raw", COUNTS.shape, np.uint16, chunks=(3, 5, 4))  # 3 x 2 x 3 = 18 chunks
        array[:3] = COUNTS[:3]  # 6 of them
    volume = read_volume(tmp_path / "a.h5", RAW)
    assert [note for note in volume.notes if "12 of 18 chunks" in note and note.startswith("W-HDF5-MISSING-CHUNKS")]
    np.testing.assert_array_equal(volume.planes(0, 0, 0, 3), COUNTS[:3])


def test_a_file_open_here_can_be_written_in_another_place(tmp_path: Path) -> None:
    """Handles are kept, but the state of a file that was written anew is not answered from an old one."""
    path = hdf5_gzip(tmp_path).path
    first = read_volume(path).frame(0)
    path.unlink()
    with h5py.File(path, "w") as file:
        file["raw"] = COUNTS + 1
        file["raw"].attrs["element_size_um"] = SIZE_UM
    np.testing.assert_array_equal(read_volume(path).frame(0), first + 1)


def test_results_are_never_written_in_hdf5() -> None:
    assert formats()["hdf5"].write is None


def test_chunks_are_unpacked_once_for_neighbouring_planes(tmp_path: Path) -> None:
    voxels = np.random.default_rng(2).integers(0, 60_000, (16, 96, 128)).astype(np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=voxels, chunks=(16, 32, 32), compression="gzip")
    volume = read_volume(tmp_path / "a.h5", RAW)
    volume.planes(0, 0, 0, 1)

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    np.testing.assert_array_equal(volume.planes(0, 0, 1, 16), voxels[1:])
    assert bytes_read() - before < 0.05 * voxels.nbytes


def test_the_size_counts_for_the_final_axes_and_its_field_is_named(tmp_path: Path) -> None:
    """A film has no planes, so the first of three sizes says nothing about it."""
    path = _file(tmp_path / "a.h5", **{"g/raw": COUNTS})
    with h5py.File(path, "r+") as file:
        file["g/raw"].attrs["element_size_um"] = SIZE_UM
    stack, film = read_volume(path), read_volume(path, ReadOptions(axes="TYX"))
    assert stack.voxel_size_um == SIZE_UM
    assert stack.sources == {"voxel_size_um": "HDF5 g/raw element_size_um"}
    np.testing.assert_array_equal(film.voxel_size_um, (np.nan, *SIZE_UM[1:]))
    assert read_volume(path, ReadOptions(axes="ZYX", voxel_size_um=(1, 1, 1))).sources == {
        "voxel_size_um": "--voxel-size-um"
    }
