"""Votes of annotators: the label of most, and what enough of them agree on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomocyte.agreement.patterns import Patterns

UNDECIDED = -1
"""Result of a combination for which no label can be given."""


def majority(patterns: Patterns) -> NDArray[np.int64]:
    """For each combination the label that more annotators gave than any other; :data:`UNDECIDED` for a draw.

    Examples
    --------
    >>> from tomocyte.agreement import patterns_of
    >>> found = patterns_of([np.array([7, 7, 0]), np.array([7, 0, 0]), np.array([7, 3, 3])])
    >>> majority(found)[np.searchsorted(found.keys, found.keys)].tolist(), found.values.tolist()
    ([0, -1, 7], [0, 3, 7])
    """
    return np.where(_is_alone(patterns.places), patterns.values[_first_of_most(patterns.places)], UNDECIDED)


def agreed(patterns: Patterns, *, min_agreement: float = 1.0) -> NDArray[np.int64]:
    """For each combination the label of the majority where enough annotators gave it, else :data:`UNDECIDED`.

    Parameters
    ----------
    patterns : Patterns
    min_agreement : float in (0, 1]
        Share of the annotators; 1: all of them.

    Examples
    --------
    >>> from tomocyte.agreement import patterns_of
    >>> agreed(patterns_of([np.array([0, 1, 1]), np.array([0, 1, 0])])).tolist()
    [0, -1, 1]
    """
    share = agreement(patterns.places).max(axis=1) / patterns.n_annotators
    return np.where(share >= min_agreement - 1e-9, majority(patterns), UNDECIDED)


def agreement(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each combination (P, K) and annotator how many annotators gave the same label, itself among them.

    Examples
    --------
    >>> agreement(np.array([[4, 4, 1]])).tolist()
    [[2, 2, 1]]
    """
    same = (places[:, :, None] == places[:, None, :]).sum(axis=2)
    return np.asarray(same, dtype=np.int64)


def _first_of_most(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label of most annotators, the first annotator's of those in a draw."""
    return np.take_along_axis(places, agreement(places).argmax(axis=1)[:, None], axis=1)[:, 0]


def _is_alone(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether no other label has as many votes."""
    same = agreement(places)
    is_most = same == same.max(axis=1, keepdims=True)
    return np.asarray(np.all(~is_most | (places == _first_of_most(places)[:, None]), axis=1), dtype=np.bool_)
