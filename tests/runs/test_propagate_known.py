"""Slices along several axes and scribbles in a file, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.cli.propagate import parse_labelled_slices
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.runs.propagate import PropagateSettings, propagate_file
from tomocyte.volume import Volume

SIZE = (0.2, 0.2, 0.2)
SHAPE = (9, 20, 24)


def written(path: Path, array: np.ndarray, quantity: str) -> Path:
    unit = "1" if quantity == "labels" else "a.u."
    write_volume(path, Volume.from_array(array, voxel_size_um=SIZE, quantity=quantity, unit=unit))
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.zeros(SHAPE, np.float32)
    pixels[:, 4:14, 5:15] = 1
    return written(tmp_path / "image.ome.tif", pixels, "intensity")


@pytest.fixture
def truth() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 4:14, 5:15] = 6
    return labels


def command(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["propagate", *(str(word) for word in words)])
    return result.exit_code, " ".join(result.output.split())


def test_slices_are_named_along_several_axes() -> None:
    assert parse_labelled_slices("0,20", "y") == {"y": (0, 20)}
    assert parse_labelled_slices("z=0:41:20,y=7,9,x=3", "z") == {"z": (0, 20, 40), "y": (7, 9), "x": (3,)}
    assert parse_labelled_slices("0,y=7,z=4", "z") == {"z": (0, 4), "y": (7,)}
    for text in ("c=3", "z=", "y=a"):
        with pytest.raises(SettingsError, match="E-USAGE"):
            parse_labelled_slices(text, "z")


def test_slices_along_two_axes(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    labels = written(tmp_path / "sparse.ome.tif", truth, "labels")
    words = (labels, "--image", image, "-o", tmp_path / "dense.ome.tif", "--labelled-slices", "z=0,8,y=9")
    n_known = 7 * 24
    code, output = command(*words, "--dry-run")
    assert (code, f"{n_known} voxels known beside these slices (3.89%)" in output) == (0, True)
    code, output = command(*words)
    assert (code, "1 label on 2 slices along z" in output) == (0, True)
    dense = read_volume(tmp_path / "dense.ome.tif").planes(0, 0)
    assert np.array_equal(dense[:, 9], truth[:, 9])
    wrong = np.argwhere(dense != truth)[:, 1:]  # The corners of the box may be rounded.
    assert {tuple(place) for place in wrong.tolist()} <= {(4, 5), (4, 14), (13, 5), (13, 14)}
    record = json.loads((tmp_path / "dense.propagation.json").read_text(encoding="utf-8"))
    assert (record["slices"], record["other_slices"], record["unlabelled"]) == ([0, 8], {"y": [9]}, None)


def test_unlabelled_is_not_background(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    """Slices 0 and 8 whole, on slice 4 one scribble of a new label and one of background."""
    sparse = np.full(SHAPE, 255, np.uint8)
    sparse[[0, 8]] = 0
    sparse[4, 8, 8:11] = 6
    sparse[4, 1, 2:20] = 0
    labels = written(tmp_path / "scribbles.ome.tif", sparse, "labels")
    words = (labels, "--image", image, "-o", tmp_path / "dense.ome.tif", "--unlabelled", "255")
    code, output = command(*words)
    assert (code, "1 label on 2 slices along z" in output, "21 voxels known" in output) == (0, True, True)
    dense = read_volume(tmp_path / "dense.ome.tif").planes(0, 0)
    assert np.array_equal(dense[sparse != 255], sparse[sparse != 255])
    assert set(np.unique(dense)) == {0, 6}
    assert np.count_nonzero(dense[4] == 6) > 3
    named = propagate_file(
        labels,
        tmp_path / "named.ome.tif",
        PropagateSettings(unlabelled=255, slices=(0, 8)),
        image=image,
    )
    assert named.n_known == 21
    assert np.array_equal(read_volume(tmp_path / "named.ome.tif").planes(0, 0), dense)


def test_what_cannot_be_used_is_refused_with_a_cure(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    sparse = truth.copy()
    sparse[1:8] = 255
    sparse[4, 3:7, 9] = 6
    labels, output = written(tmp_path / "labels.ome.tif", sparse, "labels"), tmp_path / "dense.ome.tif"

    def refused(code: str, settings: PropagateSettings, error: type[Exception], *, has_image: bool = True) -> str:
        with pytest.raises(error, match=code) as caught:
            propagate_file(labels, output, settings, image=image if has_image else None, is_dry_run=True)
        return str(caught.value.cure)  # type: ignore[attr-defined]

    assert "--image" in refused("E-PROPAGATION-KNOWN", PropagateSettings(unlabelled=255), InputError, has_image=False)
    assert "--unlabelled" in refused("E-PROPAGATION-UNLABELLED", PropagateSettings(unlabelled=9), InputError)
    partly = PropagateSettings(unlabelled=255, slices=(0, 4, 8))
    assert "wholly" in refused("E-PROPAGATION-UNLABELLED", partly, InputError)
    alone = PropagateSettings(other_slices={"y": (5,)})
    assert "--axis y" in refused("E-PROPAGATION-SLICES", alone, SettingsError)
    outside = PropagateSettings(slices=(0,), other_slices={"x": (24,)})
    assert "axis" in refused("E-PROPAGATION-SLICES", outside, SettingsError)


def test_an_edited_slice_updates_what_was_written(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    labels = written(tmp_path / "labels.ome.tif", truth, "labels")
    slices = ("--image", image, "--labelled-slices", "0,2,4,6,8", "--uncertainty-map")
    assert command(labels, "-o", tmp_path / "old.ome.tif", *slices)[0] == 0
    edited = truth.copy()
    edited[6, 4:14, 10:15] = 2
    newer = written(tmp_path / "newer.ome.tif", edited, "labels")
    words = (newer, "-o", tmp_path / "new.ome.tif", *slices, "--update", tmp_path / "old.ome.tif")
    code, output = command(*words)
    assert (code, "2 of 4 stretches between labelled slices were filled again" in output) == (0, True)
    old, new = (read_volume(tmp_path / f"{name}.ome.tif").planes(0, 0) for name in ("old", "new"))
    assert np.array_equal(new[:5], old[:5])
    assert np.array_equal(new[6], edited[6])
    assert (new[[5, 7]] == 2).any(axis=(1, 2)).all()
    maps = [read_volume(tmp_path / f"{name}_uncertainty.ome.tif").planes(0, 0) for name in ("old", "new")]
    assert np.array_equal(maps[0][:5], maps[1][:5])
    records = [
        json.loads((tmp_path / f"{name}.propagation.json").read_text(encoding="utf-8")) for name in ("old", "new")
    ]
    assert records[0]["memory"]["borders"] == records[1]["memory"]["borders"]
    assert records[0]["test"] == records[1]["test"]


def test_an_earlier_result_that_does_not_fit_is_refused(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    labels = written(tmp_path / "labels.ome.tif", truth, "labels")
    settings = PropagateSettings(slices=(0, 4, 8))
    old, new = tmp_path / "old.ome.tif", tmp_path / "new.ome.tif"
    propagate_file(labels, old, settings, image=image)
    other = written(tmp_path / "other.ome.tif", np.ones(SHAPE, np.float32), "intensity")
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*another image"):
        propagate_file(labels, new, settings, image=other, previous=old)
    with_map = settings.model_copy(update={"is_map_written": True})
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*lacks"):
        propagate_file(labels, new, with_map, image=image, previous=old)
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*settings"):
        propagate_file(
            labels, new, settings.model_copy(update={"method_settings": {"max_beyond": 1}}), image=image, previous=old
        )
    (tmp_path / "old.propagation.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match=r"E-PROPAGATION-PREVIOUS.*not a record"):
        propagate_file(labels, new, settings, image=image, previous=old)
    assert not new.exists()


def test_scribbles_alone(tmp_path: Path, image: Path, truth: np.ndarray) -> None:
    """One stroke inside and one around it, on a slice each: the box of the image is found, but for its very border."""
    sparse = np.full(SHAPE, 255, np.uint8)
    sparse[4, 8, 6:14] = 6
    sparse[2, 1, 2:20] = 0
    labels = written(tmp_path / "scribbles.ome.tif", sparse, "labels")
    words = (labels, "--image", image, "--unlabelled", "255", "--next", "1", "-o", tmp_path / "dense.ome.tif")
    code, output = command(*words)
    assert (code, "no slice along z wholly labelled" in output, "26 voxels known" in output) == (0, True, True)
    assert "1. scribbles.ome.tif: slice" in output
    assert "NaN" not in (tmp_path / "dense.propagation.json").read_text(encoding="utf-8")
    dense = read_volume(tmp_path / "dense.ome.tif").planes(0, 0)
    assert np.array_equal(dense[sparse != 255], sparse[sparse != 255])
    assert (dense[:, 6:12, 7:13] == 6).all()
    assert not dense[:, 16:].any()
    assert not dense[:, :, 17:].any()
    with pytest.raises(InputError, match="E-PROPAGATION-KNOWN"):
        propagate_file(labels, tmp_path / "shape.ome.tif", PropagateSettings(unlabelled=255))
