"""The self-test of a package: an input and the probabilities that its network must give for it.

It is the proof that the weights still mean what they meant: whichever version of the network's code, of torch or of the
processor computes them. A second engine is compared with the same tensors.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, SettingsError

if TYPE_CHECKING:
    import torch

    from tomocyte.models.card import ModelCard
    from tomocyte.models.weights import State

TOLERANCE = 1e-4
"""Largest difference in probability, float32 on a CPU."""
LARGEST_VOXELS = 1 << 20
LARGEST_BATCH = 8
LARGEST_SELFTEST_BYTES = 64 << 20
TENSORS = {"input", "output"}


def probabilities(module: torch.nn.Module, image: torch.Tensor, activation: str) -> torch.Tensor:
    """What a network gives for an input, after its activation.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode.
    image : Tensor (B, C, [Z,] Y, X), float32
    activation : {"sigmoid", "softmax"}

    Returns
    -------
    Tensor (B, K, [Z,] Y, X), float32, 0 to 1
    """
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = module(image)
        return torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, dim=1)


def selftest_tensor(card: ModelCard, image: NDArray[Any] | torch.Tensor, divisor: tuple[int, ...]) -> torch.Tensor:
    """Normalised input for a self-test as a tensor with a batch axis.

    Parameters
    ----------
    card : ModelCard
    image : ndarray or Tensor (C, [Z,] Y, X) or (B, C, [Z,] Y, X), real
    divisor : tuple of int
        Each spatial size must be a multiple of it.

    Raises
    ------
    SettingsError
        ``E-MODEL-SELFTEST-INPUT``: wrong shape, too large, constant, or not finite.
    """
    import torch

    values = np.asarray(image).astype(np.float32)  # asked for a type, torch tensors warn
    values = values[np.newaxis] if values.ndim == card.dimensions + 1 else values
    problem = _shape_problem(card, values.shape, divisor)
    if not problem and not bool(np.isfinite(values).all()):
        problem = "it contains NaN or infinity"
    if not problem and float(values.min()) == float(values.max()):
        problem = "it is constant, which would test almost nothing"
    if problem:
        cure = "Give one normalised tile of real or simulated data, e.g. 64 x 64."
        raise SettingsError("E-MODEL-SELFTEST-INPUT", f"the self-test's input cannot be used: {problem}.", cure=cure)
    return torch.from_numpy(np.ascontiguousarray(values))


def check_selftest(card: ModelCard, tensors: State, module: torch.nn.Module, path: Path | None = None) -> float:
    """Run the self-test and return the largest difference in probability.

    Raises
    ------
    InputError
        ``E-MODEL-SELFTEST``: the tensors are not a self-test of this model, or the output differs from what was stored.
    """
    import torch

    cure = "Do not use this model here; get the package again, or report it with `tomocyte --version`."
    sizes: Any = module.divisor
    problem = f"holds {sorted(tensors)}" if set(tensors) != TENSORS else ""
    if not problem and any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        problem = "is not float32"
    problem = problem or _shape_problem(card, tuple(tensors["input"].shape), tuple(sizes))
    if not problem:
        batch, _, *space = tensors["input"].shape
        expected = (batch, len(card.structures), *space)
        shape = tuple(tensors["output"].shape)
        problem = "" if shape == expected else f"its output is {shape}, not {expected}"
    if not problem and not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        problem = "contains NaN or infinity"
    if problem:
        raise InputError("E-MODEL-SELFTEST", f"is not a self-test of this model: {problem}.", path=path, cure=cure)
    difference = float((probabilities(module, tensors["input"], card.activation) - tensors["output"]).abs().max())
    if not difference <= TOLERANCE:  # NaN fails too
        text = f"the network's output differs from the stored one by {difference:.3g}; {TOLERANCE:g} is allowed."
        raise InputError("E-MODEL-SELFTEST", text, path=path, cure=cure)
    return difference


def _shape_problem(card: ModelCard, shape: tuple[int, ...], divisor: tuple[int, ...]) -> str:
    if len(shape) != card.dimensions + 2 or shape[1] != len(card.channels):
        return f"its shape is {shape}, not (batch, {len(card.channels)}, {'z, ' * (card.dimensions == 3)}y, x)"
    if not 1 <= shape[0] <= LARGEST_BATCH or not 1 <= shape[0] * math.prod(shape[2:]) <= LARGEST_VOXELS:
        return f"its shape is {shape}; at most {LARGEST_BATCH} tiles with {LARGEST_VOXELS} voxels together are allowed"
    if any(size % step for size, step in zip(shape[2:], divisor, strict=True)):
        return f"its sizes {shape[2:]} are not multiples of {divisor}"
    return ""
