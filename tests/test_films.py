"""The benchmark of films: scores by hand and by py-ctcmetrics on a film of a few boxes."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from ctc_metrics.scripts.evaluate import evaluate_sequence
from ctc_metrics.utils.representations import match

from tomocyte.volume import Volume

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "films.py"


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    """(2, 40, 60): boxes from y, x with their height and width, numbered in this order."""
    frame = np.zeros((2, 40, 60), np.uint16)
    for number, (y, x, height, width) in enumerate(places, start=1):
        frame[:, y : y + height, x : x + width] = number
    return frame


FILM = [
    boxes((2, 2, 8, 8), (20, 20, 8, 16)),
    boxes((2, 3, 8, 8), (20, 20, 8, 16)),
    boxes((2, 4, 8, 8), (20, 20, 8, 7), (20, 29, 8, 7)),
    boxes((2, 5, 8, 8), (20, 20, 8, 7), (20, 29, 8, 7)),
]
"""A cell that moves, and one that divides: 2 + 2 + 3 + 3 objects, 3 + 1 + 2 + 2 links."""
LINEAGE = pd.DataFrame(
    [(1, 0, f, 1) for f in range(4)]
    + [(2, 0, f, 2) for f in range(2)]
    + [(3, 2, f, 2) for f in (2, 3)]
    + [(4, 2, f, 3) for f in (2, 3)],
    columns=["track_id", "parent_id", "frame", "label"],
)


@pytest.fixture(scope="module")
def films() -> dict[str, object]:
    return runpy.run_path(str(SCRIPT))


def volume(frames: list[np.ndarray]) -> Volume:
    array = np.stack(frames)[:, None]
    return Volume.from_array(array, voxel_size_um=(1.0, 1.0, 1.0))


def test_a_film_that_is_right_scores_one(films) -> None:
    truth = films["truth_of"](volume(FILM), LINEAGE)
    assert truth.lines.tolist() == [[1, 0, 3, 0], [2, 0, 1, 0], [3, 2, 3, 2], [4, 2, 3, 2]]
    scores = films["score"](truth, truth)
    assert [scores[name] for name in ("TRA", "DET", "LNK", "BC(0)")] == pytest.approx([1, 1, 1, 1])
    assert scores["AOGM_0"] == 10 * 10 + 8 * 1.5


def test_what_errors_of_a_film_cost(films) -> None:
    """A daughter that is missed twice: 2 objects, the link between them and that to the mother, and the division."""
    truth = films["truth_of"](volume(FILM), LINEAGE)
    missed = [np.where(frame == 3, 0, frame) for frame in FILM]
    scores = films["score"](truth, films["truth_of"](volume(missed), LINEAGE))
    assert (scores["AOGM_FN"], scores["AOGM_EA"], scores["AOGM"]) == (2, 2, 2 * 10 + 2 * 1.5)
    assert scores["TRA"] == pytest.approx(1 - 23 / 112)
    assert (scores["tp_div(0)"], scores["fn_div(0)"]) == (0, 1)
    both = [{"tracked": "x", **one} for one in (scores, films["score"](truth, truth))]
    table = films["pooled"](pd.DataFrame(both))
    assert table["TRA"].tolist() == pytest.approx([1 - 23 / 224])
    assert table["division F1 (0)"].tolist() == pytest.approx([2 / 3])


def test_a_film_is_thinned(films) -> None:
    thin = films["thinned"](volume(FILM), 2)
    assert thin.spatial_shape == (1, 20, 30)
    assert thin.require_voxel_size() == (2.0, 2.0, 2.0)
    assert np.array_equal(thin.planes(3, 0)[0], FILM[3][0, ::2, ::2])
    assert films["thinned"](volume(FILM), 1).spatial_shape == (2, 40, 60)


def test_objects_are_matched_as_by_the_challenge(films, tmp_path) -> None:
    rng = np.random.default_rng(4)
    truth, result = (rng.integers(0, 9, (2, 12, 15)).astype(np.uint16) // 2 for _ in range(2))
    result[:, :6] = np.array([0, 3, 4, 4, 1], np.uint16)[truth[:, :6]]
    for name, image in (("truth", truth), ("result", result)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    theirs = match(str(tmp_path / "truth.tif"), str(tmp_path / "result.tif"))[:4]
    ours = films["match"](truth, result)
    assert len(ours[2]) >= 2
    assert [list(map(int, part)) for part in ours] == [list(map(int, part)) for part in theirs]


def test_a_film_is_tracked_from_its_masks(films, tmp_path) -> None:
    """With dry mass and without, and as py-ctcmetrics scores the files that are written."""
    rows = [
        (frame, label, *np.argwhere(image == label).mean(axis=0), (image == label).sum(), 0.2 * (image == label).sum())
        for frame, image in enumerate(FILM)
        for label in np.unique(image[image > 0])
    ]
    table = pd.DataFrame(rows, columns=["frame", "label", "z_um", "y_um", "x_um", "volume_um3", "dry_mass_pg"])
    table = table[(table.frame != 1) | (table.label != 1)]  # one that was not segmented
    masks = [np.where((image == 1) & (frame == 1), 0, image) for frame, image in enumerate(FILM)]
    scores = films["score_film"](volume(FILM), LINEAGE, {"masks": (table, volume(masks))}, tmp_path / "film")
    assert scores["tracked"].tolist()[:2] == ["masks", "masks, without dry mass"]
    assert scores["AOGM_FN"].tolist() == [1, 1, 1, 1]
    assert scores["tp_div(0)"].iloc[0] == 1
    truth, result = tmp_path / "film" / "01_GT", tmp_path / "film" / "masks"
    assert (truth / "TRA" / "man_track.txt").read_text().splitlines()[1] == "2 0 1 0"
    theirs = evaluate_sequence(str(result), str(truth), ["Valid", "DET", "LNK", "TRA", "BC"], threads=1)
    assert theirs["Valid"] == 1
    for name in ("DET", "LNK", "TRA", "BC(0)"):
        assert theirs[name] == pytest.approx(scores[name].iloc[0])
