"""What numbers a processor computes in: bf16 where it has the instructions for it, fp32 elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from tomocyte.errors import SettingsError

Autocast = Callable[[], AbstractContextManager[object]]
CONVOLUTIONS = (torch.conv2d, torch.conv3d)
TRANSPOSED_CONVOLUTIONS = (torch.conv_transpose2d, torch.conv_transpose3d)


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
    if device.startswith("cpu"):
        return "bf16", cpu_autocast
    return "bf16", partial(torch.autocast, device.partition(":")[0], dtype=torch.bfloat16)


@contextmanager
def cpu_autocast() -> Iterator[None]:
    """bf16 on a CPU, but float32 for a convolution of an image that is smaller than its kernel along an axis.

    There oneDNN (as torch 2.13 has it) computes the gradient of the weights in bf16 from memory that was never written:
    any number, NaN, or a crash. A 3 x 3 x 3 convolution with a padding of 1 on two planes is one, the deepest level of
    a network that halves 32 planes four times. Forward and the gradient of the image are right, as is all of float32.
    Of 2,500 other convolutions, plain, dilated, grouped and transposed, none was wrong.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16), _SmallConvolutions():
        yield


class _SmallConvolutions(TorchFunctionMode):
    """Calls convolutions that are smaller than their kernel without autocast."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), options: Any = None
    ) -> Any:
        """Call ``function``, in float32 where it is a small convolution."""
        options = options or {}
        if is_smaller_than_kernel(function, args, options):
            single = tuple(part.float() if isinstance(part, torch.Tensor) else part for part in args)
            with torch.autocast("cpu", enabled=False):
                return function(*single, **options)
        return function(*args, **options)


def is_smaller_than_kernel(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a call is a convolution with a kernel larger than the image along an axis.

    Parameters
    ----------
    function : callable
        Any function of torch.
    args, options
        As it is called: image (N, C, ...), weight (C, C, ...), bias, stride, padding, dilation.
    """
    if function in TRANSPOSED_CONVOLUTIONS:  # its result is the image; padding < k
        return any(n < 2 * k - 1 for n, k in zip(args[0].shape[2:], args[1].shape[2:], strict=True) if k > 1)
    if function not in CONVOLUTIONS:
        return False
    dilation = options.get("dilation", args[5] if len(args) > 5 else 1)
    reach = dilation if isinstance(dilation, tuple | list) else [dilation] * (args[0].ndim - 2)
    sides = zip(args[0].shape[2:], args[1].shape[2:], reach, strict=True)
    return any(n < (k - 1) * step + 1 for n, k, step in sides)
