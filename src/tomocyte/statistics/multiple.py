"""Several tests at once: p values that hold for all of them together.

To add a correction, write a function here that takes p values and gives as many back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction: the chance of one false finding among all tests stays below the level.

    Parameters
    ----------
    p_values : array-like (n,), float in [0, 1]
        NaN where there is no test; these do not count.

    Returns
    -------
    ndarray (n,), float64
        Adjusted p values in [0, 1], in the same order; NaN stays NaN.

    References
    ----------
    Holm, Scand J Stat 6, 65 (1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted
