"""Labelled items written and read back, and folders of pairs, against arrays that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledFrame, LabelledItem, describe_items, find_items, folder_settings
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.datasets.writer import write_item, write_json
from tomocyte.errors import InputError, MetadataError, TomocyteError
from tomocyte.formats import read_volume, write_volume
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger import CommitRecord, Ledger
from tomocyte.volume import Volume

SHAPE = (3, 5, 7)
SIZE_UM = (0.4, 0.3, 0.2)


def test_chosen_channels_are_read_in_their_order_and_derived_ones_are_made(tmp_path: Path) -> None:
    """Background 100 in both; 300 and 500 above it in yellow and red: intensity 400, ratio 5 / 3."""
    voxels = np.full((3, 4, 32, 40), 100, np.uint16)
    voxels[:, :, 16:] += np.array([7, 300, 500], np.uint16).reshape(3, 1, 1, 1)
    names = ("green", "yellow", "red")
    image = Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="intensity", channel_names=names)
    write_volume(tmp_path / "a.ome.tif", image)
    labels = Volume.from_array((voxels[0] > 100).astype(np.uint8), voxel_size_um=SIZE_UM, quantity="labels")
    write_volume(tmp_path / "a_cell.ome.tif", labels)

    def opened(*channels: str) -> Volume:
        settings = LabelledSettings(structures=("cell",), channels=channels)
        return find_items(tmp_path, settings)[0].open_image()

    assert opened().channels == names
    both = opened("ratio", "green", "intensity")
    assert both.channels == ("ratio", "green", "intensity")
    found = [float(both.planes(0, channel)[2, 20, 30]) for channel in range(3)]
    assert found == pytest.approx([5 / 3, 107, 400])
    assert both.planes(0, 0)[2, 3, 4] == 1  # neutral where there is no light
    with pytest.raises(MetadataError, match=r"E-CHANNEL.*blue.*green, yellow, red"):
        opened("blue")


def test_several_structures_together_are_a_target_or_a_mask(tmp_path: Path) -> None:
    image = Volume.from_array(np.full((2, 1, 2, 4), 7, np.uint16), voxel_size_um=SIZE_UM, channel_names=("a", "b"))
    write_volume(tmp_path / "x.ome.tif", image)
    for name, row in (("golgi", [0, 3, 0, 9]), ("lysosome", [0, 0, 5, 9])):
        labels = Volume.from_array(np.array([[row, [0] * 4]], np.uint8), voxel_size_um=SIZE_UM, quantity="labels")
        write_volume(tmp_path / f"x_{name}.ome.tif", labels)
    both = {"both": ("golgi", "lysosome")}
    settings = LabelledSettings(structures=("both",), channels=("both", "b"), unions=both, ignore_label=9)
    (item,) = find_items(tmp_path, settings)
    opened = item.open_image()
    assert opened.channels == ("both", "b")
    assert opened.planes(0, 0)[0].tolist() == [[0, 1, 1, 0], [0] * 4]
    assert opened.planes(0, 1)[0].tolist() == [[7] * 4, [7] * 4]
    target = item.open_labels("both", opened)
    assert target is not None
    assert target.planes(0, 0)[0].tolist() == [[0, 1, 1, 9], [0] * 4]
    (tmp_path / "x_golgi.ome.tif").unlink()
    (item,) = find_items(tmp_path, settings)
    with pytest.raises(InputError, match=r"E-NO-DATA.*golgi, lysosome"):
        item.open_image()


def stack_of(frames: NDArray[Any]) -> LabelStack:
    stack = LabelStack(frames.shape[1:])
    for frame in frames:
        stack.append(frame)
    return stack


def add_item(folder: Path, name: str, image: Volume, labels: dict[str, NDArray[Any]], **more: Any) -> None:
    """An item in its place, with its commit record."""
    more = {"card": {"name": name}} | more
    with Ledger(folder) as ledger:
        staged = ledger.stage(name)
        write_item(staged, name, image, ((key, stack_of(frames)) for key, frames in labels.items()), **more)
        about = {"input_sha256": "0" * 64, "request_sha256": "0" * 64, "code_version": "0"}
        ledger.commit(name, staged, CommitRecord(item=name, source="made by hand", **about))


def series() -> tuple[Volume, NDArray[np.uint32]]:
    """Two frames of two channels, every voxel another value; one box that moves, with half of the planes unlabelled."""
    voxels = np.arange(2 * 2 * np.prod(SHAPE), dtype=np.float32).reshape(2, 2, *SHAPE)
    labels = np.zeros((2, *SHAPE), np.uint32)
    labels[0, 1, 1:3, 1:4], labels[1, 1, 2:4, 2:5] = 9, 9
    labels[:, 2] = 255
    image = Volume.from_array(
        voxels,
        voxel_size_um=SIZE_UM,
        quantity="intensity",
        time_s=(0.0, 90.0),
        channel_names=("nuclei", "lipids"),
    )
    return image, labels


@pytest.fixture
def written(tmp_path: Path) -> Path:
    image, labels = series()
    tracks = pd.DataFrame({"item": "two", "frame": [0, 1], "label": 9, "track_id": 4, "parent_id": 0})
    card = {"name": "two", "split": "test", "domain": "elsewhere", "settings": {"preset": "HeLa"}}
    add_item(tmp_path, "two", image, {"cell": labels, "nucleus": labels * 0}, card=card, tracks=tracks)
    write_json(tmp_path / "labelled.json", {"ignore_label": 255})
    return tmp_path


def test_what_is_written_is_read(written: Path) -> None:
    """All frames, channels, structures, tables and words; unlabelled voxels are known as such."""
    (item,) = find_items(written)
    assert (item.name, item.group, item.split, item.domain, item.cell_line) == (
        "two", "two", "test", "elsewhere", "HeLa",
    )  # fmt: skip
    assert list(item.labels) == ["cell", "nucleus"]
    assert item.truth is None
    assert item.tracks is not None
    assert pd.read_parquet(item.tracks)["track_id"].tolist() == [4, 4]
    image, labels = series()
    volume = item.open_image()
    assert (volume.shape, volume.channel_names, volume.time_s) == ((2, 2, *SHAPE), ("nuclei", "lipids"), (0.0, 90.0))
    for number in range(2):
        frame = item.read_frame(number)
        np.testing.assert_array_equal(frame.image, image.frame(number))
        np.testing.assert_array_equal(frame.labels["cell"], labels[number])
        np.testing.assert_array_equal(item.read_labels("cell", number), labels[number])
        assert frame.voxel_size_um == pytest.approx(SIZE_UM)
        assert (frame.is_labelled("cell").sum(), frame.is_labelled("nucleus").all()) == (2 * 5 * 7, True)


def test_labels_carry_time_and_origin_of_their_image(tmp_path: Path) -> None:
    image, labels = series()
    for name, origin in (("made", "simulated"), ("taken", "file")):
        add_item(tmp_path, name, image.with_properties(origin={"voxel_size_um": origin}), {"cell": labels})
    made, taken = (read_volume(item.labels["cell"]) for item in find_items(tmp_path))
    assert (made.is_simulated, taken.is_simulated) == (True, False)
    assert made.time_s == taken.time_s == (0.0, 90.0)


def test_a_plane_without_a_thickness_stays_one(tmp_path: Path) -> None:
    plane = np.arange(35, dtype=np.float32).reshape(1, 1, 1, 5, 7)
    image = Volume.from_array(plane, voxel_size_um=(float("nan"), 0.3, 0.2), quantity="phase", unit="rad")
    add_item(tmp_path, "plane", image, {"cell": (plane[0] > 20).astype(np.uint8)})
    (item,) = find_items(tmp_path)
    frame = item.read_frame()
    assert frame.voxel_size_um == pytest.approx((float("nan"), 0.3, 0.2), nan_ok=True)
    assert (int(frame.labels["cell"].sum()), frame.ignore_label) == (14, None)
    assert frame.is_labelled("cell").all()


def test_structures_splits_and_domains_are_chosen(written: Path) -> None:
    image = Volume.from_array(np.zeros(SHAPE, np.float32), voxel_size_um=SIZE_UM)
    add_item(written, "one", image, {"nucleus": np.ones((1, *SHAPE), np.uint8)}, card={"split": "train"})
    assert [item.name for item in find_items(written)] == ["one", "two"]
    assert [item.name for item in find_items(written, splits=("train", "validation"))] == ["one"]
    assert [item.name for item in find_items(written, domains=("elsewhere",))] == ["two"]
    (two,) = find_items(written, LabelledSettings(structures=("cell",)))
    assert list(two.labels) == ["cell"]
    with pytest.raises(InputError, match="E-NO-DATA"):
        two.read_labels("nucleus")
    with pytest.raises(InputError, match=r"E-NO-DATA.*validation"):
        find_items(written, splits=("validation",))
    with pytest.raises(InputError, match=r"E-NO-DATA.*lipid"):
        find_items(written, LabelledSettings(structures=("lipid",)))
    with pytest.raises(InputError, match="E-NO-DATA"):
        find_items(written / "nowhere")
    (written / "items" / "one.done.json").unlink()
    assert [item.name for item in find_items(written)] == ["two"]


def test_the_user_s_ignore_label_wins_over_the_folder_s(written: Path) -> None:
    assert [item.ignore_label for item in find_items(written)] == [255]
    assert [item.ignore_label for item in find_items(written, LabelledSettings(ignore_label=9))] == [9]


def test_labels_off_the_image_s_grid_are_not_written(tmp_path: Path) -> None:
    image, labels = series()
    with pytest.raises(InputError, match="E-SHAPE"):
        write_item(tmp_path, "x", image, [("cell", stack_of(labels[:1]))], card={})


@pytest.mark.parametrize("text", ["[]", "{", '{"settings": 3}'])
def test_a_damaged_card_says_nothing(written: Path, text: str) -> None:
    (written / "items" / "two" / "card.json").write_text(text)
    assert [(item.split, item.cell_line) for item in find_items(written)] == [("", "")]


@pytest.mark.parametrize("text", ["[]", '{"patch_shape": 1}', '{"ignore_label": "x; y"}', "{"])
def test_what_a_folder_says_is_checked(tmp_path: Path, text: str) -> None:
    assert folder_settings(tmp_path) == {}
    (tmp_path / "labelled.json").write_text(text)
    with pytest.raises(TomocyteError, match="E-NO-DATA"):
        folder_settings(tmp_path)


def save(path: Path, voxels: NDArray[Any], **properties: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume.from_array(voxels, **properties))


def save_pair(folder: Path, image: str, labels: str) -> None:
    save(folder / image, np.zeros(SHAPE, np.float32), voxel_size_um=SIZE_UM)
    save(folder / labels, np.ones(SHAPE, np.uint8))


@pytest.mark.parametrize(
    ("image", "labels", "settings"),
    [
        ("a.ome.tif", "a_nucleus.ome.tif", {}),
        ("a.ome.tif", "a_instances.ome.tif", {}),
        ("a.ome.tif", "labels/a.ome.tif", {}),
        ("a.ome.tif", "masks/a_mask.ome.tif", {}),
        ("a_raw.ome.tif", "labels/a_truth.ome.tif", {"image_suffix": "_raw", "label_suffix": "_truth"}),
    ],
)
def test_pairs_are_found_by_name(tmp_path: Path, image: str, labels: str, settings: dict[str, Any]) -> None:
    save_pair(tmp_path, image, labels)
    (item,) = find_items(tmp_path, LabelledSettings(structures=("nucleus",), **settings))
    assert (item.name, item.image, item.labels) == ("a", tmp_path / image, {"nucleus": tmp_path / labels})
    assert item.read_frame().labels["nucleus"].sum() == 3 * 5 * 7


def test_no_pair_is_an_error_that_says_how_to_name_them(tmp_path: Path) -> None:
    save_pair(tmp_path, "a.ome.tif", "b_nucleus.ome.tif")
    with pytest.raises(InputError, match="E-NO-DATA") as caught:
        find_items(tmp_path, LabelledSettings(structures=("nucleus",)))
    assert "NAME_instances" in caught.value.cure
    with pytest.raises(InputError, match="any structure"):
        find_items(tmp_path)


def test_images_of_one_cell_are_one_group(tmp_path: Path) -> None:
    for name in ("cell12-z0", "cell12-z1", "cell3-z0", "other"):
        save_pair(tmp_path, f"{name}.ome.tif", f"{name}_cell.ome.tif")
    items = find_items(tmp_path, LabelledSettings(structures=("cell",), group_pattern=r"cell\d+"))
    assert [item.group for item in items] == ["cell12", "cell12", "cell3", "other"]
    with pytest.raises(ValueError, match="regular expression"):
        LabelledSettings(group_pattern="(")


def test_files_without_a_size_need_one_from_the_user(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.zeros((5, 7), np.uint16))
    save(tmp_path / "a_cell.tif", np.ones((5, 7), np.uint8))
    (bare,) = find_items(tmp_path, LabelledSettings(structures=("cell",)))
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE") as caught:
        bare.open_image()
    assert [fact.name for fact in caught.value.missing] == ["pixel_size_um"]
    (given,) = find_items(tmp_path, LabelledSettings(structures=("cell",), stored_pixel_size_um=(0.5, 0.25)))
    assert given.open_image().require_voxel_size()[1:] == (0.5, 0.25)


def test_stacks_that_say_nothing_are_read_as_the_user_says(tmp_path: Path) -> None:
    """Neither axes nor size: both are asked for at once, and taken for image and labels."""
    voxels = np.arange(2 * 3 * 5 * 7, dtype=np.uint16).reshape(2, 3, 5, 7)
    tifffile.imwrite(tmp_path / "a.tif", voxels.reshape(6, 5, 7), photometric="minisblack", metadata=None)
    tifffile.imwrite(tmp_path / "a_cell.tif", voxels[0], photometric="minisblack", metadata=None)
    (bare,) = find_items(tmp_path, LabelledSettings(structures=("cell",)))
    with pytest.raises(MetadataError, match="E-AXES") as caught:
        bare.open_image()
    assert [fact.name for fact in caught.value.missing] == ["axes", "voxel_size_um"]
    size = (0.4, 0.3, 0.2)
    one = tmp_path / "one"
    one.mkdir()
    tifffile.imwrite(one / "a.tif", voxels[1], photometric="minisblack", metadata=None)
    tifffile.imwrite(one / "a_cell.tif", voxels[0], photometric="minisblack", metadata=None)
    (item,) = find_items(one, LabelledSettings(structures=("cell",), stored_axes="ZYX", stored_voxel_size_um=size))
    assert item.open_image().require_voxel_size() == size
    np.testing.assert_array_equal(item.open_image().planes(0, 0), voxels[1])
    np.testing.assert_array_equal(item.read_labels("cell"), voxels[0])
    with pytest.raises(ValueError, match="not both"):
        LabelledSettings(stored_pixel_size_um=(0.3, 0.2), stored_voxel_size_um=size)


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.zeros((3, 5, 6), np.uint8), "E-SHAPE"),
        (np.zeros((2, 1, *SHAPE), np.uint8), "E-SHAPE"),
        (np.zeros(SHAPE, np.float32), "E-LABELS-TYPE"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: NDArray[Any], code: str) -> None:
    save(tmp_path / "a.ome.tif", np.zeros(SHAPE, np.float32), voxel_size_um=SIZE_UM)
    save(tmp_path / "b.ome.tif", labels, voxel_size_um=SIZE_UM)
    item = LabelledItem("a", tmp_path / "a.ome.tif", {"cell": tmp_path / "b.ome.tif"})
    with pytest.raises(InputError, match=code):
        item.read_frame()
    with pytest.raises(InputError, match=code):
        item.read_labels("cell")


def test_every_file_of_an_item_is_described_by_its_hash(tmp_path: Path) -> None:
    cell, nucleus = tmp_path / "cell.tif", tmp_path / "nucleus.tif"
    item = LabelledItem("one", tmp_path / "one.tif", {"cell": cell, "nucleus": nucleus}, group="g", domain="far")
    hashes = {str(path): str(number) * 64 for number, path in enumerate((item.image, cell, nucleus))}
    (described,) = describe_items([item], hashes)
    assert described == {
        "name": "one",
        "group": "g",
        "split": "",
        "domain": "far",
        "files": {"one.tif": "0" * 64, "cell.tif": "1" * 64, "nucleus.tif": "2" * 64},
    }
    assert describe_items([], {}) == []


@pytest.mark.parametrize(("ignore_label", "n_labelled"), [(None, 24), (255, 22), (0, 3), (7, 23)])
def test_voxels_of_the_ignored_label_are_not_looked_at(ignore_label: int | None, n_labelled: int) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, 0], labels[1, 2, 2:] = 7, 255
    frame = LabelledFrame(np.zeros((1, 2, 3, 4)), {"cell": labels}, SIZE_UM, ignore_label)
    assert np.count_nonzero(frame.is_labelled("cell")) == n_labelled


def test_label_images_are_found_by_other_names_of_their_structure(tmp_path: Path) -> None:
    """Both ways, and only where no file has the name that was asked for."""
    image, labels = series()
    for name, values in {"x": image.frame(0)[0], "x_membrane": labels[0], "x_nuclei": labels[1]}.items():
        write_volume(tmp_path / f"{name}.tif", Volume.from_array(values, voxel_size_um=SIZE_UM))
    (item,) = find_items(tmp_path, LabelledSettings(structures=("cell", "nucleus", "golgi")))
    names = {name: path.name for name, path in item.labels.items()}
    assert names == {"cell": "x_membrane.tif", "nucleus": "x_nuclei.tif"}
    np.testing.assert_array_equal(item.read_labels("cell"), labels[0])
    write_volume(tmp_path / "x_cell.tif", Volume.from_array(labels[1], voxel_size_um=SIZE_UM))
    (item,) = find_items(tmp_path, LabelledSettings(structures=("cell",)))
    assert item.labels["cell"].name == "x_cell.tif"


def test_a_data_set_serves_a_structure_by_its_other_names(written: Path) -> None:
    (item,) = find_items(written, LabelledSettings(structures=("membrane", "nuclei")))
    assert {name: path.name for name, path in item.labels.items()} == {
        "membrane": "cell.ome.tif",
        "nuclei": "nucleus.ome.tif",
    }
