"""Which prediction belongs to which truth, and what a pair holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomocyte.datasets.pairs import Pair, find_pairs, open_pair
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, write_volume
from tomocyte.volume import Volume

SIZE_UM = (0.4, 0.3, 0.2)


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def save(path: Path, voxels: np.ndarray, **properties: Any) -> Path:
    write_volume(path, Volume.from_array(voxels, **{"voxel_size_um": SIZE_UM, **properties}))
    return path


def test_two_files_are_a_pair_named_after_the_truth(tmp_path: Path) -> None:
    touch(tmp_path, "found.tif", "cell.01.ome.tif")
    pairs = find_pairs(tmp_path / "found.tif", tmp_path / "cell.01.ome.tif", None)
    assert pairs.pairs == (Pair("cell.01", tmp_path / "found.tif", tmp_path / "cell.01.ome.tif"),)
    assert (pairs.without_truth, pairs.without_prediction) == ((), ())


def test_folders_are_matched_by_names_without_endings(tmp_path: Path) -> None:
    predictions = touch(tmp_path / "p", "b.tif", "a.ome.tif", "only.nrrd", "notes.txt")
    truths = touch(tmp_path / "t", "a.nrrd", "b.tif", "z.tif", "c.tif")
    pairs = find_pairs(predictions, truths, None)
    assert [(pair.name, pair.prediction.name, pair.truth.name) for pair in pairs.pairs] == [
        ("a", "a.ome.tif", "a.nrrd"),
        ("b", "b.tif", "b.tif"),
    ]
    assert (pairs.without_truth, pairs.without_prediction) == (("only",), ("c", "z"))


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    one, other = touch(tmp_path / "p", "a.tif"), touch(tmp_path / "t", "b.tif")
    for sides, code in (
        ((one, other), "E-PAIR"),
        ((one / "a.tif", other), "E-PAIR"),
        ((one, tmp_path / "no"), "E-NOT-FOUND"),
    ):
        with pytest.raises(InputError, match=code):
            find_pairs(*sides, None)


def test_frames_of_a_pair_are_cases(tmp_path: Path) -> None:
    """The channel called like the structure is compared; voxels say their frame and channel."""
    t, c, *_ = np.indices((2, 2, 3, 4, 5))
    prediction = save(tmp_path / "p.ome.tif", (10 * t + c).astype(np.uint8), channel_names=("cell", "nucleus"))
    truth = save(tmp_path / "t.ome.tif", (t + 1)[:, :1].astype(np.uint8), origin={"medium_ri": "simulated"})
    opened = open_pair(Pair("dish", prediction, truth), ReadOptions(), channel=None, structure="nucleus")
    assert (opened.n_frames, opened.channels, opened.kind) == (2, (1, 0), "labels")
    assert opened.voxel_size_um == pytest.approx(SIZE_UM)
    cases = list(opened.cases())
    assert [(case.item, case.group, case.frame) for case in cases] == [("dish", "dish", 0), ("dish", "dish", 1)]
    assert [np.unique(case.prediction).tolist() for case in cases] == [[1], [11]]
    assert [np.unique(case.truth).tolist() for case in cases] == [[1], [2]]
    assert all(case.probability is None and case.voxel_size_um == opened.voxel_size_um for case in cases)
    by_number = open_pair(Pair("dish", prediction, truth), ReadOptions(), channel=0, structure=None)
    assert [np.unique(case.prediction).tolist() for case in by_number.cases()] == [[0], [10]]


def test_probabilities_are_no_labels(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    prediction, truth = (
        save(tmp_path / "p.ome.tif", values),
        save(tmp_path / "t.ome.tif", (values > 0.5).astype(np.uint8)),
    )
    opened = open_pair(Pair("a", prediction, truth), ReadOptions(), channel=None, structure=None)
    (case,) = opened.cases()
    assert (opened.kind, case.prediction) == ("probability", None)
    np.testing.assert_array_equal(case.probability, values)


@pytest.mark.parametrize(
    ("shape", "properties", "channel", "error", "code"),
    [
        ((3, 4, 6), {}, None, InputError, "E-SHAPE"),
        ((2, 1, 3, 4, 5), {}, None, InputError, "E-SHAPE"),
        ((1, 2, 3, 4, 5), {}, None, InputError, "E-CHANNEL"),
        ((1, 2, 3, 4, 5), {}, 2, InputError, "E-CHANNEL"),
        ((3, 4, 5), {"voxel_size_um": (0.4, 0.3, 0.21)}, None, MetadataError, "E-VOXEL-SIZE"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(
    tmp_path: Path, shape: tuple[int, ...], properties: dict[str, Any], channel: int | None, error: Any, code: str
) -> None:
    prediction = save(tmp_path / "p.ome.tif", np.zeros(shape, np.uint8), **properties)
    truth = save(tmp_path / "t.ome.tif", np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(error, match=code):
        open_pair(Pair("a", prediction, truth), ReadOptions(), channel=channel, structure=None)
