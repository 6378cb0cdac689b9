"""Models for other programs: ONNX, and the package of bioimage.io around it.

Both hold the network with its activation, so that they give probabilities, and both are compared with the self-test
before they are written. Normalisation stays outside the ONNX graph; bioimage.io declares it as preprocessing. To add a
format, write ``export_<format>(package, path)`` here and name it in the command line.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import OutputError, SettingsError
from tomocyte.ledger.atomic import write_atomic
from tomocyte.models.archive import write_archive
from tomocyte.models.reading import CARD_FILE
from tomocyte.models.selftest import TOLERANCE, probabilities

if TYPE_CHECKING:
    from tomocyte.models.card import ModelCard
    from tomocyte.models.package import ModelPackage

OPSET = 18
BIOIMAGEIO_VERSION = "0.5.4"
HOME = "https://github.com/tomocyte/tomocyte"
_DOI = re.compile(r"10\.\d{4,9}/[^\s,;]+[^\s,;.)]")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_+\- ()]")


def _require_extra(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        problem = f"{' and '.join(missing)} must be installed to export this format."
        raise SettingsError("E-MODEL-EXTRA", problem, cure="pip install 'tomocyte[export]'")


def export_onnx(package: ModelPackage, path: str | Path) -> None:
    """Write a model as ONNX: normalised image in, probability out, batch and spatial sizes free.

    Parameters
    ----------
    package : ModelPackage
    path : path-like
        The .onnx file; replaced if it exists. Input ``image`` (B, C, [Z,] Y, X) float32 with spatial sizes that are
        multiples of the network's divisor; output ``probability`` (B, K, [Z,] Y, X) float32. The metadata hold
        the card.

    Raises
    ------
    SettingsError
        ``E-MODEL-EXTRA``: onnx or onnxscript is not installed.
    OutputError
        ``E-MODEL-EXPORT``: onnxruntime (when installed) gives another output; or what
        :func:`tomocyte.ledger.writing` raises.
    """
    write_atomic(Path(path), _onnx_bytes(package, Path(path)))


def _onnx_bytes(package: ModelPackage, path: Path) -> bytes:
    _require_extra("onnx", "onnxscript")
    import torch

    module = package.build()
    divisor: Any = module.divisor
    head = torch.nn.Sigmoid() if package.card.activation == "sigmoid" else torch.nn.Softmax(dim=1)
    whole = torch.nn.Sequential(module, head).eval()
    # A size of 1, or one that two axes share, would be taken for a constant: trace with two different ones.
    sizes = [step * (3 + position) for position, step in enumerate(divisor)]
    image = torch.zeros(2, len(package.card.channels), *sizes)
    free = {0: torch.export.Dim("batch", min=1)} | {
        2 + position: step * torch.export.Dim(f"n_{position}", min=1) for position, step in enumerate(divisor)
    }
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            whole,
            (image,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probability"],
            dynamic_shapes=(free,),
            external_data=False,
            verbose=False,
        )
    proto: Any = program.model_proto  # type: ignore[union-attr]
    entry = proto.metadata_props.add()
    entry.key, entry.value = "tomocyte_card", package.card.to_bytes().decode()
    data: bytes = proto.SerializeToString()
    _compare(package, data, path)
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about its own internals and about packages that are not needed; errors still come through."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _compare(package: ModelPackage, data: bytes, path: Path) -> None:
    """Run the file's own content with onnxruntime, where it is installed, and refuse a different output."""
    if find_spec("onnxruntime") is None:
        return
    runtime: Any = import_module("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": package.selftest["input"].numpy()})
    difference = float(np.abs(output - package.selftest["output"].numpy()).max())
    if not difference <= TOLERANCE:
        problem = f"onnxruntime computes probabilities that differ by {difference:.3g}; {TOLERANCE:g} is allowed."
        raise OutputError("E-MODEL-EXPORT", problem, path=path, cure="Report it with the model and your versions.")


def export_bioimageio(package: ModelPackage, path: str | Path) -> None:
    """Write a model as a .zip of the bioimage.io model format 0.5, with its weights as ONNX.

    Parameters
    ----------
    package : ModelPackage
    path : path-like
        The .zip; replaced if it exists. Its input is the physical image, its preprocessing the card's normalisation;
        where that needs the medium's refractive index, the card's own stand-in is declared.

    Raises
    ------
    SettingsError
        ``E-MODEL-EXTRA``: onnx or onnxscript is not installed.
    OutputError
        As :func:`export_onnx`.

    References
    ----------
    The model description format 0.5 of bioimage.io, https://github.com/bioimage-io/spec-bioimage-io.
    """
    import yaml

    onnx = _onnx_bytes(package, Path(path))
    image, output = _test_tensors(package)
    files = {
        "rdf.yaml": yaml.safe_dump(_description(package), sort_keys=False, allow_unicode=True).encode(),
        "README.md": _documentation(package.card).encode(),
        CARD_FILE: package.card.to_bytes(),
        "test_input.npy": _npy(image),
        "test_output.npy": _npy(output),
        "weights.onnx": onnx,
    }
    write_archive(Path(path), files, is_compressed=True)


def _test_tensors(package: ModelPackage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A physical image and what the model gives for it; the self-test's first tile, its normalisation undone."""
    import torch

    from tomocyte.segmentation.prediction.normalization import normalize

    settings = package.card.normalization
    normalised = package.selftest["input"][0].numpy().astype(np.float64)
    is_linear = settings.kind in ("fixed", "medium")
    image = (normalised * settings.scale + settings.offset if is_linear else normalised).astype(np.float32)
    normalized = torch.from_numpy(normalize(image, settings)[np.newaxis])
    return image[np.newaxis], probabilities(package.build(), normalized, package.card.activation).numpy()


def _preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    settings = card.normalization
    axes = ["z", "y", "x"][-card.dimensions :]
    if settings.kind == "zscore":
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": 1e-6}}]
    if settings.kind == "percentile":
        limits = {"min_percentile": settings.low, "max_percentile": settings.high}
        return [{"id": "scale_range", "kwargs": {"axes": axes, **limits, "eps": 1e-6}}]
    if (settings.scale, settings.offset) == (1.0, 0.0):
        return []
    # out = gain * in + offset
    gain, offset = 1.0 / settings.scale, -settings.offset / settings.scale
    return [{"id": "scale_linear", "kwargs": {"gain": gain, "offset": offset}}]


def _axes(package: ModelPackage, names: tuple[str, ...], *, is_output: bool) -> list[dict[str, Any]]:
    divisor: Any = package.build().divisor
    spatial = []
    sizes_um = package.card.voxel_size_um[-package.card.dimensions :]
    for axis, step, size_um in zip("zyx"[-package.card.dimensions :], divisor, sizes_um, strict=True):
        size = {"tensor_id": "image", "axis_id": axis} if is_output else {"min": step, "step": step}
        # Few enough digits that size * scale / scale is exact: readers compare it with the size as integers.
        scale = {} if size_um is None else {"unit": "micrometer", "scale": float(np.float32(size_um))}
        spatial.append({"type": "space", "id": axis, "size": size, **scale})
    return [{"type": "batch"}, {"type": "channel", "channel_names": [_identifier(name) for name in names]}, *spatial]


def _identifier(name: str) -> str:
    return name.replace("-", "_").lower()


def _description(package: ModelPackage) -> dict[str, Any]:
    card = package.card
    doi = _DOI.search(card.paper)
    own = {"text": "tomocyte", "url": HOME}
    preprocessing = _preprocessing(card)
    image: dict[str, Any] = {
        "id": "image",
        "description": f"{card.quantity}, physical values",
        "axes": _axes(package, card.channels, is_output=False),
        "test_tensor": {"source": "test_input.npy"},
        "data": {"type": "float32"},
    }
    if preprocessing:
        image["preprocessing"] = preprocessing
    return {
        "type": "model",
        "format_version": BIOIMAGEIO_VERSION,
        "name": _NOT_IN_NAME.sub("-", f"tomocyte {card.name}"),
        "version": re.sub(r"[^0-9.].*$", "", card.version),
        "description": (card.description or card.name)[:1000],
        "authors": [{"name": "The tomocyte developers"}],
        "cite": [{"text": card.paper, "doi": doi.group()} if doi else own],
        "license": card.licence,
        "documentation": "README.md",
        "git_repo": HOME,
        "tags": ["tomocyte", card.modality, f"{card.dimensions}d", "segmentation", *card.structures],
        "attachments": [{"source": CARD_FILE}],
        "inputs": [image],
        "outputs": [
            {
                "id": "probability",
                "description": "probability of each structure, 0 to 1",
                "axes": _axes(package, card.structures, is_output=True),
                "test_tensor": {"source": "test_output.npy"},
                "data": {"type": "float32", "range": [0.0, 1.0]},
            }
        ],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": OPSET}},
        "timestamp": f"{card.date.isoformat() if card.date else '2020-01-01'}T00:00:00+00:00",
    }


def _documentation(card: ModelCard) -> str:
    figures = "\n".join(f"- {name}: {value}" for name, value in card.figures.items()) or "None are recorded."
    simulated = " Simulated data were used for training." if card.is_trained_on_simulated else ""
    return (
        f"# {card.name} {card.version}\n\n{card.description}\n\n"
        f"Modality {card.modality}; trained on: {card.training_data or 'not recorded'}.{simulated}\n\n"
        f"Paper: {card.paper or 'none'}\n\n## Limits\n\n{card.limits or 'None are recorded.'}\n\n"
        f"## Validation\n\nOn held-out data:\n\n{figures}\n\n"
        "To validate on your own data, compare thresholded probabilities with annotations of images that took no part\n"
        "in the training, e.g. by the Dice coefficient per structure.\n"
    )


def _npy(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()
