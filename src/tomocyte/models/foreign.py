"""Weights that another program trained, made a model of this package: read, matched with a network, put on a card.

What the file does not say (what the outputs are, at which voxel size) is asked for, never guessed; where the weights
come from stands on the card. To read another kind of file, add a branch to :func:`read_foreign`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.models.card import ModelCard
from tomocyte.models.keras_weights import BIOMEDISA, WRONG_NETWORK, KerasModel, read_keras
from tomocyte.models.library import ModelEntry, is_bundled, user_folder
from tomocyte.models.package import save_package
from tomocyte.models.state_files import SAFETENSORS, read_state_file
from tomocyte.settings import build_settings

if TYPE_CHECKING:
    import torch

KERAS_ENDINGS = (".h5", ".hdf5", ".keras.h5")
STATE_ENDINGS = (SAFETENSORS, ".pt", ".pth", ".bin", ".ckpt")
ENDINGS = (*KERAS_ENDINGS, *STATE_ENDINGS)
NEEDED = ("modality", "structures", "voxel_size_um")
"""Fields of the card that no such file can fill."""
UNKNOWN_LICENCE = "LicenseRef-unknown"
SMALLEST_TILE = 16


@dataclass(frozen=True)
class ForeignModel:
    """Weights and the card that they will have.

    Parameters
    ----------
    card : ModelCard
    state : mapping of str to Tensor
    is_by_order : bool
        Whether tensors had other names and were matched by their order, kind and shape.
    """

    card: ModelCard
    state: Mapping[str, torch.Tensor]
    is_by_order: bool

    @property
    def n_parameters(self) -> int:
        """Numbers that were learned, running statistics among them."""
        return sum(value.numel() for name, value in self.state.items() if not name.endswith("num_batches_tracked"))


def is_foreign(path: Path) -> bool:
    """Whether a file has the ending of weights that are no package."""
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def read_foreign(path: Path, facts: Mapping[str, Any]) -> ForeignModel:
    """Weights of a Keras file or a state dictionary, matched with a network, and their card.

    Parameters
    ----------
    path : Path
        HDF5 of Keras, e.g. of Biomedisa, or a state dictionary of PyTorch.
    facts : mapping
        Fields of a :class:`ModelCard` that the file does not say; ``modality``, ``structures`` and ``voxel_size_um``
        are needed, and ``network`` for a state dictionary.

    Returns
    -------
    ForeignModel

    Raises
    ------
    SettingsError
        ``E-MODEL-FACTS``: a needed field is missing; ``E-SETTINGS``: a field is unknown or out of bounds.
    InputError
        ``E-KERAS…``, ``E-HDF5-…``, ``E-MODEL-STATE``, ``E-MODEL-TENSORS``: the file cannot be read, or its weights
        belong to another network.
    """
    is_keras = path.name.lower().endswith(KERAS_ENDINGS)
    keras = read_keras(path) if is_keras else None
    network = _network(keras, facts, path)
    missing = [name for name in NEEDED if name not in facts]
    if missing:
        n_outputs = network["options"].get("n_outputs")
        outputs = "" if keras is None else f" It has {n_outputs} outputs{_labels(keras)}."
        raise SettingsError(
            "E-MODEL-FACTS",
            f"the file does not say {' and '.join(missing)}.{outputs}",
            path=path,
            cure=f"Give {' '.join(f'--set {name}=…' for name in missing)}, as on a model card.",
        )
    card = _card(path, network, facts, keras)
    empty = _empty(card, path)
    if keras is not None:
        return ForeignModel(card, keras.state(empty), is_by_order=True)
    state, is_by_order = _matched(read_state_file(path), empty, path, may_reorder=path.suffix.lower() != SAFETENSORS)
    return ForeignModel(card, state, is_by_order)


def install_foreign(model: ForeignModel, *, is_overwriting: bool = False) -> ModelEntry:
    """Put a model into the user's library, with a self-test on a smooth random image.

    Raises
    ------
    OutputError
        ``E-MODEL-EXISTS``, or what :func:`tomocyte.ledger.writing` raises.
    SettingsError
        As :func:`tomocyte.models.save_package`.
    """
    if is_bundled(model.card.name):
        problem = f"{model.card.name!r} is the name of a model that comes with tomocyte."
        raise OutputError("E-MODEL-EXISTS", problem, cure="Give it another one with --set name=NAME.")
    folder = user_folder() / model.card.name
    divisor: Any = _empty(model.card, folder).divisor
    card = save_package(
        folder, model.state, model.card, _selftest_image(model.card, divisor), is_overwriting=is_overwriting
    )
    return ModelEntry(card.name, folder, "user", card)


def _network(keras: KerasModel | None, facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Name and options of the network: as given, or Biomedisa's as the layers say."""
    given: Any = facts.get("network", {})
    network: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    options = dict(network.get("options", {}))
    if "name" not in network:
        if keras is None:
            raise SettingsError(
                "E-MODEL-FACTS",
                "a state dictionary does not say of which network it is.",
                path=path,
                cure="Give --set network.name=NAME; see `tomocyte networks`.",
            )
        return {"name": BIOMEDISA, "options": keras.biomedisa_options() | options}
    structures = facts.get("structures")
    if isinstance(structures, list | tuple):
        options.setdefault("n_outputs", len(structures))
    channels = facts.get("channels")
    if isinstance(channels, list | tuple):
        options.setdefault("n_inputs", len(channels))
    return {"name": network["name"], "options": options}


def _labels(keras: KerasModel) -> str:
    return "" if keras.meta is None else f", trained with the labels {', '.join(map(str, keras.meta.labels))}"


def _card(path: Path, network: dict[str, Any], facts: Mapping[str, Any], keras: KerasModel | None) -> ModelCard:
    from tomocyte.modalities import modality
    from tomocyte.networks import find_network

    kind, entry = modality(str(facts["modality"])), find_network(str(network["name"]))
    sha256, stem = _sha256(path), re.sub(r"[^a-z0-9._-]+", "-", path.name.partition(".")[0].lower()).strip("-._")[:60]
    source = {"file": path.name, "sha256": sha256, "format": "Keras HDF5" if keras else "PyTorch state dictionary"}
    content: dict[str, Any] = {
        "name": f"imported-{stem}" if len(stem) < 2 else stem,
        "description": f"Weights of {source['file']} ({source['format']}), imported.",
        "paper": f"{entry.paper}, doi:{entry.doi}" if entry.doi else "",
        "quantity": kind.quantity,
        "channels": kind.channels,
        "dimensions": entry.dimensions,
        "value_range": kind.plausible_range,
        "section_axis": "z" if entry.dimensions == 2 else None,
        "tile_shape": (64, 64, 64) if entry.dimensions == 3 else (256, 256),
        "training_data": f"not recorded; imported from {source['file']}, SHA-256 {sha256}",
        "licence": UNKNOWN_LICENCE,
        "limits": "Nothing is known here about how good it is: compare it with labels of your own first.",
        "recipe": {"imported": {**source, "biomedisa": _meta_json(keras)}},
        **(
            {}
            if keras is None
            else _preparation(keras, is_refining=tuple(facts.get("channels", ()))[1:] == ("labels",))
        ),
    }
    return build_settings(ModelCard, {**content, **facts, "network": network})


def _preparation(keras: KerasModel, *, is_refining: bool) -> dict[str, Any]:
    """How images are prepared, as the file says, in the words of a card; a second level keeps the image's voxels.

    Raises
    ------
    InputError
        ``E-KERAS-PREPARATION``: in another manner than a model of this package can.
    """
    meta = keras.meta
    if meta is None:
        return {"activation": "softmax"}
    if meta.is_patch_normalised or not meta.is_normalised or not (meta.is_scaled or is_refining):
        raise InputError(
            "E-KERAS-PREPARATION",
            "its images were not both scaled to one shape and normalised to the first one, or its patches were "
            "normalised one by one; a model here cannot prepare images like that.",
            path=keras.path,
            cure="Train it again with scaling and normalisation, Biomedisa's defaults.",
        )
    frame = {"shape": meta.scale, "mean": meta.mean, "sd": meta.standard_deviation}
    return {"activation": "softmax", "scaled_frame": frame}


def _meta_json(keras: KerasModel | None) -> Any:
    from dataclasses import asdict

    return None if keras is None or keras.meta is None else json.loads(json.dumps(asdict(keras.meta)))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _empty(card: ModelCard, path: Path) -> torch.nn.Module:
    """The network of a card on torch's device without memory; its inputs and outputs are those of the card."""
    import torch

    from tomocyte.models.weights import empty_state
    from tomocyte.networks import build_network

    empty_state(card, path)
    with torch.device("meta"):
        return build_network(card.network.name, card.network.options)


def _matched(
    given: Mapping[str, torch.Tensor], module: torch.nn.Module, path: Path, *, may_reorder: bool
) -> tuple[dict[str, torch.Tensor], bool]:
    """The tensors under the network's own names, and whether they were matched by order, kind and shape alone."""
    import torch

    empty = module.state_dict()
    counters = {name for name in empty if name.endswith("num_batches_tracked")}
    state = {name: value for name, value in given.items() if not name.endswith("num_batches_tracked")}
    wanted = [name for name in empty if name not in counters]
    is_by_order = set(state) != set(wanted)
    if is_by_order and may_reorder:
        same = [(name.rpartition(".")[2], tuple(value.shape)) for name, value in state.items()]
        if same == [(name.rpartition(".")[2], tuple(empty[name].shape)) for name in wanted]:
            state = dict(zip(wanted, state.values(), strict=True))
    wrong = sorted(set(state) ^ set(wanted)) or [
        name for name in wanted if tuple(state[name].shape) != tuple(empty[name].shape)
    ]
    if wrong:
        text = f"has other tensors than the network, {wrong[0]!r} among {len(wrong)} of them."
        raise InputError("E-MODEL-TENSORS", text, path=path, cure=WRONG_NETWORK)
    floats = {name: state[name].to(torch.float32) for name in wanted}
    return {**floats, **{name: torch.zeros((), dtype=torch.int64) for name in counters}}, is_by_order


def _selftest_image(card: ModelCard, divisor: tuple[int, ...]) -> NDArray[np.float32]:
    """A smooth random image from 0 to 1, one tile of the smallest sizes that the network takes."""
    from scipy import ndimage

    shape = tuple(step * -(-SMALLEST_TILE // step) for step in divisor)
    noise = np.random.default_rng(0).standard_normal((len(card.channels), *shape))
    image = ndimage.gaussian_filter(noise, (0, *(2.0 for _ in shape)))
    low, high = image.min(), image.max()
    return np.asarray((image - low) / (high - low), dtype=np.float32)
