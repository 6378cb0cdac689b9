"""Which files a folder stands for."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tomocyte.datasets.inputs import find_inputs, modality_of_files
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import ReadOptions, write_volume
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
