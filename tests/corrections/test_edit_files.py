"""Edits in files, and what is written of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tomocyte.corrections.apply import apply_edits
from tomocyte.corrections.edits import EditList
from tomocyte.corrections.files import (
    check_edits,
    check_input,
    edit_facts,
    edits_sha256,
    load_edits,
    log_table,
    read_edit_file,
    whole_labels,
    write_corrections,
)
from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.volume import Volume

EDITS = EditList.model_validate(
    {
        "edits": [
            {"do": "merge", "structure": "cell", "targets": [1, 2], "note": "one cell"},
            {"do": "delete", "structure": "nucleus", "targets": [4]},
            {"do": "delete", "structure": "cell", "targets": [3], "frame": 2},
        ]
    }
)
CELLS = np.array([[[1, 1, 2, 0, 3]]], np.uint8)
NUCLEI = np.array([[[0, 4, 0, 0, 0]]], np.uint8)


def log() -> tuple[Any, ...]:
    frames = [apply_edits({"cell": CELLS, "nucleus": NUCLEI}, EDITS.edits, (1.0, 0.5, 0.5), frame=t) for t in range(3)]
    return tuple(record for frame in frames for record in frame.log)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[0, 1], [255, 3]], np.int64), np.uint8),
        (np.array([[0.0, 256.0]]), np.uint16),
        (np.array([[0.0, 70000.0]], np.float32), np.uint32),
        (np.array([[True, False]]), np.uint8),
        (np.zeros((0, 3)), np.uint8),
    ],
)
def test_whole_numbers_are_labels_in_the_smallest_type_that_holds_them(values: np.ndarray, dtype: Any) -> None:
    labels = whole_labels(values, Path("labels.tif"))
    assert labels.dtype == dtype
    np.testing.assert_array_equal(labels, values)


@pytest.mark.parametrize(
    "values",
    [np.array([0.5]), np.array([np.nan]), np.array([np.inf]), np.array([-1]), np.array([-1.0]), np.array([1j])],
)
def test_other_numbers_are_none(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="E-LABELS-TYPE"):
        whole_labels(values, Path("labels.tif"))


def test_the_hash_is_that_of_what_is_said() -> None:
    """SHA-256 of the sorted compact JSON, and not of the places where the keys stood."""
    content = json.dumps(EDITS.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    assert edits_sha256(EDITS) == hashlib.sha256(content.encode()).hexdigest()
    other = EDITS.model_copy(update={"edits": EDITS.edits[::-1]})
    assert edits_sha256(other) != edits_sha256(EDITS)


def test_the_log_counts_what_each_edit_did() -> None:
    """By hand: cell 2 has one voxel of 0.25 µm³, nucleus 4 one, cell 3 in frame 2 one; nothing happens in frame 1."""
    table = log_table(log())
    assert table[["edit", "frame", "structure", "do", "n_voxels_changed", "size_changed"]].values.tolist() == [
        [1, 0, "cell", "merge", 1, 0.25],
        [2, 0, "nucleus", "delete", 1, 0.25],
        [3, 2, "cell", "delete", 1, 0.25],
    ]
    assert table.loc[0, ["labels_before", "labels_after", "n_voxels_before", "n_voxels_after", "note"]].tolist() == [
        "1 2",
        "1",
        "2 1",
        "3",
        "one cell",
    ]
    assert edit_facts(EDITS, log()) == {
        "sha256": edits_sha256(EDITS),
        "n_edits": 3,
        "n_by_kind": {"delete": 2, "merge": 1},
        "edited_frames": [0, 2],
        "edited_structures": ["cell", "nucleus"],
    }


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    write_corrections(EDITS, log(), "dish 1", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edits.yaml", "edits_log.csv", "edits_log.json"]
    assert load_edits(tmp_path / "edits.yaml", ["dish 1", "dish 2"]) == {"dish 1": EDITS}
    assert [entry["number"] for entry in json.loads((tmp_path / "edits_log.json").read_text(encoding="utf-8"))] == [
        1,
        2,
        3,
    ]
    assert pd.read_csv(tmp_path / "edits_log.csv")["n_voxels_changed"].tolist() == [1, 1, 1]


def test_edits_belong_to_their_input() -> None:
    def volume(n_frames: int) -> Volume:
        return Volume.from_array(np.zeros((n_frames, 1, 1, 1, 5), np.uint8))

    check_edits(EDITS, volume(3))
    with pytest.raises(InputError, match=r"E-EDIT-FRAME.*edit 3 .*has 2 frames"):
        check_edits(EDITS, volume(2))
    check_input(EDITS, "ab" * 32)
    own = EDITS.model_copy(update={"input_sha256": "cd" * 32})
    check_input(own, "cd" * 32)
    with pytest.raises(InputError, match="E-EDIT-INPUT"):
        check_input(own, "ab" * 32)


@pytest.mark.parametrize("text", ["edits: 3", "- 1", "edits: [{do: sing}]", "edits: [", "what: {}"])
def test_files_that_hold_no_edits_are_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "edits.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="E-EDIT-FILE") as caught:
        read_edit_file(path)
    assert isinstance(caught.value, TomocyteError)
    assert str(path) in str(caught.value)
