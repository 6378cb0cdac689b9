"""Which combinations of labels several annotators gave to a voxel, and how often.

All that a majority or STAPLE needs is in this table, of which the size depends on annotators and labels and not on the
volume: one plane is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError

LARGEST_KEY: Final = 2**62
LARGEST_COUNTED: Final = 2**22
LARGEST_LABEL: Final = 2**24
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Patterns:
    """Combinations of labels and their numbers of voxels.

    Parameters
    ----------
    values : ndarray (L,), int64
        The labels that occur, ascending, 0 among them.
    places : ndarray (P, K), int64
        For each combination and annotator, the place of the label in ``values``; in ascending order of ``keys``.
    counts : ndarray (P,), int64
        Voxels of each combination.
    """

    values: Index
    places: Index
    counts: Index

    @property
    def n_annotators(self) -> int:
        """K."""
        return int(self.places.shape[1])

    @property
    def keys(self) -> Index:
        """One number per combination, ascending."""
        return keys_of(self.places.T, len(self.values))

    @property
    def votes(self) -> Index:
        """How many annotators gave each label, (P, L)."""
        votes = np.zeros((len(self.places), len(self.values)), np.int64)
        for annotator in range(self.n_annotators):
            votes[np.arange(len(self.places)), self.places[:, annotator]] += 1
        return votes

    def confusion(self, first: int, second: int) -> Index:
        """Voxels by the label of one annotator (row) and of another (column), (L, L)."""
        n = len(self.values)
        flat = self.places[:, first] * n + self.places[:, second]
        return np.bincount(flat, weights=self.counts.astype(np.float64), minlength=n * n).astype(np.int64).reshape(n, n)

    def look_up(self, planes: Sequence[NDArray[Any]], results: NDArray[Any]) -> NDArray[Any]:
        """For voxels of all annotators the result of their combination.

        Parameters
        ----------
        planes : sequence of K ndarray, same shape
        results : ndarray (P,)
            One per combination.
        """
        keys, own = _keys(planes, self.values), self.keys
        if len(self.values) ** self.n_annotators <= LARGEST_COUNTED:
            table = np.zeros(int(own[-1]) + 1, results.dtype)
            table[own] = results
            found: NDArray[Any] = table[keys]
            return found
        found = results[np.searchsorted(own, keys)]
        return found


def label_values(planes: Iterable[NDArray[Any]]) -> Index:
    """The labels that occur in planes, ascending, with 0.

    Raises
    ------
    SettingsError
        ``E-LABELS-TYPE``: negative labels, or above 2²⁴.

    Examples
    --------
    >>> label_values([np.array([[3, 1]]), np.array([[3, 3]])]).tolist()
    [0, 1, 3]
    """
    values = np.zeros(1, np.int64)
    for plane in planes:
        if plane.size and (int(plane.min()) < 0 or int(plane.max()) > LARGEST_LABEL):
            raise SettingsError(
                "E-LABELS-TYPE",
                f"labels must be 0 to {LARGEST_LABEL}, not {int(plane.min())} to {int(plane.max())}.",
                cure="Renumber them, and save the label image again.",
            )
        here = np.flatnonzero(np.bincount(plane.ravel().astype(np.int64, copy=False)))
        values = np.union1d(values, here)
    return values


def count_patterns(blocks: Iterable[Sequence[NDArray[Any]]], values: Index) -> Patterns:
    """Count combinations of labels.

    Parameters
    ----------
    blocks : iterable of sequences of K ndarray, same shape
        For instance the same plane of every annotator.
    values : ndarray (L,), int64
        All labels, from :func:`label_values`.

    Raises
    ------
    SettingsError
        ``E-CONSENSUS-LABELS``: so many labels that combinations cannot be numbered.

    Examples
    --------
    >>> patterns = count_patterns([(np.array([0, 1, 1]), np.array([0, 1, 0]))], np.array([0, 1]))
    >>> patterns.places.tolist(), patterns.counts.tolist()
    ([[0, 0], [1, 0], [1, 1]], [1, 1, 1])
    """
    totals: dict[int, int] = {}
    n_annotators = 0
    for planes in blocks:
        if len(values) ** len(planes) > LARGEST_KEY:
            raise SettingsError(
                "E-CONSENSUS-LABELS",
                f"{len(values)} labels of {len(planes)} annotators are too many to be classes.",
                cure="If each number is an object, add --instances.",
            )
        n_annotators = len(planes)
        keys = _keys(planes, values).ravel()
        if len(values) ** n_annotators <= LARGEST_COUNTED:
            counted = np.bincount(keys)
            found = np.flatnonzero(counted)
            counts = counted[found]
        else:
            found, counts = np.unique(keys, return_counts=True)
        for key, count in zip(found.tolist(), counts.tolist(), strict=True):
            totals[key] = totals.get(key, 0) + count
    ordered = np.array(sorted(totals), np.int64)
    radix = len(values) ** np.arange(n_annotators, dtype=np.int64)
    places = ordered[:, None] // radix % len(values)
    return Patterns(values, places, np.array([totals[key] for key in ordered.tolist()], np.int64))


def patterns_of(annotations: Sequence[NDArray[Any]]) -> Patterns:
    """Combinations of whole label images in memory.

    Examples
    --------
    >>> patterns_of([np.array([5, 0]), np.array([5, 5])]).counts.tolist()
    [1, 1]
    """
    return count_patterns([annotations], label_values(annotations))


def keys_of(places: Sequence[Index] | Index, n_values: int) -> Index:
    """One number per voxel for the places of all annotators; the first one's counts least."""
    keys = np.zeros(np.shape(places[0]), np.int64)
    for place in reversed(places):
        keys *= n_values
        keys += place
    return keys


def _keys(planes: Sequence[NDArray[Any]], values: Index) -> NDArray[np.signedinteger[Any]]:
    """One number per voxel for the labels of all annotators."""
    n_values, n_annotators = len(values), len(planes)
    dtype = np.int32 if n_values**n_annotators < 2**31 else np.int64
    keys = np.zeros(planes[0].shape, dtype)
    lookup = np.zeros(int(values[-1]) + 1, dtype)
    for annotator, plane in enumerate(planes):
        lookup[values] = np.arange(n_values, dtype=dtype) * n_values**annotator
        keys += lookup[plane]
    return keys
