"""ONNX and bioimage.io: other programs compute the same probabilities."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.models.conftest import Made, make_card

from tomocyte.models import NetworkChoice, export_bioimageio, export_onnx, load_package, save_package
from tomocyte.models.card import card_from_bytes
from tomocyte.models.export import _preprocessing, _test_tensors
from tomocyte.networks import build_network
from tomocyte.segmentation.prediction.normalization import NormalizationSettings


@pytest.mark.parametrize(
    "settings",
    [
        NormalizationSettings(kind="fixed", offset=1.337, scale=0.02),
        NormalizationSettings(kind="medium", offset=1.34, scale=0.05),
        NormalizationSettings(kind="zscore"),
        NormalizationSettings(kind="percentile", low=2.0, high=98.0),
        NormalizationSettings(),
    ],
    ids=lambda settings: f"{settings.kind} {settings.scale}",
)
def test_declared_preprocessing_gives_what_the_network_saw(
    made: Made, tmp_path: Path, settings: NormalizationSettings
) -> None:
    """The declared steps, done here with NumPy as the format defines them, then the network itself."""
    save_package(tmp_path / "p", made.module.state_dict(), make_card(normalization=settings), made.image)
    package = load_package(tmp_path / "p")
    image, output = _test_tensors(package)
    seen = image.astype(np.float64)
    for step in _preprocessing(package.card):
        options: dict[str, Any] = step["kwargs"]
        if step["id"] == "scale_linear":
            seen = seen * options["gain"] + options["offset"]
        elif step["id"] == "zero_mean_unit_variance":
            assert options["axes"] == ["y", "x"]
            seen = (seen - seen.mean((2, 3), keepdims=True)) / (seen.std((2, 3), keepdims=True) + options["eps"])
        else:
            low, high = np.percentile(
                seen, [options["min_percentile"], options["max_percentile"]], axis=(2, 3), keepdims=True
            )
            seen = (seen - low) / (high - low + options["eps"])
    with torch.inference_mode():
        expected = torch.sigmoid(made.module(torch.from_numpy(seen.astype(np.float32)))).numpy()
    np.testing.assert_allclose(output, expected, atol=1e-3)
    if settings.kind in ("fixed", "medium"):
        np.testing.assert_allclose(image, made.image[None] * settings.scale + settings.offset, rtol=1e-6)


@pytest.mark.slow
def test_onnx_computes_the_same_at_other_sizes(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    export_onnx(load_package(made.folder), tmp_path / "a.onnx")
    proto = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(proto)
    assert (
        card_from_bytes({entry.key: entry.value for entry in proto.metadata_props}["tomocyte_card"].encode())
        == made.card
    )
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 1, 16, 16), (3, 1, 80, 48), (1, 1, 32, 208)):
        image = np.random.default_rng(4).normal(size=shape).astype(np.float32)
        (output,) = session.run(["probability"], {"image": image})
        with torch.inference_mode():
            expected = torch.sigmoid(made.module(torch.from_numpy(image))).numpy()
        np.testing.assert_allclose(output, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3])
def test_bioimageio_package_is_valid(made: Made, tmp_path: Path, dimensions: int) -> None:
    """Its own tensors agree by onnxruntime; bioimageio.spec, where installed, finds the format valid."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    folder = made.folder if dimensions == 2 else solid_package(tmp_path)
    export_bioimageio(load_package(folder), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    description = yaml.safe_load(files["rdf.yaml"])
    assert description["format_version"].startswith("0.5.")
    axes = description["inputs"][0]["axes"]
    sizes_um = (0.35, 0.19, 0.21)[-dimensions:]
    assert [axis["scale"] for axis in axes if axis["type"] == "space"] == pytest.approx(sizes_um)
    image, output = (np.load(io.BytesIO(files[f"test_{name}.npy"]), allow_pickle=False) for name in ("input", "output"))
    assert 1.2 < image.mean() < 1.5  # physical
    session = runtime.InferenceSession(files["weights.onnx"], providers=["CPUExecutionProvider"])
    normalized = ((image.astype(np.float64) - 1.337) / 0.02).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"image": normalized})[0], output, atol=1e-4)
    try:
        from bioimageio.spec import load_description  # type: ignore[import-not-found]
    except ImportError:
        return
    seen = load_description(tmp_path / "a.zip")
    assert seen.validation_summary.status != "failed", seen.validation_summary.format()


def solid_package(tmp_path: Path) -> Path:
    options = {"n_inputs": 1, "n_outputs": 2}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module: Any = build_network("unet3d", options).eval()
    card = make_card(
        network=NetworkChoice(name="unet3d", options=options),
        dimensions=3, section_axis=None, voxel_size_um=(0.35, 0.19, 0.21), tile_shape=(16, 32, 32),
    )  # fmt: skip
    shape = [2 * step * (1 + position) for position, step in enumerate(module.divisor)]
    image = np.random.default_rng(3).normal(size=(1, *shape)).astype(np.float32)
    save_package(tmp_path / "solid", module.state_dict(), card, image)
    return tmp_path / "solid"
