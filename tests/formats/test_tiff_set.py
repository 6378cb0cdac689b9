"""OME-TIFF files that are one of a set: positions, split time series, companions, renamed files, stopped series."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tomocyte.datasets.inputs import find_inputs
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, parts_of, read_volume
from tomocyte.volume import Volume

NAMES = ("s_MMStack_1-Pos0.ome.tif", "s_MMStack_1-Pos1.ome.tif")


def stack(value: int, n_planes: int = 3) -> NDArray[np.uint16]:
    """(n_planes, 5, 7) with value + plane."""
    return np.broadcast_to((value + np.arange(n_planes, dtype=np.uint16))[:, None, None], (n_planes, 5, 7)).copy()


def save(path: Path, voxels: NDArray[np.generic], xml: str | None) -> None:
    text = None if xml is None else xml.encode()
    tifffile.imwrite(path, voxels, description=text, metadata=None, photometric="minisblack", ome=False)


def data(name: str | None, uuid: str | None, *, ifd: int = 0, count: int = 3, first: str = "") -> str:
    if name is None and uuid is None:
        return f'<TiffData IFD="{ifd}" PlaneCount="{count}" {first}/>'
    file_name = "" if name is None else f' FileName="{name}"'
    return f'<TiffData IFD="{ifd}" PlaneCount="{count}" {first}><UUID{file_name}>{uuid}</UUID></TiffData>'


def image(index: int, name: str, inside: str, *, sizes: tuple[int, int, int] = (1, 1, 3), more: str = "") -> str:
    t, c, z = sizes
    return (
        f'<Image ID="Image:{index}" Name="{name}"><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="7" SizeY="5" '
        f'SizeZ="{z}" SizeC="{c}" SizeT="{t}" PhysicalSizeX="0.1" PhysicalSizeY="0.2" PhysicalSizeZ="0.5" {more}>'
        f"{inside}</Pixels></Image>"
    )


def document(*images: str, uuid: str | None = None) -> str:
    head = "" if uuid is None else f' UUID="{uuid}"'
    return f'<?xml version="1.0" encoding="UTF-8"?><OME{head}>{"".join(images)}</OME>'


def opened(path: Path, **options: object) -> Volume:
    return read_volume(path, ReadOptions(**options))  # type: ignore[arg-type]


def level(volume: Volume) -> int:
    """The voxel value of the first plane, which tells the image."""
    return int(volume.planes(0, 0)[0, 0, 0])


def positions(folder: Path, *, uuids: tuple[str | None, str | None] = ("urn:uuid:0", "urn:uuid:1")) -> list[Path]:
    """Two stage positions, each in a file that carries the OME-XML of both."""
    images = [image(index, f"Pos{index}", data(NAMES[index], f"urn:uuid:{index}")) for index in (0, 1)]
    for index, name in enumerate(NAMES):
        save(folder / name, stack(100 * (index + 1)), document(*images, uuid=uuids[index]))
    return [folder / name for name in NAMES]


# ---------------------------------------------------------------- positions


@pytest.mark.parametrize(
    "uuids",
    [("urn:uuid:0", "urn:uuid:1"), (None, None), ("urn:uuid:0", "urn:uuid:0")],
    ids=["each its own", "none", "one in both"],
)
def test_each_file_gives_the_image_that_lies_in_it(uuids: tuple[str | None, str | None], tmp_path: Path) -> None:
    paths = positions(tmp_path, uuids=uuids)
    assert [level(opened(path)) for path in paths] == [100, 200]
    assert [opened(path).metadata["image_name"] for path in paths] == ["Pos0", "Pos1"]
    assert opened(paths[1]).notes == ()
    assert find_inputs([str(tmp_path)]) == paths  # two inputs
    assert level(opened(paths[1], dataset="Pos0")) == 100  # the other one, from its own file


def test_a_position_whose_metadata_another_file_holds(tmp_path: Path) -> None:
    first, second = positions(tmp_path)
    stub = f'<OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="{NAMES[0]}" UUID="urn:uuid:0"/></OME>'
    save(second, stack(200), stub)
    assert (level(opened(first)), level(opened(second))) == (100, 200)
    assert find_inputs([str(tmp_path / "*.tif")]) == [first, second]
    (tmp_path / NAMES[0]).unlink()
    with pytest.raises(InputError, match=f"E-COMPANION-MISSING.*{re.escape(NAMES[0])}"):
        opened(second)


def test_several_images_in_one_file_are_listed_and_chosen(tmp_path: Path) -> None:
    path = tmp_path / "all.ome.tif"
    names = ["Pos0", "Pos 1", "Pos 1"]
    images = [image(index, name, data(None, None, ifd=3 * index)) for index, name in enumerate(names)]
    save(path, np.concatenate([stack(100), stack(200), stack(300)]), document(*images))
    volume = opened(path)
    assert level(volume) == 100
    (note,) = [note for note in volume.notes if note.startswith("W-TIFF-SERIES")]
    assert note.endswith("Give --dataset with one of: Pos0, 1, 2.")
    assert [level(opened(path, dataset=name)) for name in ("Pos0", "Image:1", "1", "2")] == [100, 200, 200, 300]
    assert not [note for note in opened(path, dataset="1").notes if "W-TIFF-SERIES: the file" in note]
    for wrong in ("Pos 1", "7", "nucleus"):
        with pytest.raises(InputError, match=r"E-DATASET.*one of: Pos0, 1, 2\."):
            opened(path, dataset=wrong)
    save(path, stack(5), document(image(0, "two words", data(None, None)), image(1, "b", data(None, None))))
    assert '"two words"' in " ".join(opened(path).notes)
    assert opened(path, dataset="two words").metadata["image_name"] == "two words"


# ---------------------------------------------------------------- one image, split over files


def split_series(folder: Path, *, n_files: int = 3, kind: str = "each") -> list[Path]:
    """A time series, one stack of each file a frame. ``kind``: who carries the OME-XML."""
    names = [f"cell_MMStack{'' if index == 0 else f'_{index}'}.ome.tif" for index in range(n_files)]
    inside = "".join(data(name, f"urn:uuid:{t}", first=f'FirstT="{t}"') for t, name in enumerate(names))
    whole = image(0, "cell", inside, sizes=(n_files, 1, 3), more='TimeIncrement="2"')
    holder = {"each": "", "first": names[0], "companion": "cell.companion.ome"}[kind]
    if kind == "companion":
        (folder / holder).write_text(document(whole))
    for t, name in enumerate(names):
        is_stub = kind == "companion" or (kind == "first" and t > 0)
        stub = f'<OME UUID="urn:uuid:{t}"><BinaryOnly MetadataFile="{holder}" UUID="urn:uuid:m"/></OME>'
        save(folder / name, stack(100 * (t + 1)), stub if is_stub else document(whole, uuid=f"urn:uuid:{t}"))
    return [folder / name for name in names]


@pytest.mark.parametrize("kind", ["each", "first", "companion"])
def test_a_series_split_over_files_is_one_input(kind: str, tmp_path: Path) -> None:
    paths = split_series(tmp_path, kind=kind)
    for path in paths:
        volume = opened(path)
        assert volume.shape == (3, 1, 3, 5, 7)
        assert [int(volume.planes(t, 0)[0, 0, 0]) for t in range(3)] == [100, 200, 300]
        assert volume.time_s == (0, 2, 4)
    assert parts_of(paths) == [tuple(sorted(path.resolve() for path in paths))] * 3
    assert find_inputs([str(tmp_path)]) == paths[:1]
    assert find_inputs([str(tmp_path / "*.ome.tif")]) == paths[:1]
    assert find_inputs([str(path) for path in reversed(paths)]) == paths[-1:]  # the first that is named
    tifffile.imwrite(tmp_path / "other.tif", stack(1)[0], metadata=None)
    assert find_inputs([str(tmp_path)]) == [paths[0], tmp_path / "other.tif"]


def test_a_folder_that_is_one_set_of_numbered_files_is_that_set(tmp_path: Path) -> None:
    for t, path in enumerate(split_series(tmp_path)):
        path.rename(tmp_path / f"cell_T{t}.ome.tif")
    for path in sorted(tmp_path.iterdir()):
        names = {f"cell_MMStack{'' if t == 0 else f'_{t}'}.ome.tif": f"cell_T{t}.ome.tif" for t in range(3)}
        with tifffile.TiffFile(path) as tif:
            text = tif.pages[0].description
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        save(path, stack(100 * (int(path.name[6]) + 1)), text)
    assert len(find_inputs([str(tmp_path)])) == 1
    assert opened(tmp_path).shape == (3, 1, 3, 5, 7)


def test_missing_files_of_a_set_are_named_and_copying_them_cures(tmp_path: Path) -> None:
    paths = split_series(tmp_path)
    away = tmp_path / "away"
    away.mkdir()
    for path in paths[1:]:
        shutil.move(path, away / path.name)
    with pytest.raises(InputError, match=r"E-COMPANION-MISSING.*set of 3 files.*_1\.ome\.tif.*_2\.ome\.tif"):
        opened(paths[0])
    for path in paths[1:]:
        shutil.copy(away / path.name, path)
    assert opened(paths[0]).shape == (3, 1, 3, 5, 7)


@pytest.mark.parametrize("n_pages", [34, 33])
def test_a_stopped_acquisition_gives_its_whole_frames(n_pages: int, tmp_path: Path) -> None:
    """50 frames of 3 planes planned; the OME-XML places 102 or 99 planes, of which the last frame may be partial."""
    path = tmp_path / "a.ome.tif"
    placed = "".join(
        f'<TiffData IFD="{page}" FirstT="{page // 3}" FirstZ="{page % 3}" PlaneCount="1"/>' for page in range(n_pages)
    )
    save(
        path,
        np.concatenate([stack(10 * t) for t in range(12)])[:n_pages],
        document(image(0, "a", placed, sizes=(50, 1, 3))),
    )
    volume = opened(path)
    assert volume.shape == (11, 1, 3, 5, 7)
    assert int(volume.planes(10, 0)[2, 0, 0]) == 102
    assert [
        note for note in volume.notes if note.startswith("W-TIFF-STOPPED: 50 frames were planned") and " 11 " in note
    ]
    gap = placed.replace('FirstT="3" FirstZ="1"', 'FirstT="49" FirstZ="1"')
    save(path, np.zeros((n_pages, 5, 7), np.uint16), document(image(0, "a", gap, sizes=(50, 1, 3))))
    with pytest.raises(InputError, match="E-TIFF-TRUNC"):
        opened(path)


# ---------------------------------------------------------------- renamed


@pytest.mark.parametrize(
    ("name", "uuid", "own"),
    [("orig.ome.tif", "urn:uuid:z", None), ("orig.ome.tif", "urn:uuid:z", "urn:uuid:a"),
     (None, "urn:uuid:b", "urn:uuid:a"), (None, "urn:uuid:a", "urn:uuid:a"),
     ("C:\\data\\renamed.ome.tif", "urn:uuid:z", None)],
)  # fmt: skip
def test_a_single_file_that_was_renamed_is_read(name: str | None, uuid: str, own: str | None, tmp_path: Path) -> None:
    path = tmp_path / "renamed.ome.tif"
    save(path, stack(7), document(image(0, "a", data(name, uuid)), uuid=own))
    volume = opened(path)
    assert level(volume) == 7
    is_known = uuid == own or (name is not None and name.endswith(path.name))
    assert any(note.startswith("W-TIFF-RENAMED") for note in volume.notes) is not is_known
    save(path, stack(7)[:2], document(image(0, "a", data(name, uuid)), uuid=own))  # too few pages for it
    with pytest.raises(InputError, match="E-TIFF-TRUNC"):
        opened(path)


def test_renamed_positions_are_told_by_their_uuid_or_by_the_user(tmp_path: Path) -> None:
    first, second = positions(tmp_path)
    renamed = second.rename(tmp_path / "treated cell.ome.tif")
    assert level(opened(renamed)) == 200  # its own UUID, and its name is the only one that is missing
    first.rename(tmp_path / "control cell.ome.tif")
    assert level(opened(renamed)) == 200
    assert level(opened(tmp_path / "control cell.ome.tif")) == 100
    for path, value in ((renamed, 200), (tmp_path / "control cell.ome.tif", 100)):  # neither has a UUID
        with tifffile.TiffFile(path) as tif:
            text = re.sub(r'<OME UUID="[^"]*"', "<OME", tif.pages[0].description)
        save(path, stack(value), text)
    with pytest.raises(InputError, match=r"E-TIFF-SET.*--dataset with one of: Pos0, Pos1\."):
        opened(renamed)
    volume = opened(renamed, dataset="Pos1")
    assert level(volume) == 200
    assert any(note.startswith("W-TIFF-RENAMED") for note in volume.notes)


def test_a_set_that_was_renamed_is_found_by_uuid(tmp_path: Path) -> None:
    for t, path in enumerate(split_series(tmp_path)):
        path.rename(tmp_path / f"new_{'abc'[t]}.ome.tif")
    volume = opened(tmp_path / "new_b.ome.tif")
    assert [int(volume.planes(t, 0)[0, 0, 0]) for t in range(3)] == [100, 200, 300]
    assert find_inputs([str(tmp_path)]) == [tmp_path / "new_a.ome.tif"]


def test_names_with_the_folders_of_another_computer_are_found_beside_the_file(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    placed = "".join(data(f"D:\\run 1\\t{t}.ome.tif", f"urn:uuid:{t}", first=f'FirstT="{t}"') for t in range(2))
    for t in range(2):
        save(inside / f"t{t}.ome.tif", stack(100 * t), document(image(0, "a", placed, sizes=(2, 1, 3))))
    assert [int(opened(inside / "t1.ome.tif").planes(t, 0)[0, 0, 0]) for t in range(2)] == [0, 100]
    (inside / "t0.ome.tif").rename(tmp_path / "t0.ome.tif")
    (inside / "t0.ome.tif").symlink_to(tmp_path / "t0.ome.tif")
    with pytest.raises(InputError, match="E-COMPANION-OUTSIDE"):
        opened(inside / "t1.ome.tif")


# ---------------------------------------------------------------- folders of whole files


def test_files_that_are_whole_by_their_own_xml_are_a_batch(tmp_path: Path) -> None:
    for index in range(4):
        path = tmp_path / f"c{index:03d}.ome.tif"
        save(path, stack(index), document(image(0, path.name, data(path.name, f"urn:uuid:{index}"))))
    assert len(find_inputs([str(tmp_path)])) == 4
    with pytest.raises(InputError, match=r"E-AXES.*--axes CZYX"):
        opened(tmp_path)
    assert opened(tmp_path, axes="CZYX").shape == (1, 4, 3, 5, 7)


@pytest.mark.parametrize(("n_files", "n_inputs"), [(3, 1), (40, 40)])
def test_bare_files_numbered_by_c_are_channels_as_far_as_there_can_be(
    n_files: int, n_inputs: int, tmp_path: Path
) -> None:
    for index in range(n_files):
        save(tmp_path / f"c{index}.tif", stack(index)[0], None)
    assert len(find_inputs([str(tmp_path)])) == n_inputs


def test_the_companion_of_a_set_opens_it(tmp_path: Path) -> None:
    paths = split_series(tmp_path, kind="companion")
    companion = tmp_path / "cell.companion.ome"
    assert opened(companion).shape == (3, 1, 3, 5, 7)
    assert find_inputs([str(companion), str(tmp_path)]) == [companion]
    two = document(*(image(index, f"Pos{index}", data(paths[index].name, "x")) for index in (0, 1)))
    companion.write_text(two)
    with pytest.raises(InputError, match=r"E-DATASET.*one of: Pos0, Pos1\."):
        opened(companion)
    assert level(opened(companion, dataset="Pos1")) == 200
    assert level(opened(paths[1])) == 200
    paths[1].unlink()
    with pytest.raises(InputError, match=f"E-COMPANION-MISSING.*{re.escape(paths[1].name)}"):
        opened(companion, dataset="Pos1")
    companion.write_text(document(image(0, "a", "")))
    with pytest.raises(InputError, match="E-TIFF-META"):
        opened(companion)
