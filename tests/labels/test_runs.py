"""Runs of labels: exact when replayed, refused when damaged."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from tomocyte.labels.runs import Voxels, pack_voxels

LABELS = hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 4))


@settings(max_examples=60)
@given(labels=LABELS, which=hnp.arrays(np.bool_, (3, 4, 5)))
def test_runs_keep_every_voxel(labels: np.ndarray, which: np.ndarray) -> None:
    box, mask, painted = pack_voxels(labels, which).paint()
    whole, values = np.zeros_like(which), np.zeros(labels.shape, np.uint32)
    whole[box], values[box] = mask, painted
    np.testing.assert_array_equal(whole, which)
    np.testing.assert_array_equal(values, np.where(which, labels, 0))


def test_damaged_runs_are_refused() -> None:
    good = pack_voxels(np.ones((1, 2, 3), np.uint8), np.ones((1, 2, 3), bool)).model_dump()

    def packed(*columns: list[int]) -> dict[str, object]:
        runs = base64.b64encode(zlib.compress(np.array(columns, "<u4").tobytes())).decode()
        return good | {"n_runs": len(columns[0]), "runs": runs}

    assert Voxels.model_validate(packed([0], [6], [1])) == Voxels.model_validate(packed([0], [6], [1]))
    bombs = base64.b64encode(zlib.compress(bytes(10**8))).decode()
    bad = [
        packed([0], [7], [1]), packed([1], [6], [1]), packed([0], [0], [1]), packed([0], [6], [2**24]),
        good | {"n_runs": 2}, good | {"runs": good["runs"][:-8]}, good | {"runs": "ä"}, good | {"runs": "!"},
        good | {"runs": bombs}, good | {"shape": (0, 2, 3)}, good | {"shape": (2**14, 2**14, 2**14)},
    ]  # fmt: skip
    for content in bad:
        with pytest.raises(ValidationError):
            Voxels.model_validate(content)
