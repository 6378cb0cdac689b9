"""One method on one case, in a process of its own: its processor seconds, its peak memory, its labels.

`benchmarks/propagation.py` starts it, with another program's own Python where that program needs one; so this file
imports numpy and, inside a function, the program that it measures. ``python propagation_worker.py CASE.npz METHOD
RESULT.npz`` takes METHOD as ``program:variant``, one of ``biomedisa:1x1000`` (walks x steps, with denoising and
smoothing; ``10x4000-plain`` without), ``scikit-image:cg_j`` (its solver) and ``tomocyte:signed-distance`` or
``tomocyte:NAME,setting=value`` (one of its methods).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Case = Mapping[str, Any]
Result = tuple[Any, Any]
"""Labels (Z, Y, X), and uncertainty of the same shape or None."""


def by_biomedisa(variant: str) -> Callable[[Case], Result]:
    """Biomedisa's smart interpolation with its denoising and 100 smoothing steps, or plain."""
    use_opencl_of_this_python()
    from biomedisa.interpolation import smart_interpolation

    numbers, _, kind = variant.partition("-")
    n_walks, n_steps = (int(number) for number in numbers.split("x"))
    is_tuned = kind != "plain"

    def propagate(case: Case) -> Result:
        found = smart_interpolation(
            case["image"], case["sparse"].astype(np.int32), nbrw=n_walks, sorw=n_steps, denoise=is_tuned,
            smooth=100 * is_tuned, uncertainty=True,
        )  # fmt: skip
        return found["smooth" if is_tuned else "regular"], found["uncertainty"] / 255

    return propagate


def use_opencl_of_this_python() -> None:
    """Let OpenCL find Intel's processor driver, which pip puts into ``lib`` of the environment, unless one is set."""
    drivers = sorted((Path(sys.prefix) / "lib").glob("libintelocl.so"))
    if drivers and "OCL_ICD_VENDORS" not in os.environ:
        folder = tempfile.mkdtemp()
        (Path(folder) / "intel.icd").write_text(f"{drivers[0]}\n")
        os.environ["OCL_ICD_VENDORS"] = folder


def by_skimage(variant: str) -> Callable[[Case], Result]:
    """scikit-image's random walker, on the image after a Gaussian of one voxel."""
    from scipy.ndimage import gaussian_filter
    from skimage.segmentation import random_walker

    def propagate(case: Case) -> Result:
        numbers, seeds = np.unique(case["sparse"][case["slices"]], return_inverse=True)
        markers = np.zeros(case["sparse"].shape, np.int32)
        markers[case["slices"]] = seeds.reshape(markers[case["slices"]].shape) + 1
        image = gaussian_filter(case["image"].astype(np.float32), 1)
        return numbers[random_walker(image, markers, mode=variant) - 1], None

    return propagate


def by_tomocyte(variant: str) -> Callable[[Case], Result]:
    """A method of tomocyte by name, with its settings."""
    from tomocyte.propagation import method_of, propagate
    from tomocyte.settings import build_settings, with_overrides

    name, *overrides = variant.split(",")
    method = method_of(name)
    settings = build_settings(method.settings, with_overrides({}, overrides))

    def run(case: Case) -> Result:
        size = tuple(float(side) for side in case["voxel_size_um"])
        slices = [int(index) for index in case["slices"]]
        image = None if method.image == "none" else case["image"]
        dense = propagate(
            case["sparse"], voxel_size_um=size, slices=slices, image=image, method=name, settings=settings
        )  # fmt: skip
        return dense.labels, None if np.isnan(dense.uncertainty).any() else dense.uncertainty

    return run


PROGRAMS: dict[str, Callable[[str], Callable[[Case], Result]]] = {
    "biomedisa": by_biomedisa,
    "scikit-image": by_skimage,
    "tomocyte": by_tomocyte,
}


def small_case(case: Case) -> Case:
    """Two labelled slices, so that what is compiled at the first call is not timed."""
    rng = np.random.default_rng(0)
    sparse = np.zeros((8, 24, 24), np.uint8)
    sparse[1, 6:15, 6:15] = sparse[6, 8:18, 8:18] = 1
    image = (60 * (sparse.max(axis=0) + rng.uniform(1, 2, sparse.shape))).astype(np.uint8)
    return {"image": image, "sparse": sparse, "slices": np.array([1, 6]), "voxel_size_um": case["voxel_size_um"]}


def processor_seconds() -> float:
    """Of this process with all threads, and of the processes that it started."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def memory_bytes(name: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of this process, as Linux counts it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("method")
    parser.add_argument("result", type=Path)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args(arguments)
    program, _, variant = options.method.partition(":")
    propagate = PROGRAMS[program](variant)
    with np.load(options.case) as stored:
        case = {name: stored[name] for name in ("image", "sparse", "slices", "voxel_size_um")}
    propagate(small_case(case))
    before, seconds = memory_bytes("VmRSS"), float("inf")
    Path("/proc/self/clear_refs").write_text("5")
    peak, labels, uncertainty = 0, None, None
    for _ in range(options.repeats):
        start = processor_seconds()
        labels, uncertainty = propagate(case)
        seconds = min(seconds, processor_seconds() - start)
        peak = peak or memory_bytes("VmHWM") - before  # Of the first run: later ones find memory that it left.
    empty = np.zeros(0, np.float16)
    np.savez_compressed(
        options.result, labels=labels, uncertainty=empty if uncertainty is None else uncertainty.astype(np.float16),
        seconds=seconds, peak_bytes=peak, version=importlib.metadata.version(program),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
