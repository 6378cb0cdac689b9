"""The card: bounded, sealed, readable."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from pydantic import ValidationError
from tests.models.conftest import Made, make_card

from tomocyte.errors import InputError
from tomocyte.models import NetworkChoice
from tomocyte.models.card import card_from_bytes, read_card


def test_card_survives_the_round_trip(made: Made) -> None:
    again = card_from_bytes(made.card.to_bytes())
    assert again == made.card
    content = json.loads((made.folder / "card.json").read_bytes())
    assert content["structures"] == ["nucleus", "nucleolus"]
    assert content["voxel_size_um"] == [None, 0.19, 0.21]
    assert read_card(made.folder) == made.card


def test_hashes_on_the_card_are_those_of_the_files(made: Made) -> None:
    for name in ("weights", "selftest"):
        data = (made.folder / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == getattr(made.card, f"{name}_sha256")


def test_every_flipped_byte_and_every_cut_of_a_card_is_refused(made: Made) -> None:
    data = made.card.to_bytes()
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            broken = bytearray(data)
            broken[position] ^= mask
            with pytest.raises(InputError, match="E-MODEL-CARD"):
                card_from_bytes(bytes(broken))
        with pytest.raises(InputError, match="E-MODEL-CARD"):
            card_from_bytes(data[:position])


def deep(levels: int) -> dict[str, Any]:
    return {} if levels == 0 else {"a": deep(levels - 1)}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../other"},
        {"name": "Nucleus"},
        {"name": ".part"},
        {"version": "one"},
        {"description": "\x1b[31mred"},
        {"description": "safe\u202eexe"},
        {"description": "x" * 4001},
        {"channels": ()},
        {"channels": ("a", "a")},
        {"structures": ("a", "a")},
        {"structures": ("a",) * 65},
        {"dimensions": 4},
        {"activation": "softmax"},
        {"activation": "relu"},
        {"voxel_size_um": (None, 0.0, 0.2)},
        {"voxel_size_um": (math.nan, 0.2, 0.2)},
        {"voxel_size_um": (None, math.inf, 0.2)},
        {"voxel_size_range": (1.1, 2.0)},
        {"value_range": (1.5, 1.3)},
        {"value_range": (math.nan, 1.3)},
        {"tile_shape": (32, 32, 32)},
        {"tile_shape": (0, 32)},
        {"dimensions": 3, "tile_shape": (16, 16, 16), "section_axis": None},
        {"dimensions": 3, "tile_shape": (4096, 4096, 4096), "section_axis": None, "voxel_size_um": (0.3, 0.2, 0.1)},
        {"threshold": {"cell": 0.5}},
        {"threshold": {"nucleus": 1.5}},
        {"figures": deep(9)},
        {"figures": {"dice": math.nan}},
        {"recipe": {"values": list(range(5000))}},
        {"recipe": {"a\x07": 1}},
        {"licence": "MIT; rm -rf"},
        {"weights_sha256": "abc"},
        {"unknown": 1},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_a_card_cannot_say(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_card(**changes)


@pytest.mark.parametrize("options", [{"width": 10**6}, {"blocks": [1, [1e9]]}, {"width": -5000}])
def test_options_are_small_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NetworkChoice(name="osnet", options=options)


def test_sealed_card_with_a_wrong_field_is_refused() -> None:
    """The attacker seals the card anew: the fields themselves are judged."""
    from tomocyte.ledger.sealed import seal

    content = make_card().model_dump(mode="json")
    assert card_from_bytes(seal(content)).name == "small-nucleus"
    for wrong in (
        {"_target_": "os.system"},
        {"dimensions": 4},
        {"network": {"name": "osnet", "options": {"a": 10**9}}},
    ):
        with pytest.raises(InputError, match="E-MODEL-CARD"):
            card_from_bytes(seal({**content, **wrong}))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"a":' * 5000, b"\xff", b'{"sha256": NaN}']
)
def test_other_json_is_no_card(data: bytes) -> None:
    with pytest.raises(InputError, match="E-MODEL-CARD"):
        card_from_bytes(data)


def test_softmax_needs_a_background() -> None:
    card = make_card(activation="softmax", structures=("background", "nucleus"))
    assert card.threshold_of("nucleus") == 0.5
    assert make_card(threshold={"nucleus": 0.4}).threshold_of("nucleus") == 0.4
