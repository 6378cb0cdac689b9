"""Fuzz and truncation harness for every reader: one valid file in, thousands of damaged ones opened and read whole.

The contract for each damaged file is: **a clear error of this package, or an array that the bytes justify**; never
another exception, never a hang, never an allocation that the file's size does not justify.

What can honestly be judged differs by kind of damage:

truncation
    Error, or the array bit for bit identical to that of the whole file (when only unused bytes were cut).
mutation inside the voxel data (without checksums)
    A changed voxel cannot be told from a measured one. Error, or the same shape and dtype.
mutation outside the voxel data
    Error, or the same shape and dtype - or another shape or dtype that the damaged header now declares **and** the
    bytes present bear out: changing "ZYX" to "TYX", or an image of 8 x 6 to one of 6 x 8, makes another valid file. No
    second parser decides which; the harness only checks that the array fills from the file (bytes declared do not
    exceed what the file can hold: the file's size, times ``expansion`` for compressed files). These are counted apart
    as ``other_valid`` so that a test can bound their number, and are never counted for truncation.

To use it for a format: build valid files, call :func:`fuzz` with the function that opens and reads everything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import TomocyteError

ReadAll = Callable[[Path], NDArray[np.generic]]


@dataclass
class Outcome:
    """Counts of outcomes, and the broken cases with enough to repeat them."""

    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def merge(self, other: Outcome) -> None:
        """Add the counts of another run."""
        self.counts += other.counts
        self.codes += other.codes
        self.broken += other.broken
        self.others += other.others
        self.slowest_s = max(self.slowest_s, other.slowest_s)


def cut_points(nbytes: int, n_cuts: int, *, boundaries: tuple[int, ...] = ()) -> list[int]:
    """Lengths to cut a file of ``nbytes`` to: evenly spread, around each boundary, and the first and last bytes."""
    spread = np.linspace(0, nbytes - 1, n_cuts).astype(int).tolist()
    edges = [edge + step for edge in boundaries for step in (-1, 0, 1)]
    return sorted({cut for cut in [*spread, *edges, 0, 1, 4, 8, nbytes - 1] if 0 <= cut < nbytes})


def truncated(whole: bytes, cuts: list[int]) -> Iterator[tuple[str, bytes]]:
    """``(name, bytes)`` of the file cut to each length."""
    for cut in cuts:
        yield f"cut at {cut}", whole[:cut]


def mutated(
    whole: bytes, n_files: int, *, seed: int, region: tuple[int, int] | None = None
) -> Iterator[tuple[str, bytes]]:
    """``(name, bytes)`` of damaged copies; the same seed gives the same copies.

    Every other copy gets a single edit that keeps the length, so that all but one field stays valid and the reader is
    entered deeply; the rest get 1 to 8 edits of any kind. Edits lie within ``region``: a flipped bit, a random byte, a
    run of 0x00 or 0xFF (1 to 8 bytes: the huge and the empty sizes of a header), a deleted or doubled run, or a decimal
    digit replaced (metadata text).
    """
    low, high = region or (0, len(whole))
    for index in range(n_files):
        rng = np.random.default_rng([seed, index])
        data = bytearray(whole)
        is_gentle = index % 2 == 1
        for _ in range(1 if is_gentle else int(rng.integers(1, 9))):
            place = int(rng.integers(low, max(low + 1, min(high, len(data)))))
            _edit(data, place, int(rng.choice((0, 1, 2, 3, 6) if is_gentle else range(7))), rng)
        yield f"seed {seed} mutation {index}", bytes(data)


def _edit(data: bytearray, place: int, kind: int, rng: np.random.Generator) -> None:
    run = int(rng.integers(1, 9))
    if not data or place >= len(data):
        return
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place] = int(rng.integers(256))
    elif kind in (2, 3):
        stop = min(place + run, len(data))
        data[place:stop] = (b"\x00" if kind == 2 else b"\xff") * (stop - place)
    elif kind == 4:
        del data[place : place + run]
    elif kind == 5:
        data[place:place] = data[place : place + run]
    else:
        digits = [spot for spot in range(place, min(place + 400, len(data))) if 48 <= data[spot] <= 57]
        if digits:
            data[digits[int(rng.integers(len(digits)))]] = 48 + int(rng.integers(10))


def fuzz(
    cases: Iterator[tuple[str, bytes]],
    read_all: ReadAll,
    *,
    place: Path,
    expected: NDArray[np.generic],
    is_truncation: bool,
    expansion: int = 1,
) -> Outcome:
    """Write each case to ``place``, open it, read everything, and sort the outcome.

    Parameters
    ----------
    cases : iterator of (name, bytes)
        From :func:`truncated` or :func:`mutated`.
    read_all : callable
        ``read_all(path) -> array`` of all voxels (T, C, Z, Y, X).
    place : Path
        Where to write each case; the suffix matters to the reader.
    expected : ndarray
        What the whole file holds.
    is_truncation : bool
        Which of the two contracts of the module's docstring holds.
    expansion : int
        Largest factor by which stored bytes may unpack (1 without compression).

    Returns
    -------
    Outcome
        Counts ``error``, ``exact``, ``same_shape``, ``other_valid`` and ``broken``; ``broken`` must stay empty.
    """
    outcome = Outcome()
    for name, data in cases:
        place.write_bytes(data)
        started = time.perf_counter()
        verdict = _judge(place, read_all, expected, is_truncation=is_truncation, limit=len(data) * expansion)
        outcome.slowest_s = max(outcome.slowest_s, time.perf_counter() - started)
        kind, _, detail = verdict.partition(" ")
        outcome.counts[kind] += 1
        if kind == "error":
            outcome.codes[detail] += 1
        elif kind == "broken":
            outcome.broken.append(f"{name}: {detail}")
        elif kind == "other_valid":
            outcome.others.append(f"{name}: {detail}")
    return outcome


def _judge(place: Path, read_all: ReadAll, expected: NDArray[np.generic], *, is_truncation: bool, limit: int) -> str:
    try:
        found = read_all(place)
    except TomocyteError as error:
        return f"error {error.code}"
    except Exception as error:  # noqa: BLE001  the whole point: nothing else may come out
        return f"broken {type(error).__name__}: {error}"
    is_same_shape = found.shape == expected.shape and found.dtype == expected.dtype
    if is_same_shape and found.tobytes() == expected.tobytes():
        return "exact"
    if is_truncation:
        return f"broken a cut file gave {found.shape} {found.dtype}"
    if is_same_shape:
        return "same_shape"
    if found.nbytes <= limit + 4096:
        return f"other_valid {found.shape} {found.dtype}"
    return f"broken {found.nbytes} bytes {found.shape} from a file that holds at most {limit}"
