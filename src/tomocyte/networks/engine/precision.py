"""What numbers a processor computes in: bf16 where it has the instructions for it, fp32 elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal

import torch

from tomocyte.errors import SettingsError

Autocast = Callable[[], AbstractContextManager[object]]


def has_bf16(device: str = "cpu") -> bool:
    """Whether a device multiplies bf16 numbers natively: AVX512-BF16 or AMX on a CPU, Ampere or newer on a GPU."""
    if device.startswith("cuda"):
        return torch.cuda.is_available() and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast_for(device: str, precision: Literal["auto", "fp32", "bf16"]) -> tuple[Literal["fp32", "bf16"], Autocast]:
    """The precision that will be used, and a context in which a network computes in it.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda[:n]``.
    precision : {"auto", "fp32", "bf16"}
        ``auto``: bf16 where it is native, else fp32.

    Raises
    ------
    SettingsError
        ``E-PRECISION``: bf16 was asked for where the processor would only emulate it, slower than fp32.
    """
    if precision == "fp32" or (precision == "auto" and not has_bf16(device)):
        return "fp32", nullcontext
    if not has_bf16(device):
        raise SettingsError(
            "E-PRECISION", f"{device} has no instructions for bf16.", cure="Use precision `auto` or `fp32`."
        )
    return "bf16", partial(torch.autocast, device.partition(":")[0], dtype=torch.bfloat16)
