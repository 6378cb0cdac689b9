"""The integer type of labels: as small as holds them, checked, never wrapped around.

To let labels be stored in another type, add it to ``LABEL_DTYPES`` in ascending order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import ResourceError, SettingsError

LABEL_DTYPES = (np.uint8, np.uint16, np.uint32)


def label_dtype(largest: int) -> type[np.unsignedinteger[Any]]:
    """Smallest unsigned type that holds ``largest``.

    Raises
    ------
    ResourceError
        ``E-LABELS`` beyond 2**32 - 1.

    Examples
    --------
    >>> label_dtype(65_536).__name__
    'uint32'
    """
    for dtype in LABEL_DTYPES:
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise ResourceError(
        "E-LABELS", f"{largest} objects do not fit into 32-bit labels.", cure="Cut the volume into parts."
    )


def refit(labels: NDArray[Any], largest: int | None = None) -> NDArray[np.unsignedinteger[Any]]:
    """Labels in the smallest unsigned type that holds them; the same array when it already has that type.

    Parameters
    ----------
    labels : ndarray, integer or bool, values >= 0
    largest : int, optional
        Largest label that must fit; taken from the labels when not given. Give it to make room for more labels.

    Raises
    ------
    SettingsError
        ``E-LABELS-TYPE`` for negative or non-integer labels.
    """
    if labels.dtype.kind not in "uib":
        raise SettingsError("E-LABELS-TYPE", f"labels must be integers, not {labels.dtype}.")
    if labels.dtype.kind == "i" and labels.size and int(labels.min()) < 0:
        raise SettingsError("E-LABELS-TYPE", f"labels must not be negative, but one is {int(labels.min())}.")
    largest_label = int(labels.max(initial=0))
    if largest is not None:
        largest_label = max(largest_label, largest)
    return labels.astype(label_dtype(largest_label), copy=False)
