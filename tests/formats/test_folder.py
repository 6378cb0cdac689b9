"""Folders of numbered planes and frames: order, gaps, mixtures, axes."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from fuzz import fuzz, mutated, truncated
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions
from tomocyte.formats.folder import NumberedFile, read_folder, verify
from tomocyte.formats.tiff import write_ome_tiff
from tomocyte.volume import Volume


def coded(n_frames: int, n_channels: int, n_planes: int) -> NDArray[np.uint16]:
    """(T, C, Z, 5, 7) with value 1000 t + 100 c + 10 z + (a little x)."""
    t, c, z, y, x = np.indices((n_frames, n_channels, n_planes, 5, 7))
    return (10_000 * t + 1000 * c + 10 * z + x + 7 * (y == 2)).astype(np.uint16)


def save(path: Path, voxels: NDArray[np.generic], **options: object) -> None:
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(voxels)))
    else:
        tifffile.imwrite(path, voxels, photometric="minisblack", metadata=None, **options)


def everything(volume: Volume) -> NDArray[np.generic]:
    return np.stack([volume.frame(frame) for frame in range(volume.n_frames)])


def opened(path: Path, axes: str | None = None) -> Volume:
    return read_folder(path, ReadOptions(axes=axes))


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [
        ("cell_z{z:03d}.tif", (1, 1, 12)),
        ("cell_z{z}.tif", (1, 1, 12)),
        ("Z{z}_cell.TIF", (1, 1, 12)),
        ("exp7_t{t}_z{z}.tif", (3, 1, 12)),
        ("exp7_t{t:02d}_z{z:02d}_ch{c:02d}.tif", (3, 2, 4)),
        ("c{c}t{t}z{z}.tif", (3, 2, 4)),
        ("cell-time{t}-slice{z}-channel{c}.tif", (2, 3, 4)),
        ("frame {t}.tif", (11, 1, 1)),
        ("cat5_z{z}.png", (1, 1, 11)),
        ("a.b_z{z}.ome.tif", (1, 1, 3)),
    ],
)
@pytest.mark.parametrize("first", [0, 1, 8])
def test_tokens_say_what_is_counted(pattern: str, sizes: tuple[int, int, int], first: int, tmp_path: Path) -> None:
    voxels = coded(*sizes)
    for t, c, z in np.ndindex(*sizes):
        save(tmp_path / pattern.format(t=t + first, c=c + first, z=z + first), voxels[t, c, z])
    assert verify(tmp_path)
    volume = opened(tmp_path)
    np.testing.assert_array_equal(everything(volume), voxels)
    np.testing.assert_array_equal(volume.planes(0, 0, 1 if sizes[2] > 2 else 0, sizes[2])[-1], voxels[0, 0, -1])


def test_a_bare_number_needs_axes(tmp_path: Path) -> None:
    voxels = coded(1, 1, 12)[0, 0]
    for z in range(12):
        save(tmp_path / f"img_{z}.tif", voxels[z])
    assert verify(tmp_path)
    with pytest.raises(MetadataError, match="--axes ZYX") as caught:
        opened(tmp_path)
    assert caught.value.code == "E-AXES"
    np.testing.assert_array_equal(opened(tmp_path, "ZYX").planes(0, 0), voxels)
    np.testing.assert_array_equal(everything(opened(tmp_path, "TYX"))[:, 0, 0], voxels)


def test_frames_may_be_stacks(tmp_path: Path) -> None:
    voxels = coded(3, 1, 4)
    for t in range(3):
        save(tmp_path / f"cell_t{t}.tif", voxels[t, 0])
        save_named = tmp_path / "named"
        save_named.mkdir(exist_ok=True)
        write_ome_tiff(
            save_named / f"cell_t{t}.ome.tif", Volume.from_array(voxels[t, 0], voxel_size_um=(0.31, 0.17, 0.13))
        )
    with pytest.raises(MetadataError, match="E-AXES"):
        opened(tmp_path)
    np.testing.assert_array_equal(everything(opened(tmp_path, "TZYX")), voxels)
    np.testing.assert_array_equal(everything(opened(tmp_path, "ZYX")), voxels)  # T is in the names
    named = opened(tmp_path / "named")
    np.testing.assert_array_equal(everything(named), voxels)
    assert named.voxel_size_um == (0.31, 0.17, 0.13)
    assert named.origin["voxel_size_um"] == "file"


def test_voxel_sizes_must_agree(tmp_path: Path) -> None:
    voxels = coded(1, 1, 3)[0, 0]
    for z in range(3):
        size = (0.31, 0.17, 0.13 if z < 2 else 0.14)
        write_ome_tiff(tmp_path / f"cell_z{z}.ome.tif", Volume.from_array(voxels[z], voxel_size_um=size))
    volume = opened(tmp_path)
    assert volume.voxel_size_um is None
    assert any(note.startswith("W-VOXEL-SIZE") for note in volume.notes)
    write_ome_tiff(tmp_path / "cell_z2.ome.tif", Volume.from_array(voxels[2], voxel_size_um=(0.31, 0.17, 0.13)))
    assert opened(tmp_path).voxel_size_um == (0.31, 0.17, 0.13)


def test_planes_without_a_distance_have_no_voxel_size(tmp_path: Path) -> None:
    for z in range(3):
        size = (float("nan"), 0.17, 0.13)
        write_ome_tiff(tmp_path / f"cell_z{z}.ome.tif", Volume.from_array(coded(1, 1, 3)[0, 0, z], voxel_size_um=size))
    assert opened(tmp_path).voxel_size_um is None


@pytest.mark.parametrize("missing", ["_t0_z1", "_t1_z2", "_t0_z0"])
def test_a_gap_is_an_error_that_names_it(missing: str, tmp_path: Path) -> None:
    for t, z in np.ndindex(2, 4):
        save(tmp_path / f"a_t{t}_z{z}.tif", coded(1, 1, 1)[0, 0, 0])
    (tmp_path / f"a{missing}.tif").unlink()
    with pytest.raises(InputError, match="E-FOLDER-GAP.*Z " + missing[-1]):
        opened(tmp_path)


@pytest.mark.parametrize("numbers", [(1, 2, 4), (0, 10, 20), (5, 10**12)])
def test_numbers_must_follow_each_other(numbers: tuple[int, ...], tmp_path: Path) -> None:
    for number in numbers:
        save(tmp_path / f"z{number}.tif", coded(1, 1, 1)[0, 0, 0])
    with pytest.raises(InputError, match="E-FOLDER-GAP"):
        opened(tmp_path)


def test_files_of_other_shape_type_or_number_are_mixed(tmp_path: Path) -> None:
    plane = coded(1, 1, 1)[0, 0, 0]
    for odd in (plane[:4], plane.astype(np.float32), plane.astype(np.uint8)):
        for z in range(3):
            save(tmp_path / f"z{z}.tif", odd if z == 1 else plane)
        with pytest.raises(InputError, match="E-FOLDER-MIXED"):
            opened(tmp_path)
    save(tmp_path / "z1.tif", plane)
    save(tmp_path / "z01.tif", plane)
    with pytest.raises(InputError, match=r"E-FOLDER-MIXED.*same numbers"):
        opened(tmp_path)


def test_frames_numbered_along_an_axis_that_they_hold_are_mixed(tmp_path: Path) -> None:
    for z in range(2):
        write_ome_tiff(tmp_path / f"a_z{z}.tif", Volume.from_array(coded(1, 1, 3)[0, 0]))
    with pytest.raises(InputError, match="E-FOLDER-MIXED"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "names",
    [[], ["a.tif"], ["a1.tif"], ["a.tif", "b.tif"], ["img_1.tif", "img_1_mask.tif"], ["a1.tif", "a2.tif", "b1.tif"],
     ["a1.tif", "a2.png"], ["a1.txt", "a2.txt"], ["z1.tif", "z2.tif", "zarr.json"], [".z1.tif", ".z2.tif"]],
)  # fmt: skip
def test_unrelated_files_are_no_volume(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert not verify(tmp_path)


def test_verify_never_raises_and_ignores_what_is_no_image(tmp_path: Path) -> None:
    assert not verify(tmp_path / "nowhere")
    for name in ("z1.tif", "z2.tif", "notes.txt", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "z3.tif").mkdir()
    assert verify(tmp_path)
    assert not verify(tmp_path / "z1.tif")


def test_a_damaged_or_coloured_plane_is_named(tmp_path: Path) -> None:
    plane = coded(1, 1, 1)[0, 0, 0]
    for z in range(3):
        save(tmp_path / f"z{z}.png", plane)
    whole = (tmp_path / "z1.png").read_bytes()
    outcome = fuzz(
        truncated(whole, list(range(len(whole)))),
        lambda _: opened(tmp_path).planes(0, 0),
        place=tmp_path / "z1.png",
        expected=np.stack([plane] * 3),
        is_truncation=True,
    )
    assert not outcome.broken
    assert outcome.counts["exact"] <= 16  # the end mark after the pixels
    save(tmp_path / "z1.png", np.stack([plane] * 3, axis=-1))
    with pytest.raises(InputError, match="E-RGB") as caught:
        opened(tmp_path)
    assert "z1.png" in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "n_files"),
    [("png", 60), ("tif", 60), *(pytest.param(s, 2000, marks=pytest.mark.slow) for s in ("png", "tif"))],
)
def test_a_mutated_plane_gives_an_error_or_a_volume_of_the_same_shape(
    suffix: str, n_files: int, tmp_path: Path
) -> None:
    plane = coded(1, 1, 1)[0, 0, 0]
    for z in range(3):
        save(tmp_path / f"z{z}.{suffix}", plane)
    outcome = fuzz(
        mutated((tmp_path / f"z1.{suffix}").read_bytes(), n_files, seed=11),
        lambda _: opened(tmp_path).planes(0, 0),
        place=tmp_path / f"z1.{suffix}",
        expected=np.stack([plane] * 3),
        is_truncation=False,
        expansion=1000,
    )
    assert not outcome.broken, outcome.broken[:3]
    assert outcome.counts["other_valid"] == 0


@pytest.mark.parametrize("size", [2**31 - 1, 20_000])
def test_a_huge_png_is_refused_before_it_is_unpacked(size: int, tmp_path: Path) -> None:
    for z in range(2):
        save(tmp_path / f"z{z}.png", coded(1, 1, 1)[0, 0, 0])
    data = bytearray((tmp_path / "z1.png").read_bytes())
    data[16:24] = size.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "z1.png").write_bytes(data)
    with pytest.raises(InputError, match="E-BOMB"):
        opened(tmp_path)


def test_a_folder_reads_the_same_after_travelling_and_notices_change(tmp_path: Path) -> None:
    for z in range(3):
        save(tmp_path / f"z{z}.{'png' if z < 9 else 'tif'}", coded(1, 1, 3)[0, 0, z])
    volume = pickle.loads(pickle.dumps(opened(tmp_path)))  # noqa: S301  our own object
    np.testing.assert_array_equal(volume.planes(0, 0), coded(1, 1, 3)[0, 0])
    save(tmp_path / "z1.png", coded(1, 1, 1)[0, 0, 0][:4])
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        volume.planes(0, 0)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("cell_t003_z012_c1.tif", (("T", 3), ("Z", 12), ("C", 1))),
        ("T98G_0007.tif", (("", 98), ("", 7))),
        ("cat5.tif", (("", 5),)),
        ("z12b.tif", (("", 12),)),
        ("ch00z1.png", (("C", 0), ("Z", 1))),
        ("Plane 5.tif", (("Z", 5),)),
        ("a_time_05_x2.tif", (("T", 5), ("", 2))),
        ("z_5.tif", (("", 5),)),
    ],
)
def test_numbers_in_names(name: str, numbers: tuple[tuple[str, int], ...]) -> None:
    found = NumberedFile.of(Path(name))
    assert found is not None
    assert found.numbers == numbers
