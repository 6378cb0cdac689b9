"""Which files of a folder are images, and what their names are without an ending."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte.datasets.files import image_endings, image_files, item_folders, named_images, stem_of


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("cell.ome.tif", "cell"),
        ("cell.OME.TIFF", "cell"),
        ("cell.TCF", "cell"),
        ("cell.nii.gz", "cell"),
        ("cell.ome.zarr", "cell"),
        ("t 3.5 °C.png", "t 3.5 °C"),
        ("a.b.tif", "a.b"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_of_several_endings_the_longest_is_taken_off(name: str, stem: str) -> None:
    assert stem_of(Path("folder.tif") / name) == stem


def test_images_are_files_and_stores_of_known_formats_but_nothing_hidden(tmp_path: Path) -> None:
    for name in ("b.tif", "a.png", "A.TCF", "._b.tif", "notes.txt", "tif"):
        (tmp_path / name).touch()
    (tmp_path / "c.ome.zarr").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["A.TCF", "a.png", "b.tif", "c.ome.zarr"]
    assert image_files(tmp_path / "nowhere") == []


def test_a_picture_gives_way_to_the_volume_of_its_name(tmp_path: Path) -> None:
    for name in ("a.png", "a.ome.tif", "b.tif", "b.png", "c.png"):
        (tmp_path / name).touch()
    assert {stem: path.name for stem, path in named_images(tmp_path).items()} == {
        "a": "a.ome.tif", "b": "b.tif", "c": "c.png",
    }  # fmt: skip


def test_items_are_folders_in_items(tmp_path: Path) -> None:
    assert item_folders(tmp_path) == []
    for name in ("b", "a"):
        (tmp_path / "items" / name).mkdir(parents=True)
    (tmp_path / "items" / "a.done.json").touch()
    assert [path.name for path in item_folders(tmp_path)] == ["a", "b"]


def test_endings_are_in_lower_case_and_those_of_the_formats() -> None:
    endings = image_endings()
    assert {".tif", ".ome.tif", ".nrrd", ".tcf", ".mrc", ".zarr", ".png"} <= set(endings)
    assert all(ending == ending.lower() and ending.startswith(".") for ending in endings)
