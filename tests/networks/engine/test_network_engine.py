"""Predictors against the plain module, engine by engine; the choice of an engine and what it says."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tomocyte.errors import InputError, SettingsError
from tomocyte.networks import Network, build_network
from tomocyte.networks.engine import bf16_problem, choose_engine, describe_engine, make_predictor, predictor
from tomocyte.networks.engine.precision import has_bf16
from tomocyte.networks.engine.runners import (
    FastStem,
    _openvino_core,
    fast_stem,
    prepare,
    split_image,
    split_stem,
    stem_of,
)

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
ENGINES = ["torch", pytest.param("openvino", marks=pytest.mark.skipif(not HAS_OPENVINO, reason="no openvino"))]
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this CPU does not multiply bf16")
CASES = [
    ("osnet", {"n_inputs": 2, "n_outputs": 3}, (2, 2, 48, 32)),
    ("fusionnet-v2", {}, (3, 1, 32, 48)),
    ("unet3d", {"width": 8, "n_outputs": 2}, (2, 1, 8, 32, 24)),
    ("unet3d", {"width": 8, "norm": "instance", "has_stem_norm": True}, (1, 1, 8, 32, 24)),
    ("unet3d", {"width": 8, "n_outputs": 2, "stem_stride": (1, 2, 2)}, (1, 1, 8, 32, 48)),
    ("biomedisa", {"width": 8, "n_levels": 3, "n_outputs": 3}, (2, 1, 8, 16, 24)),
]


def network(name: str, options: dict[str, Any]) -> Network:
    """With running statistics of its own, so that folding has something to fold."""
    torch.manual_seed(0)
    module = build_network(name, options)
    with torch.no_grad():
        for _ in range(4):
            module(0.5 + 2 * torch.randn(2, module.n_inputs, *(2 * step for step in module.divisor)))
    return module.eval()


def image_of(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def truth(module: Network, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plain module in double precision."""
    with torch.no_grad():
        logits = module.double()(torch.from_numpy(image).double())
    module.float()
    return torch.sigmoid(logits).numpy()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "options", "shape"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_float32_gives_the_modules_probabilities(
    engine: str, name: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    module, image = network(name, options), image_of(shape)
    probability = make_predictor(module, activation="sigmoid", engine=engine, precision="fp32")(image)
    assert probability.dtype == np.float32
    assert probability.shape == (shape[0], module.n_outputs, *shape[2:])
    np.testing.assert_allclose(probability, truth(module, image), atol=1e-4)


@needs_bf16
@pytest.mark.parametrize("engine", ENGINES)
def test_bf16_stays_near_float32(engine: str) -> None:
    """Eight bits of mantissa through some twenty layers: a few parts in a hundred of the logits' spread."""
    module, image = network("unet16", {}), image_of((1, 1, 64, 96))
    probability = make_predictor(module, activation="sigmoid", engine=engine, precision="bf16")(image)
    exact = truth(module, image)
    assert 0 < np.abs(probability - exact).max() < 0.06
    assert np.mean((probability > 0.5) != (exact > 0.5)) < 0.03


def test_convolutions_at_every_voxel_see_the_image_in_the_precision_of_the_others() -> None:
    """``detail`` reads the image beside the outputs, which a bf16 engine hands over with its remainder behind it."""
    options = {"width": 8, "n_inputs": 2, "n_outputs": 3, "stem_stride": (1, 2, 2), "detail_width": 4}
    module, image = network("unet3d", options), image_of((1, 2, 8, 32, 48))
    nn.init.normal_(module.detail[-1].weight)  # type: ignore[index]
    exact = truth(module, image)
    halves = split_image(torch.from_numpy(image))
    with torch.no_grad():
        split = torch.sigmoid(split_stem(module)(halves)).numpy()
    np.testing.assert_allclose(split, exact, atol=0.02)
    if has_bf16():
        probability = make_predictor(module, activation="sigmoid", engine="torch", precision="bf16")(image)
        assert np.mean((probability > 0.5) != (exact > 0.5)) < 0.03


def test_softmax_runs_over_the_structures() -> None:
    module, image = network("osnet", {"n_outputs": 4}), image_of((2, 1, 32, 48))
    probability = make_predictor(module, activation="softmax", engine="torch", precision="fp32")(image)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    with torch.no_grad():
        logits = module(torch.from_numpy(image))
    np.testing.assert_array_equal(probability.argmax(1), logits.argmax(1).numpy())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_samples_probability_does_not_depend_on_its_batch(engine: str, precision: str) -> None:
    """One of the three has an offset that bf16 could not carry."""
    module, image = network("unet16", {}), image_of((3, 1, 32, 48))
    image[1] += 300
    predict = make_predictor(module, activation="sigmoid", engine=engine, precision=precision)
    together = predict(image)
    for index in range(3):
        np.testing.assert_allclose(together[index], predict(image[index : index + 1])[0], atol=2e-3)


@needs_bf16
@pytest.mark.parametrize("engine", ENGINES)
def test_a_large_offset_is_computed_in_float32_unless_bf16_was_named(engine: str) -> None:
    """1.33 + 0.01 x: neighbouring bf16 numbers are 0.0078 apart there, so that bf16 would see next to nothing."""
    torch.manual_seed(0)
    module = build_network("unet16")
    raw = 1.33 + 0.01 * image_of((2, 1, 32, 48))
    module.train()
    with torch.no_grad():
        for _ in range(100):
            module(torch.from_numpy(raw))  # running statistics of raw refractive indices
    module.eval()
    exact = truth(module, raw)
    auto = make_predictor(module, activation="sigmoid", engine=engine)(raw)
    np.testing.assert_allclose(auto, exact, atol=2e-3)
    named = make_predictor(module, activation="sigmoid", engine=engine, precision="bf16")(raw)
    assert np.abs(named - exact).max() > 2 * np.abs(auto - exact).max()


def test_the_module_is_neither_changed_nor_kept() -> None:
    module = network("unet16", {}).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    predict = make_predictor(module, activation="sigmoid", engine="torch", precision="fp32")
    image = image_of((1, 1, 32, 48))
    first = predict(image)
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(predict(image), first)


@pytest.mark.parametrize("name", ["osnet", "fusionnet-v2", "unet3d"])
def test_the_split_stem_gives_the_stems_result_from_bf16_numbers(name: str) -> None:
    """2⁻¹⁶ of the products is all that is lost; plain bf16 rounding would lose 2⁻⁹."""
    module = prepare(network(name, {"n_inputs": 2}))
    space = [2 * step for step in module.divisor]
    image = 3 + torch.randn(1, 2, *space, generator=torch.Generator().manual_seed(2))
    split, parts = split_stem(module), split_image(image)
    assert parts.shape == (1, 6, *space)
    torch.testing.assert_close(parts[:, :2] + parts[:, 2:4], image, rtol=0, atol=0)
    stem, rounded = stem_of(module)[1], stem_of(split)[1]
    rounded.weight.data = rounded.weight.data.bfloat16().float()
    exact = stem.double()(image.double())
    scale = float(exact.abs().max())
    result = rounded(parts.bfloat16().float()).double()
    assert float((result - exact).abs().max()) / scale < 2e-5
    coarse = stem.float()(image.bfloat16().float()).double()
    assert float((coarse - exact).abs().max()) / scale > 2e-4


@pytest.mark.parametrize(("n_in", "kernel"), [(1, (1, 3, 3)), (4, (3, 3, 3)), (15, (3, 1, 3))])
def test_the_fast_first_convolution_is_torchs_own(n_in: int, kernel: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    own = nn.Conv3d(n_in, 8, kernel, padding=tuple(size // 2 for size in kernel))
    fast = fast_stem(own, "cpu")
    assert isinstance(fast, FastStem)
    image = torch.randn(2, n_in, 6, 10, 14)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), own.double()(image.double()).float(), atol=1e-5, rtol=1e-5)
    assert fast_stem(nn.Conv3d(16, 8, kernel), "cpu").__class__ is nn.Conv3d
    assert fast_stem(nn.Conv2d(1, 8, 3), "cpu").__class__ is nn.Conv2d
    assert fast_stem(nn.Conv3d(1, 8, kernel, padding="same"), "cpu").__class__ is nn.Conv3d
    assert fast_stem(nn.Conv3d(1, 8, kernel), "cuda").__class__ is nn.Conv3d


def test_bf16_is_judged_by_a_known_answer() -> None:
    """A disc of 100 x 100 pixels at 0.9, the rest at 0.1."""
    expected = np.full((1, 2, 120, 130), 0.1, dtype=np.float32)
    expected[:, 1, 10:110, 10:110] = 0.9
    image = np.zeros((1, 1, 120, 130), dtype=np.float32)
    moved = expected.copy()
    moved[0, 0, 3, 4] += 0.06
    cut = np.where(expected > 0.5, 0.51, 0.1).astype(np.float32)
    narrow = cut.copy()
    narrow[0, 1, 10:16, 10:110] = 0.49  # Dice 2 * 0.94 / 1.94 = 0.969
    assert bf16_problem(lambda batch: expected + np.float32(0.04), image, expected) == ""
    assert "0.06" in bf16_problem(lambda batch: moved, image, expected)
    assert "mask 1" in bf16_problem(lambda batch: narrow, image, cut)
    assert "0.969" in bf16_problem(lambda batch: narrow, image, cut)


@pytest.mark.skipif(not HAS_OPENVINO, reason="no openvino")
def test_openvino_is_started_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    _openvino_core()
    monkeypatch.setattr(openvino, "Core", None)
    module = network("osnet", {"width": 2})
    for _ in range(2):
        make_predictor(module, activation="sigmoid", engine="openvino")(image_of((1, 1, 16, 16)))


@pytest.mark.parametrize("name", ["osnet", "fusionnet-v2", "unet3d"])
def test_no_batch_normalisation_is_left(name: str) -> None:
    folded = prepare(network(name, {}))
    assert not [part for part in folded.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d)]


@pytest.mark.skipif(not HAS_OPENVINO, reason="no openvino")
def test_openvino_does_not_report_to_its_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = importlib.import_module("openvino.tools.ovc.telemetry_utils").tm

    def caught(*_arguments: object, **_options: object) -> None:
        raise AssertionError("telemetry was started")

    monkeypatch.setattr(telemetry, "Telemetry", caught)
    make_predictor(network("unet16", {}), activation="sigmoid", engine="openvino")(image_of((1, 1, 16, 32)))


@pytest.mark.skipif(not HAS_OPENVINO, reason="no openvino")
def test_openvino_takes_many_shapes_one_after_another() -> None:
    module = network("unet16", {})
    predict = make_predictor(module, activation="sigmoid", engine="openvino", precision="fp32")
    for shape in [(1, 1, 16 * n, 16) for n in range(1, 7)] + [(2, 1, 16, 16), (1, 1, 16, 16)]:
        np.testing.assert_allclose(predict(image_of(shape)), truth(module, image_of(shape)), atol=1e-4)


BAD_IMAGES = {
    "not a multiple": np.zeros((1, 1, 30, 32), np.float32),
    "channels": np.zeros((1, 2, 32, 32), np.float32),
    "axes": np.zeros((1, 32, 32), np.float32),
    "float64": np.zeros((1, 1, 32, 32)),
    "no samples": np.zeros((0, 1, 32, 32), np.float32),
    "no pixels": np.zeros((1, 1, 0, 32), np.float32),
}


@pytest.mark.parametrize("image", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_an_image_that_does_not_fit_is_refused(image: NDArray[Any]) -> None:
    predict = make_predictor(network("unet16", {}), activation="sigmoid", engine="torch")
    with pytest.raises(SettingsError, match="E-NETWORK-SHAPE"):
        predict(image)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_that_is_not_finite_is_an_error(engine: str) -> None:
    """A ReLU that takes the larger of 0 and NaN gives 0, and the result looks sound."""
    image = image_of((1, 1, 32, 48))
    image[0, 0, 3, 4] = np.nan
    with pytest.raises(InputError, match="E-NETWORK-NAN"):
        make_predictor(network("unet16", {}), activation="sigmoid", engine=engine)(image)


def test_broken_weights_are_an_error() -> None:
    module = network("unet16", {})
    with torch.no_grad():
        module.head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="E-NETWORK-NAN"):
        make_predictor(module, activation="sigmoid", engine="torch")(image_of((1, 1, 32, 48)))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"engine": "onnx"}, "E-ENGINE"),
        ({"precision": "int8"}, "E-PRECISION"),
        ({"device": "gpu"}, "E-DEVICE"),
        ({"device": "meta"}, "E-DEVICE"),
        ({"device": "cuda:99"}, "E-DEVICE"),
        ({"activation": "tanh"}, "E-ACTIVATION"),
    ],
)
def test_what_is_not_there_is_refused(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(SettingsError, match=code):
        make_predictor(network("unet16", {}), **{"activation": "sigmoid", **arguments})


def test_a_module_from_elsewhere_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-NETWORK: a Conv2d"):
        make_predictor(nn.Conv2d(1, 1, 1), activation="sigmoid")


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., Any] = importlib.import_module

    def missing(name: str, *arguments: Any) -> Any:
        if name.startswith("openvino"):
            raise ImportError("No module named 'openvino'")
        return original(name, *arguments)

    monkeypatch.setattr(predictor.importlib, "import_module", missing)


def test_without_openvino_auto_is_torch_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    without_openvino(monkeypatch)
    choice = choose_engine()
    assert choice.engine == "torch"
    assert "openvino is not installed" in choice.reason
    module, image = network("unet16", {}), image_of((1, 1, 32, 48))
    predict = make_predictor(module, activation="sigmoid", precision="fp32")
    np.testing.assert_allclose(predict(image), truth(module, image), atol=1e-4)
    with pytest.raises(SettingsError, match="E-ENGINE: openvino cannot be used"):
        choose_engine("openvino")


def test_compiled_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor.shutil, "which", lambda _name: None)
    with pytest.raises(SettingsError, match="E-ENGINE: the engine `compiled` needs"):
        choose_engine("compiled")


def test_bf16_is_taken_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    assert choose_engine("torch").precision == "fp32"
    with pytest.raises(SettingsError, match="E-PRECISION: cpu does not multiply bf16"):
        choose_engine("torch", precision="bf16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": True})
    assert choose_engine("torch").precision == "bf16"


def test_the_description_is_fit_for_json_and_never_compiled_by_itself() -> None:
    described = describe_engine()
    assert json.loads(json.dumps(described)) == described
    assert described["engine"] in {"torch", "openvino"}
    assert described["n_threads"] == torch.get_num_threads()
    assert described["version"]
    assert described["reason"]


@pytest.mark.slow
def test_compiled_gives_the_modules_probabilities() -> None:
    module, image = network("unet16", {}), image_of((1, 1, 32, 48))
    predict = make_predictor(module, activation="sigmoid", engine="compiled", precision="fp32")
    np.testing.assert_allclose(predict(image), truth(module, image), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet16", "osnet"])
def test_a_section_takes_at_most_a_tenth_of_a_second(name: str) -> None:
    """A stopwatch, so by hand on a quiet machine with two cores: best of ten."""
    import time

    predict = make_predictor(network(name, {}), activation="sigmoid")
    image = image_of((1, 1, 448, 448))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        predict(image)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["osnet", "unet3d"])
def test_cuda_gives_the_modules_probabilities(name: str) -> None:
    module = network(name, {})
    image = image_of((2, 1, *(2 * step for step in module.divisor)))
    exact = truth(module, image)
    single = make_predictor(module, activation="sigmoid", device="cuda", precision="fp32")(image)
    np.testing.assert_allclose(single, exact, atol=5e-3)  # TF32 convolutions
    assert np.abs(make_predictor(module, activation="sigmoid", device="cuda")(image) - exact).max() < 0.1
