"""Weights that Keras saved as HDF5, given to a network of this package; no code of the file is run.

Keras keeps a group per layer, in the order of the layers, and stores kernels as (z, y, x, in, out). Layers are matched
by that order, kind and shape, so that it does not matter what they are called. What Biomedisa writes beside them under
``/meta`` says how images are prepared. To read another kind of layer, add it to ``KINDS`` and to :func:`_tensors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError

if TYPE_CHECKING:
    import torch

    from tomocyte.formats.hdf5_arrays import Hdf5Arrays

KINDS = {
    "convolution": {"kernel": "weight", "bias": "bias"},
    "normalisation": {
        "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
    },
}  # fmt: skip
"""Keras' names of a layer's weights, and torch's."""
WEIGHTS = "model_weights"
META = "meta"
BIOMEDISA = "biomedisa"
WRONG_NETWORK = "Give the network whose weights they are with --set network.name=NAME; see `tomocyte networks`."
MOST_LAYERS = 2000


@dataclass(frozen=True)
class KerasLayer:
    """A layer with weights.

    Parameters
    ----------
    name : str
        As Keras called it.
    kind : str
        One of ``KINDS``.
    places : dict of str to str
        Keras' name of each weight, and where it is in the file.
    shapes : dict of str to tuple of int
        As Keras stores them.
    """

    name: str
    kind: str
    places: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class BiomedisaMeta:
    """What Biomedisa writes beside the weights.

    Parameters
    ----------
    labels : tuple of int
        Number of each output in the training labels.
    scale : tuple of 3 int
        Voxels z, y, x that every volume was brought to.
    is_scaled : bool
        Whether volumes are brought to that shape; else they keep their voxels.
    is_normalised : bool
        Whether volumes take on mean and standard deviation of the first training volume.
    mean, standard_deviation : tuple of float
        Of the first training volume, one per channel, between 0 and 1.
    is_patch_normalised : bool
        Whether every patch is brought to mean 0 and standard deviation 1.
    """

    labels: tuple[int, ...]
    scale: tuple[int, int, int]
    is_scaled: bool
    is_normalised: bool
    mean: tuple[float, ...]
    standard_deviation: tuple[float, ...]
    is_patch_normalised: bool


@dataclass(frozen=True)
class KerasModel:
    """What a file holds: the layers, in order, and what Biomedisa says of them; no weights yet."""

    path: Path
    layers: tuple[KerasLayer, ...]
    meta: BiomedisaMeta | None
    ignored: tuple[str, ...] = field(default=())

    def biomedisa_options(self) -> dict[str, int]:
        """Options of the network ``biomedisa`` that has such layers.

        Raises
        ------
        InputError
            ``E-KERAS-LAYERS``: it has not, e.g. the residual blocks that Biomedisa offers too.
        """
        kernels = [layer.shapes["kernel"] for layer in self.layers if layer.kind == "convolution"]
        n_levels, rest = divmod(len(kernels) + 1, 4)
        if rest or n_levels < 2 or any(len(kernel) != 5 for kernel in kernels):
            raise InputError(
                "E-KERAS-LAYERS",
                f"has {len(kernels)} convolutions, which no U-Net of Biomedisa without residual blocks has.",
                path=self.path,
                cure=WRONG_NETWORK,
            )
        return {
            "n_inputs": kernels[0][3],
            "n_outputs": kernels[-1][4],
            "width": kernels[0][4],
            "n_levels": n_levels,
        }

    def state(self, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        """The file's weights as the state of a network with the same layers.

        Parameters
        ----------
        module : torch.nn.Module
            Its weights are not looked at; it may be on torch's device without memory.

        Returns
        -------
        dict of str to Tensor
            float32.

        Raises
        ------
        InputError
            ``E-KERAS-LAYERS``: the network has other layers; ``E-HDF5-…``: an array is not what it says.
        """
        import torch

        from tomocyte.formats.hdf5_arrays import hdf5_arrays

        pairs = self._matched(module)
        state: dict[str, torch.Tensor] = {
            name: torch.zeros(value.shape, dtype=value.dtype)
            for name, value in module.state_dict().items()
            if name.endswith("num_batches_tracked")
        }
        with hdf5_arrays(self.path) as arrays:
            for (prefix, _), layer in pairs:
                for name, place in layer.places.items():
                    values = _as_torch(arrays.read(place))
                    state[f"{prefix}.{KINDS[layer.kind][name]}"] = torch.from_numpy(values)
        return state

    def _matched(self, module: torch.nn.Module) -> list[tuple[tuple[str, torch.nn.Module], KerasLayer]]:
        """Every layer of a network with the one of the file."""
        parts = [(name, part) for name, part in module.named_modules() if _kind(part)]
        for place, (part, layer) in enumerate(zip(parts, self.layers, strict=False)):
            ours, theirs = (_kind(part[1]), _own_shapes(part[1])), (layer.kind, _torch_shapes(layer))
            if ours != theirs:
                raise InputError(
                    "E-KERAS-LAYERS",
                    f"its layer {place + 1} with weights, {layer.name}, is a {theirs[0]} of {theirs[1]}; the network "
                    f"has a {ours[0]} of {ours[1]} there.",
                    path=self.path,
                    cure=WRONG_NETWORK,
                )
        if len(parts) != len(self.layers):
            problem = f"has {len(self.layers)} layers with weights; the network has {len(parts)}."
            raise InputError("E-KERAS-LAYERS", problem, path=self.path, cure=WRONG_NETWORK)
        return list(zip(parts, self.layers, strict=True))


def read_keras(path: Path) -> KerasModel:
    """What an HDF5 file of Keras holds, without its weights: a whole model, or weights alone.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        ``E-KERAS``: not such a file; ``E-KERAS-LAYERS``: a layer of another kind; ``E-HDF5-…``.
    """
    from tomocyte.formats.hdf5_arrays import hdf5_arrays

    with hdf5_arrays(path) as arrays:
        root = f"/{WEIGHTS}" if arrays.has(f"/{WEIGHTS}") else "/"
        names = arrays.attribute(root, "layer_names")
        if names is None or names.dtype.kind != "U" or len(names) > MOST_LAYERS:
            cure = "Give a file that Keras' model.save() or model.save_weights() wrote as .h5."
            raise InputError("E-KERAS", "names no layers of a Keras model.", path=path, cure=cure)
        layers = [layer for name in names if (layer := _layer(arrays, root, str(name), path)) is not None]
        meta = _meta(arrays, path) if arrays.has(f"/{META}") else None
        known = ("cropping_weights", "optimizer_weights")
        ignored = tuple(name for name in known if arrays.has(f"/{name}"))
    if not layers:
        raise InputError("E-KERAS", "holds no weights.", path=path, cure="Get the file again.")
    return KerasModel(path, tuple(layers), meta, ignored)


def _layer(arrays: Hdf5Arrays, root: str, name: str, path: Path) -> KerasLayer | None:
    """A layer and the shapes of its weights; ``None`` without any."""
    group = f"{root.rstrip('/')}/{name}"
    weights = arrays.attribute(group, "weight_names")
    if weights is None or weights.size == 0:
        return None
    places = {str(one).rpartition("/")[2].partition(":")[0]: f"{group}/{one}" for one in weights}
    kind = next((kind for kind, parts in KINDS.items() if set(places) <= set(parts)), None)
    if kind is None or (kind == "normalisation" and len(places) < len(KINDS[kind])) or len(places) != len(weights):
        text = f"layer {name} has the weights {', '.join(sorted(places))}."
        cure = "Convolutions and batch normalisation can be read."
        raise InputError("E-KERAS-LAYERS", text, path=path, cure=cure)
    return KerasLayer(name, kind, places, {weight: arrays.shape(place) for weight, place in places.items()})


def _meta(arrays: Hdf5Arrays, path: Path) -> BiomedisaMeta:
    def numbers(name: str) -> NDArray[np.float64]:
        values = np.zeros(0)
        if arrays.has(f"/{META}/{name}") and np.prod(arrays.shape(f"/{META}/{name}"), dtype=np.int64) <= 1000:
            values = np.atleast_1d(arrays.read(f"/{META}/{name}")).astype(np.float64)
        if values.size == 0 or not np.isfinite(values).all():
            text = f"/{META}/{name} is missing, or not a few finite numbers."
            raise InputError("E-KERAS", text, path=path, cure="Get the file again.")
        return values

    configuration, labels = numbers("configuration").ravel(), numbers("labels").ravel()
    if configuration.size < 5 or not 1 <= configuration[1:4].min() <= configuration[1:4].max() <= 4096:
        text = f"/{META}/configuration does not hold channels, the scale x, y, z, and whether values are normalised."
        raise InputError("E-KERAS", text, path=path, cure="Get the file again.")
    # Later versions keep mean and standard deviation per channel, earlier ones at the end of the configuration.
    has_own = arrays.has(f"/{META}/normalization")
    moments = numbers("normalization") if has_own else np.repeat(configuration[5:7], int(configuration[0]))
    if moments.size == 0 or moments.size % 2:
        text = f"/{META} does not hold a mean and a standard deviation per channel."
        raise InputError("E-KERAS", text, path=path, cure="Get the file again.")
    flags = {
        name: bool(numbers(name)[0]) if arrays.has(f"/{META}/{name}") else default
        for name, default in (("scaling", True), ("patch_normalization", False))
    }
    x, y, z = (int(size) for size in configuration[1:4])
    mean, deviation = moments.reshape(2, -1)
    return BiomedisaMeta(
        labels=tuple(int(label) for label in labels),
        scale=(z, y, x),
        is_scaled=flags["scaling"],
        is_normalised=bool(configuration[4]),
        mean=tuple(mean.tolist()),
        standard_deviation=tuple(deviation.tolist()),
        is_patch_normalised=flags["patch_normalization"],
    )


def _kind(part: torch.nn.Module) -> str:
    from torch import nn

    if isinstance(part, nn.Conv2d | nn.Conv3d):
        return "convolution"
    return "normalisation" if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d) else ""


def _own_shapes(part: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    state = part.state_dict()
    return {name: tuple(value.shape) for name, value in sorted(state.items()) if name != "num_batches_tracked"}


def _torch_shapes(layer: KerasLayer) -> dict[str, tuple[int, ...]]:
    """The shapes that torch has for the weights of a layer."""
    names = KINDS[layer.kind]
    shapes = {
        names[name]: (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
        for name, shape in layer.shapes.items()
    }
    return dict(sorted(shapes.items()))


def _as_torch(values: NDArray[Any]) -> NDArray[np.float32]:
    """Kernels (…, in, out) as (out, in, …); what has one axis as it is."""
    if values.ndim > 1:
        values = np.moveaxis(values, (-1, -2), (0, 1))
    return np.ascontiguousarray(values, dtype=np.float32)
