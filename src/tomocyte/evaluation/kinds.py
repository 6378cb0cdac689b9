"""Kind of an image to compare: labels (or a mask), or probabilities, from its quantity, type and values.

Nothing is guessed: ambiguous values are refused with the cure. To accept another kind, add it to :func:`kind_of` and
define how it becomes a mask.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.evaluation.counts import CHUNK_VOXELS

Kind = Literal["labels", "probability", "whole numbers"]
LARGEST_FLOAT_LABEL = 1 << 24


def kind_of(values: NDArray[Any], quantity: str | None, *, name: str) -> Kind:
    """Labels or probabilities.

    Parameters
    ----------
    values : ndarray, any type
        One frame.
    quantity : str, optional
        Quantity stated in the file; ``labels`` and ``probability`` decide.
    name : str
        For messages: ``prediction``, ``truth`` or a path.

    Returns
    -------
    str
        ``labels`` for integers, bool, and floats that the file calls labels; ``probability`` for floats in [0, 1] that
        the file calls so or that have a value between; ``whole numbers`` for other floats, which are labels unless
        another frame holds probabilities.

    Raises
    ------
    InputError
        ``E-NAN``: a value is not finite. ``E-LABELS-TYPE``: neither labels nor probabilities.

    Examples
    --------
    >>> kind_of(np.array([[0.0, 0.25]]), None, name="prediction")
    'probability'
    """
    if values.dtype.kind in "uib":
        if quantity == "probability":
            raise InputError(
                "E-LABELS-TYPE",
                f"{name} holds probabilities as {values.dtype}, and it is not known which value stands for 1.",
                cure="Save them as floats in 0..1, or save the thresholded mask.",
            )
        return "labels"
    if values.dtype.kind != "f":
        raise InputError("E-LABELS-TYPE", f"{name} is {values.dtype}, neither labels nor probabilities.")
    is_whole, low, high = _summary(values, name)
    if quantity == "labels" or (is_whole and quantity != "probability"):
        return "labels" if quantity == "labels" else "whole numbers"
    if low < 0 or high > 1:
        raise InputError(
            "E-LABELS-TYPE",
            f"{name} holds values from {low:g} to {high:g}: neither labels (whole numbers) nor probabilities.",
            cure="Give the mask, the label image or the probability, not the measured image; logits need a sigmoid.",
        )
    return "probability"


def as_labels(values: NDArray[Any], *, name: str) -> NDArray[Any]:
    """The values as labels: integers as they are, floats that are whole numbers as uint32.

    Parameters
    ----------
    values : ndarray, any type
    name : str
        For messages.

    Raises
    ------
    InputError
        ``E-NAN``, ``E-LABELS-TYPE``: fractions, negative numbers, or floats above 16,777,216, which float32 cannot
        distinguish.

    Examples
    --------
    >>> as_labels(np.array([0.0, 2.0]), name="truth").tolist()
    [0, 2]
    """
    if values.dtype.kind in "ub":
        return values
    if values.dtype.kind == "i":
        lowest = int(values.min()) if values.size else 0
        if lowest < 0:
            raise InputError("E-LABELS-TYPE", f"{name} holds {lowest}, but labels start at 0.", cure="Relabel from 0.")
        return values
    if values.dtype.kind != "f":
        raise InputError("E-LABELS-TYPE", f"{name} is {values.dtype}, which cannot be labels.")
    is_whole, low, high = _summary(values, name)
    if not is_whole or low < 0 or high > LARGEST_FLOAT_LABEL:
        raise InputError(
            "E-LABELS-TYPE",
            f"{name} holds values from {low:g} to {high:g} that are not labels (whole numbers from 0).",
            cure="A mask or a label image is needed; threshold a probability first.",
        )
    return values.astype(np.uint32)


def _summary(values: NDArray[Any], name: str) -> tuple[bool, float, float]:
    """Whether all values are whole numbers, the lowest and the highest."""
    if values.size == 0:
        return True, 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        n_nonfinite = int(np.count_nonzero(~np.isfinite(values)))
        raise InputError(
            "E-NAN",
            f"{name} holds {n_nonfinite} voxels that are NaN or infinite.",
            cure="Replace them (0 = background) and save the image again.",
        )
    flat = values.ravel()
    chunks = (flat[start : start + CHUNK_VOXELS] for start in range(0, flat.size, CHUNK_VOXELS))
    return all(bool(np.all(chunk == np.rint(chunk))) for chunk in chunks), low, high
