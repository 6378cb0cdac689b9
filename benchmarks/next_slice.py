"""Is it worth labelling the slice that tomocyte names next? Dice at equal labour beside regular and random slices.

Run it with ``python benchmarks/next_slice.py``, on the cells of ``propagation_inputs.py``; ``--data DIR`` adds cristae
in soft X-rays (``sxt_contour``) and nuclei (``nuclei3d_gonuclear``). *next* starts with three regular slices and
labels, one at a time, the slice named next; *regular* has as many slices, evenly spread with half a step at the ends;
*random* draws them (mean of three draws, and the worst and best). Dice is the mean of all labels over the whole volume,
labelled slices included, as a user has it. Last come the wrong voxels that labelling was expected to remove and did
remove.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from propagation_inputs import Case, cristae, nuclei, simulated

from tomocyte.propagation import DenseLabels, method_of, propagate
from tomocyte.propagation.next_slice import next_slices, profile_errors

START = 3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="Folder with real volumes.")
    parser.add_argument("--small", action="store_true", help="Once, on a tiny volume.")
    options = parser.parse_args(arguments)
    counts = (4,) if options.small else (4, 6, 8, 12)
    print("input           slices  next   regular  random (worst, best)")
    for case in cases(options.data, (24, 48, 48) if options.small else (64, 128, 128), 1 if options.small else 2):
        guided, lines = follow(case, counts)
        for count in counts:
            even = dice(labels_from(case, regular(len(case.truth), count)), case)
            rng = np.random.default_rng(count)
            draws = [rng.choice(len(case.truth), count, replace=False).tolist() for _ in range(3)]
            drawn = [dice(labels_from(case, draw), case) for draw in draws]
            spread = f"{np.mean(drawn):.3f} ({min(drawn):.3f}, {max(drawn):.3f})"
            print(f"{case.name:15} {count:6}  {guided[count]:.3f}  {even:.3f}    {spread}", flush=True)
        print(*lines, sep="\n", flush=True)


def cases(data: Path | None, shape: tuple[int, int, int], n_seeds: int) -> Iterator[Case]:
    if data is not None:
        yield next(cristae(data))
        yield from nuclei(data)
    for seed in range(n_seeds):
        yield from simulated(seed, shape, 20)


def regular(n_slices: int, count: int) -> list[int]:
    return [int((place + 0.5) * n_slices / count) for place in range(count)]


def follow(case: Case, counts: Sequence[int]) -> tuple[dict[int, float], list[str]]:
    """Dice by the number of slices, and what labelling each was expected to remove and removed."""
    slices = regular(len(case.truth), START)
    found: dict[int, float] = {}
    steps: list[tuple[int, float, int]] = []
    while True:
        dense = labels_from(case, slices, is_measured=True)
        found[len(slices)] = dice(dense, case)
        n_wrong = int(np.count_nonzero(dense.labels != case.truth))
        (best,) = next_slices(profile_errors(dense, tuple(slices)), 1)
        steps.append((best.index, best.gain_voxels, n_wrong))
        if len(slices) >= max(counts):
            break
        slices = sorted([*slices, best.index])
    pairs = pairwise(steps)
    return found, [f"  slice {a[0]:3}: expected {a[1]:7.0f}, removed {a[2] - b[2]:6}" for a, b in pairs]


def labels_from(case: Case, slices: list[int], *, is_measured: bool = False) -> DenseLabels:
    settings = method_of("image-guided").settings(is_uncertainty_measured=is_measured, n_threads=1)
    size = case.voxel_size_um
    return propagate(case.truth, voxel_size_um=size, slices=slices, image=case.image, settings=settings)


def dice(dense: DenseLabels, case: Case) -> float:
    scores = []
    for label in np.unique(case.truth[case.truth > 0]):
        one, other = dense.labels == label, case.truth == label
        scores.append(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))
    return float(np.mean(scores))


if __name__ == "__main__":
    main()
