"""State dictionaries of PyTorch, from safetensors or from .pt files without running what they contain.

A .pt file is a .zip around a pickle, which torch reads with ``weights_only``: tensors, numbers and containers, nothing
that could call a function. To look for the tensors under another key, add it to ``KEYS``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import InputError
from tomocyte.models.archive import LARGEST_TOTAL_BYTES
from tomocyte.models.reading import read_plain
from tomocyte.models.weights import parse_tensors

if TYPE_CHECKING:
    import torch

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
"""Where trainers put the state of a network beside that of their own."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers put before every name."""
SAFETENSORS = ".safetensors"
AS_SAFETENSORS = "Save it again as safetensors: safetensors.torch.save_file(model.state_dict(), FILE)."


def read_state_file(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a state dictionary, in the order of the file.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or what ``torch.save`` wrote since PyTorch 1.6.

    Returns
    -------
    dict of str to Tensor
        On the CPU. Prefixes that all names share, such as ``module.``, are taken off.

    Raises
    ------
    InputError
        ``E-MODEL-STATE``: not a state dictionary, or one that needs code to be run; ``E-MODEL-TENSORS``: not a
        safetensors file; ``E-MODEL-FILE``; ``E-MODEL-ZIP-BOMB``.
    """
    data = read_plain(path, largest_nbytes=LARGEST_TOTAL_BYTES)
    content: Any = parse_tensors(data, path) if path.suffix.lower() == SAFETENSORS else _unpickled(data, path)
    state = _innermost(content)
    if not state:
        problem = "holds no state dictionary: names and tensors."
        raise InputError("E-MODEL-STATE", problem, path=path, cure=AS_SAFETENSORS)
    return _without_prefixes(state)


def _unpickled(data: bytes, path: Path) -> Any:
    import torch

    if not zipfile.is_zipfile(io.BytesIO(data)):
        problem = "is neither safetensors nor what torch.save writes since PyTorch 1.6."
        raise InputError("E-MODEL-STATE", problem, path=path, cure=AS_SAFETENSORS)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST_TOTAL_BYTES:
            problem = f"unpacks to {unpacked:,} bytes; {LARGEST_TOTAL_BYTES:,} are allowed."
            raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=AS_SAFETENSORS)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:
        problem = (
            f"cannot be read as tensors alone ({str(error).splitlines()[0][:200] if str(error) else 'no reason'})."
        )
        raise InputError("E-MODEL-STATE", problem, path=path, cure=AS_SAFETENSORS) from error


def _innermost(content: Any) -> dict[str, torch.Tensor]:
    """The names and tensors, where need be below the keys of a trainer."""
    import torch

    for _ in range(3):
        if not isinstance(content, Mapping):
            return {}
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        inner = next((content[key] for key in KEYS if isinstance(content.get(key), Mapping)), None)
        if tensors or inner is None:
            return tensors
        content = inner
    return {}


def _without_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    while prefix := next((one for one in PREFIXES if all(name.startswith(one) for name in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
