"""Tensors of a package: checked name by name against the network that the card describes, before anything is built.

Only safetensors is read: a header of names, types and shapes, then plain numbers. To add a storage type, add it to the
card's ``weights_dtype`` and to :func:`stored_dtype`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import InputError, SettingsError, TomocyteError

if TYPE_CHECKING:
    import torch

    from tomocyte.models.card import ModelCard

State = Mapping[str, "torch.Tensor"]
HEADER_BYTES = 1 << 20
"""Room for a safetensors header above the tensors' own bytes."""
LARGEST_SHIPPED_BYTES = 12_000_000
"""A model that ships is at most this large; larger ones store their kernels in half precision."""


def stored_dtype(card: ModelCard, tensor: torch.Tensor) -> torch.dtype:
    """How one tensor of the network is stored: kernels as the card says, everything else as it is.

    Offsets, scales and running statistics are few and keep full precision.
    """
    import torch

    if not tensor.is_floating_point() or tensor.ndim < 2:
        return tensor.dtype
    kernels: torch.dtype = getattr(torch, card.weights_dtype)
    return kernels


def empty_state(card: ModelCard, path: Path | None = None) -> dict[str, torch.Tensor]:
    """Names, shapes and types of the network's tensors, without memory for a single weight.

    Raises
    ------
    InputError
        ``E-MODEL-NETWORK``: the network is unknown, too large, or has other inputs, outputs or dimensions than the
        card.
    """
    try:
        actual, state = _outline(card.network.name, json.dumps(card.network.options, sort_keys=True))
    except TomocyteError as error:
        cure = "The package was made with another version, or its card is wrong."
        raise InputError("E-MODEL-NETWORK", f"{error.problem} {error.cure}", path=path, cure=cure) from error
    declared = (len(card.channels), len(card.structures), card.dimensions)
    if actual != declared:
        problem = f"the network has (inputs, outputs, dimensions) {actual}, the card says {declared}."
        raise InputError("E-MODEL-NETWORK", problem, path=path, cure="Set n_inputs and n_outputs in network.options.")
    return dict(state)


@lru_cache(maxsize=64)
def _outline(name: str, options: str) -> tuple[tuple[int, int, int], dict[str, torch.Tensor]]:
    """(inputs, outputs, dimensions) of a network and its state on torch's device without memory."""
    import torch

    from tomocyte.networks import build_network, network_entries

    with torch.device("meta"):
        module: Any = build_network(name, json.loads(options))
    dimensions = {entry.name: entry.dimensions for entry in network_entries()}[name]
    return (module.n_inputs, module.n_outputs, dimensions), module.state_dict()


def largest_weights_nbytes(card: ModelCard, empty: State) -> int:
    """Bytes that ``weights.safetensors`` can have at most."""
    return HEADER_BYTES + tensors_nbytes(card, empty)


def tensors_nbytes(card: ModelCard, empty: State) -> int:
    """Bytes of all tensors as the card says they are stored."""
    return sum(tensor.numel() * stored_dtype(card, tensor).itemsize for tensor in empty.values())


def parse_tensors(data: bytes, path: Path | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises
    ------
    InputError
        ``E-MODEL-TENSORS``: not safetensors, or cut.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(data))
    except (SafetensorError, KeyError, ValueError) as error:
        cure = "Get the package again from its source."
        raise InputError("E-MODEL-TENSORS", f"is not a safetensors file ({error}).", path=path, cure=cure) from error


def check_tensors(card: ModelCard, tensors: State, empty: State, path: Path | None = None) -> None:
    """Compare every tensor's name, shape and type with the network's, and refuse NaN and infinity.

    Raises
    ------
    InputError
        ``E-MODEL-TENSORS``, ``E-MODEL-NONFINITE``.
    """
    missing, strange = sorted(set(empty) - set(tensors)), sorted(set(tensors) - set(empty))
    if missing or strange:
        problem = (
            f"the network needs tensors that are not in the file ({_some(missing)}), or the reverse ({_some(strange)})."
        )
        raise InputError("E-MODEL-TENSORS", problem, path=path, cure="The weights belong to another network.")
    for name, expected in empty.items():
        tensor, shape, dtype = tensors[name], tuple(expected.shape), stored_dtype(card, expected)
        if (tuple(tensor.shape), tensor.dtype) != (shape, dtype):
            problem = f"tensor {name!r} is {tuple(tensor.shape)} {tensor.dtype}, the network needs {shape} {dtype}."
            raise InputError("E-MODEL-TENSORS", problem, path=path, cure="The weights belong to another network.")
        if not bool(tensor.isfinite().all()):
            cure = "The training diverged, or the file is damaged."
            raise InputError("E-MODEL-NONFINITE", f"tensor {name!r} contains NaN or infinity.", path=path, cure=cure)


def store_tensors(card: ModelCard, state: State, empty: State) -> State:
    """A network's state as it is stored: on the CPU, contiguous, in the card's type.

    Raises
    ------
    SettingsError
        ``E-MODEL-DTYPE``: a weight does not fit into the half-precision type; ``E-MODEL-TENSORS``: other tensors than
        the network's; ``E-MODEL-NONFINITE``.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        values = tensor.detach().to("cpu")
        dtype = stored_dtype(card, empty[name]) if name in empty else values.dtype
        stored[name] = values.to(dtype).contiguous().clone()
        is_lost = bool(values.isfinite().all()) and not bool(stored[name].isfinite().all())
        if is_lost:
            problem = f"tensor {name!r} has values up to {float(values.abs().max()):g}, too much for {dtype}."
            raise SettingsError("E-MODEL-DTYPE", problem, cure="Store the weights as float32 or bfloat16.")
    try:
        check_tensors(card, stored, empty)
    except InputError as error:
        raise SettingsError(error.code, error.problem, cure="Give the weights of the network on the card.") from error
    return stored


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"
