"""From a trained module to a function of arrays: which library computes it, how exactly, and why.

``make_predictor`` is the door; ``describe_engine`` says for the provenance what it does with the same arguments. To add
an engine, write its ``*_runner`` in ``runners.py`` and name it in :data:`RUNNERS` and in :func:`choose_engine`.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tomocyte.errors import InputError, SettingsError
from tomocyte.networks.engine.precision import has_bf16
from tomocyte.networks.engine.runners import Runner, compiled_runner, openvino_runner, prepare, torch_runner
from tomocyte.networks.registry import Network

EngineName = Literal["torch", "compiled", "openvino"]
PrecisionName = Literal["fp32", "bf16"]
Activation = Literal["sigmoid", "softmax"]
Predictor: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]

ENGINES = ("auto", "torch", "compiled", "openvino")
PRECISIONS = ("auto", "fp32", "bf16")
RUNNERS: dict[str, Callable[..., Runner]] = {
    "torch": torch_runner,
    "compiled": compiled_runner,
    "openvino": openvino_runner,
}
LARGEST_ROUNDING = 0.02
"""bf16 is not used on its own for an image that it rounds by more than this part of the image's standard deviation."""

LARGEST_MOVE, SMALLEST_MASK, SMALLEST_DICE, HALF = 0.05, 100, 0.98, 0.5
"""What bf16 may do to a self-test: to a probability, and to the masks of at least so many voxels."""


@dataclass(frozen=True)
class EngineChoice:
    """What computes, where, how exactly, and why."""

    engine: EngineName
    device: str
    precision: PrecisionName
    version: str
    n_threads: int
    reason: str


def check_device(device: str) -> torch.device:
    """The device, if this machine has it.

    Raises
    ------
    SettingsError
        ``E-DEVICE``: neither ``cpu`` nor a CUDA device that torch sees.
    """
    try:
        checked = torch.device(device)
    except RuntimeError as problem:
        raise SettingsError("E-DEVICE", f"unknown device {device!r}.", cure="Use cpu, cuda or cuda:0.") from problem
    if checked.type == "cpu":
        return checked
    if checked.type != "cuda" or not torch.cuda.is_available() or (checked.index or 0) >= torch.cuda.device_count():
        n_devices = torch.cuda.device_count()
        raise SettingsError(
            "E-DEVICE",
            f"{device!r} does not exist here; torch finds {n_devices} CUDA devices.",
            cure="Use --device cpu.",
        )
    return checked


def choose_engine(engine: str = "auto", *, device: str = "cpu", precision: str = "auto") -> EngineChoice:
    """Decide what computes; what the user names is taken or refused, never replaced.

    ``auto`` takes OpenVINO on a CPU where it is installed, else torch; never ``compiled``, which needs a C++ compiler
    and minutes at its first call, and was slower than torch on the networks measured.

    Raises
    ------
    SettingsError
        ``E-ENGINE``: unknown, not installed, or not for this device; ``E-DEVICE``; ``E-PRECISION``: unknown, or bf16
        where the device lacks it.
    """
    where = check_device(device)
    if engine not in ENGINES:
        raise SettingsError("E-ENGINE", f"unknown engine {engine!r}.", cure=f"Use one of {', '.join(ENGINES)}.")
    exactness, why_exactness = choose_precision(precision, device)
    problem = _openvino_problem(where) if engine in ("auto", "openvino") else ""
    if engine == "auto":
        name: EngineName = "torch" if problem else "openvino"
        why = f"torch, as {problem}" if problem else "openvino is the fastest engine for a CPU"
    else:
        name = _named_engine(engine, problem)
        why = f"{name} was asked for"
    return EngineChoice(
        engine=name,
        device=str(where),
        precision=exactness,
        version=_version(name),
        n_threads=torch.get_num_threads(),
        reason=f"{why}; {why_exactness}",
    )


def describe_engine(engine: str = "auto", *, device: str = "cpu", precision: str = "auto") -> dict[str, str | int]:
    """What :func:`make_predictor` computes with and why, for the provenance.

    Examples
    --------
    >>> describe_engine("torch", precision="fp32")["engine"]
    'torch'
    """
    return asdict(choose_engine(engine, device=device, precision=precision))


def make_predictor(
    module: nn.Module,
    *,
    activation: Activation,
    engine: str = "auto",
    device: str = "cpu",
    precision: str = "auto",
) -> Predictor:
    """A plain function that maps an image to probabilities with the module's present weights.

    The module itself is neither changed nor kept: a copy has its batch normalisation folded into the convolutions. The
    first convolution and the activation are as exact as in float32, also with bf16. With ``precision="auto"``, a sample
    that bf16 would round by more than 2 % of its standard deviation (an image with a large offset, say a refractive
    index that was not normalised) is computed in float32; bf16 that is asked for by name is used for every sample.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`tomocyte.networks.build_network`.
    activation : {"sigmoid", "softmax"}
        Per structure, or over all structures.
    engine : {"auto", "torch", "compiled", "openvino"}
        See :func:`choose_engine`.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    precision : {"auto", "fp32", "bf16"}
        ``auto``: bf16 where the device multiplies it natively.

    Returns
    -------
    Predictor
        float32 ``(B, n_inputs, [Z,] Y, X)`` -> float32 ``(B, n_outputs, [Z,] Y, X)`` in [0, 1]; each spatial size a
        multiple of ``module.divisor``. A sample's result does not depend on the others in its batch. Not for several
        threads at a time. It raises SettingsError ``E-NETWORK-SHAPE`` for another shape or type, and InputError
        ``E-NETWORK-NAN`` where the image or a result is not finite.

    Raises
    ------
    SettingsError
        ``E-ENGINE``, ``E-DEVICE``, ``E-PRECISION``: see :func:`choose_engine`; ``E-ACTIVATION``: unknown;
        ``E-NETWORK``: the module was not built here.
    """
    if activation not in ("sigmoid", "softmax"):
        raise SettingsError("E-ACTIVATION", f"unknown activation {activation!r}.", cure="Use sigmoid or softmax.")
    choice = choose_engine(engine, device=device, precision=precision)
    folded = prepare(module)
    runners: dict[PrecisionName, Runner] = {}

    def run(batch: torch.Tensor, exactness: PrecisionName) -> torch.Tensor:
        if exactness not in runners:
            runners[exactness] = RUNNERS[choice.engine](folded, device=choice.device, precision=exactness)
        return runners[exactness](batch)

    def predict(image: NDArray[np.float32]) -> NDArray[np.float32]:
        _check_image(image, folded)
        batch = torch.from_numpy(np.ascontiguousarray(image))
        _check_finite(batch, "the image", cure="Replace NaN and infinite pixels first.")  # a ReLU can hide them
        if choice.precision == "bf16" and precision == "auto":
            logits = _run_by_sample(batch, run)
        else:
            logits = run(batch, choice.precision)
        probability = torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, dim=1)
        _check_finite(probability, "the network's result", cure="Look for very large values or damaged weights.")
        result: NDArray[np.float32] = probability.numpy()
        return result

    return predict


def bf16_problem(predictor: Predictor, image: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    """Why bf16 is not exact enough for a network, by an input whose answer is known; ``""`` where it is.

    Parameters
    ----------
    predictor : callable
        From :func:`make_predictor`, in bf16.
    image : ndarray (B, n_inputs, [Z,] Y, X), float32
        As the network sees it.
    expected : ndarray (B, n_outputs, [Z,] Y, X), float32
        Probabilities in float32.

    Returns
    -------
    str
        A probability moves by more than 0.05, or a mask of at least 100 voxels has a Dice below 0.98 with float32's.
    """
    prediction = predictor(image)
    moved = float(np.abs(prediction - expected).max())
    if moved > LARGEST_MOVE:
        return f"bf16 moves a probability of the self-test by {moved:.2g}"
    for output in range(expected.shape[1]):
        ours, theirs = prediction[:, output] > HALF, expected[:, output] > HALF
        n_voxels = int(theirs.sum())
        dice = 2 * int((ours & theirs).sum()) / max(1, int(ours.sum()) + n_voxels)
        if n_voxels >= SMALLEST_MASK and dice < SMALLEST_DICE:
            return f"bf16 changes mask {output} of the self-test: Dice {dice:.3f}"
    return ""


def _run_by_sample(batch: torch.Tensor, run: Callable[[torch.Tensor, PrecisionName], torch.Tensor]) -> torch.Tensor:
    """bf16 for the samples it can represent, float32 for the others, in the batch's order."""
    is_coarse = _is_coarse_in_bf16(batch)
    if not bool(is_coarse.any()):
        return run(batch, "bf16")
    if bool(is_coarse.all()):
        return run(batch, "fp32")
    exact, fast = run(batch[is_coarse], "fp32"), run(batch[~is_coarse], "bf16")
    logits = exact.new_empty((len(batch), *exact.shape[1:]))
    logits[is_coarse], logits[~is_coarse] = exact, fast
    return logits


def _is_coarse_in_bf16(batch: torch.Tensor) -> torch.Tensor:
    """Per sample, whether bf16 rounds any of its channels by more than a part of the standard deviation: (B,) bool."""
    flat = batch.flatten(2)  # (B, C, V)
    rounding = (flat - flat.bfloat16().float()).square().mean(2).sqrt()
    return (rounding > LARGEST_ROUNDING * flat.std(2, correction=0)).any(1)


def _check_image(image: NDArray[Any], module: Network) -> None:
    n_inputs, divisor = module.n_inputs, module.divisor
    wanted = f"float32 (B, {n_inputs}, …) with spatial sizes that are multiples of {divisor}"
    is_fit = (
        image.dtype == np.float32
        and image.ndim == len(divisor) + 2
        and image.shape[0] > 0
        and image.shape[1] == n_inputs
        and all(size > 0 and size % step == 0 for size, step in zip(image.shape[2:], divisor, strict=True))
    )
    if not is_fit:
        raise SettingsError(
            "E-NETWORK-SHAPE", f"the network's input is {image.dtype} {image.shape}.", cure=f"Give {wanted}."
        )


def _check_finite(values: torch.Tensor, what: str, *, cure: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise InputError("E-NETWORK-NAN", f"{what} is not finite everywhere.", cure=cure)


def choose_precision(precision: str, device: str) -> tuple[PrecisionName, str]:
    """The precision that will be used and why, without loading an engine.

    Raises
    ------
    SettingsError
        ``E-PRECISION``.
    """
    if precision not in PRECISIONS:
        names = ", ".join(PRECISIONS)
        raise SettingsError("E-PRECISION", f"unknown precision {precision!r}.", cure=f"Use one of {names}.")
    if precision == "fp32":
        return "fp32", "fp32 was asked for"
    is_native = has_bf16(device)
    if precision == "auto":
        if is_native:
            return "bf16", f"{device} multiplies bf16 natively; samples that bf16 cannot represent run in fp32"
        return "fp32", f"{device} does not multiply bf16 natively"
    if not is_native:
        raise SettingsError("E-PRECISION", f"{device} does not multiply bf16 natively.", cure="Use fp32 or auto.")
    return "bf16", "bf16 was asked for"


def _named_engine(engine: str, problem: str) -> EngineName:
    if engine == "openvino":
        if problem:
            raise SettingsError(
                "E-ENGINE", f"openvino cannot be used: {problem}.", cure="Use --set inference.engine=torch."
            )
        return "openvino"
    if engine == "compiled":
        if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++", "cl") if name):
            raise SettingsError(
                "E-ENGINE", "the engine `compiled` needs a C++ compiler, and none was found.", cure="Install g++."
            )
        return "compiled"
    return "torch"


def _openvino_problem(device: torch.device) -> str:
    """Why OpenVINO cannot be used here; ``""`` where it can."""
    if device.type != "cpu":
        return f"openvino does not run on {device}"
    try:
        importlib.import_module("openvino.frontend.pytorch.ts_decoder")
    except ImportError as problem:
        return f"openvino is not installed or broken ({problem})"
    return ""


def _version(name: EngineName) -> str:
    return str(importlib.import_module("openvino" if name == "openvino" else "torch").__version__)
