"""One scorer of a model, or of any other method, on a data set: fields in, a score table out.

A method is a function from what a field was read from to its masks, probabilities or objects; networks and methods
without training differ in nothing. Fields are made in :mod:`tomocyte.comparison.samples`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import Case, Metric, ScoreSettings, ScoreTable

Source = TypeVar("Source")
Predictor = Callable[[Source], Mapping[str, NDArray[Any]]]
"""From a field's source to structure -> float probabilities, a bool mask, or integer labels of objects."""


@dataclass(frozen=True, eq=False)
class Field(Generic[Source]):
    """One labelled image, or a section of one.

    Parameters
    ----------
    name : str
        In tables.
    group : str
        What it is resampled with.
    source : object
        What methods read: a sample, an item, masks.
    truth : callable
        Structure -> mask or labels, bool or integer, on the grid on which methods give theirs.
    ignored : int, optional
        Value of unlabelled voxels in the truth; they do not count.
    voxel_size_um : tuple of float, optional
        Of the grid, in µm.
    frame : int
    is_simulated : bool
    """

    name: str
    group: str
    source: Source
    truth: Callable[[str], NDArray[Any]]
    ignored: int | None = None
    voxel_size_um: tuple[float, ...] | None = None
    frame: int = 0
    is_simulated: bool = False


def score_model(
    predict: Predictor[Source] | Mapping[str, Predictor[Source]],
    fields: Iterable[Field[Source]],
    *,
    settings: ScoreSettings | None = None,
    metrics: Sequence[str | Metric] | None = None,
) -> ScoreTable:
    """Compare what one or several methods give for every field with its truth.

    Parameters
    ----------
    predict : callable, or mapping of str to callable
        The method; several with their names, which then stand in the column ``method``.
    fields : iterable of Field
        Taken one by one; each is given to every method in turn.
    settings : ScoreSettings, optional
    metrics : sequence of str or Metric, optional
        As :class:`~tomocyte.evaluation.score_table.ScoreTable` takes them.

    Returns
    -------
    ScoreTable
        One row per field, method and structure that the method gave.

    Raises
    ------
    SettingsError
        As :meth:`tomocyte.evaluation.score_table.ScoreTable.add`.

    Examples
    --------
    >>> truth = np.array([[0, 1, 1, 1]])
    >>> field = Field("one", "one", np.array([[0.1, 0.9, 0.7, 0.2]]), lambda structure: truth)
    >>> score_model(lambda image: {"cell": image > 0.5}, [field], metrics=["dice", "recall"]).values("dice")
    [0.8]
    """
    methods = predict if isinstance(predict, Mapping) else {"": predict}
    table = ScoreTable(settings, metrics=metrics)
    for field in fields:
        for name, method in methods.items():
            table.add_all(_cases(field, method(field.source), name))
    return table


def _cases(field: Field[Any], predicted: Mapping[str, NDArray[Any]], method: str) -> Iterator[Case]:
    for structure, values in predicted.items():
        truth = field.truth(structure)
        if field.ignored is not None:
            is_labelled = truth != field.ignored
            truth, values = truth[is_labelled], values[is_labelled]
        is_probability = values.dtype.kind == "f"
        yield Case(
            field.name,
            field.group,
            truth,
            None if is_probability else values,
            np.clip(values, 0, 1) if is_probability else None,
            field.voxel_size_um,
            field.frame,
            field.is_simulated,
            structure,
            method,
        )
