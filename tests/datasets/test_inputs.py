"""Which files a folder stands for."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tomocyte.datasets.inputs import find_inputs, modality_of_files
from tomocyte.datasets.pairs import find_pairs
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import ReadOptions, write_volume
from tomocyte.ledger import Ledger
from tomocyte.provenance import sha256_of_path
from tomocyte.volume import Volume

PLANE = np.arange(63, dtype=np.uint16).reshape(7, 9)


def save(folder: Path, *names: str) -> None:
    for name in names:
        if name.lower().endswith(".png"):
            (folder / name).write_bytes(imagecodecs.png_encode(PLANE))
        else:
            tifffile.imwrite(folder / name, PLANE, photometric="minisblack", metadata=None)


@pytest.mark.parametrize(
    ("names", "axes", "expected"),
    [
        (["cell_z0.png", "cell_z1.png"], None, ["."]),
        (["cell_t0.png", "cell_t1.png"], None, ["."]),
        (["img_0.png", "img_1.png"], "ZYX", ["."]),
        (["img_0.png", "img_1.png"], None, ["img_0.png", "img_1.png"]),
        (["b.png", "a.PNG"], None, ["a.PNG", "b.png"]),
        (["img_0.png"], None, ["img_0.png"]),
        (["a.tif", "overview.png"], None, ["a.tif"]),
        (["set01_raw.tif", "set09_raw.tif", "set01_instances.png", "set09_instances.png"], None,
         ["set01_raw.tif", "set09_raw.tif"]),
    ],
)  # fmt: skip
def test_a_folder_is_one_volume_or_a_batch(
    names: list[str], axes: str | None, expected: list[str], tmp_path: Path
) -> None:
    save(tmp_path, *names)
    assert find_inputs([str(tmp_path)], axes=axes) == [tmp_path / name for name in expected]


def test_png_beside_other_images_are_inputs_when_named(tmp_path: Path) -> None:
    save(tmp_path, "a.tif", "b.png")
    assert find_inputs([str(tmp_path / "*.png")]) == [tmp_path / "b.png"]
    assert find_inputs([str(tmp_path / "b.png"), str(tmp_path)]) == [tmp_path / "b.png", tmp_path / "a.tif"]


def test_a_folder_without_images_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="E-NO-INPUT"):
        find_inputs([str(tmp_path)])


def measured(path: Path, quantity: str, unit: str) -> Path:
    volume = Volume.from_array(
        np.full((3, 7, 9), 1.34, np.float32), voxel_size_um=(0.5, 0.3, 0.2), quantity=quantity, unit=unit
    )
    write_volume(path, volume)
    return path


def test_files_that_say_what_they_measure_need_no_modality(tmp_path: Path) -> None:
    tomogram = measured(tmp_path / "a.ome.tif", "refractive_index", "1")
    density = measured(tmp_path / "b.ome.tif", "dry_mass_density", "pg/um2")
    save(tmp_path, "grey.tif")
    (tmp_path / "broken.ome.tif").write_bytes(b"II*\0")
    options = ReadOptions()
    assert modality_of_files([tmp_path / "broken.ome.tif", tomogram], options) == "odt"
    assert modality_of_files([density], options) == "qpi"
    with pytest.raises(SettingsError, match=r"E-USAGE.*a\.ome\.tif is odt, b\.ome\.tif is qpi"):
        modality_of_files([tomogram, density], options)
    with pytest.raises(SettingsError, match=r"E-USAGE.*do not name their quantity.*--modality"):
        modality_of_files([tmp_path / "grey.tif"], ReadOptions(voxel_size_um=(float("nan"), 0.3, 0.2)))


def test_hidden_files_are_no_inputs_anywhere(tmp_path: Path) -> None:
    """A folder from a Mac's share: each image has a companion, and file browsers left their litter."""
    save(tmp_path, "k1.tif", "k2.tif")
    for name in ("._k1.tif", "._k2.tif", "~$k1.tif", ".DS_Store", "Thumbs.db", ".hidden.tif"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + bytes(4000))
    expected = [tmp_path / "k1.tif", tmp_path / "k2.tif"]
    assert find_inputs([str(tmp_path)]) == expected
    assert find_inputs([str(tmp_path / "*.tif")]) == expected
    assert find_inputs([str(tmp_path / "*k1.tif")]) == expected[:1]
    assert [pair.name for pair in find_pairs(tmp_path, tmp_path, None).pairs] == ["k1", "k2"]


def test_inputs_come_in_natural_order(tmp_path: Path) -> None:
    save(tmp_path, "A10.tif", "A2.tif", "A1.tif")
    wells = ["A1.tif", "A2.tif", "A10.tif"]
    assert [path.name for path in find_inputs([str(tmp_path)])] == wells
    assert [path.name for path in find_inputs([str(tmp_path / "A*")])] == wells


def test_folders_in_folders_are_named_and_found_when_asked(tmp_path: Path) -> None:
    for name in ("drug", "control", "control/day10", "control/day2", "__MACOSX", ".cache", "notes"):
        (tmp_path / name).mkdir()
        if name != "notes":
            save(tmp_path / name, "f1.tif")
    with pytest.raises(InputError, match=r"E-NO-INPUT.*subfolders hold 4 images \(control, .*--recursive"):
        find_inputs([str(tmp_path)])
    places = [path.parent.relative_to(tmp_path).as_posix() for path in find_inputs([str(tmp_path)], is_recursive=True)]
    assert places == ["control", "control/day2", "control/day10", "drug"]


def test_results_are_not_taken_for_inputs(tmp_path: Path) -> None:
    (tmp_path / "day1").mkdir()
    save(tmp_path / "day1", "f1.tif")
    with Ledger(tmp_path / "day1" / "out") as ledger:
        (ledger.items / "f1").mkdir()
        save(ledger.items / "f1", "cell.tif")
    assert find_inputs([str(tmp_path)], is_recursive=True) == [tmp_path / "day1" / "f1.tif"]


def test_litter_in_a_folder_does_not_change_what_it_is(tmp_path: Path) -> None:
    save(tmp_path, "cell_z0.tif", "cell_z1.tif")
    before = sha256_of_path(tmp_path)
    for name in (".DS_Store", "._cell_z0.tif"):
        (tmp_path / name).write_bytes(b"x")
    assert find_inputs([str(tmp_path)]) == [tmp_path]
    assert sha256_of_path(tmp_path) == before
