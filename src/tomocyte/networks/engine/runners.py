"""The engines behind ``make_predictor``: each makes a function from a float32 batch to float32 logits, both on the CPU.

To add one, write a ``*_runner(module, *, device, precision)`` here; ``predictor.py`` decides when it is used.
"""

from __future__ import annotations

import atexit
import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tomocyte.errors import SettingsError
from tomocyte.networks.registry import Network

Runner: TypeAlias = Callable[[Tensor], Tensor]
MOST_COMPILED_SHAPES = 4


def prepare(module: nn.Module) -> Network:
    """A copy for inference, on the CPU in float32: evaluation mode, batch normalisation folded into convolutions.

    A batch normalisation is folded where it directly follows a convolution in an ``nn.Sequential``, as everywhere in
    this room.

    Raises
    ------
    SettingsError
        ``E-NETWORK``: the module is no :class:`Network`.
    """
    if not isinstance(module, Network):
        kind = type(module).__name__
        raise SettingsError("E-NETWORK", f"a {kind} has no divisor.", cure="Build it with build_network.")
    folded = copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    for part in folded.modules():
        if not isinstance(part, nn.Sequential):
            continue
        for index in range(len(part) - 1):
            first, second = part[index], part[index + 1]
            if isinstance(second, nn.BatchNorm2d | nn.BatchNorm3d):
                is_transposed = isinstance(first, nn.ConvTranspose2d | nn.ConvTranspose3d)
                if is_transposed or isinstance(first, nn.Conv2d | nn.Conv3d):
                    part[index] = fuse_conv_bn_eval(cast(nn.Conv2d, first), second, transpose=is_transposed)
                    part[index + 1] = nn.Identity()
    return folded


class ExactStem(nn.Module):
    """The first convolution in float32, its result in bfloat16.

    The image is the one place where bf16 costs more than it saves: its offset and its contrast differ by orders of
    magnitude, and the first convolution is a five-hundredth of the work.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, [Z,] Y, X) float32 -> (B, C, [Z,] Y, X) bfloat16."""
        features: Tensor = self.convolution(image)
        return features.bfloat16()


class FastStem(nn.Module):
    """A three-dimensional convolution of few input channels in float32, ten times as fast on a CPU.

    For fewer than 16 input channels torch's own choice is a loop over matrix products, not oneDNN; the result is the
    same to float32's rounding.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) float32 -> (B, C, Z, Y, X) float32."""
        own = self.convolution
        if torch.compiler.is_compiling():  # chooses for itself
            plain: Tensor = own(image)
            return plain
        convolve: Callable[..., Tensor] = torch.mkldnn_convolution
        padding: Any = own.padding
        return convolve(image, own.weight, own.bias, padding, own.stride, own.dilation, own.groups)


def fast_stem(convolution: nn.Conv2d | nn.Conv3d, device: str) -> nn.Module:
    """The convolution itself, or what computes the same faster where torch would not."""
    is_slow = isinstance(convolution, nn.Conv3d) and convolution.in_channels < 16 and device == "cpu"
    is_plain = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if is_slow and is_plain and has_onednn:
        return FastStem(cast(nn.Conv3d, convolution))
    return convolution


def stem_of(module: Network) -> tuple[str, nn.Conv2d | nn.Conv3d]:
    """The convolution that sees the image, and its name."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            return name, part
    raise SettingsError("E-NETWORK", "the network has no convolution.", cure="Build it with build_network.")


def split_stem(module: Network) -> Network:
    """A copy whose first convolution takes :func:`split_image`'s channels and weights of two bf16 terms each.

    With x = h + l and w = u + v, the convolution of w and x is that of (u, u, v) and (h, l, h), up to the product of
    both remainders, 2⁻¹⁶ of the result: float32's answer from a bf16 multiplier that adds in float32.
    """
    split = copy.deepcopy(module)
    _, stem = stem_of(split)
    coarse = stem.weight.data.bfloat16().float()
    stem.weight = nn.Parameter(torch.cat((coarse, coarse, stem.weight.data - coarse), dim=1), requires_grad=False)
    stem.in_channels *= 3
    return split


def split_image(batch: Tensor) -> Tensor:
    """(B, C, …) -> (B, 3 C, …): what bf16 holds of the image, the remainder, and the first again."""
    coarse = batch.bfloat16().float()
    return torch.cat((coarse, batch - coarse, coarse), dim=1)


def torch_runner(module: Network, *, device: str, precision: str) -> Runner:
    """Plain torch, channels last."""
    run, put = _on_device(module, device, precision)

    def runner(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = run(put(batch)).float().cpu().contiguous()
            return logits

    return runner


def compiled_runner(module: Network, *, device: str, precision: str) -> Runner:
    """torch.compile: the first call with a new shape takes half a minute."""
    run, put = _on_device(module, device, precision)
    fast = torch.compile(run, dynamic=False)

    def runner(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = fast(put(batch)).float().cpu().contiguous()
            return logits

    return runner


def openvino_runner(module: Network, *, device: str, precision: str) -> Runner:
    """OpenVINO on the CPU, with as many threads as torch has; compiled once per shape, in a fraction of a second.

    The conversion goes through OpenVINO's frontend: ``openvino.convert_model`` would report each call to its makers.
    """
    if device != "cpu":
        raise RuntimeError(f"the OpenVINO engine was given {device}")
    hints = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    core = _openvino_core()
    is_split = precision == "bf16"
    graph = _openvino_graph(split_stem(module) if is_split else module, module.n_inputs * (3 if is_split else 1))
    requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
    atexit.register(requests.clear)  # before the libraries under it are taken down

    def runner(batch: Tensor) -> Tensor:
        batch = split_image(batch) if is_split else batch
        shape = tuple(batch.shape)
        if shape not in requests:
            fixed = graph.clone()
            fixed.reshape(list(shape))
            requests[shape] = core.compile_model(fixed, "CPU", hints).create_infer_request()
            if len(requests) > MOST_COMPILED_SHAPES:
                requests.popitem(last=False)
        requests.move_to_end(shape)
        request = requests[shape]
        request.infer([batch.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(request.get_output_tensor().data.copy())

    return runner


@cache
def _openvino_core() -> Any:
    """One per process: some builds die of a second one (github.com/openvinotoolkit/openvino/issues/35338)."""
    return import_module("openvino").Core()


def _openvino_graph(module: Network, n_channels: int) -> Any:
    """The module as an OpenVINO model of any batch and spatial size."""
    decoders = import_module("openvino.frontend.pytorch.ts_decoder")
    example = torch.zeros(1, n_channels, *(2 * step for step in module.divisor))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.trace, which OpenVINO's decoder reads
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")  # GroupNorm refuses single pixels
        trace: Callable[..., Any] = torch.jit.trace
        traced = trace(module, example, check_trace=False)
        decoder = decoders.TorchScriptPythonDecoder(traced, example_input=example, shared_memory=False)
    frontend = import_module("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


def _on_device(module: Network, device: str, precision: str) -> tuple[nn.Module, Runner]:
    """A copy of the module on the device, and how a batch gets there."""
    layout: Any = {4: torch.channels_last, 5: torch.channels_last_3d}[len(module.divisor) + 2]
    placed = copy.deepcopy(module)
    name, _ = stem_of(placed)
    stem = fast_stem(copy.deepcopy(stem_of(module)[1]), device)
    if precision == "bf16":
        placed.bfloat16()
        stem = ExactStem(stem)
    placed.set_submodule(name, stem)
    placed.to(device=device)
    for part in placed.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            part.weight.data = part.weight.data.contiguous(memory_format=layout)

    def put(batch: Tensor) -> Tensor:
        return batch.to(device=device, memory_format=layout)

    return placed, put
