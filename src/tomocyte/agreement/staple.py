"""STAPLE: the labels that annotators most probably meant, and how reliable each of them is, estimated together.

Expectation maximisation over the table of combinations: voxels with the same labels have the same weights, so that the
result is that of the published algorithm, at a cost that does not depend on the volume.

References
----------
Warfield, Zou & Wells (2004), Simultaneous truth and performance level estimation (STAPLE), IEEE Trans. Med. Imaging
23(7), 903-921, doi:10.1109/TMI.2004.828354, section II-D for several labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.agreement.patterns import Patterns
from tomocyte.agreement.votes import UNDECIDED
from tomocyte.settings import Settings

Float = NDArray[np.float64]
SMALLEST = 1e-300
DRAW = 1e-9


class StapleSettings(Settings):
    """When the estimation ends."""

    max_iterations: int = Field(default=1000, ge=1)
    """Rounds of expectation and maximisation at most."""
    tolerance: float = Field(default=1e-7, gt=0)
    """It ends when no entry of a confusion matrix changes by more."""


@dataclass(frozen=True)
class Staple:
    """What was estimated.

    Parameters
    ----------
    weights : ndarray (P, L), float64
        W: probability of each label for each combination.
    confusion : ndarray (K, L, L), float64
        θ: probability that annotator k gives label s' (row) where the truth is s (column); columns add up to 1.
    prior : ndarray (L,), float64
        Share of each label, over all annotators.
    n_voxels : ndarray (L,), float64
        Expected voxels of each label.
    n_iterations : int
    is_converged : bool
    """

    weights: Float
    confusion: Float
    prior: Float
    n_voxels: Float
    n_iterations: int
    is_converged: bool

    def labels(self, patterns: Patterns) -> NDArray[np.int64]:
        """The most probable label of each combination, or :data:`~tomocyte.agreement.votes.UNDECIDED` for a draw."""
        largest = self.weights.max(axis=1)
        is_alone = (self.weights >= largest[:, None] - DRAW).sum(axis=1) == 1
        return np.where(is_alone, patterns.values[self.weights.argmax(axis=1)], UNDECIDED)


def staple(patterns: Patterns, settings: StapleSettings | None = None) -> Staple:
    """Estimate labels and the reliability of annotators.

    Parameters
    ----------
    patterns : Patterns
    settings : StapleSettings, optional

    Returns
    -------
    Staple
        It begins with the shares of votes, as the published algorithm does with annotators that are right in most
        cases; labels keep the prior of their share over all annotators.

    Examples
    --------
    >>> from tomocyte.agreement import patterns_of
    >>> truth = np.repeat([0, 1], 50)
    >>> poor = np.where(np.arange(100) % 5 == 0, 1 - truth, truth)
    >>> found = patterns_of([truth, truth, poor])
    >>> staple(found).confusion[2].round(2).tolist()
    [[0.8, 0.2], [0.2, 0.8]]
    """
    options = settings or StapleSettings()
    counts = patterns.counts.astype(np.float64)
    votes = patterns.votes / patterns.n_annotators
    prior = counts @ votes / counts.sum()
    weights, confusion, change, n_iterations = votes, _confusion(patterns, votes, counts), np.inf, 0
    while change > options.tolerance and n_iterations < options.max_iterations:
        weights = _weights(patterns, confusion, prior)
        estimated = _confusion(patterns, weights, counts)
        change = float(np.abs(estimated - confusion).max())
        confusion, n_iterations = estimated, n_iterations + 1
    n_voxels = counts @ weights
    return Staple(weights, confusion, prior, n_voxels, n_iterations, change <= options.tolerance)


def reliability(estimate: Staple, annotator: int, label: int) -> tuple[float, float, float]:
    """Sensitivity, specificity and precision of an annotator for one label, by its place; NaN where nothing has it.

    Sensitivity and specificity are p and q of the paper for the label against all others.
    """
    joint = estimate.confusion[annotator] * estimate.n_voxels  # labels given in rows, true ones in columns
    hit, given, true, total = joint[label, label], joint[label].sum(), joint[:, label].sum(), joint.sum()
    pairs = ((hit, true), (total - given - true + hit, total - true), (hit, given))
    sensitivity, specificity, precision = (float(part / whole) if whole > 0 else math.nan for part, whole in pairs)
    return sensitivity, specificity, precision


def _weights(patterns: Patterns, confusion: Float, prior: Float) -> Float:
    """Expectation: W(s) ∝ f(s) Π θ(s', s) over the annotators."""
    log_weights = np.tile(np.log(np.maximum(prior, SMALLEST)), (len(patterns.places), 1))
    for annotator, matrix in enumerate(confusion):
        log_weights += np.log(np.maximum(matrix, SMALLEST))[patterns.places[:, annotator]]
    log_weights -= log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def _confusion(patterns: Patterns, weights: Float, counts: Float) -> Float:
    """Maximisation: θ(s', s) = Σ W(s) over voxels with label s', over Σ W(s) over all voxels."""
    n_labels, n_annotators = len(patterns.values), patterns.n_annotators
    confusion = np.zeros((n_annotators, n_labels, n_labels))
    weighted = weights * counts[:, None]
    totals = np.maximum(weighted.sum(axis=0), SMALLEST)
    for annotator in range(n_annotators):
        np.add.at(confusion[annotator], patterns.places[:, annotator], weighted)
    return np.asarray(confusion / totals, dtype=np.float64)
