"""``tomocyte measure``: masks of the user's own through the road of a run, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.formats import write_volume
from tomocyte.volume import Volume

VOXEL = (0.4, 0.2, 0.1)
SHAPE = (8, 20, 30)
ODT = ("-m", "odt", "--medium-ri", "1.337")


@pytest.fixture(autouse=True)
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with workers_in_this_process():
        yield


def image(name: str = "image.ome.tif", shape: tuple[int, ...] = SHAPE, **more: Any) -> np.ndarray:
    """Noise around 1.34 in a file that says its voxel size."""
    values = np.random.default_rng(1).normal(1.34, 0.002, shape).astype(np.float32)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_volume(Path(name), Volume.from_array(values, **{"voxel_size_um": VOXEL, **more}))
    return values


def labels(name: str, values: np.ndarray, **more: Any) -> None:
    """A label image; a plain TIFF says nothing of axes or voxels."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".ome.tif"):
        write_volume(Path(name), Volume.from_array(values, quantity="labels", **more))
    else:
        tifffile.imwrite(name, values)


def cells() -> np.ndarray:
    """Two boxes, numbered 3 and 9; the second is cut by the border."""
    values = np.zeros(SHAPE, np.uint16)
    values[1:7, 2:12, 3:13], values[1:7, 2:12, 18:] = 3, 9
    return values


def table(folder: str = "out") -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "objects.csv")


def message(done: Any) -> str:
    return f"{done.output}{done.exception}"


def test_own_masks_of_several_structures_are_one_table() -> None:
    values = image()
    labels("cells.tif", cells())
    nuclei = np.zeros(SHAPE, np.uint8)
    nuclei[2:5, 4:8, 5:9], nuclei[2:5, 4:8, 20:24] = 255, 255
    labels("nuclei.tif", nuclei)
    golgi = np.zeros(SHAPE, np.uint8)
    golgi[3, 8:10, 20:22], golgi[7, 18, 1] = 4, 2
    labels("golgi.tif", golgi)
    line = ("measure", "image.ome.tif", "cells.tif", "--nucleus", "nuclei.tif", "--labels", "golgi=golgi.tif", *ODT)
    done = tomocyte(*line, "-o", "out")
    assert done.exit_code == 0, done.output
    rows = table()
    found = rows[["structure", "label", "cell_id"]].values.tolist()
    # The nuclei were a mask of one value, so their pieces are numbered; a Golgi outside all cells belongs to none.
    assert found == [
        ["cell", 3, 3], ["cell", 9, 9], ["cytoplasm", 3, 3], ["cytoplasm", 9, 9],
        ["golgi", 2, 0], ["golgi", 4, 9], ["nucleus", 1, 3], ["nucleus", 2, 9],
    ]  # fmt: skip
    assert rows["is_cut"].tolist() == [False, True, False, True, True, False, False, False]
    v = 0.4 * 0.2 * 0.1
    assert rows["volume_um3"].tolist() == pytest.approx([600 * v, 720 * v, 552 * v, 668 * v, v, 4 * v, 48 * v, 48 * v])
    expected = ((values[cells() == 3].astype(float) - 1.337) / 0.19).sum() * v
    assert rows["dry_mass_pg"][0] == pytest.approx(expected, rel=1e-9)
    cell = rows.iloc[1]
    assert cell[
        ["n_nucleus", "n_golgi", "total_golgi_volume_um3", "median_nucleus_volume_um3"]
    ].tolist() == pytest.approx([1, 1, 4 * v, 48 * v])
    assert cell["nucleus_to_cytoplasm_volume_ratio"] == pytest.approx(48 / (720 - 48))
    assert rows.iloc[0]["n_golgi"] == 0
    assert rows.iloc[0]["total_golgi_volume_um3"] == 0
    assert rows["n_golgi"][2:].isna().all()
    parts = rows[(rows["cell_id"] == 9) & (rows["structure"] != "cell")]
    assert parts["dry_mass_pg"].sum() == pytest.approx(cell["dry_mass_pg"], rel=1e-6), "parts make the cell"
    status = pd.read_csv("out/status.csv")
    assert "W-MASK-PIECES: the file of nucleus" in status["warnings"][0]
    assert tomocyte("verify", "out").exit_code == 0
    assert "1 in an earlier run" in tomocyte(*line, "-o", "out").output
    facts = json.loads(Path("out/items/image/facts.json").read_text())
    assert facts["model"] == "masks"
    assert facts["masks"]["files"] == {"cell": "cells.tif", "nucleus": "nuclei.tif", "golgi": "golgi.tif"}
    assert "Masks were given by the user" in Path("out/report.html").read_text()
    # Another content of a mask is another question; the image alone did not change.
    labels("golgi.tif", np.where(golgi == 4, 0, golgi).astype(np.uint8))
    assert "0 in an earlier run" in tomocyte(*line, "-o", "out").output
    assert len(table()) == 7


def test_images_one_by_one_stand_in_one_table_and_folders_are_matched_by_name() -> None:
    for name in ("a", "b"):
        image(f"images/{name}.ome.tif")
        labels(f"masks/{name}_labels.tif", cells())
        done = tomocyte("measure", f"images/{name}.ome.tif", f"masks/{name}_labels.tif", *ODT, "-o", "one")
        assert done.exit_code == 0, done.output
    assert table("one")["item"].tolist() == ["a", "a", "b", "b"]
    assert tomocyte("measure", "images", "masks", *ODT, "-o", "both").exit_code == 0
    pd.testing.assert_frame_equal(
        table("one").drop(columns=["path", "folder"]), table("both").drop(columns=["path", "folder"])
    )
    Path("masks/a_labels.tif").unlink()
    assert "E-PAIR" in message(tomocyte("measure", "images", "masks", *ODT, "-o", "three"))


def test_labels_alone_have_forms() -> None:
    labels("cells.ome.tif", cells(), voxel_size_um=VOXEL)
    assert tomocyte("measure", "--cell", "cells.ome.tif", "-o", "out").exit_code == 0
    rows = table()
    assert rows["volume_um3"].tolist() == pytest.approx([4.8, 5.76])
    assert not [name for name in rows if (name.endswith("_ri") and name != "medium_ri") or "mass" in name]
    labels("bare.tif", cells())
    done = tomocyte("measure", "--cell", "bare.tif", "-o", "bare", "--json")
    assert "E-" in message(done)
    assert "voxel" in message(done)
    by_hand = ("--axes", "ZYX", "--voxel-size-um", "0.4", "0.2", "0.1")
    assert tomocyte("measure", "--cell", "bare.tif", "-o", "bare", *by_hand).exit_code == 0
    assert table("bare")["volume_um3"].tolist() == pytest.approx([4.8, 5.76])


def test_the_bare_file_may_hold_organelles_of_given_cells() -> None:
    """--structure names what it holds; nothing that is given is left out."""
    labels("cells.tif", cells())
    nuclei = np.zeros(SHAPE, np.uint8)
    nuclei[2:5, 4:8, 5:9], nuclei[2:5, 4:8, 20:24] = 1, 2
    labels("nuclei.tif", nuclei)
    image()
    both = {
        "named": ("image.ome.tif", "--cell", "cells.tif", "--nucleus", "nuclei.tif"),
        "bare": ("image.ome.tif", "nuclei.tif", "--structure", "nucleus", "--cell", "cells.tif"),
    }
    for name, words in both.items():
        assert tomocyte("measure", *words, *ODT, "-o", name).exit_code == 0
    assert table("bare")["structure"].tolist() == ["cell"] * 2 + ["cytoplasm"] * 2 + ["nucleus"] * 2
    pd.testing.assert_frame_equal(table("bare"), table("named"))


def test_edits_are_applied_to_given_masks() -> None:
    image()
    labels("cells.tif", cells())
    Path("edits.yaml").write_text("version: 1\nedits:\n- {do: delete, structure: cell, targets: [9]}\n")
    done = tomocyte("measure", "image.ome.tif", "cells.tif", *ODT, "-o", "out", "--edits", "edits.yaml")
    assert done.exit_code == 0, done.output
    assert table()["label"].tolist() == [3]


def test_nothing_one_voxel_and_seventy_thousand_objects() -> None:
    image(shape=(70, 100, 40))
    many = np.zeros((70, 100, 40), np.uint32)
    many.reshape(-1)[::4] = np.arange(1, 70_001)
    labels("many.tif", many)
    labels("none.tif", 0 * many)
    one = many * (many == 33_333)
    labels("one.tif", one)
    for name, n in (("none", 0), ("one", 1), ("many", 70_000)):
        done = tomocyte("measure", "image.ome.tif", f"{name}.tif", *ODT, "-o", name)
        assert done.exit_code == 0, done.output
        assert len(table(name)) == n
    assert table("many")["label"].tolist() == list(range(1, 70_001))
    assert table("one")["label"].tolist() == [33_333]
    assert "W-NO-OBJECT: the file of cell holds no object" in status_of("none")
    labels("none.ome.tif", 0 * many, voxel_size_um=VOXEL)
    assert tomocyte("measure", "--cell", "none.ome.tif", "-o", "alone").exit_code == 0
    assert status_of("alone").startswith("W-NO-OBJECT"), "and says nothing of a constant image"


def test_structures_in_channels_and_frames_of_a_film() -> None:
    image(shape=(2, 1, *SHAPE), time_s=(0.0, 60.0))
    both = np.zeros((2, 2, *SHAPE), np.uint16)
    both[:, 0], both[1, 1, 3:5, 4:8, 5:9] = cells(), 1
    labels("both.ome.tif", both, voxel_size_um=VOXEL, channel_names=("cell", "nucleus"))
    done = tomocyte("measure", "image.ome.tif", "both.ome.tif", "--nucleus", "both.ome.tif", *ODT, "-o", "out")
    assert done.exit_code == 0, done.output
    rows = table()
    assert rows.groupby(["frame", "structure"]).size().to_dict() == {
        (0, "cell"): 2, (1, "cell"): 2, (1, "cytoplasm"): 1, (1, "nucleus"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("image.ome.tif",), "E-MASKS"),
        (("image.ome.tif", "cells.tif", "--cell", "cells.tif"), "E-MASKS"),
        (("image.ome.tif", "other.tif"), "E-SHAPE"),
        (("image.ome.tif", "cells.tif", "--nucleus", "other.tif"), "E-SHAPE"),
        (("image.ome.tif", "cells.tif", "--nucleus", "nowhere.tif"), "E-NOT-FOUND"),
        (("image.ome.tif", "size.ome.tif"), "E-VOXEL-SIZE"),
        (("image.ome.tif", "half.tif"), "E-LABELS-TYPE"),
        (("image.ome.tif", "cells.tif", "--labels", "golgi"), "E-USAGE"),
        (("image.ome.tif", "channels.ome.tif"), "E-CHANNEL"),
        (("image.ome.tif", "--nucleus", "cells.tif", "--structure", "cell"), "E-MASKS"),
        (("image.ome.tif", "cells.tif", "--labels", "golgi=cells.tif", "--labels", "golgi=half.tif"), "E-MASKS"),
        (("image.ome.tif", "cells.tif", "--nucleus", "cells.tif", "--labels", "nuclei=half.tif"), "E-MASKS"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, tuple) else value,
)
def test_what_cannot_be_measured_is_refused(arguments: tuple[str, ...], code: str) -> None:
    image()
    labels("cells.tif", cells())
    labels("other.tif", cells()[:, :-2])
    labels("half.tif", (cells() / 18).astype(np.float32))
    labels("size.ome.tif", cells(), voxel_size_um=(0.4, 0.2, 0.2))
    labels("channels.ome.tif", np.stack([cells(), cells()])[None], voxel_size_um=VOXEL)
    done = tomocyte("measure", *arguments, *ODT, "-o", "out")
    assert done.exit_code != 0
    assert code in message(done)
    by_hand = tomocyte(
        "measure", "image.ome.tif", "size.ome.tif", *ODT, "-o", "by_hand", "--voxel-size-um", *map(str, VOXEL)
    )
    assert by_hand.exit_code == 0


def turned() -> np.ndarray:
    """The axes as NIfTI has them, X first."""
    return np.ascontiguousarray(cells().T)


@pytest.mark.parametrize(
    ("values", "code", "parts"),
    [
        (lambda: cells()[:, :18], "E-SHAPE", ("(1, 8, 18, 30)", "(1, 8, 20, 30)", "resample")),
        (lambda: cells()[3], "E-SHAPE", ("(1, 1, 20, 30)", "resample")),
        (turned, "E-SHAPE", ("(1, 30, 20, 8)", "another order: save the masks with the axes of the image")),
        (lambda: np.stack([cells()] * 2), "E-SHAPE", ("axes ZYX of the image", "frames")),
        (lambda: (cells() / 18).astype(np.float32), "E-LABELS-TYPE", ("from 0 to 0.5", "threshold")),
        (lambda: cells().astype(np.int16) - 1, "E-LABELS-TYPE", ("holds -1", "Relabel from 0")),
        (lambda: np.where(cells() == 3, np.nan, cells()).astype(np.float32), "E-NAN", ("600 voxels", "0 = background")),
        (lambda: cells() * np.uint64(2**40), "E-LABELS", (str(9 * 2**40), "4294967295", "relabel_sequential")),
        (lambda: np.stack([cells()[3].astype(np.uint8)] * 3, axis=-1), "E-RGB", ("colour", "number of an object")),
    ],
    ids=["shape", "plane", "turned", "frames", "fractions", "negative", "nan", "huge", "colour"],
)
def test_a_mask_that_does_not_fit_is_named_with_what_to_do(values: Any, code: str, parts: tuple[str, ...]) -> None:
    image()
    labels("mine.tif", values())
    done = tomocyte("measure", "image.ome.tif", "mine.tif", *ODT, "-o", "out")
    assert done.exit_code == 4
    text = " ".join(message(done).split())
    for part in (f"failed: image: {code}: mine.tif", *parts):
        assert part in text
    assert "--axes" not in text, "the axes of masks cannot be given"
    assert len(table()) == 0


def test_whole_numbers_in_floats_are_labels_and_planes_and_films_fit_their_like() -> None:
    image()
    Path("my data").mkdir()
    labels("my data/my cells.tif", cells().astype(np.float64))
    done = tomocyte("measure", "image.ome.tif", "my data/my cells.tif", *ODT, "-o", "my results")
    assert done.exit_code == 0, done.output
    assert table("my results")["label"].tolist() == [3, 9]
    assert "E-NOT-FOUND: my data/none.tif" in message(
        tomocyte("measure", "image.ome.tif", "my data/none.tif", *ODT, "-o", "none")
    )
    assert not Path("none").exists()
    # One plane of a volume has a thickness; above and below it is cut.
    image("plane.ome.tif", shape=(1, 20, 30))
    labels("plane.tif", cells()[3])
    assert tomocyte("measure", "plane.ome.tif", "plane.tif", *ODT, "-o", "plane").exit_code == 0
    rows = table("plane")
    assert rows["volume_um3"].tolist() == pytest.approx([100 * 0.008, 120 * 0.008])
    assert rows["is_cut_z"].tolist() == [True, True]
    # A planar image has none.
    line = ("measure", "--cell", "plane.tif", "-o", "flat")
    assert "Give --pixel-size-um Y X" in message(tomocyte(*line))
    assert tomocyte(*line, "--pixel-size-um", "0.2", "0.1").exit_code == 0
    rows = table("flat")
    assert rows["area_um2"].tolist() == pytest.approx([2.0, 2.4])
    assert "volume_um3" not in rows
    assert rows["is_cut"].tolist() == [False, True]
    labels("film.tif", np.stack([cells(), 0 * cells(), cells()]))
    by_hand = ("--axes", "TZYX", "--voxel-size-um", "0.4", "0.2", "0.1", "--time-step-s", "60")
    assert tomocyte("measure", "--cell", "film.tif", "-o", "film", *by_hand).exit_code == 0
    assert table("film")["frame"].tolist() == [0, 0, 2, 2]


def test_image_and_labels_in_one_file_are_named_by_their_arrays() -> None:
    with h5py.File("both.h5", "w") as file:
        for name, content in (("raw", image()), ("label", cells()), ("small", cells()[:, :10])):
            file[name] = content
            file[name].attrs["element_size_um"] = VOXEL
    line = ("measure", "both.h5", "both.h5", "--dataset", "raw", *ODT, "-o", "out")
    refused = message(tomocyte(*line))
    assert "Give --mask-dataset with one of: label (8, 20, 30), raw (8, 20, 30), small (8, 10, 30)." in refused
    assert "E-SHAPE" in message(tomocyte(*line, "--mask-dataset", "small"))
    assert tomocyte(*line, "--mask-dataset", "label").exit_code == 0
    assert table()["label"].tolist() == [3, 9]
    # Without an image the file of the masks is the input.
    alone = ("measure", "--cell", "both.h5", "-o", "alone")
    assert "Give --dataset with one of" in message(tomocyte(*alone))
    assert tomocyte(*alone, "--dataset", "label").exit_code == 0
    assert table("alone")["label"].tolist() == [3, 9]
    # What was measured with another array is another question.
    assert "0 in an earlier run" in tomocyte(*alone, "--dataset", "small").output


def test_channels_of_one_size_are_all_measured_and_of_two_sizes_one() -> None:
    both = np.stack([np.full(SHAPE, 5, np.float32), np.full(SHAPE, 7, np.float32)])
    known = {"quantity": "intensity", "voxel_size_um": VOXEL, "channel_names": ("dna", "golgi")}
    write_volume(Path("two.ome.tif"), Volume.from_array(both[np.newaxis], **known))
    labels("cells.tif", cells())
    line = ("measure", "two.ome.tif", "cells.tif", "-m", "fluorescence", "-o", "out")
    assert tomocyte(*line).exit_code == 0
    assert "dna of dna, golgi is drawn, all are measured; choose with --channel." in status_of("out")
    assert tomocyte(*line, "--channel", "golgi").exit_code == 0
    assert "golgi of dna, golgi is drawn" in status_of("out")
    assert table()[["mean_intensity_dna", "mean_intensity_golgi"]].values.tolist() == [[5, 7], [5, 7]]
    with tifffile.TiffWriter("sizes.ome.tif", ome=True) as file:
        sizes = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), VOXEL, strict=True))
        for name, one in (("dna", both[0]), ("golgi", both[1, :, :10])):
            file.write(one, metadata={"axes": "ZYX", "Name": name, **sizes})
    line = ("measure", "sizes.ome.tif", "cells.tif", "-m", "fluorescence", "-o", "sizes")
    assert tomocyte(*line).exit_code == 0
    assert 'W-TIFF-SERIES: the file holds 2 images; "dna" is read' in status_of("sizes")
    assert table("sizes")["mean_intensity"].tolist() == [5, 5]
    refused = message(tomocyte(*line, "--dataset", "golgi"))
    assert "E-SHAPE: cells.tif: the mask of object has the shape (T, Z, Y, X) = (1, 8, 20, 30)" in " ".join(
        refused.split()
    )


def status_of(folder: str) -> str:
    return str(pd.read_csv(Path(folder) / "status.csv")["warnings"][0])


def test_a_size_that_no_voxel_has_is_refused_until_it_is_given() -> None:
    """As in UroCell, whose files state 1 mm; of masks over an image it is the image's that counts."""
    stored = nibabel.Nifti1Image(turned(), np.eye(4))
    stored.header.set_xyzt_units("mm")
    nibabel.save(stored, "mito.nii.gz")
    line = ("measure", "--mitochondrion", "mito.nii.gz", "-o", "out")
    refused = message(tomocyte(*line))
    assert "1000 µm" in refused
    assert "Give --voxel-size-um Z Y X." in refused
    assert tomocyte(*line, "--voxel-size-um", "0.4", "0.2", "0.1").exit_code == 0
    rows = table()
    assert rows["volume_um3"].tolist() == pytest.approx([4.8, 5.76])
    image()
    assert tomocyte("measure", "image.ome.tif", "mito.nii.gz", *ODT, "-o", "over").exit_code == 0
    assert table("over")["volume_um3"].tolist() == pytest.approx([4.8, 5.76])


def test_a_run_segments_no_labels() -> None:
    labels("cells.ome.tif", cells(), voxel_size_um=VOXEL)
    assert "tomocyte measure" in message(tomocyte("run", "cells.ome.tif", "-m", "labels", "-o", "out"))
    image()
    assert "E-MASKS" in message(tomocyte("run", "image.ome.tif", "-m", "odt", "--model", "masks", "-o", "out"))
