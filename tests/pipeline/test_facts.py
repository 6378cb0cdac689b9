"""What the record of an input says, as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tomocyte.pipeline.facts import ItemFacts

ABOUT: dict[str, Any] = {
    "shape_tczyx": (2, 1, 24, 36, 52),
    "dtype": "uint16",
    "voxel_size_um": (None, 0.3, 0.2),
    "quantity": "refractive_index",
    "unit": "1",
    "time_s": None,
    "medium_ri": (1.337, None),
    "origin": {"voxel_size_um": "file"},
    "modality": "odt",
    "model": "classical",
    "primary": "cell",
    "channel": 0,
    "is_simulated": False,
    "n_objects": {"cell": 3},
    "n_masked_voxels": 0,
    "plan": {"stages": ["measure"]},
    "histogram": {"edges": [1.3, 1.4]},
}


def test_facts_come_back_from_json_and_empty_ones_of_all_inputs_stay() -> None:
    written = ItemFacts(**ABOUT).as_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert ItemFacts.model_validate(written) == ItemFacts(**ABOUT)
    assert (written["time_s"], written["voxel_size_um"], written["medium_ri"]) == (
        None,
        [None, 0.3, 0.2],
        [1.337, None],
    )
    assert set(written) == {*ABOUT, "columns", "previews"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trained_model", {"name": "odt-organelles"}),
        ("left_out_model", "ab" * 32),
        ("cells", {"method": "watershed"}),
        ("domain", [{"frame": 0}]),
        ("edits", {"n_edits": 0}),
    ],
)
def test_facts_that_only_some_inputs_have_stand_where_they_have_them(name: str, value: object) -> None:
    assert name not in ItemFacts(**ABOUT).as_json()
    assert ItemFacts(**ABOUT, **{name: value}).as_json()[name] == value


def test_unknown_facts_are_refused() -> None:
    with pytest.raises(ValidationError, match="n_cells"):
        ItemFacts(**ABOUT, n_cells=3)
