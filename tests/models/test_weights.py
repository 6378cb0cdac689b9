"""How tensors are stored and how large the file can be, counted by hand."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save
from tests.models.conftest import Made, make_card

from tomocyte.errors import InputError, SettingsError
from tomocyte.models.weights import (
    check_tensors,
    empty_state,
    largest_weights_nbytes,
    parse_tensors,
    store_tensors,
    stored_dtype,
    tensors_nbytes,
)

STATE = {
    "kernel": torch.zeros(4, 3, 3, 3),
    "scale": torch.ones(4),
    "n_batches": torch.tensor(7),
}


@pytest.mark.parametrize(("dtype", "kernel_nbytes"), [("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_kernels_are_stored_as_the_card_says_and_everything_else_as_it_is(dtype: str, kernel_nbytes: int) -> None:
    card = make_card(weights_dtype=dtype)
    assert [stored_dtype(card, tensor) for tensor in STATE.values()] == [
        getattr(torch, dtype),
        torch.float32,
        torch.int64,
    ]
    nbytes = 4 * 27 * kernel_nbytes + 4 * 4 + 8
    assert tensors_nbytes(card, STATE) == nbytes
    assert largest_weights_nbytes(card, STATE) == nbytes + 1024 * 1024


def test_bytes_counted_are_those_that_safetensors_writes(made: Made) -> None:
    """A safetensors file is 8 bytes, a header of the length they give, and the tensors."""
    data = (made.folder / "weights.safetensors").read_bytes()
    assert tensors_nbytes(made.card, empty_state(made.card)) == len(data) - 8 - int.from_bytes(data[:8], "little")


def test_half_precision_rounds_kernels_once_and_leaves_the_rest(made: Made) -> None:
    card = make_card(weights_dtype="float16")
    state = {
        name: tensor + 1e-4 if tensor.is_floating_point() else tensor
        for name, tensor in made.module.state_dict().items()
    }
    stored = store_tensors(card, state, empty_state(card))
    for name, tensor in state.items():
        is_kernel = tensor.ndim >= 2
        expected = tensor.numpy().astype("float16") if is_kernel else tensor.numpy()
        assert stored[name].dtype == (torch.float16 if is_kernel else tensor.dtype)
        assert (stored[name].numpy() == expected).all()
    again = parse_tensors(save(dict(stored)))
    check_tensors(card, again, empty_state(card))
    assert all(torch.equal(again[name], stored[name]) for name in stored)


def test_what_half_precision_cannot_hold_is_refused(made: Made) -> None:
    """The largest float16 is 65504."""
    card = make_card(weights_dtype="float16")
    state = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    kernel = next(name for name, tensor in state.items() if tensor.ndim == 4)
    state[kernel].view(-1)[0] = 65504.0
    store_tensors(card, state, empty_state(card))
    state[kernel].view(-1)[0] = 70000.0
    with pytest.raises(SettingsError, match=f"E-MODEL-DTYPE.*{kernel}.*70000"):
        store_tensors(card, state, empty_state(card))


def test_bytes_that_are_no_safetensors_are_refused() -> None:
    for data in (b"", b"PK\3\4 and more", save(STATE)[:-1]):
        with pytest.raises(InputError, match="E-MODEL-TENSORS"):
            parse_tensors(data)
