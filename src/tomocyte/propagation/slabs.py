"""Slabs between labelled slices: which there are, and what a slab was filled from.

Labelled slices are walls, so that a slab depends on the labels at its ends and on what is known within it, and on
nothing else but the image and what was learned. To let slabs depend on something else, add it to :func:`given_digest`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.propagation.method import SparseLabels


@dataclass(frozen=True)
class Slab:
    """Slices between two labelled ones, or beyond the last of one side.

    Parameters
    ----------
    first, last : int
        The slices to fill are ``first`` to ``last - 1``.
    before, after : int, optional
        The labelled slices at its ends.
    """

    first: int
    last: int
    before: int | None
    after: int | None

    @property
    def n_slices(self) -> int:
        """Slices to fill."""
        return self.last - self.first


def slabs_of(sparse: SparseLabels, max_beyond: int | None) -> list[Slab]:
    """The slabs of a volume, the thickest first; one, where no slice is labelled.

    Parameters
    ----------
    sparse : SparseLabels
    max_beyond : int, optional
        Slices before the first and after the last labelled one at most; when not given, as many as there are between
        labelled slices, at least as far as voxels are known, and all where one slice is labelled.
    """
    slices, n_slices = sparse.slices, len(sparse.labels)
    if not slices:
        return [Slab(0, n_slices, None, None)]
    gaps = [last - first - 1 for first, last in pairwise(slices)]
    beyond = max_beyond if max_beyond is not None else (max(gaps) if gaps else n_slices)
    start, stop = max(0, slices[0] - beyond), min(n_slices, slices[-1] + 1 + beyond)
    if max_beyond is None and sparse.known is not None:
        with_known = [index for index, plane in enumerate(sparse.known) if plane.any()]
        start, stop = min(start, with_known[0]), max(stop, with_known[-1] + 1)
    between = [Slab(first + 1, last, first, last) for first, last in pairwise(slices) if last - first > 1]
    ends = [Slab(start, slices[0], None, slices[0]), Slab(slices[-1] + 1, stop, slices[-1], None)]
    return sorted([*between, *(slab for slab in ends if slab.n_slices)], key=lambda slab: -slab.n_slices)


def given_digest(sparse: SparseLabels, slab: Slab) -> str:
    """SHA-256 of the labels that a slab is filled from: at its ends, and known within it."""
    ends = [sparse.labels[index] for index in (slab.before, slab.after) if index is not None]
    if sparse.known is None or not sparse.known[slab.first : slab.last].any():
        return labels_digest(*ends)
    is_known = sparse.known[slab.first : slab.last]
    return labels_digest(*ends, is_known.view(np.uint8), sparse.labels[slab.first : slab.last][is_known])


def labels_digest(*parts: NDArray[Any]) -> str:
    """SHA-256 of labels, the same whatever integer type they are stored in.

    Examples
    --------
    >>> labels_digest(np.array([1, 2], np.uint8)) == labels_digest(np.array([1, 2], np.uint32))
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        smallest = np.min_scalar_type(int(part.max(initial=0)))
        digest.update(f"{part.shape}{smallest.str}".encode())
        digest.update(np.ascontiguousarray(part, dtype=smallest.newbyteorder("<")).data)
    return digest.hexdigest()
