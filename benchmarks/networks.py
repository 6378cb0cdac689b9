"""The network and the tiled inference of tomocyte beside MONAI's, in one run: processor seconds and their ratios.

Run it with ``python benchmarks/networks.py``; ``--small`` takes a smaller volume. First the same network with the same
weights, tiles, overlap and (equal) weighting goes through MONAI's ``SlidingWindowInferer`` and through tomocyte's
tiles, so that only the inference differs: the probabilities are compared before anything is timed. Then MONAI's own
networks with about as many parameters stand beside tomocyte's; how well they segment is not compared here. One thread
by default, because threads that wait spin and count as work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import BasicUNet, UNet
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tomocyte.models import load_package
from tomocyte.networks.engine.precision import has_bf16
from tomocyte.networks.engine.predictor import make_predictor
from tomocyte.segmentation.prediction.tiled import predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles

sys.path.insert(0, str(Path(__file__).parent))
from measurements import field, processor_seconds

Float = NDArray[np.float32]
OVERLAP = 0.25
STRUCTURES = 4
WIDTHS = (16, 32, 64, 128, 128)


def peers() -> dict[str, nn.Module]:
    """MONAI's networks with the widths of tomocyte's and, the first, its convolutions: two per level."""
    basic = BasicUNet(3, 1, STRUCTURES, features=(*WIDTHS, WIDTHS[0]), norm="batch")
    residual = UNet(3, 1, STRUCTURES, channels=WIDTHS, strides=(2, 2, 2, 2), num_res_units=2, norm="batch")
    return {"MONAI BasicUNet": basic.eval(), "MONAI UNet": residual.eval()}


def size_of(network: nn.Module, tile: tuple[int, ...]) -> tuple[int, float]:
    """Number of parameters, and thousands of multiplications and additions per voxel."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, *tile))
    return sum(one.numel() for one in network.parameters()), counter.get_total_flops() / np.prod(tile) / 1000


def by_monai(network: nn.Module, tile: tuple[int, ...], *, is_bf16: bool = False) -> Callable[[Float], Float]:
    """An image (Z, Y, X) to probabilities (K, Z, Y, X) by MONAI's sliding window, in eager mode."""
    inferer = SlidingWindowInferer(tile, sw_batch_size=1, overlap=OVERLAP, mode="constant")

    def probability(batch: Tensor) -> Tensor:
        return torch.sigmoid(network(batch).float())

    def predict(image: Float) -> Float:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            result: Any = inferer(torch.from_numpy(image)[None, None], probability)
        return np.asarray(result[0].numpy())

    return predict


def by_tomocyte(network: Any, tiles: TilingSettings, precision: str) -> Callable[[Float], Float]:
    """The same by tomocyte's tiles, with what it computes with by itself."""
    predictor = make_predictor(network, activation="sigmoid", precision=precision)

    def predict(image: Float) -> Float:
        return predict_tiled(image[np.newaxis], predictor, tiles, n_outputs=STRUCTURES, divisor=network.divisor)

    return predict


def dice(first: Float, second: Float) -> float:
    a, b = first > 0.5, second > 0.5
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="two tiles only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = load_package("odt-organelles").build().eval()
    # Tiles that both programs lay alike: a quarter of overlap is a multiple of the network's divisor.
    tile, shape = ((32, 64, 128), (32, 64, 224)) if options.small else ((64, 128, 128), (64, 224, 224))
    cells = field(1 if not options.small else 2, np.random.default_rng(1))[2]
    image = ((cells[tuple(slice(side) for side in shape)] - 1.337) / 0.02).astype(np.float32)
    tiles = TilingSettings(tile_shape=tile, overlap=OVERLAP, weight="constant")
    plan = plan_tiles(image.shape, tiles, divisor=network.divisor)
    share = plan.n_tiles * np.prod(tile) / image.size
    print(f"{image.shape} voxels, tiles of {tile}, overlap {OVERLAP}: {plan.n_tiles} tiles, {share:.2f} voxels each")
    print(f"{options.threads} thread(s), processor s; tomocyte's network is odt-organelles with its weights")

    tasks = {
        "fp32": (by_tomocyte(network, tiles, "fp32"), by_monai(network, tile)),
        "bf16": (by_tomocyte(network, tiles, "bf16"), by_monai(network, tile, is_bf16=True)),
    }
    if not has_bf16("cpu"):
        print("bf16: this processor does not multiply it; left out")
        del tasks["bf16"]
    exact = tasks["fp32"][1](image)
    np.testing.assert_allclose(tasks["fp32"][0](image), exact, atol=1e-4)
    seconds: dict[str, float] = {}
    for name, (own, peer) in tasks.items():
        moved, equal = float(np.abs(own(image) - exact).max()), dice(own(image), exact)
        best = processor_seconds({"ours": lambda f=own: f(image), "peer": lambda f=peer: f(image)}, options.repeats)
        seconds |= {f"{name} {key}": value for key, value in best.items()}
        print(row(f"same network, {name}", best["ours"], f"MONAI inferer, {name}", best["peer"]))
        print(f"    from MONAI's fp32: probability moves by at most {moved:.1e}, Dice of all masks {equal:.4f}")
    fastest = min(value for name, value in seconds.items() if name.endswith("ours"))
    print(row("same network, as it runs", fastest, "MONAI inferer, as it comes (fp32)", seconds["fp32 peer"]))

    n_parameters, flops = size_of(network, tile)
    print(f"{'tomocyte odt-organelles':28} {n_parameters / 1e6:.2f} million parameters, {flops:.0f} kFLOP per voxel")
    for name, peer in peers().items():
        n_parameters, flops = size_of(peer, tile)
        predict = by_monai(peer, tile)
        took = processor_seconds({"peer": lambda f=predict: f(image)}, options.repeats)["peer"]
        print(f"{name:28} {n_parameters / 1e6:.2f} million parameters, {flops:.0f} kFLOP per voxel")
        print(row("tomocyte's network, fp32", seconds["fp32 ours"], f"{name}, fp32", took))


def row(own: str, ours: float, peer: str, theirs: float) -> str:
    return f"{own:28} tomocyte {ours:8.2f}   {peer:34} {theirs:8.2f}   {theirs / ours:6.2f} x"


if __name__ == "__main__":
    main(sys.argv[1:])
