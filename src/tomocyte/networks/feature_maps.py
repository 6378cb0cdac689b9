"""What a network sees at each of its levels, as in Fig. 2b of the OS-Net paper.

The picture is drawn by ``tomocyte.figures.feature_maps``; a network names its levels in ``Network.levels``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tomocyte.errors import SettingsError
from tomocyte.networks.registry import Network


def feature_maps(module: nn.Module, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The feature maps of every level for one image, in the order of computation.

    The module itself is neither changed nor switched to evaluation mode: a copy is. A Down module's maps are those it
    hands to the long skip connection, before pooling.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`tomocyte.networks.build_network`.
    image : array ``(n_inputs, [Z,] Y, X)`` float32
        Normalised as in training; each spatial size a multiple of ``module.divisor``.

    Returns
    -------
    dict of str to array ``(C, [Z,] Y, X)`` float32
        ``down 1`` … , ``bridge``, ``up 1`` … and ``output``, the logits.

    Raises
    ------
    SettingsError
        ``E-NETWORK``: the module was not built here; ``E-NETWORK-SHAPE``: the image does not fit it.

    References
    ----------
    Lee et al., IEEE Access 7, 83449 (2019), Fig. 2b, doi:10.1109/ACCESS.2019.2924255.

    Examples
    --------
    >>> from tomocyte.networks import build_network
    >>> maps = feature_maps(build_network("osnet"), np.zeros((1, 32, 48), np.float32))
    >>> maps["down 2"].shape
    (32, 16, 24)
    """
    if not isinstance(module, Network):
        kind = type(module).__name__
        raise SettingsError("E-NETWORK", f"a {kind} has no named levels.", cure="Build it with build_network.")
    is_fit = image.ndim == len(module.divisor) + 1 and image.shape[0] == module.n_inputs
    if not is_fit or any(size % step for size, step in zip(image.shape[1:], module.divisor, strict=True)):
        cure = f"Give {module.n_inputs} channels and spatial sizes that are multiples of {module.divisor}."
        raise SettingsError("E-NETWORK-SHAPE", f"the network's input is an image {image.shape}.", cure=cure)
    network = copy.deepcopy(module).cpu().float().eval()
    maps: dict[str, NDArray[np.float32]] = {}
    for name, part in network.levels().items():
        part.register_forward_hook(_recorder(maps, name))
    with torch.inference_mode():
        network(torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None])
    return maps


def _recorder(maps: dict[str, NDArray[np.float32]], name: str) -> Callable[..., None]:
    def keep(_part: nn.Module, _inputs: Any, output: Any) -> None:
        features = output[0] if isinstance(output, tuple) else output  # a Down module returns (skip, pooled)
        maps[name] = features[0].numpy().copy()

    return keep
