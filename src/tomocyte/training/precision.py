"""In which precision a training computes: float32, or bfloat16 where the hardware multiplies in it.

Weights, gradients, optimiser and losses stay in float32; only the network's forward pass runs under autocast. On a
processor without bfloat16 units it is emulated and slower, so ``auto`` does not choose it there. Keep 3-D tensors
contiguous: bfloat16 with ``channels_last_3d`` gave gradients that were not finite now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from tomocyte.errors import SettingsError

_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""As Linux names them: x86 vector and tile units; ARM."""


def has_bf16_units(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512_BF16, AMX, ARM BF16).

    Parameters
    ----------
    cpuinfo : Path
        Linux's description of the processor; where there is none (other systems) the answer is no.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":") for line in lines)
    return any(
        name.strip() in ("flags", "Features") and not _BF16_FLAGS.isdisjoint(words.split()) for name, _, words in flags
    )


def autocast_for(
    device: str | torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto"
) -> tuple[Literal["fp32", "bf16"], Callable[[], AbstractContextManager[Any]]]:
    """The precision used on a device, and a context for forward passes in it.

    Parameters
    ----------
    device : str or torch.device
        For instance ``cpu`` or ``cuda:0``.
    precision : str
        ``auto`` is ``bf16`` where the device has units for it, else ``fp32``. What is asked for is done.

    Returns
    -------
    tuple
        ``fp32`` or ``bf16``, and a function that makes the context: ``with make(): logits = network(batch)``.

    Raises
    ------
    SettingsError
        ``E-PRECISION``: an unknown precision.

    Examples
    --------
    >>> used, make = autocast_for("cpu", "fp32")
    >>> with make():
    ...     logits = torch.nn.Conv2d(1, 2, 3)(torch.zeros(1, 1, 8, 8))
    >>> used, logits.dtype
    ('fp32', torch.float32)
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise SettingsError("E-PRECISION", f"{precision!r} is not known.", cure="Choose auto, fp32 or bf16.")
    kind = torch.device(device).type
    if precision == "auto":
        has_units = has_bf16_units() if kind == "cpu" else kind == "cuda" and torch.cuda.is_bf16_supported(False)
        precision = "bf16" if has_units else "fp32"
    return precision, partial(torch.autocast, kind, dtype=torch.bfloat16, enabled=precision == "bf16")
